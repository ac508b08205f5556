"""Text in the character sets of DICOM (PS3.5 6.1), never failing on a wrong one."""

from __future__ import annotations

import codecs
import re
import warnings
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes, python_encoding

_SIMPLE_CODECS = {b"ISO_IR 192": "utf-8", b"GB18030": "gb18030", b"GBK": "gbk", b"ISO_IR 100": "latin-1"}
_ALONE = frozenset(["ISO_IR 192", "GB18030", "GBK"])
_NO_TERM = ([""], ["ISO_IR 6"], ["ISO 2022 IR 6"])
_LATIN = dict(
    zip(b"ABCDLGFHM", (1, 2, 3, 4, 5, 6, 7, 8, 9), strict=True)
)  # final byte of ESC - to part of ISO 8859
_ESCAPES = {
    b"\x1b(B": "ascii",
    b"\x1b(J": "shift_jis",
    b"\x1b)I": "shift_jis",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb2312",
    b"\x1b-T": "tis_620",
    b"\x1b-b": "iso8859_15",
    **{b"\x1b-" + bytes([final]): f"iso8859_{part}" for final, part in _LATIN.items()},
}
_ESCAPE = re.compile(rb"\x1b(?:\$[()]?[A-D]|[()][A-Z]|-[A-Za-z])")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_TWO_BYTES = frozenset(["gb2312", "euc_kr", "iso2022_jp", "iso2022_jp_2"])
_HIGH_CONTROL = re.compile(rb"[\x80-\x9f]")


@lru_cache(maxsize=8192)
def decoded(value: bytes, character_set: bytes) -> str:
    """Return text decoded by a Specific Character Set (PS3.5 6.1); undecodable bytes become marks."""
    names = _terms(character_set)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of unknown sets and takes its default, as we want
        try:
            return str(decode_bytes(value, convert_encodings(names), set())).strip(" \0")
        except (LookupError, ValueError):
            return value.decode("latin-1").strip(" \0")


@lru_cache(maxsize=8192)
def is_decodable(value: bytes, character_set: bytes) -> bool:
    """Return whether bytes are text of the declared Specific Character Set, strictly.

    An unknown term, or an escape sequence of a set that is not declared, makes it false. Without a declared
    set the standard allows ASCII only; bytes that are valid UTF-8 count as decodable too, because many
    systems write it undeclared and nothing else looks like it. Other bytes above 127 do not: anything is
    valid Latin-1.
    """
    names = _terms(character_set)
    if not _are_known(names) or _CONTROL.search(value.rstrip(b"\0")):
        return False
    try:
        if names in _NO_TERM:
            value.decode("utf-8" if names == [""] else "ascii")
        elif len(names) > 1 or names[0].startswith("ISO 2022"):
            return _is_switched_well(value, names)
        else:
            _check_part(value, _codec(names[0]))
    except (UnicodeError, LookupError):
        return False
    return b"\x1b" not in value


def encoded_text(text: str, character_set: bytes) -> bytes:
    """Return cleaned text as bytes of the character set; where it has no simple codec, ASCII only."""
    codec = _SIMPLE_CODECS.get(character_set.strip(b" \0"), "ascii")
    return text.encode(codec, "ignore").strip()


def _terms(character_set: bytes) -> list[str]:
    return [name.strip() for name in character_set.decode("latin-1").strip(" \0").split("\\")]


def _are_known(names: list[str]) -> bool:
    if any(name not in python_encoding for name in names):
        return False
    return len(names) == 1 or not any(name in _ALONE for name in names)


def _is_switched_well(value: bytes, names: list[str]) -> bool:
    """Return whether text with escape sequences is valid in each of its parts (PS3.5 6.1.2.5)."""
    declared = {_codec(name) for name in names} | {"ascii"}
    codec, start = _codec(names[0]), 0
    codec = "ascii" if codec in _TWO_BYTES else codec
    for escape in _ESCAPE.finditer(value):
        _check_part(value[start : escape.start()], codec)
        codec, start = _ESCAPES.get(escape[0], ""), escape.end()
        if codec not in declared:
            return False
    _check_part(value[start:], codec)
    return b"\x1b" not in _ESCAPE.sub(b"", value)


def _codec(name: str) -> str:
    """Return the codec of a term, under one name each."""
    if name in _NO_TERM[0] or name in ("ISO_IR 6", "ISO 2022 IR 6"):
        return "ascii"
    found = codecs.lookup(python_encoding[name]).name.replace("-", "_")
    return "gb2312" if name == "ISO 2022 IR 58" else found


def _check_part(part: bytes, codec: str) -> None:
    """Raise UnicodeError when a part is not text of a codec."""
    if codec in ("iso2022_jp", "iso2022_jp_2"):  # the escape that Python wants was cut off
        lead = b"\x1b$(D" if codec == "iso2022_jp_2" else b"\x1b$B"
        part = lead + part + b"\x1b(B"
        codec = "iso2022_jp_2"
    if codec.startswith("iso8859") and _HIGH_CONTROL.search(part):
        raise UnicodeError
    part.decode(codec)
