"""Every reason for which a file may be held is explained, on the page of proof and in the docs."""

from __future__ import annotations

import re
from pathlib import Path

from anonymize.proofpage import REASONS

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_docs_explain_every_reason_of_the_page_of_proof() -> None:
    page = (REPOSITORY / "docs" / "deidentification.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", page, flags=re.MULTILINE))
    assert told == {code: reason.meaning for code, reason in REASONS.items()}


def test_every_reason_that_holds_a_file_is_on_the_page_of_proof() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "anonymize").glob("*.py")]
    raised = {code for source in sources for code in re.findall(r'\bbroken\("([A-Z_]+)"\)', source)}
    assert len(raised) > 8
    assert raised - set(REASONS) <= {"NOT_DICOM"}
