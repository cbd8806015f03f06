"""The event simulator: one step per frame, with its state in the open."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..events import Events, SensorSize
from ..video import Frame
from . import kernels
from .config import SimulatorConfig
from .kernels import Columns
from .levels import code_levels, float_levels, intensity
from .noise import Noise, NoiseState

LONGEST_INTERVAL_US = 2**32 - 1
INDEX_CELLS_PER_CODE = 16
SMALLEST_THRESHOLD = 0.01
LONG_AGO_US = -(2**62)
STREAMS = {"mismatch": 0, "noise": 1}
"""What is drawn from the seed; each has a generator of its own."""


@dataclass
class SimulatorState:
    """What the pixels remember between two frames; one flat entry per pixel, row by row.

    Args:
        frame: Number of frames seen.
        t_us: Time of the last frame.
        sensor: Width and height of the frames.
        transfer: Transfer curve of the frames.
        values: The last frame: grey codes of an integer image, levels of a float image.
        low: Lowest value that causes no event.
        high: Highest value that causes no event.
        ref0: float64, level of the first frame.
        net: int32, ON minus OFF events so far.
        off: int32, OFF events so far.
        pos: float64, ON thresholds: one per pixel, or one for all.
        neg: float64, OFF thresholds likewise.
        filtered: float64 outputs of the first and the last low-pass stage, or None.
        last_us: int64, time of the last event of each pixel, or None where there is no refractory period.
        noise: State of the noise, or None.
    """

    frame: int
    t_us: int
    sensor: SensorSize
    transfer: str
    values: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    ref0: NDArray[np.float64]
    net: NDArray[np.int32]
    off: NDArray[np.int32]
    pos: NDArray[np.float64]
    neg: NDArray[np.float64]
    filtered: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    last_us: NDArray[np.int64] | None
    noise: NoiseState | None

    @property
    def mask(self) -> int:
        """-1 where each pixel has thresholds of its own, else 0."""
        return -1 if self.pos.size > 1 else 0


class EventSimulator:
    """A DVS pixel array, driven frame by frame.

    Between two frames the level L of a pixel moves on a straight line, behind the low-pass where there is one. An event
    fires wherever it reaches ref + pos_thres (ON) or ref - neg_thres (OFF), at that time, and ref moves there. Without
    noise and refractory period, |L - ref| is smaller than the threshold after every frame. The first frame sets the
    references and fires nothing. Noise events leave the references alone.

    Example:
        >>> frames = frames_from_arrays([np.full((7, 12), 100, np.uint8), np.full((7, 12), 200, np.uint8)], fps=30)
        >>> state, simulator = None, EventSimulator(SimulatorConfig())
        >>> for frame in frames:
        ...     events, state = simulator.step(frame, state)
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        self._noise = Noise(self.config)
        self._tables: dict[tuple[np.dtype[Any], str], tuple[NDArray[np.float64], NDArray[np.int32]]] = {}

    def step(self, frame: Frame, state: SimulatorState | None) -> tuple[Events, SimulatorState]:
        """The events between the last frame and this one.

        Args:
            frame: The next frame.
            state: What the last step returned, or None with the first frame. It is used up: its arrays go into the
                state that is returned.

        Returns:
            The events with last time <= t <= this frame's time (rounded to the microsecond), sorted by time and, at the
            same time, by row and column, noise last; and the new state.

        Raises:
            VideoError: The frame does not fit the last one: its size, kind of values, or time.
        """
        events, _, state = self.step_labelled(frame, state)
        return events, state

    def step_labelled(
        self, frame: Frame, state: SimulatorState | None
    ) -> tuple[Events, NDArray[np.bool_], SimulatorState]:
        """As `step`, with a bool [N] between events and state that says which events are noise."""
        if state is None:
            state = self._start(frame)
            return Events.empty(frame.size), np.zeros(0, np.bool_), state
        _check(frame, state)
        values = self._values(frame)
        parts = self._filtered(state, frame, values) if state.filtered else self._plain(state, frame, values)
        if state.noise is not None:
            parts += self._noise.events(state.noise, state.frame, state.t_us, frame, values, self._intensity)
        t, x, y, kind = _sort_by_time(parts, state.t_us, frame.t_us)
        if state.last_us is not None:
            period_us = round(self.config.refractory_period * 1e6)
            count = kernels.drop_refractory(period_us, state.sensor.width, state.last_us, t, x, y, kind)
            t, x, y, kind = t[:count], x[:count], y[:count], kind[:count]
        np.copyto(state.values, values)
        state.t_us = frame.t_us
        state.frame += 1
        polarity = (kind & kernels.ON).view(np.bool_)
        return Events._trusted(t, x, y, polarity, state.sensor), kind >= kernels.NOISE, state

    def _start(self, frame: Frame) -> SimulatorState:
        config, values = self.config, self._values(frame).copy()
        levels = self._levels(values, frame.transfer)
        pos, neg = self._thresholds(values.size)
        state = SimulatorState(
            frame=1,
            t_us=frame.t_us,
            sensor=frame.size,
            transfer=frame.transfer,
            values=values,
            low=np.empty_like(levels if config.cutoff_hz else values),
            high=np.empty_like(levels if config.cutoff_hz else values),
            ref0=levels.copy(),
            net=np.zeros(values.size, np.int32),
            off=np.zeros(values.size, np.int32),
            pos=pos,
            neg=neg,
            filtered=(levels.copy(), levels.copy()) if config.cutoff_hz else None,
            last_us=np.full(values.size, LONG_AGO_US, np.int64) if config.refractory_period else None,
            noise=self._noise.start(values.size, frame.t_us) if config.noisy else None,
        )
        pixels = np.arange(values.size, dtype=np.int32)
        if state.low.dtype.kind == "f":
            kernels.quiet_levels(pixels, state.ref0, state.net, state.off, pos, neg, state.mask, state.low, state.high)
        else:
            kernels.emit_codes(
                pixels, 0, values, values, *self._table(values.dtype, frame.transfer), state.low, state.high,
                state.ref0, state.net, state.off, pos, neg, state.mask, 1, state.sensor.width,
                *_empty_columns(0),
            )  # fmt: skip
        return state

    def _thresholds(self, pixels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """ON and OFF thresholds: one for all pixels, or one drawn for each."""
        config = self.config
        if not config.sigma_thres:
            return np.array([config.pos_thres]), np.array([config.neg_thres])
        rng = np.random.default_rng([config.seed, STREAMS["mismatch"]])
        pos, neg = (rng.normal(middle, config.sigma_thres, pixels) for middle in (config.pos_thres, config.neg_thres))
        return np.maximum(pos, SMALLEST_THRESHOLD), np.maximum(neg, SMALLEST_THRESHOLD)

    def _values(self, frame: Frame) -> NDArray[Any]:
        """Flat grey codes of an integer image, levels of a float image."""
        if frame.image.dtype.kind == "f":
            return float_levels(frame, self.config).ravel()
        if frame.image.dtype not in (np.uint8, np.uint16):
            raise VideoError(f"a frame has dtype {frame.image.dtype}, expected uint8, uint16 or float32")
        return np.ascontiguousarray(frame.image).ravel()

    def _table(self, dtype: np.dtype[Any], transfer: str) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Levels of all codes, and the index into them that `kernels.emit_codes` describes."""
        if (dtype, transfer) not in self._tables:
            levels = code_levels(dtype, transfer, self.config)
            edges = np.linspace(levels[0], levels[-1], levels.size * INDEX_CELLS_PER_CODE + 1)
            self._tables[dtype, transfer] = levels, np.searchsorted(levels, edges, side="left").astype(np.int32)
        return self._tables[dtype, transfer]

    def _levels(self, values: NDArray[Any], transfer: str) -> NDArray[np.float64]:
        levels: NDArray[np.float64] = values
        if values.dtype.kind != "f":
            levels = self._table(values.dtype, transfer)[0][values]
        return levels

    def _intensity(self, values: NDArray[Any], transfer: str) -> NDArray[np.float64]:
        """I in [0, 1] of grey codes or levels."""
        if values.dtype.kind == "f":
            return intensity(values, self.config)
        of_codes: NDArray[np.float64] = intensity(self._table(values.dtype, transfer)[0], self.config)[values]
        return of_codes

    def _plain(self, state: SimulatorState, frame: Frame, values: NDArray[Any]) -> list[Columns]:
        """Signal events without a low-pass."""
        buffer = np.empty(values.size + 8, np.int32)
        active = buffer[: kernels.find_active(values, state.low, state.high, buffer)]
        pixels = (
            state.low, state.high, state.ref0, state.net, state.off, state.pos, state.neg, state.mask,
            frame.t_us - state.t_us, state.sensor.width,
        )  # fmt: skip
        if values.dtype.kind == "f":
            return _emit_all(kernels.emit_levels, active, (state.values, values, *pixels))
        table = self._table(values.dtype, state.transfer)
        return _emit_all(kernels.emit_codes, active, (state.values, values, *table, *pixels))

    def _filtered(self, state: SimulatorState, frame: Frame, values: NDArray[Any]) -> list[Columns]:
        """Signal events behind the photoreceptor's low-pass."""
        assert state.filtered is not None
        config, interval_us = self.config, frame.t_us - state.t_us
        if values.dtype.kind == "f":
            before = after = np.arange(values.size, dtype=np.int32)
            before_level, after_level = state.values, values
        else:
            before, after = state.values, values
            before_level = after_level = self._table(values.dtype, state.transfer)[0]
        bandwidth = (np.clip(intensity(after_level, config), 0, 1) + 0.1) / 1.1
        tau_us = 1e6 / (2 * math.pi * config.cutoff_hz) / bandwidth
        u, v = state.filtered
        next_u, next_v, flags = np.empty_like(u), np.empty_like(v), np.empty(values.size, np.uint8)
        kernels.filter_values(
            config.cutoff_order, interval_us, before, after, before_level, after_level, tau_us,
            np.exp(-interval_us / tau_us), u, v, next_u, next_v, state.low, state.high, flags,
        )  # fmt: skip
        state.filtered = next_u, next_v
        return _emit_all(
            kernels.emit_filtered,
            np.flatnonzero(flags).astype(np.int32),
            (
                config.cutoff_order, before, after, before_level, after_level, tau_us, u, v, next_v, state.low,
                state.high, state.ref0, state.net, state.off, state.pos, state.neg, state.mask, interval_us,
                state.sensor.width,
            ),
        )  # fmt: skip


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


def _emit_all(kernel: Any, active: NDArray[np.int32], pixels: tuple[Any, ...]) -> list[Columns]:
    """Runs a kernel that emits events, with more room each time, until all active pixels are done."""
    parts: list[Columns] = []
    first, room = 0, 2 * active.size + 64
    while first < active.size:
        columns = _empty_columns(room)
        first, count = kernel(active, first, *pixels, *columns)
        parts.append(_first(columns, count))
        room *= 2
    return parts


def _empty_columns(count: int) -> Columns:
    return np.empty(count, np.uint32), np.empty(count, np.int16), np.empty(count, np.int16), np.empty(count, np.uint8)


def _first(columns: Columns, count: int) -> Columns:
    since, x, y, kind = columns
    return since[:count], x[:count], y[:count], kind[:count]


def _sort_by_time(
    parts: list[Columns], t0_us: int, t1_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int16], NDArray[np.uint8]]:
    """The events of all parts in the order of their times; equal times keep their order."""
    since, x, y, kind = (
        parts[0]
        if len(parts) == 1
        else _empty_columns(0)
        if not parts
        else map(np.concatenate, zip(*parts, strict=True))
    )
    last_digit = ((t1_us - t0_us).bit_length() - 1) // kernels.DIGIT_BITS
    t = np.empty(since.size, np.int64)
    if not since.size:
        return t, x, y, kind
    for digit in range(last_digit + 1):
        shift = digit * kernels.DIGIT_BITS
        last = min((t1_us - t0_us) >> shift, (1 << kernels.DIGIT_BITS) - 1)
        target = _empty_columns(since.size)
        final = digit == last_digit
        kernels.sort_digit(
            shift, last, t0_us if final else 0, since, x, y, kind, t if final else target[0], *target[1:]
        )
        since, x, y, kind = target
    return t, x, y, kind
