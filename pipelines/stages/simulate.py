"""The operation over time, by the procedure that planned it."""

from __future__ import annotations

from medviz.core.plan import PlannedOperation, Simulation
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import Segmentation
from pipelines.stages.plan import procedure_named


def simulate(
    operation: PlannedOperation, segmentation: Segmentation, *, progress: Progress = silent
) -> Simulation:
    """Return the states of a planned operation over operation time (seconds), in order."""
    return procedure_named(operation.document.procedure).simulate(operation, segmentation, progress=progress)
