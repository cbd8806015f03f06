"""Reasons why the events of a live stream show no gesture: the camera moves, or the light flickers.

A gesture moves a part of the picture, at its own pace. A moving camera makes events in all of the picture, and a lamp
makes them twice per period of the mains.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..events import Events, SensorSize

Disturbance = Literal["camera moves", "light flickers"]
"""Reason against a gesture."""

ACTIVITY_US = 100_000  # cells are counted as active per slice
SLICES = 5  # activity is averaged over half a second
CELLS = 16  # along the shorter side of the sensor
ACTIVE_EVENTS = 4  # per cell and slice; a still sensor has 0.1 Hz of noise per pixel, so less than 1 in 64 pixels
# Share of active cells in the calmest quadrant, if the quadrants are about equally busy. In nine streams of rendered
# people with ten gestures each, it is reached in at most 0.1 % of the time; of 14 films shaken by 2 or 8 % of their
# side, 8 reach it in a third of the time or more.
MOVING_SHARE = 0.25
# Events of the calmest quadrant relative to the busiest: a person makes most events in a part of the picture, also if a
# compressed or noisy film has events everywhere. In a noisy film of a wave it is 0.13; in shaken films,
# mostly above 0.2.
MIN_BALANCE = 0.2

MAINS_HZ = (100.0, 120.0)  # twice the mains frequency
FLICKER_US = 500_000  # time over which the flicker is measured
BIN_US = 1000
MIN_FLICKER_EVENTS = 1000  # random times have a depth below 0.2 in 99.99 % of cases
MIN_DEPTH = 1.0


class DisturbanceWatch:
    """Looks for disturbances in the events of a stream.

    Args:
        sensor: Sensor of the events.
    """

    def __init__(self, sensor: SensorSize) -> None:
        self._cell_px = max(1, min(sensor.width, sensor.height) // CELLS)
        self._columns = -(-sensor.width // self._cell_px)
        self._rows = -(-sensor.height // self._cell_px)
        self._shares: deque[float] = deque(maxlen=SLICES)
        self._counts = np.zeros(self._rows * self._columns, np.int64)
        self._slice = 0  # number of the slice that is counted
        self._recent = deque[NDArray[np.int64]]()  # times of ON events

    def add(self, events: Events) -> None:
        """Add the next events."""
        if not len(events):
            return

        # Events are counted per slice, beginning with the present one.
        numbers = events.t // ACTIVITY_US
        starts = np.flatnonzero(np.diff(numbers, prepend=self._slice))
        for part in np.split(np.arange(len(events)), starts):
            if len(part) and (number := int(numbers[part[0]])) != self._slice:
                self._end_slice(number)
            cells = (events.y[part] // self._cell_px).astype(np.int64) * self._columns + events.x[part] // self._cell_px
            self._counts += np.bincount(cells, minlength=len(self._counts))

        self._recent.append(events.t[events.p])
        while len(self._recent) > 1 and self._is_old(self._recent[0], int(events.t[-1])):
            self._recent.popleft()

    def find(self) -> Disturbance | None:
        """Return what disturbs the stream now, or None."""
        if measure_flicker(np.concatenate([*self._recent, np.zeros(0, np.int64)])) >= MIN_DEPTH:
            return "light flickers"
        if len(self._shares) == SLICES and np.mean(self._shares) >= MOVING_SHARE:
            return "camera moves"
        return None

    def _end_slice(self, number: int) -> None:
        """Measure the activity of a slice, and begin another one; slices without events between them are calm."""
        middle_y = self._rows // 2
        middle_x = self._columns // 2
        counts = self._counts.reshape(self._rows, self._columns)
        quadrants = [half for rows in (counts[:middle_y], counts[middle_y:]) for half in np.split(rows, [middle_x], 1)]
        sums = [int(quadrant.sum()) for quadrant in quadrants]
        is_even = min(sums) >= MIN_BALANCE * max(sums)
        self._shares.append(
            min(float((quadrant >= ACTIVE_EVENTS).mean()) for quadrant in quadrants) if is_even else 0.0
        )

        self._shares.extend([0.0] * min(SLICES, number - self._slice - 1))
        self._counts[:] = 0
        self._slice = number

    @staticmethod
    def _is_old(t_us: NDArray[np.int64], now_us: int) -> bool:
        return not len(t_us) or int(t_us[-1]) <= now_us - FLICKER_US


def measure_flicker(t_us: NDArray[np.int64]) -> float:
    """Return the depth of the modulation of events at twice the mains frequency, 0 to 2; 0: too few events.

    The depth is the largest 2 |sum(exp(2 pi i f t))| / N. If a share s of the events follows the lamp, it is at most
    2 s. So a depth of 1 means that the light makes at least half of the events.

    Args:
        t_us: Times of ON events in microseconds: a lamp makes one burst of them per period.
    """
    if len(t_us) < MIN_FLICKER_EVENTS:
        return 0.0

    # A sum over bins takes a tenth of the time; at 120 Hz, bins of 1 ms lower the depth by 2.4 %.
    counts = np.bincount((t_us - t_us[0]) // BIN_US)
    seconds = np.arange(len(counts)) * BIN_US * 1e-6
    sums = [abs((counts * np.exp(2j * np.pi * hz * seconds)).sum()) for hz in MAINS_HZ]
    return 2 * float(max(sums)) / len(t_us)
