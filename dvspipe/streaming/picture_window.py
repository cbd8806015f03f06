"""A window of OpenCV that shows pictures."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from ..video.opencv import cv2, silence_stderr

ESCAPE = 27  # code of the key
KEY_BITS = 0xFF  # higher bits of a key are modifiers
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
        # Without a usable display, Qt aborts the process: another process opens a window first.
        probe = [sys.executable, "-P", "-c", PROBE]
        if not has_display() or subprocess.run(probe, capture_output=True, check=False).returncode:
            raise VideoError("window: no display, or an OpenCV without windows (opencv-python-headless)")

        self._title = title
        self._is_open = True
        self._size: tuple[int, ...] | None = None
        with silence_stderr():  # Qt warns about missing fonts
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture.

        Args:
            picture: RGB, uint8 [H, W, 3].
        """
        if self._size is None:
            self._size = picture.shape
            height, width = picture.shape[:2]
            cv2.resizeWindow(self._title, width, height)
        cv2.imshow(self._title, np.ascontiguousarray(picture[..., ::-1]))

    def is_open(self) -> bool:
        """Handle the keys and clicks since the last call; return whether the window is still open."""
        is_ended = cv2.waitKey(1) & KEY_BITS in (ESCAPE, ord("q"))
        if self._is_open and (is_ended or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1):
            self.close()
        return self._is_open

    def close(self) -> None:
        """Close the window."""
        if self._is_open:
            self._is_open = False
            cv2.destroyAllWindows()
