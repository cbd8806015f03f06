"""Work that goes on beside the thread that needs its results."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar, cast

HOLDS_SIGNALS = hasattr(signal, "pthread_sigmask")  # not on Windows
Item = TypeVar("Item")


def start_processes(jobs: int, begin: Callable[..., object] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Fresh processes that take work, and that end with this one, also where it is killed.

    Ctrl-C reaches them once they have begun, not while Python is starting.

    Args:
        jobs: How many.
        begin: What each does first, with the arguments.
        arguments: Of `begin`.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin_process, initargs=(begin, arguments))
    if not HOLDS_SIGNALS:
        return pool
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which new processes inherit
    try:
        for _ in range(jobs):
            pool.submit(int)  # starts one
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pool


def _begin_process(begin: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*arguments)
    if HOLDS_SIGNALS:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def read_ahead(items: Iterable[Item], ahead: int) -> Iterator[Item]:
    """The same items, made in a thread up to `ahead` before their use; an error of the maker is raised here."""
    end = object()
    waiting: queue.Queue[object] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()
    failure: list[BaseException] = []

    def hand_over(item: object) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
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
