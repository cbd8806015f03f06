"""Changes of training recordings: of their events, once per variant, and of their spike tensors, anew in every epoch.

What a change draws comes from the generator that it is given. A change is the same for all steps of a recording.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..config import Settings
from ..errors import ConfigError
from ..events import Events, SensorSize

Spikes = NDArray[Any]
"""A spike tensor [T, C, H, W] of the dtype of its bins."""

Rows = NDArray[np.int64]
"""Events as rows t, x, y and p of a matrix [4, N]."""

MIRRORED_WORDS = {
    "counter_clockwise": "clockwise",
    "clockwise": "counter_clockwise",
    "right": "left",
    "left": "right",
}
"""What a movement and its mirror image are called, in the names of classes."""
MIX_BLOBS = 3


class VaryConfig(Settings):
    """Changes of events. Each is drawn between none and the largest that is given here; 0 is none at all."""

    drop: float = Field(default=0.2, ge=0, lt=1)
    """Share of events that are dropped, wherever they are."""
    drop_time: float = Field(default=0.2, ge=0, lt=1)
    """Share of the recording's time, in one piece, whose events are dropped."""
    drop_area: float = Field(default=0.0, ge=0, lt=1)
    """Share of the sensor's area, one rectangle of its proportions, whose events are dropped."""
    rotate_deg: float = Field(default=0.0, ge=0, le=180)
    """Turn about the sensor's middle, to either side, in degrees; what leaves the sensor is dropped."""
    scale: float = Field(default=0.0, ge=0, le=1)
    """Enlargement about the sensor's middle, 1 + scale at most, or as much smaller: 1 / (1 + scale)."""
    time_scale: float = Field(default=0.0, ge=0, le=1)
    """Slowing down, 1 + time_scale at most, or as much faster."""
    jitter_us: float = Field(default=0.0, ge=0, le=1e6)
    """Standard deviation of what is added to every time, in microseconds, itself not drawn."""
    noise_hz: float = Field(default=0.0, ge=0, le=1000)
    """Rate of events per pixel that are added, ON and OFF alike, over the recording's time."""


class AugmentConfig(Settings):
    """Changes of the spike tensors while training, drawn anew for every recording and epoch."""

    shift_px: int = Field(default=2, ge=0)
    """Largest shift along each axis, in pixels of the spike tensor."""
    flip_polarity: bool = False
    """Whether ON and OFF are exchanged in half of the recordings; where polarities are signed, the sign turns."""
    flip_horizontal: bool = False
    """Whether half of the recordings are mirrored left to right; a class named `right` then becomes `left`, and
    `clockwise` `counter_clockwise`."""
    cut_out: float = Field(default=0.0, ge=0, lt=1)
    """Side of a rectangle that is emptied in half of the recordings, as a share of the picture's (DeVries and Taylor
    2017)."""
    frames: int | None = Field(default=None, ge=1)
    """Number of steps, drawn among all and kept in their order (Fang et al. 2021); None keeps all."""
    mix: Literal["none", "mixup", "eventmix"] = "none"
    """Joins half of the recordings with another: `mixup` (Zhang et al. 2018) as a weighted mean, `eventmix` (Shen et
    al. 2022) taking events inside some blobs of space and time from the other. The target is divided likewise."""


def vary(events: Events, config: VaryConfig, rng: np.random.Generator) -> Events:
    """A changed variant of a recording on the same sensor; may have no events where all were dropped."""
    first_us, span_us, sensor = int(events.t[0]) if len(events) else 0, events.duration_us, events.sensor
    rows = np.stack([events.t, events.x, events.y, events.p], dtype=np.int64)
    rows = rows[:, _kept(rows, config, first_us, span_us, sensor, rng)]
    if config.rotate_deg or config.scale:
        rows = _turned(rows, config, sensor, rng)
    if config.time_scale:
        rows[0] = first_us + np.rint((rows[0] - first_us) * _factor(config.time_scale, rng)).astype(np.int64)
    if config.jitter_us:
        moved = rows[0] + np.rint(rng.normal(0, config.jitter_us, rows.shape[1])).astype(np.int64)
        rows[0] = np.maximum(moved, first_us)
    if config.noise_hz:
        expected = rng.uniform(0, config.noise_hz) * sensor.width * sensor.height * span_us * 1e-6
        below = np.array([[span_us + 1], [sensor.width], [sensor.height], [2]])
        noise = rng.integers(0, below, (4, int(rng.poisson(expected))))
        noise[0] += first_us
        rows = np.concatenate([rows, noise], axis=1)
    t, x, y, p = rows[:, np.argsort(rows[0], kind="stable")]
    return Events(t, x, y, p, sensor)


