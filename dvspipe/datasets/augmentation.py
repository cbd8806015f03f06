"""Augmentation of training recordings: events once per variant, spike tensors in every epoch.

All random draws use the generator argument. Each change is the same for all steps of a recording.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..base.errors import ConfigError
from ..base.settings import Settings
from ..events import Events, SensorSize

SpikeTensor = NDArray[np.uint8 | np.float32]
"""Spike tensor [T, C, H, W] with the dtype of its bins."""

Rows = NDArray[np.int64]
"""Events as a matrix [4, N] with the rows t, x, y and p."""
X_AND_Y = slice(1, 3)  # rows x and y of `Rows`

DROP = 0.2  # maximum share of events, and of the duration, that a variant loses
MIRRORED_WORDS = {
    "counter_clockwise": "clockwise",
    "clockwise": "counter_clockwise",
    "right": "left",
    "left": "right",
}
"""Words in class names, and their mirror images."""


class VaryConfig(Settings):
    """Random changes of events. The amount of each is drawn between 0 and its value here; 0 disables it.

    Every variant also loses up to DROP of its events, and those of up to DROP of its duration.
    """

    rotate_deg: float = Field(default=0.0, ge=0, le=180)
    """Maximum rotation about the centre of the sensor in either direction, in degrees; events outside are dropped."""
    scale: float = Field(default=0.0, ge=0, le=1)
    """Scaling about the centre of the sensor, by a factor from 1 / (1 + scale) to 1 + scale."""
    time_scale: float = Field(default=0.0, ge=0, le=1)
    """Scaling of time, by a factor from 1 / (1 + time_scale) to 1 + time_scale."""


class AugmentConfig(Settings):
    """Random changes of training recordings, drawn again for each recording and epoch."""

    shift_px: int = Field(default=2, ge=0)
    """Maximum shift along each axis, in pixels of the spike tensor."""
    flip_polarity: bool = False
    """Whether to swap ON and OFF in half of the recordings; with signed polarity, the sign is inverted."""
    flip_horizontal: bool = False
    """Whether to mirror half of the recordings left to right. Their classes are mirrored too: `right` becomes `left`,
    and `clockwise` becomes `counter_clockwise`."""
    cut_out: float = Field(default=0.0, ge=0, lt=1)
    """Sides of a rectangle set to 0 in half of the recordings, as a fraction of the image's sides (DeVries and Taylor
    2017)."""


def vary(events: Events, config: VaryConfig, rng: np.random.Generator) -> Events:
    """Return a random variant of a recording on the same sensor; it may have no events."""
    first_us = int(events.t[0]) if len(events) else 0
    span_us = events.duration_us
    sensor = events.sensor

    # One matrix of all columns, because most changes move or drop complete events.
    rows = np.stack([events.t, events.x, events.y, events.p], dtype=np.int64)
    rows = rows[:, _keep(rows[0], first_us, span_us, rng)]

    if config.rotate_deg or config.scale:
        rows = _rotate_and_scale(rows, config, sensor, rng)

    # Times stay relative to the first event.
    if config.time_scale:
        rows[0] = first_us + np.rint((rows[0] - first_us) * _draw_factor(config.time_scale, rng)).astype(np.int64)

    t, x, y, p = rows[:, np.argsort(rows[0], kind="stable")]
    return Events(t, x, y, p, sensor)


def _keep(t: NDArray[np.int64], first_us: int, span_us: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw the mask of events to keep, bool [N]: single events, and all events of an interval, are dropped."""
    keep = rng.random(len(t)) >= rng.uniform(0, DROP)

    share = rng.uniform(0, DROP)
    begin_us = first_us + rng.uniform(0, 1 - share) * span_us
    keep &= (t < begin_us) | (t >= begin_us + share * span_us)
    return keep


def _draw_factor(largest: float, rng: np.random.Generator) -> float:
    """Draw a log-uniform factor from 1 / (1 + largest) to 1 + largest."""
    return math.exp(rng.uniform(-1, 1) * math.log1p(largest))


def _rotate_and_scale(rows: Rows, config: VaryConfig, sensor: SensorSize, rng: np.random.Generator) -> Rows:
    """Rotate and scale events about the centre of the sensor; drop events outside the sensor."""
    angle = math.radians(rng.uniform(-1, 1) * config.rotate_deg)
    factor = _draw_factor(config.scale, rng)

    turn = factor * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    size = np.array([[sensor.width], [sensor.height]])

    # Pixels are centred on integers, so the centre of the sensor is at (size - 1) / 2.
    centre = (size - 1) / 2
    turned = rows.copy()
    turned[X_AND_Y] = np.rint(turn @ (rows[X_AND_Y] - centre) + centre)

    pixels = turned[X_AND_Y]
    is_inside = ((pixels >= 0) & (pixels < size)).all(axis=0)
    return turned[:, is_inside]


def mirrored_labels(classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the label of each class's mirror image, int64 [K]. Mirroring swaps left and right in the class name.

    Example:
        >>> mirrored_labels(["clap", "wave_left", "wave_right"])
        array([0, 2, 1])
    """
    words = re.compile(rf"(?<![a-z])({'|'.join(MIRRORED_WORDS)})(?![a-z])")
    mirrored = []
    for name in classes:
        # An equal name is its own image; a name without image would get a wrong label.
        opposite = words.sub(lambda word: MIRRORED_WORDS[word[0]], name)
        if opposite not in classes:
            raise ConfigError(
                f"flip_horizontal = true: the mirror image of the class {name} is {opposite} (expected one of "
                f"{', '.join(classes)}); use flip_horizontal=false to disable mirroring"
            )

        mirrored.append(classes.index(opposite))

    return np.array(mirrored, np.int64)


def augment(
    spikes: SpikeTensor, label: int, config: AugmentConfig, rng: np.random.Generator, mirrored: NDArray[np.int64] | None
) -> tuple[SpikeTensor, int]:
    """Augment a spike tensor [T, C, H, W]; return a changed copy and its label.

    `mirrored` has the labels from `mirrored_labels`, to flip horizontally.
    """
    if config.flip_polarity and rng.random() < 0.5:
        _, C, _, _ = spikes.shape
        spikes = spikes[:, ::-1] if C == 2 else -spikes

    # A mirrored gesture may belong to another class.
    if config.flip_horizontal and rng.random() < 0.5:
        assert mirrored is not None
        spikes = spikes[..., ::-1]
        label = int(mirrored[label])

    # A shifted copy is a window of the image with a border of 0.
    H, W = spikes.shape[-2:]
    top, left = (config.shift_px - rng.integers(-config.shift_px, config.shift_px + 1, 2)).tolist()
    border = (config.shift_px, config.shift_px)
    spikes = np.pad(spikes, [(0, 0), (0, 0), border, border])[..., top : top + H, left : left + W]
    if config.cut_out and rng.random() < 0.5:
        height = round(config.cut_out * H)
        width = round(config.cut_out * W)
        top = int(rng.integers(0, H - height + 1))
        left = int(rng.integers(0, W - width + 1))
        spikes[..., top : top + height, left : left + width] = 0

    return spikes, label
