"""Read files of frame times: a line per frame, with a time and optionally the name of its image.

Lines that do not begin with a number, such as a header, are skipped. Without a unit, numbers with a decimal point are
seconds. Times are exact decimal numbers until they are rounded to microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from ..base.errors import VideoError
from ..base.files import read_bytes
from .names import IMAGE_SUFFIXES

US_PER_UNIT = {"s": Decimal(10**6), "ms": Decimal(10**3), "us": Decimal(1), "ns": Decimal("0.001")}
ROW = re.compile(r"(?P<number>\d+(?P<fraction>\.\d*)?)(?:[,;\s]+(?P<image>[^,;\s]*[^,;\s\d.][^,;\s]*).*)?", re.ASCII)
"""A time, optionally followed by a name, which is not a number: a second number would leave open which is the time."""
MAX_TIMES_BYTES = 1 << 26  # maximum size of a file of times: 3 million frames


def read_times(path: Path, unit: str | None, images: Sequence[Path] = ()) -> tuple[int, ...]:
    """Read frame times in microseconds, which increase.

    Args:
        path: File of times.
        unit: Unit of the times; None: the unit in the file.
        images: Image files of the frames, whose names must match the names in the file.
    """
    try:
        lines = read_bytes(path, MAX_TIMES_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise VideoError(f"{path}: cannot be read as a file of times ({error})") from error

    times_us: list[int] = []
    rows = ((line, ROW.fullmatch(text.strip())) for line, text in enumerate(lines, start=1))
    for line, row in rows:
        if row is None:
            continue

        where = f"{path}: line {line}"
        if unit is None and row["fraction"] is None:
            raise VideoError(f"{where}: integer time without a unit; use time_unit=UNIT to set it: s, ms, us or ns")

        # Only names of images are compared: a file of times may have other columns.
        image = Path(row["image"] or "").name
        expected = images[len(times_us)].name if len(times_us) < len(images) else image
        if Path(image).suffix.lower() in IMAGE_SUFFIXES and image != expected:
            raise VideoError(f"{where}: wrong image (found {image}, expected {expected})")

        # Decimal numbers: a float has too few digits for nanoseconds since 1970.
        t_us = round(Decimal(row["number"]) * US_PER_UNIT[unit or "s"])
        if times_us and t_us <= times_us[-1]:
            raise VideoError(f"{where}: wrong time (found {t_us} us, expected more than {times_us[-1]} us)")
        times_us.append(t_us)
    return tuple(times_us)
