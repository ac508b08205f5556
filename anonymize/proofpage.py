"""The proof as a page: one file that loads nothing, read in a minute, everything else folded in below."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from anonymize.dates import DatePolicy
from anonymize.report import (
    DISCARDED,
    MOST_PICTURES,
    SET_ASIDE,
    ArchiveReport,
    AttributeAction,
    DeidentificationReport,
    FileProof,
    StudyLine,
)
from medviz.core.study import FileProblem

_MOST_ROWS = 500
_WIDEST_PICTURE_PX = 640


class Reason(NamedTuple):
    """What a reason code means, and what to do next."""

    meaning: str
    next: str


_ASK_AGAIN = "Ask the sender for it again."
_LOOK = "Look at it: medviz deid held, then medviz deid judge."
REASONS: Mapping[str, Reason] = {
    "NOT_DICOM": Reason("No DICOM in the file: a letter, a viewer.", "Nothing."),
    "DICOMDIR": Reason("The directory of a disc; its files were taken one by one.", "Nothing."),
    "ARCHIVE_INSIDE": Reason("A zip or other archive inside the source.", "Give that archive by itself."),
    "ARCHIVE_UNSAFE": Reason("It unpacks to more than the zip says.", "Unpack it yourself and look."),
    "UNREADABLE": Reason(
        "It could not be read, or its structure is nonsense.", "Check the rights; send it again."
    ),
    "CHANGED_WHILE_READ": Reason("It changed while the archive was read.", "Give the same command again."),
    "REFERENCED_FILE_MISSING": Reason("A DICOMDIR names files that are not there.", _ASK_AGAIN),
    "TRUNCATED": Reason("An element or the pixels end too early.", _ASK_AGAIN),
    "MISSING_UID": Reason("It lacks the UID of its study, series or instance.", _ASK_AGAIN),
    "WRONG_CHARACTER_SET": Reason("Its character set is none of the standard's.", _ASK_AGAIN),
    "PIXELS_UNREADABLE": Reason("Its pixels cannot be decoded here, or are not as it says.", _ASK_AGAIN),
    "NO_TEXT_FINDER": Reason("It may carry text, and the reader for text is not installed.", _LOOK),
    "TEXT_REMAINS": Reason("Text could still be read after it was painted over.", _LOOK),
    "VIDEO_TEXT": Reason("A film with text in it that cannot be painted over.", _LOOK),
    "DOCUMENT_UNREADABLE": Reason("The document in it cannot be opened or judged.", _ASK_AGAIN),
    "DOCUMENT_REFUSED": Reason("A kind of document that is not judged.", "Leave it out, or discard it."),
    "SOP_CLASS_MISSING": Reason("It does not say what kind of object it is.", _ASK_AGAIN),
    "PRIVATE_SOP_CLASS": Reason("An object that only its maker knows.", "Leave it out, or discard it."),
    "REFUSED_SOP_CLASS": Reason("A kind of object that is not judged.", "Leave it out, or discard it."),
    "HELD_FOR_REVIEW": Reason("Something in it cannot be judged by a program.", _LOOK),
    "FACE_NOT_REMOVED": Reason(
        "A face may be in view and cannot surely be taken off.",
        "Discard it, or keep the face for a listed reason: medviz deid judge --keep-face.",
    ),
    "IMAGES_MISSING": Reason(
        "It was made from images that are not here, so a face in it cannot be judged.",
        "Give it together with the images it was made from.",
    ),
    "TOO_LARGE": Reason("Its content is too large to be looked at here.", _LOOK),
    "READER_CRASHED": Reason(
        "The program that read it died; nothing of the study went out.", "Give the same command again."
    ),
    "UNFORESEEN": Reason(
        "Something unforeseen happened with it.", "Report this code; it holds no patient data."
    ),
    DISCARDED: Reason("A person looked at it and deleted it.", "Nothing."),
}
_OTHER_REASON = Reason("Something in it cannot be judged by a program.", _LOOK)

_GROUPS: Mapping[str, tuple[str, str]] = {
    "removed": ("Removed", "The attribute is gone."),
    "code removed": ("Local codes removed", "Items whose code only the hospital knows."),
    "emptied": ("Emptied", "The attribute stays, without a value."),
    "dummy": ("Replaced by a dummy", "The standard demands a value; it says nothing."),
    "pseudonym": ("Replaced by the pseudonym", "Name and identifier of the patient."),
    "new UID": ("New UIDs", "The same wherever the old one stood."),
    "moved": ("Dates moved", "By one secret number of days per patient."),
    "cleaned": ("Text cleaned", "Words that may identify were dropped; counted, never quoted."),
    "cleaned inside": ("Sequences judged inside", "Each element in them is counted by itself."),
    "kept": ("Kept", "Harmless by the table, the profile's options or the kind of value."),
}


_HIPAA: Mapping[str, str] = {
    DatePolicy.MOVED: "HIPAA: moved dates are outside Safe Harbor and need an expert's determination.",
    DatePolicy.KEPT: "HIPAA: kept dates are outside Safe Harbor; at most this is a limited data set.",
    DatePolicy.YEARS: "HIPAA: Safe Harbor also asks that nobody here knows the rest to identify a person.",
    DatePolicy.REMOVED: "HIPAA: Safe Harbor also asks that nobody here knows the rest to identify a person.",
}


def study_page(report: DeidentificationReport, folder: Path) -> str:
    """Return the page of one study; pictures are read from `folder` and put into it."""
    return _page(
        "De-identification of one study",
        [
            _study_verdict(report),
            _tiles(_study_figures(report)),
            _held(report.problems),
            _method(report),
            _faces(report, folder),
            _pictures(report, folder),
            _attributes(report.actions),
            _files(report),
            _limits(report.notes, report.dates),
        ],
    )


def archive_page(report: ArchiveReport) -> str:
    """Return the index page of an archive."""
    return _page(
        "De-identification of an archive",
        [
            _archive_verdict(report),
            _tiles(_archive_figures(report)),
            _reasons_section(report),
            _codes_section(report.profile, report.title, report.edition, report.codes),
            _studies_section(report.studies),
            _limits(report.notes, report.dates),
        ],
    )


# --- verdict and figures ---


def _study_verdict(report: DeidentificationReport) -> str:
    held = sum(problem.reason != DISCARDED and problem.reason not in SET_ASIDE for problem in report.problems)
    return _verdict(len(report.files), report.received, held, shows_face=report.shows_face, is_complete=True)


def _archive_verdict(report: ArchiveReport) -> str:
    return _verdict(
        report.written,
        report.received,
        sum(report.held().values()),
        shows_face=report.keeps_face,
        is_complete=report.is_complete,
    )


def _verdict(written: int, received: int, held: int, *, shows_face: bool, is_complete: bool) -> str:
    """Return the line on top: what one must know when one reads nothing else."""
    told = f"{_files_word(received)} came in, {written:,} went out under new names, {held:,} held."
    if not is_complete:
        return _banner("wait", "Not finished", f"{told} Give the same command again to go on.")
    if shows_face:
        return _banner("stop", "A face may be recognised", f"{told} Faces were kept; treat the files so.")
    if held:
        return _banner("wait", "Finished; some files wait for a person", told)
    return _banner("good", "Finished; nothing is held", told)


def _files_word(count: int) -> str:
    return _count(count, "file")


def _count(number: int, one: str, many: str = "") -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {many or one + 's'}"


def _banner(kind: str, title: str, told: str) -> str:
    return (
        f'<div class="verdict {kind}" role="status"><strong>{_text(title)}</strong><p>{_text(told)}</p></div>'
    )


def _study_figures(report: DeidentificationReport) -> list[tuple[str, int]]:
    counts = Counter[str]()
    for action in report.actions:
        counts[action.action] += action.count
    removed = sum(counts[word] for word in ("removed", "emptied", "dummy", "code removed"))
    aside = sum(problem.reason in SET_ASIDE for problem in report.problems)
    figures = [
        ("files in", report.received),
        ("files out", len(report.files)),
        ("held", len(report.problems) - aside),
        ("values taken out", removed),
        ("texts cleaned", counts["cleaned"]),
        ("dates moved", counts["moved"]),
        ("new UIDs", counts["new UID"]),
        ("frames read for text", sum(file.frames_read for file in report.files)),
        ("text boxes filled", sum(file.boxes_filled for file in report.files)),
        ("series without their face", sum(line.face == "face removed" for line in report.faces)),
    ]
    return [(name, number) for name, number in figures if number or name in ("files in", "files out", "held")]


def _archive_figures(report: ArchiveReport) -> list[tuple[str, int]]:
    return [
        ("studies", len(report.studies)),
        ("files in", report.received),
        ("files out", report.written),
        ("held", sum(report.held().values())),
        ("no part of a study", report.set_aside()),
    ]


def _tiles(figures: Sequence[tuple[str, int]]) -> str:
    cells = "".join(f"<div><dt>{_text(name)}</dt><dd>{number:,}</dd></div>" for name, number in figures)
    return f'<dl class="tiles">{cells}</dl>'


# --- how it was done ---


def _method(report: DeidentificationReport) -> str:
    marks = [(mark.tag, mark.keyword, mark.value, f"{mark.files:,}") for mark in report.marks]
    told = _table(("tag", "attribute", "value", "files"), marks, empty="Nothing: no file went out.")
    origin = report.origin
    with_ = f"<p>Contents were judged with: {_text(origin.made_with)}.</p>" if origin else ""
    return (
        _codes_section(report.profile, report.title, report.edition, report.codes)
        + f"<section><h2>What each file says about itself</h2>{told}{with_}</section>"
    )


def _codes_section(profile: str, title: str, edition: str, codes: Sequence[tuple[str, str]]) -> str:
    rows = _table(("code", "meaning"), [(f"DCM {code}", meaning) for code, meaning in codes])
    return (
        f"<section><h2>By which rules</h2><p>Profile <b>{_text(profile)}</b>: {_text(title)}. Table E.1-1 of "
        f"{_text(edition)}; codes of CID 7050:</p>{rows}</section>"
    )


def _faces(report: DeidentificationReport, folder: Path) -> str:
    if not report.faces:
        return ""
    touched = [line for line in report.faces if line.face != "no face in view"]
    others = [line for line in report.faces if line.face == "no face in view"]
    heads = ("series", "face", "what was done", "removed, ml", "skin moved, mm")
    rows = [
        (line.series_uid, line.face, line.told, f"{line.removed_ml:,.0f}", f"{line.moved_mm:.0f}")
        for line in touched
    ]
    faceless = _table(("series", "why"), [(line.series_uid, line.told) for line in others])
    folded = f"<details><summary><b>{len(others):,} series</b> show no face</summary>{faceless}</details>"
    shown = [(line.picture, f"Surface of {line.series_uid} as it went out") for line in report.faces]
    pictures = _gallery(shown, folder)
    table = _table(heads, rows, empty="No face was in view of any series.")
    return f"<section><h2>Faces</h2>{table}{pictures}{folded if others else ''}</section>"


def _pictures(report: DeidentificationReport, folder: Path) -> str:
    changed = [file for file in report.files if file.boxes_filled]
    shown = [(file.picture, _caption(file)) for file in report.files if file.picture]
    noted = sorted({(note, sum(note in other.notes for other in report.files))
                    for file in report.files for note in file.notes})  # fmt: skip
    if not (changed or shown or noted):
        return ""
    told = (
        f"<p>Text was painted over in {_files_word(len(changed))}; {len(shown[:MOST_PICTURES])} of them are "
        "shown after the change, what was filled is outlined.</p>"
        if changed
        else ""
    )
    notes = _table(("said about contents", "files"), [(note, f"{count:,}") for note, count in noted])
    return (
        f"<section><h2>Pictures and other contents</h2>{told}{_gallery(shown, folder)}"
        f"{notes if noted else ''}</section>"
    )


def _caption(file: FileProof) -> str:
    filled, read = _count(file.boxes_filled, "box", "boxes"), _count(file.frames_read, "frame")
    return f"{filled} filled, {read} read: {file.name}"


def _gallery(shown: Sequence[tuple[str, str]], folder: Path) -> str:
    figures = [
        f'<figure><img alt="{_text(told)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{_text(told)}</figcaption></figure>"
        for picture, told in shown[:MOST_PICTURES]
        if (data := _picture_data(folder, picture))
    ]
    return f'<div class="gallery">{"".join(figures)}</div>' if figures else ""


def _picture_data(folder: Path, picture: str) -> str:
    """Return a picture of the report's folder as Base64, made smaller for the page; empty when not there."""
    from PIL import Image

    path = folder / picture
    if not picture or not path.is_file():
        return ""
    with Image.open(path) as image:
        image.thumbnail((_WIDEST_PICTURE_PX, _WIDEST_PICTURE_PX))
        stream = io.BytesIO()
        image.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


