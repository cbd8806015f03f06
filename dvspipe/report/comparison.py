"""Two recordings side by side: their figures in words, and a page with pictures."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .charts import _GRID, _INK, _SMALL, _figure, _plain, _save
from .page import _chart, _section, _write_page
from .previews import _COLOURS

if TYPE_CHECKING:  # numba, which comparing needs, stays out of the other reports
    from ..comparison import Comparison, NearestDistance

_A, _B = _INK, "#d97706"
_ON, _OFF = (tuple(np.divide(colour, 255)) for colour in (_COLOURS["light"].on, _COLOURS["light"].off))
_MOST_STEPS = 1000  # of a rate curve; more cannot be told apart in the chart
_INTERVAL_BINS_TOGETHER = 5  # of the comparison's, in one step of the chart: 20 per decade
_LARGEST_SHADE_PERCENTILE = 99.5  # of the signed counts of pixels with events: a hot pixel does not pale the rest
_MAP_WIDTH = 4.3  # inches, of one of two maps side by side


def figures(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Every figure of a comparison as its name, its value with its unit, and what it means; – where it is undefined."""
    return [
        *_recording_figures(comparison),
        *_map_figures(comparison),
        *_voxel_figures(comparison),
        *_nearest_figures(comparison, "A", "B", comparison.nearest_to_a),
        *_nearest_figures(comparison, "B", "A", comparison.nearest_to_b),
        (
            "inter-event-interval distance",
            _number(comparison.interval_distance, " decades"),
            "Wasserstein-1 distance of log10 of the intervals between events of one pixel; 0 is the same, 0.3 a factor "
            "of 2 on average",
        ),
    ]


def write_comparison_page(comparison: Comparison, names: tuple[str, str], path: Path) -> Path:
    """The path of a new self-contained HTML page: all figures, rate curves, count maps, intervals and polarities.

    Args:
        comparison: What to show.
        names: What to call A and B, such as the names of their files.
        path: The page to write.

    Raises:
        FileError: It cannot be written.
    """
    path = Path(path)
    a, b = names
    what = f"A is {a}, the reference; B is {b}. Sensor: {comparison.sensor}."
    settings = comparison.settings
    charts: list[tuple[str, Callable[[Comparison, Path], None], str]] = [
        ("Event rates", _draw_rates, f"Events per second in bins of {_ms(settings.bin_us)} or a multiple."),
        ("Events per pixel", _draw_maps, "Above: ON + OFF events, in logarithmic shades. Below: ON - OFF events."),
        (
            "Intervals between the events of a pixel",
            _draw_intervals,
            "Share of all intervals per twentieth of a decade; ends hold what lies beyond.",
        ),
        ("Polarity", _draw_polarities, "Share of ON and OFF events."),
    ]
    sections = [_section("Figures", f"<p>{escape(what)}</p>" + _figure_table(comparison))]
    with TemporaryDirectory() as folder:
        chart = Path(folder) / "chart.png"
        for heading, draw, caption in charts:
            draw(comparison, chart)
            sections.append(_section(heading, _chart(chart, caption)))
    return _write_page(path, f"{b} against {a}", f"{b} against {a}", sections)


def _number(value: float | None, unit: str = "", digits: int = 3) -> str:
    """Fixed decimals; – for a figure that is undefined."""
    return "–" if value is None else f"{value:,.{digits}f}{unit}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _ms(setting_us: int) -> str:
    return f"{setting_us / 1000:,g} ms"


def _measured_ms(time_us: float | None) -> str:
    return _number(None if time_us is None else time_us / 1000, " ms")


def _both(a: str, b: str, ratio: float | None) -> str:
    return f"A {a} · B {b} · B/A {_number(ratio)}"


def _recording_figures(comparison: Comparison) -> list[tuple[str, str, str]]:
    a, b, ratios = comparison.a, comparison.b, comparison.ratios
    return [
        ("events", _both(f"{a.events:,}", f"{b.events:,}", ratios.events), "number of events"),
        (
            "duration",
            _both(_number(a.duration_us * 1e-6, " s"), _number(b.duration_us * 1e-6, " s"), ratios.duration),
            "from the first event to the last",
        ),
        (
            "event rate",
            _both(_number(a.rate_hz, " /s", 0), _number(b.rate_hz, " /s", 0), ratios.rate),
            "events per second of that duration",
        ),
        ("ON share", _both(_percent(a.on_share), _percent(b.on_share), ratios.on_share), "ON events / all events"),
        (
            "ON/OFF ratio",
            _both(_number(a.on_off_ratio), _number(b.on_off_ratio), ratios.on_off_ratio),
            "ON events / OFF events",
        ),
        (
            "rate correlation",
            _number(comparison.rate_correlation),
            f"Pearson's, of events per {_ms(comparison.settings.bin_us)}; 1 is the best",
        ),
    ]


