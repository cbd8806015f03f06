"""Advice on films: reasons that follow from the person in the pictures."""

from __future__ import annotations

import numpy as np

from dvspipe.events import SensorSize
from dvspipe.people import JOINTS, Track
from dvspipe.people.advice import find_film_reason

SIZE = SensorSize(width=120, height=70)


def track_of(shoulders_px: float = 40, present: float = 0.9, right_wrist: tuple[float, float] = (50, 30)) -> Track:
    points_px = np.full((20, len(JOINTS), 2), 30.0)
    points_px[:, JOINTS.index("left_shoulder"), 0] += shoulders_px
    points_px[:, JOINTS.index("right_wrist")] = right_wrist
    return Track(
        times_us=np.arange(20) * 100_000,
        points_m=np.zeros((20, len(JOINTS), 3)),
        points_px=points_px,
        confidence=np.ones((20, len(JOINTS))),
        presence=np.full(20, present),
        yaw=np.zeros(20),
        people=np.ones(20, np.int64),
        size=SIZE,
    )


def film_reason(track: Track | None, class_name: str) -> str:
    return find_film_reason(track, class_name, 0, 1_000_000)


def test_reasons_follow_from_the_person_in_the_film() -> None:
    assert film_reason(track_of(), "clap") == ""
    assert "nobody" in film_reason(None, "clap")
    assert "8 px" in film_reason(track_of(shoulders_px=8), "clap")
    outside = track_of(right_wrist=(50, 90))
    assert "right hand" in film_reason(outside, "right_hand_wave")
    assert "right hand" in film_reason(outside, "clap")
    assert film_reason(outside, "left_hand_wave") == ""
    assert find_film_reason(outside, "clap", 3_000_000, 4_000_000) == ""  # the hand may be outside at other times
