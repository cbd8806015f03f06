"""Learn gestures from one film each, and test on films of other people: joints of real people only, without events.

    python scripts/studies/strangers.py TRACKS [--episodes 4]

TRACKS contains <gesture>/<owner>_<film>.csv, tracks of films from `dvspipe track`, and other/<owner>_<film>.csv, films
of other activities. In each episode, a random film of each gesture is learnt as `dvspipe learn` does. The test are all
films whose owner did not film what was learnt: of the gesture, or of anything for other activities.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from oneshot import show, study

from dvspipe.base.errors import DataError
from dvspipe.base.labels import OTHER
from dvspipe.inference.joints import JointClassifier
from dvspipe.oneshot import LearnConfig
from dvspipe.oneshot.learning import learn_joints
from dvspipe.pose import find_movement, read_track

CERTAIN = 0.5  # the default of `--segments.enter`


@dataclass(frozen=True)
class Answer:
    """Result for a film: its true class, the most probable class and gesture, and the probability of the class."""

    truth: str
    found: str
    gesture: str
    probability: float

    @property
    def claims_wrong_gesture(self) -> bool:
        return self.found not in (self.truth, OTHER) and self.probability >= CERTAIN


def owner(film: Path) -> str:
    return film.name.split("_")[0]


def choose(films: list[Path], rng: np.random.Generator) -> Path:
    """Return a random film in which a movement can be found."""
    for index in rng.permutation(len(films)):
        try:
            find_movement(read_track(films[index]), name=films[index].name)
        except DataError:
            continue
        return films[index]
    raise SystemExit(f"{films[0].parent}: no film shows a movement")


def test(joints: JointClassifier, films: list[Path], truth: str) -> list[Answer]:
    """Classify films in which a person is visible."""
    answers = []
    for film in films:
        track = read_track(film)
        seen_us = track.times_us[track.present]
        if not len(seen_us):
            continue

        mean = joints.classify_part(track, int(seen_us[0]), int(seen_us[-1]))
        names = [joints.classes[index] for index in np.argsort(-mean)]
        gesture = next(name for name in names if name != OTHER)
        answers.append(Answer(truth, names[0], gesture, float(mean.max())))

    return answers


def run_episode(films: dict[str, list[Path]], seed: int) -> tuple[list[Answer], list[Answer]]:
    """Learn one film of each gesture; return the answers for gestures and for other activities of other owners."""
    rng = np.random.default_rng(seed)
    shown = {name: choose(films[name], rng) for name in films if name != "other"}

    with tempfile.TemporaryDirectory() as folder:
        repertoire = study(shown.values(), Path(folder)).describe().to_repertoire(Path(folder))
        joints = learn_joints(repertoire, LearnConfig(seed=seed))

    gestures = []
    for name, film in shown.items():
        others = [path for path in films[name] if owner(path) != owner(film)]
        gestures += test(joints, others, name)

    owners = {owner(film) for film in shown.values()}
    others = [path for path in films["other"] if owner(path) not in owners]
    return gestures, test(joints, others, OTHER)


def report(gestures: list[Answer], others: list[Answer]) -> None:
    show("gestures, all classes", np.array([answer.found == answer.truth for answer in gestures]))
    show("gestures, gestures only", np.array([answer.gesture == answer.truth for answer in gestures]))
    show("other activities", np.array([answer.found == answer.truth for answer in others]))

    for name, answers in (("gestures", gestures), ("other activities", others)):
        show(f"{name}, certainly called a wrong gesture", np.array([answer.claims_wrong_gesture for answer in answers]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=Path)
    parser.add_argument("--episodes", type=int, default=4)
    arguments = parser.parse_args()

    films = {folder.name: sorted(folder.glob("*.csv")) for folder in sorted(arguments.tracks.iterdir())}
    print({name: len(found) for name, found in films.items()}, flush=True)

    gestures: list[Answer] = []
    others: list[Answer] = []
    for seed in range(arguments.episodes):
        more_gestures, more_others = run_episode(films, seed)
        gestures += more_gestures
        others += more_others

    report(gestures, others)


if __name__ == "__main__":
    main()
