"""`medviz run`, `medviz demo`, `medviz resume`: a study to a draft."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from medviz.casefolder import CaseFolder, CaseShelf
from medviz.casework import STEPS, draft_of, is_step_done, run_step
from medviz.commands.overrides import checked_face_reason, record_kept_face
from medviz.console import StepBars, notes, print_json, print_line, print_step_times, step_bars
from medviz.core.drafts import Draft
from medviz.core.errors import BadInput
from medviz.core.records import to_plain
from medviz.core.settings import Settings, load_settings
from medviz.intake import change_plan, open_case
from medviz.jobs import RunOne, run_case_durably
from medviz.offline import close_network, open_network

SAMPLES = ("head-ct", "phantom")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def run(
    study: Annotated[Path, typer.Argument(help="A folder, a zip, a DICOMDIR or one file.")],
    plan: Annotated[Path | None, typer.Option(help="Plan document (TOML).")] = None,
    series: Annotated[str, typer.Option(help="Series Instance UID to take, as the study names it.")] = "",
    keep_face: Annotated[
        str, typer.Option(help="Keep the face because the plan needs it: maxillofacial, orbit, nose, skin.")
    ] = "",
    despite_crashes: Annotated[bool, typer.Option(help="Try once more after repeated crashes.")] = False,
    json: Json = False,
) -> None:
    """Take a study and a plan to a draft that waits for a clinician. The same command resumes."""
    settings = load_settings()
    document = plan or default_plan()
    keeps_face = bool(keep_face and checked_face_reason(keep_face))
    case = open_case(
        study, document, settings, now=datetime.now(UTC), series_uid=series, keeps_face=keeps_face
    )
    if keeps_face:
        record_kept_face(settings.home, keep_face, case_id=case.case_id)
    _go(case, settings, despite_crashes=despite_crashes, json=json)


def resume(
    case_id: Annotated[str, typer.Argument(help="Case number.")],
    plan: Annotated[Path | None, typer.Option(help="A changed plan document, after a rejection.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed, for another wording.")] = None,
    step: Annotated[str, typer.Option("--from", help="Do this step again, and what depends on it.")] = "",
    despite_crashes: Annotated[bool, typer.Option(help="Try once more after repeated crashes.")] = False,
    json: Json = False,
) -> None:
    """Go on with a case that was stopped, failed or rejected; only what must change is done again."""
    settings = load_settings()
    case = CaseShelf(settings.home).case(case_id)
    if step and step not in STEPS:
        raise BadInput("There is no such step.", reason="STEP_UNKNOWN", mend=f"One of: {', '.join(STEPS)}.")
    if plan is not None:
        change_plan(case, plan, home=settings.home)
    if seed is not None:
        case.amend(seed=seed)
    if step:
        case.forget(step)
    _go(case, settings, despite_crashes=despite_crashes, json=json)


def demo(
    sample: Annotated[str, typer.Option(help="head-ct (a real CT) or phantom.")] = "head-ct",
    source: Annotated[Path | None, typer.Option(help="The sample's .deb or .inv3, when carried in.")] = None,
    json: Json = False,
) -> None:
    """Fetch a sample study with an invented identity planted in it and run the whole chain on it."""
    settings = load_settings()
    study = make_sample(sample, settings, source)
    case = open_case(study, default_plan(), settings, now=datetime.now(UTC))
    _go(case, settings, despite_crashes=False, json=json)


def make_sample(sample: str, settings: Settings, source: Path | None = None) -> Path:
    """Return the folder of a sample study, making it when it is not there yet."""
    from sample_data.head_ct import make_head_sample
    from sample_data.phantom import make_phantom_sample

    if sample not in SAMPLES:
        raise BadInput(
            "There is no such sample.", reason="SAMPLE_UNKNOWN", mend=f"Use {' or '.join(SAMPLES)}."
        )
    folder = settings.home / "samples"
    open_network()
    if sample == "phantom":
        return make_phantom_sample(folder)
    return make_head_sample(folder, cache=folder / "packages", source=source)


def default_plan() -> Path:
    """Return the plan used when none is given: a ventricular catheter, entry proposed."""
    import sample_data

    return Path(sample_data.__file__).parent / "plans" / "head-catheter.toml"


def run_visibly(case: CaseFolder, settings: Settings, *, despite_crashes: bool = False) -> Draft:
    """Run a case as a durable job with a bar per step, the network closed, and return its draft."""
    close_network()
    with step_bars() as bars:
        run_case_durably(
            case.case_id,
            tuple(STEPS),
            _runner(case, settings, bars),
            settings,
            still_done=lambda _case_id, step: is_step_done(step, case),
            despite_crashes=despite_crashes,
        )
    return draft_of(case)


def _runner(case: CaseFolder, settings: Settings, bars: StepBars) -> RunOne:
    def run_one(_case_id: str, step: str) -> str:
        record = run_step(step, case, settings, bars.listener(step))
        bars.finished(step, record.sentence)
        return record.outputs_sha256

    return run_one


def _go(case: CaseFolder, settings: Settings, *, despite_crashes: bool, json: bool) -> None:
    notes.print(f"Case {case.case_id}")
    draft = run_visibly(case, settings, despite_crashes=despite_crashes)
    if json:
        print_json({"case": case.case_id, "draft": to_plain(draft), "steps": to_plain(case.records())})
        return
    print_step_times(case.records())
    _say_where(draft)


def _say_where(draft: Draft) -> None:
    print_line(f"Case {draft.case_id} is a draft and waits for a clinician.")
    for title, name in (
        ("film", "film.mp4"),
        ("surfaces", "surfaces"),
        ("plan report", "plan-report.html"),
        ("facts", "ledger.json"),
        ("draft", ""),
    ):
        print_line(f"  {title:<12} {draft.folder / name if name else draft.folder}")
    for finding in draft.findings:
        print_line(f"  look at: {finding}")
    print_line("Next:")
    print_line("  medviz review enrol NAME          (once: makes a reviewer)")
    print_line(f"  medviz review show {draft.case_id}")
    print_line(f"  medviz review approve {draft.case_id} --reviewer NAME")
    print_line(f"  medviz release {draft.case_id} FOLDER")
