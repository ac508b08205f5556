"""How a sentence is broken into caption lines."""

from __future__ import annotations

import re

MOST_CHARACTERS = 42
_STICKS = re.compile(r"(?<=\d) (?=(?:mm|cm|ml|mL|degrees|HU|percent|Gy)\b)")
_HARD_SPACE = "\u00a0"


def caption_lines(text: str) -> tuple[str, ...]:
    """Return `text` in lines of at most 42 characters, broken between words and as even as can be.

    A number is never parted from its unit. A word longer than a line stands alone.
    """
    words = _STICKS.sub(_HARD_SPACE, text).split(" ")
    fewest = len(_filled(words, MOST_CHARACTERS))
    width = next(w for w in range(1, MOST_CHARACTERS + 1) if len(_filled(words, w)) <= fewest)
    return tuple(line.replace(_HARD_SPACE, " ") for line in _filled(words, width))


def _filled(words: list[str], width: int) -> list[str]:
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
