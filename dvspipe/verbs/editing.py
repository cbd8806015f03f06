"""Verbs that change recordings: `cut`, `filter` and `merge`.

Each returns events in memory. Its `edit` has the same arguments, but returns a description of the result, and writes it
in bounded memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar, Unpack, cast

from ..base.config import as_settings
from ..base.errors import ConfigError
from ..base.files import claim_output
from ..events import Events, Region, RegionLike, SensorSizeLike, concatenate
from ..events.filter_config import FilterConfig, FilterKeywords
from ..formats import NO_HINTS, HintsLike, RecordingLike

if TYPE_CHECKING:
    from ..recordings.editing import Edit, FilteredPart, MergedRecordings, RecordingPart

P = ParamSpec("P")
EditType = TypeVar("EditType", bound="Edit")


class EditingVerb(Protocol[P]):
    """Function that edits recordings and returns the events; also a method of `Events`."""

    @property
    def edit(self) -> Callable[P, Edit]:
        """The same function, but it returns the edit, and reads events only to write them."""

    def __call__(self, *args: P.args, **named: P.kwargs) -> Events:
        """Return the events."""

    def __get__(self, events: Events, owner: type) -> Callable[..., Events]:
        """Return the method of events."""


def _read_all(edit: Callable[P, Edit]) -> EditingVerb[P]:
    """Turn a function that describes an edit into one that returns its events."""

    @wraps(edit)
    def read(*args: P.args, **named: P.kwargs) -> Events:
        # The output may replace the recording, so it is written after the events are read.
        out = named.pop("out", None)
        overwrite = bool(named.pop("overwrite", False))
        if isinstance(out, str | Path):
            claim_output(Path(out), overwrite=overwrite)

        described = edit(*args, **named)
        events = concatenate(described.chunks(), described.sensor)
        if isinstance(out, str | Path):
            described.write(out, overwrite=overwrite)
        return events

    # `wraps` copies the signature of the edit, but the function returns events.
    read.__signature__ = inspect.signature(edit).replace(return_annotation=Events)  # type: ignore[attr-defined]
    read.edit = edit  # type: ignore[attr-defined]
    return cast("EditingVerb[P]", read)


def _write(edit: EditType, out: str | Path | None, *, overwrite: bool) -> EditType:
    """Write an edit if there is an output, and return it."""
    if out is not None:
        edit.write(out, overwrite=overwrite)
    return edit


@_read_all
def cut(
    recording: RecordingLike,
    start_s: float = 0.0,
    stop_s: float | None = None,
    region: RegionLike | None = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
) -> RecordingPart:
    """Cut a recording in time and in space; event times do not change.

    Args:
        recording: Recording. In Python also events.
        start_s: Start time in seconds after the first event.
        stop_s: Stop time (exclusive) in seconds after the first event; None: end of the recording.
        region: Region of the sensor, such as 128x128+20+10; its upper left corner becomes the origin. None: complete
            sensor.
        out: Output file; its suffix selects the format. In Python also None: not written.
        overwrite: Replace an existing file.
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
    part = select_part(opened, start_s, stop_s, None if region is None else Region.of(region))
    return _write(part, out, overwrite=overwrite)


@_read_all
def filter(  # noqa: A001
    recording: RecordingLike,
    config: FilterConfig | Mapping[str, object] | None = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    **named: Unpack[FilterKeywords],
) -> FilteredPart:
    """Remove noise: hot pixels, events in the refractory period, isolated background activity.

    Args:
        recording: Recording. In Python also events.
        config: Settings of the filters; also a mapping.
        out: Output file; its suffix selects the format. In Python also None: not written.
        overwrite: Replace an existing file.
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

    settings = as_settings(FilterConfig, config, named, filter)
    if not settings.active:
        raise ConfigError("filter: no filter given; use hot_pixels, refractory_us=1000, or activity_us=20000")

    part = select_part(open_recording(recording, sensor=sensor, hints=hints))
    return _write(FilteredPart(part, settings), out, overwrite=overwrite)


@_read_all
def merge(
    recordings: Sequence[RecordingLike],
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    gap_us: int | None = None,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
) -> MergedRecordings:
    """Merge recordings of one sensor into one, by event times or one after another.

    Args:
        recordings: One or more recordings; in Python also events.
        out: Output file; its suffix selects the format. In Python also None: not written.
        overwrite: Replace an existing file.
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
    return _write(MergedRecordings(opened, gap_us), out, overwrite=overwrite)
