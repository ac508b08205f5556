"""Archives of several invented patients, as a hospital's export would lie on a disk."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from anonymize.archive import deidentify_archive
from anonymize.report import ArchiveReport
from tests import make_raw

NAMES = ("Quillfeather^Ida", "Abendrot^Konrad", "Vanterpool^Mirabel", "Osterhase^Thilo")


def slice_of(patient: int, study: int, index: int) -> Dataset:
    """Return one CT slice of one of the patients' studies."""
    uid = f"{make_raw.ROOT}.7.{patient + 1}.{study + 1}"
    ds = make_raw.ct_slice(index)
    ds.PatientName, ds.PatientID = NAMES[patient % len(NAMES)], f"PID-{patient:04d}-77"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid, f"{uid}.1"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{uid}.1.{index + 1}"
    ds.FrameOfReferenceUID = f"{uid}.9"
    return ds


def write_archive(folder: Path, *, patients: int = 2, studies: int = 2, slices: int = 3) -> Path:
    """Write CT studies below `folder`, the files of a study scattered over folders named by the patient."""
    for patient in range(patients):
        for study in range(studies):
            for index in range(slices):
                name = NAMES[patient % len(NAMES)].replace("^", "_")
                place = folder / f"disc{index % 2}" / f"{name}{patient}" / f"st{study}_im{index:04d}"
                make_raw.write(slice_of(patient, study, index), place)
    return folder


def zipped(folder: Path, path: Path) -> Path:
    """Return a zip of a folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def run_archive(
    source: Path, out: Path, home: Path, *, workers: int = 1, profile: str = "basic"
) -> ArchiveReport:
    """De-identify an archive with a key that never changes and no language model."""
    make = partial(make_raw.orders, profile)
    return deidentify_archive(source, out, make, settings_home=home, workers=workers)


def content_of(out: Path) -> dict[str, bytes]:
    """Return every file below a folder, by its path in it."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
