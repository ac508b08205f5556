"""Faces in a study's files: found in the volumes that the files make together, and taken off each file.

A cut that one series gave holds for its frame of reference: for scouts and slabs that show too little to find
a face in, for dose, segments, contours and meshes. What is known about a frame of reference is kept, so that
an object made from images weeks ago is cut as those were. What cannot be judged is held, never passed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anonymize import headers, meshes
from anonymize.elements import ParsedFile, broken, parse_file
from anonymize.face import BrainFinder, Finding, background_of, find_face, height_mm, skin_level
from anonymize.facecut import FaceCut, Known, carved, recall, remember
from anonymize.head import AIR_HU, largest
from anonymize.keys import ProjectKeys
from anonymize.pictures import Frames, Layout, Pixels, png_of, visible
from anonymize.profile import object_name
from anonymize.quarantine import mapped
from anonymize.rewriting import with_frames
from anonymize.slices import Coarse, Placed, Plane, Stack, items, placed
from anonymize.uids import new_uid
from medviz.core.errors import StudyUnreadable, Uncertain
from medviz.core.progress import Progress, silent

__all__ = ["BrainFinder", "Face", "FaceProof", "Faces", "look_for_faces"]

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

_SLICES = frozenset(
    [
        *("ct-image", "enhanced-ct-image", "legacy-converted-enhanced-ct-image"),
        *("mr-image", "enhanced-mr-image", "legacy-converted-enhanced-mr-image", "enhanced-mr-color-image"),
        *("positron-emission-tomography-image", "enhanced-pet-image"),
        *("legacy-converted-enhanced-pet-image", "x-ray-3d-angiographic-image"),
    ]
)
"""Cross-sections in the patient, which make a volume."""
_MADE = frozenset(["rt-dose", "segmentation", "parametric-map"])
"""Voxels that were computed from cross-sections."""
_MESHES = frozenset(["rt-structure-set", "surface-segmentation", "encapsulated-stl", "encapsulated-obj"])
_PHOTOGRAPHS = frozenset(["vl-photographic-image", "video-photographic-image"])
_LEAST_SLICES = 5
_LEAST_EXTENT_MM = 20.0
_AROUND_FACELESS_MM = 30.0
_MOST_CUTS = 6
"""Cuts that are kept for objects of one frame of reference; more series of one head say nothing new."""
_TEXT_SHARE = 0.88
"""Share of a page of text that has its two commonest grey values; a rendering of a head has far less."""
_PREVIEW_PX = 260


class Face(StrEnum):
    """What is known about the face in a file's content."""

    NONE = "no face in view"
    REMOVED = "face removed"
    IN_VIEW = "face in view"


class FaceProof(NamedTuple):
    """What was done to one series.

    Parameters
    ----------
    raw_series_uid : str
        Original UID.
    face : Face
        What is left; `IN_VIEW` when the series is held.
    told : str
        One sentence for an officer, without a value of the patient.
    removed_ml : float
        Soft tissue turned into air, in millilitres.
    moved_mm : float
        Median distance from the old skin to the new surface in the face, mm.
    picture : bytes
        PNG of the new surface from the front and from one side; empty when nothing was cut. What was there
        before is never drawn.
    """

    raw_series_uid: str
    face: Face
    told: str
    removed_ml: float = 0.0
    moved_mm: float = 0.0
    picture: bytes = b""


class _Key(NamedTuple):
    """Slices that belong together: series, frame of reference, and normal, rows and columns rounded."""

    raw_study: str
    raw_series: str
    raw_frame_of_reference: str
    modality: str
    directions: tuple[int, ...]


@dataclass(slots=True)
class _Group:
    """Slices of one orientation of one series: which file each is in, and where it lies."""

    files: list[Path] = field(default_factory=list)
    planes: list[Plane] = field(default_factory=list)

    def box(self) -> tuple[Floats, Floats]:
        """Return the lowest and highest LPS corner."""
        corners = np.concatenate([plane.corners for plane in self.planes])
        return corners.min(axis=0), corners.max(axis=0)


class _Verdict(NamedTuple):
    """What is done to the slices of a group."""

    face: Face
    told: str
    cuts: tuple[FaceCut, ...] = ()
    background: float = float(AIR_HU)
    removed_ml: float = 0.0
    moved_mm: float = 0.0
    picture: bytes = b""
    is_done: bool = False


