"""Event cameras connected to this machine, read with neuromorphic-drivers (the extra `camera`).

Source: github.com/neuromorphicsystems/neuromorphic-drivers, version 0.18. A packet has `polarity_events`, a structured
array with the fields t (uint64, microseconds), x, y (uint16, from the upper left corner) and on (bool), or None; and
`polarity_events_overflow_indices`, an entry for each time that the computer lost data before an event, or None. Some
settings have an effect only if the camera is opened with them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, EventError, VideoError, join_names
from ..events import Events, SensorSize, concatenate
from ..formats.stream_clock import StreamClock
from .camera_settings import CameraSettings, sensor_of
from .chunks import BATCH_S, NOTICE_S, Chunk, LiveClock, Tally, describe_jump

EVENT_CAMERA = "event-camera"
FIELDS = "t", "x", "y", "on"  # columns of `polarity_events`
NOTHING = np.empty(0, [("t", np.uint64), ("x", np.uint16), ("y", np.uint16), ("on", np.bool_)])


def serial_of(source: object) -> str | None:
    """Return the serial number in `event-camera:SERIAL`, "" for `event-camera`, or None for other sources.

    Example:
        >>> serial_of("event-camera:00050423"), serial_of("event-camera"), serial_of("0")
        ('00050423', '', None)
    """
    name, _, serial = str(source).partition(":")
    return serial if name == EVENT_CAMERA else None


def open_event_camera(serial: str = "", settings: CameraSettings | None = None) -> EventCameraSource:
    """Open an event camera.

    Args:
        serial: Serial number; empty: the first camera.
        settings: Its settings; None: the driver's defaults.

    Raises:
        ConfigError: If the library is missing, or the camera lacks a setting.
        VideoError: If the camera cannot be opened.
    """
    drivers = import_drivers()
    device = _open_device(drivers, serial)

    # Only an open camera tells its kind and its ranges.
    if settings is not None:
        with device:
            configuration = settings.configure(drivers, device)
            serial = device.serial()
        device = _open_device(drivers, serial, configuration)

    return EventCameraSource(_name(serial), sensor_of(device), device)


def _name(serial: str) -> str:
    return f"{EVENT_CAMERA}:{serial}" if serial else EVENT_CAMERA


def _open_device(drivers: ModuleType, serial: str, configuration: Any = None) -> Any:
    try:
        return drivers.open(configuration=configuration, serial=serial or None, iterator_timeout=NOTICE_S)
    except RuntimeError as error:  # the library has no other kind
        raise VideoError(f"{_name(serial)}: cannot be opened ({error}; {_list_cameras(drivers)})") from error


def import_drivers() -> ModuleType:
    """Return the library.

    Raises:
        ConfigError: If it is not installed.
    """
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

    return f"found {join_names(cameras)}" if cameras else "found no event camera; plug one in"


class Packet(NamedTuple):
    """Events that a camera sent, in its order.

    Args:
        t: Times on the camera's clock in microseconds, int64 [N].
        x: Columns, uint16 [N].
        y: Rows, uint16 [N].
        on: Whether the polarity is ON, bool [N].
        lost: Number of times that data were lost.
    """

    t: NDArray[np.int64]
    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    on: NDArray[np.bool_]
    lost: int

    @classmethod
    def of(cls, packet: Any) -> Packet:
        """Convert a packet of the library; None: nothing arrived in time."""
        overflows = None if packet is None else packet.polarity_events_overflow_indices
        events = None if packet is None else packet.polarity_events
        if events is None:
            events = NOTHING

        t, x, y, on = (events[name] for name in FIELDS)
        return cls(t.astype(np.int64), x, y, on, 0 if overflows is None else len(overflows))


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
            for now_s, packet in self.receive(clock, stop):
                try:
                    events = self._convert(packet, times, round(1e6 * (now_s - begin_s)))
                except EventError as error:
                    raise VideoError(f"{self.name}: failed ({error}); is it still connected?") from error

                if len(events):
                    parts.append(events)
                lost += packet.lost
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

    def receive(self, clock: LiveClock, stop: threading.Event) -> Iterator[tuple[float, Packet]]:
        """Yield what the open device sends as it is, with the time of arrival in seconds on the clock.

        Packets are empty if nothing arrives for `NOTICE_S`.

        Raises:
            VideoError: If the camera fails.
        """
        while not stop.is_set():
            try:
                _, packet = next(self.device)
            except (RuntimeError, StopIteration) as error:
                raise VideoError(f"{self.name}: failed ({error}); is it still connected?") from error

            yield clock.now_s(), Packet.of(packet)

    def _convert(self, packet: Packet, times: StreamClock, arrived_us: int) -> Events:
        t = times.continue_times(packet.t, arrived_us=arrived_us)
        return Events(t, packet.x, packet.y, packet.on, self.content)
