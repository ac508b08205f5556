"""Dates moved by one secret number of days per patient, so that intervals stay (PS3.15 E.3.6)."""

from __future__ import annotations

import datetime
import re
from enum import StrEnum

OLDEST_AGE_YEARS = 89
_MOST_DAYS, _LEAST_DAYS = 3650, 365
_DATE = re.compile(r"^(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})$")
_DATE_TIME = re.compile(r"^(\d{4})(\d{2})?(\d{2})?(\d{0,6}(?:\.\d{1,6})?)([+-]\d{4})?$")
_AGE = re.compile(r"^(\d{1,3})([DWMY])$")
_TIME = re.compile(r"^\d{2}:?(\d{2}:?(\d{2}(\.\d{1,6})?)?)?$")
_RANGE = re.compile(r"^(\d{8})?-(\d{8})?$")


class DatePolicy(StrEnum):
    """What becomes of dates (PS3.15 E.3.6; 45 CFR 164.514 (b)(2)(i)(C) for years)."""

    REMOVED = "removed"
    MOVED = "moved"
    YEARS = "year kept"
    KEPT = "kept"


def shift_days(digest: bytes) -> int:
    """Return how many days to add to a patient's dates: 1 to 10 years back, from 32 keyed bytes."""
    return -(_LEAST_DAYS + int.from_bytes(digest[:8], "big") % (_MOST_DAYS - _LEAST_DAYS))


def shifted_date(text: str, days: int) -> str:
    """Return a DA value, or a range of two, moved by `days`; an empty string when it is no whole date."""
    text = text.strip(" \0")
    between = _RANGE.match(text)
    if between and text != "-":
        ends = [(end, shifted_date(end, days) if end else "") for end in between.groups()]
        return "-".join(moved for _, moved in ends) if all(moved or not end for end, moved in ends) else ""
    found = _DATE.match(text)
    day = _moved(found.groups(), days) if found else None
    return f"{day:%Y%m%d}".rjust(8, "0") if day else ""


def shifted_date_time(text: str, days: int) -> str:
    """Return a DT value moved by `days`, its precision, time of day and offset kept; empty when it is none.

    A year alone is moved as its middle, a month as its fifteenth, and stays a year or a month.
    """
    found = _DATE_TIME.match(text.strip(" \0"))
    if not found or (found[4] and not found[3]):
        return ""
    day = _moved((found[1], found[2] or "07", found[3] or ("15" if found[2] else "01")), days)
    if day is None:
        return ""
    date = f"{day:%Y%m%d}".rjust(8, "0")[: 4 + 2 * bool(found[2]) + 2 * bool(found[3])]
    return date + found[4] + (found[5] or "")


def _moved(parts: tuple[str, ...], days: int) -> datetime.date | None:
    try:
        return datetime.date(*(int(part) for part in parts)) + datetime.timedelta(days)
    except (ValueError, OverflowError):
        return None


def year_only(text: str) -> str:
    """Return a DA value with its year alone, as the first of January; empty when it is no date."""
    found = _DATE.match(text.strip(" \0"))
    return f"{found[1]}0101" if found and shifted_date(found[0], 0) else ""


def year_only_time(text: str) -> str:
    """Return a DT value cut to its year; empty when it is none."""
    return shifted_date_time(text, 0)[:4]


def is_time(text: str) -> bool:
    """Return whether the text is a TM value."""
    return bool(_TIME.match(text.strip(" \0")))


def capped_age(text: str) -> str:
    """Return an AS value, ages above 89 years as ``090Y`` whatever their unit; empty when it is no age.

    Safe Harbor (45 CFR 164.514 (b)(2)(i)(C)) puts every age above 89 into one class.
    """
    found = _AGE.match(text.strip(" \0"))
    if not found:
        return ""
    years = int(found[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1}[found[2]]
    return "090Y" if years >= OLDEST_AGE_YEARS + 1 else f"{int(found[1]):03d}{found[2]}"


def spellings(date: str) -> tuple[str, ...]:
    """Return the usual ways to write a DA value (``19730214``), for the deny-list."""
    found = _DATE.match(date.strip(" \0"))
    if not found:
        return ()
    year, month, day = found.groups()
    try:
        name = datetime.date(int(year), int(month), int(day)).strftime("%B").casefold()
    except ValueError:
        return ()
    orders = ((year, month, day), (day, month, year), (month, day, year), (day, month, year[2:]))
    numeric = [mark.join(order) for order in orders for mark in ("", "-", ".", "/")]
    d, m = str(int(day)), str(int(month))
    short = [f"{d}.{m}.{year}", f"{d}/{m}/{year}", f"{m}/{d}/{year}"]
    names = [f"{number} {word} {year}" for number in (day, d) for word in (name, name[:3])]
    return tuple(dict.fromkeys([*numeric, *short, *names]))
