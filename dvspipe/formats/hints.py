"""What a caller knows of a file and the file does not say; what the names of columns mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import ConfigError, FormatError, Remedy

TimeUnit = Literal["s", "ms", "us", "ns"]
UNIT_EXPONENTS: dict[TimeUnit, int] = {"s": 6, "ms": 3, "us": 0, "ns": -3}
"""A time in the unit, times ten to this power, is in microseconds."""
MAX_PLAUSIBLE_US = 10**17  # the year 5138; a larger integer is a time since 1970 in nanoseconds
UNUSED = "-"

_SYNONYMS = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "col", "column"),
    "y": ("y", "ys", "row"),
    "p": ("p", "ps", "pol", "pols", "polarity", "polarities", "on"),
}
_COLUMNS = {synonym: column for column, synonyms in _SYNONYMS.items() for synonym in synonyms}
_UNITS = {"s": "s", "sec": "s", "seconds": "s", "ms": "ms", "us": "us", "usec": "us", "µs": "us", "ns": "ns"}


@dataclass(frozen=True)
class Hints:
    """What a caller knows of a file.

    Args:
        time_unit: Unit of the times: s, ms, us or ns. Takes precedence over what the file says.
        columns: A letter for each column in order: t, x, y and p once each, - for a column that is not used. Takes
            precedence over the names in the file.
        chip: The sensor chip, such as DVS128; a file that names another is an error.
        topic: The topic of a ROS bag.

    Raises:
        ConfigError: A hint has another value.
    """

    time_unit: TimeUnit | None = None
    columns: str | None = None
    chip: str | None = None
    topic: str | None = None

    def __post_init__(self) -> None:
        if self.time_unit is not None and self.time_unit not in get_args(TimeUnit):
            raise ConfigError(f"time_unit is {self.time_unit!r} (expected s, ms, us or ns)")
        if self.columns is not None and sorted(self.columns.replace(UNUSED, "")) != sorted("txyp"):
            raise ConfigError(
                f"columns is {self.columns!r} (expected t, x, y and p once each, such as txyp, and - for others)"
            )


NO_HINTS = Hints()


def parse_column_name(name: str) -> tuple[str | None, TimeUnit | None]:
    """Return the column (t, x, y, p) that a name means and the unit in it, such as (t, us) for `time [us]`."""
    word = name.strip().strip("\"'").lower()
    if word in _COLUMNS:
        return _COLUMNS[word], None
    for mark in "_[(":
        stem, _, unit = word.partition(mark)
        if _COLUMNS.get(stem.strip()) == "t" and unit.rstrip("])").strip() in _UNITS:
            return "t", _UNITS[unit.rstrip("])").strip()]  # type: ignore[return-value]
    return None, None


def unknown_unit(path: Path, found: str) -> FormatError:
    """Return the error for times whose unit is not known."""
    return FormatError(f"{path}: {found}", Remedy("hints.time_unit", "us", "name their unit (s, ms, us or ns)"))


def unknown_columns(path: Path, found: str) -> FormatError:
    """Return the error for columns whose order is not known."""
    return FormatError(f"{path}: {found}", Remedy("hints.columns", "txyp", "name them in order (- for an unused one)"))
