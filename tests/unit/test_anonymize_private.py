"""Private elements: known ones may stay when their values are harmless, everything else goes."""

from __future__ import annotations

import pytest

from anonymize.denylist import DenyList
from anonymize.elements import Element, Encoding, encode_element, encode_items
from anonymize.judge import Judge, Person, Place
from anonymize.keys import ProjectKeys
from anonymize.private import safe_elements, safe_list
from anonymize.profile import load_profile
from anonymize.text import TextCleaner
from tests import make_raw

EXPLICIT = Encoding(True, True)
PERSON = Person("MEDVIZ^1", "1", -1000)
PLACE = Place("mr-image", 0, EXPLICIT, b"ISO_IR 100", PERSON)
PHILIPS = Element(0x20010011, "LO", b"Philips Imaging DD 001")
B_FACTOR = Element(0x20011103, "FL", b"\0\0\x7a\x44")
STRANGER = Element(0x20010010, "LO", b"SOMEBODY ELSE")


def left(*elements: Element, profile: str = "research") -> dict[int, bytes]:
    """Return the tags and bytes that leave."""
    deny = DenyList()
    deny.add_name("Rumpelstein^Gundula")
    deny.add_text("4801177")
    judge = Judge(load_profile(profile), ProjectKeys(bytes(32)), TextCleaner(deny, make_raw.CarefulReader()))
    return dict(judge.judged_all(elements, PLACE)[0])


def test_the_list_holds_the_standards_elements_and_those_of_the_archive() -> None:
    assert len(safe_list()) > 1500
    assert safe_list()["Philips PET Private Group", 0x7053, 0x00] == "DS"
    assert safe_list()["SIEMENS MR HEADER", 0x0019, 0x0C] == "IS"
    assert safe_list()["GEMS_ACQU_01", 0x0019, 0x27] == "DS"


def test_a_safe_element_stays_and_its_block_is_numbered_anew() -> None:
    assert left(STRANGER, PHILIPS, B_FACTOR) == {
        0x20010010: encode_element(0x20010010, "LO", b"Philips Imaging DD 001", EXPLICIT),
        0x20011003: encode_element(0x20011003, "FL", b"\0\0\x7a\x44", EXPLICIT),
    }


def test_without_the_option_no_private_element_stays() -> None:
    assert left(PHILIPS, B_FACTOR, profile="surgical-planning") == {}


@pytest.mark.parametrize("creator", [b"Philips Imaging DD 002", b"philips imaging dd 001", b"Philips"])
def test_another_creator_s_element_of_the_same_number_goes(creator: bytes) -> None:
    assert left(PHILIPS._replace(value=creator), B_FACTOR._replace(tag=0x200111F1)) == {}


def test_a_creator_is_not_kept_for_nothing() -> None:
    assert left(PHILIPS, Element(0x200111EE, "LO", b"not on the list")) == {}


@pytest.mark.parametrize(
    ("number", "vr", "value"),
    [
        (0x5A, "ST", b"Rumpelstein Gundula"),
        (0x23, "DS", b"4801177"),
        (0x04, "CS", b"QXVZAADYQXW"),
        (0xFF, "OW", b"Rumpelstein!"),
        (0x03, "PN", b"Rumpelstein^G"),
        (0x03, "UN", b"Rumpelstein"),
    ],
)
def test_a_value_that_names_somebody_goes_although_its_element_is_listed(
    number: int, vr: str, value: bytes
) -> None:
    encoded = b"".join(left(PHILIPS, Element(0x20011100 | number, vr, value)).values())
    assert b"Rumpel" not in encoded
    assert value not in encoded


def test_dates_and_uids_of_listed_elements_are_moved_and_mapped() -> None:
    creator = Element(0x00090010, "LO", b"GEMS_PETD_01")
    date = Element(0x0009100D, "DT", b"20240310101010")
    uid = Element(0x00991002, "UI", b"1.2.826.0.1.3680043.9.9999.5")
    kept = left(creator, date, Element(0x00990010, "LO", b"NQHeader"), uid)
    assert kept[0x0009100D].endswith(b"20210614101010")
    assert b"2.25." in kept[0x00991002]
    assert b"9999" not in kept[0x00991002]


def test_private_elements_inside_a_public_sequence_are_judged_by_their_own_creator() -> None:
    inner = [PHILIPS, B_FACTOR, Element(0x20011112, "CS", b"N"), Element(0x20012203, "FL", b"\0\0\0\0")]
    item = b"".join(encode_element(one.tag, one.vr, one.value, EXPLICIT) for one in inner)
    outer = Element(0x00081115, "SQ", encode_items([item], EXPLICIT))
    (encoded,) = left(outer).values()
    assert b"Philips Imaging DD 001" in encoded
    assert encoded.count(b"\x01\x20\x03\x10FL") == 1
    assert b"\x01\x20\x03\x22" not in encoded


def test_blocks_keep_apart_when_one_between_them_goes() -> None:
    elements = [
        Element(0x00190010, "LO", b"SIEMENS MR HEADER"),
        Element(0x00190011, "LO", b"UNKNOWN MAKER"),
        Element(0x00190012, "LO", b"GEMS_ACQU_01"),
        Element(0x0019100C, "IS", b"1000"),
        Element(0x0019110C, "IS", b"77"),
        Element(0x00191227, "DS", b"0.5"),
    ]
    found = [(hex(safe.element.tag), safe.element.value) for safe in safe_elements(elements)]
    assert found == [
        ("0x190010", b"SIEMENS MR HEADER"),
        ("0x190011", b"GEMS_ACQU_01"),
        ("0x19100c", b"1000"),
        ("0x191127", b"0.5"),
    ]


def test_the_second_time_nothing_changes_any_more() -> None:
    once = [safe.element for safe in safe_elements([STRANGER, PHILIPS, B_FACTOR])]
    assert [safe.element for safe in safe_elements(once)] == once
