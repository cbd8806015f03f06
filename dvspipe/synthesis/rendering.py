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
    move_layer,
    paint_head,
    paint_torso,
    shadows,
    textures,
    torso_pull,
)
from .people import Floats, Person, Pose, rest_body
from .scenes import Scene

PIXELS_OF_BATCH = 8 * 128 * 128
EDGE_PX = 0.5  # width of an edge before lens blur; the photodiode of a DVS128 covers a tenth of its pixel
TEXELS_PER_M = 1 / TEXEL_M
TEXEL_MASK = TEXELS - 1  # TEXELS is a power of 2
FASTMATH = {"contract", "nsz"}  # allows fused multiply-add
BLUR_PX = 2  # reach of the lens blur
SHADE = 0.6  # fraction of direct light blocked by a shadow


def render(person: Person, scene: Scene, pose: Pose, t_s: Floats) -> Iterator[NDArray[np.uint16]]:
    """Render one picture per time of the pose: uint16 [H, W], proportional to light, 65535 = white."""
    # The person's surface and the light are constant: paint them once, and only move them from picture to picture.
    torso = paint_torso(person, scene)
    head = paint_head(person, scene)
    tiles = textures(person)

    rest_torso, rest_head = rest_body(person)
    torso_maps, torso_boxes = move_layer(torso, scene, rest_torso, pose.torso)
    head_maps, head_boxes = move_layer(head, scene, rest_head, pose.head)
    shares, pull = torso_pull(scene, pose)
    cast = shadows(person, scene, pose)
    limbs = build_limbs(person, scene, pose)

    boxes = _enclose(torso_boxes, head_boxes, _find_boxes(limbs, scene))
    wall = _blur(scene.wall, scene)
    strength = scene.light.level * scene.light.strength(t_s)
    shade = SHADE * (1 - scene.light.ambient)
    batch = max(1, PIXELS_OF_BATCH // scene.wall.size)

    for k, light in enumerate(strength):
        picture = scene.wall.copy()
        _paint_layer(picture, torso.cells, torso_maps[k], torso_boxes[k], shares, pull[k], cast[k], shade)
        _paint_layer(picture, head.cells, head_maps[k], head_boxes[k], shares[:0], pull[k, :0], cast[k, :0], shade)
        paint_limbs(picture, limbs.at(k), tiles, scene.light.ambient)

        # Outside the painted box, the picture is the wall. The box is the same for a batch of pictures, as the rounding
        # of the blur depends on its part of the picture.
        first = k - k % batch
        left, top, right, bottom = _enclose(*boxes[first : first + batch])
        rows, columns = (
            slice(max(low - 2 * BLUR_PX, 0), high + 2 * BLUR_PX) for low, high in ((top, bottom), (left, right))
        )
        changed = np.s_[max(top - BLUR_PX, 0) : bottom + BLUR_PX, max(left - BLUR_PX, 0) : right + BLUR_PX]
        near = wall.copy()
        near[rows, columns] = _blur(picture[rows, columns], scene)
        blurred = wall.copy()
        blurred[changed] = near[changed]
        yield _quantise(blurred, 65535 * light, 65535 * scene.light.veil)


def _enclose(*boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the box around boxes [..., 4]: first column and row, and last ones + 1."""
    first = np.min([box[..., :2] for box in boxes], axis=0)
    last = np.max([box[..., 2:] for box in boxes], axis=0)
    return np.concatenate([first, last], axis=-1)


def _find_boxes(limbs: Limbs, scene: Scene) -> NDArray[np.int64]:
    """Return the box of all limbs at each time, [T, 4]."""
    places = limbs.ends[..., :2]
    reach = limbs.ends[..., 2].max(axis=-1, keepdims=True) + 0.5
    first = np.maximum((places.min(axis=2) - reach).astype(np.int64), 0)
    last = np.minimum((places.max(axis=2) + reach).astype(np.int64) + 1, (scene.sensor.width, scene.sensor.height))
    return np.concatenate([first.min(axis=1), last.max(axis=1)], axis=1)


def _blur(picture: NDArray[np.float32], scene: Scene) -> NDArray[np.float32]:
    side = 2 * BLUR_PX + 1
    return np.asarray(cv2.GaussianBlur(picture, (side, side), scene.blur_px))


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
def _lightness(x: float, y: float, cast: NDArray[Any], shade: float) -> float:
    """Return the fraction of light that shadows leave at a point."""
    # A shadow is a line from a to b with a radius, dark inside it, and a soft edge of width 2 * soft around it.
    # cast [4, 6]: both ends, radius and softness in pixels.
    lightness = 1.0
    for n in range(len(cast)):
        ax, ay, bx, by, radius, soft = cast[n]
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
def _weigh_cells(a: float, b: float) -> tuple[float, float, float, float]:
    """Return the bilinear weights of four cells around a point, a rows and b columns from the first one."""
    return (1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _paint_layer(
    picture: NDArray[Any],
    layer: NDArray[Any],
    move: NDArray[Any],
    box: NDArray[Any],
    shares: NDArray[Any],
    pull: NDArray[Any],
    cast: NDArray[Any],
    shade: float,
) -> None:
    """Paint a layer with shadows over a picture [H, W], inside a box, moved by a map [2, 3] and pulls.

    Indices are unsigned: signed indices cost a test for negative values at each access.
    """
    # Law, for each pixel: picture = light + (1 - cover) * picture, where light is already multiplied by cover (the
    # operator "over" of Porter and Duff, 1984). The layer is sampled with bilinear interpolation.
    # layer [rows, columns, 2]: light and cover. shares [2, H, W] and pull [2, 2]: how much a pixel follows each arm, in
    # pixels. cast [4, 6]: shadows. i, j: row and column of the picture; side: arm.
    last_row = layer.shape[0] - 1
    last_column = layer.shape[1] - 1
    one = np.uintp(1)
    m00, m01, m02, m10, m11, m12 = move.ravel()
    left, top, right, bottom = box

    for i in range(np.uintp(top), np.uintp(bottom)):
        y0 = i + 0.5
        for j in range(np.uintp(left), np.uintp(right)):
            x = j + 0.5
            y = y0
            for side in range(np.uintp(len(shares))):
                x -= shares[side, i, j] * pull[side, 0]
                y -= shares[side, i, j] * pull[side, 1]

            # The centre of cell k is at k + 0.5, but the interpolation counts from its centre.
            column = m00 * x + m01 * y + m02 - 0.5
            row = m10 * x + m11 * y + m12 - 0.5
            if not (0 <= column < last_column and 0 <= row < last_row):
                continue

            i0 = np.uintp(row)
            j0 = np.uintp(column)
            i1 = i0 + one
            j1 = j0 + one
            w00, w01, w10, w11 = _weigh_cells(row - np.int64(i0), column - np.int64(j0))

            cover = w00 * layer[i0, j0, 1] + w01 * layer[i0, j1, 1] + w10 * layer[i1, j0, 1] + w11 * layer[i1, j1, 1]
            if cover <= 0:
                continue

            light = w00 * layer[i0, j0, 0] + w01 * layer[i0, j1, 0] + w10 * layer[i1, j0, 0] + w11 * layer[i1, j1, 0]
            light *= _lightness(j + 0.5, y0, cast, shade)
            picture[i, j] += light - cover * picture[i, j]


@njit(inline="always")
def _span_limb(a: float, b: float, reach: float, side: int) -> tuple[int, int]:
    """Return the first row (or column) within `reach` of the ends a and b of a piece, and the last one + 1."""
    return max(int(min(a, b) - reach), 0), min(int(max(a, b) + reach) + 1, side)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def paint_limbs(picture: NDArray[Any], limbs: Limbs, tiles: NDArray[Any], ambient: float) -> None:
    """Paint limbs of one time over a picture, the farthest piece first."""
    # Law: a piece is a round cone from a to b. Its light is Lambert's, ambient + (1 - ambient) * max(n . l, 0), where
    # the normal n has the components q (across) and `out` (towards the camera); an edge is EDGE_PX wide.
    # `Limbs` describes the arrays. c: piece, the farthest first; i, j: row and column of the picture.
    ends, depth, lit, slide, along, girth, caps, tone, texture = limbs
    height, width = picture.shape
    for c in np.argsort(depth):
        ax, ay, ra = ends[c, 0]
        bx, by, rb = ends[c, 1]
        length = math.sqrt((bx - ax) ** 2 + (by - ay) ** 2)

        # A piece that points at the camera has no direction in the picture; any one does.
        ux, uy = ((bx - ax) / length, (by - ay) / length) if length > 1e-3 else (1.0, 0.0)
        per_length = 1 / max(length, 1e-3)
        across, towards = lit[c]
        tile = tiles[texture[c]]

        # Rows and columns that the piece can reach, with half a pixel for the soft edge.
        largest = max(ra, rb) + 0.5
        top, bottom = _span_limb(ay, by, largest, height)
        left, right = _span_limb(ax, bx, largest, width)

        for i in range(top, bottom):
            y = i + 0.5 - ay
            for j in range(left, right):
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
                around_m = (q + 0.3 * q * q * q) * girth[c] + slide[c]
                along_m = along[c, 0] + s * (along[c, 1] - along[c, 0])
                value = tone[c] * light * _sample(tile, along_m * TEXELS_PER_M, around_m * TEXELS_PER_M)
                picture[np.uintp(i), np.uintp(j)] += cover * (value - picture[np.uintp(i), np.uintp(j)])
