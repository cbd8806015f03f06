"""Sensor sizes of recordings: known sensors, and guesses for files that do not store a size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..base.errors import FormatError
from ..events import MAX_SIDE_PX, SensorSize
from .hints import Hints, SensorSource
from .source import Source, StoredColumns

KNOWN_SENSORS = tuple(
    SensorSize(width=width, height=height)
    for width, height in (
        (34, 34),  # N-MNIST
        (128, 128),  # DVS128
        (240, 180),  # DAVIS240
        (304, 240),  # ATIS
        (320, 240),  # DVXplorer Lite
        (346, 260),  # DAVIS346
        (640, 480),  # Gen 3, DVXplorer
        (1280, 720),  # Gen 4, IMX636
    )
)
LARGEST_SENSOR = SensorSize(width=MAX_SIDE_PX, height=MAX_SIDE_PX)


def smallest_sensor(width: int, height: int) -> SensorSize | None:
    """Return the smallest known sensor with at least `width` columns and `height` rows; None if there is none.

    Example:
        >>> smallest_sensor(200, 100)
        SensorSize(width=240, height=180)
    """
    return next((known for known in KNOWN_SENSORS if width <= known.width and height <= known.height), None)


def find_sensor_source(source: Source, hints: Hints) -> SensorSource:
    """Return where the sensor size of a recording comes from."""
    if source.sensor:
        return "file"
    return "given" if hints.sensor else "guessed"


def guess_sensor(path: Path, chunks: Iterable[StoredColumns]) -> SensorSize:
    """Return the smallest known sensor that contains all events of the file `path`."""
    width = height = 0
    for columns in chunks:
        if len(columns.x):
            width = max(width, int(columns.x.max()) + 1)
            height = max(height, int(columns.y.max()) + 1)

    known = smallest_sensor(width, height)
    if not width or known is None:
        found = f"events up to {width}x{height} pixels, larger than all known sensors" if width else "no events"
        raise FormatError(f"{path}: unknown sensor size (found {found}); use sensor=WxH to name the sensor")
    return known
