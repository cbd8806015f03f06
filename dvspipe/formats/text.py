"""Plain text (`.txt`, `.csv`): one event per line, with columns separated by space, tab, comma or semicolon.

The columns are t x y p, as in the Event Camera Dataset (Mueggler et al. 2017), or as named in the first line. A first
line with two integers is the sensor size, as written by rpg_e2vid; a comment `# sensor 240x180` is the size, too. Other
lines that begin with # or % are comments. Integer times are microseconds; times with four or more decimals are seconds;
otherwise a hint must set the unit.

The writer stores the sensor size in this comment, after the names of the columns: readers that skip one line find only
comments and events after it.

No library reads all of these files. faery takes 1.1 times the CPU time for `t,x,y,p`, moves unsorted times without an
error, and rejects blanks, seconds, named columns and polarities of -1. `numpy.loadtxt` takes 2.1 times the CPU time,
and rounds seconds. Writing takes 2.3 times the CPU time with faery, and 19 times with `numpy.savetxt`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..base.errors import CorruptionError, EventError, FormatError
from ..base.kernels import njit
from ..events import Events, SensorSize
from ..parallel import Progress
from .hints import (
    MAX_PLAUSIBLE_US,
    NO_HINTS,
    UNIT_EXPONENTS,
    UNUSED,
    Hints,
    TimeUnit,
    parse_column_name,
    unknown_columns,
    unknown_unit,
)
from .source import Format, Source, StoredColumns, open_binary
from .writers import StreamEncoder, accept_all

TEXT_SUFFIXES = (".txt", ".csv")
TEXT_BLOCK_BYTES = 8 << 20
HEAD_LINES = 200
MAX_LINE_BYTES = 1 << 16
MIN_LINE_BYTES = 8  # minimum length of a line with an event, as in `0 0 0 0\n`
PROSE_BYTES = 1 << 16  # read to decide whether a text is a recording
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
COMMENT_BYTES = b"#%"
NUMBER_BYTES = b"+-.eE0123456789"
SECONDS_DECIMALS = 4  # times in milliseconds would be finer than a microsecond
DEFAULT_COLUMNS = "txyp"
SENSOR_COMMENT = re.compile(rb"# sensor (\d+)x(\d+)\s*$")
CSV_EVENT_BYTES = 40

NO_PROBLEM, TOO_FEW, TOO_MANY, NO_NUMBER, NO_INTEGER, TOO_LARGE, NO_POLARITY = range(7)  # result of parsing a line
PROBLEMS = {
    TOO_FEW: "too few columns (found {found}, expected {expected})",
    TOO_MANY: "too many columns (expected {expected})",
    NO_NUMBER: "no number in column {column}",
    NO_INTEGER: "no integer in column {column}; use time_unit=ns to set the time unit",
    TOO_LARGE: "number too large in column {column}",
    NO_POLARITY: "wrong polarity in column {column} (expected 0 and 1, or -1 and 1 throughout); use columns=xytp to "
    "set the order of the columns",
}
# ASCII codes that the kernels compare
TAB, LINE_END, CARRIAGE_RETURN, SPACE = b"\t\n\r "
HASH, PERCENT = COMMENT_BYTES
PLUS, COMMA, MINUS, POINT, SEMICOLON = b"+,-.;"
ZERO, NINE = b"09"
CAPITAL_E, SMALL_E = b"Ee"
FAST_DIGITS = 17  # maximum length of numbers parsed on the fast path
MAX_MANTISSA = 9 * 10**17  # below this, another digit does not overflow
IS_SEPARATOR = np.isin(np.arange(256), list(b" \t,;\r\n"))
POWERS = 10 ** np.arange(19, dtype=np.int64)


@dataclass(frozen=True)
class _Layout:
    """Layout of a text file.

    Args:
        columns: One letter of txyp per column, - for an unused column.
        exponent: Time in microseconds = stored time * 10^exponent.
        integer_times: Whether times must be integers.
        first_line: Number of the first line with an event, from 1.
        start: Start of this line in bytes.
        sensor: Sensor size; None if the file does not store it.
    """

    columns: str
    exponent: int
    integer_times: bool
    first_line: int
    start: int
    sensor: SensorSize | None


def _recognises(path: Path, _head: bytes) -> bool:
    return path.suffix.lower() in TEXT_SUFFIXES


def is_unrelated_text(path: Path) -> bool:
    """Return whether a file is text without events, such as notes.txt or splits.csv.

    An event has four numbers. A file without events has the names of their columns.
    """
    if path.suffix.lower() not in TEXT_SUFFIXES or not path.is_file():
        return False

    with open_binary(path) as file:
        lines = file.read(PROSE_BYTES).decode("utf-8", "replace").splitlines()
    if not lines or any(_count_numbers(line) >= len(DEFAULT_COLUMNS) for line in lines):
        return False

    words = re.split(r"[,;\s#%]+", lines[0])
    columns = {column for column, _ in map(parse_column_name, words)}
    return not columns.issuperset("txyp")


def _count_numbers(line: str) -> int:
    return sum(map(_is_number, re.split(r"[,;\s]+", line)))


def _open(path: Path, hints: Hints = NO_HINTS) -> Source:
    with open_binary(path) as file:
        layout = _read_layout(path, file, hints)

    unit = next(unit for unit, exponent in UNIT_EXPONENTS.items() if exponent == layout.exponent)
    attributes = {"columns": layout.columns, "time_unit": unit}

    return Source(layout.sensor, partial(_chunks, path, layout), attributes)


def _read_layout(path: Path, file: BinaryIO, hints: Hints) -> _Layout:
    """Detect the layout from the first lines."""
    names: list[str] | None = None
    sensor: SensorSize | None = None
    rows: list[list[str]] = []
    first_line = 0
    start = 0  # position of the first line with an event
    position = 0  # position of the line in the file

    # A file of another kind may have one endless line, so a line is read only up to a limit.
    for number in range(1, HEAD_LINES + 1):
        line = file.readline(MAX_LINE_BYTES)
        if not line:
            break
        if len(line) == MAX_LINE_BYTES:
            raise FormatError(f"{path}: line {number}: longer than {MAX_LINE_BYTES} bytes; not a text file of events")
        if b"\0" in line:
            raise FormatError(f"{path}: line {number}: contains a zero byte; not a text file of events")
        if not position and line.startswith(BYTE_ORDER_MARK):
            line = line.removeprefix(BYTE_ORDER_MARK)
            position = len(BYTE_ORDER_MARK)

        # Before the first event, a line can name the columns or give the sensor size, also in a comment.
        # Other words than names of columns are a header only without # or %: a comment may say anything.
        words = _split_words(line.lstrip(COMMENT_BYTES + b" \t"))
        is_comment = line.lstrip()[:1] in (b"#", b"%")
        is_event = bool(words) and not is_comment
        if is_comment and not rows and (size := SENSOR_COMMENT.match(line)) and sensor is None:
            sensor = _parse_sensor(path, number, size.groups())
        elif not rows and words and names is None and not _is_number(words[0]):
            if not is_comment or _names_columns(words):
                names = words
                is_event = False
        elif not rows and not is_comment and len(words) == 2 and sensor is None and names is None:
            sensor = _parse_sensor(path, number, words)
            is_event = False

        if is_event:
            if not rows:
                first_line = number
                start = position
            rows.append(words)
        position += len(line)

    # A unit that is given, as a hint or in a name, also allows decimals.
    columns = _find_columns(path, names, rows, hints)
    unit = hints.time_unit or _find_unit(names)
    if unit:
        exponent = UNIT_EXPONENTS[unit]
        is_integer = False
    else:
        exponent, is_integer = _find_exponent(path, columns, rows)

    if not rows:
        first_line = HEAD_LINES + 1
        start = position

    return _Layout(columns, exponent, is_integer, first_line, start, sensor)


def _split_words(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace").strip()
    if "," in text or ";" in text:
        return [word.strip() for word in text.replace(";", ",").split(",")] if text else []
    return text.split()


def _is_number(word: str) -> bool:
    return word != "" and all(byte in NUMBER_BYTES for byte in word.encode()) and word[0] not in "eE"


def _names_columns(words: list[str]) -> bool:
    """Return whether words name each of the four columns once."""
    columns = sorted(column for column, _ in map(parse_column_name, words) if column)
    return columns == sorted("txyp")


def _find_unit(names: list[str] | None) -> TimeUnit | None:
    return next((unit for _, unit in map(parse_column_name, names or []) if unit), None)


def _parse_sensor(path: Path, number: int, words: Iterable[str | bytes]) -> SensorSize:
    try:
        width, height = map(int, words)
        return SensorSize(width=width, height=height)
    except (ValueError, EventError) as error:
        raise FormatError(f"{path}: line {number}: neither an event nor a valid sensor size ({error})") from error


def _find_columns(path: Path, names: list[str] | None, rows: list[list[str]], hints: Hints) -> str:
    count = len(rows[0] if rows else names or DEFAULT_COLUMNS)

    if hints.columns is not None:
        columns = hints.columns
    elif names is not None:
        if not _names_columns(names):
            raise unknown_columns(
                path, f"wrong column names (found {', '.join(names)[:200]}, expected t, x, y and p among them)"
            )
        columns = "".join(column or UNUSED for column, _ in map(parse_column_name, names))
    elif count == len(DEFAULT_COLUMNS):
        columns = DEFAULT_COLUMNS
    else:
        raise unknown_columns(path, f"unknown columns (found {count} columns without names, expected t, x, y and p)")

    if (rows or names) and len(columns) != count:
        raise unknown_columns(path, f"wrong number of columns (found {count}, expected {len(columns)})")
    return columns


def _find_exponent(path: Path, columns: str, rows: list[list[str]]) -> tuple[int, bool]:
    """Detect the exponent of the time unit, and whether times are integers.

    Raises:
        FormatError: If the first lines do not determine the unit.
    """
    column = columns.index("t")
    times = [row[column].lower() for row in rows if len(row) == len(columns)]
    times = [time for time in times if _is_number(time)]

    # Zero is the same in every unit, so the first other time decides.
    first = next((time for time in times if time.partition("e")[0].strip("+-0.")), "0")

    if "." not in first and "e" not in first:
        if any(len(time.lstrip("+-0")) > len(str(MAX_PLAUSIBLE_US)) - 1 for time in times):
            raise unknown_unit(path, f"unknown time unit (times such as {first[:40]} are too large for microseconds)")
        return UNIT_EXPONENTS["us"], True

    # Integers are microseconds; decimals are seconds only if they are too fine for milliseconds.
    if max(map(_decimals, times)) >= SECONDS_DECIMALS:
        return UNIT_EXPONENTS["s"], False
    raise unknown_unit(path, f"ambiguous time unit (times such as {first[:40]} may be seconds or milliseconds)")


def _decimals(time: str) -> int:
    """Return the number of decimals of the shortest equal float; this ignores rounding noise at the end of a number."""
    try:
        exponent = Decimal(repr(float(time))).normalize().as_tuple().exponent
    except ValueError:
        return 0
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _chunks(path: Path, layout: _Layout, progress: Progress | None = None) -> Iterator[StoredColumns]:
    slots = np.array([DEFAULT_COLUMNS.find(column) for column in layout.columns])
    polarities = np.zeros(2, np.bool_)  # whether 0 and -1 occurred
    line = layout.first_line
    for block, complete in _read_blocks(path, layout.start, progress):
        capacity = len(block) // MIN_LINE_BYTES + 1
        t = np.empty(capacity, np.int64)
        columns = np.empty((4, capacity), np.int32)
        events, lines, problem, column = _parse(
            block, slots, layout.exponent, layout.integer_times, polarities, t, columns
        )

        # Without its line end, a last number may be cut. A polarity is safe: it has one digit.
        ends_early = problem == NO_PROBLEM and not complete and layout.columns[-1] in "txy" and events > 0
        events -= ends_early
        _, x, y, p = columns[:, :events]
        yield StoredColumns(t[:events], x, y, p > 0)

        line += lines
        if problem != NO_PROBLEM:
            what = PROBLEMS[problem].format(column=column + 1, found=column, expected=len(layout.columns))
            message = f"{path}: line {line}: {what}"
            raise CorruptionError(message, lost="everything after it")
        if ends_early:
            raise CorruptionError(f"{path}: line {line - 1}: no line end, possibly truncated", lost="a line")


def _read_blocks(path: Path, start: int, progress: Progress | None) -> Iterator[tuple[NDArray[np.uint8], bool]]:
    """Yield blocks of complete lines, and whether the last line has an end; a missing line end is added."""
    line_start = b""  # bytes after the last line end
    with open_binary(path, progress) as file:
        file.read(start)  # not seek: the file may be gzip
        while data := file.read(TEXT_BLOCK_BYTES):
            stop = data.rfind(b"\n") + 1
            if stop:
                yield np.frombuffer(line_start + data[:stop], np.uint8), True
                line_start = data[stop:]
                continue

            line_start += data
            if len(line_start) > 2 * TEXT_BLOCK_BYTES:
                raise CorruptionError(f"{path}: line longer than {TEXT_BLOCK_BYTES} bytes", lost="everything after it")

    if line_start:
        yield np.frombuffer(line_start + b"\n", np.uint8), False


@njit(cache=True, nogil=True, error_model="numpy")
def _parse(
    block: NDArray[np.uint8],
    slots: NDArray[np.int64],
    exponent: int,
    integer_times: bool,
    polarities: NDArray[np.bool_],
    t: NDArray[np.int64],
    columns: NDArray[np.int32],
) -> tuple[int, int, int, int]:  # pragma: no cover
    """Parse the complete lines of a block, up to the first invalid line.

    Args:
        block: Bytes to parse, ending with a line end.
        slots: Meaning of each column: 0 to 3 for t, x, y and p, -1 if unused.
        exponent: Time in microseconds = stored time * 10^exponent.
        integer_times: Whether times must be integers.
        polarities: Whether 0 and -1 occurred, [2]; updated in place.
        t: Output times, [N].
        columns: Output x, y and p in rows 1 to 3, [4, N].

    Returns:
        Numbers of parsed events and lines, the problem of the next line, and its column.
    """
    # Law: a line is blanks and numbers, one number per column, with one separator (blanks that may include one comma
    # or semicolon) after each. The numbers of slot 0 are times, scaled by 10^exponent; others are plain integers.
    #
    # i is the next byte; every line has its end, so a scan that stops at one needs no check of the size.
    events = 0
    lines = 0
    i = 0
    while i < len(block):
        i = _skip(block, i)
        if block[i] == LINE_END or block[i] == HASH or block[i] == PERCENT:  # empty line, or comment
            while block[i] != LINE_END:
                i += 1
            i += 1
            lines += 1
            continue

        # A loop over the columns of a line.
        for column in range(len(slots)):
            slot = slots[column]
            # An unused last column may be empty after a comma or semicolon.
            if block[i] == LINE_END and not (slot < 0 and (block[i - 1] == COMMA or block[i - 1] == SEMICOLON)):
                return events, lines, TOO_FEW, column

            if slot < 0:
                while not IS_SEPARATOR[block[i]]:
                    i += 1
            else:
                scale = exponent if slot == 0 else 0
                value, i, problem = _parse_number(block, i, scale, slot > 0 or integer_times)
                if problem == NO_PROBLEM and slot > 0 and not -(2**31) < value < 2**31:
                    problem = TOO_LARGE

                # OFF is 0 or -1, and the same throughout a file: `polarities` is shared by its blocks.
                if problem == NO_PROBLEM and slot == 3:
                    if value == 0 or value == -1:
                        polarities[-value] = True
                    if value < -1 or value > 1 or (polarities[0] and polarities[1]):
                        problem = NO_POLARITY
                if problem != NO_PROBLEM:
                    return events, lines, problem, column

                if slot == 0:
                    t[events] = value
                else:
                    columns[slot, events] = value
            i = _skip_separator(block, i)

        if block[i] != LINE_END:
            return events, lines, TOO_MANY, len(slots)
        i += 1
        lines += 1
        events += 1

    return events, lines, NO_PROBLEM, 0


# inlined: calls with an array argument count references, and took half the time
@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _skip(block: NDArray[np.uint8], i: int) -> int:  # pragma: no cover
    while block[i] == SPACE or block[i] == TAB or block[i] == CARRIAGE_RETURN:
        i += 1
    return i


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _skip_separator(block: NDArray[np.uint8], i: int) -> int:  # pragma: no cover
    """Skip blanks that may include one comma or semicolon; return the next position."""
    i = _skip(block, i)
    return _skip(block, i + 1) if block[i] == COMMA or block[i] == SEMICOLON else i


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _parse_number(
    block: NDArray[np.uint8], i: int, scale: int, is_integer: bool
) -> tuple[int, int, int]:  # pragma: no cover
    """Parse the number at i: return number * 10^scale, rounded; the next position; and the problem."""
    # Fast path for most numbers, 3 times as fast: an unsigned integer of at most FAST_DIGITS digits cannot overflow.
    stop = i
    short = 0
    while stop < i + FAST_DIGITS and ZERO <= block[stop] <= NINE:
        short = short * 10 + (int(block[stop]) - ZERO)
        stop += 1
    if stop > i and IS_SEPARATOR[block[stop]] and scale == 0:
        return short, stop, NO_PROBLEM

    negative = block[i] == MINUS
    if negative or block[i] == PLUS:
        i += 1

    # The number is mantissa * 10^scale. Each digit after the point lowers the scale by one. Once the mantissa is full,
    # digits are left out: before the point they only raise the scale. In microseconds, this rounds times after
    # 28,500 years.
    mantissa = 0
    digits = 0
    point = False
    while True:
        byte = block[i]
        if ZERO <= byte <= NINE:
            digits += 1
            if mantissa < MAX_MANTISSA:
                mantissa = mantissa * 10 + (int(byte) - ZERO)
                scale -= point
            else:
                scale += not point
        elif byte == POINT and not point:
            point = True
        else:
            break
        i += 1

    # An exponent has at most 5 digits, so it cannot overflow; after more, the number does not end at a separator.
    if digits and byte in (SMALL_E, CAPITAL_E):
        i += 1
        down = block[i] == MINUS
        if down or block[i] == PLUS:
            i += 1
        power = 0
        digits = 0
        while ZERO <= block[i] <= NINE and digits < 5:
            power = power * 10 + (block[i] - ZERO)
            i += 1
            digits += 1
        scale += -power if down else power

    if not digits or not IS_SEPARATOR[block[i]]:
        return 0, i, NO_NUMBER
    value, problem = _scale(mantissa, scale, is_integer)
    return (-value if negative else value), i, problem


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(mantissa: int, scale: int, is_integer: bool) -> tuple[int, int]:  # pragma: no cover
    """Return mantissa * 10^scale, with halves rounded up, and the problem."""
    if mantissa == 0:
        return 0, NO_PROBLEM

    if scale >= 0:
        if scale > 18 or mantissa > 2**62 // POWERS[scale]:
            return 0, TOO_LARGE
        return mantissa * POWERS[scale], NO_PROBLEM
    if scale < -18:  # POWERS ends at 18, and the mantissa has at most 19 digits: the number is below 1
        is_half = scale == -19 and mantissa >= 5 * POWERS[18]
        return int(is_half), NO_INTEGER if is_integer else NO_PROBLEM

    # `rest >= power - rest` is `2 * rest >= power` without an overflow.
    power = POWERS[-scale]
    value = mantissa // power
    rest = mantissa - value * power
    if is_integer and rest:
        return 0, NO_INTEGER
    return value + (rest >= power - rest), NO_PROBLEM


@contextmanager
def _begin(path: Path, sensor: SensorSize) -> Iterator[Callable[[Events], object]]:
    with path.open("wb") as file:
        file.write(f"t,x,y,p\n# sensor {sensor}\n".encode())
        yield lambda events: file.write(_format_lines(events))


def _format_lines(events: Events) -> bytes:
    """Format events as lines `t,x,y,p`."""
    rows = np.empty(CSV_EVENT_BYTES * len(events) + 1, np.uint8)
    size = _print(events.t, events.x, events.y, events.p, rows)
    return rows[:size].tobytes()


@njit(cache=True, nogil=True, error_model="numpy")
def _print(
    t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.bool_], rows: NDArray[np.uint8]
) -> int:  # pragma: no cover
    """Format events as text in `rows`; return the number of bytes."""
    # position is the next byte of `rows`. The digits of a number come last first, so they are collected, then reversed.
    # uint64 holds the absolute value of every int64, also of -2^63, which has no positive int64.
    digits = np.empty(20, np.uint8)
    position = 0
    for event in range(len(t)):
        for column in range(4):
            value = (t[event], np.int64(x[event]), np.int64(y[event]), np.int64(p[event]))[column]
            magnitude = np.uint64(value)
            if value < 0:
                rows[position] = MINUS
                position += 1
                magnitude = np.uint64(0) - magnitude

            count = 0
            while count == 0 or magnitude:
                tenth = magnitude // np.uint64(10)
                digits[count] = np.uint8(ZERO) + np.uint8(magnitude - tenth * np.uint64(10))
                magnitude = tenth
                count += 1

            for k in range(count):
                rows[position + k] = digits[count - 1 - k]
            position += count
            rows[position] = LINE_END if column == 3 else COMMA
            position += 1

    return position


CSV_ENCODER = StreamEncoder((".csv",), _begin, lambda events, _: CSV_EVENT_BYTES * len(events), accept_all)
TEXT = Format("text", TEXT_SUFFIXES, _recognises, _open, CSV_ENCODER)
