"""Charts of the events of a recording: space and time, raster, and event rate.

A `PlotSource` is what is drawn. Each chart is a function in `PLOTS` that returns a figure; `plot_source` calls it, and
`draw_events` writes the figure to a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, escape_controls
from ..base.files import require_suffix
from ..events import Events, SensorSize, concatenate
from .config import PlotKind, PreviewColours
from .style import (
    EVENT_PALETTES,
    GRID,
    INK,
    QUIET,
    SMALL,
    Shares,
    draw_steps,
    grid_axes,
    new_figure,
    save_figure,
    shares,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from mpl_toolkits.mplot3d import Axes3D

    from ..base.progress import Progress
    from ..formats.source import Extent
    from ..recordings.editing import RecordingPart  # needs numba

RATE_BINS = 400
MAX_XYT_POINTS = 30_000
MAX_RASTER_POINTS = 60_000
MARGIN_IN = 0.15  # around a 3D chart, in inches


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


class _Inks(NamedTuple):
    """Colours indexed by polarity: 0 OFF, 1 ON."""

    off: Shares
    on: Shares


def draw_events(
    kind: PlotKind, source: PlotSource, path: Path, *, colours: PreviewColours = "light", title: str = ""
) -> Path:
    """Draw the figure of `plot_source` as a PNG file, and return its path.

    Args:
        kind: Chart type.
        source: Recording to draw.
        path: PNG file to write.
        colours: Colours of ON and OFF: `colour-blind`; any other name means `light`.
        title: Title above the chart.

    Raises:
        ConfigError: If the kind is unknown.
        FileError: If the suffix is not .png, or the file cannot be written.
    """
    path = Path(path)
    require_suffix(path, "a chart", ".png")

    save_figure(plot_source(kind, source, colours=colours, title=title), path)
    return path


def plot_source(kind: PlotKind, source: PlotSource, *, colours: PreviewColours = "light", title: str = "") -> Figure:
    """Plot the events of a recording.

    Args:
        kind: `xyt`: each event in space and time. `raster`: each event by time and pixel number, counted row by row.
            `rate`: events per second in 400 bins. If there are too many events to draw, every n-th is drawn.
        source: Recording to draw.
        colours: Colours of ON and OFF: `colour-blind`; any other name means `light`.
        title: Title above the chart.
    """
    if kind not in PLOTS:
        raise ConfigError(f"{kind}: unknown chart of events (expected {', '.join(PLOTS)})")

    palette = EVENT_PALETTES["colour-blind" if colours == "colour-blind" else "light"]
    return PLOTS[kind](source, _Inks(shares(palette.off), shares(palette.on)), title)


def sample_events(source: PlotSource, limit: int) -> Events:
    """Return every n-th event, at most `limit` events."""
    every = max(1, -(-source.count // limit))
    seen = 0
    sampled = []

    for part in source.chunks:
        # Continue the count of every n-th event across parts.
        sampled.append(part[-seen % every :: every])
        seen += len(part)

    return concatenate(sampled, source.sensor)


def _draw_xyt(source: PlotSource, inks: _Inks, title: str) -> Figure:
    events = sample_events(source, MAX_XYT_POINTS)
    sensor = source.sensor
    figure = new_figure(width=7, height=7)
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    seconds = (events.t - source.first_us) / 1e6

    # More points get smaller and paler.
    crowd = len(events) / MAX_XYT_POINTS
    for on, (name, ink) in enumerate(zip(("OFF", "ON"), inks, strict=True)):
        same = events.p == on
        axes.scatter(
            seconds[same],
            events.x[same],
            events.y[same],
            s=6 - 4.8 * crowd,
            color=ink,
            alpha=0.9 - 0.55 * crowd,
            lw=0,
            depthshade=False,
            label=name,
            clip_on=False,
        )

    axes.set_box_aspect((2.4, 1, sensor.height / sensor.width), zoom=1.35)
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

    legend = _legend(axes, inks)
    legend.set_loc("upper right")
    legend.set_bbox_to_anchor((1, 1), figure.transFigure)

    heading = f"{title}\nEvents in space and time".strip() + _describe_sample(len(events), source)
    _crop(figure, axes, heading_in=0.5)
    figure.text(0.02, 0.98, escape_controls(heading), va="top", fontsize=10, color=INK, parse_math=False)

    return figure


def _crop(figure: Figure, axes: Axes3D, heading_in: float) -> None:
    """Crop the empty margins of 3D axes; keep a heading, and labels outside the axes."""
    from matplotlib.transforms import Bbox
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    figure.draw_without_rendering()
    corners = product(axes.get_xlim(), axes.get_ylim(), axes.get_zlim())
    projected = [proj_transform(*corner, axes.get_proj())[:2] for corner in corners]  # without the depth
    box = axes.transData.transform(projected)

    figure.set_layout_engine("none")
    to_inches = figure.dpi_scale_trans.inverted()

    # The layout does not know the size of 3D axes: measure the box and its labels.
    labels = [axis.get_tightbbox() for axis in (axes.xaxis, axes.yaxis, axes.zaxis)]
    everything = Bbox.union([*labels, Bbox([box.min(axis=0), box.max(axis=0)])])
    drawn = everything.transformed(to_inches)
    square = axes.get_window_extent().transformed(to_inches)

    width = drawn.width + 2 * MARGIN_IN
    height = drawn.height + 2 * MARGIN_IN + heading_in
    left = square.x0 - drawn.x0 + MARGIN_IN
    bottom = square.y0 - drawn.y0 + MARGIN_IN

    figure.set_size_inches(width, height)
    axes.set_position((left / width, bottom / height, square.width / width, square.height / height))


def _draw_raster(source: PlotSource, inks: _Inks, title: str) -> Figure:
    events = sample_events(source, MAX_RASTER_POINTS)
    sensor = source.sensor
    figure = new_figure(width=9, height=4.2, title=title)
    axes = figure.subplots()
    grid_axes(axes, "Events by pixel, row by row" + _describe_sample(len(events), source))
    axes.grid(visible=False)

    # Pixels are numbered row by row.
    seconds = (events.t - source.first_us) / 1e6
    pixels = events.y.astype(np.int64) * sensor.width + events.x
    for on, (name, ink) in enumerate(zip(("OFF", "ON"), inks, strict=True)):
        same = events.p == on
        axes.scatter(seconds[same], pixels[same], s=0.5, color=ink, linewidths=0, rasterized=True, label=name)

    _legend(axes, inks)
    axes.set_ylim(sensor.width * sensor.height, 0)
    _time_axis(axes, source)
    axes.yaxis.set_major_formatter("{x:,.0f}")

    return figure


def add_counts(counts: NDArray[np.int64], events: Events, edges_us: NDArray[np.float64]) -> None:
    """Add the number of events to `counts`, by polarity (0 OFF, 1 ON) and bin."""
    for on in (0, 1):
        counts[on] += np.diff(np.searchsorted(events.t[events.p == on], edges_us))


def _draw_rate(source: PlotSource, inks: _Inks, title: str) -> Figure:
    counts = np.zeros((2, RATE_BINS), np.int64)
    edges_us = source.bin_edges_us(RATE_BINS)
    for part in source.chunks:
        add_counts(counts, part, edges_us)
    bin_s = (edges_us[1] - edges_us[0]) / 1e6
    off_hz, on_hz = counts / bin_s

    figure = new_figure(width=9, height=2.9, title=title)
    axes = figure.subplots()
    grid_axes(axes, "Events per second")

    edges_s = (edges_us - source.first_us) / 1e6
    curves: dict[str, tuple[NDArray[np.float64], str | Shares]]
    curves = {"all": (off_hz + on_hz, INK), "ON": (on_hz, inks.on), "OFF": (off_hz, inks.off)}
    draw_steps(axes, edges_s, curves)

    axes.yaxis.set_major_formatter("{x:,.10g}")
    _time_axis(axes, source)
    return figure


def _legend(axes: Axes, inks: _Inks) -> Legend:
    """Draw a legend for ON and OFF above the chart."""
    legend = axes.legend(
        frameon=False,
        fontsize=8,
        labelcolor=inks,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        borderaxespad=0.2,
        handletextpad=0.2,
    )

    for handle in filter(None, legend.legend_handles):
        handle.set(sizes=[18], alpha=1)
    return legend


def _describe_sample(drawn: int, source: PlotSource) -> str:
    """Describe how many events are drawn, or return an empty text if all are."""
    return f" ({drawn:,} of {source.count:,})" if drawn < source.count else ""


def _time_axis(axes: Axes, source: PlotSource) -> None:
    axes.set_xlim(0, source.duration_s)
    axes.set_xlabel("seconds since the first event", **SMALL)


PLOTS: dict[PlotKind, Callable[[PlotSource, _Inks, str], Figure]] = {
    "xyt": _draw_xyt,
    "raster": _draw_raster,
    "rate": _draw_rate,
}
"""Drawing function of each chart type."""
