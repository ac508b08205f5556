"""Prints how long a frame takes, ours against VTK's depth peeling, and how long a whole film.

Run: python -m benchmarks.film
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.film.rasteriser import Rasteriser
from pipelines.film.scene import Renderer, Scene
from pipelines.film.shapes import shape_of
from pipelines.film.theatre import Moment, Theatre
from pipelines.film.vtk_reference import VtkRenderer
from pipelines.stages.film import MOST_TRIANGLES, make_film
from pipelines.surfaces.decimate import decimate
from tests.make_film import Story, make_story, write_tones

_ROUNDS = 8
_SENTENCE_S = 4.0


def main() -> None:
    """Print the table."""
    story = make_story(spacing_mm=(2.0, 1.5, 1.5), sentence_s=_SENTENCE_S)
    scene = _approach(story)
    triangles = sum(len(item.shape.triangles) for item in scene.drawables)
    print(f"approach shot, {triangles} triangles, 1280 x 720, CPU seconds a frame (best of {_ROUNDS}):")
    ours, theirs = _seconds(Rasteriser(1280, 720), scene), _seconds(VtkRenderer(1280, 720), scene)
    print(f"  rasteriser          {ours:.3f}")
    print(f"  VTK, depth peeling  {theirs:.3f}  ({theirs / ours:.1f} times as much)")
    with tempfile.TemporaryDirectory() as name:
        _film(story, Path(name))


def _approach(story: Story) -> Scene:
    shot = next(item for item in story.storyboard.shots if item.id == "approach")
    surfaces = {surface.name: surface for surface in story.surfaces}
    most = MOST_TRIANGLES // len(shot.shown)
    light = {item.structure: decimate(surfaces[item.structure], most) for item in shot.shown}
    shapes = {name: shape_of(surface.vertices_mm, surface.triangles) for name, surface in light.items()}
    theatre = Theatre(shot, shapes, surfaces, story.operation, story.simulation)
    return theatre.scene(Moment(0.8, 0.0, 60.0, 1.0))


def _seconds(renderer: Renderer, scene: Scene) -> float:
    renderer.render(scene)
    return min(_timed(lambda: renderer.render(scene)) for _ in range(_ROUNDS))


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _film(story: Story, folder: Path) -> None:
    write_tones(folder / "speech", len(story.narration.sentences), sentence_s=_SENTENCE_S)
    wall, cpu = time.monotonic(), time.process_time()
    film = make_film(
        story.storyboard, story.narration, story.speech, folder / "speech", story.surfaces, story.volume,
        story.segmentation, story.operation, story.simulation, story.ledger, folder, case_id="C0001",
    )  # fmt: skip
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"film of {film.length_s:.1f} s, {film.frames} frames at 24 a second, everything included:")
    print(
        f"  {wall:.1f} s wall, {cpu:.1f} CPU s, {cpu / film.frames:.3f} CPU s a frame, peak {peak_gb:.2f} GB"
    )


if __name__ == "__main__":
    main()
