"""One case from intake to the reviewer's desk. Read this first.

`STEPS` is the whole product in one table: each step takes what earlier steps wrote, makes one
type, and writes it. A step whose inputs have not changed is not run again, so a killed run resumes and
a rejected film re-renders only what changed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medviz import __version__
from medviz.casefolder import CaseFolder, StepRecord, full_disk_told, step_key
from medviz.core.drafts import Draft
from medviz.core.errors import BadInput, GeometryRefused
from medviz.core.facts import FactLedger
from medviz.core.manifest import manifest_of
from medviz.core.plan import PlannedOperation, Simulation
from medviz.core.progress import Progress, silent
from medviz.core.records import read_record, write_record, write_text_atomically
from medviz.core.segmentation import Segmentation
from medviz.core.settings import Settings
from medviz.core.speech import Narration, Speech
from medviz.core.storyboard import Storyboard
from medviz.core.study import DeidentifiedStudy, RawStudy
from medviz.core.surface import Surface
from medviz.core.volume import Volume
from medviz.dossier import assemble, findings_of
from medviz.memory import peak_memory

if TYPE_CHECKING:
    from anonymize.keys import ProjectKeys

_NOT_EXPORTED = frozenset({"soft_tissue", "air"})  # inside the skin's surface; large, and nobody's question


@dataclass(frozen=True, slots=True)
class Work:
    """What a step may use: its case, the settings, a folder to write into, and what earlier steps made."""

    case: CaseFolder
    settings: Settings
    folder: Path
    progress: Progress = field(default=silent)

    def study(self) -> DeidentifiedStudy:
        """Return the de-identified study."""
        from anonymize.deid import read_deidentified

        return read_deidentified(self.case.output("deidentify"))

    def volume(self) -> Volume:
        """Return the volume, without a face."""
        from pipelines.nifti import read_volume

        return read_volume(self.case.output("volume"))

    def segmentation(self) -> Segmentation:
        """Return the segmentation."""
        from pipelines.nifti import read_segmentation

        return read_segmentation(self.case.output("segment"))

    def surfaces(self) -> tuple[Surface, ...]:
        """Return the surfaces."""
        from pipelines.stages.mesh import read_surfaces

        return read_surfaces(self.case.output("mesh"))

    def operation(self) -> PlannedOperation:
        """Return the planned operation."""
        return read_record(self.case.output("plan") / "plan.json", PlannedOperation)

    def simulation(self) -> Simulation:
        """Return the simulated operation."""
        return read_record(self.case.output("simulate") / "simulation.json", Simulation)

    def ledger(self) -> FactLedger:
        """Return the fact ledger."""
        return read_record(self.case.output("measure") / "ledger.json", FactLedger)

    def storyboard(self) -> Storyboard:
        """Return the storyboard."""
        return read_record(self.case.output("storyboard") / "storyboard.json", Storyboard)

    def narration(self) -> Narration:
        """Return the narration."""
        return read_record(self.case.output("narrate") / "narration.json", Narration)

    def speech(self) -> Speech:
        """Return when each sentence is heard."""
        return read_record(self.case.output("speak") / "speech.json", Speech)


def _admit(work: Work) -> str:
    from anonymize.quarantine import admit

    raw_folder = work.case.quarantine / "raw"
    limit_gb = work.settings.most_unpacked_gb
    raw = admit(work.case.source(), raw_folder, most_unpacked_gb=limit_gb, progress=work.progress)
    write_record(work.case.quarantine / "raw.json", raw)
    counts = {"files": len(raw.raw_files), "set_aside": len(raw.problems)}
    write_record(work.folder / "admitted.json", counts)
    return f"{counts['files']} files were taken into quarantine; {counts['set_aside']} were set aside."


def _deidentify(work: Work) -> str:
    from anonymize.deid import deidentify, faces_told, make_orders
    from pipelines.plandocument import raw_plan_notes
    from pipelines.segmenters.brain import HeadBrain

    raw = read_record(work.case.quarantine / "raw.json", RawStudy)
    request = work.case.request
    orders = make_orders(
        request.profile,
        settings_home=work.settings.home,
        threads=work.settings.threads,
        brain=HeadBrain(models=work.settings.models, threads=work.settings.threads),
        keeps_face=request.keeps_face,
    )
    orders = replace(orders, raw_notes=raw_plan_notes(work.case.plan_path))
    study = deidentify(raw, work.folder, orders, progress=work.progress)
    return (
        f"{len(study.files)} files were de-identified by PS3.15 with the profile '{study.profile}'; "
        f"{len(study.problems)} were held back. {faces_told(study.folder)}"
    )


def _volume(work: Work) -> str:
    from anonymize.keys import project_keys
    from pipelines.nifti import write_volume
    from pipelines.plandocument import read_plan
    from pipelines.stages.plan import procedure_named

    volume = place(
        work.study(),
        series_uid=work.case.request.series_uid,
        body_part=procedure_named(read_plan(work.case.plan_path).procedure).BODY_PART,
        keys=project_keys(work.settings.home),
        progress=work.progress,
    )
    write_volume(volume, work.folder)
    return f"The series was placed in the patient: {volume.report.outcome}. {volume.report.explanation}"


def place(
    study: DeidentifiedStudy,
    *,
    series_uid: str,
    body_part: str,
    keys: ProjectKeys,
    progress: Progress = silent,
) -> Volume:
    """Return the volume of the series asked for, or of the best one for a body part.

    Parameters
    ----------
    series_uid : str
        New UID of the series the user named; empty to choose. The user may have named it by its original
        UID or, from an earlier answer of ours, by the de-identified one: both lead to the same series.

    Raises
    ------
    GeometryRefused
        As `make_volume`.
    """
    from anonymize.uids import new_uid
    from pipelines.stages.volume import SeriesPreference, make_volume

    wanted = SeriesPreference(region=body_part)
    try:
        return make_volume(study, series_uid=series_uid or None, preference=wanted, progress=progress)
    except GeometryRefused as error:
        others = error.report.others if error.report and error.reason == "NO_SUCH_SERIES" else ()
        named = [other.series_uid for other in others if new_uid(keys, other.series_uid) == series_uid]
        if not named:
            raise
    return make_volume(study, series_uid=named[0], preference=wanted, progress=progress)


def _segment(work: Work) -> str:
    from pipelines.nifti import write_labels
    from pipelines.stages.segment import segment

    request = work.case.request
    segmentation = segment(
        work.volume(),
        segmenter=request.segmenter,
        models=work.settings.models,
        threads=work.settings.threads,
        seed=request.seed,
        progress=work.progress,
    )
    write_labels(segmentation, work.folder)
    models = ", ".join(f"{model.name} {model.version}".strip() for model in segmentation.models)
    return f"{len(segmentation.structures)} structures were segmented by {models}."


def _mesh(work: Work) -> str:
    from pipelines.stages.mesh import make_surfaces, write_surfaces
    from pipelines.surfaces.export import export_surfaces

    surfaces = make_surfaces(work.segmentation(), progress=work.progress)
    write_surfaces(surfaces, work.folder)
    export_surfaces([s for s in surfaces if s.name not in _NOT_EXPORTED], work.folder / "exports")
    worst = max(surface.error.p95_mm for surface in surfaces)
    return (
        f"{len(surfaces)} closed surfaces were extracted; 95 % of each lies within {worst:.2f} mm "
        "of the voxel boundary."
    )


def _plan(work: Work) -> str:
    from pipelines.plandocument import read_plan
    from pipelines.stages.plan import plan_operation

    document = read_plan(work.case.plan_path)
    operation = plan_operation(
        document, work.volume(), work.segmentation(), seed=work.case.request.seed, progress=work.progress
    )
    write_record(work.folder / "plan.json", operation)
    searched = operation.search.candidates if operation.search else 1
    return f"The procedure '{document.procedure}' was planned from {searched} candidate entries."


def _simulate(work: Work) -> str:
    from pipelines.stages.simulate import simulate

    simulation = simulate(work.operation(), work.segmentation())
    write_record(work.folder / "simulation.json", simulation)
    return f"The operation was simulated in {len(simulation.states)} states."


def _measure(work: Work) -> str:
    from pipelines.stages.facts import measure

    ledger = measure(work.volume(), work.segmentation(), work.surfaces(), work.operation(), work.simulation())
    write_record(work.folder / "ledger.json", ledger)
    return f"{len(ledger.facts)} facts were entered into the ledger."


def _storyboard(work: Work) -> str:
    from pipelines.stages.storyboard import storyboard

    board = storyboard(work.operation(), work.ledger(), work.surfaces(), work.segmentation())
    write_record(work.folder / "storyboard.json", board)
    return f"The story has {len(board.shots)} shots."


def _narrate(work: Work) -> str:
    from pipelines.stages.narrate import narrate

    narration = narrate(
        work.storyboard(),
        work.ledger(),
        narrator=work.case.request.narrator,
        models=work.settings.models,
        seed=work.case.request.seed,
        threads=work.settings.language_threads,
        progress=work.progress,
    )
    write_record(work.folder / "narration.json", narration)
    by_model = sum(sentence.source == "model" for sentence in narration.sentences)
    return (
        f"{len(narration.sentences)} sentences were written, {by_model} by {narration.model.name} and the "
        "rest from templates; each was checked against the ledger."
    )


def _speak(work: Work) -> str:
    from pipelines.stages.speak import speak

    request = work.case.request
    speech = speak(
        work.narration(), work.folder, voice=request.voice, seed=request.seed, progress=work.progress
    )
    write_record(work.folder / "speech.json", speech)
    return f"The narration was spoken by {speech.voice.name} {speech.voice.version}."


def _film(work: Work) -> str:
    from pipelines.stages.film import make_film

    request = work.case.request
    make_film(
        work.storyboard(),
        work.narration(),
        work.speech(),
        work.case.output("speak") / "speech",
        work.surfaces(),
        work.volume(),
        work.segmentation(),
        work.operation(),
        work.simulation(),
        work.ledger(),
        work.folder,
        case_id=work.case.case_id,
        frames_per_second=request.frames_per_second,
        captions_burnt_in=request.captions_burnt_in,
        threads=work.settings.threads,
        progress=work.progress,
        shots_folder=work.case.folder / "shots",
    )
    return f"The film was rendered at {request.frames_per_second} frames a second."


def _draft(work: Work) -> str:
    write_text_atomically(work.folder / "methods.md", methods_text(work.case))
    assemble(work.case, work.folder)
    return f"The draft holds {len(manifest_of(work.folder).entries)} files."


def _submit(work: Work) -> str:
    from review.queue import submit

    draft = draft_of(work.case)
    submit(draft, home=work.settings.home)
    write_record(work.folder / "submitted.json", {"manifest_sha256": draft.manifest.sha256})
    return "The draft was put into the review queue."


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its function, the steps whose outputs it reads, the request's options it depends on.

    `keeps_old` leaves earlier outputs where they are; `runs_always` is for a step whose effect lies outside
    the case folder and may have been undone there, such as a draft that was voided.
    """

    run: Callable[[Work], str]
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    version: int = 1
    keeps_old: bool = False
    runs_always: bool = False


