"""Data set of rendered gestures."""

from __future__ import annotations

import itertools
from functools import partial
from importlib.metadata import version

from ..base.gestures import GESTURES
from ..synthesis import GESTURE_SENSOR, RENDERING, GestureClip, record_gesture
from .config import GesturesConfig
from .samples import DataSet, Sample, divide
from .source import DataSource


def open_rendered(source: DataSource[GesturesConfig]) -> DataSet:
    """Return rendered gestures; the people of the test part are in no other part."""
    config = source.config
    seed = source.seed

    clips = itertools.product(
        range(config.train_people + config.test_people), range(len(GESTURES)), range(config.clips)
    )
    samples = [
        Sample(
            name=f"person {person}, {GESTURES[label]}, clip {clip}",
            label=label,
            group=f"person {person}",
            load=partial(record_gesture, GestureClip(label, person=person, clip=clip, seed=seed)),
            version=partial(_version, label, person, clip, seed),
        )
        for person, label, clip in clips
    ]

    # The samples are sorted by person, so the people of the test part are the last ones.
    trained = config.train_people * len(GESTURES) * config.clips
    train, validation = divide(samples[:trained], config.validation, seed)

    return DataSet(
        title="rendered gestures",
        classes=GESTURES,
        sensor=GESTURE_SENSOR,
        train=tuple(train),
        validation=tuple(validation),
        test=tuple(samples[trained:]),
        synthetic=True,
        synthetic_test=True,
    )


def _version(label: int, person: int, clip: int, seed: int) -> str:
    return f"gesture {label} {person} {clip} {seed} {version('dvspipe')} {RENDERING}"
