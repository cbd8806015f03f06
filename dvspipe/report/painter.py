"""Pictures of events: an `EventPainter` draws one after another, for videos, GIFs and sheets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.texts import show_name
from ..events import Events, SensorSize
from ..video.opencv import cv2
from .config import PreviewSettings
from .style import EVENT_PALETTES, Colour, EventPalette

OPACITY = (0.0, 0.6, 0.73, 0.87, 1.0)  # pixels with 0, 1, 2, 3, and 4 or more events
MIN_STRIP_PX = 26  # height of the line of text above a picture
STRIP_SHARE = 0.06  # its height, relative to the picture
BAR_SHARE = 0.12  # height of the bar in it, relative to the line
FONT_SHARE = 0.6
BOX_LINE_PX = 2


class Box(NamedTuple):
    """Rectangle in a picture, in pixels of the sensor; it may extend beyond the sensor."""

    left: float
    top: float
    width: float
    height: float


class Caption(NamedTuple):
    """Caption of a picture: text, a bar of length 0 to 1, and a rectangle."""

    text: str
    share: float
    box: Box | None = None


Captions = Callable[[int], Caption | None]
"""Return the caption at a recording time in microseconds; None: no caption."""


def write_picture(picture: NDArray[np.uint8], path: Path) -> Path:
    """Write a picture, RGB uint8 [H, W, 3], and return its path."""
    from PIL import Image

    Image.fromarray(picture).save(path)
    return path


def draw_box(picture: NDArray[np.uint8], box: Box, sensor: SensorSize, colour: Colour) -> None:
    """Draw a rectangle into a picture of the complete sensor, RGB uint8 [H, W, 3]."""
    height, width, _ = picture.shape
    x = width / sensor.width
    y = height / sensor.height
    first = round(box.left * x), round(box.top * y)
    last = round((box.left + box.width) * x) - 1, round((box.top + box.height) * y) - 1
    cv2.rectangle(picture, first, last, colour, BOX_LINE_PX)


def shade_counts(net: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the strength, -1 (OFF) to 1 (ON), of ON minus OFF counts."""
    opacity = np.array(OPACITY)[np.minimum(np.abs(net), len(OPACITY) - 1)]
    return np.asarray(np.sign(net) * opacity, np.float64)


def paint(strength: NDArray[np.float32 | np.float64], palette: EventPalette) -> NDArray[np.uint8]:
    """Return the colours, uint8 [H, W, 3], of strengths from -1 (OFF) to 1 (ON), [H, W]."""
    background = np.array(palette.background)
    full = np.where(strength[..., None] > 0, palette.on, palette.off)
    mixed = background + np.abs(strength)[..., None] * (full - background)
    return np.asarray(mixed.round(), np.uint8)


