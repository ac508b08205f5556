"""The page that an officer reads: true, complete, without a value of the patient, readable anywhere."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pydicom
import pytest

from anonymize import proofpage
from anonymize.profile import load_profile
from anonymize.report import (
    ArchiveReport,
    DeidentificationReport,
    FileProof,
    StudyLine,
    build_archive_report,
    build_report,
    read_archive_report,
    read_report,
    save_archive_report,
    save_report,
)
from medviz.core.study import DeidentifiedStudy, FileProblem
from tests import make_raw

RECORDS = Path(__file__).parent / "records"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture
def study(tmp_path: Path) -> DeidentifiedStudy:
    make_raw.write_study(tmp_path / "in", slices=3)
    picture = make_raw.picture_of_text([(4, 10, "RUMPELSTEIN, GUNDULA")], side=128)
    make_raw.write(make_raw.screenshot(picture), tmp_path / "in" / "shot")
    (tmp_path / "in" / "letter.txt").write_text("Dear Gundula")
    return make_raw.deidentified(tmp_path / "in", tmp_path, make_raw.orders(finder=make_raw.BrightFinder()))


def page_of(report: DeidentificationReport, folder: Path) -> str:
    save_report(folder, report)
    return (folder / "report.html").read_text(encoding="utf-8")


def some_report(
    *, written: int = 2, problems: tuple[FileProblem, ...] = (), face: str = ""
) -> DeidentificationReport:
    files = [FileProof(f"2.25.{n}.dcm", "a" * 64, "b" * 64, face=face) for n in range(written)]
    return build_report(load_profile("basic"), Counter(), files, problems)


class Outline(HTMLParser):
    """Collects tags, and complains about tags that do not close."""

    VOID = frozenset(["meta", "img", "br", "link"])

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen[tag] += 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_oldest_record_ever_written_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "deidentification.json").write_bytes((RECORDS / "deidentification-v1.json").read_bytes())
    report = read_report(tmp_path)
    assert report.profile == "basic"
    assert [problem.reason for problem in report.problems] == ["NOT_DICOM"]
    assert len(report.files) == 1
    assert report.received == 2
    assert "PatientName" in page_of(report, tmp_path)


def test_a_report_comes_back_as_it_was_saved(study: DeidentifiedStudy, tmp_path: Path) -> None:
    report = read_report(study.folder)
    save_report(tmp_path, report)
    assert read_report(tmp_path) == report


def test_the_page_loads_nothing_runs_nothing_and_closes_every_tag(study: DeidentifiedStudy) -> None:
    page = (study.folder / "report.html").read_text()
    outline = Outline(page)
    assert outline.open == []
    assert not {"script", "iframe", "link", "object", "form"} & set(outline.seen)
    assert "http" not in page
    assert not re.search(r'src="(?!data:image/png;base64,)', page)
    assert "url(" not in page


def test_the_page_holds_no_value_of_the_patient(study: DeidentifiedStudy) -> None:
    for name in ("report.html", "deidentification.json"):
        text = (study.folder / name).read_text().lower()
        for word in (
            "rumpelstein",
            "gundula",
            make_raw.PATIENT_ID.lower(),
            make_raw.ROOT,
            "quastenhausen",
            "letter.txt",
        ):
            assert word not in text


def test_what_files_say_about_themselves_is_told_as_it_stands_in_them(study: DeidentifiedStudy) -> None:
    told = {(mark.tag, mark.value): mark.files for mark in read_report(study.folder).marks}
    headers = [pydicom.dcmread(path) for path in study.files]
    for tag in ("(0012,0062)", "(0028,0301)", "(0028,0302)", "(0028,0303)"):
        number = int(tag[1:5] + tag[6:10], 16)
        found = Counter((tag, str(ds[number].value)) for ds in headers if number in ds)
        assert {key: count for key, count in told.items() if key[0] == tag} == found
    (codes,) = {value for tag, value in told if tag == "(0012,0064)"}
    assert codes.split(", ") == [item.CodeValue for item in headers[0].DeidentificationMethodCodeSequence]


def test_the_hashes_are_those_of_the_files(study: DeidentifiedStudy) -> None:
    for file in read_report(study.folder).files:
        data = (study.folder / file.name).read_bytes()
        assert file.output_sha256 == hashlib.sha256(data).hexdigest()
        assert file.output_sha256 in (study.folder / "report.html").read_text()


def test_the_page_shows_a_changed_picture_after_the_change(study: DeidentifiedStudy) -> None:
    report = read_report(study.folder)
    (file,) = [file for file in report.files if file.boxes_filled]
    assert (study.folder / file.picture).read_bytes().startswith(b"\x89PNG")
    from PIL import Image

    with Image.open(study.folder / file.picture) as image:
        pixels = np.array(image.convert("L"))
    assert (pixels[6:20, 30:100] < 200).all(), "the name's white letters are still in the picture"
    assert Outline((study.folder / "report.html").read_text()).seen["img"] == 1


@pytest.mark.parametrize(
    ("report", "title"),
    [
        (some_report(), "nothing is held"),
        (some_report(problems=(FileProblem("NOT_DICOM", 1),)), "nothing is held"),
        (some_report(problems=(FileProblem("DISCARDED", 1),)), "nothing is held"),
        (some_report(problems=(FileProblem("TRUNCATED", 1),)), "some files wait for a person"),
        (some_report(face="face in view"), "A face may be recognised"),
    ],
)
def test_the_first_line_says_what_matters_most(
    report: DeidentificationReport, title: str, tmp_path: Path
) -> None:
    page = page_of(report, tmp_path)
    assert title in page.split("</strong>")[0]


def test_held_files_are_told_by_number_with_what_to_do_next(tmp_path: Path) -> None:
    numbers = [3, 4, 5, 9, 12]
    page = page_of(some_report(problems=tuple(FileProblem("TRUNCATED", n) for n in numbers)), tmp_path)
    assert "3–5, 9, 12" in page
    assert "Ask the sender for it again." in page


def test_a_file_name_or_note_cannot_break_the_page(tmp_path: Path) -> None:
    evil = '<img src=x onerror=alert(1)>"&'
    files = [FileProof(evil, "a" * 64, "b" * 64, notes=(evil,), kind=evil)]
    page = page_of(build_report(load_profile("basic"), Counter(), files, ()), tmp_path)
    assert "<img" not in page
    assert Outline(page).open == []


def test_every_reason_a_file_is_held_for_has_its_sentence() -> None:
    sources = Path(proofpage.__file__).parent.glob("*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r'(?:broken|_broken|held)\("([A-Z_]+)"', text))
    assert len(named) > 5
    assert named <= set(proofpage.REASONS)


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_all_colours_have_the_contrast_that_wcag_asks_for_by_day_and_by_night() -> None:
    template = Path(proofpage.__file__).with_name("report_page.html").read_text(encoding="utf-8")
    schemes = re.findall(r":root \{(.*?)\}", template, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]+)", scheme))
        pairs = [(ink, paper) for ink in ("ink", "soft", "link") for paper in ("paper", "card")]
        pairs += [(kind, f"{kind}-bg") for kind in ("good", "wait", "stop")]
        pairs += [("ink", f"{kind}-bg") for kind in ("good", "wait", "stop")]
        for ink, paper in pairs:
            light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


def archive_report(studies: list[StudyLine], **outside: int) -> ArchiveReport:
    return build_archive_report(
        load_profile("basic"),
        studies,
        Counter(outside),
        orders_id="1",
        source_id="2",
        keeps_face=False,
        is_complete=True,
    )


def test_the_index_of_many_studies_stays_a_page_one_can_open(tmp_path: Path) -> None:
    studies = [StudyLine(f"2.25.{number}", 10, 10) for number in range(5_000)]
    studies.append(StudyLine("2.25.99999999", 10, 9, (("TRUNCATED", 1),)))
    report = archive_report(studies, NOT_DICOM=7)
    save_archive_report(tmp_path, report)
    page = (tmp_path / "report.html").read_text()
    assert len(page) < 200_000
    assert 'href="2.25.99999999/report.html"' in page, "studies with held files come first"
    assert "50,017 files came in, 50,009 went out under new names, 1 held." in page
    assert read_archive_report(tmp_path) == report


def test_the_index_never_counts_what_was_discarded_or_set_aside_as_held() -> None:
    line = StudyLine("2.25.1", 4, 2, (("DISCARDED", 1), ("TRUNCATED", 1)))
    report = archive_report([line], NOT_DICOM=3, ARCHIVE_INSIDE=1)
    assert report.held() == {"TRUNCATED": 1, "ARCHIVE_INSIDE": 1}
    assert (report.set_aside(), report.received, report.written) == (3, 8, 2)
