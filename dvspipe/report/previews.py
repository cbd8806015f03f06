"""Events as moving pictures: VP8 video, GIF, or one sheet of pictures.

A picture is made of palette indices, the same for all three kinds; colours are put in last.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..config import Settings
from ..errors import EventError, FileError
from ..events import Events, SensorSize, concatenate, windows
from ..files import write_beside

SHEET_COLUMNS, SHEET_ROWS = 4, 3
MOST_BLANK_PICTURES = 10_000  # in a gap of a recording
SHEET_MAX_PX = 2600  # longer side; a larger sheet is shrunk
_GAP_PX = 8  # between the pictures of a sheet

_BACKGROUND, _STRIP, _ON, _OFF, _TEXT = 0, 1, 2, 6, 16  # where each group of palette indices begins
_OPACITY = (0.6, 0.73, 0.87, 1.0)  # of a pixel with 1, 2, 3, 4 or more events
_TEXT_SHADES = 16
_GIF_SHORTEST_CS = 2  # browsers show a shorter frame for 10 hundredths of a second


class _Colours(NamedTuple):
    background: tuple[int, int, int]
    on: tuple[int, int, int]
    off: tuple[int, int, int]
    strip: tuple[int, int, int]
    text: tuple[int, int, int]


_COLOURS = {
    "light": _Colours((255, 255, 255), (214, 31, 38), (31, 95, 191), (243, 244, 246), (75, 85, 99)),
    "dark": _Colours((30, 37, 52), (255, 255, 255), (64, 126, 201), (20, 25, 36), (170, 180, 196)),  # Metavision's
    # Okabe and Ito's vermilion and blue: https://jfly.uni-koeln.de/color/
    "colour-blind": _Colours((255, 255, 255), (213, 94, 0), (0, 114, 178), (243, 244, 246), (75, 85, 99)),
}


class PreviewSettings(Settings):
    """How events are shown.

    Attributes:
        window_us: Time shown in one picture.
        slow: How many times slower than real time a video or GIF plays.
        colours: `light` (ON red, OFF blue, on white), `dark` (ON white, OFF blue, on dark blue), or `colour-blind`
            (ON vermilion, OFF blue, on white).
        min_side_px: A sensor whose longer side is shorter is enlarged by a whole factor until it is not.
    """

    window_us: int = Field(default=33_333, ge=100, le=10**9)
    slow: float = Field(default=1.0, ge=0.001, le=1000)
    colours: Literal["light", "dark", "colour-blind"] = "light"
    min_side_px: int = Field(default=320, ge=1, le=4096)


def write_preview(
    chunks: Iterable[Events],
    sensor: SensorSize,
    path: Path,
    settings: PreviewSettings = PreviewSettings(),
    *,
    span_us: tuple[int, int] | None = None,
) -> Path:
    """The path of a new video (.webm), GIF (.gif) or sheet of 12 pictures (.png) of events, with times since the first.

    A pixel with more ON than OFF events in a picture's time is ON, with more OFF than ON it is OFF, and the paler the
    fewer; with as many of both it is background. No events give blank pictures.

    Args:
        chunks: Events in the order of time, read once; those of one picture are held in memory.
        sensor: The sensor that they come from.
        path: Where to write; the file appears when it is whole.
        settings: How to show them.
        span_us: Times of the first and the last event. Only a sheet needs it, to place its pictures; without it, it
            holds all the events in memory.

    Raises:
        EventError: A chunk comes from another sensor.
        FileError: The suffix is another, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".webm", ".gif", ".png"):
        raise FileError(
            f"{path}: cannot write a preview as {suffix or 'a file without suffix'}; use .webm, .gif or .png"
        )
    checked = _of_sensor(chunks, sensor)
    with write_beside(path) as beside:
        if suffix == ".png":
            _write_sheet(beside, checked, sensor, settings, span_us)
        else:
            pictures = _pictures(checked, sensor, settings)
            write = _write_gif if suffix == ".gif" else _write_webm
            write(beside, pictures, settings)
    return path


def _of_sensor(chunks: Iterable[Events], sensor: SensorSize) -> Iterator[Events]:
    for chunk in chunks:
        if chunk.sensor != sensor:
            raise EventError(f"a chunk comes from a sensor of {chunk.sensor}, expected {sensor}")
        yield chunk


def _pictures(chunks: Iterable[Events], sensor: SensorSize, settings: PreviewSettings) -> Iterator[NDArray[np.uint8]]:
    """Pictures of consecutive windows, the first of which begins with the first event; one for no events at all."""
    window_us = settings.window_us
    nothing = np.zeros((sensor.height, sensor.width), dtype=np.int64)
    first_us: int | None = None
    number = 0
    for start_us, events in windows(chunks, window_us):
        first_us = start_us if first_us is None else first_us
        blank = (start_us - first_us) // window_us - number
        if blank > MOST_BLANK_PICTURES:
            raise FileError(
                f"nothing happens for {blank * window_us / 1e6:,.0f} s, which would be {blank:,} blank pictures; "
                "cut the recording, or show more time in a picture (--window)"
            )
        for skipped in range(number, number + blank):
            yield _picture(nothing, skipped * window_us, settings)
        number += blank
        yield _picture(_net_count(events), number * window_us, settings)
        number += 1
    if first_us is None:
        yield _picture(nothing, 0, settings)


def _net_count(events: Events) -> NDArray[np.int64]:
    """ON minus OFF events per pixel: [H, W]."""
    width, height = events.sensor.width, events.sensor.height
    pixels = events.y.astype(np.int64) * width + events.x
    on = np.bincount(pixels[events.p], minlength=width * height)
    return (on - np.bincount(pixels[~events.p], minlength=width * height)).reshape(height, width)


