"""The review room: what a clinician signs is exactly what leaves."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medviz.core.drafts import Approval
from medviz.core.errors import BadInput, MedVizError, NotAllowed
from medviz.core.facts import Fact, FactLedger, Grade
from medviz.core.manifest import Manifest, manifest_of
from medviz.core.records import write_record
from medviz.core.segmentation import ModelRecord
from medviz.core.speech import Narration, Sentence
from review import audit, parcel, reviewers, store
from review.audit import Action, AuditHead, export_log, head_path, mirrored_head, verify_chain
from review.desk import list_drafts, show_draft
from review.queue import DraftState, current_draft, submit, waiting
from review.reasons import REASONS
from review.release import release, unfinished_releases, verify_release
from review.reviewers import MOST_WRONG, add_reviewer
from review.sign import approval_of, approve, reject, rejection_of, signed_bytes, verify_approval
from tests.make_review import (
    FILES,
    NOW,
    PASSPHRASE,
    REVIEWER,
    later,
    make_approved,
    make_draft,
    make_enrolled,
    make_queued,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def refused(reason: str) -> pytest.RaisesExc[MedVizError]:
    return pytest.RaisesExc(MedVizError, check=lambda error: error.reason == reason)


def signing(home: Path, case_id: str = "C0001", passphrase: str = PASSPHRASE, at_s: float = 60) -> Approval:
    return approve(case_id, REVIEWER, passphrase, home=home, now=later(at_s))


def actions(home: Path) -> list[str]:
    with store.transaction(home) as session:
        return [entry.action for entry in audit.entries(session)]


def tamper(home: Path, *statements: str) -> None:
    """Edit the database as its owner can: without its triggers."""
    connection = sqlite3.connect(store.database_path(home))
    triggers = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    for statement in [*(f"DROP TRIGGER {name}" for name in triggers), *statements]:
        connection.execute(statement)
    connection.commit()
    connection.close()


# --- the queue ----------------------------------------------------------------------------------------------


def test_a_submitted_draft_waits_with_its_findings_and_hashes(home: Path) -> None:
    draft = make_queued(home)
    (queued,) = waiting(home)
    assert (queued.case_id, queued.state, queued.findings) == ("C0001", DraftState.QUEUED, draft.findings)
    assert queued.manifest == draft.manifest
    assert queued.folder.resolve() == draft.folder.resolve()


def test_submitting_the_same_bytes_again_changes_nothing(home: Path) -> None:
    draft = make_queued(home)
    first = current_draft("C0001", home=home)
    assert submit(draft, home=home, now=later(5)) == first
    assert actions(home) == ["submitted"]


def test_a_newer_draft_takes_the_place_of_the_older_one(home: Path) -> None:
    make_queued(home, version="1")
    newer = make_queued(home, version="2")
    (queued,) = waiting(home)
    assert queued.manifest == newer.manifest
    states = [draft.state for draft in list_drafts(home, everything=True, now=NOW)]
    assert states == [DraftState.SUPERSEDED, DraftState.QUEUED]


def test_an_approval_dies_with_the_draft_it_signed_when_a_newer_one_comes(home: Path) -> None:
    _, approval = make_approved(home)
    make_queued(home, version="2")
    with refused("NOT_APPROVED"):
        release("C0001", home / "out", approval, home=home, now=later(90))


def test_a_draft_whose_folder_is_not_its_manifest_is_not_taken(home: Path) -> None:
    draft = make_draft(home)
    (draft.folder / "film.mp4").write_bytes(b"other")
    with refused("BYTES_CHANGED"):
        submit(draft, home=home, now=NOW)


def test_an_empty_draft_and_one_with_a_paper_of_its_own_are_not_taken(home: Path) -> None:
    draft = make_draft(home)
    empty = home / "empty"
    empty.mkdir()
    with refused("DRAFT_EMPTY"):
        submit(dataclasses.replace(draft, folder=empty, manifest=Manifest(())), home=home, now=NOW)
    (draft.folder / "APPROVAL.json").write_text("{}")
    with refused("NAME_RESERVED"):
        submit(dataclasses.replace(draft, manifest=manifest_of(draft.folder)), home=home, now=NOW)


@pytest.mark.parametrize("name", ["../C0001", "Jane Doe", "", "C0001/x", "x" * 40])
def test_a_case_number_that_could_be_a_path_or_a_name_is_refused(home: Path, name: str) -> None:
    draft = dataclasses.replace(make_draft(home), case_id=name)
    for act in (
        lambda: submit(draft, home=home, now=NOW),
        lambda: show_draft(name, home=home, now=NOW),
        lambda: approve(name, REVIEWER, PASSPHRASE, home=home, now=NOW),
    ):
        with refused("CASE_ID_INVALID"):
            act()


def test_the_queue_moves_with_the_home_folder(home: Path) -> None:
    make_approved(home)
    moved = home.rename(home.with_name("moved"))
    out = release("C0001", moved / "out", approval_of("C0001", home=moved), home=moved, now=later(90))
    assert verify_release(out.folder).approval.reviewer == REVIEWER


# --- reviewers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weak", ["short", "aaaaaaaaaaaaaaaa", "password12345", "123456789012", "byron and nobody", "abababababab"]
)
def test_a_weak_passphrase_is_refused(home: Path, weak: str) -> None:
    with refused("PASSPHRASE_WEAK"):
        add_reviewer(REVIEWER, weak, home=home, now=NOW)


@pytest.mark.parametrize("name", ["", "x", "9lives", "unknown", "a\nb", "<script>", "é" * 70])
def test_what_is_not_a_name_cannot_be_enrolled(home: Path, name: str) -> None:
    with refused("NAME_INVALID"):
        add_reviewer(name, PASSPHRASE, home=home, now=NOW)


def test_a_name_is_enrolled_once(home: Path) -> None:
    make_enrolled(home)
    with refused("REVIEWER_EXISTS"):
        add_reviewer(REVIEWER, "another long passphrase", home=home, now=NOW)
    assert [reviewer.name for reviewer in reviewers.reviewers(home)] == [REVIEWER]


def test_neither_passphrase_nor_private_key_is_in_any_byte_on_disk(home: Path) -> None:
    make_approved(home)
    key = reviewers.unlock(REVIEWER, PASSPHRASE, home=home, now=later(70))
    secrets = (PASSPHRASE.encode(), key.private_bytes_raw(), key.private_bytes_raw().hex().encode())
    for path in home.rglob("*"):
        if path.is_file():
            assert not any(secret in path.read_bytes() for secret in secrets), path.name


def test_wrong_passphrase_and_unknown_reviewer_are_refused_in_the_same_words(home: Path) -> None:
    make_approved(home)
    make_queued(home, "C0002")
    said = []
    for name, passphrase in ((REVIEWER, "wrong passphrase!"), ("Nobody", PASSPHRASE)):
        with pytest.raises(NotAllowed) as caught:
            approve("C0002", name, passphrase, home=home, now=later(120))
        said.append((caught.value.reason, str(caught.value)))
    assert said[0] == said[1]
    assert said[0][0] == "NOT_AUTHENTICATED"
    assert current_draft("C0002", home=home).state == DraftState.QUEUED
    assert actions(home).count("login failed") == 2


def test_a_failed_login_keeps_no_unknown_name_because_it_could_be_anything(home: Path) -> None:
    make_queued(home)
    with refused("NOT_AUTHENTICATED"):
        approve("C0001", "Typed Passphrase Here", "x", home=home, now=NOW)
    assert b"Typed Passphrase" not in store.database_path(home).read_bytes()


def test_after_five_wrong_passphrases_even_the_right_one_waits(home: Path) -> None:
    make_enrolled(home)
    make_queued(home)
    for wrong in range(MOST_WRONG):
        with refused("NOT_AUTHENTICATED"):
            signing(home, passphrase="not this one either", at_s=wrong)
    with refused("NOT_AUTHENTICATED"):
        signing(home, at_s=30)
    assert signing(home, at_s=MOST_WRONG + 60).reviewer == REVIEWER


def test_a_private_key_swapped_in_the_database_does_not_open(home: Path) -> None:
    make_enrolled(home)
    add_reviewer("Mallory", "a passphrase of my own", home=home, now=NOW)
    make_queued(home)
    tamper(
        home, f"UPDATE reviewers SET public_key = (SELECT public_key FROM reviewers WHERE name='{REVIEWER}')"
    )
    with refused("NOT_AUTHENTICATED"):
        approve("C0001", "Mallory", "a passphrase of my own", home=home, now=later(60))


# --- signing ------------------------------------------------------------------------------------------------


def test_an_approval_verifies_and_any_changed_field_breaks_it(home: Path) -> None:
    _, approval = make_approved(home)
    verify_approval(approval)
    for field in (
        "case_id",
        "manifest_sha256",
        "reviewer",
        "meaning",
        "signed_at",
        "public_key",
        "signature",
    ):
        value = getattr(approval, field)
        other = ("0" if value[0] != "0" else "1") + value[1:]
        with refused("SIGNATURE_INVALID"):
            verify_approval(dataclasses.replace(approval, **{field: other}))


def test_an_approval_that_verifies_by_its_own_key_is_refused_under_the_reviewers_key(home: Path) -> None:
    _, approval = make_approved(home)
    with refused("SIGNATURE_INVALID"):
        verify_approval(forged(approval), public_key=approval.public_key)


def forged(approval: Approval) -> Approval:
    key = Ed25519PrivateKey.generate()
    mine = dataclasses.replace(approval, public_key=key.public_key().public_bytes_raw().hex())
    return dataclasses.replace(mine, signature=key.sign(signed_bytes(mine)).hex())


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_changed_byte_in_any_file_voids_the_draft(home: Path, name: str) -> None:
    make_enrolled(home)
    draft = make_queued(home)
    flip_one_byte(draft.folder / name)
    with refused("BYTES_CHANGED"):
        signing(home)
    assert current_draft("C0001", home=home).state == DraftState.VOIDED
    with refused("ALREADY_DECIDED"):
        signing(home)


def flip_one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "linked", "emptied"])
def test_a_file_more_or_less_or_elsewhere_voids_the_draft(home: Path, change: str) -> None:
    make_enrolled(home)
    film = make_queued(home).folder / "film.mp4"
    if change == "added":
        film.with_name("extra.txt").write_text("x")
    elif change == "removed":
        film.unlink()
    elif change == "renamed":
        film.rename(film.with_name("Film.mp4"))
    elif change == "linked":
        film.rename(home / "elsewhere.mp4")
        film.symlink_to(home / "elsewhere.mp4")
    else:
        shutil.rmtree(film.parent)
    with refused("BYTES_CHANGED"):
        signing(home)
    assert current_draft("C0001", home=home).state == DraftState.VOIDED


def test_a_void_draft_made_again_from_the_same_bytes_can_be_reviewed_again(home: Path) -> None:
    make_enrolled(home)
    draft = make_queued(home)
    film = draft.folder / "film.mp4"
    content = film.read_bytes()
    flip_one_byte(film)
    with refused("BYTES_CHANGED"):
        signing(home)
    film.write_bytes(content)
    submit(draft, home=home, now=later(100))
    assert signing(home, at_s=120).manifest_sha256 == draft.manifest.sha256


def test_two_approvals_at_once_leave_one_signature(home: Path) -> None:
    make_enrolled(home)
    add_reviewer("Second Reader", "a different pass phrase", home=home, now=NOW)
    make_queued(home)
    results: list[object] = []

    def sign_as(name: str, passphrase: str) -> None:
        try:
            results.append(approve("C0001", name, passphrase, home=home, now=later(60)))
        except NotAllowed as error:
            results.append(error.reason)

    people = ((REVIEWER, PASSPHRASE), ("Second Reader", "a different pass phrase"))
    threads = [threading.Thread(target=sign_as, args=person) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [result for result in results if isinstance(result, Approval)]
    assert "ALREADY_DECIDED" in results
    assert approval_of("C0001", home=home) == winner
    assert actions(home).count("approved") == 1
    assert verify_chain(home).is_whole


def test_a_rejection_names_the_step_that_must_run_again_and_nothing_leaves(home: Path) -> None:
    _, approval = make_approved(home)
    rejection = reject(
        "C0001",
        REVIEWER,
        PASSPHRASE,
        reason="PATH_UNSAFE",
        remark="Too near the ventricle.",
        home=home,
        now=later(90),
    )
    assert rejection.rerun_from == REASONS["PATH_UNSAFE"].rerun_from == "plan"
    assert rejection_of("C0001", home=home) == rejection
    with refused("NOT_APPROVED"):
        release("C0001", home / "out", approval, home=home, now=later(100))
    assert not (home / "out").exists()


def test_a_rejection_needs_a_known_reason_and_the_passphrase(home: Path) -> None:
    make_enrolled(home)
    make_queued(home)
    with refused("REASON_UNKNOWN"):
        reject("C0001", REVIEWER, PASSPHRASE, reason="DISLIKED", home=home, now=later(60))
    with refused("NOT_AUTHENTICATED"):
        reject("C0001", REVIEWER, "wrong passphrase", reason="PATH_UNSAFE", home=home, now=later(60))
    assert current_draft("C0001", home=home).state == DraftState.QUEUED


def test_a_signature_needs_a_meaning(home: Path) -> None:
    with refused("MEANING_MISSING"):
        approve("C0001", REVIEWER, PASSPHRASE, meaning="  ", home=home, now=NOW)


def test_a_case_that_was_never_submitted_cannot_be_signed(home: Path) -> None:
    make_enrolled(home)
    with refused("DRAFT_UNKNOWN"):
        signing(home, "C0009")


# --- release ------------------------------------------------------------------------------------------------


def test_a_release_holds_the_signed_bytes_and_a_paper_anyone_can_check(home: Path) -> None:
    draft, approval = make_approved(home)
    done = release("C0001", home / "out", approval, home=home, now=later(90))
    assert done.folder == home / "out" / "C0001"
    paper = verify_release(done.folder, public_key=approval.public_key)
    assert paper.approval == approval
    assert paper.manifest == draft.manifest
    for entry in draft.manifest.entries:
        assert (done.folder / entry.path).read_bytes() == (draft.folder / entry.path).read_bytes()
    assert current_draft("C0001", home=home).state == DraftState.RELEASED
    assert [path.name for path in (home / "out").iterdir()] == ["C0001"]


def test_an_unsigned_draft_has_no_approval_to_release_with(home: Path) -> None:
    make_queued(home)
    with refused("NOT_APPROVED"):
        approval_of("C0001", home=home)


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_byte_changed_after_the_signature_in_any_file_stops_the_release(home: Path, name: str) -> None:
    draft, approval = make_approved(home)
    flip_one_byte(draft.folder / name)
    with refused("BYTES_CHANGED"):
        release("C0001", home / "out", approval, home=home, now=later(90))
    assert list((home / "out").iterdir()) == []
    assert current_draft("C0001", home=home).state == DraftState.VOIDED
    assert unfinished_releases(home) == ()


def test_a_file_that_changes_while_it_is_copied_does_not_leave(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check before the copy passes; the byte changes after it; only what arrived is believed."""
    draft, approval = make_approved(home)
    genuine = parcel._copy

    def changed_first(folder: Path, *rest: object) -> None:
        film = draft.folder / "film.mp4"
        film.write_bytes(film.read_bytes().replace(b"really", b"REALLY"))
        genuine(folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(parcel, "_copy", changed_first)
    with refused("BYTES_CHANGED"):
        release("C0001", home / "out", approval, home=home, now=later(90))
    assert list((home / "out").iterdir()) == []


def test_a_signature_of_another_case_lets_nothing_out(home: Path) -> None:
    _, approval = make_approved(home)
    make_queued(home, "C0002")
    replayed = dataclasses.replace(approval, case_id="C0002")
    for wrong in (approval, replayed):
        with refused("SIGNATURE_INVALID"):
            release("C0002", home / "out", wrong, home=home, now=later(90))


def test_a_signature_of_an_older_draft_of_the_same_case_lets_nothing_out(home: Path) -> None:
    _, old = make_approved(home)
    make_queued(home, version="2")
    signing(home, at_s=120)
    with refused("SIGNATURE_INVALID"):
        release("C0001", home / "out", old, home=home, now=later(130))


def test_a_forged_approval_in_the_database_lets_nothing_out(home: Path) -> None:
    make_enrolled(home)
    draft = make_queued(home)
    fake = forged(Approval("C0001", draft.manifest.sha256, REVIEWER, "I say so.", NOW.isoformat(), "", ""))
    values = ("approval", "C0001", fake.manifest_sha256, REVIEWER, fake.signed_at, fake.meaning)
    row = ", ".join(f"'{value}'" for value in (*values, fake.public_key, fake.signature, "", "", ""))
    tamper(
        home,
        "INSERT INTO decisions (draft_id, kind, case_id, manifest_sha256, reviewer, decided_at, meaning,"
        f" public_key, signature, reason, remark, rerun_from) VALUES (1, {row})",
        "UPDATE drafts SET state = 'approved'",
    )
    found = approval_of("C0001", home=home)
    verify_approval(found)  # by its own key it is in order
    with refused("SIGNATURE_INVALID"):
        release("C0001", home / "out", found, home=home, now=later(90))
    tamper(home, f"UPDATE reviewers SET public_key = '{fake.public_key}'")
    with refused("SIGNATURE_INVALID"):
        release("C0001", home / "out", found, home=home, now=later(90))


def test_a_rejected_draft_set_back_to_approved_in_the_database_does_not_leave(home: Path) -> None:
    _, approval = make_approved(home)
    reject("C0001", REVIEWER, PASSPHRASE, reason="TARGET_WRONG", home=home, now=later(90))
    tamper(home, "UPDATE drafts SET state = 'approved'", "DELETE FROM decisions WHERE kind = 'rejection'")
    with refused("NOT_APPROVED"):
        release("C0001", home / "out", approval, home=home, now=later(100))


def test_other_bytes_under_the_signed_hash_do_not_leave(home: Path) -> None:
    """The manifest in the database is exchanged together with the files."""
    draft, approval = make_approved(home)
    flip_one_byte(draft.folder / "film.mp4")
    entries = [dataclasses.asdict(entry) for entry in manifest_of(draft.folder).entries]
    tamper(home, "UPDATE drafts SET manifest_json = '" + json.dumps({"entries": entries}) + "'")
    with refused("SIGNATURE_INVALID"):
        release("C0001", home / "out", approval, home=home, now=later(90))


def test_nothing_leaves_while_the_audit_log_is_broken(home: Path) -> None:
    _, approval = make_approved(home)
    tamper(home, "UPDATE audit SET actor = 'someone else' WHERE seq = 2")
    with refused("AUDIT_BROKEN"):
        release("C0001", home / "out", approval, home=home, now=later(90))


def test_a_release_overwrites_nothing_and_a_second_one_is_recorded_as_a_second_copy(home: Path) -> None:
    _, approval = make_approved(home)
    release("C0001", home / "out", approval, home=home, now=later(90))
    with refused("TARGET_EXISTS"):
        release("C0001", home / "out", approval, home=home, now=later(91))
    second = release("C0001", home / "other", approval, home=home, now=later(92))
    assert verify_release(second.folder).copy_number == 2
    assert actions(home).count("released") == 2


def test_a_changed_missing_or_added_file_in_a_released_folder_is_found(home: Path) -> None:
    _, approval = make_approved(home)
    for number, harm in enumerate(("changed", "missing", "added")):
        folder = release("C0001", home / str(number), approval, home=home, now=later(90)).folder
        if harm == "changed":
            flip_one_byte(folder / "film.mp4")
        elif harm == "missing":
            (folder / "film.mp4").unlink()
        else:
            (folder / "more.txt").touch()
        with refused("BYTES_CHANGED"):
            verify_release(folder)


def test_a_released_folder_with_a_paper_by_another_key_is_found_by_who_knows_the_key(home: Path) -> None:
    _, approval = make_approved(home)
    folder = release("C0001", home / "out", approval, home=home, now=later(90)).folder
    path = folder / "APPROVAL.json"
    document = json.loads(path.read_text())
    document["record"]["approval"] = dataclasses.asdict(forged(approval))
    path.write_text(json.dumps(document))
    with refused("SIGNATURE_INVALID"):
        verify_release(folder, public_key=approval.public_key)


@pytest.mark.parametrize(
    "paper", ["", "{}", "[]", '{"schema_version": 99}', '{"schema_version": 1, "record": 3}']
)
def test_a_folder_without_a_readable_paper_is_no_release(tmp_path: Path, paper: str) -> None:
    (tmp_path / "film.mp4").write_bytes(b"x")
    with refused("NOT_A_RELEASE"):
        verify_release(tmp_path)
    (tmp_path / "APPROVAL.json").write_text(paper)
    with refused("NOT_A_RELEASE"):
        verify_release(tmp_path)


def test_a_target_that_cannot_be_written_is_said_and_recorded(home: Path) -> None:
    _, approval = make_approved(home)
    (home / "file").write_text("in the way")
    with refused("TARGET_UNWRITABLE"):
        release("C0001", home / "file", approval, home=home, now=later(90))
    assert unfinished_releases(home) == ()
    assert release("C0001", home / "out", approval, home=home, now=later(95)).released_at


def test_a_target_inside_the_case_is_refused_and_the_draft_stays_whole(home: Path) -> None:
    draft, approval = make_approved(home)
    for target in (draft.folder, home / "cases" / "C0001"):
        with refused("TARGET_INSIDE_CASES"):
            release("C0001", target, approval, home=home, now=later(90))
    assert manifest_of(draft.folder) == draft.manifest


def test_what_a_dead_release_left_hidden_is_swept_away(home: Path) -> None:
    _, approval = make_approved(home)
    leftover = home / "out" / ".C0001.0011223344556677.partial"
    leftover.mkdir(parents=True)
    (leftover / "film.mp4").write_bytes(b"half")
    release("C0001", home / "out", approval, home=home, now=later(90))
    assert [path.name for path in (home / "out").iterdir()] == ["C0001"]


# --- the audit log ------------------------------------------------------------------------------------------


def test_every_act_is_written_down_in_order(home: Path) -> None:
    _, approval = make_approved(home)
    list_drafts(home, now=later(61))
    show_draft("C0001", home=home, now=later(62))
    release("C0001", home / "out", approval, home=home, now=later(90))
    export_log(home, home / "log.jsonl", actor="console", now=later(95))
    assert actions(home) == [
        "enrolled",
        "submitted",
        "approved",
        "listed",
        "shown",
        "release began",
        "released",
        "exported",
    ]
    assert verify_chain(home).is_whole


def test_the_database_refuses_to_change_or_delete_what_was_written_down(home: Path) -> None:
    make_approved(home)
    connection = sqlite3.connect(store.database_path(home))
    for table in ("audit", "decisions"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET case_id = 'C0002'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'Eve' WHERE seq = 2",
        "UPDATE audit SET time = '2026-03-04T09:30:00.001+00:00' WHERE seq = 3",
        "UPDATE audit SET detail_json = '{}' WHERE seq = 1",
        "UPDATE audit SET hash = '00' WHERE seq = 3",
        "UPDATE audit SET detail_json = 'not json' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit",
        "UPDATE audit SET seq = CASE seq WHEN 1 THEN 102 WHEN 2 THEN 101 ELSE seq END",
    ],
)
def test_a_log_edited_in_the_file_itself_is_found(home: Path, statement: str) -> None:
    make_approved(home)
    assert verify_chain(home).is_whole
    tamper(home, statement)
    assert not verify_chain(home).is_whole


