"""Interpolation of frames along the optical flow, so that moving edges fire at the right time.

Between two frames of ordinary video the level of a pixel does not follow a straight line: an edge passes at one moment,
which the flow from each frame to the other (DIS: Kroeger et al. 2016) determines. At the time t between the frames, 0
to 1, a pixel at x is assumed to move by D = (1 - t) F01(x) - t F10(x) in the interval, and its level to be

    (1 - t) L0(x - t D) + t L1(x + (1 - t) D),

which is Super SloMo's approximation of the intermediate flows, F_t0 = -t D and F_t1 = (1 - t) D (Jiang et al. 2018,
equation 4). The levels are interpolated, not the codes; between these frames the simulator uses straight lines.

A level changes in one direction only, from L0(x) to L1(x), unless both frames show otherwise: if both terms are outside
that range, the level follows the nearer of them, less a doubt. The doubt is the difference of the two frames' levels at
the middle of the path, plus 0.02 per pixel by which their flows differ, less an allowance for rounding. So a passing
bright line fires its events, and if an occlusion or a wrong flow makes the frames differ, a pixel fires the same events
as with a straight line, at the times of the motion.

The doubt is computed once per pair of frames, so that a pixel does not switch from step to step, and with it:

- A path that begins or ends outside the picture has the level of the frame in which it is visible.
- If the flow explains none of the change (a light that is switched on, blur), the level follows the straight line.
- If this is so in most of the picture, it is a scene cut, and no frames are interpolated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, VideoError
from ..frames import Frame
from ..opencv import cv2
from .config import SimulatorConfig
from .levels import code_levels, float_levels

Image = NDArray[np.float32]
Mask = NDArray[np.uint8]

MOST_STEPS = 32  # per pair of frames with `auto`
AUTO_PERCENTILE = 95  # of the length of the flow: ignores the fastest few hundred pixels, which are often wrong
SMALLEST_CHANGE = 0.05  # of the level, a quarter of the usual threshold: pixels that change less count as still
SLOWEST_PX = 1.5  # per pair with `auto`: for slower motion, rounding to 8 bits changes levels more than interpolation
# The doubt about a level, in addition to the mismatch: per pixel of difference between the two flows, and an allowance
# for rounding and rotation. A larger allowance causes more false events, a smaller one more missed events.
DOUBT_PER_PX = 0.02
ALLOWANCE = 0.06
LARGEST_MISMATCH = (
    0.15  # of the level, between the two frames at the middle of the path; far more at a cut or change of light
)
UNEXPLAINED = 0.9  # fraction of the change of a pixel that remains as mismatch
CUT_SHARE = 0.5  # fraction of changed pixels that mismatch; 0.15 for six objects moving 20 px per frame, 0.9 at a cut
# Cubic convolution half way between two pixels (Keys 1981), a = -1: sharper than the usual -0.5, to compensate for the
# bilinear warp after it. A value exceeds its two neighbours by LARGEST_OVERSHOOT at most: more causes ringing at hard
# edges and false events; none flattens peaks, and more true events are missed.
HALFWAY = (-0.125, 0.625, 0.625, -0.125)
LARGEST_OVERSHOOT = 0.004  # of the level
FINEST_SCALE = (
    1  # of the flow: half the width and height; a quarter is 2 ms faster, but all errors are 1.3 times as large
)
SEVERAL_SCALES_PX = 91  # width or height from which DIS searches at more scales than that one: 32 * 2 ** 1.5
PATCH_STRIDE_PX = 5  # of the flow; the preset's 4 costs 2 ms more and is hardly better
SPACING_PX = 2  # of the pixels at which the flow is checked: a quarter of the cost, and the flow is smooth
CHECKED_AREA = (3, 3)  # of those pixels: the smallest that avoids coincidental agreement
SMALLEST_SIDE_PX = 16  # twice the patch size of DIS, which rejects much smaller pictures


def upsample(frames: Iterable[Frame], factor: int | Literal["auto"], *, config: SimulatorConfig) -> Iterator[Frame]:
    """Yield the frames as levels, with motion-compensated frames between them; holds two source frames at a time.

    Args:
        frames: Frames sorted by time.
        factor: Steps per pair of frames, 1 for no interpolation; or `auto`: as many, up to 32, as keep the motion of
            95 % of the changed pixels at one pixel per step, and no interpolation below 1.5 pixels.
        config: The pixel model, which defines the level.

    Returns:
        Frames with the transfer curve `log`, float32: the level of each source frame at its time and, if the flow
        explains the change to the next, factor - 1 frames between, evenly spaced, rounded to the microsecond, all at
        different times. There are none between frames with fewer than 16 rows or columns.

    Raises:
        ConfigError: The factor is neither `auto` nor at least 1.
        VideoError: A frame has invalid intensities.
    """
    if not (factor == "auto" or (isinstance(factor, int) and factor >= 1)):
        raise ConfigError(f"upsample: wrong number of steps (found {factor}, expected auto or at least 1)")
    return _interpolate(frames, factor, config)


def _interpolate(frames: Iterable[Frame], factor: int | Literal["auto"], config: SimulatorConfig) -> Iterator[Frame]:
    tables: dict[tuple[np.dtype[Any], str], Image] = {}
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow.setPatchStride(PATCH_STRIDE_PX)
    work: _Workspace | None = None
    before: _Source | None = None
    for frame in frames:
        after = _Source(frame.t_us, _levels(frame, config, tables))
        if before is not None and before.levels.shape == after.levels.shape:
            work = work if work and work.shape == after.levels.shape else _Workspace(after.levels.shape)
            motion = None if factor == 1 else _estimate(flow, work, before, after, factor)
            if motion:
                yield from _interpolate_pair(work, before, after, motion)
        yield Frame(after.t_us, after.levels, "log")
        before = after


@dataclass(frozen=True)
class _Source:
    """A source frame: its time and levels [H, W]."""

    t_us: int
    levels: Image

    @cached_property
    def fine(self) -> Image:
        """The levels at half the spacing, [2H, 2W], by cubic convolution.

        Bilinear warps of these are as sharp as cubic warps of the levels, and cost little more than bilinear warps of
        the levels, which blur: 2 % instead of 1 % of the events of a textured scene are missed.
        """
        even, odd = (_with_halfway_columns(rows) for rows in (self.levels, _halfway(self.levels, axis=0)))
        return np.stack([even, odd], axis=1).reshape(2 * even.shape[0], even.shape[1])


@dataclass(frozen=True)
class _Motion:
    """The motion between two frames.

    Args:
        forward: Flow from the earlier frame to the later one, [H, W, 2] in pixels: F01.
        disagreement: Difference from the reversed backward flow: F01 + F10.
        doubt: [H, W], reduction of the distance by which a level leaves the range of its straight line.
        entering: uint8 [H, W], 1 if the path begins outside the picture.
        leaving: Likewise, if it ends outside.
        unexplained: Likewise, if the level follows a straight line.
        steps: Number of steps of equal length, at least 2.
    """

    forward: Image
    disagreement: Image
    doubt: Image
    entering: Mask
    leaving: Mask
    unexplained: Mask
    steps: int


class _Workspace:
    """Pixel coordinates and work space for pictures of one shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        height, width = shape
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        positions = np.dstack([columns, rows])
        self.coarse = _coarse(positions)
        self.fine = 2 * positions
        # new arrays of this size come from the system page by page, which costs more than the arithmetic
        self.motion, self.map = np.empty_like(positions), np.empty_like(positions)
        self.warped = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.bounds = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.scratch = np.empty(shape, np.float32)


