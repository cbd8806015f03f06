"""Videos as frames with times: the only place that opens a video or reads an image."""

from __future__ import annotations

import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .config import Settings
from .errors import TruncatedVideoError, VideoError
from .events import SensorSize
from .files import write_beside
from .frames import PIXEL_TYPES, Frame, check_transfer
from .opencv import cv2

IMAGE_SUFFIXES = frozenset({".bmp", ".hdr", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv", ".y4m"}
)
NO_FRAME = "not a video that OpenCV can read (no frame could be decoded)"
FOLDER_FPS = 30.0  # of an image folder without times
FOLDER_TIMES = ("timestamps.txt", "images.csv")  # the names under which an image folder holds its times
US_PER_UNIT = {"s": Decimal(10**6), "ms": Decimal(10**3), "us": Decimal(1), "ns": Decimal("0.001")}
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
LONGEST_ASSUMED_INTERVAL_S = 1.0  # mean, where seconds are only assumed: milliseconds of ordinary video would be more
LATEST_US = 2**62

Images = Generator[tuple[int, Callable[[], NDArray[Any]]], None, None]
"""Per frame, its own time in microseconds and a function that gives its pixels, to be called before the next one."""


class VideoSettings(Settings):
    """How a video is read."""

    fps: float | None = Field(default=None, gt=0)
    """Frames per second to use instead of the video's own times. An image folder without times has 30 by default."""
    timestamps: str | None = None
    """A file of times to use instead, one line per frame: a time, and perhaps the image's name. An image folder's own
    `timestamps.txt` or `images.csv` is used by default."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of the times in that file. By default the one in its heading (`timestamp_ns`), else seconds where numbers
    have a decimal point; whole numbers without a unit are refused."""
    transfer: str = "srgb"
    """The transfer curve of its values, as in `Frame`; ordinary video is `srgb`."""
    crop: str | None = Field(default=None, pattern=r"^\d+x\d+\+\d+\+\d+$")
    """Part of the picture to keep, WIDTHxHEIGHT+LEFT+TOP."""
    resize: str | None = Field(default=None, pattern=r"^\d+x\d+$")
    """Size to scale the (cropped) picture to, WIDTHxHEIGHT."""
    start_s: float = Field(default=0.0, ge=0)
    """Time of the first frame to keep, in seconds."""
    stop_s: float | None = Field(default=None, gt=0)
    """Time from which on frames are left out, in seconds."""


@dataclass(frozen=True)
class Video:
    """Something readable that gives frames: a video file, a folder of images, an array or a camera.

    Args:
        name: What messages call it.
        size: Width and height of the frames that it gives.
        frame_count: Number of frames as far as it is known; 0 where it is not.
        settings: How it is read.
        images: Begins a new pass over all images.
        times_us: The time of every frame, where a file of times gives them.
        ended: Ends a camera when it is set; None of anything else.
    """

    name: str
    size: SensorSize
    frame_count: int
    settings: VideoSettings
    images: Callable[[], Images] = field(repr=False, compare=False)
    times_us: tuple[int, ...] | None = field(default=None, repr=False)
    ended: threading.Event | None = field(default=None, repr=False, compare=False)

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """The frames one after another, grey (BT.601 luma, full range), with strictly increasing times.

        Args:
            first: Number of frames at the beginning to leave out, >= 0. They are not converted, and images of a folder
                not read; times and pixels of the others are the same as without it.

        Raises:
            VideoError: A frame cannot be decoded, has another size, or is not later than the one before it; or there
                are more or fewer frames than times in the file of times.
            TruncatedVideoError: The video ended early; raised after the last frame.
        """
        settings = self.settings
        start_us = round(settings.start_s * 1e6)
        stop_us = None if settings.stop_s is None else round(settings.stop_s * 1e6)
        before_us: int | None = None
        number, left_out = -1, 0
        for number, (own_us, decode) in enumerate(self.images()):
            t_us = self._time_us(number, own_us)
            if before_us is not None and t_us <= before_us:
                raise VideoError(
                    f"{self.name}: frame {number} is at {t_us} us, not after the frame before it at {before_us} us; "
                    "give the rate with --fps to use instead of the file's own times"
                )
            before_us = t_us
            if t_us < start_us:
                continue
            if stop_us is not None and t_us >= stop_us:
                return
            if left_out < first:
                left_out += 1
                continue
            frame = Frame(t_us, _prepare(self.name, decode(), settings), settings.transfer)
            if frame.size != self.size:
                raise VideoError(f"{self.name}: frame {number} is {frame.size}, the frames before it {self.size}")
            yield frame
        if number + 2 < self.frame_count and before_us is not None:
            raise TruncatedVideoError(
                f"{self.name}: breaks off after {number + 1} of {self.frame_count} frames, at {before_us} us",
                at_us=before_us,
            )
        if self.times_us is not None and number + 1 < len(self.times_us):
            raise VideoError(_miscounted(settings, len(self.times_us), self.name, number + 1))

    def _time_us(self, number: int, own_us: int) -> int:
        if self.times_us is not None:
            if number == len(self.times_us):
                raise VideoError(_miscounted(self.settings, number, self.name, f"at least {number + 1}"))
            return self.times_us[number]
        return own_us if self.settings.fps is None else round(number * 1e6 / self.settings.fps)

    @contextmanager
    def ended_by_interrupt(self) -> Iterator[None]:
        """A block in which Ctrl-C ends a camera's frames as a video ends; the second time it interrupts as ever.

        Changes nothing of other videos, and nothing outside the main thread, which alone can take signals.
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


def open_video(source: str | Path | int | NDArray[Any], settings: VideoSettings | None = None) -> Video:
    """A video, ready to give its frames.

    Args:
        source: A video file that OpenCV decodes, a folder of images, an array [T, H, W] of grey images as in `Frame`
            (which needs `settings.fps`), or the number of a camera, also as text where no file has that name. A
            camera's times are those of the monotonic clock, from 0 at its first picture; it ends at `settings.stop_s`.
        settings: How to read it.

    Raises:
        VideoError: It is missing, cannot be decoded, has not a single frame, or the settings do not fit it.
    """
    settings = settings or VideoSettings()
    check_transfer(settings.transfer)
    if settings.fps is not None and settings.timestamps is not None:
        raise VideoError(f"{settings.timestamps}: --timestamps and --fps exclude each other; give one of them")
    if isinstance(source, np.ndarray):
        return _open_array(source, settings)
    camera = camera_of(source)
    if camera is not None:
        return _open_camera(camera, settings)
    path = Path(str(source))
    if not path.exists():
        raise VideoError(f"{path}: no such video file or image folder")
    return _open_folder(path, settings) if path.is_dir() else _open_file(path, settings)


def read_image(path: Path, settings: VideoSettings | None = None) -> NDArray[Any]:
    """The grey picture in an image file: [H, W], uint8, uint16 or float32, coded as it is.

    Args:
        path: An image file that OpenCV reads.
        settings: Of these, `crop` and `resize`.

    Raises:
        VideoError: It is missing, cannot be read, or the settings do not fit it.
    """
    if not path.is_file():
        raise VideoError(f"{path}: no such image file")
    return _prepare(str(path), _read_image(path), settings or VideoSettings())


def camera_of(source: str | Path | int) -> int | None:
    """The camera that a source means, or None: a number, or the text of one where no file has that name."""
    if isinstance(source, int):
        return source
    return int(str(source)) if re.fullmatch("[0-9]{1,3}", str(source)) and not Path(source).exists() else None


def is_image_folder(path: Path) -> bool:
    """Whether a path is a folder that holds images."""
    return path.is_dir() and bool(_image_files(path))


def is_video_name(path: Path) -> bool:
    """Whether a path is a file with a suffix that videos have."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def write_video(path: Path, frames: Iterable[Frame]) -> None:
    """Writes 8-bit frames at a constant rate, that of the first two, as VP8 `.webm`, which browsers play.

    Raises:
        VideoError: There are fewer than two frames, or this OpenCV cannot write VP8.
        FileError: The file cannot be written.
    """
    iterator = iter(frames)
    first, second = next(iterator, None), next(iterator, None)
    if first is None or second is None:
        raise VideoError(f"{path}: fewer than two frames to write")
    with write_beside(path) as beside, open_webm(beside, first.size, 1e6 / (second.t_us - first.t_us)) as write:
        for frame in itertools.chain((first, second), iterator):
            write(cv2.cvtColor(frame.image, cv2.COLOR_GRAY2BGR))


@contextmanager
def open_webm(path: Path, size: SensorSize, fps: float) -> Iterator[Callable[[NDArray[Any]], Any]]:
    """A function that adds a BGR image uint8 [H, W, 3] to a new VP8 video; sides are even, as VP8 wants them.

    Raises:
        VideoError: This OpenCV cannot write VP8.
    """
    with _quiet_stderr():
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), fps, (size.width, size.height)
        )
    try:
        if not writer.isOpened():
            raise VideoError(f"{path}: this OpenCV cannot write VP8 video")
        yield writer.write
    finally:
        writer.release()


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Nothing from C code to stderr: OpenCV warns there of a wrong tag for every .webm, and cannot be told not to."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _open_camera(index: int, settings: VideoSettings) -> Video:
    name, ended = f"camera {index}", threading.Event()
    if settings.fps is not None or settings.timestamps is not None or settings.time_unit is not None:
        raise VideoError(f"{name}: its times are the clock's; --fps, --timestamps and --time-unit do not fit it")
    images = partial(_camera_images, index, ended)
    size = _first_size(name, images, settings, "there is none that OpenCV can open and that gives pictures")
    return Video(name, size, 0, settings, images, ended=ended)


