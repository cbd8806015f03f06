"""More frames between those of a video, moved along the optical flow, so that moving edges fire at the right time.

Between two frames of ordinary video a pixel's level does not move on a straight line: an edge passes it at one moment.
The flow from each frame to the other (DIS: Kroeger et al. 2016) says when. At the time t between the frames, 0 to 1,
a pixel at x is taken to move by D = (1 - t) F01(x) - t F10(x) in the interval, and its level to be

    (1 - t) L0(x - t D) + t L1(x + (1 - t) D),

which is Super SloMo's approximation of the intermediate flows, F_t0 = -t D and F_t1 = (1 - t) D (Jiang et al. 2018,
equation 4). The levels are interpolated, not the codes, and the straight lines between these frames are the
simulator's.

How far a pixel is trusted is decided once per pair of frames, so that it does not change sides from step to step, by
how well the two frames agree half way:

- They agree: the formula.
- They do not (an occlusion, a wrong flow, a path from outside the picture): the formula, but held to a level that moves
  in one direction only, from L0(x) to L1(x). The pixel then fires the events that a straight line would, no others,
  at the times of the motion.
- The flow explains none of the change there (a light that goes on, blur): the straight line.
- So in most of the picture: a scene cut, and no frames are put between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, VideoError
from ..video import Frame
from .config import SimulatorConfig
from .levels import code_levels, float_levels

Image = NDArray[np.float32]

MOST_STEPS = 32  # per pair of frames under `auto`
AUTO_PERCENTILE = 95  # of the flow's length, that the fastest hundreds of pixels, often wrong ones, do not decide
SMALLEST_CHANGE = 0.05  # of the level, a quarter of the usual threshold: below it a pixel counts as still
LARGEST_MISMATCH = (
    0.15  # of the level, between the two frames half way; more lets false events through, less loses true ones
)
UNEXPLAINED = 0.9  # share of a pixel's own change that remains as mismatch
CUT_SHARE = 0.5  # of changed pixels that mismatch; 0.12 where six objects pass by at 20 px per frame, 0.8 at a cut
# Cubic convolution half way between two pixels (Keys 1981), a = -0.9: sharper than the usual -0.5, to make up for the
# bilinear warp after it. Past its two neighbours a value goes by LARGEST_OVERSHOOT at most: more rings at hard edges,
# and twice as many false events fire; none at all flattens peaks, and a third more true events go missing.
HALFWAY = (-0.1125, 0.6125, 0.6125, -0.1125)
LARGEST_OVERSHOOT = 0.01  # of the level
FINEST_SCALE = 2  # of the flow, the preset's: a quarter of the picture's width and height
SPACING_PX = 2  # of the pixels at which the flow is judged: a quarter of the cost, and the flow is smooth
SMALLEST_SIDE_PX = 16  # twice that of DIS's patches; it refuses pictures much smaller


def upsample(frames: Iterable[Frame], factor: int | Literal["auto"], *, config: SimulatorConfig) -> Iterator[Frame]:
    """The frames as levels, with motion-compensated ones between them; two source frames are held at a time.

    Args:
        frames: Frames in the order of their times.
        factor: Steps per pair of frames, 1 for none between; or `auto`: as many, up to 32, as keep the motion of 95 %
            of the changed pixels at one pixel per step.
        config: The pixel model that the frames are for: what a level is.

    Returns:
        Frames with the transfer `log`, float32: every source frame's own level at its own time and, where the flow
        explains the change to the next, factor - 1 between, evenly spaced, rounded to the microsecond, none twice.
        None stand between frames of fewer than 16 rows or columns.

    Raises:
        ConfigError: The factor is neither `auto` nor 1 or more.
        VideoError: A frame holds no valid intensities.
    """
    if not (factor == "auto" or (isinstance(factor, int) and factor >= 1)):
        raise ConfigError(f"upsample is {factor}, expected auto, or 1 or more steps per pair of frames")
    return _upsampled(frames, factor, config)


def _upsampled(frames: Iterable[Frame], factor: int | Literal["auto"], config: SimulatorConfig) -> Iterator[Frame]:
    tables: dict[tuple[np.dtype[Any], str], Image] = {}
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # ultrafast and 5 refinements, for 1 ms more
    work: _Workspace | None = None
    before: _Source | None = None
    for frame in frames:
        after = _Source(frame.t_us, _levels(frame, config, tables))
        if before is not None and before.levels.shape == after.levels.shape:
            work = work if work and work.shape == after.levels.shape else _Workspace(after.levels.shape)
            motion = None if factor == 1 else _estimate(flow, work, before, after, factor)
            if motion:
                yield from _between(work, before, after, motion)
        yield Frame(after.t_us, after.levels, "log")
        before = after


@dataclass(frozen=True)
class _Source:
    """A source frame: its time and levels [H, W]."""

    t_us: int
    levels: Image

    @cached_property
    def fine(self) -> Image:
        """The levels at half the spacing, [2H - 1, 2W - 1], by cubic convolution.

        Bilinear warps of these are as sharp as cubic warps of the levels and cost little more than bilinear ones of
        them, which blur: 2 % instead of 1 % of the events of a textured scene go missing.
        """
        height, width = self.levels.shape
        between_columns = _between_columns(self.levels)
        fine = np.empty((2 * height - 1, 2 * width - 1), np.float32)
        fine[::2, ::2] = self.levels
        fine[::2, 1::2] = between_columns
        fine[1::2, ::2] = _between_columns(self.levels.T).T
        fine[1::2, 1::2] = _between_columns(between_columns.T).T
        return fine


@dataclass(frozen=True)
class _Motion:
    """What happens between two frames.

    Args:
        forward: Flow from the earlier frame to the later one, [H, W, 2] in pixels: F01.
        backward: And back: F10.
        slack: How far a level may leave the range between its last value and its final one, [H, W].
        unexplained: uint8 [H, W], 1 where the level moves on a straight line.
        steps: Of equal length, 2 or more.
    """

    forward: Image
    backward: Image
    slack: Image
    unexplained: NDArray[np.uint8]
    steps: int


class _Workspace:
    """Pixel coordinates and room for intermediate results, for pictures of one shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        height, width = shape
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        positions = np.dstack([columns, rows])
        self.coarse = np.ascontiguousarray(positions[::SPACING_PX, ::SPACING_PX])
        self.fine = 2 * positions
        # fresh arrays of this size come from the system page by page, which costs more than the arithmetic
        self.motion, self.map = np.empty_like(positions), np.empty_like(positions)
        self.warped = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.bounds = np.empty(shape, np.float32), np.empty(shape, np.float32)


