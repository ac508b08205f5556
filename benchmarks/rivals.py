"""Other de-identifiers, to be measured on the same files: where they live and how they are run.

``python -m benchmarks.rivals`` makes their environment, ``.venv-rivals`` beside this package, which nothing
else uses. GDCM's gdcmanon and Orthanc come from Debian (``libgdcm-tools``, ``orthanc``). What is not there is
said to be not installed.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".venv-rivals"
PACKAGES = (
    *("dicom-anonymizer==2.1.0", "dicognito==0.19.0", "deid==0.4.13", "dentdeid==0.1.0"),
    *("dcmanon==0.3.1", "dcm-anonymizer==0.5.0"),
)


class Cost(NamedTuple):
    """What a run took: CPU seconds of all its processes, user and system; wall seconds; peak memory in MB."""

    cpu_s: float
    wall_s: float
    peak_mb: float


class Rival(NamedTuple):
    """A de-identifier: its name with version, how it is run over a folder, and whether it is here."""

    name: str
    run: Callable[[Path, Path], Cost]
    is_installed: bool


_LAUNCHER = """
import json, os, sys
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
figures = [usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]
open(sys.argv[1], "w").write(json.dumps(figures))
"""
"""Starts the program from a small process: what a large one takes would count as its child's peak memory."""


def measured(
    command: Sequence[str | Path],
    *,
    log: Path,
    settings: Mapping[str, str] | None = None,
    endings: Container[int] = (0, 1),
) -> Cost:
    """Run a command to its end and return what it and its children took; its output goes into `log`.

    Raises
    ------
    RuntimeError
        If it ended badly.
    """
    figures, start = log.with_suffix(".cost"), time.perf_counter()
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"} | dict(settings or {})
    with log.open("ab") as stream:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(figures), *(str(part) for part in command)],
            stdout=stream, stderr=stream, env=environment, cwd=ROOT, check=True,
        )  # fmt: skip
    cpu_s, peak_mb, ending = json.loads(figures.read_text())
    if ending not in endings:
        raise RuntimeError(f"{Path(command[0]).name} ended with {ending}; see {log}")
    return Cost(cpu_s, time.perf_counter() - start, peak_mb)


def _in_python(name: str) -> Callable[[Path, Path], Cost]:
    script = Path(__file__).with_name("rival_run.py")
    return lambda source, out: measured(
        [HOME / "bin" / "python", "-P", script, name, source, out], log=out.with_suffix(".log")
    )


def _dentdeid(profile: str) -> Callable[[Path, Path], Cost]:
    """Return a run of dentdeid; previews and OCR are off, because the others have neither."""

    def run(source: Path, out: Path) -> Cost:
        options = (
            "-p",
            profile,
            "--ocr",
            "off",
            "--no-previews",
            "--lenient",
            "--key-file",
            out.with_suffix(".key"),
        )
        return measured(
            [HOME / "bin" / "dentdeid", "run", source, "-o", out, *options],
            log=out.with_suffix(".log"),
            endings=(0, 1, 2),  # 2: some files failed
        )

    return run


def _dcm_anon(source: Path, out: Path) -> Cost:
    return measured(
        [HOME / "bin" / "dcm-anon", source, out, "--salt", "benchmark", "--continue-on-error", "--quiet"],
        log=out.with_suffix(".log"),
    )


def _gdcmanon(source: Path, out: Path) -> Cost:
    """Run gdcmanon's Basic Profile, which needs a certificate to seal the originals with."""
    key, certificate = out.with_suffix(".key"), out.with_suffix(".pem")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=benchmark",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    command = ("gdcmanon", "-e", "-c", certificate, "--continue")
    try:
        return measured([*command, "-r", "-i", source, "-o", out], log=out.with_suffix(".log"), endings=(0,))
    except RuntimeError:
        taken = _taken_alone(command, source, out.with_suffix(".alone"))
        shutil.rmtree(out)
        out.mkdir()
        return measured([*command, "-r", "-i", taken, "-o", out], log=out.with_suffix(".log"))


