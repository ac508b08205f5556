"""Every row of PS3.15 Table E.1-1, at two depths, is applied as the profile says."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import UID

from anonymize import headers
from anonymize.denylist import DenyList
from anonymize.elements import Element, Encoding, encode_element, encode_items, read_items
from anonymize.judge import Judge, Person, Place
from anonymize.keys import ProjectKeys
from anonymize.profile import (
    SUPPORTED_OPTIONS,
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
from anonymize.uids import new_uid
from medviz.core.errors import BadInput, StudyUnreadable
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


DATES = ("retain_longitudinal_full_dates", "retain_longitudinal_modified_dates")
EFFECTS = {
    "retain_safe_private": (Element(0x00190010, "LO", b"SIEMENS MR HEADER"), True),
    "retain_uids": (Element(0x00200052, "UI", b"1.2.826.0.1.3680043.9.9999.5"), True),
    "retain_device_identity": (Element(0x00181000, "LO", b"SN 4711"), True),
    "retain_institution_identity": (Element(0x00080080, "LO", b"Klinikum Quastenhausen"), True),
    "retain_patient_characteristics": (Element(0x00101020, "DS", b"1.72"), True),
    "retain_longitudinal_full_dates": (Element(0x00080022, "DA", b"20240310"), True),
    "retain_longitudinal_modified_dates": (Element(0x00080022, "DA", b"20240310"), False),
    "clean_descriptors": (Element(0x0008103E, "LO", b"Head 1.5 H30s"), True),
}


@pytest.mark.parametrize("option", sorted(EFFECTS))
def test_an_option_changes_what_leaves(option: str, tmp_path: Path) -> None:
    house = tmp_path / "house.toml"
    house.write_text(f'options = ["{option}"]\n')
    element, is_kept = EFFECTS[option]
    elements = [element, Element(0x0019100C, "IS", b"1000")]
    with_option, without = (
        dict(make_judge(profile).judged_all(elements, PLACE)[0])
        for profile in (load_profile(str(house)), load_profile("basic"))
    )
    assert with_option != without
    assert with_option[element.tag]
    assert (element.value in with_option[element.tag]) is is_kept
    assert element.value not in b"".join(without.values())


def test_every_option_of_the_standard_can_be_asked_for(tmp_path: Path) -> None:
    house = tmp_path / "house.toml"
    for left_out in DATES:
        options = [option for option in SUPPORTED_OPTIONS if option != left_out]
        house.write_text(f"options = {options}\n[text]\nkeeps_years = true\n[faces]\nears = true\n")
        profile = load_profile(str(house))
        assert profile.options == tuple(options)
        assert (profile.text.keeps_years, profile.removes_ears, profile.name) == (True, True, "house")
    assert len(SUPPORTED_OPTIONS) == 12


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('options = [\n"clean_everything"]', r"clean_everything .*line 2"),
        ("title = 3", r"title must be a text .*line 1"),
        ('options = []\nkeep = ["PatientName"]', r"PatientName is a row .*line 2"),
        ('keep = ["PatientsShoeSize"]', r"PatientsShoeSize is no attribute .*line 1"),
        ("[text]\nkeeps_all = true", r"keeps_all is no key of text .*line 2"),
        ("[dates]\nonly_years = true", r"only_years needs .*line 2"),
        (f"options = {list(DATES)}", "kept and modified at once .*line 1"),
        ("options = [", "The profile cannot be used"),
        ("options = [1]", r"options must be a list of words .*line 1"),
    ],
)
def test_a_mistake_in_a_house_s_profile_is_named_with_its_line(
    tmp_path: Path, source: str, told: str
) -> None:
    house = tmp_path / "house.toml"
    house.write_text(source)
    with pytest.raises(BadInput, match=told) as caught:
        load_profile(str(house))
    assert caught.value.reason == "PROFILE_INVALID"
    assert caught.value.mend


@pytest.mark.parametrize(
    ("option", "stated"),
    [("", b"REMOVED"), (DATES[0], b"UNMODIFIED"), (DATES[1], b"MODIFIED")],
)
def test_every_file_says_what_became_of_its_dates(tmp_path: Path, option: str, stated: bytes) -> None:
    house = tmp_path / "house.toml"
    house.write_text(f"options = {[option] if option else []}\n")
    written = headers.statement(load_profile(str(house)), EXPLICIT, pixels_cleaned=False, shows_face=True)
    assert value_of(written[0x00280303], "CS") == stated


def test_only_the_year_of_a_date_is_left_under_safe_harbor() -> None:
    judge = make_judge(load_profile("safe-harbor"))
    values = {
        0x00080020: ("DA", b"20240310", b"20240101"),
        0x0008002A: ("DT", b"20240310101010.5+0100", b"2024"),
        0x00080032: ("TM", b"101010", b""),
        0x00101010: ("AS", b"093Y", b"090Y"),
        0x00100030: ("DA", b"19310407", b""),
    }
    for tag, (vr, value, expected) in values.items():
        encoded = judge.judged(Element(tag, vr, value), PLACE).encoded
        assert (value_of(encoded, vr) if encoded else b"") == expected, f"{tag:08X}"


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("DA", b"20240310\\20240312", b"20210614\\20210616"),
        ("DA", b"2024.03.10", b"20210614"),
        ("DA", b"20240310-20240312", b"20210614-20210616"),
        ("DT", b"20240310235959.123456-0500", b"20210614235959.123456-0500"),
        ("DT", b"202403", b"202106"),
        ("TM", b"235959.5", b"235959.5"),
        ("DA", b"10 March 2024", b""),
        ("DT", b"Rumpelstein", b""),
    ],
)
def test_dates_of_every_form_move_by_the_same_days_and_others_go(
    vr: str, value: bytes, expected: bytes
) -> None:
    tag = {"DA": 0x00080022, "DT": 0x0008002A, "TM": 0x00080032}[vr]
    encoded = make_judge(load_profile("surgical-planning")).judged(Element(tag, vr, value), PLACE).encoded
    assert (value_of(encoded, vr) if encoded else b"") == expected


def test_a_uid_made_with_this_key_stays_and_with_another_key_it_is_a_stranger() -> None:
    keys, others = ProjectKeys(bytes(32)), ProjectKeys(bytes(31) + b"1")
    made = [new_uid(keys, f"1.2.3.{number}") for number in range(2000)]
    assert len(set(made)) == 2000
    assert [new_uid(keys, uid) for uid in made] == made
    assert not set(made) & {new_uid(others, uid) for uid in made}
    assert all(len(uid) <= 64 and UID(uid).is_valid for uid in made)
    assert new_uid(keys, "2.25.1") != "2.25.1"
    assert new_uid(keys, f"2.25.{1 << 128}") != f"2.25.{1 << 128}"


@pytest.mark.parametrize(
    ("vr", "tag", "value"),
    [
        ("US", 0x00280107, b"Vzaadqxw!"),
        ("FD", 0x00189073, b"Vzaadqxw"),
        ("AT", 0x00280009, b"Vzaa"),
        ("DS", 0x00189332, b"1.5 Rumpelstein"),
        ("CS", 0x00180022, b"VZAADYQXW"),
        ("LO", 0x00081090, b"R\0u\0m\0p\0e\0l\0"),
    ],
)
def test_no_word_hides_in_a_value_that_cannot_hold_one(vr: str, tag: int, value: bytes) -> None:
    encoded = make_judge(load_profile("surgical-planning")).judged(Element(tag, vr, value), PLACE).encoded
    assert value not in encoded
    assert not (set(encoded[8:].split()) & {b"Rumpelstein"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI", b"ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI"),
        (b"ORIGINAL\\PRIMARY\\VZAADYQXW", b"ORIGINAL\\PRIMARY\\REMOVED"),
        (b"DERIVED\\SECONDARY\\MPR\\DIXON\\WATER", b"DERIVED\\SECONDARY\\MPR\\DIXON\\WATER"),
    ],
)
def test_the_image_type_keeps_its_terms(value: bytes, expected: bytes) -> None:
    judge = make_judge(load_profile("surgical-planning"))
    assert value_of(judge.judged(Element(0x00080008, "CS", value), PLACE).encoded, "CS") == expected


@pytest.mark.parametrize(
    ("declared", "value"),
    [(b"ISO_IR 192", b"Kopf \xff\xfe"), (b"GB18030", b"\xff\xff")],
)
def test_a_text_that_is_not_of_its_declared_character_set_holds_the_file(
    declared: bytes, value: bytes
) -> None:
    place = PLACE._replace(character_set=declared)
    with pytest.raises(StudyUnreadable) as caught:
        make_judge(load_profile("basic")).judged(Element(0x00081030, "LO", value), place)
    assert caught.value.reason == "WRONG_CHARACTER_SET"
