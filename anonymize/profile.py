"""What happens to an attribute: the standard's table, a profile's options, the attribute's type."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from medviz.core.errors import BadInput

_PROFILES = Path(__file__).with_name("profiles")
_TABLE = Path(__file__).with_name("ps315.json")
SUPPORTED_OPTIONS = (
    "clean_pixel_data",
    "clean_recognizable_visual_features",
    "clean_descriptors",
    "retain_longitudinal_modified_dates",
    "retain_patient_characteristics",
)

# PS3.16 CID 7050; the order of the options in it.
CODES = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "clean_pixel_data": ("113101", "Clean Pixel Data Option"),
    "clean_recognizable_visual_features": ("113102", "Clean Recognizable Visual Features Option"),
    "clean_graphics": ("113103", "Clean Graphics Option"),
    "clean_structured_content": ("113104", "Clean Structured Content Option"),
    "clean_descriptors": ("113105", "Clean Descriptors Option"),
    "retain_longitudinal_full_dates": (
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    ),
    "retain_longitudinal_modified_dates": (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    "retain_patient_characteristics": ("113108", "Retain Patient Characteristics Option"),
    "retain_device_identity": ("113109", "Retain Device Identity Option"),
    "retain_uids": ("113110", "Retain UIDs Option"),
    "retain_safe_private": ("113111", "Retain Safe Private Option"),
    "retain_institution_identity": ("113112", "Retain Institution Identity Option"),
}


class Action(StrEnum):
    """What is done to an attribute; the letters are those of PS3.15 Table E.1-1a."""

    DUMMY = "D"
    EMPTY = "Z"
    REMOVE = "X"
    KEEP = "K"
    CLEAN = "C"
    NEW_UID = "U"
    JUDGE = "by VR"
    """Not a row of the table: text is cleaned, dates moved, UIDs replaced, opaque bytes removed."""
    KEEP_EXACTLY = "kept exactly"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of Table E.1-1: the attribute's name, its Basic action, and what options change it to."""

    name: str
    basic: str
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class Profile:
    """A de-identification profile.

    Parameters
    ----------
    name, title : str
        The file's name, and what a person reads.
    options : tuple of str
        Options of PS3.15 E.3 that it uses, in CID 7050 order.
    keep : frozenset of int
        Tags kept byte for byte.
    """

    name: str
    title: str
    options: tuple[str, ...]
    keep: frozenset[int]

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """CID 7050 code values and meanings that say what was done."""
        return tuple(CODES[name] for name in ("basic", *self.options))

    @property
    def moves_dates(self) -> bool:
        """Whether dates are shifted; otherwise they are removed."""
        return "retain_longitudinal_modified_dates" in self.options

    @property
    def cleans_pixels(self) -> bool:
        """Whether text burned into pictures is removed; otherwise such pictures are held."""
        return "clean_pixel_data" in self.options

    @property
    def cleans_faces(self) -> bool:
        """Whether faces are taken off; otherwise the files say that one may be recognised."""
        return "clean_recognizable_visual_features" in self.options


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """Return the content of ps315.json."""
    document: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return document


@lru_cache(maxsize=1)
def rows() -> dict[str, Row]:
    """Return the rows of Table E.1-1 by tag, such as ``00100010``, ``60xx3000`` or ``PRIVATE``."""
    return {
        tag: Row(row["name"], row["basic"], row.get("options", {})) for tag, row in table()["rows"].items()
    }


def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles, sorted."""
    return tuple(sorted(path.stem for path in _PROFILES.glob("*.toml")))


@lru_cache(maxsize=16)
def load_profile(name: str) -> Profile:
    """Return the profile in profiles/NAME.toml.

    Raises
    ------
    BadInput
        If there is none of that name (``PROFILE_UNKNOWN``), or it asks for something that is not known.
    """
    if name not in profile_names():
        raise BadInput(
            "There is no such de-identification profile.",
            reason="PROFILE_UNKNOWN",
            mend=f"Use one of: {', '.join(profile_names())}.",
        )
    document = tomllib.loads((_PROFILES / f"{name}.toml").read_text(encoding="utf-8"))
    options = tuple(option for option in CODES if option in document["options"])
    unknown = sorted(set(document["options"]) - set(SUPPORTED_OPTIONS))
    tags = [tag_for_keyword(keyword) for keyword in document["keep"]]
    if unknown or None in tags:
        raise BadInput(
            "The profile asks for an option or attribute that is not known.", reason="PROFILE_INVALID"
        )
    return Profile(name, document["title"], options, frozenset(tag for tag in tags if tag))


def object_name(sop_class: str) -> str:
    """Return the object of PS3.3 that a SOP class belongs to; empty when this engine does not judge it."""
    return str(table()["classes"].get(sop_class, ""))


_PICTURES = ("image", "us-volume", "segmentation", "parametric-map")


def needs_pixels(kind: str) -> bool:
    """Return whether an object is a picture and nothing without pixels; a dose may be curves only."""
    return kind != "surface-segmentation" and any(word in kind for word in _PICTURES)


def holds_document(kind: str) -> bool:
    """Return whether an object carries a file of another format, such as PDF (PS3.3 C.24.2)."""
    return kind.startswith("encapsulated-")


def holds_structured_content(kind: str) -> bool:
    """Return whether an object is a document made of coded content items (PS3.3 C.17)."""
    return "0040A730" in _types_of(kind)


def row_of(tag: int) -> Row | None:
    """Return the table's row for a tag, with its repeating groups and private attributes."""
    group = tag >> 16
    if group & 1:
        return rows()["PRIVATE"]
    if 0x5000 <= group <= 0x50FF:
        return rows()["50xxxxxx"]
    if 0x6000 <= group <= 0x60FF:
        return rows()["60xx4000" if tag & 0xFFFF == 0x4000 else "60xx3000"]
    return rows().get(f"{tag:08X}")


