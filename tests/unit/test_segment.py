"""Fusion of network and rules, plausibility, and the stage that joins them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medviz.core.anatomy import STRUCTURES
from medviz.core.errors import BadInput, Cancelled, Uncertain
from medviz.core.segmentation import ModelRecord
from pipelines.plausibility import judge, skull_opening
from pipelines.segmenters import rules
from pipelines.segmenters.head import BRAIN, cropped, fuse
from pipelines.segmenters.labelling import segmentation_of
from pipelines.stages.segment import segment
from tests.make_head import make_head

MODEL = ModelRecord("painted", "1", "0" * 64)


@pytest.fixture(scope="module")
def head():
    return make_head(spacing_mm=(2.5, 2.0, 2.0))


@pytest.fixture(scope="module")
def masks(head):
    view = rules.coarse_view(head.volume)
    return rules.find_head(head.volume, rules.find_body(head.volume, view), view)


@pytest.fixture(scope="module")
def fused(head, masks):
    """The painted brain as a network would say it, with two errors: brain in the neck and in the nose."""
    brain = painted_brain(head)
    brain[near(head, (0, 10, -110), 15)] = STRUCTURES["brainstem"].label
    brain[near(head, (0, -95, -38), 8)] = STRUCTURES["cerebrum"].label
    confidence = np.full(brain.shape, 0.8, dtype=np.float32)
    confidence[brain == STRUCTURES["ventricles"].label] = 0.5
    return fuse(head.volume, masks, brain, confidence, model=MODEL)


def painted_brain(head):
    names = (*BRAIN, "csf")
    keep = np.isin(head.segmentation.labels, [STRUCTURES[name].label for name in names])
    return np.where(keep, head.segmentation.labels, 0).astype(np.uint8)


def near(head, offset_mm, radius_mm):
    points = head.volume.grid.points(np.indices(head.volume.grid.shape).reshape(3, -1).T)
    inside = np.linalg.norm(points - head.place(offset_mm), axis=1) < radius_mm
    return inside.reshape(head.volume.grid.shape)


def codes(segmentation, name=None):
    return {finding.code for finding in segmentation.findings if name in (None, finding.structure)}


def by_name(segmentation):
    return {item.name: item for item in segmentation.structures}


def test_the_network_speaks_only_inside_the_skull(head, fused):
    assert fused.labels[near(head, (0, 10, -112), 8)].max() == STRUCTURES["soft_tissue"].label
    assert fused.labels[near(head, (0, -95, -38), 5)].max() == STRUCTURES["soft_tissue"].label
    for name in BRAIN:
        wanted = by_name(head.segmentation)[name].volume_ml
        assert by_name(fused)[name].volume_ml == pytest.approx(wanted, rel=0.05), name


def test_every_structure_says_whether_network_or_rule_made_it(fused):
    items = by_name(fused)
    assert {items[name].source for name in (*BRAIN, "csf", "brain")} == {"network"}
    assert {items[name].source for name in ("skull", "soft_tissue", "air", "skin")} == {"rule"}
    assert items["skull"].confidence is None
    assert items["cerebrum"].confidence == pytest.approx(0.8)
    assert items["ventricles"].confidence == pytest.approx(0.5)
    assert 0.5 < items["brain"].confidence < 0.8
    assert [model.name for model in fused.models] == ["painted", "medviz-hu-rules"]


def test_the_skin_encloses_everything_and_holds_its_air(fused, masks):
    assert np.array_equal(fused.mask("skin"), masks.body | (fused.labels > 0))
    assert not (fused.mask("air") & ~fused.mask("skin")).any()


def test_left_stays_left(head, masks):
    brain = painted_brain(head)
    grey = STRUCTURES["deep_grey"].label
    brain[near(head, (40, 0, 30), 8)] = grey
    result = fuse(head.volume, masks, brain, np.ones(brain.shape, dtype=np.float32), model=MODEL)
    added = (result.labels == grey) & (head.segmentation.labels != grey)
    centre = head.volume.grid.points(np.argwhere(added).mean(axis=0)[None])[0]
    assert np.allclose(centre, head.place((40, 0, 30)), atol=1.0)


def test_a_whole_head_has_no_finding_but_the_unsure_ventricles(fused):
    judged = judge(fused)
    assert not codes(judged, "skull")
    assert codes(judged, "ventricles") == {"LOW_CONFIDENCE"}
    assert not by_name(judged)["ventricles"].is_reliable
    assert by_name(judged)["cerebrum"].is_reliable
    sentence = next(finding.sentence for finding in judged.findings if finding.code == "LOW_CONFIDENCE")
    assert "ventricles" in sentence
    assert "0.50" in sentence


def test_a_brain_that_is_too_small_is_implausible(fused):
    labels = fused.labels.copy()
    labels[np.isin(labels, [STRUCTURES["cerebrum"].label])] = STRUCTURES["csf"].label
    labels[labels.shape[0] // 2, 60:70, 60:70] = STRUCTURES["cerebrum"].label
    judged = judge(segmentation_of(labels, fused.grid, {"cerebrum": 0.9}, models=()))
    assert "VOLUME_IMPLAUSIBLE" in codes(judged, "cerebrum")
    assert not by_name(judged)["cerebrum"].is_reliable


def test_a_head_upside_down_is_noticed(fused):
    judged = judge(replace(fused, labels=np.ascontiguousarray(fused.labels[::-1])))
    assert "ORDER_IMPLAUSIBLE" in codes(judged, "cerebellum")
    assert not by_name(judged)["cerebellum"].is_reliable


def test_kidneys_on_the_wrong_side_are_noticed(fused):
    labels = np.zeros((20, 40, 60), dtype=np.uint8)
    labels[5:15, 10:20, 5:15] = STRUCTURES["kidney_left"].label  # columns grow to the left
    labels[5:15, 10:20, 45:55] = STRUCTURES["kidney_right"].label
    grid = replace(fused.grid, shape=labels.shape)
    assert "ORDER_IMPLAUSIBLE" in codes(judge(segmentation_of(labels, grid, {}, models=())), "kidney_left")
    mirrored = np.ascontiguousarray(labels[:, :, ::-1])
    assert "ORDER_IMPLAUSIBLE" not in codes(judge(segmentation_of(mirrored, grid, {}, models=())))


def test_a_structure_in_pieces_is_not_reliable(head, fused):
    labels = fused.labels.copy()
    stray = near(head, (40, -40, 40), 20) & (labels == STRUCTURES["cerebrum"].label)
    labels[stray] = STRUCTURES["cerebellum"].label
    judged = judge(segmentation_of(labels, fused.grid, {}, models=()))
    assert "IN_PIECES" in codes(judged, "cerebellum")
    assert not by_name(judged)["cerebellum"].is_reliable


def test_a_scan_that_ends_in_the_brain_says_that_volumes_are_lower_bounds(fused):
    top = fused.grid.shape[0] * 6 // 10
    grid = replace(fused.grid, shape=(top, *fused.grid.shape[1:]))
    judged = judge(segmentation_of(fused.labels[:top].copy(), grid, {"cerebrum": 0.9}, models=()))
    assert "CUT_OFF" in codes(judged, "cerebrum")
    assert "VOLUME_IMPLAUSIBLE" not in codes(judged, "cerebrum")
    assert "CUT_OFF" not in codes(judged, "cerebellum")


def test_an_opening_of_the_skull_is_found_with_its_size_and_side(head, fused):
    assert skull_opening(fused)[0] < 0.3
    labels = fused.labels.copy()
    hole = near(head, (52, -30, 50), 20) & (labels == STRUCTURES["skull"].label)
    labels[hole] = STRUCTURES["soft_tissue"].label
    opened = segmentation_of(labels, fused.grid, {}, models=())
    area_cm2, where = skull_opening(opened)
    assert 5 < area_cm2 < 20  # a ball of 20 mm cuts a disc of up to 12.6 cm2 out of the vault
    assert where == "on the left, in front"
    assert "SKULL_OPEN" in codes(judge(opened), "skull")


def test_the_network_is_shown_the_body_and_a_margin(head, masks):
    part = cropped(head.volume, masks.body)
    assert part.grid.shape < head.volume.grid.shape
    for corner in ((0, 0, 0), tuple(n - 1 for n in part.grid.shape)):
        place = part.grid.points(np.array([corner]))
        voxel = np.rint(head.volume.grid.indices(place)).astype(int)[0]
        assert part.voxels[corner] == head.volume.voxels[tuple(voxel)]
    empty = np.zeros(head.volume.grid.shape, dtype=bool)
    assert cropped(head.volume, empty) is head.volume


def test_the_trunk_rules_find_body_bone_and_air_and_no_organ(head):
    result = segment(head.volume, segmenter="trunk_rules")
    assert set(result.names()) == {"soft_tissue", "bone", "air", "skin"}
    assert {item.source for item in result.structures} == {"rule"}
    bone = by_name(head.segmentation)["skull"].volume_ml
    assert by_name(result)["bone"].volume_ml == pytest.approx(bone, rel=0.05)


def test_an_unknown_segmenter_is_told_with_the_choice(head):
    with pytest.raises(BadInput) as caught:
        segment(head.volume, segmenter="crystal_ball")
    assert caught.value.reason == "PLUGIN_UNKNOWN"
    assert "head" in caught.value.mend


def test_a_magnetic_resonance_volume_is_refused(head):
    with pytest.raises(BadInput) as caught:
        segment(replace(head.volume, modality="MR", unit=""), segmenter="trunk_rules")
    assert caught.value.reason == "WRONG_MODALITY"


def test_an_empty_scan_stops_the_case(head):
    empty = replace(head.volume, voxels=np.full(head.volume.grid.shape, -1000, dtype=np.int16))
    with pytest.raises(Uncertain) as caught:
        segment(empty, segmenter="trunk_rules")
    assert caught.value.reason == "NOTHING_FOUND"


def test_the_user_can_stop_a_segmentation(head):
    def stop(done, figure):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        segment(head.volume, segmenter="trunk_rules", progress=stop)
