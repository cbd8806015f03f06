"""Decoded events in memory, shared by data sets of the same recordings."""

from __future__ import annotations

from collections.abc import Callable

from ..events import Events

MAX_DECODED_BYTES = 1 << 30  # further recordings are decoded again


class DecodedEvents:
    """Decoded events of recordings, in memory.

    Choosing settings decodes all recordings of a folder; the training then reuses these events. Worker processes start
    without any.
    """

    def __init__(self) -> None:
        self._events: dict[str, Events] = {}
        self._free_bytes = MAX_DECODED_BYTES

    def __reduce__(self) -> tuple[type[DecodedEvents], tuple[()]]:
        return DecodedEvents, ()

    def __contains__(self, version: str) -> bool:
        return version in self._events

    def load(self, version: str, decode: Callable[[], Events]) -> Events:
        """Return the events of a recording; decode them if they are not in memory.

        Args:
            version: Key that changes with everything the events depend on.
            decode: Function that decodes the events.
        """
        if version in self._events:
            return self._events[version]
        events = decode()
        size = sum(column.nbytes for column in (events.t, events.x, events.y, events.p))
        if size <= self._free_bytes:
            self._events[version] = events
            self._free_bytes -= size
        return events

    def clear(self) -> None:
        """Release the events."""
        self._events.clear()
        self._free_bytes = MAX_DECODED_BYTES
