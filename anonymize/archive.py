"""A whole archive loses its names: any number of patients, streamed study by study over all cores.

The first pass reads only headers and sorts the files by study, in a listing on disk. The second takes one
study at a time: its files are copied into the quarantine, de-identified together, and the copies are deleted.
A study appears in the output in one step and says from what it was made, so a killed run goes on where it
stopped. What cannot be judged is held with a reason and never stops the rest.

    OUT/report.html              the index: every study, and what was held for what reason
    OUT/deidentification.json    the same for machines
    OUT/STUDY/                   named by the new study UID: files, report.html, deidentification.json
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from anonymize import headers
from anonymize.crew import Hand, worked_through
from anonymize.deid import Orders, deidentify
from anonymize.elements import Element, Encoding, ParsedFile, looks_like_dicom, readable_part
from anonymize.holds import keep_all
from anonymize.keys import ProjectKeys
from anonymize.listing import Listed, Listing, Outcome, Sorted
from anonymize.profile import Profile
from anonymize.quarantine import take
from anonymize.report import (
    ArchiveReport,
    Origin,
    StudyLine,
    build_archive_report,
    read_archive_report,
    read_report,
    save_archive_report,
    save_report,
)
from anonymize.sources import OpenArchive, holds_archive, open_archive, plain_path, references_in
from anonymize.uids import new_uid
from medviz.core.errors import BadInput, Cancelled, MedVizError, NotAllowed, StorageFull, StudyUnreadable
from medviz.core.progress import Progress, silent
from medviz.core.records import to_plain
from medviz.core.study import FileProblem, RawStudy

MakeOrders = Callable[[], Orders]
"""Makes the orders anew in each process; must be picklable, such as a `functools.partial` of a function."""

_DIRECTORY_CLASS = b"1.2.840.10008.1.3.10"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_FIRST_READ_BYTES, _MOST_HEADER_BYTES = 1 << 16, 1 << 28
_MOST_DIRECTORY_BYTES = 1 << 29
_HEADERS_A_JOB = 256
_FEW_FILES = 512
_SORTING = 0.1
_TRIED_AGAIN = frozenset({"UNREADABLE", "CHANGED_WHILE_READ", "IMAGES_MISSING", "UNFORESEEN"})
"""Reasons that may be gone by the next run: other studies are known, rights and files may be mended."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an archive comes from and goes to, and where its copies lie meanwhile."""

    source: Path
    out: Path
    home: Path
    quarantine: Path
    most_unpacked_gb: float


class StudyJob(NamedTuple):
    """One study to be done: its new UID, its files, and from what it is made."""

    study_uid: str
    files: tuple[Listed, ...]
    made_from: str


def deidentify_archive(
    source: Path,
    out: Path,
    make_orders: MakeOrders,
    *,
    settings_home: Path,
    workers: int = 1,
    most_unpacked_gb: float = 20.0,
    progress: Progress = silent,
) -> ArchiveReport:
    """De-identify every study at `source` into a folder of its own below `out`, and return the index.

    The same call goes on after a stop: studies that are done from the same files are not done again.

    Parameters
    ----------
    make_orders : callable
        Gives the orders; called once in each process.
    workers : int
        Processes that work at the same time.
    most_unpacked_gb : float
        The most a zip may unpack to, in gigabytes; folders have no limit.

    Raises
    ------
    StudyUnreadable
        ``SOURCE_MISSING``, ``EMPTY_FOLDER``, ``NO_DICOM``, ``ARCHIVE_UNSAFE``.
    BadInput
        ``FOLDER_IN_USE`` when `out` holds something else, ``OTHER_ORDERS`` when it was made with another
        profile or key, ``OTHER_SOURCE`` when from another source, ``OUT_IN_SOURCE``.
    NotAllowed
        ``ALREADY_RUNNING`` when another process works on `out`.
    StorageFull
        If the disk ran out; finished studies are kept.
    """
    _check_apart(source, out, settings_home)
    orders = make_orders()
    with ExitStack() as stack:
        stack.enter_context(_full_disk_told())
        quarantine = stack.enter_context(sole_use(out, settings_home, orders.keys))
        place = Place(source, out, settings_home, quarantine, most_unpacked_gb)
        earlier = _begun(place, orders)
        with _listing(quarantine) as listing:
            _list(place, orders, listing, workers, _part(progress, 0.0, _SORTING))
            _do_all(place, orders, make_orders, listing, earlier, workers, _part(progress, _SORTING, 1.0))
            done = _ended(place, orders, listing, earlier, is_complete=True)
        shutil.rmtree(quarantine, ignore_errors=True)
    return done


