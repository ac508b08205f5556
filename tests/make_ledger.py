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


def make_needle_ledger() -> FactLedger:
    """Return the facts of a needle case in the words in which the procedure states them."""
    rows = (
        ("study.slices", "the study", "distance between slices", 1.5, "mm", 1, ("slices",), "The slices of this study lie 1.5 mm apart."),
        ("study.geometry", "the scan", "geometry", "correct", "", 0, ("geometry",), "The geometry of this scan was checked and is correct."),
        ("study.displacement", "the resampling", "largest displacement", 2.1, "mm", 1, ("moved",), "Resampling moved no point by more than 2.1 mm."),
        ("volume.ventricles", "ventricles", "volume", 38.4, "ml", 1, ("ventricular volume", "volume of the ventricles"), "The ventricular volume is 38.4 ml."),
        ("volume.brain", "brain", "volume", 1312.0, "ml", 0, ("brain volume", "volume of the brain"), "The brain volume is 1312 ml."),
        ("target.place", "the target", "place", "frontal horn of the right lateral ventricle", "", 0, ("target",), "The target is the frontal horn of the right lateral ventricle."),
        ("target.margin", "the tip", "distance to the wall", 4.2, "mm", 1, ("wall",), "The tip stops 4.2 mm from the wall of the ventricles."),
        ("target.confidence", "ventricles", "confidence", 87.0, "%", 0, ("confidence", "confident"), "The network's confidence in the ventricles is 87%."),
        ("entry.side", "the entry", "side", "right", "", 0, ("right side", "on the right"), "The needle enters on the patient's right side."),
        ("entry.midline", "the entry", "distance to the midline", 31.2, "mm", 1, ("midline",), "The entry lies 31.2 mm from the midline."),
        ("entry.angle_skull", "the needle", "angle to the skull", 84.0, "deg", 0, ("meets the skull", "angle to the skull"), "The needle meets the skull at 84 degrees."),
        ("entry.angle_skin", "the needle", "angle to the skin", 79.0, "deg", 0, ("meets the skin", "angle to the skin"), "The needle meets the skin at 79 degrees."),
        ("entry.bone", "the skull", "thickness along the needle", 7.1, "mm", 1, ("bone",), "The drill passes 7.1 mm of bone."),
        ("path.length", "the needle path", "length from skin to tip", 62.4, "mm", 1, ("whole path", "length", "long"), "The whole path is 62.4 mm long."),
        ("path.in_brain", "the needle path", "length in the brain", 48.9, "mm", 1, ("inside the brain", "within the brain"), "Inside the brain, the needle covers 48.9 mm."),
        ("path.crossed", "the needle", "structures crossed", "scalp, skull, fluid around the brain and cerebrum", "", 0, ("passes through", "crosses"), "The needle passes through scalp, skull, fluid around the brain and cerebrum."),
        ("needle.diameter", "the needle", "diameter", 2.5, "mm", 1, ("thick", "diameter"), "The needle is 2.5 mm thick."),
        ("clearance.deep_grey", "the needle", "least distance to the deep grey nuclei", 6.2, "mm", 1, ("from the deep grey nuclei", "to the deep grey nuclei"), "The needle stays 6.2 mm away from the deep grey nuclei."),
        ("clearance.brainstem", "the needle", "least distance to the brainstem", 31.7, "mm", 1, ("from the brainstem", "to the brainstem"), "The needle stays 31.7 mm away from the brainstem."),
        ("search.candidates", "the search", "candidates paths", 4212.0, "", 0, ("compared",), "The planner compared 4212 candidate paths."),
        ("search.feasible", "the search", "feasible paths", 317.0, "", 0, ("limit",), "Every limit was kept by 317 paths."),
        ("search.refused", "the search", "refused paths", 3895.0, "", 0, ("refused",), "The planner refused 3895 paths."),
        ("simulation.duration", "the simulation", "duration", 145.0, "s", 0, ("simulated", "simulation"), "The simulated operation takes 145 s."),
        ("unknown.blood_vessels", "blood vessels", "what cannot be known", "unknown", "", 0, ("vessels",), "No contrast medium is recorded, so the distance to blood vessels is unknown."),
        ("unknown.cerebellum", "cerebellum", "what cannot be known", "unknown", "", 0, ("outline of the cerebellum", "No cerebellum"), "The outline of the cerebellum is unsure, so its true edge is unknown."),
        ("unknown.brain_shift", "brain shift", "what cannot be known", "unknown", "", 0, ("shift", "shifts"), "How far the brain shifts once the skull is open is unknown."),
    )  # fmt: skip
    return FactLedger(
        tuple(
            Fact(
                fact_id, subject, quantity, value, unit, decimals, None, "measured", ("plan",),
                Grade.UNKNOWN if fact_id.startswith("unknown") else Grade.MEASURED, keywords, sentence,
            )
            for fact_id, subject, quantity, value, unit, decimals, keywords, sentence in rows
        )
    )  # fmt: skip
