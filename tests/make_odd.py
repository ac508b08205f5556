# ruff: noqa: E501 - a table reads as rows
"""Odd CT series: every way in which a real study has misled a reader, each with how it may end.

`ODD_SERIES` maps a sentence to a `Case`. A case writes a folder; both the tests and the benchmark run it, with
signed and with unsigned pixels. `endings` names the reason codes that are right: with ``OK`` or a resampling
code the two bodies must be where the truth says; any other code is a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from tests.make import (
    AXIAL,
    CORONAL,
    LARGE,
    SAGITTAL,
    SMALL,
    Coding,
    Edit,
    Header,
    Placing,
    SeriesTruth,
    density,
    format_ds,
    hu_at,
    make_ct_series,
    set_pixels,
    shuffled,
    stored,
    uid,
)

PLAIN, HEADER = Placing(), Header()
SHAPE = PLAIN.shape
COUNT = SHAPE[0]
MIDDLE = COUNT // 2


@dataclass(frozen=True)
class Case:
    """An odd series: how to write it, and the codes in which it may end."""

    make: Callable[[Path, Coding], SeriesTruth]
    endings: tuple[str, ...]


def series(
    *endings: str,
    placing: Placing = PLAIN,
    header: Header = HEADER,
    edit: Edit | None = None,
    is_enhanced: bool = False,
    **coding: Any,
) -> Case:
    """Return a case of one series, made by the arguments of `make_ct_series`."""

    def make(folder: Path, base: Coding) -> SeriesTruth:
        return make_ct_series(
            folder,
            placing=placing,
            header=header,
            edit=edit,
            is_enhanced=is_enhanced,
            coding=replace(base, **coding),
        )

    return Case(make, endings)


def each(change: Callable[[Dataset, int], None], *, only: Callable[[int], bool] = lambda k: True) -> Edit:
    """Return an edit that changes the slices whose place in the stack satisfies `only`."""

    def edit(slices: list[Dataset]) -> list[Dataset]:
        for k, item in enumerate(slices):
            if only(k):
                change(item, k)
        return slices

    return edit


def without(*places: int) -> Edit:
    return lambda slices: [item for k, item in enumerate(slices) if k not in places]


def copies(places: range, *, has_new_uid: bool, change: Callable[[Dataset, int], None] | None = None) -> Edit:
    """Return an edit that repeats the slices at `places`."""

    def edit(slices: list[Dataset]) -> list[Dataset]:
        more = []
        for k in places:
            item = deepcopy(slices[k])
            if has_new_uid:
                item.SOPInstanceUID = uid("copy", k, item.SOPInstanceUID)
            if change:
                change(item, k)
            more.append(item)
        return [*slices, *more]

    return edit


def put(**values: Any) -> Callable[[Dataset, int], None]:
    def change(item: Dataset, k: int) -> None:
        for keyword, value in values.items():
            setattr(item, keyword, value)

    return change


def drop(*keywords: str) -> Callable[[Dataset, int], None]:
    def change(item: Dataset, k: int) -> None:
        for keyword in keywords:
            if keyword in item:
                delattr(item, keyword)

    return change


def moved(*, mm: tuple[float, float, float]) -> Callable[[Dataset, int], None]:
    def change(item: Dataset, k: int) -> None:
        position = np.array([float(v) for v in item.ImagePositionPatient]) + mm
        item.ImagePositionPatient = [format_ds(v) for v in position]

    return change


def brighter(by: int) -> Callable[[Dataset, int], None]:
    """Change the pixels a little: another reconstruction of the same place."""

    def change(item: Dataset, k: int) -> None:
        values = stored(item)
        values[20:28, 20:28] += values.dtype.type(by)
        item.PixelData = values.tobytes()

    return change


def both(*changes: Callable[[Dataset, int], None]) -> Callable[[Dataset, int], None]:
    def change(item: Dataset, k: int) -> None:
        for one in changes:
            one(item, k)

    return change


def chain(*edits: Edit) -> Edit:
    def edit(slices: list[Dataset]) -> list[Dataset]:
        for one in edits:
            slices = one(slices)
        return slices

    return edit


def rescaled(item: Dataset, k: int) -> None:
    """Store the same densities with another slope and intercept in each slice."""
    coding = Coding(bool(item.PixelRepresentation), item.BitsAllocated, item.BitsStored)
    set_pixels(item, density(item), coding, slope=0.5 + 0.25 * (k % 3), intercept=-1024.0 - 8 * (k % 5))


def with_localizer(slices: list[Dataset]) -> list[Dataset]:
    """Add a coronal scout of another size, in the same series."""
    scout = deepcopy(slices[MIDDLE])
    scout.SOPInstanceUID = uid("scout")
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = list(CORONAL)
    scout.ImagePositionPatient = [-60, -20, 90]
    return [scout, *slices]


def with_unmarked_localizer(slices: list[Dataset]) -> list[Dataset]:
    scout, *rest = with_localizer(slices)
    scout.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    return [scout, *rest]


def with_dose_report(slices: list[Dataset]) -> list[Dataset]:
    report = deepcopy(slices[0])
    report.SOPClassUID = SecondaryCaptureImageStorage
    report.SOPInstanceUID = uid("dose")
    report.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    drop("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")(report, 0)
    return [*slices, report]


def wandering(slices: list[Dataset]) -> list[Dataset]:
    """Slices whose first pixel wanders: the field of view follows it, so the body stays where it is."""
    placing = Placing()
    for k, item in enumerate(slices):
        away = np.array([1.5 * np.sin(k), 1.2 * np.cos(k), 0.0])
        position = placing.planes()[k] + away
        r, c = np.mgrid[0 : SHAPE[1], 0 : SHAPE[2]]
        points = position + np.stack([c * placing.spacing_mm[2], r * placing.spacing_mm[1], 0 * c], axis=-1)
        intercept = float(item.RescaleIntercept)
        coding = Coding(bool(item.PixelRepresentation), intercept=intercept)
        set_pixels(item, hu_at(points, (LARGE, SMALL)), coding)
        item.ImagePositionPatient = [format_ds(v) for v in position]
    return slices


def second_pass(change: Callable[[Dataset, int], None]) -> Edit:
    """Scan everything again with brighter pixels, and tell the pass by `change`."""
    return copies(range(COUNT), has_new_uid=True, change=both(brighter(40), change))


def tilted(degrees: float) -> Placing:
    """Return slices as a scanner with a tilted gantry writes them: tilted planes, table along z."""
    angle = np.deg2rad(degrees)
    orientation = (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(np.sin(angle)))
    return Placing(orientation=orientation, tilt_deg=degrees)


def oblique() -> Placing:
    turn = _turn((1.0, 2.0, 0.5), 25.0)
    return Placing(orientation=tuple(float(v) for v in np.concatenate([turn[:, 0], turn[:, 1]])))


def _turn(axis: tuple[float, float, float], degrees: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    turn: np.ndarray[Any, np.dtype[np.float64]] = (
        np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    )
    return turn


def offsets(steps: np.ndarray[Any, Any]) -> tuple[float, ...]:
    places = np.concatenate([[0.0], np.cumsum(steps)])
    return tuple(float(v) for v in places - places[-1] / 2)


def two_series(folder: Path, coding: Coding) -> SeriesTruth:
    """A thin soft series and a thick bone series of the same body, in one folder."""
    thick = Placing((20, 48, 52), (4.0, 2.0, 1.9))
    header = Header("b", kernel="B70f", series_number=2)
    make_ct_series(folder, placing=thick, coding=coding, header=header)
    return make_ct_series(folder, coding=coding)


def moved_acquisitions(folder: Path, coding: Coding) -> SeriesTruth:
    """Two acquisitions in one series, interleaved by half a step, the patient 12 mm away in the second."""
    away = (LARGE, SMALL)
    moved_bodies = tuple(
        replace(body, centre_mm=(body.centre_mm[0] + 12, *body.centre_mm[1:])) for body in away
    )
    make_ct_series(
        folder,
        placing=replace(Placing(), centre_mm=(1.0, -2.0, 4.0)),
        coding=coding,
        header=Header("z", acquisition=2),
        bodies=moved_bodies,
        edit=each(put(SeriesInstanceUID=uid("a", "series"))),
    )
    return make_ct_series(folder, coding=coding)


def cut_file(
    folder: Path, coding: Coding, *, syntax: str = ExplicitVRLittleEndian, place: int = MIDDLE
) -> SeriesTruth:
    truth = make_ct_series(folder, coding=replace(coding, transfer_syntax=syntax))
    path = truth.files[place]
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    return truth


def foreign_files(folder: Path, coding: Coding) -> SeriesTruth:
    truth = make_ct_series(folder, coding=coding)
    (folder / "0notes.txt").write_text("not DICOM")
    return truth


def dose_report_only(folder: Path, coding: Coding) -> SeriesTruth:
    return make_ct_series(folder, coding=coding, edit=lambda slices: with_dose_report(slices)[-1:])


def garbage_bits(item: Dataset, k: int) -> None:
    """Store 12 bits and put something into the four above, as overlays once did."""
    coding = Coding(bool(item.PixelRepresentation), 16, 12)
    set_pixels(
        item, density(item), coding, slope=1, intercept=-1024.0 if not item.PixelRepresentation else 0.0
    )
    words = np.frombuffer(item.PixelData, "<u2").copy()
    rng = np.random.default_rng(k)
    words = (words & 0x0FFF) | (rng.integers(0, 16, words.size).astype("<u2") << np.uint16(12))
    item.PixelData = words.astype("<u2").tobytes()


def mixed_flip(item: Dataset, k: int) -> None:
    """Turn a slice by 180 degrees in its plane: true geometry, but not the stack's orientation."""
    values = stored(item)[::-1, ::-1]
    rows, columns = values.shape
    row, column = np.array(AXIAL[:3]), np.array(AXIAL[3:])
    spacing = [float(v) for v in item.PixelSpacing]
    far = row * spacing[1] * (columns - 1) + column * spacing[0] * (rows - 1)
    moved(mm=tuple(far))(item, k)
    item.ImageOrientationPatient = [-v for v in AXIAL]
    item.PixelData = values.tobytes()


