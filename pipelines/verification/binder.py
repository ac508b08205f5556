"""Checks that a sentence tells its fact, the whole fact, and nothing but the fact.

A whitelist of numbers proves only that the digits are allowed. The binder also proves that they belong to
what the sentence speaks of. It compares the sentence with the fact's own words (subject, quantity, value,
keywords and plain sentence):

* every number with its unit is one of the fact's own, written the same, and the fact's value is there once;
* every word is neutral, the fact's own, or means the same as one of its own (a closed vocabulary);
* all that the fact's sentence says is still said (negation, side, extremes, doubt, structures, verbs), save
  words that the unit says anyway; a count still counts the same things, and who crosses what stays so;
* words that tell this fact from each other fact of the ledger are there;
* advice, assurance and prognosis are refused even where a fact's own words would hold them.

No language model takes part, so the same sentence always gets the same answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from medviz.core.facts import Fact, FactLedger, Grade
from medviz.core.speech import Narration, Sentence
from medviz.core.storyboard import Storyboard
from pipelines.verification.quantities import (
    Quantity,
    counts,
    has_stray_digits,
    quantities,
    without_quantities,
)
from pipelines.verification.vocabulary import Refusal, Vocabulary, english, stem, stems, words

MOST_CHARACTERS = 168
LEAST_WORDS, MOST_WORDS = 3, 32
_ALLOWED = re.compile(r"[A-Za-z0-9 ,.;:%()'/+-]+")
_ENDS_INSIDE = re.compile(r"[.;:!?]\s")
_REPEATED = re.compile(r"\b(\w+)\s+\1\b", re.IGNORECASE)
_PLURAL_AFTER_A = re.compile(r"\ban? [\d.,]+ (?:degrees|millimetres|millilitres|seconds)\b")
_WRONG_ARTICLE = re.compile(r"\ba (?:8|11\b|18\b)|\ban (?!8|11\b|18\b)\d")
_ROMAN = re.compile(r"\b[IVX]+\b")
_CAPITALISED = re.compile(r"(?<=[a-z0-9,;:)] )\(?[A-Z][A-Za-z]*")


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why a sentence was turned down: a stable code, and what was found."""

    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


def verify_sentence(text: str, fact: Fact, ledger: FactLedger) -> tuple[Complaint, ...]:
    """Return every complaint about `text` as a telling of `fact`; none means that it may be spoken.

    Parameters
    ----------
    text : str
        One sentence, as it would be captioned.
    fact : Fact
        The one fact that it is to tell.
    ledger : FactLedger
        All facts of the case; the sentence must not be readable as another one's.
    """
    vocabulary = english()
    checks = (
        _form(text, fact),
        _values(text, fact),
        _vocabulary(text, fact, vocabulary),
        _kept_meanings(text, fact, vocabulary),
        _roles(text, fact, vocabulary),
        _binding(text, fact, ledger, vocabulary),
    )
    return tuple(dict.fromkeys(complaint for found in checks for complaint in found))


def verify_narration(
    narration: Narration, storyboard: Storyboard, ledger: FactLedger
) -> tuple[Complaint, ...]:
    """Return every complaint about a narration: its sentences, and each shot's facts told once in order."""
    found: list[Complaint] = []
    for shot in storyboard.shots:
        told = [one for s in narration.sentences if s.shot_id == shot.id for one in s.fact_ids]
        if tuple(told) != shot.fact_ids:
            found.append(Complaint("COVERAGE", f"shot {shot.id} does not tell its facts once and in order"))
    for sentence in narration.sentences:
        found += _sentence_complaints(sentence, ledger)
    return tuple(found)


def _sentence_complaints(sentence: Sentence, ledger: FactLedger) -> Iterable[Complaint]:
    if len(sentence.fact_ids) != 1:
        return (Complaint("COVERAGE", "a sentence tells exactly one fact"),)
    return verify_sentence(sentence.text, ledger[sentence.fact_ids[0]], ledger)


