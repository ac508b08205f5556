"""Captions: two lines of at most 42 signs, in time with the speech; WebVTT and burnt in."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from pipelines.captions import caption_lines
from pipelines.film import lettering
from pipelines.film.furniture import Layout
from pipelines.film.lettering import Sticker, Style, written

_LINES = 2


@dataclass(frozen=True, slots=True)
class Cue:
    """What is captioned from `start_s` to `end_s` of the film; one or two lines."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]
    sentence_index: int


def cues_of(text: str, start_s: float, end_s: float, sentence_index: int) -> list[Cue]:
    """Return the captions of one sentence; a long one is shown in parts, as long as its letters take."""
    lines = caption_lines(text)
    parts = [lines[i : i + _LINES] for i in range(0, len(lines), _LINES)]
    signs = [sum(len(line) for line in part) for part in parts]
    cues, at = [], start_s
    for part, length in zip(parts, signs, strict=True):
        until = at + (end_s - start_s) * length / max(sum(signs), 1)
        cues.append(Cue(at, until, part, sentence_index))
        at = until
    return cues


def web_vtt(cues: list[Cue]) -> str:
    """Return captions as WebVTT."""
    blocks = ["WEBVTT", ""]
    for number, cue in enumerate(cues, start=1):
        text = "\n".join(_escaped(line) for line in cue.lines)
        blocks += [str(number), f"{clock(cue.start_s)} --> {clock(cue.end_s)}", text, ""]
    return "\n".join(blocks)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clock(seconds: float) -> str:
    """Return a time as WebVTT writes it: ``00:01:02.345``."""
    total_ms = round(seconds * 1000)
    hours, rest = divmod(total_ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


@functools.lru_cache(maxsize=64)
def burnt(layout: Layout, lines: tuple[str, ...]) -> Sticker:
    """Return a caption as a sticker in its place above the draft band."""
    style = Style(layout.px(27), outline=0)
    words = [written(line, style) for line in lines]
    step = layout.px(36)
    width = max(word.width for word in words) + 2 * layout.px(18)
    height = step * len(words) + layout.px(12)
    left, top = (layout.width - width) // 2, layout.caption_bottom - height
    parts = [lettering.panel(width, height, opacity=0.8, radius=layout.px(8)).at(left, top)]
    for index, word in enumerate(words):
        y = top + layout.px(6) + index * step + (step - word.height) // 2
        parts.append(word.at((layout.width - word.width) // 2, y))
    return lettering.stacked(parts)
