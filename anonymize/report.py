"""The proof that an officer reads: what was done to which attribute, what stays and why; never a value.

Each study has a record for machines and a page for people; an archive of many studies has an index of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.datadict import keyword_for_tag

from anonymize.dates import DatePolicy
from anonymize.profile import Profile, row_of, table
from medviz.core.records import read_record, write_record, write_text_atomically
from medviz.core.study import FileProblem

REPORT_NAME = "deidentification.json"
PAGE_NAME = "report.html"
PICTURES_NAME = "proof"
DISCARDED = "DISCARDED"
"""Stands for a held file that a person looked at and deleted."""
MOST_PICTURES = 24
"""So many pictures are kept for each study's page; the record says how many were changed."""


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
        The row of PS3.15 Table E.1-1 and the option that decided, or why there is none.
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
    kind : str
        Name of the object in PS3.3, such as ``ct-image``.
    is_read : bool
        Whether the content was searched for text, so that the file says so in (0028,0301).
    face : str
        What is known about a face in it.
    notes : tuple of str
        What an officer must know about its content; never a value.
    picture : str
        Path of a picture of the changed content, relative to the report; empty when there is none.
    judged_by_person : bool
        Whether it had been held, and a person decided about it.
    """

    name: str
    input_hmac: str
    output_sha256: str
    frames_read: int = 0
    boxes_filled: int = 0
    kind: str = ""
    is_read: bool = False
    face: str = ""
    notes: tuple[str, ...] = ()
    picture: str = ""
    judged_by_person: bool = False


@dataclass(frozen=True, slots=True)
class FaceLine:
    """What was done about the face in one series, named by its new UID."""

    series_uid: str
    face: str
    told: str
    removed_ml: float = 0.0
    moved_mm: float = 0.0
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the files say about themselves: an attribute, its value, and in how many files."""

    tag: str
    keyword: str
    value: str
    files: int


@dataclass(frozen=True, slots=True)
class Origin:
    """From what a study of an archive was made.

    Parameters
    ----------
    study_uid : str
        New study UID.
    received : int
        Files that belong to it.
    made_from : str
        Keyed digest of the listing of these files: when it is the same, the study need not be done again.
    made_with : str
        What contents were judged with.
    """

    study_uid: str
    received: int
    made_from: str
    made_with: str


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
    faces: tuple[FaceLine, ...] = ()
    marks: tuple[Mark, ...] = ()
    dates: str = ""
    origin: Origin | None = None

    @property
    def received(self) -> int:
        """How many files came in."""
        return self.origin.received if self.origin else len(self.files) + len(self.problems)

    @property
    def shows_face(self) -> bool:
        """Whether a face may be recognised in a file that went out."""
        return any(file.face == "face in view" for file in self.files)


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One study of an archive: its new UID, files received and written, and how many were held for what."""

    study_uid: str
    received: int
    written: int
    held: tuple[tuple[str, int], ...] = ()

    @property
    def held_count(self) -> int:
        """How many files were held."""
        return sum(count for reason, count in self.held if reason != DISCARDED)


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What became of an archive: the index of its studies.

    Parameters
    ----------
    studies : tuple of StudyLine
        By new UID.
    outside : tuple of (str, int)
        Files that are in no study, and why.
    orders_id, source_id : str
        Keyed digests of profile, key and source: another run into the same folder must have the same.
    keeps_face : bool
        Whether faces were kept on purpose.
    is_complete : bool
        Whether the run came to its end.
    """

    profile: str
    title: str
    edition: str
    codes: tuple[tuple[str, str], ...]
    studies: tuple[StudyLine, ...]
    outside: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    dates: str
    orders_id: str
    source_id: str
    keeps_face: bool
    is_complete: bool

    @property
    def written(self) -> int:
        """How many files went out."""
        return sum(line.written for line in self.studies)

    @property
    def received(self) -> int:
        """How many files were in the source."""
        return sum(line.received for line in self.studies) + sum(count for _, count in self.outside)

    def held(self) -> Counter[str]:
        """Return how many files were held, by reason; what is no study's file is not counted."""
        total: Counter[str] = Counter()
        for line in self.studies:
            total.update({reason: count for reason, count in line.held if reason != DISCARDED})
        total.update({reason: count for reason, count in self.outside if reason not in SET_ASIDE})
        return total

    def set_aside(self) -> int:
        """Return how many files were no part of any study."""
        return sum(count for reason, count in self.outside if reason in SET_ASIDE)


SET_ASIDE = frozenset({"NOT_DICOM", "DICOMDIR"})
"""What travels with studies and is none: letters, viewers, directories. It is counted, not held."""


def build_report(
    profile: Profile,
    actions: Counter[tuple[int, str]],
    files: Sequence[FileProof],
    problems: Sequence[FileProblem],
    *,
    faces: Sequence[FaceLine] = (),
) -> DeidentificationReport:
    """Return the report of one study."""
    return DeidentificationReport(
        profile=profile.name,
        title=profile.title,
        edition=edition(),
        codes=profile.codes,
        actions=_merged_actions(actions, profile),
        files=tuple(files),
        problems=tuple(problems),
        notes=notes_of(profile),
        faces=tuple(faces),
        marks=marks_of(profile, files),
        dates=profile.dates,
    )


def build_archive_report(
    profile: Profile,
    studies: Sequence[StudyLine],
    outside: Counter[str],
    *,
    orders_id: str,
    source_id: str,
    keeps_face: bool,
    is_complete: bool,
) -> ArchiveReport:
    """Return the index of an archive."""
    return ArchiveReport(
        profile=profile.name,
        title=profile.title,
        edition=edition(),
        codes=profile.codes,
        studies=tuple(studies),
        outside=tuple(sorted(outside.items())),
        notes=notes_of(profile),
        dates=profile.dates,
        orders_id=orders_id,
        source_id=source_id,
        keeps_face=keeps_face,
        is_complete=is_complete,
    )