STEPS: Mapping[str, Step] = {
    "admit": Step(_admit, options=("source_hmac",)),
    "deidentify": Step(_deidentify, needs=("admit",), options=("profile", "notes_hmac", "keeps_face")),
    "volume": Step(_volume, needs=("deidentify",), options=("series_uid", "procedure")),
    "segment": Step(_segment, needs=("volume",), options=("segmenter", "seed")),
    "mesh": Step(_mesh, needs=("segment",)),
    "plan": Step(_plan, needs=("volume", "segment"), options=("plan_sha256", "seed")),
    "simulate": Step(_simulate, needs=("plan", "segment")),
    "measure": Step(_measure, needs=("volume", "segment", "mesh", "plan", "simulate")),
    "storyboard": Step(_storyboard, needs=("plan", "measure", "mesh", "segment")),
    "narrate": Step(_narrate, needs=("storyboard", "measure"), options=("narrator", "seed")),
    "speak": Step(_speak, needs=("narrate",), options=("voice", "seed")),
    "film": Step(
        _film,
        needs=("storyboard", "speak", "narrate", "mesh", "volume", "segment", "plan", "simulate", "measure"),
        options=("frames_per_second", "captions_burnt_in", "case_id"),
    ),
    "draft": Step(_draft, needs=("film", "measure", "narrate", "mesh", "plan", "deidentify"), keeps_old=True),
    "submit": Step(_submit, needs=("draft",), runs_always=True),
}


