"""Labelled free texts, and the score of a cleaner on them. See tests/data/text/README.md for the marks."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

from anonymize.denylist import DenyList

HOME = Path(__file__).with_name("data") / "text"
SETS = ("en_tune", "en_test", "zh_tune", "zh_test")
_TOKEN = re.compile(r"[\u3007\u3400-\u9fff]|[^\W_\u3007\u3400-\u9fff]+")
_MARKS = re.compile(r"[{}\[\]]")
_SPAN = re.compile(r"\{([^}]*)\}|\[([^\]]*)\]|([^{\[]+)")


class Labelled(NamedTuple):
    """A text, its words (single characters in Chinese), and what each is: identifying, either or harmless."""

    study: int
    text: str
    tokens: tuple[str, ...]
    kinds: tuple[str, ...]


class Score(NamedTuple):
    """What a cleaner did to a set: identifying words left, of how many; harmless words kept, of how many."""

    missed: int
    identifying: int
    kept: int
    harmless: int

    @property
    def kept_share(self) -> float:
        """Return the share of harmless words kept, 0 to 1."""
        return self.kept / max(self.harmless, 1)


def labelled(name: str) -> list[tuple[DenyList, list[Labelled]]]:
    """Return the studies of a set: the deny-list of each header, and its labelled texts."""
    with (HOME / f"{name}.toml").open("rb") as stream:
        studies = tomllib.load(stream)["study"]
    return [(_deny(study), [_read(text, study["number"]) for text in study["texts"]]) for study in studies]


def _deny(study: dict[str, list[str]]) -> DenyList:
    deny = DenyList()
    for name in study.get("names", ()):
        deny.add_name(name)
    for value in study.get("identifiers", ()):
        deny.add_text(value)
    for date in study.get("dates", ()):
        deny.add_date(date)
    return deny


def _read(marked: str, study: int) -> Labelled:
    tokens: list[str] = []
    kinds: list[str] = []
    for identifying, either, harmless in _SPAN.findall(marked):
        found = _TOKEN.findall(identifying or either or harmless)
        tokens += found
        kinds += ["identifying" if identifying else "either" if either else "harmless"] * len(found)
    return Labelled(study, _MARKS.sub("", marked), tuple(tokens), tuple(kinds))


def left_of(text: Labelled, cleaned: str) -> list[bool]:
    """Return for each word of a text whether the cleaned text still holds it."""
    output = _TOKEN.findall(cleaned)
    left = [False] * len(text.tokens)
    matcher = SequenceMatcher(None, text.tokens, output, autojunk=False)
    for start, _, length in matcher.get_matching_blocks():
        left[start : start + length] = [True] * length
    return left


def score(name: str, clean: Callable[[DenyList, str], str]) -> Score:
    """Return how a cleaner does on a set."""
    counts = {"identifying": [0, 0], "harmless": [0, 0], "either": [0, 0]}
    for deny, texts in labelled(name):
        for text in texts:
            for kind, is_left in zip(text.kinds, left_of(text, clean(deny, text.text)), strict=True):
                counts[kind][0] += is_left
                counts[kind][1] += 1
    return Score(*counts["identifying"], *counts["harmless"])
