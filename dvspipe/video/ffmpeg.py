"""Decode videos that OpenCV cannot (such as AV1) with ffmpeg and ffprobe, if these programs are installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

MAX_HEADER_BYTES = 64  # a PPM header line: "P6", width and height, or 255


def is_installed() -> bool:
    """Return whether ffmpeg and ffprobe are on the PATH."""
    return bool(shutil.which("ffmpeg") and shutil.which("ffprobe"))


def find_frame_times(path: Path) -> tuple[int, ...]:
    """Return the time of each frame in microseconds, starting at 0; empty if ffprobe finds no frames."""
    # fmt: off
    command = [
        "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0",
        f"file:{path}",
    ]
    # fmt: on
    probed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    texts = (line.rstrip(",") for line in probed.stdout.decode("ascii", "replace").splitlines())
    times_s = sorted(float(text) for text in texts if text != "N/A")  # packets are in decoding order
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
    mark, size, white = (stream.readline(MAX_HEADER_BYTES).strip() for _ in range(3))
    if mark != b"P6" or white != b"255":
        return None

    width, height = map(int, size.split())
    content = stream.read(3 * width * height)
    if len(content) < 3 * width * height:
        return None

    image = np.frombuffer(content, np.uint8).reshape(height, width, 3)
    return np.ascontiguousarray(image[:, :, ::-1])
