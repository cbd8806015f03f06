"""Joints of a person in live videos: probabilities, and the region of interest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from facts import raises
from filmed import included, make_track
from numpy.typing import NDArray
from untrained import untrained_classifier

from dvspipe.base.errors import ConfigError
from dvspipe.base.gestures import GESTURES
from dvspipe.events import SensorSize
from dvspipe.framing import FramingConfig
from dvspipe.inference import Classifier, ClassifyConfig
from dvspipe.people.advice import JointAdviser
from dvspipe.people.live import LiveJoints
from dvspipe.people.network import InputSquare, Look, Sighting
from dvspipe.streaming import LiveSession, PushedSource
from dvspipe.streaming.answers import LiveAnswer
from dvspipe.streaming.framing import LiveFollower, frame_live
from dvspipe.video.frames import Frame

SIZE = SensorSize(width=160, height=120)
FRAME_US = 50_000  # of the track
SQUARE = InputSquare(80, 60, 150)
WAVE = make_track(0.3, 0)
NOBODY = Sighting(0.1, np.zeros((15, 2)), np.zeros((15, 3)), np.zeros(15), SQUARE)


def number_of(picture: NDArray[np.uint8]) -> int:
    """Return the number of a frame, which is its grey value."""
    return int(picture.flat[0])


def look_until(stop: int, move_px: float = 0.0) -> Look:
    """Return a pose network that sees a waving person, who moves aside, before the frame of a number."""

    def look(picture: NDArray[np.uint8], _: InputSquare) -> Sighting:
        number = number_of(picture)
        if number >= stop or not picture.any():
            return NOBODY

        points_px = WAVE.points_px[number] + (move_px * number, 0)
        return Sighting(1.0, points_px, WAVE.points_m[number], np.ones(15), SQUARE)

    return look


def frame(number: int) -> Frame:
    return Frame(number * FRAME_US, np.full((SIZE.height, SIZE.width), number, np.uint8))


def test_joints_raise_the_probability_of_a_wave_while_they_are_known() -> None:
    joints = LiveJoints(included(), look_until(60))
    by_events = np.full(len(GESTURES), 1 / len(GESTURES), np.float32)
    np.testing.assert_array_equal(joints.combine(by_events, 0), by_events)

    joints.add(frame(1))
    np.testing.assert_array_equal(joints.combine(by_events, FRAME_US), by_events)  # too little of a window

    for number in range(2, 60):
        joints.add(frame(number))
    combined = joints.combine(by_events, 59 * FRAME_US)
    assert combined.argmax() == GESTURES.index("right_hand_wave")

    for number in range(60, 95):
        joints.add(frame(number))
    np.testing.assert_array_equal(joints.combine(by_events, 94 * FRAME_US), by_events)  # the person left


def gestures(names: tuple[str, ...] = GESTURES) -> Classifier:
    """Return a classifier of 32 x 24 pixels with random weights."""
    adviser = JointAdviser(included()) if names == GESTURES else None
    return untrained_classifier(SensorSize(width=32, height=24), names, gain=1.0, adviser=adviser)


def pushed(count: int) -> PushedSource:
    """Return a source of frames in which every pixel becomes brighter, so there are events."""
    source = PushedSource("webcam", SIZE)
    for number in range(1, count):
        source.push(number * FRAME_US, np.repeat(frame(number).image[..., None], 3, axis=2))
    source.end()
    return source


def answers_of(config: ClassifyConfig) -> list[LiveAnswer]:
    session = LiveSession(pushed(60), gestures(), config, capacity=1000)
    return [answer for answer in session if answer.label is not None]


def test_session_says_whether_joints_were_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.people.live.PoseNetwork", lambda: look_until(1000))
    bases = [answer.basis for answer in answers_of(ClassifyConfig(roi="full"))]
    assert bases[0] == "events"
    assert bases[-1] == "joints and events"
    assert {answer.basis for answer in answers_of(ClassifyConfig(roi="full", joints=False))} == {"events"}


def test_classifier_without_joints_is_refused() -> None:
    with raises(ConfigError, "joints", "gesture"):
        LiveSession(pushed(2), gestures(("one", "two")), ClassifyConfig(joints=True))


def follow(look: Callable[..., Sighting], count: int) -> list[int]:
    """Return the left edge of the region after each frame; -1: the complete picture."""
    watcher = LiveJoints(included(), look)
    target = SensorSize(width=24, height=24)
    framer = frame_live("film", PushedSource("film", SIZE).content, target, FramingConfig(), watcher)
    assert isinstance(framer, LiveFollower)
    lefts = []

    for number in range(1, count):
        shown = frame(number)
        watcher.add(shown)
        assert framer(shown).sensor == target
        lefts.append(-1 if framer.framing is None else round(float(framer.framing.center[-1, 0])))

    return lefts


def test_region_follows_the_person_and_stays_when_nobody_is_seen() -> None:
    lefts = follow(look_until(50, move_px=1.0), 75)
    assert lefts[0] == -1
    located = [left for left in lefts if left >= 0]
    assert located[-1] > located[0]
    assert len(set(lefts[-10:])) == 1
