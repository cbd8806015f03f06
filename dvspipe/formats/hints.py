"""What a caller says of a file that does not say it itself, and what names and numbers of columns say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import ConfigError, FormatError

TimeUnit = Literal["s", "ms", "us", "ns"]
UNIT_EXPONENTS: dict[TimeUnit, int] = {"s": 6, "ms": 3, "us": 0, "ns": -3}
"""A time in the unit, times ten to this power, is in microseconds."""
LATEST_US = 10**17  # the year 5138; a larger whole number is a time since 1970 in nanoseconds
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
    """What a caller says of a file.

    Args:
        time_unit: Unit of the times, whatever their name or look.
        columns: The columns in their order, whatever their names: one letter each, t, x, y and p once, - for one that
            is not used.
        chip: The sensor chip, such as DVS128; a file that names another is refused.
        topic: The topic of a ROS bag.

    Raises:
        ConfigError: A hint is none of these.
    """

    time_unit: TimeUnit | None = None
    columns: str | None = None
    chip: str | None = None
    topic: str | None = None

    def __post_init__(self) -> None:
        if self.time_unit is not None and self.time_unit not in get_args(TimeUnit):
            raise ConfigError(f"time unit {self.time_unit!r}, expected s, ms, us or ns")
        if self.columns is not None and sorted(self.columns.replace(UNUSED, "")) != sorted("txyp"):
            raise ConfigError(
                f"columns {self.columns!r}, expected t, x, y and p once each, such as txyp, and - for others"
            )


NO_HINTS = Hints()


def column_of(name: str) -> tuple[str | None, TimeUnit | None]:
    """The column (t, x, y, p) that a name stands for, and the unit that it names, such as (t, us) for `time [us]`."""
    word = name.strip().strip("\"'").lower()
    if word in _COLUMNS:
        return _COLUMNS[word], None
    for mark in "_[(":
        stem, _, unit = word.partition(mark)
        if _COLUMNS.get(stem.strip()) == "t" and unit.rstrip("])").strip() in _UNITS:
            return "t", _UNITS[unit.rstrip("])").strip()]  # type: ignore[return-value]
    return None, None


def require_unit(path: Path, found: str) -> FormatError:
    """The error for times whose unit cannot be known."""
    return FormatError(f"{path}: {found}; say their unit with --hint time_unit=s, ms, us or ns")


def require_columns(path: Path, found: str) -> FormatError:
    """The error for columns whose order cannot be known."""
    return FormatError(f"{path}: {found}; say what they are with --hint columns=txyp (- is one not used)")
