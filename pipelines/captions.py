"""How a sentence is broken into caption lines, and when each caption is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_CHARACTERS = 42
MOST_LINES = 2
_STICKS = re.compile(r"(?<=\d) (?=(?:mm|cm|ml|mL|degrees|HU|percent|Gy)\b)")
_HARD_SPACE = "\u00a0"


@dataclass(frozen=True, slots=True)
class Cue:
    """Up to two caption lines and when they are shown, in seconds."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]


def caption_lines(text: str) -> tuple[str, ...]:
    """Return `text` in lines of at most 42 characters, broken between words and as even as can be.

    A number is never parted from its unit. A word longer than a line stands alone.
    """
    words = _STICKS.sub(_HARD_SPACE, text).split(" ")
    fewest = len(_filled(words, MOST_CHARACTERS))
    width = next(w for w in range(1, MOST_CHARACTERS + 1) if len(_filled(words, w)) <= fewest)
    return tuple(line.replace(_HARD_SPACE, " ") for line in _filled(words, width))


def caption_cues(text: str, start_s: float, end_s: float) -> tuple[Cue, ...]:
    """Return the captions of a sentence heard from `start_s` to `end_s`: two lines at a time."""
    lines = caption_lines(text)
    groups = [lines[first : first + MOST_LINES] for first in range(0, len(lines), MOST_LINES)]
    total = sum(len(line) for line in lines)
    cues, at_s = [], start_s
    for group in groups:
        until_s = at_s + (end_s - start_s) * sum(map(len, group)) / total
        cues.append(Cue(at_s, until_s, tuple(group)))
        at_s = until_s
    return tuple(cues)


def _filled(words: list[str], width: int) -> list[str]:
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
