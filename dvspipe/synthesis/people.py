"""Rendered people: an identity, a place with light and camera, and grey pictures of poses.

Lengths are metres in the person's space: x to the right of the picture, y up, z towards the camera, the origin in the
middle between the resting shoulders. The person faces the camera, so side 0, the right arm, is on the picture's left.
Brightness is a linear reflectance (0 black, 1 white) until a picture is made, whose bytes are sRGB.

Torso and head are drawn once and moved by affine warps at picture resolution; arms are drawn anew for every frame at
twice the resolution, with fixed-point coordinates, and shrunk. So every edge moves by fractions of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..events import SensorSize
from ..video import Frame  # noqa: F401  (loads OpenCV quietly, and says how to mend it where that fails)

import cv2  # isort: skip

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Pattern = Literal["plain", "stripes", "patches"]

RIGHT, LEFT = 0, 1  # the performer's sides
SHOULDER, ELBOW, WRIST, KNUCKLES = range(4)
NECK_M = 0.09  # from the line of the shoulders to the chin
TORSO_M = 0.52  # from the line of the shoulders to the hips, about which the torso moves

_FINE = 2  # supersampling
_SHIFT = 5  # fractional bits of drawn coordinates
_SHADES = ((1.0, 0.0, 0.5), (0.78, 0.18, 0.8), (0.46, 0.36, 1.0))  # of a limb: width, shift to the light, brightness
_ARC = np.linspace(-np.pi / 2, np.pi / 2, 6)  # of a round limb end


@dataclass(frozen=True)
class Person:
    """An identity: what stays the same when a person performs again.

    Args:
        head_m: Height of the head.
        shoulders_m: Distance between the shoulder joints.
        upper_arm_m: From shoulder to elbow.
        forearm_m: From elbow to wrist.
        hand_m: From wrist to fingertip.
        arm_radius_m: Of the bare upper arm; everything else follows from it.
        skin: Brightness of the skin.
        hair: Brightness of the hair.
        hair_length: 0 is bald, 1 reaches the shoulders.
        clothes: Brightness of the clothing.
        pattern: Of the clothing.
        pattern_contrast: Brightness of the pattern relative to the clothing.
        pattern_m: Period of the pattern.
        sleeve: Covered part of the arm, 0 at the shoulder, 0.5 at the elbow, 1 at the wrist.
        glasses: Whether the person wears them.
        pace: 0 moves as fast as the gesture allows, 1 as slowly.
        size: Factor on the size of movements, about 1.
        seed: Of what is drawn on clothes and face.
    """

    head_m: float
    shoulders_m: float
    upper_arm_m: float
    forearm_m: float
    hand_m: float
    arm_radius_m: float
    skin: float
    hair: float
    hair_length: float
    clothes: float
    pattern: Pattern
    pattern_contrast: float
    pattern_m: float
    sleeve: float
    glasses: bool
    pace: float
    size: float
    seed: int

    @property
    def reach_m(self) -> float:
        """From shoulder to wrist of the stretched arm."""
        return self.upper_arm_m + self.forearm_m


def draw_person(rng: np.random.Generator) -> Person:
    """A new identity; the clothes differ from the skin in brightness, as hands before the chest must be seen."""
    skin = rng.uniform(0.14, 0.55)
    build = rng.normal(1.0, 0.05)  # tall people have long arms
    patterns: tuple[Pattern, ...] = ("plain", "stripes", "patches")
    return Person(
        head_m=rng.uniform(0.21, 0.25),
        shoulders_m=build * rng.uniform(0.32, 0.40),
        upper_arm_m=build * rng.uniform(0.26, 0.30),
        forearm_m=build * rng.uniform(0.22, 0.26),
        hand_m=build * rng.uniform(0.16, 0.19),
        arm_radius_m=rng.uniform(0.038, 0.058),
        skin=skin,
        hair=rng.choice([0.03, 0.05, 0.10, 0.25]) * rng.uniform(0.8, 1.2),
        hair_length=rng.choice([0.0, 0.3, 0.4, 1.0], p=[0.1, 0.3, 0.3, 0.3]),
        clothes=_unlike(skin, rng, 0.025, 0.8),
        pattern=patterns[rng.choice(3, p=[0.5, 0.25, 0.25])],
        pattern_contrast=rng.uniform(0.55, 0.8) if rng.random() < 0.5 else rng.uniform(1.25, 1.8),
        pattern_m=rng.uniform(0.05, 0.14),
        sleeve=rng.uniform(0.25, 0.45) if rng.random() < 0.5 else rng.uniform(0.55, 0.98),
        glasses=bool(rng.random() < 0.3),
        pace=rng.uniform(0.0, 1.0),
        size=rng.uniform(0.8, 1.2),
        seed=int(rng.integers(2**31)),
    )


def _unlike(tone: float, rng: np.random.Generator, darkest: float, brightest: float) -> float:
    """A brightness a factor of 1.8 to 3.3 from `tone`, on a side that has room for it."""
    darker = brightest < 2 * tone or (darkest < tone / 2 and rng.random() < 0.5)
    low, high = (max(darkest, tone / 3.3), tone / 1.8) if darker else (1.8 * tone, min(brightest, 3.3 * tone))
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True)
class Pose:
    """A person's joints over T moments, in the person's space.

    Args:
        arms: [T, 2, 4, 3] side, joint (shoulder, elbow, wrist, knuckles), coordinate.
        palms: [T, 2, 3] unit vectors out of the palm.
        spread: [2] angle between neighbouring fingers of each hand, in radians.
        curl: [2] length of the fingers relative to stretched ones.
        torso: [T, 3, 3] right shoulder, left shoulder, hips.
        head: [T, 3, 3] chin, crown, and one head's height to the right of the chin.
    """

    arms: Floats
    palms: Floats
    spread: Floats
    curl: Floats
    torso: Floats
    head: Floats


@dataclass(frozen=True)
class Camera:
    """A pinhole camera before the person.

    Args:
        scale_px: Pixels per metre at the distance of the shoulders.
        distance_m: From the shoulders.
        x_px: Column of the origin.
        y_px: Row of the origin.
        yaw: Angle by which the person is turned from it, in radians.
    """

    scale_px: float
    distance_m: float
    x_px: float
    y_px: float
    yaw: float

    def project(self, points: Floats) -> Floats:
        """Pixel coordinates [..., 2] of points [..., 3], and as a third number the pixels per metre there."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        x, z = cos * points[..., 0] + sin * points[..., 2], cos * points[..., 2] - sin * points[..., 0]
        scale = self.scale_px * self.distance_m / (self.distance_m - z)
        return np.stack([self.x_px + scale * x, self.y_px - scale * points[..., 1], scale], axis=-1)


