"""One file's header: what it is, whom it speaks of, and the header that replaces it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from pydicom.uid import UID

from anonymize.charsets import decoded
from anonymize.codestreams import fragments_without_comments
from anonymize.dates import DatePolicy, shift_days
from anonymize.denylist import DenyList
from anonymize.elements import (
    DEFLATED,
    EXPLICIT_LITTLE,
    RLE,
    Element,
    Encoding,
    ParsedFile,
    PixelSpan,
    broken,
    encode_element,
    encode_items,
    known_vr,
    read_items,
)
from anonymize.judge import CHARACTER_SET, PATIENT_ID, PATIENT_NAME, Person, check_character_set
from anonymize.keys import ProjectKeys
from anonymize.profile import Profile, needs_pixels, object_name, row_of, table
from anonymize.uids import is_well_known, new_uid
from medviz.core.errors import StudyUnreadable

WHO = (PATIENT_ID, 0x00100021, PATIENT_NAME)
"""Patient ID, its issuer, and name: whom a file speaks of."""
SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018
STUDY, SERIES = 0x0020000D, 0x0020000E
_ISSUER, _MODALITY, _POSITION = 0x00100021, 0x00080060, 0x00200032
_BURNED_IN, _RECOGNIZABLE = 0x00280301, 0x00280302
_CT, _MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
_IMPLEMENTATION = "2.25.94613827750291840364827165092834716253"
_VERSION = "MEDVIZ_0_1"
_SCREEN_WORDS = frozenset(["PROT", "SCREEN", "SCREEN SAVE", "SCREENSAVE", "DOSE_INFO", "DOSEINFO", "REPORT"])
_TEMPORAL = {
    DatePolicy.REMOVED: b"REMOVED",
    DatePolicy.MOVED: b"MODIFIED",
    DatePolicy.YEARS: b"MODIFIED",
    DatePolicy.KEPT: b"UNMODIFIED",
}
_DIGEST_DIGITS, _CHECK_DIGITS = 12, 8
_PSEUDONYM = re.compile(r"^[0-9A-F]{20}$")
_UID = re.compile(r"^[0-9.]{1,64}$")
_FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}
_NUMBERS_ONLY = frozenset(["segmentation", "surface-segmentation", "parametric-map", "rt-dose"])
_SCREENS = ("secondary-capture", "ultrasound", "us-volume", "vl-", "video-", "encapsulated")
_SCREEN_MODALITIES = frozenset(
    ["US", "IVUS", "SC", "OT", "ES", "XC", "GM", "SM", "OP", "OPT", "OCT", "DG", "TG"]
)
_X_RAYS = ("x-ray", "radiography", "-xa-", "-xrf-", "breast", "rt-image")
_WHOLE_TEXT_VRS = ("LO", "SH", "LT", "ST", "UT", "UC", "AE")
_EXPLICIT_LITTLE = Encoding(True, True)


def text_of(parsed: ParsedFile, tag: int) -> str:
    """Return a top-level value as text, stripped; empty when there is none."""
    found = next((element.value for element in parsed.elements if element.tag == tag), b"")
    return decoded(found, character_set_of(parsed)) if found else ""


def character_set_of(parsed: ParsedFile) -> bytes:
    """Return the value of the data set's Specific Character Set."""
    return next((element.value for element in parsed.elements if element.tag == CHARACTER_SET), b"")


def number_of(parsed: ParsedFile, tag: int, default: int = 0) -> int:
    """Return a top-level US or IS value."""
    value = next((element.value for element in parsed.elements if element.tag == tag), b"")
    if not value:
        return default
    if known_vr(tag) == "US":
        return int(struct.unpack("<H" if parsed.encoding.is_little else ">H", value[:2])[0])
    try:
        return int(value.strip(b" \0"))
    except ValueError:
        return default


def sop_class_of(parsed: ParsedFile) -> str:
    """Return the SOP class; when the file names none, that of a CT or MR slice if it clearly is one."""
    named = text_of(parsed, SOP_CLASS) or next(
        (part.value.decode("latin-1").strip(" \0") for part in parsed.meta if part.tag == 0x00020002), ""
    )
    if named:
        return named
    if parsed.pixels is None or not text_of(parsed, _POSITION):
        return ""
    return {"CT": _CT, "MR": _MR}.get(text_of(parsed, _MODALITY), "")


