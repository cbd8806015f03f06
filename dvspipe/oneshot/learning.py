"""Learn gestures from one film each: render the movements on many people, and fine-tune an included network."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from ..base.errors import FileError
from ..base.gestures import OTHER
from ..base.progress import NamedStep, Progress, ignore_progress
from ..base.texts import Described
from ..checkpoints.checkpoint import shipped_config
from ..datasets.samples import is_synthetic
from ..people.joint_training import JointWindows, count_correct, train_joints
from ..people.joints import POSITIONS, JointClassifier
from ..report import write_training_page
from ..results import RunFolder, Share, TestResult, TrainingRun
from ..synthesis import GesturesPlan, Repertoire, write_gestures
from ..synthesis.filmed import SETTINGS_NAME
from ..training import TrainConfig
from ..training.run import find_command, train
from .arms import draw_tracks, sample_windows
from .config import STRANGERS, THOROUGH, LearnConfig
from .films import ExampleFilm, list_films, list_videos, set_parts
from .movements import GestureFilm, write_movement_page
from .study import BASE, Study, study_films

TRACKS = "tracks"
"""Subfolder of a run: tracks of the films."""
CLIPS = "clips"
"""Subfolder of a run: rendered clips."""
PAGE = "movements.html"
"""Page in a run to check the movements that were found in the films."""
JOINT_PEOPLE = 100  # people per class, to train the joint network
JOINT_WINDOWS = 3  # windows of each person
JOINT_OTHER = 3  # people with other gestures per person with a gesture
JOINT_BATCH = 96
JOINT_BATCHES = 600
JOINT_TESTED = 50  # people per class, to test the joint network
JOINT_NOISE = 0.015  # added to positions, in arm lengths
JOINT_WEIGHT = 0.7  # joints alone are right more often: 81 % of the gestures of other people, events 63 %
SIMILAR_SHARE = 0.15  # clips of two gestures that are confused, at least

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learned(Described):
    """Classifier of gestures from films.

    Args:
        study: Studied films.
        run: Training run on rendered people, with its test on other rendered people (synthetic).
    """

    study: Study
    run: TrainingRun

    def describe(self) -> list[str]:
        """Return the results on rendered people, and what to expect of strangers."""
        test = self.run.test
        lines = [f"test accuracy (synthetic) on events {test.accuracy:.1%}, {test.correct} of {test.data}"]
        if test.joints is not None:
            count = f"{test.joints.correct} of {test.joints.samples} movements of other rendered people"
            lines.append(f"test accuracy (synthetic) on videos, by joints {test.joints.accuracy:.1%}, {count}")
        return [*lines, *self.similar, f"expect less of real people: {STRANGERS}", f"report: {self.run.folder.report}"]

    @property
    def similar(self) -> tuple[str, ...]:
        """A line for each two gestures that the network confuses."""
        return tuple(find_similar(self.run.test))


def prepare(
    films: Sequence[ExampleFilm],
    folder: Path,
    config: LearnConfig = LearnConfig(),
    *,
    other: Sequence[Path] = (),
    progress: Progress = ignore_progress,
) -> Study:
    """Track the films, find the parts that show the gestures, and store both for `learn_study`.

    Args:
        films: Films of the gestures; see `list_films`.
        folder: Run folder; created if missing. It gets the tracks, and movements.html to check the movements.
        config: Settings.
        other: Films without any of the gestures.
        progress: Called with the amount done of each stage and its total.

    Raises:
        DataError: If a film shows no arms, no movement or too short a movement.
        VideoError: If a film cannot be read or shows no person.
        FileError: If the folder cannot be written.
    """

    def report(stage: str, done: float, total: float) -> None:
        NamedStep(progress, stage)(done, total)

    study = study_films(films, other, folder / TRACKS, mirror=config.mirror, progress=report)
    study.describe().write(folder / TRACKS / SETTINGS_NAME)

    shown = [GestureFilm(gesture.film.name, gesture.film.path, gesture.track, gesture.part) for gesture in study.films]
    write_movement_page(shown, folder / PAGE)

    return study


def is_complete(folder: Path) -> bool:
    """Return whether a folder contains a complete run, with both networks and their test."""
    run = RunFolder(folder)
    return run.test.is_file() and run.joints.is_file()


def check_unfinished(folder: Path, *, overwrite: bool) -> None:
    """Check that a folder contains no complete run.

    Raises:
        FileError: If it contains one that is not to be replaced.
    """
    if is_complete(folder) and not overwrite:
        raise FileError(f"{folder}: contains a complete run; use overwrite to replace it")


def learn_study(
    study: Study,
    folder: Path,
    config: LearnConfig = LearnConfig(),
    *,
    command: str = "",
    progress: Progress = ignore_progress,
    overwrite: bool = False,
) -> Learned:
    """Render the gestures of a study on many people, and fine-tune the included gesture network on them.

    After an interruption, the same call continues with the missing clips and epochs.

    Args:
        study: Studied films, from `prepare` with the same folder.
        folder: Run folder.
        config: Settings.
        command: Command that repeats the run, for the records.
        progress: Called with the amount done of each stage and its total.
        overwrite: Replace an earlier run in the folder.

    Raises:
        FileError: If the folder contains a complete run, or cannot be written.
        DataError: If the folder contains clips of other gestures.
    """
    check_unfinished(folder, overwrite=overwrite)
    run = RunFolder(folder)

    # Clips of an earlier attempt are deleted, but no files of the user.
    clips = folder / CLIPS
    if overwrite and is_synthetic(clips):
        shutil.rmtree(clips)

    plan = GesturesPlan(config.people, 1, config.seed, camera=config.camera, tracks=folder / TRACKS, other=2)
    write_gestures(clips, plan, jobs=config.jobs, progress=NamedStep(progress, "rendering people"))

    resume = run.config.is_file() and not overwrite
    trained = train(make_config(clips, config), out=folder, resume=resume, overwrite=not resume, progress=progress)

    # The joint network is written last: it is missing if an earlier attempt was interrupted.
    if not run.joints.is_file() or overwrite:
        repertoire = study.describe().to_repertoire(folder / TRACKS)
        joints = learn_joints(repertoire, config, NamedStep(progress, "training on joints"))
        NamedStep(progress, "testing on joints")(0, 1)
        tested = _test_joints(joints, repertoire, config)
        trained = replace(trained, test=_describe_test(trained.test, tested, command))
        trained.test.write(run.test)
        joints.save(run.joints)

    NamedStep(progress, "writing the report")(0, 1)
    write_training_page(trained)
    return Learned(study, trained)


def learn_joints(repertoire: Repertoire, config: LearnConfig, progress: Progress = ignore_progress) -> JointClassifier:
    """Train a joint network on the movements of a repertoire, performed by random people."""
    rng = np.random.default_rng([config.seed, 1])
    others = [repertoire.classes.index(OTHER)] * (JOINT_OTHER - 1)
    labels = [*range(len(repertoire.classes)), *others] * JOINT_PEOPLE
    windows = sample_windows(draw_tracks(repertoire, labels, rng), JOINT_WINDOWS, rng)

    def draw(batches: np.random.Generator) -> JointWindows:
        numbers = batches.integers(len(windows.labels), size=JOINT_BATCH)
        curves = windows.curves[numbers]
        curves[..., :POSITIONS] += batches.normal(0, JOINT_NOISE, curves[..., :POSITIONS].shape)
        return JointWindows(curves, windows.labels[numbers])

    return train_joints(
        draw, repertoire.classes, steps=JOINT_BATCHES, weight=JOINT_WEIGHT, seed=config.seed, progress=progress
    )


def _test_joints(joints: JointClassifier, repertoire: Repertoire, config: LearnConfig) -> Share:
    """Test a joint network on the movements of a repertoire, performed by other random people than in its training."""
    rng = np.random.default_rng([config.seed, 2])
    labels = [*range(len(repertoire.classes))] * JOINT_TESTED
    windows = sample_windows(draw_tracks(repertoire, labels, rng), 1, rng)

    return Share(samples=len(labels), correct=count_correct(joints, windows))


def _describe_test(test: TestResult, joints: Share, command: str) -> TestResult:
    """Describe a test on rendered people: add the joint network, and leave out findings about the recordings."""
    described = {
        "title": "gestures from films",
        "data": f"{test.samples} clips of other rendered people (synthetic)",
        "joints": joints,
        "command": command,
        "findings": (),
    }

    return test.model_copy(update=described)


def make_config(clips: Path, config: LearnConfig) -> TrainConfig:
    """Return the training configuration for rendered clips."""
    chosen = {
        "name": "learn",
        "init": BASE,
        "seed": config.seed,
        "data": "folder",
        "root": clips,
        "group": r"^user\d+",
        "validation": 0.15,
        "test": 0.2,
        "flip_horizontal": False,
        "epochs": config.epochs,
        "learning_rate": 0.002,
        "ema": 0.99,
        "jobs": config.jobs,
    }

    return TrainConfig.read(shipped_config(BASE), chosen)


def find_similar(test: TestResult) -> Iterator[str]:
    """Yield a line for each two gestures that the network confuses on rendered people (synthetic)."""
    for one, two in combinations(range(len(test.classes)), 2):
        wrong = test.confusion[one][two] + test.confusion[two][one]
        total = sum(test.confusion[one]) + sum(test.confusion[two])

        if wrong >= SIMILAR_SHARE * total:
            yield (
                f"{test.classes[one]} and {test.classes[two]} are similar: {wrong} of {total} rendered clips of both "
                "(synthetic) are confused; film movements that differ more"
            )


def learn(
    films: str | Path | ExampleFilm | Sequence[str | Path | ExampleFilm],
    out: str | Path,
    config: LearnConfig = LearnConfig(),
    *,
    starts: Mapping[str, float] | None = None,
    stops: Mapping[str, float] | None = None,
    other: str | Path | Sequence[str | Path] = (),
    thorough: bool = False,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Learned:
    """Learn new gestures from a few films each: render the movements on many people, and train a classifier on them.

    After an interruption, the same call continues with the missing tracks, clips and epochs. With five gestures from
    one film each, 10 of 38 films of strangers were right; films of more people help.

    Args:
        films: Film of each gesture, named after it (wave.mp4); or DIR with DIR/GESTURE/FILM.
        out: Run folder of the new classifier.
        config: Settings.
        starts: Start of the gesture in seconds, by its name; if it has several films, by the name of a film without its
            suffix. Default: found automatically.
        stops: End of the gesture in seconds, likewise. Default: found automatically.
        other: Films without any of the gestures, or a folder of them.
        thorough: Render four times as many people and train twice as many epochs; takes about five times as long.
        overwrite: Replace an earlier run in the folder.
        progress: Called with the amount done and the total.

    Raises:
        DataError: If a film shows no arms, no movement or too short a movement, or a name is unknown.
        VideoError: If a film cannot be read or shows no person.
        FileError: If a film is missing, or the folder contains a complete run or cannot be written.

    Example:
        >>> learned = learn(["wave.mp4", "stop.mp4"], "my-gestures", LearnConfig(people=48))  # doctest: +SKIP
        >>> learned.run.test.accuracy, learned.similar  # doctest: +SKIP
        (0.94, ())
    """
    chosen = LearnConfig(**THOROUGH.given | config.given) if thorough else config
    run = Path(out)

    examples = set_parts(_as_films(films), starts or {}, stops or {})
    check_unfinished(run, overwrite=overwrite)  # before anything in the folder changes
    study = prepare(examples, run, chosen, other=list_videos(other), progress=progress)
    for studied in study.films:
        log.info("%s", studied)
    log.info("check the movements: %s", run / PAGE)
    return learn_study(study, run, chosen, command=find_command(), progress=progress, overwrite=overwrite)


def _as_films(films: str | Path | ExampleFilm | Sequence[str | Path | ExampleFilm]) -> tuple[ExampleFilm, ...]:
    given = [films] if isinstance(films, str | Path | ExampleFilm) else films

    examples: list[ExampleFilm] = []
    for film in given:
        examples += [film] if isinstance(film, ExampleFilm) else list_films([film])
    return tuple(examples)