# --- what was held ---


def _held(problems: Sequence[FileProblem]) -> str:
    if not problems:
        return "<section><h2>Held back</h2><p>Nothing: every file that came in went out.</p></section>"
    by_reason: dict[str, list[int]] = defaultdict(list)
    for problem in problems:
        by_reason[problem.reason].append(problem.ordinal)
    rows = [
        (code, f"{len(numbers):,}", _spans(numbers), *REASONS.get(code, _OTHER_REASON))
        for code, numbers in sorted(by_reason.items())
    ]
    heads = ("reason", "files", "numbers in the source", "meaning", "what to do next")
    return f"<section><h2>Held back</h2>{_table(heads, rows)}</section>"


def _spans(numbers: Iterable[int]) -> str:
    """Return numbers as short text, such as ``3-7, 12``."""
    spans: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1] = spans[-1][0], number
        else:
            spans.append((number, number))
    told = [str(start) if start == end else f"{start}\u2013{end}" for start, end in spans[:20]]
    return ", ".join(told) + (f" and {len(spans) - 20} more" if len(spans) > 20 else "")


def _reasons_section(report: ArchiveReport) -> str:
    counts = report.held() + Counter(dict(report.outside))
    counts |= Counter({reason: sum(dict(line.held).get(reason, 0) for line in report.studies)
                       for line in report.studies for reason, _ in line.held})  # fmt: skip
    rows = [(code, f"{count:,}", *REASONS.get(code, _OTHER_REASON)) for code, count in sorted(counts.items())]
    told = _table(("reason", "files", "meaning", "what to do next"), rows, empty="Nothing.")
    return f"<section><h2>Held back or set aside</h2>{told}</section>"


