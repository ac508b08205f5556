"""Release under kills and full disks, and two people at one desk, with real processes."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medviz.core.drafts import Draft
from medviz.core.manifest import manifest_of
from review import audit
from review.audit import Action, verify_chain
from review.queue import submit
from review.release import release, unfinished_releases, verify_release
from review.sign import approval_of, approve
from tests.make_review import NOW, PASSPHRASE, REVIEWER, later, make_approved, make_enrolled

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def worker(home: Path, target: Path, *fatal: str) -> list[str]:
    return [sys.executable, "-m", "tests.release_worker", str(home), str(target), *fatal]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("fatal", ["_begin", "copy_checked", "write_paper", "appear", "_end"])
def test_a_release_killed_at_any_point_leaves_all_of_it_or_nothing_and_a_trace(
    home: Path, fatal: str
) -> None:
    make_approved(home)
    target = home / "out"
    assert run(worker(home, target, fatal)).returncode == -signal.SIGKILL
    visible = [path for path in target.glob("*") if not path.name.startswith(".")] if target.exists() else []
    assert bool(visible) == (fatal == "_end")
    for folder in visible:
        verify_release(folder)
    assert len(unfinished_releases(home)) == (0 if fatal == "_begin" else 1)
    assert verify_chain(home).is_whole
    elsewhere = home / "again" if visible else target
    again = release("C0001", elsewhere, approval_of("C0001", home=home), home=home, now=later(600))
    verify_release(again.folder)
    assert [path.name for path in elsewhere.iterdir()] == ["C0001"]


def make_large_approved(home: Path, size_mb: int) -> None:
    make_enrolled(home)
    folder = home / "cases" / "C0001" / "draft"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.bin").write_bytes(random.Random(number).randbytes(size_mb * 250_000))
    submit(Draft("C0001", folder, manifest_of(folder)), home=home, now=NOW)
    approve("C0001", REVIEWER, PASSPHRASE, home=home, now=later(60))


@pytest.mark.slow
def test_a_release_killed_at_random_moments_never_shows_half_a_folder(home: Path) -> None:
    make_large_approved(home, 100)
    moments = random.Random(3)
    for attempt in range(8):
        target = home / f"out{attempt}"
        process = subprocess.Popen(worker(home, target), cwd=REPOSITORY)
        time.sleep(moments.uniform(0.5, 2.5))
        process.kill()
        process.wait()
        if (target / "C0001").exists():
            verify_release(target / "C0001")
    assert verify_chain(home).is_whole


def test_a_full_disk_leaves_nothing_at_the_target_and_the_draft_approved(home: Path, tmp_path: Path) -> None:
    """The target is a real file system of 1 MB, mounted in a namespace of its own."""
    unshare, disk = shutil.which("unshare"), tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=1m none {disk}"
    if not unshare or run([unshare, "-rm", "sh", "-c", mount]).returncode:
        pytest.skip("NOT PROVEN HERE: no user namespaces on this machine, so no disk could be filled")
    make_large_approved(home, 4)
    command = " ".join(worker(home, disk / "out"))
    ran = run([unshare, "-rm", "sh", "-c", f'{mount} && {command}; echo " $?"; ls -A {disk}/out'])
    assert ran.stdout.split() == ["STORAGE_FULL", "7"]
    assert unfinished_releases(home) == ()
    assert release("C0001", home / "out", approval_of("C0001", home=home), home=home, now=later(90))


def test_two_releases_at_once_to_one_target_leave_one_folder_and_one_refusal(home: Path) -> None:
    make_approved(home)
    processes = [
        subprocess.Popen(worker(home, home / "out"), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert sorted(said) == ["", "TARGET_EXISTS"]
    verify_release(home / "out" / "C0001")
    assert verify_chain(home).is_whole


def test_two_thousand_audit_rows_are_verified_in_a_moment(home: Path) -> None:
    """Each release reads the whole log, so it must stay quick; 2.5 s is generous."""
    with audit.recorded(home) as session:
        for number in range(2_000):
            audit.append(session, Action.SHOWN, actor="x", case_id="C0001", detail={"n": number}, now=NOW)
    started_s = time.process_time()
    assert verify_chain(home).rows == 2_000
    assert time.process_time() - started_s < 2.5
