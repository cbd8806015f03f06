"""Helpers for tests of decoders and writers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dvspipe.base.errors import CorruptionError
from dvspipe.events import Events, SensorSize
from dvspipe.formats.source import StoredColumns
from dvspipe.formats.writers import StreamEncoder, StreamWriter


def joined(chunks: Iterable[StoredColumns], sensor: SensorSize) -> Events:
    parts = [StoredColumns(*(np.zeros(0, np.int64) for _ in range(4))), *chunks]
    t, x, y, p = (np.concatenate([part[k] for part in parts]).astype(np.int64) for k in range(4))
    return Events(t, x, y, p, sensor)


def until_corruption(chunks: Iterable[StoredColumns]) -> list[StoredColumns]:
    """Return the chunks before any corruption."""
    found = []
    try:
        for chunk in chunks:
            found.append(chunk)  # noqa: PERF402
    except CorruptionError:
        pass
    return found


def part(events: Events, start: int, stop: int) -> Events:
    return Events(*(column[start:stop] for column in (events.t, events.x, events.y, events.p)), sensor=events.sensor)  # type: ignore[arg-type]


def write(path: Path, events: Events, encoder: StreamEncoder, cuts: Iterable[int] = ()) -> None:
    """Write events in parts that end at `cuts`."""
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    with StreamWriter(path, events.sensor, encoder, overwrite=True) as writer:
        for k in range(len(edges) - 1):
            writer.append(part(events, edges[k], edges[k + 1]))
    assert writer.count == len(events)