def _image(image: Any) -> Image:
    """Return a result of OpenCV, which has no precise type, as an image."""
    result: Image = image
    return result


def _halfway(image: Image, axis: int) -> Image:
    """Return the values half way to the next row (axis 0) or column (1), [H, W]; those of the last one are its own."""
    shape, anchor = ((-1, 1), (0, 1)) if axis == 0 else ((1, -1), (1, 0))
    kernel = np.array(HALFWAY, np.float32).reshape(shape)
    halfway = cv2.filter2D(image, -1, kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE)
    neighbours = np.ones((2, 1) if axis == 0 else (1, 2), np.uint8)
    low = cv2.subtract(cv2.erode(image, neighbours, anchor=(0, 0)), LARGEST_OVERSHOOT)
    high = cv2.add(cv2.dilate(image, neighbours, anchor=(0, 0)), LARGEST_OVERSHOOT)
    return _image(cv2.min(cv2.max(halfway, low), high))


def _with_halfway_columns(image: Image) -> Image:
    """Return the columns interleaved with those half way to the next, [H, 2W]."""
    return _image(cv2.merge([image, _halfway(image, axis=1)])).reshape(image.shape[0], -1)


def _levels(frame: Frame, config: SimulatorConfig, tables: dict[tuple[np.dtype[Any], str], Image]) -> Image:
    if frame.image.dtype.kind == "f":
        return float_levels(frame, config).astype(np.float32)
    if frame.image.dtype not in (np.uint8, np.uint16):
        raise VideoError(
            f"frame at {frame.t_us} us: unsupported type (found {frame.image.dtype}, expected uint8, uint16 or float32)"
        )
    key = frame.image.dtype, frame.transfer
    if key not in tables:
        tables[key] = code_levels(*key, config).astype(np.float32)
    return _image(tables[key][frame.image])


