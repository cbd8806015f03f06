"""OpenCV: the only module that imports it. Use `from .opencv import cv2`."""

from __future__ import annotations

import os

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

__all__ = ["cv2"]
