"""Comparison of two recordings: metrics as text, and a page with charts.

The recordings are called A, the reference, and B. `describe_comparison` lists all metrics (functions `_..._metrics`);
`write_comparison_page` shows them with four charts (functions `_draw_...`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.files import TemporaryFolder, require_suffix
from .pages import PAGE_SUFFIXES, UNDEFINED, Media, Table, percent, write_page
from .style import INK, OFF, ON, QUIET, SMALL, draw_steps, frame_axes, grid_axes, name_axes, new_figure, save_figure

if TYPE_CHECKING:  # comparing needs numba; other reports must not import it
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

    from ..recordings.comparison import Comparison, NearestDistance

PAIR_COLOURS = (INK, "#d97706")  # A and B
RECORDINGS = ("A", "B")
MAX_STEPS = 1000  # steps of a rate curve; a chart cannot resolve more
INTERVAL_BINS_PER_STEP = 5  # comparison bins per chart step: 20 steps per decade
MAX_SHADE_PERCENTILE = 99.5  # percentile of |ON - OFF| at full colour; hot pixels would pale all others
MAP_WIDTH = 4.3  # inches per map; two are side by side
INTERVAL_TICKS = {
    10.0**k: name
    for k, name in enumerate(("1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"))
}


class Metric(NamedTuple):
    """One metric of a comparison.

    Args:
        name: Name of the metric.
        value: Value with its unit; "–" if undefined.
        meaning: Definition of the metric.
    """

    name: str
    value: str
    meaning: str


def describe_comparison(comparison: Comparison) -> list[Metric]:
    """Return all metrics of a comparison as text."""
    return [
        *_recording_metrics(comparison),
        *_map_metrics(comparison),
        *_voxel_metrics(comparison),
        *_nearest_metrics(comparison, "A", "B", comparison.nearest_to_a),
        *_nearest_metrics(comparison, "B", "A", comparison.nearest_to_b),
        Metric(
            "inter-event-interval distance",
            _number(comparison.interval_distance, " decades"),
            "Wasserstein-1 distance between the distributions of log10(interval between events of one pixel); "
            "0: identical; 0.3: a factor of 2 on average",
        ),
    ]


def write_comparison_page(comparison: Comparison, names: tuple[str, str], path: Path) -> Path:
    """Write a page with all metrics, rate curves, count maps, intervals and polarities, and return its path.

    Args:
        comparison: Comparison to show.
        names: Display names of A and B, such as their file names.
        path: HTML file to write.

    Raises:
        FileError: If the suffix is not .html or .htm, or the file cannot be written.
    """
    path = Path(path)
    require_suffix(path, "a page", *PAGE_SUFFIXES)
    name_a, name_b = names
    title = f"{name_b} compared with {name_a}"

    with TemporaryFolder() as folder:
        return write_page(
            path,
            "comparison.html",
            title=title,
            heading=title,
            kind="",
            names=names,
            sensor=str(comparison.sensor),
            metrics=Table(("Metric", "Value", "Meaning"), describe_comparison(comparison)),
            charts=_draw_charts(comparison, Path(folder)),
        )


def _draw_charts(comparison: Comparison, folder: Path) -> list[tuple[str, Media]]:
    """Draw the charts into `folder`; return them with their titles."""
    drawn: list[tuple[str, Callable[[Comparison], Figure], str]] = [
        (
            "Event rates",
            _draw_rates,
            f"Events per second in bins of {_ms(comparison.bin_us)} or a multiple of it.",
        ),
        ("Events per pixel", _draw_maps, "Above: ON + OFF events, on a logarithmic scale. Below: ON - OFF events."),
        (
            "Intervals between the events of a pixel",
            _draw_intervals,
            "Share of all intervals per 1/20 decade; the first and last bins include shorter and longer intervals.",
        ),
        ("Polarity", _draw_polarities, "Share of ON and OFF events."),
    ]

    charts = []
    for number, (title, draw, caption) in enumerate(drawn):
        path = folder / f"{number}.png"
        save_figure(draw(comparison), path)
        charts.append((title, Media(path, caption, is_chart=True)))

    return charts


def _number(value: float | None, unit: str = "", digits: int = 3, divisor: float = 1) -> str:
    return UNDEFINED if value is None else f"{value / divisor:,.{digits}f}{unit}"


def _percent(share: float | None) -> str:
    return UNDEFINED if share is None else percent(share)


def _ms(setting_us: int) -> str:
    return f"{setting_us / 1000:,g} ms"


def _format_pair(a: str, b: str, ratio: float | None) -> str:
    return f"A {a} · B {b} · B/A {_number(ratio)}"


def _recording_metrics(comparison: Comparison) -> list[Metric]:
    a = comparison.a
    b = comparison.b
    ratios = comparison.ratios

    return [
        Metric("events", _format_pair(f"{a.events:,}", f"{b.events:,}", ratios.events), "number of events"),
        Metric(
            "duration",
            _format_pair(_number(a.duration_us * 1e-6, " s"), _number(b.duration_us * 1e-6, " s"), ratios.duration),
            "from the first event to the last",
        ),
        Metric(
            "event rate",
            _format_pair(_number(a.rate_hz, " /s", 0), _number(b.rate_hz, " /s", 0), ratios.rate),
            "events / duration",
        ),
        Metric(
            "ON share",
            _format_pair(_percent(a.on_share), _percent(b.on_share), ratios.on_share),
            "ON events / all events",
        ),
        Metric(
            "ON/OFF ratio",
            _format_pair(_number(a.on_off_ratio), _number(b.on_off_ratio), ratios.on_off_ratio),
            "ON events / OFF events",
        ),
        Metric(
            "rate correlation",
            _number(comparison.rate_correlation),
            f"Pearson correlation of events per {_ms(comparison.bin_us)}; 1 is best",
        ),
    ]


def _map_metrics(comparison: Comparison) -> list[Metric]:
    maps = comparison.maps
    window = _ms(comparison.settings.window_us)

    return [
        Metric(
            "count correlation", _number(maps.unsigned), "Pearson correlation over pixels of ON + OFF events; 1 is best"
        ),
        Metric(
            "count correlation, blurred", _number(maps.unsigned_blurred), "count correlation after a 5 x 5 box blur"
        ),
        Metric(
            "signed correlation", _number(maps.signed), "Pearson correlation over pixels of ON - OFF events; 1 is best"
        ),
        Metric(
            "signed correlation, blurred", _number(maps.signed_blurred), "signed correlation after a 5 x 5 box blur"
        ),
        Metric(
            f"signed correlation per {window}",
            _number(maps.signed_blurred_per_window),
            f"blurred signed correlation in windows of {window}: median of the {maps.windows} windows where both have "
            f"events, out of {maps.windows_with_events} where at least one has",
        ),
    ]


def _voxel_metrics(comparison: Comparison) -> list[Metric]:
    voxels = comparison.voxels
    size = f"{_ms(comparison.voxel_us)}, one pixel, one polarity"
    return [
        Metric("voxel F1", _number(voxels.f1), f"harmonic mean of precision and recall, 1 is best; a voxel is {size}"),
        Metric(
            "voxel precision", _number(voxels.precision), f"share of B's {voxels.b:,} voxels where A also has events"
        ),
        Metric("voxel recall", _number(voxels.recall), f"share of A's {voxels.a:,} voxels where B also has events"),
    ]


def _nearest_metrics(comparison: Comparison, own: str, other: str, nearest: NearestDistance) -> list[Metric]:
    reach = _ms(comparison.reach_us)

    return [
        Metric(
            f"time from {own} to {other}, median",
            _number(nearest.median_us, " ms", divisor=1000),
            f"from an event of {own} to the nearest event of {other} at the same pixel and polarity, within {reach}",
        ),
        Metric(
            f"time from {own} to {other}, 90 %",
            _number(nearest.p90_us, " ms", divisor=1000),
            "90th percentile of this time",
        ),
        Metric(
            f"only in {own}",
            _percent(nearest.without_share),
            f"events of {own} without an event of {other} within {reach}",
        ),
    ]


def _merge_bins(counts: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Sum groups of `number` consecutive counts; the last group may be smaller."""
    return np.add.reduceat(counts, np.arange(0, len(counts), number)) if len(counts) else counts


