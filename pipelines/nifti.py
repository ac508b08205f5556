"""Volumes and label maps on disk: an uncompressed NIfTI beside a JSON record.

The NIfTI is for other programs and holds no text at all; the record holds what NIfTI cannot say (the
frame of reference, the geometry report) and the affine in full precision. Gzip would cost ten times the
time of everything else, so working volumes stay uncompressed.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from medviz.core.errors import BadInput, StorageFull
from medviz.core.records import read_record, write_record
from medviz.core.segmentation import Finding, ModelRecord, Segmentation, SegmentedStructure
from medviz.core.space import Grid, grid_from_nifti, nifti_affine
from medviz.core.volume import GeometryReport, Outcome, Volume

VOLUME_FILE = "volume.nii"
VOLUME_RECORD = "volume.json"
LABELS_FILE = "labels.nii"
LABELS_RECORD = "segmentation.json"

_DATA_OFFSET = 352
_MM = 2
_SCANNER = 1
_KINDS = ("int16", "float32", "uint8")

Row = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class GridRecord:
    """A grid as it is saved: shape, the four rows of the affine to LPS mm, frame of reference."""

    shape: tuple[int, int, int]
    affine: tuple[Row, Row, Row, Row]
    frame_of_reference: str


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """Everything of a `Volume` but its voxels."""

    grid: GridRecord
    kind: str
    modality: str
    unit: str
    contrast: str
    report: GeometryReport
    shows_face: bool = False


@dataclass(frozen=True, slots=True)
class SegmentationRecord:
    """Everything of a `Segmentation` but its labels."""

    grid: GridRecord
    structures: tuple[SegmentedStructure, ...]
    findings: tuple[Finding, ...]
    models: tuple[ModelRecord, ...]
    shows_face: bool = False


def write_volume(volume: Volume, folder: Path) -> Path:
    """Write ``volume.nii`` (HU or raw intensity, RAS affine, mm) and ``volume.json`` into `folder`.

    Returns
    -------
    Path
        The NIfTI file.

    Raises
    ------
    StorageFull
        If the disk has no room; a half-written file is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = _write_image(folder / VOLUME_FILE, volume.voxels, volume.grid)
    record = VolumeRecord(
        _grid_record(volume.grid),
        str(volume.voxels.dtype),
        volume.modality,
        volume.unit,
        volume.contrast,
        volume.report,
        volume.shows_face,
    )
    _write_json(folder / VOLUME_RECORD, record)
    return path


def read_volume(folder: Path) -> Volume:
    """Return the volume that `write_volume` wrote into `folder` (the NIfTI's own path works too).

    Raises
    ------
    BadInput
        If the record is missing or the NIfTI does not agree with it.
    """
    folder = _folder(folder)
    record = _read_json(folder / VOLUME_RECORD, VolumeRecord)
    grid = _grid(record.grid)
    voxels = _read_image(folder / VOLUME_FILE, grid, record.kind)
    return Volume(
        voxels, grid, record.modality, record.unit, record.contrast, record.report, record.shows_face
    )


def import_volume(path: Path) -> Volume:
    """Return a CT volume from another program's NIfTI in Hounsfield units; its affine is believed.

    Raises
    ------
    BadInput
        If the file is not a three-dimensional NIfTI with a right-angled affine.
    """
    try:
        image: Any = nibabel.load(path)
        grid = grid_from_nifti(tuple(image.shape), image.affine)
        voxels = np.asanyarray(image.dataobj)
    except (OSError, ValueError, nibabel.filebasedimages.ImageFileError):
        raise _unreadable("The file is not a three-dimensional NIfTI with axes at right angles.") from None
    kind = np.int16 if np.issubdtype(voxels.dtype, np.integer) else np.float32
    report = GeometryReport(Outcome.CORRECT, "IMPORTED", "Taken from a NIfTI; its affine was believed.")
    ordered: Any = np.ascontiguousarray(voxels.transpose(2, 1, 0)).astype(kind)
    return Volume(ordered, grid, "CT", "HU", "unknown", report)


