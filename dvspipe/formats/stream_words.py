"""Formats of live event streams: EVT 2.0 words, words of AEStream and rows of OpenMV. All are little-endian.

EVT 2.0 is described in `evt`; event cameras of OpenMV send it in their raw mode. AEStream's words
have 32 bits; from the top bit down:

    1 without time, x 15, polarity 1 (ON), y 15
    0 with time,    x 15, polarity 1 (ON), y 15; the next word is the time in microseconds, modulo 2^32

A row of OpenMV has six 16-bit numbers: type (0 OFF, 1 ON, 2 to 5 triggers), seconds, milliseconds, microseconds, x, y.

Sources: `DVSToUDP` in AEStream (github.com/aestream/aestream, src/output/dvs_to_udp.cpp; SPIF has the same words);
`IOCTL_GENX320_READ_EVENTS` in OpenMV (docs.openmv.io, library csi).

Each format has a kernel, a state that the kernel takes and returns, and an explanation of invalid words;
`_STREAM_CODECS` is the table of them. `StreamDecoder` holds the state of one stream and turns its bytes into events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..base.kernels import njit
from ..events import Events, SensorSize
from .evt import EVT2_TYPE_SHIFT, EVT2_VERSION, allocate_events
from .evt_kernels import CD_ON, Decoded, EventArrays, Evt2State, decode_evt2
from .hints import StreamFormat
from .stream_clock import StreamClock

# Word of AEStream.
WITHOUT_TIME = 1 << 31
AESTREAM_COLUMN_SHIFT = 16
AESTREAM_POLARITY_SHIFT = 15
SIDE_MASK = 0x7FFF  # 15 bits: column or row
STAMP_SPAN_US = 1 << 32  # times wrap after 71 minutes

# Row of OpenMV: its numbers, after the type at 0.
SECONDS = 1
MILLISECONDS = 2
MICROSECONDS = 3
X = 4
Y = 5
ROW_NUMBERS = 6
MAX_EVENT_TYPE = 1  # larger types are triggers
MAX_ROW_TYPE = 5
SECONDS_SPAN = 1 << 16  # times wrap after 18 hours


class AestreamState(NamedTuple):
    """State of AEStream decoding.

    Args:
        arrived_us: Time of events without time, in microseconds.
        last_us: Time of the previous event, including overflows; -1 before the first.
    """

    arrived_us: int = 0
    last_us: int = -1


class OpenmvState(NamedTuple):
    """State of OpenMV decoding: seconds of the previous event, including overflows; -1 before the first."""

    seconds: int = -1


@njit(cache=True, nogil=True, error_model="numpy")
def _unwrap(value: int, previous: int, span: int) -> int:
    """Return the number nearest to `previous` that equals `value` modulo `span`."""
    return previous + (value - previous + span // 2) % span - span // 2


@njit(cache=True, nogil=True, error_model="numpy")
def decode_aestream(
    words: NDArray[np.uint32], state: AestreamState, width: int, height: int, out: EventArrays
) -> Decoded:
    """Decode words of AEStream; a last word without its time is left."""
    # Word: bit 31 without time, 30-16 column, 15 polarity, 14-0 row; unless bit 31 is set, the next word is the time.
    # Times wrap at 2^32 us: the nearest time to the previous one is meant.
    #
    # index is the next word, count the number of decoded events, and so the index of the next one in t, x, y and on.
    t, x, y, on = out
    arrived_us = np.int64(state.arrived_us)
    last_us = np.int64(state.last_us)
    index = 0
    count = 0
    is_invalid = False
    while index < words.size:
        word = np.int64(words[index])
        is_timed = word < WITHOUT_TIME
        if is_timed and index + 1 == words.size:
            break

        column = (word >> AESTREAM_COLUMN_SHIFT) & SIDE_MASK
        row = word & SIDE_MASK
        if column >= width or row >= height:
            is_invalid = True
            break

        t_us = arrived_us
        if is_timed:
            stamp = np.int64(words[index + 1])
            t_us = stamp if last_us < 0 else _unwrap(stamp, last_us, STAMP_SPAN_US)
        last_us = t_us

        t[count] = t_us
        x[count] = column
        y[count] = row
        on[count] = (word >> AESTREAM_POLARITY_SHIFT) & 1
        count += 1
        index += 2 if is_timed else 1

    return Decoded(AestreamState(int(arrived_us), int(last_us)), index, count, is_invalid)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_openmv(rows: NDArray[np.uint16], state: OpenmvState, width: int, height: int, out: EventArrays) -> Decoded:
    """Decode the numbers of complete rows of OpenMV."""
    # Seconds wrap at 2^16: the nearest to the previous ones are meant. Triggers are skipped.
    #
    # index is the first number of the next row, count the number of decoded events, and so the index of the next one.
    t, x, y, on = out
    seconds = np.int64(state.seconds)
    index = 0
    count = 0
    is_invalid = False
    while index + ROW_NUMBERS <= rows.size:
        kind = rows[index]
        column = rows[index + X]
        row = rows[index + Y]
        is_event = kind <= MAX_EVENT_TYPE
        if kind > MAX_ROW_TYPE or (is_event and (column >= width or row >= height)):
            is_invalid = True
            break

        if is_event:
            stamp = np.int64(rows[index + SECONDS])
            seconds = stamp if seconds < 0 else _unwrap(stamp, seconds, SECONDS_SPAN)
            milliseconds = np.int64(rows[index + MILLISECONDS])
            microseconds = np.int64(rows[index + MICROSECONDS])
            t[count] = 1_000_000 * seconds + 1000 * milliseconds + microseconds
            x[count] = column
            y[count] = row
            on[count] = kind
            count += 1
        index += ROW_NUMBERS

    return Decoded(OpenmvState(int(seconds)), index, count, is_invalid)


def _explain_evt2(words: NDArray[np.uint32], state: Evt2State, sensor: SensorSize) -> str:
    return EVT2_VERSION.explain(int(words[0]), state, sensor.width, sensor.height, name="EVT2")


def _explain_aestream(words: NDArray[np.uint32], _: AestreamState, sensor: SensorSize) -> str:
    word = int(words[0])
    x = word >> AESTREAM_COLUMN_SHIFT & SIDE_MASK
    y = word & SIDE_MASK
    return f"an event at x = {x}, y = {y}, outside the sensor ({sensor} pixels)"


def _explain_openmv(rows: NDArray[np.uint16], _: OpenmvState, sensor: SensorSize) -> str:
    kind = int(rows[0])
    if kind > MAX_ROW_TYPE:
        return f"a row of type {kind}, unknown in OpenMV"
    return f"an event at x = {int(rows[X])}, y = {int(rows[Y])}, outside the sensor ({sensor} pixels)"


class _StreamCodec(NamedTuple):
    """Encoding of a stream: its words and how to decode them.

    Args:
        dtype: NumPy type of a word.
        start: State before the first word.
        decode: Kernel, as in `dvspipe/formats/evt_kernels.py`.
        explain: Function of words, state and sensor that describes why the first word is invalid.
        event_words: Function that returns the words per event of packets, given the first word of each.
    """

    dtype: str
    start: Any
    decode: Callable[..., Decoded]
    explain: Callable[..., str]
    event_words: Callable[[NDArray[Any]], NDArray[np.int64]]


_STREAM_CODECS: Mapping[StreamFormat, _StreamCodec] = {
    "evt2": _StreamCodec("<u4", Evt2State(), decode_evt2, _explain_evt2, lambda first: np.full(len(first), 1)),
    "aestream": _StreamCodec(
        "<u4", AestreamState(), decode_aestream, _explain_aestream, lambda first: np.where(first < WITHOUT_TIME, 2, 1)
    ),
    "openmv": _StreamCodec(
        "<u2", OpenmvState(), decode_openmv, _explain_openmv, lambda first: np.full(len(first), ROW_NUMBERS)
    ),
}


STREAM_FORMATS: tuple[StreamFormat, ...] = tuple(_STREAM_CODECS)


class StreamDecoder:
    """Decoder of the bytes of one stream.

    Args:
        name: Name of the stream in messages.
        stream_format: Format.
        sensor: Sensor of the events.

    Attributes:
        position: Number of decoded bytes.
        clock: Makes the times of the camera continuous.

    Example:
        >>> decoder = StreamDecoder("packet", "aestream", SensorSize(width=12, height=7))
        >>> words = np.array([3 << 16 | 1 << 15 | 2, 1000], "<u4")
        >>> events, used = decoder.decode(words.view(np.uint8), arrived_us=0)
        >>> events[0], used
        (Event(t=1000, x=3, y=2, p=True), 8)
    """

    def __init__(self, name: str, stream_format: StreamFormat, sensor: SensorSize) -> None:
        self._name = name
        self._sensor = sensor
        self._codec = _STREAM_CODECS[stream_format]
        self._word_bytes = np.dtype(self._codec.dtype).itemsize
        self._state = self._codec.start
        self.position = 0
        self.clock = StreamClock()

    def decode(self, data: NDArray[np.uint8], *, arrived_us: int) -> tuple[Events, int]:
        """Return the events of the next bytes, and the number of decoded bytes: the last event may be incomplete.

        `clock` makes times continuous; events without time have the time `arrived_us`. EVT 2.0 events at the start,
        before the first other word, are skipped, because a receiver may start in the middle of a stream. An invalid
        event is a FormatError, and the decoder can continue with other bytes.
        """
        decoded, out, used_bytes = self._decode(data, arrived_us)
        return self._accept(decoded, out, used_bytes, arrived_us), used_bytes

    def decode_packets(self, data: NDArray[np.uint8], sizes: NDArray[np.int64], *, arrived_us: int) -> Events:
        """Decode packets, each with complete events.

        Args:
            data: Consecutive packets, uint8 [N].
            sizes: Their sizes in bytes, with sum N.
            arrived_us: As in `decode`.
        """
        self._check_sizes(data, sizes)
        decoded, out, used_bytes = self._decode(data, arrived_us)

        if used_bytes < len(data):
            raise FormatError(f"{self._name}: truncated packet (found {len(data) - used_bytes} bytes of an event)")
        return self._accept(decoded, out, used_bytes, arrived_us)

    def _decode(self, data: NDArray[np.uint8], arrived_us: int) -> tuple[Decoded, EventArrays, int]:
        """Decode bytes; return the result, its arrays, and the number of decoded bytes."""
        complete_bytes = len(data) // self._word_bytes * self._word_bytes
        words = data[:complete_bytes].view(self._codec.dtype)
        state = self._state
        skipped = 0

        if isinstance(state, AestreamState):
            state = state._replace(arrived_us=arrived_us)
        elif isinstance(state, Evt2State) and state.high < 0:
            # The decoder of EVT 2.0 rejects events before the first time.
            is_other = words >> EVT2_TYPE_SHIFT > CD_ON
            skipped = int(is_other.argmax()) if is_other.any() else len(words)

        out = allocate_events(len(words))
        decoded = self._codec.decode(words[skipped:], state, self._sensor.width, self._sensor.height, out)
        used_words = skipped + decoded.words
        used_bytes = used_words * self._word_bytes
        if decoded.is_invalid:
            why = self._codec.explain(words[used_words:], decoded.state, self._sensor)
            raise FormatError(f"{self._name}: byte {self.position + used_bytes}: {why}")

        return decoded, out, used_bytes

    def _accept(self, decoded: Decoded, out: EventArrays, used_bytes: int, arrived_us: int) -> Events:
        """Advance the state and the position of the stream, and return the decoded events with continuous times."""
        self._state = decoded.state
        self.position += used_bytes
        count = decoded.events
        t = self.clock.continue_times(out.t[:count], arrived_us=arrived_us)
        return Events.wrap_unchecked(t, out.x[:count], out.y[:count], out.on[:count].view(np.bool_), self._sensor)

    def _check_sizes(self, data: NDArray[np.uint8], sizes: NDArray[np.int64]) -> None:
        """Check that packets consist of complete events, given the first word of each."""
        event_bytes = np.full(len(sizes), self._word_bytes)
        is_wrong = (sizes == 0) | (sizes % event_bytes != 0)

        # The words of an event may depend on its first word, which exists only if the packet has complete words.
        if not is_wrong.any():
            starts = (np.cumsum(sizes) - sizes) // self._word_bytes
            event_bytes *= self._codec.event_words(data.view(self._codec.dtype)[starts])
            is_wrong = sizes % event_bytes != 0

        if is_wrong.any():
            packet = int(is_wrong.argmax())
            expected = f"expected a multiple of {event_bytes[packet]}"
            raise FormatError(f"{self._name}: wrong size of a packet (found {sizes[packet]} bytes, {expected})")
