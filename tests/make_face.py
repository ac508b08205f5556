"""A head of ellipsoids with a face whose landmarks are known, written as DICOM in any arrangement of slices.

Everything is in LPS millimetres around the head's centre. Nothing of it is anybody's.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import uid as uids
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from tests import make_raw

FRAME = f"{make_raw.ROOT}.77"
Part = tuple[tuple[float, float, float], tuple[float, float, float], float]

# Centre and semi-axes in mm (left, back, up), and HU; later parts are painted over earlier ones.
HEAD: tuple[Part, ...] = (
    ((0, 15, -80), (50, 55, 60), 45),  # neck
    ((0, -66, -80), (48, 34, 50), 45),  # jaw and cheeks
    ((0, -96, -68), (9, 20, 16), 35),  # nose
    ((0, -84, -100), (22, 20, 6), 40),  # lips
    ((81, 5, -35), (5, 14, 22), 35),  # ears
    ((-81, 5, -35), (5, 14, 22), 35),
    ((0, 0, 0), (78, 98, 88), 40),
    ((0, 0, 0), (72, 92, 82), 1000),
    ((0, 0, 0), (65, 85, 75), 30),
    ((0, -60, -88), (8, 25, 8), -1000),  # airway
)
SKULL: Part = ((0, 0, 0), (72, 92, 82), 1000)
BRAIN: Part = ((0, 0, 0), (65, 85, 75), 30)
TRUNK: tuple[Part, ...] = (((0, 0, 0), (150, 110, 900), 40), ((0, 60, 0), (18, 18, 900), 600))
KNEE: tuple[Part, ...] = (
    ((0, 0, 0), (58, 62, 900), 40),
    ((0, 0, 0), (30, 28, 900), 900),
    ((0, 0, 0), (24, 22, 900), 60),
)
LANDMARKS_MM = {
    "tip of the nose": (0.0, -112.0, -68.0),
    "left wing of the nose": (6.0, -104.0, -72.0),
    "right wing of the nose": (-6.0, -104.0, -72.0),
    "lips": (0.0, -101.0, -100.0),
    "left cheek": (26.0, -91.0, -80.0),
    "right cheek": (-26.0, -91.0, -80.0),
}
EAR_TIPS_MM = ((84.0, 5.0, -35.0), (-84.0, 5.0, -35.0))
Levels = NDArray[np.float64]


def mirrored(part: Part, axis: int) -> Part:
    """Return an ellipsoid on the other side of the head, front to back (1) or top to bottom (2)."""
    (left, back, up), axes, level = part
    return ((left, -back, up) if axis == 1 else (left, back, -up)), axes, level


def inside(part: Part, points: Levels) -> NDArray[np.bool_]:
    """Return which points, shape (..., 3), lie in an ellipsoid."""
    centre, axes, _ = part
    held: NDArray[np.bool_] = (((points - np.array(centre)) / np.array(axes)) ** 2).sum(axis=-1) <= 1
    return held


def levels_hu(points: Levels, parts: Sequence[Part] = HEAD) -> Levels:
    """Return Hounsfield units at LPS points, shape (..., 3)."""
    found: Levels = np.full(points.shape[:-1], -1000.0)
    for part in parts:
        found[inside(part, points)] = part[2]
    return found


def levels_mr(points: Levels, parts: Sequence[Part] = HEAD) -> Levels:
    """Return the levels of a T1-like picture: air and skull dark, brain and flesh bright."""
    hu = levels_hu(points, parts)
    levels: Levels = np.where(hu < -500, 5.0, np.where(hu > 500, 20.0, 300.0 + 4 * (hu - 30)))
    return levels


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How slices lie: unit vectors of rows and columns, the way from slice to slice, sizes in mm and pixels.

    `step` is the vector from one slice to the next, mm; a tilted gantry's leans against the plane.
    `skips` names slices that are missing, `repeats` slices that come twice. The head may turn
    to its left or nod, by degrees.
    """

    across: tuple[float, float, float] = (1.0, 0.0, 0.0)
    down: tuple[float, float, float] = (0.0, 1.0, 0.0)
    step: tuple[float, float, float] = (0.0, 0.0, 4.0)
    centre: tuple[float, float, float] = (0.0, -6.0, -20.0)
    size: tuple[int, int, int] = (56, 84, 70)
    pixel_mm: float = 3.0
    skips: tuple[int, ...] = ()
    repeats: tuple[int, ...] = ()
    turned_deg: float = 0.0
    nods_deg: float = 0.0

    def in_head(self, points: Levels) -> Levels:
        """Return LPS points in the head's own axes, shape (..., 3)."""
        turn, nod = np.radians(self.turned_deg), np.radians(self.nods_deg)
        c, s = np.cos(turn), np.sin(turn)
        about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        c, s = np.cos(nod), np.sin(nod)
        about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        result: Levels = points @ (about_z @ about_x)
        return result

    def points(self, index: int) -> Levels:
        """Return the LPS places of a slice's pixels, shape (rows, columns, 3)."""
        slices, rows, columns = self.size
        across, down, step = (np.array(v) for v in (self.across, self.down, self.step))
        middle = np.array(self.centre) + (index - (slices - 1) / 2) * step
        r = (np.arange(rows) - (rows - 1) / 2)[:, None, None] * self.pixel_mm
        c = (np.arange(columns) - (columns - 1) / 2)[None, :, None] * self.pixel_mm
        places: Levels = middle + r * down + c * across
        return places

    def numbers(self) -> list[int]:
        """Return which slices are written, some twice."""
        return [n for n in range(self.size[0]) if n not in self.skips] + list(self.repeats)


