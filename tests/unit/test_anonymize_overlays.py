"""Overlays keep their drawings and lose their text; those that cannot be judged go as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from anonymize.denylist import DenyList
from anonymize.elements import ParsedFile, parse_file
from anonymize.overlays import CleanOverlays, without_text_in_overlays
from anonymize.pixels import TextBox, TextFinder
from tests import make_raw

SIDE = 40


class LineFinder:
    """Takes what is drawn in rows 10 to 19 for a name."""

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        if not picture[10:20, 5:35].any():
            return []
        return [TextBox(10, 20, 5, 35, "GUNDULA RUMPELSTEIN", 0.99)]


class Stubborn:
    """Reads a name in whatever it sees."""

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        return [TextBox(10, 20, 5, 35, "GUNDULA RUMPELSTEIN", 0.99)]


def drawing(*, frames: int = 1, has_text: bool = True) -> NDArray[np.uint8]:
    """Return an arrow in the lower half and marks in rows 10 to 19, shape (frames, 40, 40)."""
    bits = np.zeros((frames, SIDE, SIDE), np.uint8)
    bits[:, 30, 5:30] = 1
    if has_text:
        bits[:, 10:20, 5:35:2] = 1
    return bits


def slice_with(bits: NDArray[np.uint8], *, group: int = 0x6000) -> Dataset:
    ds = make_raw.ct_slice(0)
    ds.add_new(group << 16 | 0x10, "US", bits.shape[1])
    ds.add_new(group << 16 | 0x11, "US", bits.shape[2])
    if len(bits) > 1:
        ds.add_new(group << 16 | 0x15, "IS", str(len(bits)))
    ds.add_new(group << 16 | 0x40, "CS", "G")
    ds.add_new(group << 16 | 0x50, "SS", [1, 1])
    ds.add_new(group << 16 | 0x100, "US", 1)
    ds.add_new(group << 16 | 0x102, "US", 0)
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    ds.add_new(group << 16 | 0x3000, "OW", packed + bytes(len(packed) % 2))
    return ds


def cleaned(ds: Dataset, finder: TextFinder | None, *, keeps_graphics: bool = True) -> CleanOverlays:
    parsed = parse_file(make_raw.to_bytes(ds))
    return without_text_in_overlays(parsed, finder, DenyList(), keeps_graphics=keeps_graphics)


def bits_of(parsed: ParsedFile, *, frames: int = 1, group: int = 0x6000) -> NDArray[np.uint8]:
    data = next(element for element in parsed.elements if element.tag == group << 16 | 0x3000)
    assert data.is_cleared
    ones = np.unpackbits(np.frombuffer(data.value, np.uint8), bitorder="little")
    return ones[: frames * SIDE * SIDE].reshape(frames, SIDE, SIDE)


def overlay_tags(parsed: ParsedFile) -> list[int]:
    return [element.tag for element in parsed.elements if 0x6000 <= element.tag >> 16 <= 0x60FF]


@pytest.mark.parametrize("frames", [1, 3])
def test_text_in_an_overlay_goes_and_the_arrow_stays(frames: int) -> None:
    result = cleaned(slice_with(drawing(frames=frames)), LineFinder())
    assert np.array_equal(bits_of(result.parsed, frames=frames), drawing(frames=frames, has_text=False))
    assert (result.frames, result.boxes, result.dropped) == (frames, frames, 0)


def test_an_overlay_without_text_keeps_every_bit() -> None:
    result = cleaned(slice_with(drawing(has_text=False), group=0x6002), LineFinder())
    assert np.array_equal(bits_of(result.parsed, group=0x6002), drawing(has_text=False))


def test_bytes_behind_the_last_bit_of_an_overlay_go() -> None:
    ds = slice_with(drawing(has_text=False))
    ds[0x60003000].value += b"Gundula Rumpelstein "
    data = next(part for part in cleaned(ds, LineFinder()).parsed.elements if part.tag == 0x60003000)
    assert len(data.value) == SIDE * SIDE // 8


@pytest.mark.parametrize("finder", [None, Stubborn()])
def test_an_overlay_that_cannot_be_judged_is_dropped_with_all_its_elements(finder: TextFinder | None) -> None:
    result = cleaned(slice_with(drawing()), finder)
    assert not overlay_tags(result.parsed)
    assert result.dropped == 1


def test_without_the_option_every_overlay_is_dropped() -> None:
    assert not overlay_tags(cleaned(slice_with(drawing()), LineFinder(), keeps_graphics=False).parsed)


def test_an_overlay_whose_bits_lie_among_the_pixels_is_dropped() -> None:
    ds = slice_with(drawing())
    ds[0x60000102].value = 12
    del ds[0x60003000]
    assert not overlay_tags(cleaned(ds, LineFinder()).parsed)


def test_an_overlay_shorter_than_it_says_is_dropped() -> None:
    ds = slice_with(drawing())
    ds[0x60000010].value = 4000
    assert not overlay_tags(cleaned(ds, LineFinder()).parsed)


def test_curves_always_go() -> None:
    ds = make_raw.ct_slice(0)
    ds.add_new(0x50000005, "US", 1)
    ds.add_new(0x50003000, "OW", b"Gundula ")
    assert not [e for e in cleaned(ds, LineFinder()).parsed.elements if e.tag >> 16 == 0x5000]


@pytest.mark.parametrize("is_turned", [False, True])
def test_an_overlay_whose_bytes_spell_a_word_is_dropped(is_turned: bool) -> None:
    ds = slice_with(drawing(has_text=False))
    word = np.unpackbits(np.frombuffer(b"Gundula", np.uint8), bitorder="big" if is_turned else "little")
    hidden = np.packbits(word, bitorder="little").tobytes()
    ds[0x60003000].value = hidden + ds[0x60003000].value[len(hidden) :]
    assert not overlay_tags(cleaned(ds, make_raw.BrightFinder("5 mm")).parsed)


def test_an_overlay_too_small_to_draw_in_is_dropped() -> None:
    assert not overlay_tags(cleaned(slice_with(np.ones((1, 8, 8), np.uint8)), LineFinder()).parsed)
