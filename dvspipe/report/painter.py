"""Pictures of events, made of palette indices, so that they are the same for videos, GIFs and sheets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, Remedy
from ..events import EARLIEST_US, Events, SensorSize
from ..video.opencv import cv2
from .config import PreviewColours, PreviewMode, PreviewSettings
from .style import DARK, EVENT_PALETTES, Colour, ColourMap, EventPalette

OPACITY = (0.6, 0.73, 0.87, 1.0)  # of a pixel with 1, 2, 3, 4 or more events
FADE_LEVELS = 32  # of a pixel that fades
TEXT_SHADES = 16
VIDEO_LEVELS = 5, 8, 4  # of red, green and blue of a video beside the events, if it is shown with a palette
MAX_PICTURE_PX = 4096  # longer side of the events in a picture
MIN_STRIP_PX = 22  # height of a line of text
BAR_PX = 3  # height of a caption's bar
# First index of each group of colours.
BACKGROUND, STRIP, BAR, TRACK, ON_SHADES = range(5)
OFF_SHADES = ON_SHADES + len(OPACITY)
ON_FADING = OFF_SHADES + len(OPACITY)
OFF_FADING = ON_FADING + FADE_LEVELS
TEXT_COLOURS = OFF_FADING + FADE_LEVELS
VIDEO = TEXT_COLOURS + TEXT_SHADES


STRONGEST: dict[PreviewMode, tuple[int, int]] = {
    "counts": (OFF_SHADES - 1, ON_FADING - 1),
    "surface": (OFF_FADING - 1, TEXT_COLOURS - 1),
    "decay": (OFF_FADING - 1, TEXT_COLOURS - 1),
}
"""Indices of the strongest colours of a mode, ON and OFF."""


class PaletteImage(NamedTuple):
    """A picture.

    Args:
        indices: Palette indices, uint8 [H, W].
        video: Colours of the video left of the events, uint8 [h, w, 3], red, green, blue; None without one.
    """

    indices: NDArray[np.uint8]
    video: NDArray[np.uint8] | None

    def to_rgb(self, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the colours, uint8 [H, W, 3], red, green, blue.

        Args:
            palette: What `make_palette` returns.
        """
        colours = palette[self.indices]
        if self.video is not None:
            colours[: self.video.shape[0], : self.video.shape[1]] = self.video
        return colours


class Box(NamedTuple):
    """A rectangle in a picture, in pixels of the sensor; it may reach beyond them."""

    left: float
    top: float
    width: float
    height: float


class Caption(NamedTuple):
    """A text below a picture, a bar with a length between 0 and 1, and a rectangle that is drawn in the picture."""

    text: str
    share: float
    box: Box | None = None


Captions = Callable[[int], Caption | None]
"""The caption at a time in microseconds, on the recording's clock; None: there is none."""


def write_picture(picture: NDArray[np.uint8], path: Path) -> Path:
    """Write a picture, uint8 [H, W, 3], to a PNG file, and return its path."""
    from PIL import Image

    Image.fromarray(picture).save(path)
    return path