AXIAL = Arrangement()
_TURN = np.radians(14.0)
ARRANGEMENTS = {
    "axial": AXIAL,
    "from the top down": Arrangement(step=(0.0, 0.0, -4.0)),
    "upside down in the plane": Arrangement(across=(-1.0, 0.0, 0.0), down=(0.0, -1.0, 0.0)),
    "mirrored in the plane": Arrangement(across=(-1.0, 0.0, 0.0)),
    "sagittal": Arrangement(
        across=(0.0, 1.0, 0.0), down=(0.0, 0.0, -1.0), step=(3.0, 0.0, 0.0), size=(66, 75, 84)
    ),
    "coronal": Arrangement(down=(0.0, 0.0, -1.0), step=(0.0, 3.0, 0.0), size=(82, 75, 70)),
    "oblique": Arrangement(
        across=(1.0, 0.0, 0.0),
        down=(0.0, float(np.cos(_TURN)), float(np.sin(_TURN))),
        step=(0.0, float(-3 * np.sin(_TURN)), float(3 * np.cos(_TURN))),
        size=(80, 88, 70),
    ),
    "tilted gantry": Arrangement(
        down=(0.0, float(np.cos(_TURN)), float(np.sin(_TURN))), step=(0.0, 0.0, 3.0), size=(80, 90, 70)
    ),
    "with gaps": Arrangement(skips=(7, 18, 19, 30)),
    "slices twice": Arrangement(repeats=(3, 9, 30, 31)),
    "turned by 30 degrees": Arrangement(turned_deg=30.0),
    "turned by -35 degrees": Arrangement(turned_deg=-35.0),
    "nodding": Arrangement(nods_deg=15.0),
    "looking up": Arrangement(nods_deg=-15.0),
    "thick slices": Arrangement(step=(0.0, 0.0, 5.0), size=(44, 84, 70)),
}


def make_slices(
    arrangement: Arrangement = AXIAL,
    parts: Sequence[Part] = HEAD,
    *,
    modality: str = "CT",
    series: int = 1,
    frame: str = FRAME,
    syntax: str = uids.ExplicitVRLittleEndian,
    slope: float = 1.0,
) -> list[Dataset]:
    """Return a series of slices, shuffled the same way each time."""
    rng = np.random.default_rng(series)
    level = levels_hu if modality == "CT" else levels_mr
    made = []
    for place, index in enumerate(arrangement.numbers()):
        values = level(arrangement.in_head(arrangement.points(index)), parts) + rng.normal(
            0, 4, arrangement.size[1:]
        )
        made.append(_slice(values, arrangement, index, place, modality, series, frame, syntax, slope))
    order = rng.permutation(len(made))
    return [made[n] for n in order]


def _slice(
    values: Levels,
    arrangement: Arrangement,
    index: int,
    place: int,
    modality: str,
    series: int,
    frame: str,
    syntax: str,
    slope: float,
) -> Dataset:
    ds = make_raw.ct_slice(place)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SeriesInstanceUID = f"{make_raw.ROOT}.{series}"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{make_raw.ROOT}.{series}.{place + 1}"
    ds.FrameOfReferenceUID, ds.Modality, ds.BodyPartExamined = frame, modality, "KNEE"
    if modality != "CT":
        sop_class = {"MR": uids.MRImageStorage, "PT": uids.PositronEmissionTomographyImageStorage}[modality]
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.ImagePositionPatient = [round(float(v), 4) for v in arrangement.points(index)[0, 0]]
    ds.ImageOrientationPatient = [round(float(v), 6) for v in (*arrangement.across, *arrangement.down)]
    ds.PixelSpacing = [arrangement.pixel_mm, arrangement.pixel_mm]
    ds.RescaleSlope = slope
    ds.RescaleIntercept = -1024 if modality == "CT" else 0
    stored = np.clip(np.rint((values - float(ds.RescaleIntercept)) / slope), 0, 4095).astype(np.uint16)
    make_raw.set_pixels(ds, stored)
    if syntax in (uids.RLELossless, uids.JPEG2000Lossless, uids.JPEGLSLossless):
        ds.file_meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
        ds.compress(syntax, generate_instance_uid=False)
    return ds


