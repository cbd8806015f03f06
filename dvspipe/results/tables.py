"""Reading and writing of records: JSON for single records, JSON Lines and CSV for rows.

A `Record` is a frozen model that reads and writes its own file; a `Row` is a record with many instances in one file.
A `Folder` lists the files of an output folder as class attributes, each a `FolderFile`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from ..base.errors import DataError, FileError, FormatError, brief, escape_controls
from ..base.files import read_bytes, write_text
from ..base.texts import Described

Cell = str | int | float | bool | None
MAX_LISTED_ERRORS = 3
CSV_DIGITS = 9  # enough to tell float32 numbers apart
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n")  # OWASP, "CSV Injection"; other controls are escaped

FileText = Annotated[str, AfterValidator(escape_controls)]
"""File name, or text with one; control characters and bytes outside UTF-8 are escaped."""


@dataclass(frozen=True)
class Folder:
    """Folder whose class lists its files."""

    path: Path


class FolderFile:
    """File of a folder in the table of its class; as an attribute of the folder, its path.

    Args:
        name: Name below `path` of the folder.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: Folder | None, _: type) -> Path:
        return Path(self.name) if folder is None else folder.path / self.name


class Record(Described, BaseModel):
    """Base class of records: frozen, with a documented name in files for each field."""

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="ignore",  # computed fields are written, and recomputed after reading
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        ser_json_inf_nan="constants",
    )

    def __repr__(self) -> str:
        shown = (f"{name}={brief(getattr(self, name))}" for name in type(self).model_fields)
        return f"{type(self).__name__}({', '.join(shown)})"

    def write(self, path: str | Path) -> None:
        """Write the record as JSON, complete or not at all.

        Raises:
            FileError: If the file cannot be written.
        """
        write_text(Path(path), self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a record written by `write`.

        Raises:
            FileError: If the file is missing or cannot be read.
            FormatError: If the content is not such a record.
        """
        return parse_record(cls, read_bytes(Path(path)), str(path))

    @classmethod
    def find(cls, path: str | Path) -> Self | None:
        """Read a record, or return None if the file is missing or invalid."""
        try:
            return cls.read(path)
        except FileError:
            return None


class Row(Record):
    """Record with many instances, written as JSON Lines (all fields) and CSV (selected columns)."""

    columns: ClassVar[tuple[str, ...]]
    """Names of the columns of the CSV file, in order."""

    def cells(self) -> dict[str, Cell]:
        """Return the value of each CSV column."""
        values: dict[str, Cell] = self.model_dump()
        return {name: values[name] for name in self.columns}


RecordType = TypeVar("RecordType", bound=Record)
RowType = TypeVar("RowType", bound=Row)


def write_rows(rows: Sequence[RowType], kind: type[RowType], jsonl: Path, csv_path: Path | None = None) -> None:
    """Write rows as JSON Lines and CSV, each file complete or not at all.

    Args:
        rows: Rows to write; if empty, the CSV file has only a header.
        kind: Model of the rows.
        jsonl: File for all fields, one object per line.
        csv_path: File for the columns; None: `jsonl` with the suffix `.csv`.

    Raises:
        FileError: If a file cannot be written.
    """
    write_text(jsonl, "".join(f"{row.model_dump_json()}\n" for row in rows))

    # Columns may depend on the content, such as the layers of a network: the first row has them all.
    cells = [row.cells() for row in rows]
    write_csv(csv_path or jsonl.with_suffix(".csv"), cells[0] if cells else kind.columns, cells)


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Cell]]) -> None:
    """Write a CSV file for people and spreadsheets; see `_format_cell`."""
    cells = ({name: _format_cell(value) for name, value in row.items()} for row in rows)
    write_text(path, format_csv(columns, cells))


def format_csv(columns: Iterable[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """Return rows as the text of a CSV file with a header; values are written as they are."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(columns), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def read_csv(path: Path, most: int) -> tuple[Sequence[str], Iterator[tuple[str, dict[str, str]]]]:
    """Return the header and the rows of a CSV file: cells by column, each with its place for messages.

    Args:
        path: Input file.
        most: Maximum size in bytes.

    Raises:
        FileError: If the file is missing, cannot be read, or is too large.
        DataError: If it is not a CSV file.
    """

    def read_rows() -> Iterator[tuple[str, dict[str, str]]]:
        with _as_data_errors(path):
            for cells in table:
                yield f"{path}: line {table.line_num}", cells

    with _as_data_errors(path):
        text = read_bytes(path, most).decode("utf-8-sig")
        table = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="")
        return table.fieldnames or (), read_rows()


@contextmanager
def _as_data_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file ({error})") from error


def read_table(path: Path, kind: type[RecordType], columns: Sequence[str], most: int) -> list[RecordType]:
    """Read the records of a CSV file; empty cells have their defaults.

    Args:
        path: Input file.
        kind: Model of a line.
        columns: Columns that the file must have.
        most: Maximum size in bytes.

    Raises:
        FileError: If the file is missing, cannot be read, or is too large.
        DataError: If a column is missing, or a line is not such a record; the message names the line.
    """
    header, rows = read_csv(path, most)
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(f"{path}: no column {missing[0]} (found {','.join(header)}, expected {','.join(columns)})")

    records = []
    for where, cells in rows:
        try:
            records.append(kind.model_validate({name: value for name, value in cells.items() if value}))
        except ValidationError as error:
            raise DataError(f"{where}: not a valid {kind.__name__} ({list_errors(error)})") from error
    return records


def read_rows(path: str | Path, kind: type[RecordType]) -> tuple[RecordType, ...]:
    """Read the records of a JSON Lines file.

    Raises:
        FileError: If the file is missing or cannot be read.
        FormatError: If a line is not such a record.
    """
    lines = read_bytes(Path(path)).splitlines()
    return tuple(parse_record(kind, line, f"{path}: line {number}") for number, line in enumerate(lines, start=1))


def parse_record(kind: type[RecordType], content: bytes, where: str) -> RecordType:
    """Parse a record from JSON; `where` is its place in error messages."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise FormatError(f"{where}: not a valid {kind.__name__} ({list_errors(error)})") from error


def list_errors(error: ValidationError) -> str:
    """Return the first errors of a model as one line."""
    listed = error.errors()[:MAX_LISTED_ERRORS]
    return "; ".join(f"{'.'.join(map(str, item['loc']))} {item['msg']}".strip() for item in listed)


def _format_cell(value: Cell) -> Cell:
    """Return a value as a CSV file has it: nine significant digits, no control characters, empty for None.

    Text that a spreadsheet would execute as a formula gets a leading apostrophe.
    """
    if isinstance(value, float):
        return f"{value:.{CSV_DIGITS}g}"
    if isinstance(value, str):
        text = escape_controls(value)
        return f"'{text}" if text.startswith(FORMULA_STARTS) else text
    return "" if value is None else value
