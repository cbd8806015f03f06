"""Event simulator: one step per frame, with an explicit state.

`EventSimulator.step` computes the interval between two frames: crossings (`find_crossings`) on the straight line of
each pixel or, with upsampling, on the lines between the steps of moving pixels; then noise and the refractory period.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, ConfigError, VideoError
from ..base.kernels import njit
from ..events import Events, SensorSize
from ..video.frames import Frame, checked_frames
from .config import SimulatorConfig
from .crossings import (
    COLUMN_SHIFT,
    COORDINATE_MASK,
    MAX_INTERVAL_US,
    ROW_SHIFT,
    TIME_SHIFT,
    Decay,
    Levels,
    Pixels,
    Words,
    find_crossings,
    look_up,
    number_pixels,
    select_pixels,
    start_pixels,
)
from .levels import code_levels, float_levels, intensity
from .noise import FRAMES, MISMATCH, NoiseState, emit_noise, start_generator, start_noise
from .upsampling import MAX_UPSAMPLING, Factor, MovingPixels, find_motion

CODE_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
MIN_THRESHOLD = 0.01


@dataclass(repr=False)
class SimulatorState(Brief):
    """State of the pixels between two frames, in row-major order.

    Args:
        frame: Number of frames so far.
        t_us: Time of the last frame in microseconds.
        sensor: Width and height of the frames.
        dtype: Type of the frames.
        transfer: Transfer curve of the frames.
        levels: Levels of the last frame.
        pixels: References, thresholds and low-pass.
        noise: State of the noise sources; None without noise.
        free_us: End of the refractory period of each pixel, int64 [N]; None without one.
    """

    frame: int
    t_us: int
    sensor: SensorSize
    dtype: np.dtype[Any]
    transfer: str
    levels: Levels
    pixels: Pixels
    noise: NoiseState | None
    free_us: NDArray[np.int64] | None


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

    Raises:
        ConfigError: If a setting is wrong, or `upsample` is out of range.

    Example:
        >>> from dvspipe import frames_from_arrays
        >>> frames = frames_from_arrays([np.full((7, 12), 100, np.uint8), np.full((7, 12), 200, np.uint8)], fps=30)
        >>> state, simulator = None, EventSimulator(SimulatorConfig())
        >>> for frame in frames:
        ...     events, state = simulator.step(frame, state)
    """

    def __init__(self, config: SimulatorConfig = SimulatorConfig(), *, upsample: Factor = "off") -> None:
        if not (upsample in ("off", "auto") or (isinstance(upsample, int) and 1 <= upsample <= MAX_UPSAMPLING)):
            raise ConfigError(
                f"upsample: wrong number of steps (found {upsample}, expected off, auto or 1 to {MAX_UPSAMPLING})"
            )

        self.config = config.part(SimulatorConfig)
        self._factor: Factor = "off" if upsample == 1 else upsample  # a single step is a straight line

    def step(self, frame: Frame, state: SimulatorState | None) -> tuple[Events, SimulatorState]:
        """Simulate the interval from the previous frame to `frame`; return its events and the new state.

        Args:
            frame: Next frame.
            state: State returned by the previous step; None for the first frame. Do not reuse it: the new state takes
                over its arrays.

        Returns:
            Events with previous time <= t <= time of this frame (rounded to the microsecond), sorted by time, then row,
            column and polarity; and the new state.

        Raises:
            VideoError: If the size, type, transfer curve or time of the frame does not fit the previous frame.
        """
        if state is None:
            return Events.empty(frame.size), self._start(frame)

        _check_frame(frame, state)
        after = self._read(frame)
        words = self._cross(state, after, frame.t_us - state.t_us)
        if state.noise:
            rng = start_generator(self.config, FRAMES, self.config.noise_seed or 0, state.frame)
            span_us = state.t_us, frame.t_us
            words += emit_noise(self.config, state.noise, rng, after, state.pixels.address, span_us)

        joined = np.sort(np.concatenate(words))
        if state.free_us is not None:
            period_us = self.config.refractory_period_us
            joined = _drop_refractory(joined, state.t_us, period_us, state.sensor.width, state.free_us)

        t, x, y, p = _unpack(joined, state.t_us)
        state.levels = after
        state.t_us = frame.t_us
        state.frame += 1
        return Events.wrap_unchecked(t, x, y, p, state.sensor), state

    def _start(self, frame: Frame) -> SimulatorState:
        config = self.config
        if frame.image.dtype.kind != "f" and frame.image.dtype not in CODE_TYPES:
            raise VideoError(
                f"frame at {frame.t_us} us: unsupported type (found {frame.image.dtype}, "
                "expected uint8, uint16 or float32)"
            )
        levels = self._read(frame)

        # Thresholds: one per pixel, or one for all pixels without mismatch.
        size = frame.image.size
        pos = np.array([config.pos_thres])
        neg = np.array([config.neg_thres])
        if config.sigma_thres:
            rng = start_generator(config, MISMATCH)
            pos = np.maximum(rng.normal(config.pos_thres, config.sigma_thres, size), MIN_THRESHOLD)
            neg = np.maximum(rng.normal(config.neg_thres, config.sigma_thres, size), MIN_THRESHOLD)

        return SimulatorState(
            frame=1,
            t_us=frame.t_us,
            sensor=frame.size,
            dtype=frame.image.dtype,
            transfer=frame.transfer,
            levels=levels,
            pixels=start_pixels(look_up(levels.table, levels.codes), frame.size.width, pos, neg),
            noise=start_noise(config, size, frame.t_us) if config.noisy else None,
            free_us=np.full(size, frame.t_us) if config.refractory_period else None,
        )

    def _read(self, frame: Frame) -> Levels:
        """Return the levels of a frame; they are a copy, since the buffer of the frame may be reused."""
        if frame.image.dtype.kind == "f":
            return number_pixels(float_levels(frame, self.config).ravel())
        return Levels(frame.image.flatten(), code_levels(frame.image.dtype, frame.transfer, self.config))

    def _cross(self, state: SimulatorState, after: Levels, length_us: int) -> list[Words]:
        """Return the crossings between the last frame and the levels `after`; updates the pixels."""
        pixels = state.pixels
        motions = self._find_motions(state, after, length_us)

        # Moving pixels are simulated on copies. Bounds that no level reaches keep the originals quiet meanwhile.
        parts = [Pixels._make(values[motion.pixels] for values in pixels) for motion in motions]
        for motion in motions:
            pixels.low[motion.pixels] = -np.inf
            pixels.high[motion.pixels] = np.inf
        words = [find_crossings(state.levels, after, self._decay(after, length_us), pixels, length_us)]

        for motion, part in zip(motions, parts, strict=True):
            words += self._cross_steps(motion, part, state.levels, after, length_us)
            for name in Pixels._fields:
                getattr(pixels, name)[motion.pixels] = getattr(part, name)
        return words

    def _find_motions(self, state: SimulatorState, after: Levels, length_us: int) -> list[MovingPixels]:
        if self._factor == "off":
            return []

        shape = state.sensor.height, state.sensor.width
        pictures = [look_up(levels.table.astype(np.float32), levels.codes) for levels in (state.levels, after)]
        return find_motion(pictures[0].reshape(shape), pictures[1].reshape(shape), self._factor, length_us)

    def _cross_steps(
        self, motion: MovingPixels, part: Pixels, before: Levels, after: Levels, length_us: int
    ) -> Iterator[Words]:
        """Yield the crossings of moving pixels in each step; updates `part`."""
        since_us = 0
        start = select_pixels(before, motion.pixels)
        steps = ((until_us, number_pixels(levels)) for until_us, levels in motion.levels(length_us))
        for until_us, end in chain(steps, [(length_us, select_pixels(after, motion.pixels))]):
            step_us = until_us - since_us
            words = find_crossings(start, end, self._decay(end, step_us), part, step_us)
            yield words + (since_us << TIME_SHIFT)

            start = end
            since_us = until_us

    def _decay(self, levels: Levels, length_us: int) -> Decay | None:
        """Return the low-pass for levels at the end of an interval; it is slower in the dark."""
        if not self.config.cutoff_hz:
            return None

        # tau is 1.1 / (light + 0.1) of its value at white (Hu et al. 2021, section 3.3).
        light = np.clip(intensity(levels.table, self.config), 0, 1)
        rate = 2e-6 * math.pi * self.config.cutoff_hz * (light + 0.1) / 1.1
        settled = -np.expm1(-rate * length_us)
        return Decay(rate, settled, 1 - settled / (rate * length_us))


