"""CT series with known answers: two ellipsoids at known places in the patient, as DICOM files.

`make_ct_series` writes a clean axial series; its arguments make the common variations, and `edit` may do
anything else to the datasets before they are written. `measure` finds the two bodies again in a volume.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)
from scipy import ndimage

from medviz.core.study import DeidentifiedStudy, FileProblem
from medviz.core.volume import Volume
from tests.make_codes import encode

FloatArray = NDArray[np.float64]
Edit = Callable[[list[Dataset]], list[Dataset]]

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
AIR_HU = -1000.0


@dataclass(frozen=True)
class Ellipsoid:
    """A body of one density: centre and half axes in LPS mm, level in HU."""

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    level_hu: float

    @property
    def volume_ml(self) -> float:
        return float(4 / 3 * np.pi * np.prod(self.radii_mm)) / 1000


LARGE = Ellipsoid((-12.0, 5.0, -8.0), (26.0, 20.0, 17.0), 100.0)
SMALL = Ellipsoid((26.0, -14.0, 17.0), (8.0, 7.5, 9.0), 1500.0)
"""The small one lies to the left, in front and above, so that every swapped or flipped axis shows."""


@dataclass(frozen=True)
class SeriesTruth:
    """What was written and what is true about it."""

    folder: Path
    files: tuple[Path, ...]
    series_uid: str
    large: Ellipsoid = LARGE
    small: Ellipsoid = SMALL


@dataclass(frozen=True)
class Coding:
    """How densities become stored numbers: stored = (HU - intercept) / slope."""

    is_signed: bool = True
    bits_allocated: int = 16
    bits_stored: int = 16
    slope: float = 1.0
    intercept: float | None = None
    outside_hu: float | None = None
    transfer_syntax: str = ExplicitVRLittleEndian

    def intercept_hu(self) -> float:
        if self.intercept is not None:
            return self.intercept
        return 0.0 if self.is_signed else -1024.0

    def store(self, hu: FloatArray, slope: float, intercept: float) -> NDArray[Any]:
        kind = f"{'i' if self.is_signed else 'u'}{self.bits_allocated // 8}"
        top = 2**self.bits_stored
        low, high = (-top // 2, top // 2 - 1) if self.is_signed else (0, top - 1)
        return np.clip(np.rint((hu - intercept) / slope), low, high).astype(kind)


@dataclass(frozen=True)
class Placing:
    """Where the slices lie."""

    shape: tuple[int, int, int] = (32, 48, 52)
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 1.9)
    orientation: tuple[float, ...] = AXIAL
    centre_mm: tuple[float, float, float] = (1.0, -2.0, 3.0)
    tilt_deg: float = 0.0
    offsets_mm: tuple[float, ...] | None = None
    """Places along the normal, instead of even steps; counted from the middle."""

    def planes(self) -> list[FloatArray]:
        """Return the first pixel's place in each slice, in order along the stack."""
        row, column, normal = self.axes()
        _, rows, columns = self.shape
        _, between_rows, between_columns = self.spacing_mm
        corner = -row * between_columns * (columns - 1) / 2 - column * between_rows * (rows - 1) / 2
        # The table moves along the untilted normal; each step shears the stack by step * tan(tilt).
        slide = normal + column * np.tan(np.deg2rad(self.tilt_deg))
        return [np.array(self.centre_mm) + corner + slide * offset for offset in self.places()]

    def axes(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        row, column = np.array(self.orientation[:3], dtype=float), np.array(self.orientation[3:], dtype=float)
        return row, column, np.cross(row, column)

    def places(self) -> tuple[float, ...]:
        if self.offsets_mm is not None:
            return self.offsets_mm
        count, step = self.shape[0], self.spacing_mm[0]
        return tuple((np.arange(count) - (count - 1) / 2) * step)


@dataclass(frozen=True)
class Header:
    """What the files say beside geometry and pixels."""

    name: str = "a"
    modality: str = "CT"
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")
    kernel: str = "B30f"
    frame_of_reference: str = ""
    series_number: int = 1
    acquisition: int = 1
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


def make_ct_series(
    folder: Path,
    *,
    placing: Placing = Placing(),
    coding: Coding = Coding(),
    header: Header = Header(),
    edit: Edit | None = None,
    is_enhanced: bool = False,
    bodies: Sequence[Ellipsoid] = (LARGE, SMALL),
) -> SeriesTruth:
    """Write a series into `folder` and return what is true about it.

    `edit` receives one dataset per slice, in order along the stack, and returns those to write.
    """
    planes: list[Dataset] = (
        pickle.loads(_pickled_slices(placing, coding, header, tuple(bodies)))
        if not header.extra
        else _slices(placing, coding, header, bodies)
    )
    datasets = edit(planes) if edit else planes
    if is_enhanced:
        datasets = [make_enhanced(datasets, coding)]
    files = tuple(write(item, folder, f"{header.name}{n:04d}.dcm", coding) for n, item in enumerate(datasets))
    return SeriesTruth(folder, files, uid(header.name, "series"))


def deidentified(
    folder: Path, *, files: Sequence[Path] = (), problems: tuple[FileProblem, ...] = ()
) -> DeidentifiedStudy:
    """Return the files of a folder as a study that has been through de-identification."""
    found = tuple(files) or tuple(sorted(path for path in folder.rglob("*") if path.is_file()))
    return DeidentifiedStudy(folder, found, "tests", problems)


def uid(*parts: object) -> str:
    """Return the same UID for the same parts, every time."""
    return str(generate_uid(entropy_srcs=[str(part) for part in parts]))


def shuffled(datasets: list[Dataset], seed: int = 5) -> list[Dataset]:
    """Return the datasets in random order, with random instance numbers."""
    order = random.Random(seed)
    mixed = order.sample(datasets, len(datasets))
    for item, number in zip(mixed, order.sample(range(1, 9 * len(mixed)), len(mixed)), strict=True):
        item.InstanceNumber = number
    return mixed


def hu_at(points_mm: FloatArray, bodies: Sequence[Ellipsoid]) -> FloatArray:
    """Return the density at LPS points, shape (..., 3), with edges about 2 mm soft."""
    hu = np.full(points_mm.shape[:-1], AIR_HU)
    for body in bodies:
        radii = np.array(body.radii_mm)
        distance = (1 - np.linalg.norm((points_mm - body.centre_mm) / radii, axis=-1)) * radii.mean()
        hu += (body.level_hu - hu) * np.clip(0.5 + distance / 2, 0, 1)
    return hu


@lru_cache(maxsize=16)
def _pickled_slices(placing: Placing, coding: Coding, header: Header, bodies: tuple[Ellipsoid, ...]) -> bytes:
    # Many tests start from one series; unpickling it is six times faster than making it.
    return pickle.dumps(_slices(placing, coding, header, bodies))


def _slices(placing: Placing, coding: Coding, header: Header, bodies: Sequence[Ellipsoid]) -> list[Dataset]:
    places = placing.planes()
    return [_slice(k, place, placing, coding, header, bodies) for k, place in enumerate(places)]


def _slice(
    k: int,
    position: FloatArray,
    placing: Placing,
    coding: Coding,
    header: Header,
    bodies: Sequence[Ellipsoid],
) -> Dataset:
    row, column, _ = placing.axes()
    _, rows, columns = placing.shape
    _, between_rows, between_columns = placing.spacing_mm
    r, c = np.mgrid[0:rows, 0:columns]
    points = position + c[..., None] * between_columns * row + r[..., None] * between_rows * column
    item = _dataset(k, header, placing.spacing_mm)
    item.ImagePositionPatient = [format_ds(v) for v in position]
    item.ImageOrientationPatient = [format_ds(v) for v in placing.orientation]
    hu = hu_at(points, bodies)
    if coding.outside_hu is not None:
        hu[np.hypot(r - (rows - 1) / 2, c - (columns - 1) / 2) > min(rows, columns) / 2] = coding.outside_hu
    set_pixels(item, hu, coding)
    return item


def _dataset(k: int, header: Header, spacing_mm: tuple[float, float, float]) -> Dataset:
    item = Dataset()
    item.SOPClassUID = CTImageStorage
    item.SOPInstanceUID = uid(header.name, "instance", k)
    item.StudyInstanceUID = uid("study")
    item.SeriesInstanceUID = uid(header.name, "series")
    item.FrameOfReferenceUID = header.frame_of_reference or uid("frame")
    item.Modality = header.modality
    item.ImageType = list(header.image_type)
    item.PatientID, item.PatientName = "0001", ""
    item.PatientPosition = "HFS"
    item.SeriesNumber, item.AcquisitionNumber, item.InstanceNumber = (
        header.series_number,
        header.acquisition,
        k + 1,
    )
    item.ConvolutionKernel = header.kernel
    item.SliceThickness = format_ds(spacing_mm[0])
    item.PixelSpacing = [format_ds(spacing_mm[1]), format_ds(spacing_mm[2])]
    for keyword, value in header.extra.items():
        setattr(item, keyword, value)
    return item


def set_pixels(
    item: Dataset, hu: FloatArray, coding: Coding, *, slope: float = 0, intercept: float | None = None
) -> None:
    """Store densities in a dataset, uncompressed; slope and intercept may differ from the coding's."""
    slope = slope or coding.slope
    intercept = coding.intercept_hu() if intercept is None else intercept
    stored = coding.store(hu, slope, intercept)
    item.Rows, item.Columns = stored.shape[-2:]
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated, item.BitsStored = coding.bits_allocated, coding.bits_stored
    item.HighBit, item.PixelRepresentation = coding.bits_stored - 1, int(coding.is_signed)
    item.RescaleSlope, item.RescaleIntercept, item.RescaleType = format_ds(slope), format_ds(intercept), "HU"
    item.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    item["PixelData"].VR = "OW"


def stored(item: Dataset) -> NDArray[Any]:
    """Return the stored numbers of an uncompressed dataset, writable."""
    kind = f"<{'i' if item.PixelRepresentation else 'u'}{item.BitsAllocated // 8}"
    return np.frombuffer(item.PixelData, kind).reshape(item.Rows, item.Columns).copy()


def density(item: Dataset) -> FloatArray:
    """Return the HU of an uncompressed dataset."""
    return stored(item) * float(item.RescaleSlope) + float(item.RescaleIntercept)


def format_ds(value: float) -> str:
    """Return a number as DICOM writes it: at most 16 characters."""
    return f"{value:.10g}"[:16]


def write(item: Dataset, folder: Path, name: str, coding: Coding) -> Path:
    """Write a dataset with a file meta group in the coding's transfer syntax."""
    folder.mkdir(parents=True, exist_ok=True)
    item.file_meta = FileMetaDataset()
    item.file_meta.MediaStorageSOPClassUID = item.SOPClassUID
    item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID
    item.file_meta.TransferSyntaxUID = coding.transfer_syntax
    encode(item, coding.transfer_syntax)
    path = folder / name
    with config.disable_value_validation():
        item.save_as(path, enforce_file_format=True)
    return path


COPIED = (
    "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "ImageType",
    "PatientID", "PatientName", "PatientPosition", "SeriesNumber", "InstanceNumber", "Rows", "Columns",
    "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation",
)  # fmt: skip


def make_enhanced(slices: list[Dataset], coding: Coding) -> Dataset:
    """Return the slices as one multi-frame object (PS3.3 A.38 for CT, A.36 for MR)."""
    first = slices[0]
    item = Dataset()
    is_ct = first.Modality == "CT"
    item.SOPClassUID = EnhancedCTImageStorage if is_ct else EnhancedMRImageStorage
    for keyword in COPIED:
        setattr(item, keyword, getattr(first, keyword))
    item.NumberOfFrames = len(slices)
    shared = Dataset()
    shared.PixelMeasuresSequence = _one(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    shared.PlaneOrientationSequence = _one(ImageOrientationPatient=first.ImageOrientationPatient)
    item.DimensionIndexSequence = _one(
        DimensionIndexPointer=tag_for_keyword("InStackPositionNumber"),
        FunctionalGroupPointer=tag_for_keyword("FrameContentSequence"),
    )
    heights = [float(np.dot(each.ImagePositionPatient, _normal(each))) for each in slices]
    places = np.argsort(np.argsort(heights)) + 1
    item.SharedFunctionalGroupsSequence = DicomSequence([shared])
    frames = [_frame(each, is_ct, int(n)) for each, n in zip(slices, places, strict=True)]
    item.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    item.PixelData = b"".join(each.PixelData for each in slices)
    item["PixelData"].VR = "OW"
    return item


def _normal(item: Dataset) -> FloatArray:
    orientation = [float(v) for v in item.ImageOrientationPatient]
    return np.cross(orientation[:3], orientation[3:])


def _frame(item: Dataset, is_ct: bool, place: int) -> Dataset:
    frame = Dataset()
    frame.PlanePositionSequence = _one(ImagePositionPatient=item.ImagePositionPatient)
    frame.FrameContentSequence = _one(
        FrameAcquisitionNumber=item.AcquisitionNumber,
        StackID="1",
        InStackPositionNumber=place,
        DimensionIndexValues=[place],
    )
    frame.PixelValueTransformationSequence = _one(
        RescaleIntercept=item.RescaleIntercept, RescaleSlope=item.RescaleSlope, RescaleType=item.RescaleType
    )
    kind = _one(FrameType=item.ImageType)
    if is_ct:
        frame.CTImageFrameTypeSequence = kind
    else:
        frame.MRImageFrameTypeSequence = kind
    return frame


def _one(**values: Any) -> DicomSequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return DicomSequence([item])


@dataclass(frozen=True)
class Measured:
    """How far a volume's bodies are from the truth."""

    large_off_mm: float
    small_off_mm: float
    large_ratio: float
    small_ratio: float
    level_off_hu: float

    def is_right(self, *, place_mm: float = 1.5, large: float = 0.06, small: float = 0.12) -> bool:
        return (
            max(self.large_off_mm, self.small_off_mm) <= place_mm
            and abs(self.large_ratio - 1) <= large
            and abs(self.small_ratio - 1) <= small
            and self.level_off_hu <= 25
        )


def measure(volume: Volume, truth: SeriesTruth) -> Measured | None:
    """Return how far the two bodies are off, or None when there are not exactly two."""
    return measure_array(volume.voxels, volume.grid.points, volume.grid.voxel_ml, truth)


def measure_array(
    voxels: NDArray[Any], points: Callable[[FloatArray], FloatArray], voxel_ml: float, truth: SeriesTruth
) -> Measured | None:
    """The same for any array whose `points` maps its indices to LPS mm."""
    labels, count = ndimage.label(voxels > -450)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    bodies = [n for n in range(1, count + 1) if sizes[n] * voxel_ml > 0.2]
    dense = [n for n in bodies if voxels[labels == n].max() > 900]
    if len(bodies) != 2 or len(dense) != 1:
        return None
    other = next(n for n in bodies if n not in dense)
    figures = []
    for number, body in ((other, truth.large), (dense[0], truth.small)):
        level = (body.level_hu + AIR_HU) / 2
        inside = np.argwhere((labels == number) & (voxels > level))
        centre = points(inside.astype(float)).mean(axis=0)
        core = np.linalg.norm((points(inside.astype(float)) - centre) / body.radii_mm, axis=1) < 0.5
        found = float(np.median(voxels[tuple(inside[core].T)])) if core.any() else np.inf
        figures.append(
            (
                float(np.linalg.norm(centre - body.centre_mm)),
                len(inside) * voxel_ml / body.volume_ml,
                abs(found - body.level_hu),
            )
        )
    (large_off, large_ratio, large_hu), (small_off, small_ratio, small_hu) = figures
    return Measured(large_off, small_off, large_ratio, small_ratio, max(large_hu, small_hu))