def check_kind(parsed: ParsedFile) -> str:
    """Return the name of the object in PS3.3.

    Raises
    ------
    StudyUnreadable
        ``SOP_CLASS_MISSING`` when the file does not say what it is, ``PRIVATE_SOP_CLASS`` when only its maker
        knows, ``REFUSED_SOP_CLASS`` when it is something that this release does not judge, ``TRUNCATED`` when
        pixels are missing, ``WRONG_CHARACTER_SET`` when its character set is none of the standard's.
    """
    sop_class = sop_class_of(parsed)
    kind = object_name(sop_class)
    if kind:
        check_character_set(character_set_of(parsed))
        _check_pixels(parsed, kind)
        return kind
    if not sop_class:
        raise broken("SOP_CLASS_MISSING")
    raise broken("REFUSED_SOP_CLASS" if is_well_known(sop_class) else "PRIVATE_SOP_CLASS")


def _check_pixels(parsed: ParsedFile, kind: str) -> None:
    """Refuse a picture whose pixel data is missing, or shorter than its own header says (PS3.5 8.1.1)."""
    if parsed.pixels is None:
        if needs_pixels(kind):
            raise broken()
        return
    if parsed.pixels.is_encapsulated:
        return
    bits = _promised_bits(parsed)
    if bits == 0:
        raise broken("UNREADABLE")
    if parsed.pixels.end - parsed.pixels.value_start < (bits + 7) // 8:
        raise broken()


def _promised_bits(parsed: ParsedFile) -> int:
    """Return how many bits of native pixels the header promises."""
    bits = number_of(parsed, 0x00280008, 1) * number_of(parsed, 0x00280010) * number_of(parsed, 0x00280011)
    allocated = _FLOAT_BITS.get(parsed.pixels.tag, 0) if parsed.pixels else 0
    bits *= number_of(parsed, 0x00280002, 1) * (allocated or number_of(parsed, 0x00280100))
    if text_of(parsed, 0x00280004) in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        bits = bits * 2 // 3
    return bits


def may_carry_text(parsed: ParsedFile, kind: str) -> bool:
    """Return whether text may be burned into the pixels: the file says so, or such objects often hold some.

    Screens, ultrasound, cameras and colour always may. X-ray pictures may unless the file says that they
    hold none: plates carry labels. Slices of CT, MR and PET may only when their image type names a screen.
    Masks, doses and maps of numbers never do.
    """
    if parsed.pixels is None or kind in _NUMBERS_ONLY:
        return False
    if any(word in kind for word in _SCREENS) or text_of(parsed, _MODALITY).upper() in _SCREEN_MODALITIES:
        return True
    burned_in = text_of(parsed, _BURNED_IN).upper()
    if number_of(parsed, 0x00280002, 1) > 1 or text_of(parsed, 0x00080064) or burned_in not in ("", "NO"):
        return True
    if not burned_in and any(word in kind for word in _X_RAYS):
        return True
    words = {part.strip().upper() for part in text_of(parsed, 0x00080008).split("\\")}
    return any(word in _SCREEN_WORDS or word.endswith(" PROT") for word in words)


def person_of(parsed: ParsedFile, keys: ProjectKeys) -> Person:
    """Return the pseudonym and date shift of the patient that a file speaks of.

    Known by ID and issuer; by name when there is no ID; by study when there is neither. A file whose ID is a
    pseudonym made with this key keeps it, and its dates do not move again.
    """
    identifier, name = text_of(parsed, PATIENT_ID).upper(), text_of(parsed, PATIENT_NAME).upper()
    if _is_pseudonym(keys, identifier):
        return _person_named(identifier, 0)
    known_by = f"id|{text_of(parsed, _ISSUER).upper()}|{identifier}" if identifier else f"name|{name}"
    if not identifier and not name.strip("^= "):
        known_by = f"study|{text_of(parsed, STUDY)}"
    return _person(keys, known_by)


