"""Augmentation of training recordings: each change has only its documented effect, equal for all steps."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SENSOR, as_tuples, random_events
from facts import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError
from dvspipe.base.gestures import GESTURES
from dvspipe.datasets import augmentation
from dvspipe.datasets.augmentation import AugmentConfig, VaryConfig, augment, mirrored_labels, vary
from dvspipe.events import Events

EVENTS = random_events(1, 2000)


def varied(seed: int = 0, events: Events = EVENTS, **changes: float) -> Events:
    return vary(events, VaryConfig(**changes), np.random.default_rng(seed))


@pytest.fixture
def _without_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variants keep all events."""
    monkeypatch.setattr(augmentation, "DROP", 0.0)


@pytest.mark.usefixtures("_without_drops")
def test_disabled_changes_return_the_same_events() -> None:
    assert varied() == EVENTS
    assert varied(events=Events.empty(SENSOR), rotate_deg=20) == Events.empty(SENSOR)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000))
def test_dropping_removes_events_and_keeps_others_unchanged(seed: int) -> None:
    kept = varied(seed)
    assert set(as_tuples(kept)) <= set(as_tuples(EVENTS))
    assert 0.5 * len(EVENTS) < len(kept)


@pytest.mark.usefixtures("_without_drops")
def test_rotation_keeps_the_centre_and_the_times() -> None:
    cross = Events([0, 1, 2], [6, 6, 7], [3, 2, 3], [1, 0, 1], "13x7")  # centre, above it, right of it
    seen = set()
    for seed in range(300):
        turned = varied(seed, cross, rotate_deg=180)
        assert turned.t.tolist() == [0, 1, 2]
        centre, (ax, ay), (bx, by) = np.stack([turned.x, turned.y], axis=1).astype(int) - (6, 3)
        assert not centre.any()
        if abs(ax) + abs(ay) == abs(bx) + abs(by) == 1:
            assert (bx, by) == (-ay, ax)  # the rotation has no reflection
            seen.add((ax, ay))
    assert seen == {(0, -1), (1, 0), (0, 1), (-1, 0)}


@pytest.mark.usefixtures("_without_drops")
def test_scaling_moves_events_along_the_radius() -> None:
    edge = Events([0], [11], [3], [1], SENSOR)
    places = [varied(seed, edge, scale=1.0) for seed in range(50)]
    assert {len(place) for place in places} == {0, 1}  # enlarged: the event leaves the sensor
    assert min(int(place.x[0]) for place in places if len(place)) in (8, 9)  # at most half the distance: 5.5 + 2.75


@pytest.mark.usefixtures("_without_drops")
def test_times_are_scaled_about_the_first_event() -> None:
    for seed in range(20):
        stretched = varied(seed, time_scale=0.5)
        factor = stretched.duration_us / EVENTS.duration_us
        assert 1 / 1.5 <= factor <= 1.5
        np.testing.assert_allclose(stretched.t - EVENTS.t[0], (EVENTS.t - EVENTS.t[0]) * factor, atol=2)


def test_mirrored_gesture_has_the_mirrored_label() -> None:
    mirror = mirrored_labels(GESTURES)
    mirrored = {name: GESTURES[label] for name, label in zip(GESTURES, mirror, strict=True)}
    assert mirrored["right_hand_wave"] == "left_hand_wave"
    assert mirrored["right_arm_clockwise"] == "left_arm_counter_clockwise"
    assert mirrored["right_arm_counter_clockwise"] == "left_arm_clockwise"
    assert mirrored["hand_clapping"] == "hand_clapping"
    assert mirror[mirror].tolist() == list(range(len(GESTURES)))
    assert mirrored_labels(("bright", "copyright")).tolist() == [0, 1]
    with raises(ConfigError, "flip_horizontal"):
        mirrored_labels(("right", "up"))


def spikes_of(seed: int = 0, shape: tuple[int, ...] = (5, 2, 7, 12)) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 9, shape, dtype=np.uint8)


def test_shift_is_the_same_for_all_steps() -> None:
    spikes, rng = spikes_of(), np.random.default_rng(0)
    padded = np.pad(spikes, ((0, 0), (0, 0), (1, 1), (1, 1)))
    shifted = {padded[..., down : down + 7, right : right + 12].tobytes() for down in range(3) for right in range(3)}
    moved = [augment(spikes, 1, AugmentConfig(shift_px=1), rng, None) for _ in range(60)]
    assert {values.tobytes() for values, _ in moved} == shifted
    assert {label for _, label in moved} == {1}


def test_flips_occur_half_of_the_time() -> None:
    spikes, rng = spikes_of(), np.random.default_rng(0)
    before = spikes.copy()
    horizontal, polarity = (
        AugmentConfig(shift_px=0, flip_horizontal=True),
        AugmentConfig(shift_px=0, flip_polarity=True),
    )
    flips = [augment(spikes, 0, horizontal, rng, np.array([1, 0])) for _ in range(40)]
    for flipped, label in flips:
        assert np.array_equal(flipped, spikes[..., ::-1] if label else spikes)
    assert {label for _, label in flips} == {0, 1}
    exchanged = {augment(spikes, 0, polarity, rng, None)[0].tobytes() for _ in range(40)}
    assert exchanged == {spikes.tobytes(), spikes[:, ::-1].tobytes()}
    assert np.array_equal(spikes, before)


def test_cut_out_clears_one_rectangle_in_all_steps() -> None:
    spikes, rng, emptied = spikes_of(), np.random.default_rng(0), 0
    for _ in range(40):
        cut, _ = augment(spikes, 0, AugmentConfig(shift_px=0, cut_out=0.5), rng, None)
        gone = (cut == 0).all(axis=(0, 1))
        assert np.array_equal(cut[:, :, ~gone], spikes[:, :, ~gone])
        if gone.any():
            emptied += 1
            rows, columns = np.flatnonzero(gone.any(axis=1)), np.flatnonzero(gone.any(axis=0))
            assert (len(rows), len(columns)) == (4, 6)
            assert gone[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert 5 < emptied < 35
