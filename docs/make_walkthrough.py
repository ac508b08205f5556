"""Makes docs/walkthrough.md and its pictures from a finished case: `make walkthrough`.

The text is the template below with the case's own words and figures; the pictures are frames of its film.
"""

from __future__ import annotations

from pathlib import Path

import av
from PIL import Image

from medviz.casefolder import CaseFolder, CaseShelf
from medviz.core.facts import FactLedger
from medviz.core.records import read_record
from medviz.core.settings import load_settings
from medviz.core.speech import Narration
from pipelines.stages.film import FilmRecord, ShotRecord

DOCS = Path(__file__).parent
PICTURES = DOCS / "pictures"
WIDTH = 880

OPENING = """# Walkthrough: one case

`make demo` leads a real head CT through the whole chain. This page shows what it makes, with the pictures and the
figures of one such run; `make walkthrough` makes the page anew.

The CT is the one in Debian's package `invesalius-examples` (GPL-2, Centro de Tecnologia da Informação Renato Archer);
the patient's name, dates and hospital are invented and planted by `sample_data/`.

## What happens, step by step

| step | what it did | seconds | peak MiB |
|---|---|---|---|
{steps}

Stop it at any moment, with Ctrl-C or a pulled plug: the same command goes on at the step that was running.

## What the film shows

Every sentence rests on a fact of the ledger (`ledger.json`), and every frame says what it is.
"""

CLOSING = """## The facts behind it

| fact | value | interval | how it is known | method |
|---|---|---|---|---|
{facts}

## The clinician's turn

    medviz review enrol anna                     # once; asks for a passphrase
    medviz review list
    medviz review show {case}                      # findings first, then every sentence with its facts
    medviz review approve {case} --reviewer anna   # signs exactly these bytes
    medviz release {case} FOLDER                   # the only way out

What the reviewer of this case is told to look at first:

{findings}

Not satisfied? `medviz review reasons` lists the reasons for a rejection. `medviz review reject {case} --reviewer anna
--reason TARGET_WRONG` sends it back, and `medviz resume {case} --plan changed.toml` runs again what depends on the
plan, and nothing else. One changed byte in a signed draft voids it: `medviz release` then refuses.

## Your own study

    medviz run PATH --plan plan.toml

`medviz plan --template` prints a plan with every key explained (see [plan.md](plan.md)).
"""


def main() -> None:
    """Write the page and its pictures from the newest finished case."""
    case = _newest_finished_case()
    film = read_record(case.output("draft") / "film.json", FilmRecord)
    PICTURES.mkdir(exist_ok=True)
    sections = [_section(shot, film, case) for shot in film.shots]
    page = OPENING.format(steps=_steps(case)) + "\n" + "\n".join(sections) + "\n" + _closing(case)
    (DOCS / "walkthrough.md").write_text(page, encoding="utf-8")


def _newest_finished_case() -> CaseFolder:
    done = [case for case in CaseShelf(load_settings().home).cases() if case.record("draft")]
    if not done:
        raise SystemExit("No finished case: run `make demo` first.")
    return done[-1]


def _steps(case: CaseFolder) -> str:
    rows = [f"| {r.step} | {r.sentence} | {r.length_s:.1f} | {r.peak_mb:.0f} |" for r in case.records()]
    total = sum(record.length_s for record in case.records())
    return "\n".join([*rows, f"| all | | {total:.0f} | {max(r.peak_mb for r in case.records()):.0f} |"])


def _section(shot: ShotRecord, film: FilmRecord, case: CaseFolder) -> str:
    name = f"{shot.id}.jpg"
    _save_frame(case.output("draft") / "film.mp4", _telling_frame(shot), PICTURES / name)
    told = "\n".join(f"> {s.text}" for s in film.sentences if s.shot_id == shot.id)
    return f"### {shot.title}\n\n![{shot.title}](pictures/{name})\n\n{told}\n"


def _telling_frame(shot: ShotRecord) -> int:
    """Return a frame late in the shot, when everything it shows is there and it has not begun to fade."""
    return shot.first_frame + int(shot.frames * 0.8)


def _save_frame(film: Path, number: int, target: Path) -> None:
    with av.open(str(film)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == number:
                picture = frame.to_image()
                height = round(picture.height * WIDTH / picture.width)
                picture.resize((WIDTH, height), Image.Resampling.LANCZOS).save(target, quality=82)
                return


def _closing(case: CaseFolder) -> str:
    from medviz.dossier import findings_of

    ledger = read_record(case.output("measure") / "ledger.json", FactLedger)
    narration = read_record(case.output("narrate") / "narration.json", Narration)
    told = [fact_id for sentence in narration.sentences for fact_id in sentence.fact_ids]
    facts = "\n".join(
        f"| {fact.subject}: {fact.quantity} | {fact.literal} | {_interval(fact.interval)} | {fact.grade.value} "
        f"| {fact.method} |"
        for fact in ledger
        if fact.id in told
    )
    findings = "\n".join(f"- {line}" for line in findings_of(case)) or "- nothing"
    return CLOSING.format(facts=facts, case=case.case_id, findings=findings)


def _interval(interval: tuple[float, float] | None) -> str:
    return f"{interval[0]:.1f} to {interval[1]:.1f}" if interval else ""


if __name__ == "__main__":
    main()
