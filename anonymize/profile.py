"""What happens to an attribute: the standard's table, a profile's options, the attribute's type."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag, tag_for_keyword

from anonymize.dates import DatePolicy
from anonymize.policy import TextPolicy
from medviz.core.errors import BadInput

_PROFILES = Path(__file__).with_name("profiles")
_TABLE = Path(__file__).with_name("ps315.json")
# What cannot be true of the changed object any more: signatures, encrypted copies, offsets of frames, and the
# description of private elements, which are renumbered.
_NEVER = frozenset(
    [
        *(0x00080300, 0x04000402, 0x04000403, 0x04000404, 0x04000500, 0x04000510, 0x04000520),
        *(0x4FFE0001, 0x7FE00003),
    ]
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


SUPPORTED_OPTIONS = tuple(name for name in CODES if name != "basic")


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
    text : TextPolicy
        What free text may keep.
    removes_ears : bool
        Whether the ears go with the face.
    only_years : bool
        Whether dates are cut to their year instead of being shifted.
    """

    name: str
    title: str
    options: tuple[str, ...]
    keep: frozenset[int]
    text: TextPolicy = field(default_factory=TextPolicy)
    removes_ears: bool = False
    only_years: bool = False

    def uses(self, option: str) -> bool:
        """Return whether an option of PS3.15 E.3 is used, such as ``retain_uids``."""
        return option in self.options

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """CID 7050 code values and meanings that say what was done."""
        return tuple(CODES[name] for name in ("basic", *self.options))

    @property
    def dates(self) -> DatePolicy:
        """What becomes of dates."""
        if "retain_longitudinal_full_dates" in self.options:
            return DatePolicy.KEPT
        if "retain_longitudinal_modified_dates" not in self.options:
            return DatePolicy.REMOVED
        return DatePolicy.YEARS if self.only_years else DatePolicy.MOVED

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


def load_profile(name: str) -> Profile:
    """Return the profile in profiles/NAME.toml, or in the file that `name` is the path of.

    Raises
    ------
    BadInput
        If there is none of that name (``PROFILE_UNKNOWN``), or the file asks for something that is not known
        or that contradicts itself (``PROFILE_INVALID``, with the key and its line).
    """
    if name in profile_names():
        return _own_profile(name)
    path = Path(name)
    if path.suffix != ".toml" or not path.is_file():
        raise BadInput(
            "There is no such de-identification profile.",
            reason="PROFILE_UNKNOWN",
            mend=f"Use one of: {', '.join(profile_names())}; or the path of a .toml file.",
        )
    return _read_profile(path)


@lru_cache(maxsize=16)
def _own_profile(name: str) -> Profile:
    return _read_profile(_PROFILES / f"{name}.toml")


def _read_profile(path: Path) -> Profile:
    """Return the profile of a TOML file, checked key by key."""
    source = path.read_text(encoding="utf-8", errors="replace")
    try:
        document = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(f"{error}", source, "") from None
    for section, keys in _SECTIONS.items():
        _check_section(document if not section else document.get(section, {}), section, keys, source)
    if not _NAME.match(path.stem):
        raise _invalid("its file name may hold letters, digits, - and _ only", source, "")
    options = _options(document.get("options", []), source)
    only_years = document.get("dates", {}).get("only_years", False)
    if only_years and "retain_longitudinal_modified_dates" not in options:
        raise _invalid("only_years needs the option retain_longitudinal_modified_dates", source, "only_years")
    return Profile(
        path.stem,
        document.get("title", path.stem),
        options,
        frozenset(_kept_tag(keyword, source) for keyword in document.get("keep", [])),
        TextPolicy(**document.get("text", {})),
        document.get("faces", {}).get("ears", False),
        only_years,
    )


def _check_section(found: object, section: str, keys: Mapping[str, type], source: str) -> None:
    """Refuse a section that is no table, a key that it does not have, and a value of another kind."""
    if not isinstance(found, dict):
        raise _invalid(f"{section} must be a table, [{section}]", source, section)
    for key, value in found.items():
        if key not in keys:
            raise _invalid(f"{key} is no key of {section or 'a profile'}", source, key)
        if not isinstance(value, keys[key]):
            raise _invalid(f"{key} must be a {_KINDS[keys[key]]}", source, key)
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise _invalid(f"{key} must be a list of words", source, key)


