"""The proof that an officer reads: what was done to which attribute, what stays and why; never a value."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import keyword_for_tag

from anonymize.profile import Profile, row_of, table
from medviz.core.records import read_record, write_record, write_text_atomically
from medviz.core.study import FileProblem

REPORT_NAME = "deidentification.json"
PAGE_NAME = "report.html"


@dataclass(frozen=True, slots=True)
class AttributeAction:
    """How often one thing was done to one attribute.

    Parameters
    ----------
    tag, keyword : str
        Such as ``(0010,0010)`` and ``PatientName``; private attributes are counted together.
    action : str
        What was done, in a word or two.
    count : int
        How often, over all files and depths.
    why : str
        The row of PS3.15 Table E.1-1, or why there is none.
    """

    tag: str
    keyword: str
    action: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class FileProof:
    """One file: hashes of what came in (keyed, so that it cannot be matched elsewhere) and what went out.

    Parameters
    ----------
    name : str
        Name of the de-identified file.
    input_hmac, output_sha256 : str
        64 hexadecimal digits each.
    frames_read, boxes_filled : int
        Frames searched for burned-in text, and text boxes painted over; 0 when the pixels were left alone.
    """

    name: str
    input_hmac: str
    output_sha256: str
    frames_read: int = 0
    boxes_filled: int = 0


@dataclass(frozen=True, slots=True)
class DeidentificationReport:
    """What was done to a study, without a single value of it."""

    profile: str
    title: str
    edition: str
    codes: tuple[tuple[str, str], ...]
    actions: tuple[AttributeAction, ...]
    files: tuple[FileProof, ...]
    problems: tuple[FileProblem, ...]
    notes: tuple[str, ...]


def build_report(
    profile: Profile,
    actions: Counter[tuple[int, str]],
    files: Sequence[FileProof],
    problems: Sequence[FileProblem],
) -> DeidentificationReport:
    """Return the report of one study."""
    return DeidentificationReport(
        profile=profile.name,
        title=profile.title,
        edition=f"DICOM PS3.15 {table()['edition']}",
        codes=profile.codes,
        actions=_merged_actions(actions),
        files=tuple(files),
        problems=tuple(problems),
        notes=_notes(profile),
    )


def _merged_actions(actions: Counter[tuple[int, str]]) -> tuple[AttributeAction, ...]:
    merged: Counter[tuple[str, str, str, str]] = Counter()
    for (tag, action), count in actions.items():
        merged[(*_names(tag), action, _why(tag))] += count
    return tuple(
        AttributeAction(tag, keyword, action, count, why)
        for (tag, keyword, action, why), count in sorted(merged.items())
    )


def _names(tag: int) -> tuple[str, str]:
    group = tag >> 16
    if group & 1:
        return "(odd,xxxx)", "Private attributes"
    if 0x5000 <= group <= 0x50FF:
        return "(50xx,xxxx)", "Curves"
    if 0x6000 <= group <= 0x60FF:
        return "(60xx,xxxx)", "Overlays"
    if tag & 0xFFFF == 0:
        return "(gggg,0000)", "Group lengths"
    return f"({group:04X},{tag & 0xFFFF:04X})", keyword_for_tag(tag) or "Unknown"


def _why(tag: int) -> str:
    row = row_of(tag)
    return f"Table E.1-1, Basic {row.basic}" if row else "no row of Table E.1-1: judged by its type"


def _notes(profile: Profile) -> tuple[str, ...]:
    dates = (
        "Dates are moved by one secret number of days per patient; intervals stay. Not Safe Harbor."
        if profile.moves_dates
        else "Dates and times are removed."
    )
    return (
        dates,
        "UIDs and pseudonyms are made with a key that never leaves this machine; same study, same UIDs.",
        "Pixels of cross-sectional images are unchanged: a face can still be rendered from these files "
        "(0028,0302 = YES). The face is removed from the volume before anything is drawn.",
    )


def save_report(folder: Path, report: DeidentificationReport) -> None:
    """Write the report as JSON and as a page."""
    write_record(folder / REPORT_NAME, report)
    write_text_atomically(folder / PAGE_NAME, report_page(report))


def read_report(folder: Path) -> DeidentificationReport:
    """Return the report that `save_report` wrote."""
    return read_record(folder / REPORT_NAME, DeidentificationReport)


def report_page(report: DeidentificationReport) -> str:
    """Return the report as one HTML page that loads nothing."""
    counts = Counter(action.action for action in report.actions for _ in range(action.count))
    sections = (
        f"<h1>De-identification report</h1><p>{_text(report.title)}</p>",
        _table("At a glance", ("what", "how many"), _glance(report, counts)),
        _table("Codes set (CID 7050)", ("code", "meaning"), report.codes),
        "<h2>What to know</h2><ul>" + "".join(f"<li>{_text(note)}</li>" for note in report.notes) + "</ul>",
        _table("Files held back", ("file", "reason"), [(p.ordinal, p.reason) for p in report.problems]),
        _table(
            "Attributes",
            ("tag", "attribute", "action", "count", "why"),
            [(a.tag, a.keyword, a.action, a.count, a.why) for a in report.actions],
        ),
        _table(
            "Files",
            ("file", "input (HMAC)", "output (SHA-256)", "frames read", "boxes filled"),
            [(f.name, f.input_hmac, f.output_sha256, f.frames_read, f.boxes_filled) for f in report.files],
        ),
    )
    return _PAGE.replace("BODY", "\n".join(sections))


def _glance(report: DeidentificationReport, counts: Counter[str]) -> list[tuple[str, int]]:
    boxes = sum(file.boxes_filled for file in report.files)
    rows = [("files written", len(report.files)), ("files held back", len(report.problems))]
    return [
        *rows,
        ("text boxes filled", boxes),
        *((f"values {word}", n) for word, n in sorted(counts.items())),
    ]


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return f"<h2>{_text(title)}</h2><p>none</p>"
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{_text(title)}</h2><table><tr>{head}</tr>{body}</table>"


def _text(value: object) -> str:
    return html.escape(str(value))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>De-identification report</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .2rem .6rem; }
tr:nth-child(even) { background: #f3f3f3; } td { overflow-wrap: anywhere; }
</style></head><body>
BODY
</body></html>
"""
