"""New UIDs from old ones: the same everywhere, and never back without the key (PS3.5 B.2)."""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom._uid_dict import UID_dictionary

from anonymize.keys import ProjectKeys

_STANDARD = re.compile(r"^1\.2\.840\.10008(\.\d{1,5}){1,6}$")


@lru_cache(maxsize=4096)
def is_well_known(uid: str) -> bool:
    """Return whether a UID is the standard's own: a SOP class, a transfer syntax, a context group."""
    return uid in UID_dictionary or bool(_STANDARD.match(uid))


def new_uid(keys: ProjectKeys, uid: str) -> str:
    """Return ``2.25.`` and a 128-bit number made from the old UID with the project's key."""
    digest = keys.digest("uid", uid.strip(" \0").encode("utf-8", "surrogateescape"))
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
