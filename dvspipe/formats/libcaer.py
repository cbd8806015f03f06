"""Encoding `libcaer_cmp` of event packets in ROS bags, written by libcaer_driver for DAVIS and DVXplorer cameras.

Packets consist of little-endian 16-bit words with their type in the top four bits. Decoding starts from the initial
state in each packet; times are relative to the time of the packet. Definition: ros-event-camera/event_camera_codecs,
libcaer_cmp_types.h. Its decoder ignores events outside the sensor and words of other types; here they are corruption.
Its Python package event_camera_py is only part of ROS, and not on PyPI.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from .evt import EvtVersion
from .evt_kernels import LOW, PAYLOAD, TYPE_BITS, Decoded, EventArrays

CAER_TIME_HIGH = 0  # sets the upper 12 bits of the time
CAER_TIME_LOW = 1  # sets the lower 12 bits
CAER_ADDR_X = 2  # sets the column
CAER_ADDR_Y = 3  # event: row and polarity
VECT_BASE_Y = 4  # sets the first row and the polarity of vectors
CAER_VECT_8 = 5  # vector: one bit for each of 8 rows; the next vector begins after them
MAX_EVENTS = 8  # events per word


class LibcaerState(NamedTuple):
    """State of decoding; a column or row of -1 is not set yet.

    Args:
        high: TIME_HIGH.
        low: TIME_LOW.
        column: Column from ADDR_X.
        base: First row of the next vector, from VECT_BASE_Y and later vectors.
        base_on: Polarity of vectors, 0 or 1.
    """

    high: int = 0
    low: int = 0
    column: int = -1
    base: int = -1
    base_on: int = 0


@njit(cache=True, nogil=True, error_model="numpy")
def decode_libcaer(
    words: NDArray[np.uint16], state: LibcaerState, width: int, height: int, out: EventArrays
) -> Decoded:  # pragma: no cover
    """Decode libcaer words; times count from the start of the packet.

    A word is decoded only while the arrays have room for MAX_EVENTS more events.
    """
    # Word: bits 15-12 type, 11-0 payload: of ADDR_X, ADDR_Y and VECT_BASE_Y, bit 11 is the polarity and 10-0 a column
    # or row; of vectors, a mask with row base + bit in each bit; of times, 12 bits of the time, high << 12 | low.
    #
    # index is the next word, count the next free place of t, x, y and on.
    t, x, y, on = out
    high, low, column, base, base_on = state
    index = 0
    count = 0
    is_invalid = False
    while index < words.size and t.size - count >= MAX_EVENTS and not is_invalid:
        word = int(words[index])
        kind = word >> TYPE_BITS
        payload = word & PAYLOAD
        polarity = word >> 11 & 1

        if kind == CAER_TIME_HIGH:
            high = word & LOW
        elif kind == CAER_TIME_LOW:
            low = word & LOW
        elif kind == CAER_ADDR_X and payload < width:
            column = payload
        elif kind == CAER_ADDR_Y and payload < height and column >= 0:
            t[count] = high << 12 | low
            x[count] = column
            y[count] = payload
            on[count] = polarity
            count += 1
        elif kind == VECT_BASE_Y:
            base = payload
            base_on = polarity
        elif kind == CAER_VECT_8 and base >= 0 and column >= 0:
            # A loop over the rows of the vector; an invalid event is written, but not counted.
            for bit in range(8):
                if word >> bit & 1 and not is_invalid:
                    is_invalid = base + bit >= height
                    t[count] = high << 12 | low
                    x[count] = column
                    y[count] = base + bit
                    on[count] = base_on
                    count += not is_invalid

            base += 0 if is_invalid else 8
        else:
            is_invalid = True
        index += not is_invalid

    return Decoded(LibcaerState(high, low, column, base, base_on), index, count, is_invalid)


def _explain(word: int, state: LibcaerState, width: int, height: int, *, name: str) -> str:
    """Describe why a word is invalid."""
    kind = word >> TYPE_BITS
    payload = word & PAYLOAD

    if kind > CAER_VECT_8:
        return f"a word of type 0x{kind:X}, reserved in {name}"
    if kind == CAER_ADDR_X:
        return f"column x = {payload}, outside the sensor (width {width})"
    if state.column < 0:
        return "an event before the first ADDR_X: unknown column"
    if kind == CAER_ADDR_Y:
        return f"an event at y = {payload}, outside the sensor (height {height})"
    if state.base < 0:
        return "a vector before the first VECT_BASE_Y: unknown rows"
    return f"a vector from y = {state.base} with mask 0x{word & 0xFF:X}, outside the sensor (height {height})"


LIBCAER = EvtVersion("libcaer_cmp", "", "<u2", decode_libcaer, LibcaerState(), _explain)
