"""Who points to whom in a folder of DICOM files, and whether it is still so after de-identification.

Nothing here knows how new UIDs are made: two folders are compared by the objects' classes and numbers, and by
the places at which their UIDs stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import UID_dictionary

_OWN = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_DEFINES = (*_OWN, "FrameOfReferenceUID")
Key = tuple[str, str]


class Use(NamedTuple):
    """A UID at a place: in which object, below which sequences, and the class named beside it."""

    holder: Key
    path: tuple[str, ...]
    uid: str
    sop_class: str


class Comparison(NamedTuple):
    """What became of the UIDs of a folder.

    `mapping` is old to new; `clashes` are old UIDs with two new ones, or new ones of two old; `lost` are uses
    whose counterpart is not there; `stayed` are old UIDs that are still in use.
    """

    mapping: Mapping[str, str]
    clashes: tuple[str, ...]
    lost: tuple[Use, ...]
    stayed: tuple[str, ...]
    references: int


def read(paths: Iterable[Path]) -> dict[Key, Dataset]:
    """Return the objects of files by class and number; what is no DICOM is left out."""
    found: dict[Key, Dataset] = {}
    for path in paths:
        if not path.is_file():
            continue
        try:
            ds = pydicom.dcmread(path, force=False)
        except pydicom.errors.InvalidDicomError:
            continue
        found[str(ds.get("SOPClassUID", "")), str(ds.get("InstanceNumber", ""))] = ds
    return found


def uses(holder: Key, ds: Dataset, path: tuple[str, ...] = ()) -> Iterator[Use]:
    """Give every UID of a data set that is not the standard's own."""
    sop_class = str(ds.get("ReferencedSOPClassUID", ""))
    for tag in sorted(ds.keys()):
        raw = ds.get_item(tag)
        if (raw.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")) not in ("SQ", "UI"):
            continue  # not decoded: other values may be broken on purpose
        element = ds[tag]
        place = (*path, element.keyword or str(element.tag))
        if element.VR == "SQ":
            for item in element.value:
                yield from uses(holder, item, place)
        elif element.VR == "UI" and element.value:
            values = [element.value] if element.VM == 1 else list(element.value)
            for value in values:
                if str(value) not in UID_dictionary:
                    yield Use(holder, place, str(value), sop_class)


def compare(before: Mapping[Key, Dataset], after: Mapping[Key, Dataset]) -> Comparison:
    """Return what became of the references of `before` in `after`, over the objects that are in both."""
    both = [key for key in before if key in after]
    old = {key: list(uses(key, before[key])) for key in both}
    new = {key: list(uses(key, after[key])) for key in both}
    pairs = [pair for key in both for pair in _pairs(old[key], new[key])]
    mapping = dict(reversed(pairs))
    defined = {str(before[key].get(name)) for key in both for name in _DEFINES}
    wanted = [use for key in both for use in old[key] if _is_reference(use, defined)]
    got = Counter(use for key in both for use in new[key])
    lost = []
    for use in wanted:
        mapped = use._replace(uid=mapping.get(use.uid, ""))
        if got[mapped] <= 0:
            lost.append(use)
        got[mapped] -= 1
    olds, news = Counter(a for a, _ in set(pairs)), Counter(b for _, b in set(pairs))
    clashes = [uid for uid, count in (olds + news).items() if max(olds[uid], news[uid]) > 1]
    remaining = {use.uid for key in both for use in new[key]}
    stayed = sorted({use.uid for key in both for use in old[key]} & remaining)
    return Comparison(mapping, tuple(clashes), tuple(lost), tuple(stayed), len(wanted))


def _is_reference(use: Use, defined: set[str]) -> bool:
    """Return whether a use points to an object, series, study or frame that is there."""
    return use.uid in defined and not (len(use.path) == 1 and use.path[0] in _OWN)


def _pairs(old: list[Use], new: list[Use]) -> Iterator[tuple[str, str]]:
    """Give old and new UIDs that stand at the same place of an object."""
    for path in dict.fromkeys(use.path for use in old):
        a, b = ([use.uid for use in side if use.path == path] for side in (old, new))
        if len(a) == len(b):
            yield from zip(a, b, strict=True)
