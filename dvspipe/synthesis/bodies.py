"""Appearance of a person: torso and head as rigid layers, arms and hands as tapered round pieces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..video.opencv import cv2
from .people import (
    ELBOW,
    KNUCKLES,
    LEFT,
    NECK_M,
    PALM,
    RIGHT,
    SHOULDER,
    TORSO_M,
    WRIST,
    Floats,
    Person,
    Pose,
    unit,
)
from .scenes import Scene

FINE = 2  # layer cells per pixel
MARGIN_PX = 24  # rows of a layer below the picture
TEXELS = 64  # cells along the side of a texture tile; a power of 2, for wrapping by a mask
TEXEL_M = 0.006  # size of a cell
SKIN, CLOTH = 0, 1
_SHIFT = 5  # fractional bits of drawn coordinates
FEET_M = 1.38  # distance from the shoulders down to the feet
PULL_PX = 6  # upper bound of the pull on a shirt
_CHEST_M = 0.10  # distance from the shoulders to the front of the chest


@dataclass(frozen=True)
class Layer:
    """Body part at rest, drawn once.

    Args:
        cells: Brightness multiplied by coverage [..., 0], and coverage [..., 1], [H, W, 2]; FINE cells per pixel.
        left_px: Column of the first cell in the picture.
        top_px: Row of the first cell in the picture.
    """

    cells: NDArray[np.float32]
    left_px: int
    top_px: int


class _Canvas:
    """Drawing surface of a layer: brightness and coverage, with coordinates in metres from an origin.

    Args:
        scene: Scene that shows the layer.
        y_m: Height of the origin.
        half_m: Extent to either side of the origin.
        above_m: Extent above the origin.
        below_m: Extent below the origin; clipped at MARGIN_PX below the picture.
    """

    def __init__(self, scene: Scene, y_m: float, half_m: float, above_m: float, below_m: float) -> None:
        camera = scene.camera
        bottom_px = camera.y_px - (y_m - below_m) * camera.scale_px

        # The layer covers what the picture can show; below the picture, only a margin, into which the body can move.
        self.left_px, right = (int(camera.x_px + side * half_m * camera.scale_px) + side for side in (-1, 1))
        self.top_px = int(camera.y_px - (y_m + above_m) * camera.scale_px) - 1
        bottom = int(min(bottom_px, scene.sensor.height + MARGIN_PX)) + 1

        self.light = np.zeros((FINE * (bottom - self.top_px), FINE * (right - self.left_px)), np.float32)
        self.cover = np.zeros_like(self.light)

        # Coordinates of the cells in metres, from the origin of the layer.
        rows, columns = np.indices(self.light.shape, np.float32) / FINE
        self.x = (columns + self.left_px - camera.x_px) / camera.scale_px
        self.y = (camera.y_px - rows - self.top_px) / camera.scale_px - y_m
        self._camera = camera
        self._y_m = y_m

    def noise(self, width_m: float, height_m: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw smooth random log brightness with features of about this size."""
        metre = FINE * self._camera.scale_px

        # One random number per `size`, and two more, so that the cubic interpolation has neighbours at the border.
        rows, columns = (
            int(side / metre / size) + 2 for side, size in zip(self.x.shape, (height_m, width_m), strict=True)
        )
        rough = rng.normal(0, 1, (rows, columns)).astype(np.float32)
        return np.asarray(cv2.resize(rough, self.x.shape[::-1], interpolation=cv2.INTER_CUBIC))

    def fill(self, outline: Floats, brightness: float | NDArray[np.float32]) -> None:
        """Fill an outline [P, 2] in metres with a constant brightness, or with an array [H, W]."""
        camera = self._camera

        # To cells of the layer: turning the person makes everything narrower by the cosine of the angle.
        moved = outline * (np.cos(camera.yaw), 1.0) + (0.0, self._y_m)
        corner = (camera.x_px - self.left_px, camera.y_px - self.top_px)
        cells = FINE * (moved * (camera.scale_px, -camera.scale_px) + corner)

        # OpenCV draws on a grid of 2^-_SHIFT cells, with the centre of cell k at k.
        drawn = np.zeros(self.cover.shape, np.uint8)
        cv2.fillPoly(drawn, [np.round((cells - 0.5) * (1 << _SHIFT)).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)

        # Blend only inside the outline's box, which is small for most parts.
        x, y, width, height = cv2.boundingRect(drawn)
        inside = np.s_[y : y + height, x : x + width]
        mask = drawn[inside] / np.float32(255)
        tone = brightness[inside] if isinstance(brightness, np.ndarray) else np.float32(brightness)
        self.light[inside] += mask * (tone - self.light[inside])
        np.maximum(self.cover[inside], mask, out=self.cover[inside])

    def layer(self) -> Layer:
        """Return the drawing as a layer, blurred for sampling at any position."""
        both = np.stack([self.light * self.cover, self.cover], axis=-1)
        return Layer(np.asarray(cv2.GaussianBlur(both, (0, 0), 0.3 * FINE), np.float32), self.left_px, self.top_px)


def _mirrored(right_half: list[tuple[float, float]]) -> Floats:
    """Create a symmetric outline from its half at x > 0, listed from top to bottom."""
    half = np.array(right_half)
    return np.concatenate([half, half[::-1] * (-1, 1)])


def _oval(x: float, y: float, width: float, height: float) -> Floats:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + width / 2 * np.cos(angle), y + height / 2 * np.sin(angle)], axis=-1)


