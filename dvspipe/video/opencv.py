"""Import OpenCV in one place: use `from .opencv import cv2`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import VideoError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read at import; `VideoError` reports problems instead
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
try:
    import cv2
except ImportError as error:  # pragma: no cover - depends on the machine
    raise VideoError(
        f"OpenCV cannot be imported ({error}); install the system library libGL (Debian: apt install libgl1), or "
        "replace opencv-python with opencv-python-headless"
    ) from error

__all__ = ["cv2", "silence_stderr"]


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard output of C code to stderr: OpenCV warns about a tag of each .webm, and has no option to disable it."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
