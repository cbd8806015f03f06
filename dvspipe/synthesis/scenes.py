"""Scene of a clip: camera, light and background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..events import SensorSize
from ..video.opencv import cv2
from .people import Floats, Person, contrasting_tone, unit

LightKind = Literal["fluorescent", "led", "natural"]  # lights of DVS128 Gesture (Amir et al. 2017)
LIGHTS: tuple[LightKind, ...] = get_args(LightKind)
PERSON_M = 1.72  # height of a person, crown to feet
ABOVE_M = 0.36  # distance from the shoulder line to just above the crown
MIN_SCALE_PX = 35.0
FILLING_SHARE = 0.35  # share of people who fill the picture of a webcam
CUT_SHARE = 0.2  # share of people cut at one side, and of those who fill the picture cut at the forehead
MAX_LOG_OBJECTS = 3.7  # natural logarithm of the maximum number of objects behind a person
MAX_YAW = 0.8  # maximum turn of people in front of a webcam: 45 degrees


def to_srgb(light: NDArray[Any]) -> NDArray[Any]:
    """Convert linear light to sRGB (IEC 61966-2-1), both 0 to 1, in the same floating-point type."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class Light:
    """Light source.

    Args:
        direction: Unit vector towards the light in the person's coordinates, [3].
        ambient: Fraction of light from all directions.
        level: Brightness of a white surface that faces the light.
        veil: Stray light in the camera, added to every pixel.
        flicker_hz: Flicker frequency: twice the mains frequency.
        flicker: Flicker amplitude relative to the mean.
        phase: Flicker phase in radians.
    """

    direction: Floats
    ambient: float
    level: float
    veil: float
    flicker_hz: float
    flicker: float
    phase: float

    def strength(self, t_s: Floats) -> Floats:
        """Return the light relative to its mean at times [T] in seconds."""
        return np.asarray(1 + self.flicker * np.cos(2 * np.pi * self.flicker_hz * t_s + self.phase))


def draw_light(kind: LightKind, rng: np.random.Generator) -> Light:
    """Draw a light: fluorescent tubes are above, LED lamps above or in front, natural light comes from the side."""
    aside, above = {"fluorescent": (0.3, (0.7, 1.6)), "led": (0.5, (0.3, 1.4)), "natural": (1.0, (0.0, 0.6))}[kind]
    # Tubes with a magnetic ballast flicker with the mains; with electronic ballast, and lamps, hardly or not at all.
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
    """Pinhole camera in front of the person.

    Args:
        scale_px: Pixels per metre at the distance of the shoulders.
        distance_m: Distance from the shoulders in metres.
        x_px: Column of the person's origin (between the shoulders).
        y_px: Row of the person's origin.
        yaw: Angle by which the person turns away from the camera, in radians.
        pitch: Angle by which the camera looks down, in radians.
    """

    scale_px: float
    distance_m: float
    x_px: float
    y_px: float
    yaw: float
    pitch: float

    def turn(self, vectors: Floats) -> Floats:
        """Rotate vectors [..., 3] from person to camera coordinates: right, up, towards the camera."""
        cos = np.cos(self.yaw)
        sin = np.sin(self.yaw)
        yawed = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])

        cos = np.cos(self.pitch)
        sin = np.sin(self.pitch)

        turning = (np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ yawed).T
        return np.asarray((vectors.reshape(-1, 3) @ turning).reshape(vectors.shape))  # one product: faster

    def project(self, points: Floats) -> Floats:
        """Project points [..., 3] to column, row and pixels per metre, [..., 3]; pixel k covers k to k + 1."""
        x, y, z = np.moveaxis(self.turn(points), -1, 0)
        scale = self.scale_px * self.distance_m / (self.distance_m - z)
        return np.stack([self.x_px + scale * x, self.y_px - scale * y, scale], axis=-1)


@dataclass(frozen=True)
class Scene:
    """Scene of a clip.

    Args:
        sensor: Picture size.
        camera: Camera.
        light: Light source.
        wall: Brightness of the background, [H, W].
        blur_px: Standard deviation of the lens blur in pixels.
    """

    sensor: SensorSize
    camera: Camera
    light: Light
    wall: NDArray[np.float32]
    blur_px: float