class EventPainter:
    """Draws one picture after another.

    faery draws 25 pictures of 200,000 events into an .mp4 in 3 times the time (0.51 s of CPU, this 0.17), matplotlib
    and Pillow into a GIF in 30 times; neither counts ON minus OFF, or has captions, boxes or a video beside.

    Args:
        sensor: The sensor of the events.
        settings: How to show them.
        video: Times in microseconds and colours of a video to show left of the events, uint8 [H, W, 3].
        captions: What to write below each picture.

    Raises:
        ConfigError: `settings.scale` makes pictures that are too large.
    """

    def __init__(
        self,
        sensor: SensorSize,
        settings: PreviewSettings,
        video: Iterator[tuple[int, NDArray[np.uint8]]] | None,
        captions: Captions | None,
    ) -> None:
        self.settings, self._captions = settings, captions
        self._shrink = max(1, -(-max(sensor.width, sensor.height) // settings.max_side_px))
        self._shape = -(-sensor.height // self._shrink), -(-sensor.width // self._shrink)
        self._enlarge = settings.scale or max(1, -(-settings.min_side_px // max(self._shape)))
        side_px = self._enlarge * max(self._shape)
        if side_px > MAX_PICTURE_PX:
            raise ConfigError(
                f"scale {self._enlarge}: pictures of {side_px} pixels (expected at most {MAX_PICTURE_PX})",
                Remedy("scale", MAX_PICTURE_PX // max(self._shape), "draw it smaller"),
            )
        self._recent: list[Events] = []
        self._fading = np.zeros(self._shape)
        self._last_us = EARLIEST_US // 2  # time for which _fading holds
        self._video = video or iter(())
        self._frame: tuple[int, NDArray[np.uint8]] | None = None
        self._next_frame = next(self._video, None)

    def draw(self, events: Events | None, end_us: int, since_us: int) -> PaletteImage:
        """Return a picture with strips for caption and time below; sides are even, for VP8.

        Args:
            events: The events since the previous picture.
            end_us: The time of the picture, exclusive.
            since_us: The time to write.
        """
        indices = self._counted(events, end_us) if self.settings.mode == "counts" else self._faded(events, end_us)
        pixels = indices.repeat(self._enlarge, axis=0).repeat(self._enlarge, axis=1)
        caption = None if self._captions is None else self._captions(end_us)
        if caption is not None and caption.box is not None:
            self._draw_box(pixels, caption.box)
        video = self._video_at(end_us, len(pixels))
        if video is not None:
            pixels = np.pad(pixels, ((0, 0), (video.shape[1], 0)), constant_values=STRIP)
        height, width = pixels.shape
        strip_px = max(MIN_STRIP_PX, height // 20)
        strips = [_draw_text(f"{since_us / 1e6:.3f} s", width + width % 2, strip_px)]
        if caption is not None:
            strips.insert(0, _draw_caption(caption, width + width % 2, strip_px))
        full = height + strip_px * len(strips)
        picture = np.full((full + full % 2, width + width % 2), STRIP, dtype=np.uint8)
        picture[:height, :width] = pixels
        picture[height:full] = np.concatenate(strips)
        return PaletteImage(picture, video)

    def _draw_box(self, pixels: NDArray[np.uint8], box: Box) -> None:
        scale = self._enlarge / self._shrink
        left, top = round(box.left * scale), round(box.top * scale)
        right, bottom = round((box.left + box.width) * scale) - 1, round((box.top + box.height) * scale) - 1
        cv2.rectangle(pixels, (left, top), (right, bottom), BAR, 2)

    def _counted(self, events: Events | None, end_us: int) -> NDArray[np.uint8]:
        """Return ON minus OFF events of the window that ends now, as indices."""
        window_us = self.settings.window_us
        self._recent = [part for part in self._recent if part.t[-1] >= end_us - window_us]
        if events is not None and len(events):
            self._recent.append(events)
        net = np.zeros(self._shape, np.int64)
        for part in self._recent:
            net += self._count(part.slice_time(end_us - window_us, end_us))
        shade = np.minimum(np.abs(net), len(OPACITY)) - 1
        return np.asarray(np.select([net > 0, net < 0], [ON_SHADES + shade, OFF_SHADES + shade], BACKGROUND), np.uint8)

    def _count(self, events: Events) -> NDArray[np.int64]:
        """Return ON minus OFF events per pixel [H, W]."""
        places, size = self._places(events), math.prod(self._shape)
        on, off = (np.bincount(places[events.p == polarity], minlength=size) for polarity in (True, False))
        return (on - off).reshape(self._shape)

    def _weigh(self, events: Events, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of the weights of ON minus those of OFF events per pixel [H, W]."""
        signed = np.where(events.p, weights, -weights)
        sums = np.bincount(self._places(events), signed, math.prod(self._shape))
        return np.asarray(sums.reshape(self._shape), np.float64)

    def _places(self, events: Events) -> NDArray[np.int64]:
        rows, columns = (each.astype(np.int64) // self._shrink for each in (events.y, events.x))
        return rows * self._shape[1] + columns

    def _faded(self, events: Events | None, end_us: int) -> NDArray[np.uint8]:
        """Return what is left of all events until now, as indices."""
        constant_us = self.settings.window_us
        self._fading = self._fading * math.exp(-min(700.0, (end_us - self._last_us) / constant_us))
        self._last_us = end_us
        if events is not None and len(events):
            left = np.exp((events.t - end_us) / constant_us)
            if self.settings.mode == "surface":  # of several events of a pixel the last stays
                self._fading.reshape(-1)[self._places(events)] = np.where(events.p, left, -left)
            else:
                self._fading += self._weigh(events, left)
        strength = np.abs(self._fading)
        shown = strength if self.settings.mode == "surface" else -np.expm1(-strength)
        level = np.rint(shown * FADE_LEVELS).astype(np.int64).clip(0, FADE_LEVELS)
        first = np.where(self._fading > 0, ON_FADING, OFF_FADING)
        return np.asarray(np.where(level, first + level - 1, BACKGROUND), np.uint8)

    def _video_at(self, end_us: int, height: int) -> NDArray[np.uint8] | None:
        """Return the newest frame of the video until now, as high as the events; None without a video."""
        while self._next_frame is not None and (self._frame is None or self._next_frame[0] <= end_us):
            self._frame, self._next_frame = self._next_frame, next(self._video, None)
        if self._frame is None:
            return None
        colours = self._frame[1]
        width = max(1, round(height * colours.shape[1] / colours.shape[0]))
        return np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_AREA))


def _draw_text(text: str, width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFont

    mask = Image.new("L", (width, height))
    font = ImageFont.load_default(size=height * 0.6)
    ImageDraw.Draw(mask).text((height // 4, height / 2), text, fill=255, font=font, anchor="lm")
    return np.asarray(TEXT_COLOURS + np.asarray(mask) // (256 // TEXT_SHADES), np.uint8)


def _draw_caption(caption: Caption, width: int, height: int) -> NDArray[np.uint8]:
    strip = _draw_text(caption.text, width, height)
    strip[-BAR_PX:] = TRACK
    strip[-BAR_PX:, : round(caption.share * width)] = BAR
    return strip


def make_palette(colours: PreviewColours) -> NDArray[np.uint8]:
    """Return the RGB colours [256, 3] of the indices."""
    if colours == "light" or colours == "dark" or colours == "colour-blind":
        return _palette(EVENT_PALETTES[colours]).round().astype(np.uint8)
    palette = _palette(DARK)
    shades = _colour_map(colours)
    palette[BACKGROUND] = shades[0]
    for first, opacity in ((ON_SHADES, np.array(OPACITY)), (ON_FADING, _fading_opacity())):
        own = shades[np.rint(255 * opacity).astype(int)]
        palette[first : first + 2 * len(own)] = np.concatenate([own, own])  # OFF follows ON
    return palette.round().astype(np.uint8)


def _palette(colours: EventPalette) -> NDArray[np.float64]:
    palette = np.zeros((256, 3))
    palette[[BACKGROUND, STRIP, BAR]] = colours.background, colours.strip, colours.bar
    palette[TRACK] = np.mean([colours.strip, colours.text], axis=0)
    ramps: list[tuple[int, Colour, Colour, NDArray[np.float64]]] = [
        (ON_SHADES, colours.background, colours.on, np.array(OPACITY)),
        (OFF_SHADES, colours.background, colours.off, np.array(OPACITY)),
        (ON_FADING, colours.background, colours.on, _fading_opacity()),
        (OFF_FADING, colours.background, colours.off, _fading_opacity()),
        (TEXT_COLOURS, colours.strip, colours.text, np.linspace(0, 1, TEXT_SHADES)),
    ]
    for first, under, over, opacity in ramps:
        palette[first : first + len(opacity)] = under + opacity[:, None] * np.subtract(over, under)
    cube = np.stack(np.meshgrid(*(np.linspace(0, 255, levels) for levels in VIDEO_LEVELS)), axis=-1).reshape(-1, 3)
    palette[VIDEO : VIDEO + len(cube)] = cube
    return palette


def _fading_opacity() -> NDArray[np.float64]:
    return np.arange(1, FADE_LEVELS + 1) / FADE_LEVELS


def _colour_map(name: ColourMap) -> NDArray[np.uint8]:
    """Return the RGB colours [256, 3] of a colour map, from nothing to most."""
    greys = np.arange(256, dtype=np.uint8)
    if name == "grey":
        return np.repeat(greys[:, None], 3, axis=1)
    number = cv2.COLORMAP_VIRIDIS if name == "viridis" else cv2.COLORMAP_INFERNO
    colours: NDArray[np.uint8] = cv2.applyColorMap(greys[None], number)[0, :, ::-1]
    return colours
