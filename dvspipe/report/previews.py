"""Events as moving pictures: VP8 video, GIF, or one sheet of pictures.

A picture is made of palette indices, the same for all three kinds; colours are put in last.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..config import Settings
from ..errors import EventError, FileError
from ..events import EARLIEST_US, Events, SensorSize, concatenate
from ..files import write_beside
from ..frames import Frame
from ..opencv import cv2
from ..video import open_video, open_webm

SHEET_COLUMNS, SHEET_ROWS = 4, 3
MOST_BLANK_PICTURES = 10_000  # in a gap of a recording
SHEET_MAX_PX = 2600  # longer side; a larger sheet is shrunk
PAUSE_SHOWN_S = 1.0  # of playing, where longer pauses are cut short
_GAP_PX = 8  # between the pictures of a sheet

_OPACITY = (0.6, 0.73, 0.87, 1.0)  # of a pixel with 1, 2, 3, 4 or more events
_LEVELS = 32  # of a pixel that fades
_TEXT_SHADES = 16
_GREYS = 64  # of a video beside the events
# Where each group of palette indices begins.
_BACKGROUND, _STRIP, _BAR, _TRACK, _ON, _OFF = 0, 1, 2, 3, 4, 4 + len(_OPACITY)
_ON_FADING = _OFF + len(_OPACITY)
_OFF_FADING = _ON_FADING + _LEVELS
_TEXT = _OFF_FADING + _LEVELS
_VIDEO = _TEXT + _TEXT_SHADES
_GIF_SHORTEST_CS = 2  # browsers show a shorter frame for 10 hundredths of a second


class _Colours(NamedTuple):
    background: tuple[int, int, int]
    on: tuple[int, int, int]
    off: tuple[int, int, int]
    strip: tuple[int, int, int]
    text: tuple[int, int, int]
    bar: tuple[int, int, int] = (29, 95, 191)


_COLOURS = {
    "light": _Colours((255, 255, 255), (214, 31, 38), (31, 95, 191), (243, 244, 246), (75, 85, 99)),
    # Metavision's
    "dark": _Colours((30, 37, 52), (255, 255, 255), (64, 126, 201), (20, 25, 36), (170, 180, 196), (127, 176, 245)),
    # Okabe and Ito's vermilion and blue: https://jfly.uni-koeln.de/color/
    "colour-blind": _Colours((255, 255, 255), (213, 94, 0), (0, 114, 178), (243, 244, 246), (75, 85, 99)),
}
_MAPS = {"viridis": cv2.COLORMAP_VIRIDIS, "inferno": cv2.COLORMAP_INFERNO, "grey": None}
"""Colour maps of how much happens, ON and OFF alike."""


class PreviewSettings(Settings):
    """How events are shown.

    Attributes:
        window_us: Time shown in one picture; the time constant of the modes that fade.
        speed: How many times faster than real time a video or GIF plays.
        fps: Pictures per second of playing; None makes pictures follow each other by a window.
        mode: `counts`: ON less OFF events of the window. `surface`: the last event of each pixel, which fades by
            exp(-age / window). `decay`: each event adds 1 (ON) or -1 (OFF), which fades likewise; shown is
            1 - exp(-|sum|).
        colours: `light` (ON red, OFF blue, on white), `dark` (ON white, OFF blue, on dark blue), or `colour-blind`
            (ON vermilion, OFF blue, on white); `viridis`, `inferno` and `grey` show ON and OFF alike.
        min_side_px: A sensor whose longer side is shorter is enlarged by a whole factor until it is not.
        max_side_px: A sensor whose longer side is longer is made smaller, blocks of pixels to one.
        skip_pauses: Whether pauses longer than a second of playing are cut short.
    """

    window_us: int = Field(default=33_333, ge=100, le=10**9)
    speed: float = Field(default=1.0, ge=0.001, le=1000)
    fps: float | None = Field(default=None, ge=1, le=120)
    mode: Literal["counts", "surface", "decay"] = "counts"
    colours: Literal["light", "dark", "colour-blind", "viridis", "inferno", "grey"] = "light"
    min_side_px: int = Field(default=320, ge=1, le=4096)
    max_side_px: int = Field(default=32_767, ge=16, le=32_767)
    skip_pauses: bool = False

    @property
    def step_us(self) -> float:
        """From one picture to the next, in the recording's time."""
        return self.window_us if self.fps is None else 1e6 * self.speed / self.fps

    @property
    def picture_s(self) -> float:
        """How long a picture is shown."""
        return self.step_us / self.speed * 1e-6


