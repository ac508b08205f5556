"""What was whose can be read again by those who hold the passphrase, and by nobody else."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anonymize import escrow
from anonymize.escrow import EscrowHead, EscrowNote, SealedEscrow
from anonymize.keys import ProjectKeys
from medviz.core.errors import BadInput, NotAllowed

PASSPHRASE = "lantern orchard seven kites"
KEYS = ProjectKeys(bytes(32))
PATIENT = EscrowNote("patient", "PLX-480-1177|KH|Rumpelstein^Gundula", "91C0FFEE91C0FFEE")
DAYS = EscrowNote("days", "91C0FFEE91C0FFEE", "1203")
STUDY = EscrowNote("study", "1.2.3.4", "2.25.77")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escrow, "_SCRYPT", {"n": 1 << 10, "r": 8, "p": 1})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    escrow.make_escrow(tmp_path, PASSPHRASE)
    return tmp_path


def seal(home: Path, *notes: EscrowNote) -> None:
    sealed = SealedEscrow(home, KEYS)
    for note in notes:
        sealed.note(*note)
    sealed.seal()


def read(home: Path) -> list[EscrowNote]:
    return list(escrow.notes_of(home, escrow.open_escrow(home, PASSPHRASE)))


def problems(home: Path, *heads: EscrowHead) -> tuple[str, ...]:
    return escrow.check_escrow(home, escrow.open_escrow(home, PASSPHRASE), known_heads=heads).problems


def test_what_was_sealed_is_read_with_the_passphrase(home: Path) -> None:
    seal(home, PATIENT, DAYS)
    seal(home, STUDY)
    assert read(home) == [PATIENT, DAYS, STUDY]


def test_no_original_stands_in_any_file_of_the_house(home: Path) -> None:
    seal(home, PATIENT, STUDY)
    everything = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert len(everything) > 200
    for word in (b"Rumpelstein", b"PLX-480", b"1.2.3.4", PASSPHRASE.encode()):
        assert word not in everything


def test_all_files_of_the_escrow_belong_to_their_owner_alone(home: Path) -> None:
    seal(home, PATIENT)
    secret = [home / "keys" / "escrow.sealed", home / "escrow" / "records", home / "escrow" / "known.sqlite"]
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    assert (home / "escrow").stat().st_mode & 0o777 == 0o700


def test_a_wrong_passphrase_opens_nothing(home: Path) -> None:
    seal(home, PATIENT)
    with pytest.raises(NotAllowed) as refused:
        escrow.open_escrow(home, PASSPHRASE + "!")
    assert refused.value.reason == "PASSPHRASE_WRONG"


@pytest.mark.parametrize("weak", ["", "short", "aaaaaaaaaaaaaaaaaaaa"])
def test_a_weak_passphrase_is_refused_and_leaves_no_key(tmp_path: Path, weak: str) -> None:
    with pytest.raises(BadInput) as refused:
        escrow.make_escrow(tmp_path, weak)
    assert refused.value.reason == "PASSPHRASE_WEAK"
    assert not escrow.has_escrow(tmp_path)


def test_a_second_escrow_never_replaces_the_first(home: Path) -> None:
    with pytest.raises(NotAllowed):
        escrow.make_escrow(home, "another long passphrase")
    assert escrow.open_escrow(home, PASSPHRASE)


def test_another_passphrase_reads_the_old_records_and_the_old_one_no_more(home: Path) -> None:
    seal(home, PATIENT)
    escrow.change_passphrase(home, PASSPHRASE, "copper meadow nine bells")
    assert list(escrow.notes_of(home, escrow.open_escrow(home, "copper meadow nine bells"))) == [PATIENT]
    with pytest.raises(NotAllowed):
        escrow.open_escrow(home, PASSPHRASE)


def test_the_same_note_is_sealed_once_even_by_a_later_run(home: Path) -> None:
    seal(home, PATIENT, PATIENT, DAYS)
    length = (home / "escrow" / "records").stat().st_size
    seal(home, PATIENT, DAYS)
    assert (home / "escrow" / "records").stat().st_size == length
    assert read(home) == [PATIENT, DAYS]


def test_a_pseudonym_leads_to_the_patient_and_to_how_far_the_dates_moved(home: Path) -> None:
    other = EscrowNote("patient", "X9||Nobody^Else", "0000000000000000")
    seal(home, PATIENT, DAYS, other, EscrowNote("days", other.new, "7"), STUDY)
    notes = read(home)
    assert escrow.matching("91c0ffee91c0ffee", notes) == (PATIENT, DAYS)
    assert escrow.matching("plx-480-1177", notes) == (PATIENT, DAYS)
    assert escrow.matching("2.25.77", notes) == (STUDY,)
    assert escrow.matching("1.2.3.4", notes) == (STUDY,)
    assert escrow.matching("1.2.3", notes) == ()


def test_whole_records_have_no_problem(home: Path) -> None:
    for number in range(4):
        seal(home, EscrowNote("series", f"1.2.{number}", f"2.25.{number}"))
    report = escrow.check_escrow(home, escrow.open_escrow(home, PASSPHRASE))
    assert (report.records, report.notes, report.problems) == (4, 4, ())


def spans(home: Path) -> list[tuple[int, int]]:
    ends = [record.end for record in escrow._records(home)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_removed_record_is_noticed(home: Path, gone: int) -> None:
    for number in range(3):
        seal(home, EscrowNote("series", f"1.2.{number}", f"2.25.{number}"))
    start, end = spans(home)[gone]
    path = home / "escrow" / "records"
    path.write_bytes(path.read_bytes()[:start] + path.read_bytes()[end:])
    assert problems(home)


def test_records_cut_short_together_with_their_head_are_noticed_by_a_head_kept_elsewhere(home: Path) -> None:
    seal(home, PATIENT)
    earlier = (home / "escrow" / "head.json").read_bytes(), (home / "escrow" / "records").read_bytes()
    seal(home, STUDY)
    kept = escrow.read_head(home)
    (home / "escrow" / "head.json").write_bytes(earlier[0])
    (home / "escrow" / "records").write_bytes(earlier[1])
    assert problems(home) == ()
    assert problems(home, kept)


def test_a_changed_byte_is_noticed(home: Path) -> None:
    seal(home, PATIENT)
    path = home / "escrow" / "records"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert problems(home)
    with pytest.raises(BadInput) as refused:
        read(home)
    assert refused.value.reason == "ESCROW_DAMAGED"


def test_records_that_lost_their_end_are_never_written_over(home: Path) -> None:
    seal(home, PATIENT)
    seal(home, STUDY)
    path = home / "escrow" / "records"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(BadInput):
        seal(home, DAYS)


@pytest.mark.parametrize("kept", [1, 40, 90])
def test_a_half_written_record_is_dropped_and_its_notes_are_sealed_again(home: Path, kept: int) -> None:
    seal(home, PATIENT)
    head = (home / "escrow" / "head.json").read_bytes()
    known = (home / "escrow" / "known.sqlite").read_bytes()
    path = home / "escrow" / "records"
    whole = path.stat().st_size
    seal(home, STUDY)
    path.write_bytes(path.read_bytes()[: whole + kept])  # the crash came while the second was written
    (home / "escrow" / "head.json").write_bytes(head)
    (home / "escrow" / "known.sqlite").write_bytes(known)
    assert read(home) == [PATIENT]
    seal(home, STUDY, DAYS)
    assert read(home) == [PATIENT, STUDY, DAYS]
    assert problems(home) == ()


def test_a_crash_between_record_and_head_loses_nothing(home: Path) -> None:
    seal(home, PATIENT)
    head = (home / "escrow" / "head.json").read_bytes()
    seal(home, STUDY)
    (home / "escrow" / "head.json").write_bytes(head)
    seal(home, DAYS)
    assert read(home) == [PATIENT, STUDY, DAYS]
    assert problems(home) == ()


def _seal_many(home: Path, start: int) -> None:
    sealed = SealedEscrow(home, KEYS)
    for number in range(start, start + 20):
        sealed.note("instance", f"1.2.{number}", f"2.25.{number}")
        sealed.seal()


def test_two_processes_seal_into_one_chain(home: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_seal_many, args=(home, start)) for start in (0, 100)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    report = escrow.check_escrow(home, escrow.open_escrow(home, PASSPHRASE))
    assert (report.records, report.notes, report.problems) == (40, 40, ())


def test_an_export_opens_elsewhere_with_the_same_passphrase(home: Path, tmp_path: Path) -> None:
    seal(home, PATIENT)
    head = escrow.export_escrow(home, tmp_path / "copy")
    other = tmp_path / "other"
    places = {"escrow.pub": "keys", "escrow.sealed": "keys", "records": "escrow", "head.json": "escrow"}
    for name, folder in places.items():
        (other / folder).mkdir(parents=True, exist_ok=True)
        (other / folder / name).write_bytes((tmp_path / "copy" / name).read_bytes())
    assert read(other) == [PATIENT]
    assert problems(other, head) == ()


def test_the_true_cost_of_a_guess_is_a_tenth_of_a_second_or_more(tmp_path: Path) -> None:
    code = (
        "import sys,time;from pathlib import Path;from anonymize import escrow;"
        "escrow.make_escrow(Path(sys.argv[1]),'lantern orchard seven kites');t=time.process_time();"
        "escrow.open_escrow(Path(sys.argv[1]),'lantern orchard seven kites');print(time.process_time()-t)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, env=os.environ
    )
    assert float(done.stdout) > 0.1
    locked = json.loads((tmp_path / "keys" / "escrow.sealed").read_text())
    assert locked["n"] >= 1 << 17
