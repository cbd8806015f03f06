"""Render poses with compiled loops: paint layers and limbs over the wall, the farthest first.

Edges are antialiased by distance: they can move by fractions of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from ..video.opencv import cv2
from .bodies import (
    TEXEL_M,
    TEXELS,
    Limbs,
    build_limbs,
    layer_maps,
    paint_head,
    paint_torso,
    shadows,
    textures,
    torso_pull,
)
from .people import Floats, Person, Pose, rest_body
from .scenes import Scene

PIXELS_AT_ONCE = 8 * 128 * 128  # pixels painted together while in the cache
MOMENTS_AT_ONCE = 512  # times whose limbs are built together; bounds the memory
EDGE_PX = 0.5  # width of an edge before lens blur; the photodiode of a DVS128 covers a tenth of its pixel
PULL_PX = 6  # upper bound of the pull on a shirt
LEVEL = 1e-3  # lines with a smaller component count as parallel to an axis
TEXELS_PER_M = 1 / TEXEL_M
TEXEL_MASK = TEXELS - 1  # TEXELS is a power of 2
FASTMATH = {"contract", "nsz"}  # allows fused multiply-add
BLUR_PX = 2  # reach of the lens blur
SHADE = 0.6  # fraction of direct light blocked by a shadow


_Box = tuple[int, int, int, int]
"""Box in a picture: first column, last column + 1, first row, last row + 1."""


def render(person: Person, scene: Scene, pose: Pose, t_s: Floats) -> Iterator[NDArray[np.uint16]]:
    """Render one picture per time of the pose: uint16 [H, W], proportional to light, 65535 = white."""
    # The person's surface and the light are constant: paint them once, and only move them from picture to picture.
    rest = rest_body(person)
    torso = paint_torso(person, scene)
    head = paint_head(person, scene)
    tiles = textures(person)

    strength = scene.light.level * scene.light.strength(t_s)
    shares, pull = torso_pull(scene, pose)
    shade = SHADE * (1 - scene.light.ambient)

    # Paint several pictures together while they are in the cache, then finish each.
    at_once = max(1, PIXELS_AT_ONCE // scene.wall.size)

    along = build_limbs(person, scene, pose.at(slice(1))).along  # constant: skin does not slide
    pictures = np.tile(scene.wall, (at_once, 1, 1))
    painted: _Box = (0, 0, 0, 0)
    finish = _Finisher(scene)

    # The head is not pulled by the arms and has no shadows: it gets arrays with none of them.
    still = np.zeros((at_once, 0, 2))
    no_shadow = np.zeros((at_once, 0, 6))

    for start in range(0, len(t_s), MOMENTS_AT_ONCE):
        now = slice(start, start + MOMENTS_AT_ONCE)
        part = pose.at(now)
        limbs = build_limbs(person, scene, part)._replace(along=along)
        cast = shadows(person, scene, part)
        pulled = pull[now]
        torso_maps = layer_maps(torso, scene, rest[0], part.torso)
        head_maps = layer_maps(head, scene, rest[1], part.head)

        for first in range(0, len(cast), at_once):
            few = slice(first, first + at_once)

            # Undo only what the previous batch painted: copying the complete wall costs more memory traffic.
            pictures[:, *_inside(painted)] = scene.wall[_inside(painted)]
            canvases = pictures[: len(cast[few])]

            boxes = (
                _paint_layer(canvases, torso.cells, torso_maps[few], shares, pulled[few], cast[few], shade),
                _paint_layer(canvases, head.cells, head_maps[few], shares[:0], still, no_shadow, 0.0),
                paint_limbs(canvases, limbs.at(few), tiles, scene.light.ambient),
            )

            left, right, top, bottom = zip(*boxes, strict=True)
            painted = (min(left), max(right), min(top), max(bottom))

            for picture, light in zip(canvases, strength[now][few], strict=True):
                yield finish(picture, painted, light)


def _inside(box: _Box) -> tuple[slice, slice]:
    left, right, top, bottom = box
    return slice(top, max(bottom, top)), slice(left, max(right, left))


class _Finisher:
    """Apply lens blur and light to pictures. The wall is blurred once; pictures, only where something was painted.

    Args:
        scene: Scene of the pictures.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._wall = self._blur(scene.wall)
        self._lit_wall: tuple[float, NDArray[np.uint16]] | None = None

    def __call__(self, picture: NDArray[np.float32], painted: _Box, light: float) -> NDArray[np.uint16]:
        """Finish a picture, uint16; outside the box `painted`, it is the wall."""
        full = 65535 * light
        veil = 65535 * self._scene.light.veil

        # Steady light gives the same wall in every picture, so it is converted once.
        if self._lit_wall is None or self._lit_wall[0] != light:
            self._lit_wall = light, _quantise(self._wall, full, veil)

        finished = self._lit_wall[1].copy()

        # Pixels up to BLUR_PX outside the box change; the blur reads as far again around them.
        changed = _inside(_grow_box(painted, BLUR_PX, picture.shape))
        around = _grow_box(painted, 2 * BLUR_PX, picture.shape)
        blurred = self._blur(np.ascontiguousarray(picture[_inside(around)]))

        # Position of the changed pixels within the blurred part.
        inner = tuple(
            slice(part.start - begin, part.stop - begin)
            for part, begin in zip(changed, (around[2], around[0]), strict=True)
        )

        finished[changed] = _quantise(blurred[inner], full, veil)
        return finished

    def _blur(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        side = 2 * BLUR_PX + 1
        return np.asarray(cv2.GaussianBlur(picture, (side, side), self._scene.blur_px))


def _grow_box(box: _Box, margin: int, shape: tuple[int, ...]) -> _Box:
    left, right, top, bottom = box
    return max(left - margin, 0), min(right + margin, shape[1]), max(top - margin, 0), min(bottom + margin, shape[0])


@njit(cache=True, nogil=True, error_model="numpy")
def _quantise(picture: NDArray[Any], light: float, veil: float) -> NDArray[Any]:
    """Return veil + light * picture as uint16, clipped at 65535."""
    quantised = np.empty(picture.shape, np.uint16)
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            quantised[row, column] = np.uint16(min(veil + light * picture[row, column], 65535.0))
    return quantised


@njit(inline="always")
def _sample(tile: NDArray[Any], row: float, column: float) -> Any:
    """Sample a periodic tile with bilinear interpolation."""
    # Corner of the cell above and left of the point, and the distance from it, 0 to 1.
    i = math.floor(row)
    j = math.floor(column)
    a = row - i
    b = column - j

    # Tiles repeat: the mask wraps indices, also negative ones, because TEXELS is a power of 2.
    i0 = np.uintp(i & TEXEL_MASK)
    j0 = np.uintp(j & TEXEL_MASK)
    i1 = np.uintp((i + 1) & TEXEL_MASK)
    j1 = np.uintp((j + 1) & TEXEL_MASK)

    return (1 - a) * ((1 - b) * tile[i0, j0] + b * tile[i0, j1]) + a * ((1 - b) * tile[i1, j0] + b * tile[i1, j1])


@njit(inline="always")
def _lightness(x: float, y: float, cast: NDArray[Any], near: NDArray[Any], count: int, shade: float) -> float:
    """Return the fraction of light that shadows leave at a point; `near` lists the shadows to consider."""
    # A shadow is a line from a to b with a radius, dark inside it, and a soft edge of width 2 * soft around it.
    # cast [4, 6]: both ends, radius and softness in pixels; n counts the shadows in `near`.
    lightness = 1.0
    for n in range(count):
        ax, ay, bx, by, radius, soft = cast[near[n]]
        dx, dy = bx - ax, by - ay

        # s in [0, 1]: nearest point of the line. The small number guards against lines of length 0.
        s = min(max(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-6), 0.0), 1.0)
        across = x - ax - s * dx
        down = y - ay - s * dy
        squared = across * across + down * down

        if squared < (radius + soft) * (radius + soft):
            # From 1 inside to 0 outside, by the cubic 3 x^2 - 2 x^3. One light: the darkest shadow counts, not the sum.
            dark = min(0.5 - 0.5 * (math.sqrt(squared) - radius) / soft, 1.0)
            lightness = min(lightness, 1 - shade * dark * dark * (3 - 2 * dark))

    return lightness


