"""Measure the timing of simulated events: `python scripts/studies/timing_truth.py [--scene NAME] [--fps 300 60 30]`.

With `--scale 2`, the camera has 692 x 520 pixels; the same scenes then move twice as many pixels per second.

A scene is rendered at 3,000 fps in floats. Its events with thresholds 0.2 are the ground truth. The source video
consists of every 10th, 50th or 100th frame, rounded to 8 bits. It is simulated with linear crossing and with
`upsample=`. A true and a simulated event match if they have the same pixel and polarity and are at most one
source-frame interval apart. The columns:

- med, p90: median and 90th percentile of the time from each matched true event to the nearest simulated event
- missed: true events without a match
- false: simulated events without a match
- CPU: CPU time per pair of frames on one thread, simulation included
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.simulator import Factor, SimulatorConfig, simulate
from dvspipe.video.frames import Frame
from dvspipe.video.opencv import cv2

SCENE = SensorSize(width=346, height=260)
TRUTH_FPS = 3000
DURATION_S = 0.2
FINENESS = 3  # samples per pixel along each axis: hard edges need supersampling
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """Camera that films the scenes.

    Args:
        scale: Pixels per unit of length. Scenes measure `SCENE` units.
    """

    scale: int = 1

    @property
    def sensor(self) -> SensorSize:
        return SensorSize(self.scale * SCENE.width, self.scale * SCENE.height)

    @property
    def samples(self) -> int:
        """Number of samples per unit of length."""
        return self.scale * FINENESS

    @property
    def fine_size(self) -> tuple[int, int]:
        return SCENE.width * self.samples, SCENE.height * self.samples

    def pixels(self, fine: Image) -> Image:
        """Average the samples of each pixel."""
        size = self.sensor.width, self.sensor.height
        return np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), np.float32)


@dataclass(frozen=True)
class Row:
    """Result for a scene, a transfer function, a source frame rate and a method; see the columns above."""

    scene: str
    transfer: str
    fps: int
    method: str
    median_ms: float
    p90_ms: float
    missed: float
    false: float
    events: int
    cpu_ms_per_pair: float

    def line(self) -> str:
        return (
            f"{self.scene:8} {self.transfer:7} {self.fps:4} {self.method:7} {self.median_ms:8.3f} {self.p90_ms:8.3f} "
            f"{self.missed:7.2%} {self.false:7.2%} {self.events:9} "
            f"{self.cpu_ms_per_pair:8.1f}"
        )


HEADER = (
    "scene    values   fps method   med ms   p90 ms  missed   false    events   CPU ms\n"
    "                                                                           /pair"
)


def texture(height: int, width: int, rng: np.random.Generator, mean: float, spread: float) -> Image:
    """Return log-normal noise at scales of 2 to 64 pixels, stronger at coarse scales: grey values around `mean`."""
    total = np.zeros((height, width), np.float32)
    for scale in (2, 4, 8, 16, 32, 64):
        coarse = rng.standard_normal((height // scale + 3, width // scale + 3)).astype(np.float32)
        fine = cv2.resize(coarse, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += scale**0.7 * fine[:height, :width]

    return np.asarray(mean * np.exp(spread * total / total.std()), np.float32)


def rigid_canvas(rng: np.random.Generator, samples: int) -> Image:
    """Return a textured plane with 60 hard-edged discs and boxes."""
    side = 2 * int(np.hypot(SCENE.width, SCENE.height) / 2 + 40)
    canvas = cv2.resize(texture(side, side, rng, 90, 0.45), None, fx=samples, fy=samples)
    for number in range(60):
        x, y = rng.integers(0, side * samples, 2).tolist()
        radius = int(rng.integers(5, 25)) * samples
        grey = float(rng.uniform(10, 245))
        if number % 2:
            cv2.circle(canvas, (x, y), radius, grey, -1)
        else:
            cv2.rectangle(canvas, (x - radius, y - radius // 2), (x + radius, y + radius // 2), grey, -1)

    return np.asarray(np.clip(canvas, 0, 255), np.float32)


def _rotation(x: float, y: float, radians: float, pivot: tuple[float, float], samples: int) -> NDArray[np.float64]:
    """Return the affine map that rotates a canvas about `pivot` and moves the pivot to (x, y) in the scene."""
    cosine = np.cos(radians)
    sine = np.sin(radians)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = np.array([x, y]) * samples - turn @ pivot
    return np.column_stack([turn, shift])


def rigid_scene(times_s: NDArray[np.float64], seed: int, camera: Camera) -> Iterator[Image]:
    """Yield images of the plane as it moves at 183 px/s and rotates at 90 degrees/s."""
    canvas = rigid_canvas(np.random.default_rng(seed), camera.samples)
    pivot = _centre(canvas)
    for t in times_s - DURATION_S / 2:
        centre = SCENE.width / 2 + 183 * t * np.cos(0.5), SCENE.height / 2 + 183 * t * np.sin(0.5)
        map_ = _rotation(*centre, np.radians(90) * t, pivot, camera.samples)
        yield camera.pixels(cv2.warpAffine(canvas, map_, camera.fine_size, borderMode=cv2.BORDER_REFLECT_101))


def _centre(image: Image) -> tuple[float, float]:
    """Return the x and y of the centre of an image."""
    height, width = image.shape
    return width / 2, height / 2


class Motion(NamedTuple):
    """Position at half time in px, speed in px/s and rotation in rad/s."""

    x: float
    y: float
    vx: float
    vy: float
    turn: float


def _objects(rng: np.random.Generator, samples: int) -> list[tuple[Image, Image, Motion]]:
    """Return texture, coverage and motion of the objects, back to front."""
    motions = [
        Motion(120.0, 90.0, 240.0, 60.0, 0.5),
        Motion(230.0, 150.0, -360.0, 90.0, -0.4),
        Motion(170.0, 190.0, 150.0, -330.0, 1.0),
        Motion(180.0, 110.0, 570.0, 180.0, 0.0),
        Motion(90.0, 180.0, -120.0, 0.0, -1.5),
        Motion(250.0, 70.0, -480.0, 120.0, 0.7),
    ]
    objects = []
    for number, motion in enumerate(motions):
        radius = int(rng.integers(24, 44))
        side = (2 * radius + 8) * samples
        pattern = cv2.resize(texture(side // samples, side // samples, rng, rng.uniform(40, 160), 0.4), (side, side))
        cover = np.zeros((side, side), np.float32)

        middle = side // 2
        reach = radius * samples
        if number % 2:
            cv2.circle(cover, (middle, middle), reach, 1.0, -1)
        else:
            low = middle - reach * 2 // 3
            high = middle + reach * 2 // 3
            cv2.rectangle(cover, (middle - reach, low), (middle + reach, high), 1.0, -1)

        objects.append((np.asarray(np.clip(pattern, 0, 255), np.float32), cover, motion))

    return objects


def layers_scene(times_s: NDArray[np.float64], seed: int, camera: Camera) -> Iterator[Image]:
    """Yield images of six textured objects that occlude each other, at 120 to 600 px/s, on a background at 45 px/s."""
    rng = np.random.default_rng(seed)
    samples = camera.samples
    background = texture(SCENE.height + 40, SCENE.width + 40, rng, 90, 0.4)
    canvas = np.clip(cv2.resize(background, None, fx=samples, fy=samples), 0, 255)
    objects = _objects(rng, samples)

    for t in times_s - DURATION_S / 2:
        map_ = _rotation(SCENE.width / 2 + 45 * t, SCENE.height / 2, 0, _centre(canvas), samples)
        picture = cv2.warpAffine(canvas, map_, camera.fine_size)
        for pattern, cover, motion in objects:
            pivot = _centre(pattern)
            map_ = _rotation(motion.x + motion.vx * t, motion.y + motion.vy * t, motion.turn * t, pivot, samples)
            _draw_object(picture, pattern, cover, map_)

        yield camera.pixels(picture)


def _draw_object(picture: Image, pattern: Image, cover: Image, map_: NDArray[np.float64]) -> None:
    """Draw an object, moved by an affine map, into a picture."""
    # Only the rectangle that the object can reach: six full-size warps per frame would take minutes.
    height, width = picture.shape
    centre_x, centre_y = np.floor(map_[:, :2] @ _centre(pattern) + map_[:, 2]).astype(int).tolist()
    reach = int(len(pattern) * 0.75)
    left = max(0, centre_x - reach)
    top = max(0, centre_y - reach)
    right = min(width, centre_x + reach)
    bottom = min(height, centre_y + reach)
    if right <= left or bottom <= top:
        return

    map_[:, 2] -= left, top
    size = right - left, bottom - top
    share = cv2.warpAffine(cover, map_, size)
    front = cv2.warpAffine(pattern, map_, size, borderMode=cv2.BORDER_REFLECT_101)
    region = picture[top:bottom, left:right]
    region += share * (front - region)


def cut_scene(times_s: NDArray[np.float64], seed: int, camera: Camera) -> Iterator[Image]:
    """Yield images of a plane for 0.115 s, then of another plane: a cut within a frame interval at 60 and 30 fps."""
    before = times_s < 0.115
    yield from rigid_scene(times_s[before], seed, camera)
    yield from rigid_scene(times_s[~before], seed + 6, camera)


Scene = Callable[[NDArray[np.float64], int, Camera], Iterator[Image]]
SCENES: dict[str, tuple[Scene, int]] = {
    "rigid": (rigid_scene, 1),
    "layers": (layers_scene, 2),
    "cut": (cut_scene, 1),
}
"""Scenes and their default seeds."""


def _sorted_keys(events: Events, horizon_us: int) -> NDArray[np.int64]:
    """Return one number per event, sorted by pixel, polarity, then time; the numbers of two pixels are far apart."""
    pixel = (events.y.astype(np.int64) * events.sensor.width + events.x) * 2 + events.p
    return np.sort(pixel * horizon_us + events.t)


def nearest_us(events: Events, others: Events, limit_us: int) -> NDArray[np.int64]:
    """Return the time to the nearest of `others` at the same pixel and polarity, at most limit_us + 1."""
    horizon_us = int(max(events.t[-1], others.t[-1])) + 2 * limit_us + 2
    keys = _sorted_keys(events, horizon_us)
    other_keys = _sorted_keys(others, horizon_us)

    after = np.searchsorted(other_keys, keys)
    to_previous = np.abs(keys - other_keys[np.maximum(after - 1, 0)])
    to_next = np.abs(other_keys[np.minimum(after, other_keys.size - 1)] - keys)
    return np.asarray(np.minimum(np.minimum(to_previous, to_next), limit_us + 1), np.int64)


def events_of(frames: Iterable[Frame], upsample: Factor = "off") -> Events:
    parts = list(simulate(frames, SimulatorConfig(pos_thres=0.2, neg_thres=0.2), upsample=upsample))
    return concatenate(parts, parts[0].sensor)


def _time_events(frames: list[Frame], factor: Factor) -> tuple[Events, float]:
    """Return the events and the CPU time per pair of frames in milliseconds."""
    began = time.process_time()
    events = events_of(frames, factor)
    return events, (time.process_time() - began) * 1e3 / (len(frames) - 1)


def measure(
    scene: str, images: Iterable[tuple[int, Image]], transfer: str, rates: list[int], factors: list[Factor]
) -> Iterator[Row]:
    """Yield the rows of a scene: linear crossing and each factor, at each source frame rate."""
    sources: dict[int, list[Frame]] = {fps: [] for fps in rates}

    def truth_frames() -> Iterator[Frame]:
        for number, image in images:
            t_us = round(number * 1e6 / TRUTH_FPS)
            for fps in rates:
                if number % (TRUTH_FPS // fps) == 0:
                    sources[fps].append(Frame(t_us, np.rint(image).astype(np.uint8), transfer))

            yield Frame(t_us, np.asarray(image / 255, np.float32), transfer)

    truth = events_of(truth_frames())
    for fps in rates:
        frames = sources[fps]
        interval_us = round(1e6 / fps)
        for factor in ("off", *factors):
            _time_events(frames[:2], factor)  # compiles
            ours, cpu_ms = _time_events(frames, factor)
            distance = nearest_us(truth, ours, interval_us)
            found = distance[distance <= interval_us] / 1e3
            yield Row(
                scene,
                transfer,
                fps,
                "linear" if factor == "off" else str(factor),
                float(np.median(found)),
                float(np.percentile(found, 90)),
                1 - found.size / distance.size,
                float(np.mean(nearest_us(ours, truth, interval_us) > interval_us)),
                len(ours),
                cpu_ms,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", nargs="+", choices=sorted(SCENES), default=list(SCENES))
    parser.add_argument("--transfer", nargs="+", choices=("linear", "srgb"), default=["linear", "srgb"])
    parser.add_argument("--fps", nargs="+", type=int, default=[300, 60, 30], help=f"divisors of {TRUTH_FPS}")
    parser.add_argument(
        "--factor", nargs="+", default=["auto", "10"], help="`auto` or steps per pair of frames (default: auto 10)"
    )
    parser.add_argument("--seed", type=int, help="seed of the scenes (default: 1 for rigid and cut, 2 for layers)")
    parser.add_argument("--scale", type=int, default=1, help="camera size relative to 346 x 260 pixels (default: 1)")
    parser.add_argument("--json", type=Path, help="also write the rows to FILE, one JSON object per line")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    factors: list[Factor] = ["auto" if text == "auto" else int(text) for text in arguments.factor]
    times_s = np.arange(round(DURATION_S * TRUTH_FPS) + 1) / TRUTH_FPS
    print(HEADER)
    rows = []

    for scene in arguments.scene:
        render, own_seed = SCENES[scene]
        seed = own_seed if arguments.seed is None else arguments.seed
        images = list(enumerate(render(times_s, seed, Camera(arguments.scale))))
        for transfer in arguments.transfer:
            for row in measure(scene, images, transfer, arguments.fps, factors):
                print(row.line(), flush=True)
                rows.append(row)

    if arguments.json:
        arguments.json.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
