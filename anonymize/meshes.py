"""Contours, meshes and models pushed behind a face cut: the same cut that the voxels of their images got."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from anonymize import headers
from anonymize.elements import Element, Encoding, ParsedFile, broken, encode_element, encode_items
from anonymize.facecut import FaceCut
from anonymize.slices import encoding_inside, items, numbers

_ROI_CONTOURS, _CONTOURS, _CONTOUR_DATA = 0x30060039, 0x30060040, 0x30060050
_SURFACES, _SURFACE_POINTS, _COORDINATES = 0x00660002, 0x00660011, 0x00660016
_DOCUMENT, _UNITS, _CODE = 0x00420011, 0x004008EA, 0x00080100
_STL_HEAD, _STL_RECORD = 84, 50

Points = NDArray[np.float64]


def pushed_points(points_mm: NDArray[np.generic], cuts: Sequence[FaceCut]) -> Points:
    """Return LPS points, shape (n, 3), with none in front of a cut; as many as before."""
    points: Points = np.asarray(points_mm, dtype=np.float64).reshape(-1, 3)
    for cut in cuts:
        points = cut.pushed(points)
    return points


def without_face(parsed: ParsedFile, kind: str, cuts: Sequence[FaceCut]) -> ParsedFile:
    """Return a structure set, surface segmentation or encapsulated model whose points lie behind the cuts.

    Raises
    ------
    StudyUnreadable
        ``FACE_NOT_REMOVED`` when its points cannot be read, or are not in millimetres.
    """
    change = {
        "rt-structure-set": _without_contours,
        "surface-segmentation": _without_surfaces,
        "encapsulated-stl": _without_model,
        "encapsulated-obj": _without_model,
    }[kind]
    try:
        return change(parsed, cuts)
    except (ValueError, struct.error, IndexError):
        raise broken("FACE_NOT_REMOVED") from None


def _without_contours(parsed: ParsedFile, cuts: Sequence[FaceCut]) -> ParsedFile:
    def moved(element: Element, _: Encoding) -> Element:
        if element.tag != _CONTOUR_DATA:
            return element
        before = np.array(numbers(element)).reshape(-1, 3)
        after = pushed_points(before, cuts)
        if np.array_equal(before, after):
            return element
        text = "\\".join(f"{value:.6g}" if abs(value) < 1e5 else f"{value:.9g}" for value in after.ravel())
        return element._replace(value=text.encode("ascii"))

    return _changed(parsed, (_ROI_CONTOURS, _CONTOURS), moved)


def _without_surfaces(parsed: ParsedFile, cuts: Sequence[FaceCut]) -> ParsedFile:
    def moved(element: Element, encoding: Encoding) -> Element:
        if element.tag != _COORDINATES:
            return element
        kind = "<f4" if encoding.is_little else ">f4"
        before = np.frombuffer(element.value, dtype=kind).reshape(-1, 3)
        return element._replace(value=pushed_points(before, cuts).astype(kind).tobytes())

    return _changed(parsed, (_SURFACES, _SURFACE_POINTS), moved)


def _changed(
    parsed: ParsedFile, path: tuple[int, ...], change: Callable[[Element, Encoding], Element]
) -> ParsedFile:
    """Return the file with the elements below a path of sequences changed."""

    def walked(element: Element, encoding: Encoding, rest: tuple[int, ...]) -> Element:
        if not rest:
            return change(element, encoding)
        if element.tag != rest[0]:
            return element
        inside = encoding_inside(element, encoding)
        written = [
            b"".join(_encoded(walked(part, inside, rest[1:]), inside) for part in item)
            for item in items(element, encoding)
        ]
        return element._replace(value=encode_items(written, inside))

    return parsed._replace(
        elements=tuple(walked(element, parsed.encoding, path) for element in parsed.elements)
    )


def _encoded(element: Element, encoding: Encoding) -> bytes:
    vr = "UN" if element.implicit_inside and encoding.is_explicit else element.vr
    return encode_element(element.tag, vr, element.value, encoding)


def _without_model(parsed: ParsedFile, cuts: Sequence[FaceCut]) -> ParsedFile:
    _check_millimetres(parsed)
    is_obj = headers.text_of(parsed, 0x00420012).lower() == "model/obj"

    def moved(element: Element) -> Element:
        if element.tag != _DOCUMENT:
            return element
        if is_obj:
            return element._replace(value=_text_model(element.value, b"v", cuts))
        if _is_binary_stl(element.value):
            return element._replace(value=_binary_stl(element.value, cuts))
        return element._replace(value=_text_model(element.value, b"vertex", cuts))

    return parsed._replace(elements=tuple(moved(element) for element in parsed.elements))


def _check_millimetres(parsed: ParsedFile) -> None:
    units = next((element for element in parsed.elements if element.tag == _UNITS), None)
    held = (part for item in items(units, parsed.encoding) for part in item)
    codes = [part.value.strip(b" \0") for part in held if part.tag == _CODE]
    if codes != [b"mm"]:
        raise broken("FACE_NOT_REMOVED")


def _is_binary_stl(model: bytes) -> bool:
    if len(model) < _STL_HEAD:
        return False
    return len(model) - _STL_HEAD - _STL_RECORD * struct.unpack_from("<L", model, 80)[0] in (0, 1)


def _binary_stl(model: bytes, cuts: Sequence[FaceCut]) -> bytes:
    count = struct.unpack_from("<L", model, 80)[0]
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", 9), ("attribute", "<u2")])
    triangles = np.frombuffer(model, dtype=kind, count=count, offset=_STL_HEAD).copy()
    before = triangles["corners"].reshape(-1, 3)
    after = pushed_points(before, cuts).astype("<f4")
    moved = (after != before).any(axis=1).reshape(-1, 3).any(axis=1)
    triangles["corners"] = after.reshape(-1, 9)
    triangles["normal"][moved] = 0.0  # a reader makes them from the corners
    end = _STL_HEAD + count * _STL_RECORD
    return model[:_STL_HEAD] + triangles.tobytes() + model[end:]


def _text_model(model: bytes, word: bytes, cuts: Sequence[FaceCut]) -> bytes:
    """Return an OBJ or a textual STL with its vertices behind the cuts.

    Raises
    ------
    ValueError
        If it holds no vertex.
    """
    lines = model.split(b"\n")
    which = [number for number, line in enumerate(lines) if line.split()[:1] == [word]]
    if not which:
        raise ValueError("no vertices")
    before = np.array([[float(part) for part in lines[number].split()[1:4]] for number in which])
    after = pushed_points(before, cuts)
    for number, old, new in zip(which, before, after, strict=True):
        if not np.array_equal(old, new):
            rest = lines[number].split()[4:]
            lines[number] = b" ".join([word, *(f"{value:.6g}".encode() for value in new), *rest])
    return b"\n".join(lines)
