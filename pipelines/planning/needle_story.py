"""The film of a needle operation, shot by shot, from the overview to what the study cannot show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medviz.core.facts import FactLedger
from medviz.core.plan import PlannedOperation
from medviz.core.segmentation import Segmentation
from medviz.core.space import FloatArray
from medviz.core.storyboard import Shot, Shown, Storyboard
from medviz.core.surface import Surface
from pipelines.planning.cameras import Stage, ball, points_of
from pipelines.planning.headframe import head_frame
from pipelines.planning.request import request_of

MOST_SENTENCES = 18
_SPARE = (
    "study.slices",
    "search.feasible",
    "volume.brain",
    "entry.bone",
    "path.in_brain",
    "target.confidence",
    "search.candidates",
    "entry.side",
)
"""Left out first, in this order, when the unknowns make the film too long."""
_BRAIN_PARTS = ("cerebrum", "cerebellum", "brainstem")
_ENTRY_BALL_MM = 38.0
_PATH_BALL_MM = 16.0
_FRONT_LIMIT_DEG = 50.0
"""No camera stands nearer to the front than this azimuth: the film shows no face."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What the shots are made of."""

    operation: PlannedOperation
    ledger: FactLedger
    surfaces: tuple[Surface, ...]
    segmentation: Segmentation
    stage: Stage

    @property
    def entry(self) -> FloatArray:
        return np.asarray(self.operation.trajectory.entry_mm)

    @property
    def target(self) -> FloatArray:
        return np.asarray(self.operation.trajectory.target_mm)

    @property
    def outward(self) -> FloatArray:
        way: FloatArray = (self.entry - self.target) / self.operation.trajectory.length_mm
        return way

    @property
    def risks(self) -> tuple[str, ...]:
        return tuple(item.structure for item in self.operation.trajectory.clearances)

    def has(self, name: str) -> bool:
        drawn = [surface.name for surface in self.surfaces] or list(self.segmentation.names())
        return name in drawn

    def show(
        self, rows: Iterable[tuple[str, float, float]], *, glow: bool = False, cut: bool = False
    ) -> tuple[Shown, ...]:
        """Return what is drawn: structures with their opacity at both ends; those at risk may glow."""
        return tuple(
            Shown(
                name,
                start,
                end,
                glows_near_needle=glow and name in self.risks,
                cut_by_opening=cut and name == "skull",
                is_labelled=name != "skull" and end >= 0.2,
            )
            for name, start, end in rows
            if self.has(name)
        )

    def told(self, *ids: str) -> tuple[str, ...]:
        known = {fact.id for fact in self.ledger}
        return tuple(fact_id for fact_id in ids if fact_id in known)

    def around(self, names: Sequence[str]) -> FloatArray:
        """Return points of the named structures and of the whole needle path, LPS mm."""
        parts = [points_of(name, self.surfaces, self.segmentation) for name in names if self.has(name)]
        return np.concatenate([*parts, self.entry[None], self.target[None]])


def needle_storyboard(
    operation: PlannedOperation,
    ledger: FactLedger,
    surfaces: tuple[Surface, ...],
    segmentation: Segmentation,
) -> Storyboard:
    """Return the shots of the film, cameras in LPS mm.

    Every fact is told at most once, every unknown is told. The camera stands on the entry's side with
    superior up, at least 50 degrees away from the front, and sees the whole of what its shot is about.
    """
    stage = Stage(head_frame(segmentation), 1.0 if operation.side == "left" else -1.0)
    scene = _Scene(operation, ledger, surfaces, segmentation, stage)
    makers = (_overview, _target, _slices, _entry, _approach, _corridor, _result, _limits)
    shots = [maker(scene) for maker in makers]
    return Storyboard(_title(scene), _within_budget([shot for shot in shots if shot.fact_ids]))


def _title(scene: _Scene) -> str:
    kind = request_of(scene.operation.document).kind
    return f"{kind.capitalize()}: {scene.ledger['target.place'].literal}"


def _brain_rows(start: float, end: float) -> list[tuple[str, float, float]]:
    return [(name, start, end) for name in _BRAIN_PARTS]


def _overview(scene: _Scene) -> Shot:
    points = scene.around(["skull", "cerebrum", "cerebellum"])
    start, end = (scene.stage.direction(*angles) for angles in ((130.0, 12.0), (92.0, 22.0)))
    shown = scene.show([("skull", 0.9, 0.25), *_brain_rows(0.9, 0.9), ("ventricles", 0.9, 0.9)])
    told = scene.told("study.displacement", "study.slices", "volume.brain")
    return Shot(
        "overview", "The patient's head", "scene", scene.stage.camera(start, points),
        scene.stage.camera(end, points), shown, told, least_s=6.0,
    )  # fmt: skip


def _target(scene: _Scene) -> Shot:
    points = scene.around(["cerebrum", "cerebellum"])
    start, end = (scene.stage.direction(*angles) for angles in ((92.0, 22.0), (62.0, 24.0)))
    name = scene.operation.target_structure
    rows = [*_brain_rows(0.9, 0.22), ("deep_grey", 0.0, 0.4), ("ventricles", 0.9, 0.95), ("skull", 0.25, 0.0)]
    shown = scene.show(_with_target(rows, name))
    told = scene.told("target.place", f"volume.{name}")
    return Shot(
        "target", "The target", "scene", scene.stage.camera(start, points),
        scene.stage.camera(end, points), shown, told, least_s=6.0,
    )  # fmt: skip


def _with_target(rows: list[tuple[str, float, float]], name: str) -> list[tuple[str, float, float]]:
    """Return the rows with the target's structure nearly opaque, unless it would hide the rest."""
    if name in _BRAIN_PARTS:
        return rows
    return [row for row in rows if row[0] != name] + [(name, 0.9, 0.95)]