@lru_cache(maxsize=1024)
def _person(keys: ProjectKeys, known_by: str) -> Person:
    raw_key = known_by.encode("utf-8", "surrogateescape")
    digest = keys.digest("pseudonym", raw_key).hex()[:_DIGEST_DIGITS].upper()
    return _person_named(digest + _pseudonym_check(keys, digest), shift_days(keys.digest("dates", raw_key)))


def _person_named(identifier: str, days: int) -> Person:
    return Person(f"MEDVIZ^{identifier[:8]}", identifier, days)


@lru_cache(maxsize=1024)
def _is_pseudonym(keys: ProjectKeys, identifier: str) -> bool:
    """Return whether a patient's ID was made here with this key."""
    digest = identifier[:_DIGEST_DIGITS]
    return bool(_PSEUDONYM.match(identifier)) and identifier[_DIGEST_DIGITS:] == _pseudonym_check(
        keys, digest
    )


def _pseudonym_check(keys: ProjectKeys, digest: str) -> str:
    return keys.digest("pseudonym check", digest.encode()).hex()[:_CHECK_DIGITS].upper()


def collect(parsed: ParsedFile, deny: DenyList, seen: set[Element]) -> None:
    """Add to the deny-list what the header says about people, numbers, dates and places."""
    _collect(parsed.elements, parsed.encoding, character_set_of(parsed), deny, seen)


def _collect(
    elements: Sequence[Element], encoding: Encoding, character_set: bytes, deny: DenyList, seen: set[Element]
) -> None:
    for element in elements:
        if element.tag == CHARACTER_SET:
            character_set = element.value
        if element in seen or (len(element.value) > 65536 and element.vr != "SQ"):
            continue
        seen.add(element)
        vr = known_vr(element.tag) or element.vr
        if vr == "SQ":
            for item in _items_or_none(element, encoding):
                _collect(item, encoding, character_set, deny, seen)
        elif element.value:
            _list(element, vr, character_set, deny)


def _items_or_none(element: Element, encoding: Encoding) -> tuple[tuple[Element, ...], ...]:
    try:
        inside = element.implicit_inside or (element.vr == "UN" and encoding.is_explicit)
        return read_items(element._replace(implicit_inside=inside), encoding)
    except StudyUnreadable:
        return ()


def _list(element: Element, vr: str, character_set: bytes, deny: DenyList) -> None:
    if vr == "PN":
        for name in decoded(element.value, character_set).split("\\"):
            deny.add_name(name)
        return
    row = row_of(element.tag)
    if row is None or element.tag >> 16 & 1 or row.basic == "K":
        return
    if vr in ("DA", "DT"):
        deny.add_date(element.value.decode("latin-1"))
    elif vr in _WHOLE_TEXT_VRS and "clean_descriptors" not in row.options:
        for text in decoded(element.value, character_set).split("\\"):
            deny.add_text(text)


def fixed_uids(parsed: ParsedFile, keys: ProjectKeys, profile: Profile) -> dict[int, str]:
    """Return the UIDs that study, series and instance leave with: new ones, unless the profile retains them.

    Raises
    ------
    StudyUnreadable
        ``MISSING_UID`` when the file lacks one of the three: an invented one could join strangers.
    """
    found = {tag: text_of(parsed, tag) for tag in (STUDY, SERIES, SOP_INSTANCE)}
    if not all(found.values()):
        raise StudyUnreadable(
            "A file of the study lacks the UID of its study, series or instance.",
            reason="MISSING_UID",
            mend="Send the study again from the archive; a disc or an export may have lost them.",
        )
    return {tag: retained_or_new(keys, uid, profile) for tag, uid in found.items()}


def retained_or_new(keys: ProjectKeys, uid: str, profile: Profile) -> str:
    """Return the UID itself under a profile that retains UIDs and when it is one, otherwise a new one."""
    is_retained = profile.uses("retain_uids") and _UID.match(uid)
    return uid if is_retained else new_uid(keys, uid)


