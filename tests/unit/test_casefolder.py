"""A step is done once; its outputs become visible whole or not at all; a changed byte makes it run again."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from medviz.casefolder import CaseFolder, CaseShelf, StepRecord, full_disk_told, step_key
from medviz.core.errors import BadInput, StorageFull

REQUEST: dict[str, object] = {
    "fingerprint": "f" * 64, "source_hmac": "s", "plan_sha256": "p", "procedure": "needle",
    "profile": "basic", "created_at": "2026-01-01T00:00:00+00:00", "segmenter": "head",
    "narrator": "template", "voice": "hibari", "seed": 1, "frames_per_second": 24, "captions_burnt_in": True,
}  # fmt: skip
RECORD = StepRecord("mesh", "k" * 64, "", "It was done.", 1.0, 10.0)


@pytest.fixture
def case(tmp_path: Path) -> CaseFolder:
    return CaseShelf(tmp_path).open(REQUEST, tmp_path / "Quillfeather", b"procedure = 'needle'\n")


def finish(case: CaseFolder, record: StepRecord = RECORD, text: str = "x") -> StepRecord:
    partial = case.partial(record.step, record.key)
    (partial / "out.txt").write_text(text)
    return case.finish(record, partial, keep_old=False)


def test_the_same_request_finds_the_same_case(case: CaseFolder, tmp_path: Path) -> None:
    shelf = CaseShelf(tmp_path)
    assert shelf.find("f" * 64) == case
    assert shelf.find("e" * 64) is None
    second = shelf.open(REQUEST | {"fingerprint": "e" * 64}, tmp_path, b"")
    assert (case.case_id, second.case_id) == ("C0001", "C0002")


def test_the_sources_path_is_kept_in_quarantine_alone(case: CaseFolder) -> None:
    outside = [
        path for path in case.folder.rglob("*") if path.is_file() and case.quarantine not in path.parents
    ]
    assert all(b"Quillfeather" not in path.read_bytes() for path in outside)
    assert (case.quarantine.stat().st_mode & 0o777, case.source().name) == (0o700, "Quillfeather")


def test_a_finished_step_is_known_until_one_byte_of_it_changes(case: CaseFolder) -> None:
    done = finish(case)
    assert case.finished("mesh", RECORD.key) == done
    (case.output("mesh") / "out.txt").write_text("y")
    assert case.finished("mesh", RECORD.key) is None


def test_a_step_made_from_something_else_is_not_the_same_step(case: CaseFolder) -> None:
    finish(case)
    assert case.finished("mesh", "other") is None
    one, other = (replace(RECORD, outputs_sha256=value) for value in ("1", "2"))
    assert step_key("film", 1, {}, [one]) != step_key("film", 1, {}, [other])
    assert step_key("film", 1, {"seed": 1}, [one]) != step_key("film", 1, {"seed": 2}, [one])


def test_what_an_interrupted_step_left_is_never_taken_for_its_output(case: CaseFolder) -> None:
    (case.partial("mesh", RECORD.key) / "half.txt").write_text("half")
    assert case.finished("mesh", RECORD.key) is None
    with pytest.raises(BadInput, match="mesh"):
        case.output("mesh")
    finish(case)
    assert [path.name for path in case.output("mesh").iterdir()] == ["out.txt"]


def test_old_outputs_of_a_step_are_removed_when_new_ones_are_in_place(case: CaseFolder) -> None:
    finish(case)
    finish(case, replace(RECORD, key="n" * 64), "new")
    assert len(list(case.output("mesh").parent.iterdir())) == 1


def test_an_unknown_case_is_refused_and_a_path_cannot_be_smuggled_in(tmp_path: Path) -> None:
    for name in ("C9999", "../../etc", ""):
        with pytest.raises(BadInput) as caught:
            CaseShelf(tmp_path).case(name)
        assert caught.value.reason == "CASE_UNKNOWN"


def test_a_full_disk_is_told_with_what_to_do() -> None:
    with pytest.raises(StorageFull, match="room"), full_disk_told():
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/Quillfeather")
