"""De-identification keeps what the geometry contract needs: every odd series ends as it would have before."""

from __future__ import annotations

from pathlib import Path

import pytest

from anonymize.deid import deidentify_path, make_orders
from medviz.core.errors import GeometryRefused, MedVizError, StudyUnreadable
from medviz.core.volume import Volume
from pipelines.stages.volume import make_volume
from tests.make import Coding, measure
from tests.make_odd import ODD_SERIES

REFUSED_EARLIER = {"NOTHING_LEFT"}
"""A study without any slice is refused before its geometry is looked at."""
MAY_END_OTHERWISE = {
    # A slice whose position cannot be parsed is held back, which leaves a gap.
    "a position that is not a number": "MISSING_SLICES",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_SERIES)
def test_an_odd_series_ends_the_same_after_it_lost_its_name(tmp_path: Path, name: str) -> None:
    case = ODD_SERIES[name]
    truth = case.make(tmp_path / "in", Coding(is_signed=False))
    endings = {ending.rstrip("!") for ending in case.endings} | {MAY_END_OTHERWISE.get(name, "")}
    end = end_of(tmp_path)
    if isinstance(end, MedVizError):
        assert end.reason in endings | REFUSED_EARLIER
        return
    found = measure(end, truth)
    assert found is not None
    assert found.is_right(), found
    assert end.report.reason in endings


def end_of(folder: Path) -> Volume | MedVizError:
    try:
        study = deidentify_path(
            folder / "in",
            folder / "out",
            make_orders("surgical-planning", settings_home=folder),
            settings_home=folder,
        )
        return make_volume(study)
    except (StudyUnreadable, GeometryRefused) as refusal:
        return refusal
