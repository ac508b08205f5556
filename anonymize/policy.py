"""Where law and practice differ about what free text may keep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextPolicy:
    """What free text may keep beyond radiology; nothing of it by default.

    Parameters
    ----------
    keeps_clinicians : bool
        Names behind a title such as Dr, when the header does not list them as the patient's. Practice of some
        collections; under Safe Harbor they may name relatives or employers and go.
    keeps_institutions : bool
        Hospitals, departments and wards.
    keeps_times_of_day : bool
        Times without a date.
    keeps_years : bool
        The year of a date, which Safe Harbor allows (45 CFR 164.514 (b)(2)(i)(C)) for ages up to 89.
    """

    keeps_clinicians: bool = False
    keeps_institutions: bool = False
    keeps_times_of_day: bool = False
    keeps_years: bool = False