def test_two_rows_that_changed_places_are_found(home: Path) -> None:
    make_approved(home)
    tamper(
        home,
        "UPDATE audit SET seq = 99 WHERE seq = 1",
        "UPDATE audit SET seq = 1 WHERE seq = 2",
        "UPDATE audit SET seq = 2 WHERE seq = 99",
    )
    assert not verify_chain(home).is_whole


def test_a_log_cut_short_together_with_its_mirrored_head_is_found_by_a_head_kept_elsewhere(
    home: Path,
) -> None:
    make_approved(home)
    kept = mirrored_head(home)
    assert kept is not None
    tamper(home, "DELETE FROM audit WHERE seq = 3")
    with store.transaction(home) as session:
        last = audit.entries(session)[-1]
    write_record(head_path(home), AuditHead(last.seq, last.hash, last.time))
    assert verify_chain(home).is_whole
    assert not verify_chain(home, known_heads=[kept]).is_whole


def test_a_missing_or_unreadable_head_is_a_problem(home: Path) -> None:
    make_approved(home)
    head_path(home).write_text("nonsense")
    assert not verify_chain(home).is_whole
    head_path(home).unlink()
    assert not verify_chain(home).is_whole


def test_a_log_one_row_ahead_of_its_head_is_whole(home: Path) -> None:
    """A kill between the commit and the mirror leaves the head one row behind."""
    make_approved(home)
    older = head_path(home).read_bytes()
    list_drafts(home, now=later(70))
    head_path(home).write_bytes(older)
    assert verify_chain(home).is_whole


