"""Verbs that change recordings: `cut`, `filter` and `merge`.

Each returns events in memory. Its `edit` has the same arguments, and describes the result without reading it, to write
long recordings in bounded memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, Protocol, Unpack, cast

from ..base.arguments import checked
from ..base.config import as_settings
from ..base.errors import ConfigError, Remedy
from ..events import Events, Region, RegionLike, SensorSizeLike, concatenate
from ..events.filter_config import FilterConfig, FilterKeywords
from ..formats import NO_HINTS, HintsLike, RecordingLike

if TYPE_CHECKING:
    from ..recordings.editing import Edit, FilteredPart, MergedRecordings, RecordingPart

P = ParamSpec("P")


class EditingVerb(Protocol[P]):
    """Function that edits recordings and returns the events; also a method of `Events`."""

    @property
    def edit(self) -> Callable[P, Edit]:
        """The same function, but it returns the edit before any event is read."""

    def __call__(self, *args: P.args, **named: P.kwargs) -> Events:
        """Return the events."""

    def __get__(self, events: Events, owner: type) -> Callable[..., Events]:
        """Return the method of events."""


def _read_all(edit: Callable[P, Edit]) -> EditingVerb[P]:
    """Turn a function that describes an edit into one that returns its events."""

    @wraps(edit)
    def read(*args: P.args, **named: P.kwargs) -> Events:
        described = edit(*args, **named)
        return concatenate(described.chunks(), described.sensor)

    # `wraps` copies the signature of the edit, but the function returns events.
    read.__signature__ = inspect.signature(edit).replace(return_annotation=Events)  # type: ignore[attr-defined]
    read.edit = edit  # type: ignore[attr-defined]
    return cast("EditingVerb[P]", checked(read))


@_read_all
@checked
def cut(
    recording: RecordingLike,
    start_s: float = 0.0,
    stop_s: float | None = None,
    region: RegionLike | None = None,
    *,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
) -> RecordingPart:
    """Cut a recording in time and in space; event times do not change.

    Args:
        recording: Recording; - for standard input. In Python also events.
        start_s: Start time in seconds after the first event.
        stop_s: Stop time (exclusive) in seconds after the first event; None: end of the recording.
        region: Region of the sensor, such as 128x128+20+10; its upper left corner becomes the origin. None: complete
            sensor.
        sensor: Sensor size, for a recording that does not store it.
        hints: Other metadata that the recording does not store.

    Raises:
        ConfigError: If the stop time is not after the start time.
        EventError: If the recording ends before the part begins, or the region is not inside the sensor.

    Example:
        >>> events = Events([500, 700_500], [3, 4], [1, 1], [True, False], "12x7")
        >>> cut(events, 0.5, 1.0, "5x4+2+1")
        Events(1 events, sensor 5x4, t 700500 to 700500 us)
    """
    from ..formats import open_recording
    from ..recordings.editing import select_part

    opened = open_recording(recording, sensor=sensor, hints=hints)
    return select_part(opened, start_s, stop_s, None if region is None else Region.of(region))


@_read_all
@checked
def filter(  # noqa: A001
    recording: RecordingLike,
    config: FilterConfig | Mapping[str, object] | None = None,
    *,
    hot_pixels: bool = False,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    **named: Unpack[FilterKeywords],
) -> FilteredPart:
    """Remove noise: hot pixels, events in the refractory period, and isolated background activity.

    Args:
        recording: Recording; - for standard input. In Python also events.
        config: Refractory period and background activity; also a mapping.
        hot_pixels: Remove all events of hot pixels, which are far more active than their neighbours.
        sensor: Sensor size, for a recording that does not store it.
        hints: Other metadata that the recording does not store.
        named: Settings of `FilterConfig` by name.

    Raises:
        ConfigError: If no filter is given.
        EventError: If the sensor has more than 16 million pixels.

    Example:
        >>> events = Events([0, 100, 900], [3, 3, 3], [1, 1, 1], [True, True, True], "12x7")
        >>> filter(events, refractory_us=500).t.tolist()
        [0, 900]
    """
    from ..formats import open_recording
    from ..recordings.editing import FilteredPart, select_part

    chosen = as_settings(FilterConfig, config, named, filter)
    if not (hot_pixels or chosen.refractory_us or chosen.activity_us):
        ways = Remedy("refractory_us", 1000), Remedy("activity_us", 20_000), Remedy("hot_pixels", True)
        raise ConfigError("filter: no filter given", *ways)

    part = select_part(open_recording(recording, sensor=sensor, hints=hints))
    return FilteredPart(part, chosen, hot_pixels=hot_pixels)


@_read_all
@checked
def merge(
    recordings: Sequence[RecordingLike],
    *,
    gap_us: int | None = None,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
) -> MergedRecordings:
    """Merge recordings of one sensor into one, by event times or one after another.

    Args:
        recordings: One or more recordings; in Python also events.
        gap_us: One after another: shift each recording to begin this many microseconds after the end of the previous
            one, >= 0. None: keep all times, and merge by time.
        sensor: Sensor size, for recordings that do not store it.
        hints: Other metadata that the recordings do not store.

    Raises:
        EventError: If the sensors differ, or there is no recording.
        ConfigError: If `gap_us` is negative.

    Example:
        >>> a = Events([0, 10], [3, 4], [1, 1], [True, False], "12x7")
        >>> b = Events([5], [6], [2], [True], "12x7")
        >>> merge([a, b]).t.tolist(), merge([a, b], gap_us=100).t.tolist()
        ([0, 5, 10], [0, 10, 110])
    """
    from ..formats import open_recording
    from ..recordings.editing import MergedRecordings

    opened = [open_recording(recording, sensor=sensor, hints=hints) for recording in recordings]
    return MergedRecordings(opened, gap_us)