@contextmanager
def _listing(quarantine: Path) -> Iterator[Listing]:
    """Give the listing; it stays for the next run when this one is stopped, and goes when it is refused."""
    shutil.rmtree(quarantine / "studies", ignore_errors=True)
    quarantine.mkdir(exist_ok=True, mode=0o700)
    listing = Listing(quarantine / "listing.sqlite")
    try:
        yield listing
    except BadInput:
        shutil.rmtree(quarantine, ignore_errors=True)
        raise
    finally:
        listing.close()


def _part(progress: Progress, start: float, end: float) -> Progress:
    return lambda done, figure: progress(start + (end - start) * done, figure)


# --- the output folder ---


def _check_apart(source: Path, out: Path, home: Path) -> None:
    """Refuse an output inside the source: the next run would take it for a study."""
    root = source if source.is_dir() else source.parent if source.name.upper() == "DICOMDIR" else None
    if root and any(path.resolve().is_relative_to(root.resolve()) for path in (out, home)):
        raise BadInput(
            "The output, or the settings' home, lies inside the source.",
            reason="OUT_IN_SOURCE",
            mend="Choose an output folder outside of it.",
        )


@contextmanager
def sole_use(out: Path, home: Path, keys: ProjectKeys) -> Iterator[Path]:
    """Keep everyone else away from `out`, and give the path of the folder where work on it may lie.

    Raises
    ------
    NotAllowed
        ``ALREADY_RUNNING`` when another process has it.
    """
    name = keys.digest("archive", os.fsencode(out.resolve())).hex()[:16]
    folder = home / "quarantine" / "archives" / name
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as stack:
        stack.enter_context(_locked(folder.with_name(f"{name}.lock")))
        if out.is_dir():
            stack.enter_context(_locked(out))
        _remove_halves(out)
        stack.callback(_remove_halves, out)
        yield folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file or folder; the kernel takes it back when this process ends."""
    is_folder = path.is_dir()
    flags = os.O_RDONLY | os.O_DIRECTORY if is_folder else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            raise NotAllowed(
                "Another process works on this output folder.",
                reason="ALREADY_RUNNING",
                mend="Wait until it has ended, then give the same command again.",
            ) from None
        if not is_folder:  # some network disks lock files but not folders
            os.close(descriptor)
            raise
    try:
        yield
    finally:
        os.close(descriptor)


def _remove_halves(out: Path) -> None:
    """Remove what a killed run left half made."""
    for path in (*out.glob(".[0-9]*.new"), *out.glob("..[0-9]*.new.partial")):
        shutil.rmtree(path, ignore_errors=True)


def orders_identity(orders: Orders) -> str:
    """Return a keyed digest of the key and everything of the profile: equal orders give equal files."""
    content = json.dumps([to_plain(orders.profile), orders.keeps_face], sort_keys=True, default=sorted)
    return orders.keys.digest("orders", content.encode()).hex()


def tools_identity(orders: Orders) -> str:
    """Return in words what contents were judged with; a study with held files is done again with more."""
    reader = "a reader for text in pictures" if orders.tools.finder else "no reader for text in pictures"
    return f"{reader}, {'a finder for brains in MR' if orders.brain else 'no finder for brains in MR'}"


def _begun(place: Place, orders: Orders) -> ArchiveReport | None:
    """Return the report of an earlier run into the same folder, or None.

    Raises
    ------
    BadInput
        If the folder holds something else, or was made with another profile, key or source.
    """
    if not place.out.exists() or not any(place.out.iterdir()):
        return None
    try:
        earlier = read_archive_report(place.out)
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(
            "The output folder holds other files.", reason="FOLDER_IN_USE", mend="Choose an empty one."
        ) from None
    check_orders(earlier, orders)
    if earlier.source_id != _source_identity(place, orders.keys):
        raise BadInput(
            "The output folder holds the studies of another source.",
            reason="OTHER_SOURCE",
            mend="Choose another folder; the same patients and links get the same new values there.",
        )
    return earlier


def check_orders(earlier: ArchiveReport, orders: Orders) -> None:
    """Refuse to mix what two profiles or keys made in one folder.

    Raises
    ------
    BadInput
        ``OTHER_ORDERS``.
    """
    if earlier.orders_id != orders_identity(orders):
        raise BadInput(
            f"The output folder was made with other orders (profile '{earlier.profile}', or another key).",
            reason="OTHER_ORDERS",
            mend="Choose another folder, or give the profile and options of the first run.",
        )


def _source_identity(place: Place, keys: ProjectKeys) -> str:
    return keys.digest("source", os.fsencode(place.source.resolve())).hex()


def _ended(
    place: Place, orders: Orders, listing: Listing, earlier: ArchiveReport | None, *, is_complete: bool
) -> ArchiveReport:
    """Write the index of the archive and return it."""
    lines = {line.study_uid: line for line in (earlier.studies if earlier else ())}
    lines |= {item.study_uid: StudyLine(*item) for item in listing.outcomes()}
    report = build_archive_report(
        orders.profile,
        sorted(lines.values(), key=lambda line: line.study_uid),
        listing.outside(),
        orders_id=orders_identity(orders),
        source_id=_source_identity(place, orders.keys),
        keeps_face=orders.keeps_face,
        is_complete=is_complete,
    )
    save_archive_report(place.out, report)
    return report


# --- first pass: which file belongs to which study ---


def _list(place: Place, orders: Orders, listing: Listing, workers: int, progress: Progress) -> None:
    """Fill the listing and read the headers of what is new in it."""
    progress(0.0, "listing")
    with open_archive(place.source, most_unpacked_gb=place.most_unpacked_gb) as archive:
        total = listing.fill(archive.entries())
    if not total:
        raise StudyUnreadable(
            "There is no file in what was given.",
            reason="EMPTY_FOLDER",
            mend="Give the folder with the studies.",
        )
    unread, read = listing.unread_count(), 0
    hands = workers if unread > _FEW_FILES else 1
    jobs = (tuple(batch) for batch in listing.unread(_HEADERS_A_JOB))
    make_hand = partial(_header_hand, place, orders.keys, orders.profile)
    with closing(worked_through(jobs, make_hand, workers=hands)) as batches:
        for done in batches:
            crashed = [Sorted(item.untrusted_path, "", "READER_CRASHED") for item in done.job]
            listing.sort(crashed if done.result is None else done.result)
            read += len(done.job)
            progress(read / unread, f"header {read} of {unread}")
    with open_archive(place.source, most_unpacked_gb=place.most_unpacked_gb) as archive:
        listing.missing = missing_references(archive, listing)
    if not listing.counts()[0]:
        raise StudyUnreadable(
            "Nothing in what was given is DICOM.",
            reason="NO_DICOM",
            mend="Give the folder, zip or DICOMDIR that the archive exported.",
        )


@contextmanager
def _header_hand(
    place: Place, keys: ProjectKeys, profile: Profile
) -> Iterator[Hand[tuple[Listed, ...], list[Sorted]]]:
    """Give what reads headers."""
    with open_archive(place.source, most_unpacked_gb=place.most_unpacked_gb) as archive:
        yield lambda files, _progress: [_sorted_file(archive, item, keys, profile) for item in files]


def _sorted_file(archive: OpenArchive, item: Listed, keys: ProjectKeys, profile: Profile) -> Sorted:
    """Return to which study a file belongs, read from the front of the file."""
    try:
        with archive.open(item.untrusted_path) as stream:
            front, reason = _front_of_file(stream, item.size_bytes)
        uid = "" if reason else _study_uid(front, keys, profile)
    except StudyUnreadable as error:
        uid, reason = "", "ARCHIVE_INSIDE" if error.reason == "ARCHIVE_UNSAFE" else error.reason
    except Exception:  # the door of one file: a header that nobody foresaw never stops the listing
        uid, reason = "", "UNREADABLE"
    return Sorted(item.untrusted_path, uid, reason)


def _front_of_file(stream: IO[bytes], size_bytes: int) -> tuple[ParsedFile, str]:
    """Return the header as far as the study's UID, and why the file is no part of a study."""
    head = stream.read(_FIRST_READ_BYTES)
    elements = _front_of(head) if looks_like_dicom(head) else ()
    while elements and not _is_past_study(elements) and len(head) < min(size_bytes, _MOST_HEADER_BYTES):
        more = stream.read(len(head))
        if not more:
            break
        head += more
        elements = _front_of(head)
    front = ParsedFile(b"", (), "", Encoding(True, True), elements, None, ())
    if not looks_like_dicom(head):
        return front, "ARCHIVE_INSIDE" if holds_archive(head) else "NOT_DICOM"
    is_directory = _DIRECTORY_CLASS in head[:1024] and not headers.text_of(front, headers.SOP_CLASS)
    return front, "DICOMDIR" if is_directory else ""


