"""Text in the character sets of DICOM (PS3.5 6.1), never failing on a wrong one."""

from __future__ import annotations

import warnings
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes

_SIMPLE_CODECS = {b"ISO_IR 192": "utf-8", b"GB18030": "gb18030", b"GBK": "gbk", b"ISO_IR 100": "latin-1"}


@lru_cache(maxsize=8192)
def decoded(value: bytes, character_set: bytes) -> str:
    """Return text decoded by a Specific Character Set (PS3.5 6.1); undecodable bytes become marks."""
    names = [name.strip() for name in character_set.decode("latin-1").strip(" \0").split("\\")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of unknown sets and takes its default, as we want
        try:
            return str(decode_bytes(value, convert_encodings(names), set())).strip(" \0")
        except (LookupError, ValueError):
            return value.decode("latin-1").strip(" \0")


def encoded_text(text: str, character_set: bytes) -> bytes:
    """Return cleaned text as bytes of the character set; where it has no simple codec, ASCII only."""
    codec = _SIMPLE_CODECS.get(character_set.strip(b" \0"), "ascii")
    return text.encode(codec, "ignore").strip()
