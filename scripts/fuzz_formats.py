"""Reads mutated recordings of every format: `python scripts/fuzz_formats.py --minutes 15`; exit code 1 with findings.

Whatever a file holds, reading it must end in an error of dvspipe's that names the file, or in events inside the sensor
and in order, up to damage that is told: no other exception, no crash, no hang, no memory beyond MOST_MB and
EVENT_BYTES for each event held. A case is a number: it makes the same file of the same seeds again.
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
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from fuzz_cases import Case, make_case, put
from fuzz_seeds import Seed, make_seeds

from dvspipe.checking import MOST_PIXELS, check_recording
from dvspipe.errors import CorruptionError, DvspipeError
from dvspipe.events import Events, concatenate
from dvspipe.formats import describe, open_recording, read

LIMIT_S = 10
MOST_MB = 300
BARE_MB = 150  # of these, a process that has imported dvspipe.formats has taken already
EVENT_BYTES = 24
DAT_STEP_US = 1 << 31  # a longer one may be an overflow of the clock that only decoding sees (formats/dat.py)
MOST_EVENTS_HELD = 1 << 22
ADDRESS_BYTES = 3 << 30  # more than a worker maps without reading; what lies about its size meets it
PROC = Path("/proc/self")


class FoundError(Exception):
    """A reader did what it must not."""


class Verdict(NamedTuple):
    """`read`, `damaged`, `refused` or `finding`, the format, and what was found."""

    kind: str
    format: str
    words: str = ""


def judge(path: Path, case: Case, *, limited: bool) -> str:
    """Reads a file in every way: `read`, `damaged` or `refused`.

    Raises:
        FoundError: A reader did what it must not; so is any other exception.
    """
    given = {"sensor": case.sensor, "hints": case.seed.hints}
    peak = _Peak(limited=limited)
    try:
        recording = open_recording(path, **given)  # type: ignore[arg-type]
    except DvspipeError as error:
        _require(path.name in str(error), f"the error does not name the file: {error}")
        peak.check(0)
        return "refused"
    damage: list[CorruptionError] = []
    parts, count = [Events.empty(recording.sensor)], 0
    for part in recording.chunks(on_damage=damage.append):
        count += len(part)
        parts += [part] if count <= MOST_EVENTS_HELD else []
    peak.check(min(count, MOST_EVENTS_HELD))
    verdict = "damaged" if damage else "read"
    _require(all(path.name in str(error) for error in damage), f"the damage does not name the file: {damage}")
    if count > MOST_EVENTS_HELD:
        return verdict
    ahead = concatenate(parts, recording.sensor)
    if case.done == ("cut",):
        _require(_is_prefix(ahead, case.seed.events), "events of a cut file are not the first of the whole one")
    try:
        whole = read(path, **given)  # type: ignore[arg-type]
    except CorruptionError:
        _require(bool(damage), "read tells damage that chunks do not")
    else:
        _require(not damage, "read does not tell damage")
        _require(whole == ahead, "read and chunks give other events")
    peak.check(2 * count)
    if recording.sensor.width * recording.sensor.height <= MOST_PIXELS:
        report = check_recording(path, **given)  # type: ignore[arg-type]
        _require(report.wrong == bool(damage), f"check says {report.findings}, chunks {damage}")
    peak.check(2 * count)
    if not damage and not (recording.format == "dat" and np.diff(ahead.t).max(initial=0) > DAT_STEP_US):
        _check_shortcuts(path, case, ahead)
    return verdict


def _check_shortcuts(path: Path, case: Case, events: Events) -> None:
    """What is told, or found in time, without decoding all, is what decoding gives."""
    recording = open_recording(path, sensor=case.sensor, hints=case.seed.hints)
    found = describe(path, sensor=case.sensor, hints=case.seed.hints)
    times = events.t.tolist() or [None]
    told = (found.events, found.t_first_us, found.t_last_us)
    _require(told == (len(events), times[0], times[-1]), f"describe says {told}")
    if len(events):
        start_us, stop_us = times[len(times) // 3], times[2 * len(times) // 3] + 1
        part = concatenate(recording.chunks(start_us, stop_us), recording.sensor)
        _require(part == events.slice_time(start_us, stop_us), f"other events from {start_us} to {stop_us} us")


def _is_prefix(part: Events, whole: Events) -> bool:
    columns = ((getattr(part, name), getattr(whole, name)) for name in "txyp")
    return all(np.array_equal(column, full[: len(part)]) for column, full in columns)


def _require(right: bool, words: str) -> None:
    if not right:
        raise FoundError(words)


class _Peak:
    """How much memory this process has taken since a moment (Linux)."""

    def __init__(self, *, limited: bool) -> None:
        self._limited = limited and (PROC / "clear_refs").exists()
        if self._limited:
            ctypes.CDLL(None).malloc_trim(0)  # what cases before this one have left
            (PROC / "clear_refs").write_text("5")
            self._before_mb = self._peak_mb()

    def check(self, events_held: int) -> None:
        if self._limited:
            taken_mb = self._peak_mb() - self._before_mb
            allowed_mb = MOST_MB - BARE_MB + EVENT_BYTES * events_held / 1e6
            _require(taken_mb <= allowed_mb, f"takes {taken_mb:.0f} MB with {events_held} events held")

    def _peak_mb(self) -> float:
        found = re.search(r"VmHWM:\s+(\d+) kB", (PROC / "status").read_text())
        assert found
        return int(found[1]) * 1024 / 1e6


def run_case(number: int, seeds: list[Seed], folder: Path, *, limited: bool = False) -> Verdict:
    """Makes the file of a case, reads it, and removes it."""
    case = make_case(number, seeds)
    path = folder / f"case{number}{case.suffix}"
    put(case, path)
    try:
        return Verdict(judge(path, case, limited=limited), case.seed.format)
    except BaseException as error:  # a panic of faery's Rust is one
        if isinstance(error, KeyboardInterrupt):
            raise
        words = str(error) if isinstance(error, FoundError) else traceback.format_exc()
        return Verdict("finding", case.seed.format, words)
    finally:
        path.rmdir() if path.is_dir() else path.unlink()


def _work(connection: Connection, seeds: list[Seed], folder: Path) -> None:
    """A worker: answers numbers of cases with verdicts, after reading all seeds once, which compiles."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for seed in seeds:
        path = folder / f"seed{seed.suffix}"
        path.write_bytes(seed.content)
        with suppress(Exception):
            judge(path, Case(seed, None, seed.suffix, (), seed.sensor), limited=False)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    connection.send(None)
    while (number := connection.recv()) is not None:
        connection.send(run_case(number, seeds, folder, limited=True))


