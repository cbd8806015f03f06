"""Counts of events per time step, polarity and pixel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from ..config import Settings
from ..errors import DataError
from ..events import Events, SensorSize, concatenate

LARGEST_COUNT = 255


class BinConfig(Settings):
    """How a recording becomes a spike tensor [T, 2, H, W].

    Step k holds the events with start + k * step_us <= t < start + (k + 1) * step_us, where start is the time of the
    first event.
    """

    steps: int = Field(default=20, ge=1, le=10_000)
    """T, the number of time steps."""
    step_us: int = Field(default=15_000, ge=1, le=10**9)
    """Length of a step in microseconds."""
    downsample: int = Field(default=1, ge=1, le=1024)
    """Blocks of this many pixels on a side are summed into one; a last partial block counts as a block."""
    form: Literal["count", "binary"] = "count"
    """Number of events (at most 255), or whether there was any."""

    @property
    def window_us(self) -> int:
        """Length of the whole tensor in microseconds."""
        return self.steps * self.step_us

    def grid(self, sensor: SensorSize) -> SensorSize:
        """Width and height of the spike tensor for a sensor."""
        return SensorSize(width=-(-sensor.width // self.downsample), height=-(-sensor.height // self.downsample))


def count_events(events: Events, config: BinConfig, *, start_us: int | None = None) -> NDArray[np.uint8]:
    """The number of events per time step, polarity and (downsampled) pixel.

    Args:
        events: Any number of events.
        config: Steps, their length, downsampling and form.
        start_us: Begin of step 0; the first event's time by default.

    Returns:
        uint8 [T, 2, H, W], polarity 0 OFF and 1 ON, saturating at 255. Events outside the T steps are not counted;
        missing time is zero. With the form `count`, short of saturation, the sum is the number of events inside.
    """
    grid = config.grid(events.sensor)
    counts = np.zeros((config.steps, 2, grid.height, grid.width), np.uint8)
    if len(events):
        start = int(events.t[0]) if start_us is None else start_us
        inside = events.slice_time(start, start + config.window_us)
        edges = np.searchsorted(inside.t, start + config.step_us * np.arange(config.steps + 1))
        largest = LARGEST_COUNT if config.form == "count" else 1
        _count(edges, inside.x, inside.y, inside.p, config.downsample, largest, counts)
    return counts


@njit(cache=True, nogil=True)
def _count(
    edges: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    p: NDArray[np.bool_],
    downsample: int,
    largest: int,
    counts: NDArray[Any],
) -> None:
    for step in range(counts.shape[0]):
        for event in range(edges[step], edges[step + 1]):
            polarity, row, column = int(p[event]), y[event] // downsample, x[event] // downsample
            if counts[step, polarity, row, column] < largest:
                counts[step, polarity, row, column] += 1


def windows(parts: Iterable[Events], window_us: int) -> Iterator[tuple[int, Events]]:
    """A recording in consecutive windows from its first event on, in memory bounded by the busiest window.

    Args:
        parts: Consecutive parts of one recording.
        window_us: Length of a window in microseconds.

    Yields:
        The time at which a window begins, and its events; windows without events are left out.

    Raises:
        DataError: The recording has no events.
    """
    start_us: int | None = None
    kept: list[Events] = []
    for part in parts:
        if not len(part):
            continue
        start_us = int(part.t[0]) if start_us is None else start_us
        while part.t[-1] >= start_us + window_us:
            kept.append(part.slice_time(start_us, start_us + window_us))
            window = concatenate(kept, part.sensor)
            if len(window):
                yield start_us, window
            part = part.slice_time(start_us + window_us, int(part.t[-1]) + 1)
            kept = []
            start_us += (int(part.t[0]) - start_us) // window_us * window_us
        kept.append(part)
    if start_us is None:
        raise DataError("the recording holds no events")
    yield start_us, concatenate(kept, kept[0].sensor)