def _form(text: str, fact: Fact) -> list[Complaint]:
    """Check that the text is one whole sentence in plain letters."""
    found = []
    if not _ALLOWED.fullmatch(text):
        found.append("holds a character that may not be captioned")
    if not re.match(r"[A-Z0-9]", text) or not text.endswith(".") or text.endswith(".."):
        found.append("does not begin with a capital and end with one full stop")
    if _ENDS_INSIDE.search(text) and not _ENDS_INSIDE.search(fact.sentence):
        found.append("is more than one sentence")
    if len(text) > max(MOST_CHARACTERS, len(fact.sentence)):
        found.append("is too long")
    if not LEAST_WORDS <= len(text.split()) <= max(MOST_WORDS, len(fact.sentence.split())):
        found.append("has too few or too many words")
    if "  " in text or " ," in text or " ." in text or ",," in text or text.count("(") != text.count(")"):
        found.append("has broken punctuation")
    if _PLURAL_AFTER_A.search(text):
        found.append("says a plural after 'a'")
    if _WRONG_ARTICLE.search(text):
        found.append("has the wrong article before a number")
    if _REPEATED.search(text) and not _REPEATED.search(fact.sentence):
        found.append("says a word twice running")
    finite = english().finite
    if not finite & set(words(text)) and finite & set(words(fact.sentence)):
        found.append("has no verb")
    return [Complaint("FORM", detail) for detail in found]


def _values(text: str, fact: Fact) -> list[Complaint]:
    """Check every number and unit, and that the fact's own value is told once."""
    own = Counter(quantities(fact.sentence)) | Counter(quantities(fact.literal))
    told = Counter(quantities(text))
    found = [_value_complaint(quantity, own) for quantity in told if quantity not in own]
    found += [Complaint("VALUE", f"lacks {q}") for q in _expected(fact) if q not in told]
    found += [Complaint("VALUE", f"tells {q} more often than the fact") for q in told if told[q] > own[q] > 0]
    in_order = [quantity for quantity in quantities(text) if quantity in own]
    if not found and in_order != sorted(in_order, key=list(quantities(fact.sentence)).index):
        found.append(Complaint("VALUE", "tells the numbers in another order"))
    if has_stray_digits(text) and not has_stray_digits(fact.sentence):
        found.append(Complaint("VALUE", "has digits that are not a number of the fact"))
    if _has_words(fact) and not _tells(text, str(fact.value)):
        found.append(Complaint("VALUE", f"lacks the words: {fact.value}"))
    return found


def _has_words(fact: Fact) -> bool:
    """Return whether the value is words that must be told as they are; "unknown" need not."""
    is_named = isinstance(fact.value, str) and fact.grade is not Grade.UNKNOWN
    return is_named and _tells(fact.sentence, str(fact.value))


def _tells(text: str, phrase: str) -> bool:
    """Return whether the words of `phrase` stand in `text`, in order."""
    found = iter(words(text))
    return all(word in found for word in words(phrase))


def _expected(fact: Fact) -> tuple[Quantity, ...]:
    """Return what must be told: the fact's value, and the other numbers of its sentence."""
    return tuple(dict.fromkeys((*quantities(fact.literal), *quantities(fact.sentence))))


def _value_complaint(told: Quantity, own: Counter[Quantity]) -> Complaint:
    for known in own:
        if known.number == told.number:
            return Complaint("UNIT", f"says {told}, a {told.dimension}, where the fact says {known}")
    return Complaint("VALUE", f"says {told}, which is not this fact's")


def _vocabulary(text: str, fact: Fact, vocabulary: Vocabulary) -> list[Complaint]:
    """Check every word against the closed vocabulary of this fact."""
    own = _own_text(fact)
    own_words, own_stems = frozenset(words(own)), stems(own)
    own_meanings = frozenset(_meanings(own, vocabulary))
    found = []
    for word in dict.fromkeys(words(without_quantities(text))):
        meanings = vocabulary.meanings.get(word, frozenset())
        refusal = vocabulary.refusals.get(stem(word))
        if refusal and refusal.is_always_refused:
            found.append(Complaint(refusal.code, f"says {word}"))
        elif word in own_words or word in vocabulary.neutral or own_meanings & meanings:
            continue
        elif meanings:
            found.append(Complaint(_meaning_code(meanings, refusal), f"adds {word}"))
        elif stem(word) not in own_stems:
            found.append(Complaint(refusal.code if refusal else "WORD", f"adds {word}"))
    return found + _capitals(text, fact)


def _capitals(text: str, fact: Fact) -> list[Complaint]:
    """Check capitals inside the sentence: names and roman numerals are the fact's own or refused."""
    own = set(re.findall(r"[A-Za-z]+", f"{fact.sentence} {fact.literal} {fact.subject}"))
    numerals = [one for one in _ROMAN.findall(text) if one not in own]
    names = [one.lstrip("(") for one in _CAPITALISED.findall(text)]
    return [
        *(Complaint("ROMAN_NUMERAL", f"adds {one}") for one in numerals),
        *(Complaint("NAME", f"adds {one}") for one in names if one not in own and one not in numerals),
    ]


