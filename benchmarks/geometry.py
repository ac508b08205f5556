"""Odd CT series through our reader and four others, side by side; then how fast each reads 300 slices.

    python -m benchmarks.geometry            both tables
    python -m benchmarks.geometry --odd      only the odd series
    python -m benchmarks.geometry --speed    only the speed

`right`: both bodies within 1.5 mm, volumes within 6 and 12 %, densities within 25 HU. `refused`: no volume.
`WRONG`: a volume with anatomy in the wrong place; `WRONG, warns` when anything was said. For dcm2niix, which
may write several files, the best one counts. Needs the `bench` extra (dcm2niix, dicom2nifti).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from medviz.core.errors import GeometryRefused
from pipelines.stages.volume import make_volume
from tests.make import (
    Coding,
    Placing,
    SeriesTruth,
    deidentified,
    make_ct_series,
    measure,
    measure_array,
    shuffled,
)
from tests.make_odd import ODD_SERIES

_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--odd", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument(
        "--one", nargs=2, metavar=("READER", "FOLDER"), help="read once; used by --speed itself"
    )
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(read_once(*arguments.one)))
        return
    if arguments.odd or not arguments.speed:
        odd_table()
    if arguments.speed or not arguments.odd:
        speed_table()


def odd_table() -> None:
    """Print one row per odd series, signed and unsigned, and the sums."""
    for is_signed in (True, False):
        sums: dict[str, Counter[str]] = {name: Counter() for name in READERS}
        print(f"\n{'signed' if is_signed else 'unsigned'} 16 bit\n")
        print("| case | " + " | ".join(READERS) + " |\n|" + "---|" * (len(READERS) + 1))
        for case, recipe in ODD_SERIES.items():
            with tempfile.TemporaryDirectory() as name:
                truth = recipe.make(Path(name) / "in", Coding(is_signed=is_signed))
                ends = [outcome(reader, truth, Path(name) / "out") for reader in READERS.values()]
            for reader, end in zip(READERS, ends, strict=True):
                sums[reader][end.split(",")[0].split(" ")[0]] += 1
            print(f"| {case} | " + " | ".join(ends) + " |", flush=True)
        total = [f"{n['WRONG']} / {n['refused']} / {n['right']}" for n in sums.values()]
        print(f"| **wrong / refused / right of {len(ODD_SERIES)}** | " + " | ".join(total) + " |")


def outcome(reader: Callable[[SeriesTruth, Path], Any], truth: SeriesTruth, out: Path) -> str:
    """Return how a reader ends on a series."""
    out.mkdir()
    with quietly() as said:
        try:
            found = reader(truth, out)
        except GeometryRefused as refusal:
            return f"refused {refusal.reason}"
        except BaseException as error:
            return f"refused ({type(error).__name__})"
        finally:
            shutil.rmtree(out)
    if found is None or not found.is_right():
        away = "" if found is None else f" {max(found.large_off_mm, found.small_off_mm):.0f} mm"
        return f"WRONG{away}{', warns' if said else ''}"
    return "right"


@contextlib.contextmanager
def quietly() -> Iterator[list[str]]:
    """Keep what readers say off the screen, and collect it."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    with tempfile.TemporaryFile() as sink, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kept = os.dup(1), os.dup(2)
        sys.stdout.flush()
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield said
        finally:
            sys.stdout.flush()
            for number, old in enumerate(kept, start=1):
                os.dup2(old, number)
                os.close(old)
            logging.getLogger().removeHandler(handler)
            sink.seek(0)
            text = sink.read().decode("utf-8", "replace")
            said += [str(item.message) for item in caught] + ([text] if "arning" in text else [])


def ours(truth: SeriesTruth, _out: Path) -> Any:
    """Read with MedViz."""
    return measure(make_volume(deidentified(truth.folder)), truth)


def simple_itk(truth: SeriesTruth, _out: Path) -> Any:
    """Read the largest series with SimpleITK."""
    import SimpleITK

    files = simple_itk_files(truth.folder)
    image = SimpleITK.ReadImage(files if len(files) > 1 else files[0])
    array = SimpleITK.GetArrayFromImage(image)
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, :3], affine[:3, 3] = direction[:, ::-1], image.GetOrigin()
    return measured(array, affine, truth)


def simple_itk_files(folder: Path) -> tuple[str, ...]:
    """Return the files of the largest series, in the order SimpleITK gives them."""
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader
    names = [reader.GetGDCMSeriesFileNames(str(folder), uid) for uid in reader.GetGDCMSeriesIDs(str(folder))]
    return max(names, key=len, default=tuple(str(path) for path in sorted(folder.iterdir())[:1]))


def monai(truth: SeriesTruth, _out: Path) -> Any:
    """Read the folder with MONAI's PydicomReader."""
    from monai.data import PydicomReader

    reader = PydicomReader()
    array, meta = reader.get_data(reader.read(str(truth.folder)))
    return measured(np.asarray(array), _TO_LPS @ np.asarray(meta["affine"], dtype=float), truth)


def dicom2nifti(truth: SeriesTruth, out: Path) -> Any:
    """Convert the folder with dicom2nifti."""
    import dicom2nifti as library

    library.convert_directory(str(truth.folder), str(out), compression=False, reorient=False)
    return best_nifti(out, truth)