def _study_uid(front: ParsedFile, keys: ProjectKeys, profile: Profile) -> str:
    """Return the UID that a file's study leaves with; files without one are put together by patient."""
    raw_uid = headers.text_of(front, headers.STUDY)
    if not raw_uid:
        return new_uid(keys, f"no study of {headers.person_of(front, keys).identifier}")
    return headers.retained_or_new(keys, raw_uid, profile)


def _is_past_study(elements: tuple[Element, ...]) -> bool:
    return bool(elements) and elements[-1].tag > headers.STUDY


def _front_of(head: bytes) -> tuple[Element, ...]:
    """Return the elements in the front of a file; of a deflated one, those in the front of its content."""
    if _DEFLATED not in head[:1024]:
        return readable_part(head)
    length = int.from_bytes(head[140:144], "little")
    return readable_part(zlib.decompressobj(-zlib.MAX_WBITS).decompress(head[144 + length :], 1 << 20))


def missing_references(archive: OpenArchive, listing: Listing) -> int:
    """Return how many files the archive's DICOMDIRs name that are not there (PS3.10 8.6)."""
    wanted: set[str] = set()
    for item in listing.with_reason("DICOMDIR"):
        if item.size_bytes <= _MOST_DIRECTORY_BYTES:
            with archive.open(item.untrusted_path) as stream:
                base = PurePosixPath(item.untrusted_path.decode("utf-8", "surrogateescape")).parent
                wanted.update(references_in(stream.read(), base))
    if wanted:
        for path in listing.paths():
            wanted.discard(plain_path(path.decode("utf-8", "surrogateescape")))
    return len(wanted)