def simulate(
    frames: Iterable[Frame], config: SimulatorConfig = SimulatorConfig(), *, upsample: Factor = "off"
) -> Iterator[Events]:
    """Convert video frames to events, one part per pair of frames; join the parts with `concatenate(parts, sensor)`.

    Args:
        frames: Two or more frames in time order.
        config: Settings of the pixel model. Default: an ideal sensor.
        upsample: Interpolation steps per pair of frames; see `EventSimulator`.

    Raises:
        ConfigError: If a setting is wrong, or `upsample` is out of range.
        VideoError: If there are fewer than two frames, or consecutive frames do not fit.

    Example:
        >>> from dvspipe import frames_from_arrays
        >>> images = [np.full((7, 12), grey, np.uint8) for grey in (100, 200)]
        >>> [len(events) for events in simulate(frames_from_arrays(images, fps=30))]
        [588]
    """
    return _simulate(frames, EventSimulator(config, upsample=upsample))


def _simulate(frames: Iterable[Frame], simulator: EventSimulator) -> Iterator[Events]:
    state: SimulatorState | None = None
    count = 0
    for frame in checked_frames(frames):
        events, state = simulator.step(frame, state)
        count += 1
        if count > 1:  # the first frame has no interval before it
            yield events

    if count < 2:
        raise VideoError(f"too few frames to simulate events (found {count}, expected at least 2)")


