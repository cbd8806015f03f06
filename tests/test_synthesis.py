from itertools import islice

import numpy as np
import pytest

from dvspipe.errors import DataError
from dvspipe.synthesis.gestures import GESTURE_SENSOR, GESTURES, _pose, render_gesture
from dvspipe.synthesis.people import LEFT, RIGHT, SHOULDER, WRIST, draw_person, draw_scene

CLOCKWISE = {
    "right_arm_clockwise": (RIGHT, 1),
    "right_arm_counter_clockwise": (RIGHT, -1),
    "left_arm_clockwise": (LEFT, 1),
    "left_arm_counter_clockwise": (LEFT, -1),
}
ONE_SIDED = [name for name in GESTURES if name.startswith(("right_", "left_"))]


def render(name, person_seed=1, clip_seed=2, **settings):
    person = draw_person(np.random.default_rng(person_seed))
    label = GESTURES.index(name)
    return list(islice(render_gesture(label, person, np.random.default_rng(clip_seed), **settings), 1000))


def images(*arguments, **settings):
    return np.stack([frame.image for frame in render(*arguments, **settings)]).astype(int)


def test_classes_are_in_ibms_order():
    assert GESTURES == (
        "hand_clapping",
        "right_hand_wave",
        "left_hand_wave",
        "right_arm_clockwise",
        "right_arm_counter_clockwise",
        "left_arm_clockwise",
        "left_arm_counter_clockwise",
        "arm_roll",
        "air_drums",
        "air_guitar",
        "other_gestures",
    )


def test_same_seeds_give_the_same_frames():
    first, again = (images("air_guitar", duration_us=200_000) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("seeds", [(3, 2), (1, 3)], ids=["person", "clip"])
def test_another_seed_gives_other_frames(seeds):
    assert (images("arm_roll", duration_us=50_000) != images("arm_roll", *seeds, duration_us=50_000)).mean() > 0.5


@pytest.mark.parametrize("name", GESTURES)
def test_every_gesture_has_its_frames_and_moves(name):
    frames = render(name, duration_us=1_450_000, fps=40.0)
    assert [frame.t_us for frame in frames] == [25_000 * k for k in range(59)]
    assert {frame.size for frame in frames} == {GESTURE_SENSOR}
    assert {(frame.image.dtype, frame.transfer) for frame in frames} == {(np.dtype(np.uint8), "srgb")}
    clip = np.stack([frame.image for frame in frames]).astype(int)
    assert (np.ptp(clip, axis=0) > 20).mean() > 0.02


def test_times_are_rounded_to_microseconds():
    assert [frame.t_us for frame in render("arm_roll", duration_us=100_000, fps=30.0)] == [0, 33_333, 66_667, 100_000]


@pytest.mark.parametrize("name", CLOCKWISE)
@pytest.mark.parametrize("seed", range(8))
def test_clockwise_is_up_left_down_in_the_picture(name, seed):
    side, clockwise = CLOCKWISE[name]
    rng = np.random.default_rng(seed)
    person = draw_person(rng)
    camera = draw_scene(person, GESTURE_SENSOR, rng).camera
    t = np.arange(0, 3, 0.01)
    joints = camera.project(_pose(GESTURES.index(name), person, rng, t).arms[:, side])
    path = (joints[:, WRIST] - joints[:, WRIST].mean(axis=0))[:, :2]
    left_of_up = np.unwrap(np.arctan2(-path[:, 0], -path[:, 1]))  # 0 is up in the picture, a quarter turn is left
    turns = clockwise * (left_of_up[-1] - left_of_up[0]) / (2 * np.pi)
    assert 3 / 1.2 - 0.5 < turns < 3 / 0.7 + 0.5  # a circle takes 0.7 to 1.2 s


@pytest.mark.parametrize("name", ["right_hand_wave", "left_hand_wave"])
@pytest.mark.parametrize("seed", range(4))
def test_a_waving_hand_is_above_its_elbow_and_outside_its_shoulder(name, seed):
    side = RIGHT if name.startswith("right") else LEFT
    rng = np.random.default_rng(seed)
    arms = _pose(GESTURES.index(name), draw_person(rng), rng, np.arange(0, 1.5, 0.01)).arms[:, side].mean(axis=0)
    assert arms[WRIST, 1] > arms[1, 1]
    assert abs(arms[1, 0]) > abs(arms[SHOULDER, 0])


@pytest.mark.parametrize("name", ONE_SIDED)
def test_the_performers_right_moves_the_left_of_the_picture(name):
    halves = np.zeros(2)
    for seed in range(4):
        moved = np.abs(np.diff(images(name, seed, seed, fps=40.0), axis=0)).sum(axis=(0, 1))
        halves += moved[:64].sum(), moved[64:].sum()
    right, left = halves if name.startswith("right") else halves[::-1]
    assert right > 1.5 * left


def test_bones_keep_their_lengths():
    person = draw_person(np.random.default_rng(5))
    for label in range(len(GESTURES)):
        arms = _pose(label, person, np.random.default_rng(6), np.arange(0, 1.5, 0.05)).arms
        lengths = np.linalg.norm(np.diff(arms, axis=2), axis=-1)
        expected = (person.upper_arm_m, person.forearm_m, person.hand_m / 2)
        np.testing.assert_allclose(lengths, np.broadcast_to(expected, lengths.shape), atol=1e-6)


@pytest.mark.parametrize("label", [-1, 11])
def test_a_wrong_label_is_refused_at_once(label):
    with pytest.raises(DataError, match=f"label {label} is no gesture, expected 0 to 10"):
        render_gesture(label, draw_person(np.random.default_rng(0)), np.random.default_rng(0))