class Caption(NamedTuple):
    """What stands below a picture besides the time: a text, and a bar of a length between 0 and 1."""

    text: str
    share: float


Captions = Callable[[int], Caption]
"""The caption at a time in microseconds, on the recording's clock."""


def write_preview(
    chunks: Iterable[Events],
    sensor: SensorSize,
    path: Path,
    settings: PreviewSettings = PreviewSettings(),
    *,
    span_us: tuple[int, int] | None = None,
    beside: Path | None = None,
    captions: Captions | None = None,
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
        beside: A video of the same scene with the same clock, shown left of the events.
        captions: What stands below each picture.

    Raises:
        EventError: A chunk comes from another sensor.
        FileError: The suffix is another, or the file cannot be written.
        VideoError: The video cannot be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".webm", ".gif", ".png"):
        raise FileError(
            f"{path}: cannot write a preview as {suffix or 'a file without suffix'}; use .webm, .gif or .png"
        )
    checked = _of_sensor(chunks, sensor)
    draw = _Drawing(sensor, settings, None if beside is None else open_video(beside).frames(), captions)
    with write_beside(path) as temporary:
        if suffix == ".png":
            _write_sheet(temporary, checked, sensor, draw, span_us)
        else:
            write = _write_gif if suffix == ".gif" else _write_webm
            write(temporary, _pictures(checked, draw), settings)
    return path


def _of_sensor(chunks: Iterable[Events], sensor: SensorSize) -> Iterator[Events]:
    for chunk in chunks:
        if chunk.sensor != sensor:
            raise EventError(f"a chunk comes from a sensor of {chunk.sensor}, expected {sensor}")
        if len(chunk):
            yield chunk


