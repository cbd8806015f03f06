"""Records of what an event camera sent while it was tried."""

from __future__ import annotations

from .tables import Record


class CameraPhase(Record):
    """Events of an event camera in one phase of its trial."""

    seconds: float
    """Duration on the clock of this machine."""
    packets: int
    """Packets with events."""
    lost: int
    """Times that data were lost, because this machine was too slow."""
    events: int
    """Events."""
    on: int
    """ON events."""
    outside: int
    """Events outside the sensor, or outside the region of interest and the row and column next to it."""
    backwards: int
    """Events that are earlier than the event before them."""
    arrival_s: float
    """Time from the first packet to the last one, on the clock of this machine."""
    camera_s: float
    """The same time by the last events of both packets, on the clock of the camera."""
    peak_hz: float
    """Events in the busiest second."""
    hot_pixels: int
    """Pixels that fire far more often than their surroundings."""
    hot_events: int
    """Events of hot pixels."""
    flicker: float
    """Depth of the modulation of ON events at 100 or 120 Hz, 0 to 2; 0: fewer than 1,000."""


class CameraTrial(Record):
    """What `dvspipe doctor --camera` measured with an event camera."""

    driver: str
    """Version of neuromorphic-drivers."""
    camera: str
    """Kind of the camera."""
    serial: str
    """Serial number."""
    connection: str
    """Connection and its speed."""
    width: int
    """Columns of the sensor."""
    height: int
    """Rows of the sensor."""
    rest: CameraPhase
    """Phase without motion."""
    hand: CameraPhase
    """Phase with a hand that moves."""
    region: str | None = None
    """Region of interest of the last phase; null: this camera has none."""
    reopened: CameraPhase | None = None
    """Phase after the camera was closed and opened again; null: this failed."""
    error: str = ""
    """Error of opening it again."""
