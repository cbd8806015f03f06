"""Render the clips that train `gesture`: `python scripts/weights/clips.py TRACKS/training CLIPS --jobs 2`.

`tracks.py` writes TRACKS. Each clip shows a rendered person who performs a drawn movement, or a movement of a track. A
simulated DVS128 records it, a simulated webcam or phone films it, and every other person is filmed as a GIF, too. Films
are converted as `dvspipe infer` does. Writes the events to CLIPS/events, for `dvspipe train`, and the joints that the
pose network finds in the films to CLIPS/tracks, for `joints.py`. A clip takes 0.1 to 2 s on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from movements import REPERTOIRE
from PIL import Image
from tracked import read_movements

from dvspipe.base.gestures import GESTURES, OTHER
from dvspipe.events import GESTURE_SENSOR, Events, concatenate
from dvspipe.formats import SYNTHETIC_GESTURES, write
from dvspipe.framing import FramingConfig, open_source
from dvspipe.framing.opening import MIN_GIF_US
from dvspipe.people.films import track_person
from dvspipe.synthesis import GestureClip, Repertoire, film_gesture, record_film, record_gesture
from dvspipe.synthesis.gestures import CLIP_US
from dvspipe.synthesis.motion import Motion, Movement
from dvspipe.synthesis.people import Floats, Person
from dvspipe.synthesis.writing import SynthesisRecord, write_recordings
from dvspipe.video.opencv import cv2

PER_PERSON = {OTHER: 7, "hand_clapping": 3, "right_hand_wave": 2, "left_hand_wave": 2}  # clips; others: 1
SEED = 62
TRACKED_SHARE = 0.5  # share of movements of people in classes that have any
THRESHOLDS = (0.05, 0.25)  # range of the contrast thresholds for films: real films have 2 to 3 times as many events

GIF_SEED = 1
GIF_HZ = (6.5, 17)  # range of pictures per second
GIF_SHARE = (0.4, 1)  # range of the length of a GIF, relative to the film
GIF_COLOURS = (16, 128)


def mix(drawn: Movement, tracked: Sequence[Movement]) -> Movement:
    """Return a movement that is drawn, or one of people."""

    def perform(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        if rng.random() >= TRACKED_SHARE:
            return drawn(t, person, rng)
        return tracked[int(rng.integers(len(tracked)))](t, person, rng)

    return perform


@cache
def read_repertoire(tracks: Path) -> Repertoire:
    """Return the drawn movements, and the claps and waves of tracks."""
    tracked = read_movements(tracks)
    return {name: mix(drawn, tracked[name]) if name in tracked else drawn for name, drawn in REPERTOIRE.items()}


def write_gif(film: Path, rng: np.random.Generator) -> Path:
    """Write a part of a film as a GIF with few colours and pictures per second."""
    video = cv2.VideoCapture(str(film))
    rate_hz = video.get(cv2.CAP_PROP_FPS)
    pictures = []
    while (read := video.read())[0]:
        pictures.append(Image.fromarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY)))

    every = max(1, round(rate_hz / rng.uniform(*GIF_HZ)))
    count = max(3, int(len(pictures) * rng.uniform(*GIF_SHARE)))
    start = rng.integers(max(1, len(pictures) - count + 1))
    kept = pictures[start : start + count : every]

    path = film.with_suffix(".gif")
    colours = int(rng.integers(*GIF_COLOURS))
    first, *others = [picture.quantize(colours) for picture in kept]
    first.save(path, save_all=True, append_images=others, duration=round(1000 * every / rate_hz), loop=0)
    return path


@dataclass(frozen=True)
class Recorder:
    """Functions that write a clip."""

    clip: GestureClip
    tracks: Path

    @property
    def repertoire(self) -> Repertoire:
        """Movements of the clip's person."""
        return read_repertoire(self.tracks)

    def record(self, path: Path) -> None:
        """Record the clip with a simulated DVS128."""
        self._write(path, record_gesture(self.clip, repertoire=self.repertoire))

    def film(self, path: Path) -> None:
        """Film the clip."""
        with TemporaryDirectory() as folder:
            film = film_gesture(Path(folder, "film"), self.clip, repertoire=self.repertoire)
            self._convert(film, path, start_us=0)

    def loop(self, path: Path) -> None:
        """Film the clip as a GIF, which `dvspipe infer` repeats; keep a part of it."""
        rng = np.random.default_rng([*self.clip.seeds, GIF_SEED])
        with TemporaryDirectory() as folder:
            film = film_gesture(Path(folder, "film"), self.clip, repertoire=self.repertoire)
            gif = write_gif(film, rng)
            self._convert(gif, path, start_us=int(rng.integers(MIN_GIF_US - CLIP_US)))

    def _convert(self, film: Path, path: Path, *, start_us: int) -> None:
        """Convert a part of a film as `dvspipe infer` does; write the events, and the joints of the film."""
        threshold = float(np.exp(np.random.default_rng(self.clip.seeds).uniform(*np.log(THRESHOLDS))))
        framing = FramingConfig(pos_thres=threshold, neg_thres=threshold)
        source = open_source(film, GESTURE_SENSOR, framing, is_advised=True)
        track = track_person(source.film) if source.film else None

        if track is None:  # the pose network finds nobody: use the region of the rendered joints
            events = record_film(self.clip, repertoire=self.repertoire)
        else:
            joints = path.parents[2] / "tracks" / path.parent.name / f"{path.stem}.csv"
            joints.parent.mkdir(parents=True, exist_ok=True)
            track.write(joints)
            complete = concatenate(source.read_fitted(), GESTURE_SENSOR)
            events = complete.between(start_us, start_us + CLIP_US + 1)
        self._write(path, events)

    def _write(self, path: Path, events: Events) -> None:
        write(path, [events], GESTURE_SENSOR, source=SYNTHETIC_GESTURES)


def list_clips(people: int, tracks: Path) -> Iterator[tuple[Path, Callable[[Path], object]]]:
    """Yield the path and the recorder of each clip."""
    for person in range(people):
        for label, name in enumerate(GESTURES):
            for number in range(PER_PERSON.get(name, 1)):
                clip = GestureClip(label, person=person, clip=number, seed=SEED)
                recorder = Recorder(clip, tracks)
                yield Path(name, f"user{person:03d}_dvs_{number}.h5"), recorder.record
                yield Path(name, f"user{person:03d}_webcam_{number}.h5"), recorder.film
                if person % 2 == 0:
                    yield Path(name, f"user{person:03d}_gif_{number}.h5"), recorder.loop


def show_progress(done: float, total: float) -> None:
    print(f"\r{done:.0f} of {total:.0f} clips", end="", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=Path)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--people", type=int, default=80)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()

    work = dict(list_clips(arguments.people, arguments.tracks.resolve()))
    record = SynthesisRecord(kind="gestures", seed=SEED)
    write_recordings(arguments.clips / "events", record, work, jobs=arguments.jobs, progress=show_progress)


if __name__ == "__main__":
    main()