def test_a_clock_that_went_back_is_noted_and_the_order_is_kept(home: Path) -> None:
    make_approved(home)
    list_drafts(home, now=later(-3600))
    report = verify_chain(home)
    assert report.is_whole
    assert report.notes == ("Row 4: the clock had gone back 3660.0 s.",)


def test_the_exported_log_can_be_checked_without_the_database(home: Path) -> None:
    make_approved(home)
    target = home / "log.jsonl"
    head = export_log(home, target, actor="console", now=later(90))
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    rows = [audit.AuditEntry(**line) for line in lines[:-1]]
    previous = audit.FIRST_HASH
    for row in rows:
        assert row.previous_hash == previous
        previous = row.computed_hash()
    assert previous == head.hash == lines[-1]["head"]["hash"]
    with refused("TARGET_EXISTS"):
        export_log(home, target, actor="console", now=later(91))


def test_neither_remark_nor_meaning_nor_path_is_in_the_audit_log(home: Path) -> None:
    make_approved(home)
    reject(
        "C0001",
        REVIEWER,
        PASSPHRASE,
        reason="NUMBER_WRONG",
        remark="Mrs Smith",
        home=home,
        now=later(90),
    )
    target = home / "log.jsonl"
    export_log(home, target, actor="console", now=later(95))
    text = target.read_text()
    assert "Smith" not in text
    assert "I have looked" not in text
    assert str(home) not in text


