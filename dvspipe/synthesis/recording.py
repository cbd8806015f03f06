"""Rendered gestures as recordings of a simulated sensor, and folders of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..events import Events, concatenate
from ..formats import write
from ..frames import Frame
from ..simulator import simulate
from ..video import write_video
from .gestures import CLIP_US, GESTURE_SENSOR, GESTURES, Performance, plan_session, render_gesture, render_session
from .people import draw_person
from .scenes import LIGHTS, LightKind
from .sensors import draw_sensor, read_out
from .writing import write_recordings

SIMULATED_FPS: dict[LightKind, float] = {"fluorescent": 360.0, "led": 200.0, "natural": 200.0}
"""Frames between which the simulator interpolates: a fast hand moves by three pixels, a tube flickers by a third."""

Progress = Callable[[int, int], None]


def _seeds(label: int, person: int, clip: int, seed: int) -> list[int]:
    return [seed, person, label + 1, clip]


def _light(seeds: list[int]) -> LightKind:
    return LIGHTS[np.random.default_rng([*seeds, 2]).integers(len(LIGHTS))]


def gesture_frames(
    label: int, *, person: int, clip: int, seed: int, duration_us: int = CLIP_US, fps: float = 100.0
) -> Iterator[Frame]:
    """The rendered video of a gesture: frames of 128x128 uint8 in sRGB (IEC 61966-2-1), from time 0 to the duration.

    Args:
        label: The class, 0 to 10, an index into `GESTURES`.
        person: Number of the identity: the same number and seed give the same person in every clip.
        clip: Number of the clip; another number gives another scene and movement.
        seed: Of everything.
        duration_us: Time of the last frame, at most.
        fps: Frames per second.

    Raises:
        DataError: There is no such class.
    """
    frames = _render(_seeds(label, person, clip, seed), duration_us, fps)
    return (Frame(frame.t_us, _srgb().take(frame.image)) for frame in frames)


def record_gesture(label: int, *, person: int, clip: int, seed: int, duration_us: int = CLIP_US) -> Events:
    """The events of that gesture on a DVS128 whose biases and noise are drawn per clip; arguments as there."""
    seeds = _seeds(label, person, clip, seed)
    frames = _render(seeds, duration_us, SIMULATED_FPS[_light(seeds)])
    return _record(frames, np.random.default_rng([*seeds, 1]))


def _render(seeds: list[int], duration_us: int, fps: float) -> Iterator[Frame]:
    seed, person, number, _ = seeds
    identity = draw_person(np.random.default_rng([seed, person]))
    rng = np.random.default_rng(seeds)
    return render_gesture(number - 1, identity, rng, duration_us=duration_us, fps=fps, light=_light(seeds))


def record_session(
    labels: Sequence[int], *, person: int, session: int, seed: int
) -> tuple[Events, tuple[Performance, ...]]:
    """The events of one person's gestures one after another, with rest between them, and what was performed when.

    Args:
        labels: Classes in the order of their performance.
        person: Number of the identity, as in `gesture_frames`.
        session: Number of the recording; another number gives another scene, sensor and movement.
        seed: Of everything.
    """
    seeds = [seed, person, 0, session]
    rng, plan_rng = np.random.default_rng(seeds), np.random.default_rng([*seeds, 3])
    plan = plan_session(labels, plan_rng)
    duration_us = (plan[-1].end_us if plan else 0) + int(plan_rng.integers(800_000, 2_500_000))
    identity = draw_person(np.random.default_rng([seed, person]))
    light = _light(seeds)
    frames = render_session(plan, identity, rng, duration_us=duration_us, fps=SIMULATED_FPS[light], light=light)
    return _record(frames, np.random.default_rng([*seeds, 1])), plan


def _record(frames: Iterable[Frame], rng: np.random.Generator) -> Events:
    config, readout = draw_sensor(rng)
    return read_out(concatenate(simulate(frames, config), GESTURE_SENSOR), readout, rng)


@cache
def _srgb() -> NDArray[np.uint8]:
    """The sRGB value of light in 65,536 steps."""
    light = np.arange(65536) / 65535
    grey = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray((255 * grey).round(), np.uint8)


def write_gestures(
    folder: Path,
    *,
    people: int,
    clips: int,
    seed: int,
    duration_us: int = CLIP_US,
    videos: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> int:
    """Writes FOLDER/<class>/user<person>_<light>_<clip>.h5, and .webm on request; returns how many files are new.

    Args:
        folder: Where; what is there already, made in the same way, is kept.
        people: Identities.
        clips: Of each person and class.
        seed: Of everything; more people or clips with the same seed leave the first ones as they were.
        duration_us: Of a clip.
        videos: Whether the rendered videos are written too.
        jobs: Processes to share the work.
        progress: Told the number of files done and in all.

    Raises:
        DataError: The folder holds recordings that were made in another way.
        FileError: It cannot be written to, or another process does.
    """
    work: dict[Path, Callable[[Path], object]] = {}
    for person in range(people):
        for label, name in enumerate(GESTURES):
            for clip in range(clips):
                light = _light(_seeds(label, person, clip, seed))
                path = Path(name, f"user{person:03d}_{light}_{clip:02d}.h5")
                made = {"label": label, "person": person, "clip": clip, "seed": seed, "duration_us": duration_us}
                work[path] = partial(_write_events, made=made)
                if videos:
                    work[path.with_suffix(".webm")] = partial(_write_video, made=made)
    record = {"kind": "gestures", "seed": seed, "duration_us": duration_us}
    return write_recordings(folder, record, work, jobs=jobs, progress=progress)


def _write_events(path: Path, made: dict[str, int]) -> None:
    settings = {"synthesis": made}
    write(path, [record_gesture(**made)], GESTURE_SENSOR, source="synthetic gestures", settings=settings)


def _write_video(path: Path, made: dict[str, int]) -> None:
    write_video(path, gesture_frames(**made))
