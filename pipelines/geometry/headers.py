"""Reads the headers of files into frames. Only the tags named here are read; the rest never enters memory."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from pipelines.geometry.elements import Elements, tag
from pipelines.geometry.enhanced import enhanced_frames
from pipelines.geometry.frames import NO_INDEX, FileContent, Frame, PixelLayout, rescale_of

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
    "RecognizableVisualFeatures",     "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip

_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    AttributeError,
    TypeError,
    IndexError,
    NotImplementedError,
    OverflowError,
    BytesLengthException,
    struct.error,
    zlib.error,
)
"""What pydicom raises on a header that is damaged."""


class FileUnreadable(Exception):
    """The header is damaged or ends too early; series and modality are empty when it does not tell them."""

    def __init__(self, series_uid: str, modality: str) -> None:
        super().__init__("the header is damaged")
        self.series_uid = series_uid
        self.modality = modality


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
    header, syntax, offset = _open(path)
    series_uid, modality = header.text("SeriesInstanceUID"), header.text("Modality")
    if not header.word("Rows") or not series_uid:
        return FileContent(series_uid, modality, ())
    try:
        frame = _frame(header, _layout(header, path, syntax, offset))
        has_groups = bool(header.items("PerFrameFunctionalGroupsSequence"))
        frames = enhanced_frames(header, frame) if has_groups else (_single(frame),)
    except _BROKEN:
        raise FileUnreadable(series_uid, modality) from None
    return FileContent(series_uid, modality, frames)


def _open(path: Path) -> tuple[Elements, str, int]:
    """Return the header, the transfer syntax, and where the pixel data starts (-1 when deflated)."""
    try:
        with disable_value_validation(), path.open("rb") as stream:  # its warnings quote header values
            dataset = dcmread(stream, stop_before_pixels=True, specific_tags=[tag(k) for k in _KEYWORDS])
            syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
            return (
                Elements(dataset),
                syntax,
                -1 if syntax == DeflatedExplicitVRLittleEndian else stream.tell(),
            )
    except InvalidDicomError:
        raise NotDicom from None
    except _BROKEN:
        raise FileUnreadable("", "") from None


def _single(frame: Frame) -> Frame:
    """Return the frame of a plain file; of a multi-frame file without functional groups, one to turn away.

    Such a file has one place at most for all its frames.
    """
    if frame.layout.count == 1:
        return frame
    return replace(frame, layout=replace(frame.layout, index=NO_INDEX))


def _layout(header: Elements, path: Path, syntax: str, offset: int) -> PixelLayout:
    if not header.word("Columns"):
        raise ValueError("an image without columns")
    allocated = header.word("BitsAllocated") or 0
    stored = header.word("BitsStored") or allocated
    high = header.word("HighBit")
    return PixelLayout(
        path=path,
        transfer_syntax=syntax,
        offset=offset,
        index=0,
        count=header.integer("NumberOfFrames") or 1,
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
        series_number=header.integer("SeriesNumber") or 0,
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
        is_lossy=header.text("LossyImageCompression") == "01" or layout.transfer_syntax in _LOSSY,
        shows_face=header.text("RecognizableVisualFeatures").upper() == "YES",
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
