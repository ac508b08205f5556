"""Dates moved by one secret number of days per patient, so that intervals stay (PS3.15 E.3.6)."""

from __future__ import annotations

import datetime
import re

OLDEST_AGE_YEARS = 89
_MOST_DAYS, _LEAST_DAYS = 3650, 365
_DATE = re.compile(r"^(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})$")
_DATE_TIME = re.compile(r"^(\d{8})(\d{0,6}(?:\.\d{1,6})?(?:[+-]\d{4})?)$")
_AGE = re.compile(r"^(\d{3})([DWMY])$")
_TIME = re.compile(r"^\d{2}:?(\d{2}:?(\d{2}(\.\d{1,6})?)?)?$")


def shift_days(digest: bytes) -> int:
    """Return how many days to add to a patient's dates: 1 to 10 years back, from 32 keyed bytes."""
    return -(_LEAST_DAYS + int.from_bytes(digest[:8], "big") % (_MOST_DAYS - _LEAST_DAYS))


def shifted_date(text: str, days: int) -> str:
    """Return a DA value moved by `days`, or an empty string when it is no whole date."""
    found = _DATE.match(text.strip(" \0"))
    if not found:
        return ""
    try:
        day = datetime.date(*(int(part) for part in found.groups())) + datetime.timedelta(days)
    except (ValueError, OverflowError):
        return ""
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def shifted_date_time(text: str, days: int) -> str:
    """Return a DT value moved by `days`, time of day and offset kept; empty when it holds no whole date."""
    found = _DATE_TIME.match(text.strip(" \0"))
    if not found:
        return ""
    date = shifted_date(found[1], days)
    return date + found[2] if date else ""


def is_time(text: str) -> bool:
    """Return whether the text is a TM value."""
    return bool(_TIME.match(text.strip(" \0")))


def capped_age(text: str) -> str:
    """Return an AS value, ages above 89 years as ``090Y``; empty when it is no age.

    Safe Harbor (45 CFR 164.514 (b)(2)(i)(C)) puts every age above 89 into one class.
    """
    found = _AGE.match(text.strip(" \0"))
    if not found:
        return ""
    years = int(found[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1}[found[2]]
    return "090Y" if years >= OLDEST_AGE_YEARS + 1 else found[0]


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
