from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError, DataError
from dvspipe.base.gestures import GESTURES
from dvspipe.events import GESTURE_SENSOR, SensorSize
from dvspipe.formats import read
from dvspipe.recordings.info import info
from dvspipe.synthesis import (
    GestureClip,
    Performance,
    draw_person,
    draws,
    plan_clip,
    plan_session,
    record_gesture,
    render_session,
    write_gestures,
)
from dvspipe.synthesis.bodies import Limbs, build_limbs
from dvspipe.synthesis.draws import Draw, read_movements
from dvspipe.synthesis.gestures import pose_person
from dvspipe.synthesis.movements import MOVEMENTS, OTHER_KINDS, move_to_and_fro
from dvspipe.synthesis.people import (
    ELBOW,
    ELBOW_LIMIT,
    KNUCKLES,
    LEFT,
    RIGHT,
    SHOULDER,
    SHOULDER_AXIS,
    SHOULDER_LIMIT,
    WRIST,
    WRIST_LIMIT,
    Person,
    Pose,
    unit,
)
from dvspipe.synthesis.rendering import paint_limbs
from dvspipe.synthesis.rendering import render as render_pose
from dvspipe.synthesis.scenes import LIGHTS, draw_far_camera, draw_light, draw_scene
from dvspipe.synthesis.sensors import Readout, read_out

CLOCKWISE = {
    "right_arm_clockwise": (RIGHT, 1),
    "right_arm_counter_clockwise": (RIGHT, -1),
    "left_arm_clockwise": (LEFT, 1),
    "left_arm_counter_clockwise": (LEFT, -1),
}
SILENT = Readout(
    main_polarity=True, repeated_share=0, repeated_again_share=0, echo_share=0, echo_echo_share=0, other_echo_share=0
)


def render(name, person_seed=1, clip_seed=2, **settings):
    person = draw_person(np.random.default_rng(person_seed))
    rng = np.random.default_rng(clip_seed)
    plan = plan_clip(GESTURES.index(name), rng, settings.get("duration_us", 1_500_000))
    return list(render_session(plan, person, rng, **settings))


def pose(name, seed, t=None) -> tuple[Person, Pose]:
    """Return a person and a pose in the middle of a gesture."""
    rng = np.random.default_rng(seed)
    person = draw_person(rng)
    plan = [Performance(GESTURES.index(name), -(10**7), 10**7)]
    return person, pose_person(plan, person, rng, np.arange(0, 1.5, 0.01) if t is None else t)


def angle(a, b):
    return np.arccos(np.clip((unit(a) * unit(b)).sum(axis=-1), -1, 1))


def test_movements_are_in_the_order_of_labels():
    assert tuple(MOVEMENTS) == GESTURES


@pytest.mark.parametrize("name", GESTURES)
def test_every_gesture_renders_moving_frames(name):
    frames = render(name, clip_seed=4, duration_us=1_500_000, fps=40.0)
    assert [frame.t_us for frame in frames] == [25_000 * k for k in range(61)]
    assert {frame.size for frame in frames} == {GESTURE_SENSOR}
    assert {(frame.image.dtype, frame.transfer) for frame in frames} == {(np.dtype(np.uint16), "linear")}
    clip = np.stack([frame.image for frame in frames]).astype(float)
    assert (clip.max(axis=0) > 1.3 * clip.min(axis=0)).mean() > 0.02


def test_every_kind_of_other_movement_moves_joints_by_finite_distances():
    t, person = np.arange(0, 3, 0.02), draw_person(np.random.default_rng(1))
    movements = read_movements()
    assert set(OTHER_KINDS) == set(movements["other_gestures"]["kinds"])
    for number, (name, form) in enumerate(OTHER_KINDS.items()):
        motion = form(Draw(movements[name], t, person, np.random.default_rng(number)))
        assert np.isfinite([motion.right.wrist, motion.left.wrist]).all()
    kinds = movements["to_and_fro"]["kinds"]
    assert len(kinds) > 30
    for number, kind in enumerate(kinds):
        draw = Draw(movements["to_and_fro"], t, person, np.random.default_rng(number)).like(kind)
        motion = move_to_and_fro(draw)
        travel_m = np.ptp([motion.right.wrist, motion.left.wrist], axis=1).max()
        assert 0.005 < travel_m < 2 * person.reach_m


