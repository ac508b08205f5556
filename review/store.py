"""The review database: who may sign, what waits, what was decided, what left, and the audit log.

SQL lives here and in `review.migrations` and nowhere else. Every transaction takes the write lock at once, so
that two people who decide at the same moment do so one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from medviz.core.errors import MedVizError, NotAvailable, StorageFull

SCHEMA_VERSION = "0001"
_BUSY_MS = 30_000


class Base(DeclarativeBase):
    """All tables."""


class DraftRow(Base):
    """A draft that was submitted. `state` is an index only: the audit log is what release believes."""

    __tablename__ = "drafts"

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[str] = mapped_column(sa.String(64), index=True)
    manifest_sha256: Mapped[str] = mapped_column(sa.String(64))
    manifest_json: Mapped[str] = mapped_column(sa.Text)
    findings_json: Mapped[str] = mapped_column(sa.Text)
    folder: Mapped[str] = mapped_column(sa.Text)
    state: Mapped[str] = mapped_column(sa.String(16), index=True)
    submitted_at: Mapped[str] = mapped_column(sa.String(40))


class ReviewerRow(Base):
    """Someone who may sign. The private key can be read with the passphrase only."""

    __tablename__ = "reviewers"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    role: Mapped[str] = mapped_column(sa.String(32))
    passphrase_hash: Mapped[str] = mapped_column(sa.Text)
    public_key: Mapped[str] = mapped_column(sa.String(64))
    locked_key_json: Mapped[str] = mapped_column(sa.Text)
    enrolled_at: Mapped[str] = mapped_column(sa.String(40))
    wrong_in_a_row: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[str] = mapped_column(sa.String(40), default="")


class DecisionRow(Base):
    """An approval or a rejection; never changed."""

    __tablename__ = "decisions"

    id: Mapped[int] = mapped_column(primary_key=True)
    draft_id: Mapped[int] = mapped_column(sa.ForeignKey("drafts.id"), index=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    case_id: Mapped[str] = mapped_column(sa.String(64), index=True)
    manifest_sha256: Mapped[str] = mapped_column(sa.String(64))
    reviewer: Mapped[str] = mapped_column(sa.ForeignKey("reviewers.name"))
    decided_at: Mapped[str] = mapped_column(sa.String(40))
    meaning: Mapped[str] = mapped_column(sa.Text, default="")
    public_key: Mapped[str] = mapped_column(sa.String(64), default="")
    signature: Mapped[str] = mapped_column(sa.String(128), default="")
    reason: Mapped[str] = mapped_column(sa.String(64), default="")
    remark: Mapped[str] = mapped_column(sa.Text, default="")
    rerun_from: Mapped[str] = mapped_column(sa.String(64), default="")


class ReleaseRow(Base):
    """One copy that left; never changed."""

    __tablename__ = "releases"

    id: Mapped[int] = mapped_column(primary_key=True)
    draft_id: Mapped[int] = mapped_column(sa.ForeignKey("drafts.id"), index=True)
    case_id: Mapped[str] = mapped_column(sa.String(64), index=True)
    signature: Mapped[str] = mapped_column(sa.String(128))
    folder: Mapped[str] = mapped_column(sa.Text)
    copy_number: Mapped[int]
    released_at: Mapped[str] = mapped_column(sa.String(40))


class AuditRow(Base):
    """One act. Each row's hash covers the row before it."""

    __tablename__ = "audit"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time: Mapped[str] = mapped_column(sa.String(40))
    actor: Mapped[str] = mapped_column(sa.String(64))
    action: Mapped[str] = mapped_column(sa.String(32))
    case_id: Mapped[str] = mapped_column(sa.String(64), index=True)
    detail_json: Mapped[str] = mapped_column(sa.Text)
    previous_hash: Mapped[str] = mapped_column(sa.String(64))
    hash: Mapped[str] = mapped_column(sa.String(64))


def database_path(home: Path) -> Path:
    """Return where the review database of a site lies."""
    return home / "review.sqlite"


@contextmanager
def transaction(home: Path) -> Iterator[Session]:
    """Open the review database, migrated, in one transaction that is committed when the block ends well.

    Raises
    ------
    StorageFull
        If the disk has no room for it; nothing of the block is kept then.
    NotAvailable
        If the database cannot be used, or was written by a newer release.
    """
    engine = _engine(home)
    try:
        with engine.begin() as connection:
            _migrate(connection)
            with Session(bind=connection, expire_on_commit=False) as session:
                yield session
                session.flush()
    except DBAPIError as error:
        raise _told(error) from None
    finally:
        engine.dispose()


def as_text(now: datetime | None) -> str:
    """Return a moment, or this one, as ISO 8601 in UTC with milliseconds.

    Raises
    ------
    ValueError
        If the moment has no time zone.
    """
    moment = datetime.now(UTC) if now is None else now
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _engine(home: Path) -> sa.Engine:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = database_path(home)
    path.touch(mode=0o600, exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
        # the driver's own transactions begin too late: ours begin below
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _migrate(connection: sa.Connection) -> None:
    if _version(connection) != SCHEMA_VERSION:
        from review.migrations import upgrade

        upgrade(connection)


def _version(connection: sa.Connection) -> str:
    if not sa.inspect(connection).has_table("alembic_version"):
        return ""
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return str(found or "")


def _told(error: DBAPIError) -> MedVizError:
    text = str(error.orig).lower()
    if "disk is full" in text or "disk i/o" in text:
        return StorageFull("The review database could not be written.", mend="Free some disk space.")
    return NotAvailable(
        f"The review database cannot be used: {text}.",
        reason="REVIEW_DATABASE",
        mend="Check that review.sqlite in MEDVIZ_HOME can be read and written.",
    )
