"""What could not be judged waits for a person, who decides it without ever losing or leaking it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest

from anonymize import holds
from anonymize.archive import deidentify_archive
from anonymize.contents import Tools
from anonymize.deid import Orders
from anonymize.holds import Hold
from anonymize.report import ArchiveReport, read_archive_report, read_report
from anonymize.verdicts import box_of, read_verdicts
from medviz.core.errors import BadInput, StudyUnreadable
from tests import make_raw

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

TEXT_ROWS = 24


def orders(home: Path) -> Orders:
    """Return orders without a text finder, so that every picture must be judged by a person."""
    return replace(make_raw.orders("basic"), tools=Tools(None, read_verdicts(home)))


def run(tmp_path: Path) -> ArchiveReport:
    home = tmp_path / "home"
    return deidentify_archive(tmp_path / "in", tmp_path / "out", partial(orders, home), settings_home=home)


@pytest.fixture
def archive(tmp_path: Path) -> ArchiveReport:
    make_raw.write_study(tmp_path / "in", slices=2)
    picture = make_raw.picture_of_text([(4, 10, "RUMPELSTEIN, GUNDULA")], side=128)
    make_raw.write(make_raw.screenshot(picture), tmp_path / "in" / "shot")
    return run(tmp_path)


def only_hold(tmp_path: Path) -> Hold:
    (hold,) = holds.held_files(tmp_path / "home")
    return hold


def judged(tmp_path: Path, hold: Hold, *boxes: str) -> Path:
    home = tmp_path / "home"
    return holds.judge(
        hold, tmp_path / "out", orders(home), home=home, boxes=[box_of(text) for text in boxes]
    )


def test_a_picture_nobody_can_read_is_kept_with_its_reason(archive: ArchiveReport, tmp_path: Path) -> None:
    hold = only_hold(tmp_path)
    assert (archive.written, sum(archive.held().values())) == (2, 1)
    assert archive.held() == {hold.reason: 1}
    assert hold.kind.endswith("secondary-capture-image")
    assert hold.has_picture
    assert holds.picture_of(tmp_path / "home", hold).read_bytes().startswith(b"\x89PNG")
    assert holds.raw_file_of(tmp_path / "home", hold).read_bytes() == (tmp_path / "in" / "shot").read_bytes()


def test_a_hold_is_readable_by_its_owner_alone_and_its_record_names_nobody(
    archive: ArchiveReport, tmp_path: Path
) -> None:
    folder = holds.held_folder(tmp_path / "home")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.dcm")} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.png")} == {0o600}
    record = next(folder.rglob("hold.json")).read_text()
    assert "Rumpelstein" not in record
    assert make_raw.PATIENT_ID not in record
    assert make_raw.ROOT not in record


def test_a_persons_boxes_are_filled_and_the_file_lands_beside_its_study(
    archive: ArchiveReport, tmp_path: Path
) -> None:
    hold = only_hold(tmp_path)
    before = pydicom.dcmread(tmp_path / "in" / "shot").pixel_array
    path = judged(tmp_path, hold, f"0,{TEXT_ROWS},0,128")
    after = pydicom.dcmread(path)
    assert path.parent.name == after.StudyInstanceUID == hold.study_uid
    assert after.BurnedInAnnotation == "NO"
    assert (after.pixel_array[:TEXT_ROWS] < 100).all()
    margin = TEXT_ROWS + 8
    assert np.array_equal(after.pixel_array[margin:], before[margin:])


def test_after_a_verdict_nothing_waits_and_report_and_index_say_who_decided(
    archive: ArchiveReport, tmp_path: Path
) -> None:
    path = judged(tmp_path, only_hold(tmp_path), f"0,{TEXT_ROWS},0,128")
    report, index = read_report(path.parent), read_archive_report(tmp_path / "out")
    assert [file.judged_by_person for file in report.files if file.name == path.name] == [True]
    assert sorted(file.name for file in report.files) == sorted(p.name for p in path.parent.glob("*.dcm"))
    assert report.problems == ()
    assert (index.written, index.held()) == (3, {})
    assert list(holds.held_files(tmp_path / "home")) == []
    assert "a person" in (path.parent / "report.html").read_text()


def test_the_next_run_leaves_a_judged_study_as_it_is(archive: ArchiveReport, tmp_path: Path) -> None:
    path = judged(tmp_path, only_hold(tmp_path), f"0,{TEXT_ROWS},0,128")
    again = run(tmp_path)
    assert path.is_file()
    assert (again.written, again.held()) == (3, {})


def test_a_verdict_is_remembered_when_the_study_is_done_from_the_start(
    archive: ArchiveReport, tmp_path: Path
) -> None:
    path = judged(tmp_path, only_hold(tmp_path), f"0,{TEXT_ROWS},0,128")
    data = path.read_bytes()
    fresh = deidentify_archive(
        tmp_path / "in",
        tmp_path / "fresh",
        partial(orders, tmp_path / "home"),
        settings_home=tmp_path / "home",
    )
    assert (fresh.written, fresh.held()) == (3, {})
    assert (tmp_path / "fresh" / path.relative_to(tmp_path / "out")).read_bytes() == data


def test_a_discarded_file_is_gone_and_the_report_says_so(archive: ArchiveReport, tmp_path: Path) -> None:
    hold = only_hold(tmp_path)
    holds.forget(hold, tmp_path / "out", home=tmp_path / "home")
    assert not holds.raw_file_of(tmp_path / "home", hold).exists()
    assert "DISCARDED" in (tmp_path / "out" / hold.study_uid / "report.html").read_text()
    assert read_archive_report(tmp_path / "out").held() == {}
    assert run(tmp_path).held() == {}


def test_a_verdict_about_the_picture_does_not_help_a_broken_file(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in", slices=2)
    path = tmp_path / "in" / "series" / "Rumpelstein_000.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    run(tmp_path)
    hold = only_hold(tmp_path)
    with pytest.raises(StudyUnreadable) as caught:
        judged(tmp_path, hold)
    assert caught.value.reason == "TRUNCATED"
    assert only_hold(tmp_path) == hold
    assert len(read_report(tmp_path / "out" / hold.study_uid).files) == 1


def test_the_same_broken_file_twice_is_held_twice(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in", slices=1)
    data = make_raw.to_bytes(make_raw.ct_slice(5))[:-100]
    for name in ("a", "b"):
        (tmp_path / "in" / name).write_bytes(data)
    run(tmp_path)
    found = list(holds.held_files(tmp_path / "home"))
    assert len({hold.id for hold in found}) == len({hold.ordinal for hold in found}) == 2


def test_a_file_that_was_sent_again_whole_no_longer_waits(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in", slices=2)
    path = tmp_path / "in" / "series" / "Rumpelstein_000.dcm"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert run(tmp_path).held() == {"TRUNCATED": 1}
    path.write_bytes(whole)
    assert run(tmp_path).held() == {}
    assert list(holds.held_files(tmp_path / "home")) == []


def test_holds_are_found_by_name_series_and_study(archive: ArchiveReport, tmp_path: Path) -> None:
    hold, home = only_hold(tmp_path), tmp_path / "home"
    for name in (hold.id, hold.series_uid, hold.study_uid):
        assert holds.find_holds(home, name) == (hold,)
    for name in ("", "nothing"):
        with pytest.raises(BadInput):
            holds.find_holds(home, name)


def test_what_waited_too_long_is_purged_and_the_rest_stays(archive: ArchiveReport, tmp_path: Path) -> None:
    hold, home = only_hold(tmp_path), tmp_path / "home"
    held_at = datetime.fromisoformat(hold.held_at)
    assert holds.purge(home, days=30, now=held_at.astimezone(UTC)) == 0
    assert holds.purge(home, days=30, now=held_at.replace(year=held_at.year + 1)) == 1
    assert list(holds.held_files(home)) == []


@pytest.mark.parametrize("text", ["", "1,2,3", "5,5,0,9", "9,3,0,9", "-1,3,0,9", "a,b,c,d"])
def test_a_box_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        box_of(text)
    assert caught.value.reason == "BOX_INVALID"


def test_a_hold_is_judged_only_into_the_folder_of_its_study(archive: ArchiveReport, tmp_path: Path) -> None:
    hold, home = only_hold(tmp_path), tmp_path / "home"
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(BadInput) as caught:
        holds.judge(hold, tmp_path / "elsewhere", orders(home), home=home, boxes=[])
    assert caught.value.reason == "STUDY_UNKNOWN"
    assert only_hold(tmp_path) == hold
