"""Documents inside DICOM: a PDF becomes pictures of its pages without what identifies, a mesh bare numbers.

Nothing of the old document is copied: no text layer, metadata, attachment, annotation, script, comment, name,
header or colour byte. The same document gives the same bytes.
"""

from __future__ import annotations

import ctypes
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anonymize.elements import Element, ParsedFile, broken
from anonymize.pictures import png_of
from anonymize.pixels import MOST_ROUNDS, SURE_SCORE, TextBox, TextFinder, fill_boxes, outlined
from anonymize.text import TextCleaner

DOCUMENT, DOCUMENT_LENGTH = 0x00420011, 0x00420015
DOTS_PER_INCH = 170
MOST_PAGES = 2000
_LARGEST_SIDE_PX = 4000
_LEAST_SCORE = 0.6
_MOST_MM = 1e6

Picture = NDArray[np.uint8]


class CleanDocument(NamedTuple):
    """A file whose document is clean: pages read, boxes filled, and what an officer must know.

    `picture` is a PNG of the first page that was changed, its boxes outlined; empty when none was.
    """

    parsed: ParsedFile
    pages: int = 0
    boxes: int = 0
    notes: tuple[str, ...] = ()
    picture: bytes = b""


class Mesh(NamedTuple):
    """A surface: vertices, shape (n, 3), in mm (LPS), and triangles, shape (m, 3), as numbers of vertices."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]


class _Word(NamedTuple):
    """A word of a page's text layer, and its box in the page's picture."""

    text: str
    box: TextBox


def document_of(parsed: ParsedFile) -> bytes:
    """Return the encapsulated document, without padding where its length is known.

    Raises
    ------
    StudyUnreadable
        ``DOCUMENT_UNREADABLE`` when there is none.
    """
    values = {element.tag: element.value for element in parsed.elements}
    value = values.get(DOCUMENT, b"")
    if not value:
        raise broken("DOCUMENT_UNREADABLE")
    told = values.get(DOCUMENT_LENGTH, b"")
    length = struct.unpack("<L" if parsed.encoding.is_little else ">L", told)[0] if len(told) == 4 else 0
    return value[:length] if 0 < length <= len(value) else value


def with_document(parsed: ParsedFile, document: bytes) -> ParsedFile:
    """Return the file with another document, judged and clean, and its length."""
    length = struct.pack("<L" if parsed.encoding.is_little else ">L", len(document))
    kept = [element for element in parsed.elements if element.tag not in (DOCUMENT, DOCUMENT_LENGTH)]
    kept.append(Element(DOCUMENT, "OB", document + bytes(len(document) % 2), is_cleared=True))
    kept.append(Element(DOCUMENT_LENGTH, "UL", length))
    return parsed._replace(elements=tuple(sorted(kept, key=lambda element: element.tag)))


def without_identity(
    parsed: ParsedFile,
    kind: str,
    *,
    finder: TextFinder | None,
    cleaner: TextCleaner,
    verdict: Sequence[TextBox] | None = None,
) -> CleanDocument:
    """Return the file with its document clean.

    Parameters
    ----------
    kind : str
        Name of the object in PS3.3, such as ``encapsulated-pdf``.
    verdict : sequence of TextBox or None
        A person's boxes, in the pixels of `page_picture`: they are filled on every page, nothing is read.

    Raises
    ------
    StudyUnreadable
        ``DOCUMENT_UNREADABLE`` when it is broken, encrypted or not what it says, ``DOCUMENT_REFUSED`` for
        kinds that this release does not judge (CDA), ``NO_TEXT_FINDER``, ``TEXT_REMAINS``, ``TOO_LARGE``.
    """
    if kind == "encapsulated-pdf":
        return _clean_pdf(parsed, finder, cleaner, verdict)
    if kind in ("encapsulated-stl", "encapsulated-obj"):
        mesh = read_mesh(document_of(parsed), kind)
        return CleanDocument(with_document(parsed, write_mesh(mesh, kind)))
    if kind == "encapsulated-mtl":
        return CleanDocument(with_document(parsed, _clean_materials(document_of(parsed))))
    raise broken("DOCUMENT_REFUSED")


# ---------------------------------------------------------------- PDF


def _clean_pdf(
    parsed: ParsedFile,
    finder: TextFinder | None,
    cleaner: TextCleaner,
    verdict: Sequence[TextBox] | None,
) -> CleanDocument:
    if finder is None and verdict is None:
        raise broken("NO_TEXT_FINDER")
    pages, boxes, shown = list[_Page](), 0, b""
    for picture, words, size in _pages(document_of(parsed)):
        if verdict is not None:
            found = tuple(verdict)
        else:
            assert finder is not None
            found = _boxes_to_fill(picture, words, finder, cleaner)
        fill_boxes(picture, found)
        if found and not shown:
            shown = png_of(outlined(picture, found))
        boxes += len(found)
        pages.append(_Page(_packed(picture), picture.shape[1], picture.shape[0], _is_grey(picture), size))
    document = _written_pdf(pages)
    note = "pages are stored as pictures, without text that can be searched"
    return CleanDocument(with_document(parsed, document), len(pages), boxes, (note,), shown)


def page_picture(document: bytes, page: int = 0) -> Picture:
    """Return a page of a PDF as it is judged: shape (rows, columns, 3), RGB, 170 dots an inch.

    Raises
    ------
    StudyUnreadable
        ``DOCUMENT_UNREADABLE``.
    """
    for number, (picture, _, _) in enumerate(_pages(document)):
        if number == page:
            return picture
    raise broken("DOCUMENT_UNREADABLE")


def _pages(document: bytes) -> Iterator[tuple[Picture, list[_Word], tuple[float, float]]]:
    """Give each page's picture, the words of its text layer, and its size in points."""
    import pypdfium2

    if b"%PDF-" not in document[:1024]:
        raise broken("DOCUMENT_UNREADABLE")
    try:
        source = pypdfium2.PdfDocument(document)
    except pypdfium2.PdfiumError:
        raise broken("DOCUMENT_UNREADABLE") from None
    try:
        if not len(source):
            raise broken("DOCUMENT_UNREADABLE")
        if len(source) > MOST_PAGES:
            raise broken("TOO_LARGE")
        for number in range(len(source)):
            yield _page(source, number)
    except (pypdfium2.PdfiumError, ValueError):
        raise broken("DOCUMENT_UNREADABLE") from None
    finally:
        source.close()


