"""Classification of a recording over time, as a chart and as captions of a video of its events.

`plot_timeline` draws three axes below each other: probabilities, segments and labels (lanes), and the event rate;
`chart_timeline` is the same chart for a page.
`write_overlay` writes the video; `find_clock` maps its playing time to the time of the recording.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..base.texts import readable
from ..events import EARLIEST_US, SensorSize
from ..results import EventRates, Prediction, SegmentRow, WindowRow
from .config import MIN_PLAY_S, PreviewSettings
from .painter import Box, Caption
from .previews import write_preview
from .style import (
    ACCENT,
    EMPTY,
    GREY,
    GRID,
    QUIET,
    SMALL,
    TITLE,
    Values,
    grid_axes,
    name_axes,
    new_figure,
    to_hex,
)
from .web_charts import ELAPSED_NAME, PAGE_BLUE, Axis, Lane, LaneBar, PageChart, Panel, plot_steps, shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from ..hooks import RecordingView

MAX_COLUMNS = 2000  # columns of a chart; more cannot be distinguished
MAX_RATE_COLUMNS = MAX_COLUMNS // 4  # steps of the rate
MAX_CLASSES = 40  # rows of a chart
MAX_NAMED = 8  # classes in a legend
MAX_PLAY_S = 60.0  # maximum length of an overlay
OVERLAY_FPS = 15.0
OVERLAY_WINDOW_US = 66_000
OVERLAY_MIN_SIDE_PX = 256  # range of the longer side
OVERLAY_MAX_SIDE_PX = 640  # OpenCV does not limit the VP8 bit rate
LABEL_PT = 7.0  # size of a class name in a bar
MAX_LINES = 3  # maximum number of its lines
LETTER_SHARE = 0.0068  # width of a letter of a class name, relative to the chart's width
UNCERTAIN_FILL = GRID  # segments without a certain class
MISSING = (135, 146, 162)  # in a page, times without a prediction
MISSING_OPACITY = 0.27
GOLDEN_SECTION = 0.382  # 1 - 1 / golden ratio: steps of this share of a circle spread evenly

Timed = TypeVar("Timed")


def plot_timeline(
    prediction: Prediction, windows: Sequence[WindowRow], classes: Sequence[str], title: str = ""
) -> Figure:
    """Plot the probability of each class over time, segments, labels if present, and the event rate.

    Of more than 40 classes, the chart shows the 40 with the highest probability at any time.
    """
    start_us = prediction.t_zero_us
    end_us = prediction.t_last_us + 1
    span_us = start_us, end_us
    lanes = _list_lanes(prediction, classes)
    heights = [0.3 + 0.2 * min(len(classes), MAX_CLASSES), 0.3 + 0.4 * len(lanes), 1.1]

    texts = [title, "synthetic recording" if prediction.synthetic else ""]
    figure = new_figure(width=10.5, height=sum(heights) + 0.6, title=", ".join(filter(None, texts)))
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=heights)

    _draw_probabilities(top, windows, classes, span_us)
    _draw_lanes(middle, lanes, len(classes), span_us)
    _draw_rate(bottom, prediction.rates, start_us)

    bottom.set_xlim(0, (end_us - start_us) / 1e6)
    bottom.set_xlabel(_name_time(prediction), **SMALL)
    return figure


def _name_time(prediction: Prediction) -> str:
    return "seconds of the video" if prediction.video else ELAPSED_NAME


def chart_timeline(prediction: Prediction, windows: Sequence[WindowRow], classes: Sequence[str]) -> PageChart:
    """Return the chart of `plot_timeline` for a page."""
    start_us = prediction.t_zero_us
    end_us = prediction.t_last_us + 1
    duration_s = (end_us - start_us) / 1e6
    across = Axis(_name_time(prediction), 0, duration_s)

    def colour_of(label: int | None) -> str:
        return GREY if label is None else _css_colour(label, len(classes))

    title, chosen, shown = _list_probabilities(windows, classes, (start_us, end_us))
    rows = [Lane(readable(classes[label]), colour=colour_of(label)) for label in chosen.tolist()]

    lanes = []
    for name, segments in _list_lanes(prediction, classes).items():
        bars = []
        for segment in segments:
            ends_s = (np.array([segment.t_start_us, segment.t_end_us]) - start_us) / 1e6
            left, right = across.place(ends_s).clip(0, 1).tolist()
            if right - left > 1 / MAX_COLUMNS:
                bars.append(LaneBar(left, right - left, readable(segment.class_name), colour_of(segment.label)))
        lanes.append(Lane(name, bars))

    # Times without a prediction are grey.
    missing = np.isnan(shown.T)
    picture = shade(np.where(missing, MISSING_OPACITY, shown.T), np.where(missing[..., None], MISSING, PAGE_BLUE))

    rates_hz, edges_s = _list_rates(prediction.rates, start_us)
    first, *_, last = across.place(edges_s).tolist()
    panels = [
        Panel(f"{title}; grey: no prediction", lanes=rows, picture=picture),
        Panel("Segments", lanes=lanes),
        plot_steps("Events per second", {"": (rates_hz, to_hex(PAGE_BLUE))}, (first, min(1, last)), is_filled=True),
    ]
    return PageChart(panels, across, "Probability of each class, the segments, and the event rate over time")


def _list_lanes(prediction: Prediction, classes: Sequence[str]) -> dict[str, tuple[SegmentRow, ...]]:
    """Return the parts of the recording with a class, by row of the chart."""
    lanes = {"predicted": prediction.segments}
    if prediction.labels is not None:
        labelled = tuple(
            SegmentRow(**label.model_dump(), label=classes.index(label.class_name), probability=1.0)
            for label in prediction.labels
        )
        lanes |= {"labels": labelled}
    return lanes


class _Probabilities(NamedTuple):
    """Probabilities of the shown classes over time.

    Args:
        title: Title of the chart.
        chosen: Numbers of the classes [K], in the order of the network.
        shown: Probabilities [columns, K]; nan without a prediction.
    """

    title: str
    chosen: NDArray[np.int64]
    shown: Values


def _list_probabilities(
    windows: Sequence[WindowRow], classes: Sequence[str], span_us: tuple[int, int]
) -> _Probabilities:
    """Return the probabilities of the classes that are probable at any time."""
    chosen = np.arange(len(classes))
    if windows:
        highest = np.max([window.probabilities for window in windows], axis=0, initial=0)
        chosen = np.sort(np.argsort(-highest, kind="stable")[:MAX_CLASSES])
    K = len(chosen)

    # A column shows the window that applies to its middle.
    columns = min(MAX_COLUMNS, 4 * len(windows) + 100)
    start_us, end_us = span_us
    edges_us = np.linspace(start_us, end_us, columns + 1)
    middles_us = (edges_us[1:] + edges_us[:-1]) / 2
    shown = np.full((columns, K), np.nan)
    for window in windows:
        here = (middles_us >= window.t_from_us) & (middles_us < window.t_to_us)
        shown[here] = np.array(window.probabilities)[chosen]

    subset = "each class" if len(classes) == K else f"the {K} most probable of {len(classes):,} classes"
    return _Probabilities(f"Probability of {subset}", chosen, shown)


def _draw_probabilities(
    axes: Axes, windows: Sequence[WindowRow], classes: Sequence[str], span_us: tuple[int, int]
) -> None:
    """Draw one row per class, darker for higher probability; time without a prediction stays grey."""
    from matplotlib.patches import Patch

    title, chosen, shown = _list_probabilities(windows, classes, span_us)
    K = len(chosen)
    start_us, end_us = span_us

    axes.set_facecolor(EMPTY)
    picture = axes.imshow(
        np.ma.masked_invalid(shown.T),
        cmap="Blues",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(0, (end_us - start_us) / 1e6, K - 0.5, -0.5),
    )
    axes.set_yticks(range(K), [readable(classes[label]) for label in chosen.tolist()], parse_math=False)
    axes.set_yticks(np.arange(K + 1) - 0.5, minor=True)
    axes.grid(which="minor", axis="y", color="white", linewidth=1.2)
    name_axes(axes, labelbottom=False)

    axes.set_title(title, **TITLE)
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


def _draw_lanes(axes: Axes, lanes: Mapping[str, Sequence[SegmentRow]], K: int, span_us: tuple[int, int]) -> None:
    """Draw a row of bars for each lane; bars that are too narrow for the name of their class are in a legend."""
    from matplotlib.patches import Patch

    start_us, end_us = span_us
    unnamed: dict[str, Patch] = {}
    for number, segments in enumerate(lanes.values()):
        for segment in segments:
            if segment.t_end_us <= start_us or segment.t_start_us >= end_us:
                continue

            left_s = (segment.t_start_us - start_us) / 1e6
            width_us = segment.t_end_us - segment.t_start_us
            width_s = width_us / 1e6
            colour = UNCERTAIN_FILL if segment.label is None else class_colour(segment.label, K)
            axes.barh(number, width_s, left=left_s, height=0.78, color=colour, edgecolor="white", linewidth=0.8)

            text = fit_in_bar(segment.class_name, width_us / (end_us - start_us))
            if text is None:
                unnamed[segment.class_name] = Patch(facecolor=colour, label=readable(segment.class_name))
                continue

            axes.text(
                left_s + width_s / 2,
                number,
                text,
                fontsize=LABEL_PT,
                color=QUIET if segment.label is None else "white",
                ha="center",
                va="center",
                linespacing=1.0,
                parse_math=False,
            )

    axes.set_title("Segments", **TITLE)
    if unnamed:
        _legend(axes, list(unnamed.values())[:MAX_NAMED])
    axes.set_yticks(range(len(lanes)), list(lanes))
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    name_axes(axes, labelbottom=False)


def fit_in_bar(class_name: str, share: float) -> str | None:
    """Break the name of a class into lines that fit a bar, a share of the chart's width; None if it does not fit."""
    letters = int(share / LETTER_SHARE)
    lines = wrap(readable(class_name), letters, break_long_words=False) if letters else []
    fits = 0 < len(lines) <= MAX_LINES and max(map(len, lines)) <= letters
    return "\n".join(lines) if fits else None


