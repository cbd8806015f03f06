"""Decode videos that OpenCV cannot (such as AV1) with ffmpeg and ffprobe, if these programs are installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

MAX_HEADER_BYTES = 64  # a PPM header line: "P6", width and height, or 255


def is_installed() -> bool:
    """Return whether ffmpeg and ffprobe are on the PATH."""
    return bool(shutil.which("ffmpeg") and shutil.which("ffprobe"))


def find_frame_times(path: Path) -> tuple[int, ...]:
    """Return the time of each frame in microseconds, starting at 0.

    The result is empty if ffmpeg or ffprobe is not installed or finds no frames.
    """
    if not is_installed():
        return ()

    # fmt: off
    command = [
        "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0",
        f"file:{path}",
    ]
    # fmt: on
    try:
        probed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return ()

    times_s: list[float] = []
    for line in probed.stdout.decode("ascii", "replace").splitlines():
        with suppress(ValueError):  # some packets have no time
            times_s.append(float(line.rstrip(",")))
    times_s.sort()  # packets are in decoding order
    return tuple(round((time_s - times_s[0]) * 1e6) for time_s in times_s)


def decode_frames(path: Path) -> Generator[NDArray[np.uint8]]:
    """Decode a video with ffmpeg; yield BGR images, uint8 [H, W, 3], rotated by ffmpeg as the file specifies.

    The iterator ends early if the file is truncated or ffmpeg exits.
    """
    # fmt: off
    command = [
        "ffmpeg", "-v", "quiet", "-nostdin", "-i", f"file:{path}", "-map", "0:v:0", "-fps_mode", "passthrough",
        "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-",
    ]
    # fmt: on
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            while (image := _read_ppm(process.stdout)) is not None:
                yield image
        finally:
            process.kill()  # the caller may stop before the end of the video


def _read_ppm(stream: IO[bytes]) -> NDArray[np.uint8] | None:
    """Read the next image of a PPM stream, BGR; None at its end."""
    mark = stream.readline(MAX_HEADER_BYTES)
    size = stream.readline(MAX_HEADER_BYTES)
    white = stream.readline(MAX_HEADER_BYTES)
    if mark.strip() != b"P6" or white.strip() != b"255":
        return None

    width, height = map(int, size.split())
    content = stream.read(3 * width * height)
    if len(content) < 3 * width * height:
        return None

    image = np.frombuffer(content, np.uint8).reshape(height, width, 3)
    return np.ascontiguousarray(image[:, :, ::-1])
