"""What persons decided about pictures that no program could judge; a later run does the same.

quarantine/verdicts/SHA256.json   the boxes to fill on every frame of the file with that SHA-256
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from anonymize.pixels import TextBox
from medviz.core.errors import BadInput
from medviz.core.records import write_text_atomically


def read_verdicts(home: Path) -> Mapping[str, tuple[TextBox, ...]]:
    """Return what was decided so far: by the SHA-256 of a file, the boxes to fill on every frame."""
    verdicts = {}
    for path in (home / "quarantine" / "verdicts").glob("*.json"):
        boxes = json.loads(path.read_text(encoding="utf-8"))["boxes"]
        verdicts[path.stem] = tuple(_box(*edges) for edges in boxes)
    return verdicts


def save_verdict(home: Path, sha256: str, boxes: Sequence[TextBox]) -> None:
    """Remember what a person decided about a file."""
    folder = home / "quarantine" / "verdicts"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = {"schema_version": 1, "boxes": [[box.top, box.bottom, box.left, box.right] for box in boxes]}
    write_text_atomically(folder / f"{sha256}.json", json.dumps(document) + "\n")


def box_of(text: str) -> TextBox:
    """Return the box that ``TOP,BOTTOM,LEFT,RIGHT`` names, in pixels, bottom and right excluded.

    Raises
    ------
    BadInput
        If these are not four whole numbers, each pair rising (``BOX_INVALID``).
    """
    try:
        top, bottom, left, right = (int(part) for part in text.split(","))
    except ValueError:
        top = bottom = left = right = -1
    if not (0 <= top < bottom and 0 <= left < right):
        raise BadInput(
            "A box is four numbers.",
            reason="BOX_INVALID",
            mend="Write TOP,BOTTOM,LEFT,RIGHT in pixels, such as 0,24,0,512.",
        )
    return _box(top, bottom, left, right)


def _box(top: int, bottom: int, left: int, right: int) -> TextBox:
    return TextBox(top, bottom, left, right, "", 1.0)
