"""Label files: the class of a recording over time, as spans."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from .errors import DataError
from .files import read_bytes

OTHER = "other_gestures"
"""Class of everything that is none of the gestures."""
GESTURES: tuple[str, ...] = (
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    OTHER,
)
"""Classes of DVS128 Gesture (Amir et al. 2017) in IBM's order; the label is the index."""
LATEST_LABEL_US = 1 << 60  # 36,000 years; sums of two times stay below 2^63
MAX_LABEL_BYTES = 1 << 24  # maximum size of a label file: 500,000 spans
SUFFIX = "_labels.csv"
UNITS_US = {"us": 1, "usec": 1, "ms": 1_000, "s": 1_000_000, "sec": 1_000_000}
CLASS_NAMES = ("class", "label", "name")
START_NAMES = ("start", "starttime")
END_NAMES = ("end", "endtime", "stop", "stoptime")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """Time span of a recording with one class.

    Args:
        start_us: Start time (inclusive) on the recording's clock, in microseconds.
        end_us: End time (exclusive) in microseconds.
        name: Class name in the file.
    """

    start_us: int
    end_us: int
    name: str


class _Columns(NamedTuple):
    """Indices of the columns with the class, the start and the end, and the units of both times in microseconds."""

    name: int
    start: int
    start_unit_us: int
    end: int
    end_unit_us: int


def read_labels(path: Path) -> list[Span]:
    r"""Read the spans of a label file, sorted by time.

    The header names the columns of the class (`class`, `label`), and of the start and the end with their units, in any
    order. IBM's header for DVS128 Gesture is `class,startTime_usec,endTime_usec`; `start_s`, `end_ms` and `stop_us` are
    also supported. A span that overlaps the next one is truncated at its start, with a warning, because an event has
    only one label. (DVS128 Gesture has one overlap, class 9 of user22_led.)

    Raises:
        FileError: If the file cannot be read.
        DataError: If the file does not have this form; the message names the line.

    Example:
        >>> path = tmp_path / "a_labels.csv"
        >>> _ = path.write_text("class,start_s,end_s\nclap,0.5,2")
        >>> read_labels(path)
        [Span(start_us=500000, end_us=2000000, name='clap')]
    """
    try:
        text = read_bytes(path, MAX_LABEL_BYTES).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file ({error})") from error

    if not rows:
        raise DataError(f"{path}: is empty (expected the header class,start_us,end_us and a line per span)")

    columns = _find_columns(path, rows[0])
    spans = [_parse_span(f"{path}: line {number}", row, columns) for number, row in enumerate(rows[1:], start=2)]
    return _truncate_overlaps(path, sorted(spans, key=lambda span: (span.start_us, span.end_us)))


def _find_columns(path: Path, heading: Sequence[str]) -> _Columns:
    """Return the columns that a header names; `starttime_usec` is a name and a unit."""
    columns: dict[str, int] = {}
    units_us: dict[str, int] = {}
    for column, cell in enumerate(heading):
        title = cell.strip().lower()
        name, _, unit = title.rpartition("_")
        if title in CLASS_NAMES:
            columns["class"] = column
        for kind, names in (("start", START_NAMES), ("end", END_NAMES)):
            if name in names and unit in UNITS_US:
                columns[kind] = column
                units_us[kind] = UNITS_US[unit]

    missing = [kind for kind in ("class", "start", "end") if kind not in columns]
    if missing:
        raise DataError(
            f"{path}: the header has no column {missing[0]} (found {','.join(heading)}, expected a header such as "
            f"class,start_us,end_us, with one of the units {', '.join(UNITS_US)})"
        )

    return _Columns(
        name=columns["class"],
        start=columns["start"],
        start_unit_us=units_us["start"],
        end=columns["end"],
        end_unit_us=units_us["end"],
    )


def _parse_span(line: str, row: Sequence[str], columns: _Columns) -> Span:
    try:
        name = row[columns.name].strip()
        start_us = _parse_time(row[columns.start], columns.start_unit_us)
        end_us = _parse_time(row[columns.end], columns.end_unit_us)
    except (IndexError, ValueError, OverflowError) as error:
        raise DataError(f"{line}: {','.join(row)!r} is not a class with a start and an end time ({error})") from error

    if not name or end_us <= start_us:
        raise DataError(f"{line}: class {name!r} from {start_us} to {end_us} us (expected a name and end > start)")
    return Span(start_us, end_us, name)


def _parse_time(text: str, unit_us: int) -> int:
    if not re.fullmatch(r"\s*-?\d+(\.\d*)?([eE][+-]?\d+)?\s*", text):
        raise ValueError(f"{text!r} is not a number")

    # Whole numbers are exact at any size, floats only up to 2^53.
    time_us = int(text) * unit_us if text.strip().lstrip("-").isdecimal() else round(float(text) * unit_us)
    if abs(time_us) > LATEST_LABEL_US:
        raise ValueError(f"{text!r} is too far from 0")
    return time_us


def _truncate_overlaps(path: Path, spans: list[Span]) -> list[Span]:
    """End each of the sorted spans at the start of the next one at the latest."""
    truncated = []
    for span, following in pairwise([*spans, None]):
        assert span is not None
        if following is not None and span.end_us > following.start_us:
            # Truncated to its start, the span would be empty.
            if following.start_us <= span.start_us:
                raise DataError(f"{path}: two labels, {span.name} and {following.name}, start at {span.start_us} us")

            log.warning(
                "%s: class %s ends at %d us, after class %s starts at %d us; truncated to that time",
                path,
                span.name,
                span.end_us,
                following.name,
                following.start_us,
            )
            span = Span(span.start_us, following.start_us, span.name)
        truncated.append(span)

    return truncated