def _open_array(array: NDArray[Any], settings: VideoSettings) -> Video:
    name = "the array"
    if array.ndim != 3 or not array.size or array.dtype not in PIXEL_TYPES:
        raise VideoError(
            f"{name}: {array.dtype} of shape {array.shape}, expected grey images [T, H, W] of uint8, uint16 or float32"
        )
    if settings.fps is None and settings.timestamps is None:
        raise VideoError(f"{name}: has no times; give its frames per second as fps in the video settings")
    images = partial(_array_images, array)
    size = _first_size(name, images, settings, NO_FRAME)
    return Video(name, size, len(array), settings, images, _times_us(settings, name, len(array)))


def _open_folder(path: Path, settings: VideoSettings) -> Video:
    if settings.fps is None and settings.timestamps is None:
        own = next((path / name for name in FOLDER_TIMES if (path / name).is_file()), None)
        settings = settings.model_copy(update={"fps": FOLDER_FPS} if own is None else {"timestamps": str(own)})
    files = _image_files(path)
    images = partial(_folder_images, files)
    size = _first_size(str(path), images, settings, NO_FRAME)
    return Video(str(path), size, len(files), settings, images, _times_us(settings, str(path), len(files), files))


def _open_file(path: Path, settings: VideoSettings) -> Video:
    images = partial(_file_images, path)
    size, count = _first_size(str(path), images, settings, NO_FRAME), _container_count(path)
    return Video(str(path), size, count, settings, images, _times_us(settings, str(path), count, images=images))


