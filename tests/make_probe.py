# ruff: noqa: E501 - a table reads as rows
"""The leak probe: a word nobody else uses in each of more than a hundred kinds of hiding places.

`PLACES` names the kinds. `write_probe` writes one file a place, so that a file that is held hides nothing about
the others; `found_in` searches a folder for the words: as text in every encoding, deflated, in Base64, in
hexadecimal, backwards, byte-swapped, cut in pieces by other characters, and in the bits of the pixels.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from anonymize.deid import Orders, deidentify
from anonymize.pixels import TextBox
from anonymize.quarantine import admit
from medviz.core.study import DeidentifiedStudy
from tests import make_codes, make_documents, make_objects, make_raw
from tests.make_objects import code, content, item
from tests.make_raw import ROOT

Plant = Callable[[Dataset, str], "bytes | None"]
Form = Callable[[int], str]


def word(number: int) -> str:
    """Return a word of nine letters that no language has."""
    return "Vz" + "".join(chr(97 + number // 26**power % 26) for power in (3, 2, 1, 0)) + "qxw"


def date(number: int) -> str:
    """Return a day from 1871 on, never in January, as a DA value."""
    return f"{1871 + number // 275:04d}{2 + number // 25 % 11:02d}{3 + number % 25:02d}"


def chinese(number: int) -> str:
    """Return a name of three Chinese characters, the last of them rare."""
    return "欧阳" + bytes([0xD8 + number // 94 % 30, 0xA1 + number % 94]).decode("gb2312")


def korean(number: int) -> str:
    """Return a name of three Hangul syllables."""
    return "뷁쀍" + bytes([0xB0 + number // 94 % 20, 0xA1 + number % 94]).decode("euc_kr")


def japanese(number: int) -> str:
    """Return a name in Kanji."""
    return "髙橋鷹"[1:] + bytes([0xB0 + number // 94 % 30, 0xA1 + number % 94]).decode("euc_jp")


def uid(number: int) -> str:
    return f"{ROOT}.77.{number}"


def mobile(number: int) -> str:
    """Return a Chinese mobile number."""
    return f"139{number:04d}7713"


def resident(number: int) -> str:
    """Return a Chinese resident number."""
    return f"11010519310407{number:03d}X"


def hospital_number(number: int) -> str:
    return f"8841{number:04d}"


class Place(NamedTuple):
    """A kind of hiding place: its name, the object it is planted in, how, and what the word looks like."""

    kind: str
    where: str
    plant: Plant
    form: Form = word


class Planted(NamedTuple):
    """A place with its word and its file."""

    place: Place
    token: str
    name: str


# --- ways to plant ---


def _deep(ds: Dataset, path: str) -> tuple[Dataset, str]:
    """Return the item and keyword at the end of a path such as ``RequestAttributesSequence.StudyID``."""
    *sequences, keyword = path.split(".")
    for name in sequences:
        if name not in ds or not ds[name].value:
            setattr(ds, name, Items([Dataset()]))
        ds = ds[name].value[0]
    return ds, keyword


def at(path: str, template: str = "{t}") -> Plant:
    """Return a plant that sets the attribute at a path; `{t}` is the word, `{T}` in capitals."""

    def plant(ds: Dataset, token: str) -> None:
        target, keyword = _deep(ds, path)
        text = template.format(t=token, T=token.upper())
        setattr(target, keyword, text.split("\\") if "\\" in text else text)

    return plant


def as_bytes(path: str, vr: str = "", template: str = "{t}", codec: str = "utf-8") -> Plant:
    """Return a plant that writes bytes under a VR as they are, whatever the standard says of them."""

    def plant(ds: Dataset, token: str) -> None:
        target, keyword = _deep(ds, path)
        tag = Tag(tag_for_keyword(keyword) or int(keyword, 16))
        value = template.format(t=token, T=token.upper()).encode(codec)
        target[tag] = raw_element(tag, vr or dictionary_VR(tag), value + b"\0" * (len(value) % 2))

    return plant


def raw_element(tag: int, vr: str, value: bytes) -> RawDataElement:
    return RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


def odd(keyword: str) -> Plant:
    """Return a plant whose value has an odd length, which the standard forbids."""

    def plant(ds: Dataset, token: str) -> None:
        tag = Tag(tag_for_keyword(keyword))
        ds[tag] = raw_element(tag, dictionary_VR(tag), token.encode() + b" Jo"[: 1 + len(token) % 2 * 1])

    return plant


def private(group: int, creator: str, vr: str, *, path: str = "", codec: str = "utf-8") -> Plant:
    """Return a plant in a private element, at the top or in the item at a path."""

    def plant(ds: Dataset, token: str) -> None:
        target = _deep(ds, f"{path}.StudyID")[0] if path else ds
        target.add_new(group << 16 | 0x10, "LO", creator.format(t=token))
        value = token.encode(codec) + b"\0" * (len(token.encode(codec)) % 2)
        target[Tag(group << 16 | 0x1001)] = raw_element(group << 16 | 0x1001, vr, value)

    return plant


def patched(change: Callable[[bytes, str], bytes]) -> Plant:
    """Return a plant that changes the bytes of the file."""

    def plant(ds: Dataset, token: str) -> bytes:
        return change(make_raw.to_bytes(ds), token)

    return plant


def with_code(path: str, value: str, scheme: str, meaning: str) -> Plant:
    """Return a plant of a coded term."""

    def plant(ds: Dataset, token: str) -> None:
        target, keyword = _deep(ds, path)
        setattr(
            target,
            keyword,
            Items([code(*(part.format(t=token, T=token.upper()) for part in (value, scheme, meaning)))]),
        )

    return plant


def answer(kind: str, **values: str) -> Plant:
    """Return a plant that adds a content item to a report."""

    def plant(ds: Dataset, token: str) -> None:
        name = code("121071", "DCM", "Finding")
        filled = {key: value.format(t=token, T=token.upper()) for key, value in values.items()}
        ds.ContentSequence.append(content(kind, "CONTAINS", name, **filled))

    return plant


def _bits(shift: int, *, is_described: bool) -> Plant:
    """Return a plant in bits of the pixels that the header does not count as stored."""

    def plant(ds: Dataset, token: str) -> None:
        pixels = np.frombuffer(ds.PixelData, "<u2").copy()
        letters = np.unpackbits(np.frombuffer(token.encode(), np.uint8), bitorder="little").astype(np.uint16)
        pixels[: len(letters)] |= letters << shift
        ds.PixelData = pixels.tobytes()
        if is_described:
            ds.add_new(0x60000010, "US", ds.Rows)
            ds.add_new(0x60000011, "US", ds.Columns)
            ds.add_new(0x60000040, "CS", "G")
            ds.add_new(0x60000050, "SS", [1, 1])
            ds.add_new(0x60000100, "US", 16)
            ds.add_new(0x60000102, "US", shift)

    return plant


def _group(group: int, element: int, vr: str, size: int = 32) -> Plant:
    """Return a plant in a repeating group, an overlay or a curve."""

    def plant(ds: Dataset, token: str) -> None:
        if group >= 0x6000:
            ds.add_new(group << 16 | 0x0010, "US", 16)
            ds.add_new(group << 16 | 0x0011, "US", 16)
            ds.add_new(group << 16 | 0x0100, "US", 1)
        is_text = vr not in ("OB", "OW")
        ds.add_new(group << 16 | element, vr, token if is_text else token.encode().ljust(size, b"\0"))

    return plant


def _icon(path: str) -> Plant:
    def plant(ds: Dataset, token: str) -> None:
        icon = Dataset()
        make_raw.set_icon(icon, token + "x")
        target, keyword = _deep(ds, path)
        setattr(target, keyword, Items([icon]))

    return plant


def _depth(levels: int) -> Plant:
    """Return a plant of a name in an item so many sequences deep."""
    return at(
        ".".join(
            [*["ReferencedImageSequence", "PurposeOfReferenceCodeSequence"] * (levels // 2), "PatientName"]
        )
    )


def _report_depth(levels: int) -> Plant:
    def plant(ds: Dataset, token: str) -> None:
        node = content("TEXT", "CONTAINS", code("121071", "DCM", "Finding"), TextValue=token)
        for _ in range(levels):
            node = content("CONTAINER", "CONTAINS", code("121070", "DCM", "Findings"), node)
        ds.ContentSequence.append(node)

    return plant


def _other_set(charset: str, codec: str, keyword: str = "SeriesDescription", template: str = "{t}") -> Plant:
    """Return a plant in an item that has its own character set."""

    def plant(ds: Dataset, token: str) -> None:
        inner, tag = Dataset(), Tag(tag_for_keyword(keyword))
        inner.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
        value = template.format(t=token).encode(codec)
        inner[tag] = raw_element(tag, dictionary_VR(tag), value + b" " * (len(value) % 2))
        ds.SourceImageSequence = Items([inner])

    return plant


def _whole_set(charset: str, codec: str, keyword: str, template: str = "{t}") -> Plant:
    """Return a plant in a data set of another character set."""

    def plant(ds: Dataset, token: str) -> None:
        ds.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
        as_bytes(keyword, "", template, codec)(ds, token)

    return plant


def _code_stream(syntax: str, change: Callable[[bytes, bytes], bytes]) -> Plant:
    """Return a plant in the code stream of the first frame."""

    def plant(ds: Dataset, token: str) -> None:
        frame = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        if syntax == JPEGBaseline8Bit:
            ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
            ds.LossyImageCompression = "01"
            data = _jpeg((frame >> 4).astype(np.uint8))
        else:
            data = make_codes.encode_frame(frame, syntax, ds)
        changed = change(data, token.encode())
        ds.file_meta.TransferSyntaxUID = syntax
        make_objects.set_compressed(ds, [changed + b"\0" * (len(changed) % 2)])

    return plant


def _jpeg(frame: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=90)
    return out.getvalue()


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">HH", marker, len(data) + 2) + data


def _after_header(marker: int, prefix: bytes = b"") -> Callable[[bytes, bytes], bytes]:
    """Return a change that puts a marker segment behind the start of a JPEG."""
    return lambda data, token: data[:2] + _segment(marker, prefix + token) + data[2:]


def _before_end(marker: int) -> Callable[[bytes, bytes], bytes]:
    """Return a change that puts a marker segment behind the scan."""
    return lambda data, token: data[: data.rindex(b"\xff\xd9")] + _segment(marker, token) + b"\xff\xd9"


def _in_codestream_comment(data: bytes, token: bytes) -> bytes:
    """Return a JPEG 2000 code stream with a comment in its main header, behind the size segment."""
    size = int.from_bytes(data[4:6], "big")
    return data[: 4 + size] + _segment(0xFF64, b"\0\1" + token) + data[4 + size :]


def _fragments(change: Callable[[list[bytes], bytes], tuple[bytes, list[bytes]]]) -> Plant:
    """Return a plant in the offset table or among the fragments; `change` gives both."""

    def plant(ds: Dataset, token: str) -> None:
        frame = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        table, parts = change([make_codes.encode_frame(frame, RLELossless, ds)], token.encode())
        ds.file_meta.TransferSyntaxUID = RLELossless
        items = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(part)) + part for part in (table, *parts))
        ds.PixelData = items
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True

    return plant


def _palette_tail(ds: Dataset, token: str) -> None:
    for keyword in ("Red", "Green", "Blue"):
        setattr(ds, f"{keyword}PaletteColorLookupTableDescriptor", [16, 0, 16])
        data = bytes(32) + (token.encode() + b"\0" if keyword == "Blue" else b"")
        setattr(ds, f"{keyword}PaletteColorLookupTableData", data)


def _paper(make: Callable[[str], bytes], kind: str = "EncapsulatedDocument") -> Plant:
    """Return a plant in a document."""

    def plant(ds: Dataset, token: str) -> None:
        data = make(token)
        ds.EncapsulatedDocument = data + b"\0" * (len(data) % 2)
        ds.EncapsulatedDocumentLength = len(data)

    return plant


def _film(make: Callable[[str], bytes]) -> Plant:
    """Return a plant in a video."""

    def plant(ds: Dataset, token: str) -> None:
        data = make(token)
        make_objects.set_compressed(ds, [data + b"\0" * (len(data) % 2)])

    return plant


def _attached(token: str) -> bytes:
    files = "/Names << /EmbeddedFiles << /Names [(letter.txt) 10 0 R] >> >>"
    spec = b"<< /Type /Filespec /F (letter.txt) /EF << /F 11 0 R >> >>"
    letter = make_documents.stream(f"Letter about {token}".encode(), "/Type /EmbeddedFile")
    return make_documents.pdf(catalog=files, objects={10: spec, 11: letter})


def _xmp(token: str) -> bytes:
    packet = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><dc:creator>{token}</dc:creator></x:xmpmeta>".encode()
    entries = "/Type /Metadata /Subtype /XML"
    return make_documents.pdf(
        catalog="/Metadata 10 0 R", objects={10: make_documents.stream(packet, entries, is_packed=False)}
    )


def _note(token: str) -> bytes:
    note = f"<< /Type /Annot /Subtype /Text /Rect [10 10 20 20] /Contents (See {token}) >>".encode()
    return make_documents.pdf(page="/Annots [10 0 R]", objects={10: note})


def _note_author(token: str) -> bytes:
    note = f"<< /Type /Annot /Subtype /Text /Rect [10 10 20 20] /T ({token}) /Contents (x) >>".encode()
    return make_documents.pdf(page="/Annots [10 0 R]", objects={10: note})


def _link(token: str) -> bytes:
    note = (
        "<< /Type /Annot /Subtype /Link /Rect [10 10 20 20] "
        f"/A << /S /URI /URI (http://x.org/?q={token}) >> >>"
    )
    return make_documents.pdf(page="/Annots [10 0 R]", objects={10: note.encode()})


def _form(token: str) -> bytes:
    field = f"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V ({token}) /Rect [10 10 90 30] >>".encode()
    return make_documents.pdf(
        catalog="/AcroForm << /Fields [10 0 R] >>", page="/Annots [10 0 R]", objects={10: field}
    )


def _outline(token: str) -> bytes:
    root = b"<< /Type /Outlines /First 11 0 R /Last 11 0 R /Count 1 >>"
    entry = f"<< /Title ({token}) /Parent 10 0 R /Dest [3 0 R /Fit] >>".encode()
    return make_documents.pdf(catalog="/Outlines 10 0 R", objects={10: root, 11: entry})


def _script(token: str) -> bytes:
    return make_documents.pdf(catalog=f"/OpenAction << /S /JavaScript /JS (app.alert('{token}')) >>")


def _layer_name(token: str) -> bytes:
    group = f"<< /Type /OCG /Name ({token}) >>".encode()
    return make_documents.pdf(catalog="/OCProperties << /OCGs [10 0 R] /D << >> >>", objects={10: group})


def _old_revision(token: str) -> bytes:
    body = make_documents.stream(b"BT /F1 12 Tf 20 150 Td (Nothing.) Tj ET")
    return make_documents.revised(make_documents.pdf(f"Patient {token}"), 4, body)


def _wide(token: str) -> str:
    return "<FEFF" + token.encode("utf-16-be").hex().upper() + ">"


def _two_blocks(ds: Dataset, token: str) -> None:
    """Plant in a private sequence inside a public one."""
    inner = Dataset()
    inner.PatientName = token
    outer = Dataset()
    outer.add_new(0x00290010, "LO", "ACME")
    outer.add_new(0x00291010, "SQ", Items([inner]))
    ds.RequestAttributesSequence = Items([outer])


def _private_frame(ds: Dataset, token: str) -> None:
    group = Dataset()
    group.add_new(0x00210010, "LO", "SIEMENS MED")
    group.add_new(0x00211001, "LO", token)
    frame = ds.PerFrameFunctionalGroupsSequence[1]
    frame.add_new(0x002110FE, "SQ", Items([group]))
    frame.add_new(0x00210010, "LO", "SIEMENS MR SDS 01")


def _in_frame(path: str, template: str = "{t}") -> Plant:
    """Return a plant in the functional groups of one frame."""

    def plant(ds: Dataset, token: str) -> None:
        at(path, template)(ds.PerFrameFunctionalGroupsSequence[2], token)

    return plant


def _csa(ds: Dataset, token: str) -> None:
    ds.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    ds.add_new(
        0x00291020, "OB", b"SV10\4\3\2\1" + f'<ParamString."tPatientName">{{"{token}"}}'.encode() + b"\0"
    )


def _packed_xml(ds: Dataset, token: str) -> None:
    ds.add_new(0x00291010, "LO", "ACME")
    ds[Tag(0x00291001)] = raw_element(
        0x00291001, "UN", zlib.compress(f"<name>{token}</name>".encode()) + b"\0"
    )
    ds.add_new(0x00290010, "LO", "GEMS_IDEN_01")


def _undefined_unknown(ds: Dataset, token: str) -> bytes:
    """Return a file with a sequence that was sent as UN with undefined length (PS3.5 6.2.2)."""
    name = token.encode() + b" "
    inner = struct.pack("<HHL", 0x0010, 0x0010, len(name)) + name
    items = struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    unknown = struct.pack("<HH2sHL", 0x0040, 0x0275, b"UN", 0, 0xFFFFFFFF) + items
    return _inserted(make_raw.to_bytes(ds), 0x00400275, unknown)


def _inserted(data: bytes, tag: int, element: bytes) -> bytes:
    """Return a plain explicit little endian file with an element put where its tag belongs."""
    position = 144 + struct.unpack_from("<L", data, 140)[0]
    while True:
        group, number = struct.unpack_from("<HH", data, position)
        if (group << 16 | number) > tag:
            return data[:position] + element + data[position:]
        vr = data[position + 4 : position + 6]
        is_long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OF", b"OD")
        length = struct.unpack_from("<L" if is_long else "<H", data, position + (8 if is_long else 6))[0]
        if length == 0xFFFFFFFF:
            raise AssertionError("the probe's file has a sequence of undefined length in the way")
        position += (12 if is_long else 8) + length


def _meta(tag: int, vr: str) -> Plant:
    def plant(ds: Dataset, token: str) -> None:
        if tag == 0x00020102:
            ds.file_meta.PrivateInformationCreatorUID = f"{ROOT}.4"
        ds.file_meta.add_new(tag, vr, token.encode() + b"\0" if vr == "OB" else token)

    return plant


def _preamble(ds: Dataset, token: str) -> None:
    ds.preamble = (b"II*\0" + token.encode()).ljust(128, b"\0")


def _two_pixels(ds: Dataset, token: str) -> None:
    ds.add_new(0x7FE00008, "OF", (token.encode() + b"\0" * 8)[:16])


def _longer_pixels(ds: Dataset, token: str) -> None:
    ds.PixelData += token.encode() + b"\0" * (len(token) % 2)


def _waveform(keyword: str) -> Plant:
    """Return a plant in a waveform that does not belong into an image."""

    def plant(ds: Dataset, token: str) -> None:
        wave = item(WaveformOriginality="ORIGINAL", NumberOfWaveformChannels=1, NumberOfWaveformSamples=8)
        wave.WaveformBitsAllocated, wave.WaveformSampleInterpretation = 8, "SB"
        wave.WaveformData = token.encode() + b"\0" if keyword == "WaveformData" else bytes(8)
        wave["WaveformData"].VR = "OB"
        wave.ChannelDefinitionSequence = Items(
            [item(ChannelLabel=token if keyword == "ChannelLabel" else "I")]
        )
        if keyword == "MultiplexGroupLabel":
            wave.MultiplexGroupLabel = token
        ds.WaveformSequence = Items([wave])
        if keyword == "UnformattedTextValue":
            ds.WaveformAnnotationSequence = Items([item(UnformattedTextValue=token)])

    return plant


def _graphic_text(**values: str) -> Plant:
    """Return a plant in the text object of a presentation state."""

    def plant(ds: Dataset, token: str) -> None:
        note = ds.GraphicAnnotationSequence[0].TextObjectSequence[0]
        for keyword, value in values.items():
            setattr(note, keyword, value.format(t=token))

    return plant


def _of_first(sequence: str, path: str, template: str = "{t}") -> Plant:
    """Return a plant in the first item of a sequence that the object has already."""

    def plant(ds: Dataset, token: str) -> None:
        at(path, template)(_deep(ds, f"{sequence}.StudyID")[0], token)

    return plant


def _layer(ds: Dataset, token: str) -> None:
    for part in (ds.GraphicLayerSequence[0], ds.GraphicAnnotationSequence[0]):
        part.GraphicLayer = token.upper()


def _beam(path: str, template: str = "{t}") -> Plant:
    def plant(ds: Dataset, token: str) -> None:
        ds.BeamSequence = Items(
            [item(BeamNumber=1, BeamType="STATIC", RadiationType="PHOTON", NumberOfControlPoints=0)]
        )
        at(path, template)(ds.BeamSequence[0], token)

    return plant


def _named_kernel(ds: Dataset, token: str) -> None:
    ds.PatientName, ds.ConvolutionKernel = f"{token}^Anna", token


def _named_in_text(template: str) -> Plant:
    """Return a plant where the patient's own name stands in a description."""

    def plant(ds: Dataset, token: str) -> None:
        ds.PatientName = f"{token}^Anna"
        ds.SeriesDescription = template.format(t=token, T=token.upper())

    return plant