@dataclass(frozen=True)
class Scene:
    """Where a clip is made: a camera, a light, and what stands behind the person.

    Args:
        sensor: Size of the pictures.
        camera: Of the clip.
        light: Unit vector [3] towards the light, in the person's space.
        level: Brightness of a white surface that faces the light.
        veil: Stray light, added everywhere.
        wall: Brightness [H, W] of the background.
    """

    sensor: SensorSize
    camera: Camera
    light: Floats
    level: float
    veil: float
    wall: Floats

    def grey(self, brightness: Floats) -> Floats:
        """The sRGB value (0 to 255, not rounded) of a surface of this brightness (IEC 61966-2-1)."""
        linear = np.clip(self.veil + self.level * brightness, 0.0, 1.0)
        return 255.0 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def draw_scene(person: Person, sensor: SensorSize, rng: np.random.Generator) -> Scene:
    """A new place: camera, light and background.

    Args:
        person: Who must be seen before the background.
        sensor: Size of the pictures; the person fills the height.
        rng: The source of everything that varies.
    """
    side = sensor.height
    scale = rng.uniform(0.76, 1.02) * side
    camera = Camera(
        scale_px=scale,
        distance_m=rng.uniform(1.3, 2.6),
        x_px=sensor.width / 2 + rng.uniform(-0.07, 0.07) * side,
        y_px=float(np.clip(side - rng.uniform(0.42, 0.60) * scale, 0.42 * side, 0.60 * side)),
        yaw=rng.normal(0.0, 0.12),
    )
    direction = np.array([rng.normal(0.0, 0.6), rng.uniform(0.2, 1.2), 0.7])
    return Scene(
        sensor=sensor,
        camera=camera,
        light=direction / np.linalg.norm(direction),
        level=float(np.exp(rng.uniform(np.log(0.6), np.log(1.3)))),
        veil=rng.uniform(0.0, 0.03),
        wall=_draw_wall(_unlike(person.skin, rng, 0.04, 0.85), sensor, rng),
    )