def _first_size(name: str, images: Callable[[], Images], settings: VideoSettings, otherwise: str) -> SensorSize:
    """The size of the first frame; an error with the last text where there is none."""
    with closing(images()) as begun:
        for _, decode in begun:
            return Frame(0, _prepare(name, decode(), settings)).size
    raise VideoError(f"{name}: {otherwise}")


def _file_images(path: Path) -> Images:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)

    def decode() -> NDArray[Any]:
        ok, image = capture.retrieve()
        if not ok:
            raise VideoError(f"{path}: the frame at {last_us} us cannot be decoded")
        return image  # type: ignore[no-any-return]

    last_us = -1
    try:
        while capture.grab():
            t_us = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1000)
            if t_us == 0 < last_us:  # the last frames of MPEG-1 and 2 come without a time
                t_us = last_us + round(1e6 / (capture.get(cv2.CAP_PROP_FPS) or FOLDER_FPS))
            last_us = t_us
            yield t_us, decode
    finally:
        capture.release()


def _folder_images(files: Sequence[Path]) -> Images:
    for file in files:
        yield 0, partial(_read_image, file)


def _array_images(array: NDArray[Any]) -> Images:
    for image in array:
        yield 0, partial(np.asarray, image)


def _camera_images(index: int, ended: threading.Event) -> Images:
    with _quiet_stderr():
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
            f"{file}: pixels of {image.dtype} and shape {image.shape}, expected grey or colour, uint8, uint16 or "
            "float32"
        )
    return image  # type: ignore[no-any-return]