def _noise(shape: tuple[int, int], sigma: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw smooth periodic noise of variance 1; `sigma` is the width in cells along rows and columns."""
    # Blur across the border as if the tile repeated: 12 cells are three times the largest sigma in use.
    pad = 12
    rough = np.pad(rng.normal(size=shape).astype(np.float32), pad, mode="wrap")
    smooth = cv2.GaussianBlur(rough, (0, 0), sigmaX=sigma[1], sigmaY=sigma[0])[pad:-pad, pad:-pad]

    return np.asarray(smooth / smooth.std(), np.float32)


def _pattern(person: Person, along: NDArray[np.float32], around: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the brightness of the cloth pattern relative to its background, at positions in metres."""
    if person.pattern == "stripes":
        drawn = np.sin(2 * np.pi * along / person.pattern_m) > 0.2
    elif person.pattern == "checks":
        drawn = np.sin(2 * np.pi * along / person.pattern_m) * np.sin(2 * np.pi * around / person.pattern_m) > 0.1
    else:
        return np.ones_like(along)
    return np.where(drawn, np.float32(person.pattern_contrast), np.float32(1))


def textures(person: Person) -> NDArray[np.float32]:
    """Draw texture tiles of skin and cloth, relative to the tone: [2, TEXELS, TEXELS], along and around a limb."""
    rng = np.random.default_rng([person.seed, 1])
    along, around = (axis * np.float32(TEXEL_M) for axis in np.indices((TEXELS, TEXELS), np.float32))

    skin = np.exp(0.12 * _noise((TEXELS, TEXELS), (1.1, 0.9), rng))  # wrinkles, veins, hair
    rings, fine = (_noise((TEXELS, TEXELS), widths, rng) for widths in ((1.6, 4.0), (0.9, 0.9)))
    folds = 0.7 * person.folds * (rings + fine)

    # A tile has an integer number of periods of the pattern, to repeat without a seam.
    tile_m = TEXELS * TEXEL_M
    period = tile_m / max(1, round(tile_m / person.pattern_m))
    cloth = cv2.GaussianBlur(_pattern(replace(person, pattern_m=period), along, around), (0, 0), 0.7) * np.exp(folds)

    return np.stack([skin, cloth]).astype(np.float32)


def _paint_legs(canvas: _Canvas, half: float, hem: float, trousers: NDArray[np.float32], shoes: float) -> None:
    """Paint both legs below the hem of the shirt, and the shoes, for half a width of the shoulders in metres."""
    for side in (-1, 1):
        leg = [
            (0.0, hem + 0.1),
            (0.96 * half, hem + 0.1),
            (0.8 * half, -1.0),
            (0.75 * half, -FEET_M + 0.07),
            (0.25 * half, -FEET_M + 0.07),
            (0.2 * half, -1.0),
            (0.0, -0.72),
        ]
        canvas.fill(np.array(leg) * (side, 1), trousers)

        shoe = [
            (0.2 * half, -FEET_M + 0.09),
            (0.8 * half, -FEET_M + 0.09),
            (0.9 * half, -FEET_M),
            (0.2 * half, -FEET_M),
        ]
        canvas.fill(np.array(shoe) * (side, 1), shoes)


def paint_torso(person: Person, scene: Scene) -> Layer:
    """Paint torso and legs at rest, without the arms."""
    rng = np.random.default_rng(person.seed)
    half = person.shoulders_m / 2
    canvas = _Canvas(scene, 0.0, 1.2 * half + 0.08, NECK_M + 0.1, FEET_M + 0.02)
    light = scene.light
    x, y = canvas.x, canvas.y

    # The torso is lit like a cylinder: facing the camera in the middle, turned away at the sides.
    facing = np.sqrt(np.clip(1 - 0.8 * (x / (1.15 * half)) ** 2, 0, 1)) * light.direction[2]
    lit = light.ambient + (1 - light.ambient) * np.clip(
        facing + 0.7 * light.direction[0] * x / half + light.direction[1] * (0.35 + 0.8 * y), 0, 1.3
    )

    cloth = person.clothes * _pattern(person, y, x)
    if person.pattern == "print":
        for _ in range(rng.integers(2, 9)):
            px = rng.uniform(-0.6, 0.6) * half
            py = rng.uniform(-0.40, -0.1)
            size = rng.uniform(0.2, 1.0, 2) * 0.1
            cloth[(np.abs(x - px) < size[0]) & (np.abs(y - py) < size[1])] *= person.pattern_contrast

    folds = sum(canvas.noise(0.11 / k, 0.11 / k, rng) for k in (1, 2, 4))
    shaded = np.clip(cloth * np.exp(0.6 * person.folds * folds) * lit, 0.005, 1.0).astype(np.float32)
    r = 1.15 * person.arm_radius_m

    hem = rng.uniform(-0.62, -0.50)
    trousers = (person.trousers * lit * np.exp(0.1 * folds)).astype(np.float32)

    _paint_legs(canvas, half, hem, trousers, 0.5 * person.trousers)  # first: the shirt hangs over them

    outline = _mirrored(
        [
            (0.06, 0.055),
            (half, r),
            (half + r, -0.03),
            (half, -0.16),
            (0.82 * half, -0.34),
            (0.95 * half, -TORSO_M),
            (1.02 * half, min(hem, -TORSO_M - 0.01)),
        ]
    )
    canvas.fill(outline, shaded)

    if rng.random() < 0.4:  # a zip, a row of buttons, or a tie
        wide = rng.uniform(0.004, 0.03)
        tone = person.clothes * np.exp(rng.normal(0, 0.7))
        canvas.fill(_mirrored([(wide, 0.0), (wide, hem)]), float(np.clip(tone, 0.01, 0.9)))

    collar = rng.uniform(0.0, 0.09)
    canvas.fill(_mirrored([(0.058, 0.055), (0.03, 0.05 - collar)]), 0.75 * person.skin)
    canvas.fill(_mirrored([(0.05, NECK_M + 0.06), (0.052, 0.05)]), 0.6 * person.skin)  # shadow under the chin

    return canvas.layer()


def paint_head(person: Person, scene: Scene) -> Layer:
    """Paint the head at rest."""
    rng = np.random.default_rng([person.seed, 2])
    h = person.head_m
    skin = person.skin
    hair = person.hair
    canvas = _Canvas(scene, NECK_M, 0.6 * h, 1.15 * h, 0.3 * h)
    light = scene.light
    width = rng.uniform(0.68, 0.78) * h
    strands = hair * np.exp(0.2 * canvas.noise(0.012, 0.025, rng))

    # From back to front: long hair, ears, face, beard, fringe.
    if person.hair_length > 0:
        canvas.fill(_oval(0, 0.58 * h, width + 0.12 * h, 0.95 * h), strands)
    if person.hair_length == 1:
        canvas.fill(_mirrored([(0.40 * h, 0.6 * h), (0.46 * h, -0.2 * h)]), strands)

    facing = light.direction[2] * np.sqrt(np.clip(1 - 3 * (canvas.x / width) ** 2, 0, 1))
    slope = light.direction[0] * 1.4 * canvas.x / width + light.direction[1] * (1.2 * canvas.y / h - 0.4)
    lit = (light.ambient + (1 - light.ambient) * np.clip(facing + slope, 0, 1)).astype(np.float32)

    face = _oval(0, 0.48 * h, width, h * (0.98 if person.hair_length == 0 else 0.92))
    for side in (-1, 1):
        canvas.fill(_oval(side * 0.5 * width, 0.47 * h, 0.1 * h, 0.2 * h), 0.6 * skin)  # ears
    canvas.fill(face, skin * lit)

    if person.beard:
        canvas.fill(_mirrored([(0.36 * width, 0.3 * h), (0.34 * width, 0.12 * h), (0.16 * width, -0.02 * h)]), strands)

    if person.hair_length > 0:
        fringe = rng.uniform(0.68, 0.86) * h
        tuft = [(0.1 * h, 1.0 * h), (0.32 * h, 0.9 * h), (0.36 * h, 0.7 * h), (0.2 * h, fringe)]
        canvas.fill(_mirrored(tuft), strands)

    # Ovals in units of the head: column, row, width, height, tone. Eyes: socket, white, iris, brow, and glasses.
    eye = [
        (0.16, 0.55, 0.2, 0.14, 0.7 * skin),
        (0.16, 0.53, 0.13, 0.06, 1.1 * skin),
        (0.16, 0.53, 0.06, 0.06, 0.03),
        (0.16, 0.63, 0.19, 0.035, 0.5 * (hair + 0.4 * skin)),
    ]
    if person.glasses:
        eye += [(0.17, 0.53, 0.28, 0.2, 0.1 * skin), (0.17, 0.53, 0.21, 0.14, 0.8 * skin)]

    # The lit side of the nose, and its shadow; the mouth.
    middle = [
        (0.03, 0.38, 0.06, 0.2, 1.15 * skin),
        (0.0, 0.30, 0.13, 0.04, 0.45 * skin),
        (0.0, 0.19, 0.26, 0.05, 0.45 * skin),
    ]
    for side, ovals in ((-1, eye), (1, eye), (1, middle)):
        for x, y, width, height, tone in ovals:
            canvas.fill(_oval(side * x * h, y * h, width * h, height * h), tone)

    return canvas.layer()


def move_layer(layer: Layer, scene: Scene, rest: Floats, moved: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the motion of a layer, from three points at rest and moved.

    Returns:
        Affine maps from picture coordinates to layer cells, [T, 2, 3], and the part of the picture that the layer
        reaches: first column and row, and last ones + 1, [T, 4].
    """
    # A layer is flat, so its motion is an affine map, given by three points in homogeneous coordinates (x, y, 1).
    cells = FINE * (scene.camera.project(rest)[:, :2] - (layer.left_px, layer.top_px))  # [3, 2]
    points = scene.camera.project(moved)
    points[..., 2] = 1.0
    maps = np.linalg.solve(points, np.broadcast_to(cells, (len(points), 3, 2))).transpose(0, 2, 1)

    # The corners of the layer in the picture, by the inverse map, with a margin for the pull.
    rows, columns = layer.cells.shape[:2]
    corners = np.array([[0, columns, 0, columns], [0, 0, rows, rows]])
    reached = np.linalg.solve(maps[..., :2], corners - maps[..., 2:])  # [T, 2, 4]
    ends = np.concatenate([reached.min(axis=2) - PULL_PX, reached.max(axis=2) + PULL_PX], axis=1)
    size = (scene.sensor.width, scene.sensor.height)
    return np.asarray(maps), np.clip(ends, 0, size * 2).astype(np.int64)


def torso_pull(scene: Scene, pose: Pose) -> tuple[NDArray[np.float32], Floats]:
    """Return the pull of both arms on the shirt: weights [2, H, W], and displacements in pixels [T, 2, 2]."""
    camera = scene.camera
    height, width = scene.sensor.height, scene.sensor.width
    y, x = np.indices((height, width)) + 0.5
    elbows, shoulders = (camera.project(pose.arms[:, :, joint])[..., :2] for joint in (ELBOW, SHOULDER))

    # Each arm pulls the shirt around a point just below its shoulder.
    shares = []
    for side in (RIGHT, LEFT):
        centre_x, centre_y = shoulders[:, side].mean(axis=0) + np.array([0.0, 0.12 * camera.scale_px])
        shares.append(np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * (0.13 * camera.scale_px) ** 2)))

    # A hanging arm does not pull: its elbow is this far below the shoulder.
    hanging = np.array([0.0, 0.27 * camera.scale_px])
    return np.array(shares, np.float32), 0.06 * (elbows - shoulders - hanging)


def shadows(person: Person, scene: Scene, pose: Pose) -> Floats:
    """Return the shadows of forearms and hands on the chest, [T, 4, 6]: two ends, radius and softness in pixels."""
    camera = scene.camera
    direction = scene.light.direction

    tips = pose.arms[:, :, WRIST] + (pose.arms[:, :, KNUCKLES] - pose.arms[:, :, WRIST]) / PALM * 0.8
    cast = []
    for side in (RIGHT, LEFT):
        for a, b in (
            (pose.arms[:, side, ELBOW], pose.arms[:, side, WRIST]),
            (pose.arms[:, side, WRIST], tips[:, side]),
        ):
            # Slide both ends along the light to the chest. Light from the side is limited to a slope of 0.35, because
            # shadows would get arbitrarily long.
            gap = np.maximum(np.stack([a[:, 2], b[:, 2]], axis=-1) - _CHEST_M, 0.0)
            ends = np.stack([a, b], axis=1) - gap[..., None] * direction / max(direction[2], 0.35)
            flat = camera.project(ends)[..., :2].reshape(-1, 4)

            # The farther the arm is from the chest, the softer its shadow.
            soft = camera.scale_px * (0.015 + 0.3 * gap.mean(axis=1))
            cast.append(np.column_stack([flat, np.full(len(a), person.arm_radius_m * camera.scale_px), soft]))

    return np.stack(cast, axis=1)


class Limbs(NamedTuple):
    """N tapered round pieces of limbs over T times.

    Args:
        ends: Column, row and radius of both ends in pixels, [T, N, 2, 3].
        depth: Coordinate towards the camera, [T, N].
        lit: Components of the light direction across the piece and towards the camera, [T, N, 2].
        slide: Shift of the texture around the piece in metres, [T, N].
        along: Positions of both ends along the limb in metres, [N, 2].
        girth: Radius in metres, [N].
        caps: Whether each end is round, [N, 2].
        tone: Brightness, [N].
        texture: SKIN or CLOTH, [N].
    """

    ends: Floats
    depth: Floats
    lit: Floats
    slide: Floats
    along: Floats
    girth: Floats
    caps: NDArray[np.bool_]
    tone: Floats
    texture: NDArray[np.int64]

    def at(self, moment: int) -> Limbs:
        """Select a time."""
        return self._replace(
            ends=self.ends[moment], depth=self.depth[moment], lit=self.lit[moment], slide=self.slide[moment]
        )


@dataclass(frozen=True)
class _Piece:
    """Piece of a limb: ends a and b, [T, 3] each, and its values in `Limbs`."""

    a: Floats
    b: Floats
    radii: tuple[float, float]
    along: tuple[float, float] = (0.0, 0.0)
    slide: Floats | float = 0.0
    caps: tuple[bool, bool] = (True, True)
    cloth: bool = False


def build_limbs(person: Person, scene: Scene, pose: Pose) -> Limbs:
    """Build both arms with their hands."""
    pieces: list[_Piece] = []
    for side in (RIGHT, LEFT):
        pieces += _arm(person, pose, side) + _hand(person, pose, side)

    camera = scene.camera
    points = np.stack([np.stack([piece.a, piece.b], axis=1) for piece in pieces], axis=1)  # [T, N, 2, 3]
    radii = np.array([piece.radii for piece in pieces])
    ends = camera.project(points)
    ends[..., 2] *= radii

    axis = unit(camera.turn(points[:, :, 1] - points[:, :, 0]))
    light = camera.turn(scene.light.direction)
    across = unit(np.cross(np.array([0.0, 0, 1]), axis))  # to the left of the direction of the piece, in the picture
    towards = np.cross(axis, across)

    return Limbs(
        ends=ends,
        depth=camera.turn(points)[..., 2].mean(axis=-1),
        lit=np.stack([across @ light, towards @ light], axis=-1),
        slide=np.stack([np.broadcast_to(piece.slide, len(points)) for piece in pieces], axis=1),
        along=np.array([piece.along for piece in pieces]),
        girth=radii.mean(axis=1),
        caps=np.array([piece.caps for piece in pieces]),
        tone=np.array([person.clothes if piece.cloth else person.skin for piece in pieces]),
        texture=np.array([CLOTH if piece.cloth else SKIN for piece in pieces]),
    )


def _arm(person: Person, pose: Pose, side: int) -> list[_Piece]:
    """Build sleeve, upper arm and forearm from pieces short enough to sort by depth."""
    joints = pose.arms[:, side]
    bend = (unit(joints[:, ELBOW] - joints[:, SHOULDER]) * unit(joints[:, WRIST] - joints[:, ELBOW])).sum(axis=-1)
    turned = 0.05 * pose.palms[:, side, 2]  # skin and sleeve turn with the hand

    # Cut at the elbow, at the end of the sleeve and between: a long piece has no single depth.
    pieces = []
    for start, stop in pairwise(sorted({0.0, 0.25, 0.5, 0.67, 0.84, 1.0, person.sleeve})):
        covered = stop <= person.sleeve
        bone = 0 if stop <= 0.5 else 1

        a, b = (
            joints[:, bone] + (2 * share - bone) * (joints[:, bone + 1] - joints[:, bone]) for share in (start, stop)
        )
        widths = np.interp((start, stop), (0, 0.5, 0.62, 1), (1.05, 0.85, 0.9, 0.58)) * person.arm_radius_m
        r0, r1 = widths * (person.sleeve_width if covered else 1.0)

        slide = 0.02 * bend if bone == 0 else turned
        ends = (start in (0, 0.5), stop in (0.5, 1))
        along = (start * person.reach_m, stop * person.reach_m)
        pieces.append(_Piece(a, b, (float(r0), float(r1)), along, slide, ends, covered))

    return pieces


_FINGERS = ((1.5, 0.92), (0.5, 1.0), (-0.5, 0.93), (-1.5, 0.76))  # position across the palm, length


def _hand(person: Person, pose: Pose, side: int) -> list[_Piece]:
    """Build a palm of four bones, four fingers of two pieces, and a thumb (medial if the palm faces the camera)."""
    wrist = pose.arms[:, side, WRIST]
    knuckles = pose.arms[:, side, KNUCKLES]
    palm = pose.palms[:, side]
    size = person.hand_m
    bend = pose.bend[:, side, None]
    spread = pose.spread[:, side, None]

    forward = unit(knuckles - wrist)
    across = np.cross(forward, palm) * (1 if side == RIGHT else -1)  # towards the thumb

    def piece(a: Floats, b: Floats, r0: float, r1: float) -> _Piece:
        return _Piece(a, b, (r0 * size, r1 * size), (0.0, float(np.linalg.norm(b[0] - a[0]))))

    pieces = []
    for offset, length in _FINGERS:
        base = knuckles + 0.115 * size * offset * across
        pieces.append(piece(wrist + size * (0.05 * forward + 0.05 * offset * across), base, 0.09, 0.07))

        fan = np.cos(spread * offset) * forward + np.sin(spread * offset) * across
        middle = base + 0.25 * size * length * (np.cos(1.4 * bend) * fan + np.sin(1.4 * bend) * palm)
        tip = middle + 0.25 * size * length * (np.cos(2.9 * bend) * fan + np.sin(2.9 * bend) * palm)
        pieces += [piece(base, middle, 0.056, 0.05), piece(middle, tip, 0.05, 0.042)]

    # The thumb starts at the side of the palm, and turns towards it as the hand closes.
    root = wrist + size * (0.12 * forward + 0.14 * across + 0.04 * palm)
    out = 0.75 + 1.5 * (spread - 0.06) - 0.5 * bend
    joint = root + 0.26 * size * unit(0.75 * forward + out * across + (0.2 + 0.7 * bend) * palm)
    end = joint + 0.22 * size * unit((1 - 0.4 * bend) * forward + (0.45 - 1.1 * bend) * across + 0.3 * palm)

    return [*pieces, piece(root, joint, 0.085, 0.06), piece(joint, end, 0.058, 0.05)]
