"""Rendered gestures as a data set."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

from ..synthesis import GESTURE_SENSOR, GESTURES, record_gesture
from .config import DataConfig
from .samples import DataSet, Sample, divide


def open_rendered(config: DataConfig, seed: int) -> DataSet:
    """Rendered gestures; the people of the test part appear nowhere else."""
    people = range(config.train_people + config.test_people)
    samples = [
        Sample(
            name=f"person {person}, {GESTURES[label]}, clip {clip}",
            label=label,
            group=f"person {person}",
            load=partial(record_gesture, label, person=person, clip=clip, seed=seed),
            version=partial(_version, label, person, clip, seed),
        )
        for person in people
        for label in range(len(GESTURES))
        for clip in range(config.clips)
    ]
    per_person = len(GESTURES) * config.clips
    train, validation = divide(samples[: config.train_people * per_person], config.validation, seed)
    test = samples[config.train_people * per_person :]
    return DataSet(
        "rendered gestures", GESTURES, GESTURE_SENSOR, True, tuple(train), tuple(validation), tuple(test), True, True
    )


def _version(label: int, person: int, clip: int, seed: int) -> str:
    return f"gesture {label} {person} {clip} {seed} {version('dvspipe')}"
