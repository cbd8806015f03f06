"""Measure tracks from films: errors on rendered people with known joints, and a table for a folder of films.

    python scripts/studies/pose.py rendered --people 4
    python scripts/studies/pose.py films FOLDER --out TRACKS

`rendered` films rendered people with simulated webcams and prints the errors of wrists and elbows per class. `films`
tracks each film of a folder, stores the tracks, and prints presence, gaps, and the rate and amplitude of the wrists.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dvspipe.base.errors import DvspipeError
from dvspipe.base.labels import GESTURES
from dvspipe.events import SensorSize
from dvspipe.pose import (
    JOINTS,
    PoseNetwork,
    Track,
    TrackSettings,
    measure_arms,
    to_body_frame,
    track,
    track_pictures,
)
from dvspipe.synthesis.gestures import plan_clip, pose_person
from dvspipe.synthesis.people import LEFT, RIGHT, draw_person
from dvspipe.synthesis.rendering import render
from dvspipe.synthesis.scenes import LIGHTS, draw_far_camera, draw_scene
from dvspipe.synthesis.webcam import draw_webcam, film
from dvspipe.video.names import VIDEO_SUFFIXES

Floats = NDArray[np.float64]
TRUE_JOINTS = ("shoulder", "elbow", "wrist")
MAX_SIDE_PX = 640  # larger webcams are redrawn: they take minutes to render
MIN_HZ = 0.3  # lowest and highest rate of periodic movements
MAX_HZ = 6.0
MIN_SPAN_S = 0.7  # shorter tracks have no rate
EVEN_HZ = 30.0  # samples per second of a curve
SPECTRUM = 4096  # length of its spectrum


@dataclass(frozen=True)
class Rendered:
    """Film of a rendered person, with the true joints of the arms.

    Args:
        size: Size of the pictures.
        times_us: Times of the pictures, [N].
        pictures: N grey pictures, uint8 [H, W].
        points_px: True joints in the pictures, [N, J, 2]; NaN: unknown.
        points_m: True joints in the body's frame, [N, J, 3].
        scale_px: Pixels per metre at the shoulders.
    """

    size: SensorSize
    times_us: NDArray[np.int64]
    pictures: list[NDArray[np.uint8]]
    points_px: Floats
    points_m: Floats
    scale_px: float

    def colours(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield times and colour pictures, the input of `track_pictures`."""
        for t_us, picture in zip(self.times_us.tolist(), self.pictures, strict=True):
            yield t_us, np.repeat(picture[:, :, None], 3, axis=2)


def render_film(label: int, person: int, seed: int, duration_us: int) -> Rendered:
    """Film a gesture of a random person with a random webcam that stands still."""
    rng = np.random.default_rng([seed, label, person])
    identity = draw_person(rng)
    webcam = draw_webcam(rng)
    while max(webcam.size.width, webcam.size.height) > MAX_SIDE_PX:
        webcam = draw_webcam(rng)

    webcam = replace(webcam, shake_px=0.0)  # the true joints do not include it
    times_s = webcam.picture_times(duration_us)
    scene = draw_scene(identity, webcam.size, LIGHTS[rng.integers(len(LIGHTS))], rng, draw_far_camera)
    pose = pose_person(plan_clip(label, rng, duration_us), identity, rng, times_s)
    frames = list(film(render(identity, scene, pose, times_s), times_s, duration_us, webcam, rng))

    # Each picture shows the true joints of the middle of its exposure.
    times_us = np.array([frame.t_us for frame in frames], np.int64)
    seen_s = times_us / 1e6 + (webcam.exposure_s + webcam.readout_s) / 2
    moments = np.clip(np.searchsorted(times_s, seen_s), 0, len(times_s) - 1)

    points = np.full((len(moments), len(JOINTS), 3), np.nan)
    for side, name in ((RIGHT, "right"), (LEFT, "left")):
        for joint, joint_name in enumerate(TRUE_JOINTS):
            points[:, JOINTS.index(f"{name}_{joint_name}")] = pose.arms[moments, side, joint]

    return Rendered(
        webcam.size,
        times_us,
        [frame.image for frame in frames],
        scene.camera.project(points)[..., :2],
        to_body_frame(scene.camera.turn(points))[0],
        scene.camera.scale_px,
    )


