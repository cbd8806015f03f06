"""The classification of a recording over time: as a chart, and as captions of a video of its events."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..events import Events, SensorSize
from ..results import Answer, EventRates, RecordingResult, SegmentRow, WindowRow
from .config import PreviewSettings
from .painter import Caption
from .previews import write_preview
from .style import ACCENT, EMPTY, GRID, INK, QUIET, SMALL, TITLE, grid_axes, new_figure, readable, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_COLUMNS = 2000  # of a chart; more cannot be distinguished
MAX_PLAY_S, MIN_PLAY_S = 60.0, 2.0  # of an overlay
OVERLAY_FPS = 15.0
OVERLAY_WINDOW_US = 66_000
OVERLAY_MIN_SIDE_PX, OVERLAY_MAX_SIDE_PX = 256, 640  # of the longer side; OpenCV's VP8 has no limit of its bit rate
LABEL_PT, MAX_LINES = 7.0, 3  # of the name of a class in a bar
LETTER_SHARE = 0.0068  # width of a letter of such a name, as a share of the chart's
UNCERTAIN = GRID  # colour of a segment in which no class is certain


class _Span(NamedTuple):
    """A part of a recording with a class; without a label, no class is certain."""

    start_us: int
    end_us: int
    label: int | None
    class_name: str


class _Lane(NamedTuple):
    """A row of coloured bars."""

    name: str
    spans: list[_Span]


def draw_timeline(
    result: RecordingResult, windows: Sequence[WindowRow], classes: Sequence[str], path: Path, title: str = ""
) -> None:
    """Draw the probability of each class over time, the segments, the labels if there are any, and the event rate.

    Args:
        result: The answer for the recording, and its segments.
        windows: Its windows.
        classes: K names.
        path: The PNG to write.
        title: A text above.

    Raises:
        FileError: The file cannot be written.
    """
    answer = result.answer
    start_us, end_us = answer.t_first_us, answer.t_last_us + 1
    lanes = _lanes(result, classes)
    heights = [0.3 + 0.2 * len(classes), 0.3 + 0.4 * len(lanes), 1.1]
    figure = new_figure(width=10.5, height=sum(heights) + 0.6, title=title)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    _draw_probabilities(top, windows, classes, start_us, end_us)
    _draw_lanes(middle, lanes, len(classes), start_us, end_us)
    _draw_rate(bottom, answer.rates, start_us)
    bottom.set_xlim(0, (end_us - start_us) / 1e6)
    bottom.set_xlabel("seconds since the first event", **SMALL)
    save_figure(figure, path)


def _lanes(result: RecordingResult, classes: Sequence[str]) -> list[_Lane]:
    predicted = [_Span(one.t_start_us, one.t_end_us, one.label, one.class_name) for one in result.segments]
    lanes = [_Lane("predicted", predicted)]
    if (labels := result.answer.labels) is not None:
        true = [_Span(one.t_start_us, one.t_end_us, classes.index(one.class_name), one.class_name) for one in labels]
        lanes.append(_Lane("labels", true))
    return lanes


def _draw_probabilities(
    axes: Axes, windows: Sequence[WindowRow], classes: Sequence[str], start_us: int, end_us: int
) -> None:
    """Draw a row per class, the darker the more probable; time without an answer stays grey."""
    K, columns = len(classes), min(MAX_COLUMNS, 4 * len(windows) + 100)
    edges_us = np.linspace(start_us, end_us, columns + 1)
    shown = np.full((columns, K), np.nan)
    middles_us = (edges_us[1:] + edges_us[:-1]) / 2
    for window in windows:
        shown[(middles_us >= window.t_from_us) & (middles_us < window.t_to_us)] = window.probabilities
    axes.set_facecolor(EMPTY)
    seconds = (end_us - start_us) / 1e6
    axes.imshow(
        np.ma.masked_invalid(shown.T), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest",
        extent=(0, seconds, K - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(K), [readable(name) for name in classes], parse_math=False)
    axes.set_yticks(np.arange(K + 1) - 0.5, minor=True)
    axes.grid(which="minor", axis="y", color="white", linewidth=1.2)
    axes.tick_params(which="both", length=0, labelsize=8, labelcolor=INK, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title("Probability of each class", **TITLE)


def _draw_lanes(axes: Axes, lanes: Sequence[_Lane], K: int, start_us: int, end_us: int) -> None:
    for number, lane in enumerate(lanes):
        for span in lane.spans:
            if span.end_us <= start_us or span.start_us >= end_us:
                continue
            left, width = (span.start_us - start_us) / 1e6, (span.end_us - span.start_us) / 1e6
            face = UNCERTAIN if span.label is None else class_colour(span.label, K)
            axes.barh(number, width, left=left, height=0.78, color=face, edgecolor="white", linewidth=0.8)
            text = fit_in_bar(span.class_name, (span.end_us - span.start_us) / (end_us - start_us))
            if text is not None:
                ink = QUIET if span.label is None else "white"
                axes.text(
                    left + width / 2, number, text, fontsize=LABEL_PT, color=ink, ha="center", va="center",
                    linespacing=1.0, parse_math=False,
                )  # fmt: skip
    axes.set_yticks(range(len(lanes)), [lane.name for lane in lanes])
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK, labelbottom=False)
    axes.spines[:].set_visible(False)


def fit_in_bar(class_name: str, share: float) -> str | None:
    """Return the name of a class in as many lines as its bar needs, or None if it does not fit.

    Args:
        class_name: The name.
        share: Width of the bar as a share of the chart's, 0 to 1.
    """
    letters = int(share / LETTER_SHARE)
    lines = wrap(readable(class_name), letters, break_long_words=False) if letters else []
    fits = 0 < len(lines) <= MAX_LINES and max(map(len, lines)) <= letters
    return "\n".join(lines) if fits else None


def _draw_rate(axes: Axes, rates: EventRates, start_us: int) -> None:
    counts = np.array(rates.counts or [0])
    together = max(1, -(-len(counts) // (MAX_COLUMNS // 4)))
    sums = np.pad(counts, (0, -len(counts) % together)).reshape(-1, together).sum(axis=1)
    bin_us = rates.bin_us * together
    edges_s = ((rates.start_us or 0) - start_us + np.arange(len(sums) + 1) * bin_us) / 1e6
    grid_axes(axes, "Events per second")
    axes.stairs(sums / (bin_us * 1e-6), edges_s, color=ACCENT, linewidth=0.9, fill=True, alpha=0.75)
    axes.set_ylim(bottom=0)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.locator_params(axis="y", nbins=4)


def class_colour(label: int, K: int) -> tuple[float, float, float]:
    """Return a colour for a class, dark enough for white letters and far from those of the next classes.

    Args:
        label: The class, 0 to K - 1.
        K: Number of classes.
    """
    from colorsys import hls_to_rgb

    hue = (label * _stride(K) % K) / K
    return hls_to_rgb(hue, 0.42 if label % 2 else 0.36, 0.55)


def _stride(K: int) -> int:
    """Return a large step that visits all of K places, so that neighbours do not look alike."""
    return next((step for step in range(round(0.382 * K), 0, -1) if np.gcd(step, K) == 1), 1)


def write_overlay(
    parts: Iterable[Events], sensor: SensorSize, result: RecordingResult, windows: Sequence[WindowRow], path: Path
) -> Path:
    """Write a video of a recording's events with the predicted class and its probability below, and return its path.

    It plays in real time, or more slowly or quickly so that it lasts between 2 and 60 s. Pauses longer than a second
    are shortened.

    Args:
        parts: Consecutive parts of the recording.
        sensor: Its sensor; a large one is made smaller.
        result: The answer for the recording, and its segments.
        windows: Its windows.
        path: The .webm to write.

    Raises:
        FileError: The file cannot be written.
    """
    settings = PreviewSettings(
        window_us=OVERLAY_WINDOW_US, speed=_play_speed(result.answer), fps=OVERLAY_FPS, skip_pauses=True,
        min_side_px=OVERLAY_MIN_SIDE_PX, max_side_px=OVERLAY_MAX_SIDE_PX,
    )  # fmt: skip
    return write_preview(parts, sensor, path, settings, captions=_Captions(windows, result.segments).at)


def _play_speed(answer: Answer) -> float:
    busy_s = sum(count > 0 for count in answer.rates.counts) * answer.rates.bin_us / 1e6
    duration_s = max(1e-3, (answer.t_last_us - answer.t_first_us) / 1e6)
    speed = max(1.0, busy_s / MAX_PLAY_S) if duration_s > MIN_PLAY_S else duration_s / MIN_PLAY_S
    return max(0.001, min(speed, 1000))


class _Captions:
    """The predicted class at a time, and its probability."""

    def __init__(self, windows: Sequence[WindowRow], segments: Sequence[SegmentRow]) -> None:
        self._segments, self._segment_starts_us = segments, [segment.t_start_us for segment in segments]
        self._windows, self._window_starts_us = windows, [window.t_from_us for window in windows]

    def at(self, t_us: int) -> Caption:
        segment = self._segments[max(0, bisect_right(self._segment_starts_us, t_us - 1) - 1)]
        window = self._windows[max(0, bisect_right(self._window_starts_us, t_us - 1) - 1)]
        if segment.label is None:
            return Caption(segment.class_name, 0.0)
        probability = window.probabilities[segment.label]
        return Caption(f"{readable(segment.class_name)}  {probability:.0%}", probability)
