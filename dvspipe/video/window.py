"""A window of OpenCV that shows pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from .opencv import cv2, silence_stderr

ESCAPE = 27  # code of the key
KEY_BITS = 0xFF  # higher bits of a key are modifiers
PROBE_S = 20.0  # time for another process to import OpenCV and open a window
PROBE = "import sys, cv2; cv2.namedWindow('dvspipe', cv2.WINDOW_NORMAL); print(1, flush=True); sys.stdin.read()"


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

        self._title = title
        self._is_open = True
        with probe_display() as is_usable:
            if not has_display() or not is_usable:
                raise VideoError("window: no display (found none that opens a window)")
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


@contextmanager
def probe_display() -> Iterator[bool]:
    """Open a window in another process until the block ends; yield whether that worked.

    Without a usable display, Qt aborts the process. The other process stays, because Xvfb restarts, and refuses
    connections meanwhile, when its only window is closed.
    """
    command = [sys.executable, "-P", "-c", PROBE]
    pipe = subprocess.PIPE
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere) as child:
        timer = threading.Timer(PROBE_S, child.kill)
        timer.start()
        try:
            # Reading returns nothing if the child dies, or the timer ends it.
            assert child.stdout is not None
            yield bool(child.stdout.read(1))
        finally:
            timer.cancel()
            child.kill()
