"""The fact ledger of a case, by the procedure that planned it."""

from __future__ import annotations

from medviz.core.facts import FactLedger
from medviz.core.plan import PlannedOperation, Simulation
from medviz.core.segmentation import Segmentation
from medviz.core.surface import Surface
from medviz.core.volume import Volume
from pipelines.stages.plan import procedure_named


def measure(
    volume: Volume,
    segmentation: Segmentation,
    surfaces: tuple[Surface, ...],
    operation: PlannedOperation,
    simulation: Simulation,
) -> FactLedger:
    """Return every number of the case with unit, interval, method, evidence and grade."""
    procedure = procedure_named(operation.document.procedure)
    return procedure.facts(volume, segmentation, surfaces, operation, simulation)
