"""Plain text (`.txt`, `.csv`): one event per line, with columns separated by blanks, commas or semicolons.

The columns are t x y p, as in the Event Camera Dataset (Mueggler et al. 2017), or as named in the first line. A first
line with two integers is the sensor size, as written by rpg_e2vid; a comment `# sensor 240x180` is the size, too. Other
lines that begin with # or % are comments. Integer times are microseconds; times with four or more decimals are seconds;
otherwise a hint must set the unit. NumPy parses the numbers as float64, exact to a microsecond for 285 years.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError, shorten
from ..events import Events, SensorSize
from .columns import MAX_PLAUSIBLE_US, convert_columns, match_names, parse_column_name, unknown_columns, unknown_unit
from .hints import UNUSED, Hints, TimeUnit
from .source import CHUNK_EVENTS, Format, Source, StoredColumns, WriteOptions, parse_sensor

SUFFIXES = (".txt", ".csv")
HEAD_LINES = 200  # read to detect the time unit
MAX_LINE_CHARACTERS = 1 << 16
PROSE_CHARACTERS = 1 << 16  # read to decide whether a text is a recording
MS_DECIMALS = 3  # of seconds; finer times in milliseconds would be finer than a microsecond
DEFAULT_COLUMNS = "txyp"
SENSOR_COMMENT = re.compile(r"# sensor (\d+)x(\d+)\s*$")
COMMAS = re.compile(r"\s*[,;]\s*")
COMMENTS = ("#", "%")
LINE = "%d,%d,%d,%d\n"


class _Head(NamedTuple):
    """Begin of a text file: names of columns, sensor size, first lines with events, and number of lines before them."""

    names: list[str]
    sensor: SensorSize | None
    rows: list[str]
    lines: int


def _open_text(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="replace")


def _split(line: str) -> list[str]:
    text = line.strip()
    return COMMAS.split(text) if COMMAS.search(text) else text.split()


def _read_head(path: Path) -> _Head:
    names: list[str] = []
    sensor: SensorSize | None = None
    number = 0
    with _open_text(path) as file:
        while line := file.readline(MAX_LINE_CHARACTERS):
            if "\0" in line or len(line) == MAX_LINE_CHARACTERS:
                raise FormatError(f"{path}: line {number + 1}: not a text file of events")

            # Before the first event, a line can name the columns or give the sensor size, also in a comment.
            words = _split(line.lstrip("#% "))
            is_comment = line.startswith(COMMENTS)
            if size := SENSOR_COMMENT.match(line):
                sensor = parse_sensor(path, *size.groups())
            elif match_names(words):
                names = words
            elif not is_comment and len(words) == 2 and all(map(str.isdecimal, words)) and not sensor:
                sensor = parse_sensor(path, *words)
            elif line.strip() and not is_comment:
                return _Head(names, sensor, [line, *islice(file, HEAD_LINES)], number)
            number += 1
    return _Head(names, sensor, [], number)


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
        return math.isfinite(float(word))
    except ValueError:
        return False


def _open(path: Path, hints: Hints) -> Source:
    head = _read_head(path)
    columns = hints.columns or "".join(parse_column_name(name)[0] or UNUSED for name in head.names) or DEFAULT_COLUMNS
    rows = [_split(row) for row in head.rows]
    if rows and len(rows[0]) != len(columns):
        raise unknown_columns(path, f"wrong number of columns (found {len(rows[0])}, expected {len(columns)})")

    named = next((unit for _, unit in map(parse_column_name, head.names) if unit), None)
    unit = hints.time_unit or named
    needs_integers = False
    if unit is None:
        times = [row[columns.index("t")] for row in rows if len(row) == len(columns)]
        unit = _detect_unit(path, [time for time in times if _is_number(time)])
        needs_integers = unit == "us"

    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        is_complete = file.read() in b"\n"

    # Without its line end, a last number may be cut; a polarity has one digit.
    if not is_complete and columns[-1] != "p":
        raise FormatError(f"{path}: truncated in the last line (expected a line end)")
    chunks = partial(_chunks, path, head, columns, unit, needs_integers)
    return Source(head.sensor, chunks, {"columns": columns, "time_unit": unit})


def _detect_unit(path: Path, times: list[str]) -> TimeUnit:
    """Return the time unit of integers, and of times too fine for milliseconds."""
    if all(time.lstrip("+-").isdecimal() and int(time) < MAX_PLAUSIBLE_US for time in times):
        return "us"
    if any(round(float(time), MS_DECIMALS) != float(time) for time in times):
        return "s"
    raise unknown_unit(path, shorten(times[0]))


def _chunks(path: Path, head: _Head, columns: str, unit: TimeUnit, needs_integers: bool) -> Iterator[StoredColumns]:
    separator = next((mark for mark in ",;" if mark in "".join(head.rows)), None)
    used = [columns.index(name) for name in DEFAULT_COLUMNS]
    with _open_text(path) as file:
        for _ in islice(file, head.lines):
            pass

        before = head.lines
        count = 0
        while lines := list(islice(file, CHUNK_EVENTS)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # for a chunk of comments
                    rows = np.loadtxt(lines, delimiter=separator, comments=COMMENTS, usecols=used, ndmin=2)
                number = _find_not_finite(rows, lines)
                if number is None:
                    events = convert_columns(dict(zip(DEFAULT_COLUMNS, rows.T, strict=True)), unit, first=count)
            except (ValueError, FormatError) as error:
                raise unknown_columns(path, f"after line {before}: {error}") from error

            if number is not None:
                found = shorten(lines[number].strip())
                raise FormatError(f"{path}: line {before + number + 1}: found {found}, expected finite numbers")
            if needs_integers and (rows[:, 0] % 1).any():
                raise unknown_unit(path, f"with decimals after line {before}")

            yield events
            before += len(lines)
            count += len(rows)


def _find_not_finite(rows: NDArray[np.float64], lines: list[str]) -> int | None:
    """Return the first line with NaN or infinity; None if there is none."""
    is_wrong = ~np.isfinite(rows).all(axis=1)
    if not is_wrong.any():
        return None

    # Comments and empty lines have no row.
    numbers = [number for number, line in enumerate(lines) if re.split("[#%]", line)[0].strip()]
    return numbers[int(is_wrong.argmax())]


@contextmanager
def _write(path: Path, sensor: SensorSize, _options: WriteOptions) -> Iterator[Callable[[Events], None]]:
    # Readers that skip one line find only comments and events after it.
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"t,x,y,p\n# sensor {sensor}\n")

        def add(events: Events) -> None:
            rows = np.stack([events.t, events.x, events.y, events.p], axis=1)
            file.write(LINE * len(rows) % tuple(rows.ravel().tolist()))

        yield add


TEXT = Format("text", SUFFIXES, _open, encoder=_write, written=(".csv",), errors=(ValueError,))
