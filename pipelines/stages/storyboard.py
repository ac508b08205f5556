"""The storyboard of a case, by the procedure that planned it."""

from __future__ import annotations

from medviz.core.facts import FactLedger
from medviz.core.plan import PlannedOperation
from medviz.core.segmentation import Segmentation
from medviz.core.storyboard import Storyboard
from medviz.core.surface import Surface
from pipelines.stages.plan import procedure_named


def storyboard(
    operation: PlannedOperation,
    ledger: FactLedger,
    surfaces: tuple[Surface, ...],
    segmentation: Segmentation,
) -> Storyboard:
    """Return the shots of the film: cameras in LPS mm, what is shown, which facts are told."""
    procedure = procedure_named(operation.document.procedure)
    return procedure.storyboard(operation, ledger, surfaces, segmentation)
