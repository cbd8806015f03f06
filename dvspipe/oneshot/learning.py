"""Learn gestures from a few films of each: their joints, varied as other people would move, train a joint network.

The convolutions are those of the included joint network, which was trained on the joints of many people; only the last
layer is trained. The classifier knows videos and webcams alone: its event network gives all classes the same
probability, and only divides a film into windows.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DataError, count_noun
from ..base.gestures import OTHER
from ..base.progress import NamedStep, Progress, ignore_progress
from ..checkpoints.checkpoint import load_config, save_checkpoint
from ..networks.config import NetworkConfig
from ..people import Track, TrackSettings
from ..people.films import JOINT_LOOKS
from ..people.joints import (
    CURVES,
    JOINT_STEP_US,
    JOINT_STEPS,
    JOINT_WINDOW_US,
    POSITIONS,
    WRISTS,
    JointClassifier,
    find_joints,
    mirror_curves,
    sample_curves,
)
from ..people.tracking import track
from ..results import RunFolder, Share
from ..results.scores import Counts, count_confusion
from ..results.tables import Record
from .config import LearnConfig
from .films import ExampleFilm, Films, list_films

Floats = NDArray[np.float32]

log = logging.getLogger(__name__)

BASE = "gesture"
"""Included classifier whose joint network is fine-tuned; all its sources allow use in products."""
RECORD = "learned.json"
HOP_US = 120_000  # between windows of a film
MOVING = 0.4  # speed of the wrists in a window that shows the gesture, relative to the fastest window
MIN_SPEED = 0.3  # of both wrists in the fastest window, in arm lengths per second; less is noise
TESTED = 4  # the last one of so many windows of a film is left out for the test
SURE = 0.8  # probability from which a gesture is certain
SAMPLES = 60  # varied windows of each gesture; more would fit the last layer closer to the few films
STILL = 0.1  # windows that stand still, relative to those of gestures

# How other people move: pace, and ranges or standard deviations in arm lengths, radians and natural logarithms
PACES = (0.75, 0.9, 1.1, 1.35)
LOG_SIZE = 0.2  # size of the movement
LOG_SCALE = (0.1, 0.1, 0.5)  # outwards, up, forwards: the depth is estimated from one picture
YAW = 0.3
OFFSET = 0.08
NOISE = 0.015
DOUBT = 0.3  # maximum loss of confidence
SIGNS = (-1, -1, 1, 1, 1, -1, 1)  # sign of the outward direction, for each position of a curve


@dataclass(frozen=True, eq=False)
class CutFilm:
    """Film of a gesture, tracked, with the centres of the windows that show it.

    Args:
        film: Film.
        track: Joints of the person over time.
        centers_us: Centres of the windows in microseconds, int64 [N].
    """

    film: ExampleFilm
    track: Track
    centers_us: NDArray[np.int64]

    @property
    def part_s(self) -> tuple[float, float]:
        """Start and end of the part that shows the gesture, in seconds of the film."""
        half_us = JOINT_WINDOW_US // 2
        first_us = max(self.centers_us[0] - half_us, self.track.times_us[0])
        last_us = min(self.centers_us[-1] + half_us, self.track.times_us[-1])
        return float(first_us / 1e6), float(last_us / 1e6)

    def __str__(self) -> str:
        start_s, stop_s = self.part_s
        return f"{self.film.path}: {self.film.name}, {start_s:.2f} to {stop_s:.2f} s"

    def divide(self) -> tuple[Self, Self]:
        """Return the film with the windows to learn, and with the last ones, which have no picture in common."""
        tested = self.centers_us[-(len(self.centers_us) // TESTED) :]
        learnt = self.centers_us[self.centers_us <= tested[0] - JOINT_WINDOW_US]

        # Of a short film, all windows are learnt.
        if not len(learnt):
            learnt = self.centers_us
            tested = tested[:0]
        return replace(self, centers_us=learnt), replace(self, centers_us=tested)

    def sample(self, pace: float = 1.0) -> Floats:
        """Return the curves of the windows at a pace, relative to the film: float32 [N, JOINT_STEPS, CURVES]."""
        played = replace(self.track, times_us=np.round(self.track.times_us / pace).astype(np.int64))
        centers_us = np.round(self.centers_us / pace).astype(np.int64)
        curves, _ = sample_curves(played, centers_us, centers_us)
        return curves


class Learned(Record):
    """learned.json: classifier of gestures from films."""

    classes: tuple[str, ...]
    """Gestures, and the class of other gestures."""
    films: tuple[str, ...]
    """Films, with the part of each that shows the gesture."""
    confusion: Counts
    """Left-out windows of these films, by true class (row) and predicted class (column)."""
    warnings: tuple[str, ...] = ()
    """What the films lack, a line each."""

    @property
    def test(self) -> Share:
        """Share of left-out windows that are right; of none, if the films are too short to leave out windows."""
        return Share(correct=int(np.trace(self.confusion)), samples=int(np.sum(self.confusion)))

    def describe(self) -> list[str]:
        """Return what was learnt, and what to expect of other people."""
        lines = [*self.films]
        if self.test.samples:
            lines.append(f"left-out windows of the same films: {self.test}")

        for row, name in enumerate(self.classes):
            for column, other in enumerate(self.classes):
                if row != column and self.confusion[row][column]:
                    lines.append(f"{name}, confused with {other}: {self.confusion[row][column]}")
        return [*lines, *self.warnings, "expect less of other people; films of more people help"]


def learn(
    films: Films,
    out: str | Path,
    config: LearnConfig = LearnConfig(),
    *,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Learned:
    """Learn new gestures from a few films each, by the joints of the person; the classifier is for videos and webcams.

    Args:
        films: Film of each gesture, named after it (wave.mp4); or DIR with DIR/GESTURE/FILM. Films of `other_gestures`
            show none of the gestures.
        out: Run folder of the new classifier.
        config: Settings.
        overwrite: Replace an earlier run in the folder.
        progress: Called with the amount done and the total.

    Raises:
        DataError: If no film shows a gesture, or a film shows no movement of the hands.
        VideoError: If a film cannot be read or shows no person.
        FileError: If a film is missing, or the folder is not empty or cannot be written.

    Example:
        >>> learned = learn(["wave.mp4", "stop.mp4"], "my-gestures")  # doctest: +SKIP
        >>> learned.classes, learned.test.accuracy  # doctest: +SKIP
        (('stop', 'wave', 'other_gestures'), 0.94)
    """
    run = RunFolder(Path(out))
    run.check_unused(overwrite=overwrite)
    examples = list_films(films)
    gestures = sorted({film.name for film in examples} - {OTHER})
    if not gestures:
        raise DataError(f"no films of gestures (found {len(examples)} films of {OTHER}, expected 1 or more of others)")

    cut = [cut_film(film, NamedStep(progress, f"tracking {film.path.name}")) for film in examples]
    learnt, tested = zip(*(film.divide() for film in cut), strict=True)
    warnings = tuple(find_warnings(tested))
    classes = (*gestures, OTHER)
    joints = train_classes(learnt, classes, config)

    confusion = _count_confusion(joints, tested)
    learned = Learned(classes=classes, films=tuple(map(str, cut)), confusion=confusion, warnings=warnings)
    run.clear(keep_epochs=False)
    joints.save(run.joints)
    learned.write(run.path / RECORD)

    # By events, all classes are equally probable; written last, because it makes the folder a classifier.
    events = load_config(BASE).model_copy(
        update={
            "classes": classes,
            "network": NetworkConfig(network="mlp", channels=(1,), tau_mem_s=1.0, tau_readout_s=1.0),
            "trained_on": f"joints of {count_noun(len(cut), 'film')}; knows no events",
            "temperature": 1.0,
            "least_energy": None,
        }
    )
    network = events.build_network()
    for weights in network.parameters():
        weights.data.zero_()
    save_checkpoint(run.best, events, network)
    log.info("run: %s; next: %s FILM", run.path, shlex.join(["dvspipe", "infer", str(run.path)]))
    return learned


def cut_film(film: ExampleFilm, progress: Progress = ignore_progress) -> CutFilm:
    """Track the person in a film, and find the windows in which the hands move; all windows of other gestures.

    Raises:
        DataError: If the film shows no movement of the hands, or the person for less than a window.
        VideoError: If the film cannot be read or shows no person.
    """
    looks = TrackSettings(**JOINT_LOOKS.given | {"start_s": film.start_s, "stop_s": film.stop_s})
    tracked = track(film.path, config=looks, progress=progress)
    first_us, last_us = tracked.times_us[tracked.present][[0, -1]]

    half_us = JOINT_WINDOW_US // 2
    centers_us = np.arange(first_us + half_us, last_us - half_us + 1, HOP_US)
    if not len(centers_us):
        raise DataError(
            f"{film.path}: too short (found a person for {(last_us - first_us) / 1e6:.2f} s, expected "
            f"{JOINT_WINDOW_US / 1e6} s or more)"
        )

    if film.name == OTHER:
        return CutFilm(film, tracked, centers_us)

    curves, visible = sample_curves(tracked, centers_us, centers_us)
    moves = np.abs(np.diff(curves[..., WRISTS], axis=1)).sum(axis=2).mean(axis=1)
    speed = visible * moves * 1e6 / JOINT_STEP_US
    if speed.max() < MIN_SPEED:
        raise DataError(
            f"{film.path}: shows no movement of the hands (found {speed.max():.2f} arm lengths per second, expected "
            f"{MIN_SPEED} or more)"
        )
    return CutFilm(film, tracked, centers_us[speed >= MOVING * speed.max()])


def find_warnings(tested: Sequence[CutFilm]) -> Iterator[str]:
    """Yield what films lack: time for a test, and other gestures; they have the left-out windows."""
    names = {film.film.name for film in tested}
    untested = names - {film.film.name for film in tested if len(film.centers_us)}
    if untested:
        yield f"{', '.join(sorted(untested))}: too short to leave out windows for a test; film 5 s or more"
    if OTHER not in names:
        yield (
            f"no film of {OTHER}: the test does not show whether other movements are called a gesture; add films "
            f"without any of the gestures as {OTHER}"
        )


def train_classes(films: Sequence[CutFilm], classes: tuple[str, ...], config: LearnConfig) -> JointClassifier:
    """Fit the last layer of the included joint network to films, varied at random."""
    rng = np.random.default_rng(config.seed)
    curves = list[Floats]()
    labels = list[int]()

    # All classes are equally probable, and all films of a class.
    for film in films:
        windows = np.concatenate([film.sample(pace) for pace in PACES])
        if config.mirror:
            windows = np.concatenate([windows, mirror_curves(windows)])
        of_class = sum(other.film.name == film.film.name for other in films)
        count = max(1, SAMPLES // of_class)
        curves.append(windows[rng.integers(len(windows), size=count)])
        labels += [classes.index(film.film.name)] * count

    # Hands at rest show no gesture.
    still = np.concatenate(curves)
    still = still[rng.integers(len(still), size=round(STILL * len(still)))]
    poses = still[np.arange(len(still)), rng.integers(JOINT_STEPS, size=len(still))]
    curves.append(np.repeat(poses[:, None], JOINT_STEPS, axis=1))
    labels += [classes.index(OTHER)] * len(still)

    base = find_joints(BASE)
    assert base is not None  # it is included
    return base.refit(vary(np.concatenate(curves), rng), np.array(labels), classes, SURE)


def vary(curves: Floats, rng: np.random.Generator) -> Floats:
    """Return curves, [N, JOINT_STEPS, CURVES], as other people would perform the movement."""
    N = len(curves)
    points = curves[..., :POSITIONS].reshape(N, JOINT_STEPS, -1, 3).astype(np.float64)

    # Larger or smaller, in another proportion.
    middle = points.mean(axis=1, keepdims=True)
    points = middle + (points - middle) * np.exp(rng.uniform(-LOG_SIZE, LOG_SIZE, (N, 1, 1, 1)))
    points *= np.exp(rng.uniform(-1, 1, (N, 1, 1, 3)) * LOG_SCALE)

    # Turned about the vertical axis, because the direction that the person faces is estimated, too.
    yaw = rng.normal(0, YAW, (N, 1, 1))
    left = points[..., 0] * SIGNS
    forwards = points[..., 2].copy()
    points[..., 0] = (left * np.cos(yaw) + forwards * np.sin(yaw)) * SIGNS
    points[..., 2] = forwards * np.cos(yaw) - left * np.sin(yaw)

    points += rng.normal(0, OFFSET, (N, 1, *points.shape[2:])) + rng.normal(0, NOISE, points.shape)
    confidence = curves[..., POSITIONS:] * (1 - rng.uniform(0, DOUBT, (N, 1, CURVES - POSITIONS)))
    return np.concatenate([points.reshape(N, JOINT_STEPS, POSITIONS), confidence], axis=-1, dtype=np.float32)


def _count_confusion(joints: JointClassifier, films: Sequence[CutFilm]) -> Counts:
    """Classify the windows of films, and count them by true and predicted class."""
    labels = [joints.classes.index(film.film.name) for film in films for _ in film.centers_us]
    windows = np.concatenate([film.sample() for film in films])
    return count_confusion(np.array(labels, np.int64), joints.classify(windows), len(joints.classes))
