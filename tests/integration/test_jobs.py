"""Durable runs, with real processes that are really killed."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from medviz.lease import read_note

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = ("one", "two", "three", "four")


def worker(home: Path, case_id: str = "C0001", *options: str, prefix: tuple[str, ...] = ()) -> list[str]:
    home.mkdir(exist_ok=True)
    return [*prefix, sys.executable, "-m", "tests.durable_worker", str(home), case_id, *options]


def run(home: Path, *options: str, case_id: str = "C0001") -> subprocess.CompletedProcess[str]:
    command = worker(home, case_id, *options)
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


def start(home: Path, *options: str, case_id: str = "C0001") -> subprocess.Popen[str]:
    command = worker(home, case_id, *options)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=pipe, stderr=pipe, text=True)


def effects(home: Path, name: str = "effects") -> list[str]:
    path = home / name
    return [line.split()[1] for line in path.read_text().splitlines()] if path.exists() else []


def wait_until_begun(home: Path, step: str) -> None:
    deadline_s = time.monotonic() + 60
    while step not in effects(home, "begun"):
        assert time.monotonic() < deadline_s, "the step never began"
        time.sleep(0.02)


def test_a_run_killed_in_its_second_step_resumes_there_and_does_each_step_once(tmp_path: Path) -> None:
    killed = run(tmp_path, "kill=two")
    assert killed.returncode == -signal.SIGKILL
    assert effects(tmp_path) == ["one"]
    again = run(tmp_path)
    assert again.returncode == 0
    assert list(json.loads(again.stdout)) == list(STEPS)
    assert effects(tmp_path) == list(STEPS)
    assert Counter(effects(tmp_path, "begun")) == {"one": 1, "two": 2, "three": 1, "four": 1}


def test_a_run_killed_before_every_step_still_does_each_once(tmp_path: Path) -> None:
    for step in STEPS:
        assert run(tmp_path, f"kill={step}").returncode == -signal.SIGKILL
    assert run(tmp_path).returncode == 0
    assert effects(tmp_path) == list(STEPS)


def test_a_step_that_dies_after_its_effect_but_before_it_returns_is_the_only_one_done_twice(
    tmp_path: Path,
) -> None:
    assert run(tmp_path, "kill_after=three").returncode == -signal.SIGKILL
    assert run(tmp_path).returncode == 0
    assert Counter(effects(tmp_path)) == {"one": 1, "two": 1, "three": 2, "four": 1}


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_and_redo_only_the_step_that_ran(tmp_path: Path) -> None:
    moments = random.Random(7)
    steps = [f"s{number}" for number in range(30)]
    option = "steps=" + ",".join(steps)
    kills = 0
    for _ in range(12):
        process = start(tmp_path, option)
        time.sleep(moments.uniform(0.3, 1.2))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        process.communicate()
    assert run(tmp_path, option).returncode == 0
    counts = Counter(effects(tmp_path))
    assert set(counts) == set(steps)
    assert sum(counts.values()) - len(steps) <= kills


def test_a_finished_run_given_again_does_nothing_and_returns_the_same(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    assert first.stdout == second.stdout
    assert effects(tmp_path) == list(STEPS)


def test_a_step_whose_files_are_gone_runs_again_with_those_after_it(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path, "fresh=three").returncode == 0
    assert effects(tmp_path) == [*STEPS, "three", "four"]


def test_a_changed_list_of_steps_starts_from_the_first(tmp_path: Path) -> None:
    run(tmp_path, "steps=one,two")
    run(tmp_path, "steps=one,three")
    assert effects(tmp_path) == ["one", "two", "one", "three"]


def test_an_error_in_a_step_is_raised_as_it_was_and_the_run_starts_again_at_that_step(tmp_path: Path) -> None:
    for _ in range(2):
        failed = run(tmp_path, "fail=three")
        assert failed.returncode == 4
        said = json.loads(failed.stdout)
        assert (said["error"], said["reason"]) == ("WeightsMissing", "WEIGHTS_MISSING")
        assert said["text"].endswith("Run medviz models pull.")
    note = read_note("C0001", tmp_path)
    assert note is not None
    assert (note.state, note.step, note.reason) == ("failed", "three", "WEIGHTS_MISSING")
    assert run(tmp_path).returncode == 0
    assert Counter(effects(tmp_path, "begun")) == {"one": 1, "two": 1, "three": 3, "four": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_goes_on_later(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "slow=two:60")
    wait_until_begun(tmp_path, "two")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out)["reason"] == "CANCELLED"
    assert err == ""
    note = read_note("C0001", tmp_path)
    assert note is not None
    assert (note.state, note.crashes) == ("stopped", 0)
    assert run(tmp_path).returncode == 0
    assert effects(tmp_path) == list(STEPS)


def test_a_second_process_on_the_same_case_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    first = start(tmp_path, "slow=two:3")
    wait_until_begun(tmp_path, "two")
    second = run(tmp_path)
    assert second.returncode == 6
    said = json.loads(second.stdout)
    assert said["reason"] == "CASE_IS_RUNNING"
    assert f"kill {first.pid}" in said["text"]
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert effects(tmp_path) == list(STEPS)


def test_two_cases_run_side_by_side_and_neither_takes_the_others_steps(tmp_path: Path) -> None:
    assert run(tmp_path, "kill=two", case_id="C0001").returncode == -signal.SIGKILL
    other = start(tmp_path, "slow=two:2", case_id="C0002")
    assert run(tmp_path, case_id="C0001").returncode == 0
    other.communicate(timeout=60)
    assert other.returncode == 0
    lines = (tmp_path / "effects").read_text().splitlines()
    assert Counter(lines) == {f"{case} {step}": 1 for case in ("C0001", "C0002") for step in STEPS}


def test_a_step_that_keeps_killing_the_process_is_named_and_tried_only_when_asked(tmp_path: Path) -> None:
    for _ in range(5):
        assert run(tmp_path, "kill=two").returncode == -signal.SIGKILL
    for _ in range(2):
        refused = run(tmp_path)
        assert refused.returncode == 5
        assert json.loads(refused.stdout)["reason"] == "STEP_KEEPS_CRASHING"
        assert "two" in json.loads(refused.stdout)["text"]
    assert run(tmp_path, "despite=1").returncode == 0
    assert effects(tmp_path) == list(STEPS)


def test_a_run_writes_nothing_of_its_own_to_the_terminal(tmp_path: Path) -> None:
    process = run(tmp_path)
    assert process.stderr == ""
    assert len(process.stdout.splitlines()) == 1


def test_a_run_works_where_there_is_no_network_at_all(tmp_path: Path) -> None:
    """In a network namespace whose loopback is down: not even 127.0.0.1 answers."""
    unshare = shutil.which("unshare")
    allowed = unshare and subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode == 0
    if not allowed:
        pytest.skip("NOT PROVEN HERE: no user namespaces on this machine, so nothing ran without network")
    assert run(tmp_path, "kill=two").returncode == -signal.SIGKILL
    command = worker(tmp_path, "C0001", prefix=("unshare", "-rn"))
    process = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 0, process.stderr
    assert effects(tmp_path) == list(STEPS)


def test_an_environment_made_for_the_makers_cloud_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DBOS reads these: its cloud, a Conductor to call, an executor's name that two processes would share."""
    for name, value in {
        "DBOS__CLOUD": "true",
        "DBOS_DOMAIN": "nowhere.invalid",
        "DBOS__CONDUCTOR_KEY": "key",
        "DBOS__CONDUCTOR_APP_NAME": "medviz",
        "DBOS__CONDUCTOR_URL": "ws://nowhere.invalid",
        "DBOS__VMID": "local",
        "DBOS__APPVERSION": "other",
    }.items():
        monkeypatch.setenv(name, value)
    assert run(tmp_path, "kill=two").returncode == -signal.SIGKILL
    again = run(tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert effects(tmp_path) == list(STEPS)


def test_what_the_record_keeps_of_an_error_is_its_code_only(tmp_path: Path) -> None:
    run(tmp_path, "fail=three")
    stored = (tmp_path / "jobs.sqlite").read_bytes()
    assert b"WEIGHTS_MISSING" in stored
    assert b"No weights." not in stored


def test_a_disk_that_fills_up_during_a_step_is_said_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    """The home is a real file system of 2 MB, mounted in a namespace of its own."""
    unshare, disk = shutil.which("unshare"), tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=2m none {disk}"
    command = [unshare or "unshare", "-rm", "sh", "-c"]
    if not unshare or subprocess.run([*command, mount], capture_output=True).returncode:
        pytest.skip("NOT PROVEN HERE: no user namespaces on this machine, so no disk could be filled")
    first, second = " ".join(worker(disk, "C0001", "fill=two")), " ".join(worker(disk))
    script = f"{mount} && {first}; rm {disk}/fill; {second}; cat {disk}/effects"
    ran = subprocess.run([*command, script], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    said, outputs, *effects_lines = ran.stdout.splitlines()
    assert json.loads(said)["reason"] == "STORAGE_FULL", ran.stderr
    assert list(json.loads(outputs)) == list(STEPS)
    assert [line.split()[1] for line in effects_lines][-3:] == ["two", "three", "four"]
    assert effects_lines.count("C0001 one") == 1
