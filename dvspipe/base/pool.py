"""Map a function over items in this process, in local processes, or on a Ray cluster; prefetch items in a thread.

A worker does one item at a time, so its death names the item. Everything else is `concurrent.futures`.
"""

from __future__ import annotations

import hashlib
import logging
import logging.handlers
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from .errors import Brief, ConfigError, DvspipeError, PartialError, WorkerError, escape_controls
from .kernels import refuse_settings
from .progress import NamedStep, Progress, ignore_progress

Item = TypeVar("Item")
Result = TypeVar("Result")

Work = Callable[[Item, Progress], Result]
"""Function applied to each item. It calls its progress between parts of an item, where it can be stopped."""

_Reply = tuple[Any, DvspipeError | None, list[logging.LogRecord]]  # result or error of an item, and log records
_Submit = Callable[..., Future[_Reply]]  # gives a worker an item
_Workers = Iterator[tuple[list[_Submit], tuple[type[Exception], ...]]]  # and the exceptions if one has died

HOME = str(Path(__file__).parents[2])  # the folder that contains dvspipe
SPAWN = multiprocessing.get_context("spawn")  # torch and OpenCV break in forked processes
AUTO = "auto"
SLURM_VARIABLES = tuple(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "COUNT"))
MAIN_PROCESS = "MainProcess"  # name that multiprocessing gives the first process
UNGUARDED = 75  # exit code of a worker that would start workers while it starts
POLL_S = 0.2  # interval between progress calls, each of which may stop the work
LOG = logging.getLogger("dvspipe")

_starting = threading.Lock()  # workers inherit the environment and `sys.path` of this process while they start
_received: list[Work[Any, Any]] = []  # in a worker: its work


@dataclass(frozen=True, repr=False)
class Outcome(Brief, Generic[Item, Result]):
    """Result or error of an item.

    Args:
        index: Index of the item in the sequence.
        item: The item.
        value: Result; None if there is an error.
        error: Error that ended the work; None if there is a result.
    """

    index: int
    item: Item
    value: Result | None
    error: DvspipeError | None

    def result(self) -> Result:
        """Return the result, or raise the error.

        Raises:
            DvspipeError: If the work failed.
        """
        if self.error is not None:
            raise self.error
        return cast(Result, self.value)