def attribute_type(tag: int, *, parent: int, kind: str) -> str:
    """Return 1, 1C, 2, 2C or 3: the type of an attribute in an object of PS3.3.

    Parameters
    ----------
    parent : int
        Tag of the sequence it stands in; 0 at the top level.
    kind : str
        Name of the object, such as ``ct-image``.
    """
    types = table()["nested"].get(f"{parent:08X}", {}) if parent else _types_of(kind)
    return str(types.get(f"{tag:08X}", "3"))


@lru_cache(maxsize=256)
def _types_of(kind: str) -> dict[str, str]:
    """Return the types other than 3 of an object's top-level attributes, the strictest of its modules."""
    found: dict[str, str] = {}
    for module in table()["modules"].get(kind, ()):
        for tag, given in table()["types"][module].items():
            found[tag] = min(found.get(tag, given), given)
    return found


@lru_cache(maxsize=65536)
def action_of(tag: int, profile: Profile, *, parent: int = 0, kind: str = "") -> Action:
    """Return what the profile does to an attribute at a place in an object.

    An option that cleans wins over one that keeps. A compound action (X/Z/D) is settled by the attribute's
    type: 3 removed, 2 emptied, 1 given a dummy (PS3.15 E.3, Table E.1-1a).
    """
    if tag in profile.keep:
        return Action.KEEP_EXACTLY
    row = row_of(tag)
    if row is None:
        return Action.JUDGE
    chosen = {row.options[option] for option in profile.options if option in row.options}
    if row.name == "Private Attributes" or 0x5000 <= tag >> 16 <= 0x60FF:
        return Action.REMOVE
    if chosen:
        return Action.CLEAN if "C" in chosen else Action.KEEP
    return _settled(row.basic, attribute_type(tag, parent=parent, kind=kind))


def _settled(basic: str, kind: str) -> Action:
    """Return one action for a compound one."""
    choices = basic.rstrip("*").split("/")
    if "U" in choices:
        return Action.NEW_UID
    wanted = {"3": "X", "2": "Z", "1": "D"}[kind[0]]
    if choices == ["Z"] and wanted == "D":
        return Action.DUMMY  # PS3.15 Table E.1-1a: Z is "zero length or dummy"
    if wanted in choices:
        return Action(wanted)
    return Action(choices[0] if wanted == "X" else choices[-1])


def explain(tag: int | str, profile: Profile) -> str:
    """Return in one or two sentences what happens to an attribute, and by which row.

    Parameters
    ----------
    tag : int or str
        Such as ``0x00100010``, ``(0010,0010)``, ``00100010`` or ``PatientName``.

    Raises
    ------
    BadInput
        If it names no attribute (``TAG_UNKNOWN``).
    """
    number = _tag_number(tag)
    row, action = row_of(number), action_of(number, profile, kind="ct-image")
    name = keyword_for_tag(number) or ("Private attribute" if number >> 16 & 1 else "Unknown attribute")
    what = f"({number >> 16:04X},{number & 0xFFFF:04X}) {name}: {_WORDS[action]}"
    if row is None:
        return f"{what} It is not a row of PS3.15 Table E.1-1."
    used = [f"{option}={row.options[option]}" for option in profile.options if option in row.options]
    return (
        f"{what} Row '{row.name}' of PS3.15 Table E.1-1: Basic {row.basic}{''.join(f', {u}' for u in used)}."
    )


_WORDS = {
    Action.DUMMY: "replaced by a dummy value.",
    Action.EMPTY: "emptied (the patient's name and ID get a pseudonym).",
    Action.REMOVE: "removed.",
    Action.KEEP: "kept; sequences are cleaned inside, ages above 89 years become 090Y.",
    Action.CLEAN: "cleaned: dates moved, words that may identify dropped.",
    Action.NEW_UID: "replaced by a new UID, the same wherever the old one stands.",
    Action.JUDGE: "judged by VR: numbers stay, text is cleaned, dates moved or removed, other bytes removed.",
    Action.KEEP_EXACTLY: "kept exactly, as the profile asks.",
}


def _tag_number(tag: int | str) -> int:
    if isinstance(tag, int):
        return tag
    plain = tag.strip("() ").replace(",", "").replace(" ", "").removeprefix("0x")
    number = tag_for_keyword(tag)
    try:
        return int(number) if number is not None else int(plain, 16)
    except ValueError:
        raise BadInput(
            "That is neither a tag nor a keyword of DICOM.",
            reason="TAG_UNKNOWN",
            mend="Write it like (0010,0010) or PatientName.",
        ) from None
