"""The command line: every stage, the whole chain, the desk and the doctor.

Results go to standard output, progress and errors to standard error. With `--json`, standard output holds
exactly one JSON object. Exit codes: 0 done, 2 bad input, 3 geometry refused, 4 something missing here,
5 stopped by a failed check or files held, 6 not allowed, 7 disk full, 130 stopped by the user.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import typer

from medviz import __version__
from medviz.casefolder import full_disk_told
from medviz.commands import cases, deid, desk, look, models, run, stages
from medviz.console import print_error, silence_libraries
from medviz.core.errors import Cancelled, MedVizError
from medviz.doctor import refuse_foreign_names

_ROOMS = ("/medviz/", "/anonymize/", "/pipelines/", "/review/", "/sample_data/")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=f"MedViz {__version__}: a study and a plan in, a film that waits for a clinician's signature out.",
)

_COMMANDS: tuple[Callable[..., None], ...] = (
    run.run, run.demo, run.resume, cases.cases, look.doctor, look.sample, desk.release,
    stages.volume, stages.segment, stages.mesh, stages.plan, stages.film,
)  # fmt: skip
for command in _COMMANDS:
    app.command()(command)
app.add_typer(cases.case_app, name="case")
app.add_typer(deid.deid_app, name="deid")
app.add_typer(models.models_app, name="models")
app.add_typer(desk.review_app, name="review")
app.add_typer(desk.audit_app, name="audit")


def main() -> None:
    """Run the command line and exit with the code of what happened."""
    os.umask(0o077)
    silence_libraries()
    try:
        refuse_foreign_names()
        with full_disk_told():
            app()
    except KeyboardInterrupt:
        _stop(Cancelled("Stopped by the user.", mend="Give the same command to go on from here."))
    except MedVizError as error:
        _stop(error)
    except Exception as error:  # the door: what nobody foresaw ends here, told without its message
        _stop(_unforeseen(error))


def _unforeseen(error: Exception) -> MedVizError:
    """Return an error that says where it happened; its own message might hold a patient's data."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if any(room in frame.filename for room in _ROOMS)] or list(frames)
    places = " > ".join(f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}" for frame in ours[-4:])
    return MedVizError(
        f"Something unforeseen happened ({type(error).__name__} in {places}).",
        reason="UNFORESEEN",
        mend="What was finished is kept. Please report this line; it holds no patient data.",
    )


def _stop(error: MedVizError) -> None:
    print_error(error)
    sys.exit(error.exit_code)
