"""Charts of pages: data that the template chart.html draws as SVG and HTML.

Curves stretch to the width of the page while text keeps its size, so a chart is readable on a phone. Colours are those
of CSS, so it is readable in light and dark pages.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .pages import data_address, environment, outline_steps
from .style import GREY, Values

SIZE = 1000, 100  # drawing of curves in chart.html, which is stretched
PAGE_BLUE = (59, 130, 214)  # for light and dark pages
SHADE = 0.15  # opacity of a marked part
ELAPSED_NAME = "seconds since the first event"
TICKS = 4  # about as many labels per axis
TICK_STEPS = (1, 2, 5, 10)  # between labels, in powers of ten
MARGIN = 0.06  # above and below lines, relative to their range
MAX_EPOCHS = 8  # labelled on an axis
MAX_CELLS = 60  # rows of a confusion matrix with counts and names
MAX_DOTS = 20  # longer lines have no dot per value
HEADROOM = 1.08  # height of a panel, relative to the highest value


class Tick(NamedTuple):
    """Label of an axis at a place from 0 to 1."""

    place: float
    text: str


class Curve(NamedTuple):
    """Points of an SVG polyline, or of a filled polygon; a curve without a name is not in the legend."""

    name: str
    colour: str
    points: str
    is_filled: bool = False
    dash: str = ""
    has_dots: bool = False


class LaneBar(NamedTuple):
    """Part of a row, with a text that is cut if it does not fit; `left` and `width` are shares of the row."""

    left: float
    width: float
    text: str
    colour: str


class Lane(NamedTuple):
    """Named row of bars; `colour` marks the name."""

    name: str
    bars: Sequence[LaneBar] = ()
    colour: str = ""


class Axis(NamedTuple):
    """Range and name of an axis; `marks` are its labels by value, by default round numbers."""

    name: str
    low: float
    high: float
    marks: Mapping[float, str] | None = None

    def place(self, values: ArrayLike) -> Values:
        """Return the places of values on the axis, 0 to 1."""
        return (np.asarray(values, np.float64) - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[Tick]:
        """Labels inside the range."""
        marks = self.marks
        if marks is None:
            wanted = (self.high - self.low) / TICKS
            power = 10.0 ** math.floor(math.log10(wanted))
            step = next(number * power for number in TICK_STEPS if number * power >= wanted * (1 - 1e-9))
            numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
            marks = {number * step: f"{number * step:,.10g}" for number in numbers}

        inside = {value: text for value, text in marks.items() if self.low <= value <= self.high}
        return [Tick(float(self.place(value)), text) for value, text in inside.items()]


@dataclass(frozen=True)
class Panel:
    """Part of a chart: curves with labels of their values, or rows, above a picture or with bars.

    Args:
        title: Title.
        ticks: Labels of the values of curves.
        curves: Curves, the first one at the back.
        lanes: Rows.
        picture: Address of a picture that is stretched over all rows.
    """

    title: str
    ticks: Sequence[Tick] = ()
    curves: Sequence[Curve] = ()
    lanes: Sequence[Lane] = ()
    picture: str = ""


@dataclass(frozen=True)
class PageChart:
    """Panels below each other, with the same horizontal axis.

    Args:
        panels: Panels.
        across: Horizontal axis.
        text: Text alternative.
    """

    panels: Sequence[Panel]
    across: Axis
    text: str

    def to_html(self) -> str:
        """Return the HTML of the chart, for a page with the style sheet chart.css."""
        return _fill("chart.html", shown=self)


def chart_css() -> str:
    """Return the style sheet of charts; the page defines its colours `ink`, `quiet`, `line`, `page` and `card`."""
    return environment().get_template("chart.css").render()


def plot_steps(
    title: str,
    curves: Mapping[str, tuple[ArrayLike, str]],
    span: tuple[float, float] = (0, 1),
    *,
    is_filled: bool = False,
) -> Panel:
    """Return step curves: values of bins of equal length, and a colour, by name; `span` is the part of the axis."""
    values = {name: np.asarray(numbers, np.float64) for name, (numbers, _) in curves.items()}
    highest = max(float(numbers.max(initial=0)) for numbers in values.values()) or 1
    down = Axis("", 0, HEADROOM * highest)

    drawn = []
    for name, (_, colour) in curves.items():
        points = outline_steps(down.place(values[name]), SIZE, span)
        # Only a filled curve includes the corners at the bottom.
        shown = points if is_filled else points[1:-1]
        drawn.append(Curve(name, colour, " ".join(shown), is_filled))

    return Panel(title, down.ticks, drawn)


class Line(NamedTuple):
    """Values over positions of the horizontal axis; values that are not finite are left out.

    A short line has a dot per value, unless `has_dots` is false.
    """

    name: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    dash: str = ""
    has_dots: bool = True


def epoch_axis(epochs: Sequence[int], name: str = "epoch") -> Axis:
    """Return the axis of all epochs, labelled with some of them."""
    first = min(epochs, default=1)
    last = max(epochs, default=1)
    every = -(-(last - first + 1) // MAX_EPOCHS)
    marks = {float(epoch): str(epoch) for epoch in range(first, last + 1) if epoch % every == 0 or every == 1}
    return Axis(name, first - 0.5, last + 0.5, marks)


def plot_lines(
    title: str,
    lines: Sequence[Line],
    across: Axis,
    *,
    starts_at_zero: bool = False,
    min_range: float = 0.0,
    marks: Sequence[float] = (),
    shaded: tuple[float, float] | None = None,
) -> Panel:
    """Return lines over the horizontal axis, with dashed lines at the marks.

    The axis of the values spans `min_range` or more.
    """
    finite = [value for line in lines for value in line.y if math.isfinite(value)] or [0.0, 1.0]
    low = min(0.0, *finite) if starts_at_zero else min(finite)
    span = max(finite) - low
    margin = max(MARGIN * span, (min_range - span) / 2) or 0.5
    # Values that are never negative have no labels below 0.
    down = Axis("", low if 0 <= low < margin else low - margin, max(finite) + margin)

    width, height = SIZE
    curves = []
    for line in lines:
        kept = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        places = [(width * float(across.place(x)), height * (1 - float(down.place(y)))) for x, y in kept]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        has_dots = line.has_dots and len(places) <= MAX_DOTS
        curves.append(Curve(line.name, line.colour, points, dash=line.dash, has_dots=has_dots))

    marked = []
    if shaded is not None:
        left, right = (f"{width * float(across.place(edge)):.1f}" for edge in shaded)
        colour = with_opacity(PAGE_BLUE, SHADE)
        marked.append(Curve("", colour, f"{left},0 {right},0 {right},{height} {left},{height}", is_filled=True))
    for mark in marks:
        x = f"{width * float(across.place(mark)):.1f}"
        marked.append(Curve("", GREY, f"{x},0 {x},{height}", dash="4 3"))
    return Panel(title, down.ticks, [*marked, *curves])


def with_opacity(colour: tuple[int, int, int], opacity: float) -> str:
    """Return a colour of CSS from red, green and blue, 0 to 255, and an opacity, 0 to 1."""
    red, green, blue = colour
    return f"rgb({red} {green} {blue} / {opacity:g})"


def shade(opacity: Values, colours: ArrayLike = PAGE_BLUE) -> str:
    """Return the address of a picture, for an element of the page.

    Args:
        opacity: Opacity of each pixel, 0 to 1, [H, W].
        colours: Red, green and blue, 0 to 255, of each pixel [H, W, 3] or of all [3].
    """
    from PIL import Image

    pixels = np.empty((*opacity.shape, 4), np.uint8)
    pixels[..., :3] = colours
    pixels[..., 3] = np.rint(255 * opacity)

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return data_address("image/png", file.getvalue())


def show_confusion(counts: ArrayLike, classes: Sequence[str]) -> str:
    """Return the HTML of a confusion matrix [K, K]: a table, or a picture of very many classes."""
    confusion = np.asarray(counts)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    picture = shade(share) if len(classes) > MAX_CELLS else ""
    return _fill("confusion.html", counts=confusion.tolist(), share=share.tolist(), classes=classes, picture=picture)


def _fill(template: str, **values: object) -> str:
    """Return the result of the macro `html` in a template; unlike other texts, a page shows it as HTML."""
    return environment().get_template(template).module.html(**values)  # type: ignore[attr-defined,no-any-return]
