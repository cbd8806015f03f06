"""Pictures of a pose: compiled loops that paint layers and limbs over the wall, the farthest first.

An edge covers its pixels partially, by their distance from it, so that it can move by fractions of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..opencv import cv2
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
)  # fmt: skip
from .people import Floats, Person, Pose, rest_body
from .scenes import Scene

PIXELS_AT_ONCE = 64 * 128 * 128  # bounds the memory
EDGE_PX = 0.5  # width of an edge before the lens's blur: a DVS128's photodiode takes a tenth of its pixel
PULL_PX = 6  # more than a shirt is pulled along
SHADE = 0.6  # of the direct light that a shadow takes


def render(person: Person, scene: Scene, pose: Pose, t_s: Floats) -> Iterator[NDArray[np.uint16]]:
    """Yield a picture uint16 [H, W] per moment of the pose, proportional to the light, 65535 being white.

    Args:
        person: Who is seen.
        scene: Camera, light and background.
        pose: The joints over time.
        t_s: Times [T] of the moments, for the light.
    """
    rest = rest_body(person)
    torso, head, tiles = paint_torso(person, scene), paint_head(person, scene), textures(person)
    strength = scene.light.level * scene.light.strength(t_s)
    shares, pull = torso_pull(scene, pose)
    at_once = max(1, PIXELS_AT_ONCE // scene.wall.size)
    for first in range(0, len(t_s), at_once):
        now = slice(first, first + at_once)
        part = pose.at(now)
        pictures = np.empty((len(part.arms), *scene.wall.shape), np.float32)
        pictures[:] = scene.wall
        shade = SHADE * (1 - scene.light.ambient)
        cast = shadows(person, scene, part)
        _paint_layer(
            pictures, torso.cells, layer_maps(torso, scene, rest[0], part.torso), shares, pull[now], cast, shade
        )
        still, no_shadow = np.zeros((len(pictures), 0, 2)), np.zeros((len(pictures), 0, 6))
        _paint_layer(
            pictures, head.cells, layer_maps(head, scene, rest[1], part.head), shares[:0], still, no_shadow, 0.0
        )
        paint_limbs(pictures, build_limbs(person, scene, part), tiles, scene.light.ambient)
        for picture, light in zip(pictures, strength[now], strict=True):
            seen = cv2.GaussianBlur(picture, (5, 5), scene.blur_px)
            yield _quantise(seen, 65535 * light, 65535 * scene.light.veil)


@njit(cache=True, nogil=True, error_model="numpy")
def _quantise(picture: NDArray[Any], light: float, veil: float) -> NDArray[Any]:
    """Return veil + light * picture as uint16, at most 65535."""
    quantised = np.empty(picture.shape, np.uint16)
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            quantised[row, column] = np.uint16(min(veil + light * picture[row, column], 65535.0))
    return quantised


@njit(inline="always")
def _sample(tile: NDArray[Any], row: float, column: float) -> Any:
    """Return the value of a periodic tile, interpolated between its cells."""
    i, j = math.floor(row), math.floor(column)
    a, b = row - i, column - j
    i0, j0 = i % TEXELS, j % TEXELS
    i1, j1 = (i0 + 1) % TEXELS, (j0 + 1) % TEXELS
    return (1 - a) * ((1 - b) * tile[i0, j0] + b * tile[i0, j1]) + a * ((1 - b) * tile[i1, j0] + b * tile[i1, j1])


@njit(inline="always")
def _between(layer: NDArray[Any], row: float, column: float, channel: int) -> Any:
    """Return a channel of a layer, interpolated between its cells."""
    i, j = int(row), int(column)
    a, b = row - i, column - j
    above = (1 - b) * layer[i, j, channel] + b * layer[i, j + 1, channel]
    below = (1 - b) * layer[i + 1, j, channel] + b * layer[i + 1, j + 1, channel]
    return (1 - a) * above + a * below


@njit(inline="always")
def _lightness(x: float, y: float, cast: NDArray[Any], shade: float) -> float:
    """Return the share of the light that shadows leave at a point."""
    lightness = 1.0
    for k in range(len(cast)):
        ax, ay, bx, by, radius, soft = cast[k]
        dx, dy = bx - ax, by - ay
        s = min(max(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-6), 0.0), 1.0)
        outside = math.sqrt((x - ax - s * dx) ** 2 + (y - ay - s * dy) ** 2) - radius
        if outside < soft:
            dark = min(0.5 - 0.5 * outside / soft, 1.0)
            lightness = min(lightness, 1 - shade * dark * dark * (3 - 2 * dark))
    return lightness


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_layer(
    pictures: NDArray[Any], layer: NDArray[Any], maps: NDArray[Any], shares: NDArray[Any], pull: NDArray[Any],
    cast: NDArray[Any], shade: float,
) -> None:  # fmt: skip
    """Paint a layer over pictures [T, H, W], moved by maps [T, 2, 3] and pulls, with shadows on it."""
    steps, height, width = pictures.shape
    rows, columns = layer.shape[:2]
    for t in range(steps):
        m = maps[t]
        # the bounding box of the layer's corners, and a margin for the pull
        area = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
        left, right, top, bottom = width, 0, height, 0
        for row in (0, rows):
            for column in (0, columns):
                along, down = column - m[0, 2], row - m[1, 2]
                x, y = (m[1, 1] * along - m[0, 1] * down) / area, (m[0, 0] * down - m[1, 0] * along) / area
                left, right = max(min(left, int(x) - PULL_PX), 0), min(max(right, int(x) + PULL_PX), width)
                top, bottom = max(min(top, int(y) - PULL_PX), 0), min(max(bottom, int(y) + PULL_PX), height)
        for i in range(top, bottom):
            for j in range(left, right):
                x, y = j + 0.5, i + 0.5
                for side in range(len(shares)):
                    x -= shares[side, i, j] * pull[t, side, 0]
                    y -= shares[side, i, j] * pull[t, side, 1]
                column = m[0, 0] * x + m[0, 1] * y + m[0, 2] - 0.5
                row = m[1, 0] * x + m[1, 1] * y + m[1, 2] - 0.5
                if not (0 <= column < columns - 1 and 0 <= row < rows - 1):
                    continue
                cover = _between(layer, row, column, 1)
                if cover <= 0:
                    continue
                light = _between(layer, row, column, 0)
                if shade > 0:
                    light *= _lightness(j + 0.5, i + 0.5, cast[t], shade)
                pictures[t, i, j] += light - cover * pictures[t, i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def paint_limbs(pictures: NDArray[Any], limbs: Limbs, tiles: NDArray[Any], ambient: float) -> None:
    """Paint round pieces over pictures [T, H, W], the farthest first.

    Args:
        pictures: [T, H, W], changed in place.
        limbs: C pieces over T moments.
        tiles: Textures of skin and cloth.
        ambient: Share of the light that comes from all directions.
    """
    ends, depth, lit, slide, along, girth, caps, tone, texture = limbs
    steps, height, width = pictures.shape
    for t in range(steps):
        picture = pictures[t]
        for c in np.argsort(depth[t]):
            ax, ay, ra = ends[t, c, 0]
            bx, by, rb = ends[t, c, 1]
            length = math.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
            ux, uy = ((bx - ax) / length, (by - ay) / length) if length > 1e-3 else (1.0, 0.0)
            across, towards = lit[t, c]
            tile = tiles[texture[c]]
            largest = max(ra, rb) + 0.5
            top, bottom = max(int(min(ay, by) - largest), 0), min(int(max(ay, by) + largest) + 1, height)
            left, right = max(int(min(ax, bx) - largest), 0), min(int(max(ax, bx) + largest) + 1, width)
            for i in range(top, bottom):
                for j in range(left, right):
                    x, y = j + 0.5 - ax, i + 0.5 - ay
                    s = (x * ux + y * uy) / max(length, 1e-3)
                    if s < 0:
                        if not caps[c, 0]:
                            continue
                        s, far = 0.0, True
                    elif s > 1:
                        if not caps[c, 1]:
                            continue
                        s, far = 1.0, True
                    else:
                        far = False
                    radius = ra + s * (rb - ra)
                    aside = y * ux - x * uy  # to the right of the direction, as rows count downwards
                    beyond = x * ux + y * uy - s * length
                    distance = math.sqrt(aside * aside + beyond * beyond) if far else abs(aside)
                    cover = min((radius - distance) / EDGE_PX + 0.5, 1.0)
                    if cover <= 0:
                        continue
                    q = min(max(aside / radius, -1.0), 1.0)
                    out = math.sqrt(max(1 - (distance / radius) ** 2, 0.0))
                    # `across` counts to the left of the direction
                    light = ambient + (1 - ambient) * max(out * towards - q * across, 0.0)
                    around = (q + 0.3 * q * q * q) * girth[c] + slide[t, c]  # close to the arc
                    place = along[c, 0] + s * (along[c, 1] - along[c, 0])
                    value = tone[c] * light * _sample(tile, place / TEXEL_M, around / TEXEL_M)
                    picture[i, j] += cover * (value - picture[i, j])
