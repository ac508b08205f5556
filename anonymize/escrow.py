"""Who was who, sealed: a map from new to original values that only the escrow's passphrase opens.

De-identifying needs the public key alone, so it never asks for a passphrase; reading needs the private key,
which is sealed under one. Whoever loses the passphrase can no longer re-identify: there is no second way in.

    keys/escrow.pub       public key (X25519)
    keys/escrow.sealed    private key under the passphrase (scrypt, ChaCha20-Poly1305)
    escrow/records        numbered, chained, sealed records, one a study; only ever appended to
    escrow/head.json      where the records ended
    escrow/known.sqlite   keyed digests of what is already sealed, so that nothing is sealed twice

Each record is encrypted to the public key with a key of its own, and bound to its number and to the hash of
the record before it: a removed, changed or reordered record is found. A record that a crash left half written
is dropped, and its study is done again, because a study's files appear only after its record is on disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from anonymize.keys import ProjectKeys
from medviz.core.errors import BadInput, NotAllowed
from medviz.core.records import write_text_atomically

LEAST_PASSPHRASE_LENGTH = 12
LEAST_DIFFERENT_CHARACTERS = 6
FIRST_HASH = bytes(32)
_SCRYPT = {"n": 1 << 17, "r": 8, "p": 1}  # 128 MiB, about half a second
_MAGIC = b"MVE1"
_HEAD = struct.Struct(">4sQ32s32sI")
"""Magic, number, hash of the record before, ephemeral public key, length of what is sealed."""
_PURPOSE = b"medviz escrow record"
_ONE_USE = bytes(12)  # each key seals one record, so its nonce may be constant


class EscrowNote(NamedTuple):
    """What became of one value; the kinds are patient, days, study, series and instance.

    A patient's original reads ``ID|issuer|name``; days go from the pseudonym to how far its dates moved.
    """

    kind: str
    raw_original: str
    new: str


@dataclass(frozen=True, slots=True)
class EscrowHead:
    """Where the records end: how many there are, the hash of the last one, and the length of the file."""

    number: int
    hash: str
    length: int = 0


@dataclass(frozen=True, slots=True)
class EscrowReport:
    """What a check of the records found; `problems` is empty when all of them are there and open."""

    records: int
    notes: int
    head: EscrowHead
    problems: tuple[str, ...]


class _Record(NamedTuple):
    """One sealed record as it lies in the file; `header` is everything in front of what is sealed."""

    number: int
    previous: bytes
    sender: bytes
    header: bytes
    sealed: bytes
    end: int

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.header + self.sealed).digest()


def has_escrow(home: Path) -> bool:
    """Return whether this house keeps an escrow."""
    return _public_path(home).is_file()


def make_escrow(home: Path, passphrase: str) -> str:
    """Make the key pair of the escrow and return its public key in hexadecimal.

    Raises
    ------
    NotAllowed
        If there is an escrow already (``ESCROW_EXISTS``).
    BadInput
        If the passphrase is weak (``PASSPHRASE_WEAK``).
    """
    if has_escrow(home):
        raise NotAllowed(
            "There is an escrow already.", reason="ESCROW_EXISTS", mend="Change its passphrase instead."
        )
    key = X25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    _public_path(home).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_sealed_key(home, key, _checked(passphrase))
    _write_owner_only(_public_path(home), json.dumps({"schema_version": 1, "x25519": public.hex()}) + "\n")
    return public.hex()


def change_passphrase(home: Path, old: str, new: str) -> None:
    """Seal the private key under another passphrase; the records stay as they are.

    Raises
    ------
    NotAllowed
        If the old one is wrong (``PASSPHRASE_WRONG``).
    BadInput
        If the new one is weak (``PASSPHRASE_WEAK``), or there is no escrow (``NO_ESCROW``).
    """
    key = open_escrow(home, old)
    _write_sealed_key(home, key, _checked(new))


def open_escrow(home: Path, passphrase: str) -> X25519PrivateKey:
    """Return the private key of the escrow.

    Raises
    ------
    NotAllowed
        If the passphrase is wrong (``PASSPHRASE_WRONG``).
    BadInput
        If there is no escrow (``NO_ESCROW``), or its key file is damaged (``ESCROW_DAMAGED``).
    """
    public = _public_key(home)
    try:
        locked = json.loads(_sealed_path(home).read_text(encoding="utf-8"))
        salt, nonce, sealed = (bytes.fromhex(locked[name]) for name in ("salt", "nonce", "sealed"))
        costs = {name: int(locked[name]) for name in ("n", "r", "p")}
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged() from None
    secret = Scrypt(salt=salt, length=32, **costs).derive(_normal(passphrase).encode())
    try:
        opened = ChaCha20Poly1305(secret).decrypt(nonce, sealed, public)
    except InvalidTag:
        raise NotAllowed(
            "The passphrase does not open the escrow.",
            reason="PASSPHRASE_WRONG",
            mend="Try again. Without the passphrase nobody can re-identify.",
        ) from None
    return X25519PrivateKey.from_private_bytes(opened)


class SealedEscrow:
    """Takes down what became of what, and seals it; it cannot read it again.

    Parameters
    ----------
    home : Path
        Home of the settings; needs ``keys/escrow.pub``.
    keys : ProjectKeys
        For the digests by which it knows what is sealed already.
    """

    def __init__(self, home: Path, keys: ProjectKeys) -> None:
        self._folder, self._keys, self._public = home / "escrow", keys, _public_key(home)
        self._pending: dict[EscrowNote, None] = {}

    def note(self, kind: str, raw_original: str, new: str) -> None:
        """Remember that `raw_original` became `new`, until `seal`."""
        self._pending[EscrowNote(kind, raw_original, new)] = None

    def seal(self) -> None:
        """Seal what was noted and not sealed before; when this returns, it is on disk.

        Raises
        ------
        BadInput
            If the records are damaged (``ESCROW_DAMAGED``): nothing is written over them.
        """
        if not self._pending:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self._folder), closing(_known(self._folder)) as known:
            new = [note for note in self._pending if self._is_new(known, note)]
            if new:
                self._append(new)
            known.commit()  # after the record: a crash in between seals twice and loses nothing
        self._pending.clear()

    def _is_new(self, known: sqlite3.Connection, note: EscrowNote) -> bool:
        digest = self._keys.digest("escrow", "\0".join(note).encode("utf-8", "surrogateescape"))[:16]
        return known.execute("INSERT OR IGNORE INTO known VALUES (?)", (digest,)).rowcount == 1

    def _append(self, notes: list[EscrowNote]) -> None:
        path = self._folder / "records"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            head = _whole_end(stream, read_head(self._folder.parent))
            stream.truncate(head.length)
            stream.seek(head.length)
            record = _sealed_record(notes, head, self._public)
            stream.write(record)
            stream.flush()
            os.fsync(stream.fileno())
        new = EscrowHead(head.number + 1, hashlib.sha256(record).hexdigest(), head.length + len(record))
        _write_head(self._folder, new)


def notes_of(home: Path, key: X25519PrivateKey) -> Iterator[EscrowNote]:
    """Give every note of the escrow, oldest first.

    Raises
    ------
    BadInput
        If a record does not open (``ESCROW_DAMAGED``).
    """
    for record in _records(home):
        try:
            yield from _opened(record, key)
        except (InvalidTag, ValueError, zlib.error):
            raise _damaged() from None


def matching(value: str, notes: Iterable[EscrowNote]) -> tuple[EscrowNote, ...]:
    """Return the notes that speak of a pseudonym, a patient identifier, or a new or original UID."""
    wanted = value.strip().upper()
    found = [note for note in notes if note.kind == "days" or wanted in _names(note)]
    pseudonyms = {note.new for note in found if note.kind == "patient"}
    return tuple(note for note in found if note.kind != "days" or note.raw_original in pseudonyms)


def check_escrow(
    home: Path, key: X25519PrivateKey, *, known_heads: Iterable[EscrowHead] = ()
) -> EscrowReport:
    """Open every record and return what is wrong with them.

    Parameters
    ----------
    known_heads : iterable of EscrowHead
        Heads noted elsewhere, such as in the audit log: the records must still reach each of them.
    """
    problems: list[str] = []
    hashes = {0: FIRST_HASH.hex()}
    previous, number, notes = FIRST_HASH, 0, 0
    for record in _records(home):
        if record.number != number + 1 or record.previous != previous:
            problems.append(f"Record {number + 1} is missing or was moved.")
        try:
            notes += len(_opened(record, key))
        except (InvalidTag, ValueError, zlib.error):
            problems.append(f"Record {record.number} does not open.")
        number, previous = record.number, record.hash
        hashes[number] = previous.hex()
    for head in (*known_heads, read_head(home)):
        if hashes.get(head.number) != head.hash:
            problems.append(f"The records no longer hold record {head.number} as it was written.")
    return EscrowReport(number, notes, EscrowHead(number, previous.hex()), tuple(dict.fromkeys(problems)))


def export_escrow(home: Path, target: Path) -> EscrowHead:
    """Copy the sealed records and keys into a new folder, to be kept elsewhere, and return where they end.

    Raises
    ------
    NotAllowed
        If the folder exists (``TARGET_EXISTS``).
    """
    _public_key(home)
    if target.exists():
        raise NotAllowed("The folder exists already.", reason="TARGET_EXISTS", mend="Choose another name.")
    target.mkdir(parents=True, mode=0o700)
    with _locked(home / "escrow"):
        for path in (_public_path(home), _sealed_path(home), *_saved(home)):
            shutil.copyfile(path, target / path.name)
            (target / path.name).chmod(0o600)
        return read_head(home)


def read_head(home: Path) -> EscrowHead:
    """Return where the records ended when one was last written."""
    try:
        head = json.loads((home / "escrow" / "head.json").read_text(encoding="utf-8"))
        return EscrowHead(int(head["number"]), str(head["hash"]), int(head["length"]))
    except (OSError, ValueError, KeyError, TypeError):
        return EscrowHead(0, FIRST_HASH.hex(), 0)


def _saved(home: Path) -> list[Path]:
    return [path for name in ("records", "head.json") if (path := home / "escrow" / name).is_file()]


def _write_head(folder: Path, head: EscrowHead) -> None:
    document = {"schema_version": 1, "number": head.number, "hash": head.hash, "length": head.length}
    write_text_atomically(folder / "head.json", json.dumps(document) + "\n")


def _names(note: EscrowNote) -> frozenset[str]:
    """Return under which values a note is found."""
    original = note.raw_original.upper()
    if note.kind != "patient":
        return frozenset({original, note.new.upper()})
    identifier, _, rest = original.partition("|")
    return frozenset({identifier, rest.partition("|")[2], note.new.upper()} - {""})


def _sealed_record(notes: list[EscrowNote], head: EscrowHead, public: bytes) -> bytes:
    lines = [[note.kind, note.raw_original, note.new] for note in notes]
    plain = zlib.compress(json.dumps(lines, ensure_ascii=True).encode())
    sender = X25519PrivateKey.generate()
    own = sender.public_key().public_bytes_raw()
    length = len(plain) + 16  # the tag of ChaCha20-Poly1305
    header = _HEAD.pack(_MAGIC, head.number + 1, bytes.fromhex(head.hash), own, length)
    shared = sender.exchange(X25519PublicKey.from_public_bytes(public))
    return header + ChaCha20Poly1305(_record_key(shared, own, public)).encrypt(_ONE_USE, plain, header)


def _opened(record: _Record, key: X25519PrivateKey) -> list[EscrowNote]:
    shared = key.exchange(X25519PublicKey.from_public_bytes(record.sender))
    secret = _record_key(shared, record.sender, key.public_key().public_bytes_raw())
    plain = ChaCha20Poly1305(secret).decrypt(_ONE_USE, record.sealed, record.header)
    return [EscrowNote(*line) for line in json.loads(zlib.decompress(plain))]


def _record_key(shared: bytes, sender: bytes, public: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=sender + public, info=_PURPOSE).derive(shared)


def _records(home: Path) -> Iterator[_Record]:
    """Give the records in the order they lie; what a crash left half written at the end is not one."""
    path = home / "escrow" / "records"
    if not path.is_file():
        return
    with path.open("rb") as stream:
        while (record := _next_record(stream)) is not None:
            yield record


def _next_record(stream: IO[bytes]) -> _Record | None:
    header = stream.read(_HEAD.size)
    if len(header) < _HEAD.size:
        return None
    magic, number, previous, sender, length = _HEAD.unpack(header)
    if magic != _MAGIC:
        raise _damaged()
    sealed = stream.read(length)
    if len(sealed) < length:
        return None
    return _Record(number, previous, sender, header, sealed, stream.tell())


def _whole_end(stream: IO[bytes], head: EscrowHead) -> EscrowHead:
    """Return the end of the last whole record; a crash may have come after it and before the head."""
    if os.fstat(stream.fileno()).st_size < head.length:
        raise _damaged()
    stream.seek(head.length)
    while (record := _next_record(stream)) is not None:
        head = EscrowHead(record.number, record.hash.hex(), record.end)
    return head


def _known(folder: Path) -> sqlite3.Connection:
    path = folder / "known.sqlite"
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE IF NOT EXISTS known (digest BLOB PRIMARY KEY) WITHOUT ROWID")
    return connection


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _public_path(home: Path) -> Path:
    return home / "keys" / "escrow.pub"


def _sealed_path(home: Path) -> Path:
    return home / "keys" / "escrow.sealed"


def _public_key(home: Path) -> bytes:
    try:
        text = _public_path(home).read_text(encoding="utf-8")
    except OSError:
        raise BadInput(
            "This house keeps no escrow.", reason="NO_ESCROW", mend="`medviz deid escrow init` makes one."
        ) from None
    try:
        key = bytes.fromhex(json.loads(text)["x25519"])
        X25519PublicKey.from_public_bytes(key)
    except (ValueError, KeyError, TypeError):
        raise _damaged() from None
    return key


def _write_sealed_key(home: Path, key: X25519PrivateKey, passphrase: str) -> None:
    public = key.public_key().public_bytes_raw()
    salt, nonce = os.urandom(16), os.urandom(12)
    secret = Scrypt(salt=salt, length=32, **_SCRYPT).derive(passphrase.encode())
    sealed = ChaCha20Poly1305(secret).encrypt(nonce, key.private_bytes_raw(), public)
    document = {"schema_version": 1, "kdf": "scrypt", **_SCRYPT, "salt": salt.hex(), "nonce": nonce.hex(),
                "sealed": sealed.hex()}  # fmt: skip
    _write_owner_only(_sealed_path(home), json.dumps(document) + "\n")


def _write_owner_only(path: Path, text: str) -> None:
    """Write a small file that only its owner can read, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _normal(passphrase: str) -> str:
    return unicodedata.normalize("NFKC", passphrase)


def _checked(passphrase: str) -> str:
    plain = _normal(passphrase)
    if len(plain) < LEAST_PASSPHRASE_LENGTH or len(set(plain.lower())) < LEAST_DIFFERENT_CHARACTERS:
        raise BadInput(
            "The passphrase is too weak.",
            reason="PASSPHRASE_WEAK",
            mend=f"Take {LEAST_PASSPHRASE_LENGTH} characters or more, such as five odd words.",
        )
    return plain


def _damaged() -> BadInput:
    return BadInput(
        "The escrow's files are damaged.",
        reason="ESCROW_DAMAGED",
        mend="Keep them as they are and restore keys/escrow.* and escrow/ from the backup.",
    )
