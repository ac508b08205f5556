"""Each element of a header: taken, judged by the profile, and encoded again, at any depth.

Nothing reaches the output that was not judged here. What cannot be judged is removed; where that would move
the anatomy, the whole file is held.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VM

from anonymize import codes, content
from anonymize.charsets import decoded, encoded_text, is_decodable
from anonymize.code_strings import is_term
from anonymize.dates import (
    DatePolicy,
    capped_age,
    is_time,
    shifted_date,
    shifted_date_time,
    year_only,
    year_only_time,
)
from anonymize.denylist import words_of
from anonymize.elements import Element, Encoding, encode_element, encode_items, known_vr, read_items
from anonymize.keys import ProjectKeys
from anonymize.private import SafeElement, safe_elements
from anonymize.profile import (
    Action,
    Profile,
    action_of,
    attribute_type,
    holds_document,
    modality_of,
    row_of,
    types_inside,
)
from anonymize.text import TextCleaner, vocabulary
from anonymize.uids import is_well_known, new_uid
from medviz.core.errors import StudyUnreadable

CHARACTER_SET = 0x00080005
PATIENT_NAME, PATIENT_ID = 0x00100010, 0x00100020
_SEX, _TIME_ZONE, _DOCUMENT = 0x00100040, 0x00080201, 0x00420011

_TEXT_VRS = frozenset(["LO", "SH", "LT", "ST", "UT", "UC"])
_CODED_VRS = _TEXT_VRS | {"PN"}
_ONE_VALUE_VRS = frozenset(["LT", "ST", "UT"])
_NUMBER_VRS = frozenset(["US", "SS", "UL", "SL", "FL", "FD", "AT", "SV", "UV", "OV", "US or SS"])
_NUMERIC_VRS = _NUMBER_VRS | {"IS", "DS"}
_OPAQUE_VRS = frozenset(["OB", "OW", "OF", "OD", "OL", "UN", "OB or OW", "US or OW", "US or SS or OW"])
_NUMBER = re.compile(r"^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)?$")
_LONGEST_NUMBER = 32
_UID = re.compile(r"^[0-9.]{1,64}$")
_ZONE = re.compile(rb"^[+-]\d{4}[ \0]?$")

# Bytes that pictures, surfaces and registrations need: palettes, look-up tables, points, vectors.
_NEEDED_BYTES = frozenset(
    [
        *range(0x00281101, 0x00281105),
        *range(0x00281201, 0x00281205),
        *range(0x00281221, 0x00281224),
        *(0x00283002, 0x00283006),
        *(0x00660016, 0x00660023, 0x00660024, 0x00660025, 0x00660026, 0x00660027, 0x00660028, 0x00660029),
        *(0x00660040, 0x00660041, 0x00660042, 0x00660043, 0x00640009),
    ]
)
# Text that is a term of the standard, not prose; anything else there is cleaned (PS3.3 C.11.1, C.7.6.16.2.9).
_TERMS = {
    0x00420012: frozenset(
        [
            "application/pdf",
            "application/sla",
            "model/stl",
            "model/obj",
            "model/mtl",
            "text/xml",
            "text/plain",
        ]
    ),
    0x00281054: frozenset(["HU", "US", "OD", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT", "NORMALIZED"]),
}
# Names that tell the items of a sequence apart, by what they are called when nothing may stay of them.
_LABELS = {
    0x30060026: "ROI",  # ROI Name
    0x30060085: "ROI",  # ROI Observation Label
    0x00620005: "Segment",  # Segment Label
    0x300A00C2: "Beam",  # Beam Name
    0x00700310: "Fiducial",  # Fiducial Identifier
}
_LABEL_NUMBERS = frozenset([0x30060022, 0x30060084, 0x00620004, 0x300A00C0])
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
_NUMBER_BYTES = {"US": 2, "SS": 2, "US or SS": 2, "FD": 8, "SV": 8, "UV": 8, "OV": 8}
_SHORTEST_NAME, _LONGEST_CHANCE = 2, 8
_GRAPHIC_LAYER = 0x00700002
_MODALITY = 0x00080060
_RENAMED = {_MODALITY: "OT", _GRAPHIC_LAYER: "LAYER", 0x00700080: "LABEL"}
"""Code strings that an object needs and a house may invent: modality, layer of graphics, content label."""
_TEXT_DUMMY = b"REMOVED"
_DEEPEST_DUMMY = 4
_FIRST_GROUP = 0x0008
_LONGEST_REMEMBERED, _MOST_REMEMBERED = 4096, 100_000


class Person(NamedTuple):
    """What a patient becomes: a pseudonym for name and ID, and how many days the dates move."""

    name: str
    identifier: str
    days: int


class Place(NamedTuple):
    """Where an element stands: in which object, below which sequence (0 at the top), how encoded, of whom.

    `number` tells an item with a label from its neighbours; `has_links` says that the items of a tree are
    counted by others, so that none may vanish.
    """

    kind: str
    parent: int
    encoding: Encoding
    character_set: bytes
    person: Person
    number: str = ""
    has_links: bool = False


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
        for element in self._graphics_cleared(elements, place):
            judged = self.judged(element, place)
            actions.update(judged.actions)
            if judged.encoded:
                kept.append((element.tag, judged.encoded))
        if self.profile.uses("retain_safe_private"):
            kept += self._safe_private(elements, place, actions)
            kept.sort(key=lambda pair: pair[0])
        return kept, actions

    def _graphics_cleared(self, elements: Iterable[Element], place: Place) -> Iterable[Element]:
        """Return the elements without overlays whose bitmap nobody has judged."""
        if not self.profile.uses("clean_graphics"):
            return elements
        elements = tuple(elements)
        groups = {element.tag >> 16 for element in elements if 0x6000 <= element.tag >> 16 <= 0x60FF}
        cleared = {element.tag >> 16 for element in elements if element.is_cleared}
        lost = groups if place.parent else groups - cleared
        return [element for element in elements if element.tag >> 16 not in lost] if lost else elements

    def _safe_private(
        self, elements: Iterable[Element], place: Place, actions: Counter[tuple[int, str]]
    ) -> list[tuple[int, bytes]]:
        """Return what may leave of the private elements known to be safe; creators of nothing stay behind."""
        found = [(safe, self._judged_private(safe, place)) for safe in safe_elements(elements)]
        used = {safe.element.tag >> 8 for safe, judged in found if judged.encoded and not safe.is_creator}
        kept = []
        for safe, judged in found:
            tag = safe.element.tag
            if judged.encoded and (not safe.is_creator or (tag >> 16 << 8 | tag & 0xFF) in used):
                actions.update(judged.actions)
                kept.append((tag, judged.encoded))
        return kept

    def _judged_private(self, safe: SafeElement, place: Place) -> Judged:
        element, tag = safe.element, safe.element.tag
        if safe.is_creator:
            return Judged(encode_element(tag, "LO", element.value, place.encoding), ((tag, "kept"),))
        vr = element.vr if element.vr not in _OPAQUE_VRS else safe.vr
        if vr in ("IS", "DS") and self.cleaner.deny.matches(element.value.decode("latin-1")):
            return Judged(b"", ((tag, "removed"),))
        return self._judge_as(element, vr, place, Action.JUDGE)

    def _judge(self, element: Element, place: Place) -> Judged:
        tag, dictionary = element.tag, known_vr(element.tag)
        action = action_of(tag, self.profile, parent=place.parent, kind=place.kind)
        if not dictionary or tag & 0xFFFF == 0 or tag >> 16 < _FIRST_GROUP:
            return Judged(b"", ((tag, "removed"),))
        if tag == _DOCUMENT and not element.is_cleared and holds_document(place.kind):
            raise held()
        vr = element.vr if element.vr in dictionary.split(" or ") else dictionary
        return self._judge_as(element, vr, place, action)

    def _judge_as(self, element: Element, vr: str, place: Place, action: Action) -> Judged:
        """Return an element judged as one of a VR, which need not be the one it was sent with."""
        tag = element.tag
        if vr in _CODED_VRS:
            check_readable(element.value, place.character_set)
        if action is Action.REMOVE:
            return Judged(b"", ((tag, "removed"),))
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
        if not element.value.strip(b" \0"):
            return _Value(b"", "kept") if vr not in _NUMBER_VRS else self._by_vr(element, vr, place)
        if action is Action.KEEP:
            return self._kept(element, vr, place)
        if action is Action.NEW_UID and vr == "UI":
            return self._uids(element.value)
        return self._by_vr(element, vr, place)

    def _dummy(self, element: Element, vr: str) -> _Value:
        if vr == "UI":
            return self._uids(element.value or b"removed")
        if vr in _NUMBER_VRS:
            return _Value(bytes(len(element.value) or _NUMBER_BYTES.get(vr, 4)), "dummy")
        if element.tag == _TIME_ZONE:
            return _Value(b"+0000", "dummy")
        return _Value(_DUMMIES.get(vr, _TEXT_DUMMY), "dummy")

    def _by_vr(self, element: Element, vr: str, place: Place) -> _Value:
        if vr == "UI":
            return self._uids(element.value, may_stay=self.profile.uses("retain_uids"))
        if vr in ("DA", "DT", "TM"):
            return self._time(element, vr, place)
        if vr in _TEXT_VRS or vr == "AE":
            return self._text(element, vr, place)
        if vr in _NUMERIC_VRS:
            is_number = _is_numbers(element.value) if vr in ("IS", "DS") else self._is_binary(element, vr)
            return _Value(element.value, "kept") if is_number else self._unreadable(element, vr, place)
        if vr == "CS":
            return self._code_string(element, place)
        if vr == "AS":
            ages = [capped_age(age) for age in element.value.decode("latin-1").split("\\")]
            whole = all(ages)
            return _Value("\\".join(ages).encode(), "kept") if whole else self._unreadable(element, vr, place)
        if vr in _OPAQUE_VRS and element.tag in _NEEDED_BYTES:
            return _Value(element.value, "kept")
        return self._unreadable(element, vr, place)

    def _kept(self, element: Element, vr: str, place: Place) -> _Value:
        """Return a value that an option retains; whatever names the patient goes all the same."""
        if vr in ("DA", "DT", "TM"):
            return self._time(element, vr, place, policy=DatePolicy.KEPT)
        if vr == "UI":
            return self._uids(element.value, may_stay=True)
        if vr not in _TEXT_VRS or not _names_things(element.tag):
            return self._by_vr(element, vr, place)
        names = self.cleaner.deny.names
        words = words_of(decoded(element.value, place.character_set))
        if any(word in names and word not in vocabulary() for word in words):
            return self._text(element, vr, place)
        return _Value(element.value, "kept")

    def _kept_exactly(self, element: Element, vr: str, place: Place) -> _Value:
        if vr == "CS":
            return self._code_string(element, place)
        if vr in ("IS", "DS"):
            if not _is_numbers(element.value):
                raise held()
        elif vr in _TEXT_VRS:
            words = words_of(decoded(element.value, place.character_set))
            if any(self.cleaner.deny.names_word(word) and word not in vocabulary() for word in words):
                raise held()
        return _Value(element.value, "kept")

    def _uids(self, value: bytes, *, may_stay: bool = False) -> _Value:
        """Return new UIDs; the standard's own stay, and all that are UIDs where an option retains them."""
        texts = [part.strip(" \0") for part in value.decode("utf-8", "surrogateescape").split("\\")]
        mapped = [
            text
            if not text or is_well_known(text) or (may_stay and _UID.match(text))
            else new_uid(self.keys, text)
            for text in texts
        ]
        return _Value("\\".join(mapped).encode(), "kept" if mapped == texts else "new UID")

    def _time(self, element: Element, vr: str, place: Place, *, policy: DatePolicy | None = None) -> _Value:
        policy = policy or self.profile.dates
        texts = [text.strip(" \0") for text in element.value.decode("latin-1").split("\\")]
        after = [_after(text, vr, policy, place.person.days) if text else "" for text in texts]
        if [bool(text) for text in after] != [bool(text) for text in texts]:
            return self._unreadable(element, vr, place)
        if after == texts:
            return _Value(element.value, "kept")
        return _Value("\\".join(after).encode(), policy.value)

    def _unreadable(self, element: Element, vr: str, place: Place) -> _Value:
        """Return what stands for a value that may not stay, as the attribute's type demands.

        Raises
        ------
        StudyUnreadable
            If it is a number that the object needs (``HELD_FOR_REVIEW``): a dummy would be a wrong number.
        """
        kind = attribute_type(element.tag, parent=place.parent, kind=place.kind)
        if vr in _NUMERIC_VRS and kind == "1":
            raise held()
        if vr in _NUMERIC_VRS and kind == "1C":
            return _REMOVED
        return {"1": self._dummy(element, vr), "2": _EMPTIED, "3": _REMOVED}[kind[0]]

    def _text(self, element: Element, vr: str, place: Place) -> _Value:
        if element.tag == _TIME_ZONE and _ZONE.match(element.value):
            return _Value(element.value, "kept")
        text = decoded(element.value, place.character_set)
        if text in _TERMS.get(element.tag, ()):
            return _Value(element.value, "kept")
        if "\0" in text:
            return self._unreadable(
                element, vr, place
            )  # two-byte characters, or something hidden behind a text
        if element.tag in _LABELS and self._is_clean_label(element.tag, text, place):
            return _Value(element.value, "kept")
        parts = [text] if vr in _ONE_VALUE_VRS else text.split("\\")
        cleaned = [self.cleaner.cleaned(part) for part in parts]
        if cleaned == [part.strip(" \0") for part in parts]:
            return _Value(element.value, "kept")
        value = encoded_text("\\".join(cleaned) if any(cleaned) else "", place.character_set)
        if element.tag in _LABELS:
            return self._label(element, value, place)
        if value:
            return _Value(value, "cleaned")
        kind = attribute_type(element.tag, parent=place.parent, kind=place.kind)
        return self._dummy(element, vr) if kind[0] == "1" else _EMPTIED

    def _is_clean_label(self, tag: int, text: str, place: Place) -> bool:
        """Return whether a label is harmless and ends with its item's number, as `_label` leaves it."""
        stem = text.removesuffix(f" {place.number}")
        return stem != text and stem in (_LABELS[tag], self.cleaner.cleaned(stem))

    def _label(self, element: Element, value: bytes, place: Place) -> _Value:
        """Return a cleaned label with its item's number, so that labels stay different from each other."""
        number = place.number.encode()
        if value:
            return _Value(value if value.endswith(b" " + number) else value + b" " + number, "cleaned")
        return _Value(_LABELS[element.tag].encode() + b" " + number, "dummy")

    def _code_string(self, element: Element, place: Place) -> _Value:
        """Return a code string of terms as it is; a part that is none becomes a dummy, or the whole goes."""
        if element.tag == CHARACTER_SET:
            return _Value(element.value, "kept")
        parts = [part.strip(" \0") for part in element.value.decode("latin-1").split("\\")]
        after = [
            part if self._is_harmless_term(part) else self._term_instead(element.tag, part, place.kind)
            for part in parts
        ]
        if element.tag == _SEX and after[0] not in ("M", "F", "O"):
            return _EMPTIED
        if after == parts:
            return _Value(element.value, "kept")
        if len(parts) > 1 or element.tag in _RENAMED:
            return _Value("\\".join(after).encode(), "cleaned")
        if (
            element.tag >> 16 == 0x0028
            and attribute_type(element.tag, parent=place.parent, kind=place.kind) == "1"
        ):
            raise held()
        return self._unreadable(element, "CS", place)

    def _is_harmless_term(self, part: str) -> bool:
        """Return whether a part of a code string is a term; one on the deny-list must be radiology's too."""
        named = (word for word in words_of(part) if self.cleaner.deny.names_word(word))
        return is_term(part) and all(word in vocabulary() for word in named)

    def _term_instead(self, tag: int, part: str, kind: str) -> str:
        """Return what stands for a code string that is no term; layers stay different from each other."""
        if tag == _MODALITY:
            return modality_of(kind)
        if tag != _GRAPHIC_LAYER:
            return _RENAMED.get(tag, "REMOVED")
        digest = self.keys.digest("layer", part.encode("latin-1")).hex()
        return f"LAYER {int(digest[:8], 16) % 10**6:06d}"

    def _is_binary(self, element: Element, vr: str) -> bool:
        """Return whether the bytes of a binary value can be numbers of its VR, and are no word."""
        value, size = element.value, _NUMBER_BYTES.get(vr, 4)
        count, rest = divmod(len(value), size)
        if rest or count > most_values(element.tag):
            return False
        if vr == "AT":
            return all(known_vr(tag) for tag in _tags_in(value))
        letters = value.strip(b" \0")
        if not letters.isalpha() or len(letters) < _SHORTEST_NAME:
            return True
        word = letters.decode("ascii").casefold()
        return len(letters) < _LONGEST_CHANCE and not self.cleaner.deny.names_word(word)

    def _judged_sequence(self, element: Element, place: Place, action: Action) -> Judged:
        tag = element.tag
        if action is Action.EMPTY:
            return Judged(encode_element(tag, "SQ", b"", place.encoding), ((tag, "emptied"),))
        items = _items_or_none(element, place.encoding)
        if action is Action.DUMMY:
            value = encode_items([self._dummy_item(tag, place, items or ())], place.encoding)
            return Judged(encode_element(tag, "SQ", value, place.encoding), ((tag, "dummy"),))
        if items is None:
            return Judged(b"", ((tag, "removed"),))
        actions: Counter[tuple[int, str]] = Counter({(tag, "cleaned inside"): 1})
        kind = attribute_type(tag, parent=place.parent, kind=place.kind)
        links = place.has_links or (tag == content.CONTENT and content.has_links(element))
        inside = place._replace(parent=tag, number="", has_links=links)
        encoded = [
            self._judged_item(item, inside, actions, position=position, is_needed=kind[0] == "1")
            for position, item in enumerate(items, 1)
        ]
        kept = [item for item in encoded if item is not None]
        if items and not kept and kind in ("1", "1C", "3"):
            return self._without_items(tag, place, kind)
        value = encode_items(kept, place.encoding)
        return Judged(encode_element(tag, "SQ", value, place.encoding), tuple(actions.elements()))

    def _without_items(self, tag: int, place: Place, kind: str) -> Judged:
        """Return what stands for a sequence that lost all its items."""
        if kind != "1":
            return Judged(b"", ((tag, "removed"),))
        value = encode_items([self._dummy_item(tag, place, ())], place.encoding)
        return Judged(encode_element(tag, "SQ", value, place.encoding), ((tag, "dummy"),))

    def _judged_item(
        self,
        item: tuple[Element, ...],
        place: Place,
        actions: Counter[tuple[int, str]],
        *,
        position: int,
        is_needed: bool,
    ) -> bytes | None:
        """Return an item as it may leave, or None; one that is needed leaves at least as a stand-in."""
        own_set = next((element.value for element in item if element.tag == CHARACTER_SET), None)
        if own_set is not None:
            check_character_set(own_set)
            place = place._replace(character_set=own_set)
        if any(element.tag in _LABELS for element in item):
            place = place._replace(number=_number_in(item) or str(position))
        if codes.is_code_item(item):
            return self._code_item(item, place, actions, is_needed=is_needed)
        if content.is_content_item(item):
            return self._content_item(item, place, actions)
        kept, inner = self.judged_all(item, place)
        actions.update(inner)
        return b"".join(encoded for _, encoded in kept)

    def _code_item(
        self,
        item: tuple[Element, ...],
        place: Place,
        actions: Counter[tuple[int, str]],
        *,
        is_needed: bool,
    ) -> bytes | None:
        """Return a code item whose value, scheme and meaning are harmless, or a stand-in for it."""
        if not codes.is_harmless(item, place.character_set, self.cleaner, self.keys):
            actions[place.parent, "code removed"] += 1
            if not is_needed:
                return None
            return self._code(codes.stand_in(item, place.character_set, self.cleaner, self.keys), place)
        parts = []
        for element in item:
            if element.tag in codes.JUDGED_TAGS or codes.is_version_of_standard(element):
                vr = known_vr(element.tag)
                parts.append(encode_element(element.tag, vr, element.value, place.encoding))
                actions[element.tag, "kept"] += 1
                continue
            judged = self.judged(element, place)
            actions.update(judged.actions)
            parts.append(judged.encoded)
        return b"".join(parts)

    def _code(self, parts: dict[int, str], place: Place) -> bytes:
        return b"".join(
            encode_element(tag, known_vr(tag), encoded_text(text, place.character_set), place.encoding)
            for tag, text in parts.items()
        )

    def _content_item(
        self, item: tuple[Element, ...], place: Place, actions: Counter[tuple[int, str]]
    ) -> bytes | None:
        """Return an item of structured content by its concept name and value type (PS3.15 E.3.4)."""
        action = content.action_of_item(item, self.profile, place.encoding, place.character_set)
        if action is Action.REMOVE:
            actions[place.parent, "content item removed"] += 1
            return self._inert_content(item, place) if place.has_links else None
        parts: list[bytes] = []
        for element in item:
            if element.tag in content.VALUES:
                judged = self._content_value(element, place, action)
            else:
                judged = self.judged(element, place)
            actions.update(judged.actions)
            parts.append(judged.encoded)
        return b"".join(parts)

    def _content_value(self, element: Element, place: Place, action: Action) -> Judged:
        """Return the value of a content item; a value that may not stay becomes a dummy of its kind."""
        tag, vr = element.tag, known_vr(element.tag)
        if vr == "SQ" and action is Action.DUMMY:
            instead = Action.EMPTY if tag == content.MEASURED else Action.DUMMY
            return self._judge_as(element, vr, place, instead)
        has_own_row = tag not in (content.TEXT, content.PERSON)
        if vr == "SQ" or (has_own_row and action not in (Action.DUMMY, Action.KEEP)):
            return self.judged(element, place)
        judged = self._judge_as(element, vr, place, action)
        if judged.encoded and element.value and not _is_empty(judged, vr):
            return judged
        return self._judge_as(element, vr, place, Action.DUMMY)

    def _inert_content(self, item: tuple[Element, ...], place: Place) -> bytes:
        relationship = content.text_in(item, content.RELATIONSHIP, place.character_set).encode()
        is_plain = is_term(relationship.decode("latin-1"))
        code = self._code(dict(codes.UNKNOWN), place)
        return content.dummy_text_item(code, relationship if is_plain else b"CONTAINS", place.encoding)

    def _dummy_item(
        self, tag: int, place: Place, items: Sequence[tuple[Element, ...]], depth: int = 0
    ) -> bytes:
        """Return an item of a sequence with nothing in it but what its type demands."""
        types = types_inside(tag)
        if f"{codes.MEANING:08X}" in types:
            return self._code(dict(codes.UNKNOWN), place)
        if tag == content.CONTENT:
            return content.dummy_text_item(
                self._code(dict(codes.UNKNOWN), place), b"CONTAINS", place.encoding
            )
        if tag == content.GRAPHICS:
            layer = content.graphic_layer(items[0]) if items else b""
            plain = self._code_string(Element(0x00700002, "CS", layer), place).value
            return content.dummy_graphic_item(plain or b"REMOVED", place.encoding)
        parts = []
        for key, kind in sorted(types.items()):
            inner, vr = int(key, 16), known_vr(int(key, 16)).split(" or ")[0]
            if kind == "2":
                parts.append(encode_element(inner, vr, b"", place.encoding))
            elif kind == "1" and vr == "SQ" and depth < _DEEPEST_DUMMY:
                value = encode_items([self._dummy_item(inner, place, (), depth + 1)], place.encoding)
                parts.append(encode_element(inner, vr, value, place.encoding))
            elif kind == "1" and vr != "SQ":
                value = self._dummy(Element(inner, vr, b""), vr).value or b""
                parts.append(encode_element(inner, vr, value, place.encoding))
        return b"".join(parts)