def _studies_section(studies: Sequence[StudyLine]) -> str:
    ordered = sorted(studies, key=lambda line: (-line.held_count, line.study_uid))
    rows = [
        f'<tr><td class="long">{_study_link(line)}</td>'
        f"{_cell(f'{line.received:,}')}{_cell(f'{line.written:,}')}"
        f"{_cell(f'{line.held_count:,}')}{_cell(_reasons_of(line))}</tr>"
        for line in ordered[:_MOST_ROWS]
    ]
    more = len(ordered) - _MOST_ROWS
    left = f"<p>{more:,} more studies, all in deidentification.json.</p>" if more > 0 else ""
    numbers = "".join(f'<th class="n">{name}</th>' for name in ("in", "out", "held"))
    head = f"<th>study</th>{numbers}<th>why</th>"
    return (
        f"<section><h2>Studies</h2><p>Those with held files first.</p>{_scroll(head, ''.join(rows))}{left}"
        "</section>"
    )


def _study_link(line: StudyLine) -> str:
    uid = _text(line.study_uid)
    failed = not line.written and any(reason in ("UNFORESEEN", "READER_CRASHED") for reason, _ in line.held)
    return uid if failed else f'<a href="{uid}/report.html">{uid}</a>'


def _reasons_of(line: StudyLine) -> str:
    return ", ".join(f"{reason} \u00d7 {count}" for reason, count in line.held)


