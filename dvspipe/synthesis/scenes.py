"""The scene of a clip: camera, light and background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..events import SensorSize
from ..video.opencv import cv2
from .people import Floats, Person, contrasting_tone, unit

LightKind = Literal["fluorescent", "led", "natural"]  # those of DVS128 Gesture (Amir et al. 2017)
LIGHTS: tuple[LightKind, ...] = get_args(LightKind)
PERSON_M = 1.72  # from the crown to the feet
ABOVE_M = 0.36  # from the line of the shoulders to a little above the crown
MIN_SCALE_PX = 35.0
MAX_YAW = 0.8  # of people before a webcam: 45 degrees


def to_srgb(light: NDArray[Any]) -> NDArray[Any]:
    """Return values in sRGB (IEC 61966-2-1) of light from 0 to 1, of the same floating-point type."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class Light:
    """A light.

    Args:
        direction: Unit vector [3] towards it, in the person's space.
        ambient: Share of the light that comes from all directions.
        level: Brightness of a white surface that faces it.
        veil: Stray light in the camera, added to every pixel.
        flicker_hz: Frequency of the flicker, twice that of the mains.
        flicker: Amplitude of the flicker, relative to the mean.
        phase: Phase of the flicker, in radians.
    """

    direction: Floats
    ambient: float
    level: float
    veil: float
    flicker_hz: float
    flicker: float
    phase: float

    def strength(self, t_s: Floats) -> Floats:
        """Return the light at times [T], relative to the mean."""
        return np.asarray(1 + self.flicker * np.cos(2 * np.pi * self.flicker_hz * t_s + self.phase))


def draw_light(kind: LightKind, rng: np.random.Generator) -> Light:
    """Return a light of a kind: tubes are above, lamps above or in front, a window on a side."""
    aside, above = {"fluorescent": (0.3, (0.7, 1.6)), "led": (0.5, (0.3, 1.4)), "natural": (1.0, (0.0, 0.6))}[kind]
    # A tube with a choke flickers with the mains; one with an electronic ballast, or a lamp, hardly or not at all.
    flickers = kind == "fluorescent" and rng.random() < 0.6
    return Light(
        direction=unit(np.array([rng.normal(0.0, aside), rng.uniform(*above), 0.7])),
        ambient=rng.uniform(0.25, 0.65),
        level=float(np.exp(rng.uniform(np.log(0.35), np.log(1.1)))),
        veil=rng.uniform(0.0, 0.03),
        flicker_hz=float(rng.choice([100.0, 120.0])),
        flicker=rng.uniform(0.01, 0.07) if flickers else 0.0,
        phase=rng.uniform(0, 2 * np.pi),
    )


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in front of the person.

    Args:
        scale_px: Pixels per metre at the distance of the shoulders.
        distance_m: Distance from the shoulders.
        x_px: Column of the origin.
        y_px: Row of the origin.
        yaw: Angle by which the person is turned away from it, in radians.
        pitch: Angle by which it looks down, in radians.
    """

    scale_px: float
    distance_m: float
    x_px: float
    y_px: float
    yaw: float
    pitch: float

    def turn(self, vectors: Floats) -> Floats:
        """Return vectors [..., 3] of the person's space in the camera's: right, up, towards the camera."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        yawed = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        turning = (np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ yawed).T
        return np.asarray((vectors.reshape(-1, 3) @ turning).reshape(vectors.shape))  # one product, not many small ones

    def project(self, points: Floats) -> Floats:
        """Return column, row and pixels per metre [..., 3] of points [..., 3]; pixel k covers k to k + 1."""
        x, y, z = np.moveaxis(self.turn(points), -1, 0)
        scale = self.scale_px * self.distance_m / (self.distance_m - z)
        return np.stack([self.x_px + scale * x, self.y_px - scale * y, scale], axis=-1)


@dataclass(frozen=True)
class Scene:
    """The scene of a clip.

    Args:
        sensor: Size of the pictures.
        camera: The camera.
        light: The light.
        wall: Brightness [H, W] of the background.
        blur_px: Standard deviation of the blur of the lens.
    """

    sensor: SensorSize
    camera: Camera
    light: Light
    wall: NDArray[np.float32]
    blur_px: float


