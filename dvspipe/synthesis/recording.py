"""Record rendered gestures with a simulated sensor or webcam, and write data sets of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from functools import cache
from itertools import islice, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.files import TemporaryFolder, read_bytes, write_beside
from ..base.labels import GESTURES
from ..events import Events, Region, SensorSize, concatenate
from ..formats import SYNTHETIC_GESTURES, write
from ..framing import VIEW_M, FramingConfig, open_source
from ..framing.person import enclose_hands, extend_hand, limit_square
from ..parallel import ALL, Engine, Processes, Progress, Shard
from ..pose import find_tracks
from ..simulator import EventSimulator, SimulatorConfig, SimulatorState
from ..video.frames import Frame
from ..video.writing import write_video
from .config import CameraKind
from .filmed import SETTINGS_NAME, FilmedGestures
from .gestures import (
    CLIP_US,
    DVS128_GESTURES,
    GESTURE_SENSOR,
    OTHER,
    RENDERING,
    ClipSettings,
    Performance,
    Repertoire,
    plan_clip,
    plan_session,
    pose_person,
    render_gesture,
    render_session,
)
from .people import KNUCKLES, WRIST, Floats, Person, Pose, draw_person
from .rendering import render
from .scenes import LIGHTS, LightKind, Scene, draw_far_camera, draw_scene, to_srgb
from .sensors import draw_sensor, read_out
from .tracked import read_movements
from .webcam import Webcam, compress, draw_webcam, film
from .writing import SynthesisRecord, write_recordings

FRAMES_AT_ONCE = 32  # frames per simulator call
REGION_SIZE_ERROR = 0.12  # standard deviation of the logarithm of the side
REGION_PLACE_ERROR = 0.05  # standard deviation, as a fraction of the side
WRIST_ERROR_M = 0.08  # standard deviation; the pose network's on rendered people is 0.15 arm lengths
LOST_HANDS = 0.1  # share of hands in the picture that the pose network does not find
PANNED = 0.15  # share of videos of other gestures with a moving camera


@dataclass(frozen=True)
class GestureClip:
    """Identifier of a clip of a gesture. Equal identifiers give equal clips.

    Args:
        label: Class, an index in the classes of the repertoire; by default 0 to 10, an index in `GESTURES`.
        person: Number of the identity; with the same seed, the same person in every clip.
        clip: Number of the clip; selects camera or sensor, scene and movement.
        seed: Random seed.
        duration_us: Maximum frame time in microseconds.

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

    @property
    def seeds(self) -> list[int]:
        """Seeds of the random generators of the clip."""
        return [self.seed, self.person, self.label + 1, self.clip]


def _draw_identity(seed: int, person: int) -> Person:
    return draw_person(np.random.default_rng([seed, person]))


def _draw_light(seeds: list[int]) -> LightKind:
    return LIGHTS[np.random.default_rng([*seeds, 2]).integers(len(LIGHTS))]


def gesture_frames(
    clip: GestureClip, *, fps: float = 100.0, repertoire: Repertoire = DVS128_GESTURES
) -> Iterator[Frame]:
    """Render the video of a gesture: frames 128x128, uint8 in sRGB (IEC 61966-2-1).

    Args:
        clip: Clip to render.
        fps: Frames per second; the first frame is at time 0.
        repertoire: Classes and their movements.
    """
    frames = _render(clip, fps, repertoire)
    return (Frame(frame.t_us, _srgb_table().take(frame.image)) for frame in frames)


def record_gesture(
    clip: GestureClip, *, sensor: SimulatorConfig | None = None, repertoire: Repertoire = DVS128_GESTURES
) -> Events:
    """Record a rendered gesture with a simulated DVS128; return its events.

    Args:
        clip: Clip to record.
        sensor: Sensor model; default: a DVS128 with biases and noise drawn for each clip.
        repertoire: Classes and their movements.
    """
    frames = _render(clip, None, repertoire)

    if sensor is not None:
        return _simulate(frames, sensor)

    return _record(frames, np.random.default_rng([*clip.seeds, 1]))


