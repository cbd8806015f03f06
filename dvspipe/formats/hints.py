"""Arguments that name a recording, and hints: metadata that a file lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from ..events import Events, SensorSize
from ..events.sensor import SIZE_PATTERN
from ..video.config import TimeSettings

SensorSource = Literal["file", "given", "guessed"]
"""Where the sensor size of a recording comes from."""
TimeUnit = Literal["s", "ms", "us", "ns"]
Images = Literal["frames", "skip"]
UNUSED = "-"


class Hints(TimeSettings):
    """Metadata that a file lacks.

    Example:
        >>> Hints(sensor="346x260", chip="DAVIS346").given_sensor
        SensorSize(width=346, height=260)
    """

    sensor: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Sensor size, WIDTHxHEIGHT, of recordings that do not store it. Default: the smallest known sensor that contains
    all events."""
    columns: str | None = None
    """One letter per column, in order: t, x, y and p once each, - for an unused column. Takes precedence over the names
    in the file."""
    chip: str | None = None
    """Sensor chip, such as DVS128. A file that stores another chip is an error."""
    topic: str | None = None
    """Topic of a ROS bag."""
    images: Images | None = None
    """Images in a folder that also contains videos or recordings: `frames` (the images are one film, the other files
    are left out) or `skip` (the images are left out). Default: an error."""

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, columns: str | None) -> str | None:
        if columns is not None and sorted(columns.replace(UNUSED, "")) != sorted("txyp"):
            raise ValueError("expected t, x, y, p once each, such as txyp, and - for others")
        return columns

    @field_validator("sensor", mode="before")
    @classmethod
    def _read_size(cls, size: object) -> object:
        return str(SensorSize.of(size)) if isinstance(size, SensorSize | tuple) else size

    @property
    def given_sensor(self) -> SensorSize | None:
        """Sensor size, if it is given."""
        return None if self.sensor is None else SensorSize.parse(self.sensor)


NO_HINTS = Hints()
RecordingLike = str | Path | Events
"""Recording: a file of any known format, or events in memory."""
