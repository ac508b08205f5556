"""Which voxel belongs to which structure, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviz.core.anatomy import structure
from medviz.core.space import Grid


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reviewer must look at: the structure, a stable code, one sentence."""

    structure: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """Which model made something: name, version, SHA-256 of the weights (empty for rules)."""

    name: str
    version: str
    weights_sha256: str = ""


@dataclass(frozen=True, slots=True)
class SegmentedStructure:
    """One structure of a segmentation.

    Parameters
    ----------
    name : str
        Name in the anatomy table.
    source : str
        ``network`` or ``rule`` (or ``imported``).
    volume_ml : float
        Voxel count times voxel volume.
    confidence : float or None
        Mean calibrated probability, 0 to 1, over the structure's voxels; None for rules.
    is_reliable : bool
        False when the confidence or plausibility is under the floor: drawn and spoken as unsure.
    """

    name: str
    source: str
    volume_ml: float
    confidence: float | None
    is_reliable: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """A label map on the volume's grid.

    Parameters
    ----------
    labels : ndarray of uint8, shape of `grid`
        0 is background; other values are `Structure.label`. Read-only.
    grid : Grid
        The grid of the volume.
    structures : tuple of SegmentedStructure
        Every structure present, composites included.
    findings : tuple of Finding
        What is implausible or unsure.
    models : tuple of ModelRecord
        What made it.
    shows_face : bool
        As of the volume.
    """

    labels: NDArray[np.uint8]
    grid: Grid
    structures: tuple[SegmentedStructure, ...]
    findings: tuple[Finding, ...]
    models: tuple[ModelRecord, ...]
    shows_face: bool = False

    def __post_init__(self) -> None:
        if self.labels.shape != self.grid.shape or self.labels.dtype != np.uint8:
            raise ValueError("labels must be uint8 in the shape of the grid")
        self.labels.setflags(write=False)

    def names(self) -> tuple[str, ...]:
        """Return the names of the structures present."""
        return tuple(item.name for item in self.structures)

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return the voxels of a structure, or of the union of its members."""
        wanted = structure(name)
        values = [structure(member).label for member in wanted.members] or [wanted.label]
        lookup = np.zeros(256, dtype=np.bool_)
        lookup[values] = True
        result: NDArray[np.bool_] = lookup[self.labels]
        return result