@pytest.mark.parametrize(
    ("movement", "message"),
    [
        ({"phase": {"period": [1, 2]}}, ("nod: phase", "period")),
        ({"place": [1]}, ("nod: place", "[1]")),
        ({"place": [1, 2], "kinds": {"low": {"plaec": 0.5}}}, ("nod: low", "plaec", "place")),
        ({"kinds": {"low": {"share": 0.5}, "high": {"share": 0.4}}}, ("nod", "0.4")),
    ],
)
def test_wrong_values_of_movements_are_errors(tmp_path, monkeypatch, movement, message):
    path = tmp_path / "movements.yaml"
    path.write_text(json.dumps({"nod": movement}))
    monkeypatch.setattr(draws, "FILE", path)
    with raises(ConfigError, path, message):
        read_movements.__wrapped__()


@pytest.mark.parametrize("name", GESTURES[:10])  # other movements include walking through the picture
def test_person_and_most_of_the_movement_are_inside_the_picture(name):
    inside = []
    for seed in range(6):
        rng = np.random.default_rng(100 + seed)
        person, joints = pose(name, seed)
        camera = draw_scene(person, GESTURE_SENSOR, "led", rng).camera
        head, chest, hands = (
            camera.project(part)[..., :2]
            for part in (joints.head[:, :2], joints.torso[:, :2], joints.arms[:, :, WRIST])
        )
        assert ((head > 0) & (head < 128)).all()
        assert ((chest > 0) & (chest < 128)).all()
        inside.append(((hands > 0) & (hands < 128)).all(axis=-1).any(axis=-1).mean())
    assert np.mean(inside) > 0.7


@given(seed=st.integers(0, 10**6), label=st.integers(0, 10))
def test_bone_lengths_are_constant_and_joints_within_limits(seed, label):
    person, joints = pose(GESTURES[label], seed, np.arange(0, 1.5, 0.03))
    bones = np.diff(joints.arms, axis=2)
    lengths = np.linalg.norm(bones, axis=-1)
    expected = (person.upper_arm_m, person.forearm_m, person.hand_m / 2)
    np.testing.assert_allclose(lengths, np.broadcast_to(expected, lengths.shape), atol=1e-6)
    assert angle(bones[:, :, ELBOW], bones[:, :, SHOULDER]).max() < ELBOW_LIMIT + 1e-3
    assert angle(bones[:, :, WRIST], bones[:, :, ELBOW]).max() < WRIST_LIMIT + 1e-3
    # the trunk turns with the arms, by less than 0.3 except in bows
    mirror = np.stack([SHOULDER_AXIS * (-1, 1, 1), SHOULDER_AXIS])
    assert np.quantile(angle(bones[:, :, SHOULDER], mirror), 0.9) < SHOULDER_LIMIT + 0.3
    assert ((joints.bend >= 0) & (joints.bend <= 1)).all()


@pytest.mark.parametrize("name", CLOCKWISE)
@pytest.mark.parametrize("seed", range(8))
def test_clockwise_is_up_left_down_in_the_picture(name, seed):
    side, clockwise = CLOCKWISE[name]
    person, joints = pose(name, seed, np.arange(0, 3, 0.01))
    camera = draw_scene(person, GESTURE_SENSOR, "natural", np.random.default_rng(seed)).camera
    wrist = camera.project(joints.arms[:, side, WRIST])[:, :2]
    path = wrist - wrist.mean(axis=0)
    left_of_up = np.unwrap(np.arctan2(-path[:, 0], -path[:, 1]))  # 0 is up in the picture, a quarter turn is left
    turns = clockwise * (left_of_up[-1] - left_of_up[0]) / (2 * np.pi)
    assert 3 / 1.2 - 1.2 < turns < 3 / 0.7 + 0.5  # a circle takes 0.7 to 1.2 s, and there may be a pause


@pytest.mark.parametrize("seed", range(24))
def test_clapping_hands_meet_in_front_of_the_body(seed):
    _, joints = pose("hand_clapping", seed)
    palms = joints.arms[:, :, KNUCKLES]
    apart_m = np.linalg.norm(palms[:, RIGHT] - palms[:, LEFT], axis=-1)
    meeting = palms[apart_m.argmin()].mean(axis=0)
    assert apart_m.min() < 0.08
    assert apart_m.max() > apart_m.min() + 0.015
    assert abs(meeting[0]) < 0.35
    assert -0.5 < meeting[1] < 0.65  # above the head, too
    assert meeting[2] > 0


