"""The manifest of an output folder: what became of each input, whichever process on whichever machine worked on it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ..errors import DvspipeError, FileError
from ..files import MANIFEST
from .tables import Record

log = logging.getLogger(__name__)


class ManifestRow(Record):
    """A line of .manifest/HOST-PID.jsonl: an input at one time."""

    input: str
    """Absolute path of the video or recording."""
    bytes: int
    """Its size; 0 if it cannot be read."""
    settings: str
    """Digest of the settings of the work."""
    output: str
    """What is made of it, relative to the output folder."""
    status: Literal["started", "done", "failed"]
    """`started` without a later row: it is being worked on, or the worker was killed."""
    at: float
    """Time of the row, in seconds since 1970."""
    seconds: float = 0.0
    """How long the work took."""
    events: int | None = None
    """Number of events; None if it is not known, as for an output whose worker was killed after it was complete."""
    error: str | None = None
    """Why it failed."""


class ManifestSummary(Record):
    """The output of `dvspipe manifest --json`: all inputs of an output folder."""

    inputs: int
    """Number of inputs."""
    done: int
    """Number of inputs that are done."""
    unfinished: int
    """Number of inputs that are being worked on, or whose worker was killed."""
    retries: int
    """How often work on an input was started again."""
    workers: int
    """Number of processes that worked."""
    events: int
    """Events of all inputs that are done."""
    bytes: int
    """Size of these inputs."""
    work_s: float
    """Time of work, added up over all processes, in seconds."""
    elapsed_s: float
    """Time from the first row to the last in seconds, with the time between two runs."""
    failed: tuple[ManifestRow, ...]
    """Inputs that failed, with their errors."""

    @property
    def inputs_per_hour(self) -> float:
        """Inputs that one process finishes in an hour."""
        return 3600 * self.done / self.work_s if self.work_s else 0.0


@dataclass
class Entry:
    """An input while it is worked on.

    Args:
        events: Number of its events, set by the work.
    """

    events: int | None = None


@dataclass(frozen=True)
class Manifest:
    """The manifest of an output folder. Each process appends to a file of its own, so that none waits for another.

    Args:
        out: The output folder.

    Example:
        >>> with Manifest(tmp_path).record(Path("clip.mp4"), tmp_path / "clip.h5", "0f") as entry:
        ...     entry.events = 5
        >>> Manifest(tmp_path).summarize().events
        5
    """

    out: Path

    @contextmanager
    def record(self, source: Path, target: Path, settings: str) -> Iterator[Entry]:
        """Append that an input is started, and what became of it when the block ends; nothing after an interrupt.

        Args:
            source: The input.
            target: What is made of it, in the output folder.
            settings: Digest of the settings of the work.
        """
        begin_s, entry = time.monotonic(), Entry()
        row = ManifestRow(
            input=str(source.absolute()),
            bytes=_size(source),
            settings=settings,
            output=str(target.relative_to(self.out)),
            status="started",
            at=time.time(),
        )
        self._append(row)
        try:
            yield entry
        except DvspipeError as error:
            self._append(_ended(row, "failed", begin_s, error=error.message))
            raise
        self._append(_ended(row, "done", begin_s, events=entry.events))

    def finish(self, sources: Iterable[Path]) -> None:
        """Append that inputs are done whose worker was killed after their output was complete.

        Args:
            sources: Inputs whose output is complete.
        """
        rows = self.read() if self.folder.is_dir() else {}
        for source in sources:
            row = rows.get(str(source.absolute()))
            if row is not None and row.status == "started":
                self._append(row.model_copy(update={"status": "done", "at": time.time()}))

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.out / MANIFEST

    def read(self) -> dict[str, ManifestRow]:
        """Return the last row of each input.

        Raises:
            FileError: There is no manifest, or it cannot be read.
        """
        return _last_rows(self._rows())

    def summarize(self) -> ManifestSummary:
        """Return what became of all inputs.

        Raises:
            FileError: There is no manifest, or it cannot be read.
        """
        rows = self._rows()
        last = _last_rows(rows).values()
        done = [row for row in last if row.status == "done"]
        times = [row.at for row in rows]
        return ManifestSummary(
            inputs=len(last),
            done=len(done),
            unfinished=sum(row.status == "started" for row in last),
            retries=sum(row.status == "started" for row in rows) - len(last),
            workers=len(self._files()),
            events=sum(row.events or 0 for row in done),
            bytes=sum(row.bytes for row in done),
            work_s=sum(row.seconds for row in rows),
            elapsed_s=max(times, default=0) - min(times, default=0),
            failed=tuple(row for row in last if row.status == "failed"),
        )

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            raise FileError(f"{self.out}: no manifest (expected {MANIFEST}, which convert and infer write)")
        return sorted(self.folder.glob("*.jsonl"))

    def _rows(self) -> list[ManifestRow]:
        rows = []
        for path in self._files():
            try:
                lines = path.read_bytes().splitlines()
            except OSError as error:
                raise FileError(f"{path}: cannot be read ({error.strerror})") from error
            for number, line in enumerate(lines, start=1):
                try:
                    rows.append(ManifestRow.model_validate_json(line))
                except ValidationError:  # its process was killed while it wrote
                    log.warning("%s: line %d is not complete, skipped", path, number)
        return rows

    def _append(self, row: ManifestRow) -> None:
        """Append a row to the file of this process; if that fails, the output is still good, so it is a warning."""
        path = self.folder / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        line = f"{row.model_dump_json()}\n".encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":  # of a killed process with the same number
                    line = b"\n" + line
                if os.write(handle, line) < len(line):
                    os.ftruncate(handle, size)
                    log.warning("%s: cannot be written (no space)", path)
            finally:
                os.close(handle)
        except OSError as error:
            log.warning("%s: cannot be written (%s)", path, error.strerror)


def _last_rows(rows: Iterable[ManifestRow]) -> dict[str, ManifestRow]:
    return {row.input: row for row in sorted(rows, key=lambda row: (row.at, row.status != "started"))}


def _ended(
    row: ManifestRow,
    status: Literal["done", "failed"],
    begin_s: float,
    *,
    events: int | None = None,
    error: str | None = None,
) -> ManifestRow:
    return row.model_copy(
        update={
            "status": status, "at": time.time(), "seconds": round(time.monotonic() - begin_s, 3), "events": events,
            "error": error,
        }
    )  # fmt: skip


def _size(source: Path) -> int:
    """Return the size of a file, or of all files in a folder; 0 if it cannot be read."""
    try:
        files = [path for path in source.iterdir() if path.is_file()] if source.is_dir() else [source]
        return sum(path.stat().st_size for path in files)
    except OSError:
        return 0
