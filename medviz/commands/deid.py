"""`medviz deid`: a study or a whole archive without its names, what was held, and the sealed way back."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from medviz.commands.overrides import (
    DISCARD_REASONS,
    FACE_REASONS,
    REIDENTIFY_REASONS,
    checked_face_reason,
    checked_reason,
    record_kept_face,
)
from medviz.console import print_json, print_line, print_table, silence_libraries, step_bars
from medviz.core.errors import BadInput, NotAllowed, StudyUnreadable, Uncertain
from medviz.core.records import to_plain
from medviz.core.settings import Settings, load_settings
from medviz.offline import close_network

if TYPE_CHECKING:
    from anonymize.deid import Orders
    from anonymize.escrow import EscrowNote
    from anonymize.holds import Hold
    from anonymize.report import ArchiveReport

PASSPHRASE_FILE = "MEDVIZ_ESCROW_PASSPHRASE_FILE"
_DEFAULT = "run"
_MB_PER_WORKER = 1500

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
OutFolder = Annotated[Path, typer.Option("--out", help="The folder that the study was de-identified into.")]


class DefaultGroup(TyperGroup):
    """A group whose first argument may also be that of its default command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command in front of arguments that name no other."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


deid_app = typer.Typer(
    cls=DefaultGroup,
    no_args_is_help=True,
    help=(
        "De-identify by DICOM PS3.15. `medviz deid PATH OUT` takes a file, a folder, a zip or a DICOMDIR, "
        "with one study or a whole archive; `medviz deid run --help` lists its options."
    ),
)
escrow_app = typer.Typer(
    no_args_is_help=True, help="The sealed map from new to original values: make it, check it, back it up."
)
deid_app.add_typer(escrow_app, name="escrow")


@deid_app.command(_DEFAULT)
def run(
    source: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="A file, folder, zip or DICOMDIR.")
    ] = None,
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Folder to write into, one folder a study.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Profile by name, or a TOML file of your own.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 takes what this machine has.")] = 0,
    keep_face: Annotated[
        str, typer.Option(metavar="REASON", help=f"Keep faces on purpose: {', '.join(FACE_REASONS)}.")
    ] = "",
    explain: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Say what happens to an attribute, by which row.")
    ] = None,
    profiles: Annotated[bool, typer.Option("--profiles", help="List the profiles.")] = False,
    json: Json = False,
) -> None:
    """De-identify everything at PATH into OUT; the same command goes on after a stop.

    Each study gets a folder of its own, named by its new UID, with a report to show. What cannot be judged
    is held with a reason (`medviz deid held`) and never stops the rest. Exit code 0 when nothing was held,
    5 when something was, 2 when nothing at all could be taken.
    """
    settings = load_settings()
    name = profile or settings.profile
    if profiles:
        _print_profiles(json=json)
    elif explain:
        _explain(explain, name, json=json)
    elif source is None or out is None:
        raise BadInput(
            "PATH and OUT are missing.", reason="ARGUMENT_MISSING", mend="medviz deid PATH OUT --profile NAME"
        )
    else:
        _deidentify(source, out, name, settings, workers=workers, keep_face=keep_face, json=json)


def orders_of(profile: str, settings: Settings, threads: int, keeps_face: bool) -> Orders:
    """Return the orders, in whichever process this is; nothing in it reaches out or prints a value."""
    from anonymize.deid import make_orders
    from pipelines.segmenters.brain import HeadBrain

    os.umask(0o077)
    silence_libraries()
    close_network()
    return make_orders(
        profile,
        settings_home=settings.home,
        threads=threads,
        brain=HeadBrain(models=settings.models, threads=threads),
        keeps_face=keeps_face,
    )


def _deidentify(
    source: Path, out: Path, profile: str, settings: Settings, *, workers: int, keep_face: str, json: bool
) -> None:
    from anonymize.archive import deidentify_archive

    if keep_face:
        record_kept_face(settings.home, checked_face_reason(keep_face))
    hands = workers or _workers_here()
    threads = settings.threads if hands == 1 else 1
    with step_bars() as bars:
        report = deidentify_archive(
            source,
            out,
            partial(orders_of, profile, settings, threads, bool(keep_face)),
            settings_home=settings.home,
            workers=hands,
            most_unpacked_gb=settings.most_unpacked_gb,
            progress=bars.listener("deid"),
        )
    _record_run(settings.home, report)
    _tell(report, out, json=json)