def _map_figures(comparison: Comparison) -> list[tuple[str, str, str]]:
    maps = comparison.maps
    frames = _ms(comparison.settings.window_us)
    return [
        ("count correlation", _number(maps.unsigned), "Pearson's over pixels, of ON + OFF events; 1 is the best"),
        ("count correlation, blurred", _number(maps.unsigned_blurred), "the same after a 5 x 5 box blur"),
        ("signed correlation", _number(maps.signed), "Pearson's over pixels, of ON - OFF events; 1 is the best"),
        ("signed correlation, blurred", _number(maps.signed_blurred), "the same after a 5 x 5 box blur"),
        (
            f"signed correlation per {frames}",
            _number(maps.signed_blurred_per_window),
            f"the same in windows of {frames}: the median of {maps.windows} in which both have events, of "
            f"{maps.windows_with_events} in which either has",
        ),
    ]


def _voxel_figures(comparison: Comparison) -> list[tuple[str, str, str]]:
    voxels = comparison.voxels
    sides = f"{_ms(comparison.settings.voxel_us)}, one pixel, one polarity"
    return [
        ("voxel F1", _number(voxels.f1), f"harmonic mean of the next two, 1 is the best; a voxel is {sides}"),
        ("voxel precision", _number(voxels.precision), f"share of B's {voxels.b:,} voxels that A has events in too"),
        ("voxel recall", _number(voxels.recall), f"share of A's {voxels.a:,} voxels that B has events in too"),
    ]


def _nearest_figures(
    comparison: Comparison, own: str, other: str, nearest: NearestDistance
) -> list[tuple[str, str, str]]:
    reach = _ms(comparison.settings.reach_us)
    return [
        (
            f"time from {own} to {other}, median",
            _measured_ms(nearest.median_us),
            f"from an event of {own} to the nearest of {other} with its pixel and polarity, within {reach}",
        ),
        (f"time from {own} to {other}, 90 %", _measured_ms(nearest.p90_us), "the 90th percentile of the same"),
        (
            f"only in {own}",
            _percent(nearest.without_share),
            f"events of {own} without one of {other} within {reach}",
        ),
    ]


def _figure_table(comparison: Comparison) -> str:
    left = ' style="text-align: left; white-space: normal"'
    head = f"<tr><th>Figure</th><th>Value</th><th{left}>Meaning</th></tr>"
    body = "".join(
        f'<tr><td style="white-space: nowrap">{escape(name)}</td>'
        f"<td>{escape(value)}</td><td{left}>{escape(meaning)}</td></tr>"
        for name, value, meaning in figures(comparison)
    )
    return f'<div class="scroll"><table>{head}{body}</table></div>'


