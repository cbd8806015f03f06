"""Classification of a recording over time, as a chart and as captions of a video of its events."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..events import EARLIEST_US, SensorSize
from ..results import EventRates, Prediction, WindowRow
from .config import MIN_PLAY_S, PreviewSettings
from .painter import Box, Caption
from .previews import write_preview
from .style import ACCENT, EMPTY, GRID, INK, QUIET, SMALL, TITLE, grid_axes, new_figure, readable, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from ..framing import RecordingView

MAX_COLUMNS = 2000  # columns of a chart; more cannot be distinguished
MAX_CLASSES = 40  # rows of a chart
MAX_NAMED = 8  # classes in a legend
MAX_PLAY_S = 60.0  # maximum length of an overlay
OVERLAY_FPS = 15.0
OVERLAY_WINDOW_US = 66_000
OVERLAY_MIN_SIDE_PX, OVERLAY_MAX_SIDE_PX = 256, 640  # longer side; OpenCV does not limit the VP8 bit rate
LABEL_PT, MAX_LINES = 7.0, 3  # size and number of lines of a class name in a bar
LETTER_SHARE = 0.0068  # width of a letter of a class name, relative to the chart's width
UNCERTAIN = GRID  # segments without a certain class


class _Span(NamedTuple):
    """Part of a recording with a class; a label of None means that no class is certain."""

    start_us: int
    end_us: int
    label: int | None
    class_name: str


class _Lane(NamedTuple):
    """Row of coloured bars."""

    name: str
    spans: list[_Span]


def draw_timeline(
    prediction: Prediction, windows: Sequence[WindowRow], classes: Sequence[str], path: Path, title: str = ""
) -> tuple[float, float]:
    """Draw the figure of `plot_timeline` as a PNG file.

    Args:
        prediction: Prediction for the recording, with its segments.
        windows: Predictions of its windows.
        classes: Class names [K].
        path: PNG file to write.
        title: Title above the chart.

    Returns:
        Left and right end of the time axis, relative to the width of the picture.

    Raises:
        FileError: If the file cannot be written.
    """
    figure = plot_timeline(prediction, windows, classes, title)
    save_figure(figure, path)
    place = figure.axes[-1].get_position()
    return place.x0, place.x1


def plot_timeline(
    prediction: Prediction, windows: Sequence[WindowRow], classes: Sequence[str], title: str = ""
) -> Figure:
    """Plot the probability of each class over time, segments, labels if present, and the event rate.

    Of more than 40 classes, the chart shows the 40 with the highest probability at any time.

    Args:
        prediction: Prediction for the recording, with its segments.
        windows: Predictions of its windows.
        classes: Class names [K].
        title: Title above the chart.
    """
    start_us, end_us = prediction.t_first_us, prediction.t_last_us + 1
    lanes = _lanes(prediction, classes)
    heights = [0.3 + 0.2 * min(len(classes), MAX_CLASSES), 0.3 + 0.4 * len(lanes), 1.1]
    texts = [title, "synthetic recording" if prediction.synthetic else ""]
    figure = new_figure(width=10.5, height=sum(heights) + 0.6, title=", ".join(filter(None, texts)))
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    _draw_probabilities(top, windows, classes, start_us, end_us)
    _draw_lanes(middle, lanes, len(classes), start_us, end_us)
    _draw_rate(bottom, prediction.rates, start_us)
    bottom.set_xlim(0, (end_us - start_us) / 1e6)
    bottom.set_xlabel("seconds since the first event", **SMALL)
    return figure


def _lanes(prediction: Prediction, classes: Sequence[str]) -> list[_Lane]:
    predicted = [_Span(each.t_start_us, each.t_end_us, each.label, each.class_name) for each in prediction.segments]
    lanes = [_Lane("predicted", predicted)]
    if (labels := prediction.labels) is not None:
        true = [
            _Span(each.t_start_us, each.t_end_us, classes.index(each.class_name), each.class_name) for each in labels
        ]
        lanes.append(_Lane("labels", true))
    return lanes


def _draw_probabilities(
    axes: Axes, windows: Sequence[WindowRow], classes: Sequence[str], start_us: int, end_us: int
) -> None:
    """Draw one row per class, darker for higher probability; time without a prediction stays grey."""
    from matplotlib.patches import Patch

    highest = np.max([window.probabilities for window in windows], axis=0, initial=0)
    kept = np.sort(np.argsort(-highest, kind="stable")[:MAX_CLASSES]) if windows else np.arange(len(classes))
    K, columns = len(kept), min(MAX_COLUMNS, 4 * len(windows) + 100)
    edges_us = np.linspace(start_us, end_us, columns + 1)
    shown = np.full((columns, K), np.nan)
    middles_us = (edges_us[1:] + edges_us[:-1]) / 2
    for window in windows:
        here = (middles_us >= window.t_from_us) & (middles_us < window.t_to_us)
        shown[here] = np.array(window.probabilities)[kept]
    axes.set_facecolor(EMPTY)
    seconds = (end_us - start_us) / 1e6
    picture = axes.imshow(
        np.ma.masked_invalid(shown.T),
        cmap="Blues",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(0, seconds, K - 0.5, -0.5),
    )
    axes.set_yticks(range(K), [readable(classes[k]) for k in kept], parse_math=False)
    axes.set_yticks(np.arange(K + 1) - 0.5, minor=True)
    axes.grid(which="minor", axis="y", color="white", linewidth=1.2)
    axes.tick_params(which="both", length=0, labelsize=8, labelcolor=INK, labelbottom=False)
    axes.spines[:].set_visible(False)
    subset = "each class" if len(classes) == K else f"the {K} most probable of {len(classes):,} classes"
    axes.set_title(f"Probability of {subset}", **TITLE)
    shades = [Patch(facecolor=picture.cmap(share), edgecolor=GRID, label=f"{share:.0%}") for share in (0.0, 0.5, 1.0)]
    _legend(axes, [*shades, Patch(facecolor=EMPTY, edgecolor=GRID, label="no prediction")])


def _legend(axes: Axes, patches: Sequence[Patch]) -> None:
    """Draw a legend above the right end of axes."""
    axes.legend(
        handles=patches,
        ncols=len(patches),
        loc="lower right",
        bbox_to_anchor=(1, 1),
        frameon=False,
        fontsize=8,
        labelcolor=QUIET,
        handlelength=1,
        handleheight=1,
        handletextpad=0.4,
        columnspacing=1,
        borderaxespad=0.2,
    )


def _draw_lanes(axes: Axes, lanes: Sequence[_Lane], K: int, start_us: int, end_us: int) -> None:
    from matplotlib.patches import Patch

    unnamed: dict[str, Patch] = {}
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
                    left + width / 2,
                    number,
                    text,
                    fontsize=LABEL_PT,
                    color=ink,
                    ha="center",
                    va="center",
                    linespacing=1.0,
                    parse_math=False,
                )
            else:
                unnamed[span.class_name] = Patch(facecolor=face, label=readable(span.class_name))
    axes.set_title("Segments", **TITLE)
    if unnamed:  # the bars are too narrow for names
        _legend(axes, list(unnamed.values())[:MAX_NAMED])
    axes.set_yticks(range(len(lanes)), [lane.name for lane in lanes])
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK, labelbottom=False)
    axes.spines[:].set_visible(False)


def fit_in_bar(class_name: str, share: float) -> str | None:
    """Break the name of a class into the lines that fit its bar; return None if it does not fit.

    Args:
        class_name: Name of the class.
        share: Width of the bar relative to the chart, 0 to 1.
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
    """Return a colour for a class, dark enough for white text and different from the colours of adjacent classes.

    Args:
        label: Class, 0 to K - 1.
        K: Number of classes.
    """
    from colorsys import hls_to_rgb

    hue = (label * _hue_step(K) % K) / K
    return hls_to_rgb(hue, 0.42 if label % 2 else 0.36, 0.55)


