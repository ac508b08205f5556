"""Brings a review database of any earlier release to this one's schema (alembic; no ini file)."""

from __future__ import annotations

from importlib.resources import files

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from medviz.core.errors import NotAvailable


def alembic_config() -> Config:
    """Return alembic's configuration: where the versions lie."""
    config = Config()
    config.set_main_option("script_location", str(files("review") / "migrations"))
    return config


def upgrade(connection: sa.Connection) -> None:
    """Bring the database up to date inside the caller's transaction.

    Raises
    ------
    NotAvailable
        If a newer release wrote it (``SCHEMA_UNKNOWN``).
    """
    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise NotAvailable(
            "The review database was written by a newer release.",
            reason="SCHEMA_UNKNOWN",
            mend="Install that release, or restore the copy made before the upgrade.",
        ) from None
