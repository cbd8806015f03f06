"""Import OpenCV in one place: use `from .opencv import cv2`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from ..base.errors import VideoError

try:
    import cv2
except ImportError as error:  # pragma: no cover - depends on the machine
    raise VideoError(
        f"OpenCV cannot be imported ({error}); install the system library libGL (Debian: apt install libgl1), or "
        "replace opencv-python with opencv-python-headless"
    ) from error

__all__ = ["SILENT_OPENCV", "cv2", "silence_stderr"]

FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
"""Environment variable that OpenCV reads when it opens a video; the level then applies until it opens another one.

There is no other way: FFmpeg's lines about corrupted films ignore the log level of OpenCV 5.0, and no property of a
capture sets their level. Redirecting stderr while a film is decoded would hide the messages of other threads.
"""
FFMPEG_QUIET = "-8"  # AV_LOG_QUIET


class _Silence:
    """Context in which OpenCV and FFmpeg print no messages, because `VideoError` reports problems.

    Several threads can be inside at the same time; the last one that leaves restores the levels of the process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = 0
        self._ffmpeg_level: str | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
                self._ffmpeg_level = os.environ.get(FFMPEG_LEVEL)
                os.environ[FFMPEG_LEVEL] = self._ffmpeg_level or FFMPEG_QUIET
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.utils.logging.setLogLevel(self._level)
                if self._ffmpeg_level is None:
                    del os.environ[FFMPEG_LEVEL]


SILENT_OPENCV = _Silence()


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard output of C code to stderr: OpenCV warns about a tag of each .webm, and has no option to disable it."""
    # C code writes to file descriptor 2, whatever `sys.stderr` is.
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
