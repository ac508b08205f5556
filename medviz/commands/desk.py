"""`medviz review`, `medviz release`, `medviz audit`: the clinician's desk on the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from medviz.console import print_json, print_line, print_table
from medviz.core.errors import NotAllowed
from medviz.core.records import to_plain
from medviz.core.settings import load_settings
from review import audit, desk, reviewers, sign
from review import release as way_out
from review.reasons import REASONS

review_app = typer.Typer(no_args_is_help=True, help="The queue: list, show, approve, reject, enrol.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit log: verify, export.")

Case = Annotated[str, typer.Argument(help="Case number.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Who = Annotated[str, typer.Option("--reviewer", help="Your name, as enrolled.")]
FromInput = Annotated[
    bool, typer.Option("--passphrase-stdin", help="Read the passphrase from standard input.")
]


@review_app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Settled drafts too.")] = False, json: Json = False
) -> None:
    """List the drafts that wait or are approved, oldest first."""
    found = desk.list_drafts(load_settings().home, everything=everything)
    if json:
        print_json({"drafts": [{"case_id": d.case_id, "number": d.number, "state": d.state.value,
                                "findings": list(d.findings)} for d in found]})  # fmt: skip
        return
    rows = [
        (d.case_id, str(d.number), d.state.value, str(len(d.findings)), d.manifest_sha256[:12]) for d in found
    ]
    print_table("Review queue", ("case", "draft", "state", "findings", "manifest"), rows)


@review_app.command()
def show(case_id: Case, json: Json = False) -> None:
    """Show a draft: findings first, then every sentence with its facts, the files and what was done."""
    view = desk.show_draft(case_id, home=load_settings().home)
    if json:
        print_json({"draft": to_plain(view)})
        return
    draft = view.draft
    print_line(f"Case {draft.case_id}, draft {draft.number}: {draft.state.value}")
    print_line(f"Bytes: {'as submitted' if view.is_unchanged else 'CHANGED since submission'}")
    for finding in view.findings or ("Nothing was found that needs a look first.",):
        print_line(f"  look at: {finding}")
    told = [
        (t.text, t.source, "; ".join(f"{f.id} = {f.literal} ({f.grade.value})" for f in t.facts))
        for t in view.told
    ]
    print_table("What the film says, and the fact behind it", ("sentence", "by", "fact"), told)
    files = [(e.path, f"{e.size_bytes:,}", e.sha256[:12]) for e in draft.manifest.entries]
    print_table(f"Files in {draft.folder}", ("file", "bytes", "sha256"), files)
    if view.rejection:
        print_line(f"Rejected ({view.rejection.reason}): {view.rejection.remark}")
    rows = [(e.time, e.actor, e.action) for e in view.history]
    print_table("What was done", ("when", "who", "what"), rows)


@review_app.command()
def enrol(
    name: Annotated[str, typer.Argument(help="Name of the reviewer.")], passphrase_stdin: FromInput = False
) -> None:
    """Enrol someone who may sign; the passphrase is asked for and never stored."""
    made = reviewers.add_reviewer(name, _passphrase(passphrase_stdin, twice=True), home=load_settings().home)
    print_line(f"{made.name} may sign. Public key: {made.public_key}")


@review_app.command()
def approve(
    case_id: Case,
    reviewer: Who,
    meaning: Annotated[str, typer.Option(help="What your signature means.")] = sign.DEFAULT_MEANING,
    passphrase_stdin: FromInput = False,
) -> None:
    """Sign exactly the bytes of a draft."""
    passphrase = _passphrase(passphrase_stdin)
    approval = sign.approve(case_id, reviewer, passphrase, home=load_settings().home, meaning=meaning)
    print_line(f"Signed by {approval.reviewer} at {approval.signed_at}: {approval.manifest_sha256}")
    print_line(f"Next: medviz release {case_id} FOLDER")


@review_app.command()
def reject(
    case_id: Case,
    reviewer: Who,
    reason: Annotated[str, typer.Option(help="Code; `medviz review reasons` lists them.")],
    remark: Annotated[str, typer.Option(help="What should change. No patient data.")] = "",
    passphrase_stdin: FromInput = False,
) -> None:
    """Refuse a draft with a coded reason; names the step that must run again."""
    secret, home = _passphrase(passphrase_stdin), load_settings().home
    refusal = sign.reject(case_id, reviewer, secret, reason=reason, remark=remark, home=home)
    print_line(f"Rejected ({refusal.reason}).")
    print_line(
        f"Next: medviz resume {case_id} --from {refusal.rerun_from}   (with --plan FILE if the plan changes)"
    )


@review_app.command()
def reasons() -> None:
    """List the reasons for a rejection and the step each sends the case back to."""
    rows = [(code, reason.sentence, reason.rerun_from) for code, reason in REASONS.items()]
    print_table("Reasons", ("code", "meaning", "runs again from"), rows)


def release(
    case_id: Case, folder: Annotated[Path, typer.Argument(help="The signed files go to FOLDER/CASE.")]
) -> None:
    """Copy a signed draft out; refuses anything unsigned or changed by one byte."""
    home = load_settings().home
    approval = sign.approval_of(case_id, home=home)
    made = way_out.release(case_id, folder, approval, home=home)
    print_line(f"Released to {made.folder}")


@audit_app.command("verify")
def verify_audit(json: Json = False) -> None:
    """Read the whole audit log; exit code 6 when a row was changed, removed or added."""
    report = audit.verify_chain(load_settings().home)
    if json:
        print_json({"audit": to_plain(report)})
    else:
        print_line(f"{report.rows} rows, head {report.head.hash[:16]}")
    if report.problems:
        mend = "Keep the database as it is and tell your security officer."
        raise NotAllowed(" ".join(report.problems), reason="AUDIT_BROKEN", mend=mend)


@audit_app.command("export")
def export_audit(target: Annotated[Path, typer.Argument(help="File to write.")]) -> None:
    """Write the audit log and its head to a file, to be kept elsewhere."""
    head = audit.export_log(load_settings().home, target, actor="console")
    print_line(f"Row {head.seq}, head {head.hash}")


@review_app.command("verify")
def verify_release(
    folder: Annotated[Path, typer.Argument(help="A released folder.")],
    key: Annotated[str, typer.Option(help="The reviewer's public key, as known from elsewhere.")] = "",
) -> None:
    """Check a released folder anywhere: every byte and the signature, without any database."""
    paper = way_out.verify_release(folder, public_key=key)
    print_line(
        f"Every byte is the signed one. Signed by {paper.approval.reviewer} at {paper.approval.signed_at}."
    )


def _passphrase(from_input: bool, *, twice: bool = False) -> str:
    """Return the passphrase from `MEDVIZ_PASSPHRASE`, standard input or the prompt, in this order."""
    if "MEDVIZ_PASSPHRASE" in os.environ:
        return os.environ["MEDVIZ_PASSPHRASE"]
    if from_input or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    secret: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True)
    return secret
