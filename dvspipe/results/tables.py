"""The one way to write and read records: JSON for one, JSON Lines and CSV for rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from ..errors import FileError, FormatError, escape_controls
from ..files import read_bytes, write_text

Cell = str | int | float | bool | None

FileText = Annotated[str, AfterValidator(escape_controls)]
"""The name of a file, or a text that contains one; control characters and bytes outside UTF-8 are escaped."""


class Record(BaseModel):
    """Base of every record: frozen, with a name in files for each field, and documented field by field."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",  # computed fields are written, and computed again when read
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        ser_json_inf_nan="constants",
        use_attribute_docstrings=True,
    )

    def write(self, path: Path) -> None:
        """Write the record as JSON, complete or not at all.

        Raises:
            FileError: The file cannot be written.
        """
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the record that `write` wrote.

        Raises:
            FileError: The file is missing or cannot be read.
            FormatError: It holds something else.
        """
        return _validated(cls, read_bytes(path), str(path))

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """Return the record in a file, or None if the file is missing or holds something else."""
        try:
            return cls.read(path)
        except FileError:
            return None


class Row(Record):
    """A record of which there are many, written as JSON Lines with all fields and as CSV with its columns."""

    columns: ClassVar[tuple[str, ...]]
    """Names of the fields that the CSV file has, in its order."""

    def cells(self) -> dict[str, Cell]:
        """Return the value of each column."""
        values: dict[str, Cell] = self.model_dump()
        return {name: values[name] for name in self.columns}


RecordType = TypeVar("RecordType", bound=Record)
RowType = TypeVar("RowType", bound=Row)


def write_rows(rows: Sequence[RowType], kind: type[RowType], *, jsonl: Path, csv_path: Path) -> None:
    """Write rows as JSON Lines and as CSV, each complete or not at all.

    Args:
        rows: What to write; without any, the CSV file has a header alone.
        kind: Their model.
        jsonl: The file for all fields, one object per line.
        csv_path: The file for the columns; floating-point numbers have nine significant digits, and
            control characters are escaped.

    Raises:
        FileError: A file cannot be written.
    """
    write_text(jsonl, "".join(f"{row.model_dump_json()}\n" for row in rows))
    cells = [row.cells() for row in rows]
    table = io.StringIO()
    writer = csv.DictWriter(table, cells[0] if cells else kind.columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _text(value) for name, value in row.items()} for row in cells)
    write_text(csv_path, table.getvalue())


def read_rows(path: Path, kind: type[RecordType]) -> tuple[RecordType, ...]:
    """Return the records of a JSON Lines file.

    Raises:
        FileError: The file is missing or cannot be read.
        FormatError: A line holds something else.
    """
    lines = read_bytes(path).splitlines()
    return tuple(_validated(kind, line, f"{path}: line {number}") for number, line in enumerate(lines, start=1))


def _validated(kind: type[RecordType], content: bytes, where: str) -> RecordType:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, item['loc']))} {item['msg']}".strip() for item in error.errors()[:3])
        raise FormatError(f"{where}: not a {kind.__name__} as dvspipe writes it ({found})") from error


def _text(value: Cell) -> Cell:
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, str):
        return escape_controls(value)
    return "" if value is None else value
