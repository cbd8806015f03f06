"""Noise filters: hot pixels, refractory period, background activity.

The filters that are on run in this order, each on the output of the previous one:

1. Hot pixels: removes all events of given pixels. `find_hot_pixels` finds them in the counts of a first pass.
2. Refractory period: removes an event less than `refractory_us` after the last kept event of its pixel, as if the pixel
   were held in reset after each event. A removed event does not extend the period.
3. Background activity: removes an event if none of its 8 neighbours fired within the `activity_us` before it.
   Source: Delbruck, "Frame-free dynamic digital vision", Proc. Int. Symp. on Secure-Life Electronics (2008).

Filters depend only on earlier events, so any division of a recording into parts gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, EventError
from ..base.kernels import njit
from .events import Events
from .filter_config import FILTERS, FilterConfig
from .joining import checked_parts
from .sensor import SensorSize, SensorSizeLike

HOT_PIXEL_FACTOR = 10.0
"""Finds the visibly hot pixels in real recordings of a DVXplorer and of N-Caltech101, and none in the scenes of a
DAVIS346 and of N-MNIST; at 5, moving hands in DVS Gesture are confused with hot pixels."""
NEVER_US = np.iinfo(np.int64).min
MAX_PIXELS = 1 << 24  # twice 4K video; files may claim any sensor, and a pixel takes up to 48 bytes


@dataclass(frozen=True)
class FilterCounts:
    """Event counts of the filters.

    Attributes:
        events: All events before filtering.
        removed: Events that each filter removed, by the name of its setting, for the filters that are on.
    """

    events: int = 0
    removed: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Number of events that passed."""
        return self.events - sum(self.removed.values())

    def __str__(self) -> str:
        kept = f"{self.kept:,} of {self.events:,} events"
        removed = ", ".join(f"{FILTERS[name]} {count:,}" for name, count in self.removed.items())
        return f"{kept}; dropped: {removed}" if removed else kept


class _Columns(NamedTuple):
    """Columns of events."""

    t: NDArray[np.int64]
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.bool_]


class _Filters(NamedTuple):
    """Settings and state of the filters for the kernel; a filter that is off has a time of 0 and an empty array.

    Args:
        width: Columns of the sensor.
        hot: Hot pixels, bool [H * W].
        ready_us: End of each pixel's refractory period, int64 [H * W].
        refractory_us: Refractory period.
        last_us: Time of each pixel's last event, int64 [(H + 2) * (W + 2)], with a border of pixels that never fire.
        activity_us: Time for which an event supports its neighbours.
    """

    width: int
    hot: NDArray[np.bool_]
    ready_us: NDArray[np.int64]
    refractory_us: int
    last_us: NDArray[np.int64]
    activity_us: int

    @classmethod
    def start(cls, sensor: SensorSize, config: FilterConfig, hot: NDArray[np.bool_] | None) -> _Filters:
        """Return the filters before the first event."""
        check_pixels(sensor)
        width, height = sensor
        if config.hot_pixels and hot is None:
            raise ConfigError("hot_pixels = True: needs the hot pixels (expected hot = a mask from find_hot_pixels)")
        if hot is not None and (hot.shape != (height, width) or hot.dtype != np.bool_):
            raise EventError(
                f"wrong shape or type of hot (found {hot.shape}, {hot.dtype}, expected {(height, width)}, bool)"
            )

        return cls(
            width=width,
            hot=np.zeros(0, np.bool_) if hot is None else hot.ravel(),
            ready_us=np.full(width * height if config.refractory_us else 0, NEVER_US),
            refractory_us=config.refractory_us or 0,
            last_us=np.full((width + 2) * (height + 2) if config.activity_us else 0, NEVER_US),
            activity_us=config.activity_us or 0,
        )


def filter_stream(
    parts: Events | Iterable[Events],
    config: FilterConfig = FilterConfig(),
    *,
    hot: NDArray[np.bool_] | None = None,
    callback: Callable[[FilterCounts], None] | None = None,
) -> Iterator[Events]:
    """Filter a recording part by part; yield the kept events of each part (possibly none).

    Args:
        parts: Events, or consecutive parts of one recording.
        config: Filter settings.
        hot: Hot pixels to remove, bool [H, W]; needed for `hot_pixels`.
        callback: Called after each part with the event counts so far.

    Example:
        >>> sensor = SensorSize(width=12, height=7)
        >>> part = Events(t=[0, 100, 900], x=[3, 3, 3], y=[1, 1, 1], p=[True, True, True], sensor=sensor)
        >>> [kept.t.tolist() for kept in filter_stream([part], FilterConfig(refractory_us=500))]
        [[0, 900]]
    """
    filters: _Filters | None = None
    counts = FilterCounts()
    for events in checked_parts(parts):
        if filters is None:
            filters = _Filters.start(events.sensor, config, hot)
            active = [name for name in FILTERS if name in config.active or (name == "hot_pixels" and hot is not None)]
            counts = FilterCounts(removed=dict.fromkeys(active, 0))

        filtered, numbers = _filter_part(events, filters)
        removed_here = dict(zip(FILTERS, numbers, strict=True))
        removed = {name: before + removed_here[name] for name, before in counts.removed.items()}
        counts = FilterCounts(counts.events + len(events), removed)
        if callback is not None:
            callback(counts)
        yield filtered


