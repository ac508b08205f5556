"""Films inside DICOM: sound, tracks and notes are taken off, every frame is read, text is painted over.

A film without text keeps its compressed pictures byte for byte, in a container that says nothing else. One
with text cannot be compressed again without loss in its own syntax: its frames are stored in JPEG-LS.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anonymize.denylist import DenyList
from anonymize.elements import ParsedFile, broken
from anonymize.pictures import (
    ALLOCATED,
    COLUMNS,
    FRAMES,
    HIGH_BIT,
    PHOTOMETRIC,
    PLANAR,
    ROWS,
    SAMPLES,
    SIGNED,
    STORED,
    fragments_of,
    png_of,
)
from anonymize.pixels import TextBox, TextFinder, boxes_to_fill, fill_boxes, outlined
from anonymize.rewriting import JPEG_LS, encapsulated, jpeg_ls_stream, with_values

MOST_STREAM_BYTES = 2 << 30
MOST_FRAMES = 10_000
MOST_REWRITTEN_BYTES = 8 << 30
"""Decoded size up to which a film with text is stored frame by frame; a larger one is held."""
_CODECS = {"mpeg2video": "178", "mpeg1video": "178", "h264": "6", "hevc": "39|40"}
"""Codecs of the standard's films, and the units in them that carry user data (SEI, user_data)."""
_HEVC_SETS = (32, 33, 34)
"""Units that a HEVC decoder needs: parameter sets of film, sequence and picture."""
_CONTAINERS = {"mpegts": "mpegts", "mpeg": "vob", "mpegvideo": "mpeg2video", "h264": "h264", "hevc": "hevc"}
_BLOCK_PX = 8
_SAME_BLOCK = 3.0

Picture = NDArray[np.uint8]


class CleanFilm(NamedTuple):
    """A file whose film is clean: frames read, boxes filled, what an officer must know, and a picture.

    `picture` is a PNG of the first frame that was changed, its boxes outlined; empty when none was.
    """

    parsed: ParsedFile
    frames: int
    boxes: int
    notes: tuple[str, ...] = ()
    picture: bytes = b""


def is_film(syntax: str) -> bool:
    """Return whether a transfer syntax is one of the standard's films (MPEG-2, H.264, HEVC)."""
    family, _, rest = syntax.partition("1.2.840.10008.1.2.4.")
    number = rest.split(".")[0]
    return not family and number.isdigit() and 100 <= int(number) <= 108


def without_identity(
    parsed: ParsedFile,
    finder: TextFinder | None,
    deny: DenyList,
    *,
    verdict: Sequence[TextBox] | None = None,
) -> CleanFilm:
    """Return the file with its film clean.

    Parameters
    ----------
    verdict : sequence of TextBox or None
        A person's boxes: exactly these are filled on every frame, and nothing is read.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE`` when the film cannot be played here, ``NO_TEXT_FINDER``, ``TEXT_REMAINS``,
        ``TOO_LARGE``, ``VIDEO_TEXT`` when a film with text is too large to be stored frame by frame.
    """
    if finder is None and verdict is None:
        raise broken("NO_TEXT_FINDER")
    film = _film_of(parsed)
    bare, notes = _bare_film(film)
    if verdict is not None:
        boxes = [tuple(verdict)] * sum(1 for _ in pictures_of(film))
    else:
        assert finder is not None
        boxes = list(map(_film_reader(finder, deny), pictures_of(film)))
    if any(boxes):
        return _repainted(parsed, film, boxes, notes, frames_read=0 if verdict is not None else len(boxes))
    return CleanFilm(encapsulated(parsed, [bare], 1), 0 if verdict is not None else len(boxes), 0, notes)


def _film_of(parsed: ParsedFile) -> bytes:
    fragments, _ = fragments_of(parsed)
    if sum(end - start for start, end in fragments) > MOST_STREAM_BYTES:
        raise broken("TOO_LARGE")
    return b"".join(bytes(parsed.buffer[start:end]) for start, end in fragments)


