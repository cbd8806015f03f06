"""Parallel work: map a function over items with local processes, and prefetch items in a thread.

`map_items` gives the items to an engine, here `Processes`. It starts workers (`_start_workers`), each with a handle in
this process (`_Worker`) and a loop in its own (`_run_worker`). A worker receives the work once and one item at a time,
and sends log records, its progress (`_Reached`), and the result or error of the item.
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
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

from ..base.errors import Brief, ConfigError, DvspipeError, WorkerError
from ..base.kernels import refuse_settings
from .imports import SessionModules, safe_paths
from .progress import CurrentStep, NamedStep, Progress, ignore_progress, report_step, share_of

Item = TypeVar("Item")
Result = TypeVar("Result")

Work = Callable[[Item, Progress], Result]
"""Function applied to each item. It calls its progress between parts of an item, where it can be stopped."""

CAN_BLOCK_SIGNALS = hasattr(signal, "pthread_sigmask")  # not on Windows
REPORT_S = 1.0  # minimum interval between progress messages of a worker
POLL_S = 0.2  # interval between progress calls, each of which may stop the work
STOP_S = 1.0  # time for workers to stop at their next progress call
LOG_NAME = "dvspipe"
CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")  # signals of native code with a bug

_starting = threading.Lock()  # workers inherit the state of this process while they start


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


class Engine(Protocol):
    """Executor of parallel work: `Processes`, or `dvspipe.parallel.cluster.Ray`."""

    def map(
        self, work: Work[Item, Result], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item in order of completion; see `map_items`."""

    def leaves(self, items: int) -> bool:
        """Return whether other processes handle this number of items, so the work must be picklable."""