def _estimate(
    flow: Any, work: _Workspace, before: _Source, after: _Source, factor: int | Literal["auto"]
) -> _Motion | None:
    """Return the motion between two frames; None if nothing is to be interpolated."""
    change = cv2.absdiff(_coarse(before.levels), _coarse(after.levels))
    changed = change > SMALLEST_CHANGE
    interval_us = after.t_us - before.t_us
    if interval_us < 2 or min(work.shape) < SMALLEST_SIDE_PX or not changed.any():
        return None
    grey0, grey1 = _greys(before.levels, after.levels)
    forward = _flow(flow, grey0, grey1)
    wanted = _count_steps(_coarse(forward)[changed]) if factor == "auto" else factor
    steps = min(wanted, interval_us)
    if steps < 2:
        return None
    backward = _flow(flow, grey1, grey0)
    return _check_motion(work, before, after, forward, backward, change, steps)


def _check_motion(
    work: _Workspace, before: _Source, after: _Source, forward: Image, backward: Image, change: Image, steps: int
) -> _Motion | None:
    """Return the motion and its doubt; None at a scene cut. Corrects `forward` in place."""
    disagreement = _image(cv2.add(forward, backward))
    apart = _coarse(disagreement)
    apart_px = cv2.magnitude(*cv2.split(apart))
    motion = cv2.scaleAdd(apart, -0.5, _coarse(forward))
    entering, leaving = (_outside(cv2.scaleAdd(motion, way, work.coarse), work.shape) for way in (-1, 1))
    mismatch = _mismatch(work, before, after, motion, 0.5 - 0.5 * entering + 0.5 * leaving)
    doubtful = mismatch > LARGEST_MISMATCH
    if np.mean(doubtful[change > SMALLEST_CHANGE]) > CUT_SHARE:
        return None
    unexplained = (doubtful & (mismatch > UNEXPLAINED * cv2.blur(change, CHECKED_AREA))).astype(np.uint8)
    doubt = cv2.blur(mismatch, CHECKED_AREA) + DOUBT_PER_PX * apart_px - ALLOWANCE
    entering, leaving, unexplained = (_full(where, work.shape) for where in (entering, leaving, unexplained))
    # only one frame shows both ends of such a path, and thus its motion: F01 if it enters, -F10 if it leaves
    cv2.subtract(forward, disagreement, dst=forward, mask=leaving)
    cv2.subtract(disagreement, disagreement, dst=disagreement, mask=cv2.max(entering, leaving))
    return _Motion(forward, disagreement, _full(doubt, work.shape), entering, leaving, unexplained, steps)