def _draw_wall(tone: float, sensor: SensorSize, rng: np.random.Generator) -> Floats:
    height, width = sensor.height, sensor.width
    wall = np.full((height, width), tone, np.float32)
    for _ in range(rng.integers(0, 7)):  # doors, posters, shelves
        x, y = rng.uniform(-0.2, 1.0, 2) * (width, height)
        w, h = rng.uniform(0.05, 0.5, 2) * (width, height)
        own = float(np.clip(tone * rng.uniform(0.6, 1.6), 0.03, 0.85))
        cv2.rectangle(wall, (int(x), int(y)), (int(x + w), int(y + h)), own, cv2.FILLED)
    wall = cv2.GaussianBlur(wall, (0, 0), rng.uniform(0.5, 1.5))
    coarse = rng.normal(0.0, 1.0, (6, 6)).astype(np.float32)
    stains = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    ramp = np.linspace(-1, 1, width)[None] * rng.normal(0, 0.2) + np.linspace(-1, 1, height)[:, None] * rng.normal(
        0, 0.2
    )
    grain = rng.normal(0.0, rng.uniform(0.0, 0.04), (height, width))
    return np.asarray(wall * np.exp(rng.uniform(0.0, 0.12) * stains + ramp + grain), np.float64)


def render(person: Person, scene: Scene, pose: Pose) -> Iterator[Bytes]:
    """One picture uint8 [H, W] per moment of the pose.

    Args:
        person: Who is seen.
        scene: Where.
        pose: The joints over time.
    """
    size = (scene.sensor.width, scene.sensor.height)
    wall = np.clip(scene.grey(scene.wall), 0, 255).astype(np.uint8)
    rest = rest_body(person)
    layers = []
    for paint, part, moving in ((_paint_torso, 0, pose.torso), (_paint_head, 1, pose.head)):
        corners = scene.camera.project(rest[part])[:, :2].astype(np.float32)
        paths = scene.camera.project(moving)[..., :2].astype(np.float32)
        layers.append((paint(person, scene), corners, paths))
    arms = [_arm_polygons(person, scene, pose, side) for side in (RIGHT, LEFT)]
    right_is_nearer = pose.arms[:, RIGHT, WRIST, 2] > pose.arms[:, LEFT, WRIST, 2]
    for k, nearer in enumerate(right_is_nearer):
        picture = wall
        for layer, corners, paths in layers:
            moved = cv2.warpAffine(layer, cv2.getAffineTransform(corners, paths[k]), size, flags=cv2.INTER_LINEAR)
            light, cover = cv2.split(moved)
            picture = cv2.add(cv2.multiply(picture, cv2.bitwise_not(cover), scale=1 / 255), light)
        fine = cv2.resize(picture, None, fx=_FINE, fy=_FINE, interpolation=cv2.INTER_NEAREST)
        for side in (LEFT, RIGHT) if nearer else (RIGHT, LEFT):
            for points, greys in arms[side]:
                cv2.fillConvexPoly(fine, points[k], greys[k], cv2.LINE_AA, _SHIFT)
        yield cv2.resize(fine, size, interpolation=cv2.INTER_AREA)


def rest_body(person: Person) -> tuple[Floats, Floats]:
    """The points of `Pose.torso` and `Pose.head`, [3, 3] each, of the person at rest."""
    half, head = person.shoulders_m / 2, person.head_m
    torso = [[-half, 0, 0], [half, 0, 0], [0, -TORSO_M, 0]]
    return np.array(torso, float), np.array([[0, NECK_M, 0], [0, NECK_M + head, 0], [head, NECK_M, 0]], float)


