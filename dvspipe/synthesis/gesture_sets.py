"""Folders of rendered gestures: the verb `synth gestures`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

from ..base.errors import ConfigError
from ..base.gestures import GESTURES, OTHER
from ..base.progress import Progress, ignore_progress
from ..events import GESTURE_SENSOR, Events
from ..formats import SYNTHETIC_GESTURES, write
from .gestures import CLIP_US, RENDERING
from .recording import GestureClip, draw_light, record_film, record_gesture
from .writing import SynthesisRecord, Written, require_at_least, write_recordings

MIN_PEOPLE = 3  # one per part of a data set
OTHER_CLIPS = 3  # per clip of a gesture: other gestures vary more than any gesture

log = logging.getLogger(__name__)


class GesturesRecord(SynthesisRecord):
    """Everything that determines the content of synthetic gestures."""

    kind: str = "gestures"
    duration_us: int
    """Duration of a clip in microseconds."""
    rendering: int = RENDERING
    """Version of the rendering."""


def write_gestures(
    out: Path,
    *,
    people: int = 30,
    clips: int = 3,
    seed: int = 0,
    duration_us: int = CLIP_US,
    camera: Literal["dvs", "webcam", "both"] = "dvs",
    jobs: int | str = 2,
    progress: Progress = ignore_progress,
) -> Written:
    """Make recordings of rendered people who perform the gestures of DVS128 Gesture; existing files are kept.

    Args:
        out: Output folder for CLASS/userPERSON_CAMERA_CLIP.h5.
        people: Number of people, > 0.
        clips: Number of clips per person, class and camera, > 0.
        seed: Seed of the random generators; with the same seed, more people or clips only add recordings.
        duration_us: Length of a clip in microseconds, 100,000 to 60,000,000.
        camera: Camera: a simulated DVS128, a webcam or phone with converted videos, or a clip of each.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        progress: Called with the number of clips done and the total.

    Raises:
        ConfigError: If a number is out of range.
        DataError: If the folder contains other files, or recordings with other settings.
        FileError: If the folder cannot be written, or another process is writing to it.
    """
    require_at_least(1, people=people, clips=clips)
    require_at_least(0, seed=seed)
    if not 100_000 <= duration_us <= 60_000_000:
        raise ConfigError(f"duration_us = {duration_us}: out of range (expected 100000 to 60000000)")

    work: dict[Path, Callable[[Path], object]] = {}
    for clip in _list_clips(people, clips, seed, duration_us):
        stem = Path(GESTURES[clip.label], f"user{clip.person:03d}")
        if camera != "webcam":
            path = Path(f"{stem}_{draw_light(clip.seeds)}_{clip.clip:02d}.h5")
            work[path] = partial(_write_clip, clip=clip, record=record_gesture)
        if camera != "dvs":
            work[Path(f"{stem}_webcam_{clip.clip:02d}.h5")] = partial(_write_clip, clip=clip, record=record_film)

    record = GesturesRecord(seed=seed, duration_us=duration_us)
    written = write_recordings(out, record, work, jobs=jobs, progress=progress)
    if people < MIN_PEOPLE:
        log.info("training needs at least %d people", MIN_PEOPLE)
    return written


def _list_clips(people: int, clips: int, seed: int, duration_us: int) -> Iterator[GestureClip]:
    for person, (label, name) in product(range(people), enumerate(GESTURES)):
        for number in range(clips * (OTHER_CLIPS if name == OTHER else 1)):
            yield GestureClip(label, person=person, clip=number, seed=seed, duration_us=duration_us)


def _write_clip(path: Path, clip: GestureClip, record: Callable[[GestureClip], Events]) -> None:
    write(path, [record(clip)], GESTURE_SENSOR, source=SYNTHETIC_GESTURES, settings={"synthesis": asdict(clip)})
