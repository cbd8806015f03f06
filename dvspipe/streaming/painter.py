"""Pictures of a live stream: film and events side by side, with the prediction below the events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base.texts import readable
from ..events import Events, SensorSize
from ..report.config import PreviewSettings
from ..report.painter import Caption, EventPainter
from ..video.frames import Frame
from ..video.opencv import cv2
from .answers import LiveAnswer

LIVE_SETTINGS = PreviewSettings(window_us=50_000, side_px=480)


class LivePainter:
    """Draw pictures of a live stream.

    Args:
        sensor: Sensor of the events that the network sees.

    Example:
        >>> sensor = SensorSize(width=12, height=7)
        >>> film = Frame(0, np.zeros((24, 32), np.uint8))
        >>> LivePainter(sensor).draw(Events.empty(sensor), film, None).shape
        (306, 888, 3)
    """

    def __init__(self, sensor: SensorSize) -> None:
        self._painter = EventPainter(sensor, LIVE_SETTINGS, captions=self._caption)
        self._answer: LiveAnswer | None = None
        self._end_us = 0

    def draw(self, events: Events, frame: Frame | None, answer: LiveAnswer | None) -> NDArray[np.uint8]:
        """Draw the events since the previous picture, with the latest frame and prediction, as RGB, uint8 [H, W, 3]."""
        self._answer = answer
        if len(events):
            self._end_us = int(events.t[-1]) + 1

        shown = self._painter.draw(events, self._end_us, self._end_us)
        if frame is None:
            return shown

        # Beside the events, at the same height.
        height, width = frame.image.shape
        size = max(1, round(len(shown) * width / height)), len(shown)
        film = cv2.resize(_as_grey(frame), size, interpolation=cv2.INTER_AREA)
        return np.concatenate([film[..., None].repeat(3, axis=2), shown], axis=1)

    def _caption(self, _: int) -> Caption:
        answer = self._answer
        if answer is None or answer.class_name is None:
            return Caption("no events" if answer else "", 0.0)

        name = readable(answer.class_name) + ("" if answer.certain else "?")
        skipped = f"  {answer.skipped_us * 1e-6:,.1f} s skipped" if answer.skipped_us else ""
        text = f"{name}  {answer.probability:.0%}  {answer.events_per_s:,.0f} events/s{skipped}"
        return Caption(text, answer.probability)


def _as_grey(frame: Frame) -> NDArray[np.uint8]:
    """Return the image of a frame as uint8 [H, W]."""
    image = frame.image
    if image.dtype == np.uint8:
        return image

    scale = 255 / 65535 if image.dtype == np.uint16 else 255.0
    return np.asarray((image.astype(np.float32) * scale).clip(0, 255), np.uint8)
