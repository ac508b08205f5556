"""What a user gets wrong ends in a clear error with what to do next, and loses nothing."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sample_data.dicomwriter import SeriesRecipe, write_series
from sample_data.identity import PLANTED_TOKENS
from tests.medviz_command import Answer, medviz

RECIPE = SeriesRecipe(2, "Head", "HEAD", 2.0, 2.0, (-64.0, -64.0, -20.0))


def series(folder: Path, slices: int) -> Path:
    levels = np.full((slices, 64, 64), -1000, dtype=np.int16)
    levels[:, 16:48, 16:48] = 40
    write_series(levels, RECIPE, folder, study="bad-input")
    return folder


def refused(answer: Answer, reason: str, exit_code: int = 2) -> None:
    assert answer.exit_code == exit_code, answer.errors
    assert reason in answer.errors
    assert "What to do:" in answer.errors
    assert not [token for token in PLANTED_TOKENS if token in answer.errors + answer.output]


def test_a_path_where_nothing_is(tmp_path: Path) -> None:
    refused(medviz("run", tmp_path / "nothing", home=tmp_path / "home"), "SOURCE_MISSING")


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(medviz("run", tmp_path / "empty", home=tmp_path / "home"), "EMPTY_FOLDER")


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a.txt", "b.dcm"):
        (folder / name).write_text("not a DICOM file\n" * 50)
    refused(medviz("run", folder, home=tmp_path / "home"), "NO_DICOM")


def test_a_study_with_one_slice_is_refused_by_the_geometry_contract(tmp_path: Path) -> None:
    study = series(tmp_path / "one", slices=1)
    answer = medviz("volume", study, "--out", tmp_path / "out", "--json", home=tmp_path / "home")
    assert (answer.exit_code, answer.json()["outcome"], answer.json()["reason"]) == (
        3,
        "refused",
        "TOO_FEW_SLICES",
    )
    refused(medviz("run", study, home=tmp_path / "home"), "TOO_FEW_SLICES", exit_code=3)


def test_an_archive_that_unpacks_to_far_more_than_it_is(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"{number}.dcm", bytes(60_000_000))
    refused(medviz("run", bomb, home=tmp_path / "home"), "ARCHIVE_UNSAFE")


def test_an_archive_that_wants_to_write_outside(tmp_path: Path) -> None:
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../../escaped.dcm", b"x" * 200)
    refused(medviz("run", evil, home=tmp_path / "home"), "ARCHIVE_UNSAFE")
    assert not list(tmp_path.rglob("escaped.dcm"))


def test_a_plan_with_a_wrong_key_names_the_line(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'schema_version = 1\nprocedure = "needle"\n\n[target]\nstructure = "ventricles"\nsyde = "left"\n'
    )
    study = series(tmp_path / "study", slices=20)
    answer = medviz("run", study, "--plan", plan, home=tmp_path / "home")
    refused(answer, "PLAN_INVALID")
    assert "line 6" in answer.errors
    assert not (tmp_path / "home" / "cases").exists(), "nothing is begun before the plan is right"


@pytest.mark.slow
def test_a_full_disk_stops_clearly_and_the_same_command_goes_on_when_there_is_room(tmp_path: Path) -> None:
    study, home = series(tmp_path / "study", slices=60), tmp_path / "home"
    home.mkdir()
    small = f"mount -t tmpfs -o size=400k none {home} && exec "
    command = small + '"$0" "$@"'
    answer = medviz(
        "run",
        study,
        home=home,
        before=("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command),
    )
    assert answer.exit_code == 7, answer.errors
    assert "STORAGE_FULL" in answer.errors
    shutil.rmtree(home)
    again = medviz("volume", study, "--out", tmp_path / "out", "--json", home=home)
    assert again.json()["outcome"] == "correct"
