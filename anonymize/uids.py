"""New UIDs from old ones: the same everywhere, and never back without the key (PS3.5 B.2).

A new UID is ``2.25.`` and a number of 128 bits: 88 bits of the old UID's keyed digest, then 40 bits that are
a keyed check of those 88. By the check a UID made here with the same key is known again and stays what it is.
Two old UIDs meet in one new one with a chance of 2 to the -88 for each pair (among a thousand million UIDs:
two in a thousand million); a stranger's UID is taken for ours with a chance of 2 to the -40.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom._uid_dict import UID_dictionary

from anonymize.keys import ProjectKeys

_STANDARD = re.compile(r"^1\.2\.840\.10008(\.\d{1,5}){1,6}$")
_OURS = re.compile(r"^2\.25\.(0|[1-9]\d{0,38})$")
_DIGEST_BYTES, _CHECK_BYTES = 11, 5


@lru_cache(maxsize=4096)
def is_well_known(uid: str) -> bool:
    """Return whether a UID is the standard's own: a SOP class, a transfer syntax, a context group."""
    return uid in UID_dictionary or bool(_STANDARD.match(uid))


def new_uid(keys: ProjectKeys, uid: str) -> str:
    """Return the UID that stands for `uid` under the project's key; one made with this key stays as it is."""
    uid = uid.strip(" \0")
    if is_ours(keys, uid):
        return uid
    digest = keys.digest("uid", uid.encode("utf-8", "surrogateescape"))[:_DIGEST_BYTES]
    return f"2.25.{int.from_bytes(digest + _check(keys, digest), 'big')}"


def is_ours(keys: ProjectKeys, uid: str) -> bool:
    """Return whether a UID was made by `new_uid` with this key."""
    found = _OURS.match(uid)
    number = int(found[1]) if found else 1 << 128
    if number >> 128:
        return False
    whole = number.to_bytes(_DIGEST_BYTES + _CHECK_BYTES, "big")
    return _check(keys, whole[:_DIGEST_BYTES]) == whole[_DIGEST_BYTES:]


def _check(keys: ProjectKeys, digest: bytes) -> bytes:
    return keys.digest("uid check", digest)[:_CHECK_BYTES]
