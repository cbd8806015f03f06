"""What a classifier says of a recording over time: as a chart, and written below the moving events."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..events import Events, SensorSize
from .charts import _GRID, _INK, _QUIET, _SMALL, _VALIDATION, _figure, _save
from .previews import Caption, PreviewSettings, write_preview

MOST_COLUMNS = 2000  # of a chart; more cannot be told apart
LONGEST_PLAY_S, SHORTEST_PLAY_S = 60.0, 2.0  # of a video below which a label stands
OVERLAY_FPS = 15.0
OVERLAY_WINDOW_US = 66_000
SHORTEST_SIDE_PX, LONGEST_SIDE_PX = 256, 640  # of the longer side; OpenCV's VP8 has no limit of its bit rate
LABEL_PT, MOST_LINES = 7.0, 3  # of the names of classes
NARROWEST_TEXT = 0.0068  # of the chart's width for each letter of a class
Rows = Sequence[Mapping[str, Any]]


def draw_timeline(
    windows: Rows, segments: Rows, record: Mapping[str, Any], classes: Sequence[str], path: Path, title: str = ""
) -> None:
    """Draws the probability of each class over time, the segments, the labels where there are any, and the event rate.

    Args:
        windows: Rows of windows.jsonl.
        segments: Rows of segments.jsonl.
        record: answer.json: times, `rates`, and `labels` (begin, end, class), where there are any.
        classes: K names.
        path: The PNG to write.
        title: Stands above.
    """
    begin_us, end_us = record["t_first_us"], record["t_last_us"] + 1
    lanes = [("shown", [(row["t_start_us"], row["t_end_us"], row["label"], row["class"]) for row in segments])]
    if record.get("labels") is not None:
        spans = [(start, stop, classes.index(name), name) for start, stop, name in record["labels"]]
        lanes.append(("labels", spans))
    K = len(classes)
    heights = [0.3 + 0.2 * K, 0.3 + 0.4 * len(lanes), 1.1]
    figure = _figure(width=10.5, height=sum(heights) + 0.6, title=title)
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    _draw_probabilities(above, windows, classes, begin_us, end_us)
    _draw_lanes(middle, lanes, K, begin_us, end_us)
    _draw_rate(below, record["rates"], begin_us)
    below.set_xlim(0, (end_us - begin_us) / 1e6)
    below.set_xlabel("seconds since the first event", **_SMALL)
    _save(figure, path)


def _draw_probabilities(axes: Any, windows: Rows, classes: Sequence[str], begin_us: int, end_us: int) -> None:
    """A row per class, the darker the more probable; where nothing was asked it stays grey."""
    K, columns = len(classes), min(MOST_COLUMNS, 4 * len(windows) + 100)
    edges_us = np.linspace(begin_us, end_us, columns + 1)
    shown = np.full((columns, K), np.nan)
    middles_us = (edges_us[1:] + edges_us[:-1]) / 2
    for row in windows:
        shown[(middles_us >= row["t_from_us"]) & (middles_us < row["t_to_us"])] = row["probabilities"]
    axes.set_facecolor("#f3f4f6")
    seconds = (end_us - begin_us) / 1e6
    axes.imshow(
        np.ma.masked_invalid(shown.T), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest",
        extent=(0, seconds, K - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(K), [name.replace("_", " ") for name in classes], parse_math=False)
    axes.set_yticks(np.arange(K + 1) - 0.5, minor=True)
    axes.grid(which="minor", axis="y", color="white", linewidth=1.2)
    axes.tick_params(which="both", length=0, labelsize=8, labelcolor=_INK, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title("Probability of each class", loc="left", fontsize=10, color=_INK)


def _draw_lanes(
    axes: Any,
    lanes: Sequence[tuple[str, Sequence[tuple[int, int, int | None, str]]]],
    K: int,
    begin_us: int,
    end_us: int,
) -> None:
    """What is shown from when to when, a lane of coloured bars each."""
    for number, (_, spans) in enumerate(lanes):
        for start_us, stop_us, label, name in spans:
            if stop_us <= begin_us or start_us >= end_us:
                continue
            left, width = (start_us - begin_us) / 1e6, (stop_us - start_us) / 1e6
            face = "#e5e7eb" if label is None else class_colour(label, K)
            axes.barh(number, width, left=left, height=0.78, color=face, edgecolor="white", linewidth=0.8)
            if (text := in_a_bar(name, (stop_us - start_us) / (end_us - begin_us))) is not None:
                ink = _QUIET if label is None else "white"
                style = {"ha": "center", "va": "center", "linespacing": 1.0, "parse_math": False}
                axes.text(left + width / 2, number, text, fontsize=LABEL_PT, color=ink, **style)
    axes.set_yticks(range(len(lanes)), [name for name, _ in lanes])
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.tick_params(length=0, labelsize=8, labelcolor=_INK, labelbottom=False)
    axes.spines[:].set_visible(False)


def in_a_bar(name: str, share: float) -> str | None:
    """A class's name on as many lines as a bar of a share of the chart's width needs; None where it finds no place."""
    letters = int(share / NARROWEST_TEXT)
    lines = wrap(name.replace("_", " "), letters, break_long_words=False) if letters else []
    fits = 0 < len(lines) <= MOST_LINES and max(map(len, lines)) <= letters
    return "\n".join(lines) if fits else None


def _draw_rate(axes: Any, rates: Mapping[str, Any], begin_us: int) -> None:
    counts: NDArray[Any] = np.array(rates["counts"] or [0])
    together = max(1, -(-len(counts) // (MOST_COLUMNS // 4)))
    padded = np.pad(counts, (0, -len(counts) % together)).reshape(-1, together).sum(axis=1)
    bin_us = rates["bin_us"] * together
    edges = ((rates["start_us"] or 0) - begin_us + np.arange(len(padded) + 1) * bin_us) / 1e6
    axes.stairs(padded / (bin_us * 1e-6), edges, color=_VALIDATION, linewidth=0.9, fill=True, alpha=0.75)
    axes.set_ylim(bottom=0)
    axes.set_title("Events per second", loc="left", fontsize=10, color=_INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.yaxis.get_major_locator().set_params(nbins=4)
    axes.tick_params(length=0, labelsize=8, labelcolor=_QUIET)


def class_colour(label: int, K: int) -> tuple[float, float, float]:
    """A colour for a class, as far from those of the others as K of them can be; dark enough for white letters."""
    from colorsys import hls_to_rgb

    hue = (label * _stride(K) % K) / K
    return hls_to_rgb(hue, 0.42 if label % 2 else 0.36, 0.55)


def _stride(K: int) -> int:
    """A step that goes round K places, each once, with large jumps, so that neighbours do not look alike."""
    return next((step for step in range(round(0.382 * K), 0, -1) if np.gcd(step, K) == 1), 1)


def write_overlay(
    parts: Iterable[Events], sensor: SensorSize, windows: Rows, segments: Rows, record: Mapping[str, Any], path: Path
) -> Path:
    """The path of a new video of a recording's events, below which stands what is shown and how probable it is.

    It plays in real time, but lasts between 2 and 60 s: it plays a short recording more slowly, a long one more
    quickly. Pauses of more than a second are cut short.

    Args:
        parts: Consecutive parts of the recording.
        sensor: Its sensor; a large one is made smaller.
        windows: Rows of windows.jsonl.
        segments: Rows of segments.jsonl.
        record: answer.json.
        path: The .webm to write.
    """
    counts = record["rates"]["counts"]
    busy_s = sum(count > 0 for count in counts) * record["rates"]["bin_us"] / 1e6
    lasts_s = max(1e-3, (record["t_last_us"] - record["t_first_us"]) / 1e6)
    speed = max(1.0, busy_s / LONGEST_PLAY_S) if lasts_s > SHORTEST_PLAY_S else lasts_s / SHORTEST_PLAY_S
    settings = PreviewSettings(
        window_us=OVERLAY_WINDOW_US, speed=max(0.001, min(speed, 1000)), fps=OVERLAY_FPS, skip_pauses=True,
        min_side_px=SHORTEST_SIDE_PX, max_side_px=LONGEST_SIDE_PX,
    )  # fmt: skip
    return write_preview(parts, sensor, path, settings, captions=_Labels(windows, segments).at)


class _Labels:
    """What is shown at a time, and how probable it is."""

    def __init__(self, windows: Rows, segments: Rows) -> None:
        self._segments, self._begins_us = segments, [row["t_start_us"] for row in segments]
        self._windows, self._from_us = windows, [row["t_from_us"] for row in windows]

    def at(self, t_us: int) -> Caption:
        segment = self._segments[max(0, bisect_right(self._begins_us, t_us - 1) - 1)]
        window = self._windows[max(0, bisect_right(self._from_us, t_us - 1) - 1)]
        if segment["label"] is None:
            return Caption(segment["class"], 0.0)
        share = float(window["probabilities"][segment["label"]])
        return Caption(f"{segment['class'].replace('_', ' ')}  {share:.0%}", share)
