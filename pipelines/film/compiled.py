"""The one way in which this room compiles a loop: cached on disk, without the interpreter's lock.

Kernels run one after the other inside a frame; frames run side by side on threads. So a frame's bytes
do not depend on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Return `function` compiled to machine code on its first call; later runs read the compiled code."""
    return cast("F", numba.njit(cache=True, nogil=True)(function))
