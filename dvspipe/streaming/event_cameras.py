"""Event cameras connected to this machine, read with neuromorphic-drivers (the extra `camera`).

Source: github.com/neuromorphicsystems/neuromorphic-drivers, version 0.18. A packet has `polarity_events`, a structured
array with the fields t (uint64, microseconds), x, y (uint16, from the upper left corner) and on (bool), or None; and
`polarity_events_overflow_indices`, an entry for each time that the computer lost data before an event, or None.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from ..base.errors import ConfigError, EventError, VideoError, join_names
from ..events import Events, SensorSize, concatenate
from ..formats.stream_clock import StreamClock
from .chunks import BATCH_S, NOTICE_S, Chunk, LiveClock, Tally, describe_jump

EVENT_CAMERA = "event-camera"
FIELDS = "t", "x", "y", "on"  # columns of `polarity_events`


def serial_of(source: object) -> str | None:
    """Return the serial number in `event-camera:SERIAL`, "" for `event-camera`, or None for other sources.

    Example:
        >>> serial_of("event-camera:00050423"), serial_of("event-camera"), serial_of("0")
        ('00050423', '', None)
    """
    name, _, serial = str(source).partition(":")
    return serial if name == EVENT_CAMERA else None


def open_event_camera(serial: str = "") -> EventCameraSource:
    """Open an event camera with its default settings."""
    drivers = _import_drivers()
    name = f"{EVENT_CAMERA}:{serial}" if serial else EVENT_CAMERA
    try:
        device = drivers.open(serial=serial or None, iterator_timeout=NOTICE_S)
    except RuntimeError as error:  # the library has no other kind
        raise VideoError(f"{name}: cannot be opened ({error}; {_list_cameras(drivers)})") from error

    sides = device.properties()
    return EventCameraSource(name, SensorSize(width=int(sides.width), height=int(sides.height)), device)


def _import_drivers() -> ModuleType:
    try:
        import neuromorphic_drivers
    except ImportError as error:
        message = f"{EVENT_CAMERA}: neuromorphic-drivers is not installed; pip install 'dvspipe[camera]'"
        raise ConfigError(message) from error

    return neuromorphic_drivers  # type: ignore[no-any-return]


def _list_cameras(drivers: ModuleType) -> str:
    try:
        cameras = [f"{device.name.value} {device.serial or device.error}" for device in drivers.list_devices()]
    except RuntimeError:  # for example, if the machine has no USB
        cameras = []

    return f"found {join_names(cameras)}" if cameras else "found no event camera"


@dataclass(frozen=True)
class EventCameraSource:
    """Events of a camera.

    Args:
        name: Name in messages.
        content: Sensor of the events.
        device: Open device of neuromorphic-drivers; `read` closes it.
    """

    name: str
    content: SensorSize
    device: Any = field(repr=False)
    speed: float = 1.0

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield the events of each `BATCH_S`; see `LiveSource`."""
        parts: list[Events] = []  # since the last chunk
        lost = 0  # overflows since the last chunk
        begin_s = clock.now_s()
        due_s = begin_s + BATCH_S
        times = StreamClock()
        jumps = Tally(self.name, "clock jump")

        with self.device:
            while not stop.is_set():
                try:
                    _, packet = next(self.device)
                    now_s = clock.now_s()
                    events, overflows = self._convert(packet, times, round(1e6 * (now_s - begin_s)))
                except (RuntimeError, StopIteration, EventError) as error:
                    raise VideoError(f"{self.name}: failed ({error}); is it still connected?") from error

                if len(events):
                    parts.append(events)
                lost += overflows
                jumps.update(times.jumps, describe_jump(self.name, times))
                if now_s < due_s:
                    continue

                # Lost data are reported with the next events.
                due_s = now_s + BATCH_S
                if parts:
                    yield Chunk(concatenate(parts, self.content), int(parts[-1].t[-1]), now_s, lost)
                    parts = []
                    lost = 0
        jumps.finish()

    def _convert(self, packet: Any, times: StreamClock, arrived_us: int) -> tuple[Events, int]:
        """Return the events of a packet, and the number of its overflows; None: no packet in time."""
        if packet is None:
            return Events.empty(self.content), 0

        overflows = packet.polarity_events_overflow_indices
        lost = 0 if overflows is None else len(overflows)
        if packet.polarity_events is None:
            return Events.empty(self.content), lost

        t, x, y, on = (packet.polarity_events[name] for name in FIELDS)
        t = times.continue_times(t.astype(np.int64), arrived_us=arrived_us)
        return Events(t, x, y, on, self.content), lost
