"""Recognize video sources by name: cameras, images, image folders and video files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TypeGuard

from numpy.typing import ArrayLike

from ..base.errors import VideoError
from ..base.texts import warn_once

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
FOLDER_TIMES = ("timestamps.txt", "images.csv")
"""Default files of frame times in an image folder."""


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


def is_video_name(path: Path) -> bool:
    """Return whether a path is a file with a video suffix."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def list_images(folder: Path) -> list[Path]:
    """List the images of a folder; numbers in names sort numerically."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(files, key=lambda path: _split_numbers(path.name))


def check_sequence(folder: Path, images: Sequence[Path]) -> None:
    """Check that the names of sorted images are one numbered sequence; log how many numbers are missing.

    Raises:
        VideoError: If a name does not fit; the message names the first.
    """
    if len(images) < 2:
        return

    # A name with several numbers may count by each of them: most names agree on the one that counts.
    names = [_mask_numbers(path) for path in images]
    patterns = Counter(chain.from_iterable(names)).most_common(1)
    common = patterns[0][0] if patterns else ()
    numbers = [name.get(common) for name in names]
    for path, number, before in zip(images, numbers, [None, *numbers], strict=False):
        if number is None or number == before:
            raise VideoError(
                f"{folder}: its {len(images):,} images are not one numbered sequence (found {path.name}); move other "
                f"images to another folder, or list names and times in {FOLDER_TIMES[0]}"
            )

    expected = range(int(numbers[0] or 0), int(numbers[-1] or 0) + 1)
    missing = len(expected) - len(images)
    if missing:
        first = next(number for number, found in zip(expected, numbers, strict=False) if number != found)
        warn_once(f"{folder}: {missing:,} of {len(expected):,} numbers of images are missing, the first is {first}")


def _mask_numbers(image: Path) -> dict[tuple[str | int, ...], str | int]:
    """Return each number in a name by the parts of the name without it."""
    parts = _split_numbers(image.stem + image.suffix.lower())
    return {(*parts[:k], "", *parts[k + 1 :]): parts[k] for k in range(1, len(parts), 2)}


def _split_numbers(name: str) -> list[str | int]:
    """Return the texts and numbers of a name in turn: names compare text with text, and number with number."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdecimal() else part for part in parts]
