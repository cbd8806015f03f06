"""More frames between those of a video, moved along the optical flow, so that moving edges fire at the right time.

Between two frames of ordinary video a pixel's level does not move on a straight line: an edge passes it at one moment.
The flow from each frame to the other (DIS: Kroeger et al. 2016) says when. At the time t between the frames, 0 to 1,
a pixel at x is taken to move by D = (1 - t) F01(x) - t F10(x) in the interval, and its level to be

    (1 - t) L0(x - t D) + t L1(x + (1 - t) D),

which is Super SloMo's approximation of the intermediate flows, F_t0 = -t D and F_t1 = (1 - t) D (Jiang et al. 2018,
equation 4). The levels are interpolated, not the codes, and the straight lines between these frames are the
simulator's.

But a level moves in one direction only, from L0(x) to L1(x), unless both frames say otherwise: where both terms lie
beyond that range, the level follows the nearer of them, less the doubt there. The doubt is how far the two frames'
levels differ that meet half way, and 0.02 per pixel that their flows differ, less what rounding amounts to. So a bright
line that passes fires its events, and where an occlusion or a wrong flow makes the frames differ, a pixel fires those
that a straight line would, no others, at the times of the motion.

Doubt is decided once per pair of frames, so that a pixel does not change sides from step to step, and with it:

- A path that begins or ends outside the picture has the level of the frame that sees it.
- Where the flow explains none of the change (a light that goes on, blur), the level takes the straight line.
- So in most of the picture: a scene cut, and no frames are put between.
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

MOST_STEPS = 32  # per pair of frames under `auto`
AUTO_PERCENTILE = 95  # of the flow's length, that the fastest hundreds of pixels, often wrong ones, do not decide
SMALLEST_CHANGE = 0.05  # of the level, a quarter of the usual threshold: below it a pixel counts as still
SLOWEST_PX = 1.5  # per pair under `auto`: below it rounding to 8 bits moves levels more than motion off a straight line
# What the doubt about a level holds besides the mismatch: so much of the level per pixel between the two flows, less
# what rounding and turning amount to. More granted: more false events; less: more missed ones.
DOUBT_PER_PX = 0.02
GRANTED = 0.06
LARGEST_MISMATCH = 0.15  # of the level, between the two frames half way; a cut or a light shows far more
UNEXPLAINED = 0.9  # share of a pixel's own change that remains as mismatch
CUT_SHARE = 0.5  # of changed pixels that mismatch; 0.15 where six objects pass by at 20 px per frame, 0.9 at a cut
# Cubic convolution half way between two pixels (Keys 1981), a = -1: sharper than the usual -0.5, to make up for the
# bilinear warp after it. Past its two neighbours a value goes by LARGEST_OVERSHOOT at most: more rings at hard edges,
# and false events fire; none at all flattens peaks, and more true events go missing.
HALFWAY = (-0.125, 0.625, 0.625, -0.125)
LARGEST_OVERSHOOT = 0.004  # of the level
FINEST_SCALE = 1  # of the flow, half the width and height; a quarter is 2 ms faster, and every error 1.3 times as large
SEVERAL_SCALES_PX = 91  # of width or height, from which on DIS searches more than that one: 32 * 2 ** 1.5
PATCH_STRIDE_PX = 5  # of the flow; the preset's 4 cost 2 ms more and are little better
SPACING_PX = 2  # of the pixels at which the flow is judged: a quarter of the cost, and the flow is smooth
JUDGED_AREA = (3, 3)  # of those pixels: the least that chance agreements do not pass
SMALLEST_SIDE_PX = 16  # twice that of DIS's patches; it refuses pictures much smaller


def upsample(frames: Iterable[Frame], factor: int | Literal["auto"], *, config: SimulatorConfig) -> Iterator[Frame]:
    """The frames as levels, with motion-compensated ones between them; two source frames are held at a time.

    Args:
        frames: Frames in the order of their times.
        factor: Steps per pair of frames, 1 for none between; or `auto`: as many, up to 32, as keep the motion of 95 %
            of the changed pixels at one pixel per step; none between where it is below 1.5 pixels.
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
        """The levels at half the spacing, [2H, 2W], by cubic convolution.

        Bilinear warps of these are as sharp as cubic warps of the levels and cost little more than bilinear ones of
        them, which blur: 2 % instead of 1 % of the events of a textured scene go missing.
        """
        even, odd = (_with_halfway_columns(rows) for rows in (self.levels, _halfway(self.levels, axis=0)))
        return np.stack([even, odd], axis=1).reshape(2 * even.shape[0], even.shape[1])


@dataclass(frozen=True)
class _Motion:
    """What happens between two frames.

    Args:
        forward: Flow from the earlier frame to the later one, [H, W, 2] in pixels: F01.
        disagreement: How it differs from that back, reversed: F01 + F10.
        doubt: How much less far a level leaves the range of its straight line than both frames show, [H, W].
        entering: uint8 [H, W], 1 where the path begins outside the picture.
        leaving: And where it ends there.
        unexplained: And where the level moves on a straight line.
        steps: Of equal length, 2 or more.
    """

    forward: Image
    disagreement: Image
    doubt: Image
    entering: Mask
    leaving: Mask
    unexplained: Mask
    steps: int


class _Workspace:
    """Pixel coordinates and room for intermediate results, for pictures of one shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        height, width = shape
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        positions = np.dstack([columns, rows])
        self.coarse = _coarse(positions)
        self.fine = 2 * positions
        # fresh arrays of this size come from the system page by page, which costs more than the arithmetic
        self.motion, self.map = np.empty_like(positions), np.empty_like(positions)
        self.warped = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.bounds = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.scratch = np.empty(shape, np.float32)


def _image(image: Any) -> Image:
    """OpenCV's result, which has no precise type, as what it is."""
    result: Image = image
    return result