def _image(image: Any) -> Image:
    """OpenCV's result, which has no precise type, as what it is."""
    result: Image = image
    return result


def _between_columns(image: Image) -> Image:
    """The values half way between neighbouring columns, [H, W - 1]."""
    kernel, one = np.array(HALFWAY, np.float32), np.ones(1, np.float32)
    halfway = cv2.sepFilter2D(image, -1, kernel, one, anchor=(1, 0), borderType=cv2.BORDER_REPLICATE)[:, :-1]
    left, right = image[:, :-1], image[:, 1:]
    low = cv2.subtract(cv2.min(left, right), LARGEST_OVERSHOOT)
    high = cv2.add(cv2.max(left, right), LARGEST_OVERSHOOT)
    return _image(cv2.min(cv2.max(halfway, low), high))


def _levels(frame: Frame, config: SimulatorConfig, tables: dict[tuple[np.dtype[Any], str], Image]) -> Image:
    if frame.image.dtype.kind == "f":
        return float_levels(frame, config).astype(np.float32)
    if frame.image.dtype not in (np.uint8, np.uint16):
        raise VideoError(f"a frame has dtype {frame.image.dtype}, expected uint8, uint16 or float32")
    key = frame.image.dtype, frame.transfer
    if key not in tables:
        tables[key] = code_levels(*key, config).astype(np.float32)
    return _image(tables[key][frame.image])


def _estimate(
    flow: Any, work: _Workspace, before: _Source, after: _Source, factor: int | Literal["auto"]
) -> _Motion | None:
    """The motion between two frames, or None where no frames are to be put between them."""
    change = cv2.absdiff(_coarse(before.levels), _coarse(after.levels))
    changed = change > SMALLEST_CHANGE
    interval_us = after.t_us - before.t_us
    if interval_us < 2 or min(work.shape) < SMALLEST_SIDE_PX or not changed.any():
        return None
    grey0, grey1 = _greys(before.levels, after.levels)
    forward = _flow(flow, grey0, grey1)
    wanted = _steps_of(_coarse(forward)[changed]) if factor == "auto" else factor
    steps = min(wanted, interval_us)
    if steps < 2:
        return None
    backward = _flow(flow, grey1, grey0)
    mismatch = _mismatch(work, before, after, forward, backward)
    doubtful = mismatch > LARGEST_MISMATCH
    if np.mean(doubtful[changed]) > CUT_SHARE:
        return None
    unexplained = doubtful & (mismatch > UNEXPLAINED * cv2.blur(change, (3, 3)))
    doubtful = cv2.dilate(doubtful.astype(np.uint8), np.ones((3, 3), np.uint8))
    slack = np.where(doubtful, np.float32(0), np.float32(np.inf))
    return _Motion(forward, backward, _full(slack, work), _full(unexplained.astype(np.uint8), work), steps)


