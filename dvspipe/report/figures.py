"""Figures of matplotlib in the style of dvspipe: PNG files, pictures of notebooks, and SVG in pages."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError, escape_controls
from ..base.files import write_beside
from ..base.texts import readable
from .style import CARD, GRID, INK, LIGHT, PAGE_COLOURS, QUIET

SETTINGS_FILE = "matplotlibrc"  # matplotlib reads it from the current folder, if there is one, when imported

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
except UnicodeDecodeError as error:
    raise FormatError(f"{os.path.abspath(SETTINGS_FILE)}: settings of matplotlib, but not a text file") from error

DPI = 200  # twice matplotlib's density
SVG_DPI = 100  # pictures in the SVG of a page
SHARPNESS = 2  # screen pixels per CSS pixel assumed for pictures in notebooks
LEGEND_POINT = 36  # square points
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # the same figure is the same file
NAMESPACE = re.compile(r'xmlns(?::\w+)?="[^"]*"')  # pages know the ones of SVG


class TextStyle(TypedDict):
    """matplotlib arguments for text."""

    fontsize: float
    color: str


SMALL: TextStyle = {"fontsize": 8, "color": QUIET}
"""Style of small text, such as axis labels."""


def _reset_settings_of_folder() -> None:
    """Set what a `matplotlibrc` of the current folder has set to matplotlib's defaults.

    The folder may contain data of strangers. Settings that the session has changed since then remain.
    """
    if not os.path.isfile(SETTINGS_FILE):
        return

    for name, value in matplotlib.rc_params_from_file(SETTINGS_FILE, use_default_template=False).items():
        if matplotlib.rcParams[name] == value:
            matplotlib.rcParams[name] = matplotlib.rcParamsDefault[name]


_reset_settings_of_folder()


class ShownSize(TypedDict):
    """Size of a picture in a notebook, in CSS pixels."""

    width: int
    height: int


class Chart(Figure):
    """Figure that notebooks display without pyplot; pyplot displays only the figures that it created."""

    def _repr_png_(self) -> tuple[bytes, ShownSize]:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DPI)

        width, height = (int(DPI * inches) // SHARPNESS for inches in self.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}


def new_figure(width: float, height: float, title: str = "") -> Chart:
    """Create a figure of a size in inches, without pyplot's global state; a title above all axes adds to its height."""
    figure = Chart(figsize=(width, height + (0.3 if title else 0)), layout="constrained", facecolor="white")
    if title:
        figure.suptitle(escape_controls(title), fontsize=10, color=INK, parse_math=False)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG file, complete or not at all, and return its path."""
    with write_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=DPI)
    return path


def to_svg(figure: Figure) -> str:
    """Return the figure as an SVG element of a page, with texts and colours of the page."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dvspipe"}):
        figure.savefig(file, format="svg", dpi=SVG_DPI, transparent=True, metadata=NO_METADATA)

    _, start, drawing = file.getvalue().partition("<svg ")
    for colour, name in PAGE_COLOURS.items():
        drawing = drawing.replace(f": {colour}", f": var(--{name})")
    return NAMESPACE.sub("", start + drawing)


def grid_axes(axes: Axes, title: str) -> None:
    """Style chart axes: title, small labels, horizontal grid lines, only the lower spine."""
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(length=0, labelsize=8, labelcolor=QUIET)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def name_colours(axes: Axes, *, inside: bool = False) -> None:
    """Name the colours of axes in a legend, above their right end or inside."""
    legend = axes.legend(frameon=inside, fontsize=8, labelcolor=INK, ncols=1 if inside else 3)
    if inside:  # opaque, because it may cover a line
        legend.get_frame().set(facecolor=CARD, edgecolor="none", alpha=1)
    else:
        legend.set_loc("lower right")
        legend.set_bbox_to_anchor((1, 1))
    for text in legend.get_texts():
        text.set_parse_math(False)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):  # the points of a crowded chart are too small to see
            handle.set(sizes=[LEGEND_POINT], alpha=1)


def frame_axes(axes: Axes, title: str = "") -> None:
    """Style axes that show a picture: title, thin frame, no ticks."""
    axes.set_title(title, fontsize=8, color=INK, loc="left", parse_math=False)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK, labelbottom=False, labelleft=False)
    axes.spines[:].set_color(GRID)


def name_rows(axes: Axes, classes: Sequence[str]) -> None:
    """Name the rows of a picture after classes."""
    axes.set_yticks(range(len(classes)), [readable(name) for name in classes], parse_math=False)
    axes.tick_params(labelleft=True)


def mix_polarities(off: NDArray[np.float64], on: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    """Return the colours of OFF and ON values on white, [..., 3]; a sum of `largest` or more has the full colour."""
    total = off + on
    strength = np.minimum(total / largest, 1)[..., None]
    share = (on / np.maximum(total, 1e-9))[..., None]
    ink = share * np.array(LIGHT.on) + (1 - share) * np.array(LIGHT.off)
    return np.asarray(1 - strength * (1 - ink / 255), np.float64)
