"""Text burned into pictures: found by reading them, painted over, and read again (PS3.15 E.3.1)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from anonymize.denylist import DenyList
from anonymize.elements import ParsedFile, broken


class TextBox(NamedTuple):
    """Text found in a picture: first and last row and column (last excluded), what it says, how sure (0-1)."""

    top: int
    bottom: int
    left: int
    right: int
    text: str
    score: float


class TextFinder(Protocol):
    """Reads the text of a picture."""

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        """Return every text box of a picture, shape (rows, columns, 3), RGB."""


def without_burned_in_text(
    parsed: ParsedFile, finder: TextFinder | None, deny: DenyList
) -> tuple[ParsedFile, int, int]:
    """Return the file without the text in its pixels, the frames read and the boxes filled."""
    raise broken("HELD_FOR_REVIEW")
