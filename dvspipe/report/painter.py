"""Pictures of events as palette indices, shared by videos, GIFs and sheets.

An `EventPainter` draws one picture after another as a `PaletteImage`: indices into a palette of 256 colours, because a
GIF needs one, and because colours can then be chosen last (`make_palette`). The palette has groups of colours; the
constants BACKGROUND to VIDEO are the first index of each group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError
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
BOX_LINE_PX = 2
FONT_SHARE = 0.6  # size of a font, relative to the line of text
LABEL_FONT_SHARE = 0.55
MAX_EXPONENT = 700.0  # exp(-700) is still a normal number
PALETTE_COLOURS = 256
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
            height, width, _ = self.video.shape
            colours[:height, :width] = self.video
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

        # Large sensors are reduced, and small ones enlarged, by integer factors: all pixels keep the same size.
        self._shrink = max(1, -(-max(sensor.width, sensor.height) // settings.max_side_px))
        self._shape = -(-sensor.height // self._shrink), -(-sensor.width // self._shrink)
        self._enlarge = settings.scale or max(1, -(-settings.min_side_px // max(self._shape)))
        side_px = self._enlarge * max(self._shape)
        if side_px > MAX_PICTURE_PX:
            raise ConfigError(
                f"scale {self._enlarge}: pictures of {side_px} pixels (expected at most {MAX_PICTURE_PX})"
                f"; use scale={MAX_PICTURE_PX // max(self._shape)} to reduce the scale"
            )

        self._sensor = sensor
        self._recent = list[Events]()
        self._fading = np.zeros(self._shape)
        self._last_us = EARLIEST_US // 2  # `_fading` holds at this time
        self._video = video or iter(())
        self._frame: NDArray[np.uint8] | None = None  # latest frame until the last picture
        self._next_frame = next(self._video, None)  # time and colours of the frame after it; None: no more

    def draw(self, events: Events | None, end_us: int, since_us: int) -> PaletteImage:
        """Draw the events since the previous picture, until `end_us` (exclusive); sides are even, as VP8 requires."""
        draw = self._draw_counts if self.settings.mode == "count" else self._draw_fading
        indices = draw(events, end_us)
        pixels = indices.repeat(self._enlarge, axis=0).repeat(self._enlarge, axis=1)

        caption = None if self._captions is None else self._captions(end_us)
        if caption is not None and caption.box is not None:
            scale = self._enlarge / self._shrink
            cv2.rectangle(pixels, *caption.box.corners(scale, scale), BAR, BOX_LINE_PX)

        # The frame of the video is in its own colours; here is only room for it.
        video = self._frame_at(end_us, len(pixels))
        if video is not None:
            _, video_width, _ = video.shape
            pixels = np.pad(pixels, ((0, 0), (video_width, 0)), constant_values=STRIP)
            if caption is not None:
                video = _label_frame(video, caption, self._sensor)

        # Lines of text below the pixels: the caption, if it is not in the video, and the time.
        height, width = pixels.shape
        even_width = width + width % 2
        strip_px = max(MIN_STRIP_PX, height // 20)
        strips = [_draw_text(f"{since_us / 1e6:.3f} s", even_width, strip_px)]
        if caption is not None and video is None:
            strips.insert(0, _draw_caption(caption, even_width, strip_px))

        full_height = height + strip_px * len(strips)
        picture = np.full((full_height + full_height % 2, even_width), STRIP, dtype=np.uint8)
        picture[:height, :width] = pixels
        picture[height:full_height] = np.concatenate(strips)
        return PaletteImage(picture, video)

    def _draw_counts(self, events: Events | None, end_us: int) -> NDArray[np.uint8]:
        """Return palette indices of ON minus OFF counts in the window that ends at `end_us`."""
        window_us = self.settings.window_us

        # A window may be longer than the time between pictures: keep parts until they leave it.
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
        """Return the number of each event's pixel in the picture, row by row."""
        rows = events.y.astype(np.int64) // self._shrink
        columns = events.x.astype(np.int64) // self._shrink
        _, width = self._shape
        return rows * width + columns

    def _draw_fading(self, events: Events | None, end_us: int) -> NDArray[np.uint8]:
        """Return palette indices of all events until `end_us`, faded by their age."""
        constant_us = self.settings.window_us

        # The sum fades from its value at the last picture; the limit of the exponent prevents underflow.
        age = (end_us - self._last_us) / constant_us
        self._fading = self._fading * math.exp(-min(MAX_EXPONENT, age))
        self._last_us = end_us

        if events is not None and len(events):
            left = np.exp((events.t - end_us) / constant_us)
            if self.settings.mode == "surface":  # the last event of a pixel wins
                self._fading.reshape(-1)[self._pixel_indices(events)] = np.where(events.p, left, -left)
            else:
                self._fading += self._sum_weights(events, left)

        if self.settings.mode == "surface":
            return shade_fading(self._fading)

        # The sum has no bound: 1 - exp(-|sum|) maps it to at most 1.
        return shade_fading(-np.sign(self._fading) * np.expm1(-np.abs(self._fading)))

    def _frame_at(self, end_us: int, height: int) -> NDArray[np.uint8] | None:
        """Return the latest video frame until `end_us`, scaled to the height of the events; None without a video."""
        # Before its first frame, a video shows that frame.
        while self._next_frame is not None:
            t_us, colours = self._next_frame
            if self._frame is not None and t_us > end_us:
                break
            self._frame = colours
            self._next_frame = next(self._video, None)
        if self._frame is None:
            return None

        frame_height, frame_width, _ = self._frame.shape
        width = max(1, round(height * frame_width / frame_height))
        return np.asarray(cv2.resize(self._frame, (width, height), interpolation=cv2.INTER_AREA))


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
    font = ImageFont.load_default(size=height * FONT_SHARE)
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

    height, width, _ = frame.shape
    drawn = frame.copy()
    if caption.box is not None:
        corners = caption.box.corners(width / sensor.width, height / sensor.height)
        cv2.rectangle(drawn, *corners, DARK.bar, BOX_LINE_PX)

    band_px = max(MIN_STRIP_PX, round(LABEL_SHARE * height))
    bar_px = max(BAR_PX, band_px // 10)
    top = height - band_px
    drawn[top:] = (drawn[top:] * LABEL_BRIGHTNESS).astype(np.uint8)
    drawn[height - bar_px :, : round(caption.share * width)] = DARK.bar
    image = Image.fromarray(drawn)

    # Smaller text if the caption would be wider than the frame.
    size = band_px * LABEL_FONT_SHARE
    margin = band_px // 4
    length = ImageFont.load_default(size=size).getlength(caption.text)
    font = ImageFont.load_default(size=size * min(1.0, (width - 2 * margin) / max(1.0, length)))

    middle = top + (band_px - bar_px) / 2
    ImageDraw.Draw(image).text((margin, middle), caption.text, fill="white", font=font, anchor="lm")
    return np.asarray(image)


def make_palette(colours: PreviewColours) -> NDArray[np.uint8]:
    """Return the RGB colour of each palette index, [256, 3]."""
    if colours == "light" or colours == "dark" or colours == "colour-blind":
        return _palette(EVENT_PALETTES[colours]).round().astype(np.uint8)

    # A colour map shows the number of events only: ON and OFF share its colours.
    palette = _palette(DARK)
    shades = _colour_map(colours)
    palette[BACKGROUND] = shades[0]
    for first, opacity in ((ON_SHADES, np.array(OPACITY)), (ON_FADING, _fading_opacity())):
        ramp = shades[np.rint(255 * opacity).astype(int)]
        palette[first : first + 2 * len(ramp)] = np.concatenate([ramp, ramp])  # OFF indices follow ON indices

    return palette.round().astype(np.uint8)


def _palette(colours: EventPalette) -> NDArray[np.float64]:
    """Return the colours of all groups, 0 to 255, [PALETTE_COLOURS, 3]."""
    palette = np.zeros((PALETTE_COLOURS, 3))
    palette[BACKGROUND] = colours.background
    palette[STRIP] = colours.strip
    palette[BAR] = colours.bar
    palette[TRACK] = np.mean([colours.strip, colours.text], axis=0)

    # Shades from one colour to another: first index, both colours, and the share of the second one.
    ramps: list[tuple[int, Colour, Colour, NDArray[np.float64]]] = [
        (ON_SHADES, colours.background, colours.on, np.array(OPACITY)),
        (OFF_SHADES, colours.background, colours.off, np.array(OPACITY)),
        (ON_FADING, colours.background, colours.on, _fading_opacity()),
        (OFF_FADING, colours.background, colours.off, _fading_opacity()),
        (TEXT_COLOURS, colours.strip, colours.text, np.linspace(0, 1, TEXT_SHADES)),
    ]

    for first, under, over, opacity in ramps:
        palette[first : first + len(opacity)] = under + opacity[:, None] * np.subtract(over, under)

    # A coarse cube of colours for the frames of a video beside the events.
    levels = (np.linspace(0, 255, count) for count in VIDEO_LEVELS)
    cube = np.stack(np.meshgrid(*levels), axis=-1).reshape(-1, 3)
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
    (bgr,) = cv2.applyColorMap(greys[None], number)  # a picture of one row
    colours: NDArray[np.uint8] = bgr[:, ::-1]
    return colours