# --- details ---


def _attributes(actions: Sequence[AttributeAction]) -> str:
    grouped: dict[str, list[AttributeAction]] = defaultdict(list)
    for action in actions:
        grouped[action.action].append(action)
    order = [*(word for word in _GROUPS if word in grouped), *sorted(set(grouped) - set(_GROUPS))]
    return (
        "<section><h2>What was done to each attribute</h2>"
        + "".join(_group(word, grouped[word]) for word in order)
        + "</section>"
    )


def _group(word: str, actions: Sequence[AttributeAction]) -> str:
    title, meaning = _GROUPS.get(word, (word.capitalize(), ""))
    total = sum(action.count for action in actions)
    ordered = sorted(actions, key=lambda action: (action.tag, action.keyword))
    rows = [(action.tag, action.keyword, f"{action.count:,}", action.why) for action in ordered]
    sums = f"{_count(len(actions), 'attribute')}, {_count(total, 'value')}"
    summary = f"<b>{_text(title)}</b> <span>{sums}. {_text(meaning)}</span>"
    table = _table(("tag", "attribute", "count", "why"), rows)
    return f"<details><summary>{summary}</summary>{table}</details>"


def _files(report: DeidentificationReport) -> str:
    rows = [
        (file.name, file.kind, file.face, f"{file.boxes_filled:,}",
         "a person" if file.judged_by_person else "", file.input_hmac, file.output_sha256)
        for file in report.files[:_MOST_ROWS]
    ]  # fmt: skip
    more = len(report.files) - _MOST_ROWS
    left = f"<p>{more:,} more files, all in deidentification.json.</p>" if more > 0 else ""
    heads = ("file", "object", "face", "boxes", "judged by", "input (HMAC)", "output (SHA-256)")
    return (
        f"<section><h2>Every file</h2><details><summary><b>{_files_word(len(report.files))}</b> with the "
        "keyed hash of what came in and the hash of what went out</summary>"
        f"{_table(heads, rows, empty='No file went out.')}{left}</details></section>"
    )


