"""Event simulator: one step per frame, with an explicit state.

`simulate` is for complete videos, `EventSimulator` for single frames; both call `EventSimulator.steps` with one or
more frames. There, the picture is divided into bands of rows, one per thread (`_simulate_band`). In a band, each
interval between two frames (`_simulate_interval`) is computed by kernels: `_find_events` without a low-pass, `_filter`
with one; then noise and the refractory period. At the end, `_join_bands` merges the events of all bands.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, ConfigError, VideoError
from ..events import Events, SensorSize
from ..video.frames import Frame, checked_frames
from .config import SimulatorConfig
from .crossings import (
    CodeTable,
    Pixels,
    events_of_lines,
    look_up,
    start_quiet,
)
from .filtered_paths import events_of_filtered_paths
from .levels import code_levels, float_levels, intensity
from .lowpass import (
    STILL_PX,
    Darkness,
    Decay,
    Drive,
    FilteredPixels,
    decay_of_light,
    events_of_filtered,
    start_filtered,
)
from .noise import NoiseState, emit_noise, start_noise
from .paths import MAX_PATH_STEPS, TILE_PX, Paths, events_of_paths
from .upsampling import Factor, LevelImage, Upsampler
from .words import LONGEST_INTERVAL_US, Interval, Words, columns_of, drop_refractory, merge_words, rest_type, sort_words

CODE_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
INDEX_CELLS_PER_CODE = 16
MIN_THRESHOLD = 0.01
STREAMS = {"mismatch": 0, "leak phases": 1, "hot pixels": 2}  # independent random generators from one seed
NOISE_PREFIX = "noise."
MAX_DECAYS = 16  # a table takes 1.5 MB for uint16
BATCH_PX = 1 << 22  # pixels per batch of frames; large batches make the cost of starting threads negligible

Labelled = tuple[Events, NDArray[np.bool_]]
"""Events, and a noise mask, bool [N]: True for noise events."""

Result = TypeVar("Result")


@dataclass(repr=False)
class SimulatorState(Brief):
    """State of the pixels between two frames. Arrays are flat, one entry per pixel in row-major order.

    With a low-pass, `low`, `ref0`, `net` and `off` are empty.

    Args:
        frame: Number of frames so far.
        t_us: Time of the last frame in microseconds.
        sensor: Width and height of the frames.
        transfer: Transfer curve of the frames.
        values: Last frame: grey codes of an integer image, or levels of a float image.
        low: Lowest value that fires no event.
        high: Highest value that fires no event; with a low-pass, the level of the next ON event.
        ref0: First frame, in the units of `values`.
        net: ON minus OFF events so far, int32.
        off: OFF events so far, int32; a single 0 if both thresholds are equal, when the count is not needed.
        pos: ON thresholds, float64: one per pixel, or one for all pixels (only without a low-pass).
        neg: OFF thresholds, like `pos`.
        filtered: Outputs of the low-pass stages, float64 [order, N]; None without a low-pass.
        rest_us: Rest of the refractory period of each pixel, in microseconds, uint16 (uint32 for periods longer than
            65,535 us); None without a refractory period.
        noise: State of the noise sources; None without noise.
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
    rest_us: NDArray[Any] | None
    noise: NoiseState | None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state as named arrays for storage; `from_arrays` restores it."""
        named = vars(self) | {"sensor": (self.sensor.width, self.sensor.height)}

        # The arrays of the noise are stored beside the others; absent ones are not stored.
        del named["noise"]
        if self.noise is not None:
            named |= {NOISE_PREFIX + name: array for name, array in vars(self.noise).items()}
        return {name: np.asarray(value) for name, value in named.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> SimulatorState:
        """Restore a state from the result of `arrays`."""
        noise: dict[str, NDArray[Any]] = {}
        named: dict[str, Any] = {"filtered": None, "rest_us": None}  # absent ones are not stored
        for name, array in arrays.items():
            if name.startswith(NOISE_PREFIX):
                noise[name.removeprefix(NOISE_PREFIX)] = array
            else:
                named[name] = array

        width, height = named["sensor"].tolist()
        named["sensor"] = SensorSize(width=width, height=height)
        named["frame"] = int(named["frame"])
        named["t_us"] = int(named["t_us"])
        named["transfer"] = str(named["transfer"])
        named["noise"] = NoiseState(**noise) if noise else None
        return cls(**named)


@dataclass(frozen=True)
class _Codes:
    """Levels and intensities of the grey codes of one image type.

    Args:
        levels: Level of each code.
        light: Intensity in [0, 1] of each code.
    """

    levels: NDArray[np.float64]
    light: NDArray[np.float64]
    _decays: dict[tuple[int, float], Decay] = field(default_factory=dict, repr=False)

    def decay(self, length_us: int, cutoff_hz: float) -> Decay:
        """Return the decay of each code in an interval; results are cached, since a video has few interval lengths."""
        decay = self._decays.get((length_us, cutoff_hz))
        if decay is None:
            # A variable frame rate may have any number of lengths.
            if len(self._decays) >= MAX_DECAYS:
                self._decays.clear()
            decay = self._decays[length_us, cutoff_hz] = decay_of_light(self.light, length_us, cutoff_hz)
        return decay

    @cached_property
    def rounded(self) -> LevelImage:
        """Levels in float32, for motion estimation."""
        return self.levels.astype(np.float32)

    @cached_property
    def table(self) -> CodeTable:
        """Search table of the levels. Built on demand: it takes 25 ms for uint16, and a low-pass does not need it."""
        levels = self.levels
        count = self.levels.size * INDEX_CELLS_PER_CODE
        edges = np.linspace(levels[0], levels[-1], count + 1)

        # The infinite levels at both ends stop a search beyond the codes.
        return CodeTable(
            levels=np.concatenate([[-np.inf], levels, [np.inf]]),
            cells=1 + np.searchsorted(levels, edges, side="left").astype(np.int32),
            lowest=float(levels[0]),
            cells_per_level=float(count / (levels[-1] - levels[0])),
        )


@lru_cache(maxsize=4)
def _read_codes(
    dtype: np.dtype[Any], transfer: str, intensity_map: Literal["log", "linlog"], log_offset: float
) -> _Codes:
    """Return the levels of grey codes. Cached for all simulators: uint16 takes 3 ms."""
    config = SimulatorConfig(intensity_map=intensity_map, log_offset=log_offset)
    levels = code_levels(dtype, transfer, config)
    return _Codes(levels, np.clip(intensity(levels, config), 0, 1))


class _Band(NamedTuple):
    """Band of rows: views into the state.

    Args:
        part: Slice of a flat array of all pixels.
        first_row: First row of the band.
        width: Number of columns.
        pixels: State of the pixels.
        rest_us: Rest of the refractory periods; None without one.
        noise: State of the noise sources; None without noise.
    """

    part: slice
    first_row: int
    width: int
    pixels: Pixels | FilteredPixels
    rest_us: NDArray[Any] | None
    noise: NoiseState | None

    @classmethod
    def of(cls, state: SimulatorState, first_row: int, stop_row: int) -> _Band:
        """Create the band of rows `first_row` to `stop_row` - 1."""
        width = state.sensor.width
        part = slice(first_row * width, stop_row * width)

        pixels: Pixels | FilteredPixels
        if state.filtered is not None:
            pixels = FilteredPixels(state.filtered[:, part], state.high[part], state.pos[part], state.neg[part])
        else:
            # An array of one number belongs to all pixels, so to every band.
            pixels = Pixels(
                low=state.low[part],
                high=state.high[part],
                ref0=state.ref0[part],
                net=state.net[part],
                off=state.off[part] if state.off.size > 1 else state.off,
                pos=state.pos[part] if state.pos.size > 1 else state.pos,
                neg=state.neg[part] if state.neg.size > 1 else state.neg,
            )

        return cls(
            part,
            first_row,
            width,
            pixels,
            None if state.rest_us is None else state.rest_us[part],
            None if state.noise is None else state.noise.band(first_row, stop_row, width),
        )


class _FramePair(NamedTuple):
    """Values of a band of pixels in two frames, the paths between the frames, and `Drive.still`."""

    before: NDArray[Any]
    after: NDArray[Any]
    paths: Paths | None
    still: NDArray[np.uint8]


class EventSimulator:
    """DVS pixel array, driven frame by frame.

    Between two frames, the level L of a pixel follows a straight line; a low-pass (if enabled) filters it. When L
    reaches ref + pos_thres (ON) or ref - neg_thres (OFF), the pixel fires an event at that time, and ref moves to that
    level. Without noise and refractory period, abs(L - ref) is below the threshold after every frame. The first frame
    sets the references and fires no events. Noise events do not change the references.

    Args:
        config: Settings of the pixel model. Default: an ideal sensor.
        upsample: Number of interpolation steps per pair of frames along the estimated motion, 1 to 256; `auto`: chosen
            from the motion; `off`: straight lines.
        threads: Number of threads, >= 1. Each simulates a band of rows; the events do not depend on it.

    Raises:
        ConfigError: If a setting is wrong, or `upsample` or `threads` is out of range.

    Example:
        >>> from dvspipe import frames_from_arrays
        >>> frames = frames_from_arrays([np.full((7, 12), 100, np.uint8), np.full((7, 12), 200, np.uint8)], fps=30)
        >>> state, simulator = None, EventSimulator(SimulatorConfig())
        >>> for frame in frames:
        ...     events, state = simulator.step(frame, state)
    """

    def __init__(
        self,
        config: SimulatorConfig = SimulatorConfig(),
        *,
        upsample: Factor = "off",
        threads: int = 1,
    ) -> None:
        if not (upsample in ("off", "auto") or (isinstance(upsample, int) and 1 <= upsample <= MAX_PATH_STEPS)):
            raise ConfigError(
                f"upsample: wrong number of steps (found {upsample}, expected off, auto or 1 to {MAX_PATH_STEPS})"
            )
        if threads < 1:
            raise ConfigError(f"threads: wrong number (found {threads}, expected 1 or more)")

        self.config = config
        self.threads = threads
        self._factor: Factor = "off" if upsample == 1 else upsample  # a single step is a straight line
        self._upsampler: Upsampler | None = None
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __repr__(self) -> str:
        return f"EventSimulator({self.config!r}, upsample={self._factor!r}, threads={self.threads})"

    def step(self, frame: Frame, state: SimulatorState | None) -> tuple[Events, SimulatorState]:
        """Simulate the interval from the previous frame to `frame`; return its events and the new state.

        Args:
            frame: Next frame.
            state: State returned by the previous step; None for the first frame. Do not reuse it: the new state takes
                over its arrays.

        Returns:
            Events with previous time <= t <= time of this frame (rounded to the microsecond), sorted by time, then
            signal before noise, then row and column; and the new state.

        Raises:
            VideoError: If the size, type, transfer curve or time of the frame does not fit the previous frame.
        """
        ((events, _),), state = self.steps([frame], state)
        return events, state

    def steps(self, frames: Sequence[Frame], state: SimulatorState | None) -> tuple[list[Labelled], SimulatorState]:
        """Simulate consecutive frames like `step`; return events and noise mask of each frame, and the new state."""
        results: list[Labelled] = []
        if state is None:
            state = self._initial_state(frames[0])
            results.append((Events.empty(frames[0].size), np.zeros(0, np.bool_)))
            frames = frames[1:]

        # Check all frames first: the state is changed in place.
        times = [state.t_us, *(frame.t_us for frame in frames)]
        images = [state.values]
        for previous_us, frame in zip(times, frames, strict=False):
            _check_frame(frame, previous_us, state)
            images.append(self._flatten(frame))

        # Paths take much memory: one pair of frames at a time. The last frame of a group is the first of the next.
        group = len(images) if self._factor == "off" else 2
        for first in range(0, len(images) - 1, max(group - 1, 1)):
            results += self._simulate_intervals(state, times[first : first + group], images[first : first + group])
        return results, state

    def _simulate_intervals(
        self, state: SimulatorState, times: list[int], images: list[NDArray[Any]]
    ) -> Iterator[Labelled]:
        """Return the events between consecutive frames, starting at the last frame of `state`. Updates `state`."""
        # Each thread simulates a band of rows in all intervals. Bands begin at a row of tiles, as paths require.
        paths = None if self._factor == "off" else self._paths(state, times, images)
        bands = self._map_parts(
            lambda first_row, stop_row: self._simulate_band(state, first_row, stop_row, times, images, paths),
            state.sensor.height,
            TILE_PX,
        )

        # Then each thread joins the bands of some intervals.
        intervals = [*zip(itertools.pairwise(times), zip(*bands, strict=True), strict=True)]
        is_sorted = state.rest_us is not None
        parts = self._map_parts(
            lambda first, stop: [_join_bands(*interval, state.sensor, is_sorted) for interval in intervals[first:stop]],
            len(intervals),
        )

        np.copyto(state.values, images[-1])
        state.t_us = times[-1]
        state.frame += len(intervals)
        return itertools.chain(*parts)

    def _paths(self, state: SimulatorState, times: list[int], images: list[NDArray[Any]]) -> Paths | None:
        """Estimate the paths of pixels between two frames."""
        shape = state.sensor.height, state.sensor.width
        if self._upsampler is None or self._upsampler.shape != shape:
            self._upsampler = Upsampler(cast(Any, self._factor), shape)
        earlier, later = images
        before = self._rounded_levels(earlier, state.transfer).reshape(shape)
        after = self._rounded_levels(later, state.transfer).reshape(shape)

        def map_pair(work: Callable[[int], LevelImage]) -> tuple[LevelImage, LevelImage]:
            first, second = self._pool.map(work, (0, 1)) if self._pool else map(work, (0, 1))
            return first, second

        start_us, stop_us = times
        return self._upsampler.paths(before, after, stop_us - start_us, map_pair)

    def _rounded_levels(self, values: NDArray[Any], transfer: str) -> LevelImage:
        if values.dtype.kind == "f":
            return values.astype(np.float32)

        rounded: LevelImage = look_up(self._read_codes(values.dtype, transfer).rounded, values)
        return rounded

    def _map_parts(self, work: Callable[[int, int], Result], count: int, unit: int = 1) -> list[Result]:
        """Divide `count` items among the threads, and return the results of `work(first, stop)`.

        Each part except the last has a multiple of `unit` items.
        """
        units = -(-count // unit)
        parts = min(self.threads, units)
        if self._pool is None or parts == 1:
            return [work(0, count)]

        edges = [units * part // parts * unit for part in range(parts)] + [count]
        return list(self._pool.map(work, edges[:-1], edges[1:]))

    def _initial_state(self, frame: Frame) -> SimulatorState:
        config = self.config
        values = self._flatten(frame).copy()
        codes = None if values.dtype.kind == "f" else self._read_codes(values.dtype, frame.transfer)
        pos, neg = self._thresholds(values.size)
        phases = self._start_generator("leak phases", config.noise_seed or 0)
        places = self._start_generator("hot pixels")

        # With a low-pass, references are levels in `high`: arrays in the units of the values stay empty.
        unfiltered = values[:0] if config.cutoff_hz else values
        off_counts = min(unfiltered.size, 1) if np.array_equal(pos, neg) else unfiltered.size
        rest_us = np.zeros(values.size, rest_type(config.refractory_period_us)) if config.refractory_period else None
        noise = start_noise(config, frame.size, frame.t_us, phases=phases, places=places) if config.noisy else None
        state = SimulatorState(
            frame=1,
            t_us=frame.t_us,
            sensor=frame.size,
            transfer=frame.transfer,
            values=values,
            low=np.empty_like(unfiltered),
            high=np.empty_like(unfiltered),
            ref0=unfiltered.copy(),
            net=np.zeros(unfiltered.size, np.int32),
            off=np.zeros(off_counts, np.int32),
            pos=pos,
            neg=neg,
            filtered=None,
            rest_us=rest_us,
            noise=noise,
        )
        if config.cutoff_hz:
            levels = look_up(codes.levels, values) if codes else values
            filtered = start_filtered(levels, config.cutoff_order, pos, neg)
            state.filtered = filtered.stages
            state.high = filtered.high
            state.pos = filtered.pos
            state.neg = filtered.neg
            return state

        # A band of all rows is a view of the state, which `start_quiet` fills.
        pixels = _Band.of(state, 0, frame.size.height).pixels
        assert isinstance(pixels, Pixels)
        start_quiet(codes.table if codes else None, pixels)
        return state

    def _thresholds(self, pixels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw the ON and OFF thresholds: one per pixel, or one for all pixels without mismatch."""
        config = self.config
        if not config.sigma_thres:
            return np.array([config.pos_thres]), np.array([config.neg_thres])

        rng = self._start_generator("mismatch")
        pos = rng.normal(config.pos_thres, config.sigma_thres, pixels)
        neg = rng.normal(config.neg_thres, config.sigma_thres, pixels)
        return np.maximum(pos, MIN_THRESHOLD), np.maximum(neg, MIN_THRESHOLD)

    def _start_generator(self, purpose: str, *more: int) -> np.random.Generator:
        """Return a random generator that belongs to the sensor, or with a noise seed to the recording."""
        return np.random.default_rng([self.config.sensor_seed, STREAMS[purpose], *more])

    def _flatten(self, frame: Frame) -> NDArray[Any]:
        """Flatten a frame: grey codes of an integer image, or levels of a float image."""
        if frame.image.dtype.kind == "f":
            return float_levels(frame, self.config).ravel()

        if frame.image.dtype not in CODE_TYPES:
            raise VideoError(
                f"frame at {frame.t_us} us: unsupported type (found {frame.image.dtype}, "
                "expected uint8, uint16 or float32)"
            )
        return np.ascontiguousarray(frame.image).ravel()

    def _read_codes(self, dtype: np.dtype[Any], transfer: str) -> _Codes:
        return _read_codes(dtype, transfer, self.config.intensity_map, self.config.log_offset)

    def _simulate_band(
        self,
        state: SimulatorState,
        first_row: int,
        stop_row: int,
        times: list[int],
        images: list[NDArray[Any]],
        paths: Paths | None,
    ) -> list[Words]:
        """Return the events of a band of rows, per interval: sorted if there is a refractory period."""
        band = _Band.of(state, first_row, stop_row)
        codes = None if state.values.dtype.kind == "f" else self._read_codes(state.values.dtype, state.transfer)

        # Pixels that have settled are known only within this call, so they are worth it for several intervals; and only
        # where equal values have equal levels and no motion between the frames moves a level.
        words = []
        tracks_still = len(times) > 2 and codes is not None and paths is None
        still = np.zeros(-(-band.width * (stop_row - first_row) // STILL_PX) if tracks_still else 0, np.uint8)

        for number, (start_us, stop_us) in enumerate(itertools.pairwise(times)):
            interval = Interval(start_us, stop_us - start_us, first_row, band.width)
            pair = _FramePair(images[number][band.part], images[number + 1][band.part], paths, still)
            words.append(self._simulate_interval(band, interval, codes, pair, state.frame + number))
        return words

    def _simulate_interval(
        self,
        band: _Band,
        interval: Interval,
        codes: _Codes | None,
        pair: _FramePair,
        frame: int,
    ) -> Words:
        """Return the signal and noise events between two frames: sorted if there is a refractory period."""
        config = self.config
        before, after, _, still = pair

        # The low-pass and noise look up the intensity of a pixel. Levels have no table: each pixel gets its own entry.
        indices = after
        light = codes.light if codes else np.empty(0)
        if codes is None and (config.cutoff_hz or band.noise):
            indices = np.arange(after.size, dtype=np.int32)
            light = np.clip(intensity(after, config), 0, 1)

        if not isinstance(band.pixels, FilteredPixels):
            words: Words = _find_events(pair, codes, band.pixels, interval)
        else:
            if codes:
                decay = codes.decay(interval.length_us, config.cutoff_hz)
                drive = Drive(before, after, codes.levels, codes.levels, decay.length, decay.shares, still)
            else:
                decay = decay_of_light(light, interval.length_us, config.cutoff_hz)
                drive = Drive(indices, indices, before, after, decay.length, decay.shares, still)
            words = _filter(drive, pair, codes, band.pixels, config, interval)

        if band.noise:
            words = np.concatenate([words, *emit_noise(config, band.noise, frame, interval, indices, light)])

        # The refractory period needs signal and noise in the order of time.
        if band.rest_us is not None:
            words = sort_words(words, interval.length_us)
            words = drop_refractory(words, interval, config.refractory_period_us, band.rest_us)
        return words


def _filter(
    drive: Drive,
    pair: _FramePair,
    codes: _Codes | None,
    pixels: FilteredPixels,
    config: SimulatorConfig,
    interval: Interval,
) -> Words:
    """Return the events with a low-pass: along the paths of moving tiles, and on the straight lines of other pixels."""
    before, after, paths, _ = pair
    if paths is None:
        words: Words = events_of_filtered(drive, pixels, interval)
        return words

    table = codes.levels if codes else None
    words = events_of_filtered_paths(before, after, table, pixels, paths, Darkness.of(config), interval)

    # The other pixels are filtered as part of the complete band, on copies: thresholds that no level reaches keep the
    # moving pixels, which are already at the end of the interval, from firing again.
    moving = paths.moving(interval.first_row, after.size)
    high = np.where(moving, np.inf, pixels.high)
    neg = np.where(moving, np.inf, pixels.neg)
    others = FilteredPixels(pixels.stages.copy(), high, pixels.pos, neg)
    rest = events_of_filtered(drive, others, interval)
    np.copyto(pixels.stages, others.stages, where=~moving)
    np.copyto(pixels.high, others.high, where=~moving)

    return np.concatenate([words, rest])


def _find_events(pair: _FramePair, codes: _Codes | None, pixels: Pixels, interval: Interval) -> Words:
    """Return the events without a low-pass: first the moving tiles, which are then quiet, then the other pixels."""
    before, after, paths, _ = pair
    table = codes.table if codes else None

    if paths is None:
        words: Words = events_of_lines(before, after, table, pixels, interval)
        return words

    moving = events_of_paths(before, after, table, pixels, paths, interval)
    rest = events_of_lines(before, after, table, pixels, interval)
    return np.concatenate([moving, rest])


def simulate(
    frames: Iterable[Frame],
    config: SimulatorConfig = SimulatorConfig(),
    *,
    upsample: Factor = "off",
    threads: int = 1,
) -> Iterator[Events]:
    """Convert video frames to events, one part per pair of frames; join the parts with `concatenate(parts, sensor)`.

    Args:
        frames: Two or more frames in time order.
        config: Settings of the pixel model. Default: an ideal sensor.
        upsample: Interpolation steps per pair of frames; see `EventSimulator`.
        threads: Number of threads, >= 1.

    Raises:
        ConfigError: If a setting is wrong, or `upsample` or `threads` is out of range.
        VideoError: If there are fewer than two frames, or consecutive frames do not fit.

    Example:
        >>> from dvspipe import frames_from_arrays
        >>> images = [np.full((7, 12), grey, np.uint8) for grey in (100, 200)]
        >>> [len(events) for events in simulate(frames_from_arrays(images, fps=30))]
        [588]
    """
    return _simulate(frames, EventSimulator(config, upsample=upsample, threads=threads))


def _simulate(frames: Iterable[Frame], simulator: EventSimulator) -> Iterator[Events]:
    state: SimulatorState | None = None
    count = 0
    for batch in batches(checked_frames(frames), simulator.threads):
        stepped, state = simulator.steps(batch, state)
        yield from (events for events, _ in stepped[count == 0 :])  # the first frame has no interval before it
        count += len(batch)

    if count < 2:
        raise VideoError(f"too few frames to simulate events (found {count}, expected at least 2)")


def batches(frames: Iterable[Frame], threads: int) -> Iterator[list[Frame]]:
    """Group frames into batches that keep all threads busy; a single thread gets batches of one frame.

    If reading a frame fails, the frames before it are yielded first. With several threads, the images of a batch are
    copies, since the iterator may reuse its buffer; the next batch overwrites them.
    """
    batch: list[Frame] = []
    buffers: dict[int, NDArray[Any]] = {}  # reused: allocating memory for each batch costs more than copying
    try:
        for frame in frames:
            if threads > 1:
                image = buffers.get(len(batch))
                if image is None or image.shape != frame.image.shape or image.dtype != frame.image.dtype:
                    image = buffers[len(batch)] = np.empty_like(frame.image, order="C", subok=False)
                np.copyto(image, frame.image)
                frame = replace(frame, image=image)

            batch.append(frame)
            if threads == 1 or len(batch) * frame.image.size >= BATCH_PX:
                yield batch
                batch = []
    except VideoError:
        if batch:
            yield batch
        raise

    if batch:
        yield batch


def _check_frame(frame: Frame, previous_us: int, state: SimulatorState) -> None:
    name = f"frame at {frame.t_us} us"
    kind = state.values.dtype
    if frame.image.shape != (state.sensor.height, state.sensor.width):
        raise VideoError(f"{name}: size differs from the previous frames (found {frame.size}, expected {state.sensor})")

    # Values of a float image are stored as levels in float64, whatever float type it has.
    if not (frame.image.dtype == kind or (frame.image.dtype.kind == "f" and kind.kind == "f")):
        raise VideoError(f"{name}: type differs from the previous frames (found {frame.image.dtype}, expected {kind})")
    if frame.transfer != state.transfer:
        raise VideoError(
            f"{name}: transfer curve differs from the previous frames (found {frame.transfer}, "
            f"expected {state.transfer})"
        )

    interval_us = frame.t_us - previous_us
    if not 0 < interval_us <= LONGEST_INTERVAL_US:
        raise VideoError(
            f"{name}: wrong interval after the previous frame at {previous_us} us (found {interval_us} us, "
            f"expected 1 to {LONGEST_INTERVAL_US} us)"
        )


def _join_bands(span_us: tuple[int, int], bands: Sequence[Words], sensor: SensorSize, is_sorted: bool) -> Labelled:
    """Join and sort the events of all bands in an interval; bands that are sorted need only be merged."""
    start_us, stop_us = span_us
    if len(bands) == 1:
        joined = bands[0]
    elif is_sorted:
        joined = merge_words(bands)
    else:
        joined = np.concatenate(bands)
    words = joined if is_sorted else sort_words(joined, stop_us - start_us)

    t, x, y, on, noise = columns_of(words, start_us)
    return Events.wrap_unchecked(t, x, y, on, sensor), noise