def _original_attributes(path: str, put: Callable[[str], Plant] = at) -> Plant:
    def plant(ds: Dataset, token: str) -> None:
        ds.OriginalAttributesSequence = Items([
            item(
                SourceOfPreviousValues="PACS", AttributeModificationDateTime="20240311120000",
                ModifyingSystem="RIS", ReasonForTheAttributeModification="COERCE",
                ModifiedAttributesSequence=item(PatientID="X1"),
            )
        ])  # fmt: skip
        put(f"OriginalAttributesSequence.{path}")(ds, token)

    return plant


def _series_with_letters(ds: Dataset, token: str) -> None:
    ds.SeriesDescription = "  ".join(token)


def _long_text(ds: Dataset, token: str) -> None:
    ds.ImageComments = "axial brain " * 6000 + token


def _end(data: bytes, token: str) -> bytes:
    return data + token.encode()


def _second_file(data: bytes, token: str) -> bytes:
    """Return a file behind which another one follows."""
    other = make_objects.one("ct-1")
    other.PatientComments = token
    return data + make_raw.to_bytes(other)


def _length_lies(data: bytes, token: str) -> bytes:
    """Return a file whose item is shorter than what stands in it: the rest lies between the elements."""
    name = token.encode() + b" "
    inner = struct.pack("<HH2sH", 0x0010, 0x0010, b"PN", len(name)) + name
    sequence = struct.pack("<HHL", 0xFFFE, 0xE000, 0) + inner
    element = struct.pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, len(sequence)) + sequence
    return _inserted(data, 0x00400275, element)


