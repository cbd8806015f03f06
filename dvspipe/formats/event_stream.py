"""Event Stream 2.0 (`.es`), of the DVS and ATIS cameras in Paris and Sydney (neuromorphic-paris/event_stream).

A head of 20 bytes, then five bytes an event: the time since the event before and the polarity (and for the ATIS,
whether it begins or ends an exposure) in the first, then x and y, 16 bits little endian, y upwards. A first byte with
the longest time stands alone: it adds that time as often as its flags say, and 0 times is a reset. Decoded here and not
by faery, which takes a cut file for a whole one, cannot look through gzip, and takes pixels outside of the sensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptionError, EventError, FormatError
from ..events import SensorSize
from .hints import NO_HINTS, Hints
from .source import CHUNK_EVENTS, Columns, Format, Source, open_binary

MAGIC = b"Event Stream"
VERSION = (2, 0)
KINDS = ("generic", "DVS", "ATIS", "asynchronous display", "color")
DVS, ATIS = 1, 2
HEAD_BYTES = len(MAGIC) + 3 + 1 + 4
EVENT_BYTES = 5
FLAG_BITS = {DVS: 1, ATIS: 2}  # of an event's first byte: polarity, and for the ATIS exposure below it
GOOD, OUTSIDE, TOO_LATE = range(3)
MOST_US = 1 << 62


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(MAGIC) or path.suffix.lower() in EVENT_STREAM.suffixes


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    with open_binary(path) as file:
        head = file.read(HEAD_BYTES)
    if not head.startswith(MAGIC):
        raise FormatError(f"{path}: not an Event Stream file")
    if len(head) > len(MAGIC) + 2 and tuple(head[12:14]) != VERSION:
        raise FormatError(f"{path}: is of version {'.'.join(map(str, head[12:15]))}, expected 2.0")
    if len(head) > 15 and head[15] not in FLAG_BITS:
        name = KINDS[head[15]] if head[15] < len(KINDS) else str(head[15])
        raise FormatError(f"{path}: holds a stream of type {name}, expected DVS or ATIS")
    if len(head) < HEAD_BYTES:
        raise FormatError(f"{path}: breaks off in its header, at byte {len(head)}")
    try:
        sensor = SensorSize(*np.frombuffer(head, "<u2", 2, 16).tolist())
    except EventError as error:
        raise FormatError(f"{path}: names no usable sensor size ({error})") from error
    kind = head[15]
    attributes: dict[str, str | int] = {"stream": KINDS[kind]}
    if kind == ATIS:
        attributes["exposures_skipped"] = _count_exposures(path, sensor)
    return Source(sensor, lambda: (columns for columns, _ in _chunks(path, kind, sensor)), attributes)


def _count_exposures(path: Path, sensor: SensorSize) -> int:
    """The number of the ATIS' exposure events, up to any damage."""
    count = 0
    with suppress(CorruptionError):  # is raised again when the events are read
        for _, exposures in _chunks(path, ATIS, sensor):
            count += exposures
    return count


def _chunks(path: Path, kind: int, sensor: SensorSize) -> Iterator[tuple[Columns, int]]:
    """Events in chunks, and how many exposure events were among them."""
    time_us, rest, place = 0, b"", HEAD_BYTES
    with open_binary(path) as file:
        file.read(HEAD_BYTES)
        while data := file.read(EVENT_BYTES * CHUNK_EVENTS):
            block = np.frombuffer(rest + data, np.uint8)
            most = len(block) // EVENT_BYTES + 1
            t, p = np.empty(most, np.int64), np.empty(most, np.bool_)
            x, y = np.empty(most, np.int32), np.empty(most, np.int32)
            events, stop, time_us, exposures, says = _decode(
                block, FLAG_BITS[kind], sensor.width, sensor.height, time_us, t, x, y, p
            )
            yield Columns(t[:events], x[:events], y[:events], p[:events]), exposures
            if says != GOOD:
                found = f"a pixel outside {sensor}" if says == OUTSIDE else "a time that is too large"
                raise CorruptionError(f"{path}: the event at byte {place + stop} has {found}", lost="what follows")
            rest = block[stop:].tobytes()
            place += stop
    if rest:
        raise CorruptionError(f"{path}: ends inside the event at byte {place}", lost=f"{len(rest)} bytes")


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
    """Decodes the whole events of a block, up to the first that is wrong.

    Returns:
        Number of events, bytes read, the time so far, number of exposure events, and what is wrong with the next.
    """
    longest = (1 << (8 - flag_bits)) - 1
    events = i = exposures = 0
    while i < len(block):
        first = int(block[i])
        step, flags = first >> flag_bits, first & ((1 << flag_bits) - 1)
        if step == longest:
            time_us += longest * flags
            i += 1
            continue
        if i + EVENT_BYTES > len(block):
            break
        if time_us >= MOST_US:
            return events, i, time_us, exposures, TOO_LATE
        column = np.int32(block[i + 1]) | np.int32(block[i + 2]) << 8
        row = np.int32(block[i + 3]) | np.int32(block[i + 4]) << 8
        if column >= width or row >= height:
            return events, i, time_us, exposures, OUTSIDE
        time_us += step
        if flag_bits == 2 and flags & 1:
            exposures += 1
        else:
            t[events], x[events], y[events] = time_us, column, height - 1 - row
            p[events] = flags >> (flag_bits - 1)
            events += 1
        i += EVENT_BYTES
    return events, i, time_us, exposures, GOOD


EVENT_STREAM = Format("event_stream", (".es",), _recognises, _open)
