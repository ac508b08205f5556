"""The main job on the real head CT, as a user runs it: one command, no network, killed once on the way."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medviz.casefolder import CaseFolder, CaseShelf
from medviz.casework import STEPS, run_step
from medviz.core.facts import FactLedger
from medviz.core.records import read_record
from medviz.core.settings import load_settings
from medviz.core.speech import Narration
from sample_data.identity import PLANTED_TOKENS
from tests.medviz_command import NO_NETWORK, environment, medviz, start

pytestmark = [pytest.mark.slow, pytest.mark.model, pytest.mark.timeout(2400)]

PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Finished:
    """The real sample's case after the whole chain, run without a network and killed once."""

    home: Path
    study: Path
    case: CaseFolder
    answer: dict[str, Any]
    before_kill: dict[str, int]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    home = tmp_path_factory.mktemp("site") / "home"
    made = medviz("sample", "head-ct", home=home)
    assert made.exit_code == 0, made.errors
    study = Path(made.output.strip())
    before_kill = _run_until_killed(study, home, after="volume")
    done = medviz("run", study, "--json", home=home, before=NO_NETWORK)
    assert done.exit_code == 0, done.errors
    return Finished(home, study, CaseShelf(home).case("C0001"), done.json(), before_kill)


def _run_until_killed(study: Path, home: Path, *, after: str) -> dict[str, int]:
    """Start the run without a network, kill -9 it once `after` is done; return when each step was done."""
    run = start("run", study, home=home, before=NO_NETWORK)
    steps = home / "cases" / "C0001" / "steps"
    deadline = time.monotonic() + 300
    while not (steps / f"{after}.json").is_file():
        assert run.poll() is None, run.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    return {path.stem: path.stat().st_mtime_ns for path in steps.glob("*.json")}


def test_the_whole_chain_passes_without_a_network_and_waits_for_a_clinician(finished: Finished) -> None:
    assert [step["step"] for step in finished.answer["steps"]] == list(STEPS)
    waiting = medviz("review", "list", "--json", home=finished.home).json()
    assert [(draft["case_id"], draft["state"]) for draft in waiting["drafts"]] == [("C0001", "queued")]


def test_a_killed_run_redoes_nothing_that_was_done(finished: Finished) -> None:
    assert {"admit", "deidentify", "volume"} <= set(finished.before_kill)
    steps = finished.case.folder / "steps"
    now = {name: (steps / f"{name}.json").stat().st_mtime_ns for name in finished.before_kill}
    assert now == finished.before_kill


def test_the_planted_identity_is_in_no_byte_outside_quarantine(finished: Finished) -> None:
    needles = {form for token in PLANTED_TOKENS for form in _spellings(token)}
    samples = finished.home / "samples"
    leaks = []
    for path in finished.home.rglob("*"):
        if not path.is_file() or samples in path.parents or finished.case.quarantine in path.parents:
            continue
        content = path.read_bytes().lower()
        leaks += [(path.name, needle) for needle in needles if needle in content]
    assert leaks == []
    assert finished.case.quarantine.stat().st_mode & 0o077 == 0


def _spellings(token: str) -> set[bytes]:
    plain = token.lower()
    coded = base64.b64encode(token.encode()).rstrip(b"=")[:-1].lower()
    return {plain.encode(), plain.encode("utf-16-le"), plain.encode("utf-16-be"), coded}


def test_left_is_left_and_up_is_up_in_the_real_head(finished: Finished) -> None:
    from pipelines.nifti import read_segmentation

    segmentation = read_segmentation(finished.case.output("segment"))
    centres = {
        name: segmentation.grid.points(np.argwhere(segmentation.mask(name))).mean(axis=0)
        for name in ("cerebrum", "cerebellum", "brainstem", "ventricles")
    }
    assert centres["cerebellum"][1] > centres["brainstem"][1] > centres["cerebrum"][1] - 15, "back is +y"
    assert centres["cerebrum"][2] > centres["cerebellum"][2], "up is +z"
    assert abs(centres["ventricles"][0] - centres["cerebrum"][0]) < 6, "the midline is in the middle"