@njit(inline="always")
def _layer_box(m: NDArray[Any], rows: int, columns: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the box around the moved corners of a layer, with a margin for the pull."""
    # m [2, 3] maps the picture to the layer, (column, row) = m[:, :2] @ (x, y) + m[:, 2]: invert it by Cramer's rule.
    area = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
    left = width
    right = 0
    top = height
    bottom = 0
    for row in (0, rows):
        for column in (0, columns):
            along = column - m[0, 2]
            down = row - m[1, 2]

            x = (m[1, 1] * along - m[0, 1] * down) / area
            y = (m[0, 0] * down - m[1, 0] * along) / area

            left = max(min(left, int(x) - PULL_PX), 0)
            right = min(max(right, int(x) + PULL_PX), width)
            top = max(min(top, int(y) - PULL_PX), 0)
            bottom = min(max(bottom, int(y) + PULL_PX), height)

    return left, right, top, bottom


@njit(inline="always")
def _list_shadows(cast: NDArray[Any], y: float, near: NDArray[Any]) -> int:
    """Write the indices of the shadows [4, 6] that reach the row at height y to `near`, and return their number."""
    count = 0
    for k in range(len(near)):
        reach = cast[k, 4] + cast[k, 5]

        # Without a branch: an entry that does not count is overwritten.
        near[count] = k
        count += min(cast[k, 1], cast[k, 3]) - reach < y < max(cast[k, 1], cast[k, 3]) + reach

    return count


@njit(inline="always")
def _weigh_cells(a: float, b: float) -> tuple[float, float, float, float]:
    """Return the bilinear weights of four cells around a point, a rows and b columns from the first one."""
    return (1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _paint_layer(
    pictures: NDArray[Any],
    layer: NDArray[Any],
    maps: NDArray[Any],
    shares: NDArray[Any],
    pull: NDArray[Any],
    cast: NDArray[Any],
    shade: float,
) -> _Box:
    """Paint a layer with shadows over pictures [T, H, W], moved by maps [T, 2, 3] and pulls; return the painted box.

    Indices are unsigned: signed indices cost a test for negative values at each access.
    """
    # Law, for each pixel: picture = light + (1 - cover) * picture, where light is already multiplied by cover (the
    # operator "over" of Porter and Duff, 1984). The layer is sampled with bilinear interpolation.
    # pictures [T, H, W]; layer [rows, columns, 2]: light and cover. shares [2, H, W] and pull [T, 2, 2]: how much a
    # pixel follows each arm, and the pull in pixels. cast [T, 4, 6]: shadows.
    # t: time; i, j: row and column of the picture; side: arm.
    steps, height, width = pictures.shape
    rows, columns = layer.shape[:2]
    last_row = rows - 1
    last_column = columns - 1
    one = np.uintp(1)

    near = np.empty(cast.shape[1], np.int64)
    at_column = np.empty(width)
    at_row = np.empty(width)
    box = (width, 0, height, 0)

    for t in range(steps):
        # Map of this picture, [[m00, m01, m02], [m10, m11, m12]]: from its pixels to cells of the layer.
        m00, m01, m02, m10, m11, m12 = maps[t].ravel()
        left, right, top, bottom = _layer_box(maps[t], rows, columns, height, width)
        box = (min(box[0], left), max(box[1], right), min(box[2], top), max(box[3], bottom))

        for i in range(np.uintp(top), np.uintp(bottom)):
            y0 = i + 0.5
            count = _list_shadows(cast[t], y0, near)

            # Where each pixel samples the layer, in a separate loop that the compiler vectorizes.
            for j in range(np.uintp(left), np.uintp(right)):
                x = j + 0.5
                y = y0
                for side in range(np.uintp(len(shares))):
                    x -= shares[side, i, j] * pull[t, side, 0]
                    y -= shares[side, i, j] * pull[t, side, 1]

                # The centre of cell k is at k + 0.5, but the interpolation counts from its centre.
                at_column[j] = m00 * x + m01 * y + m02 - 0.5
                at_row[j] = m10 * x + m11 * y + m12 - 0.5

            for j in range(np.uintp(left), np.uintp(right)):
                column = at_column[j]
                row = at_row[j]
                if not (0 <= column < last_column and 0 <= row < last_row):
                    continue

                i0 = np.uintp(row)
                j0 = np.uintp(column)
                i1 = i0 + one
                j1 = j0 + one
                w00, w01, w10, w11 = _weigh_cells(row - np.int64(i0), column - np.int64(j0))

                cover = (
                    w00 * layer[i0, j0, 1] + w01 * layer[i0, j1, 1] + w10 * layer[i1, j0, 1] + w11 * layer[i1, j1, 1]
                )
                if cover <= 0:
                    continue

                light = (
                    w00 * layer[i0, j0, 0] + w01 * layer[i0, j1, 0] + w10 * layer[i1, j0, 0] + w11 * layer[i1, j1, 0]
                )

                if count:
                    light *= _lightness(j + 0.5, y0, cast[t], near, count, shade)
                pictures[t, i, j] += light - cover * pictures[t, i, j]

    return box


@njit(inline="always")
def _columns_within(y: float, ux: float, uy: float, length: float, reach: float) -> tuple[float, float]:
    """Return the range of x at height y within `reach` of a line from 0 along (ux, uy)."""
    # Distance across: |y * ux - x * uy| <= reach. Along: -reach <= x * ux + y * uy <= length + reach.
    # Each limits x, except where the line is nearly parallel to an axis and x has no influence.
    first = -length - reach
    last = length + reach

    if abs(uy) > LEVEL:
        a = (y * ux - reach) / uy
        b = (y * ux + reach) / uy
        first = max(first, min(a, b))
        last = min(last, max(a, b))

    if abs(ux) > LEVEL:
        a = (-reach - y * uy) / ux
        b = (length + reach - y * uy) / ux
        first = max(first, min(a, b))
        last = min(last, max(a, b))

    return first, last


@njit(inline="always")
def _span_limb(a: float, b: float, reach: float, side: int) -> tuple[int, int]:
    """Return the first row (or column) within `reach` of the ends a and b of a piece, and the last one + 1."""
    return max(int(min(a, b) - reach), 0), min(int(max(a, b) + reach) + 1, side)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def paint_limbs(pictures: NDArray[Any], limbs: Limbs, tiles: NDArray[Any], ambient: float) -> _Box:
    """Paint limbs over pictures, the farthest piece first; return the painted box."""
    # Law: a piece is a round cone from a to b. Its light is Lambert's, ambient + (1 - ambient) * max(n . l, 0), where
    # the normal n has the components q (across) and `out` (towards the camera); an edge is EDGE_PX wide.
    # `Limbs` describes the arrays. t: time; c: piece, the farthest first; i, j: row and column of the picture.
    ends, depth, lit, slide, along, girth, caps, tone, texture = limbs
    steps, height, width = pictures.shape
    box = (width, 0, height, 0)
    for t in range(steps):
        picture = pictures[t]
        for c in np.argsort(depth[t]):
            ax, ay, ra = ends[t, c, 0]
            bx, by, rb = ends[t, c, 1]
            length = math.sqrt((bx - ax) ** 2 + (by - ay) ** 2)

            # A piece that points at the camera has no direction in the picture; any one does.
            ux, uy = ((bx - ax) / length, (by - ay) / length) if length > 1e-3 else (1.0, 0.0)
            per_length = 1 / max(length, 1e-3)
            across, towards = lit[t, c]
            tile = tiles[texture[c]]

            # Rows and columns that the piece can reach, with half a pixel for the soft edge.
            largest = max(ra, rb) + 0.5
            top, bottom = _span_limb(ay, by, largest, height)
            left, right = _span_limb(ax, bx, largest, width)
            box = (min(box[0], left), max(box[1], right), min(box[2], top), max(box[3], bottom))

            for i in range(top, bottom):
                y = i + 0.5 - ay
                first, last = _columns_within(y, ux, uy, length, largest)
                for j in range(max(int(ax + first), left), min(int(ax + last) + 1, right)):
                    # From a along the piece, and to the right of its direction, because rows count downwards.
                    x = j + 0.5 - ax
                    forward = x * ux + y * uy
                    aside = y * ux - x * uy

                    # Nearest point of the axis, s in [0, 1], the radius there, and the distance from it.
                    s = min(max(forward * per_length, 0.0), 1.0)
                    radius = ra + s * (rb - ra)
                    beyond = forward - s * length
                    squared = aside * aside + beyond * beyond
                    if squared >= (radius + EDGE_PX / 2) * (radius + EDGE_PX / 2):
                        continue

                    # An end without a cap is cut flat: the next piece of the limb continues there.
                    if (s == 0.0 and not caps[c, 0] and forward < 0) or (s == 1.0 and not caps[c, 1] and beyond > 0):
                        continue

                    cover = min((radius - math.sqrt(squared)) / EDGE_PX + 0.5, 1.0)
                    if cover <= 0:
                        continue

                    per_radius = 1 / radius
                    q = min(max(aside * per_radius, -1.0), 1.0)
                    out = math.sqrt(max(1 - squared * per_radius * per_radius, 0.0))
                    # Minus, because `across` counts to the left of the direction.
                    light = ambient + (1 - ambient) * max(out * towards - q * across, 0.0)

                    # Arc length from the middle of the piece, asin(q) * girth, approximated by a cubic.
                    around_m = (q + 0.3 * q * q * q) * girth[c] + slide[t, c]
                    along_m = along[c, 0] + s * (along[c, 1] - along[c, 0])
                    value = tone[c] * light * _sample(tile, along_m * TEXELS_PER_M, around_m * TEXELS_PER_M)
                    picture[np.uintp(i), np.uintp(j)] += cover * (value - picture[np.uintp(i), np.uintp(j)])

    return box