class _Judged(NamedTuple):
    """A group with its coarse volume, when it makes one."""

    verdict: _Verdict | None
    coarse: Coarse | None


class Faces:
    """What was found out about the faces of one study; takes them off its files.

    Parameters
    ----------
    verdicts : mapping
        By group of slices.
    known : mapping of str to Known
        By original frame of reference: what holds for objects made from its images.
    """

    def __init__(self, verdicts: Mapping[_Key, _Verdict], known: Mapping[str, Known]) -> None:
        self._verdicts, self._known = dict(verdicts), dict(known)
        self._notes: dict[str, str] = {}

    def without_face(self, parsed: ParsedFile, kind: str) -> tuple[ParsedFile, Face]:
        """Return a file whose content shows no face, and what is left in it.

        Raises
        ------
        StudyUnreadable
            ``FACE_NOT_REMOVED`` when a face may be in view and could not surely be removed,
            ``IMAGES_MISSING`` when it was made from images that would have to be known for that.
        """
        if kind in _SLICES:
            return self._slices_without_face(parsed, kind)
        if kind in _MADE | _MESHES:
            return self._made_without_face(parsed, kind)
        if kind in _PHOTOGRAPHS or ("secondary-capture" in kind and self._may_be_rendering(parsed)):
            raise broken("FACE_NOT_REMOVED")
        return parsed, Face.NONE

    def proofs(self) -> tuple[FaceProof, ...]:
        """Return what was found and done, a line a series and orientation."""
        found = [
            FaceProof(
                key.raw_series,
                verdict.face,
                verdict.told,
                verdict.removed_ml,
                verdict.moved_mm,
                verdict.picture,
            )
            for key, verdict in self._verdicts.items()
        ]
        removed = {proof.raw_series_uid for proof in found if proof.face is Face.REMOVED}
        for series, told in self._notes.items():
            found.append(FaceProof(series, Face.REMOVED if series in removed else Face.NONE, told))
        return tuple(found)

    def _slices_without_face(self, parsed: ParsedFile, kind: str) -> tuple[ParsedFile, Face]:
        where = placed(parsed, kind)
        if where.is_projection and not any(_key(where, plane) in self._verdicts for plane in where.planes):
            self._notes[where.raw_series] = "projection images (CT scouts), which show no skin: unchanged"
            return parsed, Face.NONE
        if not where.planes:
            return parsed, self._unplaced(where)
        verdicts = {key: self._verdicts.get(key) for key in {_key(where, plane) for plane in where.planes}}
        if any(verdict is None or verdict.face is Face.IN_VIEW for verdict in verdicts.values()):
            raise broken("FACE_NOT_REMOVED")
        changed = _changed_slices(parsed, where, {key: value for key, value in verdicts.items() if value})
        faces = {verdict.face for verdict in verdicts.values() if verdict}
        after = self._rewritten(parsed, changed, where.raw_series)
        return after, Face.REMOVED if Face.REMOVED in faces else Face.NONE

    def _unplaced(self, where: Placed) -> Face:
        """Return that there is no face in a slice without a place, when its whole study surely shows none."""
        found = [verdict.face for key, verdict in self._verdicts.items() if key.raw_study == where.raw_study]
        if not found or any(face is not Face.NONE for face in found):
            raise broken("FACE_NOT_REMOVED")
        return Face.NONE

    def _made_without_face(self, parsed: ParsedFile, kind: str) -> tuple[ParsedFile, Face]:
        known = Known()
        for frame in _frames_of_reference(parsed, kind):
            one = self._known.get(frame, Known())
            if not one.cuts and not one.faceless:
                raise broken("IMAGES_MISSING")
            known = Known(known.cuts + one.cuts, known.faceless + one.faceless)
        if not known.cuts and not known.faceless:
            raise broken("IMAGES_MISSING")
        if not known.cuts:
            return parsed, Face.NONE
        if kind in _MESHES:
            return meshes.without_face(parsed, kind, known.cuts), Face.REMOVED
        where = placed(parsed, kind)
        if not where.planes:
            if parsed.pixels is None:
                return parsed, Face.NONE
            raise broken("FACE_NOT_REMOVED")
        changed = _changed_made(parsed, where, known.cuts)
        return self._rewritten(parsed, changed, where.raw_series), Face.REMOVED

    def _rewritten(
        self, parsed: ParsedFile, changed: Iterator[tuple[int, Pixels]], raw_series: str
    ) -> ParsedFile:
        """Return the file with its changed frames; the same file when none changes."""
        first = next(changed, None)
        if first is None:
            return parsed
        after, notes = with_frames(parsed, chain([first], changed))
        for note in notes:
            self._notes[raw_series] = note
        return after

    def _may_be_rendering(self, parsed: ParsedFile) -> bool:
        """Return whether a picture of a study with a face may be a rendering of it, not a page of text."""
        study = headers.text_of(parsed, headers.STUDY)
        shown = {verdict.face for key, verdict in self._verdicts.items() if key.raw_study == study}
        return bool(shown - {Face.NONE}) and not _is_page_of_text(parsed)


