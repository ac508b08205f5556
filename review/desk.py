"""What a reviewer sees: the drafts, and one draft with its findings first. Looking is written down too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from medviz.core.drafts import Rejection
from medviz.core.facts import Fact, FactLedger
from medviz.core.manifest import ManifestEntry
from medviz.core.records import read_record
from medviz.core.speech import Narration
from review import audit
from review.audit import Action, AuditEntry
from review.queue import (
    DraftLine,
    DraftState,
    QueuedDraft,
    checked_case_id,
    is_unchanged,
    known_row,
    lines,
    queued_draft,
)
from review.release import unfinished_releases
from review.sign import rejection_of


@dataclass(frozen=True, slots=True)
class ToldFact:
    """A sentence of the film and what it rests on.

    Parameters
    ----------
    text : str
        The sentence, as captioned.
    source : str
        Who wrote it: ``model`` or ``template``.
    facts : tuple of Fact
        The facts it tells.
    missing : tuple of str
        Facts it names that are not in the ledger; must be empty.
    """

    text: str
    source: str
    facts: tuple[Fact, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DraftView:
    """One draft as the reviewer sees it, in the order in which to read it.

    Parameters
    ----------
    findings : tuple of str
        What to look at first.
    is_unchanged : bool
        Whether every byte is still the submitted one.
    told : tuple of ToldFact
        Sentences and the facts behind them; empty if the draft has no narration.
    untold : tuple of Fact
        Facts of the ledger that no sentence tells.
    rejection : Rejection or None
        Why it was rejected, if it was.
    history : tuple of AuditEntry
        Everything that was done with the case, oldest first.
    """

    draft: QueuedDraft
    findings: tuple[str, ...]
    is_unchanged: bool
    files: tuple[ManifestEntry, ...]
    told: tuple[ToldFact, ...]
    untold: tuple[Fact, ...]
    rejection: Rejection | None
    history: tuple[AuditEntry, ...]


def list_drafts(
    home: Path, *, actor: str = "console", everything: bool = False, now: datetime | None = None
) -> tuple[DraftLine, ...]:
    """Return the drafts that wait or are approved, oldest first; with `everything` also the settled ones."""
    open_states = (DraftState.QUEUED, DraftState.APPROVED)
    found = lines(home, states=tuple(DraftState) if everything else open_states)
    audit.write(home, Action.LISTED, actor=actor, detail={"drafts": len(found)}, now=now)
    return found


def show_draft(case_id: str, *, home: Path, actor: str = "console", now: datetime | None = None) -> DraftView:
    """Return the newest draft of a case: findings first, then files, facts, and what was done with it.

    Raises
    ------
    BadInput
        If the case has no draft (``DRAFT_UNKNOWN``).
    """
    with audit.recorded(home) as session:
        draft = queued_draft(known_row(session, checked_case_id(case_id)), home)
        detail: audit.Detail = {"manifest": draft.manifest.sha256, "draft": draft.number}
        audit.append(session, Action.SHOWN, actor=actor, case_id=case_id, detail=detail, now=now)
        history = audit.entries(session, case_id)
    told, untold = _told(draft.folder)
    open_ends = _open_ends(case_id, home)
    return DraftView(
        draft=draft,
        findings=(*open_ends, *draft.findings),
        is_unchanged=is_unchanged(draft),
        files=draft.manifest.entries,
        told=told,
        untold=untold,
        rejection=rejection_of(case_id, home=home),
        history=history,
    )


def _open_ends(case_id: str, home: Path) -> tuple[str, ...]:
    """Return a sentence for each release whose end was never written."""
    open_ends = unfinished_releases(home, case_id)
    return tuple(f"A release that began on {entry.time} has no recorded end." for entry in open_ends)


def _told(folder: Path) -> tuple[tuple[ToldFact, ...], tuple[Fact, ...]]:
    """Return the sentences with their facts, and the facts nobody tells; nothing if there are none."""
    ledger_path, narration_path = folder / "ledger.json", folder / "narration.json"
    if not (ledger_path.is_file() and narration_path.is_file()):
        return (), ()
    facts = {fact.id: fact for fact in read_record(ledger_path, FactLedger)}
    sentences = read_record(narration_path, Narration).sentences
    told = tuple(
        ToldFact(
            sentence.text,
            sentence.source,
            tuple(facts[name] for name in sentence.fact_ids if name in facts),
            tuple(name for name in sentence.fact_ids if name not in facts),
        )
        for sentence in sentences
    )
    named = {name for sentence in sentences for name in sentence.fact_ids}
    return told, tuple(fact for fact in facts.values() if fact.id not in named)