class _Canvas:
    """A layer being drawn at rest: brightness and cover, [H, W], with coordinates in metres from a point."""

    def __init__(self, scene: Scene, y_m: float) -> None:
        self.scene = scene
        shape = (scene.sensor.height * _FINE, scene.sensor.width * _FINE)
        self.light = np.zeros(shape, np.float32)
        self.cover = np.zeros(shape, np.uint8)
        camera = scene.camera
        rows, columns = np.indices(shape) / _FINE
        self.x = (columns - camera.x_px) / camera.scale_px
        self.y = (camera.y_px - rows) / camera.scale_px - y_m
        self._y_m = y_m

    def fill(self, outline: Floats, brightness: float | Floats) -> None:
        """Paints the inside of an outline [P, 2] in metres with one brightness, or that of an array [H, W]."""
        camera = self.scene.camera
        turned = outline * (np.cos(camera.yaw), 1.0) + (0.0, self._y_m)
        pixels = _FINE * (turned * (camera.scale_px, -camera.scale_px) + (camera.x_px, camera.y_px))
        mask = np.zeros_like(self.cover)
        cv2.fillPoly(mask, [_fixed(pixels)], 255, cv2.LINE_AA, _SHIFT)
        part = mask / np.float32(255)
        self.light += part * (brightness - self.light)
        np.maximum(self.cover, mask, out=self.cover)

    def layer(self) -> Bytes:
        """The picture multiplied by its cover, and the cover: uint8 [H, W, 2]."""
        size = (self.scene.sensor.width, self.scene.sensor.height)
        grey = self.scene.grey(self.light.astype(np.float64)) * self.cover / 255
        both = np.stack([grey, self.cover], axis=-1).astype(np.float32)
        return np.asarray(cv2.resize(both, size, interpolation=cv2.INTER_AREA).round(), np.uint8)


def _mirrored(right_half: list[tuple[float, float]]) -> Floats:
    """A symmetric outline from its half at x > 0, given from top to bottom."""
    half = np.array(right_half)
    return np.concatenate([half, half[::-1] * (-1, 1)])


def _oval(x: float, y: float, width: float, height: float) -> Floats:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + width / 2 * np.cos(angle), y + height / 2 * np.sin(angle)], axis=-1)


def _paint_torso(person: Person, scene: Scene) -> Bytes:
    rng = np.random.default_rng(person.seed)
    canvas = _Canvas(scene, y_m=0.0)
    half = person.shoulders_m / 2
    x, y = canvas.x, canvas.y
    round_shade = 0.85 + 0.15 * scene.light[2] + 0.35 * scene.light[0] * x / half - 0.30 * (x / half) ** 2 + 0.15 * y
    cloth = np.full_like(x, person.clothes)
    if person.pattern == "stripes":
        along = y if rng.random() < 0.7 else x
        cloth[np.sin(2 * np.pi * along / person.pattern_m) > 0.2] *= person.pattern_contrast
    elif person.pattern == "patches":
        for _ in range(8):
            px, py, size = rng.uniform(-half, half), rng.uniform(-0.6, 0.0), rng.uniform(0.3, 0.9) * person.pattern_m
            cloth[np.abs(x - px) + np.abs(y - py) < size] *= person.pattern_contrast
    folds = cv2.resize(rng.normal(0, 0.10, (16, 12)).astype(np.float32), x.shape[::-1], interpolation=cv2.INTER_CUBIC)
    shaded = np.clip(cloth * np.exp(folds) * np.clip(round_shade, 0.3, 1.2), 0.01, 1.0)
    r = 1.15 * person.arm_radius_m
    outline = _mirrored([(0.06, 0.055), (half, r), (half + r, -0.03), (half, -0.16), (0.82 * half, -0.34),
                         (0.95 * half, -TORSO_M), (1.02 * half, -1.2)])  # fmt: skip
    canvas.fill(outline, shaded)
    canvas.fill(np.array([[-half * 1.1, -0.62], [half * 1.1, -0.62], [half * 1.1, -1.2], [-half * 1.1, -1.2]]), 0.06)
    collar = rng.uniform(0.0, 0.09)
    canvas.fill(_mirrored([(0.058, 0.055), (0.03, 0.05 - collar)]), 0.75 * person.skin)
    canvas.fill(_mirrored([(0.05, NECK_M + 0.06), (0.052, 0.05)]), 0.6 * person.skin)  # under the chin it is dark
    return canvas.layer()


