"""A small story about the ellipsoid head: storyboard, narration, speech of tones, plan, simulation, facts."""

from __future__ import annotations

import math
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medviz.core.facts import Fact, FactLedger, Grade
from medviz.core.plan import (
    Clearance,
    OperationState,
    PlanDocument,
    PlannedOperation,
    Point,
    Simulation,
    Trajectory,
)
from medviz.core.segmentation import ModelRecord, Segmentation
from medviz.core.speech import Narration, Sentence, Speech, Utterance
from medviz.core.storyboard import Camera, Shot, Shown, Storyboard
from medviz.core.surface import Surface
from medviz.core.volume import Volume
from pipelines.stages.mesh import make_surfaces
from tests.make_head import CENTRE_MM, make_head

RATE_HZ = 24000
ENTRY_MM: Point = (CENTRE_MM[0] + 32.0, CENTRE_MM[1] - 58.0, CENTRE_MM[2] + 63.0)
TARGET_MM: Point = (CENTRE_MM[0] + 13.0, CENTRE_MM[1] - 4.0, CENTRE_MM[2] + 14.0)
STRUCTURES = ("skin", "skull", "cerebrum", "ventricles", "deep_grey", "cerebellum", "brainstem")


@dataclass(frozen=True, slots=True, eq=False)
class Story:
    """Everything that a film is made from."""

    storyboard: Storyboard
    narration: Narration
    speech: Speech
    surfaces: tuple[Surface, ...]
    volume: Volume
    segmentation: Segmentation
    operation: PlannedOperation
    simulation: Simulation
    ledger: FactLedger


def camera(from_mm: Point, *, angle_deg: float = 30.0) -> Camera:
    """Return a camera at the head's centre plus `from_mm`, looking at the head's centre."""
    x, y, z = CENTRE_MM
    position = (x + from_mm[0], y + from_mm[1], z + from_mm[2])
    return Camera(position, (x, y, z - 5.0), (0.0, 0.0, 1.0), angle_deg)


def make_story(*, spacing_mm: tuple[float, float, float] = (4.0, 3.0, 3.0), sentence_s: float = 0.3) -> Story:
    """Return a story of a title, an overview, planes, an opening, an approach and limits."""
    head = make_head(spacing_mm=spacing_mm, unreliable=("brainstem",))
    operation = make_operation()
    length_mm = operation.trajectory.length_mm
    ledger = FactLedger((
        _fact("skull.volume", "skull", "volume", 512.3, "ml"),
        _fact("trajectory.length", "the needle path", "length", length_mm, "mm"),
        _fact("clearance.deep_grey", "the needle", "distance to the deep grey nuclei", 4.2, "mm", (3.1, 5.3)),
        _fact("vessels", "vessels", "position", "", "", None, Grade.UNKNOWN),
    ))  # fmt: skip
    board = Storyboard("Ventricular catheter, left frontal", make_shots(length_mm))
    texts = (
        ("overview", "skull.volume", "The skull measures 512.3 ml."),
        ("planes", "trajectory.length", f"The path from the skin is {length_mm:.1f} mm long."),
        ("approach", "clearance.deep_grey", "The path passes the deep grey nuclei at 4.2 mm."),
        ("limits", "vessels", "Vessels cannot be seen in a study without contrast."),
    )  # fmt: skip
    sentences = tuple(Sentence(shot, (fact,), text, text, "template", 1) for shot, fact, text in texts)
    narration = Narration(sentences, ModelRecord("templates", "1"))
    utterances = tuple(Utterance(i, 0.02, sentence_s - 0.02) for i in range(len(sentences)))
    speech = Speech(RATE_HZ, utterances, ModelRecord("tones", "1"), is_stand_in=True)
    surfaces = make_surfaces(head.segmentation, names=STRUCTURES)
    return Story(
        board,
        narration,
        speech,
        surfaces,
        head.volume,
        head.segmentation,
        operation,
        make_simulation(length_mm),
        ledger,
    )


def make_shots(length_mm: float, *, least_s: float = 0.5) -> tuple[Shot, ...]:
    """Return an overview, three planes, an approach with opening, and a card."""
    context = (Shown("skin", 0.25, 0.10, cut_by_opening=True), Shown("skull", 1.0, 0.35, cut_by_opening=True))
    deep = (
        Shown("ventricles", 1.0, 1.0),
        Shown("deep_grey", 1.0, 1.0, glows_near_needle=True),
        Shown("brainstem", 1.0, 1.0, glows_near_needle=True),
        Shown("cerebellum", 1.0, 1.0),
    )
    inside = (Shown("skin", 0.12, 0.08, cut_by_opening=True, is_labelled=False),)
    inside += (Shown("skull", 0.35, 0.25, cut_by_opening=True), Shown("cerebrum", 0.3, 0.22), *deep)
    start, end = camera((-150.0, -560.0, 150.0)), camera((200.0, -430.0, 260.0))
    return (
        Shot("overview", "The head", "scene", start, end, (*context, *deep), ("skull.volume",),
             least_s=least_s),
        Shot("planes", "The target", "slices", None, None, tuple(Shown(n, 1, 1) for n in STRUCTURES[1:]),
             ("trajectory.length",), slices_at_mm=TARGET_MM, least_s=least_s),
        Shot("approach", "The approach", "scene", end, camera((330.0, -330.0, 190.0), angle_deg=26.0), inside,
             ("clearance.deep_grey",), -20.0, length_mm, 0.0, 1.0, least_s=least_s),
        Shot("limits", "What this study cannot show", "card", None, None, (), ("vessels",), least_s=least_s),
    )  # fmt: skip


def make_operation() -> PlannedOperation:
    """Return a straight way from the left frontal skin into the left ventricle."""
    length_mm = math.dist(ENTRY_MM, TARGET_MM)
    clearances = (Clearance("deep_grey", 4.2, 1.1, TARGET_MM, length_mm),)
    way = Trajectory(ENTRY_MM, TARGET_MM, length_mm, 80.0, 78.0, (), clearances, 1.0)
    document = PlanDocument("needle", "ab" * 32, {})
    return PlannedOperation(document, "ventricles", "left", 1.2, way, (), None, ())


def make_simulation(length_mm: float) -> Simulation:
    """Return states every 2 mm: the needle comes to 4.2 mm from the deep grey nuclei at the target."""
    depths = np.arange(-20.0, length_mm + 0.1, 2.0)
    return Simulation(
        tuple(
            OperationState(float(i), float(d), 1.0, "deep_grey", float(4.2 + (length_mm - d) * 0.8))
            for i, d in enumerate(depths)
        )
    )


def write_tones(folder: Path, count: int, *, sentence_s: float = 0.3) -> None:
    """Write one WAV of a tone per sentence, each of another pitch."""
    folder.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(sentence_s * RATE_HZ)) / RATE_HZ
    for index in range(count):
        samples = np.round(8000 * np.sin(2 * np.pi * (330 + 55 * index) * t)).astype("<i2")
        with wave.open(str(folder / f"{index:03d}.wav"), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(RATE_HZ)
            sound.writeframes(samples.tobytes())


def _fact(
    fact_id: str,
    subject: str,
    quantity: str,
    value: float | str,
    unit: str,
    interval: tuple[float, float] | None = None,
    grade: Grade = Grade.MEASURED,
) -> Fact:
    sentence = f"The {quantity} of {subject} is {value} {unit}."
    return Fact(
        fact_id, subject, quantity, value, unit, 1, interval, "test", ("volume",), grade, (subject,), sentence
    )
