"""Rendered gestures as a kind of data set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field

from ..base.gestures import GESTURES
from ..base.settings import Settings
from ..events import GESTURE_SENSOR
from ..hooks import LabelledRecording, LabelledRecordings
from .gestures import RENDERING
from .recording import GestureClip, record_gesture


class RenderedSettings(Settings):
    """Options of rendered gestures."""

    train_people: int = Field(default=32, ge=2)
    """Number of people in the training and validation parts."""
    test_people: int = Field(default=10, ge=1)
    """Number of other people in the test part."""
    clips: int = Field(default=2, ge=1)
    """Number of clips per person and class."""


def open_gestures(root: Path | None, seed: int, options: Mapping[str, Any]) -> LabelledRecordings:  # noqa: ARG001
    """Return rendered gestures; the people of the test part are in no other part. They need no folder."""
    settings = RenderedSettings(**options)
    people = range(settings.train_people + settings.test_people)
    rendering = f"{version('dvspipe')} {RENDERING}"

    recordings = [
        LabelledRecording(
            name=f"person {person}, {GESTURES[label]}, clip {clip}",
            label=label,
            group=f"person {person}",
            load=partial(record_gesture, GestureClip(label, person=person, clip=clip, seed=seed)),
            version=f"gesture {label} {person} {clip} {seed} {rendering}",
            part="train" if person < settings.train_people else "test",
        )
        for person, label, clip in product(people, range(len(GESTURES)), range(settings.clips))
    ]
    return LabelledRecordings("rendered gestures", GESTURES, GESTURE_SENSOR, recordings, synthetic=True)
