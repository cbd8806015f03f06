"""The event simulator: one step per frame, with its state in the open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..events import Events, SensorSize
from ..video import Frame, Transfer
from . import kernels
from .config import SimulatorConfig
from .levels import code_levels, float_levels

LONGEST_INTERVAL_US = 2**32 - 1
INDEX_CELLS_PER_CODE = 16


@dataclass
class SimulatorState:
    """What the pixels remember between two frames; one flat entry per pixel, row by row.

    Args:
        t_us: Time of the last frame.
        sensor: Width and height of the frames.
        transfer: Transfer curve of the frames.
        values: The last frame: grey codes of an integer image, levels of a float image.
        low: Lowest value that causes no event.
        high: Highest value that causes no event.
        ref0: float64, level of the first frame.
        net: int32, ON minus OFF events so far.
        off: int32, OFF events so far.
    """

    t_us: int
    sensor: SensorSize
    transfer: Transfer
    values: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    ref0: NDArray[np.float64]
    net: NDArray[np.int32]
    off: NDArray[np.int32]


class EventSimulator:
    """A DVS pixel array, driven frame by frame.

    Between two frames the level L = ln(I + log_offset) of a pixel moves on a straight line. An event fires wherever
    the line reaches ref + pos_thres (ON) or ref - neg_thres (OFF), at that time, and ref moves there. After every frame
    |L - ref| is smaller than the threshold. The first frame sets the references and fires nothing.

    Example:
        >>> frames = frames_from_arrays([np.full((7, 12), 100, np.uint8), np.full((7, 12), 200, np.uint8)], fps=30)
        >>> state, simulator = None, EventSimulator(SimulatorConfig())
        >>> for frame in frames:
        ...     events, state = simulator.step(frame, state)
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        self._tables: dict[tuple[np.dtype[Any], Transfer], tuple[NDArray[np.float64], NDArray[np.int32]]] = {}

    def step(self, frame: Frame, state: SimulatorState | None) -> tuple[Events, SimulatorState]:
        """The events between the last frame and this one.

        Args:
            frame: The next frame.
            state: What the last step returned, or None with the first frame. It is used up: its arrays go into the
                state that is returned.

        Returns:
            The events with last time < t <= this frame's time (rounded to the microsecond), sorted by time and, at the
            same time, by row and column; and the new state.

        Raises:
            VideoError: The frame does not fit the last one: its size, kind of values, or time.
        """
        if state is None:
            return Events.empty(frame.size), self._start(frame)
        _check(frame, state)
        values = self._values(frame)
        active_buffer = np.empty(values.size, np.int32)
        count = kernels.find_active(values, state.low, state.high, active_buffer)
        active = active_buffer[:count]
        before, after = self._active_levels(state, values, active)
        events = self._emit(state, frame, active, before, after)
        self._set_quiet(state, active)
        np.copyto(state.values, values)
        state.t_us = frame.t_us
        return events, state

    def _start(self, frame: Frame) -> SimulatorState:
        values = self._values(frame).copy()
        pixels = np.arange(values.size, dtype=np.int32)
        state = SimulatorState(
            t_us=frame.t_us,
            sensor=frame.size,
            transfer=frame.transfer,
            values=values,
            low=np.empty_like(values),
            high=np.empty_like(values),
            ref0=values if values.dtype.kind == "f" else self._table(values.dtype, frame.transfer)[0][values],
            net=np.zeros(values.size, np.int32),
            off=np.zeros(values.size, np.int32),
        )
        state.ref0 = state.ref0.copy()
        self._set_quiet(state, pixels)
        return state

    def _values(self, frame: Frame) -> NDArray[Any]:
        """Flat grey codes of an integer image, levels of a float image."""
        if frame.image.dtype.kind == "f":
            return float_levels(frame, self.config.log_offset).ravel()
        if frame.image.dtype not in (np.uint8, np.uint16):
            raise VideoError(f"a frame has dtype {frame.image.dtype}, expected uint8, uint16 or float32")
        return np.ascontiguousarray(frame.image).ravel()

    def _table(self, dtype: np.dtype[Any], transfer: Transfer) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Levels of all codes, and the index into them that `kernels.quiet_codes` describes."""
        if (dtype, transfer) not in self._tables:
            levels = code_levels(dtype, transfer, self.config.log_offset)
            edges = np.linspace(levels[0], levels[-1], levels.size * INDEX_CELLS_PER_CODE + 1)
            self._tables[dtype, transfer] = levels, np.searchsorted(levels, edges, side="left").astype(np.int32)
        return self._tables[dtype, transfer]

    def _active_levels(
        self, state: SimulatorState, values: NDArray[Any], active: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if values.dtype.kind == "f":
            return state.values[active], values[active]
        levels, _ = self._table(values.dtype, state.transfer)
        return levels[state.values[active]], levels[values[active]]

    def _set_quiet(self, state: SimulatorState, active: NDArray[np.int32]) -> None:
        thresholds = self.config.pos_thres, self.config.neg_thres
        references = state.ref0, state.net, state.off
        if state.values.dtype.kind == "f":
            kernels.quiet_levels(active, *references, *thresholds, state.low, state.high)
        else:
            table = self._table(state.values.dtype, state.transfer)
            kernels.quiet_codes(active, *references, *thresholds, *table, state.low, state.high)

    def _emit(
        self,
        state: SimulatorState,
        frame: Frame,
        active: NDArray[np.int32],
        before: NDArray[np.float64],
        after: NDArray[np.float64],
    ) -> Events:
        interval_us = frame.t_us - state.t_us
        parts: list[tuple[NDArray[Any], ...]] = []
        first, room = 0, 2 * active.size
        while first < active.size:
            columns = _empty_columns(room)
            first, count = kernels.emit_crossings(
                active, first, before, after, state.ref0, state.net, state.off,
                self.config.pos_thres, self.config.neg_thres, interval_us, state.sensor.width, *columns,
            )  # fmt: skip
            parts.append(tuple(column[:count] for column in columns))
            room *= 2
        if not parts:
            return Events.empty(state.sensor)
        columns = parts[0] if len(parts) == 1 else tuple(np.concatenate(column) for column in zip(*parts, strict=True))
        since, x, y, p = _sort_by_time(columns, interval_us)
        return Events._trusted(state.t_us + since.astype(np.int64), x, y, p, state.sensor)


def simulate(frames: Iterable[Frame], config: SimulatorConfig | None = None) -> Iterator[Events]:
    """The events of a video, one chunk per pair of frames; `concatenate` makes one recording of them.

    Args:
        frames: Two or more frames in the order of their times.
        config: The pixel model's settings.

    Raises:
        VideoError: There are fewer than two frames, or they do not fit together.
    """
    simulator = EventSimulator(config)
    state: SimulatorState | None = None
    count = 0
    for frame in frames:
        first = state is None
        events, state = simulator.step(frame, state)
        count += 1
        if not first:
            yield events
    if count < 2:
        raise VideoError(f"{count} frame{'' if count == 1 else 's'}, expected at least 2: events are made of changes")


def _check(frame: Frame, state: SimulatorState) -> None:
    if frame.size != state.sensor:
        raise VideoError(f"the frame at {frame.t_us} us is {frame.size}, the frames before it {state.sensor}")
    kind = state.values.dtype
    if not (frame.image.dtype == kind or (frame.image.dtype.kind == "f" and kind.kind == "f")):
        raise VideoError(f"the frame at {frame.t_us} us has dtype {frame.image.dtype}, the frames before it {kind}")
    if frame.transfer != state.transfer:
        raise VideoError(f"the frame at {frame.t_us} us is {frame.transfer}, the frames before it {state.transfer}")
    interval_us = frame.t_us - state.t_us
    if not 0 < interval_us <= LONGEST_INTERVAL_US:
        raise VideoError(
            f"the frame at {frame.t_us} us follows one at {state.t_us} us, expected 1 to {LONGEST_INTERVAL_US} us later"
        )


def _empty_columns(count: int) -> tuple[NDArray[Any], ...]:
    return tuple(np.empty(count, dtype) for dtype in (np.uint32, np.int16, np.int16, np.bool_))


def _sort_by_time(columns: tuple[NDArray[Any], ...], interval_us: int) -> tuple[NDArray[Any], ...]:
    """The columns (since, x, y, p) in order of `since`, 0 to interval_us; equal times keep their order."""
    count = columns[0].size
    for shift in range(0, interval_us.bit_length(), kernels.DIGIT_BITS):
        last = min(interval_us >> shift, (1 << kernels.DIGIT_BITS) - 1)
        target = _empty_columns(count)
        kernels.sort_digit(count, shift, last, *columns, *target)
        columns = target
    return columns
