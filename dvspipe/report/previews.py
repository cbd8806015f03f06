"""Previews of events: VP8 or H.264 video, GIF, or a sheet of pictures.

`write_preview` opens the output and chooses a writer. Videos and GIFs show all pictures of `_pictures`, which splits
the events at the end of each picture; a sheet shows twelve, evenly spaced. An `EventPainter` draws them.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import EventError, FileError
from ..base.files import require_suffix, write_beside
from ..base.progress import Progress, ignore_progress
from ..events import Events, SensorSize, SensorSizeLike, checked_parts, concatenate
from ..video.opening import open_video
from ..video.writing import open_h264, open_webm
from .config import PREVIEW_SUFFIXES, PreviewMode, PreviewSettings
from .painter import (
    BACKGROUND,
    STRIP,
    STRONGEST,
    TEXT_COLOURS,
    TEXT_SHADES,
    Captions,
    EventPainter,
    PaletteImage,
    make_palette,
    write_picture,
)

H264_CRF = 18.0  # nearly lossless
SHEET_COLUMNS = 4
SHEET_ROWS = 3
SHEET_SIDE_PX = 640  # longer side of the sensor in a picture of a sheet, without an explicit scale
SHEET_GAP_PX = 8  # between the pictures of a sheet
MAX_BLANK_PICTURES = 10_000  # maximum in a gap of a recording
PAUSE_SHOWN_S = 1.0  # playing time after this, a pause is shortened
LEGEND_PX = 28  # height of a line in the colour legend of a sheet
GIF_MIN_CS = 2  # browsers show shorter pictures for 10 hundredths of a second
GIF_MAX_CS = 65535  # a number of 16 bits
GIF_PALETTE = 0xF7  # flags: a palette of 256 colours for all pictures
MARK_SHARE = 1.4  # begin of a legend's text after a coloured square, relative to the square
ENTRY_GAP_SHARE = 1.6  # between entries of a legend


def write_preview(
    chunks: Events | Iterable[Events],
    sensor: SensorSizeLike,
    path: str | Path,
    settings: PreviewSettings = PreviewSettings(),
    *,
    span_us: tuple[int, int] | None = None,
    zero_us: int | None = None,
    beside: str | Path | Iterator[tuple[int, NDArray[np.uint8]]] | None = None,
    captions: Captions | None = None,
    progress: Progress = ignore_progress,
) -> Path:
    """Write a video (.webm, .mp4), a GIF (.gif) or a sheet of 12 pictures (.png) of events, and return its path.

    A pixel has the ON colour if it has more ON than OFF events in a picture, the OFF colour if it has more OFF events,
    and the background colour otherwise; the smaller the difference, the paler. The time below is measured from the
    first event of the recording. No events give a blank picture.

    Args:
        chunks: Events, or parts of a recording in time order, read once; only the events of one picture are held in
            memory.
        sensor: Sensor of the events.
        path: File to write; it is complete or absent.
        settings: Preview settings.
        span_us: Times of the first and last event, to place the pictures of a sheet and to report progress. Without it,
            a sheet holds all events in memory.
        zero_us: Time of the first event of the recording, if the events are a part of it.
        beside: Video of the same scene with the same clock, shown left of the events, or its times in microseconds and
            RGB frames, uint8 [H, W, 3].
        captions: Returns the caption of each picture.
        progress: Called with the number of pictures done and the total (0 if unknown).

    Raises:
        ConfigError: If the pictures would be too large.
        EventError: If a chunk is from another sensor.
        FileError: If the suffix is not supported, or the file cannot be written.
        VideoError: If the video cannot be read.

    Example:
        >>> from dvspipe.formats import open_recording
        >>> recording = open_recording("recording.h5")  # doctest: +SKIP
        >>> slow = PreviewSettings(speed=0.1)
        >>> write_preview(recording.chunks(), recording.sensor, "events.webm", slow)  # doctest: +SKIP
    """
    path = Path(path)
    sensor = SensorSize.of(sensor)
    require_suffix(path, "a preview", *PREVIEW_SUFFIXES)
    suffix = path.suffix.lower()
    checked_chunks = _check_sensor(checked_parts(chunks), sensor)

    # A sheet has 12 pictures, so each may be smaller.
    if suffix == ".png" and settings.scale is None:
        settings = settings.model_copy(update={"max_side_px": min(SHEET_SIDE_PX, settings.max_side_px)})

    frames = open_video(beside).pictures() if isinstance(beside, str | Path) else beside
    painter = EventPainter(sensor, settings, video=frames, captions=captions)
    playing = _Playing(checked_chunks, painter, span_us, zero_us, progress)
    pictures = _pictures(playing)

    with write_beside(path) as temporary:
        if suffix == ".png":
            _write_sheet(temporary, playing, sensor)
        elif suffix == ".gif":
            _write_gif(temporary, pictures, settings)
        else:
            _write_video(temporary, suffix, pictures, settings)
    return path


def _check_sensor(chunks: Iterable[Events], sensor: SensorSize) -> Iterator[Events]:
    """Check the sensor of the chunks; yield the chunks that are not empty."""
    for chunk in chunks:
        if chunk.sensor != sensor:
            raise EventError(f"chunk from a different sensor (found {chunk.sensor}, expected {sensor})")
        if len(chunk):
            yield chunk


class _Playing(NamedTuple):
    """Events to show and their painter; see `write_preview`. The chunks are not empty."""

    chunks: Iterator[Events]
    painter: EventPainter
    span_us: tuple[int, int] | None
    zero_us: int | None
    progress: Progress


def _pictures(playing: _Playing) -> Iterator[PaletteImage]:
    """Yield the pictures, or one blank picture if there are no events.

    The first picture ends one step after the first event.
    """
    chunks, painter, span_us, zero_us, progress = playing
    first = next(chunks, None)
    if first is None:
        yield painter.draw(None, 0, 0)
        return

    settings = painter.settings
    start_us = int(first.t[0])
    step_us = settings.step_us
    since_us = 0 if zero_us is None else start_us - zero_us
    ends_us = (start_us + round((number + 1) * step_us) for number in itertools.count())

    count = 0  # unknown
    if span_us is not None:
        _, last_us = span_us
        count = int((last_us - start_us) / step_us) + 1

    blank = 0  # pictures without events, in a row

    for number, (events, end_us, next_us) in enumerate(_split_by_time(chain([first], chunks), ends_us)):
        progress(number, count)

        # Only the beginning of a skipped pause is shown.
        blank = 0 if len(events) else blank + 1
        if settings.skip_pauses and blank * settings.picture_s > PAUSE_SHOWN_S:
            continue
        if not blank and not settings.skip_pauses:
            _check_gap(next_us - end_us, step_us)

        yield painter.draw(events, end_us, since_us + round(number * step_us))


def _check_gap(gap_us: int, step_us: float) -> None:
    pictures = gap_us / step_us
    if pictures > MAX_BLANK_PICTURES:
        raise FileError(
            f"a gap without events of {gap_us / 1e6:,.0f} s would give {pictures:,.0f} blank pictures (expected at "
            f"most {MAX_BLANK_PICTURES:,}); use window_us=LONGER to show more time in a picture, or "
            "speed=FASTER to play it faster"
        )


def _split_by_time(chunks: Iterator[Events], ends_us: Iterable[int]) -> Iterator[tuple[Events, int, int]]:
    """Yield, for each end time: the events since the previous end, the end time, and the time of the next event.

    Stops after the last event or the last end time. After the last event, the third value is the end time.
    """
    pending = next(chunks, None)
    for end_us in ends_us if pending is not None else ():
        parts = []

        # An end may need several chunks, and a chunk may contain several ends.
        while pending is not None and pending.t[-1] < end_us:
            parts.append(pending)
            pending = next(chunks, None)

        if pending is not None:
            stop = int(np.searchsorted(pending.t, end_us))
            parts.append(pending[:stop])
            pending = pending[stop:]

        yield concatenate(parts, parts[0].sensor), end_us, end_us if pending is None else int(pending.t[0])
        if pending is None:
            return


def _write_video(path: Path, suffix: str, pictures: Iterator[PaletteImage], settings: PreviewSettings) -> None:
    palette = make_palette(settings.colours)
    first = next(pictures)
    height, width = first.indices.shape
    size = SensorSize(width=width, height=height)
    fps = 1 / settings.picture_s
    opened = open_h264(path, size, fps, crf=H264_CRF) if suffix == ".mp4" else open_webm(path, size, fps)
    with opened as add:
        for picture in chain([first], pictures):
            add(np.ascontiguousarray(picture.to_rgb(palette)[..., ::-1]))  # OpenCV expects BGR


def _write_gif(path: Path, pictures: Iterator[PaletteImage], settings: PreviewSettings) -> None:
    """Write picture by picture; Pillow's own `save` holds all of them until the end.

    faery chooses new colours for each picture: 13 times the time (0.93 s of CPU for 25 pictures, 0.07 s here), 3 times
    the size.
    """
    from PIL import GifImagePlugin, Image

    palette = make_palette(settings.colours).tobytes()
    colours = Image.new("P", (1, 1))
    colours.putpalette(palette)
    picture_cs = 100 * settings.picture_s

    with path.open("wb") as file:
        for number, picture in enumerate(pictures):
            if number == 0:
                # Size, palette, and the extension that repeats the pictures forever.
                height, width = picture.indices.shape
                file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, GIF_PALETTE, 0, 0))
                file.write(palette + b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")

            image = Image.fromarray(picture.indices).convert("P")
            image.putpalette(palette)
            if picture.video is not None:
                image.paste(Image.fromarray(picture.video).quantize(palette=colours))

            # Durations are integer hundredths of a second; carry the remainder over to the next picture.
            shown_cs = round((number + 1) * picture_cs) - round(number * picture_cs)
            duration_ms = 10 * min(max(shown_cs, GIF_MIN_CS), GIF_MAX_CS)
            file.writelines(GifImagePlugin.getdata(image, duration=duration_ms))
        file.write(b";")


def _write_sheet(path: Path, playing: _Playing, sensor: SensorSize) -> None:
    chunks, painter, span_us, zero_us, progress = playing
    settings = painter.settings
    palette = make_palette(settings.colours)

    # Without a span, find it by holding all events in memory.
    if span_us is None:
        events = concatenate(chunks, sensor)
        span_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (0, 0)
        chunks = iter([events] if len(events) else [])
    first_us, last_us = span_us
    zero_us = first_us if zero_us is None else zero_us
    latest_us = max(first_us, last_us + 1 - settings.window_us)

    starts_us = np.linspace(first_us, latest_us, SHEET_COLUMNS * SHEET_ROWS).astype(np.int64).tolist()
    ends_us = [start_us + settings.window_us for start_us in starts_us]

    # The events end before the pictures do: the remaining ones have no new events.
    parts = (events for events, _, _ in _split_by_time(chunks, ends_us))
    new_events: Iterator[Events | None] = chain(parts, itertools.repeat(None))
    cells: list[NDArray[np.uint8]] = []
    for start_us, end_us, events_of_cell in zip(starts_us, ends_us, new_events, strict=False):
        progress(len(cells), len(starts_us))
        cells.append(painter.draw(events_of_cell, end_us, start_us - zero_us).to_rgb(palette))

    # The legend may be wider than the pictures.
    sheet = _tile(cells, palette[STRIP])
    height, width, _ = sheet.shape
    legend = _draw_legend(settings, palette, width)
    _, legend_width, _ = legend.shape
    blank = np.broadcast_to(palette[STRIP], (height, legend_width - width, 3))
    write_picture(np.concatenate([np.concatenate([sheet, blank], axis=1), legend]), path)


def _tile(cells: list[NDArray[np.uint8]], gap_colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Arrange pictures of equal size [H, W, 3] in rows, with gaps between and around them."""
    height, width, _ = cells[0].shape
    down = height + SHEET_GAP_PX
    across = width + SHEET_GAP_PX
    shape = SHEET_ROWS * down + SHEET_GAP_PX, SHEET_COLUMNS * across + SHEET_GAP_PX, 3
    sheet = np.broadcast_to(gap_colour, shape).copy()

    for number, cell in enumerate(cells):
        row, column = divmod(number, SHEET_COLUMNS)
        top = row * down + SHEET_GAP_PX
        left = column * across + SHEET_GAP_PX
        sheet[top : top + height, left : left + width] = cell
    return sheet


