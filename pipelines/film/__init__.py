"""Drawing, timing and encoding of a film. `pipelines/stages/film.py` is the way in."""
