"""Faces are taken off DICOM files of any arrangement and off all that was made of them, or they are held."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread, uid
from pydicom.dataset import Dataset

from anonymize import headers
from anonymize.elements import ParsedFile, parse_file
from anonymize.faces import Face, Faces, look_for_faces
from anonymize.keys import ProjectKeys
from medviz.core.errors import StudyUnreadable
from tests import make_face as mf
from tests import make_raw

KEYS = ProjectKeys(bytes(range(32)))


def parsed(path: Path) -> tuple[ParsedFile, str]:
    found = parse_file(path.read_bytes())
    return found, headers.check_kind(found)


def stored_of(cleaned: ParsedFile, original: Dataset) -> NDArray[np.generic]:
    """The native pixels of a cleaned file, read without the code under test."""
    assert cleaned.pixels is not None
    count = original.Rows * original.Columns * int(original.get("NumberOfFrames", 1) or 1)
    kind = f"<u{original.BitsAllocated // 8}"
    data = bytes(cleaned.buffer[cleaned.pixels.value_start : cleaned.pixels.end])
    values: NDArray[np.generic] = np.frombuffer(data, dtype=kind, count=count)
    return values.reshape(-1, original.Rows, original.Columns)


def cleaned_levels(faces: Faces, paths: list[Path]) -> list[tuple[NDArray[np.float64], Dataset]]:
    """Modality levels of every frame after the face was taken off, with its original data set."""
    found = []
    for path in paths:
        original = dcmread(path)
        after, face = faces.without_face(*parsed(path))
        assert face is Face.REMOVED
        stored = stored_of(after, original)[0].astype(np.float64)
        found.append((stored * float(original.RescaleSlope) + float(original.RescaleIntercept), original))
    return found


def places_of(ds: Dataset) -> NDArray[np.float64]:
    cosines = np.array([float(v) for v in ds.ImageOrientationPatient])
    position, mm = np.array([float(v) for v in ds.ImagePositionPatient]), float(ds.PixelSpacing[0])
    rows, columns = np.indices((ds.Rows, ds.Columns))[..., None] * mm
    places: NDArray[np.float64] = position + columns * cosines[:3] + rows * cosines[3:]
    return places


def check_landmarks_gone_and_inside_kept(
    found: list[tuple[NDArray[np.float64], Dataset]], air: float, arrangement: mf.Arrangement = mf.AXIAL
) -> None:
    seen = set()
    for levels, ds in found:
        points = arrangement.in_head(places_of(ds))
        before = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        kept = mf.inside(mf.SKULL, points)
        assert np.array_equal(levels[kept], before[kept])
        behind = points[..., 1] > 60
        assert np.array_equal(levels[behind], before[behind])
        for name, place in mf.LANDMARKS_MM.items():
            near = np.linalg.norm(points - np.array(place), axis=-1) < 3.2
            if near.any():
                seen.add(name)
                assert levels[near].max() <= air, name
    assert seen == set(mf.LANDMARKS_MM)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return mf.write(mf.make_slices(), tmp_path_factory.mktemp("head"))


@pytest.fixture(scope="module")
def faces(head: list[Path]) -> Faces:
    return look_for_faces(head)


def reason_of(faces: Faces, path: Path) -> str:
    with pytest.raises(StudyUnreadable) as caught:
        faces.without_face(*parsed(path))
    return caught.value.reason


def test_nose_lips_and_cheeks_go_and_every_voxel_of_the_skull_stays(head: list[Path], faces: Faces) -> None:
    check_landmarks_gone_and_inside_kept(cleaned_levels(faces, head), -990)
    (proof,) = faces.proofs()
    assert proof.face is Face.REMOVED
    assert proof.removed_ml > 30
    assert proof.moved_mm > 6
    assert proof.picture.startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(mf.ARRANGEMENTS) - {"axial"}))
def test_the_face_goes_however_the_slices_lie(tmp_path: Path, name: str) -> None:
    paths = mf.write(mf.make_slices(mf.ARRANGEMENTS[name]), tmp_path)
    found = cleaned_levels(look_for_faces(paths), paths)
    check_landmarks_gone_and_inside_kept(found, -990, mf.ARRANGEMENTS[name])


@pytest.mark.slow
def test_the_ears_go_too_when_that_is_asked(head: list[Path], faces: Faces) -> None:
    without = look_for_faces(head, removes_ears=True)
    for ear in mf.EAR_TIPS_MM:
        levels = [_at(found, ear) for found in (cleaned_levels(faces, head), cleaned_levels(without, head))]
        assert levels[0] > -100
        assert levels[1] <= -990
    check_landmarks_gone_and_inside_kept(cleaned_levels(without, head), -990)


def _at(found: list[tuple[NDArray[np.float64], Dataset]], point: tuple[float, float, float]) -> float:
    """The level of the voxel that lies nearest to a point."""
    best = (np.inf, 0.0)
    for levels, ds in found:
        distance = np.linalg.norm(places_of(ds) - np.array(point), axis=-1)
        index = np.unravel_index(int(np.argmin(distance)), distance.shape)
        best = min(best, (float(distance[index]), float(levels[index])))
    return best[1]


@pytest.mark.slow
@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless])
def test_a_compressed_head_loses_its_face_and_stays_lossless(tmp_path: Path, syntax: str) -> None:
    paths = mf.write(mf.make_slices(syntax=syntax), tmp_path)
    faces = look_for_faces(paths)
    changed = 0
    for path in paths:
        before, kind = parsed(path)
        after, _ = faces.without_face(before, kind)
        if after is before:
            continue
        changed += 1
        ds = dcmread(path)
        new = _decoded(after, ds)
        skull = mf.inside(mf.SKULL, places_of(ds))
        assert np.array_equal(new[skull], ds.pixel_array[skull])
        assert (new != ds.pixel_array).any()
    assert changed > 20


def _decoded(after: ParsedFile, ds: Dataset) -> NDArray[np.generic]:
    """The pixels of a cleaned file by pydicom's own decoder."""
    from pydicom.filebase import DicomBytesIO

    assert after.pixels is not None
    copy = Dataset()
    copy.update(ds)
    copy.file_meta = ds.file_meta
    copy.file_meta.TransferSyntaxUID = after.syntax
    body = bytes(after.buffer[after.pixels.value_start : after.pixels.end])
    copy.PixelData = body if after.pixels.is_encapsulated else body[: ds.Rows * ds.Columns * 2]
    copy["PixelData"].is_undefined_length = after.pixels.is_encapsulated
    stream = DicomBytesIO()
    copy.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    pixels: NDArray[np.generic] = dcmread(stream).pixel_array
    return pixels


