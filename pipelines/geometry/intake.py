"""Reads every header of a study and sorts the slices by series."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from medviz.core.progress import Progress
from medviz.core.study import DeidentifiedStudy
from pipelines.geometry.frames import Frame
from pipelines.geometry.headers import FileUnreadable, NotDicom, read_file

_BROKEN = ("TRUNCATED", "UNREADABLE")


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """One series as it was found.

    Parameters
    ----------
    frames : tuple of Frame
        Its slices in no order; empty for a series without images, such as a structured report.
    broken : str
        ``TRUNCATED`` or ``UNREADABLE`` when a file of the series is; else empty.
    held : int
        Number of its files that de-identification held back.
    """

    series_uid: str
    modality: str
    frames: tuple[Frame, ...]
    files: int
    broken: str = ""
    held: int = 0


@dataclass(frozen=True, slots=True)
class Intake:
    """Every series of a study, and remarks on the files that belong to none."""

    series: tuple[SeriesFiles, ...]
    notes: tuple[str, ...]


def read_headers(study: DeidentifiedStudy, progress: Progress) -> Intake:
    """Return the series of a study; `progress` goes from 0 to 1."""
    frames: dict[str, list[Frame]] = defaultdict(list)
    modalities: dict[str, str] = {}
    files: Counter[str] = Counter()
    broken = {problem.series_uid: problem.reason for problem in study.problems if problem.reason in _BROKEN}
    foreign = 0
    for n, path in enumerate(study.files):
        try:
            content = read_file(path)
        except FileUnreadable as error:
            broken.setdefault(error.series_uid, "UNREADABLE")
            if error.series_uid:
                modalities.setdefault(error.series_uid, error.modality)
            continue
        except NotDicom:
            foreign += 1
            continue
        modalities.setdefault(content.series_uid, content.modality)
        files[content.series_uid] += 1
        frames[content.series_uid] += content.frames
        progress((n + 1) / len(study.files), f"header {n + 1} of {len(study.files)}")
    _blame(broken, frames)
    held = Counter(p.series_uid for p in study.problems if p.reason == "HELD_FOR_REVIEW")
    series = tuple(
        SeriesFiles(uid, modalities[uid], tuple(frames[uid]), files[uid], broken.get(uid, ""), held[uid])
        for uid in sorted(modalities)
    )
    return Intake(series, _notes(study, broken, foreign))


def _blame(broken: dict[str, str], frames: dict[str, list[Frame]]) -> None:
    """A broken file of an unknown series counts against the only series with images, when there is one."""
    images = [uid for uid, found in frames.items() if found]
    if "" in broken and len(images) == 1:
        broken.setdefault(images[0], broken.pop(""))


def _notes(study: DeidentifiedStudy, broken: dict[str, str], foreign: int) -> tuple[str, ...]:
    counts = Counter(problem.reason for problem in study.problems if problem.reason not in _BROKEN)
    counts.update({"NOT_DICOM": foreign} if foreign else {})
    told = [f"{number} file(s) left out: {reason}." for reason, number in sorted(counts.items())]
    if "" in broken:
        told.append("A damaged file could not be given to any series; one of them may be short of a slice.")
    return tuple(told)
