"""Compiled inner loops; each reads the columns of events once, in time order.

The indices of a block of events in a flat [C, H, W] are computed first, vectorised, and used afterwards. Independent
loads and stores then overlap, which matters if a step does not fit in the cache. Indices are unsigned: a signed index
costs a test for negative values at each access.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from ..events import SensorSize

BLOCK_EVENTS = 256
NO_EVENT_US = np.iinfo(np.int64).min
COORDINATE_BITS = 15  # x and y are at most 32767


class Places(NamedTuple):
    """Index computation of an event in a flat [C, H, W]; the index is called its place.

    (x * multiplier) >> shift is exactly x // downsample: with shift = 15 + ceil(log2(downsample)) the multiplier
    exceeds 2^shift / downsample by at most 1, too little to matter for x < 2^15, and products fit in 32 bits.

    Args:
        width: W.
        plane: H * W, or 0 if ON and OFF share a plane.
        multiplier: Of a coordinate.
        shift: Of the product, to the right.
    """

    width: np.uint32
    plane: np.uint32
    multiplier: np.uint32
    shift: np.uint32

    @classmethod
    def of(cls, grid: SensorSize, downsample: int, *, separate: bool) -> Places:
        """Create the places of a grid of blocks, `downsample` pixels on a side, per polarity if `separate`."""
        shift = COORDINATE_BITS + (downsample - 1).bit_length()
        return cls(
            width=np.uint32(grid.width),
            plane=np.uint32(grid.width * grid.height if separate else 0),
            multiplier=np.uint32((1 << shift) // downsample + 1),
            shift=np.uint32(shift),
        )


class StepTimes(NamedTuple):
    """Times of steps of equal length.

    Args:
        start_us: Reference time in microseconds.
        begins_us: Start of each step relative to the reference time, in microseconds, float64 [K].
        length_us: Length of a step in microseconds.
    """

    start_us: int
    begins_us: NDArray[np.float64]
    length_us: float


@njit(inline="always")
def find_places(
    places: Places,
    x: NDArray[Any],
    y: NDArray[Any],
    p: NDArray[Any],
    block: NDArray[np.uint32],
) -> None:
    """Write the places of events to the start of `block`."""
    # place = (p * H + y // downsample) * W + x // downsample, for event k of the block
    if places.shift == COORDINATE_BITS:  # no downsampling
        for k in range(x.size):
            block[k] = np.uint32(p[k]) * places.plane + np.uint32(y[k]) * places.width + np.uint32(x[k])
    else:
        for k in range(x.size):
            row = (np.uint32(y[k]) * places.multiplier) >> places.shift
            column = (np.uint32(x[k]) * places.multiplier) >> places.shift
            block[k] = np.uint32(p[k]) * places.plane + row * places.width + column


@njit(inline="always")
def count_places(block: NDArray[np.uint32], largest: np.uint8, step: NDArray[np.uint8]) -> None:
    """Count the events at places, up to `largest`."""
    for place in block:
        # The comparison is a number, 0 or 1, so a full place needs no branch.
        count = step[np.uintp(place)]
        step[np.uintp(place)] = count + np.uint8(count < largest)


@njit(cache=True, nogil=True, error_model="numpy")
def add_counts(
    index: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    p: NDArray[np.bool_],
    places: Places,
    largest: np.uint8,
    steps: NDArray[np.uint8],
) -> int:
    """Count the events index[k] to index[k + 1] in steps[k], up to `largest`; return the number of saturated events."""
    # x, y and p [N] are the events; index [T + 1] has the first event of each step k, and steps [T, C * H * W] its
    # counts. What a step gains is counted; the other events of the step are saturated.
    block = np.empty(BLOCK_EVENTS, np.uint32)
    saturated = 0
    for k in range(index.size - 1):
        step = steps[k]
        if index[k] == index[k + 1]:
            continue

        saturated += index[k + 1] - index[k] + _sum(step)
        for first in range(index[k], index[k + 1], BLOCK_EVENTS):
            stop = min(first + BLOCK_EVENTS, index[k + 1])
            find_places(places, x[first:stop], y[first:stop], p[first:stop], block)
            count_places(block[: stop - first], largest, step)
        saturated -= _sum(step)  # at once, while it is in the cache; counting in the loop takes longer
    return saturated


@njit(inline="always")
def _sum(step: NDArray[np.uint8]) -> int:
    total = 0
    for value in step:
        total += int(value)
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def add_weights(
    index: NDArray[np.int64],
    times: StepTimes,
    t: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    p: NDArray[np.bool_],
    places: Places,
    signed: bool,
    steps: NDArray[np.float32],
) -> None:
    """Divide each of the events index[k] to index[k + 1] between steps[k] and, if it exists, steps[k + 1].

    With `signed`, OFF events count -1.
    """
    # An event at t in step k adds 1 - share to step k and share to step k + 1, with share = (t - begin of step k) /
    # length of a step (Zhu et al. 2019, equations 1 and 2). t, x, y and p [N] are the events; index [K + 1] has the
    # first event of each step; steps is [T, C * H * W].
    block = np.empty(BLOCK_EVENTS, np.uint32)
    beyond = np.empty_like(steps[0])  # written, never read
    for k in range(index.size - 1):
        step = steps[k]
        after = steps[k + 1] if k + 1 < len(steps) else beyond

        for first in range(index[k], index[k + 1], BLOCK_EVENTS):
            stop = min(first + BLOCK_EVENTS, index[k + 1])
            find_places(places, x[first:stop], y[first:stop], p[first:stop], block)
            for number, place in enumerate(block[: stop - first]):
                event = np.uintp(first + number)
                share = max(0.0, (np.float64(t[event] - times.start_us) - times.begins_us[k]) / times.length_us)
                sign = 1.0 if p[event] or not signed else -1.0
                step[np.uintp(place)] += np.float32(sign * (1 - share))
                after[np.uintp(place)] += np.float32(sign * share)


@njit(cache=True, nogil=True, error_model="numpy")
def note_times(
    t: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    p: NDArray[np.bool_],
    places: Places,
    last_us: NDArray[np.int64],
) -> None:
    """Write the time of the last event at each place."""
    block = np.empty(BLOCK_EVENTS, np.uint32)
    for first in range(0, t.size, BLOCK_EVENTS):
        stop = min(first + BLOCK_EVENTS, t.size)
        find_places(places, x[first:stop], y[first:stop], p[first:stop], block)

        # Events are in the order of time: the last one overwrites the others.
        for number, place in enumerate(block[: stop - first]):
            last_us[np.uintp(place)] = t[np.uintp(first + number)]


@njit(cache=True, nogil=True, error_model="numpy")
def write_surface(last_us: NDArray[np.int64], now_us: int, tau_us: float, step: NDArray[np.float32]) -> None:
    """Write exp(-(now - last) / tau) at each place with an event; leave other places unchanged."""
    for place in range(last_us.size):
        if last_us[place] != NO_EVENT_US:
            step[place] = math.exp((last_us[place] - now_us) / tau_us)
