"""Arguments that name a recording, and hints: metadata that a file lacks. Also parses column names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from pydantic import BeforeValidator, field_validator

from ..base.config import Settings
from ..base.errors import FormatError
from ..events import Events, SensorSize

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


GivenSensor = Annotated[SensorSize | None, BeforeValidator(lambda size: None if size is None else SensorSize.of(size))]
"""Field for the sensor size of files that do not store it: any `SensorSizeLike`, or None."""


class Hints(Settings):
    """Metadata that a file lacks. A mapping such as `{"chip": "DVS128"}` is accepted wherever hints are."""

    time_unit: TimeUnit | None = None
    """Time unit: s, ms, us or ns. Takes precedence over the unit in the file."""
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


class UniqueHintKeywords(TypedDict, total=False):
    """Settings of `Hints` by name, without `time_unit`, which is also a setting of videos."""

    columns: str | None
    chip: str | None
    topic: str | None


NO_HINTS = Hints()
HintsLike = Hints | Mapping[str, object]
"""`Hints`, or a mapping of their keys and values."""
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
