"""Every shot shows what it is about, from the entry's side, upright, and tells each fact at most once."""

from __future__ import annotations

import numpy as np
import pytest

from medviz.core.facts import FactLedger
from medviz.core.plan import PlannedOperation
from medviz.core.records import read_record, write_record
from medviz.core.storyboard import Camera, Storyboard
from pipelines.plandocument import parse_plan
from pipelines.stages.facts import measure
from pipelines.stages.plan import plan_operation
from pipelines.stages.simulate import simulate
from pipelines.stages.storyboard import storyboard
from tests.make_head import HEAD, Head, make_head, rotation

WORDS_PER_S = 2.4
PAUSE_S = 0.45


def story_of(head: Head, side: str) -> tuple[PlannedOperation, FactLedger, Storyboard]:
    text = (
        f'schema_version = 1\nprocedure = "needle"\n[entry]\nside = "{side}"\n[search]\ncandidates = 3000\n'
    )
    operation = plan_operation(parse_plan(text.encode()), head.volume, head.segmentation, seed=1)
    simulation = simulate(operation, head.segmentation)
    ledger = measure(head.volume, head.segmentation, (), operation, simulation)
    return operation, ledger, storyboard(operation, ledger, (), head.segmentation)


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head()


@pytest.fixture(scope="module", params=["right", "left"])
def story(request, head) -> tuple[PlannedOperation, FactLedger, Storyboard]:
    return story_of(head, request.param)


