"""Every row of PS3.15 Table E.1-1, in every VR, at every depth, under every option: is the result allowed?

The oracle reads the table's letters itself and knows nothing of how the engine decides.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from anonymize.deid import deidentify
from anonymize.profile import Profile, load_profile, profile_names
from anonymize.quarantine import admit
from medviz.core.study import DeidentifiedStudy
from tests import make_objects, make_probe, make_raw, uid_graph
from tests.make_raw import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

TABLE: dict[str, Any] = json.loads(resources.files("anonymize").joinpath("ps315.json").read_text("utf-8"))
OPTIONS: tuple[str, ...] = tuple(TABLE["options"])
DEPTHS = ("top", "item", "item of an item", "private item")
_OUTER, _INNER = 0x00289110, 0x00209113  # sequences that are no rows of the table
_SYNTAXES = ("explicit", "implicit")
_PLAIN = {0x00100040: b"F", 0x00080201: b"+0100", 0x00102160: b"Asian"}
"""Values of attributes that would not be kept if they held anything else."""
_NUMBERS = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4}
_TEXTS = ("LO", "SH", "ST", "LT", "UT", "UC", "AE", "PN", "CS", "UR")


class Cell(NamedTuple):
    """One attribute of the table as it was planted: its row, its VR, and the value that must (not) stay."""

    tag: int
    row: dict[str, Any]
    vr: str
    is_unknown: bool
    value: bytes


class Raw(NamedTuple):
    """An element as bytes: tag, VR, value, its items when it has some, whether its length is undefined."""

    tag: int
    vr: str
    value: bytes
    items: tuple[tuple[Raw, ...], ...] = ()
    is_open: bool = False


_LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")


def encode(part: Raw, *, is_explicit: bool, order: str) -> bytes:
    """Return an element as bytes, written from PS3.5 and without the engine."""
    value = part.value
    if part.vr == "SQ":
        value = b"".join(
            _encode_item(item, is_open=part.is_open, is_explicit=is_explicit, order=order)
            for item in part.items
        )
    length = 0xFFFFFFFF if part.is_open else len(value)
    if part.is_open:
        value += struct.pack(order + "HHL", 0xFFFE, 0xE0DD, 0)
    head = struct.pack(order + "HH", part.tag >> 16, part.tag & 0xFFFF)
    if not is_explicit:
        return head + struct.pack(order + "L", length) + value
    if part.vr in _LONG:
        return head + part.vr.encode() + b"\0\0" + struct.pack(order + "L", length) + value
    return head + part.vr.encode() + struct.pack(order + "H", len(value)) + value


def _encode_item(item: Sequence[Raw], *, is_open: bool, is_explicit: bool, order: str) -> bytes:
    body = b"".join(
        encode(part, is_explicit=is_explicit, order=order) for part in sorted(item, key=lambda part: part.tag)
    )
    head = struct.pack(order + "HH", 0xFFFE, 0xE000)
    if is_open:
        return (
            head + struct.pack(order + "L", 0xFFFFFFFF) + body + struct.pack(order + "HHL", 0xFFFE, 0xE00D, 0)
        )
    return head + struct.pack(order + "L", len(body)) + body


STRICTER = {0x00102160}
"""Rows with K that are cleaned all the same: Ethnic Group is free text."""


def tags() -> list[tuple[int, dict[str, Any]]]:
    """Return the attributes of the table that may stand in a data set, repeating groups by an example."""
    found = []
    for key, row in TABLE["rows"].items():
        examples = {"PRIVATE": ["00131001"], "50xxxxxx": ["50003000", "501E0022"]}
        for text in examples.get(key, [key.replace("xx", "02")]):
            if int(text, 16) >> 16 >= 8:
                found.append((int(text, 16), row))
    return sorted(found, key=lambda pair: pair[0])


def vrs(tag: int) -> tuple[str, ...]:
    if not dictionary_has_tag(tag):
        return {0x5000: ("OW",), 0x501E: ("LO",), 0x6002: ("OW",)}.get(tag >> 16, ("LO",))
    return tuple(dictionary_VR(tag).split(" or "))


def value_of(vr: str, number: int) -> bytes:
    """Return a value of a VR that stands nowhere else, as far as the VR has room for one."""
    word, day = make_probe.word(number), make_probe.date(number % 1500)
    if vr in _NUMBERS:
        return bytes([7] * _NUMBERS[vr])
    if vr in _TEXTS:
        texts = {"PN": f"{word}^Anna", "CS": word.upper(), "UR": f"https://x.org/{word}"}
        return texts.get(vr, word).encode()
    special = {
        "DA": day,
        "DT": f"{day}0911{number % 60:02d}.{number:06d}",
        "TM": f"0911{number % 60:02d}.{number:06d}",
        "AS": "047Y",
        "DS": f"7351.{number:06d}",
        "IS": f"7351{number:06d}",
        "UI": f"{ROOT}.77.{number}",
    }
    return special.get(vr, word).encode()


def cells(variant: int) -> list[Cell]:
    """Return a cell for each attribute; even variants in the standard's VR, odd ones sent as UN."""
    found = []
    for index, (tag, row) in enumerate(tags()):
        choices = vrs(tag)
        vr = choices[variant // 2 % len(choices)]
        value = _PLAIN.get(tag) or value_of(vr, index)
        found.append(Cell(tag, row, vr, bool(variant % 2), value))
    return found


def element(cell: Cell) -> Raw:
    """Return the raw element of a cell; a sequence holds a comment."""
    padded = cell.value + (b"\0" if cell.vr in ("UI", "OB", "UN") else b" ") * (len(cell.value) % 2)
    if cell.vr == "SQ":
        return Raw(cell.tag, "SQ", b"", ((Raw(0x00104000, "LT", padded),),), is_open=cell.is_unknown)
    return Raw(cell.tag, "UN" if cell.is_unknown else cell.vr, padded)


def with_cells(found: Sequence[Cell], depth: str, number: int) -> list[Raw]:
    """Return the elements of a data set that holds the cells at a depth."""
    place = tuple(element(cell) for cell in found)
    own = Raw(0x00080018, "UI", f"{ROOT}.6.{number:05d}0".encode())
    own = own._replace(value=own.value + b"\0" * (len(own.value) % 2))
    if depth == "top":
        return list(place)
    if depth == "private item":
        place = (Raw(0x00290010, "LO", b"ACME"), Raw(0x00291010, "SQ", b"", (place,)))
    if depth == "item of an item":
        place = (Raw(_INNER, "SQ", b"", (place,)),)
    return [own, Raw(_OUTER, "SQ", b"", (place,))]


def profiles() -> dict[str, Profile]:
    """Return the profiles of the house, and the Basic Profile with each option of the standard alone."""
    basic = replace(load_profile("basic"), options=(), keep=frozenset())
    single = {f"basic with {option}": replace(basic, options=(option,)) for option in OPTIONS}
    return {name: load_profile(name) for name in profile_names()} | {"bare basic": basic} | single


# --- the oracle: what Table E.1-1 allows ---


def letters(row: dict[str, Any], profile: Profile) -> set[str]:
    """Return the letters that are in force for a row: those of the options used, else the Basic Profile's."""
    chosen = {row["options"][option] for option in profile.options if option in row.get("options", {})}
    return chosen or set(row["basic"].rstrip("*").split("/"))


def allowed(cell: Cell, profile: Profile) -> set[str]:
    """Return what may become of a value: gone, empty, other, same."""
    if cell.row["name"] == "Private Attributes":
        return {"gone"}
    meaning = {
        "X": {"gone"},
        "Z": {"empty", "other"},
        "D": {"other"},
        "U": {"other"},
        "K": {"same"},
        "C": {"gone", "empty", "other"},
    }
    found = set.union(*(meaning[letter] for letter in letters(cell.row, profile)))
    if "K" in letters(cell.row, profile) and cell.vr in ("SQ", "CS", "OB"):
        found |= {"gone", "empty", "other"}  # cleaned inside; no term, or bytes that nobody can judge
    if "K" in letters(cell.row, profile) and cell.tag in STRICTER:
        found |= {"empty"}
    if "C" in letters(cell.row, profile) and (cell.vr == "TM" or cell.tag in _PLAIN):
        found |= {"same"}  # E.3.6: a time of day or a zone tells nothing when the date has moved
    if not dictionary_has_tag(cell.tag):
        found |= {"gone"}  # newer than the dictionary: nobody knows its VR
    return found


def outcome(cell: Cell, place: Dataset | None) -> str:
    if place is None or Tag(cell.tag) not in place:
        return "gone"
    found = place.get_item(Tag(cell.tag))
    if cell.vr == "SQ":
        items = place[Tag(cell.tag)].value
        inside = [str(item.get("PatientComments", "")) for item in items or []]
        return "empty" if not items else "same" if cell.value.decode() in inside else "other"
    value = found.value if isinstance(found.value, bytes) else b""
    if not value.strip(b" \0"):
        return "empty" if cell.vr not in (*_NUMBERS, "OB", "UN") or not value else "other"
    return "same" if value.rstrip(b" \0") == cell.value.rstrip(b" \0") else "other"


def place_of(ds: Dataset, depth: str) -> Dataset | None:
    """Return the data set in which the cells stood, or None when it is gone."""
    path = {
        "top": (),
        "item": (_OUTER,),
        "item of an item": (_OUTER, _INNER),
        "private item": (_OUTER, 0x00291010),
    }
    for tag in path[depth]:
        if Tag(tag) not in ds or not ds[Tag(tag)].value:
            return None
        ds = ds[Tag(tag)].value[0]
    return ds


def run(folder: Path, profile: Profile) -> DeidentifiedStudy:
    orders = replace(make_raw.orders("basic"), profile=profile)
    return deidentify(admit(folder / "in", folder / "raw"), folder / "out", replace(orders, keeps_face=True))


@pytest.mark.parametrize("name", sorted(profiles()))
def test_every_row_of_the_table_in_every_vr_at_every_depth_ends_as_its_letters_allow(
    tmp_path: Path, name: str
) -> None:
    profile = profiles()[name]
    plan = [(depth, variant) for depth in DEPTHS for variant in range(4)]
    planted = {}
    (tmp_path / "in").mkdir()
    for number, (depth, variant) in enumerate(plan):
        planted[number] = cells(4 * DEPTHS.index(depth) + variant)
        parts = with_cells(planted[number], depth, number + 1)
        (tmp_path / "in" / f"{number:02d}").write_bytes(file_of(parts, _SYNTAXES[variant // 2]))

    study = run(tmp_path, profile)

    assert study.problems == ()
    wrong = []
    for number, (depth, variant) in enumerate(plan):
        place = place_of(pydicom.dcmread(study.files[number]), depth)
        for cell in planted[number]:
            may = {"gone"} if depth == "private item" else allowed(cell, profile)
            if (ended := outcome(cell, place)) not in may:
                wrong.append(
                    (f"{cell.tag:08X}", cell.row["name"], cell.vr, depth, variant, ended, sorted(may))
                )
    assert not wrong, "\n".join(str(row) for row in wrong[:20])
    left = list(left_over(study, planted, plan, profile))
    assert not left, "\n".join(str(row) for row in left[:20])


def left_over(
    study: DeidentifiedStudy, planted: dict[int, list[Cell]], plan: list[tuple[str, int]], profile: Profile
) -> Iterator[tuple[str, str, str]]:
    """Give the cells whose value stands anywhere in a file although it must not."""
    for number, (depth, _) in enumerate(plan):
        content = study.files[number].read_bytes().lower()
        for cell in planted[number]:
            may = {"gone"} if depth == "private item" else allowed(cell, profile)
            is_unique = cell.vr in (*_TEXTS, "UI", "DT", "SQ", "OB")
            if is_unique and "same" not in may and len(cell.value) > 4 and cell.value.lower() in content:
                yield f"{cell.tag:08X}", cell.row["name"], depth


def test_the_oracle_is_asked_about_the_whole_table() -> None:
    assert len(tags()) >= len(TABLE["rows"]) - 8
    assert len(OPTIONS) == 10
    assert {letter for _, row in tags() for letter in row["basic"]} >= set("XZDU")


# --- data sets that nobody planned ---


@lru_cache(maxsize=1)
def _known_tags() -> list[int]:
    from pydicom._dicom_dict import DicomDictionary

    return sorted(tag for tag in DicomDictionary if 0x00080008 < tag < 0x7FE00000 and tag & 0xFFFF)


_PROTECTED = {
    *(0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00420011),
    *(0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011),
    *(0x00280100, 0x00280101, 0x00280102, 0x00280103),
}
"""What says how a file is to be read; the generated data sets leave it as it is."""


@st.composite
def raw_elements(draw: st.DrawFn, depth: int = 2) -> Raw:
    """Return an element of a known, unknown or private tag with a value of any bytes."""
    known = st.sampled_from(_known_tags())
    strange = st.integers(0x00080009, 0x7FDFFFFE).filter(lambda tag: tag & 0xFFFF)
    tag = draw(st.one_of(known, known, strange).filter(lambda tag: tag not in _PROTECTED))
    vr = (
        dictionary_VR(tag).split(" or ")[0]
        if dictionary_has_tag(tag)
        else draw(st.sampled_from(["LO", "UN", "OB", "SQ"]))
    )
    vr = draw(st.sampled_from([vr, vr, vr, "UN"])) if vr != "SQ" else vr
    if vr == "SQ":
        items = (
            draw(
                st.lists(st.lists(raw_elements(depth - 1), max_size=4, unique_by=lambda p: p.tag), max_size=3)
            )
            if depth
            else []
        )
        return Raw(tag, "SQ", b"", tuple(tuple(item) for item in items), draw(st.booleans()))
    number = draw(st.integers(0, 9999))
    plausible = value_of(vr, number)
    value = draw(
        st.one_of(st.just(plausible), st.just(plausible + b" "), st.just(b""), st.binary(max_size=24))
    )
    return Raw(tag, vr, value)


_FILES = st.tuples(
    st.lists(raw_elements(), max_size=12, unique_by=lambda part: part.tag),
    st.sampled_from(["big", "explicit", "implicit"]),
)


def file_of(parts: Sequence[Raw], syntax: str) -> bytes:
    """Return a small CT with the elements added or put in the place of its own."""
    ds = make_objects.ct(0)
    ds.file_meta.TransferSyntaxUID = make_raw.SYNTAXES["explicit"]
    uid = make_raw.SYNTAXES[syntax]
    is_explicit, order = syntax != "implicit", ">" if syntax == "big" else "<"
    added = {part.tag: part for part in parts}
    for element_ in ds:
        tag = int(element_.tag)
        if tag not in added:
            added[tag] = Raw(tag, element_.VR, _value_bytes(ds, tag, order))
    body = b"".join(encode(part, is_explicit=is_explicit, order=order) for _, part in sorted(added.items()))
    ds.file_meta.TransferSyntaxUID = uid
    whole = make_raw.to_bytes(_only_meta(ds))
    return whole[: 144 + struct.unpack_from("<L", whole, 140)[0]] + body


def _only_meta(ds: Dataset) -> Dataset:
    empty = Dataset()
    empty.file_meta = ds.file_meta
    empty.SOPClassUID, empty.SOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return empty


def _value_bytes(ds: Dataset, tag: int, order: str) -> bytes:
    """Return a value of the plain CT as bytes of an order."""
    part = ds[Tag(tag)]
    values = part.value if part.VM > 1 else [part.value]
    if part.VR == "US":
        return struct.pack(f"{order}{len(values)}H", *values)
    if part.VR in ("OW", "OB"):
        data: bytes = part.value
        return data
    text = "\\".join(str(value) for value in values) if part.value not in (None, "") else ""
    return text.encode() + (b"\0" if part.VR == "UI" else b" ") * (len(text) % 2)


@pytest.mark.slow
@given(_FILES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_data_set_is_held_or_comes_out_readable_once_and_for_all(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[list[Raw], str]
) -> None:
    parts, syntax = made
    folder = tmp_path_factory.mktemp("any")
    (folder / "in").mkdir()
    (folder / "in" / "a").write_bytes(file_of(parts, syntax))
    make_raw.write(make_objects.ct(1), folder / "in" / "b")

    study = run(folder, load_profile("surgical-planning"))

    assert len(study.files) + len(study.problems) == 2
    assert study.files
    for path in study.files:
        assert len(list(pydicom.dcmread(path).iterall())) > 20
    before, after = (uid_graph.read((folder / name).iterdir()) for name in ("in", "out"))
    assert uid_graph.compare(before, after).clashes == ()
    again = run_again(study, folder / "again")
    same = run_again_from(folder, folder / "same")
    assert [path.read_bytes() for path in same] == [path.read_bytes() for path in study.files]
    assert sorted(path.name for path in again) == sorted(path.name for path in study.files)
    assert {path.name: path.read_bytes() for path in again} == {
        path.name: path.read_bytes() for path in study.files
    }


def run_again(study: DeidentifiedStudy, folder: Path) -> list[Path]:
    """Return the files of a study that was de-identified twice."""
    (folder / "in").mkdir(parents=True)
    for path in study.files:
        (folder / "in" / path.name).write_bytes(path.read_bytes())
    return list(run(folder, load_profile("surgical-planning")).files)


def run_again_from(first: Path, folder: Path) -> list[Path]:
    """Return the files of a second run over the same input."""
    folder.mkdir()
    (folder / "in").symlink_to(first / "in")
    return list(run(folder, load_profile("surgical-planning")).files)


@pytest.mark.slow
@pytest.mark.parametrize("profile", profile_names())
def test_the_whole_study_and_the_whole_probe_come_out_the_same_a_second_time(
    tmp_path: Path, profile: str
) -> None:
    make_probe.write_probe(tmp_path / "first" / "in")
    orders = make_raw.orders(profile, finder=make_probe.BlindFinder())
    first = make_probe.deidentified_probe(tmp_path / "first" / "in", tmp_path / "first", orders)
    second = make_probe.deidentified_probe(first.folder, tmp_path / "second", orders)
    names = {path.name for path in first.files}
    assert {path.name for path in second.files} == names
    changed = [
        name
        for name in sorted(names)
        if (first.folder / name).read_bytes() != (second.folder / name).read_bytes()
    ]
    assert changed == []
