"""End work normally at Ctrl-C, such as a camera, which has no other end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals of Ctrl-C, and of programs that end a process."""


@contextmanager
def end_on_interrupt(end: Callable[[], object]) -> Iterator[None]:
    """Call `end` at the first Ctrl-C in the block; a second one is handled as before the block.

    SIGTERM does the same if the program handles it. This has no effect outside the main thread, because only the main
    thread receives signals.

    Args:
        end: Called wherever the main thread is; it must not take locks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    # A handler that is not a function ignores the signal, or leaves it to the system: it stays.
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    handled = {number: handler for number, handler in handlers.items() if callable(handler)}

    def restore() -> None:
        for number, handler in handled.items():
            signal.signal(number, handler)

    def handle(*_: object) -> None:
        restore()
        end()

    for number in handled:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()