def _image_files(folder: Path) -> list[Path]:
    """The images of a folder, numbers in names in the order of their values."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(files, key=lambda path: [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", path.name)])


def _container_count(path: Path) -> int:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    return max(0, int(count))


def _times_us(
    settings: VideoSettings,
    name: str,
    count: int,
    files: Sequence[Path] = (),
    images: Callable[[], Images] | None = None,
) -> tuple[int, ...] | None:
    """The times in the file of times that the settings name, or None.

    Args:
        settings: Of the video.
        name: Of the video.
        count: Its number of frames.
        files: Its images, if it is a folder: the names beside the times must be theirs.
        images: Given where the count may be wrong: where it does not fit, they are counted.
    """
    if settings.timestamps is None:
        if settings.time_unit is not None:
            raise VideoError(f"{name}: --time-unit {settings.time_unit} without a file of times, see --timestamps")
        return None
    rows = _read_times(Path(settings.timestamps), settings.time_unit)
    if images is not None and count != len(rows):
        count = sum(1 for _ in images())
    if count != len(rows):
        raise VideoError(_miscounted(settings, len(rows), name, count))
    for row, file in zip(rows, files, strict=False):
        if Path(row.image).suffix.lower() in IMAGE_SUFFIXES and Path(row.image).name != file.name:
            raise VideoError(
                f"{settings.timestamps}: line {row.line} is of {row.image}, but that image of {name} is {file.name}"
            )
    return tuple(row.t_us for row in rows)


def _miscounted(settings: VideoSettings, times: int, name: str, frames: int | str) -> str:
    return f"{settings.timestamps}: holds {times} times, but {name} has {frames} frames"


@dataclass(frozen=True)
class _TimeRow:
    """A line of a file of times."""

    line: int
    number: str
    image: str
    t_us: int = 0


def _read_times(path: Path, unit: str | None) -> list[_TimeRow]:
    """The lines of a file of times, in microseconds.

    Raises:
        VideoError: It cannot be read, its unit cannot be told, or a time is none or not after the one before it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(f"{path}: no readable file of times ({error})") from error
    rows: list[_TimeRow] = []
    stated: str | None = None
    for line, text in enumerate(lines, start=1):
        first, _, rest = re.sub(r"[,;\s]+", " ", text.strip(), count=1).partition(" ")
        if not text.strip() or text.lstrip().startswith("#") or (not rows and re.match("[A-Za-z]", first)):
            heading = re.search(r"(?:time|stamp)[A-Za-z]*[ _]?[\[(]?(s|ms|us|ns)\b", text)
            stated = heading[1] if heading and not rows else stated
            continue
        if not NUMBER.fullmatch(first):
            raise VideoError(f"{path}: line {line}: {first!r} is not a time")
        if NUMBER.fullmatch(re.split(r"[,;\s]", rest)[0]):
            raise VideoError(f"{path}: line {line}: {text.strip()!r}, expected one time, and perhaps a file name")
        rows.append(_TimeRow(line, first, rest))
    return _in_microseconds(path, rows, unit or stated or _assumed_unit(path, rows)) if rows else []


def _assumed_unit(path: Path, rows: Sequence[_TimeRow]) -> str:
    """Seconds, where the numbers look like it."""
    way_out = "give the unit with --time-unit s, ms, us or ns"
    if all(re.fullmatch("[+-]?[0-9]+", row.number) for row in rows):
        raise VideoError(f"{path}: whole numbers whose unit is not stated; {way_out}")
    span_s = Decimal(rows[-1].number) - Decimal(rows[0].number)
    if span_s > LONGEST_ASSUMED_INTERVAL_S * (len(rows) - 1):
        raise VideoError(f"{path}: as seconds, {len(rows)} frames would last {span_s:.6g} s; {way_out}")
    return "s"


def _in_microseconds(path: Path, rows: Sequence[_TimeRow], unit: str) -> list[_TimeRow]:
    """The rows with their times, checked."""
    timed: list[_TimeRow] = []
    for row in rows:
        exact_us = Decimal(row.number) * US_PER_UNIT[unit]
        if not 0 <= exact_us <= LATEST_US:
            raise VideoError(f"{path}: line {row.line}: {row.number} {unit} is no time from 0 to {LATEST_US} us")
        timed.append(replace(row, t_us=round(exact_us)))
        if len(timed) > 1 and timed[-1].t_us <= timed[-2].t_us:
            raise VideoError(
                f"{path}: line {row.line}: {row.number} {unit} is not later than the time before it, by a microsecond "
                "or more"
            )
    return timed


def _prepare(name: str, image: NDArray[Any], settings: VideoSettings) -> NDArray[Any]:
    """The grey picture, cropped and resized (averaging areas where it shrinks)."""
    grey = _grey(image)
    if settings.crop:
        width, height, left, top = map(int, re.split(r"[x+]", settings.crop))
        full = SensorSize(width=grey.shape[1], height=grey.shape[0])
        grey = grey[top : top + height, left : left + width]
        if grey.shape != (height, width) or not grey.size:
            raise VideoError(f"{name}: a crop of {settings.crop} does not lie inside the picture of {full}")
    if settings.resize:
        size = SensorSize.parse(settings.resize)
        shrinks = size.width < grey.shape[1] or size.height < grey.shape[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        grey = cv2.resize(grey, (size.width, size.height), interpolation=method)
    return grey


def _grey(image: NDArray[Any]) -> NDArray[Any]:
    """Luma of the coded values; BT.601 weights, as OpenCV computes it."""
    if image.ndim == 2:
        return image
    channels = image.shape[2]
    if channels == 1:
        return image[:, :, 0]
    grey: NDArray[Any] = cv2.cvtColor(image, cv2.COLOR_BGRA2GRAY if channels == 4 else cv2.COLOR_BGR2GRAY)
    return grey