def _sum_together(counts: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Sums of so many neighbours; the last may hold fewer."""
    return np.add.reduceat(counts, np.arange(0, len(counts), number)) if len(counts) else counts


def _draw_rates(comparison: Comparison, path: Path) -> None:
    bins = len(comparison.a.bin_counts)
    together = max(1, -(-bins // _MOST_STEPS))
    step_s = together * comparison.settings.bin_us * 1e-6
    figure = _figure(width=9, height=2.9, title="")
    axes = figure.subplots()
    _plain(axes, "Events per second")
    axes.xaxis.get_major_locator().set_params(integer=False)
    rates = [_sum_together(side.bin_counts, together) / step_s for side in (comparison.a, comparison.b)]
    _draw_steps(axes, np.arange(len(rates[0]) + 1) * step_s, rates)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.set_xlabel("seconds since the first event", **_SMALL)
    _save(figure, path)


def _draw_steps(axes: Any, edges: NDArray[Any], both: list[NDArray[Any]]) -> None:
    """Both recordings as step curves over the same edges, with a legend; nothing where there is nothing."""
    if len(edges) > 1:
        for values, name, colour in zip(both, "AB", (_A, _B), strict=True):
            axes.stairs(values, edges, color=colour, linewidth=1.4, label=name, zorder=3)
        axes.set_xlim(edges[0], edges[-1])
        axes.legend(frameon=False, fontsize=8, labelcolor="linecolor", loc="upper right", ncols=2)
    axes.set_ylim(bottom=0)


def _draw_maps(comparison: Comparison, path: Path) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    sensor = comparison.sensor
    sides = (("A", comparison.a), ("B", comparison.b))
    height = float(np.clip(_MAP_WIDTH * sensor.height / sensor.width, 1, 8))
    figure = _figure(width=2 * _MAP_WIDTH + 0.8, height=2 * height + 0.8, title="")
    rows = figure.subplots(2, 2, squeeze=False)
    unsigned = [np.ma.masked_equal(side.unsigned_map, 0) for _, side in sides]
    signed = [side.signed_map for _, side in sides]
    filled = np.abs(np.concatenate([counts[~mask.mask] for counts, mask in zip(signed, unsigned, strict=True)]))
    largest = max(1.0, float(np.percentile(filled, _LARGEST_SHADE_PERCENTILE)) if filled.size else 1.0)
    most = max(2, *(int(side.unsigned_map.max()) for _, side in sides))
    polarity = LinearSegmentedColormap.from_list("polarity", [_OFF, (1, 1, 1), _ON])
    charts: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("ON + OFF", unsigned, {"norm": LogNorm(1, most), "cmap": "viridis_r"}),
        ("ON - OFF", signed, {"norm": Normalize(-largest, largest), "cmap": polarity}),
    ]
    for row, (what, maps, colours) in zip(rows, charts, strict=True):
        for axes, counts, (name, _) in zip(row, maps, sides, strict=True):
            picture = axes.imshow(counts, **colours)
            _frame(axes, f"{name}: {what}")
        bar = figure.colorbar(picture, ax=list(row), fraction=0.03, pad=0.01)
        bar.ax.yaxis.set_major_formatter("{x:,g}")
        bar.ax.minorticks_off()
        bar.ax.tick_params(length=0, labelsize=8, labelcolor=_SMALL["color"])
        bar.outline.set_visible(False)
    _save(figure, path)


def _frame(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(_GRID)


def _draw_intervals(comparison: Comparison, path: Path) -> None:
    figure = _figure(width=9, height=2.9, title="")
    axes = figure.subplots()
    _plain(axes, "Share of intervals in %")
    axes.set_xscale("log")
    edges = comparison.interval_edges_us[::_INTERVAL_BINS_TOGETHER]
    shares = []
    for side in (comparison.a, comparison.b):
        counts = _sum_together(side.interval_counts, _INTERVAL_BINS_TOGETHER)
        shares.append(100 * counts / max(1, counts.sum()))
    _draw_steps(axes, edges, shares)
    marks = {1: "1 µs", 10: "10 µs", 100: "100 µs", 1e3: "1 ms", 1e4: "10 ms", 1e5: "100 ms", 1e6: "1 s", 1e7: "10 s"}
    axes.set_xticks([*marks, 1e8], [*marks.values(), "100 s"])
    axes.minorticks_off()
    axes.set_xlabel("time since the last event of the same pixel", **_SMALL)
    _save(figure, path)


def _draw_polarities(comparison: Comparison, path: Path) -> None:
    figure = _figure(width=9, height=1.1, title="")
    axes = figure.subplots()
    for row, side in enumerate((comparison.a, comparison.b)):
        if side.on_share is not None:
            shares: ArrayLike = [side.on_share, 1 - side.on_share]
            axes.barh(row, shares, left=[0, side.on_share], height=0.62, color=[_ON, _OFF])
            style = {"fontsize": 9, "color": "white", "va": "center_baseline"}
            axes.text(0.01, row, f"ON {_percent(side.on_share)}", **style)
            axes.text(0.99, row, f"OFF {_percent(1 - side.on_share)}", ha="right", **style)
    axes.set_yticks([0, 1], ["A", "B"])
    axes.tick_params(length=0, labelsize=9, labelcolor=_INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(1.5, -0.5)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    _save(figure, path)
