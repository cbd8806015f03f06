"""Page of the parts of films that show gestures: a looping video with the joints and a chart of the hands for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import count_noun
from ..base.files import TemporaryFolder, require_suffix
from ..pose import OUTWARDS, GesturePart, HandPath, Track, trace_hands
from ..video.config import VideoSettings
from .pages import PAGE_SUFFIXES, Media, Table, write_page
from .skeletons import LEFT_COLOUR, RIGHT_COLOUR, write_track_preview
from .style import ACCENT, DASHED, SMALL, grid_axes, new_figure, readable, save_figure, shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_FRAME_PX = 480  # longer side of the videos in a page
MAX_MARKED = 60  # repetitions marked in a chart; more cannot be distinguished
MIN_HEIGHT = 0.5  # minimum range of the axes in arm lengths; smaller movement looks small
MIN_WIDTH = 0.3
WIDTH, HEIGHT = range(2)  # coordinates of a hand in `HandPath.hands`: outwards and above the shoulder
SIDE_COLOURS = {"right": RIGHT_COLOUR, "left": LEFT_COLOUR}
VIDEO_CAPTION = "The part that is used, with the tracked joints: right arm orange, left arm blue."
CHART_CAPTION = (
    "Place of the hands relative to the shoulders, in arm lengths. Shaded: the part that is used. Thin: the wrist is "
    "hidden or outside the picture. Gaps: no person."
)


@dataclass(frozen=True, eq=False)
class GestureFilm:
    """Film of a gesture, its track, and the part that shows the gesture.

    Args:
        name: Name of the gesture.
        film: Video file.
        track: Joints over time, tracked in the film.
        part: Part that shows the gesture, found by `dvspipe.pose.find_movement`.
    """

    name: str
    film: Path
    track: Track
    part: GesturePart


@dataclass(frozen=True)
class _FilmSection:
    """Section of one film in the page."""

    title: str
    film: str
    part: GesturePart
    description: str
    video: Media
    chart: Media


def write_movement_page(films: Sequence[GestureFilm], path: Path, *, video: VideoSettings | None = None) -> Path:
    """Write a page to check the parts of films that show gestures, and return its path.

    The page shows a looping video of each part with the tracked joints, the place of the hands over time, the
    repetitions, and the warnings.

    Args:
        films: One or more films, each with its track and part.
        path: HTML file to write.
        video: Settings for reading the films, the same as for the tracks.

    Raises:
        FileError: If the suffix is not .html or .htm, or the page cannot be written.
        VideoError: If a film cannot be read, or does not match its track.
    """
    require_suffix(path, "a page", *PAGE_SUFFIXES)
    with TemporaryFolder() as folder:
        sections = [_make_section(film, Path(folder) / str(number), video) for number, film in enumerate(films)]
        title = f"Movements of {count_noun(len(films), 'gesture')}"
        return write_page(
            path, "movements.html", title=title, heading=title, kind="", sections=sections, summary=_summarise(films)
        )


def _make_section(film: GestureFilm, folder: Path, video: VideoSettings | None) -> _FilmSection:
    folder.mkdir()
    part = film.part
    shown = folder / "part.webm"
    chart = folder / "hands.png"

    part_us = (part.start_us, part.stop_us)
    write_track_preview(film.track, film.film, shown, part_us=part_us, max_px=MAX_FRAME_PX, video=video)
    save_figure(plot_hands(film.track, part), chart)

    return _FilmSection(
        title=readable(film.name),
        film=film.film.name,
        part=part,
        description=_describe(part),
        video=Media(shown, VIDEO_CAPTION, is_playing=True),
        chart=Media(chart, CHART_CAPTION, is_chart=True),
    )


def _summarise(films: Sequence[GestureFilm]) -> Table:
    rows = [
        (
            readable(film.name),
            f"{film.part.start_us / 1e6:.2f} to {film.part.stop_us / 1e6:.2f}",
            _describe(film.part),
            " and ".join(film.part.sides),
            str(len(film.part.warnings)),
        )
        for film in films
    ]
    return Table(("Gesture", "Part (s)", "Movement", "Hands", "Warnings"), rows)


def _describe(part: GesturePart) -> str:
    """Describe a part: repetitions with their period, a held pose, or a single movement."""
    if part.period_us is not None:
        repetitions = count_noun(part.repetitions, "repetition")
        return f"{repetitions} of {part.period_us / 1e6:.2f} s"
    if part.hold_us:
        return f"raised, held for {part.hold_us / 1e6:.1f} s, lowered"
    return "performed once"


def plot_hands(track: Track, part: GesturePart) -> Figure:
    """Plot height and side of the hands over time, with the part that shows the gesture."""
    figure = new_figure(width=9, height=4.2)
    top, bottom = figure.subplots(2, 1, sharex=True)
    grid_axes(top, "Height above the shoulder")
    grid_axes(bottom, "Outwards from the shoulder")

    paths = trace_hands(track, track.present)
    for axes, direction, min_range in ((top, HEIGHT, MIN_HEIGHT), (bottom, WIDTH, MIN_WIDTH)):
        for number, side in enumerate(OUTWARDS):
            for path in paths:
                _draw_hand(axes, path, number, direction, moves=side in part.sides)

        # Without a minimum range, small movement would look large.
        low, high = axes.get_ylim()
        margin = max(0.0, (min_range - (high - low)) / 2)
        axes.set_ylim(low - margin, high + margin)
        _mark_part(axes, part)

    for shift, side in zip((0.08, 0.0), OUTWARDS, strict=True):
        colour = shares(SIDE_COLOURS[side])
        top.text(
            1 - shift, 1.02, f"{side} hand", ha="right", va="bottom", fontsize=8, color=colour, transform=top.transAxes
        )

    # A film of one picture has no duration: show at least a microsecond.
    first_us = track.times_us[0]
    last_us = max(track.times_us[-1], first_us + 1)
    bottom.set_xlim(first_us / 1e6, last_us / 1e6)
    bottom.set_xlabel("seconds in the film", **SMALL)
    return figure


def _draw_hand(axes: Axes, path: HandPath, side: int, direction: int, *, moves: bool) -> None:
    """Draw a coordinate of a hand: thin where the hand is hidden, pale if it is not part of the gesture."""
    seconds = np.array([path.time_us(sample) for sample in range(len(path.hands))]) / 1e6
    values = path.hands[:, side, direction]
    visible_values = np.where(path.visible[:, side], values, np.nan)
    colour = shares(tuple(SIDE_COLOURS.values())[side])
    opacity = 1.0 if moves else 0.35

    axes.plot(seconds, values, color=colour, linewidth=0.7, alpha=opacity, zorder=3)
    axes.plot(seconds, visible_values, color=colour, linewidth=1.8, alpha=opacity, zorder=4)


def _mark_part(axes: Axes, part: GesturePart) -> None:
    axes.axvspan(part.start_us / 1e6, part.stop_us / 1e6, color=ACCENT, alpha=0.1, linewidth=0, zorder=1)
    edges = np.linspace(part.start_us, part.stop_us, part.repetitions + 1) / 1e6

    # Edges of many repetitions would hide the curves.
    start, *inner, stop = edges
    if len(edges) <= MAX_MARKED:
        for edge in inner:
            axes.axvline(edge, color=ACCENT, alpha=0.35, linewidth=0.8, linestyle=DASHED, zorder=2)

    for edge in (start, stop):
        axes.axvline(edge, color=ACCENT, linewidth=1.0, zorder=2)