def _kept_meanings(text: str, fact: Fact, vocabulary: Vocabulary) -> list[Complaint]:
    """Check that what changes the sense of the fact is still said, and not doubled."""
    told, own = _meanings(text, vocabulary), _meanings(fact.sentence, vocabulary)
    found = [
        Complaint(_CODES.get(meaning, "MEANING"), f"loses the sense of: {meaning}")
        for meaning in sorted(vocabulary.kept)
        if own[meaning] and not told[meaning]
    ]
    if own["negation"] and told["negation"] and told["negation"] != own["negation"]:
        found.append(Complaint("NEGATION", "does not negate as often as the fact"))
    if fact.grade is Grade.UNKNOWN and not told["negation"] and not told["unsure"]:
        found.append(Complaint("NEGATION", "tells the unknown as known"))
    lost = _content(fact.sentence, vocabulary) - _content(text, vocabulary) - vocabulary.droppable
    return found + [
        Complaint("STRUCTURE" if one in vocabulary.structures else "COVERAGE", f"leaves out: {one}")
        for one in sorted(lost)
        if not one.startswith("=") or one[1:] not in vocabulary.kept
    ]


def _roles(text: str, fact: Fact, vocabulary: Vocabulary) -> list[Complaint]:
    """Check that a count counts the same things, and that what crosses is not what is crossed."""
    found = []
    own = {number: _content(things, vocabulary) for number, things in counts(fact.sentence)}
    for number, things in counts(text):
        if own.get(number) and not own[number] & _content(things, vocabulary):
            found.append(Complaint("BINDING", f"counts other things with {number}"))
    own_before, told_before = _before_crossing(fact.sentence, vocabulary), _before_crossing(text, vocabulary)
    if own_before and told_before is not None and not own_before & told_before:
        found.append(Complaint("BINDING", "changes who crosses what"))
    return found


def _before_crossing(text: str, vocabulary: Vocabulary) -> frozenset[str] | None:
    """Return the content before the first word of crossing; None when there is none."""
    before: list[str] = []
    for word in words(text):
        if "crossing" in vocabulary.meanings.get(word, ()):
            return _content(" ".join(before), vocabulary)
        before.append(word)
    return None


def _binding(text: str, fact: Fact, ledger: FactLedger, vocabulary: Vocabulary) -> list[Complaint]:
    """Check that the sentence can be about this fact and about no other one of the ledger."""
    told, own = _content(text, vocabulary), _content(fact.sentence, vocabulary)
    found = []
    if fact.keywords and not any(_holds(text, told, keyword, vocabulary) for keyword in fact.keywords):
        found.append(Complaint("BINDING", f"holds none of: {', '.join(fact.keywords)}"))
    others = [other.id for other in ledger if _could_be_about(told, own, other, vocabulary)]
    if others and others != [fact.id]:
        found.append(Complaint("BINDING", f"could as well be about {', '.join(others[:3])}"))
    return found


def _could_be_about(told: frozenset[str], own: frozenset[str], other: Fact, vocabulary: Vocabulary) -> bool:
    """Return whether a sentence lacks all that tells its fact's own content from another fact's."""
    apart = own - _content(_own_text(other), vocabulary)
    return bool(apart) and not told & apart


def _holds(text: str, told: frozenset[str], keyword: str, vocabulary: Vocabulary) -> bool:
    """Return whether a sentence holds a keyword, or words of the same meaning."""
    meant = _content(keyword, vocabulary)
    return stems(keyword) <= stems(text) or (bool(meant) and meant <= told)


def _own_text(fact: Fact) -> str:
    return f"{fact.sentence} {fact.subject} {fact.quantity} {fact.literal} {' '.join(fact.keywords)}"


def _content(text: str, vocabulary: Vocabulary) -> frozenset[str]:
    """Return what carries meaning in a text: the meanings of its words, and the stems of the others."""
    result: set[str] = set()
    for word in words(without_quantities(text)):
        if word in vocabulary.meanings:
            result |= {f"={meaning}" for meaning in vocabulary.meanings[word]}
        elif word not in vocabulary.neutral:
            result.add(stem(word))
    return frozenset(result)


def _meanings(text: str, vocabulary: Vocabulary) -> Counter[str]:
    return Counter(meaning for word in words(text) for meaning in vocabulary.meanings.get(word, ()))


_CODES = {
    "negation": "NEGATION",
    "left": "SIDE",
    "right": "SIDE",
    "both sides": "SIDE",
    "unsure": "HEDGE",
    "approximately": "HEDGE",
    "possibility": "HEDGE",
}


def _meaning_code(meanings: frozenset[str], refusal: Refusal | None) -> str:
    for meaning in sorted(meanings):
        if meaning in _CODES:
            return _CODES[meaning]
    return refusal.code if refusal else "MEANING"
