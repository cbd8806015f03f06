"""Temporal upsampling: interpolate pixel levels along the motion between two frames, for accurate event times.

Between two frames of ordinary video, the level of a pixel does not follow a straight line: an edge passes at one
moment. Optical flow between the frames (DIS: Kroeger et al. 2016) determines this moment. At the time t between the
frames, 0 to 1, a pixel at x is assumed to move by D = (1 - t) F01(x) - t F10(x) in the interval. Its level is

    (1 - t) L0(x - t D) + t L1(x + (1 - t) D).

This is Super SloMo's approximation of the intermediate flows, F_t0 = -t D and F_t1 = (1 - t) D (Jiang et al. 2018,
equation 4). Levels are interpolated, not codes. Between interpolation steps, the simulator uses straight lines.

A level changes only in one direction, from L0(x) to L1(x), unless both frames show otherwise: if both terms are outside
this range, the level follows the nearer term, reduced by a doubt. The doubt is the difference of the two frames' levels
at the middle of the path, plus 0.02 per pixel of difference between the flows, less an allowance for rounding. A
passing bright line therefore fires its events. Where an occlusion or a wrong flow makes the frames differ, a pixel
fires the same events as with a straight line, but at the times of the motion.

The doubt is computed once per pair of frames, to keep a pixel from switching between steps. At the same time:

- A path that begins or ends outside the picture takes the level of the frame that shows it.
- If the flow explains none of the change (a light is switched on, blur), the level follows a straight line.
- If this is the case in most of the picture, it is a scene cut, and all levels follow straight lines.

The cost is proportional to the moving area. Flow is computed at half the width and height. A tile of the picture is
interpolated if something changes within the reach of its motion, with as many steps as the motion has pixels; `paths`
has the loops. Everything else follows straight lines, as without upsampling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..video.opencv import cv2
from .paths import (
    BLOCK_PX,
    ENTERING,
    LEAVING,
    TILE_PX,
    UNEXPLAINED,
    Paths,
    Picture,
    find_extremes,
    reach_of_tiles,
    refine,
    spread_tiles,
)

LevelImage = NDArray[np.float32]
Mask = NDArray[np.uint8]
Factor = int | Literal["off", "auto"]
"""Interpolation steps per pair of frames; `auto`: chosen from the motion; `off`: straight lines."""

MAX_STEPS = 32  # maximum steps per pair of frames with `auto`
STEPS_PER_PX = 1.4  # steps per pixel of a tile's longest flow with `auto`; with 1, times are up to 6 % less accurate
AUTO_PERCENTILE = 95  # flow length used by `auto`; ignores the fastest few hundred pixels, often wrong
MARGIN = 1.15  # maximum number of steps / flow length in pixels at this percentile
MIN_CHANGE = 0.05  # smaller level changes count as still; a quarter of the default threshold
SLOWEST_PX = 1.5  # minimum flow per pair with `auto`: below, 8-bit rounding changes levels more than interpolation
STILL_FLOW_PX = 0.5  # tiles with less flow per pair follow straight lines with `auto`
# Terms of the doubt besides the mismatch: per pixel of difference between the two flows, and an allowance for rounding
# and rotation. A larger allowance causes more false events; a smaller one, more missed events.
DOUBT_PER_PX = 0.02
ALLOWANCE = 0.06
MAX_MISMATCH = 0.15  # level difference of the frames at the middle of the path; far more at a cut or change of light
UNEXPLAINED_SHARE = 0.9  # the flow explains nothing if mismatch / change of a pixel is larger
CUT_SHARE = 0.5  # share of changed pixels with mismatch; 0.15 for six objects moving 20 px per frame, 0.9 at a cut
QUARTER_FROM_PX = 512  # from this width or height on, flow is computed at a quarter of the resolution
SEVERAL_SCALES_PX = 91  # from this width or height on, DIS uses several scales at half resolution: 32 * 2 ** 1.5
PATCH_STRIDE_PX = 5  # DIS patch stride; 4, as in the preset, costs more and is hardly better
CHECKED_AREA = (3, 3)  # cells averaged; the smallest area that avoids coincidental agreement
MIN_SIDE_PX = 16  # twice the DIS patch size; DIS rejects much smaller pictures

MapPair = Callable[[Callable[[int], LevelImage]], tuple[LevelImage, LevelImage]]


class Upsampler:
    """Motion estimator for pairs of frames of one size, with its work space.

    Args:
        factor: Interpolation steps per pair of frames in moving areas. `auto`: up to 32 steps, 1.4 per pixel of the
            motion of each tile, and straight lines if the motion is below 1.5 pixels.
        shape: Rows and columns of the frames.
    """

    def __init__(self, factor: int | Literal["auto"], shape: tuple[int, int]) -> None:
        self._factor = factor
        self.shape = shape
        height, width = shape
        self._cell_px = cell_px = 4 if max(shape) >= QUARTER_FROM_PX else 2

        # An object for each direction: both flows may be computed in two threads.
        self._flows = tuple(cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST) for _ in range(2))
        for flow in self._flows:
            flow.setPatchStride(PATCH_STRIDE_PX)

        columns, rows = np.meshgrid(
            np.arange(0, width // cell_px * cell_px, cell_px, dtype=np.float32),
            np.arange(0, height // cell_px * cell_px, cell_px, dtype=np.float32),
        )
        self._positions = np.dstack([columns, rows])

        # kept: allocating arrays of this size page by page costs more than the arithmetic
        self._before = _make_picture(height, width)
        self._after = _make_picture(height, width)
        self._latest: LevelImage | None = None  # levels of `_after`
        self._refined = np.zeros([-(-side // TILE_PX) for side in shape], np.bool_)  # complete tiles of `_after`

    def paths(self, before: LevelImage, after: LevelImage, interval_us: int, map_pair: MapPair) -> Paths | None:
        """Estimate the paths between two frames; None if all levels follow straight lines.

        Args:
            before: Levels of the earlier frame, float32 [H, W].
            after: Levels of the later frame, float32 [H, W].
            interval_us: Time between the frames in microseconds; also the maximum number of steps.
            map_pair: Function that calls its argument with 0 and 1, possibly in two threads, and returns both results.

        Returns:
            Paths; the next call overwrites their pictures.
        """
        if interval_us < 2 or min(self.shape) < MIN_SIDE_PX:
            return None

        # Return before the expensive parts if nothing changes or moves.
        change = cv2.absdiff(self._sample_cells(before), self._sample_cells(after))
        changed = change > MIN_CHANGE
        if not changed.any():
            return None

        greys = self._grey_pair(before, after)
        forward, backward = map_pair(lambda way: self._flow(way, greys[way], greys[1 - way]))
        reach = np.empty(self._refined.shape, np.float32)
        reach_of_tiles(forward, backward, self._cell_px, reach)

        steps = self._count_steps(forward, changed, reach, interval_us)
        moving = steps > 1
        if not moving.any():
            return None

        checked = self._check_paths(before, after, forward, backward, change)
        if checked is None:
            return None

        # Paths lead to tiles around the moving ones; one pixel more, as interpolation needs the neighbours.
        self._refine(before, after, spread_tiles(moving, reach + 1, True))
        return Paths(*checked, steps, (0,) * self._cell_px, self._before, self._after)

    def _refine(self, before: LevelImage, after: LevelImage, tiles: NDArray[np.bool_]) -> None:
        """Complete some tiles of both pictures; tiles of the earlier frame are reused from the previous pair."""
        if self._latest is None or not np.array_equal(before, self._latest):
            self._refined[:] = False
        self._before, self._after = self._after, self._before

        missing = tiles & ~self._refined
        refine(before, missing, self._before.fine)
        find_extremes(before, missing, self._before.extremes)
        refine(after, tiles, self._after.fine)
        find_extremes(after, tiles, self._after.extremes)

        self._latest = after
        self._refined = tiles

    def _grey_pair(self, *levels: LevelImage) -> list[NDArray[np.uint8]]:
        """Convert levels to 8-bit images on a common scale for the flow, at half resolution unless they are small."""
        # Pixels of partial cells at the right and bottom have no flow.
        height, width = (side // self._cell_px * self._cell_px for side in self.shape)
        pictures = [level[:height, :width] for level in levels]
        if max(self.shape) >= SEVERAL_SCALES_PX:
            half = width // 2, height // 2
            pictures = [np.asarray(cv2.resize(level, half, interpolation=cv2.INTER_AREA)) for level in pictures]

        lowest = min(float(picture.min()) for picture in pictures)
        highest = max(float(picture.max()) for picture in pictures)
        scale = 255 / max(highest - lowest, 1e-6)
        return [np.asarray(cv2.convertScaleAbs(picture - np.float32(lowest), alpha=scale)) for picture in pictures]

    def _flow(self, way: int, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> LevelImage:
        """Compute the flow between two grey images, per cell, in pixels of the frame."""
        small = max(self.shape) < SEVERAL_SCALES_PX
        quarter = self._cell_px == 4

        # set for each call: for a picture too small for a scale, DIS chooses another scale and keeps it
        self._flows[way].setFinestScale(2 if small else int(quarter))
        flow = np.asarray(self._flows[way].calc(earlier, later, None))

        # The flow has a value per pixel of its image: take one per cell, and convert it to pixels of the frame.
        if small or quarter:
            flow = np.ascontiguousarray(flow[::2, ::2])
        return flow if small else flow * np.float32(2)

    def _count_steps(
        self, forward: LevelImage, changed: NDArray[np.bool_], reach: LevelImage, interval_us: int
    ) -> NDArray[np.uint16]:
        """Return the number of steps per tile; 1 for tiles that do not move or have no change within reach."""
        # Tiles with a change within the reach of their motion.
        tiles = np.zeros(reach.shape, np.bool_)
        rows, columns = np.nonzero(changed)
        side = TILE_PX // self._cell_px
        tiles[rows // side, columns // side] = True
        tiles = spread_tiles(tiles, reach, False)

        steps: NDArray[Any]
        if self._factor == "auto":
            fastest_px = float(np.percentile(np.linalg.norm(forward[changed], axis=1), AUTO_PERCENTILE))
            max_steps = min(MAX_STEPS, np.ceil(MARGIN * fastest_px)) if fastest_px >= SLOWEST_PX else 1
            wanted = np.maximum(np.ceil(reach * STEPS_PER_PX), 2)
            steps = np.where(reach < STILL_FLOW_PX, 1, np.minimum(wanted, max_steps))
        else:
            steps = np.full(reach.shape, self._factor)

        # A step has a microsecond or more.
        return np.where(tiles, np.minimum(steps, interval_us), 1).astype(np.uint16)

    def _check_paths(
        self, before: LevelImage, after: LevelImage, forward: LevelImage, backward: LevelImage, change: LevelImage
    ) -> tuple[LevelImage, LevelImage, LevelImage, Mask] | None:
        """Return the motion, disagreement, doubt and kind of the paths; None at a scene cut."""
        # If both flows agree, F01 + F10 is 0; halfway, the motion of a path is the mean of F01 and -F10.
        apart = np.asarray(cv2.add(forward, backward))
        apart_px = cv2.magnitude(*cv2.split(apart))
        motion = cv2.scaleAdd(apart, -0.5, forward)
        entering = self._outside(cv2.scaleAdd(motion, -1, self._positions))
        leaving = self._outside(cv2.scaleAdd(motion, 1, self._positions))

        compared_at = 0.5 - 0.5 * entering + 0.5 * leaving
        mismatch = self._mismatch(before, after, motion, compared_at)
        doubtful = mismatch > MAX_MISMATCH
        if np.mean(doubtful[change > MIN_CHANGE]) > CUT_SHARE:
            return None

        unexplained = doubtful & (mismatch > UNEXPLAINED_SHARE * cv2.blur(change, CHECKED_AREA))
        doubt = cv2.blur(mismatch, CHECKED_AREA) + DOUBT_PER_PX * apart_px - ALLOWANCE

        # only one frame shows both ends of such a path: use F01 if it enters, -F10 if it leaves
        forward = cv2.subtract(forward, apart, dst=forward.copy(), mask=leaving)
        apart[(entering | leaving) > 0] = 0

        kind = ENTERING * entering + LEAVING * leaving + np.uint8(UNEXPLAINED) * unexplained
        return np.asarray(forward), apart, np.asarray(doubt, np.float32), kind.astype(np.uint8)

    def _outside(self, positions: Any) -> Mask:
        """Return 1 for positions [H / cell, W / cell, 2] outside the picture, otherwise 0."""
        height, width = self.shape
        inside = cv2.inRange(positions, (0, 0), (width - 1, height - 1))
        return np.asarray(inside == 0).astype(np.uint8)

    def _mismatch(self, before: LevelImage, after: LevelImage, motion: Any, times: NDArray[np.float64]) -> LevelImage:
        """Return the level difference of the two frames on the paths at `times`, [H / cell, W / cell].

        Times are fractions of the interval: 0 for paths that enter the picture, 1 for paths that leave it, else 0.5.
        """
        t = times.astype(np.float32)
        start = cv2.subtract(self._positions, cv2.multiply(motion, cv2.merge([t, t])))

        end = cv2.add(start, motion)
        first = cv2.remap(before, start, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        second = cv2.remap(after, end, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.blur(cv2.absdiff(first, second), CHECKED_AREA))

    def _sample_cells(self, levels: LevelImage) -> Any:
        """Return the level of the first pixel of each cell, [H / cell, W / cell]."""
        # Partial cells at the right and bottom have no entry.
        height, width = self.shape
        cell_px = self._cell_px
        stop_row = height // cell_px * cell_px
        stop_column = width // cell_px * cell_px
        return levels[:stop_row:cell_px, :stop_column:cell_px].copy()


def _make_picture(height: int, width: int) -> Picture:
    """Return a picture without any levels."""
    rows = -(-height // BLOCK_PX)
    columns = -(-width // BLOCK_PX)
    return Picture(np.empty((2, 2, height, width), np.float32), np.empty((2, rows, columns), np.float32))
