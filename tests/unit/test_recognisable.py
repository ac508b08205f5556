"""A face that was kept is said on everything made from the volume, and on nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.film.furniture import Chapter, Layout, fixed
from pipelines.nifti import read_segmentation, read_volume, write_labels, write_volume
from pipelines.planreport import plan_report_html
from pipelines.stages import film, segment
from pipelines.stages.mesh import make_surfaces, read_surfaces, write_surfaces
from pipelines.stages.volume import make_volume
from pipelines.surfaces.export import export_surfaces
from tests import make, make_raw
from tests.make_film import Story, make_story

pytestmark = pytest.mark.parametrize("kept", [True, False])


@pytest.fixture(scope="module")
def story() -> Story:
    return make_story()


def says_so(content: bytes) -> bool:
    return b"recognisable" in content.lower()


def test_one_file_that_shows_a_face_marks_the_volume(tmp_path: Path, kept: bool) -> None:
    for index in range(6):
        ds = make_raw.ct_slice(index, side=24)
        ds.RecognizableVisualFeatures = "YES" if kept and index == 3 else "NO"
        make_raw.write(ds, tmp_path / f"{index}.dcm")
    assert make_volume(make.deidentified(tmp_path)).shows_face is kept


def test_the_mark_goes_from_volume_to_labels_to_surfaces_and_survives_the_disk(
    story: Story, tmp_path: Path, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Painted:
        CARD = type("Card", (), {"modality": "CT"})

        @staticmethod
        def segment(*_: object, **__: object) -> object:
            return story.segmentation

    monkeypatch.setattr(segment.plugins, "load", lambda *_: Painted)
    write_volume(replace(story.volume, shows_face=kept), tmp_path)
    labels = segment.segment(read_volume(tmp_path))
    write_labels(labels, tmp_path)
    write_surfaces(make_surfaces(read_segmentation(tmp_path), names=["skull"]), tmp_path)
    (skull,) = read_surfaces(tmp_path)

    assert (read_volume(tmp_path).shows_face, labels.shows_face, skull.shows_face) == (kept, kept, kept)


def test_every_exported_file_says_so(story: Story, tmp_path: Path, kept: bool) -> None:
    (skull,) = make_surfaces(replace(story.segmentation, shows_face=kept), names=["skull"])
    files = export_surfaces([skull], tmp_path)
    geometry = [path for path in files if path.suffix != ".mtl"]
    assert {path.suffix for path in geometry} == {".stl", ".ply", ".obj", ".glb"}
    assert [says_so(path.read_bytes()) for path in geometry] == [kept] * len(geometry)


def test_the_plan_report_says_so(story: Story, kept: bool) -> None:
    page = plan_report_html(
        story.operation, story.ledger, replace(story.volume, shows_face=kept), story.segmentation
    )
    assert says_so(page.encode()) is kept


def test_the_band_of_every_frame_says_so(story: Story, kept: bool) -> None:
    layout = Layout(1280, 720)
    props = type("P", (), {"volume": replace(story.volume, shows_face=kept), "speech": story.speech})
    remark = " ".join(film._remarks(props))
    plain = fixed(layout, Chapter("C1", "Overview", 1, 3, "Test voice."))[0].pixels
    band = fixed(layout, Chapter("C1", "Overview", 1, 3, remark))[0].pixels

    assert says_so(remark.encode()) is kept
    assert np.array_equal(plain, band) is not kept
    lit = np.flatnonzero(band[4:, :, :3].max(axis=(0, 2)) > 120)
    assert layout.margin <= lit.min()
    assert lit.max() < layout.width - layout.margin  # nothing is cut off
    assert json.dumps(remark).isascii()
