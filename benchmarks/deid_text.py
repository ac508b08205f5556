"""Prints what is missed and kept of free text, ours beside its parts and others, on the labelled sets.

Run ``python -m benchmarks.deid_text``. The sets, their marks and how they were split:
tests/data/text/README.md. A miss is an identifying word that is left; kept is the share of harmless words
that are left, where a Chinese character counts as a word. The parts are our deny-list alone and with the
cue patterns; the others are presidio with its small English model at score 0.35, and LAC's names for
Chinese.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from anonymize.chinese import LacReader
from anonymize.cues import cue_spans
from anonymize.denylist import DenyList, words_of
from anonymize.policy import TextPolicy
from anonymize.prose import PresidioReader, analyzer
from anonymize.text import TextCleaner
from tests import make_texts

_LEAST_SCORE = 0.35
Cleaner = Callable[[DenyList, str], str]


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text with spaces in place of some spans."""
    marks = list(text)
    for start, end in spans:
        marks[start:end] = " " * (end - start)
    return "".join(marks)


def by_deny_list(deny: DenyList, text: str) -> str:
    """Return a text without the words, numbers and dates of its header."""
    listed = deny.names | deny.clinicians | deny.places | deny.numbers
    plain = without(text, deny.spans(text))
    low = plain.casefold()
    words = set(words_of(plain))
    found = {word for word in listed if (word in words if word.isascii() else len(word) > 1 and word in low)}
    spans = [(at, at + len(word)) for word in found for at in range(len(low)) if low.startswith(word, at)]
    return without(plain, spans)


def by_deny_list_and_cues(deny: DenyList, text: str) -> str:
    """Return a text without what its header or its own cues betray."""
    return by_deny_list(deny, without(text, cue_spans(text, TextPolicy())))


def by_presidio(_: DenyList, text: str) -> str:
    """Return a text without what presidio takes for identifying, with its usual settings."""
    found = analyzer().analyze(text, language="en", score_threshold=_LEAST_SCORE)
    return without(text, ((item.start, item.end) for item in found))


def by_lac(_: DenyList, text: str) -> str:
    """Return a text without the names of people, places and bodies that LAC finds."""
    found = LacReader().suspects(text)
    spans = ((at, at + len(name)) for name in found for at in range(len(text)) if text.startswith(name, at))
    return without(text, spans)


def ours() -> Cleaner:
    """Return our cleaner; the models are shared, as they are between studies."""
    reader = PresidioReader()
    return lambda deny, text: TextCleaner(deny, reader).cleaned(text)


def main() -> None:
    """Print one line for each set and method."""
    english: list[tuple[str, Cleaner]] = [
        ("deny-list", by_deny_list),
        ("deny-list + cues", by_deny_list_and_cues),
        ("presidio 0.35", by_presidio),
        ("ours", ours()),
    ]
    chinese = [
        ("LAC alone", by_lac) if name.startswith("presidio") else (name, clean) for name, clean in english
    ]
    print(f"{'set':8} {'method':18} {'missed':>12} {'kept':>14} {'ms/text':>8}")
    for name in make_texts.SETS:
        texts = sum(len(texts) for _, texts in make_texts.labelled(name))
        for method, clean in english if name.startswith("en") else chinese:
            clean(DenyList(), "The patient Brown saw Mark in Rome. 患者张伟住院。")  # loads the models
            start = time.perf_counter()
            found = make_texts.score(name, clean)
            taken_ms = (time.perf_counter() - start) / texts * 1000
            missed, kept = f"{found.missed}/{found.identifying}", f"{found.kept}/{found.harmless}"
            print(f"{name:8} {method:18} {missed:>12} {kept:>8} {found.kept_share:5.1%} {taken_ms:8.1f}")


if __name__ == "__main__":
    main()
