"""Who may sign. A passphrase opens the reviewer's private key, for one signature at a time.

The passphrase is kept as an argon2id hash; the key is sealed with AES-256-GCM under a key that scrypt makes
from the passphrase. After `MOST_WRONG` wrong passphrases in a row every further one is refused for a while.
All refusals read the same: they tell nobody whether a name exists or is locked. The audit log knows.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.orm import Session

from medviz.core.errors import BadInput, NotAllowed
from review.audit import Action, append, recorded
from review.store import ReviewerRow, as_text, transaction

LEAST_PASSPHRASE_LENGTH = 12
LEAST_DIFFERENT_CHARACTERS = 6
MOST_WRONG = 5
FIRST_LOCK_S = 60
LONGEST_LOCK_S = 3600
_SCRYPT = {"n": 1 << 15, "r": 8, "p": 1}  # 32 MiB, about 0.1 s
_NAME = re.compile(r"[^\W\d_][\w .'-]{1,63}")
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Someone who may sign; `public_key` is the raw Ed25519 key in hexadecimal."""

    name: str
    role: str
    public_key: str
    enrolled_at: str


def add_reviewer(
    name: str, passphrase: str, *, home: Path, role: str = "clinician", now: datetime | None = None
) -> Reviewer:
    """Enrol a reviewer with a new key, and return who it is.

    Raises
    ------
    BadInput
        If the name is not a name (``NAME_INVALID``) or the passphrase is weak (``PASSPHRASE_WEAK``).
    NotAllowed
        If the name is taken (``REVIEWER_EXISTS``).
    """
    name, secret = _checked_name(name), _checked_passphrase(passphrase, name)
    key = Ed25519PrivateKey.generate()
    public_key = key.public_key().public_bytes_raw().hex()
    row = ReviewerRow(
        name=name,
        role=role,
        passphrase_hash=_hasher().hash(secret),
        public_key=public_key,
        locked_key_json=_seal(key, secret, public_key),
        enrolled_at=as_text(now),
    )
    with recorded(home) as session:
        if session.get(ReviewerRow, name) is not None:
            raise NotAllowed(
                "There is a reviewer of that name.", reason="REVIEWER_EXISTS", mend="Choose another."
            )
        session.add(row)
        append(session, Action.ENROLLED, actor=name, detail={"public_key": public_key, "role": role}, now=now)
        session.flush()
        return _reviewer(row)


def reviewers(home: Path) -> tuple[Reviewer, ...]:
    """Return everyone who may sign, by name."""
    with transaction(home) as session:
        rows = session.scalars(sa.select(ReviewerRow).order_by(ReviewerRow.name))
        return tuple(_reviewer(row) for row in rows)


def unlock(
    untrusted_name: str, passphrase: str, *, home: Path, case_id: str = "", now: datetime | None = None
) -> Ed25519PrivateKey:
    """Return the reviewer's private key: a fresh authentication, good for one signature.

    Raises
    ------
    NotAllowed
        If name or passphrase is wrong, or the reviewer is locked out for now (``NOT_AUTHENTICATED``).
    """
    moment = datetime.now(UTC) if now is None else now
    secret = unicodedata.normalize("NFKC", passphrase)
    with recorded(home) as session:
        row = session.get(ReviewerRow, untrusted_name)
        is_right = _hasher().verify(secret, row.passphrase_hash if row else _nobodys_hash())
        key = _opened(row, secret) if row and is_right and not _is_locked(row, moment) else None
        if key is None:
            _note_failure(session, row, case_id=case_id, now=moment)
        elif row is not None:
            row.wrong_in_a_row, row.locked_until = 0, ""
    if key is None:
        raise _refused()
    return key


def _refused() -> NotAllowed:
    return NotAllowed(
        "Reviewer or passphrase is wrong.",
        reason="NOT_AUTHENTICATED",
        mend=f"Try again; after {MOST_WRONG} wrong ones wait {FIRST_LOCK_S} s or more.",
    )


