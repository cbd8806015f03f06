"""Arguments that name a recording, and hints: metadata that a file lacks. Also parses column names."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from ..base.errors import FormatError
from ..base.settings import Settings
from ..events import Events, SensorSize
from ..events.sensor import SIZE_PATTERN

SensorSource = Literal["file", "given", "guessed"]
"""Where the sensor size of a recording comes from."""
TimeUnit = Literal["s", "ms", "us", "ns"]
UNIT_EXPONENTS: dict[TimeUnit, int] = {"s": 6, "ms": 3, "us": 0, "ns": -3}
"""Exponent e per unit: time in microseconds = stored time * 10^e."""
MAX_PLAUSIBLE_US = 10**17  # the year 5138; larger integers are nanoseconds since 1970
UNUSED = "-"

_SYNONYMS = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "col", "column"),
    "y": ("y", "ys", "row"),
    "p": ("p", "ps", "pol", "pols", "polarity", "polarities", "on"),
}
_COLUMNS = {synonym: column for column, synonyms in _SYNONYMS.items() for synonym in synonyms}
_UNITS = {"s": "s", "sec": "s", "seconds": "s", "ms": "ms", "us": "us", "usec": "us", "µs": "us", "ns": "ns"}


class Hints(Settings):
    """Metadata that a file lacks.

    Example:
        >>> Hints(sensor="346x260", chip="DAVIS346").given_sensor
        SensorSize(width=346, height=260)
    """

    sensor: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Sensor size, WIDTHxHEIGHT, of recordings that do not store it. Default: the smallest known sensor that contains
    all events."""
    time_unit: TimeUnit | None = None
    """Unit of the times of a recording, or of a video's file `timestamps`: s, ms, us or ns. Takes precedence over the
    unit in the file."""
    columns: str | None = None
    """One letter per column, in order: t, x, y and p once each, - for an unused column. Takes precedence over the names
    in the file."""
    chip: str | None = None
    """Sensor chip, such as DVS128. A file that stores another chip is an error."""
    topic: str | None = None
    """Topic of a ROS bag."""

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


def parse_column_name(name: str) -> tuple[str | None, TimeUnit | None]:
    """Parse a column name: return the column (t, x, y or p) and the time unit, each None if absent.

    Example:
        >>> parse_column_name("time [us]"), parse_column_name("pol"), parse_column_name("id")
        (('t', 'us'), ('p', None), (None, None))
    """
    word = name.strip().strip("\"'").lower()

    if word in _COLUMNS:
        return _COLUMNS[word], None

    # A time may have its unit in its name: time_us, time [us], time (us).
    for mark in "_[(":
        stem, _, end = word.partition(mark)
        unit = end.rstrip("])").strip()
        if _COLUMNS.get(stem.strip()) == "t" and unit in _UNITS:
            return "t", _UNITS[unit]  # type: ignore[return-value]

    return None, None


def unknown_unit(path: Path, found: str) -> FormatError:
    """Return the error for times of unknown unit."""
    return FormatError(f"{path}: {found}; use time_unit=us to set the time unit (s, ms, us or ns)")


def unknown_columns(path: Path, found: str) -> FormatError:
    """Return the error for columns of unknown order."""
    return FormatError(f"{path}: {found}; use columns=txyp to list the columns in order (- for an unused one)")