def run_step(name: str, case: CaseFolder, settings: Settings, progress: Progress = silent) -> StepRecord:
    """Return the record of a step, running it only when what it was made from has changed.

    Raises
    ------
    MedVizError
        Whatever stops the step; nothing half-made becomes visible.
    """
    step = STEPS[name]
    key = _key(name, case)
    if not step.runs_always and (done := case.finished(name, key)) is not None:
        return done
    partial = case.partial(name, key)
    started = time.monotonic()
    with full_disk_told(), peak_memory() as peak:
        sentence = step.run(Work(case, settings, partial, progress))
        length_s = time.monotonic() - started
        record = StepRecord(name, key, "", sentence, round(length_s, 3), round(peak.mb, 1))
        return case.finish(record, partial, keep_old=step.keeps_old)


def is_step_done(name: str, case: CaseFolder) -> bool:
    """Return whether a step was done from what its inputs are now, with every output byte intact."""
    if STEPS[name].runs_always or any(case.record(need) is None for need in STEPS[name].needs):
        return False
    return case.finished(name, _key(name, case)) is not None


def draft_of(case: CaseFolder) -> Draft:
    """Return the finished draft of a case."""
    folder = case.output("draft")
    return Draft(case.case_id, folder, manifest_of(folder), findings_of(case))


def _key(name: str, case: CaseFolder) -> str:
    step, request = STEPS[name], case.request
    needs = [record for need in step.needs if (record := case.record(need)) is not None]
    if len(needs) != len(step.needs):
        raise BadInput(f"Step '{name}' needs steps that are not done yet.", reason="STEP_ORDER")
    options = {option: getattr(request, option) for option in step.options}
    return step_key(name, step.version, options | {"medviz": __version__}, needs)


def methods_text(case: CaseFolder) -> str:
    """Return what every step said about itself: the methods section of the case."""
    made_by = [f"Made by MedViz {__version__}.", ""]
    before_draft = itertools.takewhile(lambda step: step != "draft", STEPS)
    records = [record for step in before_draft if (record := case.record(step)) is not None]
    return "\n".join(made_by + [f"- {record.step}: {record.sentence}" for record in records]) + "\n"