class _Drawing:
    """Makes pictures of moments one after another."""

    def __init__(
        self, sensor: SensorSize, settings: PreviewSettings, video: Iterator[Frame] | None, captions: Captions | None
    ) -> None:
        self.settings, self._captions = settings, captions
        self._shrink = max(1, -(-max(sensor.width, sensor.height) // settings.max_side_px))
        self._shape = -(-sensor.height // self._shrink), -(-sensor.width // self._shrink)
        self._recent: list[Events] = []
        self._fading = np.zeros(self._shape)
        self._last_us = EARLIEST_US // 2  # of what fades
        self._video = video
        self._frame: Frame | None = None
        self._next_frame = None if video is None else next(video, None)

    def draw(self, events: Events | None, end_us: int, since_us: int) -> NDArray[np.uint8]:
        """Palette indices of a moment, with strips for time and caption below; sides are even, as VP8 wants them.

        Args:
            events: Those that came since the picture before.
            end_us: The moment.
            since_us: The time to show.
        """
        indices = self._counted(events, end_us) if self.settings.mode == "counts" else self._faded(events, end_us)
        factor = max(1, -(-self.settings.min_side_px // max(self._shape)))
        pixels = indices.repeat(factor, axis=0).repeat(factor, axis=1)
        if self._next_frame is not None or self._frame is not None:
            pixels = np.concatenate([self._video_at(end_us, len(pixels)), pixels], axis=1)
        height, width = pixels.shape
        strip_px = max(22, height // 20)
        strips = [(f"{since_us / 1e6:.3f} s", 0.0)]
        if self._captions is not None:
            strips.insert(0, self._captions(end_us))
        full = height + strip_px * len(strips)
        picture = np.full((full + full % 2, width + width % 2), _STRIP, dtype=np.uint8)
        picture[:height, :width] = pixels
        for number, (text, share) in enumerate(strips):
            top = height + number * strip_px
            strip = picture[top : top + strip_px]
            strip[:] = _text(text, picture.shape[1], strip_px)
            if len(strips) > 1 and number == 0:
                strip[-3:] = _TRACK
                strip[-3:, : round(share * picture.shape[1])] = _BAR
        return picture

    def _counted(self, events: Events | None, end_us: int) -> NDArray[np.uint8]:
        """ON less OFF events of the window that ends."""
        window_us = self.settings.window_us
        self._recent = [part for part in self._recent if part.t[-1] >= end_us - window_us]
        if events is not None and len(events):
            self._recent.append(events)
        net = np.zeros(self._shape, np.int64)
        for part in self._recent:
            net += self._net(part.slice_time(end_us - window_us, end_us))
        shade = np.minimum(np.abs(net), len(_OPACITY)) - 1
        return np.asarray(np.select([net > 0, net < 0], [_ON + shade, _OFF + shade], _BACKGROUND), np.uint8)

    def _net(self, events: Events, weights: NDArray[np.float64] | None = None) -> NDArray[Any]:
        """ON minus OFF events per pixel, or the sum of their weights: [H, W]."""
        pixels, size = self._places(events), math.prod(self._shape)
        if weights is not None:
            return np.bincount(pixels, np.where(events.p, weights, -weights), size).reshape(self._shape)
        on = np.bincount(pixels[events.p], minlength=size)
        return (on - np.bincount(pixels[~events.p], minlength=size)).reshape(self._shape)

    def _places(self, events: Events) -> NDArray[np.int64]:
        rows, columns = (each.astype(np.int64) // self._shrink for each in (events.y, events.x))
        return rows * self._shape[1] + columns

    def _faded(self, events: Events | None, end_us: int) -> NDArray[np.uint8]:
        """What the events until now left, the older the paler."""
        constant_us = self.settings.window_us
        self._fading = self._fading * math.exp(-min(700.0, (end_us - self._last_us) / constant_us))
        self._last_us = end_us
        if events is not None and len(events):
            left = np.exp((events.t - end_us) / constant_us)
            if self.settings.mode == "surface":  # of several events of a pixel the last stays
                self._fading.reshape(-1)[self._places(events)] = np.where(events.p, left, -left)
            else:
                self._fading += self._net(events, left)
        strength = np.abs(self._fading)
        shown = strength if self.settings.mode == "surface" else -np.expm1(-strength)
        level = np.rint(shown * _LEVELS).astype(np.int64).clip(0, _LEVELS)
        first = np.where(self._fading > 0, _ON_FADING, _OFF_FADING)
        return np.asarray(np.where(level, first + level - 1, _BACKGROUND), np.uint8)

    def _video_at(self, end_us: int, height: int) -> NDArray[np.uint8]:
        """The newest frame of the video until now, as high as the events."""
        while self._next_frame is not None and (self._frame is None or self._next_frame.t_us <= end_us):
            assert self._video is not None
            self._frame, self._next_frame = self._next_frame, next(self._video, None)
        assert self._frame is not None
        grey = _values_of(self._frame.image)
        width = max(1, round(height * grey.shape[1] / grey.shape[0]))
        scaled = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA))
        return np.asarray(_VIDEO + np.rint(scaled.clip(0, 1) * (_GREYS - 1)), np.uint8)


def _values_of(image: NDArray[Any]) -> NDArray[np.float32]:
    """An image with 1 as white."""
    white = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    return image.astype(np.float32) / np.float32(white)


def _text(text: str, width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFont

    mask = Image.new("L", (width, height))
    font = ImageFont.load_default(size=height * 0.6)
    ImageDraw.Draw(mask).text((height // 4, height / 2), text, fill=255, font=font, anchor="lm")
    return _TEXT + np.asarray(mask) // (256 // _TEXT_SHADES)


def _palette(settings: PreviewSettings) -> NDArray[np.uint8]:
    """RGB [256, 3] of the indices in a picture."""
    colours = _COLOURS.get(settings.colours, _COLOURS["dark"])
    palette = np.zeros((256, 3))
    palette[[_BACKGROUND, _STRIP, _BAR]] = colours.background, colours.strip, colours.bar
    palette[_TRACK] = np.mean([colours.strip, colours.text], axis=0)
    fading = np.arange(1, _LEVELS + 1) / _LEVELS
    for first, under, over, opacity in (
        (_ON, colours.background, colours.on, np.array(_OPACITY)),
        (_OFF, colours.background, colours.off, np.array(_OPACITY)),
        (_ON_FADING, colours.background, colours.on, fading),
        (_OFF_FADING, colours.background, colours.off, fading),
        (_TEXT, colours.strip, colours.text, np.linspace(0, 1, _TEXT_SHADES)),
        (_VIDEO, (0, 0, 0), (255, 255, 255), np.linspace(0, 1, _GREYS)),
    ):
        palette[first : first + len(opacity)] = under + opacity[:, None] * np.subtract(over, under)
    if settings.colours in _MAPS:
        shades = _colour_map(settings.colours)
        palette[_BACKGROUND] = shades[0]
        for first, opacity in ((_ON, np.array(_OPACITY)), (_ON_FADING, fading)):
            own = shades[np.rint(255 * opacity).astype(int)]
            palette[first : first + 2 * len(own)] = np.concatenate([own, own])  # OFF is behind ON
    return palette.round().astype(np.uint8)


def _colour_map(name: str) -> NDArray[np.uint8]:
    """RGB [256, 3] of a colour map, from nothing to most."""
    greys = np.arange(256, dtype=np.uint8)
    number = _MAPS[name]
    if number is None:
        return np.repeat(greys[:, None], 3, axis=1)
    colours: NDArray[np.uint8] = cv2.applyColorMap(greys[None], number)[0, :, ::-1]
    return colours


def _pictures(chunks: Iterator[Events], drawing: _Drawing) -> Iterator[NDArray[np.uint8]]:
    """Pictures one after another, the first of which ends a step after the first event; one for no events at all."""
    settings = drawing.settings
    first = next(chunks, None)
    if first is None:
        yield drawing.draw(None, 0, 0)
        return
    begin_us, step_us = int(first.t[0]), settings.step_us
    ends_us = (begin_us + round((number + 1) * step_us) for number in itertools.count())
    blank = 0
    for number, (events, end_us, next_us) in enumerate(_moments(chain([first], chunks), ends_us)):
        blank = 0 if len(events) else blank + 1
        if settings.skip_pauses and blank * settings.picture_s > PAUSE_SHOWN_S:
            continue
        if not blank and (next_us - end_us) / step_us > MOST_BLANK_PICTURES and not settings.skip_pauses:
            gap = (next_us - end_us) / step_us
            raise FileError(
                f"nothing happens for {gap * step_us / 1e6:,.0f} s, which would be {gap:,.0f} blank pictures; cut the "
                "recording, or show more time in a picture (--window), or more quickly (--speed)"
            )
        yield drawing.draw(events, end_us, round(number * step_us))


def _moments(chunks: Iterator[Events], ends_us: Iterable[int]) -> Iterator[tuple[Events, int, int]]:
    """For each of some times: the events since the time before, the time, and that of the next event after it.

    Ends with the last event, where the times do not end before.
    """
    held = next(chunks, None)
    for end_us in ends_us if held is not None else ():
        parts = []
        while held is not None and held.t[-1] < end_us:
            parts.append(held)
            held = next(chunks, None)
        if held is not None:
            place = int(np.searchsorted(held.t, end_us))
            parts.append(held.slice_events(0, place))
            held = held.slice_events(place, len(held))
        yield concatenate(parts, parts[0].sensor), end_us, end_us if held is None else int(held.t[0])
        if held is None:
            return


def _write_webm(path: Path, pictures: Iterator[NDArray[np.uint8]], settings: PreviewSettings) -> None:
    palette = _palette(settings)[:, ::-1]  # OpenCV wants BGR
    first = next(pictures)
    height, width = first.shape
    with open_webm(path, SensorSize(width=width, height=height), 1 / settings.picture_s) as add:
        for picture in chain([first], pictures):
            add(palette[picture])


def _write_gif(path: Path, pictures: Iterator[NDArray[np.uint8]], settings: PreviewSettings) -> None:
    """Picture by picture: Pillow's own `save` holds all of them until the end."""
    from PIL import GifImagePlugin, Image

    picture_cs = 100 * settings.picture_s
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
    path: Path, chunks: Iterator[Events], sensor: SensorSize, drawing: _Drawing, span_us: tuple[int, int] | None
) -> None:
    from PIL import Image

    settings = drawing.settings
    if span_us is None:
        events = concatenate(chunks, sensor)
        span_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (0, 0)
        chunks = iter([events] if len(events) else [])
    begin_us, end_us = span_us
    latest_us = max(begin_us, end_us + 1 - settings.window_us)
    starts_us = np.linspace(begin_us, latest_us, SHEET_COLUMNS * SHEET_ROWS).astype(np.int64).tolist()
    ends_us = [start_us + settings.window_us for start_us in starts_us]
    moments = chain((events for events, _, _ in _moments(chunks, ends_us)), itertools.repeat(None))
    cells = [
        drawing.draw(events, end_us, start_us - begin_us)  # nothing happens where there is no moment any more
        for start_us, end_us, events in zip(starts_us, ends_us, moments, strict=False)
    ]
    sheet = Image.fromarray(_palette(settings)[_tile(cells)])
    sheet.thumbnail((SHEET_MAX_PX, SHEET_MAX_PX))
    sheet.save(path)


def _tile(cells: list[NDArray[np.uint8]]) -> NDArray[Any]:
    framed = np.pad(cells, ((0, 0), (_GAP_PX, 0), (_GAP_PX, 0)), constant_values=_STRIP)
    _, height, width = framed.shape
    grid = framed.reshape(SHEET_ROWS, SHEET_COLUMNS, height, width).swapaxes(1, 2)
    sheet = grid.reshape(SHEET_ROWS * height, SHEET_COLUMNS * width)
    return np.pad(sheet, ((0, _GAP_PX), (0, _GAP_PX)), constant_values=_STRIP)
