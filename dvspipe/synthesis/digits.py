"""Digits under saccades, as in N-MNIST: an image of MNIST on a display, recorded by a sensor that rotates.

Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades", Frontiers in
Neuroscience 9:437, 2015, moved a sensor three times in front of a display. `digits_fit` contains what their paper does
not specify: the movement, size and sharpness of the picture, and the sensor, fitted to pairs of image and recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..events import Events, SensorSize, concatenate
from ..formats import write
from ..parallel import ALL, Engine, Processes, Progress, Shard
from ..simulator import SimulatorConfig, simulate
from ..video.frames import Frame
from ..video.writing import write_video
from . import digits_fit as fit
from .mnist import DIGIT_PX, MnistPart, read_mnist
from .writing import SynthesisRecord, write_recordings

DIGIT_SENSOR = SensorSize(width=34, height=34)
NMNIST_PARTS: tuple[MnistPart, ...] = get_args(MnistPart)

FRAME_US = 2_000  # in which the picture moves by at most 0.3 pixels
LEAD_US = 20_000  # before a recording, in which the low-pass filter settles
LEGS = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Take:
    """What differs between recordings of the same digit.

    Args:
        duration_us: Duration of the recording.
        delays_us: [3], delay of each leg against the mean.
        origin_px: [2], x and y of the centre of the picture at the start.
        scale: Sensor pixels per pixel of the image.
        blur_px: Standard deviation of the spread of a point, in sensor pixels.
        black: Luminance of the display's black relative to its white.
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
    def vary(mean: float, spread: float) -> float:
        return float(mean * np.exp(rng.normal(0, spread)))

    threshold = vary(fit.THRESHOLD, fit.THRESHOLD_SPREAD)
    ratio = vary(fit.ON_OFF_RATIO, fit.ON_OFF_SPREAD)
    return _Take(
        duration_us=int(rng.integers(*fit.DURATIONS_US)),
        delays_us=rng.uniform(-1, 1, LEGS) * fit.DELAY_SPREADS_US,
        origin_px=np.array(fit.ORIGIN_PX) + rng.normal(0, fit.ORIGIN_SPREAD_PX, 2),
        scale=vary(fit.SCALE, fit.SCALE_SPREAD),
        blur_px=vary(fit.BLUR_PX, fit.BLUR_SPREAD),
        black=vary(fit.BLACK, fit.BLACK_SPREAD),
        on=threshold * ratio**0.5,
        off=threshold * ratio**-0.5,
    )


def saccade_path(t_us: NDArray[np.int64], delays_us: Floats) -> Floats:
    """Return how far the picture has moved since the start: x and y in sensor pixels, [T, 2].

    Args:
        t_us: Times, [T].
        delays_us: [3], delay of each of the three legs against the mean.
    """
    late_us = np.interp(t_us, fit.PAUSES_US, np.repeat(delays_us, 2)[1:-1])
    knots_us = fit.KNOT_US * np.arange(len(fit.PATH_X))
    path = [np.interp(t_us - late_us, knots_us, np.array(along) / 100) for along in (fit.PATH_X, fit.PATH_Y)]
    return np.stack(path, axis=1)


def digit_frames(image: NDArray[np.uint8], rng: np.random.Generator) -> Iterator[Frame]:
    """Return the video that the sensor sees: a dark digit on a bright background, which moves along the three legs.

    Args:
        image: uint8 [28, 28], 255 being ink.
        rng: Draws how this recording differs from others.

    Returns:
        Frames float32 [34, 34] of luminance, every 2 ms from 0 on; 1.0 is the background.

    Raises:
        DataError: The image has another shape or dtype.
    """
    return iter(_frames(image, _draw_take(rng)))


def record_digit(image: NDArray[np.uint8], rng: np.random.Generator) -> Events:
    """Return the events of the video of `digit_frames`, which has the same arguments and errors."""
    take = _draw_take(rng)
    frames = _frames(image, take)
    first = frames[0].image
    # the references of a sensor that has been on for a while are anywhere within a threshold of the level
    settling = Frame(
        -LEAD_US, first * np.exp(rng.uniform(-take.off, take.on, first.shape)).astype(np.float32), "linear"
    )
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
    seen = [settling, Frame(FRAME_US - LEAD_US, first, "linear"), *frames]
    return concatenate(list(simulate(seen, config)), DIGIT_SENSOR).slice_time(0, frames[-1].t_us + 1)


def _frames(image: NDArray[np.uint8], take: _Take) -> list[Frame]:
    if image.shape != (DIGIT_PX, DIGIT_PX) or image.dtype != np.uint8:
        raise DataError(
            f"not an image of MNIST (found {image.dtype} {image.shape}, expected uint8 ({DIGIT_PX}, {DIGIT_PX}))"
        )
    t_us = np.arange(0, take.duration_us, FRAME_US)
    centres = take.origin_px + saccade_path(t_us, take.delays_us)
    ink = (1 - (1 - image / 255) ** fit.DISPLAY_GAMMA).astype(np.float32)  # how much darker than the background
    across, down = (
        _spread(centres[:, axis], side, take) for axis, side in ((0, DIGIT_SENSOR.width), (1, DIGIT_SENSOR.height))
    )
    shade = np.clip(down @ ink @ across.transpose(0, 2, 1), 0, 1)
    light = 1 - np.float32(1 - take.black) * shade
    return [Frame(int(t), picture, "linear") for t, picture in zip(t_us, light, strict=True)]


