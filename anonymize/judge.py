"""Each element of a header: taken, judged by the profile, and encoded again, at any depth.

Nothing reaches the output that was not judged here. What cannot be judged is removed; where that would move
the anatomy, the whole file is held.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from anonymize import codes
from anonymize.charsets import decoded, encoded_text
from anonymize.dates import capped_age, is_time, shifted_date, shifted_date_time
from anonymize.denylist import words_of
from anonymize.elements import Element, Encoding, encode_element, encode_items, known_vr, read_items
from anonymize.keys import ProjectKeys
from anonymize.profile import Action, Profile, action_of, attribute_type
from anonymize.text import TextCleaner, vocabulary
from anonymize.uids import is_well_known, new_uid
from medviz.core.errors import StudyUnreadable

CHARACTER_SET = 0x00080005
PATIENT_NAME, PATIENT_ID, _SEX = 0x00100010, 0x00100020, 0x00100040

_TEXT_VRS = frozenset(["LO", "SH", "LT", "ST", "UT", "UC"])
_ONE_VALUE_VRS = frozenset(["LT", "ST", "UT"])
_NUMBER_VRS = frozenset(["US", "SS", "UL", "SL", "FL", "FD", "AT", "SV", "UV", "OV", "US or SS"])
_OPAQUE_VRS = frozenset(["OB", "OW", "OF", "OD", "OL", "UN", "OB or OW", "US or OW", "US or SS or OW"])
_NUMERIC = re.compile(rb"^[0-9+\-.eE \\\0]*$")
_CODE_STRING = re.compile(r"^[A-Za-z0-9_ .+/-]*$")

# Bytes that pictures need: palettes, look-up tables, offsets of encapsulated frames.
_NEEDED_BYTES = frozenset(
    [
        *range(0x00281101, 0x00281105),
        *range(0x00281201, 0x00281205),
        *range(0x00281221, 0x00281224),
        *(0x00283002, 0x00283006, 0x7FE00001, 0x7FE00002, 0x7FE00003),
    ]
)
_DUMMIES = {
    "AE": b"REMOVED",
    "AS": b"000Y",
    "CS": b"REMOVED",
    "DA": b"19000101",
    "DS": b"0",
    "DT": b"19000101000000",
    "IS": b"0",
    "OB": b"\0\0",
    "TM": b"000000",
    "UN": b"\0\0",
    "UR": b"urn:removed",
}
_TEXT_DUMMY = b"REMOVED"
_LONGEST_REMEMBERED, _MOST_REMEMBERED = 4096, 100_000


class Person(NamedTuple):
    """What a patient becomes: a pseudonym for name and ID, and how many days the dates move."""

    name: str
    identifier: str
    days: int


class Place(NamedTuple):
    """Where an element stands: in which object, below which sequence (0 at the top), how encoded, of whom."""

    kind: str
    parent: int
    encoding: Encoding
    character_set: bytes
    person: Person


class Judged(NamedTuple):
    """An element after judgement: its new bytes (none when removed), and what was done to which tags."""

    encoded: bytes
    actions: tuple[tuple[int, str], ...]


class _Value(NamedTuple):
    """A new value, or None to remove the element; and one word for the report."""

    value: bytes | None
    word: str


_REMOVED = _Value(None, "removed")
_EMPTIED = _Value(b"", "emptied")


class Judge:
    """Judges the elements of one study under one profile.

    Parameters
    ----------
    profile : Profile
        What to do with which attribute.
    keys : ProjectKeys
        For UIDs.
    cleaner : TextCleaner
        For free text; holds the study's deny-list.
    """

    def __init__(self, profile: Profile, keys: ProjectKeys, cleaner: TextCleaner) -> None:
        self.profile, self.keys, self.cleaner = profile, keys, cleaner
        self._known: dict[tuple[Element, Place], Judged] = {}

    def judged(self, element: Element, place: Place) -> Judged:
        """Return the element as it may leave; equal elements at equal places are judged once.

        Raises
        ------
        StudyUnreadable
            If a value that places the anatomy cannot be read (``HELD_FOR_REVIEW``).
        """
        found = self._known.get((element, place))
        if found is None:
            found = self._judge(element, place)
            if len(element.value) <= _LONGEST_REMEMBERED:
                self._remember((element, place), found)
        return found

    def _remember(self, key: tuple[Element, Place], judged: Judged) -> None:
        """Keep a judgement for the next file; a hundred thousand files must not fill the memory."""
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[key] = judged

    def judged_all(
        self, elements: Iterable[Element], place: Place
    ) -> tuple[list[tuple[int, bytes]], Counter[tuple[int, str]]]:
        """Return the elements that may leave, with their tags, and how often what was done."""
        kept: list[tuple[int, bytes]] = []
        actions: Counter[tuple[int, str]] = Counter()
        for element in elements:
            judged = self.judged(element, place)
            actions.update(judged.actions)
            if judged.encoded:
                kept.append((element.tag, judged.encoded))
        return kept, actions

    def _judge(self, element: Element, place: Place) -> Judged:
        tag, dictionary = element.tag, known_vr(element.tag)
        action = action_of(tag, self.profile, parent=place.parent, kind=place.kind)
        if not dictionary or tag & 0xFFFF == 0 or action is Action.REMOVE:
            return Judged(b"", ((tag, "removed"),))
        vr = element.vr if element.vr in dictionary.split(" or ") else dictionary
        if element.is_cleared and vr in _OPAQUE_VRS:
            encoded = encode_element(tag, vr.split(" ")[0], element.value, place.encoding)
            return Judged(encoded, ((tag, "content judged"),))
        if vr == "SQ":
            return self._judged_sequence(element, place, action)
        if element.vr == "SQ":
            return Judged(b"", ((tag, "removed"),))
        value, word = self._new_value(element, vr, place, action)
        if value is None:
            return Judged(b"", ((tag, "removed"),))
        return Judged(encode_element(tag, vr.split(" ")[0], value, place.encoding), ((tag, word),))

    def _new_value(self, element: Element, vr: str, place: Place, action: Action) -> _Value:
        if element.tag in (PATIENT_NAME, PATIENT_ID):
            person = place.person
            return _Value(
                (person.name if element.tag == PATIENT_NAME else person.identifier).encode(), "pseudonym"
            )
        if action is Action.EMPTY:
            return _EMPTIED
        if action is Action.DUMMY:
            return self._dummy(element, vr)
        if action is Action.KEEP_EXACTLY:
            return self._kept_exactly(element, vr, place)
        if not element.value:
            return _Value(b"", "kept")
        return self._by_vr(element, vr, place)

    def _dummy(self, element: Element, vr: str) -> _Value:
        if vr == "UI":
            return self._uids(element.value)
        if vr in _NUMBER_VRS:
            return _Value(bytes(len(element.value)), "dummy")
        return _Value(_DUMMIES.get(vr, _TEXT_DUMMY), "dummy")

    def _by_vr(self, element: Element, vr: str, place: Place) -> _Value:
        if vr == "UI":
            return self._uids(element.value)
        if vr in ("DA", "DT", "TM"):
            return self._time(element, vr, place)
        if vr in _TEXT_VRS:
            return self._text(element, vr, place)
        if vr in ("IS", "DS"):
            return _Value(element.value, "kept") if _NUMERIC.match(element.value) else _REMOVED
        if vr in _NUMBER_VRS:
            return _Value(element.value, "kept")
        if vr == "CS":
            return self._code_string(element, place)
        if vr == "AS":
            age = capped_age(element.value.decode("latin-1"))
            return _Value(age.encode(), "kept") if age else _REMOVED
        if vr in _OPAQUE_VRS:
            return _Value(element.value, "kept") if element.tag in _NEEDED_BYTES else _REMOVED
        return _EMPTIED if vr == "PN" else _REMOVED

    def _kept_exactly(self, element: Element, vr: str, place: Place) -> _Value:
        if vr in ("IS", "DS"):
            if not _NUMERIC.match(element.value):
                raise held()
        elif vr in _TEXT_VRS or vr == "CS":
            words = words_of(decoded(element.value, place.character_set))
            if any(self.cleaner.deny.names_word(word) and word not in vocabulary() for word in words):
                raise held()
        return _Value(element.value, "kept")

    def _uids(self, value: bytes) -> _Value:
        texts = [part.strip(" \0") for part in value.decode("utf-8", "surrogateescape").split("\\")]
        mapped = [text if not text or is_well_known(text) else new_uid(self.keys, text) for text in texts]
        return _Value("\\".join(mapped).encode(), "kept" if mapped == texts else "new UID")

    def _time(self, element: Element, vr: str, place: Place) -> _Value:
        if not self.profile.moves_dates:
            return _REMOVED
        texts = element.value.decode("latin-1").split("\\")
        if vr == "TM":
            whole = all(is_time(text) or not text.strip(" \0") for text in texts)
            return _Value(element.value, "kept") if whole else self._unreadable(element, vr, place)
        move = shifted_date if vr == "DA" else shifted_date_time
        moved = [move(text, place.person.days) for text in texts]
        if not all(moved):
            return self._unreadable(element, vr, place)
        return _Value("\\".join(moved).encode(), "moved")

    def _unreadable(self, element: Element, vr: str, place: Place) -> _Value:
        """Return what stands for a value that cannot be read, as the attribute's type demands."""
        kind = attribute_type(element.tag, parent=place.parent, kind=place.kind)
        return {"1": self._dummy(element, vr), "2": _EMPTIED, "3": _REMOVED}[kind[0]]

    def _text(self, element: Element, vr: str, place: Place) -> _Value:
        text = decoded(element.value, place.character_set)
        parts = [text] if vr in _ONE_VALUE_VRS else text.split("\\")
        cleaned = [self.cleaner.cleaned(part) for part in parts]
        if cleaned == [part.strip(" \0") for part in parts]:
            return _Value(element.value, "kept")
        value = encoded_text("\\".join(cleaned) if any(cleaned) else "", place.character_set)
        if value:
            return _Value(value, "cleaned")
        kind = attribute_type(element.tag, parent=place.parent, kind=place.kind)
        return self._dummy(element, vr) if kind[0] == "1" else _EMPTIED

    def _code_string(self, element: Element, place: Place) -> _Value:
        if element.tag == CHARACTER_SET:
            return _Value(element.value, "kept")
        text = element.value.decode("latin-1").strip(" \0")
        if element.tag == _SEX and text not in ("M", "F", "O"):
            return _EMPTIED
        if not all(_CODE_STRING.match(part) for part in text.split("\\")):
            return self._unreadable(element, "CS", place)
        if any(self.cleaner.deny.names_word(word) and word not in vocabulary() for word in words_of(text)):
            return self._unreadable(element, "CS", place)
        return _Value(element.value, "kept")

    def _judged_sequence(self, element: Element, place: Place, action: Action) -> Judged:
        tag = element.tag
        try:
            inside = element.implicit_inside or (element.vr == "UN" and place.encoding.is_explicit)
            if inside and not place.encoding.is_little:
                return Judged(b"", ((tag, "removed"),))
            items = read_items(element._replace(implicit_inside=inside), place.encoding)
        except StudyUnreadable:
            return Judged(b"", ((tag, "removed"),))
        if action in (Action.EMPTY, Action.DUMMY):
            value = b"" if action is Action.EMPTY else encode_items([b""], place.encoding)
            return Judged(encode_element(tag, "SQ", value, place.encoding), ((tag, "emptied"),))
        actions: Counter[tuple[int, str]] = Counter({(tag, "cleaned inside"): 1})
        encoded = [self._judged_item(item, place._replace(parent=tag), actions) for item in items]
        value = encode_items([item for item in encoded if item is not None], place.encoding)
        return Judged(encode_element(tag, "SQ", value, place.encoding), tuple(actions.elements()))

    def _judged_item(
        self, item: tuple[Element, ...], place: Place, actions: Counter[tuple[int, str]]
    ) -> bytes | None:
        own_set = next((element.value for element in item if element.tag == CHARACTER_SET), None)
        if own_set is not None:
            place = place._replace(character_set=own_set)
        if codes.is_code_item(item) and not codes.is_harmless(item, place.character_set, self.cleaner):
            actions[place.parent, "code removed"] += 1
            return None
        if codes.is_code_item(item):
            return self._code_item(item, place, actions)
        kept, inner = self.judged_all(item, place)
        actions.update(inner)
        return b"".join(encoded for _, encoded in kept)

    def _code_item(self, item: tuple[Element, ...], place: Place, actions: Counter[tuple[int, str]]) -> bytes:
        """Return a code item whose value, scheme and meaning were found harmless; the rest is judged."""
        parts = []
        for element in item:
            if element.tag in codes.JUDGED_TAGS:
                vr = known_vr(element.tag)
                parts.append(encode_element(element.tag, vr, element.value, place.encoding))
                actions[element.tag, "kept"] += 1
                continue
            judged = self.judged(element, place)
            actions.update(judged.actions)
            parts.append(judged.encoded)
        return b"".join(parts)


def held() -> StudyUnreadable:
    """Return the error for a file that a person must look at."""
    return StudyUnreadable(
        "A file of the study holds a value that cannot be judged.",
        reason="HELD_FOR_REVIEW",
        mend="Ask the sender for the file again, or look at it inside the quarantine.",
    )
