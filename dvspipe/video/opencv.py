"""OpenCV: the only module that imports it. Use `from .opencv import cv2`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import VideoError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read at import; our own errors say what is wrong with a video
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
try:
    import cv2
except ImportError as error:  # pragma: no cover - depends on the machine
    raise VideoError(
        f"OpenCV cannot be imported ({error}); install the system library libGL (Debian: apt install libgl1), or "
        "replace opencv-python by opencv-python-headless"
    ) from error

__all__ = ["cv2", "silence_stderr"]


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard what C code writes to stderr: for each .webm OpenCV warns of a wrong tag, with no way to disable it."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
