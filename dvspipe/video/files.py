"""Video files, decoded by OpenCV or, where it cannot, by ffmpeg."""

from __future__ import annotations

import itertools
import logging
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import TruncatedVideoError, VideoError
from .config import FOLDER_FPS, VideoSettings
from .ffmpeg import decode_frames, find_frame_times, is_installed
from .opencv import cv2
from .pictures import Images, to_grey
from .times import find_times_us
from .video import NO_FRAME, Video, read_size

SOUND_ONLY = "has sound only (expected a video with pictures)"
BORDER_BYTES = 1 << 20
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
CODEC_NAMES = {"AV01": "AV1", "av01": "AV1"}  # where the code in the file is not the name that people know
GIF_TAIL_BYTES = 64  # in which a GIF ends; some writers pad it with zeros
END_FRAMES = 5  # number of frames before the end from which the last two are read; the count may be too large
END_SIZE = (48, 48)  # of the pictures of VideoEnds

log = logging.getLogger(__name__)


def is_video_content(path: Path) -> bool:
    """Return whether a path is a file that OpenCV opens as a video, whatever its suffix."""
    if not path.is_file():
        return False
    with _open_capture(path) as capture:
        return capture.isOpened()


class VideoEnds(NamedTuple):
    """The first two and the last two pictures of a video, grey, float32, 48 x 48 pixels whatever its shape."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    second_last: NDArray[np.float32]
    last: NDArray[np.float32]


def read_video_ends(path: Path) -> VideoEnds | None:
    """Return the first and the last pictures of a video file without decoding what is between, or None if it cannot be.

    Raises:
        VideoError: The name of the file cannot be given to OpenCV.
    """
    with _open_capture(path) as capture:
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        first = list(itertools.islice(_read_on(capture), 2))
        if count > 2 * END_FRAMES and capture.set(cv2.CAP_PROP_POS_FRAMES, count - END_FRAMES):
            last = list(_read_on(capture))[-2:]
        else:
            last = [*first, *_read_on(capture)][-2:]
    if len(first) < 2 or len(last) < 2:
        return None
    return VideoEnds(*(_reduce(image) for image in (*first, *last)))


def _read_on(capture: cv2.VideoCapture) -> Iterator[NDArray[Any]]:
    while True:
        found, image = capture.read()
        if not found:
            return
        yield image


def _reduce(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return a small grey picture, in which noise and traces of compression are averaged."""
    return np.asarray(cv2.resize(to_grey(image), END_SIZE, interpolation=cv2.INTER_AREA), np.float32)