# --- second pass: study by study ---


def _do_all(
    place: Place,
    orders: Orders,
    make_orders: MakeOrders,
    listing: Listing,
    earlier: ArchiveReport | None,
    workers: int,
    progress: Progress,
) -> None:
    place.out.mkdir(parents=True, exist_ok=True)
    studies, total = listing.counts()
    _ended(place, orders, listing, earlier, is_complete=False)
    told = _Teller(progress, studies, total)
    hands = min(workers, studies) if total > 1 else 1
    jobs = (_job(listing, uid, orders) for uid, _, _ in listing.studies())
    make_hand = partial(_study_hand, place, make_orders)
    try:
        with closing(worked_through(jobs, make_hand, workers=hands, listen=told.listen)) as studies_done:
            for done in studies_done:
                listing.note(done.result or _crashed(done.job))
                told.finished(done.job)
    except BaseException:  # also Ctrl-C: the index says what was finished
        with suppress(OSError):
            _ended(place, orders, listing, earlier, is_complete=False)
        raise


def _job(listing: Listing, uid: str, orders: Orders) -> StudyJob:
    files = tuple(listing.files_of(uid))
    content = hashlib.sha256()
    for item in files:
        content.update(item.untrusted_path + f"\0{item.size_bytes}\0{item.stamp}\0".encode())
    return StudyJob(uid, files, orders.keys.digest("files", content.digest()).hex())


def _crashed(job: StudyJob) -> Outcome:
    """Return the outcome of a study whose process died; it is tried again by the next run."""
    return Outcome(job.study_uid, len(job.files), 0, (("READER_CRASHED", len(job.files)),))


class _Teller:
    """Adds up how far all studies are."""

    def __init__(self, progress: Progress, studies: int, files: int) -> None:
        self._progress, self._studies, self._total = progress, studies, files
        self._under_way: dict[str, float] = {}
        self._files_done = self._studies_done = 0

    def listen(self, job: StudyJob, fraction: float) -> None:
        self._under_way[job.study_uid] = fraction * len(job.files)
        self._tell()

    def finished(self, job: StudyJob) -> None:
        self._under_way.pop(job.study_uid, None)
        self._files_done += len(job.files)
        self._studies_done += 1
        self._tell()

    def _tell(self) -> None:
        done = min(self._files_done + sum(self._under_way.values()), self._total)
        figure = f"study {self._studies_done} of {self._studies}, file {int(done)} of {self._total}"
        self._progress(done / self._total, figure)


