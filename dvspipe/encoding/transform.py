"""Spike tensors for Tonic's pipelines: a transform of its structured arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import as_settings
from ..events import Events, SensorSize, SensorSizeLike
from .bins import BinConfig, encode_events
from .kernels import Columns, gather_columns


@dataclass(frozen=True, init=False)
class ToSpikes:
    """A transform of Tonic that returns spike tensors, in place of its `ToFrame`.

    No event is lost at the border of a step or at the end, counts stop at 255, and the shape is the same for every
    recording, also an empty one; see `encode_events`.

    Args:
        config: Steps, downsampling, form and polarity, also as plain keys and values.
        sensor: The size of the sensor, also as (width, height) or a text, or as the `sensor_size` of a data set of
            Tonic: (width, height, polarities).

    Raises:
        ConfigError: A setting is wrong.
        EventError: The size of the sensor is wrong.

    Example:
        >>> rows = np.array([(1, 2, 0, 1), (11, 6, 15_000, 0)], [("x", int), ("y", int), ("t", int), ("p", int)])
        >>> spikes = ToSpikes(BinConfig(steps=2), (12, 7, 2))(rows)
        >>> spikes.shape, spikes[0, 1, 2, 1], spikes[1, 0, 6, 11]
        ((2, 2, 7, 12), np.uint8(1), np.uint8(1))
    """

    config: BinConfig
    sensor: SensorSize

    def __init__(self, config: BinConfig | Mapping[str, object], sensor: SensorSizeLike | Sequence[int]) -> None:
        size = sensor[:2] if isinstance(sensor, tuple | list) else sensor
        object.__setattr__(self, "config", as_settings(BinConfig, config))
        object.__setattr__(self, "sensor", SensorSize.of(size))  # type: ignore[arg-type]  # it checks the rest

    def __call__(self, events: NDArray[np.void]) -> NDArray[Any]:
        """Return the spike tensor of a recording.

        Args:
            events: What `Events.from_structured` takes.

        Returns:
            [T, C, H, W], as `encode_events` returns it; step 0 starts at the first event.

        Raises:
            EventError: The events break a rule of `Events`.
        """
        return encode_events(_gather(events, self.sensor), self.config)


def _gather(rows: NDArray[np.void], sensor: SensorSize) -> Events:
    """Return what `Events.from_structured` returns, in one pass if the rows are integers that follow the rules."""
    fields = getattr(getattr(rows, "dtype", None), "fields", None) or {}
    if any(name not in fields or fields[name][0].kind not in "iub" for name in "txyp") or rows.ndim != 1:
        return Events.from_structured(rows, sensor)
    x, y = np.empty(len(rows), np.int16), np.empty(len(rows), np.int16)
    t, p = np.empty(len(rows), np.int64), np.empty(len(rows), np.bool_)
    columns = Columns(t, x, y, p.view(np.uint8))
    fine = gather_columns(
        rows["t"], rows["x"], rows["y"], rows["p"], np.uint64(sensor.width), np.uint64(sensor.height), columns
    )
    return Events.wrap_unchecked(t, x, y, p, sensor) if fine else Events.from_structured(rows, sensor)