def _paint_head(person: Person, scene: Scene) -> Bytes:
    canvas = _Canvas(scene, y_m=NECK_M)
    h, skin, hair = person.head_m, person.skin, person.hair
    width = 0.74 * h
    if person.hair_length > 0:
        canvas.fill(_oval(0, 0.58 * h, width + 0.12 * h, 0.95 * h), hair)
    if person.hair_length == 1:
        canvas.fill(_mirrored([(0.40 * h, 0.6 * h), (0.46 * h, -0.2 * h)]), hair)
    lit = 0.85 + 0.7 * scene.light[0] * canvas.x / width - 0.5 * (canvas.x / width) ** 2
    canvas.fill(
        _oval(0, 0.48 * h, width, h * (0.98 if person.hair_length == 0 else 0.92)), skin * np.clip(lit, 0.4, 1.2)
    )
    if person.hair_length > 0:
        canvas.fill(_mirrored([(0.1 * h, 1.0 * h), (0.32 * h, 0.9 * h), (0.36 * h, 0.7 * h), (0.2 * h, 0.8 * h)]), hair)
    for side in (-1, 1):
        canvas.fill(_oval(side * 0.16 * h, 0.53 * h, 0.13 * h, 0.07 * h), 0.3 * skin)
        canvas.fill(_oval(side * 0.16 * h, 0.62 * h, 0.18 * h, 0.04 * h), 0.5 * (hair + 0.5 * skin))
        if person.glasses:
            canvas.fill(_oval(side * 0.17 * h, 0.53 * h, 0.26 * h, 0.18 * h), 0.35 * skin)
            canvas.fill(_oval(side * 0.17 * h, 0.53 * h, 0.20 * h, 0.13 * h), 0.7 * skin)
    canvas.fill(_oval(0.02 * h, 0.36 * h, 0.10 * h, 0.09 * h), 0.7 * skin)
    canvas.fill(_oval(0, 0.21 * h, 0.26 * h, 0.05 * h), 0.45 * skin)
    return canvas.layer()


Polygons = list[tuple[NDArray[np.int32], list[float]]]  # points [T, P, 2] and grey per moment, in drawing order


def _arm_polygons(person: Person, scene: Scene, pose: Pose, side: int) -> Polygons:
    """What one arm looks like over time, sleeve and hand included."""
    joints, radius = pose.arms[:, side], person.arm_radius_m
    widths = radius * np.array([1.05, 0.85, 0.58])
    stops = sorted({0.0, 0.5, person.sleeve, 1.0})
    polygons: Polygons = []
    # The forearm comes last, as it is nearer to the camera; a sleeve lies over the skin.
    for start, stop in sorted(pairwise(stops), key=lambda piece: (piece[0] >= 0.5, -piece[0])):
        covered = stop <= person.sleeve
        bone = 0 if stop <= 0.5 else 1
        ends = [joints[:, bone] + (2 * at - bone) * (joints[:, bone + 1] - joints[:, bone]) for at in (start, stop)]
        radii = [float(np.interp(at, (0, 0.5, 1), widths)) * (1.15 if covered else 1.0) for at in (start, stop)]
        polygons += _limb(scene, ends, radii, person.clothes if covered else person.skin)
        if covered and person.pattern == "stripes":
            polygons += _bands(person, scene, ends, radii)
    return polygons + _hand(person, scene, pose, side)


def _limb(scene: Scene, ends: list[Floats], radii: list[float], tone: float, core_only: bool = False) -> Polygons:
    """A tapered round limb between two points [T, 3], darker at its edges, lighter where it faces the light."""
    along = ends[1] - ends[0]
    length = np.linalg.norm(along, axis=-1) + 1e-6
    lit = 0.65 + 0.45 * np.sqrt(np.clip(1 - (along @ scene.light / length) ** 2, 0, 1))
    first, last = scene.camera.project(ends[0]), scene.camera.project(ends[1])
    to_light = scene.light[:2] * (1, -1)
    polygons: Polygons = []
    for width, shift, brightness in _SHADES[1:2] if core_only else _SHADES:
        r0, r1 = (radius * end[:, 2] for radius, end in zip(radii, (first, last), strict=True))
        ahead = last[:, :2] - first[:, :2]
        ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True) + 1e-6
        # The lighter cores reach the round ends, or every joint would show a dark ring.
        a = first[:, :2] + r0[:, None] * (shift * to_light - (1 - width) * ahead)
        b = last[:, :2] + r1[:, None] * (shift * to_light + (1 - width) * ahead)
        polygons.append((_capsule(a, b, width * r0, width * r1), scene.grey(tone * brightness * lit).tolist()))
    return polygons