def _is_page_of_text(parsed: ParsedFile) -> bool:
    frames = Frames(parsed)
    for index in range(len(frames)):
        grey = visible(frames[index], frames).mean(axis=-1).astype(np.int64) // 8
        counts = np.sort(np.bincount(grey.ravel(), minlength=32))
        if counts[-2:].sum() < _TEXT_SHARE * grey.size:
            return False
    return True


def _key(where: Placed, plane: Plane) -> _Key:
    down = plane.down / np.linalg.norm(plane.down)
    across = plane.across / np.linalg.norm(plane.across)
    directions = tuple(int(n) for n in np.rint(np.concatenate([down, across]) * 50))
    return _Key(where.raw_study, where.raw_series, where.raw_frame_of_reference, where.modality, directions)


def _frames_of_reference(parsed: ParsedFile, kind: str) -> set[str]:
    """Return the original frames of reference that an object's points or voxels lie in."""
    own = headers.text_of(parsed, 0x00200052)
    found = {own} if own else set()
    if kind == "rt-structure-set":
        for element in parsed.elements:
            if element.tag in (0x30060010, 0x30060020):
                tags = (0x00200052, 0x30060024)
                parts = (part for item in items(element, parsed.encoding) for part in item)
                found |= {part.value.decode("latin-1").strip(" \0") for part in parts if part.tag in tags}
    return {uid for uid in found if uid} or {""}


# ---------------------------------------------------------------- looking


def look_for_faces(
    raw_files: Sequence[Path],
    *,
    brain: BrainFinder | None = None,
    keys: ProjectKeys | None = None,
    memory: Path | None = None,
    removes_ears: bool = False,
    progress: Progress = silent,
) -> Faces:
    """Return what is known of the faces in a study, from the voxels and geometry of all its images.

    Parameters
    ----------
    raw_files : sequence of Path
        Every file of the study.
    brain : BrainFinder, optional
        Finds the brain in MR.
    keys : ProjectKeys, optional
        Needed with `memory`.
    memory : Path, optional
        Folder in which findings are kept by de-identified frame of reference, for objects that come later.
    removes_ears : bool
        Whether ears are taken off too.
    """
    groups = _grouped(raw_files)
    frames = {key.raw_frame_of_reference for key in groups} | _referred(raw_files, keys, memory)
    recalled = {frame: _recalled(frame, keys, memory) for frame in frames}
    judged: dict[_Key, _Judged] = {}
    for number, (key, group) in enumerate(groups.items()):
        progress(number / len(groups), f"faces: series {number + 1} of {len(groups)}")
        judged[key] = _judged(key, group, recalled.get(key.raw_frame_of_reference), brain, removes_ears)
    verdicts, known = _settled(groups, judged, recalled)
    _keep(known, recalled, keys, memory)
    progress(1.0, f"{len(raw_files)} files")
    return Faces(verdicts, known)


def _grouped(raw_files: Sequence[Path]) -> dict[_Key, _Group]:
    groups: dict[_Key, _Group] = defaultdict(_Group)
    projections: set[_Key] = set()
    for path, parsed, kind in _read(raw_files):
        if kind not in _SLICES:
            continue
        where = placed(parsed, kind)
        for plane in where.planes:
            key = _key(where, plane)
            groups[key].files.append(path)
            groups[key].planes.append(plane)
            if where.is_projection:
                projections.add(key)
    # what calls itself a scout and yet makes a volume is one
    return {key: group for key, group in groups.items() if key not in projections or _makes_volume(group)}


def _read(raw_files: Iterable[Path]) -> Iterator[tuple[Path, ParsedFile, str]]:
    """Give every file that can be read; the others are held later, with their own reason."""
    for path in raw_files:
        with suppress(StudyUnreadable), mapped(path) as buffer:
            parsed = parse_file(buffer)
            yield path, parsed, object_name(headers.sop_class_of(parsed))


