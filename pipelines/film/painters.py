"""Painters of the three kinds of shot. A painter may be used by several threads at once."""

from __future__ import annotations

import functools
import hashlib
import json
import textwrap
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from medviz.core.anatomy import STRUCTURES
from medviz.core.facts import UNIT_WORDS, Fact, Grade
from medviz.core.records import to_plain
from pipelines.film import captions, labels, lettering, slices
from pipelines.film.captions import Cue
from pipelines.film.cards import draw_card
from pipelines.film.furniture import Chapter, Frame, Layout, draw_cube, draw_scale_bar, fixed
from pipelines.film.labels import Label
from pipelines.film.lettering import WHITE, Colour, Sticker, Style, lay, written
from pipelines.film.props import Props
from pipelines.film.rasteriser import Rasteriser, background_frame
from pipelines.film.theatre import NEEDLE, Moment, Theatre, moment_at
from pipelines.film.timeline import ShotTime
from pipelines.film.view import FloatArray, View, eased, view_of

_FADE_S = 0.32
_LOOKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""When in a shot it is found out what can be seen, and so be labelled."""

_OUTLINED = ("cerebrum", "deep_grey", "ventricles", "cerebellum", "brainstem", "tumour")
"""Outlined in the planes of a shot that names nothing."""

_STEEL_INK: Colour = (214, 222, 232)


class Painter(Protocol):
    """Paints what is under the furniture of one shot."""

    def state(self, frame: int) -> Hashable:
        """Return a value that is equal for frames that look the same."""
        ...

    def paint(self, frame: int, renderer: Rasteriser) -> Frame:
        """Return the picture of a frame, counted from the shot's first."""
        ...


def painter_of(time: ShotTime, props: Props, frames_per_second: int) -> Painter:
    """Return the painter of a shot."""
    kinds: dict[str, Callable[[ShotTime, Props, int], Painter]] = {
        "scene": ScenePainter,
        "slices": SlicesPainter,
        "card": CardPainter,
    }
    return kinds[time.shot.kind](time, props, frames_per_second)


def presence(frame: int, frames: int, frames_per_second: int) -> float:
    """Return how much of the picture is there: it comes out of the backdrop and goes back into it."""
    soft = max(min(_FADE_S * frames_per_second, frames / 4), 1.0)
    return eased(min(frame + 1, frames - frame, soft + 1) / (soft + 1))


def _faded(picture: Frame, layout: Layout, strength: float) -> Frame:
    if strength >= 1.0:
        return picture
    empty = background_frame(layout.width, layout.height).astype(np.float32)
    mixed: Frame = np.round(empty + (picture - empty) * np.float32(strength)).astype(np.uint8)
    return mixed