def _taken_alone(command: Sequence[str | Path], source: Path, folder: Path) -> Path:
    """Return a folder of the files that gdcmanon takes: it ends at the first one that it does not."""
    (folder / "taken").mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        done = subprocess.run([*command, "-i", path, "-o", folder / "one"], capture_output=True, check=False)
        if done.returncode == 0:
            shutil.copy(path, folder / "taken" / f"{number:06d}.dcm")
    return folder / "taken"


@contextmanager
def _orthanc(home: Path) -> Iterator[tuple[str, int]]:
    """Give the address and process of an Orthanc on the loopback, with nothing but a store of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "Name": "benchmark", "StorageDirectory": str(home / "store"), "IndexDirectory": str(home / "store"),
        "HttpPort": port, "DicomServerEnabled": False, "RemoteAccessAllowed": False, "Plugins": [],
        "AuthenticationEnabled": False, "OverwriteInstances": True, "ConcurrentJobs": 1,
    }  # fmt: skip
    home.mkdir(parents=True, exist_ok=True)
    (home / "orthanc.json").write_text(json.dumps(settings))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([_where("Orthanc"), str(home / "orthanc.json")], stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/system")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(address: str) -> None:
    for _ in range(150):
        with suppress(OSError):
            _ask(address)
            return
        time.sleep(0.2)
    raise RuntimeError("Orthanc did not start")


def _ask(address: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, data=data), timeout=600) as answer:
        content: bytes = answer.read()
        return content


def _run_orthanc(source: Path, out: Path) -> Cost:
    """Upload a folder, anonymize each study with Orthanc's defaults, and fetch what came of it."""
    out.mkdir(parents=True, exist_ok=True)
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with _orthanc(out.with_suffix(".store")) as (address, pid):
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            with suppress(OSError):
                _ask(f"{address}/instances", path.read_bytes())
        for study in json.loads(_ask(f"{address}/studies")):
            with suppress(OSError):
                made = json.loads(_ask(f"{address}/studies/{study}/anonymize", b"{}"))
                _fetch(address, made["ID"], out)
        peak_mb = _peak_mb(pid)
    return _since(before, time.perf_counter() - start, peak_mb)


def _fetch(address: str, study: str, out: Path) -> None:
    for instance in json.loads(_ask(f"{address}/studies/{study}/instances")):
        (out / f"{instance['ID']}.dcm").write_bytes(_ask(f"{address}/instances/{instance['ID']}/file"))


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _since(before: resource.struct_rusage, wall_s: float, peak_mb: float) -> Cost:
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s, peak_mb)


def _where(program: str) -> str:
    return shutil.which(program) or next(
        (path for path in (f"/usr/sbin/{program}", f"/usr/bin/{program}") if Path(path).exists()), ""
    )


def rivals() -> list[Rival]:
    """Return the rivals in the order in which they are printed."""
    has = {path.name for path in (HOME / "bin").glob("*")} if HOME.is_dir() else set()
    python = [
        Rival("dicom-anonymizer 2.1.0", _in_python("dicom-anonymizer"), "dicom-anonymizer" in has),
        Rival("dicognito 0.19.0", _in_python("dicognito"), "dicognito" in has),
        Rival("pydicom/deid 0.4.13", _in_python("pydicom-deid"), "deid" in has),
        Rival("dcmanon 0.3.1", _in_python("dcmanon"), any((HOME / "lib").rglob("dcmanon/__init__.py"))),
        Rival("dcm-anonymizer 0.5.0", _dcm_anon, "dcm-anon" in has),
        Rival("dentdeid 0.1.0 basic", _dentdeid("basic"), "dentdeid" in has),
        Rival("dentdeid 0.1.0 share", _dentdeid("share"), "dentdeid" in has),
    ]
    return [
        *python,
        Rival("gdcmanon", _gdcmanon, bool(_where("gdcmanon")) and bool(_where("openssl"))),
        Rival("Orthanc /anonymize", _run_orthanc, bool(_where("Orthanc"))),
    ]


def main() -> None:
    """Make the rivals' environment."""
    if not HOME.is_dir():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    subprocess.run([str(HOME / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES], check=True)
    for rival in rivals():
        print(f"{rival.name:28} {'installed' if rival.is_installed else 'not installed'}")


if __name__ == "__main__":
    main()