def _unknown_vr(data: bytes, token: str) -> bytes:
    """Return a file with patient comments under a VR that does not exist."""
    value = token.encode() + b" "
    element = struct.pack("<HH2sH", 0x0010, 0x4000, b"ZZ", len(value)) + value
    return _inserted(data, 0x00104000, element)


def _command_group(data: bytes, token: str) -> bytes:
    """Return a file that begins with an element of the command group."""
    name = token.encode() + b" "
    start = 144 + struct.unpack_from("<L", data, 140)[0]
    element = struct.pack("<HH2sH", 0x0000, 0x0600, b"AE", len(name)) + name
    return data[:start] + element + data[start:]


def _without_meta(data: bytes, token: str) -> bytes:
    """Return a file without preamble and File Meta, with a comment."""
    start = 144 + struct.unpack_from("<L", data, 140)[0]
    comment = token.encode() + b" "
    return _inserted(data, 0x00204000, struct.pack("<HH2sH", 0x0020, 0x4000, b"LT", len(comment)) + comment)[
        start:
    ]


_CT = (
    # names
    Place("family name of the patient", "ct-0", at("PatientName", "{t}^Anna")),
    Place("name suffix of the patient", "ct-0", at("PatientName", "Meier^Anna^^Dr.^{t}")),
    Place("phonetic group of a name", "ct-0", at("PatientName", "Yamada^Tarou=Y^T={t}")),
    Place("second of several other names", "ct-0", at("OtherPatientNames", "Meier^A\\{t}^B")),
    Place("birth name", "ct-0", at("PatientBirthName", "{t}^X")),
    Place("mother's birth name", "ct-0", at("PatientMotherBirthName", "{t}^X")),
    Place("responsible person", "ct-0", at("ResponsiblePerson", "{t}^X")),
    Place("responsible organisation", "ct-0", at("ResponsibleOrganization")),
    Place("patient ID", "ct-0", at("PatientID")),
    Place("other patient ID in an item", "ct-0", at("OtherPatientIDsSequence.PatientID")),
    Place("issuer of the patient ID", "ct-0", at("IssuerOfPatientID")),
    Place("universal entity of an issuer", "ct-0", at("IssuerOfPatientIDQualifiersSequence.UniversalEntityID")),
    Place("referring physician", "ct-0", at("ReferringPhysicianName", "{t}^X")),
    Place("code of a physician", "ct-0", with_code(
        "ReferringPhysicianIdentificationSequence.PersonIdentificationCodeSequence", "{t}", "99KQ", "Doctor")),
    Place("address of a physician", "ct-0", at("ReferringPhysicianIdentificationSequence.PersonAddress", "{t} 5")),
    Place("institution of an operator", "ct-0", at("OperatorIdentificationSequence.InstitutionName")),
    Place("name in a human performer item", "ct-0", at("ActualHumanPerformersSequence.HumanPerformerName", "{t}^X")),
    Place("consulting physician", "ct-0", at("ConsultingPhysicianName", "{t}^X")),
    Place("person in an attribute of a visit", "ct-0", at("ScheduledPatientInstitutionResidence")),
    Place("patient's address", "ct-0", at("PatientAddress", "{t} 7, 1234 Ort")),
    Place("patient's telecom information", "ct-0", at("PatientTelecomInformation", "tel:{t}")),
    Place("insurance plan code", "ct-0", with_code("PatientInsurancePlanCodeSequence", "1", "99K", "{t}")),
    Place("language code of one's own", "ct-0", with_code("PatientPrimaryLanguageCodeSequence", "{t}", "99K", "x")),
    Place("clinical trial sponsor", "ct-0", at("ClinicalTrialSponsorName")),
    Place("clinical trial subject", "ct-0", at("ClinicalTrialSubjectID")),
    Place("clinical trial site", "ct-0", at("ClinicalTrialSiteName")),
    Place("admission ID", "ct-0", at("AdmissionID")),
    Place("service episode description", "ct-0", at("ServiceEpisodeDescription")),
    Place("pet's breed registration", "ct-0", at("BreedRegistrationSequence.BreedRegistrationNumber")),
    # institutions and devices
    Place("institution name", "ct-0", at("InstitutionName")),
    Place("institution code value", "ct-0", with_code("InstitutionCodeSequence", "{t}", "99KQ", "Hospital")),
    Place("department type code", "ct-0", with_code("InstitutionalDepartmentTypeCodeSequence", "1", "99KQ", "{t}")),
    Place("station name", "ct-0", at("StationName")),
    Place("device serial number", "ct-0", at("DeviceSerialNumber")),
    Place("unique device identifier", "ct-0", at("UDISequence.UniqueDeviceIdentifier", "(01){t}")),
    Place("device description", "ct-0", at("UDISequence.DeviceDescription")),
    Place("device label of a contributing equipment", "ct-0", at("ContributingEquipmentSequence.StationName")),
    Place("contribution description", "ct-0", at("ContributingEquipmentSequence.ContributionDescription")),
    Place("gantry ID", "ct-0", at("GantryID")),
    Place("application entity title", "ct-0", at("RetrieveAETitle")),
    Place("scheduled station AE title in an item", "ct-0",
          at("ScheduledProcedureStepSequence.ScheduledStationAETitle")),
    Place("device UID", "ct-0", at("DeviceUID"), uid),
    Place("UID of an irradiation event", "ct-0", at("IrradiationEventUID"), uid),
    # descriptions
    Place("study description", "ct-0", at("StudyDescription")),
    Place("radiology words around a name", "ct-0", at("SeriesDescription", "CT HEAD {t} 1.5 axial")),
    Place("patient's own name in a description", "ct-0", _named_in_text("CT HEAD {T}")),
    Place("possessive of the patient's name", "ct-0", _named_in_text("{t}'s head")),
    Place("name glued to a radiology word", "ct-0", _named_in_text("Head_{t}_1.5mm")),
    Place("name spelled with spaces", "ct-0", _series_with_letters),
    Place("image comments", "ct-0", at("ImageComments", "seen by Dr. {t}")),
    Place("end of a very long comment", "ct-0", _long_text),
    Place("patient comments", "ct-0", at("PatientComments")),
    Place("additional history", "ct-0", at("AdditionalPatientHistory", "Lives with {t}")),
    Place("protocol name", "ct-0", at("ProtocolName", "{t} Head")),
    Place("acquisition protocol element", "ct-0",
          at("PerformedProtocolCodeSequence.ProtocolContextSequence.TextValue")),
    Place("window explanation", "ct-0", at("WindowCenterWidthExplanation")),
    Place("filter type", "ct-0", at("FilterType")),
    Place("contrast agent", "ct-0", at("ContrastBolusAgent")),
    Place("derivation description", "ct-0", at("DerivationDescription")),
    Place("look-up table explanation", "ct-0", at("VOILUTSequence.LUTExplanation")),
    Place("scheduled step in request attributes", "ct-0",
          at("RequestAttributesSequence.ScheduledProcedureStepDescription")),
    Place("requested procedure ID in request attributes", "ct-0", at("RequestAttributesSequence.RequestedProcedureID")),
    Place("reason for the request", "ct-0", at("ReasonForTheRequestedProcedure")),
    Place("performed procedure step in a reference", "ct-0",
          at("ReferencedPerformedProcedureStepSequence.PerformedProcedureStepDescription")),
    Place("order placer number", "ct-0", at("PlacerOrderNumberImagingServiceRequest")),
    Place("accession issuer", "ct-0", at("IssuerOfAccessionNumberSequence.LocalNamespaceEntityID")),
    Place("confidentiality constraint", "ct-0", at("ConfidentialityConstraintOnPatientDataDescription")),
    Place("special needs", "ct-0", at("SpecialNeeds")),
    Place("allergies", "ct-0", at("Allergies")),
    # depth
    Place("name two sequences deep", "ct-0", _depth(2)),
    Place("name four sequences deep", "ct-0", _depth(4)),
    Place("name ten sequences deep", "ct-0", _depth(10)),
    Place("original attribute", "ct-0", _original_attributes("ModifiedAttributesSequence.PatientName")),
    Place("source of previous values", "ct-0", _original_attributes("SourceOfPreviousValues")),
    Place("modifying system", "ct-0", _original_attributes("ModifyingSystem")),
    Place("nonconforming modified attribute", "ct-0",
          _original_attributes("NonconformingModifiedAttributesSequence.NonconformingDataElementValue", as_bytes)),
    Place("encrypted attributes", "ct-0", as_bytes("EncryptedAttributesSequence.EncryptedContent")),
    Place("certificate of a signer", "ct-0", as_bytes("DigitalSignaturesSequence.CertificateOfSigner")),
    Place("digital signature", "ct-0", as_bytes("DigitalSignaturesSequence.Signature")),
    Place("message authentication parameters", "ct-0", at("MACParametersSequence.MACAlgorithm", "{T}")),
    Place("HL7 document reference", "ct-0", at("ReferencedInstanceSequence.HL7InstanceIdentifier", "1.2^{t}")),
    # dates
    Place("date of birth", "ct-0", at("PatientBirthDate"), date),
    Place("date in an attribute outside the table", "ct-0", as_bytes("DateOfSecondaryCapture"), date),
    Place("date nested in an item", "ct-0", at("RequestAttributesSequence.ScheduledProcedureStepStartDate"), date),
    Place("date and time with a zone", "ct-0", at("AcquisitionDateTime", "{t}101010.25+0800"), date),
    Place("date in a time attribute", "ct-0", as_bytes("AcquisitionTime"), date),
    Place("date with marks in a DA value", "ct-0", as_bytes("AcquisitionDate", "DA", "{t}"),
          lambda n: f"{date(n)[:4]}.{date(n)[4:6]}.{date(n)[6:]}"),
    Place("several dates in one value", "ct-0", as_bytes("DateOfLastCalibration", "DA", "20240101\\{t}"), date),
    Place("birth date in another calendar", "ct-0", at("PatientBirthDateInAlternativeCalendar"), date),
    Place("death date in another calendar", "ct-0", at("PatientDeathDateInAlternativeCalendar"), date),
    Place("text in a DA value", "ct-0", as_bytes("AcquisitionDate")),
    Place("text in a DT value", "ct-0", as_bytes("AcquisitionDateTime")),
    Place("text in a TM value", "ct-0", as_bytes("AcquisitionTime")),
    Place("time zone that holds text", "ct-0", as_bytes("TimezoneOffsetFromUTC")),
    Place("date of birth written out", "ct-0", at("StudyDescription", "CT head, born {t}"),
          lambda n: f"{date(n)[6:]}.{date(n)[4:6]}.{date(n)[:4]}"),
    # values that do not hold what their VR says
    Place("text in a DS value", "ct-0", as_bytes("ReconstructionDiameter", "DS", "{t}")),
    Place("text behind a number in a DS value", "ct-0", as_bytes("XRayTubeCurrentInmA", "DS", "1.5 {t}")),
    Place("text in a DS value of the geometry", "ct-0", as_bytes("SliceLocation")),
    Place("text in an IS value", "ct-0", as_bytes("Exposure")),
    Place("text in an AS value", "ct-0", as_bytes("PatientAge")),
    Place("text in a CS value", "ct-0", at("ScanOptions", "{T}")),
    Place("small letters in a CS value", "ct-0", as_bytes("PatientSex")),
    Place("third value of the image type", "ct-0", at("ImageType", "ORIGINAL\\PRIMARY\\{T}")),
    Place("text in the body part", "ct-0", at("BodyPartExamined", "{T}")),
    Place("text in the modality", "ct-0", at("Modality", "{T}")),
    Place("text in the patient's position", "ct-0", at("PatientPosition", "{T}")),
    Place("text in a UID", "ct-0", as_bytes("FrameOfReferenceUID")),
    Place("text behind a UID", "ct-0", as_bytes("SynchronizationFrameOfReferenceUID", "UI", "1.2.840.10008.1.2 {t}")),
    Place("text behind the standard's prefix", "ct-0", as_bytes("InstanceCreatorUID", "UI", "1.2.840.10008.{t}")),
    Place("text as the instance UID", "ct-0", as_bytes("SOPInstanceUID")),
    Place("text as the study UID", "ct-0", as_bytes("StudyInstanceUID")),
    Place("text as the SOP class", "ct-0", as_bytes("SOPClassUID")),
    Place("UID in a text element", "ct-0", at("PatientComments"), uid),
    Place("kernel that is the patient's name", "ct-0", _named_kernel),
    Place("text in US numbers", "ct-0", as_bytes("LargestImagePixelValue", "US", "{t}")),
    Place("text in FD numbers", "ct-0", as_bytes("ExposureTimeInms", "FD", "{t}       ")),
    Place("text in AT pointers", "ct-0", as_bytes("FrameIncrementPointer", "AT", "{t}  ")),
    Place("text in the pixel padding value", "ct-0", as_bytes("PixelPaddingValue", "US", "{t}")),
    Place("web address", "ct-0", at("RetrieveURL", "https://x.org/{t}")),
    Place("pixel data provider", "ct-0", at("PixelDataProviderURL", "https://x.org/{t}")),
    Place("text in the character set", "ct-0", as_bytes("SpecificCharacterSet")),
    Place("text behind a NUL", "ct-0", as_bytes("SeriesDescription", "LO", "HEAD\0{t}")),
    Place("text behind control characters", "ct-0", as_bytes("StudyDescription", "LO", "CT\r\n\x0c\x1b{t}")),
    Place("odd length", "ct-0", odd("StudyDescription")),
    Place("name under VR OB", "ct-0", as_bytes("PatientMotherBirthName", "OB")),
    Place("name under VR UN", "ct-0", as_bytes("PatientMotherBirthName", "UN")),
    Place("description under VR UN", "ct-0", as_bytes("SeriesDescription", "UN")),
    Place("sequence under VR UT", "ct-0", as_bytes("RequestAttributesSequence", "UT")),
    Place("sequence under VR UN with undefined length", "ct-0", _undefined_unknown),
    Place("VR that does not exist", "ct-0", patched(_unknown_vr)),
    Place("geometry under VR LO", "ct-0", as_bytes("TableHeight", "LO")),
    # elements nobody knows
    Place("unknown even group", "ct-0", as_bytes("00420099", "LO")),
    Place("unknown element of a known group", "ct-0", as_bytes("00080999", "LO")),
    Place("retired element", "ct-0", as_bytes("00084000", "LT")),
    Place("retired interpretation text", "ct-0", as_bytes("4008010B", "ST")),
    Place("arbitrary text of group 4000", "ct-0", as_bytes("40000010", "LT")),
    Place("directory record group", "ct-0", as_bytes("00041500", "CS", "{T}")),
    Place("command group", "ct-0", patched(_command_group)),
    # private
    Place("private creator", "ct-0", private(0x0009, "{t}", "LO")),
    Place("private text", "ct-0", private(0x0009, "ACME", "LO")),
    Place("private bytes", "ct-0", private(0x0011, "ACME", "OB")),
    Place("private UN in UTF-16", "ct-0", private(0x0013, "ACME", "UN", codec="utf-16-le")),
    Place("private element in a public item", "ct-0", private(0x0029, "ACME", "LO", path="SourceImageSequence")),
    Place("private sequence in a public item", "ct-0", _two_blocks),
    Place("private block of a well-known creator", "ct-0", private(0x0019, "GEMS_ACQU_01", "LO")),
    Place("vendor header inside private bytes", "ct-0", _csa),
    Place("deflated XML in a private element", "ct-0", _packed_xml),
    Place("private element without a creator", "ct-0", as_bytes("00E11001", "LO")),
    Place("odd group that the standard forbids", "ct-0", as_bytes("00071001", "LO")),
    # coded terms
    Place("meaning of a local code", "ct-0", with_code("ProcedureCodeSequence", "P1", "99KQ", "{t}")),
    Place("meaning of a public code", "ct-0", with_code("ProcedureCodeSequence", "77477000", "SCT", "CT of {t}")),
    Place("value of a public code", "ct-0", with_code("ProcedureCodeSequence", "{T}", "SCT", "CT")),
    Place("scheme of a code", "ct-0", with_code("ProcedureCodeSequence", "77477000", "{T}", "CT")),
    Place("long code value", "ct-0", at("ProcedureCodeSequence.LongCodeValue")),
    Place("URN code value", "ct-0", at("ProcedureCodeSequence.URNCodeValue", "urn:{t}")),
    Place("coding scheme's name", "ct-0", at("CodingSchemeIdentificationSequence.CodingSchemeName")),
    Place("coding scheme's organisation", "ct-0",
          at("CodingSchemeIdentificationSequence.CodingSchemeResponsibleOrganization")),
    Place("mapping resource", "ct-0", at("ProcedureCodeSequence.MappingResourceName")),
    Place("text value of an acquisition context", "ct-0", at("AcquisitionContextSequence.TextValue")),
    # character sets
    Place("GB18030 name in an item", "ct-0", _other_set("GB18030", "gb18030", "PatientName"), chinese),
    Place("GB18030 text in an item", "ct-0", _other_set("GB18030", "gb18030", template="头部 {t}"), chinese),
    Place("UTF-8 text in an item", "ct-0", _other_set("ISO_IR 192", "utf-8", template="头部 {t}"), chinese),
    Place("ISO 2022 IR 58 name", "ct-0",
          _whole_set("\\ISO 2022 IR 58", "gb2312", "PatientBirthName", "X^Y=\x1b$)A{t}"), chinese),
    Place("ISO 2022 IR 149 name", "ct-0",
          _whole_set("\\ISO 2022 IR 149", "euc_kr", "PatientBirthName", "X^Y=\x1b$)C{t}"), korean),
    Place("ISO 2022 IR 87 name", "ct-0",
          _whole_set("\\ISO 2022 IR 87", "iso2022_jp", "PatientBirthName", "X^Y={t}"), japanese),
    Place("ISO 2022 text in a description", "ct-0",
          _whole_set("\\ISO 2022 IR 58", "gb2312", "SeriesDescription", "CT \x1b$)A{t}"), chinese),
    Place("characters that the set does not have", "ct-0", _whole_set("ISO_IR 100", "gb18030", "SeriesDescription"),
          chinese),
    Place("UTF-16 in a text element", "ct-0", as_bytes("SeriesDescription", "LO", codec="utf-16-le")),
    Place("character set that does not exist", "ct-0", _whole_set("ISO_IR 999", "utf-8", "SeriesDescription")),
    Place("Chinese sentence", "ct-0", _whole_set("ISO_IR 192", "utf-8", "ImageComments", "患者{t}头部平扫"), chinese),
    # numbers in prose
    Place("mobile number in a comment", "ct-0", at("ImageComments", "call {t} please"), mobile),
    Place("resident number in a comment", "ct-0", at("ImageComments", "ID {t}"), resident),
    Place("hospital number behind a Chinese cue", "ct-0",
          _whole_set("ISO_IR 192", "utf-8", "ImageComments", "住院号：{t} 头部"), hospital_number),
    Place("record number behind an English cue", "ct-0", at("ImageComments", "MRN: {t}, head"), hospital_number),
    Place("e-mail address in a comment", "ct-0", at("ImageComments", "write to {t}@x.org")),
    Place("file path in a comment", "ct-0", at("DerivationDescription", "from C:/data/{t}/head.img")),
    Place("XML in a comment", "ct-0", at("ImageComments", "<Patient name=\"{t}\"/>")),
    Place("Base64 in a comment", "ct-0", lambda ds, t: setattr(
        ds, "ImageComments", base64.b64encode(f"Patient {t}".encode()).decode())),
    Place("word backwards", "ct-0", lambda ds, t: setattr(ds, "ImageComments", t[::-1])),
    # pictures
    Place("overlay data", "ct-0", _group(0x6000, 0x3000, "OW")),
    Place("overlay description", "ct-0", _group(0x6000, 0x0022, "LO")),
    Place("overlay label", "ct-0", _group(0x6000, 0x1500, "LO")),
    Place("overlay comments", "ct-0", _group(0x6000, 0x4000, "LT")),
    Place("sixteenth overlay", "ct-0", _group(0x601E, 0x3000, "OW")),
    Place("odd overlay group", "ct-0", _group(0x6001, 0x3000, "OW")),
    Place("curve data", "ct-0", _group(0x5000, 0x3000, "OW")),
    Place("curve description", "ct-0", _group(0x5000, 0x0022, "LO")),
    Place("curve label", "ct-0", _group(0x5000, 0x2500, "LO")),
    Place("sound of a curve", "ct-0", _group(0x5002, 0x200C, "OW")),
    Place("comments on a sound", "ct-0", _group(0x5002, 0x200E, "LT")),
    Place("overlay in unused bits of the pixels", "ct-0", _bits(12, is_described=True)),
    Place("unused bits of the pixels", "ct-0", _bits(15, is_described=False)),
    Place("icon", "ct-0", _icon("IconImageSequence")),
    Place("icon in a reference", "ct-0", _icon("ReferencedImageSequence.IconImageSequence")),
    Place("end of a palette", "ct-0", _palette_tail),
    Place("colour profile", "ct-0", as_bytes("ICCProfile", "OB")),
    Place("red palette's segments", "ct-0", as_bytes("SegmentedRedPaletteColorLookupTableData", "OW")),
    Place("bytes behind the last pixel", "ct-0", _longer_pixels),
    Place("second pixel element", "ct-0", _two_pixels),
    Place("offset table of a native image", "ct-0", as_bytes("ExtendedOffsetTable", "OV", "{t}      ")),
    Place("spectroscopy data", "ct-0", as_bytes("SpectroscopyData", "OF", "{t}   ")),
    Place("shutter shape", "ct-0", at("ShutterShape", "{T}")),
    Place("waveform samples", "ct-0", _waveform("WaveformData")),
    Place("waveform channel", "ct-0", _waveform("ChannelLabel")),
    Place("waveform group", "ct-0", _waveform("MultiplexGroupLabel")),
    Place("waveform annotation", "ct-0", _waveform("UnformattedTextValue")),
    Place("JPEG comment", "ct-0", _code_stream(JPEGBaseline8Bit, _after_header(0xFFFE))),
    Place("JPEG Exif segment", "ct-0", _code_stream(JPEGBaseline8Bit, _after_header(0xFFE1, b"Exif\0\0"))),
    Place("JPEG application segment 15", "ct-0", _code_stream(JPEGBaseline8Bit, _after_header(0xFFEF))),
    Place("JPEG comment behind the scan", "ct-0", _code_stream(JPEGBaseline8Bit, _before_end(0xFFFE))),
    Place("bytes behind a JPEG", "ct-0", _code_stream(JPEGBaseline8Bit, lambda data, t: data + t)),
    Place("JPEG-LS comment", "ct-0", _code_stream(JPEGLSLossless, _after_header(0xFFFE))),
    Place("JPEG 2000 comment", "ct-0", _code_stream(JPEG2000Lossless, _in_codestream_comment)),
    Place("bytes behind a JPEG 2000 stream", "ct-0", _code_stream(JPEG2000Lossless, lambda data, t: data + t)),
    Place("bytes behind an RLE segment", "ct-0", _code_stream(RLELossless, lambda data, t: data + t)),
    Place("unused offsets of an RLE header", "ct-0",
          _code_stream(RLELossless, lambda data, t: data[:12] + t + data[12 + len(t):])),
    Place("offset table of a compressed image", "ct-0", _fragments(lambda frames, t: (t + b"\0\0\0", frames))),
    Place("fragment behind the last frame", "ct-0", _fragments(lambda frames, t: (b"", [*frames, t + b"\0"]))),
    # around the data set
    Place("preamble", "ct-0", _preamble),
    Place("source AE title of File Meta", "ct-0", _meta(0x00020016, "AE")),
    Place("sending AE title of File Meta", "ct-0", _meta(0x00020017, "AE")),
    Place("receiving AE title of File Meta", "ct-0", _meta(0x00020018, "AE")),
    Place("presentation address of File Meta", "ct-0", _meta(0x00020026, "UR")),
    Place("private information of File Meta", "ct-0", _meta(0x00020102, "OB")),
    Place("implementation version", "ct-0", _meta(0x00020013, "SH")),
    Place("trailing padding", "ct-0", as_bytes("FFFCFFFC", "OB")),
    Place("bytes behind the data set", "ct-0", patched(_end)),
    Place("second file behind the first", "ct-0", patched(_second_file)),
    Place("element between an item and its sequence's end", "ct-0", patched(_length_lies)),
    Place("comment in a file without File Meta", "ct-0", patched(_without_meta)),
)  # fmt: skip