def _page(source: Any, number: int) -> tuple[Picture, list[_Word], tuple[float, float]]:
    page = source[number]
    width, height = page.get_size()
    if not 1 <= min(width, height) <= max(width, height) <= 14400:
        raise broken("DOCUMENT_UNREADABLE")
    scale = min(DOTS_PER_INCH / 72, _LARGEST_SIDE_PX / max(width, height))
    bitmap = page.render(scale=scale, may_draw_forms=False, draw_annots=False, rev_byteorder=True)
    picture = np.array(bitmap.to_numpy())[..., :3]
    picture = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture.copy()
    words = _words(page, picture.shape[1], picture.shape[0])
    page.close()
    # a trifle less than the pixels, so that a second rendering has as many
    size = (np.floor(np.array(picture.shape[1::-1]) / scale * 1000) / 1000).tolist()
    return picture, words, (size[0], size[1])


def _words(page: Any, width: int, height: int) -> list[_Word]:
    """Return the words of a page's text layer, seen or unseen, with their boxes in its picture."""
    layer = page.get_textpage()
    words, letters, boxes = list[_Word](), "", list[tuple[int, int, int, int]]()
    for index in range(layer.count_chars()):
        letter = layer.get_text_range(index, 1)
        if letter.strip():
            letters += letter
            boxes.append(_place(page, layer.get_charbox(index, loose=True), width, height))
        elif letters:
            words.append(_word(letters, boxes))
            letters, boxes = "", []
    layer.close()
    return [*words, _word(letters, boxes)] if letters else words


