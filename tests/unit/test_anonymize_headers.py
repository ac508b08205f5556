"""What leaves the header engine: no planted name, true references, kept intervals, unchanged pixels."""

from __future__ import annotations

import base64
import datetime
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.sequence import Sequence as Items

from anonymize import headers
from anonymize.deid import deidentify, deidentify_path, make_orders, read_deidentified
from anonymize.elements import ParsedFile, parse_file
from anonymize.keys import ProjectKeys, project_keys
from anonymize.profile import profile_names
from anonymize.quarantine import admit
from medviz.core.errors import BadInput, StudyUnreadable
from medviz.core.study import DeidentifiedStudy
from tests import make_raw

KEYS = ProjectKeys(bytes(range(32)))

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def run(source: Path, folder: Path, *, profile: str = "surgical-planning") -> DeidentifiedStudy:
    return make_raw.deidentified(source, folder, make_raw.orders(profile, keys=KEYS))


def spellings(token: str) -> Iterator[bytes]:
    """Every way in which a token could survive in bytes, in lower case."""
    for codec in ("utf-8", "utf-16-le", "utf-16-be"):
        yield token.lower().encode(codec)
    for start in range(3):
        encoded = base64.b64encode(b"\0" * start + token.encode())
        yield encoded[4:-4].lower() if len(encoded) > 12 else encoded.lower()


def tokens_left(folder: Path, tokens: list[str]) -> set[tuple[str, str]]:
    left = set()
    for path in folder.rglob("*"):
        content = path.read_bytes().lower() if path.is_file() else b""
        left |= {(path.suffix, token) for token in tokens for text in spellings(token) if text in content}
        left |= {("name", token) for token in tokens if token.lower() in path.name.lower()}
    return left


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("syntax", sorted(make_raw.SYNTAXES))
def test_no_planted_name_is_in_any_byte_of_the_output(tmp_path: Path, syntax: str, profile: str) -> None:
    planted = make_raw.Planted(syntax=make_raw.SYNTAXES[syntax])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(planted.to_bytes())
    make_raw.write(make_raw.ct_slice(1, syntax=make_raw.SYNTAXES[syntax]), tmp_path / "in" / "b")

    study = run(tmp_path / "in", tmp_path, profile=profile)

    assert len(study.files) == 2
    assert len(planted.tokens) > 70
    assert tokens_left(tmp_path / "out", planted.tokens) == set()


@pytest.mark.parametrize("syntax", sorted(make_raw.SYNTAXES))
def test_pixels_and_geometry_are_the_same_in_pydicom_and_simpleitk(tmp_path: Path, syntax: str) -> None:
    make_raw.write_study(tmp_path / "in", slices=1, syntax=make_raw.SYNTAXES[syntax])
    study = run(tmp_path / "in", tmp_path)
    before, after = pydicom.dcmread(next((tmp_path / "in").rglob("*.dcm"))), pydicom.dcmread(study.files[0])
    image = sitk.ReadImage(str(study.files[0]))

    assert np.array_equal(before.pixel_array, after.pixel_array)
    assert np.array_equal(sitk.GetArrayFromImage(image)[0], before.pixel_array.astype(np.float64) - 1024)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        assert after[keyword].value == before[keyword].value
    assert (after.ConvolutionKernel, after.SeriesDescription, after.PatientPosition) == (
        "H30s",
        "HEAD 1.5 H30s",
        "HFS",
    )


def test_references_point_to_the_files_they_pointed_to(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in", slices=2)
    first = make_raw.ct_slice(0)
    deep, reference = pydicom.Dataset(), pydicom.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
        first.SOPClassUID,
        f"{make_raw.SERIES_UID}.2",
    )
    deep.SourceImageSequence = Items([reference])
    first.ReferencedImageSequence = Items([deep])
    make_raw.write(first, tmp_path / "in" / "series" / "Rumpelstein_000.dcm")

    study = run(tmp_path / "in", tmp_path)

    files = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path) for path in study.files}
    referring = next(ds for ds in files.values() if "ReferencedImageSequence" in ds)
    kept = referring.ReferencedImageSequence[0].SourceImageSequence[0]
    assert kept.ReferencedSOPInstanceUID in set(files) - {referring.SOPInstanceUID}
    assert kept.ReferencedSOPClassUID == first.SOPClassUID
    assert {path.stem for path in study.files} == set(files)
    assert all(ds.file_meta.MediaStorageSOPInstanceUID == uid for uid, ds in files.items())
    assert len({ds.FrameOfReferenceUID for ds in files.values()}) == 1