def _options(found: list[str], source: str) -> tuple[str, ...]:
    for option in found:
        if option not in SUPPORTED_OPTIONS:
            raise _invalid(
                f"{option} is no option of PS3.15 E.3",
                source,
                option,
                mend=f"The options are: {', '.join(SUPPORTED_OPTIONS)}.",
            )
    if {"retain_longitudinal_full_dates", "retain_longitudinal_modified_dates"} <= set(found):
        raise _invalid(
            "dates cannot be kept and modified at once",
            source,
            "retain_longitudinal_full_dates",
            mend="Leave out one of the two retain_longitudinal options.",
        )
    return tuple(option for option in CODES if option in found)


def _kept_tag(keyword: str, source: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise _invalid(f"{keyword} is no attribute of DICOM", source, keyword)
    if f"{tag:08X}" in rows():
        raise _invalid(f"{keyword} is a row of Table E.1-1: only an option may keep it", source, keyword)
    return tag


def _invalid(what: str, source: str, word: str, *, mend: str = "") -> BadInput:
    """Return the error for a profile, with the number of the line that holds `word`."""
    numbered = enumerate(source.splitlines(), 1)
    line = next((number for number, text in numbered if word and word in text.split("#")[0]), 0)
    where = f" (line {line})" if line else ""
    return BadInput(
        f"The profile cannot be used: {what}{where}.",
        reason="PROFILE_INVALID",
        mend=mend or "Mend the file; docs/deidentification.md shows every key.",
    )


_NAME = re.compile(r"^[A-Za-z0-9_-]{1,32}$")
_KINDS = {str: "text", list: "list", dict: "table", bool: "switch, true or false"}
_SECTIONS: dict[str, dict[str, type]] = {
    "": {"title": str, "options": list, "keep": list, "text": dict, "faces": dict, "dates": dict},
    "text": {switch.name: bool for switch in fields(TextPolicy)},
    "faces": {"ears": bool},
    "dates": {"only_years": bool},
}


def object_name(sop_class: str) -> str:
    """Return the object of PS3.3 that a SOP class belongs to; empty when this engine does not judge it."""
    return str(table()["classes"].get(sop_class, ""))


_MODALITIES = {
    "-sr": "SR",
    "procedure-log": "SR",
    "mammography": "MG",
    "breast": "MG",
    "intra-oral": "IO",
    "digital-x-ray": "DX",
    "computed-radiography": "CR",
    "radiofluoroscopic": "RF",
    "xrf-image": "RF",
    "angiographic": "XA",
    "xa-image": "XA",
    "positron": "PT",
    "pet-image": "PT",
    "nuclear": "NM",
    "ultrasound": "US",
    "us-volume": "US",
    "endoscopic": "ES",
    "microscopic": "GM",
    "photographic": "XC",
    "segmentation": "SEG",
    "rt-structure-set": "RTSTRUCT",
    "rt-dose": "RTDOSE",
    "rt-image": "RTIMAGE",
    "plan": "RTPLAN",
    "key-object": "KO",
    "presentation-state": "PR",
    "encapsulated": "DOC",
    "real-world": "RWV",
    "registration": "REG",
    "fiducials": "FID",
    "ct-image": "CT",
    "mr-": "MR",
}


@lru_cache(maxsize=256)
def modality_of(kind: str) -> str:
    """Return the modality that objects of a kind have; ``OT`` (other) when they may have any."""
    return next((modality for word, modality in _MODALITIES.items() if word in kind), "OT")


_PICTURES = ("image", "us-volume", "segmentation", "parametric-map")


def needs_pixels(kind: str) -> bool:
    """Return whether an object is a picture and nothing without pixels; a dose may be curves only."""
    return kind != "surface-segmentation" and any(word in kind for word in _PICTURES)


def holds_document(kind: str) -> bool:
    """Return whether an object carries a file of another format, such as PDF (PS3.3 C.24.2)."""
    return kind.startswith("encapsulated-")


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
    types = types_inside(parent) if parent else _types_of(kind)
    return types.get(f"{tag:08X}", "3")


def types_inside(parent: int) -> dict[str, str]:
    """Return the types other than 3 of the attributes in a sequence's items, by tag in hexadecimal."""
    found: dict[str, str] = table()["nested"].get(f"{parent:08X}", {})
    return found


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
    type: 3 removed, 2 emptied, 1 given a dummy (PS3.15 E.3, Table E.1-1a). Curves are always removed, because
    nobody can judge them.
    """
    if tag in profile.keep:
        return Action.KEEP_EXACTLY
    row = row_of(tag)
    if row is None:
        return Action.REMOVE if tag in _NEVER else Action.JUDGE
    if tag in _NEVER or 0x5000 <= tag >> 16 <= 0x50FF:
        return Action.REMOVE
    chosen = {row.options[option] for option in profile.options if option in row.options}
    if chosen:
        return Action.CLEAN if "C" in chosen else Action.KEEP
    return _settled(row.basic, attribute_type(tag, parent=parent, kind=kind))


def _settled(basic: str, kind: str) -> Action:
    """Return one action for a compound one.

    An attribute that its object cannot be without (type 1) gets a dummy even where the table says X or Z, so
    that the object stays valid; no value of it leaves.
    """
    choices = basic.rstrip("*").split("/")
    if "U" in choices:
        return Action.NEW_UID
    if kind == "1":
        return Action.DUMMY
    wanted = {"3": "X", "2": "Z", "1": "D"}[kind[0]]
    if choices == ["Z"] and wanted == "D":
        return Action.DUMMY  # PS3.15 Table E.1-1a: Z is "zero length or dummy"
    if wanted in choices:
        return Action(wanted)
    return Action(choices[0] if wanted == "X" else choices[-1])


def explain(tag: int | str, profile: Profile) -> str:
    """Return in a few sentences what happens to an attribute, and by which row, options and types.

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
    done = _PSEUDONYM if number in _PERSON else _done(number, action, profile)
    what = f"({number >> 16:04X},{number & 0xFFFF:04X}) {name}: {done}"
    if number in _NEVER:
        return f"{what} It cannot be true of the changed object any more."
    if row is None:
        return f"{what} It is not a row of PS3.15 Table E.1-1."
    if number >> 16 & 1 and action is Action.CLEAN:
        what = f"{what} Only elements of the list of safe ones stay, their blocks numbered anew."
    return f"{what} {_source(row, profile)}{_by_type(row, number, profile)}"


def _done(tag: int, action: Action, profile: Profile) -> str:
    """Return what an action does to an attribute of this VR under a profile."""
    is_date = dictionary_has_tag(tag) and dictionary_VR(tag) in ("DA", "DT", "TM")
    return _DATE_WORDS[profile.dates] if is_date and action is Action.CLEAN else _WORDS[action]


def _source(row: Row, profile: Profile) -> str:
    """Return the row and what the profile's options change in it, and which other options would."""
    used = [f"{option}={row.options[option]}" for option in profile.options if option in row.options]
    others = [f"{option}={action}" for option, action in row.options.items() if option not in profile.options]
    told = f"Row '{row.name}' of PS3.15 Table E.1-1: Basic {row.basic}{''.join(f', {one}' for one in used)}."
    return f"{told} Not in this profile: {', '.join(others)}." if others else told


def _by_type(row: Row, tag: int, profile: Profile) -> str:
    """Return how a compound action comes out in the kinds of objects; empty when it is not one."""
    if "/" not in row.basic or any(option in row.options for option in profile.options):
        return ""
    kinds = {kind: action_of(tag, profile, kind=kind) for kind in table()["modules"]}
    counted = Counter(kinds.values())
    parts = (f"{_OUTCOMES[action]} in {count} kinds of objects" for action, count in counted.most_common())
    return f" By the attribute's type: {', '.join(parts)}."


_PERSON = (0x00100010, 0x00100020)
_PSEUDONYM = "replaced by a pseudonym made with the project's key."
_OUTCOMES = {
    Action.DUMMY: "a dummy",
    Action.EMPTY: "emptied",
    Action.REMOVE: "removed",
    Action.NEW_UID: "new UIDs inside",
}
_WORDS = {
    Action.DUMMY: "replaced by a dummy value.",
    Action.EMPTY: "emptied.",
    Action.REMOVE: "removed.",
    Action.KEEP: "kept; sequences are cleaned inside, ages above 89 years become 090Y.",
    Action.CLEAN: "cleaned: words that may identify dropped, items judged one by one.",
    Action.NEW_UID: "replaced by a new UID, the same wherever the old one stands.",
    Action.JUDGE: "judged by VR: numbers stay, text is cleaned, dates as the profile says, other bytes go.",
    Action.KEEP_EXACTLY: "kept exactly, as the profile asks.",
}


_DATE_WORDS = {
    DatePolicy.MOVED: "moved by the patient's secret number of days; times of day stay.",
    DatePolicy.YEARS: "cut to its year; times go.",
    DatePolicy.KEPT: "kept.",
    DatePolicy.REMOVED: "removed.",
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
