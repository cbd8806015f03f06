"""Charts of the events of a recording: space and time, raster, and event rate.

A `PlotSource` is what is drawn. Each chart is a function in `PLOTS` that returns a figure; `plot_source` calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
MAX_RASTER_POINTS = 60_000
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
    def of(cls, part: RecordingPart, extent: Extent | None = None, progress: Progress | None = None) -> PlotSource:
        """Create a source from a recording or a part of one.

        Args:
            part: Part from `select_part`.
            extent: Result of `part.extent`. None computes it, and may read all events.
            progress: Called with the amount read while drawing.
        """
        count, first_us, last_us = part.extent() if extent is None else extent
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

    def bin_edges_us(self, bins: int) -> NDArray[np.float64]:
        """Return the edges of bins of equal length that cover all events, float64 [bins + 1]."""
        first_us, last_us = self.span_us
        return np.linspace(first_us, last_us + 1, bins + 1)


def plot_source(kind: PlotKind, source: PlotSource, title: str = "") -> Figure:
    """Plot a recording; of too many events, every n-th is drawn.

    Raises:
        ConfigError: If the kind is unknown.
    """
    if kind not in PLOTS:
        raise ConfigError(f"chart = {kind!r}: unknown chart (expected {', '.join(PLOTS)})")
    return PLOTS[kind](source, title)


def sample_events(source: PlotSource, limit: int) -> Events:
    """Return every n-th event, at most `limit` of them."""
    every = max(1, -(-source.count // limit))
    seen = 0
    sampled = []

    for part in source.chunks:
        # Continue the count of every n-th event across parts.
        sampled.append(part[-seen % every :: every])
        seen += len(part)

    return concatenate(sampled, source.sensor)


def _scatter(axes: Axes, events: Events, coordinates: Sequence[ArrayLike], style: Mapping[str, float]) -> None:
    """Draw OFF and ON events as points, with a legend."""
    from .figures import name_colours

    for on, (name, colour) in enumerate({"OFF": OFF, "ON": ON}.items()):
        selected = events.p == on
        points = (np.asarray(values)[selected] for values in coordinates)
        axes.scatter(*points, color=colour, linewidths=0, label=name, **style)  # type: ignore[arg-type]
    name_colours(axes)


def _describe_sample(title: str, events: Events, source: PlotSource) -> str:
    """Return the title, with how many events are drawn if these are not all."""
    return f"{title} ({len(events):,} of {source.count:,})" if len(events) < source.count else title


def _draw_xyt(source: PlotSource, title: str) -> Figure:
    from .figures import SMALL, new_figure

    events = sample_events(source, MAX_XYT_POINTS)
    sensor = source.sensor
    figure = new_figure(7, 4.3)
    figure.set_layout_engine("none")  # it does not know the size of 3D axes
    axes: Axes3D = figure.add_axes((-0.05, 0.1, 0.98, 0.82), projection="3d", computed_zorder=False)

    # More points get smaller and paler.
    crowd = len(events) / MAX_XYT_POINTS
    style = {"s": 6 - 4.8 * crowd, "alpha": 0.9 - 0.55 * crowd, "depthshade": False, "clip_on": False}
    _scatter(axes, events, ((events.t - source.first_us) / 1e6, events.x, events.y), style)

    axes.set_box_aspect((2.4, 1, sensor.height / sensor.width), zoom=1.5)
    axes.set_xlim(0, source.duration_s)
    axes.set_ylim(0, sensor.width - 1)
    axes.set_zlim(sensor.height - 1, 0)  # y counts downwards
    axes.view_init(elev=18, azim=-65)

    for name, axis in zip(("seconds", "x", "y"), (axes.xaxis, axes.yaxis, axes.zaxis), strict=True):
        axis.set_label_text(name, **SMALL)
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set_color(GRID)
    axes.locator_params(axis="y", nbins=3)
    axes.tick_params(labelsize=8, labelcolor=QUIET)

    heading = _describe_sample(f"{title}\nEvents in space and time".strip(), events, source)
    figure.text(0.02, 0.98, escape_controls(heading), va="top", fontsize=10, color=INK, parse_math=False)
    return figure


def _draw_raster(source: PlotSource, title: str) -> Figure:
    from .figures import grid_axes, new_figure

    events = sample_events(source, MAX_RASTER_POINTS)
    sensor = source.sensor
    figure = new_figure(9, 4.2, title)
    axes = figure.subplots()
    grid_axes(axes, _describe_sample("Events by pixel, row by row", events, source))
    axes.grid(visible=False)

    pixels = events.y.astype(np.int64) * sensor.width + events.x
    _scatter(axes, events, ((events.t - source.first_us) / 1e6, pixels), {"s": 0.5})
    axes.set_ylim(sensor.width * sensor.height, 0)
    _name_time(axes, source)
    return figure


def _draw_rate(source: PlotSource, title: str) -> Figure:
    from .figures import new_figure

    counts = np.zeros((2, RATE_BINS), np.int64)
    edges_us = source.bin_edges_us(RATE_BINS)
    for part in source.chunks:
        add_counts(counts, part, edges_us)

    figure = new_figure(9, 2.9, title)
    axes = figure.subplots()
    plot_rates(axes, counts, (edges_us - source.first_us) / 1e6)
    _name_time(axes, source)
    return figure


def add_counts(counts: NDArray[np.int64], events: Events, edges_us: NDArray[np.float64]) -> None:
    """Add the number of events to `counts`, by polarity (0 OFF, 1 ON) and bin."""
    for on in (0, 1):
        counts[on] += np.diff(np.searchsorted(events.t[events.p == on], edges_us))


def plot_rates(axes: Axes, counts: NDArray[np.int64], edges_s: NDArray[np.float64]) -> None:
    """Draw the rate of OFF events, and of ON events stacked on it.

    Args:
        axes: Axes to draw on.
        counts: Events per polarity (0 OFF, 1 ON) and bin, int64 [2, bins].
        edges_s: Edges of the bins in seconds, [bins + 1].
    """
    from .figures import grid_axes, name_colours

    grid_axes(axes, "Events per second")
    off_hz, on_hz = counts / np.diff(edges_s)
    axes.stairs(off_hz, edges_s, color=OFF, fill=True, label="OFF")
    axes.stairs(off_hz + on_hz, edges_s, baseline=off_hz, color=ON, fill=True, label="ON")
    name_colours(axes)

    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter("{x:,.10g}")


def _name_time(axes: Axes, source: PlotSource) -> None:
    from .figures import SMALL

    axes.set_xlim(0, source.duration_s)
    axes.set_xlabel(TIME_NAME, **SMALL)


PLOTS: dict[PlotKind, Callable[[PlotSource, str], Figure]] = {
    "xyt": _draw_xyt,
    "raster": _draw_raster,
    "rate": _draw_rate,
}
"""Drawing function of each chart type."""
