"""Prints how clean, how true and how fast the de-identification is, beside the rivals on the same files.

    python -m benchmarks.rivals          once, to make the rivals' environment
    python -m benchmarks.deid [FILES]    default 300

Each program runs as a process of its own over the same four folders: the classic probe (a CT slice with
words planted in its header, and a slice that it points to), the whole probe (tests/make_probe.py), one study
with every kind of object (tests/make_objects.py), and FILES CT slices of 512 x 512 x 16 bit with some 240
elements.

Columns: planted words that can still be found; files that came out of the whole probe; references of the
study that still point to what they pointed to; errors of dciodvfy that the input did not have; errors of
dicomqc; files per CPU second, user and system time of all the program's processes, less that of a run over
one file, which is printed beside it; peak memory of the largest process. The probe was written by the people
who wrote the engine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from benchmarks.rivals import Cost, Rival, measured, rivals
from tests import make_objects, make_probe, make_raw, uid_graph

_QUOTED = re.compile(r"= <[^>]*>|<[^>]*> (?=for value)|\(0x[^)]*\)|\[[^\]]*\]")


_HEADS = (
    *(("classic", 7), ("probe", 7), ("files", 7), ("references", 10), ("dciodvfy", 8), ("dicomqc", 8)),
    *(("files/s", 9), ("start s", 7), ("peak MB", 8)),
)


class Inputs(NamedTuple):
    """The folders that every program is given, and what was planted in them."""

    classic: Path
    tokens: Sequence[str]
    probe: Path
    planted: Sequence[make_probe.Planted]
    study: Path
    slices: Path
    one_slice: Path


class Figures(NamedTuple):
    """What one program reached; None where it could not be run."""

    classic_left: int
    probe_left: int
    probe_files: int
    references: str
    new_errors: int
    qc_errors: int
    files_per_s: float
    start_s: float
    peak_mb: float


def write_files(folder: Path, *, count: int) -> Path:
    """Write `count` CT slices with a header of the usual size."""
    for index in range(count):
        ds = make_raw.ct_slice(index, side=512)
        _fill_header(ds, index)
        make_raw.write(ds, folder / f"{index:05d}.dcm")
    return folder


def _fill_header(ds: Dataset, index: int) -> None:
    for number in range(180):
        ds.add_new(0x00191000 + number, "LO", f"private {number}")
    ds.add_new(0x00190010, "LO", "ACME")
    for _ in range(4):
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = ds.SOPClassUID, f"1.2.3.{index}"
        ds.ReferencedImageSequence = Items([reference] * 3)
    ds.ContentDate, ds.ContentTime = "20240310", f"{101010 + index % 40}"
    ds.Exposure, ds.XRayTubeCurrent, ds.SliceLocation = 120, 200 + index % 9, index * 1.0


def write_inputs(folder: Path, *, count: int) -> Inputs:
    """Write all that the programs are measured on."""
    classic = make_raw.Planted()
    (folder / "classic").mkdir()
    (folder / "classic" / "a.dcm").write_bytes(classic.to_bytes())
    make_raw.write(make_raw.ct_slice(1), folder / "classic" / "b.dcm")
    planted = make_probe.write_probe(folder / "probe")
    study = make_objects.write_study(folder / "study")
    for path in [*files_of(folder / "probe"), *files_of(study)]:
        path.rename(path.with_name(f"{path.name}.dcm"))  # some programs go by it
    slices = write_files(folder / "slices", count=count)
    (folder / "one").mkdir()
    shutil.copy(slices / "00000.dcm", folder / "one")
    return Inputs(
        folder / "classic", classic.tokens, folder / "probe", planted, study, slices, folder / "one"
    )


def medviz(profile: str, *, workers: int = 1, keeps_face: bool = True) -> Rival:
    """Return our own program: ``medviz deid`` as a user starts it."""
    face = ("--keep-face", "maxillofacial") if keeps_face else ()

    def run(source: Path, out: Path) -> Cost:
        program = Path(sys.executable).with_name("medviz")
        command = (program, "deid", source, out, "--profile", profile, "--workers", str(workers), *face)
        home = {"MEDVIZ_HOME": str(out.with_suffix(".home")), "PYTHONPATH": str(Path(__file__).parents[1])}
        return measured(command, log=out.with_suffix(".log"), settings=home, endings=(0, 2, 5))

    return Rival(f"medviz {profile}" + ("" if keeps_face else ", faces"), run, is_installed=True)


def files_of(folder: Path) -> Iterator[Path]:
    """Give the files below a folder, sorted."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files below a folder."""
    found = []
    for path in files_of(folder):
        with path.open("rb") as stream:
            if stream.read(132)[128:] == b"DICM":
                found.append(path)
    return found


def tokens_left(out: Path, tokens: Sequence[str]) -> int:
    """Return how many words of the classic probe can be found in any file or file name below a folder."""
    paths = [path for path in out.rglob("*") if path.is_file()]
    views = [
        view.lower()
        for path in paths
        for view in make_probe.views(path.name.encode() + b"\n" + path.read_bytes())
    ]
    whole = b"\n\n".join([*views, *(view.replace(b"\0", b"") for view in views)])
    return sum(token.lower().encode() in whole for token in tokens)