@lru_cache(maxsize=1024)
def _names_things(tag: int) -> bool:
    """Return whether a retained text is the name of a device or a house, which no vocabulary can hold."""
    row = row_of(tag)
    return row is not None and bool(
        {"retain_device_identity", "retain_institution_identity"} & set(row.options)
    )


def _after(text: str, vr: str, policy: DatePolicy, days: int) -> str:
    """Return a date or time as the policy lets it leave; empty when it may not, or is none."""
    if policy is DatePolicy.REMOVED:
        return ""
    if vr == "TM":
        return text if policy is not DatePolicy.YEARS and is_time(text) else ""
    if policy is DatePolicy.YEARS:
        return year_only(text) if vr == "DA" else year_only_time(text)
    move = shifted_date if vr == "DA" else shifted_date_time
    if policy is DatePolicy.KEPT:
        return text if move(text, 0) else ""
    return move(text, days)


def _items_or_none(element: Element, encoding: Encoding) -> tuple[tuple[Element, ...], ...] | None:
    """Return the items of a sequence, or None when they cannot be followed."""
    inside = element.implicit_inside or (element.vr == "UN" and encoding.is_explicit)
    if inside and not encoding.is_little:
        return None
    try:
        return read_items(element._replace(implicit_inside=inside), encoding)
    except StudyUnreadable:
        return None


