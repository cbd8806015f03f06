"""Compiled inner loop: count events per pixel and step.

The indices of a block of events in a flat [C, H, W] are computed first, vectorised, and used afterwards. Independent
loads and stores then overlap, which matters if a step does not fit in the cache. Indices are unsigned: a signed index
costs a test for negative values at each access.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from ..events import SensorSize
from .config import BinConfig

BLOCK_EVENTS = 256
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
    def of(cls, sensor: SensorSize, config: BinConfig) -> Places:
        """Create the places of the events of a sensor in a spike tensor."""
        channels, height, width = config.shape(sensor)
        shift = COORDINATE_BITS + (config.downsample - 1).bit_length()
        return cls(
            width=np.uint32(width),
            plane=np.uint32(height * width * (channels - 1)),
            multiplier=np.uint32((1 << shift) // config.downsample + 1),
            shift=np.uint32(shift),
        )


@njit(cache=True, nogil=True, error_model="numpy")
def add_counts(
    index: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    p: NDArray[np.bool_],
    places: Places,
    max_count: np.uint8,
    steps: NDArray[np.uint8],
) -> int:
    """Count the events index[k] to index[k + 1] in steps[k], up to `max_count`; return how many were saturated."""
    # x, y and p [N] are the events; index [T + 1] has the first event of each step k, and steps [T, C * H * W] its
    # counts.
    block = np.empty(BLOCK_EVENTS, np.uint32)
    saturated = 0
    for k in range(index.size - 1):
        step = steps[k]
        if index[k] == index[k + 1]:
            continue

        # Saturated events = events - gain of the step, and gain = sum afterwards - sum before.
        saturated += index[k + 1] - index[k] + _sum(step)
        for first in range(index[k], index[k + 1], BLOCK_EVENTS):
            stop = min(first + BLOCK_EVENTS, index[k + 1])
            _find_places(places, x[first:stop], y[first:stop], p[first:stop], block)

            # The comparison is a number, 0 or 1, so a full place needs no branch.
            for place in block[: stop - first]:
                count = step[np.uintp(place)]
                step[np.uintp(place)] = count + np.uint8(count < max_count)
        saturated -= _sum(step)  # at once, while it is in the cache; counting in the loop takes longer
    return saturated


@njit(inline="always")
def _find_places(
    places: Places, x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.bool_], block: NDArray[np.uint32]
) -> None:
    """Write the place of each event, its index in a flat [C, H, W], to the start of `block`."""
    # place = (p * H + y // downsample) * W + x // downsample, for event k of the block
    for k in range(x.size):
        row = (np.uint32(y[k]) * places.multiplier) >> places.shift
        column = (np.uint32(x[k]) * places.multiplier) >> places.shift
        block[k] = np.uint32(p[k]) * places.plane + row * places.width + column


@njit(inline="always")
def _sum(step: NDArray[np.uint8]) -> int:
    total = 0
    for value in step:
        total += int(value)
    return total