def _slices(scene: _Scene) -> Shot:
    told = scene.told("target.confidence", "target.margin")[:1]
    at = scene.operation.trajectory.target_mm
    return Shot(
        "slices", "The target in the scan", "slices", None, None, (), told, slices_at_mm=at, least_s=5.0
    )


def _entry(scene: _Scene) -> Shot:
    near = ball(scene.entry, _ENTRY_BALL_MM)
    start = _turned_from_front(scene, _leant(scene, 0.75))
    end = _turned_from_front(scene, _leant(scene, 0.45))
    shown = scene.show([("skull", 1.0, 1.0), *_brain_rows(1.0, 1.0)], cut=True)
    told = scene.told("entry.side", "entry.midline", "entry.angle_skull")
    return Shot(
        "entry", "The entry", "scene", scene.stage.camera(start, near, look_at_mm=scene.entry),
        scene.stage.camera(end, near, look_at_mm=scene.entry), shown, told,
        opening_start=0.0, opening_end=1.0, least_s=6.0,
    )  # fmt: skip


def _approach(scene: _Scene) -> Shot:
    points = np.concatenate([ball(scene.entry, _PATH_BALL_MM), ball(scene.target, 2 * _PATH_BALL_MM)])
    start, end = (scene.stage.direction(*angles) for angles in ((100.0, 16.0), (72.0, 26.0)))
    rows = [
        ("skull", 0.35, 0.12),
        *_brain_rows(0.35, 0.18),
        ("deep_grey", 0.6, 0.6),
        ("ventricles", 0.8, 0.8),
    ]
    shown = scene.show(rows, glow=True, cut=True)
    told = scene.told("path.length", "path.in_brain", "path.crossed")
    return Shot(
        "approach", "The approach", "scene", scene.stage.camera(start, points),
        scene.stage.camera(end, points), shown, told, depth_start_mm=0.0,
        depth_end_mm=scene.operation.trajectory.length_mm, opening_start=1.0, opening_end=1.0, least_s=10.0,
    )  # fmt: skip


def _corridor(scene: _Scene) -> Shot:
    points = np.concatenate([ball(scene.entry, _PATH_BALL_MM), ball(scene.target, 2 * _PATH_BALL_MM)])
    start, end = (_turned_from_front(scene, _leant(scene, lean)) for lean in (0.5, 0.8))
    rows = [
        *_brain_rows(0.12, 0.12),
        ("deep_grey", 0.8, 0.8),
        ("ventricles", 0.6, 0.6),
        ("brainstem", 0.7, 0.7),
    ]
    shown = scene.show({row[0]: row for row in rows}.values(), glow=True)
    told = scene.told(*[fact.id for fact in scene.ledger if fact.id.startswith("clearance.")][:3])
    length = scene.operation.trajectory.length_mm
    return Shot(
        "corridor", "Distances to structures at risk", "scene", scene.stage.camera(start, points),
        scene.stage.camera(end, points), shown, told, depth_start_mm=length, depth_end_mm=length,
        opening_start=1.0, opening_end=1.0, least_s=6.0,
    )  # fmt: skip


def _result(scene: _Scene) -> Shot:
    points = scene.around(["skull", "cerebrum", "cerebellum"])
    start, end = (scene.stage.direction(*angles) for angles in ((80.0, 24.0), (112.0, 16.0)))
    rows = [("skull", 0.15, 0.25), *_brain_rows(0.25, 0.3), ("deep_grey", 0.5, 0.5), ("ventricles", 0.8, 0.8)]
    length = scene.operation.trajectory.length_mm
    told = scene.told("search.candidates", "search.feasible")
    return Shot(
        "result", "The planned path", "scene", scene.stage.camera(start, points),
        scene.stage.camera(end, points), scene.show(rows, cut=True), told,
        depth_start_mm=length, depth_end_mm=length, opening_start=1.0, opening_end=1.0, least_s=5.0,
    )  # fmt: skip


def _limits(scene: _Scene) -> Shot:
    told = tuple(fact.id for fact in scene.ledger if fact.id.startswith("unknown."))
    return Shot("limits", "What this study cannot show", "card", None, None, (), told, least_s=5.0)


def _leant(scene: _Scene, lean: float) -> FloatArray:
    """Return the needle's direction, leant by `lean` to the entry's side, so that it shows its length."""
    aside = scene.stage.direction(115.0, 0.0)
    mixed = scene.outward + lean * aside
    result: FloatArray = mixed / np.linalg.norm(mixed)
    return result


def _turned_from_front(scene: _Scene, direction: FloatArray) -> FloatArray:
    """Return the direction, turned about the head's up axis until it is 50 degrees or more from the front."""
    azimuth = scene.stage.azimuth_deg(direction)
    up_part = float(np.clip(scene.stage.frame.axes[2] @ direction, -1, 1))
    elevation = min(70.0, float(np.degrees(np.arcsin(up_part))))
    return scene.stage.direction(float(np.clip(azimuth, _FRONT_LIMIT_DEG, 150.0)), elevation)


def _within_budget(shots: list[Shot]) -> tuple[Shot, ...]:
    """Return the shots with spare facts left out until the film is short enough; unknowns always stay."""
    for spare in _SPARE:
        if sum(len(shot.fact_ids) for shot in shots) <= MOST_SENTENCES:
            break
        shots = [
            replace(shot, fact_ids=tuple(fact for fact in shot.fact_ids if fact != spare))
            if len(shot.fact_ids) > 1
            else shot
            for shot in shots
        ]
    return tuple(shots)
