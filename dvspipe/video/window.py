"""A window of OpenCV that shows pictures."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from .opencv import cv2, silence_stderr

ESCAPE = 27
PROBE_S = 20.0
# In a process of its own: without a reachable display, Qt aborts the process.
PROBE = "import cv2; cv2.namedWindow('dvspipe', cv2.WINDOW_NORMAL)"


def has_display() -> bool:
    """Return whether this machine seems to have a display, and OpenCV was built with windows.

    opencv-python-headless has none.
    """
    is_set = sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return is_set and bool(cv2.currentUIFramework())


class PictureWindow:
    """Window that shows pictures, until it is closed by the mouse, Escape or q. Use it in the main thread.

    Args:
        title: Title.

    Raises:
        VideoError: If no window can be opened.
    """

    def __init__(self, title: str) -> None:
        if not cv2.currentUIFramework():
            raise VideoError("window: this OpenCV has no windows (opencv-python-headless); install opencv-python")
        if not has_display() or not _can_open():
            raise VideoError("window: no display (found none that opens a window)")
        self._title, self._is_open = title, True
        with silence_stderr():  # Qt warns about missing fonts
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._size: tuple[int, ...] | None = None

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture.

        Args:
            picture: RGB, uint8 [H, W, 3].
        """
        if self._size is None:
            self._size = picture.shape
            cv2.resizeWindow(self._title, picture.shape[1], picture.shape[0])
        cv2.imshow(self._title, np.ascontiguousarray(picture[..., ::-1]))

    def is_open(self) -> bool:
        """Handle the keys and clicks since the last call; return whether the window is still open."""
        is_ended = cv2.waitKey(1) & 0xFF in (ESCAPE, ord("q"))
        if self._is_open and (is_ended or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1):
            self.close()
        return self._is_open

    def close(self) -> None:
        """Close the window."""
        if self._is_open:
            self._is_open = False
            cv2.destroyAllWindows()


def _can_open() -> bool:
    command = [sys.executable, "-P", "-c", PROBE]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
