"""A ledger and a storyboard like those of a ventricular catheter case, for tests and benchmarks of speech."""

# ruff: noqa: E501 - a table reads as rows
from __future__ import annotations

from medviz.core.facts import Fact, FactLedger, Grade
from medviz.core.storyboard import Shot, Storyboard


def make_fact(
    fact_id: str,
    sentence: str,
    value: float | str,
    *,
    unit: str = "",
    decimals: int = 1,
    keywords: tuple[str, ...],
    subject: str = "the catheter",
    quantity: str = "length",
    grade: Grade = Grade.MEASURED,
) -> Fact:
    """Return a fact with a plain method and evidence."""
    return Fact(
        fact_id,
        subject,
        quantity,
        value,
        unit,
        decimals,
        None,
        "measured",
        ("plan",),
        grade,
        keywords,
        sentence,
    )


def make_ledger() -> FactLedger:
    """Return fourteen facts: volumes, length, angles, clearances, side, crossings, counts, unknowns."""
    return FactLedger(
        (
            make_fact("volume.ventricles", "The ventricles hold 38.4 ml.", 38.4, unit="ml",
                      keywords=("ventricles",), subject="the ventricles", quantity="volume"),
            make_fact("volume.brain", "The volume of the brain is 1312 ml.", 1312.0, unit="ml", decimals=0,
                      keywords=("brain",), subject="the brain", quantity="volume"),
            make_fact("entry.side", "The entry point lies on the right side.", "right", keywords=("entry",),
                      subject="the entry point", quantity="side"),
            make_fact("search.candidates", "The search compared 4212 candidate entry points.", 4212.0, decimals=0,
                      keywords=("candidate", "search"), subject="the search", quantity="candidates"),
            make_fact("search.feasible", "Of these candidates, 317 keep every distance of the plan.", 317.0,
                      decimals=0, keywords=("candidates",), subject="the search", quantity="feasible candidates"),
            make_fact("trajectory.length", "The catheter runs 62.4 mm from the skin to its tip.", 62.4, unit="mm",
                      keywords=("catheter",), quantity="length from skin to tip"),
            make_fact("trajectory.angle_skull", "The catheter meets the skull at an angle of 84 degrees.", 84.0,
                      unit="deg", decimals=0, keywords=("skull",), quantity="angle to the skull"),
            make_fact("trajectory.angle_skin", "The catheter meets the skin at an angle of 79 degrees.", 79.0,
                      unit="deg", decimals=0, keywords=("skin",), quantity="angle to the skin"),
            make_fact("trajectory.crossed", "The catheter crosses skin, skull and cerebrum.",
                      "skin, skull and cerebrum", keywords=("crosses",), quantity="structures crossed"),
            make_fact("clearance.brainstem",
                      "The least distance between the catheter and the brainstem is 31.7 mm.", 31.7, unit="mm",
                      keywords=("brainstem",), quantity="least distance to the brainstem"),
            make_fact("clearance.deep_grey",
                      "The least distance between the catheter and the deep grey nuclei is 6.2 mm.", 6.2,
                      unit="mm", keywords=("deep grey",), quantity="least distance to the deep grey nuclei"),
            make_fact("target.depth", "The tip lies 9.5 mm inside the ventricles.", 9.5, unit="mm",
                      keywords=("tip",), subject="the tip", quantity="depth inside the ventricles"),
            make_fact("unknown.vessels", "Blood vessels cannot be seen in this scan without contrast.", "",
                      keywords=("vessels",), subject="blood vessels", quantity="position",
                      grade=Grade.UNKNOWN),
            make_fact("unsure.cerebellum", "The outline of the cerebellum is uncertain.", "uncertain",
                      keywords=("cerebellum",), subject="the cerebellum", quantity="outline",
                      grade=Grade.UNKNOWN),
        )
    )  # fmt: skip


def make_shot(shot_id: str, *fact_ids: str) -> Shot:
    """Return a card shot that tells these facts."""
    return Shot(shot_id, shot_id.title(), "card", None, None, (), fact_ids)


def make_storyboard() -> Storyboard:
    """Return five shots that tell every fact of `make_ledger` once."""
    return Storyboard(
        "Ventricular catheter",
        (
            make_shot("anatomy", "volume.brain", "volume.ventricles", "unsure.cerebellum"),
            make_shot("search", "search.candidates", "search.feasible", "entry.side"),
            make_shot("approach", "trajectory.length", "trajectory.angle_skull", "trajectory.angle_skin"),
            make_shot("advance", "trajectory.crossed", "clearance.brainstem", "clearance.deep_grey"),
            make_shot("arrival", "target.depth", "unknown.vessels"),
        ),
    )
