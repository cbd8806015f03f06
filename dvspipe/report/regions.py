"""Picture of the region of a recording that the network received.

A `Moment` keeps what the picture shows while the overlay is drawn, so the recording is read once; `write_region` draws
the region into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.files import write_beside
from ..events import Events, SensorSize, concatenate
from ..results import Prediction
from ..video.opencv import cv2
from .config import PreviewSettings
from .painter import Box, EventPainter, make_palette
from .style import DARK

REGION_SIDE_PX = 480  # longer side of the picture
MAX_BEYOND = 0.5  # margin around the frame for a region that extends beyond it, relative to the frame
BRIGHTNESS = 0.4  # brightness of the frame outside the region
WINDOW_US = 66_000  # events in the picture of a recording without a video
LINE_SHARE = 0.008  # width of the line, relative to the longer side
QUALITY = 85  # JPEG


class Moment:
    """Frame and events at the busiest time of a recording, kept while something else reads the recording."""

    def __init__(self, prediction: Prediction) -> None:
        rates = prediction.rates
        busiest = int(np.argmax(rates.counts)) if rates.counts else 0

        # The end of the busiest bin: the picture shows the time before it.
        self.t_us = (rates.start_us or 0) + (busiest + 1) * rates.bin_us

        self._events: list[Events] = []
        self._frame: NDArray[np.uint8] | None = None

    def watch_events(self, parts: Iterable[Events]) -> Iterator[Events]:
        """Yield the parts of the recording unchanged."""
        for part in parts:
            near = part.between(self.t_us - WINDOW_US, self.t_us)
            if len(near):
                self._events.append(near)
            yield part

    def watch_frames(self, frames: Iterable[tuple[int, NDArray[np.uint8]]]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield times and frames of the recording's video unchanged."""
        passed = False
        for t_us, frame in frames:
            if not passed:
                self._frame = frame.copy()
                passed = t_us >= self.t_us
            yield t_us, frame

    def picture(self, sensor: SensorSize) -> NDArray[np.uint8]:
        """Return the frame, or, without a video, a picture of the events, RGB uint8 [H, W, 3]."""
        if self._frame is not None:
            return self._frame

        settings = PreviewSettings(window_us=WINDOW_US, colours="dark", scale=1)
        painter = EventPainter(sensor, settings)

        drawn = painter.draw(concatenate(self._events, sensor), self.t_us, 0).to_rgb(make_palette("dark"))
        return np.ascontiguousarray(drawn[: sensor.height, : sensor.width])


def write_region(picture: NDArray[np.uint8], box: Box, path: Path) -> None:
    """Write a JPEG file of a frame, RGB uint8 [H, W, 3], with a region drawn in it; outside the region it is darker.

    If the region extends beyond the frame, the picture shows a margin of at most half of the frame on each side.
    """
    from PIL import Image

    # Margins and corners by axis: across, then down.
    height, width, _ = picture.shape
    size = np.array([width, height])
    start = np.array([box.left, box.top])
    stop = start + np.array([box.width, box.height])
    before = np.clip(-start, 0, MAX_BEYOND * size)
    after = np.clip(stop - size, 0, MAX_BEYOND * size)

    # The frame, scaled so that it fits with its margins.
    scale = REGION_SIDE_PX / max(size + before + after)
    scaled_size = np.maximum(1, np.round(size * scale)).astype(int).tolist()
    shown = cv2.resize(picture, scaled_size)

    left, top = np.round(before * scale).astype(int).tolist()
    right, bottom = np.round(after * scale).astype(int).tolist()
    canvas = cv2.copyMakeBorder(shown, top, bottom, left, right, cv2.BORDER_CONSTANT, value=DARK.strip)

    # Darken everything, and restore the region: a corner may be outside the canvas.
    x0, y0 = np.round((start + before) * scale).astype(int).tolist()
    x1, y1 = np.round((stop + before) * scale).astype(int).tolist()
    inside = np.s_[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    drawn = np.asarray(canvas * BRIGHTNESS, np.uint8)
    drawn[inside] = canvas[inside]

    line_px = max(2, round(LINE_SHARE * REGION_SIDE_PX))
    cv2.rectangle(drawn, (x0 + 1, y0 + 1), (x1 - 2, y1 - 2), DARK.bar, line_px)

    with write_beside(path) as beside:
        Image.fromarray(drawn).save(beside, format="jpeg", quality=QUALITY)