def _flow(flow: Any, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> Image:
    # DIS searches small pictures at a single scale; if that is not available, it chooses more and finer scales itself.
    # Set for each call, because it keeps its choice, which would change later results.
    flow.setFinestScale(FINEST_SCALE if max(earlier.shape) >= SEVERAL_SCALES_PX else FINEST_SCALE + 1)
    return _image(flow.calc(earlier, later, None))


def _count_steps(flow: Image) -> int:
    """Return the number of steps that keeps most of the flow [N, 2] near one pixel per step."""
    fastest_px = np.percentile(np.linalg.norm(flow, axis=1), AUTO_PERCENTILE)
    return 1 if fastest_px < SLOWEST_PX else int(min(MOST_STEPS, np.ceil(fastest_px)))


def _outside(positions: Any, shape: tuple[int, ...]) -> Mask:
    """Return 1 if a position [H / 2, W / 2, 2] is outside the picture, otherwise 0."""
    height, width = shape
    return np.asarray(cv2.inRange(positions, (0, 0), (width - 1, height - 1)) == 0).astype(np.uint8)


def _coarse(image: Any) -> Any:
    """Return every SPACING_PX-th row and column; for odd sizes possibly without the last."""
    return cv2.resize(image, None, fx=1 / SPACING_PX, fy=1 / SPACING_PX, interpolation=cv2.INTER_NEAREST)


def _full(coarse: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the coarse values at each pixel."""
    full: NDArray[Any] = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return full


def _greys(*levels: Image) -> list[NDArray[np.uint8]]:
    """Return levels as 8-bit images on a common scale, for the flow."""
    lowest = float(min(level.min() for level in levels))
    highest = float(max(level.max() for level in levels))
    scale = 255 / max(highest - lowest, 1e-6)
    return [np.asarray(cv2.convertScaleAbs(level - np.float32(lowest), alpha=scale)) for level in levels]


def _mismatch(work: _Workspace, before: _Source, after: _Source, motion: Any, times: NDArray[np.float64]) -> Image:
    """Return the difference of the two frames' levels on the paths at `times`, [H / 2, W / 2].

    The times are fractions of the interval: 0 for paths from outside the picture, 1 for those that leave it, else 0.5.
    """
    t = times.astype(np.float32)
    start = cv2.subtract(work.coarse, cv2.multiply(motion, cv2.merge([t, t])))
    levels = (
        cv2.remap(source.levels, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for source, positions in ((before, start), (after, cv2.add(start, motion)))
    )
    return _image(cv2.blur(cv2.absdiff(*levels), CHECKED_AREA))


def _interpolate_pair(work: _Workspace, before: _Source, after: _Source, motion: _Motion) -> Iterator[Frame]:
    """Yield the frames between two frames."""
    interval_us = after.t_us - before.t_us
    last = before.levels
    for step in range(1, motion.steps):
        since_us = round(step * interval_us / motion.steps)
        last = _level_at(since_us / interval_us, work, before, after, motion, last)
        yield Frame(before.t_us + since_us, last, "log")


def _level_at(t: float, work: _Workspace, before: _Source, after: _Source, motion: _Motion, last: Image) -> Image:
    """Return the level at the fraction t of the interval; `last` is that of the previous step."""
    displacement = cv2.scaleAdd(motion.disagreement, -t, motion.forward, dst=work.motion)
    start, end = work.warped
    for source, way, warped in ((before, -2 * t, start), (after, 2 - 2 * t, end)):
        map_ = cv2.scaleAdd(displacement, way, work.fine, dst=work.map)
        cv2.remap(source.fine, map_, None, cv2.INTER_LINEAR, dst=warped, borderMode=cv2.BORDER_REPLICATE)
    for levels, mask, warped in (
        (end, motion.entering, start),
        (start, motion.leaving, end),
        (before.levels, motion.unexplained, start),
        (after.levels, motion.unexplained, end),
    ):
        cv2.copyTo(levels, mask, warped)
    low, high = work.bounds
    cv2.add(cv2.max(start, end, dst=low), motion.doubt, dst=low)
    cv2.min(low, cv2.min(last, after.levels, dst=work.scratch), dst=low)
    cv2.subtract(cv2.min(start, end, dst=high), motion.doubt, dst=high)
    cv2.max(high, cv2.max(last, after.levels, dst=work.scratch), dst=high)
    level = cv2.addWeighted(start, 1 - t, end, t, 0)
    return _image(cv2.min(cv2.max(level, low, dst=level), high, dst=level))