@pytest.mark.slow
def test_an_enhanced_multi_frame_head_loses_its_face(tmp_path: Path) -> None:
    slices = mf.make_slices()
    (path,) = mf.write([mf.enhanced(slices)], tmp_path)
    after, face = look_for_faces([path]).without_face(*parsed(path))
    assert face is Face.REMOVED
    found = []
    for stored, ds in zip(stored_of(after, dcmread(path)), slices, strict=True):
        found.append((stored.astype(np.float64) - 1024.0, ds))
    check_landmarks_gone_and_inside_kept(found, -990)


@pytest.mark.slow
def test_a_trunk_and_a_knee_keep_every_byte(tmp_path: Path) -> None:
    small = mf.Arrangement(size=(30, 130, 140), centre=(0.0, 0.0, 0.0))
    for number, parts in enumerate((mf.TRUNK, mf.KNEE)):
        paths = mf.write(mf.make_slices(small, parts), tmp_path / str(number))
        faces = look_for_faces(paths)
        for path in paths:
            before, kind = parsed(path)
            assert faces.without_face(before, kind) == (before, Face.NONE)


@pytest.mark.slow
def test_a_lower_face_without_its_brain_is_held(tmp_path: Path) -> None:
    low = mf.Arrangement(size=(20, 100, 84), centre=(0.0, -6.0, -95.0))
    jaw: mf.Part = ((0, -80, -95), (30, 12, 30), 900)
    paths = mf.write(mf.make_slices(low, (*mf.HEAD, jaw, mf.HEAD[-1])), tmp_path)
    faces = look_for_faces(paths)
    assert {reason_of(faces, path) for path in paths} == {"FACE_NOT_REMOVED"}
    assert {proof.face for proof in faces.proofs()} == {Face.IN_VIEW}


