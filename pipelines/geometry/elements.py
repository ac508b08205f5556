"""Raw header values by keyword, without the conversions that round, warn or fail on odd files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

_TAGS: dict[str, int] = {}


def tag(keyword: str) -> int:
    """Return the tag of a DICOM keyword."""
    if keyword not in _TAGS:
        found = tag_for_keyword(keyword)
        if found is None:
            raise KeyError(keyword)
        _TAGS[keyword] = found
    return _TAGS[keyword]


@dataclass(frozen=True, slots=True)
class Elements:
    """A dataset, read element by element."""

    dataset: Dataset

    def is_present(self, keyword: str) -> bool:
        """Return whether the element is there, even if it is empty."""
        return tag(keyword) in self.dataset

    def has(self, keyword: str) -> bool:
        """Return whether the element is there with a value."""
        return bool(self.texts(keyword))

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values as text; empty when there are none."""
        value = self._value(keyword)
        if value is None:
            return ()
        if isinstance(value, bytes):
            whole = value.decode("latin-1").strip("\0 ")
            return tuple(part.strip("\0 ") for part in whole.split("\\")) if whole else ()
        if isinstance(value, (MultiValue, list, tuple)):
            return tuple(str(part).strip() for part in value)
        return (str(value).strip(),) if str(value).strip() else ()

    def text(self, keyword: str) -> str:
        """Return the first value as text; empty when there is none."""
        return next(iter(self.texts(keyword)), "")

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return the values of a DS or IS element; what is not a number becomes NaN."""
        return tuple(_number(text) for text in self.texts(keyword))

    def number(self, keyword: str) -> float | None:
        """Return the first value of a DS or IS element; None when there is none."""
        return next(iter(self.numbers(keyword)), None)

    def integer(self, keyword: str) -> int | None:
        """Return the first value of an IS element; None when there is none or it is no number."""
        value = self.number(keyword)
        return None if value is None or not math.isfinite(value) else int(value)

    def word(self, keyword: str, *, is_signed: bool = False) -> int | None:
        """Return the value of a US or SS element; None when there is none."""
        element = self._element(keyword)
        value = None if element is None else element.value
        if isinstance(value, bytes):
            is_little = getattr(element, "is_little_endian", True)
            order: Literal["little", "big"] = "little" if is_little else "big"
            return int.from_bytes(value[:2], order, signed=is_signed) if len(value) >= 2 else None
        if isinstance(value, int):
            return (value + 32768) % 65536 - 32768 if is_signed else value % 65536
        return None

    def converted(self, keyword: str) -> str:
        """Return the first value of a binary element (FD, UL), as text; empty when there is none."""
        if tag(keyword) not in self.dataset:
            return ""
        value = self.dataset[tag(keyword)].value
        return "" if value is None else str(value)

    def items(self, keyword: str) -> list[Elements]:
        """Return the items of a sequence."""
        if tag(keyword) not in self.dataset:
            return []
        value: Any = self.dataset[tag(keyword)].value
        return [Elements(item) for item in value or []]

    def first(self, keyword: str) -> Elements | None:
        """Return the first item of a sequence; None when there is none."""
        return next(iter(self.items(keyword)), None)

    def _element(self, keyword: str) -> Any:
        return self.dataset.get_item(tag(keyword)) if tag(keyword) in self.dataset else None

    def _value(self, keyword: str) -> Any:
        element = self._element(keyword)
        if element is None:
            return None
        if isinstance(element, RawDataElement) or element.value is not None:
            return element.value
        return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