def _draw_rates(comparison: Comparison) -> Figure:
    # Merge bins: a chart cannot resolve more than MAX_STEPS steps.
    bins = len(comparison.a.bin_counts)
    bins_per_step = max(1, -(-bins // MAX_STEPS))
    step_s = bins_per_step * comparison.bin_us * 1e-6
    rates_a_hz = _merge_bins(comparison.a.bin_counts, bins_per_step) / step_s
    rates_b_hz = _merge_bins(comparison.b.bin_counts, bins_per_step) / step_s

    edges_s = np.arange(len(rates_a_hz) + 1) * step_s
    figure, axes = _new_steps("Events per second", edges_s, (rates_a_hz, rates_b_hz))
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.set_xlabel("seconds since the first event", **SMALL)
    return figure


def _new_steps(title: str, edges: ArrayLike, both: Sequence[ArrayLike]) -> tuple[Figure, Axes]:
    """Create a figure with the step curves of both recordings; it is empty if there are no steps."""
    figure = new_figure(width=9, height=2.9)
    axes = figure.subplots()
    grid_axes(axes, title)

    if np.size(edges) > 1:
        curves = {name: (values, colour) for name, values, colour in zip(RECORDINGS, both, PAIR_COLOURS, strict=True)}
        draw_steps(axes, edges, curves)
    return figure, axes


def _draw_maps(comparison: Comparison) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    sides = (comparison.a, comparison.b)
    sensor = comparison.sensor
    height = float(np.clip(MAP_WIDTH * sensor.height / sensor.width, 1, 8))

    figure = new_figure(width=2 * MAP_WIDTH + 0.8, height=2 * height + 0.8)
    top, bottom = figure.subplots(2, 2, squeeze=False)

    # A logarithmic scale needs two different ends.
    highest = max(2, *(int(side.unsigned_map.max()) for side in sides))
    unsigned = [np.ma.masked_equal(side.unsigned_map, 0) for side in sides]
    _draw_map_pair(figure, top, "ON + OFF", unsigned, LogNorm(1, highest), "viridis_r")

    # Hot pixels would make all others pale: the colours end at a percentile.
    filled = np.abs(np.concatenate([side.signed_map[side.unsigned_map > 0] for side in sides]))
    largest = max(1.0, float(np.percentile(filled, MAX_SHADE_PERCENTILE)) if filled.size else 1.0)
    polarity = LinearSegmentedColormap.from_list("polarity", [OFF, (1, 1, 1), ON])
    signed = [side.signed_map for side in sides]
    _draw_map_pair(figure, bottom, "ON - OFF", signed, Normalize(-largest, largest), polarity)

    return figure


def _draw_map_pair(
    figure: Figure,
    row: NDArray[np.object_],
    title: str,
    maps: Sequence[NDArray[np.int64]],
    norm: Normalize,
    colours: str | Colormap,
) -> None:
    """Draw one map per recording, with a shared colour bar."""
    for axes, counts, name in zip(row, maps, RECORDINGS, strict=True):
        picture = axes.imshow(counts, norm=norm, cmap=colours)
        frame_axes(axes, f"{name}: {title}")

    bar = figure.colorbar(picture, ax=list(row), fraction=0.03, pad=0.01)
    bar.ax.yaxis.set_major_formatter("{x:,g}")
    bar.ax.minorticks_off()
    bar.ax.tick_params(length=0, labelsize=8, labelcolor=QUIET)
    bar.outline.set_visible(False)


def _draw_intervals(comparison: Comparison) -> Figure:
    shares = []
    for side in (comparison.a, comparison.b):
        counts = _merge_bins(side.interval_counts, INTERVAL_BINS_PER_STEP)
        shares.append(100 * counts / max(1, counts.sum()))

    # The edges of merged bins: every INTERVAL_BINS_PER_STEP-th one.
    edges_us = comparison.interval_edges_us[::INTERVAL_BINS_PER_STEP]
    figure, axes = _new_steps("Share of intervals in %", edges_us, shares)

    axes.set_xscale("log")
    axes.set_xticks(list(INTERVAL_TICKS), list(INTERVAL_TICKS.values()))
    axes.minorticks_off()
    axes.set_xlabel("time since the previous event of the same pixel", **SMALL)

    return figure


def _draw_polarities(comparison: Comparison) -> Figure:
    figure = new_figure(width=9, height=1.1)
    axes = figure.subplots()
    for row, side in enumerate((comparison.a, comparison.b)):
        if side.on_share is None:  # no events
            continue

        off_share = 1 - side.on_share
        axes.barh(row, [side.on_share, off_share], left=[0, side.on_share], height=0.62, color=[ON, OFF])
        for position, align, text in (
            (0.01, "left", f"ON {percent(side.on_share)}"),
            (0.99, "right", f"OFF {percent(off_share)}"),
        ):
            axes.text(position, row, text, ha=align, va="center_baseline", fontsize=9, color="white")

    axes.set_yticks([0, 1], RECORDINGS)
    axes.set_xlim(0, 1)
    axes.set_ylim(1.5, -0.5)
    axes.set_xticks([])
    name_axes(axes, labelsize=9)

    return figure
