"""The stages between a de-identified study and a film."""
