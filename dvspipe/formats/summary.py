"""Summarise a recording: `info`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

from ..base.errors import Brief
from ..base.pool import collect, map_items
from ..base.progress import Progress
from ..base.texts import Described, TextTable, show_name
from ..events import Events
from .hints import NO_HINTS, Hints, RecordingLike, SensorSource


@dataclass(frozen=True, repr=False)
class RecordingInfo(Described, Brief):
    """Summary of a recording.

    Args:
        file: Path.
        format: Name of the file format.
        width: Sensor columns.
        height: Sensor rows.
        sensor_source: `file`, `given` or `guessed`.
        events: Number of events.
        t_first_us: Time of the first event in microseconds; None if there are no events.
        t_last_us: Time of the last event in microseconds; None if there are no events.
        duration_us: Time from the first to the last event in microseconds.
        on_fraction: Fraction of ON events; None if there are no events.
        rate_hz: Events per second; None if the duration is 0.
        attributes: Settings and comments stored in the file.
    """

    file: str
    format: str
    width: int
    height: int
    sensor_source: SensorSource
    events: int
    t_first_us: int | None
    t_last_us: int | None
    duration_us: int
    on_fraction: float | None
    rate_hz: float | None
    attributes: dict[str, Any]

    def describe(self, defaults: Mapping[str, object] | None = None) -> Sequence[str | TextTable]:
        """Return the file and its facts; settings equal to `defaults` are left out."""
        table = TextTable()
        table.add_row("format", self.format)
        table.add_row("sensor", f"{self.width} x {self.height} ({self.sensor_source})")
        table.add_row("events", f"{self.events:,}")

        if self.t_first_us is not None and self.t_last_us is not None:
            length = f"{self.duration_us * 1e-6:.6g} s"
            table.add_row("time", f"{self.t_first_us:,} to {self.t_last_us:,} us ({length})")
        if self.rate_hz is not None:
            per_pixel = self.rate_hz / self.width / self.height
            digits = ",.0f" if per_pixel >= 100 else ".3g"  # three digits without an exponent
            table.add_row("rate", f"{self.rate_hz:,.0f} events/s, {per_pixel:{digits}} per pixel")
        if self.on_fraction is not None:
            table.add_row("polarity", f"{self.on_fraction:.1%} ON, {1 - self.on_fraction:.1%} OFF")

        # Attributes that the rows above show are left out.
        for key, value in self.attributes.items():
            if key not in ("width", "height", "format", "settings"):
                for name, text in _list_values(key, value):
                    table.add_row(name, text)

        # Settings are compared as texts with dotted names, so a change inside a group is listed alone.
        if settings := self.attributes.get("settings"):
            left_out = set(_list_values("settings", defaults))
            changed = [setting for setting in _list_values("settings", settings) if setting not in left_out]
            for name, text in changed or [("settings", "defaults")]:
                table.add_row(name, text)

        return show_name(self.file), table


def _list_values(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the (name, text) of each value, with dotted names for nested settings; skip values of None."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _list_values(f"{name}.{key}", inner)
    elif value is not None:
        yield name, json.dumps(value) if isinstance(value, list) else str(value)


@overload
def info(  # type: ignore[overload-overlap]  # a text is also a sequence of texts
    recordings: RecordingLike, *, hints: Hints = NO_HINTS, progress: Progress | None = None
) -> RecordingInfo: ...
@overload
def info(
    recordings: Sequence[RecordingLike], *, hints: Hints = NO_HINTS, progress: Progress | None = None
) -> tuple[RecordingInfo, ...]: ...
def info(
    recordings: RecordingLike | Sequence[RecordingLike], *, hints: Hints = NO_HINTS, progress: Progress | None = None
) -> RecordingInfo | tuple[RecordingInfo, ...]:
    """Read and check recordings; show their format, sensor, events, duration and settings.

    Args:
        recordings: Recordings.
        hints: Metadata that the files do not store. Default for the sensor: the smallest known one that contains all
            events.
        progress: Called with the amount read and the total.

    Returns:
        The facts of a single recording; for a list, of each recording.

    Raises:
        DvspipeError: As in `open_recording` and `Recording.chunks`, for a single recording.
        PartialError: If some of several recordings could not be read, after all others.
    """
    summarise = partial(_summarise, hints=hints)
    if isinstance(recordings, str | Path | Events):
        return summarise(recordings, progress)
    return collect(map_items(summarise, recordings, progress=progress), len(recordings), "recordings could not be read")


def _summarise(recording: RecordingLike, progress: Progress | None, *, hints: Hints) -> RecordingInfo:
    """Return the facts of a recording."""
    from .recordings import count_events, open_recording

    opened = open_recording(recording, hints)
    count, on, first_us, last_us = count_events(opened.chunks(progress=progress))
    duration_us = 0 if first_us is None or last_us is None else last_us - first_us
    return RecordingInfo(
        file=str(opened.path if isinstance(recording, Events) else recording),
        format=opened.format,
        width=opened.sensor.width,
        height=opened.sensor.height,
        sensor_source=opened.sensor_source,
        events=count,
        t_first_us=first_us,
        t_last_us=last_us,
        duration_us=duration_us,
        on_fraction=on / count if count else None,
        rate_hz=count / duration_us * 1e6 if duration_us else None,
        attributes=opened.attributes,
    )