def test_the_segmented_volumes_are_those_of_an_adult(finished: Finished) -> None:
    ledger = read_record(finished.case.output("segment") / "segmentation.json", dict)
    volumes = {item["name"]: item["volume_ml"] for item in ledger["structures"]}
    assert 700 < volumes["cerebrum"] < 1400
    assert 90 < volumes["cerebellum"] < 190
    assert 12 < volumes["brainstem"] < 60
    assert 8 < volumes["ventricles"] < 90


def test_every_sentence_tells_a_fact_and_every_number_in_it_is_that_facts(finished: Finished) -> None:
    ledger = read_record(finished.case.output("measure") / "ledger.json", FactLedger)
    narration = read_record(finished.case.output("narrate") / "narration.json", Narration)
    assert len(narration.sentences) >= 8
    for sentence in narration.sentences:
        literals = [ledger[fact_id].literal for fact_id in sentence.fact_ids]
        assert literals, sentence.text
        rest = sentence.text
        for literal in literals:
            rest = rest.replace(literal, "")
        assert not re.search(r"\d", rest), sentence.text


def test_the_film_is_hd_with_sound_captions_and_chapters(finished: Finished) -> None:
    import av

    film = Path(finished.answer["draft"]["folder"]) / "film.mp4"
    with av.open(str(film)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.width, video.height) == ("h264", 1280, 720)
        assert video.average_rate >= 24
        assert sound.codec_context.name == "aac"
        assert 30 < container.duration / 1e6 < 180
        assert 5 <= len(container.chapters()) <= 10
    captions = (film.parent / "captions.vtt").read_text()
    assert captions.startswith("WEBVTT")
    assert captions.count("-->") >= 8


def test_the_same_seed_gives_the_same_ledger_surfaces_and_narration(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    (settings.home / "keys").mkdir(parents=True, mode=0o700)
    key = finished.home / "keys" / "project.key"
    (settings.home / "keys" / "project.key").write_bytes(key.read_bytes())
    (settings.home / "keys" / "project.key").chmod(0o600)
    asked = json.loads((finished.case.folder / "case.json").read_text())["record"]
    case_id = asked.pop("case_id")
    again = CaseShelf(settings.home).open(asked, finished.study, finished.case.plan_path.read_bytes())
    assert again.case_id == case_id
    for step in tuple(STEPS)[: tuple(STEPS).index("speak") + 1]:
        record = run_step(step, again, settings)
        first = finished.case.record(step)
        assert first is not None
        assert record.outputs_sha256 == first.outputs_sha256, step


def test_a_draft_is_released_only_signed_and_only_with_exactly_its_bytes(
    finished: Finished, tmp_path: Path
) -> None:
    home = finished.home
    refused = medviz("release", "C0001", tmp_path / "early", home=home)
    assert refused.exit_code == 6
    assert not (tmp_path / "early").exists()
    assert medviz("review", "enrol", "anna", home=home, passphrase=PASSPHRASE).exit_code == 0
    signed = medviz("review", "approve", "C0001", "--reviewer", "anna", home=home, passphrase=PASSPHRASE)
    assert signed.exit_code == 0, signed.errors
    released = medviz("release", "C0001", tmp_path / "out", home=home)
    assert released.exit_code == 0, released.errors
    draft = Path(finished.answer["draft"]["folder"])
    assert (tmp_path / "out" / "C0001" / "film.mp4").read_bytes() == (draft / "film.mp4").read_bytes()
    poster = draft / "poster.png"
    before = poster.read_bytes()
    try:
        poster.chmod(0o600)
        poster.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        changed = medviz("release", "C0001", tmp_path / "changed", home=home)
    finally:
        poster.write_bytes(before)
    assert changed.exit_code == 6
    assert not (tmp_path / "changed" / "C0001").exists()
    assert medviz("audit", "verify", home=home).exit_code == 0
    again = medviz("resume", "C0001", "--json", home=home)
    assert again.exit_code == 0, again.errors
    waiting = medviz("review", "list", "--json", home=home).json()["drafts"]
    assert [draft["state"] for draft in waiting] == ["queued"], (
        "a voided draft comes back to be reviewed anew"
    )