_IMAGES = (
    Place("MR sequence name", "mr", at("SequenceName")),
    Place("MR pulse sequence name", "mr", at("PulseSequenceName")),
    Place("MR coil", "mr", at("ReceiveCoilName")),
    Place("radiopharmaceutical", "pet", at("RadiopharmaceuticalInformationSequence.Radiopharmaceutical")),
    Place("date of an injection", "pet",
          at("RadiopharmaceuticalInformationSequence.RadiopharmaceuticalStartDateTime", "{t}080000"), date),
    Place("radionuclide code", "pet",
          with_code("RadiopharmaceuticalInformationSequence.RadionuclideCodeSequence", "1", "99K", "{t}")),
    Place("ultrasound transducer", "us", at("TransducerData")),
    Place("ultrasound stage name", "us", at("StageName")),
    Place("ultrasound view name", "us", at("ViewName")),
    Place("ultrasound event timer", "us-loop", at("EventTimerNames")),
    Place("ultrasound processing function", "us-loop", at("ProcessingFunction")),
    Place("mask explanation of an angiogram", "xa", at("MaskSubtractionSequence.MaskOperationExplanation")),
    Place("frame label vector", "xa", at("FrameLabelVector")),
    Place("digitiser of a screenshot", "sc", at("SecondaryCaptureDeviceManufacturer")),
    Place("screenshot device ID", "sc", at("SecondaryCaptureDeviceID")),
    Place("page of a screenshot", "sc", at("ImageComments", "{t}, page 1")),
    Place("comment of one frame", "enhanced-ct", _in_frame("FrameContentSequence.FrameComments")),
    Place("label of one frame", "enhanced-ct", _in_frame("FrameContentSequence.FrameLabel")),
    Place("stack ID of one frame", "enhanced-ct", _in_frame("FrameContentSequence.StackID")),
    Place("date of one frame", "enhanced-ct",
          _in_frame("FrameContentSequence.FrameAcquisitionDateTime", "{t}101010"), date),
    Place("private group of one frame", "enhanced-ct", _private_frame),
    Place("derivation of one frame", "enhanced-ct", _in_frame("DerivationImageSequence.DerivationDescription")),
    Place("name in an unassigned frame attribute", "enhanced-ct",
          _in_frame("UnassignedPerFrameConvertedAttributesSequence.PatientName")),
    Place("unassigned shared attribute", "enhanced-ct",
          at("SharedFunctionalGroupsSequence.UnassignedSharedConvertedAttributesSequence.ImageComments")),
    Place("dimension label", "enhanced-ct", _of_first("DimensionIndexSequence", "DimensionDescriptionLabel")),
    Place("dimension organisation UID", "enhanced-ct",
          _of_first("DimensionOrganizationSequence", "DimensionOrganizationUID"), uid),
    Place("conversion source UID", "enhanced-ct",
          _in_frame("ConversionSourceAttributesSequence.ReferencedSOPInstanceUID"), uid),
)  # fmt: skip

