"""Every reason code is documented, has a mend, and is one that the source may raise."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.geometry.lattice import GeometryLimits
from pipelines.geometry.reasons import REASONS, refused

ROOT = Path(__file__).parents[2]
SOURCES = [*ROOT.glob("pipelines/geometry/*.py"), ROOT / "pipelines/stages/volume.py"]


def test_the_documented_table_is_the_table_of_the_source() -> None:
    text = (ROOT / "docs/geometry.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*) \| (.*) \|$", text, flags=re.MULTILINE)
    assert {code: (meaning, mend) for code, meaning, mend in rows} == {
        reason.code: (reason.meaning, reason.mend or "-") for reason in REASONS.values()
    }


def test_every_code_the_source_raises_is_in_the_table_and_the_other_way_round() -> None:
    raised: set[str] = set()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        raised |= set(re.findall(r'"([A-Z][A-Z_]{3,})"', text)) & set(REASONS)
        for code in re.findall(r'refused\(\s*"([A-Z_]+)"', text):
            assert code in REASONS, code
    assert raised == set(REASONS) - {"OK"}


def test_every_refusal_says_what_to_do_next() -> None:
    for code in set(REASONS) - {"OK"}:
        error = refused(code, "12 of 40.")
        assert error.reason == code
        assert error.exit_code == 3
        assert error.mend.endswith(".")
        assert "12 of 40." in str(error)


def test_the_documented_tolerances_are_those_of_the_source() -> None:
    text = (ROOT / "docs/geometry.md").read_text(encoding="utf-8")
    limits = GeometryLimits()
    for sentence in (
        f"| distance from an even depth | {limits.jitter_mm:g} mm",
        f"differ by {limits.uneven_mm:g} mm at most",
        f"| gap that is interpolated across | {limits.gap_mm:g} mm",
        f"| drift from a straight stack | {limits.drift_mm:g} mm",
        f"| gantry tilt that is resampled | {limits.tilt_deg:g} degrees",
        f"| unsteady drift that is resampled | {limits.shift_mm:g} mm",
    ):
        assert sentence in text