def _limits(notes: Sequence[str], dates: str) -> str:
    told = [
        *notes,
        "Text in pictures is found by a reader that can miss faint, tiny or handwritten letters.",
        "A rare disease, an implant or the shape of the anatomy itself can point to a person; no program "
        "takes that away.",
    ]
    law = [
        "European law (GDPR): while the key or an escrow exists, these files are pseudonymous and stay "
        "personal data.",
        _HIPAA.get(dates, _HIPAA[DatePolicy.REMOVED]),
        "This page is a record of what was done, not legal advice: have counsel check it.",
    ]
    return f"<section><h2>Limits</h2>{_list(told)}</section><section><h2>Law</h2>{_list(law)}</section>"


def _list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences) + "</ul>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = "None.") -> str:
    if not rows:
        return f"<p>{_text(empty)}</p>"
    numeric = [all(_is_number(row[place]) for row in rows) for place in range(len(heads))]
    head = "".join(
        f'<th class="n">{_text(name)}</th>' if right else f"<th>{_text(name)}</th>"
        for name, right in zip(heads, numeric, strict=True)
    )
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return _scroll(head, body)


def _is_number(value: object) -> bool:
    text = str(value)
    return len(text) < 16 and text.replace(",", "").replace(".", "").isdigit()


def _cell(value: object) -> str:
    text = str(value)
    longest = max((len(word) for word in text.split()), default=0)
    style = "n" if _is_number(value) else "long" if longest > 30 else "prose" if len(text) > 30 else ""
    return f'<td class="{style}">{_text(text)}</td>' if style else f"<td>{_text(text)}</td>"


def _scroll(head: str, body: str) -> str:
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _text(value: object) -> str:
    return html.escape(str(value))


def _page(title: str, sections: Sequence[str]) -> str:
    body = "\n".join(section for section in sections if section)
    template = Path(__file__).with_name("report_page.html").read_text(encoding="utf-8")
    return template.replace("TITLE", _text(title)).replace("BODY", body)
