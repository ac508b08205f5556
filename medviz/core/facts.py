"""Every number, computed once, with where it comes from. The film may tell nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How a fact is known."""

    MEASURED = "measured"
    SIMULATED = "simulated"
    PUBLISHED_MODEL = "published model"
    ASSUMED = "assumed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing the film may say.

    Parameters
    ----------
    id : str
        Stable within a case, such as ``trajectory.length``.
    subject : str
        What it is about, as a person says it: "the needle path".
    quantity : str
        What is measured: "length", "least distance to the brainstem".
    value : float or str
        The number, or a word for what is named (a side, a list of structures). Empty when unknown.
    unit : str
        UCUM-like: ``mm``, ``ml``, ``deg``, ``%``; empty for words and counts.
    decimals : int
        Digits after the point when written; the written value is the spoken one.
    interval : tuple of float or None
        Lower and upper bound in the same unit.
    method : str
        How it was computed, one phrase.
    evidence : tuple of str
        Artifacts it was read from: ``segmentation:ventricles``, ``volume``, ``plan``.
    grade : Grade
        How it is known.
    keywords : tuple of str
        Words at least one of which a sentence about this fact must hold.
    sentence : str
        Plain sentence that states the fact; used when no model's sentence passes the checks.
    """

    id: str
    subject: str
    quantity: str
    value: float | str
    unit: str
    decimals: int
    interval: tuple[float, float] | None
    method: str
    evidence: tuple[str, ...]
    grade: Grade
    keywords: tuple[str, ...]
    sentence: str

    @property
    def literal(self) -> str:
        """The value as it is written and spoken, with its unit: ``62.4 mm``."""
        if isinstance(self.value, str):
            return self.value
        number = f"{self.value:.{self.decimals}f}"
        if not self.unit:
            return number
        return (
            f"{number}{self.unit}" if self.unit == "%" else f"{number} {UNIT_WORDS.get(self.unit, self.unit)}"
        )


UNIT_WORDS = {"deg": "degrees"}


@dataclass(frozen=True, slots=True)
class FactLedger:
    """The facts of one case, in the order in which they were measured."""

    facts: tuple[Fact, ...]

    def __post_init__(self) -> None:
        ids = [fact.id for fact in self.facts]
        if len(ids) != len(set(ids)):
            raise ValueError("a fact id stands twice in the ledger")

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.facts)

    def __getitem__(self, fact_id: str) -> Fact:
        for fact in self.facts:
            if fact.id == fact_id:
                return fact
        raise KeyError(fact_id)
