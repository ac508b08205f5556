"""Every number of a needle operation, computed once, with unit, interval, method, evidence and grade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medviz.core.anatomy import STRUCTURES, structure
from medviz.core.facts import Fact, FactLedger, Grade
from medviz.core.plan import Clearance, PlannedOperation, Simulation
from medviz.core.segmentation import Segmentation, SegmentedStructure
from medviz.core.surface import Surface
from medviz.core.volume import Outcome, Volume
from pipelines.planning.headframe import HeadFrame, head_frame
from pipelines.planning.path import Ruler, make_ruler
from pipelines.planning.request import Request, joined, request_of
from pipelines.planning.target import margin_at

_BRAIN = structure("brain").members
_SHORT_NAMES = {"soft_tissue": "scalp", "csf": "fluid around the brain"}
_VOLUME_WORDS = {
    "brain": "brain volume",
    "cerebrum": "cerebral volume",
    "deep_grey": "deep grey volume",
    "ventricles": "ventricular volume",
    "cerebellum": "cerebellar volume",
    "brainstem": "brainstem volume",
    "csf": "volume of fluid around the brain",
    "tumour": "tumour volume",
}
_EDGE_SHIFT = 0.25
"""A boundary may lie a quarter of a voxel further in or out all around: the interval of a volume."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What the facts of a needle operation are read from."""

    volume: Volume
    segmentation: Segmentation
    surfaces: tuple[Surface, ...]
    operation: PlannedOperation
    simulation: Simulation
    request: Request
    frame: HeadFrame
    ruler: Ruler


def needle_facts(
    volume: Volume,
    segmentation: Segmentation,
    surfaces: tuple[Surface, ...],
    operation: PlannedOperation,
    simulation: Simulation,
) -> FactLedger:
    """Return every number of the case, in the order in which it was measured.

    Lengths in mm, volumes in ml, angles in degrees (90 is perpendicular); every interval is stated in
    `method`.
    """
    request = request_of(operation.document)
    frame, ruler = head_frame(segmentation), make_ruler(segmentation, ())
    case = Case(volume, segmentation, surfaces, operation, simulation, request, frame, ruler)
    parts = (_study, _volumes, _target, _entry, _path, _clearances, _search, _simulated, _unknowns)
    return FactLedger(tuple(fact for part in parts for fact in part(case)))


def title_of(name: str) -> str:
    """Return how a person calls a structure on the needle's way: scalp, not soft tissue."""
    return _SHORT_NAMES.get(name, structure(name).title)


def target_words(case: Case) -> str:
    """Return the target's place in words, such as ``frontal horn of the right lateral ventricle``."""
    name, request = case.operation.target_structure, case.request
    if request.target_mm is not None:
        return f"given point in the {structure(name).title}"
    lateral = case.frame.own(np.asarray(case.operation.trajectory.target_mm)[None])[0, 0]
    side = "left" if lateral > 0 else "right"
    if request.part == "frontal horn":
        return f"frontal horn of the {side} lateral ventricle"
    part = "deepest place" if request.part == "deepest" else "centre"
    return f"{part} in the {side} half of the {structure(name).title}"


def _study(case: Case) -> Iterator[Fact]:
    spacing, report = case.volume.grid.spacing_mm[0], case.volume.report
    yield Fact(
        "study.slices", "the study", "distance between slices", spacing, "mm", 1, None,
        "from slice positions", ("volume",), Grade.MEASURED, ("slices",),
        f"The slices of this study lie {spacing:.1f} mm apart.",
    )  # fmt: skip
    word = "correct" if report.outcome is Outcome.CORRECT else "resampled"
    sentence = {
        "correct": "The geometry of this scan was checked and is correct.",
        "resampled": "The geometry of this scan was resampled to a regular grid.",
    }[word]
    yield Fact(
        "study.geometry", "the scan", "geometry", word, "", 0, None,
        "geometry contract", ("volume",), Grade.MEASURED, ("geometry",), sentence,
    )  # fmt: skip
    if word == "resampled":
        moved = report.max_displacement_mm
        yield Fact(
            "study.displacement", "the resampling", "largest displacement", moved, "mm", 1, None,
            "geometry contract", ("volume",), Grade.MEASURED, ("moved",),
            f"Resampling moved no point by more than {moved:.1f} mm.",
        )  # fmt: skip


def _volumes(case: Case) -> Iterator[Fact]:
    for item in case.segmentation.structures:
        words = _VOLUME_WORDS.get(item.name)
        if words is None:
            continue
        half = _volume_half_interval_ml(case.segmentation, item)
        decimals = 0 if item.volume_ml >= 100 else 1
        doubt = "" if item.is_reliable else "; the outline is unsure"
        yield Fact(
            f"volume.{item.name}", STRUCTURES[item.name].title, "volume", item.volume_ml, "ml", decimals,
            (max(0.0, item.volume_ml - half), item.volume_ml + half),
            f"voxel count; +- a quarter voxel at the edge and the network's doubt{doubt}",
            (f"segmentation:{item.name}",), Grade.MEASURED,
            (words, f"volume of the {STRUCTURES[item.name].title}"),
            f"The {words} is {item.volume_ml:.{decimals}f} ml.",
        )  # fmt: skip