@pytest.mark.slow
@pytest.mark.parametrize("axis", [1, 2])
def test_a_head_whose_position_was_entered_wrongly_is_held(tmp_path: Path, axis: int) -> None:
    turned = [mf.mirrored(part, axis) for part in mf.HEAD]
    wide = mf.Arrangement(size=(64, 96, 70), centre=(0.0, 0.0, 0.0))
    paths = mf.write(mf.make_slices(wide, turned), tmp_path)
    assert {reason_of(look_for_faces(paths), path) for path in paths[:2]} == {"FACE_NOT_REMOVED"}


def test_a_series_whose_pixels_cannot_be_read_is_held(tmp_path: Path, head: list[Path]) -> None:
    slices = [dcmread(path) for path in head]
    for ds in slices:
        ds.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
        ds.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\4\0\0\0abcd\xfe\xff\xdd\xe0\0\0\0\0"
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    paths = mf.write(slices, tmp_path)
    faces = look_for_faces(paths)
    assert {reason_of(faces, path) for path in paths} == {"FACE_NOT_REMOVED"}


def test_a_single_sagittal_scout_shows_no_profile(tmp_path: Path, head: list[Path]) -> None:
    scout = mf.make_slices(mf.Arrangement(
        across=(0.0, 1.0, 0.0), down=(0.0, 0.0, -1.0), step=(3.0, 0.0, 0.0), size=(1, 90, 100)
    ), series=5)  # fmt: skip
    (path,) = mf.write(scout, tmp_path)
    (levels,) = cleaned_levels(look_for_faces([*head, path]), [path])
    points, ds = places_of(levels[1]), levels[1]
    tip = np.linalg.norm(points - np.array(mf.LANDMARKS_MM["tip of the nose"]), axis=-1) < 3.2
    assert levels[0][tip].max() <= -990
    skull = mf.inside(mf.SKULL, points)
    assert np.array_equal(levels[0][skull], ds.pixel_array[skull] - 1024.0)
    assert reason_of(look_for_faces([path]), path) == "FACE_NOT_REMOVED"


@pytest.mark.slow
def test_a_ct_scout_is_a_projection_and_says_so(tmp_path: Path, head: list[Path]) -> None:
    (ds,) = mf.make_slices(mf.Arrangement(size=(1, 90, 100), down=(0.0, 0.0, -1.0)), series=6)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    (path,) = mf.write([ds], tmp_path)
    faces = look_for_faces([*head, path])
    before, kind = parsed(path)
    assert faces.without_face(before, kind) == (before, Face.NONE)
    assert any("projection" in proof.told for proof in faces.proofs())


@pytest.mark.slow
def test_a_whole_head_that_calls_itself_a_scout_is_cut_all_the_same(tmp_path: Path) -> None:
    slices = mf.make_slices()
    for ds in slices:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    paths = mf.write(slices, tmp_path)
    check_landmarks_gone_and_inside_kept(cleaned_levels(look_for_faces(paths), paths), -990)


def test_frames_without_a_place_are_held(tmp_path: Path) -> None:
    ds = mf.enhanced(mf.make_slices(mf.Arrangement(size=(8, 40, 40))))
    del ds.PerFrameFunctionalGroupsSequence[-1]
    (path,) = mf.write([ds], tmp_path)
    assert reason_of(look_for_faces([path]), path) == "FACE_NOT_REMOVED"


