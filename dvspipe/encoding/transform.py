"""Spike tensors in Tonic pipelines: a transform of structured arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base.errors import EventError
from ..events import Events, SensorSize, SensorSizeLike
from .bins import encode
from .config import BinConfig


@dataclass(frozen=True)
class ToSpikes:
    """Transform of events to a spike tensor, also in Tonic's `Compose`; replaces `ToFrame`.

    No event between two steps is lost; events after the last step are left out, unless `by = recording`. Counts
    saturate at 255 and never wrap. All recordings have the same shape, also empty ones.

    Args:
        config: Steps, downsampling, form and polarity.
        sensor: Sensor size of structured arrays: a `SensorSize`, (width, height), a string, or the `sensor_size` of a
            Tonic data set (width, height, polarities). `Events` know their sensor.

    Example:
        >>> rows = np.array([(1, 2, 0, 1), (11, 6, 15_000, 0)], [("x", int), ("y", int), ("t", int), ("p", int)])
        >>> spikes = ToSpikes(BinConfig(steps=2), sensor=(12, 7, 2))(rows)
        >>> spikes.shape, spikes[0, 1, 2, 1], spikes[1, 0, 6, 11]
        ((2, 2, 7, 12), np.uint8(1), np.uint8(1))
        >>> ToSpikes(BinConfig(steps=2))(Events([0, 15_000], [1, 11], [2, 6], [1, 0], "12x7")).shape
        (2, 2, 7, 12)
    """

    config: BinConfig = BinConfig()  # noqa: RUF009
    sensor: SensorSizeLike | Sequence[int] | None = None

    def __call__(self, events: NDArray[np.void] | Events) -> NDArray[np.uint8]:
        """Encode a recording as a spike tensor.

        Args:
            events: `Events`, or a structured array; see `Events.from_structured`.

        Returns:
            Spike tensor [T, C, H, W]; see `encode`. Step 0 starts at the first event.

        Raises:
            EventError: If the events break a rule of `Events`, come from another sensor, or are a structured array and
                the sensor is not given.
        """
        if self.sensor is None:
            if not isinstance(events, Events):
                raise EventError("structured events: do not store their sensor; use sensor=WxH to give its size")
            return encode(events, self.config)

        # The third number of Tonic is the number of polarities.
        size = self.sensor[:2] if isinstance(self.sensor, tuple | list) else self.sensor
        return encode(events, self.config, sensor=SensorSize.of(size))  # type: ignore[arg-type]
