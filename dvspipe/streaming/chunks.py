"""Chunks of live streams, their queue, and the clock.

The thread of a source puts `Chunk`s into a `ChunkQueue`, from which the thread of a session takes them. A `LiveClock`
tells both the time; tests replace it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from ..events import Events
from ..video.frames import Frame

NOTICE_S = 0.05  # maximum time until a stop is noticed


@dataclass(frozen=True, eq=False)
class Chunk:
    """Part of a live stream.

    Args:
        content: Events, or one frame of a video.
        t_us: End of the chunk on the clock of the stream in microseconds.
        due_s: Time at which it ended, in seconds on the clock of the machine.
    """

    content: Events | Frame
    t_us: int
    due_s: float


class LiveClock(Protocol):
    """Clock of the machine."""

    def now_s(self) -> float:
        """Return the time in seconds."""

    def wait_until(self, time_s: float, stop: threading.Event) -> None:
        """Return at this time, or when `stop` is set."""


class SystemClock:
    """Monotonic clock.

    Example:
        >>> clock = SystemClock()
        >>> clock.wait_until(clock.now_s() - 1, threading.Event())
    """

    def now_s(self) -> float:
        """Return the time in seconds."""
        return time.monotonic()

    def wait_until(self, time_s: float, stop: threading.Event) -> None:
        """Return at this time, or when `stop` is set."""
        if (left_s := time_s - time.monotonic()) > 0:
            stop.wait(left_s)


class ChunkQueue:
    """Bounded queue between the thread of a source and the classifying loop.

    A full queue drops its oldest chunk, so a slow machine answers late by at most `capacity` chunks.

    Args:
        capacity: Maximum number of waiting chunks, > 0.

    Attributes:
        dropped: Number of chunks dropped so far.
        skipped_us: Time of the stream in the dropped chunks.

    Example:
        >>> queue = ChunkQueue(1)
        >>> for t_us in (10, 20, 30):
        ...     queue.put(Chunk(Events.empty((12, 7)), t_us, 0.0))
        >>> queue.get(0.0).t_us, queue.dropped, queue.skipped_us
        (30, 2, 20)
    """

    def __init__(self, capacity: int) -> None:
        self._waiting: deque[Chunk] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._is_closed = False
        self._error: Exception | None = None
        self.dropped = 0
        self.skipped_us = 0

    def put(self, chunk: Chunk) -> None:
        """Append a chunk; drop the oldest chunk if the queue is full."""
        with self._changed:
            if len(self._waiting) == self._capacity:
                oldest = self._waiting.popleft()
                self.dropped += 1
                self.skipped_us += (self._waiting[0] if self._waiting else chunk).t_us - oldest.t_us

            self._waiting.append(chunk)
            self._changed.notify()

    def close(self, error: Exception | None = None) -> None:
        """End the stream, after the waiting chunks; `error` is its reason, None: it is complete."""
        with self._changed:
            self._is_closed = True
            self._error = error
            self._changed.notify()

    def get(self, timeout_s: float) -> Chunk | None:
        """Return the next chunk; None if none arrives in time, or the stream has ended."""
        with self._changed:
            if not self._waiting and not self._is_closed:
                self._changed.wait(timeout_s)
            return self._waiting.popleft() if self._waiting else None

    @property
    def has_ended(self) -> bool:
        """Whether the stream is closed and all chunks were taken."""
        with self._changed:
            return self._is_closed and not self._waiting

    @property
    def error(self) -> Exception | None:
        """Error that ended the stream; None: it is complete."""
        with self._changed:
            return self._error
