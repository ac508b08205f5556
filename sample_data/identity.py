"""The invented patient whose name is planted in every sample, so that de-identification has real work.

Nobody of this name was ever scanned. `PLANTED_TOKENS` lists every string that must be in no byte
of any output; the tests search for them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """What a hospital would write into the header of a head CT."""

    name: str = "Quillfeather^Ottoline^Marigold"
    patient_id: str = "QX-7731904"
    birth_date: str = "19511123"
    study_date: str = "20240517"
    study_time: str = "081233"
    accession: str = "ACC5590217"
    institution: str = "St Ambrosine Infirmary"
    address: str = "17 Larkspur Crescent, Wexcombe"
    referring: str = "Thistlewood^Barnaby"
    operator: str = "Featherstonehaugh^Iris"
    telephone: str = "0555-0142-778"
    station: str = "CT-AMBRO-3"


PATIENT = Identity()

PLANTED_TOKENS = (
    "Quillfeather", "Ottoline", "Marigold", "QX-7731904", "7731904", "19511123", "20240517", "ACC5590217",
    "Ambrosine", "Larkspur", "Wexcombe", "Thistlewood", "Barnaby", "Featherstonehaugh", "0555-0142-778",
    "CT-AMBRO-3",
)  # fmt: skip
