"""Recording of a live stream, in a thread of its own: predictions do not wait for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from ..events import Events
from ..formats import Writer

MAX_PENDING = 1000  # parts that wait for the disk, 10 s of a recording; then the stream waits, and drops chunks


@contextmanager
def record(writer: Writer) -> Iterator[Callable[[Events], None]]:
    """Yield a function that records the next events soon; it raises errors of previous ones."""
    with writer, ThreadPoolExecutor(1, "record") as thread:
        recorder = _Recorder(writer, thread)
        yield recorder.add
        recorder.wait(0)


class _Recorder:
    """Gives events to a writer in a thread."""

    def __init__(self, writer: Writer, thread: ThreadPoolExecutor) -> None:
        self._writer = writer
        self._thread = thread
        self._pending: deque[Future[None]] = deque()

    def add(self, events: Events) -> None:
        if len(events):
            self._pending.append(self._thread.submit(self._writer.append, events))
        self.wait(MAX_PENDING)

    def wait(self, limit: int) -> None:
        """Wait until at most `limit` parts are pending; raise the first error of writing."""
        while self._pending:
            oldest = self._pending[0]
            if len(self._pending) <= limit and not oldest.done():
                return

            self._pending.popleft()
            oldest.result()