def write(slices: Sequence[Dataset], folder: Path, *, start: int = 0) -> list[Path]:
    """Write data sets as numbered files and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, ds in enumerate(slices, start=start):
        path = folder / f"{number:06d}"
        stream = io.BytesIO()
        ds.save_as(stream, enforce_file_format=True)
        path.write_bytes(stream.getvalue())
        paths.append(path)
    return paths


def enhanced(slices: Sequence[Dataset]) -> Dataset:
    """Return the slices as one enhanced multi-frame CT."""
    first = slices[0]
    ds = make_raw.ct_slice(0)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(ds, keyword)
    del ds.RescaleIntercept
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uids.EnhancedCTImageStorage
    ds.FrameOfReferenceUID, ds.NumberOfFrames = first.FrameOfReferenceUID, len(slices)
    shared = Dataset()
    shared.PlaneOrientationSequence = _one(ImageOrientationPatient=first.ImageOrientationPatient)
    shared.PixelMeasuresSequence = _one(PixelSpacing=first.PixelSpacing, SliceThickness=3.0)
    shared.PixelValueTransformationSequence = _one(
        RescaleSlope=first.RescaleSlope, RescaleIntercept=first.RescaleIntercept, RescaleType="HU"
    )
    ds.SharedFunctionalGroupsSequence = Items([shared])
    groups = []
    for item in slices:
        group = Dataset()
        group.PlanePositionSequence = _one(ImagePositionPatient=item.ImagePositionPatient)
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Items(groups)
    make_raw.set_pixels(ds, first.pixel_array)
    ds.NumberOfFrames = len(slices)
    ds.PixelData = b"".join(item.PixelData for item in slices)
    return ds


def _one(**values: object) -> Items:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Items([item])


def structure_set(contours: Sequence[Levels], frame: str = FRAME) -> Dataset:
    """Return a structure set of closed contours, each of shape (points, 3)."""
    ds = make_raw.ct_slice(0)
    for keyword in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "PixelSpacing", "BitsAllocated"):
        delattr(ds, keyword)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uids.RTStructureSetStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{make_raw.ROOT}.500.1"
    ds.Modality, ds.FrameOfReferenceUID = "RTSTRUCT", frame
    ds.ReferencedFrameOfReferenceSequence = _one(FrameOfReferenceUID=frame)
    items = Items()
    for points in contours:
        item = Dataset()
        item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
        item.ContourData = [f"{value:.4f}" for value in points.ravel()]
        items.append(item)
    roi = Dataset()
    roi.ReferencedROINumber, roi.ContourSequence = 1, items
    ds.ROIContourSequence = Items([roi])
    return ds


def dose(arrangement: Arrangement, frame: str = FRAME) -> Dataset:
    """Return a dose grid that is 1 everywhere, on the slices of an arrangement."""
    ds = make_raw.ct_slice(0)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uids.RTDoseStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{make_raw.ROOT}.501.1"
    ds.Modality, ds.FrameOfReferenceUID = "RTDOSE", frame
    ds.ImagePositionPatient = [float(v) for v in arrangement.points(0)[0, 0]]
    ds.ImageOrientationPatient = [float(v) for v in (*arrangement.across, *arrangement.down)]
    ds.PixelSpacing = [arrangement.pixel_mm, arrangement.pixel_mm]
    slices, rows, columns = arrangement.size
    step = float(np.linalg.norm(arrangement.step))
    ds.GridFrameOffsetVector = [n * step for n in range(slices)]
    ds.Rows, ds.Columns, ds.NumberOfFrames = rows, columns, slices
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 32, 32, 31
    ds.PixelData = np.ones((slices, rows, columns), dtype="<u4").tobytes()
    return ds


def stl(triangles: Levels, frame: str = FRAME) -> Dataset:
    """Return an Encapsulated STL of triangles, shape (n, 3, 3), LPS mm."""
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", 9), ("attribute", "<u2")])
    table = np.zeros(len(triangles), dtype=kind)
    table["corners"] = triangles.reshape(-1, 9)
    model = bytes(80) + len(table).to_bytes(4, "little") + table.tobytes()
    ds = make_raw.ct_slice(0)
    for keyword in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "PixelSpacing", "BitsAllocated"):
        delattr(ds, keyword)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uids.EncapsulatedSTLStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{make_raw.ROOT}.502.1"
    ds.Modality, ds.FrameOfReferenceUID = "M3D", frame
    ds.MIMETypeOfEncapsulatedDocument = "model/stl"
    ds.MeasurementUnitsCodeSequence = _one(CodeValue="mm", CodingSchemeDesignator="UCUM", CodeMeaning="mm")
    ds.EncapsulatedDocument = model + b"\0" * (len(model) % 2)
    return ds


class EllipsoidBrain:
    """Finds the brain of this phantom by its level and its dark skull, where a network would stand."""

    def find(
        self, voxels: NDArray[np.float32], spacing_mm: tuple[float, float, float]
    ) -> NDArray[np.bool_] | None:
        """Return the largest piece at the brain's level that the dark skull encloses."""
        from scipy import ndimage

        bright = (voxels > 200) & (voxels < 320)
        labels, count = ndimage.label(ndimage.binary_erosion(bright))
        middle = tuple(n // 2 for n in voxels.shape)
        if count == 0 or labels[middle] == 0:
            return None
        brain: NDArray[np.bool_] = ndimage.binary_dilation(labels == labels[middle])
        ml = float(brain.sum() * np.prod(spacing_mm) / 1000)
        return brain if 500 < ml < 2300 else None