def circle(radius_mm: tuple[float, float], centre_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = np.stack([radius_mm[0] * np.cos(angle), radius_mm[1] * np.sin(angle), 0 * angle], axis=-1)
    points: NDArray[np.float64] = ring + np.array(centre_mm)
    return points


def test_contours_dose_and_meshes_get_the_same_cut(tmp_path: Path, head: list[Path]) -> None:
    skin, brain = circle((48, 40), (0, -66, -80)), circle((60, 80), (0, 0, 0))
    mesh = np.array([[mf.LANDMARKS_MM["tip of the nose"], (5.0, -100.0, -68.0), (0.0, 60.0, 0.0)]])
    made = [
        mf.structure_set([skin, brain]),
        mf.dose(mf.Arrangement(size=(50, 60, 60), pixel_mm=4.0)),
        mf.stl(mesh),
    ]
    paths = mf.write(made, tmp_path)
    faces = look_for_faces([*head, *paths])
    structures, dose, model = (faces.without_face(*parsed(path)) for path in paths)
    assert [face for _, face in (structures, dose, model)] == [Face.REMOVED] * 3

    after_skin, after_brain = contours_of(structures[0])
    assert np.allclose(after_brain, brain, atol=1e-3)
    assert len(after_skin) == len(skin)
    assert after_skin[:, 1].min() > skin[:, 1].min() + 10
    assert np.allclose(after_skin[skin[:, 1] > -40], skin[skin[:, 1] > -40], atol=1e-3)

    assert dose[0].pixels is not None
    data = bytes(dose[0].buffer[dose[0].pixels.value_start :])
    grid = np.frombuffer(data, "<u4", count=50 * 60 * 60).reshape(50, 60, 60)
    points = np.stack([mf.Arrangement(size=(50, 60, 60), pixel_mm=4.0).points(n) for n in range(50)])
    assert grid[mf.inside(mf.SKULL, points)].all()
    tip = np.linalg.norm(points - np.array(mf.LANDMARKS_MM["tip of the nose"]), axis=-1) < 5
    assert not grid[tip].any()

    document = next(element.value for element in model[0].elements if element.tag == 0x00420011)
    corners = np.frombuffer(document, "<f4", count=9, offset=84 + 12).reshape(3, 3)
    assert corners[0, 1] > mesh[0, 0, 1] + 10
    assert np.allclose(corners[2], mesh[0, 2])


def contours_of(after: ParsedFile) -> list[NDArray[np.float64]]:
    """The contours of a cleaned structure set, by pydicom."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filereader import read_dataset

    from anonymize.elements import encode_element

    whole = b"".join(encode_element(e.tag, e.vr, e.value, after.encoding) for e in after.elements)
    ds = read_dataset(DicomBytesIO(whole), is_implicit_VR=False, is_little_endian=True)
    (roi,) = ds.ROIContourSequence
    return [np.array([float(v) for v in item.ContourData]).reshape(-1, 3) for item in roi.ContourSequence]


def test_an_object_that_comes_weeks_later_is_cut_as_its_images_were(tmp_path: Path, head: list[Path]) -> None:
    memory = tmp_path / "faces"
    look_for_faces(head, keys=KEYS, memory=memory)
    (kept,) = memory.iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    assert mf.FRAME not in kept.name
    skin = circle((48, 40), (0, -66, -80))
    (path,) = mf.write([mf.structure_set([skin])], tmp_path / "later")
    after, face = look_for_faces([path], keys=KEYS, memory=memory).without_face(*parsed(path))
    assert face is Face.REMOVED
    assert contours_of(after)[0][:, 1].min() > skin[:, 1].min() + 10
    assert reason_of(look_for_faces([path], keys=KEYS, memory=tmp_path / "none"), path) == "IMAGES_MISSING"
    assert reason_of(look_for_faces([path]), path) == "IMAGES_MISSING"


@pytest.mark.slow
def test_an_object_of_a_trunk_passes_when_its_images_are_known(tmp_path: Path) -> None:
    small = mf.Arrangement(size=(30, 130, 140), centre=(0.0, 0.0, 0.0))
    images = mf.write(mf.make_slices(small, mf.TRUNK), tmp_path / "images")
    look_for_faces(images, keys=KEYS, memory=tmp_path / "memory")
    (path,) = mf.write([mf.structure_set([circle((20, 20), (0, 0, 0))])], tmp_path)
    faces = look_for_faces([path], keys=KEYS, memory=tmp_path / "memory")
    before, kind = parsed(path)
    assert faces.without_face(before, kind) == (before, Face.NONE)


@pytest.mark.slow
def test_an_object_is_held_while_a_series_of_its_frame_is(tmp_path: Path) -> None:
    trunk = mf.Arrangement(size=(30, 130, 140), centre=(0.0, 0.0, -300.0))
    low = mf.Arrangement(size=(20, 84, 70), centre=(0.0, -6.0, -95.0))
    jaw: mf.Part = ((0, -80, -95), (30, 12, 30), 900)
    images = mf.write(mf.make_slices(trunk, mf.TRUNK), tmp_path / "trunk")
    images += mf.write(mf.make_slices(low, (*mf.HEAD, jaw, mf.HEAD[-1]), series=2), tmp_path / "jaw")
    (path,) = mf.write([mf.structure_set([circle((48, 40), (0, -66, -80))])], tmp_path)
    faces = look_for_faces([*images, path])
    assert {proof.face for proof in faces.proofs()} == {Face.NONE, Face.IN_VIEW}
    assert reason_of(faces, path) == "IMAGES_MISSING"


@pytest.mark.slow
def test_a_damaged_memory_is_no_memory(tmp_path: Path, head: list[Path]) -> None:
    memory = tmp_path / "faces"
    look_for_faces(head, keys=KEYS, memory=memory)
    (kept,) = memory.iterdir()
    kept.write_bytes(kept.read_bytes()[:-200])
    (path,) = mf.write([mf.structure_set([circle((48, 40), (0, -66, -80))])], tmp_path)
    assert reason_of(look_for_faces([path], keys=KEYS, memory=memory), path) == "IMAGES_MISSING"


@pytest.mark.slow
def test_what_was_cut_once_is_not_cut_again(tmp_path: Path, head: list[Path], faces: Faces) -> None:
    slices = []
    for path in head:
        ds = dcmread(path)
        ds.PixelData = stored_of(faces.without_face(*parsed(path))[0], ds).tobytes()
        slices.append(ds)
    paths = mf.write(slices, tmp_path)
    again = look_for_faces(paths)
    for path in paths:
        before, kind = parsed(path)
        assert again.without_face(before, kind) == (before, Face.REMOVED)


@pytest.mark.slow
def test_mr_loses_its_face_in_front_of_the_brain(tmp_path: Path) -> None:
    paths = mf.write(mf.make_slices(modality="MR", slope=0.5), tmp_path)
    faces = look_for_faces(paths, brain=mf.EllipsoidBrain())
    found = cleaned_levels(faces, paths)
    for levels, ds in found:
        points = places_of(ds)
        brain = mf.inside(mf.BRAIN, points)
        assert np.array_equal(levels[brain], (ds.pixel_array * 0.5)[brain])
        for place in mf.LANDMARKS_MM.values():
            near = np.linalg.norm(points - np.array(place), axis=-1) < 3.2
            assert not near.any() or levels[near].max() < 50


@pytest.mark.slow
def test_mr_without_a_brain_finder_is_held(tmp_path: Path) -> None:
    paths = mf.write(mf.make_slices(modality="MR"), tmp_path)
    faces = look_for_faces(paths)
    assert {reason_of(faces, path) for path in paths} == {"FACE_NOT_REMOVED"}


@pytest.mark.slow
def test_pet_in_the_same_frame_is_cut_like_its_ct(tmp_path: Path, head: list[Path]) -> None:
    pet = mf.Arrangement(size=(30, 40, 40), step=(0.0, 0.0, 6.0), pixel_mm=5.0)
    paths = mf.write(mf.make_slices(pet, modality="PT", series=8), tmp_path)
    found = cleaned_levels(look_for_faces([*head, *paths]), paths)
    tip = mf.LANDMARKS_MM["tip of the nose"]
    assert _at(found, tip) == 0
    assert _at(found, (0.0, 0.0, 0.0)) > 200


def test_a_rendering_beside_a_head_is_held_and_a_page_of_text_passes(
    tmp_path: Path, head: list[Path]
) -> None:
    slope = np.tile(np.arange(256, dtype=np.uint8)[:, None], (256, 1, 3))
    page = make_raw.picture_of_text([(20, 40, "DLP 910 mGy cm")])
    rendering = make_raw.screenshot(slope, index=1)
    text = make_raw.screenshot(page, index=2)
    pictures = mf.write([rendering, text], tmp_path)
    faces = look_for_faces([*head, *pictures])
    assert reason_of(faces, pictures[0]) == "FACE_NOT_REMOVED"
    assert faces.without_face(*parsed(pictures[1]))[1] is Face.NONE
    assert look_for_faces(pictures).without_face(*parsed(pictures[0]))[1] is Face.NONE
