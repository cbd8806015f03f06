"""The events of a recording as charts: in space and time, pixel by pixel over time, and how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileError
from ..events import Events, SensorSize
from .charts import _GRID, _INK, _QUIET, _SMALL, _figure, _plain, _save
from .previews import _COLOURS

RATE_BINS = 400
MOST_POINTS = {"xyt": 30_000, "raster": 60_000}  # of the events that are drawn


def draw_events(
    kind: str, chunks: Iterable[Events], sensor: SensorSize, path: Path, *, count: int, span_us: tuple[int, int],
    colours: str = "light", title: str = "",
) -> Path:  # fmt: skip
    """The path of a new chart of a recording's events.

    Args:
        kind: One of PLOTS. `xyt`: each event in space and time. `raster`: each event at its time and the number of its
            pixel, row by row. `rate`: events per second in 400 bins.
        chunks: Consecutive parts of the recording.
        sensor: Its sensor.
        path: The PNG to write.
        count: Number of events; of more than can be drawn, every n-th is.
        span_us: Times of the first and the last event.
        colours: Of ON and OFF: `light` or `colour-blind`.
        title: Stands above.

    Raises:
        FileError: The file is no .png, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise FileError(f"{path}: a chart of events is written as .png, not {path.suffix or 'without suffix'}")
    pair = _COLOURS["colour-blind" if colours == "colour-blind" else "light"]
    inks = {True: np.divide(pair.on, 255), False: np.divide(pair.off, 255)}
    figure = PLOTS[kind](chunks, sensor, count, span_us, inks, title)
    _save(figure, path)
    return path


Inks = dict[bool, NDArray[np.float64]]


def _sample(chunks: Iterable[Events], count: int, most: int) -> tuple[NDArray[Any], ...]:
    """Times, columns, rows and polarities of every n-th event, so that there are at most so many."""
    every = max(1, -(-count // most))
    seen, kept = 0, []
    for part in chunks:
        first = -seen % every
        kept.append([column[first::every] for column in (part.t, part.x, part.y, part.p)])
        seen += len(part)
    empty = [np.zeros(0, np.int64), np.zeros(0, np.int16), np.zeros(0, np.int16), np.zeros(0, bool)]
    return tuple(np.concatenate(columns) for columns in zip(empty, *kept, strict=True))


def _draw_xyt(
    chunks: Iterable[Events], sensor: SensorSize, count: int, span_us: tuple[int, int], inks: Inks, title: str
) -> Any:
    t, x, y, p = _sample(chunks, count, MOST_POINTS["xyt"])
    figure = _figure(width=9, height=5.4, title=title)
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    crowd = len(t) / MOST_POINTS["xyt"]
    for on in (False, True):
        own = p == on
        place = (t[own] - span_us[0]) / 1e6, x[own], y[own]
        axes.scatter(
            *place, s=6 - 4.8 * crowd, color=inks[on], alpha=0.9 - 0.55 * crowd, lw=0, depthshade=False,
            label="ON" if on else "OFF", clip_on=False,
        )  # fmt: skip
    _legend(axes)
    figure.text(0.02, 0.97, "Events in space and time" + _share(len(t), count), va="top", fontsize=10, color=_INK)
    axes.set_box_aspect((2.4, 1, sensor.height / sensor.width), zoom=1.35)
    axes.set_xlim(0, max(1e-6, (span_us[1] - span_us[0]) / 1e6))
    axes.set_ylim(0, sensor.width - 1)
    axes.set_zlim(sensor.height - 1, 0)  # y counts downwards
    axes.view_init(elev=18, azim=-65)
    for name, axis in zip(("seconds", "x", "y"), (axes.xaxis, axes.yaxis, axes.zaxis), strict=True):
        axis.set_label_text(name, **_SMALL)
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set_color(_GRID)
    axes.yaxis.get_major_locator().set_params(nbins=3)
    axes.tick_params(labelsize=8, labelcolor=_QUIET)
    return figure


def _draw_raster(
    chunks: Iterable[Events], sensor: SensorSize, count: int, span_us: tuple[int, int], inks: Inks, title: str
) -> Any:
    t, x, y, p = _sample(chunks, count, MOST_POINTS["raster"])
    figure = _figure(width=9, height=4.2, title=title)
    axes = figure.subplots()
    _plain(axes, "Events by pixel, row by row" + _share(len(t), count))
    axes.grid(visible=False)
    pixels = y.astype(np.int64) * sensor.width + x
    for on in (False, True):
        own = p == on
        axes.scatter(
            (t[own] - span_us[0]) / 1e6, pixels[own], s=0.5, color=inks[on], linewidths=0, rasterized=True,
            label="ON" if on else "OFF",
        )  # fmt: skip
    _legend(axes)
    axes.set_ylim(sensor.width * sensor.height, 0)
    _seconds(axes, span_us)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    return figure


def _draw_rate(
    chunks: Iterable[Events], _: SensorSize, __: int, span_us: tuple[int, int], inks: Inks, title: str
) -> Any:
    edges_us = np.linspace(span_us[0], span_us[1] + 1, RATE_BINS + 1)
    counts = {on: np.zeros(RATE_BINS, np.int64) for on in (True, False)}
    for part in chunks:
        for on, own in counts.items():
            own += np.diff(np.searchsorted(part.t[part.p == on], edges_us))
    bin_s = (edges_us[1] - edges_us[0]) / 1e6
    figure = _figure(width=9, height=2.9, title=title)
    axes = figure.subplots()
    _plain(axes, "Events per second")
    seconds = (edges_us - span_us[0]) / 1e6
    axes.stairs(
        (counts[True] + counts[False]) / bin_s, seconds, color=_INK, linewidth=1.2, label="all", baseline=None, zorder=3
    )
    for on, name in ((True, "ON"), (False, "OFF")):
        axes.stairs(counts[on] / bin_s, seconds, color=inks[on], linewidth=1.2, label=name, baseline=None, zorder=3)
    axes.set_ylim(0, 1.15 * max(1e-6, float((counts[True] + counts[False]).max() / bin_s)))  # below the legend
    axes.legend(frameon=False, fontsize=8, labelcolor="linecolor", loc="upper right", ncols=3)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    _seconds(axes, span_us)
    return figure


def _legend(axes: Any) -> None:
    """Which colour is ON, which OFF, above the chart."""
    legend = axes.legend(
        frameon=False, fontsize=8, labelcolor="linecolor", loc="lower right", bbox_to_anchor=(1, 1), ncols=2,
        borderaxespad=0.2, handletextpad=0.2,
    )  # fmt: skip
    for handle in legend.legend_handles:
        handle.set(sizes=[18], alpha=1)


def _share(drawn: int, count: int) -> str:
    """How many of the events a chart shows, where these are not all."""
    return f" ({drawn:,} of {count:,})" if drawn < count else ""


def _seconds(axes: Any, span_us: tuple[int, int]) -> None:
    axes.set_xlim(0, max(1e-6, (span_us[1] - span_us[0]) / 1e6))
    axes.xaxis.get_major_locator().set_params(integer=False)
    axes.set_xlabel("seconds since the first event", **_SMALL)


PLOTS: dict[str, Callable[[Iterable[Events], SensorSize, int, tuple[int, int], Inks, str], Any]] = {
    "xyt": _draw_xyt,
    "raster": _draw_raster,
    "rate": _draw_rate,
}
"""What draws each kind."""
