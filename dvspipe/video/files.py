"""Reading of videos, image folders, arrays and cameras as frames, and writing of videos."""

from __future__ import annotations

import itertools
import logging
import os
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from ..config import REGION_PATTERN, SIZE_PATTERN, Settings, as_settings
from ..errors import Remedy, TruncatedVideoError, VideoError
from ..events import SensorSize
from ..files import write_beside
from .ffmpeg import decode_frames, find_frame_times, is_installed
from .frames import PIXEL_TYPES, Frame, check_transfer
from .opencv import cv2

IMAGE_SUFFIXES = frozenset({".bmp", ".hdr", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {
        ".3g2", ".3gp", ".apng", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".h264", ".hevc", ".m2ts", ".m4v",
        ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts", ".vob", ".webm",
        ".wmv", ".y4m",
    }
)  # fmt: skip
"""Suffixes by which videos are found in folders; a single file is a video if OpenCV opens it, whatever its suffix."""
NO_FRAME = "not a video that OpenCV can read (no frame could be decoded)"
SOUND_ONLY = "has sound only (expected a video with pictures)"
BORDER_BYTES = 1 << 20
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
CODEC_NAMES = {"AV01": "AV1", "av01": "AV1"}  # where the code in the file is not the name that people know
MAX_WHITE = 2.0  # of float images; more is a mistake, such as 0 to 255, if values are not linear light
GIF_TAIL_BYTES = 64  # in which a GIF ends; some writers pad it with zeros
FOLDER_FPS = 30.0  # default for an image folder without times
FOLDER_TIMES = ("timestamps.txt", "images.csv")  # files of times that are looked for in an image folder
US_PER_UNIT = {"s": Decimal(10**6), "ms": Decimal(10**3), "us": Decimal(1), "ns": Decimal("0.001")}
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
LONGEST_ASSUMED_INTERVAL_S = 1.0  # mean interval up to which numbers are assumed to be seconds; milliseconds are more
LATEST_US = 2**62
END_FRAMES = 5  # number of frames before the end from which the last two are read; the count may be too large
END_SIZE = (48, 48)  # of the pictures of VideoEnds

log = logging.getLogger(__name__)

Images = Generator[tuple[int, Callable[[], NDArray[Any]]], None, None]
"""For each frame its own time in microseconds and a function that returns its pixels, valid until the next frame."""


class VideoSettings(Settings):
    """Settings for reading a video."""

    fps: float | None = Field(default=None, gt=0, le=1e6)
    """Frames per second, instead of the video's own times; default for an image folder without times: 30."""
    timestamps: str | None = None
    """A file of times to use instead, one line per frame: a time, optionally followed by the name of the image. Default
    for an image folder: its `timestamps.txt` or `images.csv`."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of the times in that file. Default: the unit in its heading (such as `timestamp_ns`), otherwise seconds if
    the numbers have a decimal point; integers without a unit are an error."""
    transfer: str = "srgb"
    """Transfer curve of the values, as in `Frame`; ordinary video is `srgb`."""
    crop: str | None = Field(default=None, pattern=REGION_PATTERN)
    """Region of the picture to keep, WIDTHxHEIGHT+LEFT+TOP."""
    resize: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Size to which the (cropped) picture is scaled, WIDTHxHEIGHT."""
    start_s: float = Field(default=0.0, ge=0)
    """Start time in seconds; earlier frames are skipped."""
    stop_s: float | None = Field(default=None, gt=0)
    """Stop time in seconds (exclusive); default: end of the video."""

    @model_validator(mode="after")
    def _stop_after_start(self) -> Self:
        if self.stop_s is not None and self.stop_s <= self.start_s:
            raise ValueError(
                f"wrong stop time (found {self.stop_s:g} s, expected more than the start {self.start_s:g} s)"
            )
        return self


@dataclass(frozen=True)
class Video:
    """A source of frames: a video file, a folder of images, an array or a camera.

    Args:
        name: Name in messages.
        size: Width and height of the frames.
        frame_count: Number of frames if known, otherwise 0.
        settings: Settings for reading.
        images: Starts a new pass over all images.
        times_us: Time of each frame from a file of times, if there is one.
        ended: For a camera, an event that ends it when set.
        duration_s: How long a video file says that it lasts, in seconds; 0 if that is not known.
    """

    name: str
    size: SensorSize
    frame_count: int
    settings: VideoSettings
    images: Callable[[], Images] = field(repr=False, compare=False)
    times_us: tuple[int, ...] | None = field(default=None, repr=False)
    ended: threading.Event | None = field(default=None, repr=False, compare=False)
    duration_s: float = 0.0

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """Yield the frames, grey (BT.601 luma, full range), with strictly increasing times.

        Args:
            first: Number of frames to skip at the beginning, >= 0. They are not converted, and images of a folder are
                not read. Times and pixels of the other frames do not depend on it.

        Raises:
            VideoError: A frame cannot be decoded, differs in size, or is not later than the previous one; the number of
                frames differs from the file of times; or the video ends before `settings.start_s`.
            TruncatedVideoError: The video ended early; raised after the last frame.
        """
        return (Frame(t_us, image, self.settings.transfer) for t_us, image in self._select(_grey, first))

    def pictures(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the time and the colours of each frame, uint8 [H, W, 3] in the order red, green, blue.

        Times and errors are those of `frames`.
        """
        return self._select(_colours)

    def _select(
        self, convert: Callable[[NDArray[Any]], NDArray[Any]], first: int = 0
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the time and the converted image of each frame between start and stop, after the first ones."""
        settings = self.settings
        start_us = round(settings.start_s * 1e6)
        stop_us = None if settings.stop_s is None else round(settings.stop_s * 1e6)
        before_us: int | None = None
        number, skipped = -1, 0
        for number, (own_us, decode) in enumerate(self.images()):
            t_us = self._time_us(number, own_us)
            if before_us is not None and t_us <= before_us:
                raise VideoError(
                    f"{self.name}: wrong time of frame {number} (found {t_us} us, expected more than {before_us} us)",
                    Remedy("fps", "RATE", "ignore the times in the file"),
                )
            before_us = t_us
            if t_us < start_us:
                continue
            if stop_us is not None and t_us >= stop_us:
                return
            if skipped < first:
                skipped += 1
                continue
            image = _prepare(self.name, convert(decode()), settings)
            height, width = image.shape[:2]
            if (width, height) != (self.size.width, self.size.height):
                raise VideoError(
                    f"{self.name}: wrong size of frame {number} (found {width}x{height}, expected {self.size})"
                )
            yield t_us, image
        if number + 2 < self.frame_count and before_us is not None:
            raise TruncatedVideoError(
                f"{self.name}: truncated at {before_us} us (found {number + 1} of {self.frame_count} frames)",
                at_us=before_us,
            )
        if self.times_us is not None and number + 1 < len(self.times_us):
            raise _wrong_count(settings, len(self.times_us), self.name, number + 1)
        if before_us is not None and before_us < start_us:
            raise VideoError(
                f"{self.name}: ends before the start time (found the last frame at {before_us / 1e6:.6g} s, expected "
                f"frames from {settings.start_s:g} s on)"
            )

    def _time_us(self, number: int, own_us: int) -> int:
        if self.times_us is not None:
            if number == len(self.times_us):
                raise _wrong_count(self.settings, number, self.name, f"at least {number + 1}")
            return self.times_us[number]
        return own_us if self.settings.fps is None else round(number * 1e6 / self.settings.fps)

    @contextmanager
    def ended_by_interrupt(self) -> Iterator[None]:
        """Let Ctrl-C end the frames of a camera normally during the block; a second Ctrl-C interrupts as usual.

        Has no effect on other videos, or outside the main thread, since only that one receives signals.
        """
        ended = self.ended
        if ended is None or threading.current_thread() is not threading.main_thread():
            yield
            return

        def end(*_: Any) -> None:
            if ended.is_set():
                raise KeyboardInterrupt
            ended.set()

        before = signal.signal(signal.SIGINT, end)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def open_video(
    source: str | Path | int | ArrayLike, settings: VideoSettings | Mapping[str, object] | None = None
) -> Video:
    """Open a video.

    Args:
        source: A video file that OpenCV decodes, a folder of images, an array [T, H, W] or list of grey images as in
            `Frame`, or of colours [T, H, W, 3] in the order red, green, blue (which needs `settings.fps`; float64 is
            read as float32), or the number of a camera, also as text if no file has that name. The
            times of a camera are those of the monotonic clock, 0 at its first picture; it ends at `settings.stop_s`.
        settings: Settings for reading, also as plain keys and values.

    Raises:
        VideoError: It is missing, cannot be decoded, has no frames, or the settings do not fit it.

    Example:
        >>> video = open_video(np.zeros((5, 7, 12), np.uint8), VideoSettings(fps=50))
        >>> [frame.t_us for frame in video.frames()]
        [0, 20000, 40000, 60000, 80000]
    """
    settings = as_settings(VideoSettings, settings)
    check_transfer(settings.transfer)
    if settings.fps is not None and settings.timestamps is not None:
        raise VideoError(f"{settings.timestamps}: timestamps and fps cannot be combined (found fps = {settings.fps:g})")
    if not isinstance(source, str | Path | int):
        return _open_array(_stack(source), settings)
    camera = camera_of(source)
    if camera is not None:
        return _open_camera(camera, settings)
    path = Path(str(source))
    if not path.exists():
        check_address(str(source))
        raise VideoError(f"{path}: no such video file or image folder")
    return _open_folder(path, settings) if path.is_dir() else _open_file(path, settings)


def read_image(path: Path, settings: VideoSettings | None = None) -> NDArray[Any]:
    """Return the grey picture in an image file, [H, W], uint8, uint16 or float32, with its coded values.

    Args:
        path: An image file that OpenCV reads.
        settings: Only `crop` and `resize` are used.

    Raises:
        VideoError: It is missing, cannot be read, or the settings do not fit it.
    """
    if not path.is_file():
        raise VideoError(f"{path}: no such image file")
    return _prepare(str(path), _grey(_read_image(path)), settings or VideoSettings())


def camera_of(source: str | Path | int) -> int | None:
    """Return the number of the camera that a source names, also as text if no file has that name; otherwise None."""
    if isinstance(source, int):
        return source
    return int(str(source)) if re.fullmatch("[0-9]{1,3}", str(source)) and not Path(source).exists() else None


def check_address(source: str | Path) -> None:
    """Check that a source is not an address of the internet.

    Raises:
        VideoError: It is one.
    """
    if match := re.match(r"([a-z]+):/+", str(source)):  # a Path keeps only one of the two slashes
        address = f"{match[1]}://{str(source)[match.end() :]}"
        raise VideoError(f"{address}: is an address, expected a file; download it first")


def is_images(source: object) -> TypeGuard[ArrayLike]:
    """Return whether a source is an array of NumPy or another library, or a list or tuple of such."""
    return hasattr(source[0] if isinstance(source, list | tuple) and source else source, "__array__")


def is_image_folder(path: Path) -> bool:
    """Return whether a path is a folder that contains images."""
    return path.is_dir() and bool(_image_files(path))


def is_video_name(path: Path) -> bool:
    """Return whether a path is a file with the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


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
    return np.asarray(cv2.resize(_grey(image), END_SIZE, interpolation=cv2.INTER_AREA), np.float32)


def write_video(path: Path, frames: Iterable[Frame]) -> None:
    """Write 8-bit frames as VP8 `.webm`, which browsers play, at the constant rate of the first two frames.

    Raises:
        VideoError: There are fewer than two frames, or this OpenCV cannot write VP8.
        FileError: The file cannot be written.
    """
    iterator = iter(frames)
    first, second = next(iterator, None), next(iterator, None)
    if first is None or second is None:
        raise VideoError(f"{path}: too few frames to write (found {int(first is not None)}, expected at least 2)")
    with write_beside(path) as beside, open_webm(beside, first.size, 1e6 / (second.t_us - first.t_us)) as write:
        for frame in itertools.chain((first, second), iterator):
            write(cv2.cvtColor(frame.image, cv2.COLOR_GRAY2BGR))


@contextmanager
def open_webm(path: Path, size: SensorSize, fps: float) -> Iterator[Callable[[NDArray[Any]], Any]]:
    """Yield a function that adds a BGR image, uint8 [H, W, 3] with even sides, to a new VP8 video.

    Raises:
        VideoError: This OpenCV cannot write VP8.
        OSError: Frames are missing in the end. OpenCV says nothing about a full disk, so the file is read again.
    """
    count = 0

    def write(image: NDArray[Any]) -> None:
        nonlocal count
        writer.write(image)
        count += 1

    with _silence_stderr():
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), fps, (size.width, size.height)
        )
    try:
        if not writer.isOpened():
            raise VideoError(f"{path}: this OpenCV cannot write VP8 video")
        yield write
    finally:
        writer.release()
    if (found := sum(1 for _ in _file_images(path))) < count:
        raise OSError(f"the disk may be full: found {found} frames, expected {count}")


