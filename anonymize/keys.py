"""The project's secret key, and the sub-keys that pseudonyms, UIDs and date shifts are made with."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from medviz.core.errors import BadInput

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """A key that stays in this house: with it, and only with it, a pseudonym can be made again.

    Parameters
    ----------
    secret : bytes
        32 random bytes; never printed.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise BadInput(
                "The project key has the wrong length.",
                reason="KEY_INVALID",
                mend="Restore keys/project.key from its backup, or move it away to start a new project.",
            )

    def digest(self, purpose: str, value: bytes) -> bytes:
        """Return 32 bytes that depend on the key, on what they are for and on `value` (HMAC-SHA256)."""
        key = hmac.digest(self.secret, b"medviz/" + purpose.encode(), hashlib.sha256)
        return hmac.digest(key, value, hashlib.sha256)


def project_keys(settings_home: Path) -> ProjectKeys:
    """Return the key in ``keys/project.key``, made on first use and readable by its owner alone.

    Raises
    ------
    BadInput
        If the file does not hold a key (reason ``KEY_INVALID``).
    """
    path = settings_home / "keys" / "project.key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _create_once(path)
    return ProjectKeys(path.read_bytes())


def _create_once(path: Path) -> None:
    """Write a new key unless there is one; two processes at once agree on the first."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(secrets.token_bytes(KEY_BYTES))
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