def write_labels(segmentation: Segmentation, folder: Path) -> Path:
    """Write ``labels.nii`` (uint8, the volume's grid) and ``segmentation.json`` into `folder`.

    Returns
    -------
    Path
        The NIfTI file.

    Raises
    ------
    StorageFull
        If the disk has no room; a half-written file is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = _write_image(folder / LABELS_FILE, segmentation.labels, segmentation.grid)
    record = SegmentationRecord(
        _grid_record(segmentation.grid),
        segmentation.structures,
        segmentation.findings,
        segmentation.models,
        segmentation.shows_face,
    )
    _write_json(folder / LABELS_RECORD, record)
    return path


def read_segmentation(folder: Path) -> Segmentation:
    """Return the segmentation that `write_labels` wrote into `folder`.

    Raises
    ------
    BadInput
        If the record is missing or the NIfTI does not agree with it.
    """
    folder = _folder(folder)
    record = _read_json(folder / LABELS_RECORD, SegmentationRecord)
    grid = _grid(record.grid)
    labels = _read_image(folder / LABELS_FILE, grid, "uint8")
    return Segmentation(labels, grid, record.structures, record.findings, record.models, record.shows_face)


def _folder(path: Path) -> Path:
    return path.parent if path.suffix == ".nii" else path


def _grid_record(grid: Grid) -> GridRecord:
    rows: Any = tuple(tuple(float(v) for v in row) for row in grid.affine)
    return GridRecord(grid.shape, rows, grid.frame_of_reference)


def _grid(record: GridRecord) -> Grid:
    return Grid(record.shape, np.array(record.affine), record.frame_of_reference)


def _header(kind: str, grid: Grid) -> Any:
    # nibabel's header classes are not typed, hence Any.
    make: Any = nibabel.Nifti1Header
    header = make()
    header.set_data_dtype(np.dtype(kind))
    header.set_data_shape(grid.shape[::-1])
    header.set_zooms(grid.spacing_mm[::-1])
    header.set_qform(nifti_affine(grid), code=_SCANNER)
    header.set_sform(nifti_affine(grid), code=_SCANNER)
    header.set_xyzt_units(_MM)
    header.set_slope_inter(1.0, 0.0)
    header["magic"] = b"n+1"
    header["vox_offset"] = _DATA_OFFSET
    return header


def _write_image(path: Path, voxels: NDArray[Any], grid: Grid) -> Path:
    # An array in (slice, row, column) C order is the (column, row, slice) Fortran order that NIfTI stores.
    head = bytes(_header(str(voxels.dtype), grid).binaryblock) + b"\0\0\0\0"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(head)
            stream.write(np.ascontiguousarray(voxels).data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _storage_error(error) from None
    return path


def _write_json(path: Path, record: object) -> None:
    try:
        write_record(path, record)
    except OSError as error:
        raise _storage_error(error) from None


def _storage_error(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageFull(
            "There is no room left for the volume.", mend="Free some space in the case folder and run again."
        )
    return error


def _read_json(path: Path, kind: type[Any]) -> Any:
    try:
        return read_record(path, kind)
    except FileNotFoundError:
        raise _unreadable(f"{path.name} is missing.") from None
    except (ValueError, KeyError, TypeError):
        raise _unreadable(f"{path.name} is damaged or from another release.") from None


def _read_image(path: Path, grid: Grid, kind: str) -> NDArray[Any]:
    if kind not in _KINDS:
        raise _unreadable("The record names a voxel type that is not known.")
    try:
        with path.open("rb") as stream:
            head = stream.read(_DATA_OFFSET)
            voxels = np.fromfile(stream, dtype=np.dtype(kind).newbyteorder("<"))
    except FileNotFoundError:
        raise _unreadable(f"{path.name} is missing.") from None
    expected = bytes(_header(kind, grid).binaryblock) + b"\0\0\0\0"
    if head != expected or voxels.size != int(np.prod(grid.shape)):
        raise _unreadable(f"{path.name} does not agree with its record.")
    return voxels.reshape(grid.shape).astype(kind, copy=False)


def _unreadable(message: str) -> BadInput:
    return BadInput(
        message, reason="VOLUME_UNREADABLE", mend="Make it again with `medviz volume` or `medviz segment`."
    )
