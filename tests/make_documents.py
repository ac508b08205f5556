"""Small real documents: a PDF, a mesh, a video, and every place inside them where a word can hide."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

VIDEO_FRAMES = 5
_TRIANGLE = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4")


def pdf(
    text: str = "No lesion.",
    *,
    content: bytes = b"",
    catalog: str = "",
    page: str = "",
    info: str = "",
    objects: Mapping[int, bytes] | None = None,
    header: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """Return a PDF of one page.

    Parameters
    ----------
    text : str
        Written on the page in Helvetica.
    content : bytes
        Further operators of the page's content stream.
    catalog, page, info : str
        Further entries of these dictionaries; `info` makes the Info dictionary.
    objects : mapping
        Further objects, by number from 10 on, without ``obj`` and ``endobj``.
    header, tail : bytes
        What follows the first line, and what follows the end.
    """
    drawn = b"BT /F1 12 Tf 20 150 Td (" + text.encode("latin-1") + b") Tj ET " + content
    parts = {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>".encode("latin-1"),
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R "
        f"/Resources << /Font << /F1 5 0 R >> >> {page} >>".encode("latin-1"),
        4: stream(drawn),
        5: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        6: f"<< {info} >>".encode("latin-1"),
        **(objects or {}),
    }
    out, places = io.BytesIO(), {}
    out.write(b"%PDF-1.7\n" + header)
    for number, body in sorted(parts.items()):
        places[number] = out.tell()
        out.write(b"%d 0 obj\n" % number + body + b"\nendobj\n")
    return out.getvalue() + _table(places, out.tell(), root=1, info=6) + tail


def _table(
    places: Mapping[int, int], start: int, *, root: int, info: int, previous: int | None = None
) -> bytes:
    """Return a cross-reference table, its trailer and the end of a PDF."""
    rows = [b"xref\n"] if previous is not None else [b"xref\n0 1\n0000000000 65535 f \n"]
    rows += [b"%d 1\n%010d 00000 n \n" % (number, place) for number, place in sorted(places.items())]
    before = f"/Prev {previous}" if previous is not None else ""
    trailer = f"trailer << /Size {max(places) + 1} /Root {root} 0 R /Info {info} 0 R {before} >>\n"
    return b"".join(rows) + trailer.encode() + b"startxref\n%d\n%%%%EOF\n" % start


def revised(first: bytes, number: int, body: bytes) -> bytes:
    """Return a PDF with an incremental update that replaces one object; the old one stays in the file."""
    place = len(first)
    whole = first + b"%d 0 obj\n" % number + body + b"\nendobj\n"
    previous = int(first.rsplit(b"startxref\n", 1)[1].split()[0])
    return whole + _table({number: place}, len(whole), root=1, info=6, previous=previous)


def stream(data: bytes, entries: str = "", *, is_packed: bool = True) -> bytes:
    """Return a PDF stream object, deflated."""
    packed = zlib.compress(data) if is_packed else data
    how = "/Filter /FlateDecode" if is_packed else ""
    return f"<< /Length {len(packed)} {how} {entries} >>\nstream\n".encode() + packed + b"\nendstream"


def stl(header: bytes = b"", *, attribute: bytes = b"", tail: bytes = b"") -> bytes:
    """Return a binary STL of eight triangles; `attribute` is spread over their attribute bytes."""
    attribute = attribute[:16].ljust(16, b"\0")
    triangles = [_TRIANGLE.tobytes() + attribute[2 * k : 2 * k + 2] for k in range(8)]
    return header[:80].ljust(80, b"\0") + struct.pack("<L", 8) + b"".join(triangles) + tail


def text_stl(name: str = "skull", *, tail: str = "") -> bytes:
    """Return an STL in its text form."""
    corners = "\n".join(f"      vertex {x} {y} {z}" for x, y, z in _TRIANGLE[1:])
    facet = f"  facet normal 0 0 1\n    outer loop\n{corners}\n    endloop\n  endfacet"
    return f"solid {name}\n{facet}\nendsolid {name}\n{tail}".encode()


def obj(*lines: str) -> bytes:
    """Return a Wavefront OBJ of one triangle with further lines."""
    plain = ("v 0 0 0", "v 1 0 0", "v 0 1 0", "f 1 2 3")
    return "\n".join((*lines, *plain, "")).encode()


@lru_cache(maxsize=32)
def _encoded(tags: tuple[tuple[str, str], ...], note: str, container: str) -> bytes:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        for key, value in tags:
            target.metadata[key] = value
        lane: Any = target.add_stream("libx264", rate=25)
        lane.width, lane.height, lane.pix_fmt = 64, 64, "yuv420p"
        lane.options = {"preset": "ultrafast", "x264-params": "threads=1"}
        frames = [
            av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 + 8 * k, np.uint8), "rgb24")
            for k in range(VIDEO_FRAMES)
        ]
        packets = [packet for frame in (*frames, None) for packet in lane.encode(frame)]
        if note:
            packets[0] = _annotated(packets[0], note)
        target.mux(packets)
    return out.getvalue()


def _annotated(packet: Any, note: str) -> Any:
    """Return a packet with a note in front of its picture: user data in an SEI unit (H.264 D.2.6)."""
    import av

    payload = bytes(range(16)) + note.encode()
    unit = b"\x06\x05" + bytes([len(payload)]) + payload + b"\x80"
    marked = av.Packet(b"\0\0\0\1" + unit + bytes(packet))
    marked.pts, marked.dts, marked.time_base, marked.stream = (
        packet.pts,
        packet.dts,
        packet.time_base,
        packet.stream,
    )
    marked.is_keyframe = packet.is_keyframe
    return marked


def mp4(*, tags: Mapping[str, str] | None = None, note: str = "", container: str = "mp4") -> bytes:
    """Return five frames of H.264 in a container, with tags and a note in the code stream (SEI user data)."""
    return _encoded(tuple(sorted((tags or {}).items())), note, container)


def atom(name: bytes, data: bytes) -> bytes:
    """Return one box of an MP4 file."""
    return struct.pack(">L4s", 8 + len(data), name) + data
