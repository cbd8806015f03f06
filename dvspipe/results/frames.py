"""Tables of frames of events."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, TextIO

from pydantic import ValidationError

from ..base.errors import FormatError
from .tables import Row


class FrameRow(Row):
    """times.csv: a frame of events."""

    columns: ClassVar[tuple[str, ...]] = ("file", "start_us", "end_us", "events")
    file: str
    """Picture or array, relative to the output folder."""
    start_us: int
    """Start of the window on the clock of the recording, in microseconds."""
    end_us: int
    """End of the window (exclusive)."""
    events: int
    """Number of events in the window."""


def write_frame_rows(rows: Iterable[FrameRow], file: TextIO) -> None:
    """Write rows as CSV to an open file, row by row."""
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(FrameRow.columns)

    for row in rows:
        writer.writerow(row.cells().values())


def read_frame_rows(path: Path) -> Iterator[FrameRow]:
    """Yield the rows of a CSV file written by `write_frame_rows`."""
    with path.open(encoding="utf-8", newline="") as file:
        try:
            for cells in csv.DictReader(file):
                yield FrameRow.model_validate(cells)
        except (ValidationError, csv.Error, UnicodeDecodeError) as error:
            raise FormatError(f"{path}: not a table of frames (expected {','.join(FrameRow.columns)})") from error
