"""Digest of events, which does not depend on the file that stores them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from .events import Events
from .joining import checked_parts
from .sensor import SensorSize, SensorSizeLike

STORED_TYPES = {"t": "<i8", "x": "<u2", "y": "<u2", "p": "u1"}
"""Columns in the order of their digests, with the type of their bytes."""


class EventDigest(NamedTuple):
    """Digest of a recording, and what was counted on the way.

    Args:
        sha256: Digest in hexadecimal digits; see `digest_events`.
        duration_us: Time from the first to the last event in microseconds; 0 without events.
    """

    sha256: str
    events: int
    duration_us: int


def digest_events(parts: Events | Iterable[Events], sensor: SensorSizeLike) -> EventDigest:
    """Compute the digest of a recording from its columns.

    The digest is the SHA-256 of the text `WIDTHxHEIGHT T X Y P`. T, X, Y and P are the SHA-256 of a column of all
    events, in hexadecimal digits: t as int64 in microseconds, x and y as uint16, p as uint8 (1 = ON), little-endian. So
    it depends neither on a file format and its compression, nor on how the events are divided into parts.

    Args:
        parts: Events, or consecutive parts of them.
        sensor: Sensor of the recording.

    Example:
        >>> events = Events([5, 9], [0, 1], [0, 0], [1, 0], sensor=(2, 1))
        >>> digest_events(events, events.sensor) == digest_events([events[:1], events[1:]], events.sensor)
        True
    """
    sensor = SensorSize.of(sensor)
    columns = {name: hashlib.sha256() for name in STORED_TYPES}
    count = 0
    first_us = 0
    last_us = 0

    for events in checked_parts(parts, sensor):
        for name, stored_type in STORED_TYPES.items():
            columns[name].update(getattr(events, name).astype(stored_type).tobytes())

        if len(events):
            first_us = first_us if count else int(events.t[0])
            last_us = int(events.t[-1])
            count += len(events)

    text = " ".join([str(sensor), *(column.hexdigest() for column in columns.values())])
    return EventDigest(hashlib.sha256(text.encode()).hexdigest(), count, last_us - first_us)
