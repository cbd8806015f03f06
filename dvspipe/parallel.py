"""Work beside the thread that needs its results: many items in local processes, and items prefetched in a thread."""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Event
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
SUBMITTED_PER_JOB = 2  # items that are given to the pool per process, so that none waits for its next one
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
    progress and are gone when the iterator closes. What the work logs under `dvspipe` is logged here. If this process
    is killed, the others end too.

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
    running: dict[Future[Result], int] = {}
    following = iter(range(len(items)))
    done = 0
    with _start_pool(work, jobs) as pool:
        try:
            while True:
                while len(running) < SUBMITTED_PER_JOB * jobs and (index := next(following, None)) is not None:
                    running[pool.submit(_work_on, items[index])] = index
                if not running:
                    break
                tell(done, len(items))
                for future in wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED).done:
                    outcome = _outcome(future, running[future], items)
                    del running[future]
                    done += 1
                    yield outcome
        except BrokenProcessPool as error:
            names = ", ".join(str(items[index]) for index in sorted(running.values())[:jobs])
            what = "was killed, perhaps because memory ran out," if done else "could not start or was killed"
            script = "" if done else "; in a script, call it below if __name__ == '__main__':"
            raise WorkerError(
                f"a worker process {what} while working on {names} (jobs = 1 works without processes){script}"
            ) from error
    tell(done, len(items))


def _outcome(future: Future[Result], index: int, items: Sequence[Item]) -> Outcome[Item, Result]:
    try:
        return Outcome(index, items[index], future.result(), None)
    except DvspipeError as error:
        return Outcome(index, items[index], None, error)


@contextmanager
def _start_pool(work: Work[Item, Result], jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes that have the work, share the cores, and stop when the block ends."""
    context = multiprocessing.get_context("spawn")  # torch and OpenCV do not survive a fork
    stopped = context.Event()
    records: multiprocessing.Queue[logging.LogRecord] = context.Queue()
    log = logging.getLogger(LOG_NAME)
    listener = logging.handlers.QueueListener(records, _Relay())
    start = (work, stopped, records, log.getEffectiveLevel())
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=start)
    listener.start()
    try:
        with _inherited_by_workers(threads=max(1, (os.cpu_count() or 1) // jobs)):
            for _ in range(jobs):
                pool.submit(int)  # starts a process
        yield pool
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        listener.stop()
        records.close()


@contextmanager
def _inherited_by_workers(threads: int) -> Iterator[None]:
    """Set what processes inherit: SIGINT blocked, since Ctrl-C is for this process, and their share of the threads."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when a process imports torch
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


class _Relay(logging.Handler):
    """Log the records of the workers here."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


class _Worker:
    """What a worker process holds."""

    work: Work[Any, Any]
    stopped: Event


def _start_worker(
    work: Work[Item, Result], stopped: Event, records: multiprocessing.Queue[logging.LogRecord], level: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log = logging.getLogger(LOG_NAME)
    log.addHandler(logging.handlers.QueueHandler(records))
    log.setLevel(level)
    _Worker.work, _Worker.stopped = work, stopped


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_on(item: Any) -> Any:
    _stop_if_asked()
    return _Worker.work(item, _stop_if_asked)


def _stop_if_asked(*_: float) -> None:
    """Stop between two parts of an item; a signal handler could stop anywhere, also inside a destructor."""
    if _Worker.stopped.is_set():
        raise KeyboardInterrupt


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
