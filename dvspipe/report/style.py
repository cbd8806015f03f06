"""Colours, fonts and axes shared by all charts and pictures.

A chart is a figure from `new_figure` whose axes are styled by one of the functions `strip_axes`, `grid_axes`,
`frame_axes` or `name_axes`, and which `save_figure` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.errors import escape_controls
from ..base.files import write_beside
from .config import DPI, EventColours

if TYPE_CHECKING:  # import matplotlib only when something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2937"
QUIET = "#6b7280"
GRID = "#e5e7eb"
ACCENT = "#1d5fbf"
ORANGE = "#d08a1d"
GREEN = "#4a9a62"
RED = "#d61f26"
GREY = "#8792a2"
PALE = "#c9d3e0"
EMPTY = "#f3f4f6"


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

DASHED = (0, (4, 3))
"""matplotlib line style."""

Values = NDArray[np.float64]
Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
Shares = tuple[float, float, float]
"""Red, green, blue, 0 to 1."""


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


def to_hex(colour: Colour) -> str:
    """Return a colour as in CSS."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def shares(colour: Colour) -> Shares:
    """Convert a colour to matplotlib's range."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


ON = shares(LIGHT.on)
OFF = shares(LIGHT.off)
"""ON and OFF colours in charts on white."""


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Create a figure of a size in inches, without pyplot's global state; a title above all axes adds to its height."""
    from .figures import Chart

    figure = Chart(figsize=(width, height + (0.3 if title else 0)), layout="constrained", facecolor="white")
    if title:
        figure.suptitle(escape_controls(title), fontsize=10, color=INK, parse_math=False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, complete or not at all."""
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


def name_axes(axes: Axes, *, labelsize: float = 8, labelbottom: bool = True) -> None:
    """Style axes whose ticks are names: dark labels, no spines and no tick marks."""
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=labelsize, labelcolor=INK, labelbottom=labelbottom)


def draw_steps(axes: Axes, edges: ArrayLike, curves: Mapping[str, tuple[ArrayLike, str | Shares]]) -> None:
    """Draw step curves, values with a colour by name, with a legend above them."""
    edges = np.asarray(edges, np.float64)
    for name, (values, colour) in curves.items():
        axes.stairs(values, edges, color=colour, linewidth=1.2, label=name, baseline=None, zorder=3)

    axes.set_xlim(edges[0], edges[-1])
    highest = max(float(np.max(values)) for values, _ in curves.values())
    axes.set_ylim(0, 1.15 * max(1e-6, highest))  # leave room for the legend
    axes.legend(frameon=False, fontsize=8, labelcolor="linecolor", loc="upper right", ncols=len(curves))


def mix_polarities(off: Values, on: Values, largest: Values | float) -> Values:
    """Return the colours of OFF and ON values on white, [..., 3]; a sum of `largest` or more has the full colour."""
    total = off + on
    strength = np.minimum(total / largest, 1)[..., None]
    share = (on / np.maximum(total, 1e-9))[..., None]
    ink = share * np.array(ON) + (1 - share) * np.array(OFF)
    return np.asarray(1 - strength * (1 - ink), np.float64)