def _volume_half_interval_ml(segmentation: Segmentation, item: SegmentedStructure) -> float:
    sizes = np.asarray(segmentation.grid.spacing_mm)
    mask = segmentation.mask(item.name)
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    padded = np.pad(mask[box], 1)
    area = sum(
        float(np.count_nonzero(np.diff(padded.view(np.int8), axis=axis)) * sizes.prod() / sizes[axis])
        for axis in range(3)
    )
    edge = area / 1.5 * _EDGE_SHIFT * float(sizes.mean()) / 1000.0  # faces overstate a smooth area by half
    doubt = 0.0 if item.confidence is None else (1.0 - item.confidence) * item.volume_ml
    return float(np.hypot(edge, doubt))


def _target(case: Case) -> Iterator[Fact]:
    name, target = case.operation.target_structure, np.asarray(case.operation.trajectory.target_mm)
    words = target_words(case)
    grade = Grade.ASSUMED if case.request.target_mm is not None else Grade.MEASURED
    yield Fact(
        "target.place", "the target", "place", words, "", 0, None,
        "as the plan asks", ("plan", f"segmentation:{name}"), grade, ("target",),
        f"The target is the {words}.",
    )  # fmt: skip
    margin, half = margin_at(case.segmentation, name, target), case.ruler.uncertainty_mm(name)
    if margin > 0:
        yield Fact(
            "target.margin", "the tip", "distance to the wall", margin, "mm", 1, (max(0.0, margin - half),
            margin + half),
            "distance transform; +- half a voxel's diagonal and the network's doubt",
            (f"segmentation:{name}",), Grade.MEASURED, ("wall",),
            f"The tip stops {margin:.1f} mm from the wall of the {structure(name).title}.",
        )  # fmt: skip
    confidence = next((i.confidence for i in case.segmentation.structures if i.name == name), None)
    if confidence is not None:
        percent = confidence * 100
        yield Fact(
            "target.confidence", structure(name).title, "confidence", percent, "%", 0, None,
            "mean calibrated probability of the network", (f"segmentation:{name}",), Grade.MEASURED,
            ("confidence", "confident"),
            f"The network's confidence in the {structure(name).title} is {percent:.0f}%.",
        )  # fmt: skip


def _entry(case: Case) -> Iterator[Fact]:
    trajectory, side = case.operation.trajectory, case.operation.side
    entry = np.asarray(trajectory.entry_mm)
    lateral = abs(float(case.frame.own(entry[None])[0, 0]))
    half = max(1.0, case.frame.symmetry_mm)
    yield Fact(
        "entry.side", "the entry", "side", side, "", 0, None,
        "mirror symmetry of the brain", ("segmentation:brain",), Grade.MEASURED,
        (f"{side} side", f"on the {side}"),
        f"The needle enters on the patient's {side} side.",
    )  # fmt: skip
    yield Fact(
        "entry.midline", "the entry", "distance to the midline", lateral, "mm", 1,
        (max(0.0, lateral - half), lateral + half),
        "distance to the brain's plane of mirror symmetry; +- its mean asymmetry",
        ("segmentation:brain",), Grade.MEASURED, ("midline",),
        f"The entry lies {lateral:.1f} mm from the midline.",
    )  # fmt: skip
    yield from _angles(case)
    bone = sum(run.to_mm - run.from_mm for run in trajectory.crossings if run.structure == "skull")
    step = _along_voxel_mm(case)
    yield Fact(
        "entry.bone", "the skull", "thickness along the needle", bone, "mm", 1, (max(0.0, bone - step), bone
        + step),
        "trilinear occupancy along the path; +- half a voxel at each edge", ("segmentation:skull",),
        Grade.MEASURED, ("bone",), f"The drill passes {bone:.1f} mm of bone.",
    )  # fmt: skip


def _angles(case: Case) -> Iterator[Fact]:
    trajectory = case.operation.trajectory
    entry, target = np.asarray(trajectory.entry_mm), np.asarray(trajectory.target_mm)
    way = (target - entry) / trajectory.length_mm
    skull_depth = next((run.from_mm for run in trajectory.crossings if run.structure == "skull"), 0.0)
    for name, at, degrees in (
        ("skull", entry + skull_depth * way, trajectory.angle_to_skull_deg),
        ("skin", entry, trajectory.angle_to_skin_deg),
    ):
        _, half = case.ruler.angle_deg(at, way, of_skull=name == "skull")
        yield Fact(
            f"entry.angle_{name}", "the needle", f"angle to the {name}", degrees, "deg", 0,
            (max(0.0, degrees - half), min(90.0, degrees + half)),
            "quadric fitted to the surface within 12 and 18 mm; +- their disagreement and 1 degree",
            (f"segmentation:{name}",), Grade.MEASURED, (f"meets the {name}", f"angle to the {name}"),
            f"The needle meets the {name} at {degrees:.0f} degrees.",
        )  # fmt: skip


