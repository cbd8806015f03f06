"""Comparison of two recordings: metrics as text, and a page with charts.

The recordings are called A, the reference, and B. `describe_comparison` lists all metrics (functions `_..._metrics`);
`write_comparison_page` shows them with four charts (functions `_chart_...` and `_shade_maps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.files import require_suffix
from .pages import PAGE_SUFFIXES, UNDEFINED, Table, percent, write_page
from .style import LIGHT, to_hex
from .web_charts import ELAPSED_NAME, TEXT_INK, Axis, Lane, LaneBar, PageChart, Panel, plot_steps, shade

if TYPE_CHECKING:  # comparing needs numba; other reports must not import it
    from ..recordings.comparison import Comparison, NearestDistance

PAIR_COLOURS = (TEXT_INK, "#d97706")  # A and B
ON_CSS = to_hex(LIGHT.on)
OFF_CSS = to_hex(LIGHT.off)
RECORDINGS = ("A", "B")
MAX_STEPS = 1000  # steps of a rate curve; a chart cannot resolve more
INTERVAL_BINS_PER_STEP = 5  # comparison bins per chart step: 20 steps per decade
MAX_SHADE_PERCENTILE = 99.5  # percentile of |ON - OFF| at full colour; hot pixels would pale all others
INTERVAL_MARKS: dict[float, str] = {0: "1 µs", 2: "100 µs", 4: "10 ms", 6: "1 s", 8: "100 s"}  # by log10 of µs


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

    return write_page(
        path,
        "comparison.html",
        title=title,
        heading=title,
        kind="",
        names=names,
        sensor=str(comparison.sensor),
        metrics=Table(("Metric", "Value", "Meaning"), describe_comparison(comparison)),
        rates=_chart_rates(comparison),
        bin_text=_ms(comparison.bin_us),
        maps=_shade_maps(comparison),
        intervals=_chart_intervals(comparison),
        polarities=_chart_polarities(comparison),
    )


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


def _chart_pair(title: str, values: Sequence[ArrayLike], across: Axis) -> PageChart:
    """Return the chart of a step curve of each recording."""
    pairs = zip(values, PAIR_COLOURS, strict=True)
    curves = dict(zip(RECORDINGS, pairs, strict=True))
    return PageChart([plot_steps(title, curves)], across, f"{title}, of A and B")


def _chart_rates(comparison: Comparison) -> PageChart:
    # Merge bins: a chart cannot resolve more than MAX_STEPS steps.
    bins = len(comparison.a.bin_counts)
    bins_per_step = max(1, -(-bins // MAX_STEPS))
    step_s = bins_per_step * comparison.bin_us * 1e-6
    sides = comparison.a, comparison.b
    rates_hz = [_merge_bins(side.bin_counts, bins_per_step) / step_s for side in sides]

    first_hz, _ = rates_hz
    return _chart_pair("Events per second", rates_hz, Axis(ELAPSED_NAME, 0, step_s * max(1, len(first_hz))))


def _chart_intervals(comparison: Comparison) -> PageChart:
    shares = []
    for side in (comparison.a, comparison.b):
        counts = _merge_bins(side.interval_counts, INTERVAL_BINS_PER_STEP)
        shares.append(100 * counts / max(1, counts.sum()))

    # The bins are equal in decades.
    low, high = np.log10(comparison.interval_edges_us[[0, -1]]).tolist()
    across = Axis("time since the previous event of the same pixel", low, high, INTERVAL_MARKS)
    return _chart_pair("Share of intervals in %", shares, across)


def _chart_polarities(comparison: Comparison) -> PageChart:
    lanes = []
    for name, side in zip(RECORDINGS, (comparison.a, comparison.b), strict=True):
        on = side.on_share
        bars = []
        if on is not None:  # without events, there is no share
            bars = [LaneBar(0, on, f"ON {percent(on)}", ON_CSS), LaneBar(on, 1 - on, f"OFF {percent(1 - on)}", OFF_CSS)]
        lanes.append(Lane(name, bars))

    return PageChart([Panel("Share of ON and OFF events", lanes=lanes)], Axis("", 0, 1), "Share of ON and OFF events")


class _Map(NamedTuple):
    """Picture of a value of each pixel: its title, and its address."""

    title: str
    picture: str


def _shade_maps(comparison: Comparison) -> list[_Map]:
    """Return pictures of the number of events, and of ON - OFF events, of each recording."""
    sides = comparison.a, comparison.b

    # A logarithmic scale from 0 events, and one whose end hot pixels do not move: they would pale all others.
    highest = max(1, *(int(side.unsigned_map.max()) for side in sides))
    active = np.abs(np.concatenate([side.signed_map[side.unsigned_map > 0] for side in sides]))
    largest = max(1.0, float(np.percentile(active, MAX_SHADE_PERCENTILE)) if active.size else 1.0)

    maps = []
    for name, side in zip(RECORDINGS, sides, strict=True):
        strength = np.log1p(side.unsigned_map) / np.log1p(highest)
        maps.append(_Map(f"{name}: events, at most {highest:,}", shade(strength)))
    for name, side in zip(RECORDINGS, sides, strict=True):
        colours = np.where(side.signed_map[..., None] > 0, LIGHT.on, LIGHT.off)
        strength = np.minimum(np.abs(side.signed_map) / largest, 1)
        maps.append(_Map(f"{name}: ON - OFF events, full colour from {largest:,.0f}", shade(strength, colours)))

    return maps
