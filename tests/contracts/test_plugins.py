"""What every segmenter, procedure, narrator and voice must pass; and how they are found."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from medviz import plugins
from medviz.core.anatomy import STRUCTURES
from medviz.core.errors import BadInput

HEAVY = ("torch", "monai", "vtkmodules", "onnxruntime", "xllamacpp", "spacy")


def imported_by(code: str) -> set[str]:
    """Return the heavy packages a fresh interpreter has loaded after running `code`."""
    asked = f"{code}\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


def test_listing_every_kind_imports_no_heavy_library():
    code = "from medviz import plugins\nfor kind in plugins.KINDS: plugins.names(kind)"
    assert imported_by(code) == set()


def test_reading_a_segmenters_card_imports_neither_torch_nor_vtk():
    code = (
        "from medviz import plugins\nfor n in plugins.names('segmenters'): plugins.load('segmenters', n).CARD"
    )
    assert imported_by(code) == set()


def test_the_segmenters_in_the_box_are_found_and_their_tools_are_not():
    assert set(plugins.names("segmenters")) >= {"head", "trunk_rules"}
    assert not {"bundle", "rules", "card"} & set(plugins.names("segmenters"))


@pytest.mark.parametrize("name", plugins.names("segmenters"))
def test_every_segmenter_has_a_card_and_the_same_call(name):
    module = plugins.load("segmenters", name)
    assert set(module.CARD.structures) <= set(STRUCTURES)
    assert module.CARD.limits.endswith(".")
    assert module.CARD.modality in ("CT", "MR")
    assert module.__doc__
    parameters = inspect.signature(module.segment).parameters
    assert list(parameters) == ["volume", "models", "threads", "seed", "progress"]
    assert all(parameters[option].kind is inspect.Parameter.KEYWORD_ONLY for option in list(parameters)[1:])


def test_an_unknown_name_is_refused_with_the_choice():
    with pytest.raises(BadInput) as caught:
        plugins.load("segmenters", "../../etc/passwd")
    assert caught.value.reason == "PLUGIN_UNKNOWN"


def test_a_guest_counts_only_when_the_settings_name_it(tmp_path, monkeypatch):
    package = tmp_path / "guest_pkg-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-pkg\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[medviz.segmenters]\nvisitor = guest_pkg\nhead = guest_pkg\n")
    (tmp_path / "guest_pkg.py").write_text('"""A guest."""\ndef segment(): ...\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "visitor" not in plugins.names("segmenters")
    assert "visitor" in plugins.names("segmenters", guests=("visitor",))
    assert plugins.load("segmenters", "visitor", guests=("visitor",)).__doc__ == "A guest."
    with pytest.raises(BadInput) as caught:
        plugins.load("segmenters", "head", guests=("head",))
    assert caught.value.reason == "PLUGIN_CLASH"
    with pytest.raises(BadInput):
        plugins.load("segmenters", "visitor")