@dataclass(frozen=True)
class Processes:
    """Engine that runs in local worker processes, or in this process for a single job or item.

    Each worker receives the work once, when it starts. Ctrl-C only reaches this process; the workers stop at their next
    progress call or are killed after 1 s, and have ended when the iterator is closed. If this process is killed, its
    workers end at their next progress call, too.

    Args:
        jobs: Number of processes, > 0.

    Raises:
        ConfigError: If the number is not above 0.
    """

    jobs: int = 1

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ConfigError(f"Processes: jobs = {self.jobs}: out of range (expected 1 or more)")

    def map(
        self, work: Work[Item, Result], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item in order of completion.

        Raises:
            WorkerError: If a worker was killed or could not start.
        """
        if self.leaves(len(items)):
            return _map_in_pool(work, items, min(self.jobs, len(items)), progress)
        return _map_in_process(work, items, progress)

    def leaves(self, items: int) -> bool:
        """Return whether this number of items starts worker processes."""
        return self.jobs > 1 and items > 1


def map_items(
    work: Work[Item, Result],
    items: Iterable[Item],
    *,
    engine: Engine = Processes(),
    ordered: bool = False,
    progress: Progress | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Apply `work` to each item and yield the outcomes.

    Log records of the `dvspipe` logger in workers are forwarded to this process.

    Args:
        work: Function called with an item and a progress callback; must be picklable if the engine uses other
            processes. If it raises a `DvspipeError`, the error becomes the outcome of the item; other exceptions are
            raised here.
        items: Items to process.
        engine: Executor of the work; default: this process.
        ordered: Whether to yield outcomes in the order of the items; default: in order of completion.
        progress: Callback called with the number of items done and in total, also between completions. Except on a
            cluster, the number includes the completed fractions of current items, and a `StepProgress` gets an item.

    Raises:
        WorkerError: If a worker was killed or could not start.

    Example:
        >>> def double(item, progress):
        ...     return 2 * item
        >>> [outcome.result() for outcome in map_items(double, [1, 2, 3])]
        [2, 4, 6]
    """
    outcomes = engine.map(work, list(items), progress or ignore_progress)
    return _in_order(outcomes) if ordered else outcomes


def _map_in_process(
    work: Work[Item, Result], items: Sequence[Item], progress: Progress
) -> Iterator[Outcome[Item, Result]]:
    for index, item in enumerate(items):
        step = NamedStep(progress, str(item), index, len(items))
        step(0, 0)
        try:
            value = work(item, step)
        except DvspipeError as error:
            yield Outcome(index, item, None, error)
        else:
            yield Outcome(index, item, value, None)

    progress(len(items), len(items))


def _in_order(outcomes: Iterator[Outcome[Item, Result]]) -> Iterator[Outcome[Item, Result]]:
    """Yield outcomes in the order of the items; an outcome waits for those of earlier items."""
    waiting: dict[int, Outcome[Item, Result]] = {}
    next_index = 0
    for outcome in outcomes:
        waiting[outcome.index] = outcome
        while next_index in waiting:
            yield waiting.pop(next_index)
            next_index += 1


def _map_in_pool(
    work: Work[Item, Result], items: Sequence[Item], jobs: int, progress: Progress
) -> Iterator[Outcome[Item, Result]]:
    """Give each worker an item, and the next one when it is done; yield the outcomes in order of completion."""
    completed = 0
    following = iter(range(len(items)))  # indices of the items that no worker has
    with _start_workers(work, jobs) as workers:
        for worker in workers:
            worker.take(following, items)

        while busy := [worker for worker in workers if worker.index is not None]:
            # Also without news, progress is called every POLL_S: it may stop the work.
            latest = max(busy, key=lambda worker: worker.heard_s)
            share = sum(worker.share for worker in busy)
            report_step(progress, completed + share, len(items), latest.step)

            ready = wait([worker.connection for worker in busy], POLL_S)
            for worker in (worker for worker in busy if worker.connection in ready):
                index = worker.index
                reply = worker.receive(items)
                if reply is not None:
                    # The worker gets its next item before the caller uses the outcome, so it does not wait.
                    assert index is not None
                    if worker.has_crashed:
                        worker.start()
                        worker.send(work)
                    worker.take(following, items)
                    completed += 1
                    value, error = reply
                    yield Outcome(index, items[index], value, error)

    progress(completed, len(items))


class _Reached(NamedTuple):
    """Message of a worker: the share done of its item, and the step that is being done."""

    share: float
    step: CurrentStep


# Python's ProcessPoolExecutor would save 30 lines, and is as fast: starting and ending two workers takes 0.15 s of CPU
# (this pool: 0.18, joblib: 0.46). But before Python 3.14 it cannot stop or kill its workers, so Ctrl-C during their
# start takes 1.2 s instead of 0.2; Python warns of leaked semaphores after an immediate exit; and it does not tell
# which item a killed worker was processing.
class _Worker:
    """Handle of a worker process in its parent.

    Args:
        threads: Number of threads of the worker.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self.start()

    def start(self) -> None:
        """Start the process, also instead of a crashed one."""
        context = multiprocessing.get_context("spawn")  # torch and OpenCV break in forked processes
        level = logging.getLogger(LOG_NAME).getEffectiveLevel()
        self.connection, connection_of_worker = context.Pipe()
        self.index: int | None = None  # index of the current item; None: idle
        self.heard_s = time.monotonic()  # time of the last progress message
        self.share = 0.0
        self.step = CurrentStep((), 0, 0)
        self.has_crashed = False
        self._is_ready = False
        with _inherited_by_workers(self._threads) as modules:
            arguments = (connection_of_worker, level, modules)
            self._process = context.Process(target=_run_worker, args=arguments, daemon=True)
            self._process.start()
        connection_of_worker.close()

    def send(self, message: object) -> None:
        """Send the work or an item; if the worker was killed, `receive` will raise."""
        with suppress(OSError):
            self.connection.send(message)

    def take(self, following: Iterator[int], items: Sequence[object]) -> None:
        """Send the next item to the worker, if there is one."""
        self.index = next(following, None)
        if self.index is not None:
            self.send(items[self.index])
            self.share = 0.0
            self.step = CurrentStep((str(items[self.index]),), 0, 0)

    def receive(self, items: Sequence[object]) -> tuple[Any, DvspipeError | None] | None:
        """Receive a message of the worker: return the result or error of its item; None for other messages.

        If the worker has crashed, the error is a WorkerError.

        Raises:
            WorkerError: If the worker was killed or could not start.
            Exception: Any other exception of the work than a `DvspipeError`.
        """
        try:
            message = self.connection.recv()
        except (EOFError, OSError) as error:
            assert self.index is not None
            crash = self._find_crash()
            if crash is not None:
                self.has_crashed = True
                return None, WorkerError(f"{items[self.index]}: a library crashed while it was processed ({crash})")

            what = "was killed, perhaps because memory ran out," if self._is_ready else "could not start or was killed"
            script = "" if self._is_ready else "; in a script, call dvspipe under if __name__ == '__main__':"
            raise WorkerError(
                f"a worker process {what} while processing {items[self.index]}{script}"
                "; use jobs=1 to work without processes"
            ) from error
        self._is_ready = True

        # During an item, a worker also sends log records and its progress.
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
            return None
        if isinstance(message, _Reached):
            assert self.index is not None
            self.heard_s = time.monotonic()
            self.share = message.share
            self.step = message.step._replace(names=(str(items[self.index]), *message.step.names))
            return None

        if message is None:  # the worker is ready
            return None

        value, failure = message
        if failure is not None and not isinstance(failure, DvspipeError):
            raise failure
        return value, failure

    def _find_crash(self) -> str | None:
        """Return the name of the signal that ended the process if native code has crashed; else None."""
        self._process.join(STOP_S)
        code = self._process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else ""
        return name if name in CRASHES and self._is_ready else None

    def stop(self) -> None:
        """Stop the worker at its next progress call; kill it at once if it is idle."""
        if self.index is None:  # nothing to lose; a regular exit of Python takes up to 1 s
            self._process.kill()
        else:
            self._process.terminate()
        self.connection.close()

    def end(self, until_s: float) -> None:
        """Wait until the worker has stopped; kill it after the time `until_s`."""
        self._process.join(max(0.0, until_s - time.monotonic()))
        self._process.kill()
        self._process.join()


@contextmanager
def _start_workers(work: Work[Item, Result], jobs: int) -> Iterator[list[_Worker]]:
    """Yield started workers that have received the work and share the cores; they have ended when the block ends."""
    refuse_settings()  # a worker could only end with a traceback
    threads = max(1, (os.cpu_count() or 1) // jobs)
    workers: list[_Worker] = []
    try:
        for _ in range(jobs):
            workers.append(_Worker(threads))  # noqa: PERF401  `finally` ends the started ones

        for worker in workers:
            worker.send(work)
        yield workers
    finally:
        # Every worker gets its signal before the first is waited for, so together they take at most STOP_S.
        for worker in workers:
            worker.stop()
        until_s = time.monotonic() + STOP_S
        for worker in workers:
            worker.end(until_s)


@contextmanager
def _inherited_by_workers(threads: int) -> Iterator[SessionModules]:
    """Set the inherited state of workers: imports, the number of threads, and SIGINT blocked; one block at a time.

    Yield the modules that workers may import from the current folder. SIGINT is blocked because Ctrl-C is for this
    process.
    """
    # torch reads the number of threads at import. multiprocessing starts workers with `python -c`, which imports from
    # the current folder before it receives `sys.path`; PYTHONSAFEPATH prevents it.
    variables = {"OMP_NUM_THREADS": str(threads), "PYTHONSAFEPATH": "1"}
    with _starting, _set_environment(variables), safe_paths() as modules, _block_interrupts():
        yield modules


@contextmanager
def _block_interrupts() -> Iterator[None]:
    """Block SIGINT in this thread, where the system can."""
    if not CAN_BLOCK_SIGNALS:
        yield
        return

    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # start it now: it unblocks SIGINT, and the first worker would start it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _set_environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables, and restore them after the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _run_worker(connection: Connection, level: int, modules: SessionModules) -> None:
    """Run a worker process: receive the work and items; send log records, results and errors."""
    modules.load()
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    # Threads of the work may log while a result or progress is sent.
    sending = threading.Lock()

    def send(message: object) -> None:
        with sending:
            connection.send(message)

    log = logging.getLogger(LOG_NAME)
    log.addHandler(LogSender(send))
    log.setLevel(level)

    with suppress(EOFError, OSError, KeyboardInterrupt):  # the parent was killed, or requested a stop
        send(None)
        work = connection.recv()
        while True:
            item = connection.recv()
            message = attempt(work, item, _WorkerProgress(send, lambda: stopped))
            try:
                send(message)
            except (TypeError, AttributeError, pickle.PicklingError) as error:  # the result cannot be pickled
                send((None, error))


class _WorkerProgress:
    """Progress callback in a worker: send what is done to the parent, and stop between parts of an item.

    A signal handler could interrupt anywhere, even in a destructor.
    """

    def __init__(self, send: Callable[[object], None], is_stopped: Callable[[], bool]) -> None:
        self._send = send
        self._is_stopped = is_stopped
        self._sent_s = time.monotonic()

    def __call__(self, done: float, total: float) -> None:
        self.show_step(done, total, CurrentStep((), done, total))

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        if self._is_stopped():
            raise KeyboardInterrupt

        now_s = time.monotonic()
        if now_s - self._sent_s >= REPORT_S:
            self._sent_s = now_s
            self._send(_Reached(share_of(done, total), step))


def attempt(work: Work[Item, Result], item: Item, progress: Progress) -> tuple[Result | None, Exception | None]:
    """Return the result or the error of an item; unexpected errors get their traceback as a note."""
    try:
        return work(item, progress), None
    except DvspipeError as error:
        return None, error
    except Exception as error:
        error.add_note(traceback.format_exc())
        return None, error


class LogSender(logging.handlers.QueueHandler):
    """Log handler of workers: format records and send them to the parent."""

    def __init__(self, send: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(queue.SimpleQueue())
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a record; drop it if the parent has closed the connection."""
        with suppress(OSError):
            self._send(record)


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
        digest = hashlib.blake2b(path.as_posix().encode(errors="surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.number - 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard written as I/N, such as 3/100.

        Raises:
            ConfigError: If the text is not of this form, or I is not in 1 to N.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise ConfigError(f"{text}: not a shard (expected I/N, such as 3/100)")

        return cls(int(number), int(count))

    @classmethod
    def of_array(cls, environment: Mapping[str, str]) -> Shard | None:
        """Return the shard of this task of a SLURM array, with one shard per task; None outside of arrays.

        Args:
            environment: Environment variables, such as `os.environ`.

        Raises:
            ConfigError: If the tasks are not numbered consecutively by the array's step, as in --array=3,7; the
                shard is then unknown.
        """
        names = ("ID", "MIN", "STEP", "COUNT")
        texts = [environment.get(f"SLURM_ARRAY_TASK_{name}", "1" if name == "STEP" else "") for name in names]
        if not all(value.isdecimal() for value in texts):
            return None

        # Task number `first` + k * step is shard k + 1. SLURM also counts tasks of other lists, such as 3,7, but then
        # the last number is too large.
        task, first, step, count = map(int, texts)
        step = max(1, step)
        last = int(environment.get("SLURM_ARRAY_TASK_MAX", task))
        if max(task, last) > first + step * (count - 1):
            raise ConfigError(
                f"task {task} of the SLURM array: its shard is unknown, because the {count} tasks from {first} to "
                f"{max(task, last)} are not consecutive; use shard=I/N to choose it"
            )

        return cls((task - first) // step + 1, count)


ALL = Shard()


def prefetch(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield the same items, prefetched by a thread.

    An exception of `items` is raised here, after the items before it. The thread ends when the iterator is closed, and
    also when the main thread ends, because a stored traceback can keep an iterator open.

    Args:
        items: Iterable to consume in the thread.
        count: Maximum number of prefetched items, > 0.

    Example:
        >>> list(prefetch(range(3), 2))
        [0, 1, 2]
    """
    end = object()
    waiting: queue.Queue[object] = queue.Queue(maxsize=count)
    stopped = threading.Event()
    failure: list[BaseException] = []

    def is_stopped() -> bool:
        return stopped.is_set() or not threading.main_thread().is_alive()

    def hand_over(item: object) -> None:
        # While the queue is full, the consumer may stop, and would never make room.
        while not is_stopped():
            with suppress(queue.Full):
                waiting.put(item, timeout=POLL_S)
                return

    def take() -> object:
        # When the main thread ends, the maker stops without a last item, and a consumer in another thread continues.
        while maker.is_alive():
            with suppress(queue.Empty):
                return waiting.get(timeout=POLL_S)
        return end if waiting.empty() else waiting.get()

    def make() -> None:
        try:
            for item in items:
                hand_over(item)
                if is_stopped():
                    return
        except BaseException as error:  # raised again in the thread that uses the items
            failure.append(error)
        hand_over(end)

    # not a daemon: Python stops daemon threads that return from native code at exit, and C++ then aborts the process
    maker = threading.Thread(target=make, daemon=False)
    maker.start()
    try:
        while (item := take()) is not end:
            yield cast(Item, item)
        if failure:
            raise failure[0]
    finally:
        stopped.set()
        if maker is not threading.current_thread():  # an abandoned iterator may be collected in its own thread
            maker.join()
