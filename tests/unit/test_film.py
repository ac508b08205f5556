"""The film: left is left, glass blends in order, furniture on every frame, times add up, nothing is lost."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import math
from pathlib import Path

import av
import numpy as np
import pytest

from medviz.core.errors import BadInput, Cancelled, FrameMismatch, StorageFull
from medviz.core.manifest import file_sha256
from medviz.core.space import Grid
from medviz.core.storyboard import Camera
from medviz.core.volume import Volume
from pipelines.film import captions, furniture, labels, lettering, slices
from pipelines.film.encoder import disk_watched, planes_of
from pipelines.film.furniture import Layout
from pipelines.film.rasteriser import Rasteriser
from pipelines.film.scene import Drawable, Hole, Scene
from pipelines.film.shapes import axis_of, hole_wall, needle_shape, shape_of
from pipelines.film.theatre import NEEDLE, Moment, Theatre
from pipelines.film.timeline import make_timeline
from pipelines.film.view import camera_between, view_of
from pipelines.film.vtk_reference import VtkRenderer
from pipelines.film.warning import warning_of
from pipelines.stages.film import FilmFiles, make_film
from tests.make_film import (
    ENTRY_MM,
    TARGET_MM,
    Story,
    make_simulation,
    make_story,
    write_tones,
)

FRONT = Camera((0.0, -400.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 30.0)
SIZE = (320, 180)


def ball(centre, radius, *, rings=24):
    """Return points and outward triangles of a sphere (mm)."""
    theta = np.linspace(0, np.pi, rings + 1)
    phi = np.arange(2 * rings) * np.pi / rings
    grid = np.stack(
        [
            np.outer(np.sin(theta), np.cos(phi)),
            np.outer(np.sin(theta), np.sin(phi)),
            np.outer(np.cos(theta), np.ones_like(phi)),
        ],
        axis=-1,
    )
    points = (np.asarray(centre) + radius * grid).reshape(-1, 3).astype(np.float32)
    n, faces = 2 * rings, []
    for i in range(rings):
        for j in range(n):
            a, b = i * n + j, i * n + (j + 1) % n
            faces += [(a, a + n, b + n), (a, b + n, b)]
    used = np.array(faces, dtype=np.int32)
    corners = points[used]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return points, used[area > 1e-6]


def sphere(name, centre, radius, colour=(0.8, 0.8, 0.8), opacity=1.0, rings=24, **more):
    return Drawable(name, shape_of(*ball(centre, radius, rings=rings)), colour, opacity, **more)


def draw(*drawables, camera=FRONT, hole=None, size=SIZE):
    return Rasteriser(*size).render(Scene(drawables, camera, hole))


def middle_of(mask):
    rows, columns = np.nonzero(mask)
    return columns.mean(), rows.mean()


def test_from_the_front_the_patients_left_is_on_the_right_and_up_is_up():
    left = sphere("left", (60.0, 0.0, 0.0), 15.0)
    above = sphere("above", (0.0, 0.0, 60.0), 15.0)
    picture = draw(left, above)
    assert middle_of(picture.nearest == 0)[0] > SIZE[0] / 2 + 20
    assert middle_of(picture.nearest == 1)[1] < SIZE[1] / 2 - 20


def test_from_above_with_the_nose_up_the_patients_left_is_on_the_left():
    camera = Camera((0.0, 0.0, 400.0), (0.0, 0.0, 0.0), (0.0, -1.0, 0.0), 30.0)
    picture = draw(sphere("left", (60.0, 0.0, 0.0), 15.0), camera=camera)
    assert middle_of(picture.nearest == 0)[0] < SIZE[0] / 2 - 20


def test_a_point_is_drawn_where_the_view_says_it_is():
    camera = Camera((-180.0, -300.0, 140.0), (10.0, 5.0, -8.0), (0.0, 0.0, 1.0), 32.0)
    for centre in ((30.0, -20.0, 25.0), (-40.0, 30.0, -10.0)):
        x, y, ahead = view_of(camera, *SIZE).project(np.array([centre]))[0]
        picture = draw(sphere("ball", centre, 6.0), camera=camera)
        at = middle_of(picture.nearest == 0)
        assert math.dist(at, (x - 0.5, y - 0.5)) < 0.6
        assert picture.depth_mm.min() == pytest.approx(ahead - 6.0, abs=0.4)


def test_the_rasteriser_and_vtk_agree_on_outline_sides_order_and_depth():
    camera = Camera((-150.0, -330.0, 160.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 34.0)
    entry, target = (-40.0, -50.0, 62.0), (5.0, 5.0, 0.0)
    hole = Hole(entry, tuple(axis_of(entry, target)[1]), 9.0, -30.0, 60.0)
    needle = needle_shape(entry, target, depth_mm=60.0, radius_mm=2.0, shaft_mm=120.0)
    scene = Scene(
        (
            sphere("skull", (0, 0, 0), 80.0, opacity=0.5, rings=90, is_cut=True),
            sphere("left", (45.0, -50.0, 40.0), 20.0),
            sphere("nose", (0.0, -85.0, -10.0), 14.0),
            sphere("right", (-85.0, 0.0, 0.0), 12.0),
            Drawable("needle", needle, (0.8, 0.8, 0.8)),
        ),
        camera,
        hole,
    )
    ours, theirs = Rasteriser(*SIZE).render(scene), VtkRenderer(*SIZE).render(scene)
    a, b = ours.nearest >= 0, theirs.nearest >= 0
    assert (a & b).sum() / (a | b).sum() > 0.98
    assert (ours.nearest == theirs.nearest).mean() > 0.99
    for index in range(1, 5):
        assert math.dist(middle_of(ours.nearest == index), middle_of(theirs.nearest == index)) < 1.0
    same = (ours.nearest == theirs.nearest) & a
    assert np.percentile(np.abs(ours.depth_mm[same] - theirs.depth_mm[same]), 99) < 1.0


def test_glass_blends_in_order_of_depth_whatever_order_it_is_given_in():
    red = sphere("red", (0.0, -60.0, 0.0), 40.0, (0.9, 0.1, 0.1), 0.8)
    blue = sphere("blue", (0.0, 60.0, 0.0), 40.0, (0.1, 0.1, 0.9), 0.8)
    one, other = draw(red, blue).rgb, draw(blue, red).rgb
    assert (one == other).all()
    r, _, b = one[SIZE[1] // 2, SIZE[0] // 2].astype(int)
    assert r > b + 40
    behind = draw(red, blue, camera=dataclasses.replace(FRONT, position_mm=(0.0, 400.0, 0.0))).rgb
    r, _, b = behind[SIZE[1] // 2, SIZE[0] // 2].astype(int)
    assert b > r + 20


def test_what_is_behind_an_opaque_surface_cannot_shine_through():
    wall = sphere("wall", (0.0, -60.0, 0.0), 40.0)
    hidden = sphere("hidden", (0.0, 60.0, 0.0), 10.0, (1.0, 0.0, 0.0))
    assert (draw(wall).rgb == draw(wall, hidden).rgb).all()


def test_two_triangles_that_share_an_edge_leave_no_seam_in_glass():
    corners = np.array([[-50, 0, -50], [50, 0, -50], [50, 0, 50], [-50, 0, 50], [7, 0, 3]], np.float32)
    fan = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]], np.int32)
    pane = Drawable("pane", shape_of(corners, fan), (0.9, 0.9, 0.9), 0.4)
    picture = draw(pane)
    inside = picture.nearest == 0
    assert inside.sum() > 3000
    assert inside[60:120, 130:190].all()
    patch = picture.rgb[70:110, 140:180].astype(int)
    assert np.abs(np.diff(patch, axis=1)).max() <= 12


def test_the_same_scene_gives_the_same_bytes_in_another_renderer():
    scene = Scene((sphere("a", (0, 0, 0), 60.0, opacity=0.5), sphere("b", (10, 0, 0), 30.0)), FRONT)
    assert (Rasteriser(*SIZE).render(scene).rgb == Rasteriser(*SIZE).render(scene).rgb).all()


def test_the_burr_hole_opens_what_is_cut_and_nothing_else():
    entry, target = (0.0, -80.0, 0.0), (0.0, 0.0, 0.0)
    hole = Hole(entry, (0.0, 1.0, 0.0), 7.0, -20.0, 30.0)
    skull = sphere("skull", (0, 0, 0), 80.0, is_cut=True)
    brain = sphere("brain", (0, 0, 0), 70.0)
    closed, opened = draw(skull, brain), draw(skull, brain, hole=hole)
    seen = opened.nearest == 1
    assert not (closed.nearest == 1).any()
    px_per_mm = view_of(FRONT, *SIZE).px_per_mm(entry)
    assert seen.sum() == pytest.approx(math.pi * (7.0 * px_per_mm) ** 2, rel=0.12)
    assert math.dist(middle_of(seen), (SIZE[0] / 2 - 0.5, SIZE[1] / 2 - 0.5)) < 0.5
    wall = hole_wall(skull.shape, entry, target, radius_mm=7.0, low_mm=-20.0, high_mm=6.0)
    assert wall is not None
    away = np.hypot(wall.points_mm[:, 0], wall.points_mm[:, 2])
    assert away == pytest.approx(np.full(len(away), 7.0), abs=1e-3)


def test_an_unsure_structure_is_striped():
    plain = draw(sphere("a", (0, 0, 0), 60.0)).rgb[:, :, 0].astype(int)
    striped = draw(sphere("a", (0, 0, 0), 60.0, is_hatched=True)).rgb[:, :, 0].astype(int)
    line = slice(110, 210)
    assert np.abs(np.diff(striped[90, line])).sum() > 4 * np.abs(np.diff(plain[90, line])).sum()


def test_the_needle_tip_is_at_its_depth_on_the_way_to_the_target():
    shape = needle_shape(ENTRY_MM, TARGET_MM, depth_mm=40.0, radius_mm=1.2, shaft_mm=100.0)
    start, direction = axis_of(ENTRY_MM, TARGET_MM)
    along = (shape.points_mm - start) @ direction
    assert along.max() == pytest.approx(40.0, abs=1e-3)
    assert along.min() < -60.0


def test_a_camera_swings_around_instead_of_through():
    start = Camera((0.0, -400.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    end = Camera((400.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    for fraction in (0.0, 0.3, 0.5, 1.0):
        assert math.dist(camera_between(start, end, fraction).position_mm, (0, 0, 0)) == pytest.approx(400.0)
    assert camera_between(start, end, 1.0).position_mm == pytest.approx(end.position_mm)


def test_the_warning_grows_as_the_needle_nears_and_only_for_the_nearest():
    simulation = make_simulation(75.0)
    levels = [warning_of(simulation, "deep_grey", depth) for depth in (0.0, 55.0, 65.0, 75.0)]
    assert levels == sorted(levels)
    assert levels[0] < 0.01
    assert levels[-1] > 0.8
    assert warning_of(simulation, "brainstem", 75.0) == 0.0


@pytest.mark.parametrize(
    ("camera", "letter"),
    [((0, -400, 0), "A"), ((0, 400, 0), "P"), ((400, 0, 0), "L"), ((-400, 0, 0), "R"), ((0, 0, 400), "S")],
)
def test_the_cube_shows_the_side_the_camera_looks_at_and_its_letter_is_not_mirrored(camera, letter):
    layout, up = Layout(1280, 720), (0.0, -1.0, 0.0) if letter == "S" else (0.0, 0.0, 1.0)
    view = view_of(Camera(tuple(map(float, camera)), (0.0, 0.0, 0.0), up, 30.0), 1280, 720)
    frame = np.zeros((120, 120, 3), dtype=np.uint8)
    furniture.draw_cube(frame, layout, view, (60, 60))
    side = 2 * layout.px(34)
    texture = furniture._texture(letter, 2 * side).resize((side, side))
    wanted = np.asarray(texture, dtype=float)[:, :, :3].mean(axis=2)
    drawn = frame[60 - side // 2 : 60 + side // 2, 60 - side // 2 : 60 + side // 2].mean(axis=2)
    agreement = np.corrcoef(wanted.ravel(), drawn.ravel())[0, 1]
    mirrored = np.corrcoef(wanted[:, ::-1].ravel(), drawn.ravel())[0, 1]
    assert agreement > 0.8
    assert letter == "A" or agreement > mirrored + 0.1


def test_the_scale_bar_is_as_long_as_it_says_at_the_targets_depth():
    view = view_of(FRONT, 1280, 720)
    ends = view.project(np.array([[-25.0, 30.0, 0.0], [25.0, 30.0, 0.0]]))
    px_per_mm = view.px_per_mm((0.0, 30.0, 0.0))
    assert ends[1, 0] - ends[0, 0] == pytest.approx(50.0 * px_per_mm)
    frame = np.zeros((720, 1280, 3), dtype=np.uint8)
    length = furniture.draw_scale_bar(frame, Layout(1280, 720), px_per_mm, (100, 500))
    lit = np.flatnonzero(frame[500, :, 0] > 128)
    assert lit[-1] - lit[0] == pytest.approx(length * px_per_mm, abs=5)


def test_labels_keep_apart_and_inside_the_picture():
    layout, view = Layout(1280, 720), view_of(FRONT, 1280, 720)
    points = {f"s{i}": np.array([10.0 * (i % 3) - 10.0, 0.0, 2.0 * i - 8.0]) for i in range(9)}
    texts = {name: f"cerebrospinal structure {name}" for name in points}
    placed = labels.arrange(texts, points, view, layout, (100.0, 1200.0), 260.0)
    assert len(placed) == 9
    style = labels.style_of(layout)
    assert style.size >= 20
    for is_left in (True, False):
        heights = sorted(item.y for item in placed if item.is_left == is_left)
        assert all(b - a >= style.size + 4 for a, b in itertools.pairwise(heights))
    for item in placed:
        width = lettering.width_of(item.text, style)
        left = item.x - width if item.is_left else item.x
        assert left >= layout.margin - 1
        assert left + width <= layout.width - layout.margin + 1
        assert layout.heading_bottom < item.y < layout.caption_top


def make_corner_volume() -> tuple[Volume, Grid]:
    """Return a volume turned oddly (slices run to the right, rows down), dark but for one bright corner."""
    story = make_story()
    affine = np.eye(4)
    affine[:3, :3] = np.array([[-2.0, 0, 0], [0, 0, 1.5], [0, -1.0, 0]])
    grid = Grid((60, 90, 80), affine, story.volume.grid.frame_of_reference)
    voxels = np.zeros(grid.shape, dtype=np.int16)
    points = grid.points(np.indices(grid.shape).reshape(3, -1).T).reshape(*grid.shape, 3)
    middle = grid.centre_mm
    voxels[(points > middle).all(axis=-1)] = 80  # left, posterior, superior
    return Volume(voxels, grid, "CT", "HU", "no", story.volume.report), grid


def test_planes_of_any_grid_are_in_the_radiologists_view_and_to_scale():
    volume, grid = make_corner_volume()
    middle = grid.centre_mm
    for plane in slices.PLANES:
        panel = slices.Panel(plane, 0, 0, 100, 100, middle + 1.0, 1.0)
        image = slices.grey(volume, panel, slices.Window()).astype(float)
        names = dict(zip(("left", "right", "top", "bottom"), plane.letters, strict=True))
        halves = {
            "left": image[:, :50].sum(), "right": image[:, 50:].sum(),
            "top": image[:50].sum(), "bottom": image[50:].sum(),
        }  # fmt: skip
        for one, other in (("left", "right"), ("top", "bottom")):
            brighter = one if halves[one] > halves[other] else other
            assert names[brighter] in "LPS"
    x0, y0 = panel.at(tuple(middle))
    x1, y1 = panel.at(tuple(middle + np.array([0.0, 10.0, -20.0])))
    assert (x1 - x0, y1 - y0) == pytest.approx((10.0, 20.0))


def test_captions_hold_two_lines_of_42_signs_and_fill_their_time():
    text = (
        "The needle passes the deep grey nuclei at a distance of 4.2 mm, between 3.1 mm and 5.3 mm, and " * 2
    )
    cues = captions.cues_of(text.strip(), 3.0, 9.0, 0)
    assert all(len(cue.lines) <= 2 and all(len(line) <= 42 for line in cue.lines) for cue in cues)
    assert " ".join(" ".join(cue.lines) for cue in cues) == text.strip()
    assert cues[0].start_s == 3.0
    assert cues[-1].end_s == pytest.approx(9.0)
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(cues))
    assert captions.clock(3661.5) == "01:01:01.500"


def test_colours_come_back_from_the_encoders_planes():
    rgb = np.full((8, 8, 3), (200, 90, 40), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(planes_of(rgb), format="yuv420p")
    frame.colorspace = 1  # BT.709
    back = frame.to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0)
    assert back == pytest.approx([200, 90, 40], abs=4)


def test_a_full_disk_is_told_as_such():
    with pytest.raises(StorageFull), disk_watched(), Path("/dev/full").open("w") as stream:
        stream.write("x" * 100_000)
    with pytest.raises(OSError, match="other"), disk_watched():
        raise OSError(errno.EIO, "other")


def test_a_sentence_that_is_not_spoken_is_refused():
    story = make_story()
    speech = dataclasses.replace(story.speech, utterances=story.speech.utterances[:-1])
    with pytest.raises(BadInput) as refused:
        make_timeline(story.storyboard, story.narration, speech, [0.3] * 4, frames_per_second=24)
    assert refused.value.reason == "SPEECH_INCOMPLETE"


def filmed(story: Story, folder: Path, **more) -> FilmFiles:
    folder.mkdir(exist_ok=True)
    write_tones(folder / "speech", len(story.narration.sentences))
    return make_film(
        story.storyboard, story.narration, story.speech, folder / "speech", story.surfaces, story.volume,
        story.segmentation, story.operation, story.simulation, story.ledger, folder,
        **({"case_id": "C0007", "frames_per_second": 12, "size": SIZE} | more),
    )  # fmt: skip


@pytest.fixture(scope="module")
def story() -> Story:
    return make_story()


@pytest.fixture(scope="module")
def film(story, tmp_path_factory) -> FilmFiles:
    return filmed(story, tmp_path_factory.mktemp("film"))


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]


def record_of(film: FilmFiles) -> dict:
    return json.loads(film.record.read_text())["record"]


def test_the_film_has_its_pictures_sound_chapters_and_says_what_it_is(film, story):
    with av.open(str(film.film)) as source:
        video, audio = source.streams.video[0], source.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height, float(video.average_rate)) == (*SIZE, 12.0)
        assert video.frames == film.frames
        assert source.duration / 1e6 == pytest.approx(film.length_s, abs=0.1)
        assert float(audio.duration * audio.time_base) == pytest.approx(film.length_s, abs=0.1)
        assert "Not for diagnosis" in source.metadata["comment"]
        assert source.metadata["title"] == story.storyboard.title
        titles = [chapter["metadata"]["title"] for chapter in source.chapters()]
    assert [shot.title for shot in story.storyboard.shots] == titles[1:-1]
    head = film.film.read_bytes()[:4096]
    assert b"moov" in head  # plays while it loads


def test_no_frame_is_black_and_the_draft_band_is_on_every_frame(film):
    frames = frames_of(film.film)
    assert len(frames) == film.frames
    top = Layout(*SIZE).band_top
    for frame in frames:
        assert frame.mean() > 8
        amber = frame[top : top + 2].reshape(-1, 3).mean(axis=0)
        assert amber[0] > 110 > amber[2]


def test_every_sentence_is_heard_in_its_frames_and_captioned_then(film, story):
    record = record_of(film)
    assert [item["text"] for item in record["sentences"]] == [s.text for s in story.narration.sentences]
    shots = {item["id"]: item for item in record["shots"]}
    for item in record["sentences"]:
        shot = shots[item["shot_id"]]
        assert shot["first_frame"] <= item["first_frame"] < item["last_frame"]
        assert item["last_frame"] < shot["first_frame"] + shot["frames"]
    with av.open(str(film.film)) as source:
        sound = np.concatenate([f.to_ndarray()[0] for f in source.decode(audio=0)])
    for item in record["sentences"]:
        during = sound[int((item["start_s"] + 0.1) * 48000) : int((item["end_s"] - 0.1) * 48000)]
        before = sound[int((item["start_s"] - 0.2) * 48000) : int((item["start_s"] - 0.08) * 48000)]
        assert np.abs(during).mean() > 20 * np.abs(before).mean() + 0.01
    assert film.captions.read_text().count("-->") >= len(record["sentences"])
    assert record["film_sha256"] == file_sha256(film.film)


def test_the_transcript_names_the_facts_of_each_sentence(film, story):
    text = film.transcript.read_text()
    for sentence in story.narration.sentences:
        assert f"{sentence.text} [{', '.join(sentence.fact_ids)}]" in text
    assert "Not for diagnosis" in text
    assert "test voice" in text


def test_two_films_from_the_same_story_are_the_same_bytes_whatever_the_threads(film, story, tmp_path):
    again = filmed(story, tmp_path, threads=3)
    assert file_sha256(again.film) == file_sha256(film.film)
    assert file_sha256(again.poster) == file_sha256(film.poster)


def test_a_changed_sentence_renders_its_shot_again_and_no_other(story, tmp_path):
    first = filmed(story, tmp_path)
    told: list[str] = []
    sentences = list(story.narration.sentences)
    sentences[2] = dataclasses.replace(sentences[2], text="The path passes the nuclei at 4.2 mm.")
    amended = dataclasses.replace(
        story, narration=dataclasses.replace(story.narration, sentences=tuple(sentences))
    )
    second = filmed(amended, tmp_path, progress=lambda fraction, figure: told.append(figure))
    keys = [shot["key"] for shot in record_of(second)["shots"]]
    changed = [shot["id"] for shot in record_of(second)["shots"] if shot["id"] == "approach"]
    assert changed
    assert len(list((tmp_path / "shots").glob("*.mp4"))) == len(keys) + 1
    frames = next(shot["frames"] for shot in record_of(second)["shots"] if shot["id"] == "approach")
    assert told[-1] == f"frame {frames} of {frames}"
    assert first.frames == second.frames


def test_a_stopped_run_keeps_its_finished_shots_and_ends_in_the_same_film(film, story, tmp_path):
    def stop(fraction: float, figure: str) -> None:
        if fraction > 0.5:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        filmed(story, tmp_path, progress=stop)
    kept = sorted(path.name for path in (tmp_path / "shots").iterdir())
    assert kept
    assert all(not name.startswith(".") for name in kept)
    assert not (tmp_path / "film.mp4").exists()
    assert file_sha256(filmed(story, tmp_path).film) == file_sha256(film.film)


def test_the_needle_is_where_the_plan_says_in_the_picture(story):
    shot = next(item for item in story.storyboard.shots if item.id == "approach")
    shapes = {s.name: shape_of(s.vertices_mm, s.triangles) for s in story.surfaces if s.name == "skin"}
    surfaces = {surface.name: surface for surface in story.surfaces}
    theatre = Theatre(shot, shapes, surfaces, story.operation, story.simulation)
    scene = theatre.scene(Moment(1.0, 0.0, story.operation.trajectory.length_mm, 1.0))
    needle = next(item for item in scene.drawables if item.name == NEEDLE)
    seen = draw(needle, camera=scene.camera).nearest == 0
    rows, columns = np.nonzero(seen)
    ends = view_of(scene.camera, *SIZE).project(np.array([ENTRY_MM, TARGET_MM]))[:, :2]
    way = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    away = np.stack([columns + 0.5, rows + 0.5], axis=1) - ends[1]
    along, aside = away @ way, away @ np.array([-way[1], way[0]])
    assert along.max() == pytest.approx(0.0, abs=1.0)
    assert np.abs(aside[along > -40]).max() < 2.0


def test_a_surface_of_another_patient_is_refused(story, tmp_path):
    foreign = dataclasses.replace(story.surfaces[0], frame_of_reference="1.2.3")
    with pytest.raises(FrameMismatch):
        filmed(dataclasses.replace(story, surfaces=(foreign, *story.surfaces[1:])), tmp_path)


def test_a_shown_structure_without_a_surface_is_refused(story, tmp_path):
    with pytest.raises(BadInput) as refused:
        filmed(dataclasses.replace(story, surfaces=story.surfaces[1:]), tmp_path)
    assert refused.value.reason == "SURFACE_ABSENT"


def test_a_missing_sound_file_is_refused(story, tmp_path):
    with pytest.raises(BadInput) as refused:
        make_film(
            story.storyboard, story.narration, story.speech, tmp_path, story.surfaces, story.volume,
            story.segmentation, story.operation, story.simulation, story.ledger, tmp_path, case_id="C0007",
        )  # fmt: skip
    assert refused.value.reason == "SPEECH_UNREADABLE"