def _is_numbers(value: bytes) -> bool:
    """Return whether an IS or DS value holds numbers only; whole numbers with a point are common in IS."""
    texts = [text.strip(" \0") for text in value.decode("latin-1").split("\\")]
    return all(len(text) <= _LONGEST_NUMBER and bool(_NUMBER.match(text)) for text in texts)


def _tags_in(value: bytes) -> Iterable[int]:
    """Give the tags of an AT value in both byte orders' favour: the one in which more of them are known."""
    for order in ("<", ">"):
        pairs = struct.iter_unpack(order + "HH", value)
        tags = [group << 16 | number for group, number in pairs]
        if all(known_vr(tag) for tag in tags):
            return tags
    return tags


@lru_cache(maxsize=4096)
def most_values(tag: int) -> float:
    """Return how many values an attribute may have at most (PS3.6); private ones any number."""
    if tag >> 16 & 1 or not known_vr(tag):
        return math.inf
    most = str(dictionary_VM(tag)).rpartition("-")[2]
    return int(most) if most.isdigit() else math.inf


def _number_in(item: tuple[Element, ...]) -> str:
    """Return the number by which an item is told apart in its object; empty when it has none."""
    numbered = next((element for element in item if element.tag in _LABEL_NUMBERS), None)
    if numbered is None:
        return ""
    if known_vr(numbered.tag) == "US":
        return str(int.from_bytes(numbered.value, "little"))
    text = numbered.value.decode("latin-1").strip(" \0")
    return text if text.isdigit() and len(text) < 10 else ""


