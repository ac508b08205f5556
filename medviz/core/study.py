"""A study before and after it lost its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A file of the study that could not be used.

    Parameters
    ----------
    reason : str
        Stable code: ``NOT_DICOM``, ``TRUNCATED``, ``UNREADABLE``, ``REFUSED_SOP_CLASS``, ``HELD_FOR_REVIEW``.
    ordinal : int
        Position of the file in the sorted listing: names may hold a patient's name, so they are not kept.
    series_uid : str
        De-identified series the file says it belongs to; empty when unknown.
    """

    reason: str
    ordinal: int
    series_uid: str = ""


@dataclass(frozen=True, slots=True)
class RawStudy:
    """A study as it came, in quarantine. The only type that holds names; only `anonymize` may read it.

    Parameters
    ----------
    raw_folder : Path
        Owner-only folder that holds the copies.
    raw_files : tuple of Path
        Files that look like DICOM, in a stable order.
    problems : tuple of FileProblem
        What was in the source and is not DICOM, or could not be read.
    """

    raw_folder: Path
    raw_files: tuple[Path, ...]
    problems: tuple[FileProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class DeidentifiedStudy:
    """A study without its name. Only `anonymize` may construct one (held by a contract test).

    Parameters
    ----------
    folder : Path
        Holds the de-identified files.
    files : tuple of Path
        De-identified DICOM files, named by their new SOP instance UID.
    profile : str
        Name of the de-identification profile.
    problems : tuple of FileProblem
        Files that were held back, and why.
    """

    folder: Path
    files: tuple[Path, ...]
    profile: str
    problems: tuple[FileProblem, ...] = ()