def _halfway(image: Image, axis: int) -> Image:
    """The values half way to the next row (axis 0) or column (1), [H, W]; past the last one, its own."""
    shape, anchor = ((-1, 1), (0, 1)) if axis == 0 else ((1, -1), (1, 0))
    kernel = np.array(HALFWAY, np.float32).reshape(shape)
    halfway = cv2.filter2D(image, -1, kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE)
    neighbours = np.ones((2, 1) if axis == 0 else (1, 2), np.uint8)
    low = cv2.subtract(cv2.erode(image, neighbours, anchor=(0, 0)), LARGEST_OVERSHOOT)
    high = cv2.add(cv2.dilate(image, neighbours, anchor=(0, 0)), LARGEST_OVERSHOOT)
    return _image(cv2.min(cv2.max(halfway, low), high))


def _with_halfway_columns(image: Image) -> Image:
    """The columns and those half way to the next, in turn, [H, 2W]."""
    return _image(cv2.merge([image, _halfway(image, axis=1)])).reshape(image.shape[0], -1)


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
    return _judged(work, before, after, forward, backward, change, steps)


def _judged(
    work: _Workspace, before: _Source, after: _Source, forward: Image, backward: Image, change: Image, steps: int
) -> _Motion | None:
    """The motion and how far to trust it, or None at a scene cut; `forward` is taken over and corrected."""
    disagreement = _image(cv2.add(forward, backward))
    apart = _coarse(disagreement)
    apart_px = cv2.magnitude(*cv2.split(apart))
    motion = cv2.scaleAdd(apart, -0.5, _coarse(forward))
    entering, leaving = (_outside(cv2.scaleAdd(motion, way, work.coarse), work.shape) for way in (-1, 1))
    mismatch = _mismatch(work, before, after, motion, 0.5 - 0.5 * entering + 0.5 * leaving)
    doubtful = mismatch > LARGEST_MISMATCH
    if np.mean(doubtful[change > SMALLEST_CHANGE]) > CUT_SHARE:
        return None
    unexplained = (doubtful & (mismatch > UNEXPLAINED * cv2.blur(change, JUDGED_AREA))).astype(np.uint8)
    doubt = cv2.blur(mismatch, JUDGED_AREA) + DOUBT_PER_PX * apart_px - GRANTED
    entering, leaving, unexplained = (_full(where, work.shape) for where in (entering, leaving, unexplained))
    # the frame that sees both ends of such a path knows its motion: F01 if it enters, -F10 if it leaves
    cv2.subtract(forward, disagreement, dst=forward, mask=leaving)
    cv2.subtract(disagreement, disagreement, dst=disagreement, mask=cv2.max(entering, leaving))
    return _Motion(forward, disagreement, _full(doubt, work.shape), entering, leaving, unexplained, steps)


def _flow(flow: Any, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> Image:
    # DIS would search small pictures at one scale alone; refused that, it takes more scales, finer ones, of its own.
    # Set every time, because it then keeps those and would answer the same question differently
    flow.setFinestScale(FINEST_SCALE if max(earlier.shape) >= SEVERAL_SCALES_PX else FINEST_SCALE + 1)
    return _image(flow.calc(earlier, later, None))


def _steps_of(flow: Image) -> int:
    """Steps that keep most of the flow [N, 2] near one pixel per step."""
    fastest_px = np.percentile(np.linalg.norm(flow, axis=1), AUTO_PERCENTILE)
    return 1 if fastest_px < SLOWEST_PX else int(min(MOST_STEPS, np.ceil(fastest_px)))


def _outside(positions: Any, shape: tuple[int, ...]) -> Mask:
    """1 where the positions [H / 2, W / 2, 2] are none of the picture's."""
    height, width = shape
    return np.asarray(cv2.inRange(positions, (0, 0), (width - 1, height - 1)) == 0).astype(np.uint8)


def _coarse(image: Any) -> Any:
    """Every SPACING_PX-th row and column; at odd sizes the last may be left out."""
    return cv2.resize(image, None, fx=1 / SPACING_PX, fy=1 / SPACING_PX, interpolation=cv2.INTER_NEAREST)


def _full(coarse: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The coarse values at every pixel."""
    full: NDArray[Any] = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return full


def _greys(*levels: Image) -> list[NDArray[np.uint8]]:
    """The levels in the 8 bits that the flow is computed on, on one scale."""
    lowest = float(min(level.min() for level in levels))
    highest = float(max(level.max() for level in levels))
    scale = 255 / max(highest - lowest, 1e-6)
    return [np.asarray(cv2.convertScaleAbs(level - np.float32(lowest), alpha=scale)) for level in levels]


def _mismatch(work: _Workspace, before: _Source, after: _Source, motion: Any, times: NDArray[np.float64]) -> Image:
    """How far the levels of the two frames differ that meet at the shares `times` of the interval, [H / 2, W / 2].

    Half way, but for paths from outside the picture, which are judged at t = 0, and paths that leave it: at t = 1.
    """
    t = times.astype(np.float32)
    start = cv2.subtract(work.coarse, cv2.multiply(motion, cv2.merge([t, t])))
    levels = (
        cv2.remap(source.levels, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for source, positions in ((before, start), (after, cv2.add(start, motion)))
    )
    return _image(cv2.blur(cv2.absdiff(*levels), JUDGED_AREA))


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