def _referred(raw_files: Sequence[Path], keys: ProjectKeys | None, memory: Path | None) -> set[str]:
    """Return the frames of reference of objects that were made from images, when there is a memory to ask."""
    if keys is None or memory is None:
        return set()
    found: set[str] = set()
    for _, parsed, kind in _read(raw_files):
        if kind in _MADE | _MESHES:
            found |= _frames_of_reference(parsed, kind)
    return found


class _Recalled(NamedTuple):
    """What is known from earlier: by the frame's new UID, or because the file is our own output."""

    known: Known
    is_ours: bool


def _recalled(frame: str, keys: ProjectKeys | None, memory: Path | None) -> _Recalled:
    if not frame or keys is None or memory is None:
        return _Recalled(Known(), False)
    own = recall(memory, frame)
    if own.cuts or own.faceless:
        return _Recalled(own, True)
    return _Recalled(recall(memory, new_uid(keys, frame)), False)


def _keep(
    known: Mapping[str, Known],
    recalled: Mapping[str, _Recalled],
    keys: ProjectKeys | None,
    memory: Path | None,
) -> None:
    """Remember what was found; an output of ours that came back keeps what its new frame inherits."""
    if keys is None or memory is None:
        return
    for frame, one in known.items():
        before = recalled.get(frame, _Recalled(Known(), False))
        has_any = one.cuts or one.faceless or before.known.faceless
        if frame and has_any and (before.is_ours or one is not before.known):
            remember(memory, new_uid(keys, frame), one)


def _judged(
    key: _Key,
    group: _Group,
    recalled: _Recalled | None,
    brain: BrainFinder | None,
    removes_ears: bool,
) -> _Judged:
    """Return what a group shows, as far as it can be told from its own slices."""
    try:
        if key.modality not in ("CT", "MR") or not _makes_volume(group):
            return _Judged(None, None)
        coarse, is_hu = _coarse(key, group), key.modality == "CT"
        if recalled is not None and recalled.is_ours and recalled.known.cuts:
            told, background = "as in the study it was made from", background_of(coarse, is_hu=is_hu)
            return _Judged(_verdict_by(recalled.known.cuts, told, is_hu, background), coarse)
        finding = find_face(coarse, is_hu=is_hu, brain=brain, removes_ears=removes_ears)
        return _Judged(_verdict(finding, coarse, is_hu=is_hu), coarse)
    except Uncertain:
        return _Judged(None, coarse)
    except Exception:  # the door of one series: what nobody foresaw holds it, and never stops the rest
        return _Judged(None, None)


def _makes_volume(group: _Group) -> bool:
    if len(group.planes) < _LEAST_SLICES:
        return False
    heights = np.array([plane.origin @ group.planes[0].normal for plane in group.planes])
    return bool(np.ptp(heights) >= _LEAST_EXTENT_MM and len(np.unique(np.rint(heights))) >= _LEAST_SLICES)


def _coarse(key: _Key, group: _Group) -> Coarse:
    stack = Stack(group.planes, is_hu=key.modality == "CT")
    wanted: dict[Path, list[int]] = defaultdict(list)
    for index in stack.wanted:
        wanted[group.files[index]].append(int(index))
    for path, indices in wanted.items():
        with mapped(path) as buffer:
            frames = Frames(parse_file(buffer))
            for index in indices:
                plane = group.planes[index]
                stack.add(index, plane, frames[plane.frame].mean(axis=-1))
    return stack.coarse()


def _verdict(finding: Finding, coarse: Coarse, *, is_hu: bool) -> _Verdict:
    if not finding.cuts:
        return _Verdict(Face.NONE, finding.told)
    background = background_of(coarse, is_hu=is_hu)
    after, removed_ml = (coarse, 0.0) if finding.is_done else _carved_coarse(coarse, finding.cuts, is_hu)
    return _Verdict(
        Face.REMOVED,
        finding.told,
        finding.cuts,
        background,
        removed_ml,
        finding.moved_mm,
        _picture(after, is_hu=is_hu),
        finding.is_done,
    )


def _verdict_by(cuts: tuple[FaceCut, ...], told: str, is_hu: bool, background: float = 0.0) -> _Verdict:
    return _Verdict(
        Face.REMOVED,
        f"cut by the face found in its frame of reference: {told}",
        cuts,
        float(AIR_HU) if is_hu else background,
    )


