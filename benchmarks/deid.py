"""Prints how fast and how clean the de-identification is, beside a named rival when it is installed.

Run ``python -m benchmarks.deid [FILES]``. Each file has 512 x 512 16-bit pixels and some 240 elements, a few
in sequences; figures are files per CPU second of this process, one core. The rival is dicom-anonymizer.
The leak probe counts planted tokens left in the output; see tests/make_raw.py for the places.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from anonymize.deid import Orders, deidentify
from anonymize.keys import ProjectKeys
from anonymize.profile import load_profile
from anonymize.quarantine import admit
from tests import make_raw


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


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds that a piece of work takes in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def ours(source: Path, folder: Path) -> Callable[[], object]:
    """Return our run: quarantine is not counted, the two readings and the writing are."""
    raw = admit(source, folder / "raw")
    orders = Orders(load_profile("surgical-planning"), ProjectKeys(bytes(32)))
    return lambda: deidentify(raw, folder / "out", orders)


def rival(source: Path, folder: Path) -> Callable[[], object] | None:
    """Return dicom-anonymizer's run with its defaults, or None when it is not installed."""
    if importlib.util.find_spec("dicomanonymizer") is None:
        return None
    from dicomanonymizer import anonymize

    (folder / "rival").mkdir()
    return lambda: anonymize(str(source), str(folder / "rival"), {}, True)


def leak_probe(folder: Path) -> tuple[int, int]:
    """Return how many tokens were planted and how many kinds are left in any byte of our output."""
    planted = make_raw.Planted()
    (folder / "probe").mkdir()
    (folder / "probe" / "a").write_bytes(planted.to_bytes())
    study = make_raw.deidentified(folder / "probe", folder)
    content = b"".join(path.read_bytes() for path in study.folder.iterdir()).lower()
    return len(planted.tokens), sum(token.lower().encode() in content for token in planted.tokens)


def main(count: int) -> None:
    """Print the table."""
    folder = Path(tempfile.mkdtemp(prefix="deid-bench-"))
    try:
        source = write_files(folder / "in", count=count)
        elements = sum(1 for _ in pydicom.dcmread(source / "00000.dcm").iterall())
        print(f"{count} files, 512 x 512 x 16 bit, {elements} elements each")
        run = ours(source, folder)
        print(f"medviz, surgical-planning      {count / cpu_s(run):7.0f} files per CPU second")
        other = rival(source, folder)
        text = f"{count / cpu_s(other):7.0f} files per CPU second" if other else "  not installed"
        print(f"dicom-anonymizer, defaults     {text}")
        planted, left = leak_probe(folder)
        print(f"leak probe                     {left} of {planted} tokens left")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
