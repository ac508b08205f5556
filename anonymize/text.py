"""Free text that keeps its radiology and loses its people (PS3.15 E.3.5, Clean Descriptors).

A word stays only when it is known to be harmless: a word of radiology or of ordinary language, a short
number or a technical mark. Words that are names too stay by their case and their place in the sentence.
What is in doubt is dropped, so a name that nobody listed cannot stay by being unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from anonymize.chinese import LacReader, chinese_spans
from anonymize.cues import Span, clinician_spans, cue_spans, has_one_case
from anonymize.denylist import DenyList, folded
from anonymize.policy import TextPolicy as TextPolicy
from anonymize.prose import ProseReader
from anonymize.vocabulary import (
    eponyms,
    is_common_word,
    is_core,
    is_given_name,
    is_mostly_name,
    is_name,
    is_well_known_name,
    is_word,
    neighbours,
)
from anonymize.vocabulary import own_words as own_words
from anonymize.vocabulary import vocabulary as vocabulary

_LONGEST_READ, _PIECE = 1_000_000, 4000
_TOKEN = re.compile(
    r"\d+(?:[.,]\d+)*[^\W\d_\u3007\u3400-\u9fff]*(?:[^\W_\u3007\u3400-\u9fff])*"
    r"|[^\W\d_\u3007\u3400-\u9fff]+(?:['’][^\W\d_\u3007\u3400-\u9fff]+)*(?:\d[^\W_\u3007\u3400-\u9fff]*)?"
)
_HAN = re.compile(r"[\u3007\u3400-\u9fff]")
_KEPT_MARKS = frozenset(" \n\r\t.,/+-%()[]<>=*:&_;!?'’\"“”±×°µ~≥≤–—→，。；：、（）！？“”《》【】·℃%+～")
_SHORT_NUMBER = re.compile(
    r"^\d{1,3}(?:[.,]\d{1,3})?(?:mm|cm|m|ml|l|kv|kvp|kev|ma|mas|hu|s|sec|ms|min|h|t|d|x|g|mg|kg|gy|mgy"
    r"|mgi|iu|p|w|st|nd|rd|th|f|b|c|a)?"
    r"(?:(?<=[a-z])[23]|(?<=x)\d{1,3}(?:x\d{1,3})?)?(?:mm|cm)?$",
    re.IGNORECASE,
)
_MARK_AND_NUMBER = re.compile(r"^([^\W\d_]{1,12}?)(\d{1,4})([^\W\d_]{0,4})$")
_LONG_NUMBER = re.compile(r"^\d{4,5}(?:[.,]\d{1,3})?$|^\d{1,2},\d{3}$")
_LONG_WITH_UNIT = re.compile(r"^\d{4,5}(?:[.,]\d{1,3})?(?:ms|mm|ml|hu|mg|mgy|hz|s)$", re.IGNORECASE)
_UNIT_FOLLOWS = re.compile(
    r"^(?:\s?(?:-|–|to|/)\s?\d{1,5}(?:[.,]\d+)?)?\s?(?:mm|cm|ms|msec|ml|mg|mgy|gy|hu|hz|khz|mbq|bq|ng|iu"
    r"|µg|kg|kcal|images?|slices?|frames?|cells?|vertices|×|x\s?\d)(?![^\W\d_])",
    re.IGNORECASE,
)
_LABEL_BEFORE = re.compile(
    r"(?:\b(?:tr|te|ti|dlp|hu|ww|wl|bw|score|b|suv|matrix|agatston|value|window|level)\s?[=:]?\s?)$",
    re.IGNORECASE,
)
_TNM = re.compile(r"^[cpryam]{0,3}T(?:[0-4]|is|x)[a-d]?(?:N[0-3x][a-c]?)?(?:M[01x])?$", re.IGNORECASE)
_YEAR = re.compile(r"^(?:19|20)\d{2}$")
_SENTENCE = re.compile(r"(?:[^.!?\n]|\.(?=\d)|(?<=\b[A-Z])\.|(?<=\b[DM]r)\.)+[.!?\n]*")
_STARTS = frozenset('.!?:;•*\n\r"“(–—')
_NEAR = re.compile(r"^[ ,.&'’-]{0,3}$")


class _Token(NamedTuple):
    start: int
    end: int
    raw: str
    low: str
    starts_sentence: bool

    @property
    def is_upper(self) -> bool:
        return self.raw[0].isupper()

    @property
    def is_all_upper(self) -> bool:
        return len(self.raw) > 1 and self.raw.isupper()


class TextCleaner:
    """Cleans free text against one study's deny-list; the same text gives the same result.

    Parameters
    ----------
    deny : DenyList
        What the study's headers say about people, numbers, dates and places.
    prose : ProseReader
        Names found in running sentences; asked only about words that are names too.
    policy : TextPolicy
        What stays where law and practice differ.
    chinese : ProseReader or None
        Names found in Chinese; LAC when None.
    """

    def __init__(
        self,
        deny: DenyList,
        prose: ProseReader,
        policy: TextPolicy = TextPolicy(),  # noqa: B008 - frozen
        *,
        chinese: ProseReader | None = None,
    ) -> None:
        self.deny, self.prose, self.policy = deny, prose, policy
        self.chinese: ProseReader = chinese or LacReader()
        self._known: dict[str, str] = {}

    def cleaned(self, text: str) -> str:
        """Return the text without anything that may identify; empty when nothing harmless is left.

        Cleaning a cleaned text changes nothing more.
        """
        if text not in self._known:
            self._known[text] = self._clean(text)
        return self._known[text]

    def unsafe_words(self, words: Sequence[str]) -> list[bool]:
        """Return for each word of a page, in reading order, whether it must go; neighbours count."""
        text = " ".join(words)
        gone = self._gone(text)
        unsafe, start = [], 0
        for word in words:
            end = start + len(word)
            unsafe.append(any(gone[at] for at in range(start, end) if not text[at].isspace()))
            start = end + 1
        return unsafe

    def _clean(self, text: str) -> str:
        """Return the text cleaned until nothing more goes."""
        while True:
            gone = self._gone(text)
            if not any(gone):
                return text.strip()
            kept = "".join(" " if is_gone else mark for mark, is_gone in zip(text, gone, strict=True))
            text = _tidied(kept)

    def _gone(self, text: str) -> bytearray:
        """Return for each character whether it goes; long texts are read in pieces."""
        if len(text) > _LONGEST_READ:
            return bytearray(b"\1" * len(text))
        return bytearray().join(self._gone_of(piece) for piece in _pieces(text))

    def _gone_of(self, text: str) -> bytearray:
        gone = bytearray(len(text))
        _mark(gone, self.deny.spans(text))
        _mark(gone, cue_spans(text, self.policy))
        if _HAN.search(text):
            _mark(gone, chinese_spans(text, gone, self.deny, self.chinese))
        _Judgement(self, text, gone).run()
        for at, mark in enumerate(text):
            if not mark.isalnum() and mark not in _KEPT_MARKS:
                gone[at] = 1
        return gone


class _Judgement:
    """One text, its words and what goes of them."""

    def __init__(self, cleaner: TextCleaner, text: str, gone: bytearray) -> None:
        self.deny, self.prose, self.policy = cleaner.deny, cleaner.prose, cleaner.policy
        self.text, self.gone = text, gone
        self.tokens = [_left_part(token, gone) for token in _tokens(text)]
        self.clinicians = list(clinician_spans(text)) if self.policy.keeps_clinicians else []
        self.is_small = text.islower()
        self.is_running = is_prose(text) or (has_one_case(text) and is_prose(text.lower()))
        self.removed = [any(gone[token.start : token.end]) for token in self.tokens]
        self.catching = [False] * len(self.tokens)  # removed as a name: its neighbours are looked at

    def run(self) -> None:
        """Mark what goes."""
        for index, token in enumerate(self.tokens):
            if self.removed[index]:
                self.catching[index] = token.is_upper or (
                    self.is_small and not any(map(str.isdigit, token.raw))
                )
            elif not self._may_stay(index):
                self.removed[index] = True
                self.catching[index] = token.is_upper or self.is_small or self.deny.names_word(token.low)
        self._spread()
        self._spread_numbers()
        self._ask_reader()
        _mark(
            self.gone,
            ((t.start, t.end) for t, is_gone in zip(self.tokens, self.removed, strict=True) if is_gone),
        )

    def _may_stay(self, index: int) -> bool:
        token = self.tokens[index]
        parts = [token.low, *re.split(r"['’]", token.low)]
        if any(self.deny.names_word(part) for part in parts):
            return self.policy.keeps_clinicians and not any(self._is_of_patient(part) for part in parts)
        if self.policy.keeps_institutions and token.low in self.deny.institutions:
            return True
        if self._is_place(index):
            return False
        if any(start <= token.start < end for start, end in self.clinicians):
            return True
        if any(mark.isdigit() for mark in token.raw):
            return self._is_harmless_number(token)
        if len(token.raw) == 1:
            return True
        word = re.sub(r"['’]s?$|['’]\w{1,2}$", "", token.low)
        if word in eponyms() and self._is_term(index):
            return True
        if is_core(word):
            is_shown = token.is_upper and not token.is_all_upper and is_well_known_name(word)
            return not self._acts(index) and not (is_shown and self._follows_initial(index))
        if not is_word(word):
            return (word in eponyms() and not is_name(word)) or _is_joined(word)
        return not is_name(word) or not self._stands_as_name(index)

    def _is_place(self, index: int) -> bool:
        """Return whether a word belongs to a place of the header, alone in capitals or beside another."""
        if not self._in_places(index):
            return False
        near = [at for at in (index - 1, index + 1) if self._in_places(at) and self._touch(index, at)]
        return (not is_core(self.tokens[index].low) and (self.tokens[index].is_upper or bool(near))) or (
            len(near) > 0 and (self.tokens[index].is_upper)
        )

    def _in_places(self, index: int) -> bool:
        return (
            0 <= index < len(self.tokens)
            and re.sub(r"['’]s$", "", self.tokens[index].low) in self.deny.places
        )

    def _is_of_patient(self, part: str) -> bool:
        return part in self.deny.names or part in self.deny.numbers

    def _is_harmless_number(self, token: _Token) -> bool:
        raw, before, after = token.raw, self.text[: token.start], self.text[token.end :]
        if (
            _SHORT_NUMBER.match(raw)
            or (_LONG_WITH_UNIT.match(raw) and not _YEAR.match(raw[:-1]))
            or _TNM.match(raw)
            or token.low in own_words()
        ):
            return True
        if _YEAR.match(raw) and self.policy.keeps_years:
            return True
        if _LONG_NUMBER.match(raw):
            return bool(_UNIT_FOLLOWS.match(after) or (_LABEL_BEFORE.search(before) and not _YEAR.match(raw)))
        found = _MARK_AND_NUMBER.match(token.low)
        if not found:
            return False
        letters, digits, ending = found.groups()
        if len(letters) <= 2 and len(digits) <= 3 and len(ending) <= 1:
            return True
        return letters in own_words() and (not ending or ending in own_words() or len(ending) == 1)

    def _is_term(self, index: int) -> bool:
        """Return whether a name is part of a term: Baker cyst, Child-Pugh, circle of Willis."""
        following = [token.low for token in self.tokens[index + 1 : index + 4]]
        before = [token.low for token in self.tokens[max(0, index - 3) : index]]
        if any(word in neighbours("after") for word in following[:1]):
            return True
        if (
            len(following) > 1
            and following[1] in neighbours("after")
            and (following[0] in eponyms() or is_core(following[0]))
        ):
            return self._touch(index, index + 1)
        if following and following[0] in eponyms() and self._hyphened(index):
            return True
        if before and before[-1] in eponyms() and self._hyphened(index - 1):
            return True
        return len(before) > 1 and before[-1] in ("of", "von", "de") and before[-2] in neighbours("of")

    def _hyphened(self, index: int) -> bool:
        return self.text[self.tokens[index].end : self.tokens[index + 1].start] in ("-", "–")

    def _stands_as_name(self, index: int) -> bool:
        """Return whether a word that is also a name looks like one by its case and place."""
        token = self.tokens[index]
        if not token.is_upper:
            return self.is_small and (is_mostly_name(token.low) or self._is_small_name(index))
        if self._follows_initial(index):
            return True
        if token.is_all_upper:
            is_plain = self.is_running and is_common_word(token.low)
            return is_well_known_name(token.low) and (not is_plain or self._acts(index))
        if token.starts_sentence and (self.is_running or self._next(index) in neighbours("objects")):
            return self._acts(index)
        return self.is_running or is_well_known_name(token.low)

    def _is_small_name(self, index: int) -> bool:
        """Return whether a name in small letters shows itself: may dobbins, s. wagoner, baker asked."""
        low = self.tokens[index].low
        if self._follows_initial(index) or (
            is_well_known_name(low) and self._next(index) in neighbours("says")
        ):
            return True
        if index + 1 < len(self.tokens) and self._makes_pair(index, index + 1):
            return is_given_name(low)
        return index > 0 and self._makes_pair(index - 1, index) and is_given_name(self.tokens[index - 1].low)

    def _makes_pair(self, one: int, other: int) -> bool:
        lows = self.tokens[one].low, self.tokens[other].low
        is_pair = all(is_name(low) and (not is_core(low) or is_given_name(low)) for low in lows)
        return is_pair and not all(map(is_core, lows)) and self._touch(one, other)

    def _next(self, index: int) -> str:
        return self.tokens[index + 1].low if index + 1 < len(self.tokens) else ""

    def _acts(self, index: int) -> bool:
        """Return whether a name with a capital does what people do: Mark was, Grace said."""
        token, following = self.tokens[index], self._next(index)
        if not token.is_upper or not is_name(token.low):
            return False
        if following in neighbours("says") and not is_core(token.low):
            return True
        if token.is_all_upper or not is_well_known_name(token.low):
            return False
        is_plain = is_core(token.low) or is_common_word(token.low)
        return following in neighbours("says" if is_plain and not is_given_name(token.low) else "acts")

    def _follows_initial(self, index: int) -> bool:
        """Return whether an initial stands before a word: J. Stone."""
        if (
            not index
            or not (self.tokens[index - 1].raw.isupper() or self.is_small)
            or len(self.tokens[index - 1].raw) > 1
        ):
            return False
        return self.text[self.tokens[index - 1].end : self.tokens[index].start].strip(" ") == "."

    def _spread(self) -> None:
        """Drop names and initials that touch a dropped name: Mark J. Kowalski, Rose Tanaka."""
        pending = [index for index, is_name_like in enumerate(self.catching) if is_name_like]
        while pending:
            index = pending.pop()
            for at in (index - 1, index + 1):
                if 0 <= at < len(self.tokens) and not self.removed[at] and self._catches(index, at):
                    self.removed[at] = self.catching[at] = True
                    pending.append(at)

    def _spread_numbers(self) -> None:
        """Drop the groups of digits beside a dropped long number: A-12-3345, D12 3456 78."""
        long = [
            i for i, token in enumerate(self.tokens) if self.removed[i] and re.search(r"\d{4}", token.raw)
        ]
        while long:
            index = long.pop()
            for at in (index - 1, index + 1):
                if 0 <= at < len(self.tokens) and not self.removed[at] and self._joins_number(index, at):
                    self.removed[at] = True
                    long.append(at)

    def _joins_number(self, index: int, at: int) -> bool:
        first, second = sorted((index, at))
        between = self.text[self.tokens[first].end : self.tokens[second].start]
        raw = self.tokens[at].raw
        if between in ("-", "/", "(", ")", ".", "·"):
            return bool(re.search(r"\d", raw)) or len(raw) == 1
        is_measured = _UNIT_FOLLOWS.match(self.text[self.tokens[at].end :])
        is_year = _YEAR.match(self.tokens[index].raw)
        return between == " " and bool(re.fullmatch(r"[A-Z]?\d+", raw)) and not is_measured and not is_year

    def _catches(self, index: int, at: int) -> bool:
        token = self.tokens[at]
        if not (token.is_upper or self.is_small) or not self._touch(index, at):
            return False
        if len(token.raw) == 1:
            is_initial = (
                self.text[token.end : token.end + 1] == "."
                or token.low not in "ai"
                or self._is_initial(at - 1)
            )
            return is_initial if self.is_small or self.text.isupper() else True
        if self.is_small and (is_core(token.low) or is_common_word(token.low)):
            return False
        word = token.low
        if at < index and token.starts_sentence and self.is_running and not is_given_name(word):
            return (
                "," in self.text[token.end : self.tokens[index].start] and is_name(word) and not is_core(word)
            )
        if is_core(word):
            return is_well_known_name(word) and not token.is_all_upper
        return is_name(word)

    def _is_initial(self, index: int) -> bool:
        return index >= 0 and len(self.tokens[index].raw) == 1 and self._touch(index, index + 1)

    def _touch(self, one: int, other: int) -> bool:
        first, second = sorted((one, other))
        between = self.text[self.tokens[first].end : self.tokens[second].start]
        if not _NEAR.match(between):
            return False
        return "." not in between or len(self.tokens[first].raw) <= 2

    def _ask_reader(self) -> None:
        """Drop what the reader of sentences takes for a name, among words that may be one."""
        for start, end in _sentences(self.text):
            asked = [
                i
                for i, token in enumerate(self.tokens)
                if start <= token.start < end and self._is_doubtful(i)
            ]
            if not asked or not is_prose(self.text[start:end]):
                continue
            suspects = self.prose.suspects(self.text[start:end])
            for index in asked:
                self.removed[index] = self.catching[index] = self.tokens[index].low in suspects
        self._spread()

    def _is_doubtful(self, index: int) -> bool:
        token = self.tokens[index]
        if any(start <= token.start < end for start, end in self.clinicians):
            return False
        if self.removed[index] or not token.is_upper or len(token.raw) < 2 or token.is_all_upper:
            return False
        word = re.sub(r"['’]s$", "", token.low)
        if is_core(word) or any(mark.isdigit() for mark in word) or word in eponyms():
            return False
        if not token.starts_sentence:
            return True
        return is_name(word) and self._next(index) not in neighbours("objects") and not is_common_word(word)


def _mark(gone: bytearray, spans: Iterator[Span]) -> None:
    for start, end in list(spans):
        gone[start:end] = b"\1" * (end - start)


def _is_joined(word: str) -> bool:
    """Return whether a word with an apostrophe is made of known words: o'clock, l'abdomen."""
    parts = re.split(r"['’]", word)
    return len(parts) > 1 and all(len(part) == 1 or (is_word(part) and not is_name(part)) for part in parts)


def _pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces that end, where they can, with a line or a sentence."""
    start = 0
    while len(text) - start > _PIECE:
        window = text[start : start + _PIECE]
        ends = (window.rfind("\n"), window.rfind(". "), window.rfind("。"), window.rfind(" "), _PIECE - 1)
        end = next(end for end in ends if end > _PIECE // 2)
        yield window[: end + 1]
        start += end + 1
    yield text[start:]


def _left_part(token: _Token, gone: bytearray) -> _Token:
    """Return what is left of a number after a part of it went: the year of a date."""
    flags = gone[token.start : token.end]
    if not any(flags) or all(flags) or not token.raw[0].isdigit():
        return token
    start = flags.index(0)
    end = flags.find(1, start) if 1 in flags[start:] else len(flags)
    raw = token.raw[start:end]
    return token._replace(start=token.start + start, end=token.start + end, raw=raw, low=raw.casefold())


def _tokens(text: str) -> Iterator[_Token]:
    """Yield the words and numbers of a text that are not Chinese."""
    for match in _TOKEN.finditer(text):
        before = text[: match.start()].rstrip(" \t-")
        starts = not before or before[-1] in _STARTS or text[len(before) : match.start()].startswith("\n")
        yield _Token(match.start(), match.end(), match[0], folded(match[0]), starts)


def _sentences(text: str) -> Iterator[Span]:
    return (match.span() for match in _SENTENCE.finditer(text))


def is_prose(text: str) -> bool:
    """Return whether a text is running words: five or more, most in lower case."""
    words = re.findall(r"[^\W\d_]{2,}", text)
    return len(words) >= 5 and sum(word[1:].islower() for word in words) * 2 > len(words)


def _tidied(text: str) -> str:
    """Return text without the marks and spaces that dropped words left behind."""
    text = re.sub(r"\([\s,.;:/-]*\)|\[[\s,.;:/-]*\]|（\s*）", " ", text)
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r"(?:(?<=\s)|^)[=&*/_+#~·'’-]+(?=\s|$)", "", text)
    text = re.sub(r"[ \t]+(?=[.,;:!?，。；：、！？])", "", text)
    text = re.sub(r"([,;:，；：、])[,;:.，；：、\s]*(?=[,;:.，。；：、])", "", text)
    text = (
        re.sub(r"[ \t]{2,}", " ", text).strip(" ,:;=&*/.，。；：、_-\t\r\n!?")
        if not re.search(r"[.。!?]\s*$", text)
        else (re.sub(r"[ \t]{2,}", " ", text).strip(" \t\r\n").lstrip(" ,:;=&*/.，。；：、_!?"))
    )
    return text if re.search(r"\w", text) else ""
