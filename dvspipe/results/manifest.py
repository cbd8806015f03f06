"""Manifest of an output folder: the status of each input, across processes and machines.

Each process appends a `ManifestRow` to its own file when it starts an input, and another when the input is done or has
failed. The last row of an input is its status; `ManifestSummary` counts them.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ..base.errors import DvspipeError, FileError, count_noun, escape_controls
from ..base.files import MANIFEST, read_bytes
from ..base.texts import TextTable, show_name
from .tables import FileText, Record

CLOCK_STEP_S = 1e-6  # between two rows of a process, if the clock shows no difference
MIN_WORK_S = 60.0  # rates of shorter times are not meaningful
LAST_S = 253_402_300_800.0  # year 10000, in seconds since 1970

log = logging.getLogger(__name__)


class ManifestRow(Record):
    """A line of .manifest/HOST-PID.jsonl: status of an input at one time."""

    input: FileText
    """Absolute path of the video or recording; for a part of a film, followed by `@` and its times in seconds."""
    bytes: int
    """Size of the input in bytes; 0 if it cannot be read."""
    settings: str
    """Digest of the settings."""
    output: FileText
    """Output, relative to the output folder."""
    status: Literal["started", "done", "failed"]
    """`started` without a later row: work is in progress, or the worker was killed."""
    at: float = Field(ge=0, le=LAST_S)
    """Time of the row, in seconds since 1970; never earlier than existing rows, even if the clock is wrong."""
    seconds: float = Field(default=0.0, ge=0, le=LAST_S)
    """Duration of the work, in seconds."""
    events: int | None = None
    """Number of events; None if unknown, as when a worker was killed after completing the output."""
    noise_seed: int | None = None
    """Random seed of the noise of a simulated recording; None without noise."""
    error: FileText | None = None
    """Error message of a failure."""


class ManifestSummary(Record):
    """Output of `dvspipe manifest --json`: summary of all inputs of an output folder."""

    inputs: int
    """Number of inputs."""
    done: int
    """Number of completed inputs."""
    unfinished: int
    """Number of inputs in progress, or with a killed worker."""
    retries: int
    """Number of times that work on an input was restarted."""
    workers: int
    """Number of worker processes."""
    events: int
    """Total events of the completed inputs."""
    bytes: int
    """Total size of the completed inputs, in bytes."""
    work_s: float
    """Total working time of all processes, in seconds."""
    elapsed_s: float
    """Time from the first to the last row, including pauses between runs, in seconds."""
    failed: tuple[ManifestRow, ...]
    """Failed inputs, with their errors."""

    @property
    def inputs_per_hour(self) -> float:
        """Inputs completed per hour by one process."""
        return 3600 * self.done / self.work_s if self.work_s else 0.0

    def describe(self) -> Sequence[str | TextTable]:
        """Return the numbers and times, and the errors of the failed inputs."""
        work = f"{self.work_s / 3600:,.2f} process hours"
        if self.work_s >= MIN_WORK_S:
            work += f", {self.inputs_per_hour:,.0f} inputs per process hour"

        table = TextTable()
        table.add_row("inputs", f"{self.inputs:,}")
        table.add_row("done", f"{self.done:,}, {self.events:,} events, {self.bytes / 1e6:,.1f} MB")
        table.add_row("failed", f"{len(self.failed):,}")
        table.add_row("unfinished", f"{self.unfinished:,}")
        table.add_row("retries", f"{self.retries:,}")
        elapsed = timedelta(seconds=round(self.elapsed_s))
        table.add_row("time", f"{elapsed}, with {count_noun(self.workers, 'worker')}")
        table.add_row("work", work)

        return table, *(f"failed: {show_name(row.error)}" for row in self.failed)


@dataclass
class Entry:
    """Input in progress.

    Args:
        events: Number of its events; the work sets it.
        noise_seed: Random seed of its simulated noise; the work sets it.
    """

    events: int | None = None
    noise_seed: int | None = None


@dataclass(frozen=True)
class Manifest:
    """Manifest of an output folder. Each process appends to its own file, so none waits for another.

    Args:
        out: Output folder.

    Example:
        >>> with Manifest(tmp_path).record(Path("clip.mp4"), tmp_path / "clip.h5", "0f") as entry:
        ...     entry.events = 5
        >>> Manifest(tmp_path).summarize().events
        5
    """

    out: Path

    @contextmanager
    def record(self, source: Path, target: Path, settings: str, part: str = "") -> Iterator[Entry]:
        """Record that an input starts, and its outcome when the block ends; no outcome after an interrupt.

        Args:
            source: Input.
            target: Its output, in the output folder.
            settings: Digest of the settings.
            part: Part of the source that is the input; empty: the complete source.
        """
        begin_s = time.monotonic()
        entry = Entry()
        row = ManifestRow(
            input=name_input(source, part),
            bytes=_size(source),
            settings=settings,
            output=str(target.relative_to(self.out)),
            status="started",
            at=_clock(self.folder).now_s(),
        )
        self._append(row)

        def append_end(status: str, **outcome: object) -> None:
            times = {"at": _clock(self.folder).now_s(), "seconds": round(time.monotonic() - begin_s, 3)}
            self._append(row.model_copy(update={"status": status, **times, **outcome}))

        try:
            yield entry
        except DvspipeError as error:
            append_end("failed", error=escape_controls(error.message))
            raise

        append_end("done", events=entry.events, noise_seed=entry.noise_seed)

    def finish(self, inputs: Iterable[str]) -> None:
        """Record inputs as done if their worker was killed after completing the output.

        Args:
            inputs: Names of the inputs with complete output (`name_input`).
        """
        rows = self.read() if self.folder.is_dir() else {}
        for name in inputs:
            row = rows.get(name)
            if row is not None and row.status == "started":
                self._append(row.model_copy(update={"status": "done", "at": _clock(self.folder).now_s()}))

    @property
    def folder(self) -> Path:
        """Folder of the manifest files."""
        return self.out / MANIFEST

    def read(self) -> dict[str, ManifestRow]:
        """Read the last row of each input.

        Raises:
            FileError: If the manifest is missing or cannot be read.
        """
        return _last_rows(self._rows())

    def summarize(self) -> ManifestSummary:
        """Summarise the status of all inputs.

        Raises:
            FileError: If the manifest is missing or cannot be read.
        """
        rows = self._rows()
        last = _last_rows(rows).values()
        finished = [row for row in last if row.status == "done"]
        times = [row.at for row in rows]

        return ManifestSummary(
            inputs=len(last),
            done=len(finished),
            unfinished=sum(row.status == "started" for row in last),
            retries=sum(row.status == "started" for row in rows) - len(last),
            workers=len(self._files()),
            events=sum(row.events or 0 for row in finished),
            bytes=sum(row.bytes for row in finished),
            work_s=sum(row.seconds for row in rows),
            elapsed_s=max(times, default=0) - min(times, default=0),
            failed=tuple(row for row in last if row.status == "failed"),
        )

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            raise FileError(
                f"{self.out}: no manifest (expected {MANIFEST}; convert and infer write it for several inputs)"
            )

        return sorted(self.folder.glob("*.jsonl"))

    def _rows(self) -> list[ManifestRow]:
        rows = []
        for where, row in self.read_lines():
            if row is None:  # the process was killed while writing it
                log.warning("%s: incomplete or invalid, skipped", where)
            else:
                rows.append(row)

        return rows

    def read_lines(self) -> Iterator[tuple[str, ManifestRow | None]]:
        """Yield the location of each line with its row; the row is None if it is incomplete or invalid.

        Raises:
            FileError: If the manifest is missing or cannot be read.
        """
        for path in self._files():
            for number, line in enumerate(read_bytes(path).splitlines(), start=1):
                try:
                    row = ManifestRow.model_validate_json(line)
                except ValidationError:
                    yield f"{path}: line {number}", None
                else:
                    yield f"{path}: line {number}", row

    def _append(self, row: ManifestRow) -> None:
        """Append a row to the file of this process; only warn if that fails, because the output is still good."""
        path = self.folder / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        line = f"{row.model_dump_json()}\n".encode()

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                size = os.fstat(handle).st_size
                # A killed process with the same number may have left a partial line.
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    line = b"\n" + line

                # A partial line would make the next row invalid too: remove it.
                if os.write(handle, line) < len(line):
                    os.ftruncate(handle, size)
                    log.warning("%s: cannot be written (no space)", path)
            finally:
                os.close(handle)
        except OSError as error:
            log.warning("%s: cannot be written (%s)", path, error.strerror)


def name_input(source: Path, part: str = "") -> str:
    """Return the name of an input in the manifest: its absolute path, with unwritable characters escaped."""
    return escape_controls(f"{source.absolute()}{part}")


def _last_rows(rows: Iterable[ManifestRow]) -> dict[str, ManifestRow]:
    """Return the last row of each input; of two at the same time, the outcome."""
    by_time = sorted(rows, key=lambda row: (row.at, row.status != "started"))
    return {row.input: row for row in by_time}


class _Clock:
    """Clock of this process for a manifest: later than its rows at the start, and never going back."""

    def __init__(self, folder: Path) -> None:
        self._newest_s = 0.0
        with suppress(FileError):  # no manifest yet; an unreadable one is reported on writing
            rows = Manifest(folder.parent).read_lines()
            self._newest_s = max((row.at for _, row in rows if row is not None), default=0.0)

    def now_s(self) -> float:
        """Return the time in seconds since 1970."""
        self._newest_s = max(time.time(), self._newest_s + CLOCK_STEP_S)
        return self._newest_s


_clock = lru_cache(_Clock)  # one per folder: making it reads the manifest


def _size(source: Path) -> int:
    """Return the size of a file, or of all files in a folder; 0 if unreadable."""
    try:
        files = [path for path in source.iterdir() if path.is_file()] if source.is_dir() else [source]
        return sum(path.stat().st_size for path in files)
    except OSError:
        return 0
