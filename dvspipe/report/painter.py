"""Pictures of events as palette indices, shared by videos, GIFs and sheets."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, Remedy
from ..events import EARLIEST_US, Events, SensorSize
from ..video.opencv import cv2
from .config import ColourMap, PreviewColours, PreviewMode, PreviewSettings
from .style import DARK, EVENT_PALETTES, Colour, EventPalette

OPACITY = (0.6, 0.73, 0.87, 1.0)  # pixels with 1, 2, 3, and 4 or more events
FADE_LEVELS = 32  # shades of fading pixels
TEXT_SHADES = 16
VIDEO_LEVELS = 5, 8, 4  # red, green, blue levels of a video shown beside the events in palette colours
MAX_PICTURE_PX = 4096  # longer side of the events in a picture
MIN_STRIP_PX = 22  # height of a line of text
BAR_PX = 3  # height of the bar in a caption
LABEL_SHARE = 0.13  # height of the caption on a video frame, relative to the frame
LABEL_BRIGHTNESS = 0.35  # brightness of the frame below its caption
# First palette index of each colour group.
BACKGROUND, STRIP, BAR, TRACK, ON_SHADES = range(5)
OFF_SHADES = ON_SHADES + len(OPACITY)
ON_FADING = OFF_SHADES + len(OPACITY)
OFF_FADING = ON_FADING + FADE_LEVELS
TEXT_COLOURS = OFF_FADING + FADE_LEVELS
VIDEO = TEXT_COLOURS + TEXT_SHADES


STRONGEST: dict[PreviewMode, tuple[int, int]] = {
    "count": (OFF_SHADES - 1, ON_FADING - 1),
    "surface": (OFF_FADING - 1, TEXT_COLOURS - 1),
    "decay": (OFF_FADING - 1, TEXT_COLOURS - 1),
}
"""Palette indices of the strongest ON and OFF colours of a mode."""


class PaletteImage(NamedTuple):
    """Picture of events, optionally with a video on its left.

    Args:
        indices: Palette indices, uint8 [H, W].
        video: Video frame left of the events, RGB uint8 [h, w, 3]; None: no video.
    """

    indices: NDArray[np.uint8]
    video: NDArray[np.uint8] | None

    def to_rgb(self, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the RGB colours, uint8 [H, W, 3]."""
        colours = palette[self.indices]
        if self.video is not None:
            colours[: self.video.shape[0], : self.video.shape[1]] = self.video
        return colours


class Box(NamedTuple):
    """Rectangle in a picture, in pixels of the sensor; it may extend beyond the sensor."""

    left: float
    top: float
    width: float
    height: float

    def corners(self, x: float, y: float) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the first and the last pixel of the rectangle in a picture that is scaled by `x` and `y`."""
        first = round(self.left * x), round(self.top * y)
        last = round((self.left + self.width) * x) - 1, round((self.top + self.height) * y) - 1
        return first, last


class Caption(NamedTuple):
    """Caption of a picture: text, a bar of length 0 to 1, and a rectangle.

    The text is on the video left of the events, or below the events if there is none; the rectangle is in both.
    """

    text: str
    share: float
    box: Box | None = None


Captions = Callable[[int], Caption | None]
"""Return the caption at a recording time in microseconds; None: no caption."""


def write_picture(picture: NDArray[np.uint8], path: Path) -> Path:
    """Write a picture, uint8 [H, W, 3], as a PNG file and return its path."""
    from PIL import Image

    Image.fromarray(picture).save(path)
    return path


def encode_picture(picture: NDArray[np.uint8], *, optimize: bool = False) -> bytes:
    """Return a picture, uint8 [H, W, 3], as a small PNG file of 64 colours."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).quantize(64).save(file, format="png", optimize=optimize)
    return file.getvalue()


