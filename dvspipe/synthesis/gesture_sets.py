"""Data sets of rendered gestures: which clips they have, and how they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path

from ..base.files import read_bytes
from ..base.gestures import GESTURES, OTHER
from ..base.pool import ALL, Shard
from ..base.progress import Progress
from ..events import GESTURE_SENSOR, Events
from ..formats import SYNTHETIC_GESTURES, write
from ..video.writing import write_video
from .config import CameraKind
from .filmed import SETTINGS_NAME, FilmedGestures
from .gestures import CLIP_US, DVS128_GESTURES, RENDERING, Repertoire
from .recording import (
    GestureClip,
    draw_clip_webcam,
    draw_light,
    film_gesture,
    gesture_frames,
    record_film,
    record_gesture,
)
from .tracked import TRACK_FILES, read_movements
from .writing import SynthesisRecord, write_recordings


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
        tracks: Folder of tracks of real people, <class>/<name>.csv, for a share of the movements; or folder written by
            `FilmedGestures.write`, with its own classes; None: no tracks.
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


def write_gestures(
    folder: Path,
    plan: GesturesPlan,
    *,
    jobs: int | str = 1,
    shard: Shard = ALL,
    progress: Progress | None = None,
) -> int:
    """Write the recordings (and videos) of a plan; return the number of new files.

    Files are <class>/user<person>_<light>_<clip>.h5 for a DVS128, and <class>/user<person>_webcam_<clip>.h5.

    Args:
        folder: Output folder; existing files with the same settings are kept.
        plan: Gestures to record.
        jobs: Number of local processes, or the address of a Ray cluster; see `map_items`.
        shard: Part of the files to write, selected by path.
        progress: Called with the number of finished files and the total.

    Raises:
        DataError: If the folder contains other files, or recordings with other settings.
        FileError: If the folder cannot be written, or another process is writing to it.
    """
    work: dict[Path, Callable[[Path], object]] = {}
    repertoire = read_repertoire(plan.tracks)  # report errors before work starts
    digest = None if plan.tracks is None else _digest_tracks(plan.tracks)

    for clip in plan.list_clips(repertoire.classes):
        planned = _PlannedClip(clip, plan.tracks, digest)
        class_folder = Path(repertoire.classes[clip.label])

        if plan.camera != "webcam":
            path = class_folder / f"user{clip.person:03d}_{draw_light(clip.seeds)}_{clip.clip:02d}.h5"
            work[path] = planned.write_events
            if plan.videos:
                work[path.with_suffix(".webm")] = planned.write_video

        if plan.camera != "dvs":
            path = class_folder / f"user{clip.person:03d}_webcam_{clip.clip:02d}.h5"
            work[path] = planned.write_film_events
            if plan.videos:
                work[path.with_suffix(draw_clip_webcam(clip, repertoire).suffix)] = planned.write_film

    record = GesturesRecord(seed=plan.seed, duration_us=plan.duration_us, tracks=digest)
    return write_recordings(folder, record, work, jobs=jobs, shard=shard, progress=progress)


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
        return FilmedGestures.read(folder / SETTINGS_NAME).to_repertoire(folder)
    return Repertoire(tracked=read_movements(folder, GESTURES, OTHER))


@cache
def _read_once(folder: Path | None, _digest: str | None) -> Repertoire:
    """Read a repertoire once per process; it is read again if the digest of its folder differs."""
    return read_repertoire(folder)


def _digest_tracks(folder: Path) -> str:
    """Return the SHA-256 digest of the names and contents of all tracks, and of their settings if there are any."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob(TRACK_FILES), *folder.glob(SETTINGS_NAME)]):
        digest.update(f"{path.parent.name}/{path.name} {hashlib.sha256(read_bytes(path)).hexdigest()}\n".encode())

    return digest.hexdigest()
