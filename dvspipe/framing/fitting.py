"""Fit events to another sensor size: select a region, move it, and scale it down or up.

Downscaling: a target pixel represents a block of n source pixels, and its brightness their mean. An event in the block
changes the mean by 1 / n of a contrast threshold, up (ON) or down (OFF). The target pixel fires each time the mean has
changed by a full threshold, and keeps the remainder. An edge that crosses the block and fires each of its pixels once
therefore causes one event. Source: the log-luminance method of Gruel et al., "Event data downscaling for embedded
computer vision", VISAPP 2022; its pixels also sum the changes of their block.

Upscaling: an event is copied to each target pixel that the source pixel covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, EventError
from ..base.kernels import njit
from ..events import Events, Region, SensorSize


class PixelMap(NamedTuple):
    """Map from source pixels to ranges of target pixels.

    Args:
        columns: First and last (exclusive) target column of each source column, int32 [2, source width]; equal if the
            column has no target.
        rows: First and last (exclusive) target row of each source row, int32 [2, source height].
        areas: Number of source pixels that each target pixel represents, int32 [H, W] of the target.
    """

    columns: NDArray[np.int32]
    rows: NDArray[np.int32]
    areas: NDArray[np.int32]


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Brief):
    """Mapping of the pixels of one sensor to another.

    Args:
        source: Sensor of the input events.
        target: Sensor of the output events.
        region: Region of the source to use.
        pixels: Target pixels of each source pixel.
    """

    source: SensorSize
    target: SensorSize
    region: Region
    pixels: PixelMap

    @property
    def is_identity(self) -> bool:
        """Whether the fit leaves events unchanged."""
        return self.source == self.target and self.region == Region.full(self.source)


def plan_fit(
    source: SensorSize, target: SensorSize, mode: Literal["crop", "scale"], region: Region | None = None
) -> Fit:
    """Plan the mapping of a region of the source (None: all of it) to the target; parts beyond the source are empty.

    `crop` centers the region on the target without scaling, and drops pixels outside the target; `scale` centers the
    region and scales it as large as the target allows, at the same aspect ratio.

    Example:
        >>> fit = plan_fit(SensorSize(width=24, height=14), SensorSize(width=12, height=7), "scale")
        >>> int(fit.pixels.areas[0, 0])
        4
    """
    region = region or Region.full(source)
    if region.overlap(source) is None:
        raise EventError(f"region {region}: outside the sensor of {source}")

    size = scaled_size(region.size, target) if mode == "scale" else region.size
    columns, per_column = _map_axis(source.width, target.width, region.left, region.size.width, size.width)
    rows, per_row = _map_axis(source.height, target.height, region.top, region.size.height, size.height)

    return Fit(source, target, region, PixelMap(columns, rows, np.multiply.outer(per_row, per_column)))


def scaled_size(size: SensorSize, target: SensorSize) -> SensorSize:
    """Return the largest size inside `target` with approximately the aspect ratio of `size`.

    Example:
        >>> str(scaled_size(SensorSize(width=1920, height=1080), SensorSize(width=128, height=128)))
        '128x72'
    """
    factor = min(target.width / size.width, target.height / size.height)
    width, height = (max(1, round(side * factor)) for side in (size.width, size.height))
    return SensorSize(width=min(width, target.width), height=min(height, target.height))


def _map_axis(
    source: int, target: int, start: int, length: int, scaled: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Map one axis: return the target range of each source pixel, [2, source], and the source pixels per target pixel.

    Pixel k of the `length` pixels after `start` covers k * scaled / length to (k + 1) * scaled / length. Downscaling
    maps it to the target pixel that contains its start; upscaling, to all target pixels that start in it.
    """
    # Boundaries of the pixels in units of 1 / length target pixels: integers, so neighbours share them exactly.
    edges = np.arange(length + 1, dtype=np.int64) * scaled

    # Enlarged: a pixel covers the target pixels whose start is inside it. Reduced: it belongs to one of them.
    if scaled > length:
        bounds = -(-edges // length)
        first = bounds[:-1]
        stop = bounds[1:]
    else:
        first = edges[:-1] // length
        stop = first + 1

    # Centred in the target; pixels outside the region or the target get an empty range.
    shift = (target - scaled) // 2
    ranges = np.zeros((2, source), np.int64)
    low = max(0, start)
    high = min(source, start + length)
    ranges[:, low:high] = np.clip([first + shift, stop + shift], 0, target)[:, low - start : high - start]

    areas = np.zeros(target, np.int32)
    for one, after in ranges.T.tolist():
        areas[one:after] += 1

    return ranges.astype(np.int32), areas


def start_fit(fit: Fit) -> NDArray[np.int32]:
    """Return the brightness change of each target pixel since its last event, in thresholds / area, int32 [H, W]: 0."""
    return np.zeros(fit.pixels.areas.shape, np.int32)


def fit_events(events: Events, fit: Fit, state: NDArray[np.int32]) -> tuple[Events, NDArray[np.int32]]:
    """Fit one part of a recording; return the target's events and the new state. `state` is not changed."""
    if events.sensor != fit.source:
        raise EventError(f"events come from a sensor of {events.sensor}, expected {fit.source}")
    if fit.is_identity:
        return events, state

    # The kernel changes its state in place, and the caller keeps the state that it passed.
    change = state.copy()
    columns, rows, _ = fit.pixels
    copies = int((columns[1] - columns[0]).max(initial=0) * (rows[1] - rows[0]).max(initial=0))

    # Room for as many events as possible; the result is copied, to release the rest.
    source = _Columns(events.t, events.x, events.y, events.p)
    out = _Columns(*(np.empty(len(events) * max(1, copies), column.dtype) for column in source))
    count = _fit(source, fit.pixels, change, out)

    t, x, y, p = (column[:count].copy() for column in out)
    return Events.wrap_unchecked(t, x, y, p, fit.target), change


class _Columns(NamedTuple):
    t: NDArray[np.int64]
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.bool_]


@njit(cache=True, nogil=True, error_model="numpy")
def _fit(events: _Columns, pixels: PixelMap, change: NDArray[np.int32], out: _Columns) -> int:
    """Write the target's events to `out`, update `change` in place, and return the number of events."""
    # Law, for each target pixel of an event: change += 1 (ON) or -1 (OFF); if |change| reaches the number of source
    # pixels that share the target pixel, it fires, and change keeps the remainder (Gruel et al., see above).
    # columns [2, source width] and rows [2, source height]: first and last (exclusive) target; areas and change: [H, W]
    # on the target. event: index of the source event; to_row, to_column: target pixel.
    t, x, y, p = events
    columns, rows, areas = pixels
    to_t, to_x, to_y, to_p = out

    count = 0
    for event in range(t.size):
        column = np.uintp(x[event])
        row = np.uintp(y[event])
        step = np.int32(1 if p[event] else -1)

        for to_row in range(rows[0, row], rows[1, row]):
            for to_column in range(columns[0, column], columns[1, column]):
                target = np.uintp(to_row), np.uintp(to_column)
                value = change[target] + step
                area = areas[target]

                if abs(value) >= area:
                    to_t[count] = t[event]
                    to_x[count] = to_column
                    to_y[count] = to_row
                    to_p[count] = p[event]
                    count += 1
                    value -= step * area
                change[target] = value

    return count