def with_judged_file(
    report: DeidentificationReport, judged: DeidentificationReport, *, ordinal: int
) -> DeidentificationReport:
    """Return a study's report after a held file was judged by a person and joined it."""
    files = {file.name: file for file in report.files}
    files |= {file.name: replace(file, judged_by_person=True) for file in judged.files}
    ordered = sorted(files.values(), key=lambda file: file.name)
    merged: Counter[tuple[str, str, str, str]] = Counter()
    for action in (*report.actions, *judged.actions):
        merged[action.tag, action.keyword, action.action, action.why] += action.count
    return replace(
        report,
        files=tuple(ordered),
        problems=tuple(problem for problem in report.problems if problem.ordinal != ordinal),
        actions=tuple(
            AttributeAction(tag, keyword, action, count, why)
            for (tag, keyword, action, why), count in sorted(merged.items())
        ),
        marks=_joined_marks(report.marks, judged.marks),
    )


def _joined_marks(one: Sequence[Mark], other: Sequence[Mark]) -> tuple[Mark, ...]:
    total: Counter[tuple[str, str, str]] = Counter()
    for mark in (*one, *other):
        total[mark.tag, mark.keyword, mark.value] += mark.files
    return tuple(Mark(*name, count) for name, count in sorted(total.items()))


def edition() -> str:
    """Return which edition of the standard the table was taken from."""
    return f"DICOM PS3.15 {table()['edition']}"


def _merged_actions(actions: Counter[tuple[int, str]], profile: Profile) -> tuple[AttributeAction, ...]:
    merged: Counter[tuple[str, str, str, str]] = Counter()
    for (tag, action), count in actions.items():
        merged[(*_names(tag), action, _why(tag, profile))] += count
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


def _why(tag: int, profile: Profile) -> str:
    row = row_of(tag)
    if row is None:
        if tag in profile.keep:
            return "no row of Table E.1-1; the profile keeps it"
        return "no row of Table E.1-1: judged by its type"
    options = [f"{option.replace('_', ' ')}: {row.options[option]}" for option in profile.options
               if option in row.options]  # fmt: skip
    return "; ".join((f"Table E.1-1, Basic {row.basic}", *options))


def marks_of(profile: Profile, files: Sequence[FileProof]) -> tuple[Mark, ...]:
    """Return what the files say about their de-identification (PS3.15 E.1.1, E.2, E.3.1, E.3.2)."""
    count = len(files)
    if not count:
        return ()
    codes = ", ".join(code for code, _ in profile.codes)
    time = _TEMPORAL[profile.dates]
    found: Counter[tuple[str, str, str]] = Counter(
        {
            ("(0012,0062)", "PatientIdentityRemoved", "YES"): count,
            ("(0012,0063)", "DeidentificationMethod", f"MedViz, {edition()} Annex E, {profile.name}"): count,
            ("(0012,0064)", "DeidentificationMethodCodeSequence", codes): count,
            ("(0028,0303)", "LongitudinalTemporalInformationModified", time): count,
        }
    )
    for file in files:
        if file.is_read:
            found["(0028,0301)", "BurnedInAnnotation", "NO"] += 1
        shown = "YES" if file.face == "face in view" else "NO"
        found["(0028,0302)", "RecognizableVisualFeatures", shown] += 1
    return tuple(Mark(*name, files) for name, files in sorted(found.items()))


_TEMPORAL = {
    DatePolicy.REMOVED: "REMOVED",
    DatePolicy.MOVED: "MODIFIED",
    DatePolicy.YEARS: "MODIFIED",
    DatePolicy.KEPT: "UNMODIFIED",
}
_DATES = {
    DatePolicy.REMOVED: "Dates and times are removed.",
    DatePolicy.MOVED: "Dates are moved by one secret number of days per patient; intervals stay.",
    DatePolicy.YEARS: "Of dates only the year stays.",
    DatePolicy.KEPT: "Dates stay as they were: with them a person can be found in other records.",
}


def notes_of(profile: Profile) -> tuple[str, ...]:
    """Return what one must know about a profile, a sentence each."""
    faces = (
        "Faces in view are taken off the voxels; a series where that cannot be done surely is held."
        if profile.cleans_faces
        else "This profile leaves faces alone: one can be rendered from files that say (0028,0302) YES."
    )
    return (
        _DATES[profile.dates],
        "UIDs and pseudonyms are made with a key that stays on this machine: links between files stay true.",
        faces,
    )


def save_report(folder: Path, report: DeidentificationReport) -> None:
    """Write the report as JSON and as a page."""
    from anonymize.proofpage import study_page

    write_record(folder / REPORT_NAME, report)
    write_text_atomically(folder / PAGE_NAME, study_page(report, folder))


def read_report(folder: Path) -> DeidentificationReport:
    """Return the report that `save_report` wrote."""
    return read_record(folder / REPORT_NAME, DeidentificationReport)


def save_archive_report(out: Path, report: ArchiveReport) -> None:
    """Write the index of an archive as JSON and as a page."""
    from anonymize.proofpage import archive_page

    write_record(out / REPORT_NAME, report)
    write_text_atomically(out / PAGE_NAME, archive_page(report))


def read_archive_report(out: Path) -> ArchiveReport:
    """Return the index that `save_archive_report` wrote.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        If there is none.
    """
    return read_record(out / REPORT_NAME, ArchiveReport)