def pictures_of(film: bytes) -> Iterator[Picture]:
    """Give the frames of a film, shape (rows, columns, 3), RGB.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE``, ``TOO_LARGE``.
    """
    import av

    count = 0
    try:
        with _opened(film) as source:
            for frame in source.decode(_video_lane(source)):
                count += 1
                if count > MOST_FRAMES:
                    raise broken("TOO_LARGE")
                yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    except (av.FFmpegError, ValueError, IndexError):
        raise broken("PIXELS_UNREADABLE") from None
    if not count:
        raise broken("PIXELS_UNREADABLE")


def picture_of(parsed: ParsedFile, frame: int = 0) -> Picture:
    """Return a frame of a file's film, shape (rows, columns, 3), RGB; its last when it is shorter.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE``, ``TOO_LARGE``.
    """
    for number, shown in enumerate(pictures_of(_film_of(parsed))):  # noqa: B007 - the last one counts
        if number == frame:
            break
    return shown


def _opened(film: bytes) -> Any:
    """Return a film to read from; a transport stream is known by its first packets, however short it is."""
    import av

    is_transport = film[:1] == film[188:189] == b"G"
    return av.open(io.BytesIO(film), format="mpegts" if is_transport else None)


def _video_lane(source: Any) -> Any:
    """Return the one lane of pictures in a film."""
    lanes = source.streams.video
    if len(lanes) != 1 or lanes[0].codec_context.name not in _CODECS:
        raise broken("PIXELS_UNREADABLE")
    return lanes[0]


