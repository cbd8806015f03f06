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
interpolated if something changes within the reach of its motion, with as many steps as the motion has pixels.
Everything else follows straight lines, as without upsampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from ..video.opencv import cv2

Picture = NDArray[np.float32]
Factor = int | Literal["off", "auto"]
"""Interpolation steps per pair of frames; `auto`: chosen from the motion; `off`: straight lines."""

MAX_UPSAMPLING = 256
MAX_STEPS = 32  # maximum steps per pair of frames with `auto`
AUTO_PERCENTILE = 95  # flow length used by `auto`; ignores the fastest few hundred pixels, often wrong
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
TILE_PX = 16  # side of a tile: the unit that has its own number of steps
ROW_PX = 1024  # moving pixels are listed in rows: a picture of OpenCV has at most 32,767 columns
PART_PX = 1 << 15  # moving pixels interpolated together: their arrays stay in the cache


@dataclass(frozen=True)
class _Paths:
    """Paths between two frames, per cell of 2 x 2 or 4 x 4 pixels.

    Args:
        forward: F01, flow from the earlier to the later frame in pixels, [H / cell, W / cell, 2].
        apart: F01 + F10, difference from the reversed backward flow, [H / cell, W / cell, 2].
        doubt: Reduction of the distance by which a level leaves the range of its straight line, [H / cell, W / cell].
        entering: Whether the path begins outside the picture, [H / cell, W / cell].
        leaving: Whether it ends outside the picture.
    """

    forward: Picture
    apart: Picture
    doubt: Picture
    entering: NDArray[np.bool_]
    leaving: NDArray[np.bool_]

    def select(self, cells: NDArray[np.int64]) -> _Paths:
        """Return the paths of the cells with some numbers."""
        flat = (values.reshape(-1, *values.shape[2:]) for values in vars(self).values())
        return _Paths(*(values.take(cells, axis=0) for values in flat))