def _place(page: Any, edges: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right in the picture of a box in the page's own coordinates."""
    from pypdfium2 import raw

    left, bottom, right, top = edges
    columns, rows = [], []
    for x, y in ((left, top), (right, bottom)):
        column, row = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(page.raw, 0, 0, width, height, 0, x, y, column, row)
        columns.append(column.value)
        rows.append(row.value)
    return min(rows), max(rows) + 1, min(columns), max(columns) + 1


def _word(letters: str, boxes: Sequence[tuple[int, int, int, int]]) -> _Word:
    tops, bottoms, lefts, rights = zip(*boxes, strict=True)
    edges = (max(min(tops), 0), max(max(bottoms), 0), max(min(lefts), 0), max(max(rights), 0))
    return _Word(letters, TextBox(*edges, letters, 1.0))


def _boxes_to_fill(
    picture: Picture, words: Sequence[_Word], finder: TextFinder, cleaner: TextCleaner
) -> tuple[TextBox, ...]:
    """Return what must be filled on a page: by its text layer, then by reading it until nothing is left.

    Raises
    ------
    StudyUnreadable
        ``TEXT_REMAINS``.
    """
    unsafe = cleaner.unsafe_words([word.text for word in words])
    boxes = [word.box for word, must_go in zip(words, unsafe, strict=True) if must_go]
    filled = picture.copy()
    fill_boxes(filled, boxes)
    for turn in range(MOST_ROUNDS):
        lines = finder.find(filled)
        wanted = [box for line in lines for box in _unsafe_parts(line, cleaner, as_whole=turn > 0)]
        if not wanted:
            return tuple(boxes)
        fill_boxes(filled, wanted)
        boxes += wanted
    raise broken("TEXT_REMAINS")


def _unsafe_parts(line: TextBox, cleaner: TextCleaner, *, as_whole: bool) -> list[TextBox]:
    """Return the parts of a line that was read which must go; the whole line where reading is unsure."""
    words = line.text.split()
    if not words:
        return [line]
    unsafe = [
        gone or cleaner.deny.resembles(word)
        for gone, word in zip(cleaner.unsafe_words(words), words, strict=True)
    ]
    if line.score < _LEAST_SCORE or (any(unsafe) and (as_whole or line.score < SURE_SCORE)):
        return [line]
    return [_part(line, index) for index, gone in enumerate(unsafe) if gone]


def _part(line: TextBox, index: int) -> TextBox:
    """Return about where a word of a line stands, a letter more on either side."""
    words = line.text.split()
    start = len(" ".join(words[:index])) - 1
    end = len(" ".join(words[: index + 1])) + 1
    if line.bottom - line.top > line.right - line.left:
        return line
    step = (line.right - line.left) / max(len(" ".join(words)), 1)
    left, right = line.left + int(start * step), line.left + int(end * step) + 1
    return line._replace(left=max(left, line.left), right=min(right, line.right), text=words[index])


class _Page(NamedTuple):
    """A page picture, packed, with its width and height in pixels and its size in points."""

    packed: bytes
    columns: int
    rows: int
    is_grey: bool
    size: tuple[float, float]


def _is_grey(picture: Picture) -> bool:
    return bool((picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all())


def _packed(picture: Picture) -> bytes:
    plain = picture[..., 0] if _is_grey(picture) else picture
    return zlib.compress(np.ascontiguousarray(plain).tobytes(), 6)


def _written_pdf(pages: Sequence[_Page]) -> bytes:
    """Return a PDF of pictures and nothing else (ISO 32000-1 7.5)."""
    kids = " ".join(f"{3 + 3 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
    ]
    for number, page in enumerate(pages):
        objects += _page_objects(page, 3 + 3 * number)
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + rows
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _page_objects(page: _Page, number: int) -> list[bytes]:
    """Return a page, its one drawing order, and its picture, as objects from `number` on."""
    width, height = page.size
    colours = "DeviceGray" if page.is_grey else "DeviceRGB"
    draw = f"q {width:.3f} 0 0 {height:.3f} 0 0 cm /P Do Q".encode()
    told = (
        f"<< /Type /XObject /Subtype /Image /Width {page.columns} /Height {page.rows} /ColorSpace /{colours} "
        f"/BitsPerComponent 8 /Filter /FlateDecode /Length {len(page.packed)} >>"
    )
    return [
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.3f} {height:.3f}] /Contents {number + 1} 0 R "
        f"/Resources << /XObject << /P {number + 2} 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n" % len(draw) + draw + b"\nendstream",
        told.encode() + b"\nstream\n" + page.packed + b"\nendstream",
    ]


