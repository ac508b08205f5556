"""How a written sentence is pronounced: units, abbreviations and numbers in words a voice reads rightly.

One table per language. The caption keeps the written form, and both always hold the same numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from medviz.core.errors import Uncertain

_NUMBER = r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?"


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the table: what is written, as a pattern, how it is said, and an example of both."""

    written: str
    said: str
    example: str
    example_said: str


def _unit(symbol: str, one: str, many: str, written: str = "") -> tuple[Rule, Rule]:
    """Return the rules for a unit behind a number: singular for exactly 1, else plural."""
    shown = written or symbol
    return (
        Rule(rf"(?<![\d.,])1\s?{symbol}(?![A-Za-z/])", f"1 {one}", f"1 {shown}", f"1 {one}"),
        Rule(rf"({_NUMBER})\s?{symbol}(?![A-Za-z/])", rf"\1 {many}", f"2.5 {shown}", f"2.5 {many}"),
    )


ENGLISH: tuple[Rule, ...] = (
    Rule(rf"({_NUMBER})\s?[-–]\s?(\d)", r"\1 to \2", "3-5 mm", "3 to 5 millimetres"),
    Rule(r"±\s?|\+/-\s?", "plus or minus ", "31 ± 2 mm", "31 plus or minus 2 millimetres"),
    Rule(r"(?<![\w)])-(?=\d)", "minus ", "-20 HU", "minus 20 Hounsfield units"),
    *_unit("mm/s", "millimetre per second", "millimetres per second"),
    *_unit("mm", "millimetre", "millimetres"),
    *_unit("cm", "centimetre", "centimetres"),
    *_unit("(?:ml|mL)", "millilitre", "millilitres", "mL"),
    *_unit("ml", "millilitre", "millilitres"),
    *_unit("HU", "Hounsfield unit", "Hounsfield units"),
    *_unit("Gy", "gray", "gray"),
    *_unit("mg", "milligram", "milligrams"),
    *_unit("kg", "kilogram", "kilograms"),
    *_unit("s", "second", "seconds"),
    *_unit("min", "minute", "minutes"),
    *_unit("(?:deg|°)", "degree", "degrees", "deg"),
    *_unit("°", "degree", "degrees"),
    Rule(rf"({_NUMBER})\s?%", r"\1 percent", "12.5%", "12.5 percent"),
    Rule(r"\b1 degrees\b", "1 degree", "1 degrees", "1 degree"),
    Rule(r"\bCT\b", "C T", "a CT scan", "a C T scan"),
    Rule(r"\bMRI\b", "M R I", "an MRI scan", "an M R I scan"),
    Rule(r"\bMR\b", "M R", "an MR scan", "an M R scan"),
    Rule(r"\bCSF\b", "C S F", "the CSF", "the C S F"),
    Rule(r"\bPET\b", "pet", "a PET scan", "a pet scan"),
    Rule(r"\bEVD\b", "E V D", "an EVD", "an E V D"),
    Rule(r"\bHU\b", "Hounsfield units", "in HU", "in Hounsfield units"),
    Rule(r"\bFLR\b", "future liver remnant", "the FLR", "the future liver remnant"),
    Rule(r"\b([CTLS])(\d{1,2})\b", r"\1 \2", "below L4", "below L 4"),
    Rule(r"\bvs\.?(?= )", "versus", "left vs right", "left versus right"),
    Rule(r"\be\.g\.", "for example", "e.g. skin", "for example skin"),
    Rule(r"\bi\.e\.", "that is", "i.e. skin", "that is skin"),
    *(
        Rule(rf"\b((?:[Ss]egment|[Gg]rade|[Tt]ype|[Zz]one)s?) {roman}\b", rf"\1 {number}",
             f"segment {roman}", f"segment {number}")
        for number, roman in enumerate(("I", "II", "III", "IV", "V", "VI", "VII", "VIII"), start=1)
    ),
    # Voices read 1312 as a year, "thirteen twelve", and 1,312 as the number that it is.
    Rule(r"(?<![\d.,])(\d{1,3})(\d{3})(?![\d,])", r"\1,\2", "1312 mm", "1,312 millimetres"),
)  # fmt: skip


def spoken_form(text: str) -> str:
    """Return an English sentence as it is to be pronounced.

    Raises
    ------
    Uncertain
        If the spoken form would not hold the same numbers as the written one.
    """
    spoken = text
    for pattern, rule in _compiled():
        spoken = pattern.sub(rule.said, spoken)
    if numbers_of(spoken) != numbers_of(text):
        raise Uncertain(
            "A sentence and its spoken form do not hold the same numbers.",
            reason="SPOKEN_NUMBERS_DIFFER",
            mend="Report this; the film was not made.",
        )
    return spoken


def numbers_of(text: str) -> tuple[str, ...]:
    """Return the numbers of a text in order, without separators; the roman ones of the table as digits."""
    with_digits = text
    for pattern, rule in _roman():
        with_digits = pattern.sub(rule.said, with_digits)
    return tuple(found.replace(",", "") for found in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", with_digits))


@cache
def _compiled() -> tuple[tuple[re.Pattern[str], Rule], ...]:
    return tuple((re.compile(rule.written), rule) for rule in ENGLISH)


@cache
def _roman() -> tuple[tuple[re.Pattern[str], Rule], ...]:
    return tuple(pair for pair in _compiled() if "egment" in pair[1].written)
