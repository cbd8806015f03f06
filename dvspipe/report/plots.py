"""Charts of the events of a recording: space and time, and event rate.

A `PlotSource` is what is drawn. Each chart is a function in `PLOTS` that returns a figure; `plot_source` calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, escape_controls
from ..events import Events, SensorSize, concatenate
from .config import PlotKind
from .style import GRID, INK, OFF, ON, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D

    from ..base.progress import Progress
    from ..formats.source import Extent
    from ..recordings.editing import RecordingPart  # needs numba

RATE_BINS = 400
MAX_XYT_POINTS = 30_000
TIME_NAME = "seconds since the first event"


@dataclass(frozen=True)
class PlotSource:
    """Recording to draw.

    Args:
        chunks: Events in consecutive parts, read once.
        sensor: Sensor of the events.
        count: Number of events.
        span_us: Times of the first and last event in microseconds.
    """

    chunks: Iterable[Events]
    sensor: SensorSize
    count: int
    span_us: tuple[int, int]

    @classmethod
    def of(cls, part: RecordingPart, extent: Extent, progress: Progress | None = None) -> PlotSource:
        """Create a source from a part of a recording and its extent; drawing it calls `progress`."""
        count, first_us, last_us = extent
        return cls(part.chunks(progress=progress), part.sensor, count, (first_us or 0, last_us or 0))

    @property
    def duration_s(self) -> float:
        """Time from the first to the last event in seconds, > 0."""
        first_us, last_us = self.span_us
        return max(1e-6, (last_us - first_us) / 1e6)

    @property
    def first_us(self) -> int:
        """Time of the first event in microseconds."""
        first_us, _ = self.span_us
        return first_us


def plot_source(kind: PlotKind, source: PlotSource, title: str = "") -> Figure:
    """Plot a recording; of too many events, every n-th is drawn.

    Raises:
        ConfigError: If the kind is unknown.
    """
    if kind not in PLOTS:
        raise ConfigError(f"chart = {kind!r}: unknown chart (expected {', '.join(PLOTS)})")
    return PLOTS[kind](source, title)


def _sample_events(source: PlotSource, limit: int) -> Events:
    """Return every n-th event, at most `limit` of them."""
    every = max(1, -(-source.count // limit))
    seen = 0
    sampled = []

    for part in source.chunks:
        # Continue the count of every n-th event across parts.
        sampled.append(part[-seen % every :: every])
        seen += len(part)

    return concatenate(sampled, source.sensor)


def _draw_xyt(source: PlotSource, title: str) -> Figure:
    from matplotlib.ticker import MaxNLocator

    from .figures import SMALL, name_colours, new_figure

    events = _sample_events(source, MAX_XYT_POINTS)
    sensor = source.sensor
    figure = new_figure(8, 5.2)
    figure.set_layout_engine("none")  # it does not know the size of 3D axes
    axes: Axes3D = figure.add_axes((0, 0, 1, 0.95), projection="3d", computed_zorder=False)

    # More points get smaller and paler.
    crowd = len(events) / MAX_XYT_POINTS
    seconds = (events.t - source.first_us) / 1e6
    for name, colour, chosen in (("OFF", OFF, ~events.p), ("ON", ON, events.p)):
        points = seconds[chosen], events.x[chosen], events.y[chosen]
        style = {"s": 6 - 4.8 * crowd, "alpha": 0.9 - 0.55 * crowd, "depthshade": False, "clip_on": False}
        axes.scatter(*points, color=colour, linewidths=0, label=name, **style)

    axes.set_box_aspect((1.8, 1, sensor.height / sensor.width), zoom=1.2)
    axes.set_xlim(0, source.duration_s)
    axes.set_ylim(0, sensor.width - 1)
    axes.set_zlim(sensor.height - 1, 0)  # y counts downwards
    axes.view_init(elev=20, azim=-62)

    for name, axis in zip(("seconds", "x", "y"), (axes.xaxis, axes.yaxis, axes.zaxis), strict=True):
        axis.set_label_text(name, **SMALL)
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set_color(GRID)
        axis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=8, labelcolor=QUIET)
    name_colours(axes)

    sampled = f" ({len(events):,} of {source.count:,})" if len(events) < source.count else ""
    heading = f"{title}\nEvents in space and time{sampled}".strip()
    figure.text(0.02, 0.98, escape_controls(heading), va="top", fontsize=10, color=INK, parse_math=False)
    return figure


def _draw_rate(source: PlotSource, title: str) -> Figure:
    from .figures import SMALL, grid_axes, name_colours, new_figure

    counts = np.zeros((2, RATE_BINS), np.int64)
    first_us, last_us = source.span_us
    edges_us = np.linspace(first_us, last_us + 1, RATE_BINS + 1)
    for part in source.chunks:
        for polarity in (0, 1):
            counts[polarity] += np.diff(np.searchsorted(part.t[part.p == polarity], edges_us))

    figure = new_figure(9, 2.9, title)
    axes = figure.subplots()
    grid_axes(axes, "Events per second")
    off, on = counts
    plot_rates(axes, (edges_us - first_us) / 1e6, ("OFF", OFF, off), ("ON", ON, on))
    name_colours(axes)
    axes.set_xlim(0, source.duration_s)
    axes.set_xlabel(TIME_NAME, **SMALL)
    return figure


def plot_rates(axes: Axes, edges_s: NDArray[np.float64], *stacked: tuple[str, str, NDArray[np.int64]]) -> None:
    """Draw event rates on each other: a name, a colour and the events of each bin [bins]; edges in seconds."""
    below = np.zeros(len(edges_s) - 1)
    for name, colour, counts in stacked:
        above = below + counts / np.diff(edges_s)
        axes.stairs(above, edges_s, baseline=below, color=colour, fill=True, label=name)
        below = above

    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter("{x:,.10g}")


PLOTS: dict[PlotKind, Callable[[PlotSource, str], Figure]] = {"xyt": _draw_xyt, "rate": _draw_rate}
"""Drawing function of each chart type."""
