"""Text in every character set of DICOM, and bytes that are not what they claim (PS3.5 Annexes H to K)."""

from __future__ import annotations

import pytest

from anonymize.charsets import decoded, is_decodable
from anonymize.denylist import DenyList
from anonymize.text import TextCleaner
from tests import make_raw

TRUE = [
    (b"chest", b""),
    ("é".encode(), b""),
    (b"caf\xe9", b"ISO_IR 100"),
    ("Łódź".encode("iso8859_2"), b"ISO_IR 101"),
    ("Ħal".encode("iso8859_3"), b"ISO_IR 109"),
    ("Ģirts".encode("iso8859_4"), b"ISO_IR 110"),
    ("Люкceмбypг".encode("iso8859_5"), b"ISO_IR 144"),
    ("قباني".encode("iso8859_6"), b"ISO_IR 127"),
    ("Διονυσιος".encode("iso8859_7"), b"ISO_IR 126"),
    ("שרון".encode("iso8859_8"), b"ISO_IR 138"),
    ("Çavuşoğlu".encode("iso8859_9"), b"ISO_IR 148"),
    ("张伟".encode("gb18030"), b"GB18030"),
    ("张伟".encode("gbk"), b"GBK"),
    ("张伟".encode(), b"ISO_IR 192"),
    (b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", b"ISO_IR 13"),
    (b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", b"\\ISO 2022 IR 58"),
    (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", b"\\ISO 2022 IR 87"),
    (b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J", b"ISO 2022 IR 13\\ISO 2022 IR 87"),
    (b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=", b"\\ISO 2022 IR 149"),
]
FALSE = [
    (b"caf\xe9", b""),  # no set declared: ASCII or UTF-8
    (b"caf\xe9", b"ISO_IR 192"),
    (b"chest", b"NONSENSE"),
    (b"chest", b"ISO_IR 192\\GB18030"),  # sets that stand alone (PS3.3 C.12.1.1.2)
    (b"\xd5", b"GB18030"),
    (b"\x1b$)A\xd5\xc5", b"ISO_IR 100"),  # an escape sequence where none is allowed
    (b"\x1b$)A\xd5\xc5", b"\\ISO 2022 IR 87"),  # a set that is not declared
    (b"\xd5\xc5", b"\\ISO 2022 IR 58"),  # no escape sequence
    ("张".encode(), b"ISO_IR 6"),
    (b"a\x01b", b""),
    (b"it\x92s", b"ISO_IR 100"),  # Windows-1252
]


@pytest.mark.parametrize(("value", "character_set"), TRUE)
def test_text_of_its_declared_set_is_decodable(value: bytes, character_set: bytes) -> None:
    assert is_decodable(value, character_set)


@pytest.mark.parametrize(("value", "character_set"), FALSE)
def test_text_of_another_set_is_not(value: bytes, character_set: bytes) -> None:
    assert not is_decodable(value, character_set)


NAMES = [
    ("Müller^Jörg", "latin-1", b"ISO_IR 100", ["Müller", "MUELLER", "Mueller", "muller", "Jörg", "Joerg"]),
    ("Wang^Xiaoming=王^小明", "gb18030", b"GB18030", ["王小明", "小明", "Wang", "XIAOMING", "wangxiaoming"]),
    ("Яковлев^Пётр", "iso8859_5", b"ISO_IR 144", ["Яковлев", "Пётр", "ПЁТР"]),
    ("Hong^Gildong=洪^吉洞=홍^길동", "utf-8", b"ISO_IR 192", ["Gildong", "吉洞", "길동", "홍길동"]),
    (
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "utf-8",
        b"ISO_IR 192",
        ["山田", "山田太郎", "太郎", "やまだ", "Tarou"],
    ),
]


@pytest.mark.parametrize(("name", "codec", "character_set", "spellings"), NAMES)
def test_a_name_in_any_set_is_dropped_in_all_its_spellings(
    name: str, codec: str, character_set: bytes, spellings: list[str]
) -> None:
    deny = DenyList()
    deny.add_name(decoded(name.encode(codec), character_set))
    cleaner = TextCleaner(deny, make_raw.CarefulReader(), chinese=make_raw.CarefulReader())
    for spelling in spellings:
        assert cleaner.cleaned(f"CT axial {spelling}") == "CT axial"
        assert cleaner.cleaned(f"{spelling} CT axial") == "CT axial"


def test_a_name_read_in_the_wrong_set_is_dropped_as_unknown() -> None:
    raw_name = "Müller Łukasz 张伟".encode()
    cleaner = TextCleaner(DenyList(), make_raw.CarefulReader(), chinese=make_raw.CarefulReader())
    for character_set in (b"ISO_IR 100", b"ISO_IR 144", b"", b"NONSENSE", b"ISO_IR 13"):
        text = decoded(b"axial " + raw_name, character_set)
        kept = cleaner.cleaned(text)
        assert "ller" not in kept
        assert "kasz" not in kept
        assert kept.startswith("axial")