class EventPainter:
    """Draw pictures of consecutive events.

    Drawing 25 pictures of 200,000 events takes 0.17 s of CPU. faery takes 3 times as long into an .mp4 (0.51 s), and
    matplotlib and Pillow 30 times as long into a GIF; none of them shows ON minus OFF counts, captions, boxes or a
    video beside the events.

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
        self._shrink = max(1, -(-max(sensor.width, sensor.height) // settings.max_side_px))
        self._shape = -(-sensor.height // self._shrink), -(-sensor.width // self._shrink)
        self._enlarge = settings.scale or max(1, -(-settings.min_side_px // max(self._shape)))
        side_px = self._enlarge * max(self._shape)
        if side_px > MAX_PICTURE_PX:
            raise ConfigError(
                f"scale {self._enlarge}: pictures of {side_px} pixels (expected at most {MAX_PICTURE_PX})",
                Remedy("scale", MAX_PICTURE_PX // max(self._shape), "reduce the scale"),
            )
        self._sensor, self._recent = sensor, list[Events]()
        self._fading = np.zeros(self._shape)
        self._last_us = EARLIEST_US // 2  # `_fading` holds at this time
        self._video = video or iter(())
        self._frame: tuple[int, NDArray[np.uint8]] | None = None
        self._next_frame = next(self._video, None)

    def draw(self, events: Events | None, end_us: int, since_us: int) -> PaletteImage:
        """Draw the events since the previous picture, until `end_us` (exclusive); sides are even, as VP8 requires."""
        indices = (
            self._draw_counts(events, end_us) if self.settings.mode == "count" else self._draw_fading(events, end_us)
        )
        pixels = indices.repeat(self._enlarge, axis=0).repeat(self._enlarge, axis=1)
        caption = None if self._captions is None else self._captions(end_us)
        if caption is not None and caption.box is not None:
            scale = self._enlarge / self._shrink
            cv2.rectangle(pixels, *caption.box.corners(scale, scale), BAR, 2)

        video = self._frame_at(end_us, len(pixels))
        if video is not None:
            pixels = np.pad(pixels, ((0, 0), (video.shape[1], 0)), constant_values=STRIP)
            if caption is not None:
                video = _label_frame(video, caption, self._sensor)

        height, width = pixels.shape
        strip_px = max(MIN_STRIP_PX, height // 20)
        strips = [_draw_text(f"{since_us / 1e6:.3f} s", width + width % 2, strip_px)]
        if caption is not None and video is None:
            strips.insert(0, _draw_caption(caption, width + width % 2, strip_px))
        full = height + strip_px * len(strips)
        picture = np.full((full + full % 2, width + width % 2), STRIP, dtype=np.uint8)
        picture[:height, :width] = pixels
        picture[height:full] = np.concatenate(strips)
        return PaletteImage(picture, video)

    def _draw_counts(self, events: Events | None, end_us: int) -> NDArray[np.uint8]:
        """Return palette indices of ON minus OFF counts in the window that ends at `end_us`."""
        window_us = self.settings.window_us
        self._recent = [part for part in self._recent if part.t[-1] >= end_us - window_us]
        if events is not None and len(events):
            self._recent.append(events)
        net = np.zeros(self._shape)
        for part in self._recent:
            net += self._sum_weights(part.between(end_us - window_us, end_us), 1.0)
        return shade_counts(net.astype(np.int64))

    def _sum_weights(self, events: Events, weights: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Sum the weights per pixel [H, W], counting OFF events as negative."""
        signed = np.where(events.p, weights, -weights)
        sums = np.bincount(self._pixel_indices(events), signed, math.prod(self._shape))
        return np.asarray(sums.reshape(self._shape), np.float64)

    def _pixel_indices(self, events: Events) -> NDArray[np.int64]:
        rows, columns = (each.astype(np.int64) // self._shrink for each in (events.y, events.x))
        return rows * self._shape[1] + columns

    def _draw_fading(self, events: Events | None, end_us: int) -> NDArray[np.uint8]:
        """Return palette indices of all events until `end_us`, faded by their age."""
        constant_us = self.settings.window_us
        self._fading = self._fading * math.exp(-min(700.0, (end_us - self._last_us) / constant_us))
        self._last_us = end_us
        if events is not None and len(events):
            left = np.exp((events.t - end_us) / constant_us)
            if self.settings.mode == "surface":  # the last event of a pixel wins
                self._fading.reshape(-1)[self._pixel_indices(events)] = np.where(events.p, left, -left)
            else:
                self._fading += self._sum_weights(events, left)
        if self.settings.mode == "surface":
            return shade_fading(self._fading)
        return shade_fading(-np.sign(self._fading) * np.expm1(-np.abs(self._fading)))

    def _frame_at(self, end_us: int, height: int) -> NDArray[np.uint8] | None:
        """Return the latest video frame until `end_us`, scaled to the height of the events; None without a video."""
        while self._next_frame is not None and (self._frame is None or self._next_frame[0] <= end_us):
            self._frame, self._next_frame = self._next_frame, next(self._video, None)
        if self._frame is None:
            return None
        colours = self._frame[1]
        width = max(1, round(height * colours.shape[1] / colours.shape[0]))
        return np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_AREA))