_DERIVED = (
    Place("segment label", "seg", at("SegmentSequence.SegmentLabel")),
    Place("segment description", "seg", at("SegmentSequence.SegmentDescription")),
    Place("segment tracking ID", "seg", at("SegmentSequence.TrackingID")),
    Place("segment tracking UID", "seg", at("SegmentSequence.TrackingUID"), uid),
    Place("segment algorithm", "seg", at("SegmentSequence.SegmentAlgorithmName")),
    Place("parameters of a segment's algorithm", "seg",
          at("SegmentSequence.SegmentationAlgorithmIdentificationSequence.AlgorithmParameters")),
    Place("local type of a segment", "seg",
          with_code("SegmentSequence.SegmentedPropertyTypeCodeSequence", "L1", "99KQ", "{t}")),
    Place("creator of a segmentation", "seg", at("ContentCreatorName", "{t}^X")),
    Place("description of a segmentation", "seg", at("ContentDescription")),
    Place("label of a segmentation", "seg", at("ContentLabel", "{T}")),
    Place("institution of a segmentation's creator", "seg",
          at("ContentCreatorIdentificationCodeSequence.InstitutionName")),
    Place("structure set label", "rtstruct", at("StructureSetLabel")),
    Place("structure set name", "rtstruct", at("StructureSetName")),
    Place("structure set description", "rtstruct", at("StructureSetDescription")),
    Place("ROI name", "rtstruct", at("StructureSetROISequence.ROIName")),
    Place("ROI description", "rtstruct", at("StructureSetROISequence.ROIDescription")),
    Place("ROI generation", "rtstruct", at("StructureSetROISequence.ROIGenerationDescription")),
    Place("ROI observation label", "rtstruct", at("RTROIObservationsSequence.ROIObservationLabel")),
    Place("ROI observation description", "rtstruct", at("RTROIObservationsSequence.ROIObservationDescription")),
    Place("ROI interpreter", "rtstruct", at("RTROIObservationsSequence.ROIInterpreter", "{t}^X")),
    Place("material ID", "rtstruct", at("RTROIObservationsSequence.MaterialID")),
    Place("text in contour numbers", "rtstruct",
          as_bytes("ROIContourSequence.ContourSequence.ContourSlabThickness")),
    Place("date of a structure set", "rtstruct", at("StructureSetDate"), date),
    Place("plan label", "rtplan", at("RTPlanLabel")),
    Place("plan name", "rtplan", at("RTPlanName")),
    Place("plan description", "rtplan", at("RTPlanDescription")),
    Place("plan reviewer", "rtplan", at("ReviewerName", "{t}^X")),
    Place("plan review date", "rtplan", at("ReviewDate"), date),
    Place("plan prescription", "rtplan", at("PrescriptionDescription")),
    Place("treatment protocol", "rtplan", at("TreatmentProtocols")),
    Place("treatment site", "rtplan", at("TreatmentSite")),
    Place("fraction group description", "rtplan", at("FractionGroupSequence.FractionGroupDescription")),
    Place("dose reference description", "rtplan", at("DoseReferenceSequence.DoseReferenceDescription")),
    Place("tolerance table label", "rtplan", at("ToleranceTableSequence.ToleranceTableLabel")),
    Place("patient setup technique", "rtplan", at("PatientSetupSequence.SetupTechniqueDescription")),
    Place("fixation device", "rtplan", at("PatientSetupSequence.FixationDeviceSequence.FixationDeviceLabel")),
    Place("beam name", "rtplan", _beam("BeamName")),
    Place("beam description", "rtplan", _beam("BeamDescription")),
    Place("treatment machine", "rtplan", _beam("TreatmentMachineName")),
    Place("institution of a beam", "rtplan", _beam("InstitutionName")),
    Place("block name of a beam", "rtplan", _beam("BlockSequence.BlockName")),
    Place("dose comment", "rtdose", at("DoseComment")),
    Place("dose histogram's structure text", "rtdose", as_bytes("DVHSequence.DVHMeanDose")),
    Place("presentation text", "pr", _graphic_text(UnformattedTextValue="Lesion of {t}")),
    Place("tracking ID of a presentation text", "pr", _graphic_text(TrackingID="{t}")),
    Place("presentation's creator", "pr", at("ContentCreatorName", "{t}^X")),
    Place("presentation's description", "pr", at("ContentDescription")),
    Place("presentation's label", "pr", at("ContentLabel", "{T}")),
    Place("graphic layer", "pr", _layer),
    Place("graphic layer description", "pr", at("GraphicLayerSequence.GraphicLayerDescription")),
    Place("graphic group label", "pr", at("GraphicGroupSequence.GraphicGroupLabel")),
    Place("compound graphic text", "pr",
          _of_first("GraphicAnnotationSequence", "CompoundGraphicSequence.MajorTicksSequence.TickLabel")),
    Place("bitmap of a shutter", "pr", _group(0x6002, 0x3000, "OW")),
    Place("alternate description of a presentation", "pr",
          at("AlternateContentDescriptionSequence.ContentDescription")),
)  # fmt: skip

