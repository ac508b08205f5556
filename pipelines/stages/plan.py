"""A plan document and a segmented study become a planned operation."""

from __future__ import annotations

from typing import Protocol, cast

from medviz import plugins
from medviz.core.facts import FactLedger
from medviz.core.plan import PlanDocument, PlannedOperation, Simulation
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import Segmentation
from medviz.core.storyboard import Storyboard
from medviz.core.surface import Surface
from medviz.core.volume import Volume
from pipelines.planning.schema import Schema
from pipelines.planreport import plan_report_html as plan_report_html


class Procedure(Protocol):
    """What a module in `pipelines/procedures` offers."""

    NAME: str
    TITLE: str
    SCHEMA: Schema
    BODY_PART: str

    def plan(
        self,
        document: PlanDocument,
        volume: Volume,
        segmentation: Segmentation,
        *,
        seed: int,
        progress: Progress,
    ) -> PlannedOperation:
        """Return the operation that the document asks for."""
        ...

    def simulate(
        self, operation: PlannedOperation, segmentation: Segmentation, *, progress: Progress
    ) -> Simulation:
        """Return the operation over time."""
        ...

    def facts(
        self,
        volume: Volume,
        segmentation: Segmentation,
        surfaces: tuple[Surface, ...],
        operation: PlannedOperation,
        simulation: Simulation,
    ) -> FactLedger:
        """Return every number of the case."""
        ...

    def storyboard(
        self,
        operation: PlannedOperation,
        ledger: FactLedger,
        surfaces: tuple[Surface, ...],
        segmentation: Segmentation,
    ) -> Storyboard:
        """Return the shots of the film."""
        ...


def procedure_named(name: str) -> Procedure:
    """Return the procedure of that name (a checked plan document holds no other)."""
    return cast("Procedure", plugins.load("procedures", name))


def plan_operation(
    document: PlanDocument,
    volume: Volume,
    segmentation: Segmentation,
    *,
    seed: int,
    progress: Progress = silent,
) -> PlannedOperation:
    """Return the operation that a plan document asks for, in the patient's coordinates.

    Raises
    ------
    PlanInvalid
        If a point of the plan lies where it cannot; `line` names where.
    Uncertain
        If the target is missing or unsure, or no trajectory keeps every limit (``NO_SAFE_TRAJECTORY``).
    FrameMismatch
        If volume and segmentation do not share one grid.
    """
    procedure = procedure_named(document.procedure)
    return procedure.plan(document, volume, segmentation, seed=seed, progress=progress)
