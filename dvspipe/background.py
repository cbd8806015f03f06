"""Work that goes on beside the thread that needs its results."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

Item = TypeVar("Item")


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