def arm_errors(track: Track, film: Rendered) -> dict[str, Floats]:
    """Return errors of elbows and wrists in pixels and in arm lengths, [pictures with a person, 2 sides]."""
    rows = np.searchsorted(film.times_us, track.times_us)
    found = track.present
    true = replace_points(track, film, rows)
    estimated = measure_arms(track)
    actual = measure_arms(true)
    errors: dict[str, list[Floats]] = defaultdict(list)

    for side in ("right", "left"):
        for joint in ("elbow", "wrist"):
            number = JOINTS.index(f"{side}_{joint}")
            off_px = np.linalg.norm(track.points_px[:, number] - film.points_px[rows, number], axis=-1)
            off = getattr(getattr(estimated, side), joint) - getattr(getattr(actual, side), joint)
            errors[f"{joint} px"].append(off_px[found])
            errors[f"{joint} px/arm"].append(off_px[found] / (actual.arm_m * film.scale_px))
            errors[f"{joint} 2-D"].append(np.linalg.norm(off[:, :2], axis=-1)[found])
            errors[f"{joint} 3-D"].append(np.linalg.norm(off, axis=-1)[found])

    return {name: np.stack(values, axis=1) for name, values in errors.items()}


def replace_points(track: Track, film: Rendered, rows: NDArray[np.int64]) -> Track:
    """Return the track with the true joints of the arms; all other joints are 0."""
    points = np.nan_to_num(film.points_m[rows])
    points[~track.present] = np.nan
    return replace(track, points_m=points)


def show_rendered(arguments: argparse.Namespace) -> None:
    """Print errors per class and network."""
    films = {
        (label, person): render_film(label, person, arguments.seed, arguments.duration_us)
        for label in range(len(GESTURES))
        for person in range(arguments.people)
    }
    for weights in arguments.weights or [None]:
        network = PoseNetwork(weights) if weights else PoseNetwork()
        print(f"\n{weights or 'the included network'}, at most {arguments.fps:g} pictures/s: mean / 90 % error")
        names = ("elbow px", "wrist px", "elbow px/arm", "wrist px/arm", "elbow 3-D", "wrist 3-D")
        print(f"{'class':28}{'films':>6}{'lost':>6}{'presence':>9}" + "".join(f"{name:>15}" for name in names))
        total: dict[str, list[Floats]] = defaultdict(list)
        began_s = time.process_time()
        pictures = 0
        all_lost = 0

        for label, name in enumerate([*GESTURES, "all"]):
            errors: dict[str, list[Floats]] = defaultdict(list)
            lost = 0
            presence = list[Floats]()
            for (own_label, _), rendered in films.items() if label < len(GESTURES) else ():
                if own_label != label:
                    continue

                try:
                    track = track_pictures(
                        rendered.colours(), rendered.size, TrackSettings(max_fps=arguments.fps), look=network
                    )
                except DvspipeError:
                    lost += 1
                    all_lost += 1
                    continue

                pictures += len(track.times_us)
                presence.append(track.presence)
                for kind, values in arm_errors(track, rendered).items():
                    errors[kind].append(values.ravel())
                    total[kind].append(values.ravel())

            if name == "all":
                lost = all_lost
                count = len(films)
            else:
                count = arguments.people

            shown = errors or total
            columns = [np.concatenate(shown[kind]) for kind in names]
            seen = f"{np.concatenate(presence).mean():9.2f}" if presence else " " * 9
            print(
                f"{name:28}{count:6}{lost:6}{seen}"
                + "".join(f"{values.mean():8.2f} /{np.quantile(values, 0.9):5.2f}" for values in columns)
            )

        print(f"{(time.process_time() - began_s) / max(1, pictures) * 1e3:.0f} ms of CPU per picture")


@dataclass(frozen=True)
class Beat:
    """Strongest periodic movement of the hands.

    Args:
        rate_hz: Frequency of the movement.
        arms: Peak-to-peak amplitude in arm lengths.
        shoulders: Peak-to-peak amplitude in shoulder widths.
    """

    rate_hz: float
    arms: float
    shoulders: float


def measure_beat(track: Track) -> tuple[Beat, Beat, Beat]:
    """Return the beats of the right wrist, of the left wrist, and of the distance between the wrists."""
    arms = measure_arms(track)
    across = track.point("left_shoulder") - track.point("right_shoulder")
    width = float(np.nanmedian(np.linalg.norm(across, axis=-1)))
    apart = np.linalg.norm(track.point("right_wrist") - track.point("left_wrist"), axis=-1, keepdims=True)
    curves = (arms.right.wrist, arms.left.wrist, apart / arms.arm_m)
    return tuple(_measure_curve(track, curve, arms.arm_m / width) for curve in curves)  # type: ignore[return-value]


