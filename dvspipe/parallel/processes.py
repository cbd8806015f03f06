"""Work beside the thread that needs its results: many items by an engine, and items prefetched in a thread."""

from __future__ import annotations

import hashlib
import logging
import logging.handlers
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

from ..errors import ConfigError, DvspipeError, Remedy, WorkerError
from ..numba_cache import watch_compilation

Item = TypeVar("Item")
Result = TypeVar("Result")

Progress = Callable[[float, float], object]
"""Called with how much is done and how much there is, 0 if unknown. It may raise KeyboardInterrupt to stop the work."""

Work = Callable[[Item, Progress], Result]
"""What is done with an item; calls its progress between two parts of an item, so that it can be stopped there."""

CAN_BLOCK_SIGNALS = hasattr(signal, "pthread_sigmask")  # not on Windows
POLL_S = 0.2  # between two looks at whether the work is stopped
STOP_S = 1.0  # for a worker to stop at its next progress
LOG_NAME = "dvspipe"


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of an item.

    Args:
        index: Its place in the sequence of items.
        item: The item.
        value: The result; None if there is an error.
        error: The error that ended the work on it; None if there is a result.
    """

    index: int
    item: Item
    value: Result | None
    error: DvspipeError | None

    def result(self) -> Result:
        """Return the result.

        Raises:
            DvspipeError: The error, if there is one.
        """
        if self.error is not None:
            raise self.error
        return cast(Result, self.value)


class Engine(Protocol):
    """Where items are worked on: `Processes`, or `dvspipe.parallel.cluster.Ray`."""

    def map(
        self, work: Work[Item, Result], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item as it is done; see `map_items`."""

    def leaves(self, items: int) -> bool:
        """Return whether so many items are worked on outside of this process, so that work must be picklable."""