def _render(clip: GestureClip, fps: float | None, repertoire: Repertoire) -> Iterator[Frame]:
    repertoire.check(clip.label)
    identity = _draw_identity(clip.seed, clip.person)
    light = _draw_light(clip.seeds)

    settings = ClipSettings(clip.duration_us, fps, light, repertoire)
    return render_gesture(clip.label, identity, np.random.default_rng(clip.seeds), settings)


def film_gesture(
    stem: Path, clip: GestureClip, *, webcam: Webcam | None = None, repertoire: Repertoire = DVS128_GESTURES
) -> Path:
    """Film a rendered gesture with a simulated webcam or phone; write the video and return its path.

    The movement differs in detail from `record_gesture` with the same clip. In some videos of other gestures, the
    camera moves.

    Args:
        stem: Path without suffix; the suffix is .mp4 (H.264) or .webm (VP8).
        clip: Clip to film.
        webcam: Camera model; default: drawn for each clip.
        repertoire: Classes and their movements.

    Raises:
        FileError: If the file cannot be written.
        VideoError: If the installed OpenCV cannot write VP8, or the installed faery cannot write H.264.
    """
    return _plan_film(clip, webcam, repertoire).write(stem)


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

        x, y = shoulders + rng.normal(0, REGION_PLACE_ERROR, 2) * VIEW_M * scale
        square = limit_square(enclose_hands(hands - shoulders, VIEW_M * scale).moved(x, y), self.webcam.size)
        side = max(2, round(square.side))
        left = round(square.x - side / 2)
        top = round(square.y - side / 2)

        return Region(left, top, SensorSize(width=side, height=side))


def _plan_film(clip: GestureClip, webcam: Webcam | None, repertoire: Repertoire) -> _Film:
    repertoire.check(clip.label)
    rng = np.random.default_rng([*clip.seeds, 5])
    identity = _draw_identity(clip.seed, clip.person)
    webcam = webcam or _draw_webcam(clip.seeds, repertoire)
    times_s = webcam.picture_times(clip.duration_us)

    scene = draw_scene(identity, webcam.size, _draw_light(clip.seeds), rng, draw_far_camera)
    pose = pose_person(plan_clip(clip.label, rng, clip.duration_us, repertoire), identity, rng, times_s, repertoire)
    return _Film(identity, webcam, scene, pose, times_s, clip.duration_us, rng)


def _draw_webcam(seeds: list[int], repertoire: Repertoire) -> Webcam:
    rng = np.random.default_rng([*seeds, 4])
    webcam = draw_webcam(rng)
    if repertoire.classes[seeds[2] - 1] == OTHER and rng.random() < PANNED:
        return replace(webcam, shake_px=rng.uniform(0.02, 0.15) * webcam.size.height)
    return webcam