# --- the desk -----------------------------------------------------------------------------------------------


def _fact(name: str) -> Fact:
    sentence = "The needle path is 62.4 mm long."
    words = ("length",)
    return Fact(
        name,
        "the needle path",
        "length",
        62.4,
        "mm",
        1,
        None,
        "x",
        ("plan",),
        Grade.MEASURED,
        words,
        sentence,
    )


def test_a_draft_is_shown_findings_first_with_the_facts_behind_every_sentence(home: Path) -> None:
    draft = make_draft(home)
    ledger = FactLedger((_fact("trajectory.length"), _fact("untold.length")))
    told = Sentence("approach", ("trajectory.length", "invented"), "It is 62.4 mm.", "It is.", "model", 1)
    write_record(draft.folder / "ledger.json", ledger)
    write_record(draft.folder / "narration.json", Narration((told,), ModelRecord("stand-in", "1", "")))
    draft = dataclasses.replace(draft, manifest=manifest_of(draft.folder))
    submit(draft, home=home, now=NOW)
    view = show_draft("C0001", home=home, now=later(10))
    assert view.findings == draft.findings
    assert view.is_unchanged
    assert view.files == draft.manifest.entries
    (sentence,) = view.told
    assert [fact.literal for fact in sentence.facts] == ["62.4 mm"]
    assert sentence.missing == ("invented",)
    assert [fact.id for fact in view.untold] == ["untold.length"]
    assert [entry.action for entry in view.history] == ["submitted", "shown"]