@dataclass(frozen=True)
class MovingPixels:
    """Moving pixels that have the same number of steps between two frames.

    Args:
        steps: Number of equal steps.
        pixels: Numbers of the pixels in the picture, [M].
        positions: Column and row of the pixels, [rows, ROW_PX, 2]; the last row repeats pixels.
        paths: Paths of the pixels instead of the cells, [rows, ROW_PX].
        before: Levels of the earlier frame, [H, W].
        after: Levels of the later frame, [H, W].
    """

    steps: int
    pixels: NDArray[np.int64]
    positions: NDArray[np.int32]
    paths: _Paths
    before: Picture
    after: Picture

    def levels(self, length_us: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield the time at the end of each step but the last, and the levels of the pixels there, [M]."""
        paths = self.paths
        positions = self.positions.astype(np.float32)
        last = _sample(self.before, positions)
        end = _sample(self.after, positions)

        for step in range(1, self.steps):
            until_us = (2 * step * length_us + self.steps) // (2 * self.steps)  # rounded
            t = until_us / length_us
            shift = cv2.scaleAdd(paths.apart, -t, paths.forward)
            first = _sample(self.before, cv2.scaleAdd(shift, -t, positions))
            second = _sample(self.after, cv2.scaleAdd(shift, 1 - t, positions))

            # Only one frame shows the level of a path that begins or ends outside the picture.
            np.copyto(first, second, where=paths.entering)
            np.copyto(second, first, where=paths.leaving)

            _combine(first, second, np.float32(t), paths.doubt, end, last)
            yield until_us, last.ravel()[: self.pixels.size].astype(np.float64)


@njit(cache=True)
def _combine(first: Picture, second: Picture, t: np.float32, doubt: Picture, end: Picture, last: Picture) -> None:
    """Replace the levels `last` of the previous step by those at the time t, from the terms of both frames."""
    # A level stays between `last` and `end`, those of its straight line, unless both frames are beyond them.
    for row in range(last.shape[0]):
        for k in range(last.shape[1]):
            one = first[row, k]
            other = second[row, k]
            least = min(max(one, other) + doubt[row, k], min(last[row, k], end[row, k]))
            most = max(min(one, other) - doubt[row, k], max(last[row, k], end[row, k]))
            last[row, k] = min(max(one + t * (other - one), least), most)


def find_motion(before: Picture, after: Picture, factor: int | Literal["auto"], interval_us: int) -> list[MovingPixels]:
    """Find the moving pixels between two frames; all other levels follow straight lines.

    Args:
        before: Levels of the earlier frame, float32 [H, W].
        after: Levels of the later frame, float32 [H, W].
        factor: Interpolation steps per pair of frames in moving areas. `auto`: up to 32 steps, the power of two at or
            above the motion of each tile in pixels, and straight lines if the motion is below 1.5 pixels.
        interval_us: Time between the frames in microseconds; also the maximum number of steps.
    """
    shape = before.shape
    if interval_us < 2 or min(shape) < MIN_SIDE_PX:
        return []

    # Return before the expensive parts if nothing changes or moves.
    cell_px = 4 if max(shape) >= QUARTER_FROM_PX else 2
    change = cv2.absdiff(_sample_cells(before, cell_px), _sample_cells(after, cell_px))
    changed = change > MIN_CHANGE
    if not changed.any():
        return []

    greys = _make_greys(before, after, cell_px)
    small = max(shape) < SEVERAL_SCALES_PX
    forward = _find_flow(greys[0], greys[1], cell_px, small)
    backward = _find_flow(greys[1], greys[0], cell_px, small)
    steps = np.minimum(_count_steps(forward, backward, changed, cell_px, factor), interval_us)
    if steps.max() < 2:
        return []

    paths, explained = _find_paths(before, after, forward, backward, change)
    if not explained.any():
        return []

    # Spread the cells over the pixels; partial cells at the edges move like the last complete cell.
    side = TILE_PX // cell_px
    height, width = change.shape
    steps = steps.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    steps = np.where(explained, steps, 1).astype(np.uint16)
    rows = np.minimum(np.arange(shape[0]) // cell_px, height - 1)
    columns = np.minimum(np.arange(shape[1]) // cell_px, width - 1)
    steps_of_pixels = steps[rows].take(columns, axis=1)

    motions = []
    for count in np.unique(steps[steps > 1]):
        complete = np.flatnonzero(steps_of_pixels == count)
        for pixels in np.array_split(complete, -(-complete.size // PART_PX)):
            y, x = np.divmod(_in_rows(pixels), shape[1])
            cells = rows[y] * width + columns[x]
            motions.append(MovingPixels(int(count), pixels, np.dstack([x, y]), paths.select(cells), before, after))
    return motions


def _in_rows(numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """Arrange numbers in rows; the last row is filled with the first numbers."""
    return np.resize(numbers.astype(np.int32), (-(-numbers.size // ROW_PX), ROW_PX))


def _sample(picture: Picture, positions: Picture) -> Picture:
    """Interpolate a picture at positions (x, y) [..., 2]; positions outside have the level of the edge."""
    return np.asarray(cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _sample_cells(levels: Picture, cell_px: int) -> Picture:
    """Return the level of the first pixel of each complete cell, [H / cell, W / cell]."""
    height, width = (side // cell_px * cell_px for side in levels.shape)
    return levels[:height:cell_px, :width:cell_px].copy()


def _make_greys(before: Picture, after: Picture, cell_px: int) -> list[NDArray[np.uint8]]:
    """Convert levels to 8-bit images on a common scale for the flow, at half resolution unless they are small."""
    # Pixels of partial cells at the right and bottom have no flow.
    height, width = (side // cell_px * cell_px for side in before.shape)
    pictures = [levels[:height, :width] for levels in (before, after)]
    if max(before.shape) >= SEVERAL_SCALES_PX:
        half = width // 2, height // 2
        pictures = [np.asarray(cv2.resize(levels, half, interpolation=cv2.INTER_AREA)) for levels in pictures]

    lowest = min(float(picture.min()) for picture in pictures)
    highest = max(float(picture.max()) for picture in pictures)
    scale = 255 / max(highest - lowest, 1e-6)
    return [np.asarray(cv2.convertScaleAbs(picture - np.float32(lowest), alpha=scale)) for picture in pictures]


def _find_flow(earlier: NDArray[np.uint8], later: NDArray[np.uint8], cell_px: int, small: bool) -> Picture:
    """Return the flow between two grey images, per cell, in pixels of the frame."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    dis.setPatchStride(PATCH_STRIDE_PX)
    dis.setFinestScale(2 if small else int(cell_px == 4))
    flow = np.asarray(dis.calc(earlier, later, None))

    # The flow has a value per pixel of its image: take one per cell, and convert it to pixels of the frame.
    if small or cell_px == 4:
        flow = np.ascontiguousarray(flow[::2, ::2])
    return flow if small else flow * np.float32(2)


def _count_steps(
    forward: Picture, backward: Picture, changed: NDArray[np.bool_], cell_px: int, factor: int | Literal["auto"]
) -> NDArray[np.int64]:
    """Return the number of steps per tile; 1 for tiles that do not move or have no change within reach."""
    side = TILE_PX // cell_px
    lengths_px = _lengths(forward)
    reach_px = _tile_maxima(np.maximum(lengths_px, _lengths(backward)), side)

    # A tile has a change within reach if the square around it that its longest flow can touch, in tiles, has one.
    changes = _tile_maxima(changed.astype(np.uint8), side)
    radii = np.ceil(reach_px / TILE_PX).astype(np.int64)
    reached = np.zeros(radii.shape, np.bool_)
    for radius in np.unique(radii):
        around = cv2.dilate(changes, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
        reached |= (radii == radius) & (around > 0)
    if factor != "auto":
        return np.where(reached, factor, 1)

    fastest_px = float(np.percentile(lengths_px[changed], AUTO_PERCENTILE))
    if fastest_px < SLOWEST_PX:
        return np.ones(radii.shape, np.int64)
    wanted = np.exp2(np.ceil(np.log2(np.clip(reach_px, 2, max(fastest_px, 2)))))
    return np.where(reached & (reach_px >= STILL_FLOW_PX), np.minimum(wanted, MAX_STEPS), 1).astype(np.int64)


def _lengths(vectors: Picture) -> Picture:
    return np.asarray(cv2.magnitude(*cv2.split(vectors)))


def _tile_maxima(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the maximum of each tile of side x side cells."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % side), (0, -width % side)))
    tiles = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side)
    return np.asarray(tiles.max(axis=(1, 3)))


def _find_paths(
    before: Picture, after: Picture, forward: Picture, backward: Picture, change: Picture
) -> tuple[_Paths, NDArray[np.bool_]]:
    """Return the paths of the cells, and whether they explain the change: nowhere at a scene cut."""
    cell_px = round(before.shape[0] / change.shape[0])
    rows, columns = np.indices(change.shape) * cell_px
    positions = np.dstack([columns, rows]).astype(np.float32)

    # If both flows agree, F01 + F10 is 0; halfway, the motion of a path is the mean of F01 and -F10.
    apart = forward + backward
    motion = forward - np.float32(0.5) * apart
    entering = _are_outside(positions - motion, before.shape)
    leaving = _are_outside(positions + motion, before.shape)

    # Compare the frames halfway, or where the only frame is that shows the path.
    compared_at = (0.5 - 0.5 * entering + 0.5 * leaving).astype(np.float32)[..., None]
    start = positions - compared_at * motion
    mismatch = cv2.blur(cv2.absdiff(_sample(before, start), _sample(after, start + motion)), CHECKED_AREA)
    doubtful = mismatch > MAX_MISMATCH
    explained = ~(doubtful & (mismatch > UNEXPLAINED_SHARE * cv2.blur(change, CHECKED_AREA)))
    if np.mean(doubtful[change > MIN_CHANGE]) > CUT_SHARE:
        explained[:] = False
    doubt = cv2.blur(mismatch, CHECKED_AREA) + DOUBT_PER_PX * _lengths(apart) - ALLOWANCE

    # Only one frame shows both ends of such a path: use F01 if it enters, -F10 if it leaves.
    forward = np.where(leaving[..., None], forward - apart, forward)
    apart = np.where((entering | leaving)[..., None], np.float32(0), apart)
    return _Paths(forward, apart, doubt.astype(np.float32), entering, leaving), explained


def _are_outside(positions: Picture, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return whether positions (x, y) [..., 2] are outside a picture of `shape`."""
    limits = np.array([shape[1] - 1, shape[0] - 1])
    return np.asarray(((positions < 0) | (positions > limits)).any(axis=-1))