def _kept(
    rows: Rows, config: VaryConfig, first_us: int, span_us: int, sensor: SensorSize, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which events are not dropped."""
    t, x, y, _ = rows
    keep = np.ones(len(t), np.bool_)
    if config.drop:
        keep &= rng.random(len(t)) >= rng.uniform(0, config.drop)
    if config.drop_time:
        share = rng.uniform(0, config.drop_time)
        begin_us = first_us + rng.uniform(0, 1 - share) * span_us
        keep &= (t < begin_us) | (t >= begin_us + share * span_us)
    if config.drop_area:
        side = math.sqrt(rng.uniform(0, config.drop_area))
        left, top = (rng.uniform(0, (1 - side) * length) for length in (sensor.width, sensor.height))
        across = (x >= left) & (x < left + side * sensor.width)
        keep &= ~(across & (y >= top) & (y < top + side * sensor.height))
    return keep


def _factor(largest: float, rng: np.random.Generator) -> float:
    """A factor between 1 / (1 + largest) and 1 + largest, its logarithm uniform."""
    return math.exp(rng.uniform(-1, 1) * math.log1p(largest))


def _turned(rows: Rows, config: VaryConfig, sensor: SensorSize, rng: np.random.Generator) -> Rows:
    """The events turned and scaled about the sensor's middle, without those that then lie outside."""
    angle, factor = math.radians(rng.uniform(-1, 1) * config.rotate_deg), _factor(config.scale, rng)
    turn = factor * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    size = np.array([[sensor.width], [sensor.height]])
    turned = rows.copy()
    turned[1:3] = np.rint(turn @ (rows[1:3] - (size - 1) / 2) + (size - 1) / 2)
    return turned[:, ((turned[1:3] >= 0) & (turned[1:3] < size)).all(axis=0)]


def mirrored_labels(classes: Sequence[str]) -> NDArray[np.int64]:
    """The label of each class's mirror image, [K]: that of the same name with left and right exchanged.

    Raises:
        ConfigError: A class names a side or a sense of rotation, and there is none of the opposite name.
    """
    words = re.compile(rf"(?<![a-z])({'|'.join(MIRRORED_WORDS)})(?![a-z])")
    mirrored = []
    for name in classes:
        turned = words.sub(lambda word: MIRRORED_WORDS[word[0]], name)
        if turned not in classes:
            raise ConfigError(f"augment.flip_horizontal = true: the mirror image of {name} is {turned}, no class here")
        mirrored.append(classes.index(turned))
    return np.array(mirrored, np.int64)


def augment(
    spikes: Spikes, label: int, config: AugmentConfig, rng: np.random.Generator, mirrored: NDArray[np.int64] | None
) -> tuple[Spikes, int]:
    """A changed copy of a spike tensor, and its label.

    Args:
        spikes: [T, C, H, W].
        label: Of the recording.
        config: What is changed.
        rng: What the changes are drawn from.
        mirrored: As `mirrored_labels` gives it; needed to flip horizontally.

    Returns:
        [T', C, H, W] with T' = `config.frames`, or T; what is moved in is 0.
    """
    if config.frames is not None and config.frames < len(spikes):
        spikes = spikes[np.sort(rng.permutation(len(spikes))[: config.frames])]
    if config.flip_polarity and rng.random() < 0.5:
        spikes = spikes[:, ::-1] if spikes.shape[1] == 2 else -spikes
    if config.flip_horizontal and rng.random() < 0.5:
        assert mirrored is not None
        spikes, label = spikes[..., ::-1], int(mirrored[label])
    spikes = _shifted(spikes, *rng.integers(-config.shift_px, config.shift_px + 1, 2).tolist())
    if config.cut_out and rng.random() < 0.5:
        H, W = spikes.shape[-2:]
        height, width = round(config.cut_out * H), round(config.cut_out * W)
        top, left = int(rng.integers(0, H - height + 1)), int(rng.integers(0, W - width + 1))
        spikes[..., top : top + height, left : left + width] = 0
    return spikes, label


def _shifted(spikes: Spikes, down: int, right: int) -> Spikes:
    """A copy moved by so many pixels, 0 moving in."""
    moved = np.zeros(spikes.shape, spikes.dtype)
    H, W = spikes.shape[-2:]
    to_rows, from_rows = slice(max(down, 0), H + min(down, 0)), slice(max(-down, 0), H + min(-down, 0))
    to_columns, from_columns = slice(max(right, 0), W + min(right, 0)), slice(max(-right, 0), W + min(-right, 0))
    if abs(down) < H and abs(right) < W:
        moved[..., to_rows, to_columns] = spikes[..., from_rows, from_columns]
    return moved


def mix(
    spikes: Spikes, other: Spikes, kind: Literal["mixup", "eventmix"], rng: np.random.Generator
) -> tuple[Spikes, float]:
    """Two spike tensors of one shape as one, and the share of the first in it, which its target is to have.

    `mixup` rounds the weighted mean of whole numbers at random, so that its mean is right. The share of `eventmix` is
    that of the events.
    """
    if kind == "mixup":
        share = float(rng.random())
        mean = share * spikes + (1 - share) * other.astype(np.float64)
        if spikes.dtype.kind == "u":
            mean = np.floor(mean + rng.random(mean.shape))
        return mean.astype(spikes.dtype), share
    inside = _blobs(spikes.shape, rng)[:, None]
    own, foreign = (float(np.abs(part).sum(where=where)) for part, where in ((spikes, ~inside), (other, inside)))
    share = own / (own + foreign) if own + foreign else 1.0
    return np.where(inside, other, spikes), share


def _blobs(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where a mixture of normal distributions in step, row and column exceeds a drawn quantile: bool [T, H, W]."""
    T, _, H, W = shape
    axes = [np.linspace(0, 1, length) for length in (T, H, W)]
    density = np.zeros((T, H, W))
    for _ in range(MIX_BLOBS):
        parts = [np.exp(-0.5 * ((axis - rng.random()) / rng.uniform(0.1, 0.5)) ** 2) for axis in axes]
        density += parts[0][:, None, None] * parts[1][:, None] * parts[2]
    return np.asarray(density > np.quantile(density, rng.random()))
