"""The needle operation over time: the skull opens, the needle advances, structures at risk are watched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medviz.core.plan import OperationState, PlannedOperation, Simulation
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import Segmentation
from pipelines.planning.path import Ruler, make_ruler
from pipelines.planning.request import request_of

OPENING_S = 20.0
"""Length of the opening in the simulation; assumed, it changes no measurement."""
_DEPTH_STEP_MM = 1.0
_OPENING_STEPS = 5


def simulate_needle(
    operation: PlannedOperation, segmentation: Segmentation, *, progress: Progress = silent
) -> Simulation:
    """Return the states of the operation: first the opening, then the needle, every millimetre of depth.

    `nearest_mm` is the least distance (mm) from the part of the needle that is in the head to a structure at
    risk, less the needle's radius; `nearest_structure` names it (empty when none is known). Rigid tissue,
    straight needle.
    """
    names = [clearance.structure for clearance in operation.trajectory.clearances]
    ruler = make_ruler(segmentation, names)
    length = operation.trajectory.length_mm
    depths = np.append(np.arange(0.0, length, _DEPTH_STEP_MM), length)
    speed = request_of(operation.document).advance_mm_per_s
    states = _opening_states(operation, ruler, names)
    for depth in depths[1:]:
        progress(float(depth / length), f"depth {depth:.0f} of {length:.0f} mm")
        nearest, distance = _nearest(operation, ruler, names, float(depth))
        states.append(OperationState(OPENING_S + float(depth) / speed, float(depth), 1.0, nearest, distance))
    return Simulation(tuple(states))


def _opening_states(operation: PlannedOperation, ruler: Ruler, names: Sequence[str]) -> list[OperationState]:
    nearest, distance = _nearest(operation, ruler, names, 0.0)
    shares = np.linspace(0.0, 1.0, _OPENING_STEPS)
    return [
        OperationState(float(share) * OPENING_S, 0.0, float(share), nearest, distance) for share in shares
    ]


def _nearest(
    operation: PlannedOperation, ruler: Ruler, names: Sequence[str], depth_mm: float
) -> tuple[str, float]:
    entry = np.asarray(operation.trajectory.entry_mm)
    way = (np.asarray(operation.trajectory.target_mm) - entry) / operation.trajectory.length_mm
    tip = entry + way * max(depth_mm, 1e-3)
    best, least = "", float("inf")
    for name in names:
        clearance = ruler.clearance(name, entry, tip, radius_mm=operation.needle_radius_mm)
        if clearance.distance_mm < least:
            best, least = name, clearance.distance_mm
    return best, least if best else 0.0
