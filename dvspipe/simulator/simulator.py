"""The event simulator: one step per frame, with its state in the open."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..events import Events, SensorSize
from ..frames import Frame
from .config import SimulatorConfig
from .crossings import events_of_codes, events_of_levels, quiet_codes, quiet_levels
from .levels import code_levels, float_levels, intensity
from .lowpass import events_of_filtered
from .noise import NoiseState, emit_noise, start_noise
from .words import LONGEST_INTERVAL_US, Words, drop_refractory, events_in_order, sort_words

INDEX_CELLS_PER_CODE = 16
SMALLEST_THRESHOLD = 0.01
LONG_AGO_US = -(2**62)
STREAMS = {"mismatch": 0, "noise": 1}
"""What is drawn from the seed at the start; each has a generator of its own."""
NOISE_PREFIX = "noise."
BATCH_PX = 1 << 22  # what several threads are given at a time, in whole frames, that starting them costs little

Labelled = tuple[Events, NDArray[np.bool_]]
"""Events, and which of them are noise."""

Result = TypeVar("Result")


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
        ref0: The first frame, as `values`; behind the low-pass, its levels.
        net: int32, ON minus OFF events so far.
        off: int32, OFF events so far; a single 0 where both thresholds are the same, and it makes no difference.
        pos: float64, ON thresholds: one per pixel, or one for all.
        neg: float64, OFF thresholds likewise.
        filtered: float64, the outputs of the low-pass stages, one row each, or None.
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
    ref0: NDArray[Any]
    net: NDArray[np.int32]
    off: NDArray[np.int32]
    pos: NDArray[np.float64]
    neg: NDArray[np.float64]
    filtered: NDArray[np.float64] | None
    last_us: NDArray[np.int64] | None
    noise: NoiseState | None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The state as named arrays, for a file; `from_arrays` makes it again."""
        named = vars(self) | {"sensor": (self.sensor.width, self.sensor.height)}
        del named["noise"]
        if self.noise is not None:
            named |= {NOISE_PREFIX + name: array for name, array in vars(self.noise).items()}
        return {name: np.asarray(value) for name, value in named.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> SimulatorState:
        """The state that `arrays` names."""
        noise = {n.removeprefix(NOISE_PREFIX): array for n, array in arrays.items() if n.startswith(NOISE_PREFIX)}
        named: dict[str, Any] = {n: array for n, array in arrays.items() if not n.startswith(NOISE_PREFIX)}
        width, height = named["sensor"].tolist()
        named |= {"frame": int(named["frame"]), "t_us": int(named["t_us"]), "transfer": str(named["transfer"])}
        named |= {"sensor": SensorSize(width=width, height=height), "noise": NoiseState(**noise) if noise else None}
        return cls(**{"filtered": None, "last_us": None} | named)


@dataclass(frozen=True)
class _Codes:
    """What is known of each grey code of a kind of image.

    Args:
        levels: The level of each.
        padded: The same, with -inf before and inf behind them.
        index: Finds a level in `padded`, as `events_of_codes` describes.
        light: I in [0, 1] of each.
    """

    levels: NDArray[np.float64]
    padded: NDArray[np.float64]
    index: NDArray[np.int32]
    light: NDArray[np.float64]


class EventSimulator:
    """A DVS pixel array, driven frame by frame.

    Between two frames the level L of a pixel moves on a straight line, behind the low-pass where there is one. An event
    fires wherever it reaches ref + pos_thres (ON) or ref - neg_thres (OFF), at that time, and ref moves there. Without
    noise and refractory period, |L - ref| is smaller than the threshold after every frame. The first frame sets the
    references and fires nothing. Noise events leave the references alone.

    Args:
        config: The pixel model's settings.
        threads: How many work on a band of rows each; the events are the same.

    Example:
        >>> frames = frames_from_arrays([np.full((7, 12), 100, np.uint8), np.full((7, 12), 200, np.uint8)], fps=30)
        >>> state, simulator = None, EventSimulator(SimulatorConfig())
        >>> for frame in frames:
        ...     events, state = simulator.step(frame, state)
    """

    def __init__(self, config: SimulatorConfig | None = None, *, threads: int = 1) -> None:
        self.config = config or SimulatorConfig()
        self.threads = threads
        self._codes: dict[tuple[np.dtype[Any], str], _Codes] = {}
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def step(self, frame: Frame, state: SimulatorState | None) -> tuple[Events, SimulatorState]:
        """The events between the last frame and this one.

        Args:
            frame: The next frame.
            state: What the last step returned, or None with the first frame. It is used up: its arrays go into the
                state that is returned.

        Returns:
            The events with last time <= t <= this frame's time (rounded to the microsecond), sorted by time, at the
            same time signal before noise, then by row and column; and the new state.

        Raises:
            VideoError: The frame does not fit the last one: its size, kind of values, or time.
        """
        ((events, _),), state = self.steps([frame], state)
        return events, state

    def steps(self, frames: Sequence[Frame], state: SimulatorState | None) -> tuple[list[Labelled], SimulatorState]:
        """As `step` for several frames one after another, with a bool [N] for each that says which events are noise."""
        done: list[Labelled] = []
        if state is None:
            state = self._start(frames[0])
            done.append((Events.empty(frames[0].size), np.zeros(0, np.bool_)))
            frames = frames[1:]
        times = [state.t_us, *(frame.t_us for frame in frames)]
        images = [state.values]
        for before_us, frame in zip(times, frames, strict=False):
            _check(frame, before_us, state)
            images.append(self._values(frame))
        if not frames:
            return done, state
        bands = self._share(
            lambda first_row, stop_row: self._run_band(state, first_row, stop_row, times, images), state.sensor.height
        )
        intervals = [*zip(itertools.pairwise(times), zip(*bands, strict=True), strict=True)]
        parts = self._share(
            lambda first, stop: [_together(*each, state.sensor) for each in intervals[first:stop]], len(intervals)
        )
        done += itertools.chain(*parts)
        np.copyto(state.values, images[-1])
        state.t_us = times[-1]
        state.frame += len(frames)
        return done, state

    def _share(self, work: Callable[[int, int], Result], count: int) -> list[Result]:
        """The results of some work on items `first` to `stop`, a part of `count` for each thread."""
        parts = min(self.threads, count)
        edges = [count * part // parts for part in range(parts + 1)]
        if self._pool is None or parts == 1:
            return [work(0, count)]
        return list(self._pool.map(work, edges[:-1], edges[1:]))

    def _start(self, frame: Frame) -> SimulatorState:
        config, values = self.config, self._values(frame).copy()
        codes = None if values.dtype.kind == "f" else self._code_table(values.dtype, frame.transfer)
        levels = codes.levels.take(values) if codes else values
        pos, neg = self._thresholds(values.size)
        rng = np.random.default_rng([config.seed, STREAMS["noise"]])
        state = SimulatorState(
            frame=1,
            t_us=frame.t_us,
            sensor=frame.size,
            transfer=frame.transfer,
            values=values,
            low=np.empty_like(levels if config.cutoff_hz else values),
            high=np.empty_like(levels if config.cutoff_hz else values),
            ref0=(levels if config.cutoff_hz else values).copy(),
            net=np.zeros(values.size, np.int32),
            off=np.zeros(1 if np.array_equal(pos, neg) else values.size, np.int32),
            pos=pos,
            neg=neg,
            filtered=np.tile(levels, (config.cutoff_order, 1)) if config.cutoff_hz else None,
            last_us=np.full(values.size, LONG_AGO_US, np.int64) if config.refractory_period else None,
            noise=start_noise(config, frame.size, frame.t_us, rng) if config.noisy else None,
        )
        if state.low.dtype.kind == "f" or codes is None:
            quiet_levels(state.ref0, pos, neg, state.low, state.high)
        else:
            quiet_codes(codes.padded, codes.index, state.ref0, pos, neg, state.low, state.high)
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

    def _code_table(self, dtype: np.dtype[Any], transfer: str) -> _Codes:
        if (dtype, transfer) not in self._codes:
            levels = code_levels(dtype, transfer, self.config)
            edges = np.linspace(levels[0], levels[-1], levels.size * INDEX_CELLS_PER_CODE + 1)
            self._codes[dtype, transfer] = _Codes(
                levels,
                np.concatenate([[-np.inf], levels, [np.inf]]),
                1 + np.searchsorted(levels, edges, side="left").astype(np.int32),
                np.clip(intensity(levels, self.config), 0, 1),
            )
        return self._codes[dtype, transfer]

    def _run_band(
        self, state: SimulatorState, first_row: int, stop_row: int, times: list[int], images: list[NDArray[Any]]
    ) -> list[Words]:
        """The events of a band of rows in each interval, in any order."""
        config, width = self.config, state.sensor.width
        band = slice(first_row * width, stop_row * width)
        noise = state.noise.band(first_row, stop_row, width) if state.noise else None
        last_us = None if state.last_us is None else state.last_us[band]
        pixels = tuple(
            array[band] if array.size > 1 else array
            for array in (state.low, state.high, state.ref0, state.net, state.off, state.pos, state.neg)
        )
        in_all = []
        for number, (t0_us, t1_us) in enumerate(itertools.pairwise(times)):
            before, after, interval_us = images[number][band], images[number + 1][band], t1_us - t0_us
            place = interval_us, first_row, width
            codes = None if after.dtype.kind == "f" else self._code_table(after.dtype, state.transfer)
            lit, light = after, codes.light if codes else np.empty(0)
            if codes is None and (config.cutoff_hz or noise):
                lit, light = np.arange(after.size, dtype=np.int32), np.clip(intensity(after, config), 0, 1)
            if state.filtered is not None:
                words = self._filtered(state.filtered[:, band], before, after, codes, lit, light, pixels, place)
            elif codes:
                words = events_of_codes(before, after, codes.padded, codes.index, *pixels, *place)
            else:
                words = events_of_levels(before, after, *pixels, *place)
            if noise:
                words = np.concatenate(
                    [words, *emit_noise(config, noise, state.frame + number, t0_us, *place, lit, light)]
                )
            if last_us is not None:
                period_us = round(config.refractory_period * 1e6)
                words = drop_refractory(sort_words(words, interval_us), t0_us, period_us, first_row, width, last_us)
            in_all.append(words)
        return in_all

    def _filtered(
        self, stages: NDArray[np.float64], before: NDArray[Any], after: NDArray[Any], codes: _Codes | None,
        lit: NDArray[Any], light: NDArray[np.float64], pixels: tuple[Any, ...], place: tuple[int, int, int],
    ) -> Words:  # fmt: skip
        """Signal events behind the photoreceptor's low-pass, whose stages go on to the interval's end."""
        seen = (before, after, codes.levels, codes.levels) if codes else (lit, lit, before, after)
        tau_us = 1e6 / (2 * math.pi * self.config.cutoff_hz) * 1.1 / (light + 0.1)
        span = place[0] / tau_us
        words: Words = events_of_filtered(*seen, span, np.exp(-span), stages, *pixels, *place)
        return words


def simulate(frames: Iterable[Frame], config: SimulatorConfig | None = None, *, threads: int = 1) -> Iterator[Events]:
    """The events of a video, one chunk per pair of frames; `concatenate` makes one recording of them.

    Args:
        frames: Two or more frames in the order of their times.
        config: The pixel model's settings.
        threads: As in `EventSimulator`.

    Raises:
        VideoError: There are fewer than two frames, or they do not fit together.
    """
    simulator = EventSimulator(config, threads=threads)
    state: SimulatorState | None = None
    count = 0
    for batch in batches(frames, threads):
        stepped, state = simulator.steps(batch, state)
        yield from (events for events, _ in stepped[count == 0 :])
        count += len(batch)
    if count < 2:
        raise VideoError(f"{count} frame{'' if count == 1 else 's'}, expected at least 2: events are made of changes")


def batches(frames: Iterable[Frame], threads: int) -> Iterator[list[Frame]]:
    """Frames in groups that keep several threads busy; one by one for a single thread.

    Where the frames end in an error, those before it come first. The images of a group are copies, since whoever makes
    frames may use one buffer again.
    """
    batch: list[Frame] = []
    try:
        for frame in frames:
            batch.append(frame if threads == 1 else replace(frame, image=frame.image.copy()))
            if threads == 1 or len(batch) * frame.image.size >= BATCH_PX:
                yield batch
                batch = []
    except VideoError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _check(frame: Frame, before_us: int, state: SimulatorState) -> None:
    if frame.image.shape != (state.sensor.height, state.sensor.width):
        raise VideoError(f"the frame at {frame.t_us} us is {frame.size}, the frames before it {state.sensor}")
    kind = state.values.dtype
    if not (frame.image.dtype == kind or (frame.image.dtype.kind == "f" and kind.kind == "f")):
        raise VideoError(f"the frame at {frame.t_us} us has dtype {frame.image.dtype}, the frames before it {kind}")
    if frame.transfer != state.transfer:
        raise VideoError(f"the frame at {frame.t_us} us is {frame.transfer}, the frames before it {state.transfer}")
    interval_us = frame.t_us - before_us
    if not 0 < interval_us <= LONGEST_INTERVAL_US:
        raise VideoError(
            f"the frame at {frame.t_us} us follows one at {before_us} us, expected 1 to {LONGEST_INTERVAL_US} us later"
        )


def _together(span_us: tuple[int, int], bands: Sequence[Words], sensor: SensorSize) -> Labelled:
    """The events of all bands in an interval, in their order."""
    t0_us, t1_us = span_us
    words = np.concatenate(bands) if len(bands) > 1 else bands[0]
    t, x, y, on, noise = events_in_order(words, t0_us, t1_us - t0_us)
    return Events._trusted(t, x, y, on, sensor), noise
