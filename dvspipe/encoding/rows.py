"""Count structured arrays of events, without building `Events`.

A loop over rows cannot be vectorised, because the values of a field are not adjacent in memory. Instead, two vectors of
rows are loaded at once, and a shuffle per field selects its bytes. The columns of a block of rows stay in the cache,
and loops over them are vectorised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype
from numpy.typing import NDArray

from ..events import SensorSize
from ..numba_cache import njit
from .bins import BinConfig, create_places
from .kernels import Places, count_places, find_places

FIELDS = ("t", "x", "y", "p")
BLOCK_ROWS = 256
VECTOR_BYTES = 64
PREFETCH_BYTES = 6656  # two blocks of Tonic's rows: memory is read while the previous blocks are counted
MAX_TIME_US, MAX_SPAN_US = 2**62, 2**49  # the limits of 10,000 steps fit in int64
RULE = np.dtype(
    [
        ("by_events", "?"),
        ("by_recording", "?"),
        ("step_length", "i8"),  # events or microseconds
        ("last_column", "u8"),
        ("last_row", "u8"),
        ("largest", "u1"),
        *((name, "u4") for name in Places._fields),
    ]
)
"""Type of the settings of `count_rows`. Passing one array takes 2 us less than passing named tuples."""


@dataclass(frozen=True)
class RowCounter:
    """Encoder of structured arrays; everything that does not depend on the recording is computed once.

    Args:
        rule: Settings of `count_rows`, `RULE` [1].
        shape: Shape of the spike tensor.
    """

    rule: NDArray[np.void]
    shape: tuple[int, int, int, int]

    @classmethod
    def of(cls, config: BinConfig, sensor: SensorSize) -> RowCounter:
        """Create the encoder of the recordings of a sensor, for a form with counts."""
        by_events = config.by == "events"
        length = config.step_events if by_events else config.step_us
        limits = (sensor.width - 1, sensor.height - 1, config.largest)
        values = (by_events, config.by == "recording", length, *limits, *create_places(sensor, config))
        return cls(np.array([values], RULE), (config.steps, *config.shape(sensor)))

    def count(self, rows: NDArray[np.void]) -> NDArray[np.uint8] | None:
        """Encode a structured array; the result equals `encode` of these events.

        Returns:
            Spike tensor [T, C, H, W]; None if there are no events, the rows are not contiguous integers, or they break
            a rule of `Events`.
        """
        if not isinstance(rows, np.ndarray) or rows.ndim != 1 or not rows.size:
            return None
        layout = _unsigned_layout(rows.dtype)
        if layout is None or not rows.flags.c_contiguous:
            return None
        spikes = np.empty(self.shape, np.uint8)
        return spikes if count_rows(np.frombuffer(rows, layout), self.rule, spikes) else None


@lru_cache
def _unsigned_layout(layout: np.dtype[np.void]) -> np.dtype[np.void] | None:
    """Return a type to view rows as, with the fields t, x, y and p; None if one is missing or not a native integer.

    Negative coordinates are large unsigned numbers, and bytes of bool other than 0 and 1 are visible.
    """
    fields = layout.fields
    if fields is None or not set(FIELDS) <= set(fields) or layout.itemsize > VECTOR_BYTES or not layout.isnative:
        return None
    t, *others = (fields[name][0] for name in FIELDS)
    is_integer = t.kind in "iu" and np.can_cast(t, np.int64) and all(kind.kind in "iub" for kind in others)
    if not is_integer or any(field[0].kind not in "biufSU" for field in fields.values()):  # others have no buffer
        return None
    formats, offsets = [t, *(f"u{kind.itemsize}" for kind in others)], [fields[name][1] for name in FIELDS]
    return np.dtype({"names": FIELDS, "formats": formats, "offsets": offsets, "itemsize": layout.itemsize})


@intrinsic
def _split_vectors(_context: Any, rows: Any, first: Any, columns: Any, place: Any) -> Any:
    """Copy the rows of two vectors from row `first` to the columns t, x, y and p from `place`."""
    record = rows.dtype
    count = VECTOR_BYTES // record.size

    def build(target: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        data = cgutils.create_struct_proxy(rows)(target, builder, arguments[0]).data
        offset = builder.mul(arguments[1], arguments[1].type(record.size))
        starts = [cgutils.pointer_add(builder, data, offset, cgutils.voidptr_t)]
        starts.append(cgutils.pointer_add(builder, starts[0], count * record.size))
        for start in starts:
            _prefetch(builder, cgutils.pointer_add(builder, start, PREFETCH_BYTES))
        number, vector = ir.IntType(32), ir.VectorType(ir.IntType(8), VECTOR_BYTES)
        vectors = [builder.load(builder.bitcast(start, vector.as_pointer()), align=1) for start in starts]
        begins = [index * VECTOR_BYTES + row * record.size for index in range(2) for row in range(count)]
        for index, name in enumerate(FIELDS):
            width = as_dtype(record.typeof(name)).itemsize
            chosen = [number(begin + record.offset(name) + byte) for begin in begins for byte in range(width)]
            mask = ir.Constant(ir.VectorType(number, len(chosen)), chosen)
            selected = builder.shuffle_vector(*vectors, mask)
            column = builder.extract_value(arguments[2], index)
            address = cgutils.create_struct_proxy(columns[index])(target, builder, column).data
            address = builder.bitcast(builder.gep(address, [arguments[3]]), selected.type.as_pointer())
            builder.store(selected, address, align=1)
        return target.get_dummy_value()

    return types.void(rows, first, columns, place), build


def _prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Prefetch memory into the level-2 cache; in level 1, it would replace the counts."""
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
    builder.call(prefetch, [address, number(0), number(2), number(1)])  # read, level 2, data