def _carved_coarse(coarse: Coarse, cuts: Sequence[FaceCut], is_hu: bool) -> tuple[Coarse, float]:
    """Return a coarse volume without its face, and how many ml became air."""
    level, background = (-300.0 if is_hu else skin_level(coarse)), background_of(coarse, is_hu=is_hu)
    values = coarse.values.copy()
    for index in range(len(values)):
        origin = coarse.origin_mm + index * coarse.step_mm * coarse.axes[0]
        down, across = (coarse.step_mm * coarse.axes[axis] for axis in (1, 2))
        plane = Plane(origin, down, across, values.shape[1:], 1.0, 0.0, 0)
        after = carved(values[index], plane, cuts, is_hu=is_hu, background=background)
        if after is not None:
            values[index] = after
    removed = (coarse.values > level) & (values <= level)
    carved_volume = Coarse(values, coarse.seen, coarse.axes, coarse.origin_mm, coarse.step_mm)
    return carved_volume, float(removed.sum()) * coarse.voxel_ml


def _picture(coarse: Coarse, *, is_hu: bool) -> bytes:
    """Return a PNG of the skin as it is now, from the front and from the right."""
    body = largest(coarse.values > (-300 if is_hu else skin_level(coarse)))
    views = [_shaded(body, coarse.step_mm), _shaded(body.transpose(0, 2, 1), coarse.step_mm)]
    return png_of(np.repeat(np.concatenate(views, axis=1)[..., None], 3, axis=-1))


def _shaded(body: Mask, step: float) -> NDArray[np.uint8]:
    """Return a body, shape (up, into, along), as seen along its second axis, lit from above and one side."""
    depth = ndimage.gaussian_filter(np.argmax(body, axis=1) * step, 0.7)
    rise, side = np.gradient(depth, step)
    light = np.clip((1.0 + 0.35 * rise - 0.35 * side) / np.sqrt(1 + rise**2 + side**2) / 1.3, 0, 1)
    light[~body.any(axis=1)] = 0
    picture: NDArray[np.uint8] = np.repeat(np.repeat((light[::-1] * 255).astype(np.uint8), 2, 0), 2, 1)
    return picture[: _PREVIEW_PX * 4, : _PREVIEW_PX * 4]


# ---------------------------------------------------------------- settling what one series alone cannot tell


def _settled(
    groups: Mapping[_Key, _Group], judged: Mapping[_Key, _Judged], recalled: Mapping[str, _Recalled]
) -> tuple[dict[_Key, _Verdict], dict[str, Known]]:
    """Return the verdict on every group, with the help of the others in its frame of reference."""
    known = {frame: one.known for frame, one in recalled.items()}
    for key, one in judged.items():
        if one.verdict is not None and key.raw_frame_of_reference:
            frame = key.raw_frame_of_reference
            known[frame] = _with(known.get(frame, Known()), one.verdict, groups[key], recalled.get(frame))
    verdicts = {}
    for key, one in judged.items():
        frame = key.raw_frame_of_reference
        own = known.get(frame, Known()) if frame else Known()
        verdicts[key] = one.verdict or _borrowed(key, groups, one, own)
        if one.verdict is None and verdicts[key].face is Face.NONE and frame:
            known[frame] = _with(known[frame], verdicts[key], groups[key], None)
    for key, verdict in verdicts.items():
        frame = key.raw_frame_of_reference
        if verdict.face is Face.IN_VIEW and frame in known:
            known[frame] = known[frame]._replace(faceless=())  # a part of the frame may show a face
    return verdicts, known


def _with(known: Known, verdict: _Verdict, group: _Group, recalled: _Recalled | None) -> Known:
    """Return what is known with one verdict more."""
    if verdict.face is Face.NONE:
        box = group.box()
        if any(np.allclose(box, other, atol=0.1) for other in known.faceless):
            return known
        return known._replace(faceless=(*known.faceless, box))
    if (recalled is not None and recalled.known.cuts) or len(known.cuts) >= _MOST_CUTS:
        return known  # the same head was cut before: objects follow the cut that their images got
    return known._replace(cuts=(*known.cuts, *verdict.cuts))


