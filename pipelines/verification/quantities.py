"""Numbers with their units, as they are written in a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNITS: dict[str, str] = {
    "mm": "mm", "millimetre": "mm", "millimetres": "mm", "millimeter": "mm", "millimeters": "mm",
    "cm": "cm", "centimetre": "cm", "centimetres": "cm", "centimeter": "cm", "centimeters": "cm",
    "m": "m", "metre": "m", "metres": "m", "meter": "m", "meters": "m", "inch": "inch", "inches": "inch",
    "ml": "ml", "millilitre": "ml", "millilitres": "ml", "milliliter": "ml", "milliliters": "ml",
    "l": "l", "litre": "l", "litres": "l", "liter": "l", "liters": "l", "cc": "cc",
    "deg": "deg", "degree": "deg", "degrees": "deg", "%": "%", "percent": "%",
    "hu": "HU", "s": "s", "second": "s", "seconds": "s", "min": "min", "minutes": "min",
    "mg": "mg", "g": "g", "kg": "kg", "gy": "Gy", "mm/s": "mm/s",
}  # fmt: skip
DIMENSIONS: dict[str, str] = {
    "mm": "length", "cm": "length", "m": "length", "inch": "length",
    "ml": "volume", "l": "volume", "cc": "volume",
    "deg": "angle", "%": "share", "HU": "radiodensity", "s": "time", "min": "time",
    "mg": "mass", "g": "mass", "kg": "mass", "Gy": "dose", "mm/s": "speed", "": "count",
}  # fmt: skip

_NUMBER = re.compile(r"(?<![A-Za-z0-9.])[+-]?\d+(?:,\d{3})*(?:\.\d+)?")
_DIGITS = re.compile(r"\d")
_TWO_WORDS = re.compile(r"\s+((?:[A-Za-z]+\s+)?[A-Za-z]+)")
_AFTER = re.compile(r"\s?(%|mm/s|[A-Za-z]+)")
_KNOWN_UNITS = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_AMOUNT = re.compile(rf"{_NUMBER.pattern}(?:\s?(?:{_KNOWN_UNITS})(?![A-Za-z]))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number exactly as written, and the unit behind it (``mm``, ``ml``, ``deg``, ``%``, or empty)."""

    number: str
    unit: str

    @property
    def dimension(self) -> str:
        """What the unit measures: ``length``, ``volume``, ``angle``, ``count``."""
        return DIMENSIONS.get(self.unit, "other")

    def __str__(self) -> str:
        return f"{self.number} {self.unit}".strip()


def quantities(text: str) -> tuple[Quantity, ...]:
    """Return every number of a text with its unit, in order."""
    return tuple(Quantity(found.group(), _unit_behind(text, found.end())) for found in _NUMBER.finditer(text))


def counts(text: str) -> tuple[tuple[str, str], ...]:
    """Return every number without a unit and the two words behind it, as ``("317", "candidate paths")``."""
    found = [(one, _TWO_WORDS.match(text, one.end())) for one in _NUMBER.finditer(text)]
    return tuple(
        (number.group(), behind.group(1))
        for number, behind in found
        if behind and not _unit_behind(text, number.end())
    )


def without_quantities(text: str) -> str:
    """Return a text without its numbers and the units behind them."""
    return _AMOUNT.sub(" ", text)


def has_stray_digits(text: str) -> bool:
    """Return whether digits stand where no number can be read, such as in "C2" or "1.2.3"."""
    return bool(_DIGITS.search(_NUMBER.sub("", text)))


def _unit_behind(text: str, end: int) -> str:
    found = _AFTER.match(text, end)
    return UNITS.get(found.group(1).lower(), "") if found else ""