class EventPainter:
    """Draw pictures of consecutive events.

    Args:
        sensor: Sensor of the events.
        settings: Preview settings.
        video: Video to show left of the events: frame times in microseconds and RGB frames, uint8 [H, W, 3].
        captions: Returns the caption of each picture.
    """

    def __init__(
        self,
        sensor: SensorSize,
        settings: PreviewSettings,
        *,
        video: Iterator[tuple[int, NDArray[np.uint8]]] | None = None,
        captions: Captions | None = None,
    ) -> None:
        self.settings = settings
        self._captions = captions
        self._sensor = sensor
        self._palette = EVENT_PALETTES[settings.colours]

        # Integer factors: all pixels keep the same size.
        self._shrink = max(1, -(-max(sensor) // (2 * settings.side_px)))
        self._shape = -(-sensor.height // self._shrink), -(-sensor.width // self._shrink)
        self._enlarge = -(-settings.side_px // max(self._shape))

        self._recent = list[Events]()
        self._video = video or iter(())
        self._frame: NDArray[np.uint8] | None = None  # latest frame until the last picture
        self._next_frame = next(self._video, None)  # time and colours of the frame after it; None: no more

    def draw(self, events: Events | None, end_us: int, since_us: int) -> NDArray[np.uint8]:
        """Draw the events since the previous picture, until `end_us`, below a line with the caption and the time.

        Returns:
            RGB uint8 [H, W, 3]; the sides are even, as VP8 requires.
        """
        caption = None if self._captions is None else self._captions(end_us)
        pixels = self.draw_pixels(events, end_us, box=None if caption is None else caption.box)
        strip = _draw_strip(f"{since_us / 1e6:.3f} s", caption, pixels, self._palette)

        # Above the pixels, where the controls of a player do not hide it.
        picture = np.concatenate([strip, pixels])
        _, width, _ = picture.shape
        return np.pad(picture, ((0, 0), (0, width % 2), (0, 0)), mode="edge")

    def draw_pixels(self, events: Events | None, end_us: int, *, box: Box | None = None) -> NDArray[np.uint8]:
        """Draw the picture without its line of text, with the latest frame of the video on the left."""
        pixels = paint(self._draw_counts(events, end_us), self._palette)
        pixels = pixels.repeat(self._enlarge, axis=0).repeat(self._enlarge, axis=1)
        pictures = [pixels]

        # Until its first frame, a video shows that frame.
        while self._next_frame is not None and (self._frame is None or self._next_frame[0] <= end_us):
            _, self._frame = self._next_frame
            self._next_frame = next(self._video, None)
        if self._frame is not None:
            frame_height, frame_width, _ = self._frame.shape
            size = max(1, round(len(pixels) * frame_width / frame_height)), len(pixels)
            pictures.insert(0, np.asarray(cv2.resize(self._frame, size, interpolation=cv2.INTER_AREA)))

        if box is not None:
            for picture in pictures:
                draw_box(picture, box, self._sensor, self._palette.bar)
        return np.concatenate(pictures, axis=1)

    def _draw_counts(self, events: Events | None, end_us: int) -> NDArray[np.float64]:
        """Return the strength of ON minus OFF counts in the window that ends at `end_us`."""
        start_us = end_us - self.settings.window_us

        # A window may be longer than the time between pictures: keep parts until they leave it.
        self._recent = [part for part in self._recent if part.t[-1] >= start_us]
        if events is not None and len(events):
            self._recent.append(events)

        _, width = self._shape
        net = np.zeros(math.prod(self._shape), np.int64)
        for part in self._recent:
            shown = part.between(start_us, end_us)
            pixels = (shown.y.astype(np.int64) // self._shrink) * width + shown.x // self._shrink
            np.add.at(net, pixels, np.where(shown.p, 1, -1))
        return shade_counts(net.reshape(self._shape))


def _draw_strip(
    time: str, caption: Caption | None, pixels: NDArray[np.uint8], palette: EventPalette
) -> NDArray[np.uint8]:
    """Draw the line above a picture: the caption on the left, the time on the right, the bar at the bottom."""
    from PIL import Image, ImageDraw, ImageFont

    below, width, _ = pixels.shape
    height = max(MIN_STRIP_PX, round(STRIP_SHARE * below))
    height += (height + below) % 2
    bar_px = round(BAR_SHARE * height)
    middle = (height - bar_px) / 2
    margin = height // 4
    image = Image.new("RGB", (width, height), palette.strip)
    draw = ImageDraw.Draw(image)

    # Smaller text if both would be wider than the picture.
    text = "" if caption is None else show_name(caption.text)
    size = height * FONT_SHARE
    needed = ImageFont.load_default(size=size).getlength(f"{text}  {time}")
    font = ImageFont.load_default(size=size * min(1.0, (width - 2 * margin) / needed))
    draw.text((margin, middle), text, fill=palette.text, font=font, anchor="lm")
    draw.text((width - margin, middle), time, fill=palette.text, font=font, anchor="rm")

    strip = np.array(image)
    if caption is not None:
        strip[height - bar_px :, : round(caption.share * width)] = palette.bar
    return strip
