"""Gestures are learnt from one film each."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from facts import raises
from filmed import make_film, make_gestures, make_track, store_track

from dvspipe.base.errors import CheckpointError, ConfigError, DataError, FileError, VideoError
from dvspipe.base.gestures import OTHER
from dvspipe.base.progress import CurrentStep
from dvspipe.inference import Classifier, InferConfig
from dvspipe.oneshot import (
    PAGE,
    LearnConfig,
    Learned,
    Study,
    check_distinct,
    find_similar,
    learn_study,
    learning,
    list_films,
    list_videos,
    prepare,
    set_parts,
)
from dvspipe.oneshot.arms import draw_tracks
from dvspipe.people.joints import JointClassifier, JointNetwork
from dvspipe.results import RunFolder, TestResult
from dvspipe.synthesis import DVS128_GESTURES

TINY = LearnConfig(people=4, epochs=1, camera="dvs", jobs=1)


@dataclass(frozen=True, eq=False)
class Run:
    """Finished run."""

    films: list[Path]
    folder: Path
    study: Study
    learned: Learned


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Learn two gestures from few people."""
    place = tmp_path_factory.mktemp("oneshot")
    films = make_gestures(place / "films", place / "mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "JOINT_PEOPLE", 20)
        patch.setattr(learning, "JOINT_BATCHES", 60)
        patch.setattr(learning, "JOINT_TESTED", 10)
        study = prepare(list_films(films), place / "mine", TINY)
        return Run(films, place / "mine", study, learn_study(study, place / "mine", TINY))


def test_films_are_named_after_their_gesture_or_their_folder(tmp_path: Path) -> None:
    single = make_film(tmp_path / "stop.webm")
    nested = make_film(tmp_path / "set" / "wave" / "anna.webm")
    found = list_films([single, tmp_path / "set"])
    assert [(film.path, film.name) for film in found] == [(single, "stop"), (nested, "wave")]
    assert list_videos([tmp_path]) == (nested, single)


def test_paths_without_films_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("wave")
    for each in (list_films, list_videos):
        with raises(FileError, "gone.mp4"):
            each([tmp_path / "gone.mp4"])
        with raises(DataError, "empty"):
            each([tmp_path / "empty"])
        with raises(FileError, "notes.txt", ".txt"):
            each([tmp_path / "notes.txt"])
    with raises(DataError, OTHER):
        list_films([make_film(tmp_path / f"{OTHER}.webm")])


def test_film_that_is_given_twice_is_refused_unless_the_parts_differ(tmp_path: Path) -> None:
    wave = make_film(tmp_path / "wave.webm")
    clap = Path(shutil.copy(wave, tmp_path / "clap.webm"))
    films = list_films([wave, clap])
    with raises(DataError, clap, wave):
        check_distinct(films)
    with raises(DataError, wave):
        check_distinct(list_films([wave, wave]))
    check_distinct(set_parts(films, {"clap": 1.0}, {}))


def test_parts_are_set_by_the_name_of_the_gesture(tmp_path: Path) -> None:
    films = list_films([make_film(tmp_path / "wave.webm"), make_film(tmp_path / "stop.webm")])
    placed = set_parts(films, {"wave": 1.0}, {"wave": 2.5, "stop": 3.0})
    assert [(film.start_s, film.stop_s) for film in placed] == [(1.0, 2.5), (None, 3.0)]
    with raises(DataError, "wav", "wave", "stop"):
        set_parts(films, {"wav": 1.0}, {})
    with raises(DataError, "wave.webm", 2, 1):
        set_parts(films, {"wave": 2.0}, {"wave": 1.0})


def test_part_of_one_of_several_films_is_set_by_the_name_of_the_film(tmp_path: Path) -> None:
    (tmp_path / "wave").mkdir()
    for name in ("anna", "ben", "c.2"):
        make_film(tmp_path / "wave" / f"{name}.webm")
    films = list_films(tmp_path)
    placed = set_parts(films, {"ben": 1.0}, {})
    assert [(film.name, film.path.stem, film.start_s) for film in placed] == [
        ("wave", "anna", None),
        ("wave", "ben", 1.0),
        ("wave", "c.2", None),
    ]
    assert set_parts(films, {"c_2": 1.0}, {})[2].start_s == 1.0
    assert set_parts(films, {"wave/ben": 1.0}, {}) == placed
    with raises(DataError, "wave", "wave/anna, wave/ben, wave/c_2"):
        set_parts(films, {"wave": 1.0}, {})


def test_page_and_records_describe_the_parts(run: Run) -> None:
    up = run.study.films[0]
    assert up.part.period_us == pytest.approx(1e6, rel=0.1)
    assert "up.webm" in (run.folder / PAGE).read_text(encoding="utf-8")
    assert [each.repeat for each in run.study.describe().gestures] == ["cycle", "cycle"]


def test_given_part_replaces_the_found_one(run: Run) -> None:
    films = set_parts(list_films(run.films), {"up": 1.0}, {"up": 3.0})
    part = prepare(films, run.folder, TINY).films[0].part
    assert (part.start_us, part.stop_us) == (1_000_000, 3_000_000)


def test_film_without_movement_is_refused_with_a_picture(tmp_path: Path) -> None:
    film = make_film(tmp_path / "still.webm")
    store_track(film, "still", tmp_path / "mine", make_track(0.0, 0))
    picture = tmp_path / "mine" / "tracks" / "still-refused.png"
    with raises(DataError, "still.webm", str(picture)):
        prepare(list_films([film]), tmp_path / "mine")
    assert picture.is_file()


def test_dark_film_is_refused(tmp_path: Path) -> None:
    with raises(VideoError, "dark.webm", "brightness"):
        prepare(list_films([make_film(tmp_path / "dark.webm", brightness=0)]), tmp_path / "mine")


@pytest.mark.parametrize("is_other", [False, True])
def test_unreadable_film_is_refused_before_another_is_tracked(tmp_path: Path, is_other: bool) -> None:
    stages = set[str]()

    class Stages:
        def __call__(self, *_: float) -> None: ...

        def show_step(self, _done: float, _total: float, step: CurrentStep) -> None:
            stages.add(step.names[0])

    wave, empty = make_film(tmp_path / "wave.webm"), tmp_path / "empty.mp4"
    empty.touch()
    films, other = ([wave], [empty]) if is_other else ([wave, empty], [])
    with raises(VideoError, "empty.mp4"):
        prepare(list_films(films), tmp_path / "mine", other=other, progress=Stages())
    assert not [stage for stage in stages if "tracking" in stage]


def test_run_is_a_classifier_of_the_gestures_and_other_gestures(run: Run) -> None:
    test = run.learned.run.test
    assert test.classes == ("aside", OTHER, "up")
    assert test.synthetic_test
    assert RunFolder(run.folder).report.is_file()
    assert Classifier.load(run.folder).config.classes == test.classes


def test_test_of_a_run_has_the_joint_network_and_names_rendered_people(run: Run) -> None:
    test = TestResult.read(RunFolder(run.folder).test)
    assert test == run.learned.run.test
    assert test.joints is not None
    assert test.joints.samples == 3 * 10
    assert test.joints.accuracy > 0.6
    assert test.findings == ()  # learn takes none of the settings of the findings
    page = RunFolder(run.folder).report.read_text(encoding="utf-8")
    assert "Joint network" in page
    assert "recordings" not in test.data


def test_answer_below_the_threshold_is_uncertain(run: Run) -> None:
    classifier = Classifier.load(run.folder)
    predictions = {clip: classifier.predict(clip) for clip in sorted((run.folder / "clips").rglob("*.h5"))}
    gestures = {clip: one.probability for clip, one in predictions.items() if one.class_name != OTHER}
    clip = max(gestures, key=gestures.__getitem__)
    probability = gestures[clip]
    for enter, certain in ((probability - 0.01, True), (min(1.0, probability + 0.01), False)):
        prediction = classifier.predict(clip, InferConfig(enter=enter, leave=0.0))
        assert (prediction.probability, prediction.certain) == (probability, certain)


def test_videos_are_classified_by_joints_unless_turned_off(run: Run) -> None:
    classifier = Classifier.load(run.folder)
    assert classifier.adviser is not None
    assert classifier.choose_adviser(classifier.framed(InferConfig())) is classifier.adviser
    assert classifier.choose_adviser(classifier.framed(InferConfig(joints=False))) is None


def test_complete_run_is_not_replaced(run: Run) -> None:
    with raises(FileError, "mine"):
        learn_study(run.study, run.folder, TINY)


def test_interrupted_run_continues(tmp_path: Path) -> None:
    class Stop:
        def __call__(self, *_: float) -> None: ...

        def show_step(self, done: float, _total: float, step: CurrentStep) -> None:
            if step.names[0] == "rendering people" and done:
                raise KeyboardInterrupt

    films = make_gestures(tmp_path / "films", tmp_path / "mine")
    study = prepare(list_films(films), tmp_path / "mine", TINY)
    with pytest.raises(KeyboardInterrupt):
        learn_study(study, tmp_path / "mine", TINY, progress=Stop())
    clips = list((tmp_path / "mine" / "clips").glob("*/*.h5"))
    assert clips
    first = {path: path.stat().st_mtime_ns for path in clips}
    with pytest.raises(KeyboardInterrupt):
        learn_study(study, tmp_path / "mine", TINY, progress=Stop())
    assert all(path.stat().st_mtime_ns == changed_ns for path, changed_ns in first.items())


def test_confused_gestures_are_named(run: Run) -> None:
    test = run.learned.run.test
    confused = test.model_copy(update={"confusion": ((6, 0, 4), (0, 10, 0), (4, 0, 6))})
    assert isinstance(confused, TestResult)
    (line,) = find_similar(confused)
    assert all(fact in line for fact in ("aside", "up", "8 of 20", "synthetic"))


def test_joint_network_of_other_classes_is_refused(run: Run, tmp_path: Path) -> None:
    JointClassifier(JointNetwork(2), 0.5, ("a", "b")).save(tmp_path / "joints.safetensors")
    (tmp_path / "best.safetensors").write_bytes(RunFolder(run.folder).best.read_bytes())
    with raises(CheckpointError, "a, b", "aside"):
        Classifier.load(tmp_path / "best.safetensors")


def test_too_few_people_are_refused() -> None:
    with raises(ConfigError, "people", 4):
        LearnConfig.model_validate({"people": 3})


def test_tracks_are_drawn_for_each_label() -> None:
    tracks = [*draw_tracks(DVS128_GESTURES, [0, 3], np.random.default_rng(0))]
    assert [label for _, label in tracks] == [0, 3]
    assert all(track.present.all() for track, _ in tracks)