# ---------------------------------------------------------------- meshes


def read_mesh(document: bytes, kind: str) -> Mesh:
    """Return the surface in an STL (binary or text) or OBJ document; texture, normals and names are left out.

    Parameters
    ----------
    kind : str
        ``encapsulated-stl`` or ``encapsulated-obj``.

    Raises
    ------
    StudyUnreadable
        ``DOCUMENT_UNREADABLE``.
    """
    readers: dict[str, Callable[[bytes], Mesh]] = {
        "encapsulated-stl": _read_stl,
        "encapsulated-obj": _read_obj,
    }
    try:
        mesh = readers[kind](document)
    except (KeyError, ValueError, IndexError, struct.error, OverflowError):
        raise broken("DOCUMENT_UNREADABLE") from None
    in_range = mesh.faces.size == 0 or (mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices))
    if not mesh.faces.size or not in_range or not (np.abs(mesh.vertices) < _MOST_MM).all():
        raise broken("DOCUMENT_UNREADABLE")
    return mesh


def write_mesh(mesh: Mesh, kind: str) -> bytes:
    """Return a surface as a binary STL with an empty header, or as an OBJ of vertices and faces only."""
    return _written_stl(mesh) if kind == "encapsulated-stl" else _written_obj(mesh)


def _read_stl(document: bytes) -> Mesh:
    count = struct.unpack_from("<L", document, 80)[0] if len(document) >= 84 else 0
    if count and len(document) >= 84 + 50 * count:
        records = np.frombuffer(document, dtype=_TRIANGLE, count=count, offset=84)
        corners = records["corners"].astype(np.float64).reshape(-1, 3)
    else:
        found = re.findall(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", document)
        corners = np.array([[float(number) for number in corner] for corner in found], np.float64)
        if not document.lstrip()[:5].lower() == b"solid" or len(corners) % 3 or not len(corners):
            raise ValueError
        corners = corners.reshape(-1, 3)
    return Mesh(corners, np.arange(len(corners), dtype=np.int64).reshape(-1, 3))


_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def _written_stl(mesh: Mesh) -> bytes:
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    records = np.zeros(len(corners), dtype=_TRIANGLE)
    records["normal"] = normals / np.where(lengths > 0, lengths, 1)
    records["corners"] = corners
    return bytes(80) + struct.pack("<L", len(records)) + records.tobytes()


def _read_obj(document: bytes) -> Mesh:
    vertices, faces = list[list[float]](), list[tuple[int, int, int]]()
    for line in document.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines():
        parts = line.split(b"#")[0].split()
        if parts[:1] == [b"v"]:
            vertices.append([float(number) for number in parts[1:4]])
        elif parts[:1] == [b"f"]:
            corners = [int(corner.split(b"/")[0]) for corner in parts[1:]]
            corners = [corner - 1 if corner > 0 else len(vertices) + corner for corner in corners]
            faces += [(corners[0], corners[n], corners[n + 1]) for n in range(1, len(corners) - 1)]
    return Mesh(np.array(vertices, np.float64).reshape(-1, 3), np.array(faces, np.int64).reshape(-1, 3))


def _written_obj(mesh: Mesh) -> bytes:
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


_MATERIAL_NUMBERS = (b"Ka", b"Kd", b"Ks", b"Ke", b"Ns", b"Ni", b"d", b"Tr", b"illum")


def _clean_materials(document: bytes) -> bytes:
    """Return materials with numbers for names, without pictures and comments."""
    lines, names = list[str](), 0
    for line in document.splitlines():
        parts = line.split()
        if parts[:1] == [b"newmtl"]:
            names += 1
            lines.append(f"newmtl material_{names}")
        elif parts and parts[0] in _MATERIAL_NUMBERS:
            try:
                numbers = [float(number) for number in parts[1:4]]
            except ValueError:
                continue
            lines.append(" ".join([parts[0].decode(), *(f"{number:g}" for number in numbers)]))
    if not names:
        raise broken("DOCUMENT_UNREADABLE")
    return ("\n".join(lines) + "\n").encode()
