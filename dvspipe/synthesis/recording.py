"""Recordings of rendered gestures: by a simulated sensor, or in films by a simulated webcam.

A clip is identified by its seeds (`GestureClip`). It is recorded by a DVS128 (`record_gesture`), filmed
(`film_gesture`), or filmed and converted to events (`record_film`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from enum import IntEnum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DataError
from ..base.files import write_beside
from ..base.gestures import GESTURES, OTHER
from ..events import GESTURE_SENSOR, Events, Region, SensorSize, concatenate
from ..framing import FramingConfig, open_source
from ..people.region import VIEW_M, enclose_hands, extend_hand, limit_square
from ..simulator import SimulatorConfig, simulate
from ..video.frames import Frame
from .gestures import (
    CLIP_US,
    Performance,
    Repertoire,
    check_label,
    plan_clip,
    plan_session,
    pose_person,
    render_session,
)
from .movements import MOVEMENTS
from .people import KNUCKLES, WRIST, Floats, Person, Pose, draw_person
from .rendering import render
from .scenes import LIGHTS, LightKind, Scene, draw_far_camera, draw_scene, to_srgb
from .sensors import draw_sensor, read_out
from .webcam import Webcam, compress, draw_webcam, film

REGION_SIZE_ERROR = 0.12  # standard deviation of the logarithm of the side
REGION_PLACE_ERROR = 0.05  # standard deviation, as a fraction of the side
WRIST_ERROR_M = 0.08  # standard deviation; the pose network's on rendered people is 0.15 arm lengths
LOST_HANDS = 0.1  # share of hands in the picture that the pose network does not find
PANNED = 0.15  # share of videos of other gestures with a moving camera
PANNED_SHAKE = (0.02, 0.15)  # range of its movement, as a fraction of the height
LAST_REST_US = (800_000, 2_500_000)  # range of the rest after the last gesture of a session


class RandomSequence(IntEnum):
    """Independent random sequences of a clip or session. Frozen: a change would change every clip."""

    SENSOR = 1
    LIGHT = 2
    PLAN = 3
    WEBCAM = 4
    FILM = 5
    REGION = 6


@dataclass(frozen=True)
class GestureClip:
    """Identifier of a clip of a gesture. Equal identifiers give equal clips.

    Args:
        label: Class, an index in `GESTURES`.
        person: Number of the identity; with the same seed, the same person in every clip.
        clip: Number of the clip; selects camera or sensor, scene and movement.
        seed: Random seed.
        duration_us: Maximum frame time in microseconds.

    Raises:
        DataError: If the label is out of range, or another number is negative.

    Example:
        >>> GestureClip(label=1, person=0, clip=0, seed=3).duration_us
        1500000
    """

    label: int
    _: KW_ONLY
    person: int
    clip: int
    seed: int
    duration_us: int = CLIP_US

    def __post_init__(self) -> None:
        check_label(self.label)
        lowest = min(self.person, self.clip, self.seed)
        if lowest < 0:
            raise DataError(f"wrong person, clip or seed of a gesture (found {lowest}, expected 0 or more)")

    @property
    def seeds(self) -> list[int]:
        """Seeds of the random generators of the clip."""
        return [self.seed, self.person, self.label + 1, self.clip]


def gesture_frames(clip: GestureClip, *, fps: float = 100.0) -> Iterator[Frame]:
    """Render the video of a gesture: frames 128x128, uint8 in sRGB (IEC 61966-2-1).

    Args:
        clip: Clip to render.
        fps: Frames per second; the first frame is at time 0.
    """
    frames = _render(clip, fps, MOVEMENTS)
    return (Frame(frame.t_us, _srgb_table().take(frame.image)) for frame in frames)


def record_gesture(
    clip: GestureClip, *, sensor: SimulatorConfig | None = None, repertoire: Repertoire = MOVEMENTS
) -> Events:
    """Record a rendered gesture with a simulated DVS128; return its events.

    Args:
        clip: Clip to record.
        sensor: Sensor model; default: a DVS128 with biases and noise drawn for each clip.
        repertoire: Movements of the classes.
    """
    frames = _render(clip, None, repertoire)
    if sensor is not None:
        return concatenate(simulate(frames, sensor), GESTURE_SENSOR)
    return _record(frames, clip.seeds)


def _render(clip: GestureClip, fps: float | None, repertoire: Repertoire) -> Iterator[Frame]:
    """Render a clip as frames of linear light; `fps` as in `render_session`."""
    rng = np.random.default_rng(clip.seeds)
    plan = plan_clip(clip.label, rng, clip.duration_us)
    identity = _draw_identity(clip.seed, clip.person)
    light = draw_light(clip.seeds)
    return render_session(
        plan, identity, rng, duration_us=clip.duration_us, fps=fps, light=light, repertoire=repertoire
    )


def _record(frames: Iterable[Frame], seeds: list[int]) -> Events:
    """Record frames with a simulated DVS128 whose biases, noise and readout are drawn."""
    rng = _start_sequence(seeds, RandomSequence.SENSOR)
    config, readout = draw_sensor(rng)
    return read_out(concatenate(simulate(frames, config), GESTURE_SENSOR), readout, rng)


def film_gesture(stem: Path, clip: GestureClip, *, repertoire: Repertoire = MOVEMENTS) -> Path:
    """Film a rendered gesture with a simulated webcam or phone; write the video and return its path.

    The movement differs in detail from `record_gesture` with the same clip. In some videos of other gestures, the
    camera moves.

    Args:
        stem: Path without suffix; the suffix is .mp4 (H.264) or .webm (VP8).
        clip: Clip to film.
        repertoire: Movements of the classes.

    Raises:
        FileError: If the file cannot be written.
        VideoError: If the installed OpenCV cannot write VP8, or the installed faery cannot write H.264.
    """
    return _plan_film(clip, repertoire).write(stem)


def record_film(clip: GestureClip, *, repertoire: Repertoire = MOVEMENTS) -> Events:
    """Return the events of the video from `film_gesture`, fitted to `GESTURE_SENSOR` like the input of a network.

    The video is written, decoded, cropped to the person and converted. The crop is placed around the rendered joints,
    with random errors as large as the errors of the person detector in films of people: the detector itself does not
    work on rendered people. Arguments as in `film_gesture`.
    """
    planned = _plan_film(clip, repertoire)
    region = planned.find_region(_start_sequence(clip.seeds, RandomSequence.REGION))

    with TemporaryDirectory() as folder:
        path = planned.write(Path(folder) / "film")
        source = open_source(path, GESTURE_SENSOR, FramingConfig(roi=str(region)))
        return concatenate(source.read_fitted(), GESTURE_SENSOR)


def _plan_film(clip: GestureClip, repertoire: Repertoire) -> _Film:
    rng = _start_sequence(clip.seeds, RandomSequence.FILM)
    identity = _draw_identity(clip.seed, clip.person)
    webcam = _draw_clip_webcam(clip)
    times_s = webcam.picture_times(clip.duration_us)

    scene = draw_scene(identity, webcam.size, draw_light(clip.seeds), rng, draw_far_camera)
    pose = pose_person(plan_clip(clip.label, rng, clip.duration_us), identity, rng, times_s, repertoire)
    return _Film(identity, webcam, scene, pose, times_s, clip.duration_us, rng)


@dataclass(frozen=True, eq=False)
class _Film:
    """Planned film of a person, not rendered yet."""

    identity: Person
    webcam: Webcam
    scene: Scene
    pose: Pose
    times_s: Floats
    duration_us: int
    rng: np.random.Generator

    def write(self, stem: Path) -> Path:
        """Render and write the film; return its path."""
        path = stem.with_name(stem.name + self.webcam.suffix)
        pictures = render(self.identity, self.scene, self.pose, self.times_s)
        with write_beside(path) as beside:
            compress(beside, film(pictures, self.times_s, self.duration_us, self.webcam, self.rng), self.webcam)
        return path

    def find_region(self, rng: np.random.Generator) -> Region:
        """Return the region of the person and both hands, as in films, with random errors like the pose network's."""
        # The centre between the shoulders, and the pixels per metre there.
        projected = self.scene.camera.project(self.pose.torso[:, :2].mean(axis=1))
        shoulders = np.median(projected[:, :2], axis=0)
        scale = float(np.median(projected[:, 2])) * float(np.exp(rng.normal(0, REGION_SIZE_ERROR)))

        # Hands outside the picture are unseen, and so are some that the pose network does not find.
        arms = self.scene.camera.project(self.pose.arms)[..., :2]
        wrists = arms[:, :, WRIST]
        hands = extend_hand(wrists, arms[:, :, KNUCKLES], scale) + rng.normal(0, WRIST_ERROR_M * scale, (2, 2))
        size = (self.webcam.size.width, self.webcam.size.height)
        is_seen = ((wrists >= 0) & (wrists < size)).all(axis=-1) & (rng.random(2) >= LOST_HANDS)
        hands = np.where(is_seen[..., None], np.clip(hands, 0, size), np.nan)

        # The square around body and hands, from the shoulders to pixels of the picture.
        x, y = shoulders + rng.normal(0, REGION_PLACE_ERROR, 2) * VIEW_M * scale
        square = limit_square(enclose_hands(hands - shoulders, VIEW_M * scale).moved(x, y), self.webcam.size)
        side = max(2, round(square.side))
        left = round(square.x - side / 2)
        top = round(square.y - side / 2)

        return Region(left, top, SensorSize(width=side, height=side))