@contextmanager
def open_h264(path: Path, size: SensorSize, fps: float, crf: float) -> Iterator[Callable[[NDArray[Any]], Any]]:
    """Yield a function that adds a BGR image, uint8 [H, W, 3] with even sides, to a new H.264 video (`.mp4`).

    Args:
        path: The file.
        size: Size of the images.
        fps: Frames per second.
        crf: Constant rate factor of x264, 0 to 51: less is better and larger, 18 hardly differs from the original.

    Raises:
        VideoError: This faery cannot write H.264.
        OSError: The file cannot be written.
    """
    try:
        from faery import mp4
    except ImportError as error:
        raise VideoError(f"{path}: this faery cannot write H.264; write .webm") from error
    dimensions = (size.width, size.height)
    # without zerolatency, x264 reorders frames, whose times faery 0.7 then writes in the wrong order
    settings = {"crf": crf, "preset": "veryfast", "tune": "zerolatency", "profile": "main"}
    try:
        with mp4.Encoder(path, dimensions, fps, **settings) as encoder:
            yield lambda image: encoder.write(np.ascontiguousarray(image[:, :, ::-1]))
    except RuntimeError as error:  # faery's
        raise OSError(str(error)) from error


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discard what C code writes to stderr: for each .webm OpenCV warns of a wrong tag, with no way to disable it."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _open_camera(index: int, settings: VideoSettings) -> Video:
    name, ended = f"camera {index}", threading.Event()
    unused = [each for each in ("fps", "timestamps", "time_unit") if getattr(settings, each) is not None]
    if unused:
        raise VideoError(f"{name}: has times of its own (found {', '.join(unused)}, expected none of these settings)")
    images = partial(_camera_images, index, ended)
    size = _read_size(name, images, settings, "no camera that OpenCV can open, or it gives no pictures")
    return Video(name, size, 0, settings, images, ended=ended)


