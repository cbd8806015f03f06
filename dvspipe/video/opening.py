"""Open videos, image folders, arrays and cameras, and read images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.errors import VideoError
from ..base.files import explain_missing, read_bytes
from .config import FOLDER_FPS, VideoSettings
from .files import decode_capture, open_file
from .frames import PIXEL_TYPES, check_transfer
from .names import FOLDER_TIMES, camera_of, check_sequence, list_images
from .opencv import cv2
from .pictures import FramePass
from .video import EXAMPLE_FPS, Video, create_video

MAX_WHITE = 2.0  # larger float values are a mistake (such as 0 to 255), unless they are linear light


def open_video(
    source: str | Path | int | ArrayLike,
    settings: VideoSettings = VideoSettings(),
) -> Video:
    """Open a video file, image folder, array or camera as a source of frames.

    Args:
        source: Video file that OpenCV or an installed ffmpeg decodes; folder of images, ordered by the numbers in
            their names; array or list of grey images [T, H, W] (see `Frame`) or RGB images [T, H, W, 3]; or camera
            number, also as a string if no file has that name. Arrays need `settings.fps` or `settings.timestamps`;
            float64 is read as float32. Camera times come from the monotonic clock, starting at 0; a camera ends at
            `settings.stop_s`.
        settings: Settings for reading.

    Raises:
        VideoError: If the source does not exist, cannot be decoded or has no frames, or the settings do not fit it.

    Example:
        >>> import numpy as np
        >>> video = open_video(np.zeros((5, 7, 12), np.uint8), VideoSettings(fps=50))
        >>> [frame.t_us for frame in video.frames()]
        [0, 20000, 40000, 60000, 80000]
    """
    settings = settings.part(VideoSettings)
    check_transfer(settings.transfer)
    if settings.fps is not None and settings.timestamps is not None:
        raise VideoError(f"{settings.timestamps}: timestamps and fps cannot be combined (found fps = {settings.fps:g})")

    if not isinstance(source, str | Path | int):
        return _open_array(source, settings)

    camera = None if isinstance(source, bool) else camera_of(source)  # a bool is an int, but no camera
    if camera is not None:
        return _open_camera(camera, settings)

    path = Path(str(source))
    if not path.exists():
        raise VideoError(f"{path}: {explain_missing(path)}")
    return _open_folder(path, settings) if path.is_dir() else open_file(path, settings)


def _read_image(file: Path) -> NDArray[Any]:
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise VideoError(f"{file}: not an image that OpenCV can read")
    if image.dtype not in PIXEL_TYPES or (image.ndim == 3 and image.shape[-1] not in (3, 4)):
        raise VideoError(
            f"{file}: wrong pixel type or shape (found {image.dtype} {image.shape}, expected grey or colour, "
            "uint8, uint16 or float32)"
        )
    return np.asarray(image)


def _open_folder(path: Path, settings: VideoSettings) -> Video:
    """Open an image folder as a video: the images that a file of times lists, or one numbered sequence."""
    # The times of the folder itself take precedence over the default rate, but not over settings.
    if settings.fps is None and settings.timestamps is None:
        times_file = next((path / name for name in FOLDER_TIMES if (path / name).is_file()), None)
        update = {"fps": FOLDER_FPS} if times_file is None else {"timestamps": times_file}
        settings = settings.model_copy(update=update)

    files = list_images(path)
    video = create_video(str(path), partial(_pass_over_files, files), settings, len(files), images=files)
    times_file = settings.timestamps
    if times_file is None or files[0].name.encode(errors="surrogateescape") not in read_bytes(times_file):
        check_sequence(path, files)
    return video


def _pass_over_files(files: Sequence[Path]) -> FramePass:
    for file in files:  # time 0: the rate, or a file, gives the times
        yield 0, partial(_read_image, file)


def _open_array(images: ArrayLike, settings: VideoSettings) -> Video:
    """Open images of NumPy or another library as a video."""
    name = "the array"
    try:
        array = np.asarray(images)
    except (TypeError, ValueError, RuntimeError) as error:  # NumPy and other libraries raise any of these
        raise VideoError(f"{name}: cannot be read as images [T, H, W] ({error})") from error

    is_colour = array.ndim == 4 and array.shape[-1] == 3
    if not (array.ndim == 3 or is_colour) or not array.size or array.dtype not in (*PIXEL_TYPES, np.float64):
        raise VideoError(
            f"{name}: wrong type or shape (found {array.dtype} {array.shape}, expected grey images [T, H, W] or "
            "colour images [T, H, W, 3] of uint8, uint16, float32 or float64)"
        )
    if array.dtype.kind == "f" and settings.transfer != "linear":
        largest = np.fmax.reduce(array, axis=None)  # ignores NaN
        if largest > MAX_WHITE:
            raise VideoError(f"{name}: wrong range of values (found up to {largest:g}, expected 0 to 1)")
    if settings.fps is None and settings.timestamps is None:
        raise VideoError(f"{name}: has no frame times; use fps={EXAMPLE_FPS} to set the frames per second")

    return create_video(name, partial(_pass_over_array, array), settings, len(array), images=())


def _pass_over_array(array: NDArray[Any]) -> FramePass:
    for image in array:
        yield 0, partial(_to_opencv, image)


def _to_opencv(image: NDArray[Any]) -> NDArray[Any]:
    """Convert an image to the types and colour order of images decoded by OpenCV: float32 for float64, BGR for RGB."""
    picture = image.astype(np.float32) if image.dtype == np.float64 else image
    return picture if picture.ndim == 2 else np.ascontiguousarray(picture[:, :, ::-1])


def _open_camera(index: int, settings: VideoSettings) -> Video:
    """Open a camera as a video."""
    unused = [setting for setting in ("fps", "timestamps", "time_unit") if getattr(settings, setting) is not None]
    if unused:
        raise VideoError(f"camera {index}: frames are timed by the clock (found {', '.join(unused)}); remove it")

    return create_video(f"camera {index}", partial(_pass_over_camera, index), settings, 0)


def _pass_over_camera(index: int) -> FramePass:
    first_ns: int | None = None

    def read_clock(previous_us: int) -> int:
        nonlocal first_ns
        now_ns = time.monotonic_ns()
        first_ns = now_ns if first_ns is None else first_ns

        # Times increase, also if two frames arrive within a microsecond.
        return max((now_ns - first_ns) // 1000, previous_us + 1)

    return decode_capture(f"camera {index}", cv2.VideoCapture(index), read_clock)