@njit(inline="always")
def _read_block(
    rows: NDArray[np.void],
    first: int,
    size: int,
    t: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    p: NDArray[Any],
) -> None:
    """Copy `size` rows to the columns of a block, and repeat values in the rest of the block."""
    count = VECTOR_BYTES // rows.itemsize
    read = count + math.ceil(VECTOR_BYTES / rows.itemsize)  # rows touched by two vectors
    k = 0
    while k + 2 * count <= size and first + k + read <= rows.size:
        _split_vectors(rows, np.uintp(first + k), (t, x, y, p), np.uintp(k))
        k += 2 * count
    while k < size:
        row = rows[np.uintp(first + k)]
        t[k], x[k], y[k], p[k] = row.t, row.x, row.y, row.p
        k += 1
    for k in range(size, BLOCK_ROWS):
        t[k], x[k], y[k], p[k] = t[size - 1], x[0], y[0], p[0]


@njit(inline="always")
def _exceeds(column: NDArray[Any], largest: int) -> bool:
    found = column[0]
    for k in range(BLOCK_ROWS):
        found = max(found, column[k])
    return bool(np.uint64(found) > np.uint64(largest))


@njit(inline="always")
def _is_wrong(times: NDArray[Any], x: NDArray[Any], y: NDArray[Any], p: NDArray[Any], rule: Any) -> bool:
    """Return whether a block breaks a rule of `Events`; `times` starts with the last time before the block."""
    is_unsorted = False
    for k in range(BLOCK_ROWS):
        is_unsorted |= times[k + 1] < times[k]
    # without branches: `or` makes the complete count 1.1 times slower
    return bool(is_unsorted | _exceeds(x, rule.last_column) | _exceeds(y, rule.last_row) | _exceeds(p, 1))


@njit(inline="always")
def _find_time(t: NDArray[Any], first: int, stop: int, time_us: int) -> int:
    """Return the index of the first time in [first, stop) that is not before `time_us`, or `stop`."""
    while first < stop:
        middle = (first + stop) // 2
        if t[middle] < time_us:
            first = middle + 1
        else:
            stop = middle
    return first


@njit(cache=True, nogil=True, error_model="numpy")
def count_rows(rows: Any, rules: NDArray[np.void], spikes: NDArray[np.uint8]) -> bool:
    """Check events, and write their spike tensor.

    Args:
        rows: Structured array [N] with the fields t, x, y and p, N > 0; all fields but t are unsigned. numba reads
            fields as attributes.
        rules: `RULE` [1].
        spikes: Overwritten with the spike tensor [T, C, H, W].

    Returns:
        Whether the rules of `Events` hold and times are below 2^62 us; if not, `spikes` is incomplete.
    """
    rule, steps = rules[0], spikes.reshape(len(spikes), -1)
    grid = Places(rule.width, rule.plane, rule.multiplier, rule.shift)
    start_us, last_us = int(rows[0].t), int(rows[rows.size - 1].t)
    if start_us < -MAX_TIME_US or last_us > MAX_TIME_US or last_us - start_us > MAX_SPAN_US:
        return False
    span, parts = (last_us + 1 - start_us, len(steps)) if rule.by_recording else (rule.step_length, 1)
    x, y, p = np.empty(BLOCK_ROWS, rows.x.dtype), np.empty(BLOCK_ROWS, rows.y.dtype), np.empty(BLOCK_ROWS, rows.p.dtype)
    places, times = np.empty(BLOCK_ROWS, np.uint32), np.empty(BLOCK_ROWS + 1, rows.t.dtype)
    times[0] = rows[0].t
    steps[0] = 0
    k = 0
    for first in range(0, rows.size, BLOCK_ROWS):
        size = min(BLOCK_ROWS, rows.size - first)
        _read_block(rows, first, size, times[1:], x, y, p)
        if _is_wrong(times, x, y, p, rule):
            return False
        times[0] = times[BLOCK_ROWS]
        find_places(grid, x, y, p, places)
        begin = 0
        while k < len(steps):
            if rule.by_events:
                stop = min((k + 1) * span - first, size)
            else:  # see `Clock`
                stop = _find_time(times[1:], begin, size, start_us - (-(k + 1) * span) // parts)
            step = steps[k]
            count_places(places[begin:stop], rule.largest, step)
            if stop == size:
                break
            begin, k = stop, k + 1
            if k < len(steps):
                steps[k] = 0  # in the cache, to be counted next
    steps[k + 1 :] = 0
    return True
