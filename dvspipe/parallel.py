"""Work beside the thread that needs its results: many items in local processes, and items prefetched in a thread."""

from __future__ import annotations

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from typing import Any, Generic, TypeVar, cast

from .errors import DvspipeError, WorkerError

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


def map_in_processes(
    work: Work[Item, Result],
    items: Iterable[Item],
    *,
    jobs: int = 1,
    ordered: bool = False,
    progress: Progress | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Yield the outcome of each item, worked on in `jobs` local processes, or in this one if `jobs` is 1.

    Each process receives `work` once, when it starts. Ctrl-C reaches this process alone: the others stop at their next
    progress or are killed, and are gone when the iterator closes. What the work logs under `dvspipe` is logged here. If
    this process is killed, the others end too.

    Args:
        work: Called with an item and a progress; must be picklable if `jobs` is above 1. A `DvspipeError` that it
            raises is the outcome of its item, any other exception is raised here.
        items: What to work on; with one item, no process is started.
        jobs: Number of processes, > 0.
        ordered: Whether outcomes come in the order of the items; otherwise as they are done.
        progress: Called with the number of items done and in all, also while none is done. With one process, the number
            includes the share of the current item that its progress says.

    Raises:
        WorkerError: A process was killed or could not start.

    Example:
        >>> def double(item, progress):
        ...     return 2 * item
        >>> [outcome.result() for outcome in map_in_processes(double, [1, 2, 3])]
        [2, 4, 6]
    """
    items = list(items)
    tell: Progress = progress or (lambda *_: None)
    if jobs <= 1 or len(items) <= 1:
        yield from _map_here(work, items, tell)
    elif ordered:
        yield from _in_order(_map_in_pool(work, items, min(jobs, len(items)), tell))
    else:
        yield from _map_in_pool(work, items, min(jobs, len(items)), tell)


def _map_here(work: Work[Item, Result], items: Sequence[Item], tell: Progress) -> Iterator[Outcome[Item, Result]]:
    for index, item in enumerate(items):

        def tell_part(done: float, total: float, index: int = index) -> None:
            tell(index + (min(1.0, done / total) if total else 0), len(items))

        tell(index, len(items))
        try:
            value = work(item, tell_part)
        except DvspipeError as error:
            yield Outcome(index, item, None, error)
        else:
            yield Outcome(index, item, value, None)
    tell(len(items), len(items))


def _in_order(outcomes: Iterator[Outcome[Item, Result]]) -> Iterator[Outcome[Item, Result]]:
    waiting: dict[int, Outcome[Item, Result]] = {}
    following = 0
    for outcome in outcomes:
        waiting[outcome.index] = outcome
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _map_in_pool(
    work: Work[Item, Result], items: Sequence[Item], jobs: int, tell: Progress
) -> Iterator[Outcome[Item, Result]]:
    done, following = 0, iter(range(len(items)))
    with _start_workers(work, jobs) as workers:
        for worker in workers:
            worker.take(following, items)
        while busy := [worker for worker in workers if worker.index is not None]:
            tell(done, len(items))
            ready = wait([worker.connection for worker in busy], POLL_S)
            for worker in (worker for worker in busy if worker.connection in ready):
                index, message = worker.index, worker.receive(items)
                if message is not None:
                    assert index is not None
                    worker.take(following, items)
                    done += 1
                    yield Outcome(index, items[index], *message)
    tell(done, len(items))


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
                f"a worker process {what} while working on {items[self.index]} (jobs = 1 works without processes)"
                f"{script}"
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
        """Let it stop at its next progress; one that is still starting ends at once."""
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
    log.addHandler(_Sender(send))
    log.setLevel(level)
    with suppress(EOFError, OSError, KeyboardInterrupt):  # the other end is closed, or it was asked to stop
        send(None)
        work = connection.recv()
        while True:
            item = connection.recv()
            message = _work_on(work, item, stop_if_asked)
            try:
                send(message)
            except (TypeError, AttributeError, pickle.PicklingError) as error:  # what cannot be sent
                send((None, error))


def _work_on(work: Work[Item, Result], item: Item, progress: Progress) -> tuple[Result | None, Exception | None]:
    """Return the value or the error of an item; the traceback of an unexpected error is added to it."""
    try:
        return work(item, progress), None
    except DvspipeError as error:
        return None, error
    except Exception as error:
        error.add_note(traceback.format_exc())
        return None, error


class _Sender(logging.handlers.QueueHandler):
    """Send the records of a worker."""

    def __init__(self, send: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(queue.SimpleQueue())
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._send(record)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def prefetch(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield the same items, made in a thread up to `count` before their use.

    An error that ends the making of items is raised here, after the items before it.
    """
    end = object()
    waiting: queue.Queue[object] = queue.Queue(maxsize=count)
    stopped = threading.Event()
    failure: list[BaseException] = []

    def hand_over(item: object) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                hand_over(item)
                if stopped.is_set():
                    return
        except BaseException as error:  # raised again in the thread that uses the items
            failure.append(error)
        hand_over(end)

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        while (item := waiting.get()) is not end:
            yield cast(Item, item)
        if failure:
            raise failure[0]
    finally:
        stopped.set()
        maker.join()
