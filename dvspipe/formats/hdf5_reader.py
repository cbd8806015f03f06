"""HDF5 recordings of the layouts that are in use, told apart by what the file holds: LAYOUTS.

A file that holds different events in two of the layouts is refused. Times are absolute: t_offset is added where the
layout has it, and nothing is shifted. Whole numbers are microseconds, floats are seconds, each where the layout says
so; elsewhere the unit is asked for, and a hint goes before the layout. OFF is 0 or -1, whichever comes first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptionError, EventError, FileError, FormatError
from ..events import SensorSize
from .hdf5_child import chunks_from_child, serve_chunks
from .hdf5_storage import (
    DAMAGES,
    Stored,
    check_storage,
    find_dataset,
    find_number,
    get_dataset,
    is_guarded,
    list_datasets,
)  # fmt: skip
from .hints import NO_HINTS, UNIT_EXPONENTS, Hints, TimeUnit, require_columns, require_unit
from .source import CHUNK_EVENTS, GZIP_MAGIC, Columns, Extent, Format, Source

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
LATEST = 2**63 - 1
LARGEST_ATTRIBUTE_BYTES = 1 << 20
LARGEST_PIXEL = 2**31
UNITS_BY_MS: dict[float, TimeUnit] = {1e3: "s", 1.0: "ms", 1e-3: "us", 1e-6: "ns"}


Good = NDArray[np.bool_] | np.bool_
"""Which values are good; one for all where that is known of all."""


class Place(NamedTuple):
    """Where a column stands: a dataset, and the field or the column in it, where it has several."""

    dataset: str
    part: str | int | None = None


@dataclass(frozen=True)
class Layout:
    """Where a kind of file holds its events.

    Args:
        name: As `dvspipe info` shows it.
        columns: For t, x, y and p.
        whole: Unit of times that are whole numbers, None where it is not settled.
        floats: Unit of times that are not, None where it is not settled.
        offset: What is added to every time.
        index: The first event at or after each millisecond.
        index_start: The millisecond that the index begins with, where that is not 0.
        sensor: Where its width and height stand.
    """

    name: str
    columns: dict[str, Place]
    whole: TimeUnit | None = None
    floats: TimeUnit | None = None
    offset: str | None = None
    index: str | None = None
    index_start: str | None = None
    sensor: tuple[str, str] | str | None = None

    @property
    def is_table(self) -> bool:
        """Whether it is rows of numbers, whose order their type alone can tell."""
        return isinstance(self.columns["t"].part, int)


def _group(name: str, t: str = "t", x: str = "x", y: str = "y", p: str = "p") -> dict[str, Place]:
    return {column: Place(f"{name}/{dataset}") for column, dataset in (("t", t), ("x", x), ("y", y), ("p", p))}


def _table(name: str, order: str) -> dict[str, Place]:
    return {column: Place(name, number) for number, column in enumerate(order)}


LAYOUTS = (
    Layout(  # dvspipe, DSEC, RVT, TUM-VIE, EventCV, evutils
        "dsec", _group("events"), whole="us", offset="t_offset", index="ms_to_idx", index_start="ms_to_idx_offset",
        sensor=("events/width", "events/height"),
    ),
    Layout(
        "m3ed", _group("prophesee/left"), whole="us", index="prophesee/left/ms_map_idx",
        sensor="prophesee/left/calib/resolution",
    ),
    Layout("prophesee", {column: Place("CD/events", column) for column in "txyp"}, whole="us"),
    Layout("event_utils", _group("events", "ts", "xs", "ys", "ps"), floats="s"),
    Layout("raw_events", _group("raw_events"), floats="s"),
    Layout("v2e", _table("events", "txyp")),
    Layout("mvsec", _table("davis/left/events", "xytp"), floats="s"),
)  # fmt: skip
TABLE_TYPES = {"v2e": np.dtype(np.uint32), "mvsec": np.dtype(np.float64)}
"""What tells a table that its program wrote, with its order and unit, from any other table of that name."""


@dataclass(frozen=True)
class _Recording:
    """What reading a file needs to know of it."""

    path: Path
    layout: str
    places: dict[str, Place]
    events: int
    exponent: int
    offset_us: int
    index: str | None
    index_start_ms: int
    is_guarded: bool


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(HDF5_MAGIC) or path.suffix.lower() in HDF5.suffixes


def open_hdf5(path: Path, hints: Hints = NO_HINTS) -> Source:
    """An HDF5 recording.

    Args:
        path: The file.
        hints: The unit of times, and the columns of a table, whatever the layout says.

    Raises:
        FileError: The file cannot be read.
        FormatError: It is damaged at its head, of no known layout or of two, or stored in a way that is not read.
    """
    _check_packing(path)
    with _opened(path) as file:
        layout = _layout_of(path, file)
        recording = _describe(path, file, layout, hints)
        sensor = _sensor(path, file, layout)
        attributes = _attributes(path, file) | {"layout": layout.name}
    if recording.is_guarded:
        return Source(sensor, lambda: chunks_from_child(path, hints), attributes)
    return Source(
        sensor,
        lambda: _chunks(recording),
        attributes,
        extent=lambda: _extent(recording),
        part=lambda start_us, stop_us: _part(recording, start_us, stop_us),
    )


def _guarded_chunks(path: Path, hints: Hints) -> Iterator[Columns]:
    """The chunks of a recording, decoded in this process whatever the filters; as small as HDF5's own."""
    with _opened(path) as file:
        layout = _layout_of(path, file)
        recording = _describe(path, file, layout, hints)
        datasets = [get_dataset(file, place.dataset) for place in recording.places.values()]
        rows = min((dataset.chunks or (CHUNK_EVENTS,))[0] for dataset in datasets)
    yield from _chunks(recording, rows=rows)


