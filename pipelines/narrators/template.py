"""The fact's own plain sentence. Needs nothing, is always there, and is always marked as a template."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medviz.core.facts import Fact
from medviz.core.segmentation import ModelRecord

TITLE = "Plain sentences of the facts, without a language model"
SOURCE = "template"


class TemplateWriter:
    """Writes what the ledger already says."""

    def write(self, fact: Fact, *, attempt: int, seed: int) -> str:  # noqa: ARG002 - there is one answer
        """Return the fact's plain sentence."""
        return fact.sentence


@contextmanager
def open_writer(*, models: Path, threads: int) -> Iterator[TemplateWriter]:  # noqa: ARG001 - needs none
    """Yield the writer."""
    yield TemplateWriter()


def record() -> ModelRecord:
    """Return what a case says about this narrator."""
    return ModelRecord("template", "1")