@contextmanager
def _study_hand(place: Place, make_orders: MakeOrders) -> Iterator[Hand[StudyJob, Outcome]]:
    """Give what does one study."""
    orders = make_orders()
    with open_archive(place.source, most_unpacked_gb=place.most_unpacked_gb) as archive:

        def do(job: StudyJob, progress: Progress) -> Outcome:
            return _done_before(place, job, orders) or _study_done(place, archive, job, orders, progress)

        yield do


def _done_before(place: Place, job: StudyJob, orders: Orders) -> Outcome | None:
    """Return what became of a study that an earlier run has done from the same files."""
    folder = place.out / job.study_uid
    try:
        report = read_report(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if report.origin is None or report.origin.made_from != job.made_from:
        return None
    if report.problems and report.origin.made_with != tools_identity(orders):
        return None
    if any(problem.reason in _TRIED_AGAIN for problem in report.problems):
        return None
    if not all((folder / file.name).is_file() for file in report.files):
        return None
    return _outcome(job, len(report.files), report.problems)


def _study_done(
    place: Place, archive: OpenArchive, job: StudyJob, orders: Orders, progress: Progress
) -> Outcome:
    """De-identify one study; its copies are gone afterwards, but for what is held."""
    copies = place.quarantine / "studies" / job.study_uid
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir(parents=True, mode=0o700)
    staged = place.out / f".{job.study_uid}.new"
    try:
        with _full_disk_told():
            raw = _copied(archive, job, copies, _part(progress, 0.0, 0.1))
            study = deidentify(raw, staged, orders, progress=_part(progress, 0.1, 1.0), keeps_empty=True)
            _sign(staged, job, orders)
            keep_all(
                raw,
                study.problems,
                home=place.home,
                profile=study.profile,
                study_uid=job.study_uid,
                is_repeated=(place.out / job.study_uid).is_dir(),
            )
            _put_in_place(staged, place.out / job.study_uid)
    except (StorageFull, Cancelled):
        raise
    except MedVizError as error:
        return _failed(place, job, error.reason)
    except Exception:  # the door of one study: what nobody foresaw holds it and never stops the rest
        return _failed(place, job, "UNFORESEEN")
    finally:
        shutil.rmtree(copies, ignore_errors=True)
        shutil.rmtree(staged, ignore_errors=True)
    return _outcome(job, len(study.files), study.problems)


def _copied(archive: OpenArchive, job: StudyJob, copies: Path, progress: Progress) -> RawStudy:
    """Return the study's files, copied under their ordinals to where only we can read them."""
    problems, paths = [], []
    for number, item in enumerate(job.files):
        progress(number / len(job.files), "copying")
        target = copies / f"{item.ordinal:06d}.dcm"
        if reason := take(archive, item.entry, target):
            problems.append(FileProblem(reason, item.ordinal))
        else:
            paths.append(target)
    return RawStudy(copies, tuple(paths), tuple(problems))


def _sign(staged: Path, job: StudyJob, orders: Orders) -> None:
    """Write into a study's report from what it was made."""
    report = read_report(staged)
    origin = Origin(job.study_uid, len(job.files), job.made_from, tools_identity(orders))
    save_report(staged, replace(report, origin=origin))


def _put_in_place(staged: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    staged.rename(folder)


def _outcome(job: StudyJob, written: int, problems: tuple[FileProblem, ...]) -> Outcome:
    held = Counter(problem.reason for problem in problems)
    return Outcome(job.study_uid, len(job.files), written, tuple(sorted(held.items())))


def _failed(place: Place, job: StudyJob, reason: str) -> Outcome:
    """Return the outcome of a study that failed as a whole; an earlier result of it would be out of date."""
    shutil.rmtree(place.out / job.study_uid, ignore_errors=True)
    return Outcome(job.study_uid, len(job.files), 0, ((reason, len(job.files)),))


@contextmanager
def _full_disk_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(
            "The disk is full; finished studies are kept.",
            mend="Free some room and give the same command again.",
        ) from None
