"""Plain text (`.txt`, `.csv`): one event per line, with columns separated by blanks, commas or semicolons.

The columns are t x y p, as in the Event Camera Dataset (Mueggler et al. 2017), or as named in the first line. A first
line with two integers is the sensor size, as written by rpg_e2vid; a comment `# sensor 240x180` is the size, too. Other
lines that begin with # or % are comments. Integer times are microseconds; times with four or more decimals are seconds;
otherwise a hint must set the unit. NumPy parses the numbers as float64, exact to a microsecond for 285 years.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from ..base.errors import FormatError
from ..events import Events, SensorSize
from .hints import (
    MAX_PLAUSIBLE_US,
    UNIT_EXPONENTS,
    UNUSED,
    Hints,
    TimeUnit,
    parse_column_name,
    unknown_columns,
    unknown_unit,
)
from .numpy_files import match_names
from .source import CHUNK_EVENTS, Format, Source, StoredColumns, WriteOptions, parse_sensor
from .values import convert_columns

SUFFIXES = (".txt", ".csv")
HEAD_LINES = 200  # read to detect the time unit
MAX_LINE_CHARACTERS = 1 << 16
PROSE_CHARACTERS = 1 << 16  # read to decide whether a text is a recording
SECONDS_DECIMALS = 4  # times in milliseconds would be finer than a microsecond
DEFAULT_COLUMNS = "txyp"
SENSOR_COMMENT = re.compile(r"# sensor (\d+)x(\d+)\s*$")
COMMAS = re.compile(r"\s*[,;]\s*")
COMMENTS = ("#", "%")
LINE = "%d,%d,%d,%d\n"


class _Head(NamedTuple):
    """Begin of a text file: names of columns, sensor size, first lines with events, and number of lines before them."""

    names: tuple[str, ...] = ()
    sensor: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    lines: int = 0


def _open_text(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="replace")


def _split(line: str) -> list[str]:
    text = line.strip()
    return COMMAS.split(text) if COMMAS.search(text) else text.split()


def _read_head(path: Path) -> _Head:
    head = _Head()
    with _open_text(path) as file:
        while line := file.readline(MAX_LINE_CHARACTERS):
            words = _split(line.lstrip("".join(COMMENTS) + " "))
            is_comment = line.startswith(COMMENTS)
            if "\0" in line or len(line) == MAX_LINE_CHARACTERS:
                raise FormatError(f"{path}: line {head.lines + 1}: not a text file of events")

            # Before the first event, a line can name the columns or give the sensor size, also in a comment.
            if size := SENSOR_COMMENT.match(line):
                head = head._replace(sensor=size.groups())
            elif match_names(words) is not None:
                head = head._replace(names=tuple(words))
            elif not is_comment and len(words) == 2 and not head.sensor:
                head = head._replace(sensor=tuple(words))
            elif line.strip() and not is_comment:
                return head._replace(rows=(line, *islice(file, HEAD_LINES)))
            head = head._replace(lines=head.lines + 1)
    return head


def is_unrelated_text(path: Path) -> bool:
    """Return whether a file is text without events, such as notes.txt or splits.csv.

    An event has four numbers. A file without events has the names of their columns.
    """
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False

    with _open_text(path) as file:
        lines = file.read(PROSE_CHARACTERS).splitlines()
    has_events = any(sum(map(_is_number, _split(line))) >= len(DEFAULT_COLUMNS) for line in lines)
    return bool(lines) and not has_events and match_names(_split(lines[0].lstrip("#% "))) is None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _open(path: Path, hints: Hints) -> Source:
    head = _read_head(path)
    columns = hints.columns or "".join(parse_column_name(name)[0] or UNUSED for name in head.names) or DEFAULT_COLUMNS
    rows = [_split(row) for row in head.rows]
    if rows and len(rows[0]) != len(columns):
        raise unknown_columns(path, f"wrong number of columns (found {len(rows[0])}, expected {len(columns)})")

    named = next((unit for _, unit in map(parse_column_name, head.names) if unit), None)
    unit = hints.time_unit or named
    if unit is None:
        times = [row[columns.index("t")] for row in rows if len(row) == len(columns)]
        unit = _detect_unit(path, [time for time in times if _is_number(time)])
    needs_integers = unit == "us" and hints.time_unit is named is None

    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        is_complete = file.read() in b"\n"

    # Without its line end, a last number may be cut; a polarity has one digit.
    if not is_complete and columns[-1] != "p":
        raise FormatError(f"{path}: truncated in the last line (expected a line end)")
    sensor = parse_sensor(path, *head.sensor) if head.sensor else None
    return Source(
        sensor, partial(_chunks, path, head, columns, unit, needs_integers), {"columns": columns, "time_unit": unit}
    )


def _detect_unit(path: Path, times: list[str]) -> TimeUnit:
    """Return the time unit of integers, and of times too fine for milliseconds."""
    if all(time.lstrip("+-").isdecimal() and int(time) < MAX_PLAUSIBLE_US for time in times):
        return "us"
    if max(map(_count_decimals, times)) >= SECONDS_DECIMALS:
        return "s"
    raise unknown_unit(path, f"unknown time unit (found times such as {times[0][:40]})")


def _count_decimals(time: str) -> int:
    """Return the number of decimals of the shortest equal float; zeros at the end do not count."""
    exponent = Decimal(repr(float(time))).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _chunks(path: Path, head: _Head, columns: str, unit: TimeUnit, needs_integers: bool) -> Iterator[StoredColumns]:
    separator = next((mark for mark in ",;" if mark in "".join(head.rows)), None)
    used = [columns.index(name) for name in DEFAULT_COLUMNS]
    with _open_text(path) as file:
        for _ in islice(file, head.lines):
            pass

        line = head.lines
        count = 0
        while lines := list(islice(file, CHUNK_EVENTS)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # for a chunk of comments
                    rows = np.loadtxt(lines, delimiter=separator, comments=COMMENTS, usecols=used, ndmin=2)
                values = dict(zip(DEFAULT_COLUMNS, rows.T, strict=True))
                events = convert_columns(values, UNIT_EXPONENTS[unit], first=count)
            except (ValueError, FormatError) as error:
                advice = "use columns=xytp to set the order of the columns"
                raise FormatError(f"{path}: after line {line}: {error}; {advice}") from error
            if needs_integers and (rows[:, 0] % 1).any():
                raise unknown_unit(path, f"unknown time unit (found times with decimals after line {line})")

            yield events
            line += len(lines)
            count += len(rows)


@contextmanager
def _write(path: Path, sensor: SensorSize, _options: WriteOptions) -> Iterator[Callable[[Events], None]]:
    # Readers that skip one line find only comments and events after it.
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"t,x,y,p\n# sensor {sensor}\n")

        def add(events: Events) -> None:
            rows = np.stack([events.t, events.x, events.y, events.p], axis=1)
            file.write(LINE * len(rows) % tuple(rows.ravel().tolist()))

        yield add


TEXT = Format("text", SUFFIXES, lambda path, _head: path.suffix.lower() in SUFFIXES, _open, _write, (".csv",))
