"""Labels of a recording: what it shows over time, read from a label file."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from ..base.errors import DataError
from .tables import Record, read_csv

LATEST_LABEL_US = 1 << 60  # 36,000 years; sums of two times stay below 2^63
MAX_LABEL_BYTES = 1 << 24  # maximum size of a label file: 500,000 labels
SUFFIX = "_labels.csv"
UNITS_US = {"us": 1, "usec": 1, "ms": 1_000, "s": 1_000_000, "sec": 1_000_000}
FIELDS = {"class": "class", "label": "class", "start": "t_start_us", "end": "t_end_us", "stop": "t_end_us"}
"""Fields of a label by the names of columns, without `time` and units."""
Time = Annotated[int, Field(ge=-LATEST_LABEL_US, le=LATEST_LABEL_US)]

log = logging.getLogger(__name__)


class LabelRow(Record):
    """Label of a part of a recording."""

    t_start_us: Time
    """Start on the recording's clock in microseconds, inclusive."""
    t_end_us: Time
    """End in microseconds, exclusive."""
    class_name: str = Field(validation_alias="class", serialization_alias="class", min_length=1)
    """Name of the class."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.t_end_us <= self.t_start_us:
            raise ValueError("the end is not after the start")
        return self


def read_labels(path: Path) -> tuple[LabelRow, ...]:
    r"""Read a label file; the labels are sorted by time.

    The header names the columns of the class (`class`, `label`), and of the start and the end with their units, in any
    order. IBM's header for DVS128 Gesture is `class,startTime_usec,endTime_usec`; `start_s`, `end_ms` and `stop_us` are
    also supported. A label that overlaps the next one is truncated at its start, with a warning, because an event has
    only one label. (DVS128 Gesture has one overlap, class 9 of user22_led.)

    Raises:
        FileError: If the file cannot be read.
        DataError: If the file does not have this form; the message names the line.

    Example:
        >>> path = tmp_path / "a_labels.csv"
        >>> _ = path.write_text("class,start_s,end_s\nclap,0.5,2")
        >>> read_labels(path)
        (LabelRow(t_start_us=500000, t_end_us=2000000, class_name='clap'),)
    """
    header, rows = read_csv(path, MAX_LABEL_BYTES)
    columns: dict[str, tuple[str, int]] = {}
    for column in header:
        name, _, unit = column.strip().lower().partition("_")
        field = FIELDS.get(name.removesuffix("time"), "")
        if field == "class" or (field and unit in UNITS_US):
            columns[field] = column, UNITS_US.get(unit, 1)

    if not columns.keys() >= {*FIELDS.values()}:
        expected = f"class,start_us,end_us, with one of the units {', '.join(UNITS_US)}"
        raise DataError(f"{path}: wrong columns (found {','.join(header)}, expected such as {expected})")

    labels = []
    name_column, _ = columns.pop("class")
    for where, cells in rows:
        try:
            times_us = {field: round(float(cells[column]) * unit_us) for field, (column, unit_us) in columns.items()}
            labels.append(LabelRow.model_validate({"class": cells[name_column].strip(), **times_us}))
        except (ValueError, OverflowError) as error:
            line = ",".join(cells.values())
            raise DataError(f"{where}: {line!r} is not a class with a start and a later end") from error

    return _truncate_overlaps(path, sorted(labels, key=lambda label: (label.t_start_us, label.t_end_us)))


def _truncate_overlaps(path: Path, labels: list[LabelRow]) -> tuple[LabelRow, ...]:
    """End each of the sorted labels at the start of the next one at the latest."""
    for k, (label, following) in enumerate(pairwise(labels)):
        start_us = following.t_start_us
        if label.t_end_us <= start_us:
            continue

        names = f"class {label.class_name} until {label.t_end_us} us, class {following.class_name} from {start_us} us"
        if label.t_start_us == start_us:  # truncated, the label would be empty
            raise DataError(f"{path}: two labels start at the same time ({names})")
        log.warning("%s: two labels overlap (%s); the first one is truncated", path, names)
        labels[k] = label.model_copy(update={"t_end_us": start_us})

    return tuple(labels)
