"""The geometry contract over every odd series: right, resampled and right, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medviz.core.errors import GeometryRefused
from medviz.core.volume import Outcome, Volume
from pipelines.geometry.reasons import REASONS
from pipelines.stages.volume import make_volume
from tests.make import Coding, deidentified, measure
from tests.make_odd import ODD_SERIES


def end_of(folder: Path) -> Volume | GeometryRefused:
    try:
        return make_volume(deidentified(folder))
    except GeometryRefused as refusal:
        return refusal


def runs() -> list[Any]:
    """Every case with signed pixels, and with unsigned ones; slow where no pixel is ever read."""
    found = []
    for name, case in ODD_SERIES.items():
        is_header_only = all(ending.endswith("!") for ending in case.endings)
        found.append(pytest.param(name, True, id=f"{name}, signed"))
        marks = [pytest.mark.slow] if is_header_only else []
        found.append(pytest.param(name, False, id=f"{name}, unsigned", marks=marks))
    return found


@pytest.mark.parametrize(("name", "is_signed"), runs())
def test_an_odd_series_is_right_or_refused_by_name_and_never_silently_wrong(
    tmp_path: Path, name: str, is_signed: bool
) -> None:
    case = ODD_SERIES[name]
    truth = case.make(tmp_path, Coding(is_signed=is_signed))
    end = end_of(tmp_path)
    if isinstance(end, GeometryRefused):
        assert f"{end.reason}!" in case.endings
        assert end.reason in REASONS
        assert end.mend
        assert end.report is not None
        assert (end.report.outcome, end.report.reason) == (Outcome.REFUSED, end.reason)
        return
    found = measure(end, truth)
    assert found is not None, "the two bodies were not found"
    assert found.is_right(), found
    assert end.report.reason in case.endings
    assert (end.report.outcome is Outcome.CORRECT) == (end.report.reason == "OK")
    assert (end.report.max_displacement_mm > 0) == (end.report.outcome is Outcome.RESAMPLED)
    assert end.voxels.min() >= -1024
