"""What a slice's header says about where it lies and what its numbers mean.

A `Frame` is one slice: a single-frame file, or one frame of an enhanced object. Only the tags named here are
read; nothing else of the header enters memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pipelines.geometry.elements import Elements, tag

Point = tuple[float, float, float]

_KEYWORDS = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "FrameOfReferenceUID",
    "Modality", "ImageType", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SliceThickness", "GantryDetectorTilt", "Rows", "Columns", "SamplesPerPixel",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "NumberOfFrames", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "AcquisitionNumber", "TemporalPositionIdentifier",
    "TemporalPositionIndex", "TriggerTime", "NominalPercentageOfCardiacPhase", "EchoNumbers", "EchoTime",
    "DiffusionBValue", "KVP", "ConvolutionKernel", "AcquisitionDateTime", "AcquisitionDate",
    "AcquisitionTime", "BodyPartExamined", "ContrastBolusAgent", "ContrastBolusAgentSequence",
    "ContrastBolusVolume", "ContrastBolusRoute", "LossyImageCompression", "ExtendedOffsetTable",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip

TRAITS: Mapping[str, str] = {
    "stack": "stack",
    "temporal": "temporal position",
    "phase": "cardiac phase",
    "trigger": "trigger time",
    "acquisition": "acquisition",
    "echo": "echo",
    "b_value": "b-value",
    "energy": "tube voltage",
    "kernel": "kernel",
    "kind": "image type",
}
"""What may tell apart two stacks of one series, in the order it is tried, and what a person calls it."""


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How the stored numbers of a frame lie in its file."""

    path: Path
    transfer_syntax: str
    offset: int
    """Where the pixel data element starts; -1 when the dataset is deflated."""
    index: int
    count: int
    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    extended_offsets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rescale:
    """Stored numbers to physical ones: value = slope * stored + intercept (PS3.3 C.11.1)."""

    slope: float | None
    intercept: float | None
    kind: str
    has_table: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice: where it lies, what it is, how to read it. Values are as the header has them."""

    layout: PixelLayout
    series_uid: str
    series_number: int
    sop_uid: str
    sop_class: str
    frame_of_reference: str
    modality: str
    image_type: tuple[str, ...]
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    tilt_deg: float
    rescale: Rescale
    padding: tuple[int, int] | None
    kernel: str
    traits: Mapping[str, str]
    time: str
    body_part: str
    contrast: str
    is_lossy: bool


@dataclass(frozen=True, slots=True)
class FileContent:
    """What one file holds: its series, and its frames (none when it is no image)."""

    series_uid: str
    modality: str
    frames: tuple[Frame, ...]


_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    AttributeError,
    TypeError,
    IndexError,
    NotImplementedError,
)
"""What pydicom raises on a header that is damaged."""


class FileUnreadable(Exception):
    """The header is damaged or ends too early."""


class NotDicom(Exception):
    """The file is not DICOM at all."""


def read_file(path: Path) -> FileContent:
    """Return what a DICOM file says about its slices.

    Raises
    ------
    FileUnreadable
        If the header cannot be parsed.
    NotDicom
        If the file lacks the mark of a DICOM file (PS3.10 7.1).
    """
    # Imported here: `enhanced` builds on `Frame`.
    from pipelines.geometry.enhanced import enhanced_frames

    try:
        with path.open("rb") as stream:
            dataset = dcmread(stream, stop_before_pixels=True, specific_tags=[tag(k) for k in _KEYWORDS])
            syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
            offset = -1 if syntax == DeflatedExplicitVRLittleEndian else stream.tell()
        header = Elements(dataset)
        is_image = bool(header.word("Rows")) and bool(header.text("SeriesInstanceUID"))
        if not is_image:
            return FileContent(header.text("SeriesInstanceUID"), header.text("Modality"), ())
        frame = _frame(header, _layout(header, path, syntax, offset))
        has_groups = bool(header.items("PerFrameFunctionalGroupsSequence"))
        # A multi-frame object without functional groups has one place at most for all its frames: it stays
        # one frame, which the pixel format check turns away.
        frames = enhanced_frames(header, frame) if has_groups else (frame,)
    except InvalidDicomError:
        raise NotDicom from None
    except _BROKEN:
        raise FileUnreadable from None
    return FileContent(frame.series_uid, frame.modality, frames)


def _layout(header: Elements, path: Path, syntax: str, offset: int) -> PixelLayout:
    allocated = header.word("BitsAllocated") or 0
    stored = header.word("BitsStored") or allocated
    high = header.word("HighBit")
    return PixelLayout(
        path=path,
        transfer_syntax=syntax,
        offset=offset,
        index=0,
        count=int(header.number("NumberOfFrames") or 1),
        rows=header.word("Rows") or 0,
        columns=header.word("Columns") or 0,
        samples=header.word("SamplesPerPixel") or 1,
        photometric=header.text("PhotometricInterpretation"),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high is None else high,
        is_signed=header.word("PixelRepresentation") == 1,
        extended_offsets=_extended_offsets(header),
    )


def _extended_offsets(header: Elements) -> tuple[int, ...]:
    if tag("ExtendedOffsetTable") not in header.dataset:
        return ()
    raw: Any = header.dataset[tag("ExtendedOffsetTable")].value or b""
    return tuple(int.from_bytes(raw[n : n + 8], "little") for n in range(0, len(raw), 8))


def _frame(header: Elements, layout: PixelLayout) -> Frame:
    return Frame(
        layout=layout,
        series_uid=header.text("SeriesInstanceUID"),
        series_number=int(header.number("SeriesNumber") or 0),
        sop_uid=header.text("SOPInstanceUID"),
        sop_class=header.text("SOPClassUID"),
        frame_of_reference=header.text("FrameOfReferenceUID"),
        modality=header.text("Modality"),
        image_type=tuple(part.upper() for part in header.texts("ImageType")),
        position=header.numbers("ImagePositionPatient"),
        orientation=header.numbers("ImageOrientationPatient"),
        spacing_mm=header.numbers("PixelSpacing"),
        tilt_deg=header.number("GantryDetectorTilt") or 0.0,
        rescale=rescale_of(header),
        padding=_padding(header, is_signed=layout.is_signed),
        kernel=header.text("ConvolutionKernel"),
        traits=_traits(header),
        time=header.text("AcquisitionDateTime")
        or header.text("AcquisitionDate") + header.text("AcquisitionTime"),
        body_part=header.text("BodyPartExamined"),
        contrast=_contrast(header),
        is_lossy=header.text("LossyImageCompression") == "01",
    )


def rescale_of(header: Elements) -> Rescale:
    """Return the rescale of a dataset or of a Pixel Value Transformation item."""
    return Rescale(
        header.number("RescaleSlope"),
        header.number("RescaleIntercept"),
        header.text("RescaleType").upper(),
        bool(header.items("ModalityLUTSequence")),
    )


def _padding(header: Elements, *, is_signed: bool) -> tuple[int, int] | None:
    value = header.word("PixelPaddingValue", is_signed=is_signed)
    if value is None:
        return None
    limit = header.word("PixelPaddingRangeLimit", is_signed=is_signed)
    other = value if limit is None else limit
    return min(value, other), max(value, other)


def _traits(header: Elements) -> dict[str, str]:
    return {
        "stack": "",
        "temporal": header.text("TemporalPositionIdentifier") or header.converted("TemporalPositionIndex"),
        "phase": header.converted("NominalPercentageOfCardiacPhase"),
        "trigger": header.text("TriggerTime"),
        "acquisition": header.text("AcquisitionNumber"),
        "echo": header.text("EchoNumbers") or header.text("EchoTime"),
        "b_value": header.converted("DiffusionBValue"),
        "energy": header.text("KVP"),
        "kernel": header.text("ConvolutionKernel"),
        "kind": "/".join(header.texts("ImageType")),
    }


def _time(header: Elements) -> str:
    whole = header.text("AcquisitionDateTime")
    return whole or header.text("AcquisitionDate") + header.text("AcquisitionTime")


def _contrast(header: Elements) -> str:
    if header.items("ContrastBolusAgentSequence"):
        return "yes"
    agent = header.text("ContrastBolusAgent").upper()
    if agent in ("NONE", "NO", "NATIVE", "WITHOUT", "W/O"):
        return "no"
    volume = header.number("ContrastBolusVolume")
    if volume == 0:
        return "no"
    return "yes" if agent or volume or header.has("ContrastBolusRoute") else "unknown"


def open_at(layout: PixelLayout) -> IO[bytes]:
    """Return the file of a frame, open at its pixel data element."""
    stream = layout.path.open("rb")
    stream.seek(layout.offset)
    return stream
