"""Record rendered gestures with a simulated sensor or webcam, and write data sets of them."""

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

FRAMES_AT_ONCE = 32  # frames per simulator call
REGION_SIZE_ERROR, REGION_PLACE_ERROR = 0.12, 0.05  # standard deviations: log of the side; fraction of the side
PANNED = 0.15  # share of videos of other gestures with a moving camera


@dataclass(frozen=True)
class GestureClip:
    """Identifier of a clip of a gesture. Equal identifiers give equal clips.

    Args:
        label: Class, 0 to 10: an index into `GESTURES`.
        person: Number of the identity; with the same seed, the same person in every clip.
        clip: Number of the clip; selects camera or sensor, scene and movement.
        seed: Random seed.
        duration_us: Maximum frame time in microseconds.

    Raises:
        DataError: If the label is out of range.

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

    @property
    def seeds(self) -> list[int]:
        """Seeds of the random generators of the clip."""
        return [self.seed, self.person, self.label + 1, self.clip]


def _draw_identity(seed: int, person: int) -> Person:
    return draw_person(np.random.default_rng([seed, person]))


def _draw_light(seeds: list[int]) -> LightKind:
    return LIGHTS[np.random.default_rng([*seeds, 2]).integers(len(LIGHTS))]


def gesture_frames(clip: GestureClip, *, fps: float = 100.0, tracked: Tracked = NO_TRACKS) -> Iterator[Frame]:
    """Render the video of a gesture: frames 128x128, uint8 in sRGB (IEC 61966-2-1).

    Args:
        clip: Clip to render.
        fps: Frames per second; the first frame is at time 0.
        tracked: Movements of real people, per class.
    """
    frames = _render(clip.seeds, clip.duration_us, fps, tracked)
    return (Frame(frame.t_us, _srgb_table().take(frame.image)) for frame in frames)


def record_gesture(clip: GestureClip, *, sensor: SimulatorConfig | None = None, tracked: Tracked = NO_TRACKS) -> Events:
    """Record a rendered gesture with a simulated DVS128; return its events.

    Args:
        clip: Clip to record.
        sensor: Sensor model; default: a DVS128 with biases and noise drawn for each clip.
        tracked: Movements of real people, per class.
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
    """Film a rendered gesture with a simulated webcam or phone; write the video and return its path.

    The movement differs in detail from `record_gesture` with the same clip. In some videos of other gestures, the
    camera moves.

    Args:
        stem: Path without suffix; the suffix is .mp4 (H.264) or .webm (VP8).
        clip: Clip to film.
        webcam: Camera model; default: drawn for each clip.
        tracked: Movements of real people, per class.

    Raises:
        FileError: If the file cannot be written.
        VideoError: If the installed OpenCV cannot write VP8, or the installed faery cannot write H.264.
    """
    return _plan_film(clip, webcam, tracked).write(stem)


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
        """Return the region of the person, with random errors like a person detector."""
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
    """Return the events of the video from `film_gesture`, fitted to `GESTURE_SENSOR` like the input of a network.

    The video is written, decoded, cropped to the person and converted. The crop is placed around the rendered joints,
    with random errors as large as the errors of the person detector in films of people: the detector itself does not
    work on rendered people. Arguments as in `film_gesture`.
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
    """Record consecutive gestures of one person, with rest in between; return the events and the performances.

    Args:
        labels: Classes in order of performance.
        person: Number of the identity, as in `GestureClip`.
        session: Number of the recording; selects scene, sensor and movement.
        seed: Random seed.
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
    """Simulate the events of all frames, in batches: single small frames take 1.5 times as long."""
    simulator, coming = EventSimulator(config), iter(frames)
    state: SimulatorState | None = None
    parts: list[Events] = []
    while batch := list(islice(coming, FRAMES_AT_ONCE)):
        stepped, state = simulator.steps(batch, state)
        parts += (events for events, _ in stepped)
    return concatenate(parts, GESTURE_SENSOR)


@cache
def _srgb_table() -> NDArray[np.uint8]:
    """Return the sRGB values of all 65,536 light levels, uint8 [65536]."""
    return np.asarray((255 * to_srgb(np.arange(65536) / 65535)).round(), np.uint8)


class GesturesRecord(SynthesisRecord):
    """Everything that determines the content of synthetic gestures."""

    kind: str = "gestures"
    duration_us: int
    """Duration of a clip in microseconds."""
    rendering: int = RENDERING
    """Version of the rendering."""
    tracks: str | None = None
    """Digest of the tracks of real people; None: no tracks."""


CameraKind = Literal["dvs", "webcam", "both"]


@dataclass(frozen=True)
class GesturesPlan:
    """Gestures to record.

    Args:
        people: Number of identities.
        clips: Number of clips per person, class and camera.
        seed: Random seed; with the same seed, more people or clips only add recordings.
        duration_us: Duration of a clip in microseconds.
        videos: Whether to write the rendered videos too.
        camera: `dvs`: DVS128; `webcam`: converted video of a webcam or phone; `both`: one clip of each.
        tracks: Folder of tracks of real people, <class>/<joints>.csv, for a share of the movements; None: no tracks.
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
    """Clip of a plan, with functions that write it."""

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
    """Return the SHA-256 digest of the names and contents of all tracks."""
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
    """Write the recordings (and videos) of a plan; return the number of new files.

    Files are <class>/user<person>_<light>_<clip>.h5 for a DVS128, and <class>/user<person>_webcam_<clip>.h5.

    Args:
        folder: Output folder; existing files with the same settings are kept.
        plan: Gestures to record.
        engine: Where the work runs.
        shard: Part of the files to write, selected by path.
        progress: Called with the number of finished files and the total.

    Raises:
        DataError: If the folder contains other files, or recordings with other settings.
        FileError: If the folder cannot be written, or another process is writing to it.
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
    _read_tracks(plan.tracks)  # report errors before work starts
    tracks = None if plan.tracks is None else _digest_tracks(plan.tracks)
    record = GesturesRecord(seed=plan.seed, duration_us=plan.duration_us, tracks=tracks)
    return write_recordings(folder, record, work, engine=engine, shard=shard, progress=progress)
