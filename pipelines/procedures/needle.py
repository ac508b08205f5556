"""A needle or catheter to a deep target in the head: what the plan may say, how it is planned, measured, told."""

from __future__ import annotations

from pipelines.planning.needle_facts import needle_facts
from pipelines.planning.needle_plan import plan_needle
from pipelines.planning.needle_schema import NEEDLE_SCHEMA
from pipelines.planning.needle_steps import simulate_needle
from pipelines.planning.needle_story import needle_storyboard

NAME = "needle"
TITLE = "Stereotactic needle to a deep target"
SCHEMA = NEEDLE_SCHEMA
plan = plan_needle
simulate = simulate_needle
facts = needle_facts
storyboard = needle_storyboard
