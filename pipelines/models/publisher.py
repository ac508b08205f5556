"""One file from its publisher's address. The only module of the pipelines that opens a connection.

It is imported by `medviz models pull` alone, never by a stage.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO

from medviz.core.errors import WeightsMissing
from medviz.core.progress import Progress

_CHUNK_BYTES = 1 << 20
_PATIENCE_S = 15.0


def download(address: str, partial: Path, size_bytes: int, progress: Progress) -> None:
    """Download `address` into `partial`, going on from the bytes that are already there.

    Raises
    ------
    WeightsMissing
        If the address cannot be reached or sends more than `size_bytes`.
    """
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
            goes_on = answer.status == 206
            with partial.open("ab" if goes_on else "wb") as target:
                _copy(answer, target, size_bytes, progress)
    except (urllib.error.URLError, TimeoutError, HTTPException, ConnectionError) as error:
        raise WeightsMissing(
            f"The publisher's address did not answer ({type(error).__name__}).", reason="SOURCE_UNREACHABLE"
        ) from None


def _copy(answer: IO[bytes], target: IO[bytes], size_bytes: int, progress: Progress) -> None:
    while chunk := answer.read(_CHUNK_BYTES):
        if target.tell() + len(chunk) > size_bytes:
            raise WeightsMissing("The publisher's address sent too many bytes.", reason="WEIGHTS_DAMAGED")
        target.write(chunk)
        progress(target.tell() / size_bytes, f"{target.tell() >> 20} of {size_bytes >> 20} MiB")