def serve() -> None:
    """What the child process of `chunks_from_child` runs."""
    path, hints = Path(sys.argv[1]), Hints(**json.loads(sys.argv[2]))
    serve_chunks(lambda: _guarded_chunks(path, hints), sys.stdout.buffer)


def _check_packing(path: Path) -> None:
    try:
        with path.open("rb") as file:
            packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    if packed:
        raise FormatError(f"{path}: an HDF5 file inside gzip cannot be read in pieces; unpack it first")


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file; what h5py raises because of its content is a FormatError."""
    try:
        file = h5py.File(path, "r")
    except DAMAGES as error:
        raise FormatError(
            f"{path}: not a complete HDF5 file ({error}); one that is cut or damaged at its head is lost whole"
        ) from error
    try:
        with file:
            yield file
    except DAMAGES as error:
        raise FormatError(f"{path}: damaged: {error}") from error


def _layout_of(path: Path, file: h5py.File) -> Layout:
    found = [(layout, columns) for layout in LAYOUTS if (columns := _columns_of(file, layout))]
    if not found:
        known = ", ".join(f"{layout.name} ({layout.columns['t'].dataset})" for layout in LAYOUTS)
        raise FormatError(f"{path}: holds {list_datasets(file)}, expected events in one of the layouts {known}")
    (first, columns), *others = found
    for other, its_columns in others:
        if columns != its_columns:  # hard links to the same datasets are one recording
            raise FormatError(f"{path}: holds events in the layouts {first.name} and {other.name}, expected one")
    return first


def _columns_of(file: h5py.File, layout: Layout) -> dict[str, h5py.Dataset] | None:
    """The datasets of its columns, None where one is missing or is of another shape."""
    columns = {}
    for name, place in layout.columns.items():
        dataset = find_dataset(file, place.dataset)
        if dataset is None:
            return None
        if isinstance(place.part, str) and place.part not in (dataset.dtype.names or ()):
            return None
        if isinstance(place.part, int) and (dataset.ndim != 2 or dataset.shape[1] != len("txyp")):
            return None
        columns[name] = dataset
    return columns


def _describe(path: Path, file: h5py.File, layout: Layout, hints: Hints) -> _Recording:
    places = _places(path, file, layout, hints)
    sizes, guarded = {}, False
    for name, place in places.items():
        dataset = get_dataset(file, place.dataset)
        where = f"{path}: {place.dataset}"
        check_storage(where, dataset)
        dtype = dataset.dtype[place.part] if isinstance(place.part, str) else dataset.dtype
        if dataset.ndim != (2 if isinstance(place.part, int) else 1) or dtype.kind not in "iubf":
            raise FormatError(
                f"{where} holds {dtype} of shape {dataset.shape}, expected one number per event for {name}"
            )
        sizes[name] = int(dataset.shape[0])
        guarded |= is_guarded(dataset)
    if len(set(sizes.values())) > 1:
        raise FormatError(f"{path}: columns of different lengths: {sizes}")
    index = layout.index if layout.index and find_dataset(file, layout.index) else None
    return _Recording(
        path=path,
        layout=layout.name,
        places=places,
        events=sizes["t"],
        exponent=UNIT_EXPONENTS[_unit(path, file, layout, places["t"], hints)],
        offset_us=_number(path, file, layout.offset),
        index=index,
        index_start_ms=_number(path, file, layout.index_start),
        is_guarded=guarded,
    )


def _places(path: Path, file: h5py.File, layout: Layout, hints: Hints) -> dict[str, Place]:
    """Where the columns are, those of a table that its program did not write as the caller says."""
    name = layout.columns["t"].dataset
    dtype = get_dataset(file, name).dtype
    if not layout.is_table or (hints.columns is None and dtype == TABLE_TYPES[layout.name]):
        return layout.columns
    if hints.columns is None:
        raise require_columns(path, f"{name} holds rows of four {dtype}, of which {layout.name} writes none")
    if len(hints.columns) != len("txyp"):
        raise require_columns(path, f"{name} holds rows of four {dtype}, not of {len(hints.columns)}")
    return _table(name, hints.columns)


def _unit(path: Path, file: h5py.File, layout: Layout, place: Place, hints: Hints) -> TimeUnit:
    dataset = get_dataset(file, place.dataset)
    dtype = dataset.dtype[place.part] if isinstance(place.part, str) else dataset.dtype
    unit = layout.floats if dtype.kind == "f" else layout.whole
    if layout.is_table and dtype == TABLE_TYPES[layout.name]:
        unit = layout.floats or "us"
    if layout.name == "dsec" and "timestamp_scale_ms" in file.attrs:  # EventCV's
        scale = file.attrs["timestamp_scale_ms"]
        unit = next((known for ms, known in UNITS_BY_MS.items() if np.isclose(scale, ms, atol=0)), None)
    unit = hints.time_unit or unit
    if unit is None:
        raise require_unit(path, f"{place.dataset} holds {dtype}, whose unit the layout {layout.name} does not settle")
    return unit


def _number(path: Path, file: h5py.File, name: str | None) -> int:
    """The number in a dataset of one, 0 where there is none."""
    number = find_number(path, file, name) if name else 0
    if number is not None and abs(number) > LATEST:
        raise FormatError(f"{path}: {name} is {number}, expected a 64-bit number")
    return number or 0


def _sensor(path: Path, file: h5py.File, layout: Layout) -> SensorSize | None:
    """The sensor that the file names, wherever it does.

    Raises:
        FormatError: It names two, or something that is none.
    """
    named: dict[SensorSize, str] = {}
    try:
        for where, sides in _sides(path, file, layout):
            named[SensorSize(width=int(sides[0]), height=int(sides[1]))] = where
    except (EventError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{path}: names no usable sensor size ({error})") from error
    if len(named) > 1:
        raise FormatError(f"{path}: names more than one sensor, {', '.join(f'{w}: {s}' for s, w in named.items())}")
    return next(iter(named), None)


def _sides(path: Path, file: h5py.File, layout: Layout) -> Iterator[tuple[str, Any]]:
    """Width and height, from all places that have them."""
    attributes = file.attrs
    if "width" in attributes and "height" in attributes:
        yield "the attributes width and height", (attributes["width"], attributes["height"])
    if layout.name == "prophesee" and "geometry" in attributes:
        yield "the attribute geometry", _text(attributes["geometry"]).lower().split("x")[:2]
    if isinstance(layout.sensor, tuple):
        sides = [find_number(path, file, name) for name in layout.sensor]
        if None not in sides:
            yield " and ".join(layout.sensor), sides
    elif layout.sensor is not None and (resolution := find_dataset(file, layout.sensor)) is not None:
        check_storage(f"{path}: {layout.sensor}", resolution)
        if resolution.shape == (2,):
            yield layout.sensor, resolution[:]


def _attributes(path: Path, file: h5py.File) -> dict[str, Any]:
    attributes = {}
    for name in file.attrs:
        if file.attrs.get_id(name).get_storage_size() > LARGEST_ATTRIBUTE_BYTES:
            continue
        attributes[name] = _plain(file.attrs[name])
    settings = attributes.get("settings")
    if isinstance(settings, str) and attributes.get("format") == "dsec":  # dvspipe's own
        try:
            attributes["settings"] = json.loads(settings)
        except json.JSONDecodeError as error:
            raise FormatError(f"{path}: the attribute settings is not JSON ({error})") from error
    return attributes


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """An attribute as something that JSON can hold."""
    if isinstance(value, bytes):
        return _text(value)
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return _text(value)
    return value


class _Reader:
    """The opened columns of a recording."""

    def __init__(self, recording: _Recording, file: h5py.File) -> None:
        self._recording = recording
        size = recording.path.stat().st_size
        self._stored = {
            name: Stored(get_dataset(file, name), size)
            for name in dict.fromkeys(place.dataset for place in recording.places.values())
        }
        self.whole = min(stored.whole for stored in self._stored.values())
        self._index = _stored_index(recording, file, size)
        self.off: int | None = None
        """The value of OFF, once it is known."""

    def columns(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """The values of events as they are stored."""
        rows = {name: stored.rows(start, stop) for name, stored in self._stored.items()}
        return {name: _part_of(rows[place.dataset], place.part) for name, place in self._recording.places.items()}

    def indexed_event(self, ms: int) -> int | None:
        """What the index says of a millisecond, None where it says nothing that can be true."""
        if self._index is None or not 0 <= ms < self._index.whole:
            return None
        with suppress(*DAMAGES):
            event = int(self._index.rows(ms, ms + 1)[0])
            return event if 0 <= event <= self._recording.events else None
        return None

    def time_us(self, event: int) -> int:
        """The time of an event.

        Raises:
            CorruptionError: It was never stored, or is no time.
        """
        recording, place = self._recording, self._recording.places["t"]
        if event >= self.whole:
            raise _missing(recording, self.whole)
        try:
            value = _part_of(self._stored[place.dataset].rows(event, event + 1), place.part)
        except DAMAGES as error:
            raise _damaged(recording, event, error) from error
        t, good = _times(value, recording.exponent, recording.offset_us)
        if not good.all():
            raise _wrong(recording, event, "t", value[0])
        return int(t[0])


def _stored_index(recording: _Recording, file: h5py.File, file_bytes: int) -> Stored | None:
    """The index from milliseconds to events, None where there is none that can be read."""
    with suppress(FormatError, *DAMAGES):
        dataset = find_dataset(file, recording.index) if recording.index else None
        if dataset is not None and dataset.ndim == 1 and dataset.dtype.kind in "iu" and not is_guarded(dataset):
            check_storage(recording.index or "", dataset)
            return Stored(dataset, file_bytes)
    return None


def _part_of(rows: NDArray[Any], part: str | int | None) -> NDArray[Any]:
    if part is None:
        return rows
    return rows[part] if isinstance(part, str) else rows[:, part]


def _chunks(
    recording: _Recording, start: int = 0, stop: int | None = None, rows: int | None = None
) -> Iterator[Columns]:
    stop = recording.events if stop is None else stop
    with _reading(recording) as reader:
        until = min(stop, reader.whole)
        rows = rows or CHUNK_EVENTS
        for first in range(start, until, rows):
            yield from _read(recording, reader, first, min(first + rows, until))
        if until < stop:
            raise _missing(recording, until)


@contextmanager
def _reading(recording: _Recording) -> Iterator[_Reader]:
    try:
        file = h5py.File(recording.path, "r")
        reader = _Reader(recording, file)
    except DAMAGES as error:
        raise CorruptionError(f"{recording.path}: damaged: {error}", lost="everything") from error
    with file:
        yield reader


def _read(recording: _Recording, reader: _Reader, start: int, stop: int) -> Iterator[Columns]:
    """Events, or where they are damaged those ahead of the damage, found by halving."""
    try:
        values = reader.columns(start, stop)
    except DAMAGES as error:
        if stop - start == 1:
            raise _damaged(recording, start, error) from error
        middle = (start + stop) // 2
        yield from _read(recording, reader, start, middle)
        yield from _read(recording, reader, middle, stop)
        return
    yield from _checked(recording, reader, start, values)


def _checked(recording: _Recording, reader: _Reader, start: int, values: dict[str, NDArray[Any]]) -> Iterator[Columns]:
    """The values as whole numbers, up to the first that is none."""
    good: Good
    wrong: list[tuple[int, str]] = []
    whole: dict[str, NDArray[Any]] = {}
    for name, column in values.items():
        if name == "t":
            whole[name], good = _times(column, recording.exponent, recording.offset_us)
        elif name == "p":
            whole[name], good, reader.off = _polarities(column, reader.off)
        else:
            whole[name], good = _pixels(column)
        if not good.all():
            wrong.append((int(np.argmin(good)), name))
    stop, name = min(wrong, default=(len(values["t"]), ""))
    columns = Columns(*(whole[name][:stop] for name in "txyp"))
    if stop:
        yield columns
    if wrong:
        raise _wrong(recording, start + stop, name, values[name][stop])


def _times(t: NDArray[Any], exponent: int, offset_us: int) -> tuple[NDArray[np.int64], Good]:
    """Times in microseconds, and which of them are good."""
    good: Good = np.True_
    if not len(t):
        return np.zeros(0, np.int64), np.True_
    if t.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            nearest = np.rint(t.astype(np.float64) * 10.0**exponent)
            good = np.abs(nearest) <= 2.0**62 - abs(offset_us)
        return np.where(good, nearest, 0).astype(np.int64) + (offset_us if good.any() else 0), good
    scale, low, high = 10 ** max(exponent, 0), int(t.min()), int(t.max())
    if min(low, 0) * scale + min(offset_us, 0) < -LATEST or max(high, 0) * scale + max(offset_us, 0) > LATEST:
        most = (LATEST - abs(offset_us)) // scale
        good = (t <= min(most, np.iinfo(t.dtype).max)) & (t >= max(-most, np.iinfo(t.dtype).min))
        t = np.where(good, t, t.dtype.type(0))
    times = t.astype(np.int64) if t.dtype != np.int64 or scale > 1 or exponent < 0 or offset_us else t
    if exponent < 0:
        divisor = 10**-exponent
        times = (times // divisor) + (times % divisor * 2 >= divisor)
    elif scale > 1:
        times *= scale
    if offset_us:
        times += offset_us
    return times, good


def _pixels(column: NDArray[Any]) -> tuple[NDArray[Any], Good]:
    """Pixels as whole numbers, and which of them are."""
    if column.dtype.kind in "iu":
        return column, np.True_
    if column.dtype.kind == "b":
        return column.astype(np.uint8), np.True_
    with np.errstate(invalid="ignore"):
        good = (np.abs(column) < LARGEST_PIXEL) & (column == np.rint(column))
    return np.where(good, column, 0).astype(np.int64), good


def _polarities(p: NDArray[Any], off: int | None) -> tuple[NDArray[Any], Good, int | None]:
    """Polarities as 0 and 1, which of them are right, and the value of OFF, once it is known."""
    if p.dtype.kind in "ub":
        return p, np.True_, off  # Events tells what is neither 0 nor 1
    if off is None:
        found = p[(p == 0) | (p == -1)]
        off = int(found[0]) if len(found) else None
    on = p == 1
    return on, on | (p == (0 if off is None else off)), off


def _missing(recording: _Recording, event: int) -> CorruptionError:
    lost = f"{recording.events - event} events"
    return CorruptionError(f"{recording.path}: event {event} and what follows were never stored", lost=lost)


def _damaged(recording: _Recording, event: int, error: BaseException) -> CorruptionError:
    return CorruptionError(
        f"{recording.path}: damaged at event {event}: {error}", lost=f"{recording.events - event} events"
    )


def _wrong(recording: _Recording, event: int, name: str, value: object) -> CorruptionError:
    expected = {"t": "a finite time", "p": "0 and 1, or -1 and 1 throughout"}.get(name, "a whole number")
    message = f"{recording.path}: event {event} has {name} = {value}, expected {expected}"
    return CorruptionError(message, lost=f"{recording.events - event} events")


def _extent(recording: _Recording) -> Extent:
    if not recording.events:
        return Extent(0, None, None)
    with _reading(recording) as reader:
        return Extent(recording.events, reader.time_us(0), reader.time_us(recording.events - 1))


def _part(recording: _Recording, start_us: int, stop_us: int) -> Iterator[Columns]:
    """The events from `start_us` to ahead of `stop_us`; all, where damage is in the way of finding them."""
    start, stop = 0, recording.events
    with suppress(CorruptionError), _reading(recording) as reader:
        found = [_first_from(recording, reader, t_us) for t_us in (start_us, stop_us)]
        if found[0] <= found[1]:
            start, stop = found
    yield from _chunks(recording, start, stop)


def _first_from(recording: _Recording, reader: _Reader, t_us: int) -> int:
    """The number of the first event at or after a time: by the index where that is right, else by bisection."""
    low, high = 0, recording.events
    for event, is_start in _indexed(recording, reader, t_us):
        if is_start:
            low = event
        else:
            high = event
    while low < high:
        middle = (low + high) // 2
        if reader.time_us(middle) < t_us:
            low = middle + 1
        else:
            high = middle
    return low


def _indexed(recording: _Recording, reader: _Reader, t_us: int) -> Iterator[tuple[int, bool]]:
    """The events between which the index places a time, those of them that keep what it promises."""
    if recording.index is None:
        return
    since_us = t_us - recording.offset_us - recording.index_start_ms * 1000
    for ms, is_start in ((since_us // 1000, True), (since_us // 1000 + 1, False)):
        event = reader.indexed_event(ms)
        if event is None:
            continue
        edge_us = (recording.index_start_ms + ms) * 1000 + recording.offset_us
        ahead = event == 0 or reader.time_us(event - 1) < edge_us
        after = event == recording.events or reader.time_us(event) >= edge_us
        if ahead and after:
            yield event, is_start


HDF5 = Format("hdf5", (".h5", ".hdf5"), _recognises, open_hdf5)
