"""Rendered gestures, recorded by a simulated sensor, and folders of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from functools import cache
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..events import Events, Region, SensorSize, concatenate
from ..files import read_bytes, write_beside
from ..formats import SYNTHETIC_GESTURES, write
from ..framing import VIEW_M, FramingConfig, open_source
from ..labels import GESTURES
from ..parallel import ALL, Engine, Processes, Progress, Shard
from ..simulator import EventSimulator, SimulatorConfig, SimulatorState
from ..video.frames import Frame
from ..video.writing import write_video
from .gestures import (
    CLIP_US,
    GESTURE_SENSOR,
    NO_TRACKS,
    OTHER,
    RENDERING,
    ClipSettings,
    Performance,
    Tracked,
    check_label,
    plan_clip,
    plan_session,
    pose_person,
    render_gesture,
    render_session,
)
from .people import Floats, Person, Pose, draw_person
from .rendering import render
from .scenes import LIGHTS, LightKind, Scene, draw_far_camera, draw_scene, to_srgb
from .sensors import draw_sensor, read_out
from .tracked import read_movements
from .webcam import Webcam, compress, draw_webcam, film
from .writing import SynthesisRecord, write_recordings

FRAMES_AT_ONCE = 32  # simulated together
REGION_SIZE_ERROR, REGION_PLACE_ERROR = 0.12, 0.05  # standard deviations, of the logarithm of the side and of the side
PANNED = 0.15  # of the videos of other gestures


@dataclass(frozen=True)
class GestureClip:
    """Names a clip of a person who performs a gesture; the same names give the same clip.

    Args:
        label: The class, 0 to 10, an index into `GESTURES`.
        person: Number of the identity; with the same seed it is the same person in every clip.
        clip: Number of the clip; it selects camera or sensor, scene and movement.
        seed: Seed of all random draws.
        duration_us: Largest time of a frame.

    Raises:
        DataError: There is no such class.
    """

    label: int
    _: KW_ONLY
    person: int
    clip: int
    seed: int
    duration_us: int = CLIP_US

    def __post_init__(self) -> None:
        check_label(self.label)

    @property
    def seeds(self) -> list[int]:
        """The seeds of what is drawn for the clip."""
        return [self.seed, self.person, self.label + 1, self.clip]


def _draw_identity(seed: int, person: int) -> Person:
    return draw_person(np.random.default_rng([seed, person]))


def _draw_light(seeds: list[int]) -> LightKind:
    return LIGHTS[np.random.default_rng([*seeds, 2]).integers(len(LIGHTS))]


def gesture_frames(clip: GestureClip, *, fps: float = 100.0, tracked: Tracked = NO_TRACKS) -> Iterator[Frame]:
    """Return the rendered video of a gesture: frames of 128x128 uint8 in sRGB (IEC 61966-2-1).

    Args:
        clip: The clip.
        fps: Frames per second; the first one is at time 0.
        tracked: Movements of real people by class.
    """
    frames = _render(clip.seeds, clip.duration_us, fps, tracked)
    return (Frame(frame.t_us, _srgb_table().take(frame.image)) for frame in frames)


def record_gesture(clip: GestureClip, *, sensor: SimulatorConfig | None = None, tracked: Tracked = NO_TRACKS) -> Events:
    """Return the events of a gesture on a DVS128 whose biases and noise are drawn for each clip.

    Args:
        clip: The clip.
        sensor: Another sensor to record the same movement with.
        tracked: Movements of real people by class.
    """
    frames = _render(clip.seeds, clip.duration_us, tracked=tracked)
    if sensor is not None:
        return _simulate(frames, sensor)
    return _record(frames, np.random.default_rng([*clip.seeds, 1]))


def _render(
    seeds: list[int], duration_us: int, fps: float | None = None, tracked: Tracked = NO_TRACKS
) -> Iterator[Frame]:
    seed, person, number, _ = seeds
    identity = _draw_identity(seed, person)
    rng = np.random.default_rng(seeds)
    return render_gesture(number - 1, identity, rng, ClipSettings(duration_us, fps, _draw_light(seeds), tracked))


def film_gesture(stem: Path, clip: GestureClip, *, webcam: Webcam | None = None, tracked: Tracked = NO_TRACKS) -> Path:
    """Write the video of a gesture by a webcam or phone that is drawn for each clip, and return its path.

    The movement differs in detail from the one that `record_gesture` records. In some videos of other gestures the
    camera is moved about.

    Args:
        stem: The path without its suffix, which is .mp4 (H.264) or .webm (VP8).
        clip: The clip.
        webcam: Another camera to film with.
        tracked: Movements of real people by class.

    Raises:
        FileError: The file cannot be written.
        VideoError: This OpenCV cannot write VP8.
    """
    return _plan_film(clip, webcam, tracked).write(stem)


@dataclass(frozen=True, eq=False)
class _Film:
    """A film of a person that is not rendered yet."""

    identity: Person
    webcam: Webcam
    scene: Scene
    pose: Pose
    times_s: Floats
    duration_us: int
    rng: np.random.Generator

    def write(self, stem: Path) -> Path:
        """Write the film, and return its path."""
        path = stem.with_name(stem.name + self.webcam.suffix)
        pictures = render(self.identity, self.scene, self.pose, self.times_s)
        with write_beside(path) as beside:
            compress(beside, film(pictures, self.times_s, self.duration_us, self.webcam, self.rng), self.webcam)
        return path

    def find_region(self, rng: np.random.Generator) -> Region:
        """Return the region that a person finder would find, with random errors."""
        shoulders = np.median(self.scene.camera.project(self.pose.torso[:, :2].mean(axis=1)), axis=0)
        side = VIEW_M * float(shoulders[2]) * float(np.exp(rng.normal(0, REGION_SIZE_ERROR)))
        x, y = shoulders[:2] + rng.normal(0, REGION_PLACE_ERROR, 2) * side - side / 2
        size = SensorSize(width=max(2, round(side)), height=max(2, round(side)))
        return Region(round(float(x)), round(float(y)), size)


def _plan_film(clip: GestureClip, webcam: Webcam | None, tracked: Tracked) -> _Film:
    rng, identity = np.random.default_rng([*clip.seeds, 5]), _draw_identity(clip.seed, clip.person)
    webcam = webcam or _draw_webcam(clip.seeds)
    times_s = webcam.picture_times(clip.duration_us)
    scene = draw_scene(identity, webcam.size, _draw_light(clip.seeds), rng, draw_far_camera)
    pose = pose_person(plan_clip(clip.label, rng, clip.duration_us), identity, rng, times_s, tracked)
    return _Film(identity, webcam, scene, pose, times_s, clip.duration_us, rng)


def _draw_webcam(seeds: list[int]) -> Webcam:
    rng = np.random.default_rng([*seeds, 4])
    webcam = draw_webcam(rng)
    if seeds[2] - 1 == GESTURES.index(OTHER) and rng.random() < PANNED:
        return replace(webcam, shake_px=rng.uniform(0.02, 0.15) * webcam.size.height)
    return webcam


def record_film(clip: GestureClip, *, webcam: Webcam | None = None, tracked: Tracked = NO_TRACKS) -> Events:
    """Return the events of the video that `film_gesture` writes, as a network of `GESTURE_SENSOR` would see them.

    The video is written, decoded, framed to the person and converted. The frame is drawn about the rendered joints,
    with errors as large as those of the person finder in films of people, which rendered people would mislead.
    """
    planned = _plan_film(clip, webcam, tracked)
    region = planned.find_region(np.random.default_rng([*clip.seeds, 6]))
    with TemporaryDirectory() as folder:
        path = planned.write(Path(folder) / "film")
        source = open_source(path, GESTURE_SENSOR, FramingConfig(roi=str(region)), sensor=None)
        return concatenate(source.read_fitted(), GESTURE_SENSOR)


def record_session(
    labels: Sequence[int], *, person: int, session: int, seed: int
) -> tuple[Events, tuple[Performance, ...]]:
    """Return the events of a person's gestures one after another, with rest between them, and their times.

    Args:
        labels: Classes in the order of their performance.
        person: Number of the identity, as in `GestureClip`.
        session: Number of the recording; it selects scene, sensor and movement.
        seed: Seed of all random draws.
    """
    seeds = [seed, person, 0, session]
    rng, plan_rng = np.random.default_rng(seeds), np.random.default_rng([*seeds, 3])
    plan = plan_session(labels, plan_rng)
    duration_us = (plan[-1].end_us if plan else 0) + int(plan_rng.integers(800_000, 2_500_000))
    identity = _draw_identity(seed, person)
    light = _draw_light(seeds)
    frames = render_session(plan, identity, rng, ClipSettings(duration_us, None, light))
    return _record(frames, np.random.default_rng([*seeds, 1])), plan


def _record(frames: Iterable[Frame], rng: np.random.Generator) -> Events:
    config, readout = draw_sensor(rng)
    return read_out(_simulate(frames, config), readout, rng)


def _simulate(frames: Iterable[Frame], config: SimulatorConfig) -> Events:
    """Return the events of all frames, some frames at a time: small frames one by one take half as long again."""
    simulator, coming = EventSimulator(config), iter(frames)
    state: SimulatorState | None = None
    parts: list[Events] = []
    while batch := list(islice(coming, FRAMES_AT_ONCE)):
        stepped, state = simulator.steps(batch, state)
        parts += (events for events, _ in stepped)
    return concatenate(parts, GESTURE_SENSOR)


@cache
def _srgb_table() -> NDArray[np.uint8]:
    """Return the sRGB value of each of 65,536 levels of light."""
    return np.asarray((255 * to_srgb(np.arange(65536) / 65535)).round(), np.uint8)


class GesturesRecord(SynthesisRecord):
    """Everything that the content of synthetic gestures depends on."""

    kind: str = "gestures"
    duration_us: int
    """Duration of a clip."""
    rendering: int = RENDERING
    """Number of the way of rendering, which a version may change."""
    tracks: str | None = None
    """Digest of the tracks of real people whose movements are performed; None: there are none."""


CameraKind = Literal["dvs", "webcam", "both"]


@dataclass(frozen=True)
class GesturesPlan:
    """Which gestures are recorded.

    Args:
        people: Number of identities.
        clips: Number of clips per person, class and camera.
        seed: Seed of all random draws; a larger number of people or clips with the same seed keeps the first ones.
        duration_us: Duration of a clip.
        videos: Whether the rendered videos are also written.
        camera: `dvs`: a DVS128. `webcam`: the video of a webcam or phone, converted. `both`: a clip of each.
        tracks: Folder of tracks, <class>/<joints>.csv, whose movements are a share of the performances; None: none.
    """

    people: int
    clips: int
    seed: int = 0
    duration_us: int = CLIP_US
    videos: bool = False
    camera: CameraKind = "dvs"
    tracks: Path | None = None

    @property
    def count(self) -> int:
        """Number of recordings."""
        return self.people * self.clips * len(GESTURES) * (2 if self.camera == "both" else 1)


@dataclass(frozen=True)
class _PlannedClip:
    """A clip of a plan."""

    clip: GestureClip
    tracks: Path | None

    def write_events(self, path: Path) -> None:
        self._write(path, record_gesture(self.clip, tracked=_read_tracks(self.tracks)))

    def write_film_events(self, path: Path) -> None:
        self._write(path, record_film(self.clip, tracked=_read_tracks(self.tracks)))

    def write_video(self, path: Path) -> None:
        write_video(path, gesture_frames(self.clip, tracked=_read_tracks(self.tracks)))

    def write_film(self, path: Path) -> None:
        film_gesture(path.with_suffix(""), self.clip, tracked=_read_tracks(self.tracks))

    def _write(self, path: Path, events: Events) -> None:
        write(path, [events], GESTURE_SENSOR, source=SYNTHETIC_GESTURES, settings={"synthesis": asdict(self.clip)})


@cache
def _read_tracks(folder: Path | None) -> Tracked:
    return NO_TRACKS if folder is None else read_movements(folder, GESTURES, OTHER)


def _digest_tracks(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of tracks."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*/*.csv")):
        digest.update(f"{path.parent.name}/{path.name} {hashlib.sha256(read_bytes(path)).hexdigest()}\n".encode())
    return digest.hexdigest()


def write_gestures(
    folder: Path,
    plan: GesturesPlan,
    *,
    engine: Engine = Processes(),
    shard: Shard = ALL,
    progress: Progress | None = None,
) -> int:
    """Write the recordings of a plan, with their videos if these are planned; return how many files are new.

    They are <class>/user<person>_<light>_<clip>.h5 with a DVS128, and <class>/user<person>_webcam_<clip>.h5.

    Args:
        folder: Output folder; files that exist and were made with the same settings are kept.
        plan: What is recorded.
        engine: Where they are made.
        shard: Which of them to write, by their paths in the folder.
        progress: Called with the number of files done and in all.

    Raises:
        DataError: The folder contains something else, or recordings that were made with other settings.
        FileError: It cannot be written to, or another process is writing to it.
    """
    work: dict[Path, Callable[[Path], object]] = {}
    for person, label, number in product(range(plan.people), range(len(GESTURES)), range(plan.clips)):
        named = GestureClip(label, person=person, clip=number, seed=plan.seed, duration_us=plan.duration_us)
        clip = _PlannedClip(named, plan.tracks)
        if plan.camera != "webcam":
            path = Path(GESTURES[label], f"user{person:03d}_{_draw_light(named.seeds)}_{number:02d}.h5")
            work[path] = clip.write_events
            if plan.videos:
                work[path.with_suffix(".webm")] = clip.write_video
        if plan.camera != "dvs":
            path = Path(GESTURES[label], f"user{person:03d}_webcam_{number:02d}.h5")
            work[path] = clip.write_film_events
            if plan.videos:
                work[path.with_suffix(_draw_webcam(named.seeds).suffix)] = clip.write_film
    _read_tracks(plan.tracks)  # before work starts
    tracks = None if plan.tracks is None else _digest_tracks(plan.tracks)
    record = GesturesRecord(seed=plan.seed, duration_us=plan.duration_us, tracks=tracks)
    return write_recordings(folder, record, work, engine=engine, shard=shard, progress=progress)
