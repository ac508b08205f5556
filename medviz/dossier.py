"""Gathers what a clinician reviews into one folder: the draft."""

from __future__ import annotations

import shutil
from pathlib import Path

from medviz import RECOGNISABLE, notice
from medviz.casefolder import CaseFolder
from medviz.core.facts import FactLedger
from medviz.core.plan import PlannedOperation
from medviz.core.records import read_record, write_text_atomically
from medviz.core.speech import Narration

_COPIES = (
    ("film", "film.mp4", "film.mp4"),
    ("film", "captions.vtt", "captions.vtt"),
    ("film", "chapters.vtt", "chapters.vtt"),
    ("film", "transcript.md", "transcript.md"),
    ("film", "poster.png", "poster.png"),
    ("film", "film.json", "film.json"),
    ("measure", "ledger.json", "ledger.json"),
    ("storyboard", "storyboard.json", "storyboard.json"),
    ("narrate", "narration.json", "narration.json"),
    ("plan", "plan.json", "plan.json"),
    ("segment", "labels.nii", "segmentation/labels.nii"),
    ("segment", "segmentation.json", "segmentation/segmentation.json"),
    ("mesh", "exports", "surfaces"),
    ("volume", "volume.json", "geometry.json"),
    ("deidentify", "deidentification.json", "deidentification.json"),
    ("deidentify", "report.html", "deidentification.html"),
)


def assemble(case: CaseFolder, folder: Path) -> None:
    """Copy everything a reviewer sees into `folder` and write the plan report beside it."""
    for step, name, target in _COPIES:
        _copy(case.output(step) / name, folder / target)
    write_text_atomically(folder / "plan-report.html", _plan_report(case))
    write_text_atomically(folder / "READ-ME-FIRST.txt", _cover(case))


def findings_of(case: CaseFolder) -> tuple[str, ...]:
    """Return what the reviewer must look at first, gravest first, without any patient data."""
    from pipelines.nifti import read_segmentation

    segmentation = read_segmentation(case.output("segment"))
    unreliable = [item.name for item in segmentation.structures if not item.is_reliable]
    sentences = [finding.sentence for finding in segmentation.findings]
    lines = [f"Not reliably seen: {', '.join(unreliable)}."] if unreliable else []
    face = [f"{RECOGNISABLE} Release it only to those who may know who this is."] if _shows_face(case) else []
    return tuple(
        face + lines + sentences + _geometry_lines(case) + _held_lines(case) + _narration_lines(case)
    )


def _shows_face(case: CaseFolder) -> bool:
    from pipelines.nifti import read_volume

    return read_volume(case.output("volume")).shows_face


def _geometry_lines(case: CaseFolder) -> list[str]:
    from pipelines.nifti import read_volume

    report = read_volume(case.output("volume")).report
    first = [] if report.outcome == "correct" else [f"Geometry: {report.outcome}. {report.explanation}"]
    return first + list(report.warnings)


def _held_lines(case: CaseFolder) -> list[str]:
    from anonymize.deid import read_deidentified

    study = read_deidentified(case.output("deidentify"))
    reasons = sorted({problem.reason for problem in study.problems})
    return [f"{len(study.problems)} files were held back: {', '.join(reasons)}."] if reasons else []


def _narration_lines(case: CaseFolder) -> list[str]:
    narration = read_record(case.output("narrate") / "narration.json", Narration)
    templates = sum(sentence.source == "template" for sentence in narration.sentences)
    return [f"{templates} sentences come from templates."] if templates else []


def _plan_report(case: CaseFolder) -> str:
    from anonymize.deid import read_notes
    from pipelines.nifti import read_segmentation, read_volume
    from pipelines.stages.plan import plan_report_html

    return plan_report_html(
        read_record(case.output("plan") / "plan.json", PlannedOperation),
        read_record(case.output("measure") / "ledger.json", FactLedger),
        read_volume(case.output("volume")),
        read_segmentation(case.output("segment")),
        case_id=case.case_id,
        notes=read_notes(case.output("deidentify")),
    )


def _cover(case: CaseFolder) -> str:
    words = notice(shows_face=_shows_face(case))
    lines = [f"Case {case.case_id}", words, "", "Look at first:"]
    return "\n".join([*lines, *(f"- {line}" for line in findings_of(case))]) + "\n"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
