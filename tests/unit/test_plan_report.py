"""The plan report is one page that tells every fact, limit and unknown and needs nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from medviz import NOT_FOR_DIAGNOSIS
from medviz.core.facts import FactLedger
from medviz.core.plan import PlannedOperation
from pipelines.plandocument import parse_plan
from pipelines.planning.sections import sections
from pipelines.planreport import plan_report_html
from pipelines.stages.facts import measure
from pipelines.stages.plan import plan_operation
from pipelines.stages.simulate import simulate
from tests.make_head import Head, make_head

PLAN = b'schema_version = 1\nprocedure = "needle"\n[search]\ncandidates = 3000\n'


@pytest.fixture(scope="module")
def case() -> tuple[Head, PlannedOperation, FactLedger, str]:
    head = make_head()
    operation = plan_operation(parse_plan(PLAN), head.volume, head.segmentation, seed=1)
    simulation = simulate(operation, head.segmentation)
    ledger = measure(head.volume, head.segmentation, (), operation, simulation)
    page = plan_report_html(operation, ledger, head.volume, head.segmentation, case_id="C0001")
    return head, operation, ledger, page


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_its_tags_are_balanced(case):
    parser = _Balance()
    parser.feed(case[3])
    assert parser.open == []


def test_the_page_needs_nothing_from_outside(case):
    page = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", case[3])
    assert not re.search(r"https?:|//|<script|<link|@import|url\(", page)


def test_the_page_tells_every_fact_with_unit_interval_method_and_grade(case):
    _, _, ledger, page = case
    for fact in ledger:
        assert fact.literal in page
        assert fact.grade.value in page
    assert "half a voxel" in page


def test_the_page_says_that_it_is_a_draft_and_what_is_unknown(case):
    _, operation, _, page = case
    assert NOT_FOR_DIAGNOSIS in page
    assert all(item.sentence in page for item in operation.unknowns)


def test_the_page_lists_refusals_and_alternatives(case):
    _, operation, _, page = case
    assert all(f"<td>{name}</td>" in page for name in operation.search.refused)
    assert page.count("<td>alternative ") == len(operation.alternatives)
    assert operation.document.sha256 in page


def test_text_from_a_plan_cannot_become_markup(case):
    head, operation, ledger, _ = case
    page = plan_report_html(operation, ledger, head.volume, head.segmentation, case_id="<b>C1</b>")
    assert "<b>C1" not in page


def test_the_page_is_the_same_every_time(case):
    head, operation, ledger, page = case
    assert plan_report_html(operation, ledger, head.volume, head.segmentation, case_id="C0001") == page


def test_both_needle_planes_hold_the_whole_needle_with_left_on_the_right(case):
    head, operation, _, _ = case
    side, front, axial = sections(operation, head.volume, head.segmentation)
    assert side.letters[0] == "A"
    assert front.letters[:2] == ("R", "L")
    assert axial.letters == ("R", "L", "A", "P")
    for plane in (side, front):
        length = np.subtract(plane.entry_px, plane.target_px)
        assert np.linalg.norm(length) * 0.6 == pytest.approx(operation.trajectory.length_mm, abs=0.1)
        assert plane.entry_px[1] < plane.target_px[1]


def test_the_tip_lies_in_the_target_in_every_plane(case):
    head, operation, _, _ = case
    for plane in sections(operation, head.volume, head.segmentation):
        x, y = (round(value) for value in plane.target_px)
        assert plane.labels[y, x] == 5  # ventricles