def draw_near_camera(sensor: SensorSize, rng: np.random.Generator) -> Camera:
    """Draw a camera close to the person: the head at a third of the picture height, the hips at the edge.

    DVS128 Gesture was recorded like this, with a 4.5 mm lens slightly more than a metre from the person.
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
    """Draw a camera with the person at any position and size, from head and shoulders to a fifth of the picture height.

    Some people fill the picture, cut below between chest and thighs, or are cut at the forehead or beside a shoulder.
    One person in three is turned by up to 45 degrees. A person has at least MIN_SCALE_PX pixels per metre; with fewer,
    arms are invisible. The ranges are guesses.
    """
    width, height = sensor.width, sensor.height
    nearest = min(1.3 * height, 1.4 * width)  # both hands fit into the picture
    farthest = min(max(0.2 * height / PERSON_M, MIN_SCALE_PX), nearest)

    # People who fill the picture are at its upper edge; all others are anywhere.
    if rng.random() < FILLING_SHARE:
        above_m = rng.uniform(0.24, ABOVE_M) if rng.random() < CUT_SHARE else ABOVE_M + rng.uniform(0.0, 0.3)
        scale = float(np.clip(height / (above_m + rng.uniform(0.3, 0.9)), farthest, nearest))
        y_px = above_m * scale
    else:
        scale = float(np.exp(rng.uniform(np.log(farthest), np.log(nearest))))
        highest = ABOVE_M * scale
        lowest = height - min(0.45, 0.25 + 0.2 * rng.random()) * scale
        y_px = rng.uniform(min(highest, lowest), max(highest, lowest))

    aside = min(0.4 * scale, 0.5 * width)
    x_px = rng.uniform(aside, width - aside) if rng.random() < 0.7 else width / 2 + rng.normal(0.0, 0.05) * width

    # The edge of the picture may cut off a hand.
    if rng.random() < CUT_SHARE:
        edge = min(rng.uniform(0.22, 0.42) * scale, 0.5 * width)
        x_px = edge if rng.random() < 0.5 else width - edge

    focal_px = rng.uniform(0.55, 1.0) * width  # horizontal field of view of 85 to 53 degrees
    return Camera(
        scale_px=scale,
        distance_m=max(0.6, focal_px / scale),
        x_px=x_px,
        y_px=y_px,
        yaw=rng.uniform(-MAX_YAW, MAX_YAW) if rng.random() < 0.33 else rng.normal(0.0, 0.2),
        pitch=rng.normal(0.0, 0.12),
    )


def draw_scene(
    person: Person,
    sensor: SensorSize,
    kind: LightKind,
    rng: np.random.Generator,
    draw_camera: Callable[[SensorSize, np.random.Generator], Camera] = draw_near_camera,
) -> Scene:
    """Draw a random scene: camera, light and background."""
    camera = draw_camera(sensor, rng)
    wall = _draw_wall(contrasting_tone(person.skin, rng, 0.04, 0.85), sensor, rng)

    return Scene(sensor, camera, draw_light(kind, rng), wall, blur_px=rng.uniform(0.2, 0.6))


def _draw_wall(tone: float, sensor: SensorSize, rng: np.random.Generator) -> NDArray[np.float32]:
    height, width = sensor.height, sensor.width
    wall = np.full((height, width), tone, np.float32)
    for _ in range(int(np.exp(rng.uniform(0, MAX_LOG_OBJECTS)))):  # doors, posters, shelves, cables
        x, y = rng.uniform(-0.2, 1.0, 2) * (width, height)
        w, h = rng.choice([0.02, 0.3, 0.5], 2) * rng.uniform(0.2, 1.0, 2) * (width, height)
        brightness = float(np.clip(tone * np.exp(rng.normal(0.0, 0.7)), 0.02, 0.9))
        cv2.rectangle(wall, (int(x), int(y)), (int(x + w), int(y + h)), brightness, cv2.FILLED)

    # Out of focus, stained, unevenly lit and slightly noisy.
    wall = cv2.GaussianBlur(wall, (0, 0), rng.uniform(0.5, 1.5))
    coarse = rng.normal(0.0, 1.0, (6, 6)).astype(np.float32)
    stains = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    across = np.linspace(-1, 1, width)[None]
    down = np.linspace(-1, 1, height)[:, None]
    ramp = across * rng.normal(0, 0.2) + down * rng.normal(0, 0.2)
    grain = rng.normal(0.0, rng.uniform(0.0, 0.04), (height, width))

    return np.asarray(wall * np.exp(rng.uniform(0.0, 0.12) * stains + ramp + grain), np.float32)