@pytest.mark.parametrize("name", ["right_hand_wave", "left_hand_wave"])
@pytest.mark.parametrize("seed", range(4))
def test_waving_hand_is_above_the_elbow_and_outside_the_shoulder(name, seed):
    side = RIGHT if name.startswith("right") else LEFT
    arms = pose(name, seed)[1].arms[:, side].mean(axis=0)
    assert arms[WRIST, 1] > arms[ELBOW, 1]
    assert abs(arms[ELBOW, 0]) > abs(arms[SHOULDER, 0])


def test_thumb_of_a_raised_hand_is_medial():
    person, joints = pose("right_hand_wave", 0)
    camera_faced = Pose(**(vars(joints) | {"palms": np.tile([0.0, 0, 1], (len(joints.arms), 2, 1))}))
    arms = camera_faced.arms.copy()
    arms[:, :, KNUCKLES] = arms[:, :, WRIST] + [0, person.hand_m / 2, 0]  # fingers up
    scene = draw_scene(person, GESTURE_SENSOR, "led", np.random.default_rng(0))
    limbs = build_limbs(person, scene, Pose(**(vars(camera_faced) | {"arms": arms})))
    right, left = np.split(limbs.ends[:, :, 1, 0], 2, axis=1)  # columns of the far ends; the tip of the thumb is last
    assert (right[:, -1] > right[:, -4]).all()  # closer to the middle than the little finger
    assert (left[:, -1] < left[:, -4]).all()


def test_pictures_do_not_depend_on_earlier_pictures():
    person, rng = draw_person(np.random.default_rng(3)), np.random.default_rng(1)
    scene = draw_scene(person, SensorSize(width=120, height=70), "led", rng, draw_far_camera)
    t = np.linspace(0, 1, 40)
    pose = pose_person([Performance(0, -1_000_000, 2_000_000)], person, rng, t)
    there_and_back = np.concatenate([np.arange(40), np.arange(40)[::-1]])
    pictures = [*render_pose(person, scene, pose.at(there_and_back), np.zeros(80))]
    assert np.array_equal(pictures[:40], pictures[:39:-1])
    blurred = cv2.GaussianBlur(scene.wall, (5, 5), scene.blur_px)
    wall = 65535 * (scene.light.level * scene.light.strength(np.zeros(1)) * blurred + scene.light.veil)
    assert abs(pictures[0] - np.minimum(wall, 65535)).max() > 1000  # the person
    assert np.median(abs(pictures[0] - np.minimum(wall, 65535))) < 1.5  # the wall


@pytest.mark.parametrize(("depth", "shown"), [([0.0, 0.1], 2), ([0.1, 0.0], 1)])
def test_nearer_limb_hides_the_farther_limb(depth, shown):
    """Of two crossing bars on 12 x 7 pixels, the horizontal one has tone 1 and the vertical one tone 2."""
    picture = np.zeros((7, 12), np.float32)
    zeros, ends = np.zeros((2, 2)), np.array([[[0.0, 3.5, 1], [12, 3.5, 1]], [[6, 0, 1], [6, 7, 1]]])
    caps, tone, texture = np.zeros((2, 2), bool), np.array([1.0, 2.0]), np.zeros(2, np.int64)
    limbs = Limbs(ends, np.array(depth), zeros, zeros[0], zeros, np.ones(2), caps, tone, texture)
    paint_limbs(picture, limbs, np.ones((1, 64, 64), np.float32), 1.0)
    assert picture[3, 5] == picture[3, 6] == shown


def test_only_fluorescent_light_flickers():
    t = np.arange(0, 1, 1e-3)
    flickering = [draw_light("fluorescent", np.random.default_rng(seed)) for seed in range(40)]
    assert 0.3 < np.mean([light.flicker > 0 for light in flickering]) < 0.9
    for light in flickering:
        spectrum = np.abs(np.fft.rfft(light.strength(t) - 1))
        assert not light.flicker or spectrum.argmax() == light.flicker_hz
    assert all(np.ptp(draw_light(kind, np.random.default_rng(0)).strength(t)) == 0 for kind in LIGHTS[1:])