def map_items(
    work: Work[Item, Result],
    items: Iterable[Item],
    *,
    jobs: int | str = 1,
    ordered: bool = False,
    progress: Progress | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Apply `work` to each item and yield the outcomes.

    Workers end when the iterator is closed, and when this process ends. Their log records of the logger `dvspipe` are
    handled here.

    Args:
        work: Function called with an item and a progress callback; must be picklable for other processes. If it raises
            a `DvspipeError`, the error becomes the outcome of the item; other exceptions are raised here. If it kills
            its process, the outcome is a `WorkerError`, and the other items are processed.
        items: Items to process.
        jobs: Number of local processes, or the address of a Ray cluster: `ray` or `ray://HOST:PORT`. One job or item
            runs in this process.
        ordered: Whether to yield outcomes in the order of the items; default: in order of completion.
        progress: Callback called with the number of items done and in total, also between completions.

    Raises:
        ConfigError: If `jobs` is neither, or Ray is missing.
        WorkerError: If workers cannot start, or the cluster cannot be reached.

    Example:
        >>> def double(item, progress):
        ...     return 2 * item
        >>> [outcome.result() for outcome in map_items(double, [1, 2, 3])]
        [2, 4, 6]
    """
    items = list(items)
    progress = progress or ignore_progress
    is_valid = jobs.partition("://")[0] == "ray" if isinstance(jobs, str) else jobs > 0
    if not is_valid:
        raise ConfigError(f"jobs = {jobs}: expected a number of processes above 0, ray, or ray://HOST:PORT")

    if jobs == 1 or len(items) < 2:
        return _map_here(work, items, progress)

    outcomes = _map_in_workers(work, items, jobs, progress)
    return _in_order(outcomes) if ordered else outcomes


def collect(outcomes: Iterable[Outcome[Item, Result]], items: int, what: str) -> tuple[Result, ...]:
    """Return the results of several items; errors are logged as they come.

    Args:
        outcomes: Outcomes of `map_items`.
        items: Number of items.
        what: What failed, as in "3 of 5 recordings could not be read".

    Raises:
        DvspipeError: The error of a single item.
        PartialError: If some of several items failed, after all others.
    """
    results: list[Result] = []
    failed = 0
    for outcome in outcomes:
        if outcome.error is None:
            results.append(outcome.result())
        elif items == 1:
            raise outcome.error
        else:
            failed += 1
            LOG.error("skipped: %s", escape_controls(str(outcome.error)))

    if failed:
        raise PartialError(f"{failed:,} of {items:,} {what}", results, all_failed=failed == items)
    return tuple(results)


def _map_here(work: Work[Item, Result], items: Sequence[Item], progress: Progress) -> Iterator[Outcome[Item, Result]]:
    for index, item in enumerate(items):
        step = NamedStep(progress, str(item), index, len(items))
        step(0, 0)
        try:
            yield Outcome(index, item, work(item, step), None)
        except DvspipeError as error:
            yield Outcome(index, item, None, error)

    progress(len(items), len(items))


def _in_order(outcomes: Iterator[Outcome[Item, Result]]) -> Iterator[Outcome[Item, Result]]:
    """Yield outcomes in the order of the items; an outcome waits for earlier items."""
    waiting: dict[int, Outcome[Item, Result]] = {}
    following = 0
    for outcome in outcomes:
        waiting[outcome.index] = outcome
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _map_in_workers(
    work: Work[Item, Result], items: Sequence[Item], jobs: int | str, progress: Progress
) -> Iterator[Outcome[Item, Result]]:
    """Give each worker an item, and the next one when it is done; yield the outcomes in order of completion."""
    start = _connect_to_ray(work, jobs) if isinstance(jobs, str) else _start_processes(work, min(jobs, len(items)))
    remaining = iter(range(len(items)))
    running: dict[Future[_Reply], tuple[_Submit, int]] = {}
    completed = 0
    state = LOG.getEffectiveLevel(), os.getcwd()

    with start as (workers, crash):
        for submit, index in zip(workers, remaining, strict=False):
            running[submit(items[index], *state)] = submit, index

        while running:
            progress(completed, len(items))
            for future in wait(running, POLL_S, FIRST_COMPLETED).done:
                submit, index = running.pop(future)
                try:
                    value, error, records = future.result()
                except crash:
                    reason = "its worker process died, because a library crashed or memory ran out"
                    error = WorkerError(f"{items[index]}: {reason}")
                    value, records = None, []
                for record in records:
                    logging.getLogger(record.name).handle(record)

                # The worker gets its next item before the caller uses the outcome, so it does not wait.
                if (following := next(remaining, None)) is not None:
                    running[submit(items[following], *state)] = submit, following

                completed += 1
                yield Outcome(index, items[index], value, error)

    progress(completed, len(items))


def _attempt(work: Work[Any, Any], item: object, level: int, folder: str) -> _Reply:
    """Return the result or the error of an item, and the log records from `level`; runs in a worker.

    Relative paths in the item start at `folder`.
    """
    os.chdir(folder)
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    LOG.setLevel(level)
    LOG.addHandler(handler)
    value = error = None
    try:
        value = work(item, ignore_progress)
    except DvspipeError as raised:
        error = raised
    finally:
        LOG.removeHandler(handler)

    return value, error, [records.get() for _ in range(records.qsize())]


@contextmanager
def _start_processes(work: Work[Any, Any], jobs: int) -> _Workers:
    """Yield local workers that share the cores: pools of one process, which is replaced when it has died.

    Raises:
        WorkerError: If a process cannot start.
    """
    refuse_settings()  # a worker could only end with a traceback
    threads = max(1, (os.cpu_count() or 1) // jobs)
    parent, closing = multiprocessing.Pipe(duplex=False)
    start = partial(_start_process, pickle.dumps(work), parent, threads)
    pools = [start() for _ in range(jobs)]

    def submit(number: int, *arguments: Any) -> Future[_Reply]:
        pool, processes, started = pools[number]
        try:
            started.result()
            return pool.submit(_attempt, _do_received, *arguments)
        except BrokenProcessPool as error:
            if started.exception():
                for process in processes:
                    process.join(POLL_S)
                is_unguarded = UNGUARDED in [process.exitcode for process in processes]
                raise WorkerError(_explain_guard() if is_unguarded else "a worker could not start") from error

        pools[number] = start()
        return submit(number, *arguments)

    try:
        yield [partial(submit, number) for number in range(jobs)], (BrokenProcessPool,)
    finally:
        closing.close()
        for pool, _, _ in pools:
            pool.shutdown()


def _start_process(
    work: bytes, parent: Connection, threads: int
) -> tuple[ProcessPoolExecutor, set[BaseProcess], Future[int]]:
    """Start a pool of one process that has a number of threads, and ends when the connection to its parent does.

    Return also the process (in a set), and a future that is done when it has started.
    """
    with starting_safely(threads):
        others = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(1, SPAWN, _enter_process, (work, parent))
        try:
            started = pool.submit(int)
        except RuntimeError as error:
            # multiprocessing refuses it in a worker that is still starting: it imports the script, and the script
            # starts workers when it is imported. Only the first process says so.
            if multiprocessing.current_process().name == MAIN_PROCESS:
                raise
            raise SystemExit(UNGUARDED) from error

        return pool, set(multiprocessing.active_children()) - others, started


def _explain_guard() -> str:
    script = getattr(sys.modules["__main__"], "__file__", None) or "the program"
    return (
        f"{script}: starts workers when it is imported, and each worker imports it; put the work into a function main, "
        'and end the script with these two lines:\nif __name__ == "__main__":\n    main()'
    )


@contextmanager
def starting_safely(threads: int) -> Iterator[None]:
    """Let processes that start in the block import from safe folders, ignore Ctrl-C, and have a number of threads.

    multiprocessing starts programs of the form `python -c`, which would import from the current folder without
    PYTHONSAFEPATH, and gives them `sys.path`. torch reads the number of threads when it is imported.
    """
    variables = {"OMP_NUM_THREADS": str(threads), "PYTHONSAFEPATH": "1"}
    with _starting:
        path = sys.path
        before = {name: os.environ[name] for name in variables if name in os.environ}
        sys.path = _list_safe_paths()
        os.environ.update(variables)
        try:
            if sys.platform != "win32":  # Ctrl-C is for the parent
                resource_tracker.ensure_running()  # its start would unblock the signal
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            yield
        finally:
            if sys.platform != "win32":
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            sys.path = path
            for name in variables:
                del os.environ[name]
            os.environ.update(before)


def _list_safe_paths() -> list[str]:
    """Return `sys.path` without the current folder, where files of strangers may be, unless the program is there."""
    here = os.getcwd()
    program = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    paths = [path for path in sys.path if os.path.abspath(path) != here or program.is_relative_to(here)]
    return paths if HOME in paths else [HOME, *paths]


def _enter_process(work: bytes, parent: Connection) -> None:
    """Receive the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows, it cannot be blocked
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _received.append(pickle.loads(work))


def _end_with(parent: Connection) -> None:
    parent.poll(None)
    os._exit(1)


def _do_received(item: object, progress: Progress) -> object:
    return _received[0](item, progress)


@contextmanager
def _connect_to_ray(work: Work[Any, Any], address: str) -> _Workers:
    """Yield two workers per core of a Ray cluster, so that a core does not wait for its next item.

    Raises:
        ConfigError: If Ray is missing.
        WorkerError: If the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray

        with chdir(HOME):  # workers import from the folder in which a program connects
            ray.init(None if address == "ray" else address, log_to_driver=False)
    except ImportError as error:
        raise ConfigError(f"jobs = {address}: Ray is missing; pip install 'dvspipe[ray]'") from error
    except ConnectionError as error:
        raise WorkerError(f"jobs = {address}: {error}") from error

    task = ray.remote(_attempt)
    stored = ray.put(work)
    crash = ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError
    try:
        cores = int(ray.cluster_resources()["CPU"])
        yield [lambda *arguments: task.remote(stored, *arguments).future()] * (2 * cores), crash
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class Shard:
    """One of `count` disjoint shares of a set of files, for work on several machines.

    The BLAKE2 digest of its relative path assigns each file to a shard, so adding files does not move other files.

    Args:
        number: Number of this shard, 1 to `count`.
        count: Number of shards.

    Example:
        >>> [Path("a/clip.mp4") in Shard(number, 3) for number in (1, 2, 3)]
        [False, False, True]
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ConfigError(f"{self}: no such shard (expected I/N with 1 <= I <= N)")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def __contains__(self, path: Path) -> bool:
        """Return whether the file with this relative path is in this shard."""
        digest = hashlib.blake2b(os.fsencode(path.as_posix()), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.number - 1

    def select(self, items: Sequence[Item], name: Callable[[Item], Path]) -> list[Item]:
        """Return the items whose name is in this shard; log a line if there are none."""
        selected = [item for item in items if name(item) in self]
        if items and not selected:
            LOG.info("share %s: has no files (%d are in other shares)", self, len(items))
        return selected

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """Parse a share: I/N, such as 3/100, or `auto` for the share of this task of a SLURM array; None: everything.

        Raises:
            ConfigError: If the text is neither, I is not in 1 to N, this is no task of an array, or its tasks are not
                numbered consecutively, as in --array=3,7.
        """
        if text is None:
            return ALL
        if text != AUTO:
            try:
                number, count = map(int, text.split("/"))
            except ValueError as error:
                raise ConfigError(f"share = {text}: expected I/N, such as 3/100, or {AUTO}") from error
            return cls(number, count)

        try:
            task, first, last, count = (int(os.environ[name]) for name in SLURM_VARIABLES)
        except (KeyError, ValueError) as error:
            names = ", ".join(SLURM_VARIABLES)
            raise ConfigError(f"share = {AUTO}: not a task of a SLURM array (expected {names})") from error
        if count != last - first + 1:
            raise ConfigError(
                f"SLURM array {first} to {last}: {count} tasks are not consecutive; use share=I/N to choose it"
            )

        shard = cls(task - first + 1, count)
        LOG.info("share %s: this task of the SLURM array", shard)
        return shard


ALL = Shard()


def prefetch(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield the same items, prefetched by a thread, which ends when the iterator is closed.

    An exception of `items` is raised here, after the items before it.

    Args:
        items: Iterable to consume in the thread.
        count: Number of prefetched items, > 0.

    Example:
        >>> list(prefetch(range(3), 2))
        [0, 1, 2]
    """
    end = object()
    source = iter(items)
    thread = ThreadPoolExecutor(1)
    try:
        waiting = deque(thread.submit(next, source, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, source, end))
            yield cast(Item, item)
    finally:
        # Python may collect an iterator that was not closed while it starts another thread: waiting would never end.
        thread.shutdown(wait=False, cancel_futures=True)
