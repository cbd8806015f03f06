"""Read files of frame times: a line per frame, with a time and optionally the name of its image.

Empty lines, comments (#) and one header line are skipped. Without a unit, numbers with a decimal point are seconds.
Times are exact decimal numbers until they are rounded to microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ..base.errors import VideoError
from ..base.files import read_bytes
from .names import IMAGE_SUFFIXES

US_PER_UNIT = {"s": Decimal(10**6), "ms": Decimal(10**3), "us": Decimal(1), "ns": Decimal("0.001")}
MAX_US = 1 << 62
SEPARATOR = re.compile(r"[,;\s]+")
MAX_TIMES_BYTES = 1 << 26  # maximum size of a file of times: 3 million frames


def read_times(path: Path, unit: str | None, images: Sequence[Path] = ()) -> tuple[int, ...]:
    """Read frame times in microseconds, which are not negative and increase.

    Args:
        path: File of times.
        unit: Unit of the times; None: the unit in the file.
        images: Image files of the frames, whose names must match the names in the file.
    """
    try:
        lines = read_bytes(path, MAX_TIMES_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise VideoError(f"{path}: cannot be read as a file of times ({error})") from error

    texts = [(f"{path}: line {line}", text.strip()) for line, text in enumerate(lines, start=1)]
    rows = [(where, text, SEPARATOR.split(text)) for where, text in texts if text and not text.startswith("#")]
    if rows and _parse(rows[0][2][0]) is None:
        del rows[0]  # the header

    # Some programs write whole numbers of any unit as 1.0e+00: only a fraction shows that the times are seconds.
    numbers = [_parse(fields[0]) for _, _, fields in rows]
    has_fractions = any(number is not None and number != number.to_integral_value() for number in numbers)

    times_us: list[int] = []
    for number, (where, text, (field, *others)) in zip(numbers, rows, strict=True):
        # A second number would leave open which is the time.
        name = others[0] if others else ""
        if number is None or _parse(name) is not None:
            raise VideoError(f"{where}: not a time (found {text!r}, expected a number, optionally followed by a name)")
        is_in_seconds = has_fractions if "e" in field.lower() else "." in field
        if unit is None and not is_in_seconds:
            raise VideoError(f"{where}: integer time without a unit; use time_unit=UNIT to set it: s, ms, us or ns")

        # Only names of images are compared: a file of times may have other columns.
        image = Path(name).name
        expected = images[len(times_us)].name if len(times_us) < len(images) else image
        if Path(image).suffix.lower() in IMAGE_SUFFIXES and image != expected:
            raise VideoError(f"{where}: wrong image (found {image}, expected {expected})")

        # Decimal numbers: a float has too few digits for nanoseconds since 1970.
        factor = US_PER_UNIT[unit or "s"]
        if not 0 <= number < MAX_US / factor:
            raise VideoError(f"{where}: wrong time (found {field}, expected 0 or more, up to {MAX_US} us)")
        t_us = round(number * factor)
        if times_us and t_us <= times_us[-1]:
            raise VideoError(f"{where}: wrong time (found {t_us} us, expected more than {times_us[-1]} us)")
        times_us.append(t_us)
    return tuple(times_us)


def _parse(text: str) -> Decimal | None:
    """Return a finite decimal number in any notation of Python's floats; None if the text is no number."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
