"""Whole archives: every study by itself, nothing lost, nothing mixed, and a killed run goes on."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pydicom
import pytest

from anonymize import archive, quarantine, sources
from anonymize.archive import deidentify_archive
from anonymize.crew import Done, worked_through
from anonymize.deid import Orders
from anonymize.keys import ProjectKeys
from anonymize.report import read_archive_report, read_report
from medviz.core.errors import BadInput, Cancelled, NotAllowed, StorageFull
from tests import make_raw
from tests.make_archive import NAMES, content_of, run_archive, slice_of, write_archive, zipped

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "in")


def studies_in(out: Path) -> list[Path]:
    return sorted(path for path in out.iterdir() if path.is_dir())


def test_each_study_gets_a_folder_named_by_its_new_uid(source: Path, tmp_path: Path) -> None:
    report = run_archive(source, tmp_path / "out", tmp_path / "home")
    assert (report.received, report.written, len(report.studies)) == (12, 12, 4)
    folders = studies_in(tmp_path / "out")
    assert [folder.name for folder in folders] == [line.study_uid for line in report.studies]
    for folder in folders:
        headers = [pydicom.dcmread(path) for path in folder.glob("*.dcm")]
        assert {ds.StudyInstanceUID for ds in headers} == {folder.name}
        assert len(headers) == 3
        assert (folder / "report.html").is_file()
        assert len(read_report(folder).files) == 3


def test_no_patient_of_the_archive_is_in_any_byte_of_the_output(source: Path, tmp_path: Path) -> None:
    run_archive(source, tmp_path / "out", tmp_path / "home")
    everything = b"".join(content_of(tmp_path / "out").values()).lower()
    for name in NAMES[:2]:
        for part in name.split("^"):
            assert part.lower().encode() not in everything
    assert b"pid-0" not in everything
    assert make_raw.ROOT.encode() not in everything


def test_one_patient_gets_one_pseudonym_in_all_studies_and_another_gets_another(
    source: Path, tmp_path: Path
) -> None:
    run_archive(source, tmp_path / "out", tmp_path / "home")
    identifiers = [
        pydicom.dcmread(next(folder.glob("*.dcm"))).PatientID for folder in studies_in(tmp_path / "out")
    ]
    assert sorted(identifiers.count(one) for one in set(identifiers)) == [2, 2]


@pytest.mark.slow
def test_folder_zip_and_several_processes_give_the_same_bytes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_archive(source, tmp_path / "one", tmp_path / "home")
    monkeypatch.setattr(archive, "_FEW_FILES", 0)  # headers, too, are read by several
    run_archive(source, tmp_path / "many", tmp_path / "home", workers=2)
    run_archive(zipped(source, tmp_path / "in.zip"), tmp_path / "zip", tmp_path / "home")
    one = content_of(tmp_path / "one")
    assert content_of(tmp_path / "many") == one
    files = {name: data for name, data in content_of(tmp_path / "zip").items() if name.endswith(".dcm")}
    assert files == {name: data for name, data in one.items() if name.endswith(".dcm")}


def test_nothing_of_a_finished_run_stays_in_the_quarantine(source: Path, tmp_path: Path) -> None:
    run_archive(source, tmp_path / "out", tmp_path / "home")
    assert [path.suffix for path in (tmp_path / "home").rglob("*") if path.is_file()] == [".lock"]


def test_letters_are_set_aside_and_broken_files_are_held_while_the_rest_goes_out(
    source: Path, tmp_path: Path
) -> None:
    (source / "letter to Quillfeather.txt").write_text("Dear Ida")
    (source / "empty").write_bytes(b"")
    zipped(source / "disc0", source / "old.zip")
    first = sorted((source / "disc0").rglob("st0_im0000"))[0]
    first.write_bytes(first.read_bytes()[:-200])
    report = run_archive(source, tmp_path / "out", tmp_path / "home")
    assert (report.received, report.written, report.set_aside()) == (15, 11, 2)
    assert report.held() == {"TRUNCATED": 1, "ARCHIVE_INSIDE": 1}
    assert "Quillfeather" not in (tmp_path / "out" / "report.html").read_text()


def test_a_study_of_which_nothing_is_left_still_says_why(source: Path, tmp_path: Path) -> None:
    make_raw.write(slice_of(9, 0, 0), source / "alone")
    (source / "alone").write_bytes((source / "alone").read_bytes()[:-200])
    report = run_archive(source, tmp_path / "out", tmp_path / "home")
    empty = [line for line in report.studies if not line.written]
    assert [line.held for line in empty] == [(("TRUNCATED", 1),)]
    assert "TRUNCATED" in (tmp_path / "out" / empty[0].study_uid / "report.html").read_text()


def test_files_without_study_uid_are_held_and_never_join_a_study(source: Path, tmp_path: Path) -> None:
    ds = slice_of(0, 0, 0)
    del ds.StudyInstanceUID
    make_raw.write(ds, source / "stray")
    report = run_archive(source, tmp_path / "out", tmp_path / "home")
    assert (report.written, report.held()) == (12, {"MISSING_UID": 1})
    assert sorted(line.received for line in report.studies) == [1, 3, 3, 3, 3]


@pytest.mark.parametrize("syntax", make_raw.SYNTAXES)
def test_every_transfer_syntax_is_sorted_into_its_study(tmp_path: Path, syntax: str) -> None:
    for index in range(2):
        make_raw.write(
            make_raw.ct_slice(index, syntax=make_raw.SYNTAXES[syntax]), tmp_path / "in" / f"{index}"
        )
    report = run_archive(tmp_path / "in", tmp_path / "out", tmp_path / "home")
    assert [line.written for line in report.studies] == [2]


def test_a_study_uid_behind_a_long_value_is_still_found(tmp_path: Path) -> None:
    ds = slice_of(0, 0, 0)
    ds.add_new(0x00091010, "OB", bytes(300_000))
    make_raw.write(ds, tmp_path / "in" / "a")
    make_raw.write(slice_of(0, 0, 1), tmp_path / "in" / "b")
    report = run_archive(tmp_path / "in", tmp_path / "out", tmp_path / "home")
    assert [line.written for line in report.studies] == [2]


def test_discs_are_read_and_files_that_their_directory_misses_are_counted(tmp_path: Path) -> None:
    make_raw.write_disc(tmp_path / "disc", slices=3)
    (tmp_path / "disc" / "PT000000" / "IM000001").unlink()
    for source in (tmp_path / "disc", tmp_path / "disc" / "DICOMDIR"):
        out = tmp_path / source.name
        report = (
            run_archive(source, out, tmp_path / "home")
            if source.is_file()
            else run_archive(source, tmp_path / "out", tmp_path / "home")
        )
        assert report.written == 2
        assert dict(report.outside) == {"DICOMDIR": 1, "REFERENCED_FILE_MISSING": 1}
    assert not (tmp_path / "disc" / "deidentification.json").exists()


# --- what is refused ---


def reason(source: Path, tmp_path: Path, profile: str = "basic") -> str:
    with pytest.raises(BadInput) as caught:
        run_archive(source, tmp_path / "out", tmp_path / "home", profile=profile)
    assert caught.value.mend
    return caught.value.reason


def test_what_holds_no_study_is_refused_and_leaves_no_output(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("not a study")
    assert reason(tmp_path / "missing", tmp_path) == "SOURCE_MISSING"
    assert reason(tmp_path / "empty", tmp_path) == "EMPTY_FOLDER"
    assert reason(tmp_path / "texts", tmp_path) == "NO_DICOM"
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "home").rglob("*.sqlite"))


def test_another_profile_key_or_source_never_mixes_into_the_same_folder(source: Path, tmp_path: Path) -> None:
    run_archive(source, tmp_path / "out", tmp_path / "home")
    before = content_of(tmp_path / "out")
    assert reason(source, tmp_path, "surgical-planning") == "OTHER_ORDERS"
    other = write_archive(tmp_path / "other", patients=1)
    assert reason(other, tmp_path) == "OTHER_SOURCE"
    with pytest.raises(BadInput) as caught:
        deidentify_archive(
            source,
            tmp_path / "out",
            partial(make_raw.orders, "basic", keys=ProjectKeys(b"7" * 32)),
            settings_home=tmp_path / "home",
        )
    assert caught.value.reason == "OTHER_ORDERS"
    assert content_of(tmp_path / "out") == before


def test_somebody_elses_folder_stays_as_it_is(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert reason(source, tmp_path) == "FOLDER_IN_USE"
    assert content_of(tmp_path / "out") == {"thesis.txt": b"mine"}


def test_an_output_inside_the_source_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        run_archive(source, source / "out", tmp_path / "home")
    assert caught.value.reason == "OUT_IN_SOURCE"


def test_two_processes_never_work_on_one_output(source: Path, tmp_path: Path) -> None:
    keys = make_raw.orders("basic").keys
    with archive.sole_use(tmp_path / "out", tmp_path / "home", keys), pytest.raises(NotAllowed) as caught:
        run_archive(source, tmp_path / "out", tmp_path / "home")
    assert caught.value.reason == "ALREADY_RUNNING"
    run_archive(source, tmp_path / "out", tmp_path / "home")
    with (
        archive.sole_use(tmp_path / "out", tmp_path / "home2", keys),
        pytest.raises(NotAllowed) as caught,
    ):
        run_archive(source, tmp_path / "out", tmp_path / "home")
    assert caught.value.reason == "ALREADY_RUNNING"


# --- what goes wrong on the way ---


def test_a_file_that_vanishes_or_changes_is_held_and_taken_by_the_next_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(path for path in source.rglob("*") if path.is_file())
    gone, grown = files[0], files[1]
    kept = gone.read_bytes()
    listed = archive._list

    def list_then_change(*arguments: object) -> None:
        listed(*arguments)  # type: ignore[arg-type]
        gone.unlink()
        os.utime(grown, ns=(1, 1))

    monkeypatch.setattr(archive, "_list", list_then_change)
    report = run_archive(source, tmp_path / "out", tmp_path / "home")
    assert report.held() == {"UNREADABLE": 1, "CHANGED_WHILE_READ": 1}
    assert report.written == 10
    monkeypatch.setattr(archive, "_list", listed)
    gone.write_bytes(kept)
    assert run_archive(source, tmp_path / "out", tmp_path / "home").written == 12


def test_a_damaged_entry_of_a_zip_is_held_and_the_rest_goes_out(source: Path, tmp_path: Path) -> None:
    path = zipped(source, tmp_path / "in.zip")
    data = bytearray(path.read_bytes())
    data[300:330] = bytes(30)
    path.write_bytes(bytes(data))
    report = run_archive(path, tmp_path / "out", tmp_path / "home")
    assert report.written == 11
    assert sum(report.held().values()) == 1


def test_a_folder_that_may_not_be_read_is_told_and_read_by_the_next_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def forbidden(path: object) -> object:
        if isinstance(path, bytes) and path.endswith(b"disc1"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scan(path)  # type: ignore[call-overload]

    monkeypatch.setattr(sources.os, "scandir", forbidden)
    report = run_archive(source, tmp_path / "out", tmp_path / "home")
    assert (report.written, dict(report.outside)) == (8, {"UNREADABLE": 1})
    monkeypatch.undo()
    report = run_archive(source, tmp_path / "out", tmp_path / "home")
    assert (report.written, dict(report.outside)) == (12, {})


def test_a_full_disk_keeps_finished_studies_and_the_next_run_does_the_rest(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, copy = [], shutil.copyfileobj

    def full(*arguments: object) -> None:
        copied.append(1)
        if len(copied) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copy(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(quarantine.shutil, "copyfileobj", full)
    with pytest.raises(StorageFull):
        run_archive(source, tmp_path / "out", tmp_path / "home")
    assert len(studies_in(tmp_path / "out")) == 1
    assert not read_archive_report(tmp_path / "out").is_complete
    monkeypatch.undo()
    assert run_archive(source, tmp_path / "out", tmp_path / "home").written == 12


def test_stopping_keeps_finished_studies(source: Path, tmp_path: Path) -> None:
    def stop(fraction: float, figure: str) -> None:
        if "study 2" in figure:
            raise Cancelled("Stopped.")

    make = partial(make_raw.orders, "basic")
    with pytest.raises(Cancelled):
        deidentify_archive(
            source, tmp_path / "out", make, settings_home=tmp_path / "home", workers=1, progress=stop
        )
    assert len(studies_in(tmp_path / "out")) == 2
    assert "Not finished" in (tmp_path / "out" / "report.html").read_text()
    assert not list((tmp_path / "out").glob(".*"))


def test_an_error_nobody_foresaw_holds_its_study_and_tells_no_value(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = archive.deidentify, []

    def fails_once(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("Quillfeather^Ida")
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(archive, "deidentify", fails_once)
    report = run_archive(source, tmp_path / "out", tmp_path / "home")
    assert report.held() == {"UNFORESEEN": 3}
    assert report.written == 9
    assert b"Quillfeather" not in b"".join(content_of(tmp_path / "out").values())


# --- going on ---


def test_a_second_run_does_nothing_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_archive(source, tmp_path / "out", tmp_path / "home")
    before = content_of(tmp_path / "out")
    monkeypatch.setattr(archive, "deidentify", None)
    run_archive(source, tmp_path / "out", tmp_path / "home")
    assert content_of(tmp_path / "out") == before


def test_only_the_study_that_changed_is_done_again(source: Path, tmp_path: Path) -> None:
    run_archive(source, tmp_path / "out", tmp_path / "home")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*/report.html")}
    make_raw.write(slice_of(0, 0, 7), source / "late")
    report = run_archive(source, tmp_path / "out", tmp_path / "home")
    changed = [path for path, time_ns in times.items() if path.stat().st_mtime_ns != time_ns]
    assert (report.written, len(changed)) == (13, 1)


def test_a_study_that_lost_a_file_of_its_output_is_done_again(source: Path, tmp_path: Path) -> None:
    run_archive(source, tmp_path / "out", tmp_path / "home")
    before = content_of(tmp_path / "out")
    next(tmp_path.glob("out/*/*.dcm")).unlink()
    run_archive(source, tmp_path / "out", tmp_path / "home")
    assert content_of(tmp_path / "out") == before


def start_worker(source: Path, out: Path, home: Path, *numbers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.archive_worker", source, out, home, *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_study(out: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if out.is_dir() and any(path.is_dir() and path.name[0] != "." for path in out.iterdir()):
            return
        time.sleep(0.005)
    raise AssertionError("no study was finished")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_killed_in_the_middle_goes_on_to_the_same_bytes(tmp_path: Path, workers: int) -> None:
    source = write_archive(tmp_path / "in", patients=3, studies=4, slices=8)
    run_archive(source, tmp_path / "whole", tmp_path / "home")
    with start_worker(source, tmp_path / "out", tmp_path / "home", workers) as process:
        wait_for_study(tmp_path / "out")
        process.send_signal(signal.SIGKILL)
    time.sleep(0.3)
    done = len(studies_in(tmp_path / "out"))
    time.sleep(0.3)
    assert len(studies_in(tmp_path / "out")) == done, "a worker outlived the one who gave it work"
    assert 0 < done < 12
    run_archive(source, tmp_path / "out", tmp_path / "home")
    assert content_of(tmp_path / "out") == content_of(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_keeps_what_is_done(tmp_path: Path) -> None:
    source = write_archive(tmp_path / "in", patients=3, studies=4, slices=8)
    with start_worker(source, tmp_path / "out", tmp_path / "home", 2) as process:
        wait_for_study(tmp_path / "out")
        os.killpg(process.pid, signal.SIGINT)
    assert process.returncode != 0
    assert not read_archive_report(tmp_path / "out").is_complete
    assert not list((tmp_path / "out").glob(".*.new"))
    assert run_archive(source, tmp_path / "out", tmp_path / "home").written == 96


@pytest.mark.slow
def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    peaks = []
    for patients in (15, 60):
        source = write_archive(tmp_path / f"in{patients}", patients=patients, studies=2, slices=10)
        with start_worker(source, tmp_path / f"out{patients}", tmp_path / "home", 1) as process:
            written, peak_kb = (int(word) for word in process.communicate()[0].split())
        assert written == patients * 20
        peaks.append(peak_kb / 1024)
    assert peaks[1] - peaks[0] < 15, f"peak memory {peaks} MiB for 300 and 1200 files"


class FailingEscrow:
    """Takes notes, and cannot write them down."""

    def note(self, kind: str, raw_original: str, new: str) -> None:
        pass

    def seal(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_no_file_goes_out_before_the_escrow_has_taken_it_down(source: Path, tmp_path: Path) -> None:
    def make() -> Orders:
        return replace(make_raw.orders("basic"), escrow=FailingEscrow())

    with pytest.raises(StorageFull):
        deidentify_archive(source, tmp_path / "out", make, settings_home=tmp_path / "home")
    assert not list((tmp_path / "out").rglob("*.dcm"))


@pytest.mark.slow
def test_a_file_of_four_gigabytes_goes_through_in_little_memory(tmp_path: Path) -> None:
    """Sixteen-bit frames of 16384 x 16383, eight of them: as long as a native value can be (PS3.5 7.1.1)."""
    ds = make_raw.ct_slice()  # which says that it is nuclear medicine: an object that may have many frames
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.20"
    ds.Modality, ds.Rows, ds.Columns, ds.NumberOfFrames = "NM", 16384, 16383, 8
    data = make_raw.to_bytes(ds)
    value = len(data) - len(ds.PixelData)
    length = 16384 * 16383 * 8 * 2
    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "large").open("wb") as stream:
        stream.write(data[: value - 4] + length.to_bytes(4, "little"))
        stream.truncate(value + length)
    with start_worker(tmp_path / "in", tmp_path / "out", tmp_path / "home", 1, 1024) as process:
        written = int(process.communicate()[0].split()[0])
    folder = studies_in(tmp_path / "out")[0]
    assert (written, read_report(folder).problems) == (1, ())
    assert next(folder.glob("*.dcm")).stat().st_size > length
    shutil.rmtree(tmp_path)


# --- the crew ---


def doubled(job: int, _progress: object) -> int:
    if job < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 99:
        raise StorageFull("The disk is full.", mend="Free some room.")
    if job == 98:
        raise ValueError("Quillfeather")
    return 2 * job


@contextmanager
def doubling() -> Iterator[object]:
    yield doubled


@contextmanager
def dying() -> Iterator[object]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield doubled


@pytest.mark.slow
def test_a_process_that_dies_takes_only_its_own_job_with_it() -> None:
    done = list(worked_through([1, 2, -3, 4, 5], doubling, workers=2))  # type: ignore[arg-type]
    assert sorted(done) == [Done(-3, None), Done(1, 2), Done(2, 4), Done(4, 8), Done(5, 10)]


@pytest.mark.slow
def test_an_error_that_ends_the_run_comes_back_as_it_was() -> None:
    with pytest.raises(StorageFull) as caught:
        list(worked_through([1, 99, 3], doubling, workers=2))  # type: ignore[arg-type]
    assert caught.value.mend == "Free some room."


@pytest.mark.slow
def test_an_error_nobody_foresaw_in_a_process_is_told_without_its_message() -> None:
    with pytest.raises(Exception, match="ValueError") as caught:
        list(worked_through([98], doubling, workers=2))  # type: ignore[arg-type]
    assert "Quillfeather" not in str(caught.value)


@pytest.mark.slow
def test_processes_that_cannot_start_are_told_and_not_tried_for_ever() -> None:
    with pytest.raises(Exception, match="end as soon as they start"):
        list(worked_through(range(10), dying, workers=2))  # type: ignore[arg-type]
