"""Fuzz the readers of every format: `python scripts/faults/fuzz_formats.py --minutes 15`; exit code 1 with findings.

Whatever a file contains, reading must either raise a dvspipe error that names the file, or return ordered events inside
the sensor up to a reported corruption. Findings are any other exception, a crash, a hang, or more memory than MAX_MB
plus EVENT_BYTES per event in memory. The number of a case determines its file, given the same seeds.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, Protocol

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))  # contains encoders.py
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from fuzz_cases import Case, create_file, make_case
from fuzz_seeds import Seed, make_seeds

from dvspipe.base.errors import CorruptionError, DvspipeError
from dvspipe.events import Events, concatenate
from dvspipe.events.filters import MAX_PIXELS
from dvspipe.formats import info, open_recording, read
from dvspipe.verbs.inspection import check

LIMIT_S = 10
MAX_MB = 300
BARE_MB = 150  # memory after importing dvspipe.formats
EVENT_BYTES = 24
DAT_STEP_US = 1 << 31  # longer gaps may be clock overflows that only decoding detects (formats/dat.py)
MAX_EVENTS = 1 << 22
ADDRESS_BYTES = 2 << 30  # limit of the address space, exceeded by files with a false size
PROC = Path("/proc/self")


class RuleError(Exception):
    """A reader broke a rule."""


class Verdict(NamedTuple):
    """Result of a case: `read`, `corrupted`, `refused` or `finding`; the format; and the message of a finding."""

    kind: str
    format: str
    message: str = ""


def check_reading(path: Path, case: Case, *, limited: bool) -> str:
    """Read a file with every reading function; return `read`, `corrupted` or `refused`.

    Raises:
        RuleError: If a reader breaks a rule. All other exceptions are findings too.
    """
    metadata = {"sensor": case.sensor, "hints": case.seed.hints}
    peak = _Peak(limited=limited)
    try:
        recording = open_recording(path, **metadata)  # type: ignore[arg-type]
    except DvspipeError as error:
        _require(path.name in str(error), f"the error does not name the file: {error}")
        peak.check(0)
        return "refused"

    errors: list[CorruptionError] = []
    parts = [Events.empty(recording.sensor)]
    count = 0
    for part in recording.chunks(on_corruption=errors.append):
        count += len(part)
        parts += [part] if count <= MAX_EVENTS else []

    peak.check(min(count, MAX_EVENTS))
    verdict = "corrupted" if errors else "read"
    _require(all(path.name in str(error) for error in errors), f"the error does not name the file: {errors}")
    if count > MAX_EVENTS:
        return verdict

    events = concatenate(parts, recording.sensor)
    if case.changes == ("cut",):
        _require(_is_prefix(events, case.seed.events), "events of a truncated file are not a prefix")
    try:
        all_events = read(path, **metadata)  # type: ignore[arg-type]
    except CorruptionError:
        _require(bool(errors), "read finds corruption, chunks do not")
    else:
        _require(not errors, "chunks find corruption, read does not")
        _require(all_events == events, "read and chunks return different events")

    peak.check(2 * count)
    if recording.sensor.width * recording.sensor.height <= MAX_PIXELS:
        report = check(path, **metadata)  # type: ignore[call-overload]
        _require(report.wrong == bool(errors), f"check finds {report.findings}, chunks {errors}")

    peak.check(2 * count)
    if not errors and not (recording.format == "dat" and np.diff(events.t).max(initial=0) > DAT_STEP_US):
        _check_shortcuts(path, case, events)
    return verdict


def _check_shortcuts(path: Path, case: Case, events: Events) -> None:
    """Check that extents and parts read without complete decoding equal the result of complete decoding."""
    recording = open_recording(path, sensor=case.sensor, hints=case.seed.hints)
    found = info(path, sensor=case.sensor, hints=case.seed.hints)
    times = events.t.tolist() or [None]
    extent = (found.events, found.t_first_us, found.t_last_us)
    _require(extent == (len(events), times[0], times[-1]), f"describe returns {extent}")

    if len(events):
        start_us = times[len(times) // 3]
        stop_us = times[2 * len(times) // 3] + 1
        part = concatenate(recording.chunks(start_us, stop_us), recording.sensor)
        _require(part == events.slice_time(start_us, stop_us), f"different events from {start_us} to {stop_us} us")


def _is_prefix(part: Events, events: Events) -> bool:
    columns = ((getattr(part, name), getattr(events, name)) for name in "txyp")
    return all(np.array_equal(column, full[: len(part)]) for column, full in columns)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RuleError(message)


class _Peak:
    """Peak memory of this process since the object was created (Linux)."""

    def __init__(self, *, limited: bool) -> None:
        self._limited = limited and (PROC / "clear_refs").exists()
        if self._limited:
            ctypes.CDLL(None).malloc_trim(0)  # returns memory of earlier cases
            (PROC / "clear_refs").write_text("5")
            self._before_mb = self._peak_mb()

    def check(self, events: int) -> None:
        if self._limited:
            used_mb = self._peak_mb() - self._before_mb
            allowed_mb = MAX_MB - BARE_MB + EVENT_BYTES * events / 1e6
            _require(used_mb <= allowed_mb, f"uses {used_mb:.0f} MB with {events} events in memory")

    def _peak_mb(self) -> float:
        found = re.search(r"VmHWM:\s+(\d+) kB", (PROC / "status").read_text())
        assert found
        return int(found[1]) * 1024 / 1e6


def run_case(number: int, seeds: list[Seed], folder: Path, *, limited: bool = False) -> Verdict:
    """Create the file of a case, read it, and remove it."""
    case = make_case(number, seeds)
    path = folder / f"case{number}{case.suffix}"
    create_file(case, path)
    try:
        return Verdict(check_reading(path, case, limited=limited), case.seed.format)
    except BaseException as error:  # includes panics of faery's Rust code
        if isinstance(error, KeyboardInterrupt):
            raise
        message = str(error) if isinstance(error, RuleError) else traceback.format_exc()
        return Verdict("finding", case.seed.format, message)
    finally:
        path.rmdir() if path.is_dir() else path.unlink()


class Job(Protocol):
    """Numbered cases for a worker; picklable."""

    @property
    def address_bytes(self) -> int:
        """Maximum additional address space of a case in bytes."""

    def prepare(self, folder: Path) -> None:
        """Load and compile all code, and write files that the cases need to a folder."""

    def run(self, number: int, folder: Path) -> Verdict:
        """Run a case."""

    def name(self, number: int) -> str:
        """Return the kind of a case."""


@dataclass(frozen=True)
class Reading:
    """Cases of `make_case`: a changed recording is read."""

    seeds: list[Seed]
    address_bytes: int = ADDRESS_BYTES

    def prepare(self, folder: Path) -> None:
        """Read all seeds once."""
        for seed in self.seeds:
            path = folder / f"seed{seed.suffix}"
            path.write_bytes(seed.content)
            with suppress(Exception):
                check_reading(path, Case(seed, None, seed.suffix, (), seed.sensor), limited=False)

    def run(self, number: int, folder: Path) -> Verdict:
        """Read the file of a case."""
        return run_case(number, self.seeds, folder, limited=True)

    def name(self, number: int) -> str:
        """Return the format of the seed."""
        return make_case(number, self.seeds).seed.format


def _work(connection: Connection, job: Job, folder: Path) -> None:
    """Main function of a worker: receive numbers of cases and send verdicts."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    job.prepare(folder)
    max_bytes = int((PROC / "statm").read_text().split()[0]) * resource.getpagesize() + job.address_bytes
    resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
    connection.send(None)
    while (number := connection.recv()) is not None:
        connection.send(job.run(number, folder))


