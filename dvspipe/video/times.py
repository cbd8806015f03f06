"""Read files of frame times: a line per frame, with a time and optionally the name of its image.

The unit comes from the settings, or from a header such as `timestamp_ns`; numbers with a decimal point are seconds, if
that is plausible. Times are exact decimal numbers until they are rounded to microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from ..base.errors import VideoError
from ..base.files import read_bytes
from .config import VideoSettings
from .names import IMAGE_SUFFIXES
from .pictures import FramePass

US_PER_UNIT = {"s": Decimal(10**6), "ms": Decimal(10**3), "us": Decimal(1), "ns": Decimal("0.001")}
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
HEADER_UNIT = re.compile(r"(?:time|stamp)[A-Za-z]*[ _]?[\[(]?(?P<unit>s|ms|us|ns)\b")
LONGEST_ASSUMED_INTERVAL_S = 1.0  # a longer mean interval suggests that the unit is not seconds
LATEST_FRAME_US = 2**62
MAX_TIMES_BYTES = 1 << 26  # maximum size of a file of times: 3 million frames


def find_times_us(
    settings: VideoSettings,
    name: str,
    count: int,
    files: Sequence[Path] = (),
    start_pass: Callable[[], FramePass] | None = None,
) -> tuple[int, ...] | None:
    """Read the frame times from `settings.timestamps`; None if it is not set."""
    if settings.timestamps is None:
        if settings.time_unit is not None:
            raise VideoError(
                f"{name}: time_unit = {settings.time_unit} without a file of times"
                "; use timestamps=FILE to give the file of times"
            )
        return None

    rows = _read_times(Path(settings.timestamps), settings.time_unit)
    if not rows:
        raise VideoError(f"{settings.timestamps}: no times (found no line that begins with a number, expected {count})")

    # The number in a header may be a guess: count the frames before reporting a difference.
    if start_pass is not None and count != len(rows):
        count = sum(1 for _ in start_pass())
    if count != len(rows):
        raise wrong_count(settings, len(rows), name, count)

    # Only names of images are compared: a file of times may have other columns.
    for row, file in zip(rows, files, strict=False):
        if Path(row.image).suffix.lower() in IMAGE_SUFFIXES and Path(row.image).name != file.name:
            raise VideoError(
                f"{settings.timestamps}: line {row.line}: wrong image (found {row.image}, expected {file.name} "
                f"as in {name})"
            )
    return tuple(row.t_us for row in rows)


def wrong_count(settings: VideoSettings, times: int, name: str, frames: int | str) -> VideoError:
    """Create the error for a number of times that differs from the number of frames."""
    return VideoError(f"{settings.timestamps}: wrong number of times (found {times}, expected {frames} as in {name})")


@dataclass(frozen=True)
class _TimeRow:
    """Line of a file of times: its number, the time as written, the text after it, and the time in microseconds."""

    line: int
    number: str
    image: str
    t_us: int = 0


def _read_times(path: Path, unit: str | None) -> list[_TimeRow]:
    """Read a file of times; convert the times to microseconds."""
    try:
        lines = read_bytes(path, MAX_TIMES_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise VideoError(f"{path}: cannot be read as a file of times ({error})") from error

    rows: list[_TimeRow] = []
    header_unit: str | None = None
    for line, text in enumerate(lines, start=1):
        number, _, image = re.sub(r"[,;\s]+", " ", text.strip(), count=1).partition(" ")

        # Skip empty lines, comments and, before the first time, a header; it may name the unit.
        is_header = not rows and re.match("[A-Za-z]", number)
        if not text.strip() or text.lstrip().startswith("#") or is_header:
            heading = HEADER_UNIT.search(text)
            header_unit = heading["unit"] if heading and not rows else header_unit
            continue

        # A second number would leave open which of them is the time.
        if not NUMBER.fullmatch(number):
            raise VideoError(f"{path}: line {line}: wrong time (found {number!r}, expected a number)")
        if NUMBER.fullmatch(re.split(r"[,;\s]", image)[0]):
            raise VideoError(
                f"{path}: line {line}: wrong form (found {text.strip()!r}, expected a time and optionally a file name)"
            )
        rows.append(_TimeRow(line, number, image))

    if not rows:
        return []
    return _convert_times(path, rows, unit or header_unit or _infer_unit(path, rows))


def _infer_unit(path: Path, rows: Sequence[_TimeRow]) -> str:
    """Return the unit "s" if the numbers are plausible as seconds."""
    advice = "use time_unit=UNIT to state the unit: s, ms, us or ns"
    if all(re.fullmatch("[+-]?[0-9]+", row.number) for row in rows):
        raise VideoError(f"{path}: integer times without a unit; {advice}")

    span_s = Decimal(rows[-1].number) - Decimal(rows[0].number)
    if span_s > LONGEST_ASSUMED_INTERVAL_S * (len(rows) - 1):
        raise VideoError(
            f"{path}: unknown unit of times (in seconds, {len(rows)} frames would take {span_s:.6g} s); {advice}"
        )
    return "s"


def _convert_times(path: Path, rows: Sequence[_TimeRow], unit: str) -> list[_TimeRow]:
    """Convert times to microseconds, and check that they are in range and increase."""
    timed: list[_TimeRow] = []
    for row in rows:
        # Decimal numbers: a float has too few digits for nanoseconds since 1970.
        exact_us = Decimal(row.number) * US_PER_UNIT[unit]
        if not 0 <= exact_us <= LATEST_FRAME_US:
            raise VideoError(
                f"{path}: line {row.line}: time out of range (found {row.number} {unit}, expected 0 to "
                f"{LATEST_FRAME_US} us)"
            )

        timed.append(replace(row, t_us=round(exact_us)))
        if len(timed) > 1 and timed[-1].t_us <= timed[-2].t_us:
            raise VideoError(
                f"{path}: line {row.line}: wrong time (found {row.number} {unit}, expected at least 1 us after the "
                "previous time)"
            )
    return timed
