"""Classification by joints: arm curves, the network, and the combination with events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import dvspipe
from conftest import moving_bar
from facts import mentions
from filmed import included, without_person
from untrained import untrained_classifier

from dvspipe.base.errors import CheckpointError, ConfigError, VideoError
from dvspipe.base.gestures import GESTURES
from dvspipe.checkpoints.checkpoint import write_tensors
from dvspipe.events import SensorSize
from dvspipe.formats import write
from dvspipe.inference import Classifier, InferConfig
from dvspipe.people import JOINTS, Track, make_track
from dvspipe.people.advice import JointAdviser
from dvspipe.people.joints import CURVES, JOINT_STEPS, JointClassifier, find_joints, sample_curves
from dvspipe.synthesis.gestures import Performance, pose_person
from dvspipe.synthesis.people import draw_person
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

ARM_JOINTS = {"shoulder": 0, "elbow": 1, "wrist": 2, "index": 3, "pinky": 3}
WINDOW_US = 1_440_000
TRACK_PICTURES = "dvspipe.people.films.track_pictures"


def track_of(gesture: str, person: int, seconds: float = 1.6) -> Track:
    """Track of a drawn person who performs a gesture continuously, sampled at 25 Hz."""
    rng, t = np.random.default_rng(person), np.arange(0, seconds, 0.04)
    plan = [Performance(GESTURES.index(gesture), -1_000_000, 9_000_000)]
    arms = pose_person(plan, draw_person(rng), rng, t).arms
    points = np.zeros((len(t), len(JOINTS), 3))
    for side, name in enumerate(("right", "left")):
        for joint, place in ARM_JOINTS.items():
            points[:, JOINTS.index(f"{name}_{joint}")] = arms[:, side, place]
    return make_track(np.round(t * 1e6).astype(np.int64), points)


def untrained() -> Classifier:
    """Gesture classifier with random weights for 32 x 24 pixels."""
    adviser = JointAdviser(included())
    return untrained_classifier(SensorSize(width=32, height=24), GESTURES, gain=1.0, adviser=adviser)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Video of moving bars, 32 x 24 pixels."""
    bar = np.tile(np.array([255, 255, 0, 0, 0, 0, 0, 0], np.uint8), (24, 4))
    write_video(tmp_path / "bar.webm", [Frame(33_333 * k, np.roll(bar, k, axis=1)) for k in range(30)])
    return tmp_path / "bar.webm"


def test_steps_of_a_window_are_symmetric_in_time() -> None:
    track = track_of("arm_roll", 3)
    middle = (track.times_us[[0]] + track.times_us[[-1]]) // 2
    backwards = replace(track, points_m=track.points_m[::-1], yaw=track.yaw[::-1])
    curves = [sample_curves(each, middle, middle)[0] for each in (track, backwards)]
    np.testing.assert_allclose(curves[1], curves[0][:, ::-1], atol=1e-5)


def test_joints_in_the_current_folder_do_not_belong_to_an_included_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    included().save(tmp_path / "joints.safetensors")
    monkeypatch.chdir(tmp_path)
    assert find_joints("nmnist-synthetic") is None


def test_drawn_claps_and_waves_are_recognised_by_joints_alone() -> None:
    joints = included()
    for gesture in ("hand_clapping", "right_hand_wave", "left_hand_wave"):
        tracks = [track_of(gesture, person) for person in range(8)]
        windows = [sample_curves(track, np.array([0]), np.array([WINDOW_US]))[0] for track in tracks]
        with torch.no_grad():
            labels = joints.network(torch.from_numpy(np.concatenate(windows))).argmax(dim=1)
        assert (labels == GESTURES.index(gesture)).sum() >= 6


def test_saved_network_loads_equal_and_a_corrupted_or_other_one_is_an_error(tmp_path: Path) -> None:
    path, saved = tmp_path / "joints.safetensors", included()
    saved.save(path)
    again, tensors = JointClassifier.load(path), saved.network.state_dict()
    assert (again.weight, again.enter, again.classes) == (saved.weight, saved.enter, saved.classes)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in again.network.state_dict().items())

    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=path.name):
        JointClassifier.load(path)
    for metadata, stored in (
        ({}, tensors),
        ({"weight": "nan"}, tensors),
        ({"weight": "0.3", "enter": "2"}, tensors),
        ({"weight": "0.3"}, {"other": torch.zeros(2)}),
    ):
        write_tensors(path, metadata, stored)
        with pytest.raises(CheckpointError, match=path.name):
            JointClassifier.load(path)


