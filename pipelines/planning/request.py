"""What a needle plan asks for, with every choice made: the typed form of a plan document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from medviz.core.plan import PlanDocument, Point
from medviz.core.space import FloatArray

_MIDLINE_MM = {"frontal": (20.0, 40.0)}
_MIDLINE_ELSEWHERE_MM = (10.0, 90.0)
_CLEARANCE_MM = 3.0
_BESIDE_HORN_MM = 1.0
"""The head of the caudate nucleus forms the wall of the frontal horn: a catheter there lies beside it."""
_AT_RISK = ("deep_grey", "brainstem", "cerebellum")
_KEEP_AWAY = {"ventricular catheter": _AT_RISK, "biopsy needle": (*_AT_RISK, "ventricles")}


@dataclass(frozen=True, slots=True)
class Limits:
    """What no trajectory may break; clearances in mm by structure."""

    most_length_mm: float
    least_angle_to_skull_deg: float
    least_clearance_mm: Mapping[str, float]
    midline_mm: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Request:
    """A needle plan, typed.

    `target_mm` and `entry_mm` are LPS points or None; `target_side` and `entry_side` are ``left``, ``right``
    or empty; `region` is a region of the vault.
    """

    structure: str
    part: str
    target_side: str
    entry_side: str
    target_mm: Point | None
    entry_mm: Point | None
    region: str
    kind: str
    accepts_unsure: bool
    radius_mm: float
    advance_mm_per_s: float
    limits: Limits
    candidates: int
    alternatives: int
    apart_mm: float
    seed: int | None


def request_of(document: PlanDocument) -> Request:
    """Return the typed form of a needle plan document."""
    tables = cast("Mapping[str, Mapping[str, object]]", document.values)
    target, entry, needle = tables["target"], tables["entry"], tables["needle"]
    search = tables["search"]
    structure, kind = str(target["structure"]), str(needle["kind"])
    region = str(entry.get("region", "frontal" if kind == "ventricular catheter" else "vault"))
    return Request(
        structure=structure,
        part=str(target.get("part", "frontal horn" if structure == "ventricles" else "deepest")),
        target_side=str(target.get("side", "")),
        entry_side=str(entry.get("side", "")),
        target_mm=_point(target.get("point_mm")),
        entry_mm=_point(entry.get("point_mm")),
        region=region,
        kind=kind,
        accepts_unsure=bool(target["accept_unsure"]),
        radius_mm=cast("float", needle["diameter_mm"]) / 2,
        advance_mm_per_s=cast("float", needle["advance_mm_per_s"]),
        limits=_limits(tables["limits"], entry, region, kind, structure),
        candidates=cast("int", search["candidates"]),
        alternatives=cast("int", search["alternatives"]),
        apart_mm=cast("float", search["apart_mm"]),
        seed=cast("int | None", search.get("seed")),
    )


def as_point(values: FloatArray) -> Point:
    """Return an array of three numbers as a point."""
    x, y, z = (float(value) for value in np.asarray(values).ravel())
    return x, y, z


def joined(words: list[str]) -> str:
    """Return words as a list in a sentence: ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _point(value: object) -> Point | None:
    return None if value is None else as_point(np.asarray(value, dtype=np.float64))


def _limits(
    limits: Mapping[str, object], entry: Mapping[str, object], region: str, kind: str, structure: str
) -> Limits:
    asked = cast("Mapping[str, float]", limits.get("least_clearance_mm", {}))
    if "default" not in asked and structure == "ventricles":
        asked = {"deep_grey": _BESIDE_HORN_MM, **asked}
    default = asked.get("default", _CLEARANCE_MM)
    named = [name for name in asked if name != "default"]
    keep_away = cast("list[str]", limits.get("keep_away", list(dict.fromkeys([*_KEEP_AWAY[kind], *named]))))
    midline = cast("list[float]", entry.get("midline_mm", _MIDLINE_MM.get(region, _MIDLINE_ELSEWHERE_MM)))
    return Limits(
        most_length_mm=cast("float", limits["most_length_mm"]),
        least_angle_to_skull_deg=cast("float", limits["least_angle_to_skull_deg"]),
        least_clearance_mm={name: asked.get(name, default) for name in keep_away if name != structure},
        midline_mm=(midline[0], midline[1]),
    )
