"""Add clips from films of people to rendered gestures: FILMS/<class>/<film> to MADE/<class>/film<N>_<film>_<clip>.h5.

python scripts/studies/film_clips.py FILMS MADE [--clips N] [--seed S]

A clip contains the framed events of 1.5 s of a film, at a random pace. Films are named <owner>-<repository>_<file>, and
all films of an owner and repository get the same number N: each person is either trained on or tested. Folders that are
not a class of DVS128 Gesture count as other gestures. Films shorter than a clip are repeated.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from dvspipe.base.errors import DvspipeError
from dvspipe.base.labels import GESTURES
from dvspipe.events import Events, concatenate
from dvspipe.formats import write
from dvspipe.framing import FramingConfig, open_source
from dvspipe.synthesis import GESTURE_SENSOR
from dvspipe.synthesis.gestures import CLIP_US, OTHER

PACES = (0.75, 1.35)  # length of the film part / length of the clip
BUSY_SHARE = 0.5  # minimum events of a clip, relative to the busiest clips (90 % quantile)
SLICE_US = 100_000
GAP_US = 40_000  # pause before a film is repeated


def read_film(path: Path) -> Events:
    """Return the framed events of a film from time 0, repeated to last at least as long as the longest clip."""
    source = open_source(path, GESTURE_SENSOR, FramingConfig(), sensor=None)
    events = concatenate(source.read_fitted(), GESTURE_SENSOR)
    if not len(events):
        raise DvspipeError(f"{path}: has no events")

    t = events.t - events.t[0]
    length_us = int(t[-1]) + GAP_US
    longest_us = round(max(PACES) * CLIP_US)
    times = -(-longest_us // length_us)
    t = (t + length_us * np.arange(times)[:, None]).ravel()
    x, y, p = (np.tile(part, times) for part in (events.x, events.y, events.p))

    return Events(t, x, y, p, GESTURE_SENSOR)


def find_busy(events: Events) -> np.ndarray:
    """Return the time slices that can start a clip with enough events."""
    counts = np.bincount(events.t // SLICE_US)
    within = np.convolve(counts, np.ones(CLIP_US // SLICE_US), "valid")
    return np.flatnonzero(within >= BUSY_SHARE * np.quantile(within, 0.9))


def cut_clip(events: Events, starts: np.ndarray, rng: np.random.Generator) -> Events:
    """Return a clip that starts in a random busy slice, at a random pace."""
    pace = float(np.exp(rng.uniform(*np.log(PACES))))
    length_us = round(pace * CLIP_US)
    start_us = min(int(rng.choice(starts)) * SLICE_US, int(events.t[-1]) + 1 - length_us)
    part = events.slice_time(start_us, start_us + length_us)
    return Events(((part.t - start_us) / pace).astype(np.int64), part.x, part.y, part.p, GESTURE_SENSOR)


def find_owner(path: Path) -> str:
    """Return the owner and repository of a film."""
    owner, _, _ = path.name.partition("_")
    return owner


def main() -> None:
    """Write the clips of all films."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path)
    parser.add_argument("made", type=Path)
    parser.add_argument("--clips", type=int, default=20, help="clips per film (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    films = sorted(path for path in arguments.films.glob("*/*") if path.is_file())
    owners = sorted({find_owner(path) for path in films})

    for number, path in enumerate(films):
        label = path.parent.name if path.parent.name in GESTURES else OTHER
        folder = arguments.made / label
        person = owners.index(find_owner(path))
        try:
            events = read_film(path)
        except DvspipeError as error:
            print(error, file=sys.stderr)
            continue

        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([arguments.seed, number])
        starts = find_busy(events)
        for clip in range(arguments.clips):
            events_of_clip = cut_clip(events, starts, rng)
            name = f"film{person:03d}_{number:03d}_{clip:02d}.h5"
            write(folder / name, [events_of_clip], GESTURE_SENSOR, source="a film of a person")

        print(f"{path}: {arguments.clips} clips", flush=True)


if __name__ == "__main__":
    main()