def test_a_draft_that_changed_is_shown_as_changed(home: Path) -> None:
    draft = make_queued(home)
    flip_one_byte(draft.folder / "film.mp4")
    assert not show_draft("C0001", home=home, now=NOW).is_unchanged


def test_a_release_whose_end_was_never_written_is_a_finding(home: Path) -> None:
    make_approved(home)
    detail: audit.Detail = {"release": "1.1.x", "draft": 1, "copy": 1}
    audit.write(home, Action.RELEASE_BEGAN, actor="console", case_id="C0001", detail=detail, now=later(80))
    assert "no recorded end" in show_draft("C0001", home=home, now=later(90)).findings[0]


# --- the store ----------------------------------------------------------------------------------------------


def test_the_database_and_its_folder_are_for_the_owner_only(home: Path) -> None:
    make_queued(home)
    assert store.database_path(home).stat().st_mode & 0o077 == 0


def test_a_moment_without_a_time_zone_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="time zone"):
        submit(make_draft(home), home=home, now=NOW.replace(tzinfo=None))


def test_a_database_of_a_newer_release_is_refused_and_left_alone(home: Path) -> None:
    make_queued(home)
    tamper(home, "UPDATE alembic_version SET version_num = '9999'")
    before = store.database_path(home).read_bytes()
    with refused("SCHEMA_UNKNOWN"):
        waiting(home)
    assert store.database_path(home).read_bytes() == before


