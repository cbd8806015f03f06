"""Picture of the region of a recording that the network received."""

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
    """Frame and events at the busiest time of a recording, kept while something else reads the recording.

    Args:
        prediction: Prediction for the recording.
    """

    def __init__(self, prediction: Prediction) -> None:
        rates = prediction.rates
        busiest = int(np.argmax(rates.counts)) if rates.counts else 0
        self.t_us = (rates.start_us or 0) + (busiest + 1) * rates.bin_us
        self._events: list[Events] = []
        self._frame: NDArray[np.uint8] | None = None

    def watch_events(self, parts: Iterable[Events]) -> Iterator[Events]:
        """Yield the parts of the recording unchanged."""
        for part in parts:
            if len(found := part.between(self.t_us - WINDOW_US, self.t_us)):
                self._events.append(found)
            yield part

    def watch_frames(self, frames: Iterable[tuple[int, NDArray[np.uint8]]]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield times and frames of the recording's video unchanged."""
        passed = False
        for t_us, frame in frames:
            if not passed:
                self._frame, passed = frame.copy(), t_us >= self.t_us
            yield t_us, frame

    def picture(self, sensor: SensorSize) -> NDArray[np.uint8]:
        """Return the frame, or, without a video, a picture of the events, RGB uint8 [H, W, 3]."""
        if self._frame is not None:
            return self._frame
        settings = PreviewSettings(window_us=WINDOW_US, colours="dark", scale=1)
        painter = EventPainter(sensor, settings, None, None)
        drawn = painter.draw(concatenate(self._events, sensor), self.t_us, 0).to_rgb(make_palette("dark"))
        return np.ascontiguousarray(drawn[: sensor.height, : sensor.width])


def write_region(picture: NDArray[np.uint8], box: Box, path: Path) -> None:
    """Write a picture with a region drawn in it; outside the region it is darker.

    Args:
        picture: Complete frame, RGB uint8 [H, W, 3].
        box: Region in pixels of the frame. If it extends beyond the frame, the picture shows a margin of at most half
            of the frame on each side.
        path: JPEG file to write.

    Raises:
        FileError: If the file cannot be written.
    """
    from PIL import Image

    height, width = picture.shape[:2]
    left, top = (min(limit, max(0.0, -start)) for limit, start in _limits(box.left, box.top, width, height))
    right, bottom = (
        min(limit, max(0.0, over))
        for limit, over in _limits(box.left + box.width - width, box.top + box.height - height, width, height)
    )
    scale = REGION_SIDE_PX / max(width + left + right, height + top + bottom)
    shown = cv2.resize(picture, (max(1, round(width * scale)), max(1, round(height * scale))))
    edges = [round(each * scale) for each in (top, bottom, left, right)]
    canvas = cv2.copyMakeBorder(shown, edges[0], edges[1], edges[2], edges[3], cv2.BORDER_CONSTANT, value=DARK.strip)
    (x0, x1), (y0, y1) = (
        [round((each + margin) * scale) for each in span]
        for span, margin in (((box.left, box.left + box.width), left), ((box.top, box.top + box.height), top))
    )
    drawn = np.asarray(canvas * BRIGHTNESS, np.uint8)
    inside = np.s_[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    drawn[inside] = canvas[inside]
    line_px = max(2, round(LINE_SHARE * REGION_SIDE_PX))
    cv2.rectangle(drawn, (x0 + 1, y0 + 1), (x1 - 2, y1 - 2), DARK.bar, line_px)
    with write_beside(path) as beside:
        Image.fromarray(drawn).save(beside, format="jpeg", quality=QUALITY)


def _limits(across: float, down: float, width: int, height: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Pair the columns and rows of a point with the maximum margin of each."""
    return (MAX_BEYOND * width, across), (MAX_BEYOND * height, down)