def dcm2niix(truth: SeriesTruth, out: Path) -> Any:
    """Convert the folder with dcm2niix."""
    import dcm2niix as program

    done = subprocess.run(
        [program.bin, "-z", "n", "-b", "n", "-f", "%s_%d", "-o", str(out), str(truth.folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout)
    return best_nifti(out, truth)


def best_nifti(out: Path, truth: SeriesTruth) -> Any:
    """Return the measurement of the best file written.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    found = []
    for path in sorted(out.glob("*.nii*")):
        image: Any = nibabel.load(path)
        array = np.asarray(image.dataobj)
        array = array[..., 0] if array.ndim == 4 else array
        found.append(measured(array, _TO_LPS @ image.affine, truth))
    if not found:
        raise RuntimeError("no file")
    right = [item for item in found if item is not None]
    return min(
        right, key=lambda item: (not item.is_right(), item.large_off_mm + item.small_off_mm), default=None
    )


def measured(array: NDArray[Any], affine: NDArray[Any], truth: SeriesTruth) -> Any:
    """Return the measurement of an array whose affine maps its indices to LPS mm."""
    if array.ndim != 3:
        return None
    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    return measure_array(array, lambda index: index @ affine[:3, :3].T + affine[:3, 3], voxel_ml, truth)


READERS: dict[str, Callable[[SeriesTruth, Path], Any]] = {
    "ours": ours,
    "SimpleITK": simple_itk,
    "MONAI PydicomReader": monai,
    "dicom2nifti": dicom2nifti,
    "dcm2niix": dcm2niix,
}


def speed_table() -> None:
    """Print CPU, wall and memory of reading 512 x 512 x 300 unsigned 16-bit slices in shuffled files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        write_large(folder)
        print("\n| reader, 512 x 512 x 300 | CPU s | wall s | peak MB |\n|---|---|---|---|")
        for reader in SPEED:
            runs = [_timed(reader, folder) for _ in range(3)]
            best = min(runs, key=lambda run: run["cpu_s"])
            wall = min(run["wall_s"] for run in runs)
            print(f"| {reader} | {best['cpu_s']:.2f} | {wall:.2f} | {best['peak_mb']:.0f} |", flush=True)


def _timed(reader: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.geometry", "--one", reader, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def read_once(reader: str, folder: str) -> dict[str, float]:
    """Return CPU seconds, wall seconds and peak memory of one read, imports not counted."""
    read = SPEED[reader]()
    own, wall = _cpu_s(), time.perf_counter()
    with quietly():
        read(Path(folder))
    children_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "cpu_s": _cpu_s() - own,
        "wall_s": time.perf_counter() - wall,
        "peak_mb": max(_own_peak_mb(), children_mb),
    }


def _own_peak_mb() -> float:
    """Return this program's largest resident memory, MiB (`ru_maxrss` counts the parent's before exec)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def write_large(folder: Path, *, slices: int = 300, seed: int = 1) -> None:
    """Write noise as a CT of 512 x 512 voxels in files whose names and instance numbers are shuffled."""

    def enlarge(datasets: list[Any]) -> list[Any]:
        rng = np.random.default_rng(seed)
        for item in datasets:
            item.Rows = item.Columns = 512
            item.PixelData = rng.integers(0, 4096, (512, 512), np.uint16).tobytes()
        return shuffled(datasets)

    placing = Placing((slices, 4, 4), (1.0, 0.8, 0.8))
    make_ct_series(folder, placing=placing, coding=Coding(is_signed=False), edit=enlarge)


def _ours_fast() -> Callable[[Path], Any]:
    return lambda folder: make_volume(deidentified(folder))


def _simple_itk_fast() -> Callable[[Path], Any]:
    import SimpleITK

    return lambda folder: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(simple_itk_files(folder)))


def _pydicom_plain() -> Callable[[Path], Any]:
    from pydicom import dcmread

    def read(folder: Path) -> Any:
        items = sorted(
            (dcmread(path) for path in folder.iterdir()), key=lambda d: float(d.ImagePositionPatient[2])
        )
        return np.stack([(d.pixel_array.astype(np.int16) + np.int16(d.RescaleIntercept)) for d in items])

    return read


def _monai_fast() -> Callable[[Path], Any]:
    from monai.data import PydicomReader

    def read(folder: Path) -> Any:
        reader = PydicomReader()
        return reader.get_data(reader.read(str(folder)))

    return read


def _dicom2nifti_fast() -> Callable[[Path], Any]:
    import dicom2nifti as library

    def read(folder: Path) -> Any:
        with tempfile.TemporaryDirectory() as out:
            library.convert_directory(str(folder), out, compression=False, reorient=False)
            return [np.asarray(nibabel.load(path).dataobj) for path in Path(out).glob("*.nii")]  # type: ignore[attr-defined]

    return read


def _dcm2niix_fast() -> Callable[[Path], Any]:
    import dcm2niix as program

    def read(folder: Path) -> Any:
        with tempfile.TemporaryDirectory() as out:
            command = [program.bin, "-z", "n", "-b", "n", "-o", out, str(folder)]
            subprocess.run(command, capture_output=True, check=True)
            return [np.fromfile(path, np.int16) for path in Path(out).glob("*.nii")]

    return read


SPEED: dict[str, Callable[[], Callable[[Path], Any]]] = {
    "ours": _ours_fast,
    "pydicom plain pixel_array": _pydicom_plain,
    "SimpleITK": _simple_itk_fast,
    "dcm2niix -z n + load": _dcm2niix_fast,
    "MONAI PydicomReader": _monai_fast,
    "dicom2nifti": _dicom2nifti_fast,
}


if __name__ == "__main__":
    main()