class ScenePainter:
    """Paints the operation in 3D, with labels, scale bar and orientation cube."""

    def __init__(self, time: ShotTime, props: Props, frames_per_second: int) -> None:
        self._time, self._props, self._fps = time, props, frames_per_second
        self._theatre = Theatre(time.shot, props.shapes, props.surfaces, props.operation, props.simulation)
        self._seen: dict[str, list[float]] = {}
        self._labels = self._place_labels()

    def moment(self, frame: int) -> Moment:
        """Return the operation's state at a frame."""
        seconds = (self._time.first_frame + frame) / self._fps
        return moment_at(self._time.shot, frame, self._time.frames, seconds)

    def state(self, frame: int) -> Hashable:
        """Return a value that is equal for frames that look the same."""
        there = presence(frame, self._time.frames, self._fps)
        return *self._theatre.look(self.moment(frame)), there

    def paint(self, frame: int, renderer: Rasteriser) -> Frame:
        """Return the picture of a frame, counted from the shot's first."""
        moment, layout = self.moment(frame), self._props.layout
        scene = self._theatre.scene(moment)
        view = view_of(scene.camera, layout.width, layout.height)
        picture = renderer.render(scene).rgb
        if moment.depth_mm is not None:
            self._draw_way(picture, view, moment.depth_mm)
        opacity = {item.name: item.opacity for item in scene.drawables}
        for label in self._labels:
            self._draw(picture, view, label, moment, opacity.get(label.name, 0.0))
        picture = _faded(picture, layout, presence(frame, self._time.frames, self._fps))
        self._draw_measures(picture, view)
        return picture

    def _place_labels(self) -> list[Label]:
        layout, frames = self._props.layout, self._time.frames
        small = Rasteriser(320, round(320 * layout.height / layout.width))
        points: dict[str, FloatArray] = {}
        edges = []
        for index, part in enumerate(_LOOKS):
            scene = self._theatre.scene(self.moment(round(part * (frames - 1))))
            seen = labels.anchors(scene, small)
            for name in seen:
                self._seen.setdefault(name, [0.0] * len(_LOOKS))[index] = 1.0
            points = seen | points if part > 0.5 else points | seen
            edges.append(labels.extent(scene, small, layout))
        texts = {
            item.structure: self._title(item.structure) for item in self._theatre.shown if item.is_labelled
        }
        if self.moment(0).depth_mm is not None:
            texts[NEEDLE] = "needle tip, depth 000 mm"
            middle = self.moment(round(0.6 * (frames - 1))).depth_mm or 0.0
            points[NEEDLE] = self._theatre.tip_mm(middle)
        camera = self._theatre.camera(self.moment(frames // 2))
        view = view_of(camera, layout.width, layout.height)
        span = (min(edge[0] for edge in edges), max(edge[1] for edge in edges))
        return labels.arrange(texts, points, view, layout, span, self._under_facts())

    def _under_facts(self) -> float:
        """Return the height under the tallest fact panel of the shot, in pixels."""
        layout, props = self._props.layout, self._props
        told = [props.narration.sentences[spoken.sentence_index].fact_ids[0] for spoken in self._time.spoken]
        panels = [fact_panel(layout, props.ledger[fact_id]) for fact_id in told]
        lowest = max((panel.y + panel.height for panel in panels), default=layout.heading_bottom)
        return float(lowest + layout.px(34))

    def _title(self, name: str) -> str:
        title = STRUCTURES[name].title if name in STRUCTURES else name
        return title if self._props.surfaces[name].is_reliable else f"{title} (unsure)"

    def _draw(self, picture: Frame, view: View, label: Label, moment: Moment, opacity: float) -> None:
        layout = self._props.layout
        if label.name == NEEDLE:
            depth = moment.depth_mm or 0.0
            text = f"needle tip, depth {depth:.0f} mm" if depth >= 0 else "needle"
            label = labels.moved(label, self._theatre.tip_mm(depth), text)
            labels.draw_label(picture, layout, view, label, _STEEL_INK, 1.0)
            return
        colour = _ink(self._props.surfaces[label.name].colour)
        seen = float(np.interp(moment.fraction, _LOOKS, self._seen[label.name]))
        labels.draw_label(picture, layout, view, label, colour, min(opacity * 5.0, seen, 1.0))

    def _draw_way(self, picture: Frame, view: View, depth_mm: float) -> None:
        """Draw the needle faintly where it is hidden, the way still ahead of its tip, and the target."""
        layout, way = self._props.layout, self._props.operation.trajectory
        (x0, y0, _), (x1, y1, _) = view.project(
            np.array([way.entry_mm, self._theatre.tip_mm(max(depth_mm, 0.0))])
        )
        lettering.line(picture, (x0, y0), (x1, y1), width=layout.px(3), colour=_STEEL_INK, opacity=0.35)
        length_mm = float(np.linalg.norm(np.subtract(way.target_mm, way.entry_mm)))
        first = max(depth_mm, 0.0)
        at = np.arange(first, length_mm, 5.0)
        for start in at:
            ends = [self._theatre.tip_mm(start), self._theatre.tip_mm(min(start + 2.6, length_mm))]
            (x0, y0, _), (x1, y1, _) = view.project(np.array(ends))
            lettering.line(
                picture, (x0, y0), (x1, y1), width=layout.px(2.4), colour=lettering.AMBER, opacity=0.8
            )
        x, y, _ = view.project(np.array([way.target_mm]))[0]
        for size, colour in ((11, lettering.DARK), (8, lettering.AMBER)):
            lettering.line(picture, (x, y), (x, y), width=layout.px(size), colour=colour, opacity=0.9)

    def _draw_measures(self, picture: Frame, view: View) -> None:
        layout = self._props.layout
        px_per_mm = view.px_per_mm(self._props.operation.trajectory.target_mm)
        at = (layout.margin, layout.band_top - layout.px(24))
        draw_scale_bar(picture, layout, px_per_mm, at, place="at target depth")
        draw_cube(
            picture,
            layout,
            view,
            (layout.width - layout.margin - layout.px(52), layout.band_top - layout.px(76)),
        )


class SlicesPainter:
    """Paints three CT planes."""

    def __init__(self, time: ShotTime, props: Props, frames_per_second: int) -> None:
        if time.shot.slices_at_mm is None:
            raise ValueError("a slices shot needs its point")
        self._time, self._props, self._fps = time, props, frames_per_second
        self._point = time.shot.slices_at_mm
        self._panels = slices.panels(props.segmentation, self._point, props.layout)
        self._still = self._draw_still()

    def state(self, frame: int) -> Hashable:
        """Return a value that is equal for frames that look the same."""
        there = presence(frame, self._time.frames, self._fps)
        return there, moment_at(self._time.shot, frame, self._time.frames, 0.0).depth_mm

    def paint(self, frame: int, renderer: Rasteriser) -> Frame:  # noqa: ARG002 - the planes need no renderer
        """Return the picture of a frame, counted from the shot's first."""
        layout, trajectory = self._props.layout, self._props.operation.trajectory
        moment = moment_at(self._time.shot, frame, self._time.frames, 0.0)
        picture = self._still.copy()
        entry, target = np.asarray(trajectory.entry_mm), np.asarray(trajectory.target_mm)
        tip = None
        if moment.depth_mm is not None:
            tip = entry + (target - entry) / np.linalg.norm(target - entry) * max(moment.depth_mm, 0.0)
        slices.draw_needle(picture, layout, self._panels, (entry, target), tip)
        slices.draw_marks(picture, layout, self._panels, self._point)
        return _faded(picture, layout, presence(frame, self._time.frames, self._fps))

    def _draw_still(self) -> Frame:
        layout, props = self._props.layout, self._props
        picture = background_frame(layout.width, layout.height).copy()
        asked = [item.structure for item in self._time.shot.shown] or list(_OUTLINED)
        names = [name for name in asked if name in props.segmentation.names()]
        outlined = {name: _ink(STRUCTURES[name].colour) for name in names}
        window = slices.Window() if props.volume.unit == "HU" else slices.whole_window(props.volume)
        slices.draw_planes(picture, self._panels, props.volume, props.segmentation, outlined, window)
        return picture


class CardPainter:
    """Paints a title, a text or the end card."""

    def __init__(self, time: ShotTime, props: Props, frames_per_second: int) -> None:
        self._time, self._props, self._fps = time, props, frames_per_second

    def state(self, frame: int) -> Hashable:
        """Return a value that is equal for frames that look the same."""
        return presence(frame, self._time.frames, self._fps), len(self._said(frame))

    def paint(self, frame: int, renderer: Rasteriser) -> Frame:  # noqa: ARG002 - a card needs no renderer
        """Return the picture of a frame, counted from the shot's first."""
        layout = self._props.layout
        picture = background_frame(layout.width, layout.height).copy()
        draw_card(picture, layout, self._time.shot.title, self._said(frame), self._notes())
        return _faded(picture, layout, presence(frame, self._time.frames, self._fps))

    def _said(self, frame: int) -> list[str]:
        seconds = (self._time.first_frame + frame) / self._fps
        begun = [spoken for spoken in self._time.spoken if spoken.start_s <= seconds + 0.15]
        return [self._props.narration.sentences[spoken.sentence_index].text for spoken in begun]

    def _notes(self) -> list[str]:
        props = self._props
        notes = [f"Case {props.case_id}", "Draft: awaiting a clinician's signature."]
        if self._time.spoken:
            return []
        if self._time.first_frame > 0:
            digests = ledger_digest(props.ledger)[:16], props.operation.document.sha256[:16]
            notes.append("Fact ledger {}   Plan {}".format(*digests))
        voice = props.speech.voice
        notes.append(f"Narration {props.narration.model.name}, voice {voice.name} {voice.version}".strip())
        return notes


def ledger_digest(ledger: object) -> str:
    """Return the SHA-256 of the fact ledger's canonical JSON."""
    return hashlib.sha256(json.dumps(to_plain(ledger), sort_keys=True).encode()).hexdigest()


def _ink(colour: tuple[float, float, float]) -> Colour:
    return round(colour[0] * 255), round(colour[1] * 255), round(colour[2] * 255)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What lies over the picture of every frame of a shot: furniture, facts as they are told, captions."""

    time: ShotTime
    chapter: Chapter
    cues: tuple[Cue, ...]
    props: Props
    frames_per_second: int

    def words_at(self, frame: int) -> tuple[int, int]:
        """Return which caption and which sentence's facts are shown at a frame; -1 for none."""
        seconds = (self.time.first_frame + frame + 0.5) / self.frames_per_second
        cue = next((i for i, c in enumerate(self.cues) if c.start_s <= seconds < c.end_s), -1)
        told = [i for i, s in enumerate(self.time.spoken) if s.start_s <= seconds]
        has_captions = (
            self.props.captions_burnt_in and self.time.shot.kind != "card"
        )  # a card shows its words
        return (cue if has_captions else -1), (told[-1] if told else -1)

    def draw(self, picture: Frame, words: tuple[int, int]) -> None:
        """Lay everything over a picture, in place."""
        for sticker in fixed(self.props.layout, self.chapter):
            lay(picture, sticker)
        cue, told = words
        if told >= 0 and self.time.shot.kind == "scene":
            sentence = self.props.narration.sentences[self.time.spoken[told].sentence_index]
            lay(picture, fact_panel(self.props.layout, self.props.ledger[sentence.fact_ids[0]]))
        if cue >= 0:
            lay(picture, captions.burnt(self.props.layout, self.cues[cue].lines))


@functools.lru_cache(maxsize=64)
def fact_panel(layout: Layout, fact: Fact) -> Sticker:
    """Return the panel of a fact, from the ledger and never shortened: what, how much, how known."""
    small, big = Style(layout.px(20), (196, 204, 214)), Style(layout.px(40), WHITE, weight=1)
    if len(fact.literal) > 14:
        big = Style(layout.px(25), WHITE, weight=1)
    rows = [written(row, small) for row in textwrap.wrap(f"{fact.subject}: {fact.quantity}", 32)]
    rows += [written(row, big) for row in textwrap.wrap(fact.literal, 24)]
    rows.append(written(_how_known(fact), Style(layout.px(18), (150, 200, 190))))
    left, top = layout.margin - layout.px(10), layout.heading_bottom + layout.px(2)
    size = max(row.width for row in rows) + layout.px(22), sum(row.height for row in rows) + layout.px(16)
    parts, y = [lettering.panel(*size, opacity=0.82).at(left, top)], top + layout.px(8)
    for row in rows:
        parts.append(row.at(layout.margin, y))
        y += row.height
    return lettering.stacked(parts)


def _how_known(fact: Fact) -> str:
    if fact.grade is Grade.UNKNOWN:
        return "cannot be known from this study"
    if fact.interval is None:
        return str(fact.grade)
    low, high = (f"{value:.{fact.decimals}f}" for value in fact.interval)
    return f"{fact.grade}, {low} to {high} {UNIT_WORDS.get(fact.unit, fact.unit)}"
