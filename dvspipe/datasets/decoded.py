"""Events of recordings that were decoded, for data sets of the same recordings that are opened one after the other."""

from __future__ import annotations

from collections.abc import Callable

from ..events import Events

MAX_DECODED_BYTES = 1 << 30  # of events; other recordings are decoded again


class DecodedEvents:
    """The events of recordings that were decoded so far, in memory.

    To choose settings, all recordings of a folder are decoded; with these events, the training does not decode them
    again. Worker processes start without any.
    """

    def __init__(self) -> None:
        self._events: dict[str, Events] = {}
        self._free_bytes = MAX_DECODED_BYTES

    def __reduce__(self) -> tuple[type[DecodedEvents], tuple[()]]:
        return DecodedEvents, ()

    def __contains__(self, version: str) -> bool:
        return version in self._events

    def load(self, version: str, decode: Callable[[], Events]) -> Events:
        """Return the events of a recording, which are decoded if they are not in memory.

        Args:
            version: A text that changes with what the events depend on.
            decode: Returns them.
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
