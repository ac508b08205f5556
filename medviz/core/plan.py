"""A surgical plan as written, and the operation planned from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """A plan document that passed its procedure's schema.

    Parameters
    ----------
    procedure : str
        Name of the procedure file.
    sha256 : str
        Hash of the document's bytes.
    values : mapping
        The document's tables, checked and with defaults filled in (plain TOML types).
    lines : mapping
        1-based line of each key that the document holds, such as ``target.point_mm``.
    """

    procedure: str
    sha256: str
    values: Mapping[str, object]
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clearance:
    """Least distance from the needle's axis to a structure, in mm, and where.

    `distance_mm` is from the axis, less the needle's radius; `uncertainty_mm` is half its interval.
    """

    structure: str
    distance_mm: float
    uncertainty_mm: float
    at_mm: Point
    depth_mm: float


@dataclass(frozen=True, slots=True)
class Crossing:
    """A structure the needle passes through, between two depths below the skin entry (mm)."""

    structure: str
    from_mm: float
    to_mm: float


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A straight way from the skin to the target (LPS mm).

    `angle_to_skull_deg` and `angle_to_skin_deg` are between needle and surface: 90 is perpendicular.
    `score` orders trajectories of one search; larger is better.
    """

    entry_mm: Point
    target_mm: Point
    length_mm: float
    angle_to_skin_deg: float
    angle_to_skull_deg: float
    crossings: tuple[Crossing, ...]
    clearances: tuple[Clearance, ...]
    score: float


@dataclass(frozen=True, slots=True)
class Search:
    """How the trajectory was found: candidates looked at, and how many each constraint refused."""

    candidates: int
    refused: Mapping[str, int]
    feasible: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """What the study cannot show, said aloud: subject and one sentence."""

    subject: str
    sentence: str


@dataclass(frozen=True, slots=True)
class PlannedOperation:
    """The operation as it would be done, in the patient's coordinates.

    Parameters
    ----------
    document : PlanDocument
        What was asked.
    target_structure : str
        Structure that holds the target.
    side : str
        ``left`` or ``right``: the patient's side of the entry.
    needle_radius_mm : float
        Radius of the needle or catheter.
    trajectory : Trajectory
        The one shown.
    alternatives : tuple of Trajectory
        The next best, well apart from each other.
    search : Search or None
        None when entry and target were both given.
    unknowns : tuple of Unknown
        What cannot be known from this study.
    """

    document: PlanDocument
    target_structure: str
    side: str
    needle_radius_mm: float
    trajectory: Trajectory
    alternatives: tuple[Trajectory, ...]
    search: Search | None
    unknowns: tuple[Unknown, ...]


@dataclass(frozen=True, slots=True)
class OperationState:
    """The operation at one moment: time (s), needle tip depth (mm), skull opening (0 to 1)."""

    time_s: float
    depth_mm: float
    opening: float
    nearest_structure: str
    nearest_mm: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """States over operation time, in order."""

    states: tuple[OperationState, ...]