def _capsule(a: Floats, b: Floats, ra: Floats, rb: Floats) -> NDArray[np.int32]:
    """Convex outlines [T, P, 2] around two circles, in fixed-point coordinates of the fine picture."""
    angle = np.arctan2(b[:, 1] - a[:, 1], b[:, 0] - a[:, 0])[:, None]
    front, back = angle + _ARC, angle + _ARC + np.pi
    head = b[:, None] + rb[:, None, None] * np.stack([np.cos(front), np.sin(front)], axis=-1)
    tail = a[:, None] + ra[:, None, None] * np.stack([np.cos(back), np.sin(back)], axis=-1)
    return _fixed(_FINE * np.concatenate([head, tail], axis=1))


def _fixed(pixels: Floats) -> NDArray[np.int32]:
    return np.round((pixels - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _bands(person: Person, scene: Scene, ends: list[Floats], radii: list[float]) -> Polygons:
    """Stripes across a sleeve."""
    length = float(np.linalg.norm(ends[1][0] - ends[0][0]))
    polygons: Polygons = []
    for at in np.arange(0.25 * person.pattern_m, length, person.pattern_m) / length:
        thick = min(0.2 * person.pattern_m / length, 1 - at)
        pair = [ends[0] + share * (ends[1] - ends[0]) for share in (at, at + thick)]
        radius = 0.9 * (radii[0] + at * (radii[1] - radii[0]))
        first, last = (scene.camera.project(end) for end in pair)
        across = (last - first)[:, 1::-1] * (1, -1)
        across *= (radius * first[:, 2] / (np.linalg.norm(across, axis=-1) + 1e-6))[:, None]
        corners = [first[:, :2] + across, last[:, :2] + across, last[:, :2] - across, first[:, :2] - across]
        grey = float(scene.grey(np.array(0.8 * person.clothes * person.pattern_contrast)))
        polygons.append((_fixed(_FINE * np.stack(corners, axis=1)), [grey] * len(first)))
    return polygons


def _hand(person: Person, scene: Scene, pose: Pose, side: int) -> Polygons:
    """A palm, four fingers and a thumb that points to the performer's middle when the palm faces the camera."""
    wrist, knuckles, palm = pose.arms[:, side, WRIST], pose.arms[:, side, KNUCKLES], pose.palms[:, side]
    ahead = knuckles - wrist
    ahead = ahead / (np.linalg.norm(ahead, axis=-1, keepdims=True) + 1e-6)
    across = np.cross(ahead, palm) * (-1 if side == RIGHT else 1)  # towards the thumb
    size, spread = person.hand_m, float(pose.spread[side])
    finger_m = 0.48 * size * float(pose.curl[side])

    def finger(base: Floats, angle: float, length: float, radius: float) -> Polygons:
        tip = base + length * (np.cos(angle) * ahead + np.sin(angle) * across)
        return _limb(scene, [base, tip], [radius * size, 0.8 * radius * size], person.skin, core_only=True)

    polygons = finger(wrist + 0.1 * size * ahead, 0.5 + 1.2 * spread, 0.55 * size, 0.075)
    for k, length in zip((-1.5, -0.5, 0.5, 1.5), (0.8, 0.95, 1.0, 0.9), strict=True):
        polygons += finger(knuckles + 0.13 * size * k * across, spread * k, length * finger_m, 0.062)
    middle = wrist + 0.75 * (knuckles - wrist)
    facing = 0.14 + 0.10 * float(np.abs(palm[:, 2]).mean())
    return polygons + _limb(scene, [wrist, middle], [0.17 * size, facing * size], person.skin)