def draw_near_camera(sensor: SensorSize, rng: np.random.Generator) -> Camera:
    """Return a camera before a person whose head is at a third of the picture's height and whose hips are at its edge.

    This is how DVS128 Gesture was recorded, with a 4.5 mm lens little more than a metre from the person.
    """
    side = sensor.height
    scale = rng.uniform(0.5, 0.98) * side
    return Camera(
        scale_px=scale,
        distance_m=rng.uniform(0.95, 2.0),
        x_px=sensor.width / 2 + float(np.clip(rng.normal(0.0, 0.06), -0.14, 0.14)) * side,
        y_px=float(np.clip(side - rng.uniform(0.40, 0.60) * scale, 0.44 * side, 0.66 * side)),
        yaw=rng.normal(0.0, 0.13),
        pitch=rng.normal(0.0, 0.10),
    )


def draw_far_camera(sensor: SensorSize, rng: np.random.Generator) -> Camera:
    """Return a camera that sees a person anywhere: from head and shoulders alone to a fifth of the picture's height.

    One person in four is turned aside by up to 45 degrees.

    A person has at least MIN_SCALE_PX pixels per metre; with fewer, arms cannot be seen. The ranges are guesses.
    """
    width, height = sensor.width, sensor.height
    high = 1.3 * height
    scale = float(np.exp(rng.uniform(np.log(min(max(0.2 * height / PERSON_M, MIN_SCALE_PX), high)), np.log(high))))
    focal_px = rng.uniform(0.55, 1.0) * width  # horizontal angles of view of 85 to 53 degrees
    highest, lowest = ABOVE_M * scale, height - min(0.45, 0.25 + 0.2 * rng.random()) * scale
    aside = min(0.4 * scale, 0.5 * width)
    return Camera(
        scale_px=scale,
        distance_m=max(0.6, focal_px / scale),
        x_px=rng.uniform(aside, width - aside) if rng.random() < 0.7 else width / 2 + rng.normal(0.0, 0.05) * width,
        y_px=rng.uniform(min(highest, lowest), max(highest, lowest)),
        yaw=rng.uniform(-MAX_YAW, MAX_YAW) if rng.random() < 0.25 else rng.normal(0.0, 0.2),
        pitch=rng.normal(0.0, 0.12),
    )


def draw_scene(
    person: Person,
    sensor: SensorSize,
    kind: LightKind,
    rng: np.random.Generator,
    draw_camera: Callable[[SensorSize, np.random.Generator], Camera] = draw_near_camera,
) -> Scene:
    """Return a random scene: camera, light and background.

    Args:
        person: Whose skin the background must contrast with.
        sensor: Size of the pictures.
        kind: Kind of light.
        rng: Draws everything.
        draw_camera: Draws the camera.
    """
    camera = draw_camera(sensor, rng)
    wall = _draw_wall(contrasting_tone(person.skin, rng, 0.04, 0.85), sensor, rng)
    return Scene(sensor, camera, draw_light(kind, rng), wall, blur_px=rng.uniform(0.2, 0.6))


def _draw_wall(tone: float, sensor: SensorSize, rng: np.random.Generator) -> NDArray[np.float32]:
    height, width = sensor.height, sensor.width
    wall = np.full((height, width), tone, np.float32)
    for _ in range(rng.integers(0, 10)):  # doors, posters, shelves, cables
        x, y = rng.uniform(-0.2, 1.0, 2) * (width, height)
        w, h = rng.choice([0.02, 0.3, 0.5], 2) * rng.uniform(0.2, 1.0, 2) * (width, height)
        own = float(np.clip(tone * np.exp(rng.normal(0.0, 0.5)), 0.02, 0.9))
        cv2.rectangle(wall, (int(x), int(y)), (int(x + w), int(y + h)), own, cv2.FILLED)
    wall = cv2.GaussianBlur(wall, (0, 0), rng.uniform(0.5, 1.5))
    coarse = rng.normal(0.0, 1.0, (6, 6)).astype(np.float32)
    stains = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    across, down = np.linspace(-1, 1, width)[None], np.linspace(-1, 1, height)[:, None]
    ramp = across * rng.normal(0, 0.2) + down * rng.normal(0, 0.2)
    grain = rng.normal(0.0, rng.uniform(0.0, 0.04), (height, width))
    return np.asarray(wall * np.exp(rng.uniform(0.0, 0.12) * stains + ramp + grain), np.float32)