def _stack(images: ArrayLike) -> NDArray[Any]:
    try:
        return (
            np.stack([np.asarray(image) for image in images])
            if isinstance(images, list | tuple)
            else np.asarray(images)
        )
    except (TypeError, ValueError, RuntimeError) as error:  # raised by NumPy and by other libraries' arrays
        raise VideoError(f"the array: cannot be read as images [T, H, W] ({error})") from error


def _open_array(array: NDArray[Any], settings: VideoSettings) -> Video:
    name = "the array"
    is_colour = array.ndim == 4 and array.shape[3] == 3
    if not (array.ndim == 3 or is_colour) or not array.size or array.dtype not in (*PIXEL_TYPES, np.float64):
        raise VideoError(
            f"{name}: wrong type or shape (found {array.dtype} {array.shape}, expected grey images [T, H, W] or "
            "colours [T, H, W, 3] of uint8, uint16, float32 or float64)"
        )
    if array.dtype.kind == "f" and settings.transfer != "linear" and np.nanmax(array) > MAX_WHITE:
        raise VideoError(f"{name}: wrong range of values (found up to {np.nanmax(array):g}, expected 0 to 1, white)")
    if settings.fps is None and settings.timestamps is None:
        raise VideoError(f"{name}: has no times", Remedy("fps", "RATE", "set the frames per second"))
    images = partial(_array_images, array)
    size = _read_size(name, images, settings, NO_FRAME)
    return Video(name, size, len(array), settings, images, _times_us(settings, name, len(array)))