_REPORTS = (
    Place("report text", "text-sr", answer("TEXT", TextValue="Seen by {t} at noon.")),
    Place("report text in a paragraph of radiology words", "text-sr",
          answer("TEXT", TextValue="No lesion of the brain of {t}.")),
    Place("report person name", "text-sr", answer("PNAME", PersonName="{t}^X")),
    Place("report text six containers deep", "text-sr", _report_depth(6)),
    Place("report code meaning", "text-sr", lambda ds, t: ds.ContentSequence.append(content(
        "CODE", "CONTAINS", code("121071", "DCM", "Finding"), ConceptCodeSequence=code("L1", "99KQ", t)))),
    Place("report concept name", "text-sr", lambda ds, t: ds.ContentSequence.append(content(
        "TEXT", "CONTAINS", code("L1", "99KQ", t), TextValue="No lesion."))),
    Place("markup inside a report text", "text-sr", answer("TEXT", TextValue="<b>{t}</b>")),
    Place("verifying observer", "text-sr", at("VerifyingObserverSequence.VerifyingObserverName", "{t}^X")),
    Place("verifying organisation", "text-sr", at("VerifyingObserverSequence.VerifyingOrganization")),
    Place("verifying observer's code", "text-sr",
          with_code("VerifyingObserverSequence.VerifyingObserverIdentificationCodeSequence", "1", "99KQ", "{t}")),
    Place("author of a report", "text-sr", at("AuthorObserverSequence.PersonName", "{t}^X")),
    Place("participant of a report", "text-sr", at("ParticipantSequence.PersonName", "{t}^X")),
    Place("custodian of a report", "text-sr", at("CustodialOrganizationSequence.InstitutionName")),
    Place("completion of a report", "text-sr", at("CompletionFlagDescription")),
    Place("request behind a report", "text-sr", at("ReferencedRequestSequence.RequestedProcedureDescription")),
    Place("order number behind a report", "text-sr",
          at("ReferencedRequestSequence.FillerOrderNumberImagingServiceRequest")),
    Place("measurement's unit", "sr", lambda ds, t: ds.ContentSequence.append(content(
        "NUM", "CONTAINS", code("410668003", "SCT", "Length"),
        MeasuredValueSequence=item(NumericValue="1", MeasurementUnitsCodeSequence=code("x", "99KQ", t))))),
    Place("tracking identifier of a report", "sr", lambda ds, t: setattr(
        next(part for part in ds.ContentSequence if part.ValueType == "CONTAINER").ContentSequence[0],
        "TextValue", t)),
    Place("UID in a report", "sr", answer("UIDREF", UID="{t}"), uid),
    Place("date in a report", "sr", answer("DATE", Date="{t}"), date),
    Place("date and time in a report", "sr", answer("DATETIME", DateTime="{t}120000"), date),
    Place("date in a temporal coordinate", "sr", answer(
        "TCOORD", TemporalRangeType="POINT", ReferencedDateTime="{t}120000"), date),
    Place("time of a report that holds text", "sr", lambda ds, t: ds.ContentSequence.append(_bad_time(t))),
    Place("observer's name as a text item", "sr", answer("TEXT", TextValue="{t}")),
    Place("predecessor's UID", "sr", lambda ds, t: setattr(ds, "PredecessorDocumentsSequence", Items([
        item(StudyInstanceUID=t, ReferencedSeriesSequence=item(
            SeriesInstanceUID=t, ReferencedSOPSequence=item(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=t)
        ))])), uid),
    Place("retrieve location of evidence", "sr", _of_first(
        "CurrentRequestedProcedureEvidenceSequence", "ReferencedSeriesSequence.RetrieveAETitle")),
    Place("key object description", "kos", lambda ds, t: setattr(
        ds.ContentSequence[0], "TextValue", f"For {t}, please.")),
    Place("key object observer", "kos", lambda ds, t: ds.ContentSequence.insert(0, content(
        "PNAME", "HAS OBS CONTEXT", code("121008", "DCM", "Person Observer Name"), PersonName=f"{t}^X"))),
    Place("key object device", "kos", lambda ds, t: ds.ContentSequence.insert(0, content(
        "TEXT", "HAS OBS CONTEXT", code("121013", "DCM", "Device Observer Name"), TextValue=t))),
)  # fmt: skip