def _spread(centres: Floats, side: int, take: _Take) -> NDArray[np.float32]:
    """Return the weight of each row (or column) of the image in each of the sensor: a Gaussian, [T, side, 28]."""
    positions = centres[:, None, None] + take.scale * (np.arange(DIGIT_PX) - (DIGIT_PX - 1) / 2)
    z = ((np.arange(side)[:, None] - positions) / take.blur_px).astype(np.float32)
    return np.exp(-z * z / 2) * np.float32(take.scale / (take.blur_px * math.sqrt(2 * math.pi)))


class DigitsRecord(SynthesisRecord):
    """Everything that the content of synthetic digits depends on."""

    kind: str = "digits"
    left_out: dict[MnistPart, int]
    """Number of images of each part that were left out."""
    fitted: dict[str, int | float | tuple[int | float, ...]]
    """The constants of `digits_fit`."""


@dataclass(frozen=True)
class DigitsPlan:
    """Which digits are recorded.

    Args:
        mnist: The folder of the files of MNIST.
        train: Number of recordings of images of MNIST's training set.
        test: Number of recordings of images of its test set.
        seed: Seed of all random draws; a larger number of recordings with the same seed keeps the first ones.
        exclude: A folder in N-MNIST's layout whose images are left out.
        videos: Whether the videos are also written, as videos/Train/<digit>/<id>.webm in sRGB.
    """

    mnist: Path
    train: int
    test: int = 0
    seed: int = 0
    exclude: Path | None = None
    videos: bool = False


def write_digits(
    folder: Path,
    plan: DigitsPlan,
    *,
    engine: Engine = Processes(),
    shard: Shard = ALL,
    progress: Progress | None = None,
) -> int:
    """Write Train/<digit>/<id>.bin and Test/<digit>/<id>.bin, as in N-MNIST, and return how many files are new.

    `<id>` is the row of the image in MNIST, counted from 1, as in N-MNIST. The recorded images are drawn at random.

    Args:
        folder: Output folder; files that exist and were made with the same settings are kept.
        plan: What is recorded.
        engine: Where they are made.
        shard: Which of them to write, by their paths in the folder.
        progress: Called with the number of files done and in all.

    Raises:
        DataError: There are fewer images than recordings, or the folder contains recordings made with other settings.
        FileError: A file of MNIST cannot be read, or the folder cannot be written to.
    """
    left_out = {part: _recorded_ids(plan.exclude, part) if plan.exclude else set() for part in NMNIST_PARTS}
    work: dict[Path, Callable[[Path], object]] = {}
    for stream, (part, count) in enumerate(zip(NMNIST_PARTS, (plan.train, plan.test), strict=True)):
        if not count:
            continue
        images, labels = read_mnist(plan.mnist, part)
        order = np.random.default_rng([plan.seed, stream]).permutation(len(images))
        rows = [row for row in order.tolist() if row + 1 not in left_out[part]]
        if len(rows) < count:
            raise DataError(
                f"{plan.mnist}: too few images of MNIST's {part} set (found {len(rows)}, expected {count} or more)"
            )
        for row in rows[:count]:
            path, seed = Path(part.capitalize(), str(labels[row]), f"{row + 1:05}.bin"), [plan.seed, stream, row]
            work[path] = partial(_write_events, image=images[row], seed=seed)
            if plan.videos:
                work["videos" / path.with_suffix(".webm")] = partial(_write_video, image=images[row], seed=seed)
    record = DigitsRecord(
        seed=plan.seed,
        left_out={part: len(ids) for part, ids in left_out.items()},
        fitted={name.lower(): value for name, value in vars(fit).items() if name.isupper()},
    )
    return write_recordings(folder, record, work, engine=engine, shard=shard, progress=progress)


def _recorded_ids(folder: Path, part: MnistPart) -> set[int]:
    """Return the ids of the recordings in a part of a folder in N-MNIST's layout.

    Raises:
        DataError: The folder has neither part.
    """
    if not any((folder / name.capitalize()).is_dir() for name in NMNIST_PARTS):
        raise DataError(f"{folder}: no recordings to exclude found (expected a folder Train or Test)")
    return {int(path.stem) for path in (folder / part.capitalize()).glob("*/*.bin") if path.stem.isdecimal()}


def _write_events(path: Path, image: NDArray[np.uint8], seed: list[int]) -> None:
    write(path, record_digit(image, np.random.default_rng(seed)))


def _write_video(path: Path, image: NDArray[np.uint8], seed: list[int]) -> None:
    write_video(path, map(_to_srgb, digit_frames(image, np.random.default_rng(seed))))


def _to_srgb(frame: Frame) -> Frame:
    """Return a frame of luminance as uint8 in sRGB (IEC 61966-2-1); no value is in the linear part near zero."""
    return Frame(frame.t_us, np.rint(255 * (1.055 * frame.image ** (1 / 2.4) - 0.055)).astype(np.uint8))