def new_errors(source: Path, out: Path) -> int:
    """Return how many error lines dciodvfy has for the output that it did not have for the input."""
    before, after = ({_key(path): path for path in dicom_files(folder)} for folder in (source, out))
    return sum((_errors(after[key]) - _errors(before[key])).total() for key in before if key in after)


def _key(path: Path) -> tuple[str, str]:
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    return str(ds.get("SOPClassUID", "")), str(ds.get("InstanceNumber", ""))


def _errors(path: Path) -> Counter[str]:
    done = subprocess.run(
        ["dciodvfy", str(path)], capture_output=True, text=True, check=False, errors="replace"
    )
    lines = (done.stdout + done.stderr).splitlines()
    return Counter(_QUOTED.sub("", line).strip() for line in lines if line.startswith("Error"))


def qc_errors(out: Path, folder: Path) -> int:
    """Return the errors that dicomqc finds."""
    program, report = Path(sys.executable).with_name("dicomqc"), folder / "qc.json"
    report.unlink(missing_ok=True)
    files = [str(path) for path in dicom_files(out)]
    if not files:
        return 0
    command = [str(program), "scan", "--quiet", "--uid-checks", "--json", str(report), *files]
    subprocess.run(command, capture_output=True, check=False)
    return int(json.loads(report.read_text())["summary"]["errors"])


def references_kept(source: Path, out: Path) -> str:
    """Return how many references of a study are true after de-identification, of how many there were."""
    before, after = uid_graph.read(dicom_files(source)), uid_graph.read(dicom_files(out))
    every = uid_graph.compare(before, before).references
    found = uid_graph.compare(before, after)
    return f"{found.references - len(found.lost)}/{every}"


def figures(program: Rival, inputs: Inputs, folder: Path) -> Figures:
    """Run a program over everything and return what it reached."""
    outs = {name: folder / name for name in ("classic", "probe", "study", "slices", "one")}
    folder.mkdir()
    if not program.name.startswith("medviz"):
        for out in outs.values():
            out.mkdir()
    for name in ("classic", "probe", "study"):
        program.run(getattr(inputs, name), outs[name])
    start, many = program.run(inputs.one_slice, outs["one"]), program.run(inputs.slices, outs["slices"])
    count = len(list(inputs.slices.iterdir()))
    came_out = len(dicom_files(outs["slices"]))
    if came_out != count:
        print(f"{program.name}: {came_out} of {count} slices came out", file=sys.stderr)
    return Figures(
        tokens_left(outs["classic"], inputs.tokens),
        len(make_probe.found_in(outs["probe"], inputs.planted)),
        len(dicom_files(outs["probe"])),
        references_kept(inputs.study, outs["study"]),
        new_errors(inputs.study, outs["study"]),
        qc_errors(outs["study"], folder),
        (count - 1) / max(many.cpu_s - start.cpu_s, 1e-9),
        start.cpu_s,
        many.peak_mb,
    )


@contextmanager
def _workplace() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="deid-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def print_row(program: Rival, inputs: Inputs, folder: Path) -> None:
    """Run a program and print its line."""
    if not program.is_installed:
        print(f"{program.name:32} not installed", flush=True)
        return
    try:
        row = figures(program, inputs, folder)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"{program.name:32} failed: {error}", flush=True)
        return
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{program.name:32} {row.classic_left:7} {row.probe_left:7} {row.probe_files:7} {row.references:>10} "
        f"{row.new_errors:8} {row.qc_errors:8} {row.files_per_s:9.0f} {row.start_s:7.1f} {row.peak_mb:8.0f}",
        flush=True,
    )


def print_all_cores(inputs: Inputs, folder: Path) -> None:
    """Print how many files a wall second brings when every core works, on several studies at once."""
    cores = len(os.sched_getaffinity(0))
    archive, count = folder / "archive", 0
    for study in range(2 * cores):
        uid = f"{make_raw.ROOT}.7.{study}"
        for path in sorted(inputs.slices.iterdir())[:150]:
            ds, count = pydicom.dcmread(path), count + 1
            ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = uid, f"{uid}.1", f"{uid}.1.{count}"
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            make_raw.write(ds, archive / str(study) / path.name)
    for workers in (1, cores):
        cost = medviz("surgical-planning", workers=workers).run(archive, folder / f"all-{workers}")
        print(
            f"archive of {count} files, {2 * cores} studies, {workers} workers: {count / cost.wall_s:.0f} "
            f"files per wall second, start-up and quarantine counted; largest process {cost.peak_mb:.0f} MB",
            flush=True,
        )


def main(count: int) -> None:
    """Print the table."""
    with _workplace() as folder:
        inputs = write_inputs(folder, count=count)
        elements = sum(1 for _ in pydicom.dcmread(inputs.slices / "00000.dcm").iterall())
        print(f"{count} slices of 512 x 512 x 16 bit, {elements} elements each")
        print(f"{len(inputs.tokens)} words in the classic probe, {len(inputs.planted)} in the whole one")
        sizes = len(list(files_of(inputs.probe))), len(make_objects.study())
        print(f"{sizes[0]} files in the whole probe, {sizes[1]} in the study")
        print(" " * 33 + " ".join(f"{head:>{width}}" for head, width in _HEADS))
        ours = [medviz("surgical-planning"), medviz("basic"), medviz("surgical-planning", keeps_face=False)]
        for number, program in enumerate((*ours, *rivals())):
            print_row(program, inputs, folder / f"run{number}")
        print_all_cores(inputs, folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