def _along_voxel_mm(case: Case) -> float:
    """Return the size of a voxel along the needle, in mm."""
    trajectory = case.operation.trajectory
    way = np.subtract(trajectory.target_mm, trajectory.entry_mm) / trajectory.length_mm
    cosines = case.volume.grid.affine[:3, :3] / np.asarray(case.volume.grid.spacing_mm)
    return float(np.linalg.norm((cosines.T @ way) * np.asarray(case.volume.grid.spacing_mm)))


def _path(case: Case) -> Iterator[Fact]:
    trajectory, half = case.operation.trajectory, _along_voxel_mm(case) / 2
    length = trajectory.length_mm
    yield Fact(
        "path.length", "the needle path", "length from skin to tip", length, "mm", 1, (length - half, length
        + half),
        "straight line, skin by trilinear occupancy; +- half a voxel", ("segmentation:skin", "plan"),
        Grade.MEASURED, ("whole path", "length", "long"), f"The whole path is {length:.1f} mm long.",
    )  # fmt: skip
    inside = sum(run.to_mm - run.from_mm for run in trajectory.crossings if run.structure in _BRAIN)
    yield Fact(
        "path.in_brain", "the needle path", "length in the brain", inside, "mm", 1, (max(0.0, inside - half),
        inside + half),
        "trilinear occupancy along the path; +- half a voxel", ("segmentation:brain",),
        Grade.MEASURED, ("inside the brain", "within the brain"),
        f"Inside the brain, the needle covers {inside:.1f} mm.",
    )  # fmt: skip
    names = list(dict.fromkeys(title_of(run.structure) for run in trajectory.crossings))
    words = joined(names) if names else "no known structure"
    yield Fact(
        "path.crossed", "the needle", "structures crossed", words, "", 0, None,
        "labels along the path; slivers under 0.4 mm left out", ("segmentation",), Grade.MEASURED,
        ("passes through", "crosses"), f"The needle passes through {words}.",
    )  # fmt: skip
    diameter = case.operation.needle_radius_mm * 2
    yield Fact(
        "needle.diameter", "the needle", "diameter", diameter, "mm", 1, None, "as the plan says", ("plan",),
        Grade.ASSUMED, ("thick", "diameter"), f"The needle is {diameter:.1f} mm thick.",
    )  # fmt: skip


def _clearances(case: Case) -> Iterator[Fact]:
    nearest_first = sorted(case.operation.trajectory.clearances, key=lambda item: item.distance_mm)
    for item in nearest_first:
        yield _clearance(item)


def _clearance(item: Clearance) -> Fact:
    title = structure(item.structure).title
    return Fact(
        f"clearance.{item.structure}", "the needle", f"least distance to the {title}",
        item.distance_mm, "mm", 1,
        (item.distance_mm - item.uncertainty_mm, item.distance_mm + item.uncertainty_mm),
        "needle surface to structure surface; +- half a voxel's diagonal and the network's doubt",
        (f"segmentation:{item.structure}",), Grade.MEASURED,
        (f"from the {title}", f"to the {title}", f"and the {title}"),
        f"The needle stays {item.distance_mm:.1f} mm away from the {title}.",
    )  # fmt: skip


def _search(case: Case) -> Iterator[Fact]:
    search = case.operation.search
    if search is None:
        return
    rows = (
        ("candidates", search.candidates, ("compared",),
         f"The planner compared {search.candidates} candidate paths."),
        ("feasible", search.feasible, ("limit",), f"Every limit was kept by {search.feasible} paths."),
        ("refused", search.candidates - search.feasible, ("refused",),
         f"The planner refused {search.candidates - search.feasible} paths."),
    )  # fmt: skip
    for name, count, keywords, sentence in rows:
        yield Fact(
            f"search.{name}", "the search", f"{name} paths", float(count), "", 0, None,
            "exhaustive search", ("plan", "segmentation"), Grade.MEASURED, keywords, sentence,
        )  # fmt: skip


def _simulated(case: Case) -> Iterator[Fact]:
    states = case.simulation.states
    if not states:
        return
    duration = states[-1].time_s
    yield Fact(
        "simulation.duration", "the simulation", "duration", duration, "s", 0, None,
        "assumed opening time and speed; rigid tissue", ("plan",), Grade.SIMULATED, ("simulated",
        "simulation"), f"The simulated operation takes {duration:.0f} s.",
    )  # fmt: skip


def _unknowns(case: Case) -> Iterator[Fact]:
    words = {
        "blood vessels": ("vessels",),
        "structures not found": ("found no", "not found"),
        "unsure outlines": ("outline", "outlines"),
        "brain shift": ("shift", "shifts"),
    }
    for item in case.operation.unknowns:
        fact_id = f"unknown.{item.subject.replace(' ', '_')}"
        yield Fact(
            fact_id, item.subject, "what cannot be known", "unknown", "", 0, None,
            "not visible in this study", ("volume",), Grade.UNKNOWN, words[item.subject], item.sentence,
        )  # fmt: skip
