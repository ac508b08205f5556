"""What a slice's header says about where it lies and what its numbers mean.

A `Frame` is one slice: a single-frame file, or one frame of an enhanced object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipelines.geometry.elements import Elements

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


NO_INDEX = -1
"""Index of a frame that cannot be told from the others of its file."""


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
    """Stored numbers to physical ones: value = slope * stored + intercept (PS3.3 C.11.1).

    `kind` is None when the header has no Rescale Type, and empty when somebody emptied it.
    """

    slope: float | None
    intercept: float | None
    kind: str | None
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
    shows_face: bool = False


@dataclass(frozen=True, slots=True)
class FileContent:
    """What one file holds: its series, and its frames (none when it is no image)."""

    series_uid: str
    modality: str
    frames: tuple[Frame, ...]


def rescale_of(header: Elements) -> Rescale:
    """Return the rescale of a dataset or of a Pixel Value Transformation item."""
    return Rescale(
        header.number("RescaleSlope"),
        header.number("RescaleIntercept"),
        header.text("RescaleType").upper() if header.is_present("RescaleType") else None,
        bool(header.items("ModalityLUTSequence")),
    )


def open_at(layout: PixelLayout) -> IO[bytes]:
    """Return the file of a frame, open at its pixel data element."""
    stream = layout.path.open("rb")
    stream.seek(layout.offset)
    return stream