def _borrowed(key: _Key, groups: Mapping[_Key, _Group], own: _Judged, known: Known) -> _Verdict:
    """Return the verdict on slices that alone tell too little, by what is known of their frame."""
    group, is_hu = groups[key], key.modality == "CT"
    if known.cuts and (own.coarse is None or _fits(own.coarse, known.cuts, is_hu=is_hu)):
        background = 0.0 if own.coarse is None else background_of(own.coarse, is_hu=is_hu)
        return _verdict_by(known.cuts, "its own slices show too little of the head", is_hu, background)
    if not known.cuts and own.coarse is None and _is_thin(key, groups):
        return _Verdict(Face.NONE, "no face in view: the slab is too thin to show one")
    if not known.cuts and _lies_in(group, known.faceless):
        return _Verdict(Face.NONE, "no face in view: the series around it shows none")
    return _Verdict(Face.IN_VIEW, "held: a face may be in view and could not surely be removed")


def _is_thin(key: _Key, groups: Mapping[_Key, _Group]) -> bool:
    """Return whether all slices of a frame of reference together reach less far up than a face does."""
    same = [
        group.box()
        for other, group in groups.items()
        if other[:1] == key[:1] and other.raw_frame_of_reference == key.raw_frame_of_reference
    ]
    return float(max(high[2] for _, high in same) - min(low[2] for low, _ in same)) < _LEAST_EXTENT_MM


def _lies_in(group: _Group, boxes: Sequence[tuple[Floats, Floats]]) -> bool:
    """Return whether slices reach hardly further up or down than one volume that shows no face."""
    low, high = group.box()
    return any(
        low[2] >= box[0][2] - _AROUND_FACELESS_MM and high[2] <= box[1][2] + _AROUND_FACELESS_MM
        for box in boxes
    )


def _fits(coarse: Coarse, cuts: Sequence[FaceCut], *, is_hu: bool) -> bool:
    """Return whether the cuts take most of what stands where the face was found, so that nobody moved."""
    if height_mm(coarse) < _LEAST_EXTENT_MM:
        return True
    _, removed_ml = _carved_coarse(coarse, cuts, is_hu)
    return removed_ml > 5.0


# ---------------------------------------------------------------- changing frames


def _changed_slices(
    parsed: ParsedFile, where: Placed, verdicts: Mapping[_Key, _Verdict]
) -> Iterator[tuple[int, Pixels]]:
    """Give the frames that change, with the face turned into the modality's air."""
    is_hu, frames = where.modality == "CT", None
    for plane in sorted(where.planes, key=lambda one: one.frame):
        verdict = verdicts[_key(where, plane)]
        if verdict.is_done or not any(cut.reaches(plane) for cut in verdict.cuts):
            continue
        frames = frames or Frames(parsed)
        if frames.layout.samples != 1:
            raise broken("FACE_NOT_REMOVED")
        stored = frames[plane.frame]
        levels = stored[..., 0].astype(np.float32) * np.float32(plane.slope) + np.float32(plane.intercept)
        after = carved(levels, plane, verdict.cuts, is_hu=is_hu, background=verdict.background)
        if after is not None:
            yield plane.frame, _restored(stored, levels, after, plane, frames.layout)


def _restored(
    stored: Pixels, before: NDArray[np.float32], after: NDArray[np.float32], plane: Plane, layout: Layout
) -> Pixels:
    """Return stored values of which only those changed whose level did."""
    new = (after.astype(np.float64) - plane.intercept) / plane.slope
    result = stored.copy()
    changed = before != after
    if result.dtype.kind == "f":
        result[..., 0][changed] = new[changed].astype(result.dtype)
        return result
    low = -(1 << (layout.stored - 1)) if layout.is_signed else 0
    high = (1 << (layout.stored - int(layout.is_signed))) - 1
    whole = np.clip(np.rint(new), low, high).astype(np.int64)
    result[..., 0][changed] = whole[changed].astype(result.dtype)
    return result


def _changed_made(parsed: ParsedFile, where: Placed, cuts: Sequence[FaceCut]) -> Iterator[tuple[int, Pixels]]:
    """Give the frames of a dose or segmentation that change, with nothing where the face was."""
    frames = Frames(parsed)
    for plane in sorted(where.planes, key=lambda one: one.frame):
        if plane.frame >= len(frames) or not any(cut.reaches(plane) for cut in cuts):
            continue
        stored = frames[plane.frame].copy()
        for cut in cuts:
            share = cut.air_share(plane)
            if share is not None:
                stored[share >= 0.5] = 0
        if not np.array_equal(stored, frames[plane.frame]):
            yield plane.frame, stored
