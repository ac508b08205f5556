"""Every transfer syntax gives the same densities; a code stream that ends early is never half-decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, HTJ2KLossless, JPEG2000Lossless, JPEGLSLossless, RLELossless

from medviz.core.errors import GeometryRefused
from pipelines.geometry.headers import FileUnreadable, NotDicom, read_file
from pipelines.geometry.pixels import PixelReader
from pipelines.stages.volume import make_volume
from tests.make import Coding, Placing, SeriesTruth, deidentified, make_ct_series, measure
from tests.make_codes import LOSSLESS, LOSSY, UNCOMPRESSED

SMALL = Placing((8, 48, 52), (6.0, 2.0, 1.9))


@pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, *LOSSLESS], ids=lambda uid: uid.name)
def test_a_lossless_syntax_gives_the_very_same_volume(tmp_path: Path, syntax: str, is_signed: bool) -> None:
    plain, coded = (
        make_ct_series(tmp_path / name, placing=SMALL, coding=Coding(is_signed, transfer_syntax=uid))
        for name, uid in (("plain", ExplicitVRLittleEndian), ("coded", syntax))
    )
    first, second = (make_volume(deidentified(truth.folder)) for truth in (plain, coded))
    assert second.voxels.dtype == np.int16
    assert np.array_equal(first.voxels, second.voxels)
    assert first.report == second.report


@pytest.mark.parametrize("syntax", LOSSY, ids=lambda uid: uid.name)
def test_a_lossy_syntax_is_read_and_said_to_be_lossy(tmp_path: Path, syntax: str) -> None:
    truth = make_ct_series(tmp_path, coding=Coding(transfer_syntax=syntax))
    volume = make_volume(deidentified(tmp_path))
    found = measure(volume, truth)
    assert found is not None
    assert found.is_right()
    assert any("with loss" in warning for warning in volume.report.warnings)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless, HTJ2KLossless])
def test_twelve_bit_signed_pixels_keep_their_sign(tmp_path: Path, syntax: str) -> None:
    coding = Coding(bits_stored=12, transfer_syntax=syntax)
    truth = make_ct_series(tmp_path, coding=coding)
    found = measure(make_volume(deidentified(tmp_path)), truth)
    assert found is not None
    assert found.is_right()


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED[:2], RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_an_enhanced_object_may_be_compressed(tmp_path: Path, syntax: str) -> None:
    truth = make_ct_series(tmp_path, is_enhanced=True, coding=Coding(transfer_syntax=syntax))
    found = measure(make_volume(deidentified(tmp_path)), truth)
    assert found is not None
    assert found.is_right()


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SeriesTruth]:
    return {
        syntax: make_ct_series(
            tmp_path_factory.mktemp("coded"), placing=SMALL, coding=Coding(transfer_syntax=syntax)
        )
        for syntax in (*UNCOMPRESSED, *LOSSLESS)
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(syntax=st.sampled_from([*UNCOMPRESSED, *LOSSLESS]), part=st.floats(0.2, 0.999))
def test_a_file_cut_anywhere_gives_its_whole_slice_or_a_refusal(
    tmp_path: Path, coded: dict[str, SeriesTruth], syntax: str, part: float
) -> None:
    whole = coded[syntax].files[4]
    expected = PixelReader().read(read_file(whole).frames[0].layout)
    cut = tmp_path / "cut.dcm"
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * part)])
    found = read_or_refuse(cut)
    assert found is None or np.array_equal(found, expected), "a cut file gave other pixels without a word"


def read_or_refuse(path: Path) -> NDArray[Any] | None:
    try:
        return PixelReader().read(read_file(path).frames[0].layout)
    except (GeometryRefused, FileUnreadable, NotDicom, IndexError):
        return None
