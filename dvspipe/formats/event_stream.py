"""Event Stream 2.0 (`.es`) of the DVS and ATIS cameras in Paris and Sydney (neuromorphic-paris/event_stream).

The file has a header of 20 bytes, then five bytes per event. The first byte has the time since the previous event, the
polarity, and for the ATIS whether the event begins or ends an exposure. Then come x and y, 16 bits little-endian; y
counts upwards. A first byte with the maximum time stands alone: it adds this time as often as its flags say; 0 times is
a reset. dvspipe has its own decoder because faery reads truncated files as complete, does not read gzip, and accepts
pixels outside the sensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import CorruptionError, EventError, FormatError
from ..base.kernels import njit
from ..base.progress import Progress
from ..events import SensorSize
from .faery_writers import ES_EVENT_BYTES, ES_SUFFIX, EVENT_STREAM_ENCODER
from .hints import NO_HINTS, Hints
from .source import Format, Source, StoredColumns, invalid_record, open_binary, read_records, truncated_record

ES_MAGIC = b"Event Stream"
ES_VERSION = (2, 0)
STREAM_TYPES = ("generic", "DVS", "ATIS", "asynchronous display", "color")
DVS = 1
ATIS = 2
VERSION_AT = len(ES_MAGIC)  # in the header: major, minor and patch
TYPE_AT = VERSION_AT + 3
SIDES_AT = TYPE_AT + 1  # width and height, 16 bits each
ES_HEADER_BYTES = SIDES_AT + 4
FLAG_BITS = {DVS: 1, ATIS: 2}  # flags in the first byte: polarity; for the ATIS, exposure in the bit below
VALID, OUTSIDE, TOO_LATE = range(3)  # result of decoding an event
MAX_TIME_US = 1 << 62


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(ES_MAGIC) or path.suffix.lower() == ES_SUFFIX


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    with open_binary(path) as file:
        head = file.read(ES_HEADER_BYTES)

    if not head.startswith(ES_MAGIC):
        raise FormatError(f"{path}: not an Event Stream file")
    _check_header(path, head)

    try:
        width, height = np.frombuffer(head, "<u2", 2, SIDES_AT).tolist()
        sensor = SensorSize(width=width, height=height)
    except EventError as error:
        raise FormatError(f"{path}: invalid sensor size ({error})") from error

    kind = head[TYPE_AT]
    attributes: dict[str, str | int] = {"stream": STREAM_TYPES[kind]}
    if kind == ATIS:
        attributes["exposures_skipped"] = _count_exposures(path, sensor)

    def chunks(progress: Progress | None = None) -> Iterator[StoredColumns]:
        for columns, _ in _chunks(path, kind, sensor, progress):
            yield columns

    return Source(sensor, chunks, attributes)


def _check_header(path: Path, head: bytes) -> None:
    """Check the version, the type and the length of a header; a truncated one as far as it goes."""
    if len(head) >= TYPE_AT and tuple(head[VERSION_AT : VERSION_AT + 2]) != ES_VERSION:
        version = ".".join(map(str, head[VERSION_AT:TYPE_AT]))
        raise FormatError(f"{path}: wrong Event Stream version (found {version}, expected 2.0)")
    if len(head) > TYPE_AT and head[TYPE_AT] not in FLAG_BITS:
        kind = head[TYPE_AT]
        name = STREAM_TYPES[kind] if kind < len(STREAM_TYPES) else str(kind)
        raise FormatError(f"{path}: wrong stream type (found {name}, expected DVS or ATIS)")
    if len(head) < ES_HEADER_BYTES:
        raise FormatError(f"{path}: truncated in the header, at byte {len(head)}")


def _count_exposures(path: Path, sensor: SensorSize) -> int:
    """Count the ATIS exposure events before any corruption."""
    count = 0
    with suppress(CorruptionError):  # raised again when the events are read
        for _, exposures in _chunks(path, ATIS, sensor):
            count += exposures

    return count


def _chunks(
    path: Path, kind: int, sensor: SensorSize, progress: Progress | None = None
) -> Iterator[tuple[StoredColumns, int]]:
    """Yield events in chunks, with the number of skipped exposure events."""
    time_us = 0
    incomplete = np.empty(0, np.uint8)  # bytes of an event that the next block completes
    stop = ES_HEADER_BYTES

    for position, data in read_records(path, ES_HEADER_BYTES, 1, progress):
        begin = position - len(incomplete)
        stop = position + len(data)
        block = np.concatenate([incomplete, data.ravel()])

        capacity = len(block) // ES_EVENT_BYTES + 1
        t = np.empty(capacity, np.int64)
        p = np.empty(capacity, np.bool_)
        x = np.empty(capacity, np.int32)
        y = np.empty(capacity, np.int32)
        events, used, time_us, exposures, problem = _decode(
            block, FLAG_BITS[kind], sensor.width, sensor.height, time_us, t, x, y, p
        )

        yield StoredColumns(t[:events], x[:events], y[:events], p[:events]), exposures
        if problem != VALID:
            what = f"pixel outside {sensor}" if problem == OUTSIDE else "time too large"
            raise invalid_record(path, begin + used, what)

        incomplete = block[used:]

    if len(incomplete):
        raise truncated_record(path, stop, len(incomplete), ES_EVENT_BYTES)


@njit(cache=True, nogil=True, error_model="numpy")
def _decode(
    block: NDArray[np.uint8],
    flag_bits: int,
    width: int,
    height: int,
    time_us: int,
    t: NDArray[np.int64],
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    p: NDArray[np.bool_],
) -> tuple[int, int, int, int, int]:  # pragma: no cover
    """Decode the complete events of a block, up to the first invalid event.

    Return the numbers of events and decoded bytes, the time of the last event in microseconds, the number of exposure
    events, and VALID or the problem of the next event.
    """
    # Event: a byte with its time since the previous event above the flags, then x and y, 16 bits each. The top flag is
    # the polarity; the ATIS has a flag below it for exposures. A first byte with the maximum time `longest` has no x
    # and y: it adds this time as often as its flags say.
    #
    # i is the next byte, events the next free place of t, x, y and p.
    longest = (1 << (8 - flag_bits)) - 1
    events = 0
    exposures = 0
    i = 0
    while i < len(block):
        first = int(block[i])
        step = first >> flag_bits
        flags = first & ((1 << flag_bits) - 1)
        if step == longest:
            time_us += longest * flags
            i += 1
            continue

        if i + ES_EVENT_BYTES > len(block):
            break
        if time_us >= MAX_TIME_US:
            return events, i, time_us, exposures, TOO_LATE

        column = np.int32(block[i + 1]) | np.int32(block[i + 2]) << 8
        row = np.int32(block[i + 3]) | np.int32(block[i + 4]) << 8
        if column >= width or row >= height:
            return events, i, time_us, exposures, OUTSIDE

        # Exposure events have no place among events, but their time counts.
        time_us += step
        if flag_bits == 2 and flags & 1:
            exposures += 1
        else:
            t[events] = time_us
            x[events] = column
            y[events] = height - 1 - row  # y counts upwards
            p[events] = flags >> (flag_bits - 1)
            events += 1
        i += ES_EVENT_BYTES

    return events, i, time_us, exposures, VALID


EVENT_STREAM = Format("event_stream", (ES_SUFFIX,), _recognises, _open, EVENT_STREAM_ENCODER)