def check_pixels(sensor: SensorSize) -> None:
    """Check that a sensor is small enough for per-pixel state."""
    if sensor.width * sensor.height > MAX_PIXELS:
        raise EventError(f"a sensor of {sensor} (expected at most {MAX_PIXELS} pixels)")


def count_pixels(parts: Events | Iterable[Events], sensor: SensorSizeLike) -> NDArray[np.int64]:
    """Count the events of each pixel, int64 [H, W]."""
    sensor = SensorSize.of(sensor)
    check_pixels(sensor)

    counts = np.zeros(sensor.height * sensor.width, np.int64)
    for events in checked_parts(parts, sensor):
        counts += np.bincount(events.y * np.int64(sensor.width) + events.x, minlength=counts.size)
    return counts.reshape(sensor.height, sensor.width)


def find_hot_pixels(counts: NDArray[np.int64], factor: float = HOT_PIXEL_FACTOR) -> NDArray[np.bool_]:
    """Find pixels that fire far more often than their surroundings.

    A pixel is hot if it has more than `factor` times the events of its second busiest neighbour (of 8), and more than
    `factor` times the events of the median active pixel. The neighbours distinguish a hot pixel from a busy part of the
    scene, which is larger than a pixel. Using the second busiest neighbour finds two adjacent hot pixels; three
    adjacent hot pixels are missed. The ends of a one-pixel-wide line in a static scene are false positives. The median
    is reliable while less than half of the active pixels are hot.

    Args:
        counts: Events per pixel of the complete recording, int64 [H, W]; see `count_pixels`.
        factor: Threshold, > 1.

    Returns:
        bool [H, W].
    """
    if counts.ndim != 2:
        raise EventError(f"wrong shape of counts (found {counts.shape}, expected [H, W], as from count_pixels)")

    from scipy.ndimage import rank_filter  # reading and writing recordings need no scipy

    fired = counts[counts > 0]
    if not fired.size:
        return np.zeros(counts.shape, np.bool_)

    around = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    second_busiest = rank_filter(counts, rank=-2, footprint=around, mode="constant")
    return np.asarray(counts > factor * np.maximum(second_busiest, np.median(fired)))


def _filter_part(events: Events, filters: _Filters) -> tuple[Events, tuple[int, ...]]:
    """Return the kept events of a part, and how many each filter removed; the arrays of `filters` are updated."""
    columns = _Columns(events.t, events.x, events.y, events.p)
    passed = _Columns(*map(np.empty_like, columns))
    count, removed = _filter(columns, passed, filters)

    # copy, or a few kept events would hold the memory of the complete part
    t, x, y, p = (column[:count].copy() for column in passed)
    return Events.wrap_unchecked(t, x, y, p, events.sensor), removed


@njit(cache=True, nogil=True, error_model="numpy")
def _filter(events: _Columns, kept: _Columns, filters: _Filters) -> tuple[int, tuple[int, ...]]:
    """Copy the kept events to `kept`; return their number, and the numbers removed by each filter, as in `FILTERS`.

    Whether an event passes is a number, not a branch: noise makes branches unpredictable.
    """
    # Each event passes the filters in the order of the module. hot and ready_us are flat [H * W], last_us is a flat
    # [H + 2, W + 2] with a border of pixels that never fire, so the edge needs no tests.
    # Indices are unsigned, so they are not tested for counting from the end.
    t, x, y, p = events
    kept_t, kept_x, kept_y, kept_p = kept
    width, hot, ready_us, refractory_us, last_us, activity_us = filters
    count = np.uintp(0)
    hot_events = 0
    refractory_events = 0
    columns = np.uintp(width)
    bordered_columns = np.uintp(width + 2)
    one = np.uintp(1)
    two = np.uintp(2)
    for event in range(t.size):
        now_us = t[event]
        column = np.uintp(x[event])
        row = np.uintp(y[event])
        pixel = row * columns + column

        passes = True
        if hot.size:
            passes = not hot[pixel]
            hot_events += not passes

        # Only an event that passes starts a refractory period.
        if refractory_us:
            ready = now_us >= ready_us[pixel]
            refractory_events += passes & (not ready)
            passes &= ready
            ready_us[pixel] = now_us + refractory_us if passes else ready_us[pixel]

        # An event without support still supports its neighbours: its time is noted before it is tested.
        if activity_us:
            corner = row * bordered_columns + column  # upper left neighbour, in the bordered array
            here = corner + bordered_columns + one
            below = corner + bordered_columns + bordered_columns  # lower left neighbour
            newest_us = max(
                max(max(last_us[corner], last_us[corner + one]), max(last_us[corner + two], last_us[here - one])),
                max(max(last_us[here + one], last_us[below]), max(last_us[below + one], last_us[below + two])),
            )
            last_us[here] = now_us if passes else last_us[here]
            passes &= newest_us >= now_us - activity_us

        # Written in any case, and overwritten by the next event if this one does not pass.
        kept_t[count] = now_us
        kept_x[count] = x[event]
        kept_y[count] = y[event]
        kept_p[count] = p[event]
        count += np.uintp(passes)

    # The last filter removed the other events that were not kept.
    isolated_events = t.size - int(count) - hot_events - refractory_events
    return int(count), (hot_events, refractory_events, isolated_events)
