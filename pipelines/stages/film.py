"""The story as a film: rendered, captioned, put to sound, encoded, and traceable sentence by sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from PIL import Image

from medviz import RECOGNISABLE, notice
from medviz.core.errors import BadInput, FrameMismatch
from medviz.core.facts import FactLedger
from medviz.core.manifest import file_sha256
from medviz.core.plan import PlannedOperation, Simulation
from medviz.core.progress import Progress, silent
from medviz.core.records import to_plain, write_record, write_text_atomically
from medviz.core.segmentation import Segmentation
from medviz.core.speech import Narration, Speech
from medviz.core.storyboard import Camera, Storyboard
from medviz.core.surface import Surface
from medviz.core.volume import Volume
from pipelines.film import captions, sound
from pipelines.film.captions import Cue
from pipelines.film.encoder import FilmChapter, SoundTrack, disk_watched, join
from pipelines.film.furniture import Chapter, Layout
from pipelines.film.painters import Overlay, painter_of
from pipelines.film.props import Props
from pipelines.film.scene import Shape
from pipelines.film.shapes import shape_of
from pipelines.film.studio import Studio
from pipelines.film.timeline import ShotTime, Timeline, cues_in, make_timeline
from pipelines.surfaces.decimate import decimate

WIDTH, HEIGHT = 1280, 720

MOST_TRIANGLES = 120_000
"""Triangles of the fullest shot, needle not counted."""

_LEAST_TRIANGLES = 3000
_LOOK = "4"
"""Goes into every shot's key: raise it when the same inputs must look different."""


@dataclass(frozen=True, slots=True)
class FilmFiles:
    """What a film consists of. All files lie in one folder; the paths are whole."""

    film: Path
    captions: Path
    chapters: Path
    transcript: Path
    transcript_text: Path
    poster: Path
    record: Path
    length_s: float
    frames: int


@dataclass(frozen=True, slots=True)
class ShotRecord:
    """A shot in the finished film: first frame, number of frames, content key, cameras at its ends."""

    id: str
    title: str
    kind: str
    first_frame: int
    frames: int
    key: str
    camera_start: Camera | None
    camera_end: Camera | None


@dataclass(frozen=True, slots=True)
class SentenceRecord:
    """A sentence in the finished film: its facts, and the frames and seconds in which it is heard."""

    index: int
    shot_id: str
    fact_ids: tuple[str, ...]
    text: str
    source: str
    first_frame: int
    last_frame: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class FilmRecord:
    """What is in the film and where, so that every sentence and picture can be traced."""

    title: str
    case_id: str
    width: int
    height: int
    frames_per_second: int
    frames: int
    length_s: float
    captions_burnt_in: bool
    speech_is_stand_in: bool
    ledger_sha256: str
    plan_sha256: str
    film_sha256: str
    captions_sha256: str
    shots: tuple[ShotRecord, ...]
    sentences: tuple[SentenceRecord, ...]


