"""Colours of events, charts and pages: ON is red and OFF is blue everywhere."""

from __future__ import annotations

from typing import NamedTuple

from .config import PreviewColours

INK = "#1f2937"
QUIET = "#6b7280"
GRID = "#e5e7eb"
CARD = "#ffffff"
ACCENT = "#3b82d6"
ORANGE = "#d0801d"
GREY = "#8792a2"

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""


class EventPalette(NamedTuple):
    """Colours of events, and of the text and the bar below them."""

    background: Colour
    on: Colour
    off: Colour
    strip: Colour
    text: Colour
    bar: Colour


LIGHT = EventPalette((255, 255, 255), (214, 31, 38), (31, 95, 191), (243, 244, 246), (55, 65, 81), (29, 95, 191))
DARK = EventPalette((22, 28, 40), (255, 96, 88), (84, 156, 255), (13, 17, 26), (209, 213, 219), (127, 176, 245))
EVENT_PALETTES: dict[PreviewColours, EventPalette] = {"light": LIGHT, "dark": DARK}


def to_hex(colour: Colour) -> str:
    """Return a colour as in CSS."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


ON = to_hex(LIGHT.on)
OFF = to_hex(LIGHT.off)
"""ON and OFF colours in charts."""

PAGE_COLOURS = {INK: "ink", QUIET: "quiet", GRID: "line", CARD: "card", ON: "on", OFF: "off"}
"""Colours of charts that a page changes with its theme, and their names in its style sheet."""