def _bad_time(token: str) -> Dataset:
    node = content("TIME", "CONTAINS", code("121071", "DCM", "Finding"))
    node[Tag("Time")] = raw_element(Tag("Time"), "TM", token.encode() + b" ")
    return node


_DOCUMENTS = (
    Place("document title", "pdf", at("DocumentTitle")),
    Place("document's concept", "pdf", with_code("ConceptNameCodeSequence", "L", "99KQ", "{t}")),
    Place("document's source", "pdf", at("SourceInstanceSequence.ReferencedSOPInstanceUID"), uid),
    Place("media type of a document", "pdf", at("MIMETypeOfEncapsulatedDocument", "application/{t}")),
    Place("list of media types", "pdf", at("ListOfMIMETypes")),
    Place("HL7 identifier of a document", "pdf", at("HL7InstanceIdentifier")),
    Place("PDF page text", "pdf", _paper(lambda t: make_documents.pdf(f"Patient {t}"))),
    Place("PDF invisible text", "pdf", _paper(lambda t: make_documents.pdf(
        content=f"BT 3 Tr /F1 9 Tf 20 90 Td ({t}) Tj ET".encode()))),
    Place("PDF white text", "pdf", _paper(lambda t: make_documents.pdf(
        content=f"1 g BT /F1 9 Tf 20 90 Td ({t}) Tj ET".encode()))),
    Place("PDF text off the page", "pdf", _paper(lambda t: make_documents.pdf(
        content=f"BT /F1 9 Tf 2000 90 Td ({t}) Tj ET".encode()))),
    Place("PDF text cut into pieces", "pdf", _paper(lambda t: make_documents.pdf(
        content=("BT /F1 9 Tf 20 90 Td [" + " 5 ".join(f"({c})" for c in t) + "] TJ ET").encode()))),
    Place("PDF comment in a page", "pdf", _paper(lambda t: make_documents.pdf(content=f"% {t}\n".encode()))),
    Place("PDF title", "pdf", _paper(lambda t: make_documents.pdf(info=f"/Title ({t})"))),
    Place("PDF author in UTF-16", "pdf", _paper(lambda t: make_documents.pdf(info=f"/Author {_wide(t)}"))),
    Place("PDF key of one's own", "pdf", _paper(lambda t: make_documents.pdf(info=f"/{t} (x)"))),
    Place("PDF XMP packet", "pdf", _paper(_xmp)),
    Place("PDF attachment", "pdf", _paper(_attached)),
    Place("PDF annotation", "pdf", _paper(_note)),
    Place("PDF annotation's author", "pdf", _paper(_note_author)),
    Place("PDF link", "pdf", _paper(_link)),
    Place("PDF form field", "pdf", _paper(_form)),
    Place("PDF bookmark", "pdf", _paper(_outline)),
    Place("PDF script", "pdf", _paper(_script)),
    Place("PDF layer name", "pdf", _paper(_layer_name)),
    Place("PDF replaced page", "pdf", _paper(_old_revision)),
    Place("PDF object that nothing refers to", "pdf", _paper(lambda t: make_documents.pdf(
        objects={12: make_documents.stream(t.encode())}))),
    Place("PDF comment behind the header", "pdf", _paper(lambda t: make_documents.pdf(header=f"% {t}\n".encode()))),
    Place("bytes behind a PDF", "pdf", _paper(lambda t: make_documents.pdf(tail=t.encode()))),
    Place("PDF page key", "pdf", _paper(lambda t: make_documents.pdf(page=f"/PieceInfo << /{t} << >> >>"))),
    Place("PDF language", "pdf", _paper(lambda t: make_documents.pdf(catalog=f"/Lang ({t})"))),
    Place("mesh file header", "stl", _paper(lambda t: make_documents.stl(f"exported for {t}".encode()))),
    Place("mesh attribute bytes", "stl", _paper(lambda t: make_documents.stl(attribute=t.encode()))),
    Place("bytes behind a mesh", "stl", _paper(lambda t: make_documents.stl(tail=t.encode()))),
    Place("name of a text mesh", "stl", _paper(lambda t: make_documents.text_stl(t))),
    Place("bytes behind a text mesh", "stl", _paper(lambda t: make_documents.text_stl(tail=f"; {t}"))),
    Place("mesh title", "stl", at("DocumentTitle")),
    Place("mesh's recommended note", "stl", at("ContentDescription")),
    Place("OBJ comment", "obj", _paper(lambda t: make_documents.obj(f"# {t}"))),
    Place("OBJ group name", "obj", _paper(lambda t: make_documents.obj(f"g {t}"))),
    Place("OBJ material library", "obj", _paper(lambda t: make_documents.obj(f"mtllib {t}.mtl"))),
    Place("MP4 title", "video", _film(lambda t: make_documents.mp4(tags={"title": t}))),
    Place("MP4 comment", "video", _film(lambda t: make_documents.mp4(tags={"comment": t}))),
    Place("note in an H.264 stream", "video", _film(lambda t: make_documents.mp4(note=t))),
    Place("free box of an MP4", "video", _film(lambda t: make_documents.mp4() + make_documents.atom(b"free", t.encode()))),
    Place("box of one's own in an MP4", "video", _film(
        lambda t: make_documents.mp4() + make_documents.atom(b"uuid", bytes(16) + t.encode()))),
    Place("bytes behind a video", "video", _film(lambda t: make_documents.mp4() + t.encode())),
    Place("service name of a transport stream", "video", _film(
        lambda t: make_documents.mp4(tags={"service_name": t}, container="mpegts"))),
    Place("comment of a video object", "video", at("ImageComments")),
    Place("frame label of a video", "video", at("FrameLabelVector")),
    Place("vendor's raw data", "private", private(0x0029, "ACME RAW", "OB")),
)  # fmt: skip