def test_curves_do_not_depend_on_size_position_and_orientation() -> None:
    track = track_of("arm_roll", 1)
    larger = replace(track, points_m=2 * track.points_m + (0.3, -0.2, 0.1), yaw=track.yaw + 0.5)
    starts = np.array([0, 100_000])
    curves, known = sample_curves(track, starts, starts + WINDOW_US)
    assert curves.shape == (2, JOINT_STEPS, CURVES)
    assert known.all()
    np.testing.assert_allclose(sample_curves(larger, starts, starts + WINDOW_US)[0], curves, atol=1e-5)


def test_window_without_person_keeps_the_order_of_events_and_is_less_certain() -> None:
    track = track_of("hand_clapping", 2, seconds=6.0)
    track = without_person(track, track.times_us >= 2_000_000)
    starts = np.array([200_000, 3_500_000])
    by_events = np.random.default_rng(0).dirichlet(np.ones(len(GESTURES)), 2).astype(np.float32)
    combined = included().combine(by_events, track, starts, starts + WINDOW_US)
    assert (combined[1].argsort() == by_events[1].argsort()).all()
    assert combined[1].max() < by_events[1].max()
    assert combined[0, 0] > by_events[0, 0]
    np.testing.assert_allclose(combined.sum(axis=1), 1, atol=1e-5)


def test_video_is_classified_by_joints_and_events(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, track = untrained(), track_of("hand_clapping", 2)
    monkeypatch.setattr(TRACK_PICTURES, lambda *_, **__: track)
    by_events = classifier.predict(film, InferConfig(joints=False))
    both = classifier.predict(film)
    assert (by_events.basis, both.basis) == ("events", "joints and events")
    classifier.adviser = JointAdviser(replace(included(), weight=1.0))
    assert classifier.predict(film).basis == "joints"
    assert both.probabilities[0] > by_events.probabilities[0]
    assert '"basis": "joints and events"' in both.model_dump_json(indent=1)
    start_us, end_us = by_events.timeline.t_start_us, by_events.timeline.t_end_us
    expected = included().combine(by_events.timeline.probabilities, track, start_us, end_us)
    np.testing.assert_array_equal(both.timeline.probabilities, expected)


def test_video_without_person_is_classified_by_events_with_warning(
    film: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def find_nobody(*_: object, name: str, **__: object) -> Track:
        raise VideoError(f"{name}: shows no person")

    classifier, track = untrained(), track_of("hand_clapping", 2)
    nobody = without_person(track, track.times_us >= 100_000)
    for find in (find_nobody, lambda *_, **__: nobody):
        caplog.clear()
        monkeypatch.setattr(TRACK_PICTURES, find)
        prediction = classifier.predict(film, InferConfig(joints=True))
        assert prediction.basis == "events"
        assert mentions(caplog.messages[-1], str(film), "events alone")
        caplog.clear()
        assert prediction.probabilities == classifier.predict(film).probabilities
        assert not caplog.messages  # by default, the basis of the answer says it


def test_pose_network_gets_complete_pictures(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[SensorSize] = []

    def keep_size(_: object, size: SensorSize, *__: object, **___: object) -> Track:
        sizes.append(size)
        return track_of("hand_clapping", 2)

    monkeypatch.setattr(TRACK_PICTURES, keep_size)
    untrained().predict(film, InferConfig(joints=True, roi="16x12+4+4"))
    assert sizes == [SensorSize(width=32, height=24)]


def test_joints_need_a_video_and_a_joint_network(tmp_path: Path) -> None:
    write(tmp_path / "bar.h5", moving_bar(0, 0, windows=20))
    done = dvspipe("infer", "gesture", "bar.h5", "--fit", "scale", "--joints", cwd=tmp_path, code=2)
    assert "bar.h5" in done.stderr
    assert "joints need a video" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(ConfigError, match="nmnist-synthetic"):
        Classifier.load("nmnist-synthetic").predict(tmp_path / "bar.h5", InferConfig(joints=True, fit="scale"))