def statement(
    profile: Profile, encoding: Encoding, *, pixels_cleaned: bool, shows_face: bool
) -> dict[int, bytes]:
    """Return the elements that say what was done (PS3.15 E.1.1, E.2, E.3.1, E.3.2), by tag."""
    values: dict[int, tuple[str, bytes]] = {
        0x00120062: ("CS", b"YES"),
        0x00120063: ("LO", f"MedViz\\PS3.15 {table()['edition']} Annex E\\{profile.name}".encode()),
        0x00120064: ("SQ", _code_items(profile, encoding)),
        0x00280303: ("CS", _TEMPORAL[profile.dates]),
    }
    if pixels_cleaned:
        values[_BURNED_IN] = ("CS", b"NO")
    values[_RECOGNIZABLE] = ("CS", b"YES" if shows_face else b"NO")
    return {tag: encode_element(tag, vr, value, encoding) for tag, (vr, value) in values.items()}


def _code_items(profile: Profile, encoding: Encoding) -> bytes:
    items = []
    for value, meaning in profile.codes:
        parts = ((0x00080100, "SH", value), (0x00080102, "SH", "DCM"), (0x00080104, "LO", meaning))
        items.append(b"".join(encode_element(tag, vr, text.encode(), encoding) for tag, vr, text in parts))
    return encode_items(items, encoding)


def file_start(sop_class: str, instance: str, syntax: str) -> bytes:
    """Return preamble and File Meta that speak of this program only (PS3.10 7.1)."""
    elements = (
        (0x00020001, "OB", b"\0\1"),
        (0x00020002, "UI", sop_class.encode()),
        (0x00020003, "UI", instance.encode()),
        (0x00020010, "UI", output_syntax(syntax).encode()),
        (0x00020012, "UI", _IMPLEMENTATION.encode()),
        (0x00020013, "SH", _VERSION.encode()),
    )
    body = b"".join(encode_element(tag, vr, value, _EXPLICIT_LITTLE) for tag, vr, value in elements)
    length = encode_element(0x00020000, "UL", struct.pack("<L", len(body)), _EXPLICIT_LITTLE)
    return bytes(128) + b"DICM" + length + body


def output_syntax(syntax: str) -> str:
    """Return the transfer syntax of the output: the input's, but a deflated file is written plainly."""
    if syntax == DEFLATED:
        return EXPLICIT_LITTLE
    return syntax if UID(syntax).is_transfer_syntax else EXPLICIT_LITTLE


def joined(kept: Sequence[tuple[int, bytes]], replaced: Mapping[int, bytes]) -> bytes:
    """Return a header: the kept elements, with some replaced or added, in the order of their tags."""
    elements = [*(pair for pair in kept if pair[0] not in replaced), *replaced.items()]
    return b"".join(encoded for _, encoded in sorted(elements, key=lambda pair: pair[0]))


def pixel_header(parsed: ParsedFile) -> bytes:
    """Return tag, VR and length of the pixel element; bytes that follow the last pixel are left out."""
    span = parsed.pixels
    if span is None:
        return b""
    head = bytes(parsed.buffer[span.start : span.value_start])
    if span.is_encapsulated:
        return head
    order = "<L" if parsed.encoding.is_little else ">L"
    return head[:-4] + struct.pack(order, _value_length(parsed, span))


def pixel_value(parsed: ParsedFile) -> Iterator[bytes | memoryview]:
    """Give the value of the pixel element piece by piece; compressed frames lose their comments."""
    span = parsed.pixels
    if span is None:
        return
    with memoryview(parsed.buffer) as view:
        if not span.is_encapsulated:
            with view[span.value_start : span.value_start + _value_length(parsed, span)] as pixels:
                yield pixels
            return
        is_rle = parsed.syntax == RLE
        rle_pixels = number_of(parsed, 0x00280010) * number_of(parsed, 0x00280011) if is_rle else 0
        with view[span.value_start : span.end] as value:
            yield from fragments_without_comments(value, rle_pixels=rle_pixels)


def _value_length(parsed: ParsedFile, span: PixelSpan) -> int:
    """Return the even length in bytes that the header promises, at most what is there."""
    promised = (_promised_bits(parsed) + 7) // 8
    return min(span.end - span.value_start, promised + promised % 2)