@dataclass(frozen=True)
class Processes:
    """Local processes; one, or for one item: this process.

    Each process receives the work once, when it starts. Ctrl-C reaches this process alone: the others stop at their
    next progress or are killed, and are gone when the iterator closes. If this process is killed, the others end too.

    Args:
        jobs: Number of processes, > 0.
    """

    jobs: int = 1

    def map(
        self, work: Work[Item, Result], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item as it is done.

        Raises:
            WorkerError: A process was killed or could not start.
        """
        if self.leaves(len(items)):
            return _map_in_pool(work, items, min(self.jobs, len(items)), progress)
        return _map_here(work, items, progress)

    def leaves(self, items: int) -> bool:
        """Return whether processes are started for so many items."""
        return self.jobs > 1 and items > 1


def map_items(
    work: Work[Item, Result],
    items: Iterable[Item],
    *,
    engine: Engine = Processes(),
    ordered: bool = False,
    progress: Progress | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Yield the outcome of each item. What the work logs under `dvspipe` is logged here, wherever it is done.

    Args:
        work: Called with an item and a progress; must be picklable if it leaves this process. A `DvspipeError` that it
            raises is the outcome of its item, any other exception is raised here.
        items: What to work on.
        engine: Where it is worked on.
        ordered: Whether outcomes come in the order of the items; otherwise as they are done.
        progress: Called with the number of items done and in all, also while none is done. In this process, the number
            includes the share of the current item that its progress says.

    Raises:
        WorkerError: A worker was killed or could not start.

    Example:
        >>> def double(item, progress):
        ...     return 2 * item
        >>> [outcome.result() for outcome in map_items(double, [1, 2, 3])]
        [2, 4, 6]
    """
    outcomes = engine.map(work, list(items), progress or ignore_progress)
    return _in_order(outcomes) if ordered else outcomes


def ignore_progress(*_: float) -> None:
    """Do nothing: the progress of work that nobody watches."""


def _map_here(work: Work[Item, Result], items: Sequence[Item], progress: Progress) -> Iterator[Outcome[Item, Result]]:
    for index, item in enumerate(items):

        def report_part(done: float, total: float, index: int = index) -> None:
            progress(index + (min(1.0, done / total) if total else 0), len(items))

        progress(index, len(items))
        try:
            value = work(item, report_part)
        except DvspipeError as error:
            yield Outcome(index, item, None, error)
        else:
            yield Outcome(index, item, value, None)
    progress(len(items), len(items))


def _in_order(outcomes: Iterator[Outcome[Item, Result]]) -> Iterator[Outcome[Item, Result]]:
    waiting: dict[int, Outcome[Item, Result]] = {}
    following = 0
    for outcome in outcomes:
        waiting[outcome.index] = outcome
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _map_in_pool(
    work: Work[Item, Result], items: Sequence[Item], jobs: int, progress: Progress
) -> Iterator[Outcome[Item, Result]]:
    done, following = 0, iter(range(len(items)))
    with _start_workers(work, jobs) as workers:
        for worker in workers:
            worker.take(following, items)
        while busy := [worker for worker in workers if worker.index is not None]:
            progress(done, len(items))
            ready = wait([worker.connection for worker in busy], POLL_S)
            for worker in (worker for worker in busy if worker.connection in ready):
                index, message = worker.index, worker.receive(items)
                if message is not None:
                    assert index is not None
                    worker.take(following, items)
                    done += 1
                    yield Outcome(index, items[index], *message)
    progress(done, len(items))


# Python's ProcessPoolExecutor takes as long (0.15 s of CPU to start two and end, ours 0.18; joblib's 0.46), but cannot
# stop or kill its workers before Python 3.14, so that Ctrl-C while they start takes 1.2 s instead of 0.2; after an end
# at once, Python warns of its semaphores; and it does not say which item a killed worker had. It would save 30 lines.
class _Worker:
    """A worker process, seen from the process that started it.

    Args:
        context: Starts it.
        level: The level of the messages that it logs.
    """

    def __init__(self, context: SpawnContext, level: int) -> None:
        self.connection, other = context.Pipe()
        self.index: int | None = None  # of the item that it works on
        self._process = context.Process(target=_run_worker, args=(other, level), daemon=True)
        self._is_ready = False
        self._process.start()
        other.close()

    def send(self, message: object) -> None:
        """Send the work, or an item; if it was killed, this is noticed by `receive`."""
        with suppress(OSError):
            self.connection.send(message)

    def take(self, following: Iterator[int], items: Sequence[object]) -> None:
        """Work on the next item, if there is one."""
        self.index = next(following, None)
        if self.index is not None:
            self.send(items[self.index])

    def receive(self, items: Sequence[object]) -> tuple[Any, DvspipeError | None] | None:
        """Return the value or error of its item, or log a message of it and return None.

        Raises:
            WorkerError: It was killed, or could not start.
        """
        try:
            message = self.connection.recv()
        except (EOFError, OSError) as error:
            assert self.index is not None
            what = "was killed, perhaps because memory ran out," if self._is_ready else "could not start or was killed"
            script = "" if self._is_ready else "; in a script, call it below if __name__ == '__main__':"
            raise WorkerError(
                f"a worker process {what} while working on {items[self.index]}{script}",
                Remedy("jobs", 1, "work without processes"),
            ) from error
        self._is_ready = True
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
            return None
        if message is None:  # it is ready
            return None
        value, failure = message
        if failure is not None and not isinstance(failure, DvspipeError):
            raise failure
        return value, failure

    def stop(self) -> None:
        """Let it stop at its next progress; one that is idle or still starting ends at once."""
        if self.index is None:  # what it did is complete; ending Python would take up to a second
            self._process.kill()
        else:
            self._process.terminate()
        self.connection.close()

    def end(self, until_s: float) -> None:
        """Wait until it has stopped, and kill it if it has not by a time."""
        self._process.join(max(0.0, until_s - time.monotonic()))
        self._process.kill()
        self._process.join()


@contextmanager
def _start_workers(work: Work[Item, Result], jobs: int) -> Iterator[list[_Worker]]:
    """Yield processes that have the work and share the cores; they are gone when the block ends."""
    context = multiprocessing.get_context("spawn")  # torch and OpenCV do not survive a fork
    level = logging.getLogger(LOG_NAME).getEffectiveLevel()
    workers: list[_Worker] = []
    try:
        with _inherited_by_workers(threads=max(1, (os.cpu_count() or 1) // jobs)):
            for _ in range(jobs):
                workers.append(_Worker(context, level))  # noqa: PERF401  those that have started must be ended
        for worker in workers:
            worker.send(work)
        yield workers
    finally:
        for worker in workers:
            worker.stop()
        until_s = time.monotonic() + STOP_S
        for worker in workers:
            worker.end(until_s)


@contextmanager
def _inherited_by_workers(threads: int) -> Iterator[None]:
    """Set what processes inherit: SIGINT blocked, since Ctrl-C is for this process, and their share of the threads."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when a process imports torch
    if CAN_BLOCK_SIGNALS:
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # the first process would start it, and it unblocks SIGINT when it starts
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if CAN_BLOCK_SIGNALS else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _run_worker(connection: Connection, level: int) -> None:
    """Run a worker process: receive the work and items, and send messages to log, values and errors."""
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sending = threading.Lock()

    def send(message: object) -> None:
        with sending:
            connection.send(message)

    def stop_if_asked(*_: float) -> None:
        """Stop between two parts of an item; a signal handler could stop anywhere, also inside a destructor."""
        if stopped:
            raise KeyboardInterrupt

    log = logging.getLogger(LOG_NAME)
    log.addHandler(LogSender(send))
    log.setLevel(level)
    with suppress(EOFError, OSError, KeyboardInterrupt):  # the other end is closed, or it was asked to stop
        send(None)
        work = connection.recv()
        watch_compilation()
        while True:
            item = connection.recv()
            message = attempt(work, item, stop_if_asked)
            try:
                send(message)
            except (TypeError, AttributeError, pickle.PicklingError) as error:  # what cannot be sent
                send((None, error))


def attempt(work: Work[Item, Result], item: Item, progress: Progress) -> tuple[Result | None, Exception | None]:
    """Return the value or the error of an item; the traceback of an unexpected error is added to it."""
    try:
        return work(item, progress), None
    except DvspipeError as error:
        return None, error
    except Exception as error:
        error.add_note(traceback.format_exc())
        return None, error


class LogSender(logging.handlers.QueueHandler):
    """Send what is logged in a worker, with its arguments formatted."""

    def __init__(self, send: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(queue.SimpleQueue())
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a record; if nobody receives it any more, it is lost."""
        with suppress(OSError):
            self._send(record)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of files, which other machines do not work on.

    A file is in the shard that the BLAKE2 digest of its relative path falls into, so that files that are added later
    move no other.

    Args:
        number: Number of the shard, from 1.
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
        """Return whether a file, by its relative path, is in this shard."""
        digest = hashlib.blake2b(path.as_posix().encode(errors="surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.number - 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that I/N names.

        Raises:
            ConfigError: There is no such shard.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise ConfigError(f"{text}: not a shard (expected I/N, such as 3/100)")
        return cls(int(number), int(count))

    @classmethod
    def of_array(cls, environment: Mapping[str, str]) -> Shard | None:
        """Return the shard of a task of a SLURM array, of which there are as many as tasks; None outside of one.

        Raises:
            ConfigError: The tasks do not follow each other, as those of --array=3,7, so that their shards are unknown.
        """
        names = ("ID", "MIN", "STEP", "COUNT")
        found = [environment.get(f"SLURM_ARRAY_TASK_{name}", "1" if name == "STEP" else "") for name in names]
        if not all(value.isdecimal() for value in found):
            return None
        task, first, step, count = map(int, found)
        step, last = max(1, step), int(environment.get("SLURM_ARRAY_TASK_MAX", task))
        if max(task, last) > first + step * (count - 1):
            raise ConfigError(
                f"task {task} of the SLURM array: the {count} tasks from {first} to {max(task, last)} do not follow "
                "each other, so that its shard is unknown",
                Remedy("shard", "I/N", "choose it"),
            )
        return cls((task - first) // step + 1, count)


ALL = Shard()


def prefetch(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield the same items, made in a thread up to `count` before their use.

    An error that ends the making of items is raised here, after the items before it. The thread ends when the iterator
    is closed, or with the main thread, because an error keeps an iterator that is not closed.
    """
    end = object()
    waiting: queue.Queue[object] = queue.Queue(maxsize=count)
    stopped = threading.Event()
    failure: list[BaseException] = []

    def is_stopped() -> bool:
        return stopped.is_set() or not threading.main_thread().is_alive()

    def hand_over(item: object) -> None:
        while not is_stopped():
            with suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                hand_over(item)
                if is_stopped():
                    return
        except BaseException as error:  # raised again in the thread that uses the items
            failure.append(error)
        hand_over(end)

    # Python waits for it before it ends; it stops a daemon that returns from native code, for which C++ aborts
    maker = threading.Thread(target=make, daemon=False)
    maker.start()
    try:
        while (item := waiting.get()) is not end:
            yield cast(Item, item)
        if failure:
            raise failure[0]
    finally:
        stopped.set()
        maker.join()
