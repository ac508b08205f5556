"""What is handed over: taken in under neutral names, or refused by a named reason with nothing half left."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from anonymize import quarantine
from anonymize.quarantine import admit
from medviz.core.errors import StorageFull, StudyUnreadable
from tests import make_raw

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def reason(source: Path, folder: Path, **limits: float) -> str:
    with pytest.raises(StudyUnreadable) as caught:
        admit(source, folder, **limits)
    assert caught.value.mend
    assert not folder.exists()
    return caught.value.reason


def test_copies_are_numbered_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    raw = admit(make_raw.write_study(tmp_path / "in"), tmp_path / "raw")
    assert [path.name for path in raw.raw_files] == ["000001.dcm", "000002.dcm", "000003.dcm"]
    assert raw.raw_folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in raw.raw_folder.iterdir()} <= {0o600, 0o644}
    assert {path.stat().st_mode & 0o777 for path in raw.raw_files} == {0o600}


def test_a_zip_gives_the_same_files_as_its_folder(tmp_path: Path) -> None:
    folder = make_raw.write_study(tmp_path / "in")
    one = admit(folder, tmp_path / "one")
    two = admit(zipped(folder, tmp_path / "in.zip"), tmp_path / "two")
    assert [p.read_bytes() for p in one.raw_files] == [p.read_bytes() for p in two.raw_files]


def test_admitting_again_gives_the_same_study_without_copying(tmp_path: Path) -> None:
    folder = make_raw.write_study(tmp_path / "in")
    one = admit(folder, tmp_path / "raw")
    times = [path.stat().st_mtime_ns for path in one.raw_files]
    two = admit(folder, tmp_path / "raw")
    assert one == two
    assert [path.stat().st_mtime_ns for path in two.raw_files] == times


def test_a_killed_copy_is_started_afresh(tmp_path: Path) -> None:
    folder = make_raw.write_study(tmp_path / "in")
    (tmp_path / ".raw.partial").mkdir()
    (tmp_path / ".raw.partial" / "000001.dcm").write_bytes(b"half")
    assert len(admit(folder, tmp_path / "raw").raw_files) == 3


def test_foreign_files_are_told_by_their_number(tmp_path: Path) -> None:
    folder = make_raw.write_study(tmp_path / "in", slices=1)
    (folder / "a_letter_to_Gundula.txt").write_text("hello")
    (folder / "empty").write_bytes(b"")
    raw = admit(folder, tmp_path / "raw")
    assert [(p.reason, p.ordinal) for p in raw.problems] == [("NOT_DICOM", 1), ("NOT_DICOM", 2)]
    assert [path.name for path in raw.raw_files] == ["000003.dcm"]


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big"])
def test_files_without_preamble_and_file_meta_are_taken(tmp_path: Path, syntax: str) -> None:
    data = make_raw.to_bytes(make_raw.ct_slice(syntax=make_raw.SYNTAXES[syntax]))
    meta_length = int.from_bytes(data[140:144], "little")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(data[144 + meta_length :])
    if syntax != "implicit":
        (tmp_path / "in" / "b").write_bytes(data[132:])
    raw = admit(tmp_path / "in", tmp_path / "raw")
    assert raw.problems == ()


def test_a_dicomdir_is_followed(tmp_path: Path) -> None:
    make_raw.write_disc(tmp_path / "disc", slices=2)
    (tmp_path / "disc" / "VIEWER.EXE").write_bytes(b"MZ")
    for source in (
        tmp_path / "disc",
        tmp_path / "disc" / "DICOMDIR",
        zipped(tmp_path / "disc", tmp_path / "z.zip"),
    ):
        shutil.rmtree(tmp_path / "raw", ignore_errors=True)
        raw = admit(source, tmp_path / "raw")
        assert len(raw.raw_files) == 2
        assert raw.problems == ()


def test_a_dicomdir_that_leads_out_of_its_folder_is_not_followed(tmp_path: Path) -> None:
    make_raw.write_disc(tmp_path / "disc", slices=1)
    directory = tmp_path / "disc" / "DICOMDIR"
    make_raw.write(make_raw.ct_slice(1), tmp_path / "SECRET")
    data = directory.read_bytes()
    assert b"PT000000" in data
    directory.write_bytes(data.replace(b"PT000000\\", b"..\\..\\..\\"))
    raw = admit(tmp_path / "disc", tmp_path / "raw")
    assert len(raw.raw_files) == 1
    assert "SECRET" not in str(raw)


def test_nothing_an_empty_folder_and_no_dicom_have_their_own_reasons(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("not a study")
    assert reason(tmp_path / "missing", tmp_path / "raw") == "SOURCE_MISSING"
    assert reason(tmp_path / "empty", tmp_path / "raw") == "EMPTY_FOLDER"
    assert reason(tmp_path / "texts", tmp_path / "raw") == "NO_DICOM"
    assert reason(tmp_path / "texts" / "a.txt", tmp_path / "raw") == "NO_DICOM"


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(32 << 20))
    assert reason(tmp_path / "bomb.zip", tmp_path / "raw") == "ARCHIVE_UNSAFE"


def test_an_archive_over_the_limit_is_refused(tmp_path: Path) -> None:
    archive = zipped(make_raw.write_study(tmp_path / "in"), tmp_path / "in.zip")
    assert reason(archive, tmp_path / "raw", most_unpacked_gb=1e-6) == "ARCHIVE_UNSAFE"


@pytest.mark.parametrize("name", ["../escape.dcm", "/etc/escape.dcm", "a/../../escape.dcm", "C:/escape.dcm"])
def test_a_path_that_leads_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(name, make_raw.to_bytes(make_raw.ct_slice()))
    assert reason(tmp_path / "in.zip", tmp_path / "raw") == "ARCHIVE_UNSAFE"
    assert not list(tmp_path.parent.glob("escape*"))


def test_links_encryption_and_archives_in_archives_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(tmp_path / "nested.zip", "w") as archive:
        archive.write(tmp_path / "link.zip", "inner.zip")
    with zipfile.ZipFile(tmp_path / "locked.zip", "w") as archive:
        archive.writestr("a", "b")
    data = bytearray((tmp_path / "locked.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(bytes(data))
    for name in ("link", "nested", "locked"):
        assert reason(tmp_path / f"{name}.zip", tmp_path / "raw") == "ARCHIVE_UNSAFE"


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    archive = zipped(make_raw.write_study(tmp_path / "in"), tmp_path / "in.zip")
    data = bytearray(archive.read_bytes())
    data[200:400] = bytes(200)
    archive.write_bytes(bytes(data))
    assert reason(archive, tmp_path / "raw") == "ARCHIVE_UNSAFE"


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    folder = make_raw.write_study(tmp_path / "in", slices=1)
    make_raw.write(make_raw.ct_slice(5), tmp_path / "elsewhere")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert len(admit(folder, tmp_path / "raw").raw_files) == 1


def test_a_full_disk_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_raw.write_study(tmp_path / "in")
    written: list[int] = []

    def full(*arguments: object) -> None:
        written.append(1)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(quarantine.shutil, "copyfileobj", full)
    with pytest.raises(StorageFull):
        admit(folder, tmp_path / "raw")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_the_quarantine_never_replaces_somebody_elses_folder(tmp_path: Path) -> None:
    folder = make_raw.write_study(tmp_path / "in")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "thesis.txt").write_text("mine")
    with pytest.raises(StudyUnreadable):
        admit(folder, tmp_path / "raw")
    assert (tmp_path / "raw" / "thesis.txt").read_text() == "mine"
