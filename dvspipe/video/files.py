"""Open video files, decoded by OpenCV, or by ffmpeg if OpenCV cannot decode them.

`open_file` chooses a decoder by trying the first frame: OpenCV for films (`decode_file`) and for animated images
(`_decode_animation`), otherwise ffmpeg (`_decode_with_ffmpeg`). A file that cannot be decoded, or ends early, is
explained from its container: truncated, only sound, or a codec that is missing here.
"""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from .config import FOLDER_FPS, VideoSettings
from .containers import find_complete_bytes
from .ffmpeg import decode_frames, find_frame_times, is_installed
from .opencv import SILENT_OPENCV, cv2
from .pictures import FramePass
from .times import find_times_us
from .video import NO_FRAME, Video, read_size

INCOMPLETE = "incomplete video: its end is missing (found no list of frames, moov); copy or record it again"
SOUND_ONLY = "contains only sound (expected a video stream)"
BORDER_BYTES = 1 << 20
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
CODEC_NAMES = {"AV01": "AV1", "av01": "AV1"}  # FourCC codes that differ from the common name
MATROSKA_START = b"\x1aE\xdf\xa3"  # EBML, also of WebM
MATROSKA_TICKS_HZ = 1000.0
MIN_DECODED = 0.8  # minimum fraction of the frames of a complete file that ffmpeg decodes

log = logging.getLogger(__name__)


def is_video_content(path: Path) -> bool:
    """Return whether OpenCV opens a file as a video, regardless of its suffix."""
    if not path.is_file():
        return False

    with _open_capture(path) as capture:
        return capture.isOpened()


def open_file(path: Path, settings: VideoSettings) -> Video:
    """Open a video file as a video; see `open_video`."""
    if not path.stat().st_size:
        raise VideoError(f"{path}: the file is empty")

    with _open_capture(path) as capture:
        count = _count_frames(path, capture)
        fps = capture.get(cv2.CAP_PROP_FPS)
        duration_s = max(0.0, capture.get(cv2.CAP_PROP_FRAME_COUNT) / fps) if fps > 0 else 0.0
        codec = _read_codec(capture)
        is_decoded = capture.grab()

    # OpenCV reads animated images, such as GIF, with another decoder than films.
    is_animation = not is_decoded and cv2.haveImageReader(str(path))
    start_pass: Callable[[], FramePass] = partial(_decode_animation if is_animation else decode_file, path)
    explain_end: Callable[[int], str | None] = partial(_explain_end, path)

    # If OpenCV cannot decode the film, ffmpeg may. It lists the times of all frames, but not the length of the last,
    # which is taken as long as the mean of the others.
    ffmpeg_times_us = None if is_decoded or is_animation else find_frame_times(path)
    if ffmpeg_times_us:
        start_pass = partial(_decode_with_ffmpeg, path, ffmpeg_times_us)
        count = len(ffmpeg_times_us)
        duration_s = ffmpeg_times_us[-1] * 1e-6 * count / max(1, count - 1)
        explain_end = partial(_explain_missing, path, count)

    _warn_about_hdr(path, settings.transfer)
    size = read_size(str(path), start_pass, settings, _explain_no_frame(path, codec))
    times_us = find_times_us(settings, str(path), count, start_pass=start_pass)
    return Video(str(path), size, count, settings, start_pass, times_us, duration_s=duration_s, explain_end=explain_end)


def _explain_end(path: Path, frames: int) -> str | None:
    """Return why a file that ends after some frames is truncated; None if it seems complete."""
    expected = find_complete_bytes(path)
    if expected is None:
        return None

    return f"found {frames} frames in {path.stat().st_size:,} of at least {expected:,} bytes"


def _explain_missing(path: Path, count: int, frames: int) -> str | None:
    """As `_explain_end`, for a file with `count` frames, of which ffmpeg may skip some."""
    missing = f"found {frames} of {count} frames" if frames < MIN_DECODED * count else None
    return _explain_end(path, frames) or missing


def _count_frames(path: Path, capture: cv2.VideoCapture) -> int:
    """Return the number of frames in the header; 0 if unknown.

    Browsers record WebM files without a frame interval. OpenCV then counts ticks of their clock instead of frames.
    """
    if capture.get(cv2.CAP_PROP_FPS) == MATROSKA_TICKS_HZ and path.is_file():
        with path.open("rb") as file:
            if file.read(len(MATROSKA_START)) == MATROSKA_START:
                return 0

    return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))


