"""HTML page that plays events, optionally beside their source video, above the event rate over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.progress import Progress, ignore_progress
from ..events import Events
from .config import PreviewColours, plan_playback
from .pages import show_chart, write_page
from .painter import Caption
from .plots import TIME_NAME, PlotSource, add_counts, plot_rates
from .previews import find_clock, write_preview

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAYER_FPS = 25.0
MAX_PLAY_S = 60.0
PLAYER_SIDE_PX = 240
RATE_BINS = 200
VIDEO_NAME = "events.webm"


@dataclass(frozen=True, eq=False)
class RateCurve:
    """Event counts over time.

    Args:
        counts: Events per polarity (0 OFF, 1 ON) and bin, int64 [2, bins].
        duration_s: Time of all bins in seconds.
    """

    counts: NDArray[np.int64]
    duration_s: float

    @property
    def off(self) -> int:
        """Number of OFF events."""
        return int(self.counts[0].sum())

    @property
    def on(self) -> int:
        """Number of ON events."""
        return int(self.counts[1].sum())

    def to_html(self) -> str:
        """Return the chart of the rates, for a page with the style sheet of `chart_css`."""
        return show_chart(self._plot, f"Events per second over {self.duration_s:.3g} s")

    def _plot(self, width: float) -> Figure:
        from .figures import SMALL, new_figure

        figure = new_figure(width, 1.7)
        axes = figure.subplots()
        plot_rates(axes, self.counts, np.linspace(0, self.duration_s, RATE_BINS + 1))
        axes.set_xlim(0, self.duration_s)
        axes.set_xlabel(TIME_NAME, **SMALL)
        return figure


def write_player_page(
    source: PlotSource,
    path: Path,
    *,
    beside: Path | None = None,
    colours: PreviewColours = "light",
    title: str = "Events",
    fps: float = PLAYER_FPS,
    progress: Progress = ignore_progress,
) -> RateCurve:
    """Write an HTML page that plays events and the video file that it shows; return the event rate that it draws.

    It plays in real time, or slower or faster to last between 2 and 60 s.

    Args:
        source: Recording to play.
        path: HTML file to write; `events.webm` is written beside it.
        beside: Video of the same scene with the same clock, shown left of the events.
        colours: Background of the events.
        title: Title of the page.
        fps: Pictures per second of playback.
        progress: Called with the number of pictures done and the total.

    Raises:
        FileError: If a file cannot be written.
        VideoError: If the video beside the events cannot be read.
    """
    settings = plan_playback(source.duration_s, max_play_s=MAX_PLAY_S, fps=fps, side_px=PLAYER_SIDE_PX, colours=colours)

    # The pictures have no caption; the function is called with the time of each one.
    ends_us: list[int] = []

    def note_end(end_us: int) -> Caption | None:
        ends_us.append(end_us)
        return None

    # One pass over the events gives the video and the rates.
    rate, events = watch_rates(source)
    video = write_preview(
        events,
        source.sensor,
        path.with_name(VIDEO_NAME),
        settings,
        span_us=source.span_us,
        beside=beside,
        captions=note_end,
        progress=progress,
    )

    clock_s = find_clock(ends_us, settings, source.first_us)
    write_page(path, "player.html", heading=title, kind="", video=video.name, clock_s=clock_s, rate=rate)
    return rate


def watch_rates(source: PlotSource) -> tuple[RateCurve, Iterator[Events]]:
    """Return the event rate of a recording, and its events: the rate is complete when all of them are read."""
    counts = np.zeros((2, RATE_BINS), np.int64)
    edges_us = source.bin_edges_us(RATE_BINS)

    def watch() -> Iterator[Events]:
        for part in source.chunks:
            add_counts(counts, part, edges_us)
            yield part

    return RateCurve(counts, source.duration_s), watch()
