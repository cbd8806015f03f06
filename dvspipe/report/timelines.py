"""Classification of a recording over time, as a chart and as captions of a video of its events."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..base.texts import readable
from ..events import EARLIEST_US, SensorSize
from ..results import EventRates, Prediction, WindowRow
from .config import MIN_PLAY_S, plan_playback
from .figures import SMALL, frame_axes, grid_axes, name_colours, name_rows, new_figure
from .painter import Box, Caption
from .plots import TIME_NAME, plot_rates
from .previews import find_clock, write_preview
from .style import GREY, INK, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..hooks import RecordingView

TIMELINE_WIDTH = 10.5  # inches
MAX_COLUMNS = 1000  # columns of a chart
MAX_CLASSES = 40  # rows of a chart
MAX_PLAY_S = 60.0  # maximum length of an overlay
OVERLAY_FPS = 15.0
OVERLAY_SIDE_PX = 320  # OpenCV does not limit the VP8 bit rate
MISSING = (0.53, 0.57, 0.64, 0.2)  # grey of times without a prediction
SHADE = (0.23, 0.51, 0.84)  # blue whose opacity is the probability
LINES = {"predicted": (INK, 0.28), "label": (ORANGE, -0.28)}
"""Colours of the segments in the row of their class, and their places below its middle."""

Timed = TypeVar("Timed")


def plot_timeline(
    prediction: Prediction,
    windows: Sequence[WindowRow],
    classes: Sequence[str],
    title: str = "",
    *,
    width: float = TIMELINE_WIDTH,
) -> Figure:
    """Plot the probability of each class over time, with lines for segments and labels, above the event rate.

    Of more than 40 classes, the chart shows the 40 with the highest probability at any time.
    """
    zero_us = prediction.t_zero_us
    duration_s = (prediction.t_last_us + 1 - zero_us) / 1e6
    chosen, shown = _list_probabilities(windows, len(classes), (zero_us, prediction.t_last_us + 1))
    heights = [0.4 + 0.22 * len(chosen), 1.1]

    texts = [title, "synthetic recording" if prediction.synthetic else ""]
    figure = new_figure(width, sum(heights) + 0.6, ", ".join(filter(None, texts)))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=heights)

    # Opacity shows the probability, on light and dark pages alike.
    shades = np.concatenate([np.broadcast_to(SHADE, (*shown.shape, 3)), shown[..., None]], axis=-1)
    colours = np.where(np.isnan(shown[..., None]), MISSING, shades)
    extent = (0, duration_s, len(chosen) - 0.5, -0.5)
    top.imshow(colours, aspect="auto", interpolation="nearest", extent=extent)
    subset = "" if len(chosen) == len(classes) else f" ({len(chosen)} of {len(classes):,} classes)"
    frame_axes(top, f"Probability{subset}")
    name_rows(top, [classes[label] for label in chosen])

    lines = {"predicted": [(s.label, s.t_start_us, s.t_end_us) for s in prediction.segments]}
    if prediction.labels is not None:
        lines["label"] = [(classes.index(row.class_name), row.t_start_us, row.t_end_us) for row in prediction.labels]
    for name, rows in lines.items():
        colour, below = LINES[name]
        spans = [(chosen.index(k) + below, start, stop) for k, start, stop in rows if k in chosen]
        y, starts, stops = np.array(spans, np.float64).reshape(-1, 3).T
        left, right = ((t - zero_us) / 1e6 for t in (starts, stops))
        top.hlines(y, left, right.clip(max=duration_s), color=colour, linewidth=3, label=name)
    name_colours(top)

    _draw_rate(bottom, prediction.rates, zero_us)
    bottom.set_xlim(0, duration_s)
    bottom.set_xlabel("seconds of the video" if prediction.video else TIME_NAME, **SMALL)
    return figure


def _list_probabilities(
    windows: Sequence[WindowRow], K: int, span_us: tuple[int, int]
) -> tuple[list[int], NDArray[np.float64]]:
    """Return the classes that are probable at any time, and their probabilities [classes, columns]; nan: unknown."""
    chosen = list(range(K))
    if windows:
        highest = np.max([window.probabilities for window in windows], axis=0, initial=0)
        chosen = sorted(np.argsort(-highest, kind="stable")[:MAX_CLASSES].tolist())

    # A column shows the window that applies to its middle.
    columns = min(MAX_COLUMNS, 4 * len(windows) + 100)
    edges_us = np.linspace(*span_us, columns + 1)
    middles_us = (edges_us[1:] + edges_us[:-1]) / 2
    shown = np.full((len(chosen), columns), np.nan)
    for window in windows:
        here = (middles_us >= window.t_from_us) & (middles_us < window.t_to_us)
        shown[:, here] = np.array(window.probabilities)[chosen, None]
    return chosen, shown


def _draw_rate(axes: Axes, rates: EventRates, zero_us: int) -> None:
    counts = np.array(rates.counts or [0])

    # Merge bins: a chart has fewer columns than a long recording has bins.
    merged = -(-len(counts) // MAX_COLUMNS)
    sums = np.add.reduceat(counts, np.arange(0, len(counts), merged))
    bin_s = rates.bin_us * merged / 1e6
    start_s = ((rates.start_us or 0) - zero_us) / 1e6
    edges_s = start_s + np.arange(len(sums) + 1, dtype=np.float64) * bin_s

    # A title would be below the line of the player.
    grid_axes(axes, "")
    axes.set_ylabel("events / s", **SMALL)
    plot_rates(axes, edges_s, ("", GREY, sums))


def write_overlay(
    shown: RecordingView, prediction: Prediction, windows: Sequence[WindowRow], path: Path
) -> tuple[tuple[float, float], ...]:
    """Write a video of a recording's events with the predicted class and its probability.

    If the recording is a video, its frames are left of the events. A rectangle shows the region that the network
    classified, unless it is the complete picture. The video plays in real time, or slower or faster to last between 2
    and 60 s.

    Args:
        shown: Complete pictures of the recording; large pictures are reduced.
        prediction: Prediction for the recording, with its segments.
        windows: Predictions of its windows.
        path: .webm file to write.

    Returns:
        Clock of the video, as `Playback.clock_s`.

    Raises:
        FileError: If the file cannot be written.
    """
    # Pauses are shortened, so the speed depends on the time with events.
    rates = prediction.rates
    busy_s = sum(count > 0 for count in rates.counts) * rates.bin_us / 1e6
    duration_s = max(1e-3, (prediction.t_last_us - prediction.t_first_us) / 1e6)
    played_s = max(busy_s, MIN_PLAY_S) if duration_s > MIN_PLAY_S else duration_s
    settings = plan_playback(played_s, max_play_s=MAX_PLAY_S, fps=OVERLAY_FPS, side_px=OVERLAY_SIDE_PX, colours="dark")

    boxes = boxes_of(prediction, shown.sensor)
    ends_us: list[int] = []

    def caption(end_us: int) -> Caption:
        ends_us.append(end_us)
        segment = _find_last(prediction.segments, end_us, attrgetter("t_start_us"))
        window = _find_last(windows, end_us, attrgetter("t_from_us"))
        _, box = _find_last(boxes, end_us, itemgetter(0)) if boxes else (0, None)
        if segment.label is None:
            return Caption(segment.class_name, 0.0, box)

        probability = window.probabilities[segment.label]
        return Caption(f"{readable(segment.class_name)}  {probability:.0%}", probability, box)

    zero_us = prediction.t_zero_us
    write_preview(shown.parts, shown.sensor, path, settings, beside=shown.frames, captions=caption, zero_us=zero_us)
    return find_clock(ends_us, settings, zero_us)


def _find_last(rows: Sequence[Timed], t_us: int, start_us: Callable[[Timed], int]) -> Timed:
    """Return the last row that starts before a time, or the first one; `start_us` is its start."""
    return rows[max(0, bisect_right(rows, t_us - 1, key=start_us) - 1)]


def boxes_of(prediction: Prediction, sensor: SensorSize) -> list[tuple[int, Box]]:
    """Return the classified regions with their start times, in sensor pixels; empty for the complete picture."""
    if prediction.has_full_frame:
        return []

    # Regions are in pixels of the recording's pictures, which may have been scaled to the sensor.
    picture = SensorSize.parse(prediction.picture)
    x = sensor.width / picture.width
    y = sensor.height / picture.height

    return [
        (
            EARLIEST_US if look.t_us is None else look.t_us,
            Box(look.left * x, look.top * y, look.width * x, look.height * y),
        )
        for look in prediction.looked_at
    ]