def record_film(clip: GestureClip, *, webcam: Webcam | None = None, repertoire: Repertoire = DVS128_GESTURES) -> Events:
    """Return the events of the video from `film_gesture`, fitted to `GESTURE_SENSOR` like the input of a network.

    The video is written, decoded, cropped to the person and converted. The crop is placed around the rendered joints,
    with random errors as large as the errors of the person detector in films of people: the detector itself does not
    work on rendered people. Arguments as in `film_gesture`.
    """
    planned = _plan_film(clip, webcam, repertoire)
    region = planned.find_region(np.random.default_rng([*clip.seeds, 6]))

    with TemporaryFolder() as folder:
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
    rng = np.random.default_rng(seeds)
    plan_rng = np.random.default_rng([*seeds, 3])
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
    simulator = EventSimulator(config)
    coming = iter(frames)
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
        tracks: Folder of tracks of real people, <class>/<file>, for a share of the movements: CSV of joints, or motion
            capture in BVH or AMC with ASF; or folder written by `FilmedGestures.write`, with its own classes; None: no
            tracks.
        other: Number of clips of other gestures per clip of another class; they vary more than any gesture.
    """

    people: int
    clips: int
    seed: int = 0
    duration_us: int = CLIP_US
    videos: bool = False
    camera: CameraKind = "dvs"
    tracks: Path | None = None
    other: int = 3

    @property
    def count(self) -> int:
        """Number of recordings."""
        clips = self.list_clips(read_repertoire(self.tracks).classes)
        return sum(1 for _ in clips) * (2 if self.camera == "both" else 1)

    def list_clips(self, classes: Sequence[str]) -> Iterator[GestureClip]:
        """Yield all clips of these classes; each is recorded by one camera, or by both."""
        for person, (label, name) in product(range(self.people), enumerate(classes)):
            for number in range(self.clips * (self.other if name == OTHER else 1)):
                yield GestureClip(label, person=person, clip=number, seed=self.seed, duration_us=self.duration_us)


@dataclass(frozen=True)
class _PlannedClip:
    """Clip of a plan, with functions that write it.

    Args:
        clip: Clip.
        tracks: Folder of tracks; None: no tracks.
        digest: Digest of the folder; the same folder may change later.
    """

    clip: GestureClip
    tracks: Path | None
    digest: str | None

    @property
    def repertoire(self) -> Repertoire:
        """Classes and their movements."""
        return _read_once(self.tracks, self.digest)

    def write_events(self, path: Path) -> None:
        self._write(path, record_gesture(self.clip, repertoire=self.repertoire))

    def write_film_events(self, path: Path) -> None:
        self._write(path, record_film(self.clip, repertoire=self.repertoire))

    def write_video(self, path: Path) -> None:
        write_video(path, gesture_frames(self.clip, repertoire=self.repertoire))

    def write_film(self, path: Path) -> None:
        film_gesture(path.with_suffix(""), self.clip, repertoire=self.repertoire)

    def _write(self, path: Path, events: Events) -> None:
        write(path, [events], GESTURE_SENSOR, source=SYNTHETIC_GESTURES, settings={"synthesis": asdict(self.clip)})


def read_repertoire(folder: Path | None) -> Repertoire:
    """Read the classes and movements of a folder of tracks; see `GesturesPlan.tracks`.

    Raises:
        DataError: If the folder contains no tracks.
        FileError: If a file is missing or corrupted.
    """
    if folder is None:
        return DVS128_GESTURES
    if (folder / SETTINGS_NAME).is_file():
        return FilmedGestures.read(folder).to_repertoire(folder)
    return Repertoire(tracked=read_movements(folder, GESTURES, OTHER))


@cache
def _read_once(folder: Path | None, _digest: str | None) -> Repertoire:
    return read_repertoire(folder)


def _digest_tracks(folder: Path) -> str:
    """Return the SHA-256 digest of the names and contents of all tracks, and of their settings if there are any."""
    digest = hashlib.sha256()
    skeletons = (path for path in folder.glob("*/*") if path.suffix.lower() == ".asf")
    for path in sorted([*find_tracks(folder), *skeletons, *folder.glob(SETTINGS_NAME)]):
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
    repertoire = read_repertoire(plan.tracks)  # report errors before work starts
    digest = None if plan.tracks is None else _digest_tracks(plan.tracks)

    for named in plan.list_clips(repertoire.classes):
        clip = _PlannedClip(named, plan.tracks, digest)
        class_folder = Path(repertoire.classes[named.label])

        if plan.camera != "webcam":
            path = class_folder / f"user{named.person:03d}_{_draw_light(named.seeds)}_{named.clip:02d}.h5"
            work[path] = clip.write_events
            if plan.videos:
                work[path.with_suffix(".webm")] = clip.write_video

        if plan.camera != "dvs":
            path = class_folder / f"user{named.person:03d}_webcam_{named.clip:02d}.h5"
            work[path] = clip.write_film_events
            if plan.videos:
                work[path.with_suffix(_draw_webcam(named.seeds, repertoire).suffix)] = clip.write_film

    record = GesturesRecord(seed=plan.seed, duration_us=plan.duration_us, tracks=digest)
    return write_recordings(folder, record, work, engine=engine, shard=shard, progress=progress)
