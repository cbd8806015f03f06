"""Digits under saccades, as N-MNIST was recorded: an image of MNIST on a display, seen by a sensor that turns.

Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades", Frontiers in
Neuroscience 9:437, 2015, moved a sensor three times before a display. `digits_fit` holds what their paper does not say:
how the picture moved, how large and sharp it was, and the sensor, fitted to pairs of image and recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..events import Events, SensorSize, concatenate
from ..formats import write
from ..frames import Frame
from ..parallel import Progress
from ..simulator import SimulatorConfig, simulate
from ..video import write_video
from . import digits_fit as fit
from .mnist import DIGIT_PX, FILES, read_mnist
from .writing import write_recordings

DIGIT_SENSOR = SensorSize(width=34, height=34)
NMNIST_PARTS = tuple(FILES)

FRAME_US = 2_000  # the picture moves by 0.3 pixels in it at most
LEAD_US = 20_000  # before a recording, in which the low-pass forgets its first frame
LEGS = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Take:
    """What differs from one recording of a digit to the next.

    Args:
        duration_us: Of the recording.
        delays_us: [3], how much later than usual each leg is.
        origin_px: [2], x and y of the picture's middle at the begin.
        scale: Sensor pixels per pixel of the image.
        blur_px: Standard deviation of the spread of a point, in sensor pixels.
        black: The light of the display's ink beside that of its ground.
        on: ON threshold.
        off: OFF threshold.
    """

    duration_us: int
    delays_us: Floats
    origin_px: Floats
    scale: float
    blur_px: float
    black: float
    on: float
    off: float


def _draw_take(rng: np.random.Generator) -> _Take:
    def about(middle: float, spread: float) -> float:
        return float(middle * np.exp(rng.normal(0, spread)))

    threshold = about(fit.THRESHOLD, fit.THRESHOLD_SPREAD)
    ratio = about(fit.ON_OFF_RATIO, fit.ON_OFF_SPREAD)
    return _Take(
        duration_us=int(rng.integers(*fit.DURATIONS_US)),
        delays_us=rng.uniform(-1, 1, LEGS) * fit.DELAY_SPREADS_US,
        origin_px=np.array(fit.ORIGIN_PX) + rng.normal(0, fit.ORIGIN_SPREAD_PX, 2),
        scale=about(fit.SCALE, fit.SCALE_SPREAD),
        blur_px=about(fit.BLUR_PX, fit.BLUR_SPREAD),
        black=about(fit.BLACK, fit.BLACK_SPREAD),
        on=threshold * ratio**0.5,
        off=threshold * ratio**-0.5,
    )


def saccade_path(t_us: NDArray[np.int64], delays_us: Floats) -> Floats:
    """How far the picture has moved since the begin: x and y in sensor pixels, [T, 2].

    Args:
        t_us: Times, [T].
        delays_us: [3], how much later than usual each of the three legs is.
    """
    late_us = np.interp(t_us, fit.PAUSES_US, np.repeat(delays_us, 2)[1:-1])
    knots_us = fit.KNOT_US * np.arange(len(fit.PATH_X))
    path = [np.interp(t_us - late_us, knots_us, np.array(along) / 100) for along in (fit.PATH_X, fit.PATH_Y)]
    return np.stack(path, axis=1)


def digit_frames(image: NDArray[np.uint8], rng: np.random.Generator) -> Iterator[Frame]:
    """The video that the sensor sees: a dark digit on a bright ground, which moves along the three legs.

    Args:
        image: uint8 [28, 28], 255 where there is ink.
        rng: Draws how this recording differs from others.

    Returns:
        Frames float32 [34, 34] in light, every 2 ms from 0 on; 1.0 is the ground.

    Raises:
        DataError: The image has another size or kind of values.
    """
    return iter(_frames(image, _draw_take(rng)))


def record_digit(image: NDArray[np.uint8], rng: np.random.Generator) -> Events:
    """The events of that video, ON where the light rises; arguments and errors as there."""
    take = _draw_take(rng)
    frames = _frames(image, take)
    first = frames[0].image
    # the references of a sensor that has been on for a while lie anywhere within a threshold of the level
    waiting = Frame(-LEAD_US, first * np.exp(rng.uniform(-take.off, take.on, first.shape)).astype(np.float32), "linear")
    config = SimulatorConfig(
        pos_thres=take.on,
        neg_thres=take.off,
        sigma_thres=fit.MISMATCH * (take.on + take.off) / 2,
        log_offset=fit.LOG_OFFSET,
        cutoff_hz=fit.CUTOFF_HZ,
        leak_rate_hz=fit.LEAK_RATE_HZ,
        leak_jitter_fraction=fit.LEAK_JITTER,
        shot_noise_rate_hz=fit.SHOT_NOISE_RATE_HZ,
        refractory_period=fit.REFRACTORY_S,
        seed=int(rng.integers(2**63)),
    )
    shown = [waiting, Frame(FRAME_US - LEAD_US, first, "linear"), *frames]
    return concatenate(list(simulate(shown, config)), DIGIT_SENSOR).slice_time(0, frames[-1].t_us + 1)


def _frames(image: NDArray[np.uint8], take: _Take) -> list[Frame]:
    if image.shape != (DIGIT_PX, DIGIT_PX) or image.dtype != np.uint8:
        raise DataError(f"an image is {image.dtype} {image.shape}, expected uint8 ({DIGIT_PX}, {DIGIT_PX})")
    t_us = np.arange(0, take.duration_us, FRAME_US)
    middles = take.origin_px + saccade_path(t_us, take.delays_us)
    ink = (1 - (1 - image / 255) ** fit.DISPLAY_GAMMA).astype(np.float32)  # what the display's light lacks
    across, down = (
        _spread(middles[:, axis], side, take) for axis, side in ((0, DIGIT_SENSOR.width), (1, DIGIT_SENSOR.height))
    )
    shade = np.clip(down @ ink @ across.transpose(0, 2, 1), 0, 1)
    light = 1 - np.float32(1 - take.black) * shade
    return [Frame(int(t), picture, "linear") for t, picture in zip(t_us, light, strict=True)]


def _spread(middles: Floats, side: int, take: _Take) -> NDArray[np.float32]:
    """The share of each row (or column) of the image in each of the sensor: a Gaussian, [T, side, 28]."""
    places = middles[:, None, None] + take.scale * (np.arange(DIGIT_PX) - (DIGIT_PX - 1) / 2)
    z = ((np.arange(side)[:, None] - places) / take.blur_px).astype(np.float32)
    return np.exp(-z * z / 2) * np.float32(take.scale / (take.blur_px * math.sqrt(2 * math.pi)))


def write_digits(
    folder: Path,
    mnist: Path,
    *,
    train: int,
    test: int = 0,
    seed: int,
    exclude: Path | None = None,
    videos: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> int:
    """Writes FOLDER/Train/<digit>/<id>.bin, and Test, in N-MNIST's layout; returns how many files are new.

    `<id>` is the row of the image in MNIST, counted from 1, as in N-MNIST. Which images are recorded is drawn.

    Args:
        folder: Where; what is there already, made in the same way, is kept.
        mnist: The folder of MNIST's files.
        train: Number of recordings of images of MNIST's training set.
        test: The same of its test set.
        seed: Of everything; more recordings with the same seed leave the first ones as they were.
        exclude: A folder in N-MNIST's layout whose images are left out.
        videos: Whether the videos are written too, as FOLDER/videos/Train/<digit>/<id>.webm in sRGB.
        jobs: Processes to share the work.
        progress: Told the number of files done and in all.

    Raises:
        DataError: There are fewer images than recordings, or the folder holds recordings made in another way.
        FileError: A file of MNIST cannot be read, or the folder cannot be written to.
    """
    left_out = {part: _recorded(exclude, part) if exclude else set() for part in NMNIST_PARTS}
    work: dict[Path, Callable[[Path], object]] = {}
    for stream, (part, count) in enumerate(zip(NMNIST_PARTS, (train, test), strict=True)):
        if not count:
            continue
        images, labels = read_mnist(mnist, part)
        order = np.random.default_rng([seed, stream]).permutation(len(images))
        rows = [row for row in order.tolist() if row + 1 not in left_out[part]]
        if len(rows) < count:
            raise DataError(f"{mnist}: {count} recordings wanted of {len(rows)} images of MNIST's {part} set")
        for row in rows[:count]:
            path = Path(part.capitalize(), str(labels[row]), f"{row + 1:05}.bin")
            work[path] = partial(_write_events, image=images[row], seed=[seed, stream, row])
            if videos:
                work["videos" / path.with_suffix(".webm")] = partial(
                    _write_video, image=images[row], seed=[seed, stream, row]
                )
    record = {
        "kind": "digits",
        "seed": seed,
        "left_out": {part: len(rows) for part, rows in left_out.items()},
        "fitted": {name.lower(): value for name, value in vars(fit).items() if name.isupper()},
    }
    return write_recordings(folder, record, work, jobs=jobs, progress=progress)


def _recorded(folder: Path, part: str) -> set[int]:
    """The ids of a part of a folder in N-MNIST's layout.

    Raises:
        DataError: The folder has neither part.
    """
    if not any((folder / name.capitalize()).is_dir() for name in NMNIST_PARTS):
        raise DataError(f"{folder}: holds no folder Train or Test with recordings to leave out")
    return {int(path.stem) for path in (folder / part.capitalize()).glob("*/*.bin") if path.stem.isdecimal()}


def _write_events(path: Path, image: NDArray[np.uint8], seed: list[int]) -> None:
    write(path, record_digit(image, np.random.default_rng(seed)))


def _write_video(path: Path, image: NDArray[np.uint8], seed: list[int]) -> None:
    write_video(path, map(_coded, digit_frames(image, np.random.default_rng(seed))))


def _coded(frame: Frame) -> Frame:
    """A frame in light as uint8 in sRGB (IEC 61966-2-1); the display's black is above the line near zero."""
    return Frame(frame.t_us, np.rint(255 * (1.055 * frame.image ** (1 / 2.4) - 0.055)).astype(np.uint8))