def make_film(
    storyboard: Storyboard,
    narration: Narration,
    speech: Speech,
    speech_folder: Path,
    surfaces: Sequence[Surface],
    volume: Volume,
    segmentation: Segmentation,
    operation: PlannedOperation,
    simulation: Simulation,
    ledger: FactLedger,
    folder: Path,
    *,
    case_id: str,
    frames_per_second: int = 24,
    captions_burnt_in: bool = True,
    threads: int = 2,
    progress: Progress = silent,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    shots_folder: Path | None = None,
) -> FilmFiles:
    """Write film, captions, chapters, transcript, poster and record into `folder`; return where they are.

    Shots that were rendered before from the same content are taken from `shots_folder` as they are:
    a killed run goes on at the shot, and a changed sentence renders its shot again and no other.

    Parameters
    ----------
    speech_folder : Path
        Holds one 16-bit WAV a sentence, named by its index: ``000.wav``.
    surfaces : sequence of Surface
        LPS mm, in the volume's frame of reference.
    case_id : str
        Written on every frame; never derived from the patient.
    frames_per_second : int
        Constant rate.
    captions_burnt_in : bool
        Whether captions are part of the picture; the WebVTT file is written in any case.
    threads : int
        Frames painted side by side. The bytes do not depend on it.
    size : tuple of int
        Width and height in pixels, both even.
    shots_folder : Path, optional
        Where finished shots are kept; ``folder/shots`` when left out.

    Raises
    ------
    BadInput
        If story, narration and speech do not belong together, or a shown structure has no surface.
    FrameMismatch
        If a surface is not in the volume's frame of reference.
    StorageFull
        If the disk ran out; finished shots are kept.
    """
    _check(storyboard, surfaces, volume)
    sounds, rate_hz = sound.read_sentences(speech_folder, len(narration.sentences))
    lengths_s = [len(samples) / rate_hz for samples in sounds]
    timeline = make_timeline(storyboard, narration, speech, lengths_s, frames_per_second=frames_per_second)
    layout = Layout(*size)
    by_name = {surface.name: surface for surface in surfaces}
    props = Props(
        case_id,
        storyboard.title,
        layout,
        by_name,
        {},
        volume,
        segmentation,
        operation,
        simulation,
        ledger,
        narration,
        speech,
        captions_burnt_in,
    )
    kept = shots_folder or folder / "shots"
    with disk_watched():
        kept.mkdir(parents=True, exist_ok=True)
        for left_over in kept.glob(".*.mp4"):  # of a run that was killed
            left_over.unlink()
        keys = _shoot(timeline, props, kept, threads=threads, progress=progress)
        track = SoundTrack(sound.track(timeline, sounds, rate_hz), rate_hz)
        return _assemble(timeline, props, kept, keys, track, folder)


def _check(storyboard: Storyboard, surfaces: Sequence[Surface], volume: Volume) -> None:
    names = {surface.name for surface in surfaces}
    wanted = {item.structure for shot in storyboard.shots if shot.kind == "scene" for item in shot.shown}
    if missing := sorted(wanted - names):
        raise BadInput(f"The film shows what has no surface: {', '.join(missing)}.", reason="SURFACE_ABSENT")
    if any(surface.frame_of_reference != volume.grid.frame_of_reference for surface in surfaces):
        raise FrameMismatch("A surface is not in the volume's patient coordinate system.")


def _shoot(timeline: Timeline, props: Props, kept: Path, *, threads: int, progress: Progress) -> list[str]:
    """Render the shots that are not there yet, and return the content key of each shot."""
    basis = _basis(props)
    keys = [_key(time, timeline, props, basis) for time in timeline.shots]
    missing = [i for i, key in enumerate(keys) if not _shot_file(kept, key).exists()]
    total, done = sum(timeline.shots[i].frames for i in missing), 0
    if missing:
        progress(0.0, "surfaces made ready")
        props = _with_shapes(props, timeline)
    with Studio(props.layout, timeline.frames_per_second, threads) as studio:
        for index in missing:
            time = timeline.shots[index]
            path = _shot_file(kept, keys[index])
            if not path.exists():
                painter = painter_of(time, props, timeline.frames_per_second)
                overlay = _overlay(timeline, index, props)

                def told(frames: int, before: int = done) -> None:
                    progress((before + frames) / total, f"frame {before + frames} of {total}")

                studio.shoot(painter, overlay, path, told)
            done += time.frames
    return keys


def _shot_file(kept: Path, key: str) -> Path:
    return kept / f"{key[:32]}.mp4"


def _overlay(timeline: Timeline, index: int, props: Props) -> Overlay:
    time = timeline.shots[index]
    remark = " ".join(_remarks(props))
    title = time.shot.title if time.shot.kind != "card" else props.title
    chapter = Chapter(props.case_id, title, index + 1, len(timeline.shots), remark)
    cues = tuple(cues_in(time, props.narration))
    return Overlay(time, chapter, cues, props, timeline.frames_per_second)


def _remarks(props: Props) -> list[str]:
    """Return what must stand on every frame besides that it is a draft."""
    face = [RECOGNISABLE] if props.volume.shows_face else []
    return face + (["Test voice."] if props.speech.is_stand_in else [])


