"""Gestures are learnt from a few films each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import dvspipe
from conftest import random_events
from facts import mentions, raises, warnings_of
from filmed import make_film, make_track, without_person

from dvspipe.base.errors import CheckpointError, ConfigError, DataError, FileError
from dvspipe.base.gestures import OTHER
from dvspipe.events import SensorSize
from dvspipe.inference import Classifier, InferConfig
from dvspipe.oneshot import CutFilm, ExampleFilm, LearnConfig, Learned, cut_film, learn, list_films
from dvspipe.oneshot.learning import RECORD, train_classes, vary
from dvspipe.people import JOINTS, Track, TrackSettings
from dvspipe.people.joints import JOINT_WINDOW_US, JointClassifier, JointNetwork, mirror_curves, sample_curves
from dvspipe.results import RunFolder

MOVES = {"up": (0.15, 1), "aside": (0.15, 0), "still": (0.0, 0), OTHER: (0.0, 0)}


def find_track(film: str | Path, *, config: TrackSettings, **_: object) -> Track:
    """Return the track of a film by its name, instead of tracking it."""
    track = make_track(*MOVES[Path(film).stem])
    return track.select(track.times_us >= config.start_s * 1e6)


@pytest.fixture(autouse=True)
def _tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.oneshot.learning.track", find_track)
    monkeypatch.setattr("dvspipe.people.films.track_pictures", lambda *_, **__: make_track(*MOVES["up"]))


def make_films(folder: Path, *names: str) -> list[Path]:
    return [make_film(folder / f"{name}.webm") for name in names]


def cut(*names: str) -> list[CutFilm]:
    return [cut_film(ExampleFilm(Path(name), name)) for name in names]


def test_films_are_named_after_their_gesture_or_their_folder(tmp_path: Path) -> None:
    single = make_film(tmp_path / "stop.webm")
    nested = make_film(tmp_path / "set" / "wave" / "anna.webm")
    found = list_films([single, tmp_path / "set"])
    assert found == (ExampleFilm(single, "stop"), ExampleFilm(nested, "wave"))


def test_paths_without_films_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("wave")
    with raises(FileError, "gone.mp4"):
        list_films([tmp_path / "gone.mp4"])
    with raises(DataError, "empty"):
        list_films([tmp_path / "empty"])
    with raises(FileError, "notes.txt", ".txt"):
        list_films([tmp_path / "notes.txt"])
    for name in (OTHER, "still"):
        with raises(DataError, name):
            learn(make_films(tmp_path, name), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_part_is_where_the_hands_move() -> None:
    (film,) = cut("up")
    assert film.part_s == pytest.approx((0, 3.95), abs=0.15)
    later = cut_film(ExampleFilm(Path("up"), "up", start_s=2.0))
    assert later.part_s == pytest.approx((2.0, 3.95), abs=0.15)
    with raises(DataError, "still", "movement"):
        cut("still")
    assert len(cut(OTHER)[0].centers_us) == len(film.centers_us)
    with raises(DataError, "up", 0.95, 1.44):
        cut_film(ExampleFilm(Path("up"), "up", start_s=3.0))


def test_rest_is_not_part_of_a_gesture(monkeypatch: pytest.MonkeyPatch) -> None:
    moving, resting = make_track(0.3, 1), make_track(0.0, 1)
    resting = replace(resting, times_us=resting.times_us + 4_000_000)
    names = [name for name in moving.__dataclass_fields__ if name != "size"]
    both = {name: np.concatenate([getattr(moving, name), getattr(resting, name)]) for name in names}
    monkeypatch.setattr("dvspipe.oneshot.learning.track", lambda *_, **__: Track(size=moving.size, **both))
    start_s, stop_s = cut("up")[0].part_s
    assert start_s < 0.2
    assert 3.9 < stop_s < 4.9


def test_left_out_windows_share_no_picture_with_learnt_ones() -> None:
    for film in cut("up", "aside"):
        learnt, tested = film.divide()
        assert len(learnt.centers_us)
        assert len(tested.centers_us)
        assert tested.centers_us[0] - learnt.centers_us[-1] >= JOINT_WINDOW_US
    short = cut_film(ExampleFilm(Path("up"), "up", start_s=2.4))
    learnt, tested = short.divide()
    assert (len(learnt.centers_us), len(tested.centers_us)) == (len(short.centers_us), 0)


def test_variations_are_near_their_windows_and_depend_on_the_seed() -> None:
    windows = cut("up")[0].sample()
    one, again, other = (vary(windows, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert one.dtype == np.float32
    assert not np.array_equal(one, other)
    assert np.abs(one - windows).mean() < 0.3


def test_mirrored_gesture_is_the_same_gesture_only_on_request() -> None:
    curves = cut("up")[0].sample()
    for is_mirrored in (False, True):
        films = [*cut("up"), replace(cut("aside")[0], track=mirror_track(make_track(*MOVES["aside"])))]
        joints = train_classes(films, ("aside", "up", OTHER), LearnConfig(mirror=is_mirrored))
        assert _classify(joints, curves)[1] > 0.5
        assert (_classify(joints, mirror_curves(curves))[1] > 0.5) == is_mirrored


def mirror_track(track: Track) -> Track:
    """Return the track of a person who moves the other hand."""
    sides = {"right": "left", "left": "right", "nose": "nose"}
    others = [JOINTS.index(name.replace(side, sides[side], 1)) for name in JOINTS for side in [name.split("_")[0]]]
    return replace(track, points_m=track.points_m[:, others] * (-1, 1, 1))


@torch.no_grad()
def _classify(joints: JointClassifier, curves: np.ndarray) -> list[float]:
    return joints.network(torch.from_numpy(curves)).softmax(dim=1)[0].tolist()


def test_hands_at_rest_are_other_gestures() -> None:
    joints = train_classes(cut("up", "aside"), ("aside", "up", OTHER), LearnConfig())
    center = np.array([2_000_000])
    curves, _ = sample_curves(make_track(0.0, 0), center, center)
    assert int(np.argmax(_classify(joints, curves))) == 2


def test_learnt_run_classifies_videos_by_joints_alone(tmp_path: Path) -> None:
    films = make_films(tmp_path, "up", "aside")
    learned = learn(films, tmp_path / "mine")
    assert learned.classes == ("aside", "up", OTHER)
    assert learned.test.correct == learned.test.samples > 0
    assert mentions("\n".join(learned.describe()), "up.webm", "aside.webm", "100.0%", "other people")
    assert Learned.read(tmp_path / "mine" / RECORD) == learned

    classifier = Classifier.load(tmp_path / "mine")
    for source, config in (
        (random_events(1, 2000, SensorSize(width=128, height=128), 1_500_000), InferConfig()),
        (films[0], InferConfig(joints=False)),
    ):
        with raises(ConfigError, "joints", "video"):
            classifier.predict(source, config)
    assert classifier.adviser is not None
    assert classifier.adviser.is_alone
    joints = JointClassifier.load(RunFolder(tmp_path / "mine").joints)
    track, span_us = make_track(*MOVES["up"]), np.array([[1_000_000], [2_440_000]])
    for events in ([[0.9, 0.05, 0.05]], [[0.3, 0.3, 0.4]]):
        assert joints.combine(np.array(events, np.float32), track, *span_us).argmax() == 1
    away = without_person(track, track.times_us > 500_000)
    np.testing.assert_allclose(joints.combine(np.full((1, 3), 1 / 3, np.float32), away, *span_us), 1 / 3, atol=1e-6)
    for words in (["evaluate", "mine", "."], ["export", "mine", "-o", "mine.onnx"]):
        assert mentions(dvspipe(*words, cwd=tmp_path, code=2).stderr, "mine", "joints")
    with raises(FileError, "mine", "overwrite"):
        learn(films, tmp_path / "mine")
    assert learn(films, tmp_path / "mine", overwrite=True) == learned


def test_lack_of_other_gestures_and_short_films_are_warnings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    up, aside, other = list_films(make_films(tmp_path, "up", "aside", OTHER))
    short = replace(up, start_s=2.4)
    for films, facts in (([up, aside], OTHER), ([up, other], None), ([short, other], ("up", "5 s"))):
        warnings = learn(films, tmp_path / "mine", overwrite=True).warnings
        assert warnings_of(caplog) == []  # the record has them, and the command prints it
        assert [mentions(text, facts) for text in warnings] == ([] if facts is None else [True])
    done = dvspipe("learn", "up.webm", "aside.webm", "-o", "again", cwd=tmp_path)
    assert done.output.count(f"no film of {OTHER}") == 1


def test_films_beside_folders_or_images_are_an_error(tmp_path: Path) -> None:
    make_film(tmp_path / "up" / "anna.webm")
    make_film(tmp_path / "up" / "._anna.webm")
    assert [film.path.name for film in list_films(tmp_path)] == ["anna.webm"]
    for name in ("aside.webm", "cover.png"):
        (tmp_path / name).write_bytes(b"x")
        with raises(DataError, tmp_path, "1 film", "1 file beside"):
            list_films(tmp_path)
        (tmp_path / name).unlink()


def test_joint_network_of_other_classes_is_refused(tmp_path: Path) -> None:
    learn(make_films(tmp_path, "up"), tmp_path / "mine")
    JointClassifier(JointNetwork(2), 0.5, ("a", "b")).save(RunFolder(tmp_path / "mine").joints)
    with raises(CheckpointError, "a, b", "up"):
        Classifier.load(tmp_path / "mine")
