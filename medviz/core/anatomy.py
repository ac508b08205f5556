"""The one anatomy table: names, labels, codes and colours that the whole product uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure the product can segment, draw, measure and speak of.

    Parameters
    ----------
    name : str
        Stable identifier, lower case.
    title : str
        How a person reads and hears it.
    label : int
        Value in a label map, 1 to 255; 0 for a structure made of others.
    snomed_code, snomed_meaning : str
        SNOMED CT concept, used in DICOM SEG.
    colour : tuple of float
        sRGB, each 0 to 1.
    members : tuple of str
        Structures whose union this is.
    is_at_risk : bool
        Whether a needle or cut should keep away from it by default.
    """

    name: str
    title: str
    label: int
    snomed_code: str
    snomed_meaning: str
    colour: tuple[float, float, float]
    members: tuple[str, ...] = ()
    is_at_risk: bool = False


_HEAD = (
    "soft_tissue",
    "skull",
    "cerebrum",
    "deep_grey",
    "ventricles",
    "cerebellum",
    "brainstem",
    "csf",
    "air",
)
_TRUNK = (
    "liver", "portal_vein", "hepatic_veins", "tumour", "kidney_left", "kidney_right", "spleen", "aorta", "bone",
)  # fmt: skip

_TABLE = (
    Structure("soft_tissue", "soft tissue", 1, "87784001", "Soft tissue", (0.86, 0.68, 0.58)),
    Structure("skull", "skull", 2, "89546000", "Bone structure of cranium", (0.93, 0.90, 0.80)),
    Structure("cerebrum", "cerebrum", 3, "83678007", "Cerebrum", (0.90, 0.62, 0.62)),
    Structure("deep_grey", "deep grey nuclei", 4, "32610002", "Basal nuclear structure", (0.55, 0.35, 0.75), is_at_risk=True),
    Structure("ventricles", "ventricles", 5, "35764002", "Brain ventricle", (0.25, 0.60, 0.95)),
    Structure("cerebellum", "cerebellum", 6, "113305005", "Cerebellum", (0.85, 0.72, 0.35), is_at_risk=True),
    Structure("brainstem", "brainstem", 7, "15926001", "Brainstem", (0.95, 0.45, 0.20), is_at_risk=True),
    Structure("csf", "cerebrospinal fluid around the brain", 8, "33930006", "Subarachnoid space of brain", (0.6, 0.8, 0.9)),
    Structure("air", "air inside the body", 9, "15158005", "Air", (0.75, 0.85, 0.95)),
    Structure("liver", "liver", 20, "10200004", "Liver", (0.70, 0.35, 0.30)),
    Structure("portal_vein", "portal vein", 21, "32764006", "Portal vein", (0.30, 0.45, 0.90), is_at_risk=True),
    Structure("hepatic_veins", "hepatic veins", 22, "8993003", "Hepatic vein", (0.20, 0.65, 0.85), is_at_risk=True),
    Structure("tumour", "tumour", 23, "4147007", "Mass", (0.95, 0.85, 0.20)),
    Structure("kidney_left", "left kidney", 24, "18639004", "Left kidney", (0.75, 0.45, 0.25)),
    Structure("kidney_right", "right kidney", 25, "9846003", "Right kidney", (0.75, 0.50, 0.25)),
    Structure("spleen", "spleen", 26, "78961009", "Spleen", (0.55, 0.25, 0.45)),
    Structure("aorta", "aorta", 27, "15825003", "Aorta", (0.90, 0.15, 0.15), is_at_risk=True),
    Structure("bone", "bone", 28, "272673000", "Bone", (0.93, 0.90, 0.80)),
    Structure(
        "brain", "brain", 0, "12738006", "Brain", (0.90, 0.62, 0.62),
        ("cerebrum", "deep_grey", "ventricles", "cerebellum", "brainstem"),
    ),
    Structure("skin", "skin", 0, "39937001", "Skin", (0.90, 0.74, 0.64), _HEAD + _TRUNK),
)  # fmt: skip

STRUCTURES: dict[str, Structure] = {structure.name: structure for structure in _TABLE}
BY_LABEL: dict[int, Structure] = {structure.label: structure for structure in _TABLE if structure.label}


def structure(name: str) -> Structure:
    """Return the structure called `name`.

    Raises
    ------
    KeyError
        If the table has none of that name.
    """
    return STRUCTURES[name]
