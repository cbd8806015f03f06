"""Formats that plug-ins add."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..events import Events
from ..hooks import FileFormat, plugins
from ..parallel import Progress
from .hints import NO_HINTS, Hints
from .source import Format, Source, StoredColumns
from .writers import StreamEncoder, accept_all, has_suffix

EVENT_BYTES = 16  # assumed size of an event, to reserve space on the disk


def list_added() -> Iterator[Format]:
    """Yield the formats that plug-ins add; they read only files with one of their suffixes."""
    for formats in plugins().hook.formats():
        yield from map(_adapt, formats)


def has_plugin(suffix: str) -> bool:
    """Return whether a plug-in has a format for files with a suffix, such as `.evx`."""
    return any(suffix.lower() in added.suffixes for added in list_added())


def _adapt(added: FileFormat) -> Format:
    encoder = None
    if added.write is not None:
        encoder = StreamEncoder(added.suffixes, added.write, _estimate_bytes, accept_all)
    return Format(added.name, added.suffixes, partial(_recognises, added), partial(_open, added), encoder)


def _estimate_bytes(events: Events, _: int | None) -> int:
    return EVENT_BYTES * len(events)


def _recognises(added: FileFormat, path: Path, head: bytes) -> bool:
    return has_suffix(path, added.suffixes) and added.recognises(head)


def _open(added: FileFormat, path: Path, _: Hints = NO_HINTS) -> Source:
    sensor, read = added.read(path)

    def chunks(progress: Progress | None = None) -> Iterator[StoredColumns]:  # noqa: ARG001
        for rows in read():
            yield StoredColumns(*(rows[name] for name in StoredColumns._fields))

    return Source(sensor, chunks)