def open_file(path: Path, settings: VideoSettings) -> Video:
    """Open a video file; see `open_video`."""
    if not path.stat().st_size:
        raise VideoError(f"{path}: the file is empty")
    with _open_capture(path) as capture:
        count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        fps = capture.get(cv2.CAP_PROP_FPS)
        codec = (
            (int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1").strip("\0 ")
        )
        is_decoded = capture.grab()
        read = decode_file if is_decoded or not cv2.haveImageReader(str(path)) else _animation_images
    images: Callable[[], Images] = partial(read, path)
    if not is_decoded and read is decode_file and (own_times_us := find_frame_times(path)):
        images, count = partial(_piped_images, path, own_times_us), len(own_times_us)
        fps = 1e6 * (count - 1) / own_times_us[-1] if own_times_us[-1] else 0.0
    _warn_of_hdr(path, settings.transfer)
    size = read_size(str(path), images, settings, _explain_no_frame(path, codec))
    times_us = find_times_us(settings, str(path), count, images=images)
    return Video(str(path), size, count, settings, images, times_us, duration_s=count / fps if fps > 0 else 0.0)


def _explain_no_frame(path: Path, codec: str) -> str:
    """Return what is wrong with a video without frames, and how FFmpeg would make one that can be read."""
    if not (codec.isascii() and codec.isprintable() and codec):
        return SOUND_ONLY if _has_sound_only(path) else NO_FRAME
    target = path.with_suffix(".mp4") if path.suffix.lower() != ".mp4" else path.with_name(f"{path.stem}-h264.mp4")
    command = shlex.join(["ffmpeg", "-i", str(path), "-c:v", "libx264", str(target)])
    name = CODEC_NAMES.get(codec, codec)
    install = "" if is_installed() else "install ffmpeg, which dvspipe then uses, or "
    return f"{NO_FRAME[:-1]}; its codec is {name}); {install}convert it: {command}"


def _has_sound_only(path: Path) -> bool:
    """Return whether a file in the MP4 family has a track of sound and none of pictures."""
    content = _read_borders(path)
    return b"hdlr" in content and b"soun" in content and b"vide" not in content


def _read_borders(path: Path) -> bytes:
    """Return the first and the last bytes of a file, where its tracks are described; none if it cannot be read."""
    if not path.is_file():  # reading a device or a pipe could take for ever
        return b""
    with suppress(OSError), path.open("rb") as file:
        begin = file.read(BORDER_BYTES)
        file.seek(max(len(begin), path.stat().st_size - BORDER_BYTES))
        return begin + file.read()
    return b""


@lru_cache(maxsize=1024)  # a video is opened more than once
def _warn_of_hdr(path: Path, transfer: str) -> None:
    """Log that a video in the MP4 family says that it is HDR, and is read with the transfer curve of other videos."""
    found = re.search(rb"colrnclx..(..)", _read_borders(path), re.DOTALL)
    name = HDR_TRANSFERS.get(int.from_bytes(found[1], "big")) if found else None
    if name is not None and transfer == VideoSettings().transfer:
        log.warning(
            "%s: is HDR video (%s), which is read as %s: its contrasts are not those of the scene", path, name, transfer
        )


@contextmanager
def _open_capture(path: Path) -> Iterator[cv2.VideoCapture]:
    capture = _capture(path)
    try:
        yield capture
    finally:
        capture.release()


def _capture(path: Path) -> cv2.VideoCapture:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # which OpenCV's conversion does not survive
        raise VideoError(f"{path}: cannot be opened by OpenCV, since its name is not UTF-8; rename it") from error
    return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)


def decode_file(path: Path) -> Images:
    """Yield the pictures of a video file that OpenCV decodes."""
    capture = _capture(path)

    def decode() -> NDArray[Any]:
        ok, image = capture.retrieve()
        if not ok:
            raise VideoError(f"{path}: the frame at {last_us} us cannot be decoded")
        return image  # type: ignore[no-any-return]

    last_us = -1
    try:
        while capture.grab():
            t_us = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1000)
            if t_us == 0 < last_us:  # the last frames of MPEG-1 and 2 have no time
                t_us = last_us + round(1e6 / (capture.get(cv2.CAP_PROP_FPS) or FOLDER_FPS))
            last_us = t_us
            yield t_us, decode
        if path.suffix.lower() == ".gif" and not _has_gif_end(path):
            raise TruncatedVideoError(f"{path}: has no end after its frame at {last_us} us", at_us=max(0, last_us))
    finally:
        capture.release()


def _piped_images(path: Path, times_us: Sequence[int]) -> Images:
    with closing(decode_frames(path)) as frames:
        for t_us, image in zip(times_us, frames, strict=False):
            yield t_us, partial(np.asarray, image)


def _has_gif_end(path: Path) -> bool:
    """Return whether a GIF, whose number of frames is not known, ends with its trailer."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - GIF_TAIL_BYTES))
        return file.read().rstrip(b"\0").endswith(b";")


def _animation_images(path: Path) -> Images:
    """Yield the pictures of an animation that FFmpeg does not decode, such as WebP; OpenCV decodes all at once."""
    found, animation = cv2.imreadanimation(str(path))
    t_us = 0
    for image, duration_ms in zip(animation.frames, animation.durations, strict=True) if found else ():
        yield t_us, partial(np.asarray, image)
        t_us += 1000 * int(duration_ms)
