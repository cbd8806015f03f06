"""Label files: from when to when a recording shows which class."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, FileError

SUFFIX = "_labels.csv"
UNITS_US = {"us": 1, "usec": 1, "ms": 1_000, "s": 1_000_000, "sec": 1_000_000}
CLASS_NAMES = ("class", "label", "name")
START_NAMES, END_NAMES = ("start", "starttime"), ("end", "endtime", "stop", "stoptime")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """A part of a recording that shows one class.

    Args:
        start_us: Time of its first event, on the recording's clock.
        end_us: Time from which on events do not belong to it.
        name: The class, as the file names it.
    """

    start_us: int
    end_us: int
    name: str


def read_labels(path: Path) -> list[Span]:
    """The spans of a label file, in the order of their times.

    The heading names the class (`class`, `label`), the start and the end with their unit, in any order:
    `class,startTime_usec,endTime_usec` is IBM's for DVS128 Gesture; `start_s`, `end_ms`, `stop_us` are other ways. An
    end that lies after the next start is moved there, with a warning: no event has two labels. (DVS128 Gesture has one
    such, class 9 of user22_led.)

    Raises:
        FileError: The file cannot be read.
        DataError: It is not of that form; the message names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file ({error})") from error
    if not rows:
        raise DataError(f"{path}: is empty, expected the heading class,start_us,end_us and a line for each span")
    columns = _columns(path, rows[0])
    spans = [_span(path, number, row, columns) for number, row in enumerate(rows[1:], start=2)]
    return _apart(path, sorted(spans, key=lambda span: (span.start_us, span.end_us)))


def _columns(path: Path, heading: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Place of the class, the start and the end, and the microseconds in a unit."""
    found = {}
    for place, cell in enumerate(heading):
        name, _, unit = cell.strip().lower().rpartition("_")
        if cell.strip().lower() in CLASS_NAMES:
            found["class"] = place, 0
        for kind, names in (("start", START_NAMES), ("end", END_NAMES)):
            if name in names and unit in UNITS_US:
                found[kind] = place, UNITS_US[unit]
    missing = [kind for kind in ("class", "start", "end") if kind not in found]
    if missing:
        raise DataError(
            f"{path}: the heading {','.join(heading)} names no {missing[0]}, expected one such as "
            f"class,start_us,end_us (units {', '.join(UNITS_US)})"
        )
    return found


def _span(path: Path, number: int, row: Sequence[str], columns: dict[str, tuple[int, int]]) -> Span:
    where = f"{path}: line {number}"
    try:
        name = row[columns["class"][0]].strip()
        start_us, end_us = (_time_us(row[place], unit) for place, unit in (columns["start"], columns["end"]))
    except (IndexError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: {','.join(row)!r} is not a class and two times ({error})") from error
    if not name or end_us <= start_us:
        raise DataError(
            f"{where}: class {name!r} from {start_us} to {end_us} us, expected a name and an end after the start"
        )
    return Span(start_us, end_us, name)


def _time_us(text: str, unit_us: int) -> int:
    if not re.fullmatch(r"\s*-?\d+(\.\d*)?([eE][+-]?\d+)?\s*", text):
        raise ValueError(f"{text!r} is no number")
    return int(text) * unit_us if text.strip().lstrip("-").isdecimal() else round(float(text) * unit_us)


def _apart(path: Path, spans: list[Span]) -> list[Span]:
    apart = []
    for number, span in enumerate(spans):
        following = spans[number + 1] if number + 1 < len(spans) else None
        if following is not None and span.end_us > following.start_us:
            if following.start_us <= span.start_us:
                raise DataError(f"{path}: two labels, {span.name} and {following.name}, begin at {span.start_us} us")
            log.warning(
                "%s: class %s ends at %d us, after class %s begins at %d us; it is cut there",
                path, span.name, span.end_us, following.name, following.start_us,
            )  # fmt: skip
            span = Span(span.start_us, following.start_us, span.name)
        apart.append(span)
    return apart
