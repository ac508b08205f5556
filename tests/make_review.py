"""Drafts and reviewers for the tests of the review room."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from medviz.core.drafts import Approval, Draft
from medviz.core.manifest import manifest_of
from review.queue import submit
from review.reviewers import add_reviewer
from review.sign import approval_of, approve

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
REVIEWER = "Dr. Ada Byron"
PASSPHRASE = "correct horse battery staple"

FILES = {
    "film.mp4": b"\x00\x01\x02 not really a film" * 50,
    "captions.vtt": b"WEBVTT\n",
    "surfaces/skull.stl": b"solid skull\nendsolid skull\n",
    "plan-report.html": b"<p>62.4 mm</p>",
}
FINDINGS = ("Not reliably seen: brainstem.", "2 sentences come from templates.")


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def make_draft(home: Path, case_id: str = "C0001", *, version: str = "1") -> Draft:
    folder = home / "cases" / case_id / "work" / "draft" / version
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content + version.encode())
    return Draft(case_id, folder, manifest_of(folder), FINDINGS)


def make_queued(home: Path, case_id: str = "C0001", *, version: str = "1") -> Draft:
    draft = make_draft(home, case_id, version=version)
    submit(draft, home=home, now=NOW)
    return draft


def make_enrolled(home: Path) -> None:
    """A site with one reviewer; copied, because a passphrase is slow to hash on purpose."""
    shutil.copytree(_template(_enrol), home)


def make_approved(home: Path) -> tuple[Draft, Approval]:
    """A site with one reviewer and one draft, C0001, that the reviewer approved."""
    shutil.copytree(_template(_enrol_and_approve), home)
    folder = home / "cases" / "C0001" / "work" / "draft" / "1"
    return Draft("C0001", folder, manifest_of(folder), FINDINGS), approval_of("C0001", home=home)


def _enrol(home: Path) -> None:
    add_reviewer(REVIEWER, PASSPHRASE, home=home, now=NOW)


def _enrol_and_approve(home: Path) -> None:
    _enrol(home)
    make_queued(home)
    approve("C0001", REVIEWER, PASSPHRASE, home=home, now=later(60))


@cache
def _template(make: Callable[[Path], None]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="review-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make(folder / "home")
    return folder / "home"