def _draw_clip_webcam(clip: GestureClip) -> Webcam:
    """Draw the camera of a clip; in some videos of other gestures, it moves."""
    rng = _start_sequence(clip.seeds, RandomSequence.WEBCAM)
    webcam = draw_webcam(rng)
    if GESTURES[clip.label] == OTHER and rng.random() < PANNED:
        return replace(webcam, shake_px=rng.uniform(*PANNED_SHAKE) * webcam.size.height)

    return webcam


def record_session(
    labels: Sequence[int], *, person: int, session: int, seed: int
) -> tuple[Events, tuple[Performance, ...]]:
    """Record consecutive gestures of one person, with rest in between; return the events and the performances.

    Args:
        labels: Classes in order of performance.
        person: Number of the identity, as in `GestureClip`.
        session: Number of the recording; selects scene, sensor and movement.
        seed: Random seed.
    """
    seeds = [seed, person, 0, session]
    rng = np.random.default_rng(seeds)
    plan_rng = _start_sequence(seeds, RandomSequence.PLAN)
    plan = plan_session(labels, plan_rng)
    duration_us = (plan[-1].end_us if plan else 0) + int(plan_rng.integers(*LAST_REST_US))

    identity = _draw_identity(seed, person)
    light = draw_light(seeds)
    frames = render_session(plan, identity, rng, duration_us=duration_us, fps=None, light=light)
    return _record(frames, seeds), plan


def _draw_identity(seed: int, person: int) -> Person:
    return draw_person(np.random.default_rng([seed, person]))


def _start_sequence(seeds: list[int], sequence: RandomSequence) -> np.random.Generator:
    return np.random.default_rng([*seeds, sequence])


def draw_light(seeds: list[int]) -> LightKind:
    """Draw the light of a clip or session, by its seeds."""
    return LIGHTS[_start_sequence(seeds, RandomSequence.LIGHT).integers(len(LIGHTS))]


@cache
def _srgb_table() -> NDArray[np.uint8]:
    """Return the sRGB values of all 65,536 light levels, uint8 [65536]."""
    return np.asarray((255 * to_srgb(np.arange(65536) / 65535)).round(), np.uint8)
