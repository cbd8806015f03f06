"""Answers: the gesture that was found, or a first guess with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from records import make_timeline

from dvspipe.base.gestures import OTHER
from dvspipe.inference.answers import Answer, find_answer, find_reason
from dvspipe.inference.segments import ENTER, SegmentConfig, find_segments
from dvspipe.results import Timeline

CLASSES = ("clap", "right_hand_wave", "left_hand_wave", OTHER)
CLAP, RIGHT, LEFT, NOTHING = range(4)
WINDOW_US = 1000


timeline_of = partial(make_timeline, window_us=WINDOW_US, hop_us=500)


def mostly(label: int, probability: float = 0.9) -> list[float]:
    row = [(1 - probability) / 3] * 4
    row[label] = probability
    return row


def answer_of(timeline: Timeline, config: SegmentConfig = SegmentConfig(least_us=0)) -> Answer:
    end_us = int(timeline.t_end_us[-1])
    segments = find_segments(timeline, CLASSES, config, t_first_us=0, t_end_us=end_us)
    return find_answer(timeline, segments, CLASSES, np.ones(len(timeline), np.bool_))


def reason_of(rows: Sequence[Sequence[float]], *, duration_us: int = 10 * WINDOW_US, familiar: bool = True) -> str:
    timeline = replace(timeline_of(rows), familiar=np.full(len(rows), familiar))
    used = np.ones(len(rows), np.bool_)
    return find_reason(answer_of(timeline), timeline, CLASSES, used, SegmentConfig(), duration_us=duration_us)


def test_short_gesture_between_long_rests_is_the_answer_with_its_time() -> None:
    timeline = timeline_of([mostly(NOTHING)] * 8 + [mostly(RIGHT)] * 4 + [mostly(NOTHING)] * 8)
    answer = answer_of(timeline)
    assert answer.label == RIGHT
    assert answer.segment is not None
    assert (answer.segment.t_start_us, answer.segment.t_end_us) == (4250, 6250)
    assert answer.probability == answer.segment.probability


def test_first_guess_is_a_gesture_that_the_average_hides() -> None:
    answer = answer_of(timeline_of([mostly(NOTHING)] * 12 + [[0.42, 0.04, 0.04, 0.5]] * 3))
    assert (answer.label, answer.segment) == (CLAP, None)
    assert answer.probability == pytest.approx(0.42)


@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.just(4)), elements=st.floats(0.01, 1)))
def test_answer_is_certain_exactly_if_a_segment_of_a_gesture_is(rows: np.ndarray) -> None:
    timeline = timeline_of(rows / rows.sum(axis=1, keepdims=True))
    config = SegmentConfig(least_us=0)
    segments = find_segments(timeline, CLASSES, config, t_first_us=0, t_end_us=int(timeline.t_end_us[-1]))
    gestures = [one for one in segments if one.label not in (None, NOTHING)]
    answer = answer_of(timeline, config)
    assert (answer.segment is not None) == bool(gestures)
    if answer.segment is not None:
        lengths = [one.t_end_us - one.t_start_us for one in gestures]
        assert answer.segment.t_end_us - answer.segment.t_start_us == max(lengths)
        assert answer.label == answer.segment.label != NOTHING


def test_reasons_follow_from_the_predictions() -> None:
    assert "0.001 s" in reason_of([mostly(CLAP, 0.4)] * 3, duration_us=WINDOW_US // 2)
    assert reason_of([mostly(CLAP)] * 3, familiar=False) == "unlike the training data"
    assert reason_of([mostly(NOTHING)] * 3) == "other movements"
    alike = reason_of([[0.1, 0.45, 0.4, 0.05]] * 3)
    assert "right_hand_wave" in alike
    assert "left_hand_wave" in alike
    assert "50%" in reason_of([mostly(CLAP, 0.45)] * 3)


def test_threshold_of_a_classifier_applies_unless_one_is_given() -> None:
    assert SegmentConfig().threshold == ENTER
    assert SegmentConfig().with_enter(0.75).threshold == 0.75
    assert SegmentConfig(enter=0.6).with_enter(0.75).threshold == 0.6
    assert SegmentConfig(leave=0.4).with_enter(0.38).threshold == 0.4  # never below `leave`
