"""Every stage alone, for scripts and for trust: volume, segment, mesh, plan, film."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medviz.casefolder import CaseShelf
from medviz.casework import place
from medviz.commands.run import run_visibly
from medviz.console import notes, print_json, print_line, print_table, step_bars
from medviz.core.errors import BadInput, GeometryRefused, PlanInvalid, Uncertain
from medviz.core.records import to_plain, write_record, write_text_atomically
from medviz.core.settings import load_settings
from medviz.core.study import DeidentifiedStudy
from medviz.core.volume import GeometryReport, Volume
from medviz.offline import close_network

if TYPE_CHECKING:
    from medviz.core.segmentation import Segmentation

Out = Annotated[Path, typer.Option("--out", help="Folder to write into.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Study = Annotated[Path, typer.Argument(help="A folder, a zip, a DICOMDIR or one file.")]


def volume(
    study: Study,
    out: Out,
    series: Annotated[
        str, typer.Option(help="UID of the series, as the study or an earlier answer has it.")
    ] = "",
    json: Json = False,
) -> None:
    """Place a series in the patient: correct, resampled (by how many mm) or refused (exit code 3)."""
    from pipelines.nifti import write_volume

    close_network()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with _deidentified(study) as clean:
            made = _volume_of(clean, series)
            path = write_volume(made, out)
    except GeometryRefused as error:
        report = getattr(error, "report", None)
        if json:
            print_json(_volume_answer(report, error, None))
        raise
    if json:
        print_json(_volume_answer(made.report, None, path))
        return
    print_line(f"{made.report.outcome}: {made.report.explanation}")
    for warning in made.report.warnings:
        print_line(f"  note: {warning}")
    print_line(str(path))


def segment(
    volume_or_path: Annotated[Path, typer.Argument(help="A volume folder, a NIfTI in HU, or a DICOM study.")],
    out: Out,
    model: Annotated[str, typer.Option(help="Segmenter.")] = "head",
    json: Json = False,
) -> None:
    """Segment a volume; every structure with its confidence and findings."""
    from pipelines.nifti import write_labels
    from pipelines.stages.segment import segment as segment_volume

    close_network()
    settings = load_settings()
    out.mkdir(parents=True, exist_ok=True)
    with step_bars() as bars:
        result = segment_volume(
            _any_volume(volume_or_path),
            segmenter=model,
            models=settings.models,
            threads=settings.threads,
            seed=settings.seed,
            progress=bars.listener("segment"),
        )
    path = write_labels(result, out)
    if json:
        print_json({"labels": str(path), "structures": to_plain(result.structures),
                    "findings": to_plain(result.findings), "models": to_plain(result.models)})  # fmt: skip
        return
    _print_structures(result)


def mesh(
    segmentation: Annotated[Path, typer.Argument(help="A folder that `medviz segment` wrote.")],
    out: Out,
    json: Json = False,
) -> None:
    """Extract closed surfaces in LPS mm and write STL, PLY, OBJ and GLB."""
    from pipelines.nifti import read_segmentation
    from pipelines.stages.mesh import make_surfaces
    from pipelines.surfaces.export import export_surfaces

    close_network()
    out.mkdir(parents=True, exist_ok=True)
    with step_bars() as bars:
        surfaces = make_surfaces(read_segmentation(segmentation), progress=bars.listener("mesh"))
    files = export_surfaces(surfaces, out)
    if json:
        told = [{"name": s.name, "volume_ml": s.volume_ml, "is_watertight": s.is_watertight,
                 "error": to_plain(s.error)} for s in surfaces]  # fmt: skip
        print_json({"files": [str(path) for path in files], "surfaces": told})
        return
    rows = [
        (s.name, f"{s.volume_ml:.1f}", "yes" if s.is_watertight else "NO", f"{s.error.p95_mm:.2f}",
         f"{s.error.max_mm:.2f}", f"{s.error.volume_percent:+.2f}") for s in surfaces
    ]  # fmt: skip
    headings = ("surface", "ml", "closed", "95 % mm", "max mm", "volume %")
    print_table("Surfaces (against the voxel boundary)", headings, rows)


def plan(
    document: Annotated[Path | None, typer.Argument(help="Plan document (TOML).")] = None,
    volume: Annotated[Path | None, typer.Option(help="A folder that `medviz volume` wrote.")] = None,
    segmentation: Annotated[Path | None, typer.Option(help="A folder that `medviz segment` wrote.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write into.")] = None,
    template: Annotated[bool, typer.Option("--template", help="Print an example plan document.")] = False,
    json: Json = False,
) -> None:
    """Check a plan document; with a volume and a segmentation, plan and measure the operation."""
    from pipelines.plandocument import plan_template, read_plan

    if template:
        print_line(plan_template())
        return
    if document is None:
        raise PlanInvalid(
            "No plan document was given.", mend="`medviz plan --template` prints one to start from."
        )
    checked = read_plan(document)
    if volume is None or segmentation is None:
        print_line(f"The plan document is valid: procedure '{checked.procedure}'.")
        return
    if out is None:
        raise BadInput("Planning needs --out.", reason="OPTION_MISSING", mend="Add --out FOLDER.")
    _plan_and_measure(document, volume, segmentation, out, json=json)


def film(
    case_id: Annotated[str, typer.Argument(help="Case number.")],
    json: Json = False,
) -> None:
    """Make the film of a case (and whatever it still needs) and print where it is."""
    settings = load_settings()
    case = CaseShelf(settings.home).case(case_id)
    draft = run_visibly(case, settings)
    if json:
        print_json({"case": case_id, "film": str(draft.folder / "film.mp4")})
        return
    print_line(str(draft.folder / "film.mp4"))


@contextmanager
def _deidentified(study: Path) -> Iterator[DeidentifiedStudy]:
    """Yield the study without its name, in an owner-only folder that is removed afterwards."""
    from anonymize.deid import deidentify_path, make_orders
    from pipelines.segmenters.brain import HeadBrain

    settings = load_settings()
    orders = make_orders(
        settings.profile,
        settings_home=settings.home,
        threads=settings.threads,
        brain=HeadBrain(models=settings.models, threads=settings.threads),
    )
    with tempfile.TemporaryDirectory(prefix="medviz-") as folder:
        yield deidentify_path(
            study,
            Path(folder) / "study",
            orders,
            settings_home=settings.home,
        )


def _volume_of(study: DeidentifiedStudy, series: str) -> Volume:
    from anonymize.keys import project_keys
    from anonymize.uids import new_uid

    keys = project_keys(load_settings().home)
    return place(study, series_uid=new_uid(keys, series) if series else "", body_part="", keys=keys)


def _volume_answer(
    report: GeometryReport | None, error: GeometryRefused | None, path: Path | None
) -> dict[str, object]:
    outcome = report.outcome.value if report else "refused"
    return {
        "outcome": "refused" if error else outcome,
        "reason": error.reason if error else (report.reason if report else ""),
        "explanation": error.message if error else (report.explanation if report else ""),
        "mend": error.mend if error else "",
        "max_displacement_mm": report.max_displacement_mm if report else 0.0,
        "series": to_plain(report.series) if report else None,
        "others": to_plain(report.others) if report else [],
        "warnings": list(report.warnings) if report else [],
        "volume": str(path) if path else None,
    }


def _any_volume(source: Path) -> Volume:
    """Return the volume in a volume folder, a NIfTI file or a DICOM study (then without name and face)."""
    from pipelines.nifti import VOLUME_RECORD, import_volume, read_volume

    if (source / VOLUME_RECORD).is_file():
        return read_volume(source)
    if source.name.endswith((".nii", ".nii.gz")):
        beside = source.parent / VOLUME_RECORD
        return read_volume(source.parent) if beside.is_file() else _without_face(import_volume(source))
    with _deidentified(source) as clean:
        return _volume_of(clean, "")


def _without_face(volume: Volume) -> Volume:
    """Return a volume that came from elsewhere without its face; marked when that cannot be done surely."""
    from anonymize.face import deface

    try:
        return deface(volume)[0]
    except Uncertain:
        return replace(volume, shows_face=True)


def _print_structures(result: Segmentation) -> None:
    rows = [
        (item.name, item.source, f"{item.volume_ml:.1f}",
         "" if item.confidence is None else f"{item.confidence:.2f}", "yes" if item.is_reliable else "NO")
        for item in result.structures
    ]  # fmt: skip
    print_table("Structures", ("structure", "source", "ml", "confidence", "reliable"), rows)
    for finding in result.findings:
        print_line(f"  look at: {finding.sentence}")


def _plan_and_measure(document: Path, volume: Path, segmentation: Path, out: Path, *, json: bool) -> None:
    from pipelines.nifti import read_segmentation, read_volume
    from pipelines.plandocument import read_plan
    from pipelines.stages.facts import measure
    from pipelines.stages.mesh import make_surfaces
    from pipelines.stages.plan import plan_operation, plan_report_html
    from pipelines.stages.simulate import simulate

    settings = load_settings()
    scan, labels = read_volume(volume), read_segmentation(segmentation)
    out.mkdir(parents=True, exist_ok=True)
    with step_bars() as bars:
        operation = plan_operation(
            read_plan(document), scan, labels, seed=settings.seed, progress=bars.listener("plan")
        )
        ledger = measure(scan, labels, make_surfaces(labels), operation, simulate(operation, labels))
    write_record(out / "plan.json", operation)
    write_record(out / "ledger.json", ledger)
    write_text_atomically(out / "plan-report.html", plan_report_html(operation, ledger, scan, labels))
    if json:
        print_json({"plan": to_plain(operation), "facts": to_plain(ledger)})
        return
    print_table("Facts", ("fact", "value", "grade"), [(f.id, f.literal, f.grade.value) for f in ledger])
    notes.print(f"Report: {out / 'plan-report.html'}")
