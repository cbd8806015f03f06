"""The window of `dvspipe live`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..base.errors import ConfigError, VideoError

if TYPE_CHECKING:
    from ..events import Events, SensorSize
    from . import Chunk
    from .answers import LiveAnswer
    from .picture_window import PictureWindow

log = logging.getLogger(__name__)

PICTURE_S = 0.05  # minimum time between pictures


def open_window(title: str, sensor: SensorSize, *, is_wanted: bool | None) -> LiveWindow | None:
    """Open a window for a live stream.

    Args:
        title: Title of the window.
        sensor: Sensor of the events that the network sees.
        is_wanted: Whether to open a window; None: if there is a display.

    Raises:
        ConfigError: If a window is wanted, but cannot be opened.
    """
    from .picture_window import PictureWindow, has_display

    if is_wanted is False or (is_wanted is None and not has_display()):
        return None

    try:
        return LiveWindow(PictureWindow(title), sensor)
    except VideoError as error:
        # Only a window that the user asked for is an error.
        if is_wanted:
            raise ConfigError(str(error)) from error
        log.warning("%s", error)
        return None


class LiveWindow:
    """Window with film, events and prediction; a `LiveViewer`.

    Args:
        window: Open window.
        sensor: Sensor of the events that the network sees.

    Attributes:
        on_close: Called when the user closes the window.
    """

    def __init__(self, window: PictureWindow, sensor: SensorSize) -> None:
        from .painter import LivePainter

        self._window = window
        self._sensor = sensor
        self._painter = LivePainter(sensor)
        self._parts: list[Events] = []
        self._chunk: Chunk | None = None
        self._answer: LiveAnswer | None = None
        self._next_s = 0.0
        self.on_close: Callable[[], None] = lambda: None

    def add(self, chunk: Chunk, events: Events) -> None:
        """Remember a chunk for the next picture."""
        self._chunk = chunk
        self._parts.append(events)

    def show(self, answer: LiveAnswer) -> None:
        """Show a prediction from the next picture on."""
        self._answer = answer

    def refresh(self) -> None:
        """Draw a picture if it is time, and handle keys and clicks."""
        from ..events import concatenate
        from ..video.frames import Frame

        if time.monotonic() < self._next_s:
            return

        # A picture shows the latest frame, and all events since the previous picture.
        if self._chunk is not None:
            frame = self._chunk.content if isinstance(self._chunk.content, Frame) else None
            self._window.show(self._painter.draw(concatenate(self._parts, self._sensor), frame, self._answer))
            self._parts = []
            self._chunk = None

        if not self._window.is_open():
            self.on_close()
        self._next_s = time.monotonic() + PICTURE_S

    def close(self) -> None:
        """Close the window."""
        self._window.close()
