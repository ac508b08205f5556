"""How long work tells where it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the fraction done (0 to 1) and a short figure for people, such as ``frame 120 of 900``.

It may raise `Cancelled`; a stage lets that pass.
"""


def silent(fraction: float, figure: str) -> None:
    """Tell nobody."""
