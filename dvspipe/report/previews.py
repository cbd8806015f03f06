"""Previews of events: VP8 or H.264 video, GIF, or a sheet of twelve pictures, drawn by an `EventPainter`."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.files import require_suffix, write_beside
from ..base.progress import Progress, ignore_progress
from ..events import Events, SensorSize, SensorSizeLike, checked_parts, concatenate
from ..video.opening import open_video
from ..video.writing import open_h264, open_webm
from .config import PREVIEW_SUFFIXES, PreviewSettings
from .painter import Captions, EventPainter
from .style import EVENT_PALETTES, INK, QUIET, to_hex

H264_CRF = 18.0  # nearly lossless
SHEET_COLUMNS = 4
SHEET_ROWS = 3
SHEET_WIDTH = 12.0  # inches
PAUSE_SHOWN_S = 1.0  # playing time after this, a pause is shortened
GIF_MIN_CS = 2  # browsers show shorter pictures for 10 hundredths of a second
GIF_MAX_CS = 65535  # a number of 16 bits
GIF_REPEAT = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # forever


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

    A pixel is red if it has more ON than OFF events in a picture, blue if it has more OFF events, and has the colour
    of the background otherwise; the smaller the difference, the paler. The time above is measured from the first event
    of the recording. Videos and GIFs shorten pauses longer than a second. No events give a blank picture.

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
        captions: Returns the caption of each picture of a video.
        progress: Called with the number of pictures done and the total (0 if unknown).

    Raises:
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

    frames = open_video(beside).pictures() if isinstance(beside, str | Path) else beside
    painter = EventPainter(sensor, settings, video=frames, captions=captions)
    parts = filter(len, checked_parts(chunks, sensor))

    with write_beside(path) as temporary:
        if suffix == ".png":
            if span_us is None:
                events = concatenate(parts, sensor)
                span_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (0, 0)
                parts = filter(len, [events])
            _write_sheet(temporary, _Cursor(parts, sensor), painter, span_us, zero_us, progress)
            return path

        pictures = _draw_pictures(_Cursor(parts, sensor), painter, span_us, zero_us, progress)
        if suffix == ".gif":
            _write_gif(temporary, pictures, settings.picture_s)
        else:
            _write_video(temporary, suffix, pictures, 1 / settings.picture_s)
    return path


class _Cursor:
    """Events in time order, taken until one time after another.

    Attributes:
        next_us: Time of the next event; None: no more.
    """

    def __init__(self, chunks: Iterator[Events], sensor: SensorSize) -> None:
        self._chunks = chunks
        self._empty = Events.empty(sensor)
        self._advance(self._empty)

    def _advance(self, pending: Events) -> None:
        self._pending = pending if len(pending) else next(self._chunks, self._empty)
        self.next_us = int(self._pending.t[0]) if len(self._pending) else None

    def take(self, end_us: int) -> Events:
        """Return the events since the previous end until `end_us`, exclusive."""
        parts = []
        while self.next_us is not None and self.next_us < end_us:
            stop = int(np.searchsorted(self._pending.t, end_us))
            parts.append(self._pending[:stop])
            self._advance(self._pending[stop:])
        return concatenate(parts, self._empty.sensor)


def _draw_pictures(
    cursor: _Cursor,
    painter: EventPainter,
    span_us: tuple[int, int] | None,
    zero_us: int | None,
    progress: Progress,
) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures, or one blank picture if there are no events; the first ends a step after the first event."""
    start_us = cursor.next_us
    if start_us is None:
        yield painter.draw(None, 0, 0)
        return

    step_us = painter.settings.step_us
    since_us = start_us - (start_us if zero_us is None else zero_us)
    count = 0 if span_us is None else int((span_us[1] - start_us) / step_us) + 1
    blank = 0  # pictures without events, in a row
    number = 0

    while cursor.next_us is not None:
        progress(number, count)
        end_us = start_us + round((number + 1) * step_us)
        events = cursor.take(end_us)
        yield painter.draw(events, end_us, since_us + round(number * step_us))
        number += 1

        # After the beginning of a pause, continue with the picture of the next event.
        blank = 0 if len(events) else blank + 1
        if blank * painter.settings.picture_s >= PAUSE_SHOWN_S and cursor.next_us is not None:
            number = max(number, int((cursor.next_us - start_us) / step_us))


