"""No word of the leak probe survives, whichever of its hiding places it lay in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pydicom
import pytest

from anonymize.profile import profile_names
from medviz.core.study import DeidentifiedStudy
from tests import make_objects, make_probe, make_raw
from tests.make_probe import PLACES, Planted

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

REFUSED = {
    "text as the SOP class": "PRIVATE_SOP_CLASS",
    "vendor's raw data": "PRIVATE_SOP_CLASS",
}
"""What can only be refused: nobody knows what such an object holds."""

HELD = {
    "text in a DS value": "HELD_FOR_REVIEW",
    "text in a DS value of the geometry": "HELD_FOR_REVIEW",
    "kernel that is the patient's name": "HELD_FOR_REVIEW",
    "geometry under VR LO": "HELD_FOR_REVIEW",
    "text in the character set": "WRONG_CHARACTER_SET",
    "character set that does not exist": "WRONG_CHARACTER_SET",
    "second pixel element": "TRUNCATED",
    "bytes behind the data set": "UNREADABLE",
}
"""Files whose geometry or structure cannot be trusted; a profile may drop the value instead."""


class Run(NamedTuple):
    """The probe after de-identification: what was planted, what came out, and why the rest did not."""

    everything: Sequence[Planted]
    study: DeidentifiedStudy
    held: dict[str, str]


PROFILES = [
    pytest.param(name, marks=() if name == "surgical-planning" else pytest.mark.slow)
    for name in profile_names()
]


@pytest.fixture(scope="module", params=PROFILES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("probe")
    everything = make_probe.write_probe(folder / "in")
    orders = make_raw.orders(request.param, finder=make_probe.BlindFinder())
    study = make_probe.deidentified_probe(folder / "in", folder, orders)
    names = sorted(path for path in (folder / "in").rglob("*") if path.is_file())
    kinds = {one.name: one.place.kind for one in everything}
    reasons = {names[problem.ordinal - 1].name: problem.reason for problem in study.problems}
    return Run(
        everything, study, {kinds.get(name, f"study {name}"): reason for name, reason in reasons.items()}
    )


def test_the_probe_has_more_than_a_hundred_kinds_of_places_and_no_two_of_one_name() -> None:
    assert len(PLACES) > 300
    assert len({place.kind for place in PLACES}) == len(PLACES)
    assert {place.where for place in PLACES} >= set(make_objects.study()) - {"ct-1", "ct-2"}


def test_the_search_finds_every_word_where_it_was_planted(tmp_path: Path) -> None:
    everything = make_probe.write_probe(tmp_path)
    found = make_probe.found_in(tmp_path, everything)
    assert [one.place.kind for one in everything if one not in found] == []


def test_no_planted_word_is_in_any_byte_of_the_output(run: Run) -> None:
    left = make_probe.found_in(run.study.folder, run.everything)
    assert make_probe.leaks_by_kind(left) == {}


def test_only_what_cannot_be_judged_is_held(run: Run) -> None:
    unexpected = {
        kind: reason for kind, reason in run.held.items() if {**REFUSED, **HELD}.get(kind) != reason
    }
    assert unexpected == {"study private": "PRIVATE_SOP_CLASS"}
    assert set(REFUSED) <= set(run.held)


def test_every_other_file_of_the_probe_comes_out(run: Run) -> None:
    files = len(run.everything) + len(make_objects.study())
    assert len(run.study.files) == files - len(run.held)
    assert Counter(path.suffix for path in run.study.files) == {".dcm": len(run.study.files)}


@pytest.mark.slow
@pytest.mark.parametrize("syntax", sorted(set(make_raw.SYNTAXES) - {"explicit"}))
def test_no_planted_word_survives_in_another_transfer_syntax(tmp_path: Path, syntax: str) -> None:
    everything = make_probe.write_probe(tmp_path / "in", syntax=syntax)
    orders = make_raw.orders(finder=make_probe.BlindFinder())
    study = make_probe.deidentified_probe(tmp_path / "in", tmp_path, orders)
    assert len(study.files) > 350
    assert make_probe.leaks_by_kind(make_probe.found_in(study.folder, everything)) == {}


def test_words_around_the_files_do_not_travel(tmp_path: Path) -> None:
    folder_name, file_name, letter = (make_probe.word(number) for number in range(9000, 9003))
    make_raw.write(make_objects.ct(0), tmp_path / "in" / folder_name / f"{file_name}.dcm")
    (tmp_path / "in" / folder_name / "letter.txt").write_text(f"Dear {letter}")
    assert words_after(tmp_path) == set()


def test_words_in_the_directory_of_a_disc_do_not_travel(tmp_path: Path) -> None:
    record, volume = make_probe.word(9000), make_probe.word(9001)
    make_raw.write_disc(tmp_path / "in", slices=1)
    directory = pydicom.dcmread(tmp_path / "in" / "DICOMDIR")
    directory.FileSetID, directory.DirectoryRecordSequence[0].PatientName = volume.upper(), record
    directory.save_as(tmp_path / "in" / "DICOMDIR")
    assert words_after(tmp_path) == set()


def words_after(folder: Path) -> set[str]:
    """Return the planted words in the files and file names that come out of one image."""
    study = make_probe.deidentified_probe(folder / "in", folder, make_raw.orders())
    assert len(study.files) == 1
    content = b"".join(path.read_bytes() for path in study.folder.rglob("*") if path.is_file())
    names = " ".join(str(path.relative_to(study.folder)) for path in study.folder.rglob("*"))
    return set(make_probe.words_in(content + names.encode()))