def in_picture(camera: Camera, points_mm: np.ndarray) -> np.ndarray:
    """Return normalised picture coordinates: (-1, -1) to (1, 1) is the 16:9 picture; nan behind the camera.

    Textbook pinhole camera, written from the definition of `Camera`, not from the code under test.
    """
    eye, look = np.array(camera.position_mm), np.array(camera.look_at_mm)
    forward = (look - eye) / np.linalg.norm(look - eye)
    right = np.cross(forward, camera.up)
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    offset = points_mm - eye
    ahead = offset @ forward
    half = np.tan(np.radians(camera.view_angle_deg) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.stack([offset @ right / (ahead * half * 16 / 9), offset @ up / (ahead * half)], axis=1)
    seen[ahead <= 1.0] = np.nan
    return seen


def cameras(board: Storyboard) -> list[tuple[str, Camera]]:
    return [(s.id, c) for s in board.shots for c in (s.camera_start, s.camera_end) if c is not None]


def test_there_are_five_to_eight_shots_of_the_known_kinds(story):
    board = story[2]
    assert 5 <= len(board.shots) <= 8
    assert {shot.kind for shot in board.shots} <= {"scene", "slices", "card"}
    for shot in board.shots:
        assert (shot.camera_start is None) == (shot.kind != "scene")
        assert (shot.slices_at_mm is not None) == (shot.kind == "slices")


def test_every_fact_is_told_at_most_once_and_every_unknown_is_told(story):
    _, ledger, board = story
    told = [fact for shot in board.shots for fact in shot.fact_ids]
    assert len(told) == len(set(told))
    assert set(told) <= {fact.id for fact in ledger}
    assert {fact.id for fact in ledger if fact.id.startswith("unknown.")} <= set(told)
    assert all(shot.fact_ids for shot in board.shots)


def test_the_sentences_last_between_fifty_and_seventy_five_seconds(story):
    _, ledger, board = story
    told = [ledger[fact] for shot in board.shots for fact in shot.fact_ids]
    assert 12 <= len(told) <= 18
    seconds = sum(len(fact.sentence.split()) / WORDS_PER_S + PAUSE_S for fact in told)
    assert 50 <= seconds <= 75


def test_the_whole_head_is_in_the_wide_shots(story, head):
    board = story[2]
    skull = head.segmentation.grid.points(np.argwhere(head.segmentation.mask("skull"))[::500])
    for shot in board.shots:
        if shot.id in ("overview", "result"):
            for camera in (shot.camera_start, shot.camera_end):
                assert np.abs(in_picture(camera, skull)).max() < 0.97


def test_needle_and_target_are_in_every_shot_that_shows_the_needle(story):
    operation, _, board = story
    ends = np.array([operation.trajectory.entry_mm, operation.trajectory.target_mm])
    shown = [shot for shot in board.shots if shot.kind == "scene" and shot.depth_end_mm is not None]
    assert len(shown) >= 3
    for shot in shown:
        for camera in (shot.camera_start, shot.camera_end):
            assert np.abs(in_picture(camera, ends)).max() < 0.9


def test_the_entry_stands_in_the_middle_of_its_shot(story):
    operation, _, board = story
    shot = next(shot for shot in board.shots if shot.id == "entry")
    entry = np.array([operation.trajectory.entry_mm])
    assert np.abs(in_picture(shot.camera_end, entry)).max() < 0.05
    assert (shot.opening_start, shot.opening_end) == (0.0, 1.0)


def test_the_needle_is_long_enough_in_the_picture_to_be_followed(story):
    operation, _, board = story
    shot = next(shot for shot in board.shots if shot.id == "approach")
    ends = np.array([operation.trajectory.entry_mm, operation.trajectory.target_mm])
    for camera in (shot.camera_start, shot.camera_end):
        seen = in_picture(camera, ends) * (16 / 9, 1)
        assert np.linalg.norm(seen[0] - seen[1]) > 0.4


def test_superior_is_up_in_every_shot(story, head):
    for _, camera in cameras(story[2]):
        low, high = np.array([head.place((0, 0, 0))]), np.array([head.place((0, 0, 30))])
        rise = in_picture(camera, high)[0] - in_picture(camera, low)[0]
        assert rise[1] > 0
        assert rise[1] > 3 * abs(rise[0])


def test_no_camera_stands_in_front_of_the_face(story, head):
    for _, camera in cameras(story[2]):
        offset = np.array(camera.position_mm) - np.array(camera.look_at_mm)
        azimuth = np.degrees(np.arctan2(abs(offset[0]), -offset[1]))
        assert azimuth > 45


def test_the_camera_stands_on_the_side_of_the_entry(story, head):
    operation, _, board = story
    sign = 1 if operation.side == "left" else -1
    for name, camera in cameras(board):
        assert sign * (camera.position_mm[0] - head.centre_mm[0]) > 20, name


def test_left_and_right_entries_are_filmed_as_mirror_images(head):
    right, left = story_of(head, "right")[2], story_of(head, "left")[2]
    for one, other in zip(right.shots, left.shots, strict=True):
        assert one.id == other.id
        if one.camera_end and one.id in ("overview", "result"):
            centre = head.centre_mm[0]
            assert one.camera_end.position_mm[0] - centre == pytest.approx(
                -(other.camera_end.position_mm[0] - centre), abs=12
            )


def test_skin_and_soft_tissue_are_never_drawn(story):
    for shot in story[2].shots:
        assert not {"skin", "soft_tissue"} & {item.structure for item in shot.shown}


def test_structures_at_risk_glow_while_the_needle_advances(story):
    operation, _, board = story
    approach = next(shot for shot in board.shots if shot.id == "approach")
    glowing = {item.structure for item in approach.shown if item.glows_near_needle}
    assert glowing == {item.structure for item in operation.trajectory.clearances}
    assert approach.depth_start_mm == 0
    assert approach.depth_end_mm == pytest.approx(operation.trajectory.length_mm)


def test_only_structures_of_the_study_are_drawn():
    parts = [part for part in HEAD if part.name not in ("brainstem", "cerebellum")]
    board = story_of(make_head(parts), "right")[2]
    drawn = {item.structure for shot in board.shots for item in shot.shown}
    assert drawn <= {"skull", "cerebrum", "ventricles", "deep_grey", "csf"}


def test_many_unknowns_leave_out_other_facts_but_are_all_told():
    parts = [part for part in HEAD if part.name not in ("brainstem",)]
    head = make_head(parts, unreliable=("cerebellum", "deep_grey"))
    _, ledger, board = story_of(head, "right")
    told = [fact for shot in board.shots for fact in shot.fact_ids]
    unknown = {fact.id for fact in ledger if fact.id.startswith("unknown.")}
    assert len(unknown) == 4
    assert unknown <= set(told)
    assert len(told) <= 18


def test_a_turned_head_is_filmed_upright_in_its_own_axes():
    head = make_head(to_patient=rotation(1, 10))
    board = story_of(head, "right")[2]
    up = head.to_patient[:, 2]
    for _, camera in cameras(board):
        assert np.array(camera.up) @ up > 0.95


def test_the_storyboard_survives_being_saved(story, tmp_path):
    write_record(tmp_path / "story.json", story[2])
    assert read_record(tmp_path / "story.json", Storyboard) == story[2]