def _picture(net: NDArray[np.int64], since_us: int, settings: PreviewSettings) -> NDArray[np.uint8]:
    """Palette indices with a strip for the time below; width and height are even, as VP8 wants them."""
    shade = np.minimum(np.abs(net), len(_OPACITY)) - 1
    pixels = np.select([net > 0, net < 0], [_ON + shade, _OFF + shade], _BACKGROUND).astype(np.uint8)
    factor = -(-settings.min_side_px // max(net.shape))
    pixels = pixels.repeat(max(1, factor), axis=0).repeat(max(1, factor), axis=1)
    height, width = pixels.shape
    strip_px = max(22, height // 20)
    picture = np.full((height + strip_px + (height + strip_px) % 2, width + width % 2), _STRIP, dtype=np.uint8)
    picture[:height, :width] = pixels
    picture[height : height + strip_px] = _text(f"{since_us / 1e6:.3f} s", picture.shape[1], strip_px)
    return picture


def _text(text: str, width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFont

    mask = Image.new("L", (width, height))
    font = ImageFont.load_default(size=height * 0.6)
    ImageDraw.Draw(mask).text((height // 4, height / 2), text, fill=255, font=font, anchor="lm")
    return _TEXT + np.asarray(mask) // (256 // _TEXT_SHADES)


def _palette(settings: PreviewSettings) -> NDArray[np.uint8]:
    """RGB [256, 3] of the indices in a picture."""
    colours = _COLOURS[settings.colours]
    palette = np.zeros((256, 3))
    palette[_BACKGROUND], palette[_STRIP] = colours.background, colours.strip
    for first, under, over, opacity in (
        (_ON, colours.background, colours.on, np.array(_OPACITY)),
        (_OFF, colours.background, colours.off, np.array(_OPACITY)),
        (_TEXT, colours.strip, colours.text, np.linspace(0, 1, _TEXT_SHADES)),
    ):
        palette[first : first + len(opacity)] = under + opacity[:, None] * np.subtract(over, under)
    return palette.round().astype(np.uint8)


def _write_webm(path: Path, pictures: Iterator[NDArray[np.uint8]], settings: PreviewSettings) -> None:
    from ..video import open_webm

    palette = _palette(settings)[:, ::-1]  # OpenCV wants BGR
    first = next(pictures)
    height, width = first.shape
    with open_webm(path, SensorSize(width=width, height=height), 1e6 / settings.window_us / settings.slow) as add:
        for picture in chain([first], pictures):
            add(palette[picture])


def _write_gif(path: Path, pictures: Iterator[NDArray[np.uint8]], settings: PreviewSettings) -> None:
    """Picture by picture: Pillow's own `save` holds all of them until the end."""
    from PIL import GifImagePlugin, Image

    picture_cs = settings.window_us * settings.slow / 1e4
    with path.open("wb") as file:
        for number, picture in enumerate(pictures):
            if number == 0:
                # Size, a palette of 256 colours for all pictures, and the extension that makes it play for ever.
                file.write(b"GIF89a" + struct.pack("<HHBBB", *picture.shape[::-1], 0xF7, 0, 0))
                file.write(_palette(settings).tobytes() + b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")
            # Durations are whole hundredths of a second: the rest of one goes to the next.
            shown_cs = round((number + 1) * picture_cs) - round(number * picture_cs)
            image = Image.fromarray(picture).convert("P")
            image.putpalette(_palette(settings).tobytes())
            duration_ms = 10 * min(max(shown_cs, _GIF_SHORTEST_CS), 65535)
            file.writelines(GifImagePlugin.getdata(image, duration=duration_ms))
        file.write(b";")


def _write_sheet(
    path: Path,
    chunks: Iterable[Events],
    sensor: SensorSize,
    settings: PreviewSettings,
    span_us: tuple[int, int] | None,
) -> None:
    from PIL import Image

    if span_us is None:
        events = concatenate(chunks, sensor)
        span_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (0, 0)
        chunks = [events]
    begin_us, end_us = span_us
    latest_us = max(begin_us, end_us + 1 - settings.window_us)
    starts_us = np.linspace(begin_us, latest_us, SHEET_COLUMNS * SHEET_ROWS).astype(np.int64).tolist()
    nets = np.zeros((len(starts_us), sensor.height, sensor.width), dtype=np.int64)
    for chunk in chunks:
        for net, start_us in zip(nets, starts_us, strict=True):
            part = chunk.slice_time(start_us, start_us + settings.window_us)
            if len(part):
                net += _net_count(part)
    cells = [_picture(net, start - begin_us, settings) for net, start in zip(nets, starts_us, strict=True)]
    sheet = Image.fromarray(_palette(settings)[_tile(cells)])
    sheet.thumbnail((SHEET_MAX_PX, SHEET_MAX_PX))
    sheet.save(path)


def _tile(cells: list[NDArray[np.uint8]]) -> NDArray[Any]:
    framed = np.pad(cells, ((0, 0), (_GAP_PX, 0), (_GAP_PX, 0)), constant_values=_STRIP)
    _, height, width = framed.shape
    grid = framed.reshape(SHEET_ROWS, SHEET_COLUMNS, height, width).swapaxes(1, 2)
    sheet = grid.reshape(SHEET_ROWS * height, SHEET_COLUMNS * width)
    return np.pad(sheet, ((0, _GAP_PX), (0, _GAP_PX)), constant_values=_STRIP)
