"""Settings are read in order, refused when wrong, and each has its sentence in the docs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from medviz.core.errors import BadInput
from medviz.core.settings import Settings, load_settings

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_environment_overrides_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('seed = 5\nvoice = "other"\nguests = ["a", "b"]\n')
    settings = load_settings({"MEDVIZ_HOME": str(tmp_path), "MEDVIZ_SEED": "9"})
    assert (settings.seed, settings.voice, settings.guests, settings.threads) == (9, "other", ("a", "b"), 2)
    assert settings.models == tmp_path / "models"


def test_an_unknown_setting_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("sede = 5\n")
    with pytest.raises(BadInput, match="sede"):
        load_settings({"MEDVIZ_HOME": str(tmp_path)})


def test_a_setting_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="seed"):
        load_settings({"MEDVIZ_HOME": str(tmp_path), "MEDVIZ_SEED": "many"})


def test_every_setting_has_its_sentence_in_the_docs() -> None:
    text = DOCS.read_text()
    missing = [field.name for field in dataclasses.fields(Settings) if f"| `{field.name}` |" not in text]
    assert missing == []