PLACES: tuple[Place, ...] = (*_CT, *_IMAGES, *_DERIVED, *_REPORTS, *_DOCUMENTS)


def planted(places: Sequence[Place] = PLACES) -> list[Planted]:
    """Return the places with their words and file names; the same in every run."""
    return [Planted(place, place.form(number), f"p{number:03d}") for number, place in enumerate(places)]


def probe_file(found: Planted, syntax: str = "explicit") -> bytes:
    """Return the file in which the word of a place lies; what is compressed or made byte by byte stays as it is."""
    ds = make_objects.one(found.place.where)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.5.{int(found.name[1:]) + 1}"
    made = found.place.plant(ds, found.token)
    if made is None and ds.file_meta.TransferSyntaxUID == make_raw.SYNTAXES["explicit"]:
        ds.file_meta.TransferSyntaxUID = make_raw.SYNTAXES[syntax]
        if syntax == "big" and ds.get("BitsAllocated") == 16:
            ds.PixelData = (
                np.frombuffer(ds.PixelData[: len(ds.PixelData) // 2 * 2], "<u2").byteswap().tobytes()
            )
    return made or make_raw.to_bytes(ds)


def write_probe(folder: Path, places: Sequence[Place] = PLACES, *, syntax: str = "explicit") -> list[Planted]:
    """Write the study and a file for each place; return what was planted, in the files' order."""
    everything = planted(places)
    folder.mkdir(parents=True, exist_ok=True)
    for one in everything:
        (folder / one.name).write_bytes(probe_file(one, syntax))
    make_objects.write_study(folder / "study")
    return everything


class BlindFinder:
    """Finds no text in any picture: what lies in bytes must go without its help."""

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        """Return nothing."""
        return []


def deidentified_probe(source: Path, folder: Path, orders: Orders) -> DeidentifiedStudy:
    """Return the probe after de-identification; faces have their own tests."""
    raw = admit(source, folder / "raw")
    return deidentify(raw, folder / "out", replace(orders, keeps_face=True))


# --- the search ---

_WORD = re.compile(rb"vz[a-z]{4}qxw|wxq[a-z]{4}zv")
_NO_LETTERS = bytes(code for code in range(256) if not (65 <= code <= 90 or 97 <= code <= 122))
_CODECS = (
    "utf-8",
    "gb18030",
    "utf-16-le",
    "utf-16-be",
    "euc_kr",
    "euc_jp",
    "shift_jis",
    "big5",
    "iso2022_jp",
)
_BASE64, _HEX = re.compile(rb"[A-Za-z0-9+/]{12,}"), re.compile(rb"[0-9a-fA-F]{18,}")


def found_in(folder: Path, everything: Sequence[Planted]) -> list[Planted]:
    """Return what was planted and can still be found below a folder, in a file or in its name."""
    words: set[str] = set()
    left: set[str] = set()
    others = [one for one in everything if one.place.form is not word]
    for path in sorted(folder.rglob("*")):
        raw_bytes = path.read_bytes() if path.is_file() else b""
        view = b"\n\n".join(views(str(path.relative_to(folder)).encode() + b"\n" + raw_bytes))
        words |= set(words_in(view))
        left |= _tokens_in(view, others)
    return [one for one in everything if one.token.lower() in words or one.token in left]


def words_in(view: bytes) -> Iterator[str]:
    """Give every planted word in bytes: forwards or backwards, whatever stands between its letters."""
    swapped = [
        np.frombuffer(view[start : start + (len(view) - start) // 2 * 2], "<u2").byteswap().tobytes()
        for start in (0, 1)
    ]
    for text in (view, *swapped):
        for match in _WORD.finditer(text.translate(None, _NO_LETTERS).lower()):
            plain = match[0].decode()
            yield plain if plain.startswith("vz") else plain[::-1]


def _tokens_in(view: bytes, everything: Sequence[Planted]) -> set[str]:
    """Return the tokens that are not words: names in other scripts, numbers, dates and UIDs."""
    plain = view.replace(b"\0", b"")
    found = set()
    for one in everything:
        if one.place.form in (chinese, korean, japanese):
            is_left = any(spelling in view for spelling in _spellings(one.token))
        else:
            is_left = one.token.encode() in plain and bool(_alone(one.token).search(plain))
        found |= {one.token} if is_left else set()
    return found


@lru_cache(maxsize=1024)
def _alone(token: str) -> re.Pattern[bytes]:
    """Return a pattern for a number, date or UID that is not a piece of a longer one; a time may follow."""
    end = rb"(?!\d)" if token.startswith(ROOT) else b""
    return re.compile(rb"(?<![\d.])" + re.escape(token.encode()) + end)


@lru_cache(maxsize=1024)
def _spellings(token: str) -> tuple[bytes, ...]:
    return tuple({spelling for codec in _CODECS if (spelling := _encoded(token, codec))})


def _encoded(token: str, codec: str) -> bytes:
    try:
        data = token.encode(codec)
    except UnicodeEncodeError:
        return b""
    return data.removeprefix(b"\x1b$B").removesuffix(b"\x1b(B")


def views(data: bytes) -> Iterator[bytes]:
    """Give bytes as they are and what they hold inflated, decoded from Base64 and hexadecimal, or bit by bit."""
    yield data
    for start in (match.start() for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08", data)):
        inflated = _inflated(data[start:])
        if inflated:
            yield inflated
    for pattern, decode in ((_BASE64, _from_base64), (_HEX, _from_hex)):
        for match in pattern.finditer(data):
            yield from decode(match[0])
    if data[data.find(b"\n") + 1 :][128:132] == b"DICM":
        yield from _parts_of(data[data.find(b"\n") + 1 :])


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=47).decompress(data, 1 << 22)
    except zlib.error:
        return b""


def _from_base64(run: bytes) -> Iterator[bytes]:
    for start in range(4):
        yield base64.b64decode(run[start:] + b"A" * (-(len(run) - start) % 4))


def _from_hex(run: bytes) -> Iterator[bytes]:
    for start in (0, 1):
        yield binascii.unhexlify(run[start : start + (len(run) - start) // 2 * 2])


def _parts_of(data: bytes) -> Iterator[bytes]:
    """Give the bit planes of native 16-bit pixels, and the attribute bytes of a mesh."""
    ds = pydicom.dcmread(io.BytesIO(data), force=True)
    if (
        ds.get("BitsAllocated") == 16
        and "PixelData" in ds
        and not ds.file_meta.TransferSyntaxUID.is_compressed
    ):
        order_ = "<u2" if ds.original_encoding[1] else ">u2"
        values = np.frombuffer(ds.PixelData[: len(ds.PixelData) // 2 * 2], order_)
        for plane in range(16):
            for order in ("little", "big"):
                yield np.packbits((values >> plane & 1).astype(np.uint8), bitorder=order).tobytes()  # type: ignore[arg-type]
    if "EncapsulatedDocument" in ds:
        mesh = ds.EncapsulatedDocument
        yield b"".join(mesh[start + 48 : start + 50] for start in range(84, len(mesh) - 49, 50))


def leaks_by_kind(left: Sequence[Planted]) -> Mapping[str, str]:
    """Return where each leak lay, by kind."""
    return {one.place.kind: one.place.where for one in left}