class _Worker:
    """Process that runs cases; a case may crash it."""

    def __init__(self, job: Job) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dvspipe-fuzz-"))
        self._connection, other = multiprocessing.Pipe()
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=_work, args=(other, job, self._folder), daemon=True)
        self._process.start()
        other.close()
        self._connection.recv()

    def run(self, number: int, limit_s: float) -> Verdict | str:
        """Return the verdict, or a description of a crash or timeout."""
        try:
            self._connection.send(number)
            if not self._connection.poll(limit_s):
                return f"timeout after {limit_s} s"
            verdict: Verdict = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return f"crash with exit code {self._process.exitcode}"
        return verdict

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)


def run_cases(job: Job, numbers: Iterable[int], *, limit_s: float = LIMIT_S) -> Iterator[tuple[int, Verdict]]:
    """Yield the verdicts of cases, run in one worker. The worker is replaced after a crash or a finding."""
    worker = _Worker(job)
    try:
        for number in numbers:
            verdict = worker.run(number, limit_s)
            verdict = Verdict("finding", job.name(number), verdict) if isinstance(verdict, str) else verdict
            if verdict.kind == "finding":  # may have leaked memory
                worker.end()
                worker = _Worker(job)

            yield number, verdict
    finally:
        worker.end()


def fuzz(
    seeds: list[Seed], numbers: Iterator[int], until_s: float, report: Callable[[int, Case, Verdict], None]
) -> None:
    """Run cases in one worker until `until_s` of the monotonic clock."""
    in_time = itertools.takewhile(lambda _: time.monotonic() < until_s, numbers)
    for number, verdict in run_cases(Reading(seeds), in_time):
        report(number, make_case(number, seeds), verdict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0, help="number of the first case (default: 0)")
    parser.add_argument("--format", help="fuzz only this format (default: all)")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path("fuzz-findings"),
        help="folder for files with findings (default: fuzz-findings)",
    )
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    data = os.environ.get("DVSPIPE_TEST_DATA")
    seeds = [seed for seed in make_seeds(Path(data) if data else None) if arguments.format in (None, seed.format)]
    counts: Counter[tuple[str, str]] = Counter()
    lock = threading.Lock()

    def report(number: int, case: Case, verdict: Verdict) -> None:
        with lock:
            counts[verdict.format, verdict.kind] += 1
            if verdict.kind == "finding":
                arguments.keep.mkdir(parents=True, exist_ok=True)
                path = arguments.keep / f"{number}{case.suffix}"
                path.with_name(f"{path.name}.why").write_text(f"{case.seed.name} {case.changes}\n{verdict.message}\n")
                if case.content is not None:
                    path.write_bytes(case.content)
                last = verdict.message.strip().splitlines()[-1][:200]
                print(f"{number} {case.seed.name} {'+'.join(case.changes)}: {last}", flush=True)

    numbers = itertools.count(arguments.seed)
    until_s = time.monotonic() + 60 * arguments.minutes
    watchers = [
        threading.Thread(target=fuzz, args=(seeds, numbers, until_s, report)) for _ in range(max(1, arguments.workers))
    ]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    kinds = ("read", "corrupted", "refused", "finding")
    print(f"{'format':14}{'tried':>9}" + "".join(f"{kind:>10}" for kind in kinds))
    for name in sorted({name for name, _ in counts}):
        tried = [counts[name, kind] for kind in kinds]
        print(f"{name:14}{sum(tried):9}" + "".join(f"{count:10}" for count in tried))

    print(f"{counts.total()} files in {arguments.minutes:g} minutes")
    sys.exit(any(kind == "finding" for _, kind in counts))


if __name__ == "__main__":
    main()