def _bare_film(film: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a film's pictures, compressed as they were, and nothing else; and what was left out."""
    import av

    out = io.BytesIO()
    try:
        with _opened(film) as source:
            lane = _video_lane(source)
            notes = _lane_notes(source)
            container = _container(source.format.name)
            with av.open(out, "w", format=container, options=_writing(container)) as target:
                _copy_pictures(source, lane, target)
    except (av.FFmpegError, ValueError, IndexError):
        raise broken("PIXELS_UNREADABLE") from None
    _check_same(film, out.getvalue())
    return out.getvalue(), notes


def _check_same(film: bytes, bare: bytes) -> None:
    """Hold a film whose frames would not be the same without what was taken off."""
    try:
        pairs = zip(pictures_of(film), pictures_of(bare), strict=True)
        if all(np.array_equal(before, after) for before, after in pairs):
            return
    except ValueError:
        pass
    raise broken("PIXELS_UNREADABLE")


def _container(name: str) -> str:
    """Return the container to write for one that was read; those of the MP4 family become MP4."""
    return next((_CONTAINERS[part] for part in name.split(",") if part in _CONTAINERS), "mp4")


def _writing(container: str) -> dict[str, str]:
    """Return how to write a container: no program's name, no time, no bit rates of the film before."""
    return {"fflags": "+bitexact"} | ({"write_btrt": "0"} if container == "mp4" else {})


def _lane_notes(source: Any) -> tuple[str, ...]:
    others = len(source.streams) - 1
    if source.streams.audio:
        return ("sound was removed",)
    return ("tracks besides the pictures were removed",) if others else ()


def _copy_pictures(source: Any, lane: Any, target: Any) -> None:
    """Copy the packets of one lane without the units that carry user data."""
    from av.bitstream import BitStreamFilterContext

    copy = target.add_stream_from_template(lane)
    copy.metadata.clear()
    codec = lane.codec_context
    strip = BitStreamFilterContext(f"filter_units=remove_types={_CODECS[codec.name]}", lane, copy)
    if codec.name == "hevc" and (sets := _parameter_sets(codec.extradata)):
        copy.codec_context.extradata = sets  # the filter takes user data out of packets only
    for packet in source.demux(lane):
        if packet.dts is None and not packet.size:
            continue
        for kept in strip.filter(packet):
            kept.stream = copy
            target.mux(kept)


def _parameter_sets(record: bytes | None) -> bytes:
    """Return the parameter sets of HEVC's configuration record, each behind a start code (14496-15 8.3.2).

    User data that the record may keep beside them is left out; nothing for any other record.
    """
    if not record or record[0] != 1 or len(record) < 23:
        return b""
    kept, position = list[bytes](), 23
    for _ in range(record[22]):
        kind, count = record[position] & 0x3F, int.from_bytes(record[position + 1 : position + 3], "big")
        position += 3
        for _ in range(count):
            length = int.from_bytes(record[position : position + 2], "big")
            kept += [record[position + 2 : position + 2 + length]] if kind in _HEVC_SETS else []
            position += 2 + length
    return b"".join(b"\0\0\0\1" + unit for unit in kept)


def _film_reader(finder: TextFinder, deny: DenyList) -> Callable[[Picture], tuple[TextBox, ...]]:
    """Return a reader of frames in order; it gives the boxes of a frame that must be filled.

    A frame in which nothing has changed that could be a letter since the last one that was read takes over
    its boxes: no block of 8 x 8 pixels differs by more than 3 grey levels in the mean.
    """
    known: dict[bytes, tuple[TextBox, ...]] = {}
    last: list[tuple[Picture, tuple[TextBox, ...]]] = []

    def read(picture: Picture) -> tuple[TextBox, ...]:
        content = hashlib.sha256(picture.tobytes()).digest()
        if content in known:
            return known[content]
        if last and _is_same(picture, last[0][0]):
            return last[0][1]
        still = last[0][1] if last else ()
        still = tuple(box for box in still if _is_same(_part(picture, box), _part(last[0][0], box)))
        known[content] = boxes_to_fill(picture, finder, deny, still)
        last[:] = [(picture, known[content])]
        return known[content]

    return read


def _part(picture: Picture, box: TextBox) -> Picture:
    return picture[box.top : box.bottom, box.left : box.right]


def _is_same(picture: Picture, other: Picture) -> bool:
    """Return whether no block of two pictures differs by more than noise."""
    if picture.shape != other.shape:
        return False
    difference = np.abs(picture.astype(np.int16) - other.astype(np.int16)).max(axis=-1)
    rows, columns = (-size % _BLOCK_PX for size in difference.shape)
    padded = np.pad(difference, ((0, rows), (0, columns)))
    blocks = padded.reshape(padded.shape[0] // _BLOCK_PX, _BLOCK_PX, -1, _BLOCK_PX)
    return bool(blocks.mean(axis=(1, 3)).max(initial=0) <= _SAME_BLOCK)


def _repainted(
    parsed: ParsedFile,
    film: bytes,
    boxes: Sequence[tuple[TextBox, ...]],
    notes: tuple[str, ...],
    *,
    frames_read: int,
) -> CleanFilm:
    """Return the file with every frame stored in JPEG-LS, its boxes filled."""
    shape = next(pictures_of(film)).shape
    if int(np.prod(shape)) * len(boxes) > MOST_REWRITTEN_BYTES:
        raise broken("VIDEO_TEXT")
    shown = list[bytes]()

    def streams() -> Iterator[bytes]:
        for picture, found in zip(pictures_of(film), boxes, strict=True):
            fill_boxes(picture, found)
            if found and not shown:
                shown.append(png_of(outlined(picture, found)))
            yield jpeg_ls_stream(picture)

    stored = encapsulated(_described(parsed, shape, len(boxes)), streams(), len(boxes))
    told = (
        *notes,
        "stored frame by frame in JPEG-LS without loss, because films can only be redone with loss",
    )
    return CleanFilm(stored, frames_read, sum(map(len, boxes)), told, shown[0] if shown else b"")


def _described(parsed: ParsedFile, shape: Sequence[int], frames: int) -> ParsedFile:
    """Return the file described as frames of 8-bit RGB."""
    little = parsed.encoding.is_little
    numbers = {ROWS: shape[0], COLUMNS: shape[1], SAMPLES: 3, PLANAR: 0, ALLOCATED: 8, STORED: 8, HIGH_BIT: 7}
    values: dict[int, tuple[str, bytes]] = {
        tag: ("US", number.to_bytes(2, "little" if little else "big"))
        for tag, number in {**numbers, SIGNED: 0}.items()
    }
    values[PHOTOMETRIC] = ("CS", b"RGB")
    values[FRAMES] = ("IS", str(frames).encode())
    return parsed._replace(elements=with_values(parsed.elements, values), syntax=JPEG_LS)
