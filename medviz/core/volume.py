"""A volume in the patient, and the report that says how far its geometry can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from medviz.core.space import Grid


class Outcome(StrEnum):
    """The three ends of the geometry contract. There is no fourth."""

    CORRECT = "correct"
    RESAMPLED = "resampled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """One series of the study and why it was or was not taken.

    UIDs are those of the de-identified study.
    """

    series_uid: str
    modality: str
    instances: int
    orientation: str
    spacing_mm: tuple[float, float, float] | None
    is_chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class GeometryReport:
    """How a series became a volume.

    Parameters
    ----------
    outcome : Outcome
        Correct, resampled or refused.
    reason : str
        Stable code, such as ``OK``, ``GANTRY_TILT`` or ``MISSING_SLICES``.
    explanation : str
        One sentence for a person: what was found and what was done.
    mend : str
        What to do next when refused; empty otherwise.
    max_displacement_mm : float
        Largest distance any voxel was moved from where its header puts it; 0 when correct.
    series : SeriesSummary or None
        The series taken; None when nothing could be chosen.
    others : tuple of SeriesSummary
        The series not taken, each with its reason.
    warnings : tuple of str
        Remarks that did not change the outcome.
    """

    outcome: Outcome
    reason: str
    explanation: str
    mend: str = ""
    max_displacement_mm: float = 0.0
    series: SeriesSummary | None = None
    others: tuple[SeriesSummary, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Voxels in Hounsfield units (CT) or raw intensity (MR), placed in the patient.

    Parameters
    ----------
    voxels : ndarray, shape of `grid`, int16 or float32
        Read-only; (slice, row, column).
    grid : Grid
        Where the voxels are.
    modality : str
        DICOM modality, such as ``CT``.
    unit : str
        ``HU`` for CT; empty when the modality has none.
    contrast : str
        ``yes``, ``no`` or ``unknown``: whether the header says that a contrast agent was given.
    report : GeometryReport
        How the volume was made.
    shows_face : bool
        Whether the patient may be recognised by the face: it was kept on purpose. Everything made from the
        volume says so.
    """

    voxels: NDArray[np.int16] | NDArray[np.float32]
    grid: Grid
    modality: str
    unit: str
    contrast: str
    report: GeometryReport
    shows_face: bool = False

    def __post_init__(self) -> None:
        if self.voxels.shape != self.grid.shape:
            raise ValueError("voxels and grid differ in shape")
        if self.contrast not in ("yes", "no", "unknown"):
            raise ValueError("contrast is yes, no or unknown")
        self.voxels.setflags(write=False)