def _note_failure(session: Session, row: ReviewerRow | None, *, case_id: str, now: datetime) -> None:
    """Count a wrong passphrase and write it down; an unknown name is not kept: it could be anything."""
    actor, detail = _UNKNOWN, {"known": 0}
    if row is not None:
        was_locked = _is_locked(row, now)
        row.wrong_in_a_row += 0 if was_locked else 1
        if row.wrong_in_a_row >= MOST_WRONG and not was_locked:
            row.locked_until = as_text(now + timedelta(seconds=_lock_s(row.wrong_in_a_row)))
        actor, detail = row.name, {"known": 1, "wrong": row.wrong_in_a_row, "was_locked": int(was_locked)}
    append(session, Action.LOGIN_FAILED, actor=actor, case_id=case_id, detail=detail, now=now)


def _lock_s(wrong_in_a_row: int) -> int:
    return int(min(FIRST_LOCK_S * 2 ** (wrong_in_a_row - MOST_WRONG), LONGEST_LOCK_S))


def _is_locked(row: ReviewerRow, now: datetime) -> bool:
    return row.locked_until != "" and as_text(now) < row.locked_until


@cache
def _hasher() -> PasswordHash:
    return PasswordHash((Argon2Hasher(),))  # argon2id, 64 MiB, 3 passes


@cache
def _nobodys_hash() -> str:
    """Return a hash to check for unknown names, so that they take as long as known ones."""
    return _hasher().hash(os.urandom(16).hex())


def _seal(key: Ed25519PrivateKey, secret: str, public_key: str) -> str:
    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = AESGCM(_derived(secret, salt)).encrypt(nonce, key.private_bytes_raw(), bytes.fromhex(public_key))
    return json.dumps({"kdf": "scrypt", "salt": salt.hex(), "nonce": nonce.hex(), "sealed": sealed.hex()})


def _opened(row: ReviewerRow, secret: str) -> Ed25519PrivateKey | None:
    """Return the private key, or None if it does not belong to the row's public key."""
    locked = json.loads(row.locked_key_json)
    box = AESGCM(_derived(secret, bytes.fromhex(locked["salt"])))
    try:
        nonce, sealed = bytes.fromhex(locked["nonce"]), bytes.fromhex(locked["sealed"])
        return Ed25519PrivateKey.from_private_bytes(box.decrypt(nonce, sealed, bytes.fromhex(row.public_key)))
    except InvalidTag:
        return None


def _derived(secret: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, **_SCRYPT).derive(secret.encode())


def _checked_name(name: str) -> str:
    plain = unicodedata.normalize("NFC", name).strip()
    if not _NAME.fullmatch(plain) or plain.lower() == _UNKNOWN:
        raise BadInput(
            "This is not a reviewer's name.",
            reason="NAME_INVALID",
            mend="Take 2 to 64 letters, digits, spaces, points, hyphens; a letter first.",
        )
    return plain


def _checked_passphrase(passphrase: str, name: str) -> str:
    plain = unicodedata.normalize("NFKC", passphrase)
    too_short = len(plain) < LEAST_PASSPHRASE_LENGTH
    too_plain = len(set(plain.lower())) < LEAST_DIFFERENT_CHARACTERS
    if too_short or too_plain or _holds_name(plain, name) or _is_common(plain):
        raise BadInput(
            "The passphrase is too weak.",
            reason="PASSPHRASE_WEAK",
            mend=f"Take {LEAST_PASSPHRASE_LENGTH} characters or more, such as four words, without your name.",
        )
    return plain


def _holds_name(passphrase: str, name: str) -> bool:
    parts = re.split(r"\W+", name.lower())
    return any(len(part) >= 4 and part in passphrase.lower() for part in parts)


def _is_common(passphrase: str) -> bool:
    """Whether letters and digits spell one of the passphrases everybody tries, or a run of keys."""
    letters = re.sub(r"[\W\d_]", "", passphrase.lower())
    runs = "abcdefghijklmnopqrstuvwxyz qwertyuiopasdfghjklzxcvbnm 01234567890123456789"
    return letters in _COMMON or passphrase.lower() in runs


_COMMON = ("password", "passwort", "passphrase", "passw", "letmein", "welcome", "admin", "hospital", "medviz")


def _reviewer(row: ReviewerRow) -> Reviewer:
    return Reviewer(row.name, row.role, row.public_key, row.enrolled_at)
