"""`dataset.lock`: how a folder of recordings was made from its sources, and the digests of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from ..base.errors import Brief, count_noun
from ..base.files import read_bytes, write_text
from .tables import FileText, Record, parse_record

LOCK = "dataset.lock"
"""Name of the lock in the folder that it describes."""
SHA256_PATTERN = r"^[0-9a-f]{64}$"
SHOWN_DIGITS = 12  # digits of a digest in a message


class LockHeader(Record):
    """First line of dataset.lock: the conversion of all files."""

    format: Literal["dvspipe-lock-1"] = "dvspipe-lock-1"
    """Version of this format."""
    versions: dict[str, str]
    """Versions of dvspipe and of the packages that decode and simulate videos."""
    video: dict[str, JsonValue]
    """All settings for videos. `simulator.seed` draws the sensor, the name of a source the noise of its recording."""
    recording: dict[str, JsonValue]
    """All settings for recordings of other formats."""
    lists: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each list in the folder, such as splits.csv, by file name."""


class LockedFile(Record):
    """Further line of dataset.lock: a file, and its source."""

    file: FileText
    """Event file, relative to the folder, with forward slashes."""
    source: FileText
    """Source, relative to the folder that was converted. The noise of a recording is drawn from this name."""
    license: str | None = None
    """Licence of the source; None if unknown."""
    source_sha256: str = Field(pattern=SHA256_PATTERN)
    """SHA-256 of the source; of an image folder: of the lines that `sha256sum *` prints in it."""
    events_sha256: str = Field(pattern=SHA256_PATTERN)
    """SHA-256 of the events, whatever the format and compression of the file; see `dvspipe.events.digest_events`."""
    events: int = Field(ge=0)
    """Number of events."""
    duration_us: int = Field(ge=0)
    """Time from the first to the last event, in microseconds."""


@dataclass(frozen=True, repr=False)
class DataLock(Brief):
    """Content of a dataset.lock.

    Args:
        files: Files in the order of their names.
    """

    header: LockHeader
    files: tuple[LockedFile, ...]

    def __repr__(self) -> str:
        return f"DataLock({count_noun(len(self.files), 'file')}, dvspipe {self.header.versions.get('dvspipe')})"

    def write(self, path: str | Path) -> None:
        """Write the lock as JSON Lines, complete or not at all."""
        write_text(Path(path), "".join(f"{record.model_dump_json()}\n" for record in (self.header, *self.files)))

    @classmethod
    def read(cls, path: str | Path) -> DataLock:
        """Read a lock.

        Raises:
            FileError: If the file is missing or cannot be read.
            FormatError: If it is not a lock.
        """
        first, *others = read_bytes(Path(path)).splitlines() or [b""]
        header = parse_record(LockHeader, first, f"{path}: line 1")
        files = (
            parse_record(LockedFile, line, f"{path}: line {number}") for number, line in enumerate(others, start=2)
        )
        return cls(header, tuple(files))

    def find_other_sources(self, found: Mapping[str, str]) -> Iterator[str]:
        """Yield a line for each source that differs.

        Args:
            found: SHA-256 of sources by name.
        """
        expected = {file.source: file.source_sha256 for file in self.files}
        yield from _compare_digests(expected, found, "another source", "source missing", "source not in the lock")

    def find_other_files(self, found: Mapping[str, str], lists: Mapping[str, str]) -> Iterator[str]:
        """Yield a line for each event file and list that differs.

        Args:
            found: SHA-256 of the events of files, by name.
            lists: SHA-256 of lists, by name.
        """
        yield from _compare_digests(self.events, found, "changed", "missing", "not in the lock")
        yield from _compare_digests(self.header.lists, lists, "changed", "missing", "not in the lock")

    @property
    def events(self) -> dict[str, str]:
        """SHA-256 of the events of each file, by name."""
        return {file.file: file.events_sha256 for file in self.files}


def _compare_digests(
    expected: Mapping[str, str], found: Mapping[str, str], changed: str, missing: str, extra: str
) -> Iterator[str]:
    """Yield a line for each name whose digests differ, or that only one of two has."""
    for name in sorted({*expected, *found}):
        if name not in found:
            yield f"{name}: {missing}"
        elif name not in expected:
            yield f"{name}: {extra}"
        elif expected[name] != found[name]:
            digests = f"found SHA-256 {found[name][:SHOWN_DIGITS]}..., expected {expected[name][:SHOWN_DIGITS]}..."
            yield f"{name}: {changed} ({digests})"
