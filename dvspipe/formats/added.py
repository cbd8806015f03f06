"""Formats that plug-ins add."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..hooks import FileFormat, plugins
from .hints import Hints
from .source import Format, Source, StoredColumns
from .writers import has_suffix


def list_added() -> Iterator[Format]:
    """Yield the formats that plug-ins add; they read only files with one of their suffixes."""
    for formats in plugins().hook.formats():
        yield from map(_adapt, formats)


def has_plugin(suffix: str) -> bool:
    """Return whether a plug-in has a format for files with a suffix, such as `.evx`."""
    return any(suffix.lower() in added.suffixes for added in list_added())


def _adapt(added: FileFormat) -> Format:
    def recognises(path: Path, head: bytes) -> bool:
        return has_suffix(path, added.suffixes) and added.recognises(head)

    def open_file(path: Path, _hints: Hints) -> Source:
        sensor, read = added.read(path)
        return Source(
            sensor, lambda: (StoredColumns(*(rows[name] for name in StoredColumns._fields)) for rows in read())
        )

    write = added.write
    encoder = None if write is None else lambda path, sensor, _options: write(path, sensor)
    return Format(added.name, added.suffixes, recognises, open_file, encoder, added.suffixes if encoder else ())