def padded(value_hu: int) -> Edit:
    def change(item: Dataset, k: int) -> None:
        values = stored(item)
        stored_value = value_hu - int(float(item.RescaleIntercept))
        # An unsigned file holds -2000 as 63536, as scanners have written it.
        padding = np.array([stored_value % 65536], np.uint16).view(values.dtype)[0]
        rows, columns = np.mgrid[0 : SHAPE[1], 0 : SHAPE[2]]
        values[np.hypot(rows - (SHAPE[1] - 1) / 2, columns - (SHAPE[2] - 1) / 2) > SHAPE[1] / 2] = padding
        item.PixelData = values.tobytes()
        item.add_new(0x00280120, "SS" if item.PixelRepresentation else "US", int(padding))

    return each(change)


def unnumbered(item: Dataset, k: int) -> None:
    element = DataElement(0x00200032, "DS", "", validation_mode=config.IGNORE)
    element._value = MultiValue(str, ["0", "NaN", "4"])
    item[0x00200032] = element


def upper(k: int) -> bool:
    return k >= MIDDLE


_RNG = np.random.default_rng(3)
_CHANGED_STEPS = offsets(np.where(np.arange(24) < 12, 2.0, 4.0))
_UNEVEN_STEPS = offsets(2.0 + 0.35 * np.sin(np.arange(COUNT - 1)))
_ROUGH_STEPS = offsets(2.0 + 0.6 * np.sin(np.arange(COUNT - 1)))
_NOISY = offsets(2.0 + _RNG.uniform(-0.03, 0.03, COUNT - 1))