def find_clock(ends_us: Sequence[int], settings: PreviewSettings, first_us: int) -> tuple[tuple[float, float], ...]:
    """Return the playing time of each picture of a preview and the recording time shown then, and of the end.

    Args:
        ends_us: End of each picture in microseconds.
        settings: Settings of the preview.
        first_us: Time that is 0 s.

    Example:
        >>> find_clock([10, 20, 50], PreviewSettings(fps=100, speed=0.001), 0)
        ((0.0, 0.0), (0.01, 1e-05), (0.02, 4e-05), (0.03, 5e-05))
    """
    starts_us = [end_us - settings.step_us for end_us in ends_us]
    shown_us = [*starts_us, *ends_us[-1:]]
    return tuple(
        (round(number * settings.picture_s, 6), round((t_us - first_us) / 1e6, 6))
        for number, t_us in enumerate(shown_us)
    )


def _write_video(path: Path, suffix: str, pictures: Iterator[NDArray[np.uint8]], fps: float) -> None:
    first = next(pictures)
    height, width, _ = first.shape
    size = SensorSize(width=width, height=height)
    opened = open_h264(path, size, fps, crf=H264_CRF) if suffix == ".mp4" else open_webm(path, size, fps)
    with opened as add:
        for picture in chain([first], pictures):
            add(np.ascontiguousarray(picture[..., ::-1]))  # OpenCV expects BGR


def _write_gif(path: Path, pictures: Iterator[NDArray[np.uint8]], picture_s: float) -> None:
    """Write picture by picture, each with its own palette; Pillow's own `save` holds all of them until the end."""
    from PIL import GifImagePlugin, Image

    with path.open("wb") as file:
        for number, picture in enumerate(pictures):
            image = Image.fromarray(picture).quantize(dither=Image.Dither.NONE)
            if number == 0:
                file.write(b"GIF89a" + struct.pack("<HHBBB", *image.size, 0, 0, 0) + GIF_REPEAT)

            # Durations are integer hundredths of a second; carry the remainder over to the next picture.
            shown_cs = round(100 * (number + 1) * picture_s) - round(100 * number * picture_s)
            duration_ms = 10 * min(max(shown_cs, GIF_MIN_CS), GIF_MAX_CS)
            file.writelines(GifImagePlugin.getdata(image, duration=duration_ms, include_color_table=True))
        file.write(b";")


def _write_sheet(
    path: Path,
    cursor: _Cursor,
    painter: EventPainter,
    span_us: tuple[int, int],
    zero_us: int | None,
    progress: Progress,
) -> None:
    """Write twelve pictures, evenly spaced, with their times and the meaning of the colours."""
    from matplotlib.patches import Patch

    from .figures import SMALL, frame_axes, new_figure, save_figure

    settings = painter.settings
    first_us, last_us = span_us
    latest_us = max(first_us, last_us + 1 - settings.window_us)
    starts_us = np.linspace(first_us, latest_us, SHEET_COLUMNS * SHEET_ROWS).astype(np.int64).tolist()

    pictures = []
    for number, start_us in enumerate(starts_us):
        progress(number, len(starts_us))
        end_us = start_us + settings.window_us
        pictures.append(painter.draw_pixels(cursor.take(end_us), end_us))

    height, width, _ = pictures[0].shape
    row_height = SHEET_WIDTH / SHEET_COLUMNS * height / width + 0.2
    figure = new_figure(SHEET_WIDTH, SHEET_ROWS * row_height + 0.4)
    panels = figure.subplots(SHEET_ROWS, SHEET_COLUMNS).ravel()
    for axes, picture, start_us in zip(panels, pictures, starts_us, strict=True):
        axes.imshow(picture, interpolation="antialiased")
        frame_axes(axes)
        since_us = start_us - (first_us if zero_us is None else zero_us)
        axes.set_title(f"{since_us / 1e6:.3f} s", **SMALL)

    palette = EVENT_PALETTES[settings.colours]
    named = {
        "ON": palette.on,
        "OFF": palette.off,
        f"no events; paler: fewer events in {settings.window_us / 1000:g} ms": palette.background,
    }
    patches = [Patch(facecolor=to_hex(colour), edgecolor=QUIET, label=name) for name, colour in named.items()]
    figure.legend(handles=patches, loc="outside lower left", ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    save_figure(figure, path)