def _measure_curve(track: Track, curve: Floats, arm_in_shoulders: float) -> Beat:
    """Return the beat of a curve [N, C]: the strongest frequency of its speed, and the amplitude along its main axis.

    Slower movements, such as raising an arm before it waves, are removed: the mean over a period is subtracted.
    """
    known = track.present
    times_s = (track.times_us[known] - track.times_us[0]) / 1e6
    if len(times_s) < 8 or times_s[-1] - times_s[0] < MIN_SPAN_S:
        return Beat(np.nan, np.nan, np.nan)

    even_s = np.arange(times_s[0], times_s[-1], 1 / EVEN_HZ)
    even = np.stack([np.interp(even_s, times_s, axis[known]) for axis in curve.T], axis=1)

    speed = np.gradient(even, axis=0)
    spectrum = np.fft.rfft((speed - speed.mean(axis=0)) * np.hanning(len(even))[:, None], SPECTRUM, axis=0)
    rates = np.fft.rfftfreq(SPECTRUM, 1 / EVEN_HZ)
    power = (np.abs(spectrum) ** 2).sum(axis=1)
    slowest = max(MIN_HZ, 1.5 / (even_s[-1] - even_s[0]))
    power[(rates < slowest) | (rates > min(MAX_HZ, 0.45 * track.rate_hz))] = 0
    rate_hz = float(rates[power.argmax()])

    period = max(3, round(EVEN_HZ / rate_hz))
    padded = np.pad(even, ((period // 2, period - 1 - period // 2), (0, 0)), mode="edge")
    slow = np.stack([np.convolve(axis, np.full(period, 1 / period), "valid") for axis in padded.T], axis=1)
    _, _, axes = np.linalg.svd(even - slow, full_matrices=False)
    along = (even - slow) @ axes[0]  # the main axis
    extent = float(np.quantile(along, 0.95) - np.quantile(along, 0.05))

    return Beat(rate_hz, extent, extent * arm_in_shoulders)


def show_films(arguments: argparse.Namespace) -> None:
    """Track the films of a folder, and print presence, gaps and beats."""
    network = PoseNetwork()
    print(
        f"{'film':66}{'pictures':>9}{'Hz':>5}{'presence':>9}{'gaps s':>7}{'people':>7}{'yaw':>5}"
        f"{'right Hz, arms':>16}{'left Hz, arms':>16}{'apart Hz, arms, shoulders':>28}"
    )
    for path in sorted(arguments.folder.rglob("*")):
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            continue

        name = path.relative_to(arguments.folder)
        target = (arguments.out / name).with_suffix(".csv") if arguments.out else None
        try:
            if target and target.exists():
                found = Track.read(target)
            else:
                found = track(path, TrackSettings(max_fps=arguments.fps), look=network)
                if target:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    found.write(target)
        except DvspipeError as error:
            print(f"{name!s:66}  {' '.join(str(error).split())}", flush=True)
            continue

        right, left, apart = measure_beat(found)
        missing_s = sum(gap.stop_us - gap.start_us for gap in found.gaps) / 1e6
        print(
            f"{name!s:66}{len(found.times_us):9}{found.rate_hz:5.0f}{found.presence.mean():9.2f}"
            f"{len(found.gaps):2}{missing_s:5.1f}{found.people.max():7}"
            f"{np.degrees(np.nanmedian(found.yaw)):5.0f}{right.rate_hz:9.2f},{right.arms:6.2f}"
            f"{left.rate_hz:9.2f},{left.arms:6.2f}{apart.rate_hz:13.2f},{apart.arms:6.2f},{apart.shoulders:6.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    rendered = commands.add_parser("rendered", help="errors on rendered people")
    rendered.add_argument("--people", type=int, default=4, help="people per class (default: 4)")
    rendered.add_argument("--duration-us", type=int, default=1_500_000)
    rendered.add_argument("--weights", type=Path, action="append", help="weights of another network; repeatable")
    rendered.add_argument("--seed", type=int, default=0)
    rendered.set_defaults(run=show_rendered)
    films = commands.add_parser("films", help="tracks of the films of a folder")
    films.add_argument("folder", type=Path)
    films.add_argument("--out", type=Path, help="folder for the tracks; existing tracks are reused")
    films.set_defaults(run=show_films)
    for command in (rendered, films):
        command.add_argument("--fps", type=float, default=30.0, help="maximum pictures per second (default: 30)")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