def _with_shapes(props: Props, timeline: Timeline) -> Props:
    """Return the props with every shown surface made ready: together at most `MOST_TRIANGLES` in a shot."""
    shown = [
        {item.structure for item in time.shot.shown} for time in timeline.shots if time.shot.kind == "scene"
    ]
    sizes = {name: len(props.surfaces[name].triangles) for names in shown for name in names}
    fullest = max((sum(sizes[name] for name in names) for names in shown), default=1)
    share = min(1.0, MOST_TRIANGLES / max(fullest, 1))
    shapes: dict[str, Shape] = {}
    for name, count in sizes.items():
        light = decimate(props.surfaces[name], max(int(count * share), _LEAST_TRIANGLES))
        shapes[name] = shape_of(light.vertices_mm, light.triangles)
    return replace(props, shapes=shapes)


def _digest(*parts: object) -> str:
    text = json.dumps([to_plain(part) for part in parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _array_digest(*arrays: object) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _basis(props: Props) -> dict[str, str]:
    """Return the digests of what shots are painted from: each surface, the images, the operation."""
    basis = {
        name: _digest(_array_digest(s.vertices_mm, s.triangles), s.colour, s.is_reliable)
        for name, s in props.surfaces.items()
    }
    basis["/images"] = _array_digest(props.volume.voxels, props.segmentation.labels, props.volume.grid.affine)
    basis["/operation"] = _digest(
        props.operation.trajectory, props.operation.needle_radius_mm, props.simulation
    )
    return basis


def _key(time: ShotTime, timeline: Timeline, props: Props, basis: dict[str, str]) -> str:
    """Return the digest of everything that a shot's frames depend on."""
    start_s = time.first_frame / timeline.frames_per_second
    said = [
        (
            props.narration.sentences[s.sentence_index],
            round(s.start_s - start_s, 6),
            round(s.end_s - start_s, 6),
        )
        for s in time.spoken
    ]
    facts = [props.ledger[fact_id] for sentence, _, _ in said for fact_id in sentence.fact_ids]
    names = sorted({item.structure for item in time.shot.shown})
    made_of = [basis.get(name, "") for name in names] + [basis["/operation"]]
    if time.shot.kind == "slices":
        made_of.append(basis["/images"])
    if time.shot.kind == "card":
        made_of += [_digest(props.ledger), props.operation.document.sha256, props.title]
        made_of += [_digest(props.speech.voice, props.narration.model)]
    place = (timeline.shots.index(time), len(timeline.shots), timeline.frames_per_second, time.frames)
    flags = (
        props.case_id,
        props.captions_burnt_in,
        tuple(_remarks(props)),
        props.layout.width,
        props.layout.height,
    )
    scale = sum(len(s.triangles) for s in props.surfaces.values())
    return _digest(_LOOK, time.shot, [_plain_said(row) for row in said], facts, made_of, place, flags, scale)


def _plain_said(row: tuple[object, float, float]) -> list[object]:
    return [to_plain(row[0]), row[1], row[2]]


def _assemble(
    timeline: Timeline, props: Props, kept: Path, keys: list[str], track: SoundTrack, folder: Path
) -> FilmFiles:
    """Join the shots and write everything that goes with the film."""
    files = [_shot_file(kept, key) for key in keys]
    cues = [cue for time in timeline.shots for cue in cues_in(time, props.narration)]
    chapters = _chapters(timeline, props)
    film = folder / "film.mp4"
    metadata = {
        "title": props.title,
        "comment": f"{notice(shows_face=props.volume.shows_face)} Case {props.case_id}.",
        "description": f"Case {props.case_id}",
    }
    join(
        files, track, film, frames_per_second=timeline.frames_per_second, chapters=chapters, metadata=metadata
    )
    write_text_atomically(folder / "captions.vtt", captions.web_vtt(cues))
    write_text_atomically(folder / "chapters.vtt", _chapters_vtt(chapters))
    sentences = _sentences(timeline, props)
    write_text_atomically(folder / "transcript.md", _transcript_md(props, timeline, sentences))
    write_text_atomically(folder / "transcript.txt", _transcript_txt(sentences))
    _write_poster(timeline, files, folder / "poster.png")
    record = _record(timeline, props, keys, sentences, folder)
    write_record(folder / "film.json", record)
    return FilmFiles(
        film,
        folder / "captions.vtt",
        folder / "chapters.vtt",
        folder / "transcript.md",
        folder / "transcript.txt",
        folder / "poster.png",
        folder / "film.json",
        timeline.length_s,
        timeline.frames,
    )


def _chapters(timeline: Timeline, props: Props) -> list[FilmChapter]:
    fps = timeline.frames_per_second
    return [
        FilmChapter(
            time.first_frame / fps, (time.first_frame + time.frames) / fps, time.shot.title or props.title
        )
        for time in timeline.shots
    ]


def _chapters_vtt(chapters: list[FilmChapter]) -> str:
    cues = [Cue(item.start_s, item.end_s, (item.title,), index) for index, item in enumerate(chapters)]
    return captions.web_vtt(cues)


def _sentences(timeline: Timeline, props: Props) -> tuple[SentenceRecord, ...]:
    fps, result = timeline.frames_per_second, []
    for time in timeline.shots:
        for spoken in time.spoken:
            sentence = props.narration.sentences[spoken.sentence_index]
            first, last = int(spoken.start_s * fps), min(int(spoken.end_s * fps), timeline.frames - 1)
            result.append(
                SentenceRecord(
                    spoken.sentence_index,
                    sentence.shot_id,
                    sentence.fact_ids,
                    sentence.text,
                    sentence.source,
                    first,
                    last,
                    round(spoken.start_s, 3),
                    round(spoken.end_s, 3),
                )
            )
    return tuple(result)


def _transcript_md(props: Props, timeline: Timeline, sentences: tuple[SentenceRecord, ...]) -> str:
    lines = [
        f"# {props.title}",
        "",
        f"Case {props.case_id}. {notice(shows_face=props.volume.shows_face)}",
        "",
    ]
    if props.speech.is_stand_in:
        lines += ["Spoken by a test voice.", ""]
    for time in timeline.shots:
        own = [item for item in sentences if item.shot_id == time.shot.id]
        start = captions.clock(time.first_frame / timeline.frames_per_second)
        lines += [f"## {time.shot.title} ({start})", ""]
        lines += [f"- {captions.clock(s.start_s)} {s.text} [{', '.join(s.fact_ids)}]" for s in own]
        lines += [""] if own else []
    return "\n".join(lines)


def _transcript_txt(sentences: tuple[SentenceRecord, ...]) -> str:
    return "".join(f"{captions.clock(s.start_s)}  {s.text}  ({' '.join(s.fact_ids)})\n" for s in sentences)


def _write_poster(timeline: Timeline, files: list[Path], path: Path) -> None:
    """Write the picture that stands for the film: where the needle is deepest, from the film's own frames."""
    scenes = [(i, t) for i, t in enumerate(timeline.shots) if t.shot.kind == "scene"]
    index, time = max(scenes or [(0, timeline.shots[0])], key=lambda row: row[1].shot.depth_end_mm or -1e9)
    wanted = int(time.frames * 0.82)
    with av.open(str(files[index])) as source:
        for number, frame in enumerate(source.decode(video=0)):
            if number == wanted:
                temporary = path.with_name(".poster.png")
                Image.fromarray(frame.to_ndarray(format="rgb24")).save(temporary)
                temporary.replace(path)
                return


def _record(
    timeline: Timeline, props: Props, keys: list[str], sentences: tuple[SentenceRecord, ...], folder: Path
) -> FilmRecord:
    shots = tuple(
        ShotRecord(
            time.shot.id,
            time.shot.title,
            time.shot.kind,
            time.first_frame,
            time.frames,
            key,
            time.shot.camera_start,
            time.shot.camera_end,
        )
        for time, key in zip(timeline.shots, keys, strict=True)
    )
    return FilmRecord(
        props.title,
        props.case_id,
        props.layout.width,
        props.layout.height,
        timeline.frames_per_second,
        timeline.frames,
        timeline.length_s,
        props.captions_burnt_in,
        props.speech.is_stand_in,
        _digest(props.ledger),
        props.operation.document.sha256,
        file_sha256(folder / "film.mp4"),
        file_sha256(folder / "captions.vtt"),
        shots,
        sentences,
    )
