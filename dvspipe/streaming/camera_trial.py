"""Trial of an event camera: what it sends at rest, when a hand moves, and after it was opened again with settings."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from ..base.versions import find_versions
from ..events import Region, SensorSize
from ..events.filters import find_hot_pixels
from ..results.cameras import CameraPhase, CameraTrial
from .camera_settings import REGION_SETTING, CameraSettings, describe_settings, kind_of
from .chunks import LiveClock
from .disturbances import measure_flicker
from .event_cameras import EventCameraSource, Packet, import_drivers, open_event_camera

LIBRARY = "neuromorphic-drivers"
SETTLE_S = 1.0  # after it is opened, a camera sends a burst
REST_S = 3.0
HAND_S = 6.0
REOPENED_S = 3.0
MAX_FLICKER_EVENTS = 1_000_000  # bounds the memory; a lamp is found in far fewer

STILL = "keep the camera still"
WAVE = "wave a hand at the camera"
WAVE_ON = "wave on"

TrialProgress = Callable[[str, float, float], object]
"""Called with what the user should do, the seconds that it lasts already, and in total."""


def try_camera(serial: str, clock: LiveClock, progress: TrialProgress) -> CameraTrial:
    """Try an event camera, in about 13 s.

    Args:
        serial: Serial number; empty: the first camera.
        clock: Clock of this machine.
        progress: Called for each packet; an exception ends the trial, and closes the camera.

    Raises:
        ConfigError: If the library is missing.
        VideoError: If the camera cannot be opened, or fails.
    """
    drivers = import_drivers()
    source = open_event_camera(serial)
    device = source.device
    watch = _Watch(clock, progress)
    sensor = source.content
    with device:
        serial = device.serial()
        kind = device.name().value
        connection = device.connection().value
        settings = describe_settings(kind_of(drivers, device).Configuration, sensor)

        watch.observe(source, STILL, SETTLE_S, sensor)
        rest = watch.observe(source, STILL, REST_S, sensor)
        hand = watch.observe(source, WAVE, HAND_S, sensor)

    region = str(_choose_region(sensor)) if REGION_SETTING in settings.model_fields else None
    try:
        reopened = _reopen(serial, region, watch)
        error = ""
    except VideoError as failure:
        reopened = None
        error = str(failure)

    return CameraTrial(
        driver=find_versions(LIBRARY).get(LIBRARY, "unknown"),
        camera=kind,
        serial=serial,
        connection=connection,
        width=sensor.width,
        height=sensor.height,
        rest=rest,
        hand=hand,
        region=region,
        reopened=reopened,
        error=error,
    )


def _choose_region(sensor: SensorSize) -> Region:
    """Return the upper left quarter: in a mirrored region, most events would be outside."""
    return Region(0, 0, SensorSize(width=sensor.width // 2, height=sensor.height // 2))


def _reopen(serial: str, region: str | None, watch: _Watch) -> CameraPhase:
    """Open a camera again, with a region of interest or with its default settings, and observe it."""
    settings = CameraSettings("trial", {} if region is None else {REGION_SETTING: region})
    source = open_event_camera(serial, settings)

    # The driver lets a DAVIS also send the row and the column after its region.
    allowed = source.content
    if region is not None:
        size = _choose_region(allowed).size
        allowed = SensorSize(width=size.width + 1, height=size.height + 1)

    with source.device:
        watch.observe(source, WAVE_ON, SETTLE_S, allowed)
        return watch.observe(source, WAVE_ON, REOPENED_S, allowed)


@dataclass(frozen=True)
class _Watch:
    clock: LiveClock
    progress: TrialProgress

    def observe(self, source: EventCameraSource, stage: str, seconds: float, allowed: SensorSize) -> CameraPhase:
        """Count the events of an open camera for a time."""
        begin_s = self.clock.now_s()
        counter = _PhaseCounter(source.content, allowed)
        for now_s, packet in source.receive(self.clock, threading.Event()):
            passed_s = now_s - begin_s
            if passed_s >= seconds:
                break

            self.progress(stage, passed_s, seconds)
            if len(packet.t) or packet.lost:
                counter.add(packet, passed_s)

        return counter.summarise(seconds)


class _PhaseCounter:
    """Counts the events of a phase.

    Args:
        sensor: Sensor of the camera.
        allowed: Size of the region, from the upper left corner, that its events should be in.
    """

    def __init__(self, sensor: SensorSize, allowed: SensorSize) -> None:
        self._sensor = sensor
        self._allowed = allowed
        self._pixels = np.zeros(sensor.height * sensor.width, np.int64)
        self._per_second = Counter[int]()
        self._on_times: list[NDArray[np.int64]] = []
        self._ends: list[tuple[float, int]] = []  # arrival and last time of the first and the latest packet
        self._totals = Counter[str]()

    def add(self, packet: Packet, arrived_s: float) -> None:
        """Add a packet."""
        self._totals["lost"] += packet.lost
        if not len(packet.t):
            return

        previous_us = self._ends[-1][1] if self._ends else int(packet.t[0])
        self._ends = [*self._ends[:1], (arrived_s, int(packet.t[-1]))]
        self._per_second[int(arrived_s)] += len(packet.t)
        self._totals["packets"] += 1
        self._totals["events"] += len(packet.t)
        self._totals["on"] += int(packet.on.sum())
        self._totals["backwards"] += int((np.diff(packet.t, prepend=previous_us) < 0).sum())

        is_outside = (packet.x >= self._allowed.width) | (packet.y >= self._allowed.height)
        self._totals["outside"] += int(is_outside.sum())

        # A pixel that does not exist has no place in the counts.
        exists = (packet.x < self._sensor.width) & (packet.y < self._sensor.height)
        places = packet.y[exists].astype(np.int64) * self._sensor.width + packet.x[exists]
        np.add.at(self._pixels, places, 1)

        if self._totals["events"] < MAX_FLICKER_EVENTS:
            self._on_times.append(packet.t[packet.on])

    def summarise(self, seconds: float) -> CameraPhase:
        """Return the record of the phase."""
        counts = self._pixels.reshape(self._sensor.height, self._sensor.width)
        hot = find_hot_pixels(counts)
        first_s, first_us = self._ends[0] if self._ends else (0.0, 0)
        last_s, last_us = self._ends[-1] if self._ends else (0.0, 0)
        names = ("packets", "lost", "events", "on", "outside", "backwards")

        return CameraPhase(
            seconds=seconds,
            arrival_s=last_s - first_s,
            camera_s=(last_us - first_us) * 1e-6,
            peak_hz=max(self._per_second.values(), default=0),
            hot_pixels=int(hot.sum()),
            hot_events=int(counts[hot].sum()),
            flicker=measure_flicker(np.concatenate([*self._on_times, np.zeros(0, np.int64)])),
            **{name: self._totals[name] for name in names},
        )
