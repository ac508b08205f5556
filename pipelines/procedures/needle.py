"""A needle or catheter to a deep target in the head: its plan, its measurements, its film."""

from __future__ import annotations

from medviz.core.facts import FactLedger
from medviz.core.plan import PlanDocument, PlannedOperation, Simulation
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import Segmentation
from medviz.core.storyboard import Storyboard
from medviz.core.surface import Surface
from medviz.core.volume import Volume
from pipelines.planning.needle_facts import needle_facts
from pipelines.planning.needle_plan import plan_needle
from pipelines.planning.needle_schema import NEEDLE_SCHEMA
from pipelines.planning.needle_steps import simulate_needle
from pipelines.planning.needle_story import needle_storyboard

NAME = "needle"
TITLE = "Stereotactic needle to a deep target"
SCHEMA = NEEDLE_SCHEMA
BODY_PART = "HEAD"
"""What the series should show, as DICOM's Body Part Examined writes it."""


def plan(
    document: PlanDocument,
    volume: Volume,
    segmentation: Segmentation,
    *,
    seed: int,
    progress: Progress = silent,
) -> PlannedOperation:
    """Return the needle operation that the document asks for (`plan_needle`)."""
    return plan_needle(document, volume, segmentation, seed=seed, progress=progress)


def simulate(
    operation: PlannedOperation, segmentation: Segmentation, *, progress: Progress = silent
) -> Simulation:
    """Return the operation over time (`simulate_needle`)."""
    return simulate_needle(operation, segmentation, progress=progress)


def facts(
    volume: Volume,
    segmentation: Segmentation,
    surfaces: tuple[Surface, ...],
    operation: PlannedOperation,
    simulation: Simulation,
) -> FactLedger:
    """Return every number of the case (`needle_facts`)."""
    return needle_facts(volume, segmentation, surfaces, operation, simulation)


def storyboard(
    operation: PlannedOperation,
    ledger: FactLedger,
    surfaces: tuple[Surface, ...],
    segmentation: Segmentation,
) -> Storyboard:
    """Return the shots of the film (`needle_storyboard`)."""
    return needle_storyboard(operation, ledger, surfaces, segmentation)
