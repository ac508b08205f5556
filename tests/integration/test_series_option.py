"""`--series` takes the original UID and the de-identified one, and names what is there when neither fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sample_data.dicomwriter import SeriesRecipe, uid, write_series
from tests.medviz_command import medviz


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for number, slices in ((2, 12), (3, 20)):
        recipe = SeriesRecipe(number, "Head", "HEAD", 2.0, 2.0, (-32.0, -32.0, 0.0))
        write_series(np.full((slices, 32, 32), 40, dtype=np.int16), recipe, folder, study="two")
    return folder


def test_the_series_can_be_named_by_either_uid(study: Path, tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    by_original = medviz("volume", study, "--series", uid("two", 2), "--out", out, "--json", home=home).json()
    assert (by_original["outcome"], by_original["series"]["instances"]) == ("correct", 12)
    new = by_original["series"]["series_uid"]
    assert new != uid("two", 2)
    by_new = medviz("volume", study, "--series", new, "--out", out, "--json", home=home).json()
    assert by_new["series"] == by_original["series"]


def test_an_unknown_series_is_refused_and_the_others_are_listed(study: Path, tmp_path: Path) -> None:
    answer = medviz(
        "volume", study, "--series", "1.2.3", "--out", tmp_path / "out", "--json", home=tmp_path / "home"
    )
    assert (answer.exit_code, answer.json()["reason"]) == (3, "NO_SUCH_SERIES")
    assert len(answer.json()["others"]) == 2
