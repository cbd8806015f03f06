"""Compare two recordings of a scene, for example simulated and real events, or the events of two simulators.

A is the reference; B is compared with it. Both must share a clock: nothing is shifted or scaled to fit. Undefined
figures, such as a ratio to 0 events, are None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, EventError
from ..base.progress import NamedStep, Progress, ignore_progress
from ..base.texts import Described, TextTable
from ..events import Events, concatenate
from ..events.correlation import correlate
from ..events.filters import count_pixels
from ..formats import RecordingLike, open_recording
from .editing import find_common_sensor, require_pixels

REACH_US = 50_000  # maximum distance of a nearest event
STEPS = ("read A", "read B", "sort", "nearest to A", "nearest to B")
PART_EVENTS = 1 << 20  # compared at a time
NEAR = f"to the nearest event of the other at its pixel and polarity, within {REACH_US / 1000:g} ms"
ALONE = f"without an event of the other at its pixel and polarity within {REACH_US / 1000:g} ms"


@dataclass(frozen=True, repr=False)
class Comparison(Described, Brief):
    """Comparison of a recording B with a reference A.

    Attributes:
        events_a: Number of events of A.
        events_b: Number of events of B.
        events_ratio: Events of B / events of A; None if A has none.
        on_share_a: ON events / all events of A; None if there are none.
        on_share_b: The same of B.
        map_correlation: Pearson correlation of the events per pixel, -1 to 1; None if a map is constant.
        nearest_to_a_us: Median time from an event of A to the nearest event of B, at the same pixel and polarity, in
            microseconds; over events with one within `REACH_US`, None if there are none.
        nearest_to_b_us: The same from events of B to A.
        alone_a: Fraction of events of A without an event of B within `REACH_US`: missing in B.
        alone_b: Fraction of events of B without an event of A within `REACH_US`: surplus in B.
    """

    events_a: int
    events_b: int
    events_ratio: float | None
    on_share_a: float | None
    on_share_b: float | None
    map_correlation: float | None
    nearest_to_a_us: float | None
    nearest_to_b_us: float | None
    alone_a: float | None
    alone_b: float | None

    def describe(self) -> Sequence[TextTable]:
        """Return a table of the figures, with their meanings."""
        table = TextTable("figure", "A", "B", "meaning", optional=("meaning",))
        rows = (
            ("events", self.events_a, self.events_b, f"B / A: {_format(self.events_ratio)}"),
            ("ON share", self.on_share_a, self.on_share_b, ""),
            ("map correlation", self.map_correlation, self.map_correlation, "over pixels, of ON + OFF events"),
            ("nearest, us", self.nearest_to_a_us, self.nearest_to_b_us, f"median, {NEAR}"),
            ("alone", self.alone_a, self.alone_b, f"share of events {ALONE}"),
        )
        for name, a, b, meaning in rows:
            table.add_row(name, _format(a), _format(b), meaning)
        return (table,)

    def to_record(self) -> dict[str, Any]:
        """Return a dict of numbers and None for JSON."""
        return asdict(self)


def _format(value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def compare(
    a: RecordingLike,
    b: RecordingLike,
    *,
    progress: Progress = ignore_progress,
) -> Comparison:
    """Compare two recordings of the same scene: event rates, event counts per pixel, and event times.

    Args:
        a: Reference recording, such as a real one; may be empty.
        b: Recording to compare with it, such as a simulated one, with the same sensor size and clock; may be empty.
        progress: Called with the amount read and the total.

    Raises:
        EventError: If the sensors differ in size, or the recordings are so far apart in time that they cannot share a
            clock.

    Example:
        >>> a = Events([0, 1000], [3, 3], [1, 1], [True, False], "12x7")
        >>> b = Events([20, 1020], [3, 3], [1, 1], [True, False], "12x7")
        >>> comparison = compare(a, b)
        >>> comparison.events_ratio, comparison.nearest_to_a_us, comparison.alone_b
        (1.0, 20.0, 0.0)
    """
    opened = [open_recording(recording) for recording in (a, b)]
    sensor = find_common_sensor(opened)
    require_pixels(opened[0])

    steps = [NamedStep(progress, name, number, len(STEPS)) for number, name in enumerate(STEPS)]
    events_a = concatenate(opened[0].chunks(progress=steps[0]), sensor)
    events_b = concatenate(opened[1].chunks(progress=steps[1]), sensor)
    keys_a, keys_b = _sort_keys(events_a, events_b, steps[2])
    nearest_to_a_us, alone_a = _measure_nearest(keys_a, keys_b, steps[3])
    nearest_to_b_us, alone_b = _measure_nearest(keys_b, keys_a, steps[4])

    return Comparison(
        events_a=len(events_a),
        events_b=len(events_b),
        events_ratio=len(events_b) / len(events_a) if len(events_a) else None,
        on_share_a=float(events_a.p.mean()) if len(events_a) else None,
        on_share_b=float(events_b.p.mean()) if len(events_b) else None,
        map_correlation=correlate(count_pixels(events_a, sensor), count_pixels(events_b, sensor)),
        nearest_to_a_us=nearest_to_a_us,
        nearest_to_b_us=nearest_to_b_us,
        alone_a=alone_a,
        alone_b=alone_b,
    )


def _sort_keys(a: Events, b: Events, progress: Progress) -> list[NDArray[np.int64]]:
    """Return a sorted key of each event: the address of its pixel and polarity times a stride, plus its time.

    The stride is so long that keys of different addresses differ by more than `REACH_US`.
    """
    both = (a, b)
    width, height = a.sensor
    limits_us = [int(t_us) for events in both if len(events) for t_us in (events.t[0], events.t[-1])]
    first_us = min(limits_us, default=0)
    stride = max(limits_us, default=0) - first_us + REACH_US + 1
    if 2 * width * height * stride >= 1 << 63:
        raise EventError(f"the recordings span {(stride - REACH_US) * 1e-6:.6g} s; do they share a clock?")

    keys: list[NDArray[np.int64]] = []
    for events in both:
        progress(len(keys), len(both))
        address = (events.p.astype(np.int64) * height + events.y) * width + events.x
        keys.append(np.sort(address * stride + (events.t - first_us)))
    return keys


def _measure_nearest(
    keys: NDArray[np.int64], others: NDArray[np.int64], progress: Progress
) -> tuple[float | None, float | None]:
    """Return the median distance of keys to the nearest of the others within reach, and the fraction out of reach."""
    if not len(keys) or not len(others):
        return None, 1.0 if len(keys) else None

    distances_us = np.empty(len(keys), np.int64)
    for start in range(0, len(keys), PART_EVENTS):
        progress(start, len(keys))
        part = keys[start : start + PART_EVENTS]
        after = np.searchsorted(others, part)
        above = others[np.minimum(after, len(others) - 1)]
        below = others[np.maximum(after - 1, 0)]
        distances_us[start : start + PART_EVENTS] = np.minimum(np.abs(above - part), np.abs(part - below))

    near = distances_us[distances_us <= REACH_US]
    alone = (len(keys) - len(near)) / len(keys)
    return float(np.median(near)) if len(near) else None, alone
