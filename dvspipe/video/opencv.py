"""Import OpenCV in one place, without its messages: use `from .opencv import cv2`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..base.errors import VideoError

# `VideoError` reports problems. OpenCV reads the first variable when it is imported, FFmpeg the second when it opens a
# video: FFmpeg's lines about corrupted films ignore the log level of OpenCV. -8 is AV_LOG_QUIET.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

try:
    import cv2
except ImportError as error:  # pragma: no cover - depends on the machine
    raise VideoError(
        f"OpenCV cannot be imported ({error}); install the system library libGL (Debian: apt install libgl1), or "
        "replace opencv-python with opencv-python-headless"
    ) from error

__all__ = ["cv2", "silence_stderr"]

_SILENCING = threading.Lock()


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard output of C code to stderr: OpenCV warns about a tag of each .webm, and has no option to disable it."""
    # C code writes to file descriptor 2, whatever `sys.stderr` is. One thread at a time: a second one would take the
    # null device for stderr, and restore that.
    with _SILENCING:
        stderr = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nowhere)
