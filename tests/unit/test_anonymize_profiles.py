"""Every row of PS3.15 Table E.1-1, at two depths, is applied as the profile says."""

from __future__ import annotations

import itertools

import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR

from anonymize.denylist import DenyList
from anonymize.elements import Element, Encoding, encode_element, encode_items, read_items
from anonymize.judge import Judge, Person, Place
from anonymize.keys import ProjectKeys
from anonymize.profile import (
    Action,
    Profile,
    action_of,
    attribute_type,
    explain,
    load_profile,
    profile_names,
    rows,
)
from anonymize.text import TextCleaner
from medviz.core.errors import BadInput
from tests import make_raw

EXPLICIT = Encoding(True, True)
TOKEN = b"Qxazzvzj"
PERSON = Person("MEDVIZ^1", "1", -1000)
PLACE = Place("ct-image", 0, EXPLICIT, b"ISO_IR 100", PERSON)
VALUES = {
    "DA": b"20240310",
    "DT": b"20240310101010",
    "TM": b"101010",
    "UI": b"1.2.826.0.1.3680043.9.9999.5",
    "AS": b"093Y",
    "IS": b"12",
    "DS": b"12.5",
    "US": b"\x07\0",
    "CS": b"QXTOKEN",
}
TAGS = sorted(int(tag, 16) for tag in rows() if tag.isalnum() and "x" not in tag and tag != "PRIVATE")
KNOWN = [tag for tag in TAGS if dictionary_has_tag(tag)]


def make_judge(profile: Profile) -> Judge:
    deny = DenyList()
    deny.add_name(TOKEN.decode())
    return Judge(profile, ProjectKeys(bytes(32)), TextCleaner(deny, make_raw.CarefulReader()))


def make_element(tag: int) -> Element:
    vr = str(dictionary_VR(tag)).split(" or ")[0]
    if vr == "SQ":
        inner = encode_element(0x00081040, "LO", TOKEN, EXPLICIT)
        return Element(tag, "SQ", encode_items([inner], EXPLICIT))
    return Element(tag, vr, VALUES.get(vr, TOKEN))


def value_of(encoded: bytes, vr: str) -> bytes:
    long = vr in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
    return encoded[12 if long else 8 :].rstrip(b" \0")


def test_the_table_is_whole() -> None:
    assert len(rows()) == 657
    assert len(TAGS) == 653
    assert rows()["00100010"].basic == "Z"
    assert rows()["PRIVATE"].basic == "X"


@pytest.mark.parametrize("name", profile_names())
def test_every_row_is_applied_as_the_profile_says(name: str) -> None:
    profile = load_profile(name)
    judge = make_judge(profile)
    for tag, parent in itertools.product(KNOWN, (0, 0x00081115)):
        element, place = make_element(tag), PLACE._replace(parent=parent)
        encoded = judge.judged(element, place).encoded
        value = value_of(encoded, element.vr) if encoded else b""
        action = action_of(tag, profile, parent=parent, kind="ct-image")
        message = f"{tag:08X} {element.vr} {action}"
        assert TOKEN not in encoded, message
        assert VALUES["UI"] not in encoded, message
        if action is Action.REMOVE:
            assert not encoded, message
        elif action is Action.EMPTY and tag not in (0x00100010, 0x00100020):
            assert encoded, message
            assert not value, message
        elif action is Action.DUMMY:
            assert len(encoded) > 8, message
        elif element.vr in ("DA", "DT"):
            assert value != VALUES[element.vr], message


@pytest.mark.parametrize("tag", KNOWN)
def test_a_compound_action_follows_the_type_of_the_attribute(tag: int) -> None:
    profile, basic = load_profile("basic"), rows()[f"{tag:08X}"].basic
    action = action_of(tag, profile, kind="ct-image")
    kind = attribute_type(tag, parent=0, kind="ct-image")
    if basic in ("X", "U"):
        assert action.value == basic
    elif "U" in basic:
        assert action is Action.NEW_UID
    elif kind.startswith("2"):
        assert action is not Action.REMOVE or basic == "X"
    elif kind.startswith("1"):
        assert action is Action.DUMMY or "D" not in basic
    else:
        assert action.value == ("X" if "X" in basic else basic.split("/")[0])


def test_elements_of_unknown_or_wrong_kind_are_removed() -> None:
    judge = make_judge(load_profile("surgical-planning"))
    for element in (
        Element(0x00080FF1, "LO", b"UNKNOWN"),  # in no dictionary
        Element(0x00091001, "LO", b"PRIVATE"),
        Element(0x00080000, "UL", b"\0\0\0\0"),
        Element(0x60003000, "OW", b"overlay!"),
        Element(0x00200032, "SQ", b""),  # a position that claims to be a sequence
    ):
        assert not judge.judged(element, PLACE).encoded


def test_a_sequence_sent_as_un_is_judged_inside() -> None:
    inside = encode_element(0x0008103E, "LO", b"HEAD Qxazzvzj", Encoding(False, True))
    element = Element(0x00082112, "UN", encode_items([inside], Encoding(False, True)))
    encoded = make_judge(load_profile("surgical-planning")).judged(element, PLACE).encoded
    items = read_items(Element(0x00082112, "SQ", encoded[12:]), EXPLICIT)
    assert [(part.tag, part.value) for part in items[0]] == [(0x0008103E, b"HEAD")]


def test_a_profile_keeps_nothing_that_the_standard_removes() -> None:
    for name in profile_names():
        assert not [tag for tag in load_profile(name).keep if f"{tag:08X}" in rows()]


def test_explain_names_the_row_and_the_option() -> None:
    text = explain("SeriesDescription", load_profile("surgical-planning"))
    assert "(0008,103E)" in text
    assert "clean_descriptors=C" in text
    assert "removed" in explain("(0010,4000)", load_profile("basic"))
    assert "kept exactly" in explain(0x00181210, load_profile("surgical-planning"))


def test_an_unknown_profile_or_tag_is_named() -> None:
    with pytest.raises(BadInput, match="basic, research, safe-harbor, surgical-planning"):
        load_profile("../etc/passwd")
    with pytest.raises(BadInput):
        explain("NoSuchAttribute", load_profile("basic"))