def shade_counts(net: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return palette indices of ON minus OFF counts, [H, W]."""
    shade = np.minimum(np.abs(net), len(OPACITY)) - 1
    return np.asarray(np.select([net > 0, net < 0], [ON_SHADES + shade, OFF_SHADES + shade], BACKGROUND), np.uint8)


def shade_fading(strength: NDArray[np.float32 | np.float64]) -> NDArray[np.uint8]:
    """Return palette indices of strengths from -1 (OFF) to 1 (ON), [H, W]."""
    level = np.rint(np.abs(strength) * FADE_LEVELS).astype(np.int64).clip(0, FADE_LEVELS)
    first = np.where(strength > 0, ON_FADING, OFF_FADING)
    return np.asarray(np.where(level, first + level - 1, BACKGROUND), np.uint8)


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


def _label_frame(frame: NDArray[np.uint8], caption: Caption, sensor: SensorSize) -> NDArray[np.uint8]:
    """Return a video frame with the rectangle of a caption, and its text and bar on a darker band at the bottom."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = frame.shape[:2]
    drawn = frame.copy()
    if caption.box is not None:
        corners = caption.box.corners(width / sensor.width, height / sensor.height)
        cv2.rectangle(drawn, *corners, DARK.bar, 2)

    band_px = max(MIN_STRIP_PX, round(LABEL_SHARE * height))
    bar_px, top = max(BAR_PX, band_px // 10), height - band_px
    drawn[top:] = (drawn[top:] * LABEL_BRIGHTNESS).astype(np.uint8)
    drawn[height - bar_px :, : round(caption.share * width)] = DARK.bar
    image = Image.fromarray(drawn)
    size, margin = band_px * 0.55, band_px // 4
    length = ImageFont.load_default(size=size).getlength(caption.text)
    font = ImageFont.load_default(size=size * min(1.0, (width - 2 * margin) / max(1.0, length)))
    middle = top + (band_px - bar_px) / 2
    ImageDraw.Draw(image).text((margin, middle), caption.text, fill="white", font=font, anchor="lm")
    return np.asarray(image)


def make_palette(colours: PreviewColours) -> NDArray[np.uint8]:
    """Return the RGB colour of each palette index, [256, 3]."""
    if colours == "light" or colours == "dark" or colours == "colour-blind":
        return _palette(EVENT_PALETTES[colours]).round().astype(np.uint8)
    palette = _palette(DARK)
    shades = _colour_map(colours)
    palette[BACKGROUND] = shades[0]
    for first, opacity in ((ON_SHADES, np.array(OPACITY)), (ON_FADING, _fading_opacity())):
        own = shades[np.rint(255 * opacity).astype(int)]
        palette[first : first + 2 * len(own)] = np.concatenate([own, own])  # OFF indices follow ON indices
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
    """Return the RGB colours [256, 3] of a colour map, from no events to many."""
    greys = np.arange(256, dtype=np.uint8)
    if name == "grey":
        return np.repeat(greys[:, None], 3, axis=1)
    number = cv2.COLORMAP_VIRIDIS if name == "viridis" else cv2.COLORMAP_INFERNO
    colours: NDArray[np.uint8] = cv2.applyColorMap(greys[None], number)[0, :, ::-1]
    return colours
