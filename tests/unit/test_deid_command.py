"""`medviz deid` as a user has it: archives, explanations, held files and the sealed way back."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from anonymize import deid as engine
from anonymize import escrow
from medviz import cli
from medviz.core.errors import MedVizError
from review.audit import Action, entries, verify_chain
from review.store import transaction
from tests import make_raw
from tests.make_archive import content_of, write_archive
from tests.medviz_command import environment

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

PASSPHRASE = "lantern orchard seven kites"
Medviz = Callable[..., tuple[int, str, str]]


@pytest.fixture
def medviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Medviz:
    """Run the command line in this process, with a word list instead of a language model and no OCR."""
    monkeypatch.setenv("MEDVIZ_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(escrow, "_SCRYPT", {"n": 1 << 10, "r": 8, "p": 1})
    monkeypatch.setattr(engine, "text_finder", lambda **_options: None)
    made = engine.make_orders

    def quick_orders(*arguments: Any, **options: Any) -> engine.Orders:
        return replace(made(*arguments, **options), prose=make_raw.CarefulReader())

    monkeypatch.setattr(engine, "make_orders", quick_orders)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["medviz", "deid", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "in", patients=2, studies=1, slices=2)


def with_screenshot(source: Path) -> Path:
    picture = make_raw.picture_of_text([(4, 10, "RUMPELSTEIN, GUNDULA")], side=128)
    return make_raw.write(make_raw.screenshot(picture), source / "shot")


def audit_rows(home: Path, *acts: Action) -> list[dict[str, Any]]:
    with transaction(home) as session:
        return [dict(row.detail) | {"actor": row.actor} for row in entries(session, acts=acts)]


# --- running ---


def test_path_and_out_need_no_word_between(medviz: Medviz, source: Path, tmp_path: Path) -> None:
    code, output, _ = medviz(source, tmp_path / "out", "--profile", "basic", "--workers", "1")
    assert code == 0
    assert "4 of 4 files" in output
    assert len(list((tmp_path / "out").glob("2.25.*/*.dcm"))) == 4
    assert medviz("run", source, tmp_path / "out", "--profile", "basic", "--workers", "1")[0] == 0


def test_json_is_one_object_with_every_count(medviz: Medviz, source: Path, tmp_path: Path) -> None:
    (source / "letter.txt").write_text("x")
    code, output, _ = medviz(source, tmp_path / "out", "--profile", "basic", "--workers", "1", "--json")
    told = json.loads(output)
    assert code == 0
    assert (told["studies"], told["received"], told["files"], told["set_aside"]) == (2, 5, 4, 1)
    assert told["held"] == {}
    assert Path(told["report"]).is_file()


def test_held_files_give_exit_code_5_and_everything_else_is_there(
    medviz: Medviz, source: Path, tmp_path: Path
) -> None:
    with_screenshot(source)
    code, output, errors = medviz(source, tmp_path / "out", "--profile", "basic", "--workers", "1", "--json")
    assert code == 5
    assert sum(json.loads(output)["held"].values()) == 1
    assert "FILES_HELD" in errors
    assert len(list((tmp_path / "out").glob("2.25.*/*.dcm"))) == 4


def test_nothing_at_all_gives_exit_code_2(medviz: Medviz, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with_screenshot(tmp_path / "in")
    code, _, errors = medviz(tmp_path / "in", tmp_path / "out", "--workers", "1")
    assert code == 2
    assert "NOTHING_LEFT" in errors
    assert medviz(tmp_path / "nowhere", tmp_path / "other")[0] == 2
    assert medviz(tmp_path / "in")[0] == 2


def test_a_run_is_written_into_the_audit_log_without_a_path(
    medviz: Medviz, source: Path, tmp_path: Path
) -> None:
    medviz(source, tmp_path / "out", "--profile", "basic", "--workers", "1")
    (row,) = audit_rows(tmp_path / "home", Action.DEIDENTIFIED)
    assert (row["profile"], row["files"], row["held"]) == ("basic", 4, 0)
    assert str(tmp_path) not in json.dumps(row)


def test_a_face_is_kept_only_for_a_listed_reason_and_every_file_says_so(
    medviz: Medviz, source: Path, tmp_path: Path
) -> None:
    code, _, errors = medviz(source, tmp_path / "out", "--keep-face", "because I say so")
    assert (code, "REASON_UNKNOWN" in errors) == (2, True)
    assert not (tmp_path / "out").exists()
    assert medviz(source, tmp_path / "out", "--keep-face", "orbit", "--workers", "1")[0] == 0
    for path in (tmp_path / "out").glob("*/*.dcm"):
        assert pydicom.dcmread(path).RecognizableVisualFeatures == "YES"
    assert [row["reason"] for row in audit_rows(tmp_path / "home", Action.FACE_KEPT)] == ["orbit"]
    assert "A face may be recognised" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_several_processes_of_the_real_command_name_nobody_and_do_all(source: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "medviz",
            "deid",
            source,
            tmp_path / "out",
            "--profile",
            "basic",
            "--workers",
            "2",
        ],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("2.25.*/*.dcm"))) == 4
    assert "Warning" not in done.stderr
    everything = done.stdout.encode() + done.stderr.encode() + b"".join(content_of(tmp_path / "out").values())
    assert b"Quillfeather" not in everything


# --- explaining ---


def test_an_attribute_is_explained_by_its_row(medviz: Medviz) -> None:
    code, output, _ = medviz("--explain", "PatientName", "--explain", "(0008,103E)", "--profile", "basic")
    assert code == 0
    assert "(0010,0010) PatientName" in output
    assert "Basic Z" in output
    assert "(0008,103E) SeriesDescription" in output
    code, output, _ = medviz("--explain", "00100020", "--json")
    assert "PatientID" in json.loads(output)["explained"][0]
    assert medviz("--explain", "NoSuchThing")[0] == 2


def test_profiles_are_listed_with_their_codes(medviz: Medviz) -> None:
    told = {profile["name"]: profile for profile in json.loads(medviz("--profiles", "--json")[1])["profiles"]}
    assert {"basic", "research", "safe-harbor", "surgical-planning"} <= set(told)
    assert ["113100", "Basic Application Confidentiality Profile"] in told["basic"]["codes"]
    assert "surgical-planning" in medviz("--profiles")[1]


def test_the_help_names_every_command(medviz: Medviz) -> None:
    _, output, _ = medviz("--help")
    for word in ("PATH OUT", "held", "judge", "reidentify", "escrow"):
        assert word in output


# --- judging ---


def hold_of(medviz: Medviz) -> dict[str, Any]:
    (hold,) = json.loads(medviz("held", "--json")[1])["held"]
    return dict(hold)


@pytest.fixture
def held(medviz: Medviz, source: Path, tmp_path: Path) -> dict[str, Any]:
    with_screenshot(source)
    medviz(source, tmp_path / "out", "--profile", "basic", "--workers", "1")
    return hold_of(medviz)


def test_held_files_are_listed_without_a_name_and_their_picture_is_shown(
    medviz: Medviz, held: dict[str, Any]
) -> None:
    _, output, _ = medviz("held")
    assert held["id"] in output
    assert "Rumpelstein" not in output
    _, output, _ = medviz("held", held["id"])
    assert "picture.png" in output
    assert medviz("held", "nonsense")[0] == 2


def test_a_box_is_filled_and_the_verdict_is_in_the_audit_log(
    medviz: Medviz, held: dict[str, Any], tmp_path: Path
) -> None:
    code, output, _ = medviz("judge", held["id"], "--out", tmp_path / "out", "--fill", "0,24,0,128", "--json")
    (path,) = json.loads(output)["files"]
    assert code == 0
    assert (pydicom.dcmread(path).pixel_array[:24] < 100).all()
    (row,) = audit_rows(tmp_path / "home", Action.HELD_JUDGED)
    assert (row["hold"], row["verdict"], row["boxes"]) == (held["id"], "fill", 1)
    assert row["actor"]
    assert verify_chain(tmp_path / "home").is_whole
    assert json.loads(medviz("held", "--json")[1])["held"] == []


def test_a_verdict_must_be_one_and_a_discard_needs_a_listed_reason(
    medviz: Medviz, held: dict[str, Any], tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "out")
    for wrong in ((), ("--pass", "--discard"), ("--fill", "0,1,0,1", "--pass"), ("--discard",)):
        assert medviz("judge", held["id"], *out, *wrong)[0] == 2
    assert medviz("judge", held["id"], *out, "--discard", "--reason", "Mr Smith asked")[0] == 2
    assert hold_of(medviz) == held
    assert medviz("judge", held["id"], *out, "--discard", "--reason", "not-needed")[0] == 0
    assert json.loads(medviz("held", "--json")[1])["held"] == []


def test_a_face_may_be_kept_for_one_held_file(medviz: Medviz, held: dict[str, Any], tmp_path: Path) -> None:
    code, _, errors = medviz("judge", held["id"], "--out", tmp_path / "out", "--keep-face", "skin")
    assert code == 2, "its picture still may carry text"
    assert held["reason"] in errors
    assert [row["verdict"] for row in audit_rows(tmp_path / "home", Action.HELD_JUDGED)] == ["keep face"]


def test_a_verdict_never_mixes_another_profile_into_the_folder(
    medviz: Medviz, held: dict[str, Any], tmp_path: Path
) -> None:
    code, _, errors = medviz(
        "judge", held["id"], "--out", tmp_path / "out", "--pass", "--profile", "surgical-planning"
    )
    assert (code, "OTHER_ORDERS" in errors) == (2, True)
    assert hold_of(medviz) == held


def test_old_holds_are_purged_and_that_is_written_down(
    medviz: Medviz, held: dict[str, Any], tmp_path: Path
) -> None:
    assert "0 held" in medviz("held", "--purge-days", "30")[1]
    assert "1 held" in medviz("held", "--purge-days", "0")[1]
    assert [row["files"] for row in audit_rows(tmp_path / "home", Action.HELD_PURGED)] == [0, 1]


# --- the way back ---


@pytest.fixture
def passphrase(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    monkeypatch.setenv("MEDVIZ_ESCROW_PASSPHRASE_FILE", str(path))
    return path


@pytest.fixture
def kept(medviz: Medviz, source: Path, tmp_path: Path, passphrase: Path) -> Path:
    """Return one de-identified file of a house that keeps an escrow."""
    assert medviz("escrow", "init")[0] == 0
    assert medviz(source, tmp_path / "out", "--profile", "basic", "--workers", "1")[0] == 0
    return sorted((tmp_path / "out").glob("*/*.dcm"))[0]


def original_of(kept: Path, source: Path) -> pydicom.Dataset:
    """Return the original of a de-identified file, found by its pixels."""
    pixels = pydicom.dcmread(kept).PixelData
    found = [
        ds
        for path in source.rglob("*")
        if path.is_file() and (ds := pydicom.dcmread(path)).PixelData == pixels
    ]
    return next(ds for ds in found)


def test_a_file_leads_back_to_its_patient_with_reason_and_passphrase(
    medviz: Medviz, kept: Path, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "answer"
    code, output, _ = medviz("reidentify", "--file", kept, "--reason", "care", "--to", target)
    pseudonym = pydicom.dcmread(kept).PatientID
    told = target.read_text()
    assert code == 0
    assert target.stat().st_mode & 0o777 == 0o600
    patients = {str(pydicom.dcmread(path).PatientID) for path in source.rglob("*") if path.is_file()}
    assert sum(f"patient {pseudonym}: ID {patient}," in told for patient in patients) == 1
    assert f"instance {pydicom.dcmread(kept).SOPInstanceUID}: {make_raw.ROOT}" in told
    assert not any(patient in output for patient in patients)


def test_an_answer_is_in_the_audit_log_with_reason_and_subject_and_without_the_original(
    medviz: Medviz, kept: Path, tmp_path: Path
) -> None:
    medviz("reidentify", "PID-0001-77", "--reason", "legal", "--to", tmp_path / "answer")
    (row,) = audit_rows(tmp_path / "home", Action.REIDENTIFIED)
    assert row["reason"] == "legal"
    assert row["found"] == 2
    assert len(row["subjects"]) > 5
    assert "PID-0001" not in json.dumps(row)


def test_when_the_audit_log_cannot_be_written_nothing_is_answered(
    medviz: Medviz, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from review import audit

    def fails(*_arguments: object, **_options: object) -> None:
        raise MedVizError("The review database cannot be used.")

    monkeypatch.setattr(audit, "write", fails)
    code, output, _ = medviz("reidentify", "PID-0001-77", "--reason", "legal", "--to", tmp_path / "answer")
    assert code == 1
    assert not (tmp_path / "answer").exists()
    assert "PID-0001" not in output


def test_a_wrong_passphrase_is_refused_and_written_down(
    medviz: Medviz, kept: Path, tmp_path: Path, passphrase: Path
) -> None:
    passphrase.write_text("not the right passphrase\n")
    code, _, errors = medviz("reidentify", "PID-0001-77", "--reason", "audit", "--to", tmp_path / "answer")
    assert (code, "PASSPHRASE_WRONG" in errors) == (6, True)
    assert not (tmp_path / "answer").exists()
    assert len(audit_rows(tmp_path / "home", Action.REIDENTIFY_REFUSED)) == 1


def test_without_reason_terminal_or_knowledge_there_is_no_answer(
    medviz: Medviz, kept: Path, tmp_path: Path, passphrase: Path
) -> None:
    assert "REASON_UNKNOWN" in medviz("reidentify", "PID-0001-77", "--to", tmp_path / "answer")[2]
    assert "NO_TERMINAL" in medviz("reidentify", "PID-0001-77", "--reason", "care")[2]
    told = medviz("reidentify", "PID-9999-77", "--reason", "care", "--to", tmp_path / "answer")
    assert "NOT_IN_ESCROW" in told[2]
    passphrase.chmod(0o644)
    assert (
        "PASSPHRASE_FILE"
        in medviz("reidentify", "PID-0001-77", "--reason", "care", "--to", tmp_path / "a")[2]
    )


@pytest.mark.slow
def test_at_a_terminal_the_answer_is_shown(
    medviz: Medviz, kept: Path, tmp_path: Path, passphrase: Path
) -> None:
    near, far = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "medviz", "deid", "reidentify", "PID-0001-77", "--reason", "care"],
        env=environment(tmp_path / "home") | {"MEDVIZ_ESCROW_PASSPHRASE_FILE": str(passphrase)},
        stdin=subprocess.DEVNULL,
        stdout=far,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(far)
    assert done.returncode == 0, done.stderr
    assert b"ID PID-0001-77" in os.read(near, 65536)
    os.close(near)


def test_the_escrow_is_checked_against_what_the_audit_log_remembers(
    medviz: Medviz, kept: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "escrow"
    assert medviz("escrow", "verify")[0] == 0
    (folder / "records").write_bytes(b"")
    (folder / "head.json").unlink()
    code, _, errors = medviz("escrow", "verify")
    assert (code, "ESCROW_BROKEN" in errors) == (6, True)


def test_the_passphrase_is_changed_and_the_escrow_copied(
    medviz: Medviz, kept: Path, tmp_path: Path, passphrase: Path
) -> None:
    passphrase.write_text(f"{PASSPHRASE}\ncopper meadow nine bells\n")
    assert medviz("escrow", "passphrase")[0] == 0
    assert medviz("escrow", "verify")[0] == 6
    passphrase.write_text("copper meadow nine bells\n")
    assert medviz("escrow", "verify")[0] == 0
    assert medviz("escrow", "export", tmp_path / "copy")[0] == 0
    assert (tmp_path / "copy" / "records").read_bytes() == (
        tmp_path / "home" / "escrow" / "records"
    ).read_bytes()
    assert medviz("escrow", "export", tmp_path / "copy")[0] == 6


def test_no_original_is_in_the_output_the_audit_log_or_any_readable_file_of_the_house(
    medviz: Medviz, kept: Path, tmp_path: Path
) -> None:
    for folder in (tmp_path / "out", tmp_path / "home"):
        everything = b"".join(content_of(folder).values())
        assert b"PID-000" not in everything
        assert b"Quillfeather" not in everything
