"""Digits under saccades, as in N-MNIST: a rotating sensor records an MNIST image on a display.

Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades", Frontiers in
Neuroscience 9:437, 2015, moved a sensor three times in front of a display. Their paper does not specify the movement,
size and sharpness of the picture, or the sensor; `digits_fit` contains values fitted to pairs of image and recording.
"""

from __future__ import annotations

import logging
import math
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DataError
from ..base.progress import Progress, ignore_progress
from ..datasets.mnist import DIGIT_PX, MnistPart, read_mnist
from ..events import Events, SensorSize, concatenate
from ..formats import write
from ..simulator import SimulatorConfig, simulate
from ..video.frames import Frame
from .digits_fit import read_fit
from .writing import SynthesisRecord, Written, require_at_least, write_recordings

DIGIT_SENSOR = SensorSize(width=34, height=34)
NMNIST_PARTS: tuple[MnistPart, ...] = get_args(MnistPart)

FRAME_US = 2_000  # frame interval; the picture moves by at most 0.3 pixels
LEAD_US = 20_000  # time before the recording for the low-pass filter to settle
LEGS = 3

Floats = NDArray[np.float64]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Variation:
    """Random parameters of one recording of a digit.

    Args:
        duration_us: Duration of the recording in microseconds.
        delays_us: Delay of each leg relative to the mean in microseconds, [3].
        origin_px: x and y of the picture's centre at the start, [2].
        scale: Sensor pixels per image pixel.
        blur_px: Standard deviation of the point spread in sensor pixels.
        black: Luminance of black relative to white on the display.
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


def _draw_variation(rng: np.random.Generator) -> _Variation:
    def vary(mean: float, spread: float) -> float:
        return float(mean * np.exp(rng.normal(0, spread)))

    fit = read_fit()
    threshold = vary(fit.threshold, fit.threshold_spread)
    ratio = vary(fit.on_off_ratio, fit.on_off_spread)

    return _Variation(
        duration_us=int(rng.integers(*fit.durations_us)),
        delays_us=rng.uniform(-1, 1, LEGS) * fit.delay_spreads_us,
        origin_px=np.array(fit.origin_px) + rng.normal(0, fit.origin_spread_px, 2),
        scale=vary(fit.scale, fit.scale_spread),
        blur_px=vary(fit.blur_px, fit.blur_spread),
        black=vary(fit.black, fit.black_spread),
        on=threshold * ratio**0.5,
        off=threshold * ratio**-0.5,
    )


def saccade_path(t_us: NDArray[np.int64], delays_us: Floats) -> Floats:
    """Return the displacement since the start in pixels, [T, 2]; `delays_us` [3] are relative to the mean leg."""
    fit = read_fit()
    late_us = np.interp(t_us, fit.pauses_us, np.repeat(delays_us, 2)[1:-1])
    knots_us = fit.knot_us * np.arange(len(fit.path_x))

    path = [np.interp(t_us - late_us, knots_us, np.array(along) / 100) for along in (fit.path_x, fit.path_y)]
    return np.stack(path, axis=1)


def digit_frames(image: NDArray[np.uint8], rng: np.random.Generator) -> Iterator[Frame]:
    """Render the video seen by the sensor: a dark digit on a bright background, moving along the three legs.

    Args:
        image: MNIST image, uint8 [28, 28]; 255 is ink.
        rng: Random generator for the differences between recordings.

    Returns:
        Luminance frames, float32 [34, 34], every 2 ms starting at 0; 1.0 is the background.

    Raises:
        DataError: If the image has the wrong shape or dtype.

    Example:
        >>> frames = list(digit_frames(np.zeros((28, 28), np.uint8), np.random.default_rng(0)))
        >>> frames[0].image.shape, frames[1].t_us
        ((34, 34), 2000)
    """
    return iter(_frames(image, _draw_variation(rng)))


def record_digit(image: NDArray[np.uint8], rng: np.random.Generator) -> Events:
    """Simulate the events of a digit recording; arguments and errors as in `digit_frames`."""
    fit = read_fit()
    variation = _draw_variation(rng)
    frames = _frames(image, variation)
    first = frames[0].image
    # After a while of operation, the references of a sensor are anywhere within a threshold of the level.
    spread = rng.uniform(-variation.off, variation.on, first.shape)
    settling = Frame(-LEAD_US, first * np.exp(spread).astype(np.float32), "linear")

    # The values of one camera, fitted to its recordings, except what varies between digits.
    config = SimulatorConfig(
        pos_thres=variation.on,
        neg_thres=variation.off,
        sigma_thres=fit.mismatch * (variation.on + variation.off) / 2,
        log_offset=fit.log_offset,
        cutoff_hz=fit.cutoff_hz,
        leak_rate_hz=fit.leak_rate_hz,
        leak_jitter_fraction=fit.leak_jitter,
        shot_noise_rate_hz=fit.shot_noise_rate_hz,
        refractory_period=fit.refractory_s,
        sensor_seed=int(rng.integers(2**63)),
    )

    seen = [settling, Frame(FRAME_US - LEAD_US, first, "linear"), *frames]
    return concatenate(list(simulate(seen, config)), DIGIT_SENSOR).between(0, frames[-1].t_us + 1)


def _frames(image: NDArray[np.uint8], variation: _Variation) -> list[Frame]:
    if image.shape != (DIGIT_PX, DIGIT_PX) or image.dtype != np.uint8:
        raise DataError(
            f"not an MNIST image (found {image.dtype} {image.shape}, expected uint8 ({DIGIT_PX}, {DIGIT_PX}))"
        )

    t_us = np.arange(0, variation.duration_us, FRAME_US)
    centres = variation.origin_px + saccade_path(t_us, variation.delays_us)

    # Ink darkens the background. Each sensor pixel sums the ink under its Gaussian, along rows and then columns.
    ink = (1 - (1 - image / 255) ** read_fit().display_gamma).astype(np.float32)
    across, down = (
        _blur_weights(centres[:, axis], side, variation)
        for axis, side in ((0, DIGIT_SENSOR.width), (1, DIGIT_SENSOR.height))
    )
    shade = np.clip(down @ ink @ across.transpose(0, 2, 1), 0, 1)

    light = 1 - np.float32(1 - variation.black) * shade
    return [Frame(int(t), picture, "linear") for t, picture in zip(t_us, light, strict=True)]


def _blur_weights(centres: Floats, side: int, variation: _Variation) -> NDArray[np.float32]:
    """Return the Gaussian weight of each image row (or column) in each sensor row (or column), [T, side, 28]."""
    positions = centres[:, None, None] + variation.scale * (np.arange(DIGIT_PX) - (DIGIT_PX - 1) / 2)
    z = ((np.arange(side)[:, None] - positions) / variation.blur_px).astype(np.float32)

    # Along each axis, an image pixel has the total weight `scale`, its width in sensor pixels, however blurred.
    return np.exp(-z * z / 2) * np.float32(variation.scale / (variation.blur_px * math.sqrt(2 * math.pi)))


class DigitsRecord(SynthesisRecord):
    """Everything that determines the content of synthetic digits."""

    kind: str = "digits"
    left_out: dict[MnistPart, int]
    """Number of excluded images of each part."""
    fitted: dict[str, int | float | tuple[int | float, ...]]
    """Constants of `DigitsFit`."""


def write_digits(
    out: Path,
    *,
    mnist: Path,
    count: int = 10_000,
    test: int = 0,
    seed: int = 0,
    exclude: Path | None = None,
    jobs: int | str = 2,
    progress: Progress = ignore_progress,
) -> Written:
    """Record MNIST digits with a simulated sensor and the camera motion of N-MNIST; existing files are kept.

    The layout is N-MNIST's: ID is the row of the image in MNIST, counted from one. The recorded images are chosen at
    random.

    Args:
        out: Output folder for Train/DIGIT/ID.bin.
        mnist: Folder of the MNIST files.
        count: Number of MNIST training images to record, > 0.
        test: Number of MNIST test images to record, into Test/DIGIT.
        seed: Seed of the random generators; with the same seed, larger numbers only add recordings.
        exclude: N-MNIST folder: skip the MNIST images recorded there; default: none.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        progress: Called with the number of files done and the total.

    Raises:
        ConfigError: If a number is out of range.
        DataError: If there are fewer images than recordings, or the folder contains recordings with other settings.
        FileError: If an MNIST file cannot be read, or the folder cannot be written.
    """
    require_at_least(1, count=count)
    require_at_least(0, test=test, seed=seed)
    left_out = {part: _recorded_ids(exclude, part) if exclude else set() for part in NMNIST_PARTS}
    work: dict[Path, Callable[[Path], object]] = {}
    for stream, (part, recorded) in enumerate(zip(NMNIST_PARTS, (count, test), strict=True)):
        if not recorded:
            continue

        images, labels = read_mnist(mnist, part)
        order = np.random.default_rng([seed, stream]).permutation(len(images))
        rows = [row for row in order.tolist() if row + 1 not in left_out[part]]
        if len(rows) < recorded:
            raise DataError(
                f"{mnist}: too few MNIST {part} images are left (found {len(rows)}, expected {recorded} or more)"
            )

        for row in rows[:recorded]:
            path = Path(part.capitalize(), str(labels[row]), f"{row + 1:05}.bin")
            work[path] = partial(_write_events, image=images[row], seed=[seed, stream, row])

    record = DigitsRecord(
        seed=seed, left_out={part: len(ids) for part, ids in left_out.items()}, fitted=read_fit().model_dump()
    )
    written = write_recordings(out, record, work, jobs=jobs, progress=progress)
    log.info("next: %s test_root=NMNIST", shlex.join(["dvspipe", "train", "nmnist-synthetic", f"root={out}"]))
    return written


def _recorded_ids(folder: Path, part: MnistPart) -> set[int]:
    """List the ids of the recordings in one part of a folder in the layout of N-MNIST."""
    if not any((folder / name.capitalize()).is_dir() for name in NMNIST_PARTS):
        raise DataError(f"{folder}: no recordings to exclude found (expected a folder Train or Test)")

    return {int(path.stem) for path in (folder / part.capitalize()).glob("*/*.bin") if path.stem.isdecimal()}


def _write_events(path: Path, image: NDArray[np.uint8], seed: list[int]) -> None:
    write(path, record_digit(image, np.random.default_rng(seed)))