def _explain_no_frame(path: Path, codec: str) -> str:
    """Explain why a video has no frames, with an ffmpeg command that converts it if it is complete."""
    if reason := _explain_end(path, 0):
        return f"truncated, and no frame can be decoded ({reason})"

    if codec and codec.isascii() and codec.isprintable():
        return _suggest_conversion(path, codec)

    # Without a name of the codec, the content of the file may tell more.
    content = _read_start_and_end(path)
    if _has_sound_only(content):
        return SOUND_ONLY
    has_no_description = content[4:8] == b"ftyp" and b"moov" not in content
    return INCOMPLETE if has_no_description else NO_FRAME


def _suggest_conversion(path: Path, codec: str) -> str:
    """Explain that a codec is missing, with the ffmpeg command that converts the video to H.264."""
    target = path.with_suffix(".mp4") if path.suffix.lower() != ".mp4" else path.with_name(f"{path.stem}-h264.mp4")
    command = shlex.join(["ffmpeg", "-i", str(path), "-c:v", "libx264", str(target)])
    name = CODEC_NAMES.get(codec, codec)
    install = "" if is_installed() else "install ffmpeg (dvspipe will use it), or "
    return f"{NO_FRAME[:-1]}; its codec is {name}); {install}convert it: {command}"


def _has_sound_only(content: bytes) -> bool:
    """Return whether an MP4-like file has a sound track but no video track."""
    return b"hdlr" in content and b"soun" in content and b"vide" not in content


def _read_start_and_end(path: Path) -> bytes:
    """Read the start and end of a file, where MP4 stores its track descriptions; empty if it cannot be read."""
    if not path.is_file():  # reading a device or pipe could block forever
        return b""

    with suppress(OSError), path.open("rb") as file:
        begin = file.read(BORDER_BYTES)
        file.seek(max(len(begin), path.stat().st_size - BORDER_BYTES))
        return begin + file.read()
    return b""


@lru_cache(maxsize=1024)  # warn once per video, which is opened several times
def _warn_about_hdr(path: Path, transfer: str) -> None:
    """Warn if an MP4-like file is marked as HDR but is read with the default transfer curve."""
    # The box colr of type nclx has three numbers of 16 bits: primaries, transfer characteristics, matrix.
    colours = re.search(rb"colrnclx..(?P<transfer>..)", _read_start_and_end(path), re.DOTALL)
    name = HDR_TRANSFERS.get(int.from_bytes(colours["transfer"], "big")) if colours else None

    if name is not None and transfer == VideoSettings().transfer:
        log.warning(
            "%s: HDR video (%s) is read as %s: contrasts and event counts differ from the scene", path, name, transfer
        )


def _read_codec(capture: cv2.VideoCapture) -> str:
    # FourCC: four characters in one number, the first in the lowest byte.
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    return code.to_bytes(4, "little").decode("latin-1").strip("\0 ")


@contextmanager
def _open_capture(path: Path) -> Iterator[cv2.VideoCapture]:
    capture = _create_capture(path)
    try:
        yield capture
    finally:
        capture.release()


def _create_capture(path: Path) -> cv2.VideoCapture:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # OpenCV fails to convert such a name
        raise VideoError(f"{path}: cannot be opened by OpenCV: its name is not UTF-8; rename it") from error

    with SILENT_OPENCV:
        return cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)  # FFmpeg takes tcp:HOST:PORT.mp4 for an address


def decode_file(path: Path) -> FramePass:
    """Decode a video file with OpenCV, frame by frame."""
    capture = _create_capture(path)
    last_us = -1

    # Called between two `grab`s: frames that are skipped are not converted to BGR.
    def decode() -> NDArray[Any]:
        is_decoded, image = capture.retrieve()
        if not is_decoded:
            raise VideoError(f"{path}: the frame at {last_us} us cannot be decoded")
        return image  # type: ignore[no-any-return]

    try:
        while capture.grab():
            t_us = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1000)
            if t_us == 0 < last_us:  # OpenCV gives no time for the last frames of MPEG-1 and MPEG-2
                t_us = last_us + round(1e6 / (capture.get(cv2.CAP_PROP_FPS) or FOLDER_FPS))
            last_us = t_us
            yield t_us, decode
    finally:
        capture.release()


def _decode_with_ffmpeg(path: Path, times_us: Sequence[int]) -> FramePass:
    with closing(decode_frames(path)) as frames:
        for t_us, image in zip(times_us, frames, strict=False):
            yield t_us, partial(np.asarray, image)


def _decode_animation(path: Path) -> FramePass:
    """Decode an animation that FFmpeg does not support, such as WebP; OpenCV decodes all frames at once."""
    with SILENT_OPENCV:
        is_decoded, animation = cv2.imreadanimation(str(path))
    if not is_decoded:
        return

    t_us = 0
    for image, duration_ms in zip(animation.frames, animation.durations, strict=True):
        yield t_us, partial(np.asarray, image)
        t_us += 1000 * int(duration_ms)
