"""Which words a sentence may use, read from the table of its language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_WORD = re.compile(r"[A-Za-z]+")
_ENDINGS = ("ings", "ing", "ed", "es", "s")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refused word is called in a complaint, and whether it is refused in every fact."""

    code: str
    is_always_refused: bool


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of one language, by what they may do to a sentence.

    Parameters
    ----------
    neutral : frozenset of str
        Stems that any sentence may use.
    meanings : dict of str to frozenset of str
        Meaning of a stem; a word may have several.
    kept : frozenset of str
        Meanings that may not be lost.
    refusals : dict of str to Refusal
        Names for refused stems.
    structures : frozenset of str
        Stems of anatomy words: a fact that names one is told with it.
    """

    neutral: frozenset[str]
    meanings: dict[str, frozenset[str]]
    kept: frozenset[str]
    refusals: dict[str, Refusal]
    structures: frozenset[str]


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text in order, lower case; hyphens and apostrophes part words."""
    return tuple(word.lower() for word in _WORD.findall(text.replace("n't", " not").replace("'s", "")))


@cache
def stem(word: str) -> str:
    """Return a word without its usual endings, so that "passes", "passed" and "passing" are one."""
    if word in _SAME:
        return _SAME[word]
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            word = word[: -len(ending)]
            break
    return word.rstrip("e") if len(word) > 3 else word


_SAME = {
    "ventricular": "ventricl",
    "lies": "lie",
    "cerebral": "cerebrum",
    "cerebellar": "cerebellum",
    "less": "less",
    "thalami": "thalamus",
    "nuclei": "nucleus",
    "needed": "need",
    "is": "is",
    "its": "its",
    "as": "as",
}


def stems(text: str) -> frozenset[str]:
    """Return the stems of a text's words."""
    return frozenset(stem(word) for word in words(text))


@cache
def english() -> Vocabulary:
    """Return the English vocabulary."""
    return read_vocabulary(Path(__file__).with_name("english.toml"))


def read_vocabulary(path: Path) -> Vocabulary:
    """Return the vocabulary of a language's table."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    meanings: dict[str, frozenset[str]] = {}
    for meaning in table["meaning"]:
        for one in _stemmed(meaning["words"]):
            meanings[one] = meanings.get(one, frozenset()) | {meaning["name"]}
    refusals = _refusals(table["refused"])
    anatomy = frozenset(one for one, refusal in refusals.items() if refusal.code == "STRUCTURE")
    return Vocabulary(
        neutral=_stemmed(table["neutral"]),
        meanings=meanings,
        kept=frozenset(meaning["name"] for meaning in table["meaning"] if meaning.get("kept")),
        refusals=refusals,
        structures=anatomy,
    )


def _refusals(tables: Iterable[dict[str, object]]) -> dict[str, Refusal]:
    result: dict[str, Refusal] = {}
    for table in tables:
        refusal = Refusal(str(table["code"]), bool(table.get("always")))
        result |= {one: refusal for one in _stemmed(str(table["words"])) if one not in result}
    return result


def _stemmed(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in text.split())
