"""HTML page that plays events, optionally beside their source video, with a clickable curve of the event rate.

The video is from `write_preview`; events are counted for the curve on their way to it, so the recording is read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.progress import Progress, ignore_progress
from ..events import Events
from .config import PreviewColours, plan_playback
from .pages import write_page
from .painter import Caption
from .plots import PlotSource, add_counts
from .previews import write_preview
from .style import EVENT_PALETTES, LIGHT, EventPalette, to_hex
from .timelines import find_clock
from .web_charts import ELAPSED_NAME, Axis, PageChart, plot_steps

PLAYER_FPS = 25.0
MAX_PLAY_S = 60.0
PLAYER_PX = 256, 480  # range of the sensor's longer side in the video
RATE_BINS = 200
VIDEO_NAME = "events.webm"


@dataclass(frozen=True, eq=False)
class RateCurve:
    """Event counts over time.

    Args:
        counts: Events per polarity (0 OFF, 1 ON) and bin, int64 [2, bins].
        duration_s: Time of all bins in seconds.
        bin_s: Length of a bin in seconds.
    """

    counts: NDArray[np.int64]
    duration_s: float
    bin_s: float

    @property
    def off(self) -> int:
        """Number of OFF events."""
        off, _ = self.counts
        return int(off.sum())

    @property
    def on(self) -> int:
        """Number of ON events."""
        _, on = self.counts
        return int(on.sum())

    @property
    def largest_hz(self) -> float:
        """Highest event rate of a bin, in events per second."""
        return float(self.counts.sum(axis=0).max(initial=0)) / self.bin_s

    def to_chart(self, colours: PreviewColours) -> PageChart:
        """Return the curve of OFF events, and of ON events stacked on it, for a page."""
        palette = _palette(colours)
        off_hz, on_hz = self.counts / self.bin_s
        curves = {"ON": (off_hz + on_hz, to_hex(palette.on)), "OFF": (off_hz, to_hex(palette.off))}
        panel = plot_steps("Events per second", curves, is_filled=True)

        text = f"Events per second over {self.duration_s:.3g} s, at most {self.largest_hz:,.0f}"
        return PageChart([panel], Axis(ELAPSED_NAME, 0, self.duration_s), text)


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
        colours: Colours of ON and OFF events.
        title: Title of the page.
        fps: Pictures per second of playback.
        progress: Called with the number of pictures done and the total.

    Raises:
        FileError: If a file cannot be written.
        VideoError: If the video beside the events cannot be read.
    """
    settings = plan_playback(source.duration_s, max_play_s=MAX_PLAY_S, fps=fps, sides_px=PLAYER_PX, colours=colours)

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

    caption = "Events: " if beside is None else "Video and its events: "
    write_page(
        path,
        "player.html",
        title=title,
        video=video.name,
        caption=caption + describe_colours(colours),
        clock_s=find_clock(ends_us, settings, source.first_us),
        rate=rate,
        chart=rate.to_chart(colours).to_html(),
        background=to_hex(_palette(colours).background),
    )

    return rate


def watch_rates(source: PlotSource) -> tuple[RateCurve, Iterator[Events]]:
    """Return the event rate of a recording, and its events: the rate is complete when all of them are read."""
    counts = np.zeros((2, RATE_BINS), np.int64)
    edges_us = source.bin_edges_us(RATE_BINS)

    def watch() -> Iterator[Events]:
        for part in source.chunks:
            add_counts(counts, part, edges_us)
            yield part

    return RateCurve(counts, source.duration_s, (edges_us[1] - edges_us[0]) / 1e6), watch()


def describe_colours(colours: PreviewColours) -> str:
    """Describe the colours of a preview in words.

    Example:
        >>> describe_colours("light")
        'ON red, OFF blue'
    """
    names = {"light": "ON red, OFF blue", "dark": "ON white, OFF blue", "colour-blind": "ON vermilion, OFF blue"}
    return names.get(colours, "ON and OFF alike")


def _palette(colours: PreviewColours) -> EventPalette:
    if colours == "dark" or colours == "colour-blind":
        return EVENT_PALETTES[colours]
    return LIGHT
