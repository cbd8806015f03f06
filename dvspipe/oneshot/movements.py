"""Page of the parts of films that show gestures: a looping video with the joints and a chart of the hands for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import count_noun
from ..base.files import require_suffix
from ..base.texts import readable
from ..people import OUTWARDS, GesturePart, HandPath, Track, trace_hands
from ..people.skeletons import LEFT_COLOUR, RIGHT_COLOUR, write_track_preview
from ..people.track import find_runs
from ..report.pages import PAGE_SUFFIXES, Media, Table, show_chart, write_page
from ..report.style import ACCENT, GREY, to_hex
from ..video.config import VideoSettings

if TYPE_CHECKING:
    from ..report.figures import Chart

MAX_FRAME_PX = 480  # longer side of the videos in a page
MAX_MARKED = 60  # repetitions marked in a chart; more cannot be distinguished
PALE_HAND = "59"  # opacity of a hand that is not part of the gesture, in hexadecimal digits
WIDTH, HEIGHT = range(2)  # coordinates of a hand in `HandPath.hands`: outwards and above the shoulder
SIDE_COLOURS = {"right": RIGHT_COLOUR, "left": LEFT_COLOUR}
VIDEO_CAPTION = "The part that is used, with the tracked joints: right arm orange, left arm blue."
CHART_CAPTION = (
    "Place of the hands relative to the shoulders, in arm lengths. Shaded: the part that is used. Dotted: the wrist is "
    "hidden or outside the picture. Gaps: no person."
)


@dataclass(frozen=True, eq=False)
class GestureFilm:
    """Film of a gesture, its track, and the part that shows the gesture.

    Args:
        name: Name of the gesture.
        film: Video file.
        track: Joints over time, tracked in the film.
        part: Part that shows the gesture, found by `dvspipe.people.find_movement`.
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
    chart: str


def write_movement_page(films: Sequence[GestureFilm], path: Path, *, video: VideoSettings = VideoSettings()) -> Path:
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
    with TemporaryDirectory() as folder:
        sections = [_make_section(film, Path(folder) / str(number), video) for number, film in enumerate(films)]
        title = f"Movement of {readable(films[0].name)}" if len(films) == 1 else f"Movements of {len(films)} films"
        return write_page(path, "movements.html", heading=title, kind="", sections=sections, summary=_summarise(films))


def _make_section(film: GestureFilm, folder: Path, video: VideoSettings) -> _FilmSection:
    folder.mkdir()
    part = film.part
    shown = folder / "part.webm"
    part_us = (part.start_us, part.stop_us)
    write_track_preview(film.track, film.film, shown, part_us=part_us, max_px=MAX_FRAME_PX, video=video)

    return _FilmSection(
        title=readable(film.name),
        film=film.film.name,
        part=part,
        description=_describe(part),
        video=Media(shown, VIDEO_CAPTION),
        chart=show_chart(lambda width: plot_hands(film.track, part, width=width), CHART_CAPTION),
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


def plot_hands(track: Track, part: GesturePart, *, width: float = 9.0) -> Chart:
    """Plot height and side of the hands over time, with the part that shows the gesture."""
    from ..report.figures import SMALL, grid_axes, name_colours, new_figure

    # A film of one picture has no duration: show at least a microsecond.
    first_us = track.times_us[0]
    last_us = max(track.times_us[-1], first_us + 1)

    # Edges of many repetitions would hide the curves.
    edges = (np.linspace(part.start_us, part.stop_us, part.repetitions + 1) / 1e6).tolist()
    start, *_, stop = edges
    marks = edges if len(edges) <= MAX_MARKED else [start, stop]

    figure = new_figure(width, 3.6)
    titles = ("Outwards from the shoulder", "Height above the shoulder")
    for axes, title, direction in zip(figure.subplots(2, 1, sharex=True), titles, (WIDTH, HEIGHT), strict=True):
        grid_axes(axes, title)
        axes.axvspan(start, stop, color=ACCENT, alpha=0.15)
        for mark in marks:
            axes.axvline(mark, color=GREY, linewidth=0.8, linestyle="--")
        for number, side in enumerate(OUTWARDS):
            colour = to_hex(SIDE_COLOURS[side]) + ("" if side in part.sides else PALE_HAND)
            axes.plot([], [], color=colour, label=f"{side} hand")
            for seconds, values, style in _list_lines(trace_hands(track, track.present), number, direction):
                axes.plot(seconds, values, style, color=colour)

    axes.set_xlim(first_us / 1e6, last_us / 1e6)
    axes.set_xlabel("seconds in the film", **SMALL)
    name_colours(axes)
    return figure


def _list_lines(paths: Sequence[HandPath], side: int, direction: int) -> Iterator[tuple[list[float], list[float], str]]:
    """Yield the lines of a coordinate of a hand: seconds, values, and the style, dotted where the hand is hidden."""
    for path in paths:
        seconds = [path.time_us(sample) / 1e6 for sample in range(len(path.hands))]
        values = path.hands[:, side, direction].tolist()
        visible = path.visible[:, side]

        for mask, style in ((visible, "-"), (~visible, ":")):
            for first, stop in find_runs(mask):
                # Each line begins where the line before ends.
                shown = slice(max(first - 1, 0), stop)
                yield seconds[shown], values[shown], style