def test_a_file_that_is_no_database_is_said(home: Path) -> None:
    home.mkdir()
    store.database_path(home).write_bytes(b"garbage" * 1000)
    with refused("REVIEW_DATABASE"):
        waiting(home)


def test_the_tables_and_the_newest_migration_agree(home: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from review.migrations import alembic_config

    with store.transaction(home) as session:
        context = MigrationContext.configure(session.connection())
        assert compare_metadata(context, store.Base.metadata) == []
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == store.SCHEMA_VERSION


def test_bad_input_is_told_apart_from_what_is_not_allowed(home: Path) -> None:
    with pytest.raises(BadInput):
        current_draft("C0001", home=home)


def test_the_oldest_database_ever_written_still_verifies(home: Path) -> None:
    records = Path(__file__).parent / "records"
    home.mkdir()
    shutil.copyfile(records / "audit-head-v1.json", head_path(home))
    connection = sqlite3.connect(store.database_path(home))
    connection.executescript((records / "review-v0001.sql").read_text(encoding="utf-8"))
    connection.close()
    approval = approval_of("C0001", home=home)
    verify_approval(approval, public_key=reviewers.reviewers(home)[0].public_key)
    assert verify_chain(home).is_whole
    assert reviewers.unlock(REVIEWER, PASSPHRASE, home=home, now=later(70))