def test_intervals_between_dates_are_kept_and_the_shift_differs_by_patient(tmp_path: Path) -> None:
    for number, patient in enumerate(("ONE-1", "TWO-2")):
        ds = make_raw.ct_slice(number)
        ds.PatientID, ds.PatientName = patient, patient
        ds.AcquisitionDateTime = "20240313235959.5+0100"
        make_raw.write(ds, tmp_path / "in" / f"{number}.dcm")

    study = run(tmp_path / "in", tmp_path)

    shifts = set()
    for ds in map(pydicom.dcmread, study.files):
        days = [datetime.datetime.strptime(t[:8], "%Y%m%d") for t in (ds.StudyDate, ds.AcquisitionDate)]
        moved = datetime.datetime.strptime(ds.AcquisitionDateTime[:8], "%Y%m%d")
        assert [(day - days[0]).days for day in (*days, moved)] == [0, 2, 3]
        assert ds.AcquisitionDateTime.endswith("235959.5+0100")
        assert ds.StudyTime == "091500"
        assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
        shifts.add(ds.StudyDate)
    assert len(shifts) == 2
    assert "20240310" not in shifts


def test_the_basic_profile_keeps_no_date_and_no_patient_characteristic(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in", slices=1)
    ds = pydicom.dcmread(run(tmp_path / "in", tmp_path, profile="basic").files[0])

    assert ds.LongitudinalTemporalInformationModified == "REMOVED"
    assert (ds.StudyDate, ds.StudyTime, ds.PatientSex) == ("", "", "")
    assert "PatientAge" not in ds
    assert "AcquisitionDate" not in ds


def test_an_age_above_89_becomes_90(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in", slices=1)
    assert pydicom.dcmread(run(tmp_path / "in", tmp_path).files[0]).PatientAge == "090Y"


def test_the_codes_say_what_was_done(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in", slices=1)
    ds = pydicom.dcmread(run(tmp_path / "in", tmp_path).files[0])

    assert ds.PatientIdentityRemoved == "YES"
    assert "surgical-planning" in ds.DeidentificationMethod
    codes = [item.CodeValue for item in ds.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101", "113102", "113103", "113104", "113105", "113107", "113108"]


def test_the_same_study_and_key_give_the_same_bytes_and_another_key_other_uids(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in")
    raw = admit(tmp_path / "in", tmp_path / "raw")
    one = deidentify(raw, tmp_path / "one", make_raw.orders(keys=KEYS))
    two = deidentify(raw, tmp_path / "two", make_raw.orders(keys=KEYS))
    other = deidentify(raw, tmp_path / "other", make_raw.orders())

    assert [path.read_bytes() for path in one.files] == [path.read_bytes() for path in two.files]
    assert {path.name for path in one.files}.isdisjoint(path.name for path in other.files)


def test_a_deidentified_study_can_be_read_again(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in")
    study = run(tmp_path / "in", tmp_path)
    assert read_deidentified(tmp_path / "out") == study
    with pytest.raises(BadInput, match="no de-identified study"):
        read_deidentified(tmp_path)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_file_without_one_of_its_uids_is_held_and_the_rest_goes_on(tmp_path: Path, keyword: str) -> None:
    make_raw.write_study(tmp_path / "in", slices=1)
    ds = make_raw.ct_slice(5)
    setattr(ds, keyword, "")
    (tmp_path / "in" / "series" / "z_lost").write_bytes(make_raw.to_bytes(ds))

    study = run(tmp_path / "in", tmp_path)

    assert len(study.files) == 1
    assert [problem.reason for problem in study.problems] == ["MISSING_UID"]


def test_two_files_of_one_instance_are_both_kept(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_raw.write(make_raw.ct_slice(0), tmp_path / "in" / name)
    study = run(tmp_path / "in", tmp_path)
    assert len(study.files) == 2
    assert len({pydicom.dcmread(path).SOPInstanceUID for path in study.files}) == 1


def test_bad_files_are_held_with_their_reason_and_series_and_the_rest_goes_on(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in", slices=2)
    cut = make_raw.to_bytes(make_raw.ct_slice(7))
    (tmp_path / "in" / "series" / "z_cut").write_bytes(cut[:-200])
    (tmp_path / "in" / "series" / "z_notes.txt").write_text("Gundula was here")
    report = make_raw.ct_slice(8)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    make_raw.write(report, tmp_path / "in" / "series" / "z_report")
    lost = make_raw.ct_slice(9)
    lost.ImagePositionPatient = None
    lost.add_new(0x00200037, "DS", "1\\0\\0\\0\\1\\0")
    unreadable = make_raw.to_bytes(lost).replace(b"1\\0\\0\\0\\1\\0", b"1\\0\\x\\0\\1\\0")
    (tmp_path / "in" / "series" / "z_unreadable").write_bytes(unreadable)

    study = run(tmp_path / "in", tmp_path)

    series = pydicom.dcmread(study.files[0]).SeriesInstanceUID
    assert len(study.files) == 2
    assert [(p.reason, p.ordinal, p.series_uid) for p in study.problems] == [
        ("TRUNCATED", 3, series),
        ("NOT_DICOM", 4, ""),
        ("REFUSED_SOP_CLASS", 5, series),
        ("HELD_FOR_REVIEW", 6, series),
    ]


def test_a_study_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    ds = make_raw.ct_slice(0)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66"
    make_raw.write(ds, tmp_path / "in" / "a")
    with pytest.raises(StudyUnreadable) as caught:
        run(tmp_path / "in", tmp_path)
    assert caught.value.reason == "NOTHING_LEFT"
    assert not (tmp_path / "out").exists()


def test_somebody_elses_folder_is_never_overwritten(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput) as caught:
        run(tmp_path / "in", tmp_path)
    assert caught.value.reason == "FOLDER_IN_USE"
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_an_item_with_its_own_character_set_is_read_by_it(tmp_path: Path) -> None:
    ds, item = make_raw.ct_slice(0), pydicom.Dataset()
    item.SpecificCharacterSet = "ISO_IR 192"
    item.SeriesDescription = "Kopf von Gündülä Rumpelstein"
    ds.SourceImageSequence = Items([item])
    ds.PatientName = "Rumpelstein^Gündülä"
    make_raw.write(ds, tmp_path / "in" / "a")
    written = pydicom.dcmread(run(tmp_path / "in", tmp_path).files[0])
    assert written.SourceImageSequence[0].SeriesDescription.strip() in ("Kopf", "Kopf von")


def test_one_call_deidentifies_a_path_and_leaves_no_quarantine(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in")
    study = deidentify_path(
        tmp_path / "in",
        tmp_path / "out",
        make_orders("basic", settings_home=tmp_path / "home"),
        settings_home=tmp_path / "home",
    )
    assert len(study.files) == 3
    assert list((tmp_path / "home" / "quarantine").iterdir()) == []
    key = tmp_path / "home" / "keys" / "project.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert project_keys(tmp_path / "home") == project_keys(tmp_path / "home")


def test_the_report_counts_actions_and_holds_no_value(tmp_path: Path) -> None:
    planted = make_raw.Planted()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(planted.to_bytes())
    run(tmp_path / "in", tmp_path)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "PatientName" in page
    assert "113105" in page
    assert "http" not in page
    assert not [token for token in planted.tokens if token in page]


@pytest.mark.parametrize("syntax", sorted(make_raw.SYNTAXES))
def test_damaged_files_leak_nothing_and_stop_nothing(tmp_path: Path, syntax: str) -> None:
    planted = make_raw.Planted(syntax=make_raw.SYNTAXES[syntax])
    whole = planted.to_bytes()
    (tmp_path / "in").mkdir()
    for seed in range(25):
        random, damaged = np.random.default_rng(seed), bytearray(whole)
        for position in random.integers(150, len(whole) - 100, 6):
            damaged[position] = random.integers(0, 256)
        (tmp_path / "in" / f"{seed:03d}").write_bytes(bytes(damaged[: len(whole) - 50 * (seed % 3)]))
    make_raw.write(make_raw.ct_slice(0), tmp_path / "in" / "whole")

    study = run(tmp_path / "in", tmp_path)

    assert len(study.files) + len(study.problems) == 26
    assert study.files
    assert tokens_left(tmp_path / "out", planted.tokens) == set()


def test_bytes_after_the_last_pixel_and_odd_lengths_do_not_travel(tmp_path: Path) -> None:
    ds = make_raw.ct_slice(0, side=15)
    ds.PixelData += b"GUNDULA was here"
    make_raw.write(ds, tmp_path / "in" / "a")
    written = run(tmp_path / "in", tmp_path).files[0]
    assert len(pydicom.dcmread(written).PixelData) == 450
    assert b"GUNDULA" not in written.read_bytes()


@pytest.mark.parametrize(
    ("sop_class", "reason"),
    [
        ("1.2.840.10008.5.1.4.1.1.66", "REFUSED_SOP_CLASS"),
        ("1.2.840.113619.4.30", "PRIVATE_SOP_CLASS"),
        ("", "SOP_CLASS_MISSING"),
    ],
)
def test_what_is_no_object_of_ours_is_refused_by_its_own_reason(sop_class: str, reason: str) -> None:
    ds = make_raw.ct_slice(0)
    ds.Modality, ds.SOPClassUID = "OT", sop_class
    with pytest.raises(StudyUnreadable) as caught:
        headers.check_kind(parse_file(make_raw.to_bytes(ds))._replace(meta=()))
    assert caught.value.reason == reason


def picture(sop_class: str, **values: object) -> ParsedFile:
    ds = make_raw.ct_slice(0)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return parse_file(make_raw.to_bytes(ds))


@pytest.mark.parametrize(
    ("sop_class", "values", "expected"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", {}, False),
        ("1.2.840.10008.5.1.4.1.1.2", {"BurnedInAnnotation": "YES"}, True),
        ("1.2.840.10008.5.1.4.1.1.2", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, True),
        ("1.2.840.10008.5.1.4.1.1.6.1", {"BurnedInAnnotation": "NO"}, True),
        ("1.2.840.10008.5.1.4.1.1.6", {}, True),
        ("1.2.840.10008.5.1.4.1.1.1", {}, True),
        ("1.2.840.10008.5.1.4.1.1.1", {"BurnedInAnnotation": "NO"}, False),
        ("1.2.840.10008.5.1.4.1.1.12.1", {}, True),
        ("1.2.840.10008.5.1.4.1.1.66.4", {"BurnedInAnnotation": "YES"}, False),
        ("1.2.840.10008.5.1.4.1.1.481.2", {}, False),
    ],
)
def test_objects_that_often_hold_text_are_read_and_masks_and_doses_are_not(
    sop_class: str, values: dict[str, object], expected: bool
) -> None:
    parsed = picture(sop_class, **values)
    assert headers.may_carry_text(parsed, headers.check_kind(parsed)) is expected


@pytest.mark.parametrize("profile", profile_names())
def test_the_second_time_nothing_changes_any_more(tmp_path: Path, profile: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(make_raw.Planted().to_bytes())
    make_raw.write(make_raw.ct_slice(1), tmp_path / "in" / "b")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    once = run(tmp_path / "in", tmp_path / "one", profile=profile)
    for extra in (path for path in once.folder.rglob("*") if path.is_file() and path not in once.files):
        extra.unlink()
    twice = run(once.folder, tmp_path / "two", profile=profile)

    before, after = ({path.name: path.read_bytes() for path in study.files} for study in (once, twice))
    assert len(before) == 2
    assert after == before


def test_under_another_key_a_deidentified_study_gets_new_uids_and_a_new_pseudonym(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in", slices=1)
    once = pydicom.dcmread(run(tmp_path / "in", tmp_path).files[0])
    (tmp_path / "other").mkdir()
    other = make_raw.orders(keys=ProjectKeys(bytes(31) + b"x"))
    again = pydicom.dcmread(make_raw.deidentified(tmp_path / "out", tmp_path / "other", other).files[0])

    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "PatientID", "PatientName", "StudyDate"):
        assert once[keyword].value != again[keyword].value
