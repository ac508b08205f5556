"""Title, text and end cards."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pipelines.film.furniture import Frame, Layout
from pipelines.film.lettering import AMBER, GREY, WHITE, Style, lay, written


def draw_card(frame: Frame, layout: Layout, title: str, lines: Sequence[str], notes: Sequence[str]) -> None:
    """Draw a card in place: a title, the lines said so far, and small notes under a rule."""
    left, wide = layout.px(150), layout.px(1280 - 300)
    y = layout.px(190 if len(lines) < 4 else 120)
    for row in textwrap.wrap(title, 44):
        lay(frame, written(row, Style(layout.px(46), WHITE, 1)).at(left, y))
        y += layout.px(60)
    y += layout.px(10)
    frame[y : y + layout.px(3), left : left + layout.px(120)] = AMBER
    y += layout.px(30)
    for text in lines:
        for row in textwrap.wrap(text, 66):
            lay(frame, written(row, Style(layout.px(29), (225, 230, 236))).at(left, y))
            y += layout.px(40)
        y += layout.px(10)
    y = max(y, layout.px(430))
    for note in notes:
        for row in textwrap.wrap(note, max(wide // layout.px(10), 20)):
            lay(frame, written(row, Style(layout.px(20), GREY)).at(left, y))
            y += layout.px(29)