def _is_empty(judged: Judged, vr: str) -> bool:
    """Return whether an element was encoded without a value."""
    return all(word == "emptied" for _, word in judged.actions) and vr != "SQ"


def check_character_set(character_set: bytes) -> None:
    """Hold a file whose Specific Character Set names a term that is none of PS3.3 C.12.1.1.2.

    Raises
    ------
    StudyUnreadable
        ``WRONG_CHARACTER_SET``.
    """
    terms = [term.strip() for term in character_set.decode("latin-1").strip(" \0").split("\\")]
    if not all(term in python_encoding for term in terms):
        raise wrong_character_set()


def check_readable(value: bytes, character_set: bytes) -> None:
    """Hold a file with a text that cannot be decoded under the character set that it declares.

    Raises
    ------
    StudyUnreadable
        ``WRONG_CHARACTER_SET``.
    """
    if not value.isascii() and character_set.strip(b" \0") and not is_decodable(value, character_set):
        raise wrong_character_set()


def wrong_character_set() -> StudyUnreadable:
    """Return the error for a file whose texts cannot be read as it says."""
    return StudyUnreadable(
        "A file of the study names a character set that its texts are not written in.",
        reason="WRONG_CHARACTER_SET",
        mend="Ask the sender to correct the Specific Character Set, or to send the file again.",
    )


def held() -> StudyUnreadable:
    """Return the error for a file that a person must look at."""
    return StudyUnreadable(
        "A file of the study holds a value that cannot be judged.",
        reason="HELD_FOR_REVIEW",
        mend="Ask the sender for the file again, or look at it inside the quarantine.",
    )