class _Worker:
    """A process that runs cases and may die of one."""

    def __init__(self, seeds: list[Seed]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dvspipe-fuzz-"))
        self._connection, other = multiprocessing.Pipe()
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=_work, args=(other, seeds, self._folder), daemon=True)
        self._process.start()
        other.close()
        self._connection.recv()

    def run(self, number: int) -> Verdict | str:
        """The verdict, or what became of the process."""
        try:
            self._connection.send(number)
            if not self._connection.poll(LIMIT_S):
                return f"takes more than {LIMIT_S} s"
            verdict: Verdict = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return f"ends the process with {self._process.exitcode}"
        return verdict

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)


def fuzz(seeds: list[Seed], numbers: Iterator[int], until_s: float, tell: Callable[[int, Case, Verdict], None]) -> None:
    """Runs cases in one worker until a time."""
    worker = _Worker(seeds)
    for number in numbers:
        if time.monotonic() >= until_s:
            break
        told = worker.run(number)
        case = make_case(number, seeds)
        told = Verdict("finding", case.seed.format, told) if isinstance(told, str) else told
        if told.kind == "finding":  # whose memory may be left
            worker.end()
            worker = _Worker(seeds)
        tell(number, case, told)
    worker.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first case")
    parser.add_argument("--format", help="the only format to read")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="the folder for files with findings")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    data = os.environ.get("DVSPIPE_TEST_DATA")
    seeds = [seed for seed in make_seeds(Path(data) if data else None) if arguments.format in (None, seed.format)]
    counts: Counter[tuple[str, str]] = Counter()
    lock = threading.Lock()

    def tell(number: int, case: Case, verdict: Verdict) -> None:
        with lock:
            counts[verdict.format, verdict.kind] += 1
            if verdict.kind == "finding":
                arguments.keep.mkdir(parents=True, exist_ok=True)
                path = arguments.keep / f"{number}{case.suffix}"
                path.with_name(f"{path.name}.why").write_text(f"{case.seed.name} {case.done}\n{verdict.words}\n")
                if case.content is not None:
                    path.write_bytes(case.content)
                last = verdict.words.strip().splitlines()[-1][:200]
                print(f"{number} {case.seed.name} {'+'.join(case.done)}: {last}", flush=True)

    numbers, until_s = itertools.count(arguments.seed), time.monotonic() + 60 * arguments.minutes
    watchers = [
        threading.Thread(target=fuzz, args=(seeds, numbers, until_s, tell)) for _ in range(max(1, arguments.workers))
    ]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    kinds = ("read", "damaged", "refused", "finding")
    print(f"{'format':14}{'tried':>9}" + "".join(f"{kind:>9}" for kind in kinds))
    for name in sorted({name for name, _ in counts}):
        tried = [counts[name, kind] for kind in kinds]
        print(f"{name:14}{sum(tried):9}" + "".join(f"{count:9}" for count in tried))
    print(f"{counts.total()} files in {arguments.minutes:g} minutes")
    sys.exit(any(kind == "finding" for _, kind in counts))


if __name__ == "__main__":
    main()
