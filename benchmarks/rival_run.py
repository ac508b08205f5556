"""Runs one rival over a folder, inside the rivals' own environment: ``python rival_run.py NAME IN OUT``.

Each is called the way its own documentation shows, with its defaults, unless a line here says otherwise. A
file that a rival cannot take is left out and counted on standard error; it never stops the others.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

Files = Iterator[tuple[Path, Path]]


def pairs(source: Path, out: Path) -> Files:
    """Give each input file and where its output goes."""
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        yield path, out / f"{number:06d}.dcm"


def kitware(files: Files) -> int:
    """Run dicom-anonymizer, private elements removed as by default; return how many files failed."""
    from dicomanonymizer import anonymize_dicom_file

    return each(files, lambda path, target: anonymize_dicom_file(str(path), str(target)))


def dicognito(files: Files) -> int:
    """Run dicognito with a random seed; return how many files failed."""
    import pydicom
    from dicognito.anonymizer import Anonymizer

    anonymizer = Anonymizer()

    def work(path: Path, target: Path) -> None:
        ds = pydicom.dcmread(path)
        anonymizer.anonymize(ds)
        ds.save_as(target)

    return each(files, work)


def deid(files: Files) -> int:
    """Run pydicom/deid with its default recipe and private elements removed; return how many files failed."""
    from deid.dicom import get_identifiers, replace_identifiers

    def work(path: Path, target: Path) -> None:
        ids = get_identifiers([str(path)])
        done = replace_identifiers([str(path)], ids=ids, save=False, remove_private=True)
        done[0].save_as(target)

    return each(files, work)


def dcmanon(files: Files) -> int:
    """Run dcmanon; return how many files failed."""
    from dcmanon import Anonymizer

    anonymizer = Anonymizer()
    return each(files, lambda path, target: target.write_bytes(anonymizer.anonymize(str(path))))


def each(files: Files, work: Callable[[Path, Path], object]) -> int:
    """Return how many files the work failed on."""
    failed = 0
    for path, target in files:
        try:
            work(path, target)
        except Exception:  # a rival's failure is its result
            failed += 1
            target.unlink(missing_ok=True)
    return failed


RIVALS = {"dicom-anonymizer": kitware, "dicognito": dicognito, "pydicom-deid": deid, "dcmanon": dcmanon}


def main(arguments: list[str]) -> None:
    """Run a rival by name."""
    logging.disable(logging.CRITICAL)
    name, source, out = arguments
    failed = RIVALS[name](pairs(Path(source), Path(out)))
    print(f"{failed} files failed", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