def _list_rates(rates: EventRates, start_us: int) -> tuple[Values, Values]:
    """Return events per second in bins, and the edges of the bins in seconds."""
    counts = np.array(rates.counts or [0])

    # Merge bins: a chart has fewer columns than a long recording has bins.
    bins_per_column = max(1, -(-len(counts) // MAX_RATE_COLUMNS))
    sums = np.add.reduceat(counts, np.arange(0, len(counts), bins_per_column))
    bin_us = rates.bin_us * bins_per_column
    edges_s = ((rates.start_us or 0) - start_us + np.arange(len(sums) + 1) * bin_us) / 1e6
    return sums / (bin_us * 1e-6), edges_s


def _draw_rate(axes: Axes, rates: EventRates, start_us: int) -> None:
    rates_hz, edges_s = _list_rates(rates, start_us)
    grid_axes(axes, "Events per second")
    axes.stairs(rates_hz, edges_s, color=ACCENT, linewidth=0.9, fill=True, alpha=0.75)
    axes.set_ylim(bottom=0)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.locator_params(axis="y", nbins=4)


def class_colour(label: int, K: int) -> tuple[float, float, float]:
    """Return the colour of a class of K: dark enough for white text, and unlike the colours of adjacent classes."""
    from colorsys import hls_to_rgb

    hue = (label * _hue_step(K) % K) / K
    return hls_to_rgb(hue, 0.42 if label % 2 else 0.36, 0.55)


def _css_colour(label: int, K: int) -> str:
    red, green, blue = (round(255 * share) for share in class_colour(label, K))
    return to_hex((red, green, blue))


def _hue_step(K: int) -> int:
    """Return a large step coprime to K; it visits all K hues and gives neighbours different colours."""
    return next((step for step in range(round(GOLDEN_SECTION * K), 0, -1) if np.gcd(step, K) == 1), 1)


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
    boxes = boxes_of(prediction, shown.sensor)
    ends_us: list[int] = []

    def caption(end_us: int) -> Caption:
        ends_us.append(end_us)
        segment = _find_last(prediction.segments, end_us, attrgetter("t_start_us"))
        window = _find_last(windows, end_us, attrgetter("t_from_us"))
        box = find_box(boxes, end_us)
        if segment.label is None:
            return Caption(segment.class_name, 0.0, box)

        probability = window.probabilities[segment.label]
        return Caption(f"{readable(segment.class_name)}  {probability:.0%}", probability, box)

    zero_us = prediction.t_zero_us
    write_preview(shown.parts, shown.sensor, path, settings, beside=shown.frames, captions=caption, zero_us=zero_us)
    return find_clock(ends_us, settings, zero_us)


def find_clock(ends_us: Sequence[int], settings: PreviewSettings, first_us: int) -> tuple[tuple[float, float], ...]:
    """Return playing times of a preview and the recording times shown then, since `first_us`, in seconds.

    Example:
        >>> find_clock([10, 20, 50, 60], PreviewSettings(fps=100, speed=0.001), 0)
        ((0.0, 0.0), (0.02, 2e-05), (0.02, 4e-05), (0.04, 6e-05))
    """
    # Pairs of picture number and recording time: start of the video, both ends of each shortened pause, and the end.
    clock: list[tuple[int, float]] = []
    for number, end_us in enumerate(ends_us):
        start_us = end_us - settings.step_us

        # A jump in time, where a pause was skipped: end the previous stretch, and start the next one.
        before_us = ends_us[number - 1] if number else -math.inf
        if start_us - before_us > settings.step_us / 2:
            if number:
                clock.append((number, before_us))
            clock.append((number, start_us))

    if ends_us:
        clock.append((len(ends_us), ends_us[-1]))
    return tuple(
        (round(number * settings.picture_s, 6), round((shown_us - first_us) / 1e6, 6)) for number, shown_us in clock
    )


def _play_speed(prediction: Prediction) -> float:
    rates = prediction.rates
    busy_s = sum(count > 0 for count in rates.counts) * rates.bin_us / 1e6
    duration_s = max(1e-3, (prediction.t_last_us - prediction.t_first_us) / 1e6)

    # Pauses are skipped, so the speed depends on the time with events; short recordings play longer.
    speed = max(1.0, busy_s / MAX_PLAY_S) if duration_s > MIN_PLAY_S else duration_s / MIN_PLAY_S
    return max(0.001, min(speed, 1000))


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


def find_box(boxes: Sequence[tuple[int, Box]], t_us: int) -> Box | None:
    """Return the region classified just before a time, from the regions of `boxes_of`; None: the complete picture."""
    if not boxes:
        return None

    _, box = _find_last(boxes, t_us, itemgetter(0))
    return box