def _check_frame(frame: Frame, state: SimulatorState) -> None:
    name = f"frame at {frame.t_us} us"
    if frame.image.shape != (state.sensor.height, state.sensor.width):
        raise VideoError(f"{name}: size differs from the previous frames (found {frame.size}, expected {state.sensor})")
    if frame.image.dtype != state.dtype:
        raise VideoError(
            f"{name}: type differs from the previous frames (found {frame.image.dtype}, expected {state.dtype})"
        )
    if frame.transfer != state.transfer:
        raise VideoError(
            f"{name}: transfer curve differs from the previous frames (found {frame.transfer}, "
            f"expected {state.transfer})"
        )

    interval_us = frame.t_us - state.t_us
    if not 0 < interval_us <= MAX_INTERVAL_US:
        raise VideoError(
            f"{name}: wrong interval after the previous frame at {state.t_us} us (found {interval_us} us, "
            f"expected 1 to {MAX_INTERVAL_US} us)"
        )


@njit(cache=True, nogil=True)
def _drop_refractory(words: Words, start_us: int, period_us: int, width: int, free_us: NDArray[np.int64]) -> Words:
    """Keep sorted words at or after the time in `free_us` of their pixel; each of these moves it by `period_us`."""
    count = 0
    for word in words:
        t_us = start_us + (word >> TIME_SHIFT)
        row = (word >> ROW_SHIFT) & COORDINATE_MASK
        pixel = row * width + ((word >> COLUMN_SHIFT) & COORDINATE_MASK)

        # Written in any case, and overwritten by the next word if this one is dropped.
        fires = t_us >= free_us[pixel]
        free_us[pixel] = t_us + period_us if fires else free_us[pixel]
        words[count] = word
        count += fires
    return words[:count]


@njit(cache=True, nogil=True)
def _unpack(words: Words, start_us: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Unpack words to the columns t, x, y and p; one loop per column lets the compiler vectorize each."""
    t = np.empty(words.size, np.int64)
    x = np.empty(words.size, np.int16)
    y = np.empty(words.size, np.int16)
    p = np.empty(words.size, np.bool_)
    for event in range(words.size):
        t[event] = start_us + (words[event] >> TIME_SHIFT)
    for event in range(words.size):
        x[event] = (words[event] >> COLUMN_SHIFT) & COORDINATE_MASK
    for event in range(words.size):
        y[event] = (words[event] >> ROW_SHIFT) & COORDINATE_MASK
    for event in range(words.size):
        p[event] = words[event] & 1
    return t, x, y, p
