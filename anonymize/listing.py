"""The listing of an archive: which file belongs to which study, kept on disk so that memory stays flat.

It holds paths, which may hold names: it lies in the quarantine, is readable by its owner alone, and is
deleted when the archive is done. A run that goes on reads only the headers of what is new or has changed.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from anonymize.sources import Entry
from medviz.core.errors import StorageFull

_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, stamp INTEGER NOT NULL, ordinal INTEGER NOT NULL DEFAULT 0,
    study TEXT, reason TEXT NOT NULL DEFAULT '', is_seen INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes (
    study TEXT PRIMARY KEY, received INTEGER NOT NULL, written INTEGER NOT NULL, held TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_by_study ON files (study, ordinal);
"""
_SEEN = """
INSERT INTO files (path, size, stamp, reason) VALUES (?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET is_seen = 1, reason = CASE
        WHEN excluded.reason != '' OR size != excluded.size OR stamp != excluded.stamp THEN excluded.reason
        ELSE reason END,
    study = CASE WHEN size = excluded.size AND stamp = excluded.stamp AND excluded.reason = '' THEN study END,
    size = excluded.size, stamp = excluded.stamp
"""
_NUMBERED = """
UPDATE files SET ordinal = placed.number
FROM (SELECT path, row_number() OVER (ORDER BY path) AS number FROM files) AS placed
WHERE placed.path = files.path
"""


class Listed(NamedTuple):
    """One file of the listing; `ordinal` is its place in the order of paths, from 1."""

    ordinal: int
    untrusted_path: bytes
    size_bytes: int
    stamp: int

    @property
    def entry(self) -> Entry:
        """The file as the archive gives it."""
        return Entry(self.untrusted_path, self.size_bytes, self.stamp)


class Sorted(NamedTuple):
    """What a header said: the new UID of the file's study, or why it has none."""

    untrusted_path: bytes
    study_uid: str
    reason: str


class Outcome(NamedTuple):
    """What became of a study: its new UID, files received and written, and how many were held for what."""

    study_uid: str
    received: int
    written: int
    held: tuple[tuple[str, int], ...] = ()


class Listing:
    """The listing in one SQLite file."""

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._path = path
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_TABLES)
        self.missing = 0
        """Files that a DICOMDIR names and that are not there."""

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def fill(self, entries: Iterable[Entry]) -> int:
        """Take in what is there now, forget what is gone, number all by their paths; return how many."""
        with self._changes() as connection:
            connection.execute("UPDATE files SET is_seen = 0")
            connection.execute("UPDATE files SET study = NULL, reason = '' WHERE reason = 'UNREADABLE'")
            connection.executemany(_SEEN, entries_as_rows(entries))
            connection.execute("DELETE FROM files WHERE NOT is_seen")
            connection.execute("DELETE FROM outcomes")
            connection.execute(_NUMBERED)
        return self._number("SELECT count(*) FROM files")

    def unread(self, size: int) -> Iterator[list[Listed]]:
        """Give the files whose headers were not read yet, `size` at a time."""
        last = 0
        while True:
            rows = self._connection.execute(
                "SELECT ordinal, path, size, stamp FROM files "
                "WHERE study IS NULL AND reason = '' AND ordinal > ? ORDER BY ordinal LIMIT ?",
                (last, size),
            ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield [Listed(*row) for row in rows]

    def unread_count(self) -> int:
        """Return how many headers were not read yet."""
        return self._number("SELECT count(*) FROM files WHERE study IS NULL AND reason = ''")

    def sort(self, found: Sequence[Sorted]) -> None:
        """Note what headers said."""
        with self._changes() as connection:
            connection.executemany(
                "UPDATE files SET study = ?, reason = ? WHERE path = ?",
                [(item.study_uid, item.reason, item.untrusted_path) for item in found],
            )

    def studies(self) -> Iterator[tuple[str, int, int]]:
        """Give every study's new UID, number of files and bytes, the largest first."""
        with closing(sqlite3.connect(self._path)) as reader:
            yield from reader.execute(
                "SELECT study, count(*), sum(size) FROM files WHERE study != '' "
                "GROUP BY study ORDER BY sum(size) DESC, study"
            )

    def files_of(self, study_uid: str) -> list[Listed]:
        """Return the files of a study in the order of their ordinals."""
        rows = self._connection.execute(
            "SELECT ordinal, path, size, stamp FROM files WHERE study = ? ORDER BY ordinal", (study_uid,)
        )
        return [Listed(*row) for row in rows]

    def paths(self) -> Iterator[bytes]:
        """Give every path."""
        with closing(sqlite3.connect(self._path)) as reader:
            yield from (row[0] for row in reader.execute("SELECT path FROM files"))

    def with_reason(self, reason: str) -> list[Listed]:
        """Return the files that are in no study for one reason."""
        rows = self._connection.execute(
            "SELECT ordinal, path, size, stamp FROM files WHERE reason = ? ORDER BY ordinal", (reason,)
        )
        return [Listed(*row) for row in rows]

    def counts(self) -> tuple[int, int]:
        """Return how many studies there are, and how many files are in one."""
        row = self._connection.execute("SELECT count(DISTINCT study), count(*) FROM files WHERE study != ''")
        studies, files = row.fetchone()
        return int(studies), int(files)

    def outside(self) -> Counter[str]:
        """Return how many files are in no study, by reason."""
        rows = self._connection.execute(
            "SELECT reason, count(*) FROM files WHERE reason != '' GROUP BY reason"
        )
        found = Counter(dict(rows.fetchall()))
        return found + Counter({"REFERENCED_FILE_MISSING": self.missing})

    def note(self, outcome: Outcome) -> None:
        """Note what became of a study."""
        with self._changes() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?)",
                (outcome.study_uid, outcome.received, outcome.written, json.dumps(outcome.held)),
            )

    def outcomes(self) -> Iterator[Outcome]:
        """Give what became of each study, by UID."""
        query = "SELECT study, received, written, held FROM outcomes ORDER BY study"
        for study, received, written, held in self._connection.execute(query):
            yield Outcome(study, received, written, tuple((reason, n) for reason, n in json.loads(held)))

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    @contextmanager
    def _changes(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connection:
                yield self._connection
        except sqlite3.OperationalError as error:
            if "full" not in str(error):
                raise
            raise StorageFull(
                "The disk is full.", mend="Free some room and run the same command again."
            ) from None


def entries_as_rows(entries: Iterable[Entry]) -> Iterator[tuple[bytes, int, int, str]]:
    """Give entries as the listing stores them; sizes and stamps fit into 63 bits."""
    for entry in entries:
        yield entry.untrusted_path, entry.size_bytes, entry.stamp & (2**63 - 1), entry.reason