ODD_SERIES: Mapping[str, Case] = {
    "clean": series("OK"),
    "reversed file order": series("OK", edit=lambda slices: slices[::-1]),
    "random instance numbers and file names": series("OK", edit=shuffled),
    "all instance numbers equal": series("OK", edit=each(put(InstanceNumber=1))),
    "sagittal": series("OK", placing=Placing(orientation=SAGITTAL)),
    "coronal": series("OK", placing=Placing(orientation=CORONAL)),
    "oblique": series("OK", placing=oblique()),
    "feet first": series("OK", edit=each(put(PatientPosition="FFS"))),
    "prone, scanned feet first": series("OK", placing=Placing(orientation=(-1, 0, 0, 0, -1, 0)), edit=each(put(PatientPosition="FFP"))),
    "decubitus": series("OK", placing=Placing(orientation=(0, 1, 0, -1, 0, 0))),
    "non-square pixels": series("OK", placing=Placing((40, 64, 40), (2.0, 1.5, 2.5))),
    "RLE": series("OK", transfer_syntax=RLELossless),
    "JPEG 2000": series("OK", transfer_syntax=JPEG2000Lossless),
    "rescale differs in each slice": series("OK", edit=each(rescaled)),
    "12 bits of 16 with garbage above": series("OK", edit=each(garbage_bits)),
    "noise in the positions": series("OK", placing=Placing(offsets_mm=_NOISY)),
    "positions rounded to 0.1 mm": series("OK", placing=Placing((48, 48, 52), (1.6667, 2.0, 1.9)), edit=each(lambda i, k: setattr(i, "ImagePositionPatient", [f"{float(v):.1f}" for v in i.ImagePositionPatient]))),
    "slice thickness tells another story": series("OK", edit=each(put(SliceThickness="5", SpacingBetweenSlices="-3"))),
    "header tilt without tilted positions": series("OK", edit=each(put(GantryDetectorTilt="15"))),
    "padding of -2000 outside the circle": series("OK", edit=padded(-2000)),
    "padding of -3024 outside the circle": series("OK", edit=padded(-3024)),
    "padding that looks like tissue": series("OK", edit=padded(300)),
    "MONOCHROME1": series("OK", edit=each(put(PhotometricInterpretation="MONOCHROME1"))),
    "enhanced multi-frame": series("OK", is_enhanced=True),
    "enhanced, frames in random order": series("OK", is_enhanced=True, edit=shuffled),
    "enhanced, rescale per frame": series("OK", is_enhanced=True, edit=each(rescaled)),
    "enhanced, compressed": series("OK", is_enhanced=True, transfer_syntax=RLELossless),
    "enhanced, tilted": series("GANTRY_TILT", is_enhanced=True, placing=tilted(15)),
    "gantry tilt 15 degrees": series("GANTRY_TILT", placing=tilted(15), edit=each(put(GantryDetectorTilt="15"))),
    "gantry tilt -20 degrees, header says 0": series("GANTRY_TILT", placing=tilted(-20), edit=each(put(GantryDetectorTilt="0"))),
    "sheared axial planes": series("GANTRY_TILT", placing=Placing(tilt_deg=15)),
    "a gantry tilt of 50 degrees": series("GANTRY_TILT!", placing=tilted(50)),
    "two slices missing": series("MISSING_SLICES!", edit=without(14, 15)),
    "two slices missing at different places": series("MISSING_SLICES!", edit=without(9, 27)),
    "every other slice missing above the middle": series("UNEVEN_SPACING!", "MISSING_SLICES!", edit=without(*range(21, COUNT, 2))),
    "spacing changes from 2 to 4 mm": series("UNEVEN_SPACING!", "MISSING_SLICES!", placing=Placing(offsets_mm=_CHANGED_STEPS)),
    "steps vary by 1.2 mm": series("UNEVEN_SPACING!", placing=Placing(offsets_mm=_ROUGH_STEPS)),
    "steps vary by 0.7 mm": series("UNEVEN_SPACING", placing=Placing(offsets_mm=_UNEVEN_STEPS)),
    "slices that wander by 1.5 mm in their plane": series("SHIFTED_SLICES", placing=Placing(), edit=wandering),
    "one slice shifted by 30 mm in its plane": series("SHIFTED_SLICES!", edit=each(moved(mm=(30, 0, 0)), only=lambda k: k == 12)),
    "five copies with the same UID": series("OK", edit=copies(range(10, 15), has_new_uid=False)),
    "five copies with new UIDs": series("OK", edit=copies(range(10, 15), has_new_uid=True)),
    "every slice copied with a new UID": series("OK", edit=chain(copies(range(COUNT), has_new_uid=True), shuffled)),
    "five places with other pixels": series("SAME_PLACE_DIFFERENT_PIXELS!", edit=copies(range(10, 15), has_new_uid=True, change=brighter(40))),
    "same UID, other pixels": series("SAME_PLACE_DIFFERENT_PIXELS!", edit=copies(range(10, 15), has_new_uid=False, change=brighter(40))),
    "two acquisitions over each other": series("OK", edit=chain(second_pass(put(AcquisitionNumber=2)), shuffled)),
    "two acquisitions, patient moved between": Case(moved_acquisitions, ("OK",)),
    "two passes told apart by time only": series("OK", edit=chain(each(put(AcquisitionTime="101500.0")), second_pass(put(AcquisitionTime="101700.0")))),
    "two passes told apart by nothing": series("SAME_PLACE_DIFFERENT_PIXELS!", edit=second_pass(put())),
    "4-D, temporal positions": series("OK", edit=chain(each(put(TemporalPositionIdentifier=1)), second_pass(put(TemporalPositionIdentifier=2)), shuffled)),
    "4-D, cardiac phases": series("OK", edit=chain(each(put(NominalPercentageOfCardiacPhase=30.0)), second_pass(put(NominalPercentageOfCardiacPhase=75.0)))),
    "two kernels in one series": series("OK", edit=second_pass(put(ConvolutionKernel="B70f"))),
    "localizer inside the series": series("OK", edit=with_localizer),
    "localizer that does not say so": series("OK", edit=with_unmarked_localizer),
    "dose report inside the series": series("OK", edit=with_dose_report),
    "a slice turned within its plane": series("MIXED_ORIENTATION!", edit=each(mixed_flip, only=lambda k: k == 12)),
    "upper half turned within its plane": series("MIXED_ORIENTATION!", edit=each(mixed_flip, only=upper)),
    "every second slice turned": series("MIXED_ORIENTATION!", edit=each(mixed_flip, only=lambda k: k % 2 == 1)),
    "no position, no orientation": series("NO_ORIENTATION!", "NO_POSITION!", edit=each(drop("ImagePositionPatient", "ImageOrientationPatient"))),
    "no position": series("NO_POSITION!", edit=each(drop("ImagePositionPatient"))),
    "one slice without position": series("NO_POSITION!", edit=each(drop("ImagePositionPatient"), only=lambda k: k == 12)),
    "no orientation": series("NO_ORIENTATION!", edit=each(drop("ImageOrientationPatient"))),
    "a position that is not a number": series("NO_POSITION!", edit=each(unnumbered, only=lambda k: k == 3)),
    "an orientation that is no rotation": series("ORIENTATION_INVALID!", edit=each(put(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]))),
    "an orientation of zeros": series("ORIENTATION_INVALID!", edit=each(put(ImageOrientationPatient=[0] * 6))),
    "pixel spacing zero": series("PIXEL_SPACING_INVALID!", edit=each(put(PixelSpacing=["0", "0"]))),
    "no pixel spacing": series("PIXEL_SPACING_INVALID!", edit=each(drop("PixelSpacing"))),
    "pixel spacing differs": series("PIXEL_SPACING_VARIES!", edit=each(put(PixelSpacing=["1", "1"]), only=upper)),
    "matrix size differs": series("MATRIX_VARIES!", edit=each(lambda i, k: set_pixels(i, density(i)[:40], Coding(bool(i.PixelRepresentation))), only=upper)),
    "frames of reference mixed": series("FRAME_OF_REFERENCE_VARIES!", edit=each(put(FrameOfReferenceUID=uid("other")), only=upper)),
    "one slice only": series("TOO_FEW_SLICES!", edit=lambda slices: slices[:1]),
    "all slices at one place": series("SAME_PLACE_DIFFERENT_PIXELS!", "TOO_FEW_SLICES!", edit=each(put(ImagePositionPatient=[0, 0, 0]))),
    "two series in one folder": Case(two_series, ("OK",)),
    "rescale type is not HU": series("NOT_HOUNSFIELD!", edit=each(put(RescaleType="MGML"))),
    "rescale type left out": series("OK", edit=each(drop("RescaleType"))),
    "rescale type emptied": series("NOT_HOUNSFIELD!", edit=each(put(RescaleType=""))),
    "no rescale": series("NOT_HOUNSFIELD!", edit=each(drop("RescaleSlope", "RescaleIntercept", "RescaleType"))),
    "rescale slope of zero": series("RESCALE_INVALID!", edit=each(put(RescaleSlope="0"), only=lambda k: k == 7)),
    "a magnetic resonance study": series("WRONG_MODALITY!", header=Header(modality="MR")),
    "a dose report only": Case(dose_report_only, ("NOT_SLICES!",)),
    "a localizer only": series("LOCALIZER_ONLY!", header=Header(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))),
    "projections": series("NOT_SLICES!", header=Header(image_type=("DERIVED", "SECONDARY", "AXIAL", "MIP"))),
    "colour": series("NOT_SLICES!", edit=each(put(SamplesPerPixel=3, PhotometricInterpretation="RGB"))),
    "one file cut short": Case(cut_file, ("TRUNCATED!",)),
    "one compressed file cut short": Case(lambda f, c: cut_file(f, c, syntax=RLELossless), ("TRUNCATED!",)),
    "the last file cut short": Case(lambda f, c: cut_file(f, c, place=COUNT - 1), ("TRUNCATED!",)),
    "a text file among the slices": Case(foreign_files, ("OK",)),
}  # fmt: skip
"""A code with ``!`` is a refusal; without, the volume must be right."""
