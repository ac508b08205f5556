"""Which words a sentence may use, read from the table of its language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from medviz.core.anatomy import STRUCTURES

_WORD = re.compile(r"[A-Za-z]+")
_ENDINGS = (("ings", 4), ("ing", 4), ("ed", 4), ("es", 4), ("s", 3))


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
        Words that any sentence may use.
    meanings : dict of str to frozenset of str
        Meanings of a word, whose forms are listed one by one.
    kept : frozenset of str
        Meanings that may not be lost.
    refusals : dict of str to Refusal
        Names for refused stems.
    structures : frozenset of str
        Stems of anatomy words: a fact that names one is told with it.
    droppable : frozenset of str
        Content that a retelling may leave out: meanings, marked as `content` marks them, and stems.
    finite : frozenset of str
        Words of which a whole sentence has one.
    """

    neutral: frozenset[str]
    meanings: dict[str, frozenset[str]]
    kept: frozenset[str]
    refusals: dict[str, Refusal]
    structures: frozenset[str]
    droppable: frozenset[str]
    finite: frozenset[str]


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text in order, lower case; hyphens and apostrophes part words."""
    return tuple(word.lower() for word in _WORD.findall(text.replace("n't", " not").replace("'s", "")))


@cache
def stem(word: str) -> str:
    """Return a word without its usual endings, so that "structures" and "structure" are one.

    Short words keep theirs: "noted" must never be taken for "not".
    """
    if word in _SAME:
        return _SAME[word]
    if not word.endswith(("ss", "us", "is")):
        ending = next((e for e, least in _ENDINGS if word.endswith(e) and len(word) >= least + len(e)), "")
        word = word.removesuffix(ending)
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


_SAME = {
    "ventricular": "ventricl",
    "cerebral": "cerebrum",
    "cerebellar": "cerebellum",
    "thalami": "thalamus",
    "nuclei": "nucleus",
}


def stems(text: str) -> frozenset[str]:
    """Return the stems of a text's words."""
    return frozenset(stem(word) for word in words(text))


@cache
def english() -> Vocabulary:
    """Return the English vocabulary."""
    return read_vocabulary(Path(__file__).with_name("english.toml"))


def read_vocabulary(path: Path) -> Vocabulary:
    """Return the vocabulary of a language's table, with the words of the anatomy table's titles."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    meanings: dict[str, frozenset[str]] = {}
    for meaning in table["meaning"]:
        for word in meaning["words"].split():
            meanings[word] = meanings.get(word, frozenset()) | {meaning["name"]}
    neutral, refusals = frozenset(table["neutral"].split()), _refusals(table["refused"])
    for word in words(" ".join(structure.title for structure in STRUCTURES.values())):
        if word not in neutral and word not in meanings:
            refusals[stem(word)] = Refusal("STRUCTURE", is_always_refused=False)
    anatomy = frozenset(one for one, refusal in refusals.items() if refusal.code == "STRUCTURE")
    return Vocabulary(
        neutral=neutral,
        meanings=meanings,
        kept=frozenset(meaning["name"] for meaning in table["meaning"] if meaning.get("kept")),
        refusals=refusals,
        structures=anatomy,
        droppable=frozenset(f"={name}" for name in table["droppable_meanings"].split())
        | stems(table["droppable_words"]),
        finite=frozenset(table["finite"].split()),
    )


def _refusals(tables: Iterable[dict[str, object]]) -> dict[str, Refusal]:
    result: dict[str, Refusal] = {}
    for table in tables:
        refusal = Refusal(str(table["code"]), bool(table.get("always")))
        result |= {one: refusal for one in stems(str(table["words"])) if one not in result}
    return result