def _hue_step(K: int) -> int:
    """Return a large step coprime to K; it visits all K hues and gives neighbours different colours."""
    return next((step for step in range(round(0.382 * K), 0, -1) if np.gcd(step, K) == 1), 1)


def write_overlay(
    shown: RecordingView, prediction: Prediction, windows: Sequence[WindowRow], path: Path
) -> tuple[tuple[float, float], ...]:
    """Write a video of a recording's events with the predicted class and its probability.

    If the recording is a video, its frames are left of the events, and the class is written on them. A rectangle shows
    the region that the network classified, unless it is the complete picture. The video plays in real time, or slower
    or faster to last between 2 and 60 s. Pauses longer than a second are shortened.

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
    settings = PreviewSettings(
        window_us=OVERLAY_WINDOW_US,
        speed=_play_speed(prediction),
        fps=OVERLAY_FPS,
        skip_pauses=True,
        colours="dark",  # suits light and dark pages
        min_side_px=OVERLAY_MIN_SIDE_PX,
        max_side_px=OVERLAY_MAX_SIDE_PX,
    )
    captions, ends_us = _Captions(windows, prediction, shown.sensor), list[int]()

    def caption(end_us: int) -> Caption:
        ends_us.append(end_us)
        return captions.at(end_us)

    write_preview(shown.parts, shown.sensor, path, settings, beside=shown.frames, captions=caption)
    return find_clock(ends_us, settings, prediction.t_first_us)


def find_clock(ends_us: Sequence[int], settings: PreviewSettings, first_us: int) -> tuple[tuple[float, float], ...]:
    """Return playing times of a preview and the recording times shown then, since `first_us`, in seconds.

    Args:
        ends_us: End times of the pictures.
        settings: Preview settings.
        first_us: Time of the first event.

    Example:
        >>> find_clock([10, 20, 50, 60], PreviewSettings(fps=100, speed=0.001), 0)
        ((0.0, 0.0), (0.02, 2e-05), (0.02, 4e-05), (0.04, 6e-05))
    """
    step_us, clock = settings.step_us, list[tuple[float, float]]()
    for number, end_us in enumerate(ends_us):
        playing_s, start_us = number * settings.picture_s, end_us - step_us
        is_after_pause = number > 0 and start_us - ends_us[number - 1] > step_us / 2
        if is_after_pause:
            clock.append((playing_s, (ends_us[number - 1] - first_us) / 1e6))
        if is_after_pause or number == 0:
            clock.append((playing_s, (start_us - first_us) / 1e6))
    if ends_us:
        clock.append((len(ends_us) * settings.picture_s, (ends_us[-1] - first_us) / 1e6))
    return tuple((round(playing_s, 6), round(shown_s, 6)) for playing_s, shown_s in clock)


def _play_speed(prediction: Prediction) -> float:
    rates = prediction.rates
    busy_s = sum(count > 0 for count in rates.counts) * rates.bin_us / 1e6
    duration_s = max(1e-3, (prediction.t_last_us - prediction.t_first_us) / 1e6)
    speed = max(1.0, busy_s / MAX_PLAY_S) if duration_s > MIN_PLAY_S else duration_s / MIN_PLAY_S
    return max(0.001, min(speed, 1000))


class _Captions:
    """Captions over time: predicted class, its probability, and the region that the network classified."""

    def __init__(self, windows: Sequence[WindowRow], prediction: Prediction, sensor: SensorSize) -> None:
        segments = prediction.segments
        self._segments, self._segment_starts_us = segments, [segment.t_start_us for segment in segments]
        self._windows, self._window_starts_us = windows, [window.t_from_us for window in windows]
        self._regions = boxes_of(prediction, sensor)

    def at(self, t_us: int) -> Caption:
        box = find_box(self._regions, t_us)
        segment = self._segments[max(0, bisect_right(self._segment_starts_us, t_us - 1) - 1)]
        window = self._windows[max(0, bisect_right(self._window_starts_us, t_us - 1) - 1)]
        if segment.label is None:
            return Caption(segment.class_name, 0.0, box)
        probability = window.probabilities[segment.label]
        return Caption(f"{readable(segment.class_name)}  {probability:.0%}", probability, box)


def boxes_of(prediction: Prediction, sensor: SensorSize) -> list[tuple[int, Box]]:
    """Return the classified regions with their start times, in sensor pixels; empty for the complete picture."""
    if prediction.is_complete:
        return []
    picture = SensorSize.parse(prediction.picture)
    x, y = sensor.width / picture.width, sensor.height / picture.height
    return [
        (
            EARLIEST_US if look.t_us is None else look.t_us,
            Box(look.left * x, look.top * y, look.width * x, look.height * y),
        )
        for look in prediction.looked_at
    ]


def find_box(boxes: Sequence[tuple[int, Box]], t_us: int) -> Box | None:
    """Return the region classified just before a time, from the regions of `boxes_of`; None: the complete picture."""
    return boxes[max(0, bisect_right(boxes, t_us - 1, key=itemgetter(0)) - 1)][1] if boxes else None