def _workers_here() -> int:
    """Return how many processes this machine carries: one a core, if memory allows."""
    import psutil

    free_mb = psutil.virtual_memory().available / (1 << 20)
    return max(1, min(len(os.sched_getaffinity(0)), int(free_mb // _MB_PER_WORKER)))


def _record_run(home: Path, report: ArchiveReport) -> None:
    detail: dict[str, str | int] = {
        "profile": report.profile,
        "archive": report.source_id[:16],
        "studies": len(report.studies),
        "files": report.written,
        "held": sum(report.held().values()),
        "keeps_face": int(report.keeps_face),
    }
    _write_audit(home, "DEIDENTIFIED", detail)


def _tell(report: ArchiveReport, out: Path, *, json: bool) -> None:
    held = report.held()
    if json:
        print_json({"profile": report.profile, "studies": len(report.studies), "received": report.received,
                    "files": report.written, "held": dict(held), "set_aside": report.set_aside(),
                    "folder": str(out), "report": str(out / "report.html")})  # fmt: skip
    else:
        print_line(
            f"{report.written} of {report.received} files de-identified with '{report.profile}', "
            f"studies: {len(report.studies)}, held: {sum(held.values())}, "
            f"no part of a study: {report.set_aside()}."
        )
        print_line(f"Report: {out / 'report.html'}")
    if not report.written:
        raise StudyUnreadable(
            f"No file could be taken ({', '.join(sorted(held)) or 'it is empty'}).",
            reason="NOTHING_LEFT",
            mend="The report says why. `medviz deid held` lists what waits for a person.",
        )
    if held:
        raise Uncertain(
            f"Held: {sum(held.values())} ({', '.join(sorted(held))}). Everything else went out.",
            reason="FILES_HELD",
            mend="`medviz deid held` lists them; the report says what to do about each reason.",
        )


def _print_profiles(*, json: bool) -> None:
    from anonymize.profile import load_profile, profile_names

    found = [load_profile(name) for name in profile_names()]
    if json:
        print_json(
            {"profiles": [{"name": p.name, "title": p.title, "codes": to_plain(p.codes)} for p in found]}
        )
        return
    rows = [(p.name, p.title, ", ".join(code for code, _ in p.codes)) for p in found]
    print_table("Profiles", ("name", "what it does", "CID 7050"), rows)


def _explain(tags: Sequence[str], name: str, *, json: bool) -> None:
    from anonymize.profile import explain, load_profile

    profile = load_profile(name)
    told = [explain(tag, profile) for tag in tags]
    if json:
        print_json({"profile": profile.name, "explained": told})
        return
    print_line(f"Profile '{profile.name}':")
    for line in told:
        print_line(f"  {line}")


# --- what was held ---


@deid_app.command()
def held(
    name: Annotated[
        str, typer.Argument(metavar="[ID]", help="One hold, or all of a new series or study UID.")
    ] = "",
    purge_days: Annotated[
        int | None, typer.Option(min=0, help="Delete for good what has waited longer than so many days.")
    ] = None,
    json: Json = False,
) -> None:
    """List what waits for a person; with ID, say where its picture lies."""
    from anonymize.holds import find_holds, held_files, purge

    home = load_settings().home
    if purge_days is not None:
        count = purge(home, days=purge_days)
        _write_audit(home, "HELD_PURGED", {"files": count, "days": purge_days})
        print_line(f"{count} held files deleted.")
        return
    holds = find_holds(home, name) if name else tuple(held_files(home))
    if json:
        print_json({"held": to_plain(holds)})
        return
    rows = [(h.id, h.reason, h.kind or "unknown", h.study_uid, h.held_at[:10]) for h in holds]
    print_table(f"{len(holds)} held", ("id", "reason", "object", "study", "since"), rows)
    if name:
        _tell_where(holds, home)
    elif holds:
        print_line("Next: medviz deid held ID, then")
        print_line("      medviz deid judge ID --out OUT  with --fill BOX, --pass, --discard or --keep-face")


def _tell_where(holds: Sequence[Hold], home: Path) -> None:
    from anonymize.holds import picture_of, raw_file_of

    print_line("These files hold a patient's data. Look at them here; do not copy them.")
    for hold in holds:
        print_line(f"  {hold.id}  {picture_of(home, hold) if hold.has_picture else raw_file_of(home, hold)}")


@deid_app.command()
def judge(
    names: Annotated[list[str], typer.Argument(metavar="ID...", help="Holds, or new series or study UIDs.")],
    out: OutFolder,
    fill: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOP,BOTTOM,LEFT,RIGHT", help="Paint over this box on every frame; may be repeated."
        ),
    ] = None,
    passes: Annotated[bool, typer.Option("--pass", help="Nothing in the picture names anybody.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Delete the held file for good.")] = False,
    keep_face: Annotated[
        str, typer.Option(metavar="REASON", help=f"Keep the face on purpose: {', '.join(FACE_REASONS)}.")
    ] = "",
    reason: Annotated[str, typer.Option(help=f"Why it is discarded: {', '.join(DISCARD_REASONS)}.")] = "",
    profile: Annotated[str, typer.Option(help="The profile of the run, when it is a file of your own.")] = "",
    json: Json = False,
) -> None:
    """Decide about held files; every verdict is written into the audit log before it is carried out."""
    from anonymize.holds import find_holds
    from anonymize.verdicts import box_of

    if [bool(fill), passes, discard, bool(keep_face)].count(True) != 1:
        raise BadInput(
            "Give one verdict.",
            reason="OPTION_MISSING",
            mend="--fill BOX, --pass, --discard or --keep-face REASON.",
        )
    settings = load_settings()
    home = settings.home
    boxes = [box_of(text) for text in fill or ()]
    holds = tuple(dict.fromkeys(hold for name in names for hold in find_holds(home, name)))
    if discard:
        _discard_all(holds, out, home, checked_reason(reason, DISCARD_REASONS))
        told = []
    else:
        told = _judge_all(
            holds, out, settings, None if keep_face else boxes, keep_face=keep_face, profile=profile
        )
    if json:
        print_json({"judged": [hold.id for hold in holds], "files": [str(path) for path in told]})
        return
    print_line(f"{len(holds)} {'discarded' if discard else 'de-identified as you decided'}.")
    for path in told:
        print_line(f"  {path}")


def _judge_all(
    holds: Sequence[Hold],
    out: Path,
    settings: Settings,
    boxes: Sequence[Any] | None,
    *,
    keep_face: str,
    profile: str,
) -> list[Path]:
    from anonymize.archive import check_orders, sole_use
    from anonymize.holds import judge as judge_one
    from anonymize.report import read_archive_report

    home, name = settings.home, profile or holds[0].profile
    verdict = "keep face" if keep_face else "fill" if boxes else "pass"
    code = checked_face_reason(keep_face) if keep_face else "text" if boxes else "names nobody"
    earlier = _index_of(out, read_archive_report)
    orders = orders_of(name, settings, settings.threads, earlier.keeps_face)
    check_orders(earlier, orders)
    if keep_face:
        record_kept_face(home, keep_face)
        orders = replace(orders, keeps_face=True)
    paths = []
    with sole_use(out, home, orders.keys):
        for hold in holds:
            _write_verdict(home, hold, verdict, code, boxes=len(boxes or ()))
            paths.append(judge_one(hold, out, orders, home=home, boxes=boxes))
    return paths


def _discard_all(holds: Sequence[Hold], out: Path, home: Path, reason: str) -> None:
    from anonymize.archive import sole_use
    from anonymize.holds import forget
    from anonymize.keys import project_keys

    with sole_use(out, home, project_keys(home)):
        for hold in holds:
            _write_verdict(home, hold, "discard", reason, boxes=0)
            forget(hold, out, home=home)


def _index_of(out: Path, read: Any) -> ArchiveReport:
    try:
        report: ArchiveReport = read(out)
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(
            "This folder holds no de-identified archive.",
            reason="NOT_DEIDENTIFIED",
            mend="Give with --out the OUT of `medviz deid PATH OUT`.",
        ) from None
    return report


def _write_verdict(home: Path, hold: Hold, verdict: str, reason: str, *, boxes: int) -> None:
    detail: dict[str, str | int] = {"hold": hold.id, "held_for": hold.reason, "verdict": verdict}
    _write_audit(home, "HELD_JUDGED", {**detail, "reason": reason, "boxes": boxes})


def _write_audit(home: Path, action: str, detail: dict[str, str | int]) -> None:
    from review.audit import Action, write

    write(home, Action[action], actor=getpass.getuser(), detail=detail)


# --- the way back ---


@deid_app.command()
def reidentify(
    value: Annotated[
        str, typer.Argument(help="A pseudonym, a patient identifier, or a new or original UID.")
    ] = "",
    file: Annotated[Path | None, typer.Option(help="A de-identified file, instead of a value.")] = None,
    reason: Annotated[str, typer.Option(help=f"Why: {', '.join(REIDENTIFY_REASONS)}.")] = "",
    to: Annotated[Path | None, typer.Option(help="Write into this new file, readable by you alone.")] = None,
) -> None:
    """Say who was who: needs the escrow's passphrase and a reason, and is written down before it answers."""
    from anonymize.escrow import matching, notes_of

    code, home = checked_reason(reason, REIDENTIFY_REASONS), load_settings().home
    wanted = _values_in(file) if file else [value]
    if not any(wanted):
        raise BadInput(
            "There is nothing to look for.", reason="ARGUMENT_MISSING", mend="Give a value or --file."
        )
    if to is None and not sys.stdout.isatty():
        raise NotAllowed(
            "Who somebody was is told to a terminal only.",
            reason="NO_TERMINAL",
            mend="Run it at a terminal, or give --to FILE.",
        )
    key = _opened_escrow(home, "REIDENTIFY_REFUSED", {"reason": code})
    notes = tuple(notes_of(home, key))
    found = tuple(dict.fromkeys(note for item in wanted for note in matching(item, notes)))
    subjects = ",".join(dict.fromkeys(note.new for note in found if note.kind != "days"))
    _write_audit(home, "REIDENTIFIED", {"reason": code, "found": len(found), "subjects": subjects[:1000]})
    if not found:
        raise BadInput(
            "The escrow knows no such value.",
            reason="NOT_IN_ESCROW",
            mend="It knows what was de-identified since `medviz deid escrow init`, with this house's key.",
        )
    _answer(found, to)


def _values_in(path: Path) -> list[str]:
    """Return the pseudonym and new UIDs of a de-identified file."""
    from anonymize import headers
    from anonymize.elements import parse_file
    from anonymize.quarantine import mapped

    with mapped(path) as buffer:
        parsed = parse_file(buffer)
    tags = (headers.WHO[0], headers.STUDY, headers.SERIES, headers.SOP_INSTANCE)
    return [text for tag in tags if (text := headers.text_of(parsed, tag))]


def _answer(found: Sequence[EscrowNote], to: Path | None) -> None:
    lines = [_told(note) for note in found]
    if to is None:
        for line in lines:
            print_line(line)
        return
    try:
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise NotAllowed("The file exists.", reason="TARGET_EXISTS", mend="Choose another name.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
    print_line(f"{len(lines)} lines written to {to}; delete it when it has served.")


def _told(note: EscrowNote) -> str:
    if note.kind == "patient":
        identifier, issuer, name = (*note.raw_original.split("|", 2), "", "")[:3]
        return f"patient {note.new}: ID {identifier or '-'}, issuer {issuer or '-'}, name {name or '-'}"
    if note.kind == "days":
        days = int(note.new)
        return f"dates of {note.raw_original}: moved by {days} days; add {-days} days for the true date"
    return f"{note.kind} {note.new}: {note.raw_original}"


@escrow_app.command("init")
def make_escrow() -> None:
    """Make the escrow: from now on every run takes down who became whom, for those who know the passphrase.

    Whoever loses the passphrase can no longer re-identify: there is no second way in. Keep it, and copies of
    keys/escrow.* and escrow/, where the files themselves are not.
    """
    from anonymize import escrow

    home = load_settings().home
    public = escrow.make_escrow(home, _passphrase("New passphrase of the escrow", twice=True))
    _write_audit(home, "ESCROW_MADE", {"public_key": public})
    print_line(f"Public key {public}")
    print_line("If the passphrase is lost, nobody can re-identify any more. There is no second way in.")


@escrow_app.command("verify")
def verify_escrow(json: Json = False) -> None:
    """Open every record; exit code 6 when one was changed, removed or moved."""
    from anonymize import escrow

    home = load_settings().home
    key = _opened_escrow(home, "ESCROW_REFUSED", {"act": "verify"})
    report = escrow.check_escrow(home, key, known_heads=_known_heads(home))
    detail: dict[str, str | int] = {"number": report.head.number, "head": report.head.hash}
    _write_audit(home, "ESCROW_VERIFIED", {**detail, "problems": len(report.problems)})
    if json:
        print_json({"escrow": to_plain(report)})
    else:
        print_line(f"{report.records} records, {report.notes} values, head {report.head.hash[:16]}")
    if report.problems:
        raise NotAllowed(
            " ".join(report.problems[:20]),
            reason="ESCROW_BROKEN",
            mend="Keep the files as they are and tell your security officer.",
        )


@escrow_app.command("passphrase")
def change_passphrase() -> None:
    """Change the passphrase; records stay as they are, copies of the old key keep the old passphrase."""
    from anonymize import escrow

    home = load_settings().home
    old = _passphrase("Present passphrase of the escrow")
    try:
        escrow.change_passphrase(
            home, old, _passphrase("New passphrase of the escrow", twice=True, second=True)
        )
    except NotAllowed:
        _write_audit(home, "ESCROW_REFUSED", {"act": "passphrase"})
        raise
    _write_audit(home, "ESCROW_PASSPHRASE", {})
    print_line("The passphrase was changed.")


@escrow_app.command("export")
def export_escrow(target: Annotated[Path, typer.Argument(help="New folder for the copy.")]) -> None:
    """Copy the sealed records and keys, to be kept elsewhere; they open with the passphrase only."""
    from anonymize import escrow

    home = load_settings().home
    head = escrow.export_escrow(home, target)
    _write_audit(home, "ESCROW_EXPORTED", {"number": head.number, "head": head.hash})
    print_line(f"{head.number} records, head {head.hash[:16]}, in {target}")


def _opened_escrow(home: Path, refusal: str, detail: dict[str, str | int]) -> Any:
    """Return the escrow's key; a refusal is written down."""
    from anonymize import escrow

    if not escrow.has_escrow(home):
        raise BadInput(
            "This house keeps no escrow.", reason="NO_ESCROW", mend="`medviz deid escrow init` makes one."
        )
    try:
        return escrow.open_escrow(home, _passphrase("Passphrase of the escrow"))
    except NotAllowed:
        _write_audit(home, refusal, detail)
        raise


def _known_heads(home: Path) -> list[Any]:
    """Return where the records ended whenever that was written into the audit log."""
    from anonymize.escrow import EscrowHead
    from review.audit import Action, entries
    from review.store import transaction

    acts = (Action.ESCROW_VERIFIED, Action.ESCROW_EXPORTED)
    with transaction(home) as session:
        rows = entries(session, acts=acts)
    return [EscrowHead(int(row.detail["number"]), str(row.detail["head"])) for row in rows]


def _passphrase(asked: str, *, twice: bool = False, second: bool = False) -> str:
    """Return the passphrase from a file only its owner can read, the prompt, or standard input.

    The file named by `MEDVIZ_ESCROW_PASSPHRASE_FILE` holds it on its first line, a new one on its second.
    """
    if PASSPHRASE_FILE in os.environ:
        return _from_file(Path(os.environ[PASSPHRASE_FILE]), line=1 if second else 0)
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    secret: str = typer.prompt(asked, hide_input=True, confirmation_prompt=twice, err=True)
    return secret


def _from_file(path: Path, *, line: int) -> str:
    try:
        is_open = path.stat().st_mode & 0o077
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise BadInput(
            "The passphrase file cannot be read.", reason="PASSPHRASE_FILE", mend=f"Check {PASSPHRASE_FILE}."
        ) from None
    if is_open:
        raise BadInput(
            "Others can read the passphrase file.",
            reason="PASSPHRASE_FILE",
            mend="chmod 600 it, or change it.",
        )
    return lines[line] if line < len(lines) else ""
