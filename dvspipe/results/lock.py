"""`dataset.lock`: how a folder of recordings was made from its sources, and the digests of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, JsonValue

from .tables import FileText, Record

LOCK = "dataset.lock"
"""Name of the lock in the folder that it describes."""
SHA256_PATTERN = r"^[0-9a-f]{64}$"
SHOWN_DIGITS = 12  # digits of a digest in a message


class LockedFile(Record):
    """A file of a dataset.lock, and its source."""

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


class DataLock(Record):
    """dataset.lock: conversion of a folder, and the digests of its files and of their sources."""

    format: Literal["dvspipe-lock-2"] = "dvspipe-lock-2"
    """Version of this format."""
    versions: dict[str, str]
    """Versions of dvspipe and of the packages that decode and simulate videos."""
    settings: dict[str, JsonValue]
    """All settings of the conversion. `sensor_seed` draws the sensor, the name of a source its noise."""
    lists: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each list in the folder, such as splits.csv, by file name."""
    files: tuple[LockedFile, ...]
    """Files in the order of their names."""

    @property
    def events(self) -> dict[str, str]:
        """SHA-256 of the events of each file, by name."""
        return {file.file: file.events_sha256 for file in self.files}

    def find_other_sources(self, found: Mapping[str, str]) -> Iterator[str]:
        """Yield a line for each source that differs; `found`: SHA-256 of sources by name."""
        return _compare_digests({file.source: file.source_sha256 for file in self.files}, found)

    def find_other_files(self, found: Mapping[str, str], lists: Mapping[str, str]) -> Iterator[str]:
        """Yield a line for each event file and list that differs.

        Args:
            found: SHA-256 of the events of files, by name.
            lists: SHA-256 of lists, by name.
        """
        return _compare_digests(self.events | self.lists, {**found, **lists})


def _compare_digests(expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each name whose digests differ, or that only one of two has."""
    for name in sorted({*expected, *found}):
        if name not in found:
            yield f"{name}: missing"
        elif name not in expected:
            yield f"{name}: not in the lock"
        elif expected[name] != found[name]:
            digests = f"found SHA-256 {found[name][:SHOWN_DIGITS]}..., expected {expected[name][:SHOWN_DIGITS]}..."
            yield f"{name}: changed ({digests})"
