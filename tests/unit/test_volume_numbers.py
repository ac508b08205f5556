"""Stored numbers become Hounsfield units exactly, in the smallest type that loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from medviz.core.volume import Volume
from pipelines.geometry.hounsfield import used_bits
from pipelines.geometry.pixels import PixelLayout
from pipelines.stages.volume import make_volume
from tests.make import Coding, Placing, deidentified, make_ct_series, stored
from tests.make_odd import each, put

TINY = Placing((4, 6, 5), (2.0, 1.0, 1.0))


def volume_of(folder: Path, numbers: Any, coding: Coding, *changes: Callable[[Dataset, int], None]) -> Volume:
    """Return the volume of four slices that all hold `numbers`."""

    def edit(slices: list[Dataset]) -> list[Dataset]:
        for k, item in enumerate(slices):
            kind = f"<{'i' if coding.is_signed else 'u'}{coding.bits_allocated // 8}"
            item.PixelData = np.asarray(numbers).reshape(6, 5).astype(kind).tobytes()
            item["PixelData"].VR = "OW"
            for change in changes:
                change(item, k)
        return slices

    make_ct_series(folder, placing=TINY, coding=coding, edit=edit)
    return make_volume(deidentified(folder))


@pytest.mark.parametrize(
    ("coding", "low", "high", "dtype"),
    [
        (Coding(is_signed=True), -1024, 3071, "int16"),
        (Coding(is_signed=False), 0, 4095, "int16"),
        (Coding(is_signed=False), 0, 33000, "int16"),
        (Coding(is_signed=False), 0, 65535, "float32"),
        (Coding(is_signed=False, intercept=-32768.0), 31744, 65535, "int16"),
        (Coding(is_signed=False, slope=2.0), 0, 4095, "int16"),
        (Coding(is_signed=False, slope=0.5), 0, 4095, "float32"),
        (Coding(is_signed=True, bits_allocated=32, bits_stored=32), -1024, 3071, "int16"),
        (Coding(is_signed=True, bits_allocated=32, bits_stored=32), -1024, 10**6, "float32"),
        (Coding(is_signed=False, bits_allocated=8, bits_stored=8), 0, 255, "int16"),
    ],
)
def test_densities_are_exact_in_the_smallest_type_that_holds_them(
    tmp_path: Path, coding: Coding, low: int, high: int, dtype: str
) -> None:
    numbers = np.linspace(low, high, 30).astype(np.int64)
    volume = volume_of(tmp_path, numbers, coding)
    expected = numbers.reshape(6, 5) * coding.slope + coding.intercept_hu()
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.voxels[2].astype(np.float64), expected)
    assert volume.unit == "HU"


def test_a_late_bright_slice_widens_the_volume_without_loss(tmp_path: Path) -> None:
    def bright(item: Dataset, k: int) -> None:
        if k == 3:
            item.PixelData = np.full((6, 5), 60000, np.uint16).tobytes()

    volume = volume_of(tmp_path, np.arange(30), Coding(is_signed=False), bright)
    assert volume.voxels.dtype == np.float32
    assert volume.voxels[3, 0, 0] == 60000 - 1024
    assert np.array_equal(volume.voxels[0].ravel(), np.arange(30) - 1024)


@settings(max_examples=100, deadline=None)
@given(bits=st.integers(2, 15), is_signed=st.booleans(), seed=st.integers(0, 10**6))
def test_bits_outside_bits_stored_never_matter(bits: int, is_signed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if is_signed else (0, 2**bits)
    true = rng.integers(low, high, 50)
    words = (true & (2**bits - 1)) | (rng.integers(0, 2 ** (16 - bits), 50) << bits)
    raw = words.astype(np.uint16).view(np.int16 if is_signed else np.uint16)
    layout = PixelLayout(Path("x"), "", 0, 0, 1, 1, 50, 1, "MONOCHROME2", 16, bits, bits - 1, is_signed)
    clean, _ = used_bits(raw, layout)
    assert np.array_equal(clean, true)


def test_values_outside_the_scanned_circle_are_clamped_and_said(tmp_path: Path) -> None:
    numbers = np.where(np.arange(30) < 4, -2000, 40)
    volume = volume_of(tmp_path, numbers, Coding())
    assert set(np.unique(volume.voxels)) == {-1024, 40}
    assert any("-1024" in warning for warning in volume.report.warnings)


def test_padding_at_the_density_of_bone_is_removed_only_where_it_reaches_a_corner(tmp_path: Path) -> None:
    numbers = np.full((6, 5), 40)
    numbers[0, :2], numbers[3, 2] = 700, 700
    pad = put(PixelPaddingValue=700)
    volume = volume_of(tmp_path, numbers, Coding(), pad)
    assert volume.voxels[1, 0, 0] == volume.voxels[1, 0, 1] == -1024
    assert volume.voxels[1, 3, 2] == 700


@pytest.mark.parametrize(
    ("tags", "contrast"),
    [
        ({}, "unknown"),
        ({"ContrastBolusAgent": ""}, "unknown"),
        ({"ContrastBolusAgent": "IOMERON 350"}, "yes"),
        ({"ContrastBolusAgent": "NONE"}, "no"),
        ({"ContrastBolusVolume": "0"}, "no"),
        ({"ContrastBolusVolume": "80"}, "yes"),
        ({"ContrastBolusRoute": "IV"}, "yes"),
    ],
)
def test_contrast_is_yes_no_or_unknown_as_the_header_tells(
    tmp_path: Path, tags: dict[str, str], contrast: str
) -> None:
    make_ct_series(tmp_path, placing=TINY, edit=each(put(**tags)))
    assert make_volume(deidentified(tmp_path)).contrast == contrast


def test_the_densities_of_a_volume_cannot_be_written_to(tmp_path: Path) -> None:
    make_ct_series(tmp_path, placing=TINY)
    volume = make_volume(deidentified(tmp_path))
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0, 0, 0] = 1


def test_bits_above_those_stored_are_said_to_be_ignored(tmp_path: Path) -> None:
    def dirty(item: Dataset, k: int) -> None:
        item.PixelData = (stored(item) | np.uint16(0x7000)).tobytes()

    coding = Coding(is_signed=False, bits_stored=12)
    volume = volume_of(tmp_path, np.arange(30), coding, dirty)
    assert np.array_equal(volume.voxels[0].ravel(), np.arange(30) - 1024)
    assert any("BitsStored" in warning for warning in volume.report.warnings)
