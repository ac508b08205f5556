"""What all shots are painted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medviz.core.facts import FactLedger
from medviz.core.plan import PlannedOperation, Simulation
from medviz.core.segmentation import Segmentation
from medviz.core.speech import Narration, Speech
from medviz.core.surface import Surface
from medviz.core.volume import Volume
from pipelines.film.furniture import Layout
from pipelines.film.scene import Shape


@dataclass(frozen=True, slots=True, eq=False)
class Props:
    """The case as the film needs it: what was measured and planned, and the surfaces ready to be drawn."""

    case_id: str
    title: str
    layout: Layout
    surfaces: Mapping[str, Surface]
    shapes: Mapping[str, Shape]
    volume: Volume
    segmentation: Segmentation
    operation: PlannedOperation
    simulation: Simulation
    ledger: FactLedger
    narration: Narration
    speech: Speech
    captions_burnt_in: bool