LEGENDS: dict[PreviewMode, tuple[str, str, str]] = {
    "count": ("more ON events", "more OFF events", "paler: fewer events; {} ms per picture"),
    "surface": ("last event ON", "last event OFF", "paler: older, fading by exp(-age / {} ms)"),
    "decay": ("sum of events ON", "sum of events OFF", "paler: smaller sum; events fade by exp(-age / {} ms)"),
}
"""Meaning of a mode's two colours, and of their shades."""


def _draw_legend(settings: PreviewSettings, palette: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Draw lines that explain the colours, as wide as `width` or as the widest entry."""
    from PIL import Image, ImageDraw, ImageFont

    on, off, shades = LEGENDS[settings.mode]
    on_colour, off_colour = palette[list(STRONGEST[settings.mode])]

    marks = [(on_colour, on), (off_colour, off), (palette[BACKGROUND], "no events")]
    if (on_colour == off_colour).all():  # colour maps have one colour for both
        marks = [(on_colour, "many events, ON or OFF"), (palette[BACKGROUND], "no events")]
    notes = (shades.format(f"{settings.window_us / 1000:g}"), "below each picture: seconds since the first event")

    # Notes have no coloured square before their text.
    entries: list[tuple[NDArray[np.uint8] | None, str]] = [*marks, *((None, note) for note in notes)]
    font = ImageFont.load_default(size=LEGEND_PX / 2)
    side = LEGEND_PX // 2
    mark_px = MARK_SHARE * side
    widths = [font.getlength(text) + (0 if colour is None else mark_px) for colour, text in entries]
    width = max(width, math.ceil(max(widths)) + 2 * SHEET_GAP_PX)

    # Entries flow like words: a new row starts where the next one would not fit.
    positions = []
    left = float(SHEET_GAP_PX)
    row = 0
    for entry_px in widths:
        if left > SHEET_GAP_PX and left + entry_px > width - SHEET_GAP_PX:
            left = float(SHEET_GAP_PX)
            row = row + 1
        positions.append((left, row * LEGEND_PX + (LEGEND_PX - side) // 2 - SHEET_GAP_PX // 4))
        left += entry_px + ENTRY_GAP_SHARE * side

    lines = Image.new("RGB", (width, (row + 1) * LEGEND_PX), tuple(palette[STRIP].tolist()))
    draw = ImageDraw.Draw(lines)
    ink = tuple(palette[TEXT_COLOURS + TEXT_SHADES - 1].tolist())

    for (colour, text), (x, y) in zip(entries, positions, strict=True):
        if colour is not None:
            draw.rectangle((x, y, x + side, y + side), fill=tuple(colour.tolist()), outline=ink)
        begin = x if colour is None else x + mark_px
        draw.text((begin, y + side / 2), text, fill=ink, font=font, anchor="lm")

    return np.asarray(lines)
