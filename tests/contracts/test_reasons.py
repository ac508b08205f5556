"""What every review reason must keep: it names a step of a case, in words a reviewer understands."""

from __future__ import annotations

import re

import pytest

from medviz.casework import STEPS
from review.reasons import REASONS


@pytest.mark.parametrize("code", sorted(REASONS))
def test_a_review_reason_names_a_step_that_exists_and_says_what_is_wrong(code: str) -> None:
    reason = REASONS[code]
    assert reason.rerun_from in STEPS
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code)
    assert reason.sentence.endswith(".")
    assert reason.sentence[0].isupper()


def test_a_reviewer_can_send_a_case_back_to_every_step_that_a_reader_can_judge() -> None:
    unjudged = {"admit", "draft", "submit"}
    assert {reason.rerun_from for reason in REASONS.values()} == set(STEPS) - unjudged