def _flow(flow: Any, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> Image:
    # on small pictures DIS lowers its own finest scale, and would then answer the same question differently next time
    flow.setFinestScale(FINEST_SCALE)
    return _image(flow.calc(earlier, later, None))


def _steps_of(flow: Image) -> int:
    """Steps that keep most of the flow [N, 2] near one pixel per step."""
    fastest_px = np.percentile(np.linalg.norm(flow, axis=1), AUTO_PERCENTILE)
    return int(min(MOST_STEPS, np.ceil(fastest_px)))


def _coarse(image: Image) -> Image:
    return np.ascontiguousarray(image[::SPACING_PX, ::SPACING_PX])


def _full(coarse: NDArray[Any], work: _Workspace) -> NDArray[Any]:
    """The coarse values at every pixel."""
    height, width = work.shape
    full: NDArray[Any] = coarse.repeat(SPACING_PX, axis=0).repeat(SPACING_PX, axis=1)[:height, :width]
    return np.ascontiguousarray(full)


def _greys(*levels: Image) -> list[NDArray[np.uint8]]:
    """The levels in the 8 bits that the flow is computed on, on one scale."""
    lowest = float(min(level.min() for level in levels))
    highest = float(max(level.max() for level in levels))
    scale = 255 / max(highest - lowest, 1e-6)
    return [np.asarray(cv2.convertScaleAbs(level - np.float32(lowest), alpha=scale)) for level in levels]


def _mismatch(work: _Workspace, before: _Source, after: _Source, forward: Image, backward: Image) -> Image:
    """How far the levels of the two frames differ that meet half way, [H / 2, W / 2].

    A path from outside the picture begins at the border's level: where that is wrong, it shows here too.
    """
    motion = cv2.addWeighted(_coarse(forward), 0.5, _coarse(backward), -0.5, 0)
    levels = []
    for source, way in ((before, -0.5), (after, 0.5)):
        position = cv2.addWeighted(work.coarse, 1, motion, way, 0)
        levels.append(cv2.remap(source.levels, position, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return _image(cv2.blur(cv2.absdiff(*levels), (3, 3)))


def _between(work: _Workspace, before: _Source, after: _Source, motion: _Motion) -> Iterator[Frame]:
    """The frames between two."""
    interval_us = after.t_us - before.t_us
    last = before.levels
    for step in range(1, motion.steps):
        since_us = round(step * interval_us / motion.steps)
        last = _level_at(since_us / interval_us, work, before, after, motion, last)
        yield Frame(before.t_us + since_us, last, "log")


def _level_at(t: float, work: _Workspace, before: _Source, after: _Source, motion: _Motion, last: Image) -> Image:
    """The level at the share t of the interval; `last` is that of the step before."""
    displacement = cv2.addWeighted(motion.forward, 2 * (1 - t), motion.backward, -2 * t, 0, dst=work.motion)
    for source, way, warped in ((before, -t, work.warped[0]), (after, 1 - t, work.warped[1])):
        map_ = cv2.addWeighted(work.fine, 1, displacement, way, 0, dst=work.map)
        cv2.remap(source.fine, map_, None, cv2.INTER_LINEAR, dst=warped, borderMode=cv2.BORDER_REPLICATE)
    level = cv2.addWeighted(work.warped[0], 1 - t, work.warped[1], t, 0)
    straight = cv2.addWeighted(before.levels, 1 - t, after.levels, t, 0, dst=work.warped[0])
    cv2.copyTo(straight, motion.unexplained, level)
    low, high = work.bounds
    cv2.subtract(cv2.min(last, after.levels, dst=low), motion.slack, dst=low)
    cv2.add(cv2.max(last, after.levels, dst=high), motion.slack, dst=high)
    return _image(cv2.min(cv2.max(level, low, dst=level), high, dst=level))
