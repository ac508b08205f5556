"""The plan schema of the needle procedure: every key with its unit, range, default and source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from pipelines.planning.schema import Complaint, Key, Kind, Schema, Table

TARGETS = ("ventricles", "deep_grey", "cerebrum", "cerebellum", "brainstem", "tumour")
AT_RISK = ("deep_grey", "brainstem", "cerebellum", "ventricles", "cerebrum", "tumour")
SIDES = ("left", "right")
PARTS = ("frontal horn", "deepest", "centre")
REGIONS = ("frontal", "parietal", "occipital", "vault")
KINDS = ("ventricular catheter", "biopsy needle")

_MORONE = "Morone et al., Operative Neurosurgery 2019, doi:10.1093/ons/opz194"
_ANN = "Ann et al., J Korean Neurosurg Soc 2016;59(3), device for catheter placement"
_LOO = "van der Loo et al., Acta Neurochir 2017, doi:10.1007/s00701-017-3242-9"
_HOUSE = "house rule, to be set by the site"

_TARGET = Table(
    "target",
    "where the tip shall come to lie",
    (
        Key(
            "structure",
            Kind.CHOICE,
            "Structure that holds the target.",
            default="ventricles",
            options=TARGETS,
        ),
        Key(
            "side",
            Kind.CHOICE,
            "Patient's side of the target. Left out: the side of the entry.",
            options=SIDES,
        ),
        Key(
            "part",
            Kind.CHOICE,
            "Place in the structure. Left out: frontal horn for the ventricles, else deepest.",
            options=PARTS,
            source=_ANN,
        ),
        Key("point_mm", Kind.POINT, "Target point; it goes before structure, side and part.", unit="mm"),
        Key(
            "accept_unsure",
            Kind.TRUTH,
            "Aim at the structure even where its outline is unsure; the film then says so.",
            default=False,
            source="the clinician's word; without it an unsure outline ends the case",
        ),
    ),
)
_ENTRY = Table(
    "entry",
    "where the needle goes in",
    (
        Key(
            "side",
            Kind.CHOICE,
            "Patient's side. Left out: the side of the target, else right.",
            options=SIDES,
        ),
        Key(
            "region",
            Kind.CHOICE,
            "Region of the vault. Left out: frontal for a catheter, vault for a biopsy.",
            options=REGIONS,
            source=_MORONE,
        ),
        Key(
            "midline_mm",
            Kind.RANGE,
            "Least and most distance of the entry from the midline. Left out: 20 to 40 in the frontal "
            "region, 10 to 90 elsewhere.",
            unit="mm",
            least=0,
            most=100,
            source=_MORONE,
        ),
        Key(
            "point_mm",
            Kind.POINT,
            "Entry point on the skin; it goes before region and midline_mm.",
            unit="mm",
        ),
    ),
)
_NEEDLE = Table(
    "needle",
    "what goes in",
    (
        Key("kind", Kind.CHOICE, "Kind of needle.", default=KINDS[0], options=KINDS),
        Key(
            "diameter_mm",
            Kind.NUMBER,
            "Outer diameter.",
            unit="mm",
            default=2.8,
            least=0.5,
            most=10,
            source="usual ventricular catheters measure 2.5 to 3 mm; take the maker's figure",
        ),
        Key(
            "advance_mm_per_s",
            Kind.NUMBER,
            "Speed of the needle in the simulation.",
            unit="mm/s",
            default=1.0,
            least=0.05,
            most=20,
            source="assumed; it changes no measurement",
        ),
    ),
)
_LIMITS = Table(
    "limits",
    "what no trajectory may break",
    (
        Key(
            "most_length_mm",
            Kind.NUMBER,
            "Longest way from the skin to the target.",
            unit="mm",
            default=90.0,
            least=10,
            most=200,
            source=_HOUSE,
        ),
        Key(
            "least_angle_to_skull_deg",
            Kind.NUMBER,
            "Least angle between needle and skull; 90 is perpendicular.",
            unit="degrees",
            default=60.0,
            least=10,
            most=90,
            source=_HOUSE,
        ),
        Key(
            "least_clearance_mm",
            Kind.BY_STRUCTURE,
            "Least distance to a structure at risk: one number, or a table with `default`. Left out: 3, but "
            "1 to the deep grey nuclei when the target is in the ventricles, whose wall they form.",
            unit="mm",
            least=0,
            most=50,
            options=AT_RISK,
            source=f"about the median target error of stereotactic placement, 2.93 mm ({_LOO})",
        ),
        Key(
            "keep_away",
            Kind.NAMES,
            "Structures at risk. Left out: deep grey nuclei, brainstem, cerebellum; for a biopsy the "
            "ventricles too.",
            options=AT_RISK,
            source=_HOUSE,
        ),
    ),
)
_SEARCH = Table(
    "search",
    "how the trajectory is looked for",
    (
        Key("candidates", Kind.WHOLE, "Candidates looked at.", default=20000, least=100, most=500000),
        Key("alternatives", Kind.WHOLE, "Alternatives kept.", default=3, least=0, most=5),
        Key(
            "apart_mm",
            Kind.NUMBER,
            "Least distance between the alternatives at the skull.",
            unit="mm",
            default=15.0,
            least=1,
            most=100,
            source=_HOUSE,
        ),
        Key(
            "seed", Kind.WHOLE, "Seed of the search. Left out: the seed of the run.", least=0, most=2**31 - 1
        ),
    ),
)


def _review(values: Mapping[str, object]) -> Sequence[Complaint]:
    target, entry, limits = (
        cast("Mapping[str, object]", values[name]) for name in ("target", "entry", "limits")
    )
    found = []
    if target.get("part") == "frontal horn" and target["structure"] != "ventricles":
        text = f"the {target['structure']} have no frontal horn."
        found.append(Complaint(("target", "part"), text, 'Write part = "deepest" or "centre".'))
    if "point_mm" in target and "part" in target:
        text = "`part` says nothing when `point_mm` is given."
        found.append(Complaint(("target", "part"), text, "Remove one of the two."))
    if "point_mm" in entry and "region" in entry:
        text = "`region` says nothing when `point_mm` is given."
        found.append(Complaint(("entry", "region"), text, "Remove one of the two."))
    keep_away = cast("list[str]", limits.get("keep_away", []))
    if target["structure"] in keep_away:
        place = ("limits", "keep_away", str(keep_away.index(str(target["structure"]))))
        text = f"the target lies in the {target['structure']}, so the needle cannot keep away from it."
        found.append(Complaint(place, text, f"Remove {target['structure']} from keep_away."))
    return found


NEEDLE_SCHEMA = Schema("needle", 1, (_TARGET, _ENTRY, _NEEDLE, _LIMITS, _SEARCH), _review)
