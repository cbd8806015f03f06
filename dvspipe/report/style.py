"""How all pictures look: colours, fonts and axes, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict

from ..errors import escape_controls
from ..files import write_beside
from .resolution import DPI

if TYPE_CHECKING:  # matplotlib is imported when something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, GRID = "#1f2937", "#6b7280", "#e5e7eb"
ACCENT, ORANGE, GREEN, RED = "#1d5fbf", "#d08a1d", "#4a9a62", "#d61f26"
GREY, PALE, EMPTY = "#8792a2", "#c9d3e0", "#f3f4f6"


class TextStyle(TypedDict):
    """Arguments of matplotlib for a text."""

    fontsize: float
    color: str


class TitleStyle(TextStyle):
    """Arguments of matplotlib for the title of axes."""

    loc: Literal["left"]


SMALL: TextStyle = {"fontsize": 8, "color": QUIET}
"""Of small texts, such as the names of axes."""
TITLE: TitleStyle = {"fontsize": 10, "color": INK, "loc": "left"}

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""
EventColours = Literal["light", "dark", "colour-blind"]
"""Names of the pairs of colours for ON and OFF events."""
ColourMap = Literal["viridis", "inferno", "grey"]
"""Names of the colour maps for how much happens, ON and OFF alike."""


class EventPalette(NamedTuple):
    """Colours of events, and of the texts and bars below them."""

    background: Colour
    on: Colour
    off: Colour
    strip: Colour
    text: Colour
    bar: Colour


LIGHT = EventPalette((255, 255, 255), (214, 31, 38), (31, 95, 191), (243, 244, 246), (75, 85, 99), (29, 95, 191))
# Metavision's
DARK = EventPalette((30, 37, 52), (255, 255, 255), (64, 126, 201), (20, 25, 36), (170, 180, 196), (127, 176, 245))
EVENT_PALETTES: dict[EventColours, EventPalette] = {
    "light": LIGHT,
    "dark": DARK,
    # Okabe and Ito's vermilion and blue: https://jfly.uni-koeln.de/color/
    "colour-blind": EventPalette(
        (255, 255, 255), (213, 94, 0), (0, 114, 178), (243, 244, 246), (75, 85, 99), (29, 95, 191)
    ),
}


def shares(colour: Colour) -> tuple[float, float, float]:
    """Return a colour as matplotlib takes it: red, green and blue, 0 to 1."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


ON, OFF = shares(LIGHT.on), shares(LIGHT.off)
"""Colours of ON and OFF events in charts, which are white."""


def readable(class_name: str) -> str:
    """Return the name of a class as it is shown.

    Example:
        >>> readable("right_hand_wave")
        'right hand wave'
    """
    return class_name.replace("_", " ")


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Return a new figure, a `Chart`, without pyplot's global state.

    Args:
        width: Its width in inches.
        height: Its height in inches, without the title.
        title: A text above all axes.
    """
    from .figures import Chart

    figure = Chart(figsize=(width, height + (0.3 if title else 0)), layout="constrained", facecolor="white")
    if title:
        figure.suptitle(escape_controls(title), fontsize=10, color=INK, parse_math=False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, complete or not at all.

    Raises:
        FileError: The file cannot be written.
    """
    with write_beside(Path(path)) as beside:
        figure.savefig(beside, format="png", dpi=DPI)


def strip_axes(axes: Axes) -> None:
    """Leave only the lower spine of axes, and small labels without ticks."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(length=0, labelsize=8, labelcolor=QUIET)


def grid_axes(axes: Axes, title: str) -> None:
    """Give axes a title, horizontal grid lines and only the lower spine."""
    strip_axes(axes)
    axes.set_title(title, **TITLE)
    axes.grid(axis="y", color=GRID, linewidth=0.8)


def frame_axes(axes: Axes, title: str) -> None:
    """Give axes that show an image a title and a thin frame, and no ticks."""
    axes.set_title(title, **TITLE)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(GRID)


def mark_integers(axes: Axes) -> None:
    """Place the ticks of the x axis at integers only."""
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
