"""Colours, fonts and axes shared by all charts and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict

from ..base.errors import escape_controls
from ..base.files import write_beside
from .resolution import DPI

if TYPE_CHECKING:  # import matplotlib only when something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, GRID = "#1f2937", "#6b7280", "#e5e7eb"
ACCENT, ORANGE, GREEN, RED = "#1d5fbf", "#d08a1d", "#4a9a62", "#d61f26"
GREY, PALE, EMPTY = "#8792a2", "#c9d3e0", "#f3f4f6"


class TextStyle(TypedDict):
    """matplotlib arguments for text."""

    fontsize: float
    color: str


class TitleStyle(TextStyle):
    """matplotlib arguments for the title of axes."""

    loc: Literal["left"]


SMALL: TextStyle = {"fontsize": 8, "color": QUIET}
"""Style of small text, such as axis labels."""
TITLE: TitleStyle = {"fontsize": 10, "color": INK, "loc": "left"}

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
EventColours = Literal["light", "dark", "colour-blind"]
"""Colour schemes for ON and OFF events."""
ColourMap = Literal["viridis", "inferno", "grey"]
"""Colour maps for the number of events, ON and OFF alike."""


class EventPalette(NamedTuple):
    """Colours of events, and of the text and bars below them."""

    background: Colour
    on: Colour
    off: Colour
    strip: Colour
    text: Colour
    bar: Colour


LIGHT = EventPalette((255, 255, 255), (214, 31, 38), (31, 95, 191), (243, 244, 246), (75, 85, 99), (29, 95, 191))
# colours of Metavision
DARK = EventPalette((30, 37, 52), (255, 255, 255), (64, 126, 201), (20, 25, 36), (170, 180, 196), (127, 176, 245))
EVENT_PALETTES: dict[EventColours, EventPalette] = {
    "light": LIGHT,
    "dark": DARK,
    # vermilion and blue of Okabe and Ito: https://jfly.uni-koeln.de/color/
    "colour-blind": EventPalette(
        (255, 255, 255), (213, 94, 0), (0, 114, 178), (243, 244, 246), (75, 85, 99), (29, 95, 191)
    ),
}


def shares(colour: Colour) -> tuple[float, float, float]:
    """Convert a colour to matplotlib's range: red, green, blue, 0 to 1."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


ON, OFF = shares(LIGHT.on), shares(LIGHT.off)
"""ON and OFF colours in charts on white."""


def readable(class_name: str) -> str:
    """Return the display name of a class.

    Example:
        >>> readable("right_hand_wave")
        'right hand wave'
    """
    return class_name.replace("_", " ")


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Create a figure, a `Chart`, without using pyplot's global state.

    Args:
        width: Width in inches.
        height: Height in inches, without the title.
        title: Title above all axes.
    """
    from .figures import Chart

    figure = Chart(figsize=(width, height + (0.3 if title else 0)), layout="constrained", facecolor="white")
    if title:
        figure.suptitle(escape_controls(title), fontsize=10, color=INK, parse_math=False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, complete or not at all.

    Raises:
        FileError: If the file cannot be written.
    """
    with write_beside(Path(path)) as beside:
        figure.savefig(beside, format="png", dpi=DPI)


def strip_axes(axes: Axes) -> None:
    """Keep only the lower spine of axes; use small tick labels without tick marks."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(length=0, labelsize=8, labelcolor=QUIET)


def grid_axes(axes: Axes, title: str) -> None:
    """Style chart axes: title, horizontal grid lines, only the lower spine."""
    strip_axes(axes)
    axes.set_title(title, **TITLE)
    axes.grid(axis="y", color=GRID, linewidth=0.8)


def frame_axes(axes: Axes, title: str) -> None:
    """Style axes that show an image: title, thin frame, no ticks."""
    axes.set_title(title, **TITLE)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(GRID)


def mark_integers(axes: Axes) -> None:
    """Place the ticks of the x axis only at integers."""
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