def test_session_performs_its_plan_with_rests():
    rng = np.random.default_rng(3)
    plan = plan_session([3, 7], rng)
    assert [each.label for each in plan] == [3, 7]
    assert plan[0].start_us >= 800_000
    assert plan[1].start_us - plan[0].end_us >= 800_000
    t = np.arange(0, plan[1].end_us / 1e6 + 1, 0.01)
    wrists = pose_person(plan, draw_person(rng), rng, t).arms[:, :, WRIST]
    speed = np.linalg.norm(np.gradient(wrists, 0.01, axis=0), axis=-1)  # [T, 2] in m/s
    performing = [(t > each.start_us / 1e6 + 0.7) & (t < each.end_us / 1e6 - 0.7) for each in plan]
    resting = np.all([(t < each.start_us / 1e6) | (t > each.end_us / 1e6) for each in plan], axis=0)
    assert speed[performing[0], RIGHT].mean() > 10 * speed[resting, RIGHT].mean()  # the circling arm
    assert speed[performing[0], LEFT].mean() < 3 * speed[resting, LEFT].mean()  # the other arm
    assert speed[performing[1]].mean() > 5 * speed[resting].mean()
    assert np.ptp(wrists[resting], axis=0).max() < 0.12  # rest is always the same


@pytest.mark.parametrize("plan", [[(0, 10), (5, 15)], [(10, 0)]])
def test_overlapping_or_reversed_performances_are_an_error(plan):
    performances = [Performance(0, *span) for span in plan]
    with raises(DataError, "overlaps"):
        render_session(performances, draw_person(np.random.default_rng(0)), np.random.default_rng(0))


# Sensor


def test_recordings_resemble_dvs128_gesture():
    recordings = [
        record_gesture(GestureClip(label, person=label, clip=0, seed=11, duration_us=300_000)) for label in range(10)
    ]
    assert 40_000 < 5 * np.median([len(events) for events in recordings]) < 180_000  # 60,000 to 180,000 in 1.45 s
    assert 0.45 < np.median([events.p.mean() for events in recordings]) < 0.56  # 0.49 to 0.55
    for events in recordings:
        corner = (events.y < 20) & ((events.x < 20) | (events.x >= 108))  # sparse noise in the corners
        assert 0 < corner.sum() < 0.2 * len(events)


def test_recording_is_deterministic():
    first, again = (record_gesture(GestureClip(4, person=1, clip=2, seed=3, duration_us=100_000)) for _ in range(2))
    others = [
        record_gesture(GestureClip(4, person=person, clip=clip, seed=seed, duration_us=100_000))
        for person, clip, seed in ((2, 2, 3), (1, 3, 3), (1, 2, 4))
    ]
    np.testing.assert_array_equal(first.structured(), again.structured())
    assert all(len(first) != len(other) for other in others)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_readout_without_artifacts_changes_nothing(seed):
    events = random_events(seed, 200)
    read = read_out(events, SILENT, np.random.default_rng(seed))
    np.testing.assert_array_equal(read.structured(), events.structured())


def test_echoes_and_repetitions_have_the_set_shares():
    events = random_events(0, 40_000, span_us=10**7)
    habits = {
        "main_polarity": False,
        "repeated_share": 0.15,
        "repeated_again_share": 0.5,
        "echo_share": 0.2,
        "echo_echo_share": 0,
        "other_echo_share": 0,
    }
    read = read_out(events, Readout(**habits), np.random.default_rng(1))  # type: ignore[arg-type]
    off = int((~events.p).sum())
    assert (~read.p).sum() == pytest.approx(off * (1 + 0.15 * 2), rel=0.02)  # 1 + 1/2 + 1/4 + ... = 2 repetitions each
    assert read.p.sum() == pytest.approx((len(events) - off) + 0.2 * off, rel=0.02)
    assert (np.diff(read.t) >= 0).all()
    assert read.sensor == SENSOR
    assert read.t[-1] <= events.t[-1]


# Folders of recordings


def write_few(folder: Path, **settings) -> int:
    few = {"people": 1, "clips": 1, "seed": 3, "duration_us": 100_000, "jobs": 1}
    return write_gestures(folder, **few | settings).new


def test_gesture_folder_has_labels_and_a_record(tmp_path: Path) -> None:
    assert write_few(tmp_path) == len(GESTURES) + 2  # three clips of other gestures
    files = sorted(tmp_path.glob("*/*"))
    assert {file.parent.name for file in files} == set(GESTURES)
    assert all(file.name.startswith("user000_") and file.suffix == ".h5" for file in files)
    wave = next((tmp_path / "left_hand_wave").iterdir())
    written, made = read(wave), record_gesture(GestureClip(2, person=0, clip=0, seed=3, duration_us=100_000))
    np.testing.assert_array_equal(written.structured(), made.structured())
    assert json.loads((tmp_path / "synthesis.json").read_text())["seed"] == 3
    assert info(wave).attributes["settings"]["synthesis"] == {
        "label": 2,
        "person": 0,
        "clip": 0,
        "seed": 3,
        "duration_us": 100_000,
    }
