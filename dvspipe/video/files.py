"""Open video files, decoded by OpenCV, or by ffmpeg if OpenCV cannot decode them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from .config import FOLDER_FPS, VideoSettings
from .containers import find_complete_bytes
from .opencv import cv2
from .pictures import FramePass
from .video import Video, create_video

CLOCK_TICKS_HZ = 1000.0  # rate that OpenCV gives for films of browsers, which have no frame interval
MAX_HEADER_BYTES = 64  # a PPM header line: "P6", width and height, or 255


def open_file(path: Path, settings: VideoSettings) -> Video:
    """Open a video file as a video; see `open_video`."""
    if not path.stat().st_size:
        raise VideoError(f"{path}: the file is empty")

    capture = _open_capture(path)
    fps = capture.get(cv2.CAP_PROP_FPS)
    count = max(0.0, capture.get(cv2.CAP_PROP_FRAME_COUNT))
    is_decoded = capture.grab()
    capture.release()

    duration_s = count / fps if fps > 0 else 0.0
    count = 0 if fps == CLOCK_TICKS_HZ else int(count)
    if is_decoded:
        return create_video(str(path), partial(decode_file, path), settings, count, duration_s=duration_s)

    # ffprobe lists the times of all frames, but not the length of the last: it is the mean of the others.
    times_us = find_frame_times(path) if is_installed() else ()
    if times_us:
        duration_s = times_us[-1] * 1e-6 * len(times_us) / max(1, len(times_us) - 1)
        start_pass = partial(_decode_with_ffmpeg, path, times_us)
        return create_video(str(path), start_pass, settings, len(times_us), duration_s=duration_s)

    _check_complete(path, "before its first frame")
    advice = "" if is_installed() else "; install ffmpeg, which decodes more"
    raise VideoError(f"{path}: no frame can be decoded (expected a video that OpenCV or ffmpeg reads){advice}")


def _check_complete(path: Path, where: str) -> None:
    """Raise if the container stores that the file is longer: its decoders end without an error."""
    expected = find_complete_bytes(path)
    if expected is not None:
        size = path.stat().st_size
        raise VideoError(f"{path}: truncated {where} (found {size:,} bytes, expected at least {expected:,})")


def _open_capture(path: Path) -> cv2.VideoCapture:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # OpenCV fails to convert such a name
        raise VideoError(f"{path}: cannot be opened by OpenCV: its name is not UTF-8; rename it") from error

    return cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)  # FFmpeg takes tcp:HOST:PORT.mp4 for an address


def decode_file(path: Path) -> FramePass:
    """Decode a video file with OpenCV, frame by frame."""
    capture = _open_capture(path)
    last_us = -1

    def read_time(previous_us: int) -> int:
        nonlocal last_us
        last_us = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1000)
        if last_us == 0 < previous_us:  # OpenCV gives no time for the last frames of MPEG-1 and MPEG-2
            last_us = previous_us + round(1e6 / (capture.get(cv2.CAP_PROP_FPS) or FOLDER_FPS))
        return last_us

    yield from decode_capture(str(path), capture, read_time)
    _check_complete(path, f"at {last_us} us")


def decode_capture(name: str, capture: cv2.VideoCapture, read_time: Callable[[int], int]) -> FramePass:
    """Decode a capture of OpenCV to its end.

    Args:
        name: Name in messages.
        capture: Open capture, which is released.
        read_time: Returns the time of a frame in microseconds, given the time of the previous frame or -1.
    """
    t_us = -1

    # Called between two `grab`s: frames that are skipped are not converted to BGR.
    def decode() -> NDArray[Any]:
        is_decoded, image = capture.retrieve()
        if not is_decoded:
            raise VideoError(f"{name}: the frame at {t_us} us cannot be decoded")
        return np.asarray(image)

    try:
        while capture.grab():
            t_us = read_time(t_us)
            yield t_us, decode
    finally:
        capture.release()


def _decode_with_ffmpeg(path: Path, times_us: Sequence[int]) -> FramePass:
    with closing(decode_frames(path)) as frames:
        for number, t_us in enumerate(times_us):
            image = next(frames, None)
            if image is None:
                raise VideoError(f"{path}: truncated at {t_us} us (found {number} of {len(times_us)} frames)")
            yield t_us, partial(np.asarray, image)
        if next(frames, None) is not None:
            raise VideoError(f"{path}: wrong number of times (found {len(times_us)}, and more frames)")
    _check_complete(path, f"at {times_us[-1]} us")


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