def _open_folder(path: Path, settings: VideoSettings) -> Video:
    if settings.fps is None and settings.timestamps is None:
        own = next((path / name for name in FOLDER_TIMES if (path / name).is_file()), None)
        settings = settings.model_copy(update={"fps": FOLDER_FPS} if own is None else {"timestamps": str(own)})
    files = _image_files(path)
    if not files:
        raise VideoError(f"{path}: contains no images")
    images = partial(_folder_images, files)
    size = _read_size(str(path), images, settings, NO_FRAME)
    return Video(str(path), size, len(files), settings, images, _times_us(settings, str(path), len(files), files))


def _open_file(path: Path, settings: VideoSettings) -> Video:
    if not path.stat().st_size:
        raise VideoError(f"{path}: the file is empty")
    with _open_capture(path) as capture:
        count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        fps = capture.get(cv2.CAP_PROP_FPS)
        codec = (
            (int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1").strip("\0 ")
        )
        is_decoded = capture.grab()
        read = _file_images if is_decoded or not cv2.haveImageReader(str(path)) else _animation_images
    images: Callable[[], Images] = partial(read, path)
    if not is_decoded and read is _file_images and (own_times_us := find_frame_times(path)):
        images, count = partial(_piped_images, path, own_times_us), len(own_times_us)
        fps = 1e6 * (count - 1) / own_times_us[-1] if own_times_us[-1] else 0.0
    _warn_of_hdr(path, settings.transfer)
    size = _read_size(str(path), images, settings, _explain_no_frame(path, codec))
    times_us = _times_us(settings, str(path), count, images=images)
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


def _read_size(name: str, images: Callable[[], Images], settings: VideoSettings, otherwise: str) -> SensorSize:
    """Return the size of the first frame; if there is none, raise an error with the message `otherwise`."""
    with closing(images()) as begun:
        for _, decode in begun:
            return Frame(0, _prepare(name, _grey(decode()), settings)).size
    raise VideoError(f"{name}: {otherwise}")


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


def _file_images(path: Path) -> Images:
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


def _folder_images(files: Sequence[Path]) -> Images:
    for file in files:
        yield 0, partial(_read_image, file)


def _array_images(array: NDArray[Any]) -> Images:
    for image in array:
        yield 0, partial(_read_picture, image)


def _read_picture(image: NDArray[Any]) -> NDArray[Any]:
    """Return a picture of an array, with the types and the order of colours that OpenCV decodes."""
    picture = image.astype(np.float32) if image.dtype == np.float64 else image
    return picture if picture.ndim == 2 else np.ascontiguousarray(picture[:, :, ::-1])


def _camera_images(index: int, ended: threading.Event) -> Images:
    with _silence_stderr():
        capture = cv2.VideoCapture(index)

    def decode() -> NDArray[Any]:
        ok, image = capture.retrieve()
        if not ok:
            raise VideoError(f"camera {index}: the picture at {last_us} us cannot be decoded")
        return image  # type: ignore[no-any-return]

    first_ns, last_us = 0, -1
    try:
        while not ended.is_set() and capture.grab():
            now_ns = time.monotonic_ns()
            first_ns = first_ns or now_ns
            last_us = max((now_ns - first_ns) // 1000, last_us + 1)
            yield last_us, decode
    finally:
        capture.release()


def _read_image(file: Path) -> NDArray[Any]:
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise VideoError(f"{file}: not an image that OpenCV can read")
    if image.dtype not in PIXEL_TYPES or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise VideoError(
            f"{file}: wrong type or shape of pixels (found {image.dtype} {image.shape}, expected grey or colour of "
            "uint8, uint16 or float32)"
        )
    return image  # type: ignore[no-any-return]


def _image_files(folder: Path) -> list[Path]:
    """Return the images of a folder, with numbers in their names in numerical order."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(files, key=lambda path: [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", path.name)])


def _times_us(
    settings: VideoSettings,
    name: str,
    count: int,
    files: Sequence[Path] = (),
    images: Callable[[], Images] | None = None,
) -> tuple[int, ...] | None:
    """Return the times in the file of times that the settings name, or None.

    Args:
        settings: Settings of the video.
        name: Name of the video.
        count: Number of its frames.
        files: Its images if it is a folder; names in the file of times must be theirs.
        images: If the count may be wrong: its images, which are counted if it differs.
    """
    if settings.timestamps is None:
        if settings.time_unit is not None:
            raise VideoError(
                f"{name}: time_unit = {settings.time_unit} without a file of times",
                Remedy("timestamps", "FILE", "name it"),
            )
        return None
    rows = _read_times(Path(settings.timestamps), settings.time_unit)
    if images is not None and count != len(rows):
        count = sum(1 for _ in images())
    if count != len(rows):
        raise _wrong_count(settings, len(rows), name, count)
    for row, file in zip(rows, files, strict=False):
        if Path(row.image).suffix.lower() in IMAGE_SUFFIXES and Path(row.image).name != file.name:
            raise VideoError(
                f"{settings.timestamps}: line {row.line}: wrong image (found {row.image}, expected {file.name} "
                f"as in {name})"
            )
    return tuple(row.t_us for row in rows)


def _wrong_count(settings: VideoSettings, times: int, name: str, frames: int | str) -> VideoError:
    return VideoError(f"{settings.timestamps}: wrong number of times (found {times}, expected {frames} as in {name})")


@dataclass(frozen=True)
class _TimeRow:
    """A line of a file of times."""

    line: int
    number: str
    image: str
    t_us: int = 0


def _read_times(path: Path, unit: str | None) -> list[_TimeRow]:
    """Return the lines of a file of times, in microseconds.

    Raises:
        VideoError: It cannot be read, its unit is unknown, or a time is invalid or not after the previous one.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(f"{path}: cannot be read as a file of times ({error})") from error
    rows: list[_TimeRow] = []
    stated: str | None = None
    for line, text in enumerate(lines, start=1):
        first, _, rest = re.sub(r"[,;\s]+", " ", text.strip(), count=1).partition(" ")
        if not text.strip() or text.lstrip().startswith("#") or (not rows and re.match("[A-Za-z]", first)):
            heading = re.search(r"(?:time|stamp)[A-Za-z]*[ _]?[\[(]?(s|ms|us|ns)\b", text)
            stated = heading[1] if heading and not rows else stated
            continue
        if not NUMBER.fullmatch(first):
            raise VideoError(f"{path}: line {line}: wrong time (found {first!r}, expected a number)")
        if NUMBER.fullmatch(re.split(r"[,;\s]", rest)[0]):
            raise VideoError(
                f"{path}: line {line}: wrong form (found {text.strip()!r}, expected a time and optionally a file name)"
            )
        rows.append(_TimeRow(line, first, rest))
    return _in_microseconds(path, rows, unit or stated or _assumed_unit(path, rows)) if rows else []


def _assumed_unit(path: Path, rows: Sequence[_TimeRow]) -> str:
    """Return the unit seconds if the numbers look like it."""
    remedy = Remedy("time_unit", "UNIT", "state the unit: s, ms, us or ns")
    if all(re.fullmatch("[+-]?[0-9]+", row.number) for row in rows):
        raise VideoError(f"{path}: integer times without a unit", remedy)
    span_s = Decimal(rows[-1].number) - Decimal(rows[0].number)
    if span_s > LONGEST_ASSUMED_INTERVAL_S * (len(rows) - 1):
        raise VideoError(
            f"{path}: unknown unit of times (in seconds, {len(rows)} frames would take {span_s:.6g} s)", remedy
        )
    return "s"


def _in_microseconds(path: Path, rows: Sequence[_TimeRow], unit: str) -> list[_TimeRow]:
    """Return the rows with their times in microseconds, checked."""
    timed: list[_TimeRow] = []
    for row in rows:
        exact_us = Decimal(row.number) * US_PER_UNIT[unit]
        if not 0 <= exact_us <= LATEST_US:
            raise VideoError(
                f"{path}: line {row.line}: time out of range (found {row.number} {unit}, expected 0 to {LATEST_US} us)"
            )
        timed.append(replace(row, t_us=round(exact_us)))
        if len(timed) > 1 and timed[-1].t_us <= timed[-2].t_us:
            raise VideoError(
                f"{path}: line {row.line}: too early (found {row.number} {unit}, expected at least 1 us after the "
                "previous time)"
            )
    return timed


def _prepare(name: str, image: NDArray[Any], settings: VideoSettings) -> NDArray[Any]:
    """Return the picture, cropped and resized (by averaging areas if it shrinks)."""
    if settings.crop:
        width, height, left, top = map(int, re.split(r"[x+]", settings.crop))
        full = SensorSize(width=image.shape[1], height=image.shape[0])
        image = image[top : top + height, left : left + width]
        if image.shape[:2] != (height, width) or not image.size:
            raise VideoError(f"{name}: crop {settings.crop}: not inside the picture (found {full})")
    if settings.resize:
        size = SensorSize.parse(settings.resize)
        shrinks = size.width < image.shape[1] or size.height < image.shape[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (size.width, size.height), interpolation=method)
    return image


def _grey(image: NDArray[Any]) -> NDArray[Any]:
    """Return the luma of the coded values with BT.601 weights, as OpenCV computes it."""
    if image.ndim == 2:
        return image
    channels = image.shape[2]
    if channels == 1:
        return image[:, :, 0]
    grey: NDArray[Any] = cv2.cvtColor(image, cv2.COLOR_BGRA2GRAY if channels == 4 else cv2.COLOR_BGR2GRAY)
    return grey


def _colours(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the colours, uint8 [H, W, 3] in the order red, green, blue."""
    if image.dtype == np.uint16:
        image = image >> 8
    elif image.dtype == np.float32:
        image = (255 * image.clip(0, 1)).round()
    image = np.asarray(image, np.uint8)
    channels = 1 if image.ndim == 2 else image.shape[2]
    order = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels]
    return np.asarray(cv2.cvtColor(image, order))
