"""Recognize video sources by name: cameras, images, image folders and video files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeGuard

from numpy.typing import ArrayLike

IMAGE_SUFFIXES = frozenset({".bmp", ".hdr", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {
        ".3g2",
        ".3gp",
        ".apng",
        ".asf",
        ".avi",
        ".divx",
        ".f4v",
        ".flv",
        ".gif",
        ".h264",
        ".hevc",
        ".m2ts",
        ".m4v",
        ".mjpeg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".nut",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    }
)
"""Suffixes of videos in folders. A single file is a video if OpenCV opens it, regardless of its suffix."""


def camera_of(source: str | Path | int) -> int | None:
    """Return the camera number of a source (an integer, or digits if no such file exists), or None if not a camera."""
    if isinstance(source, int):
        return source

    is_number = re.fullmatch("[0-9]{1,3}", str(source)) is not None
    return int(str(source)) if is_number and not Path(source).exists() else None


def is_images(source: object) -> TypeGuard[ArrayLike]:
    """Return whether a source is an array of NumPy or another library, or a list or tuple of arrays."""
    one = source[0] if isinstance(source, list | tuple) and source else source
    return hasattr(one, "__array__")


def is_image_folder(path: Path) -> bool:
    """Return whether a path is a folder that contains images."""
    return path.is_dir() and bool(list_images(path))


def is_video_name(path: Path) -> bool:
    """Return whether a path is a file with a video suffix."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def list_images(folder: Path) -> list[Path]:
    """List the images of a folder; numbers in names sort numerically."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(files, key=lambda path: _split_numbers(path.name))


def _split_numbers(name: str) -> list[str | int]:
    """Return the texts and numbers of a name in turn: names compare text with text, and number with number."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdecimal() else part for part in parts]
