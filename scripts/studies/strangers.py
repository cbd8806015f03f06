"""Learn gestures from a few films each, and test on films of other people: joints of real people only, without events.

    python scripts/studies/strangers.py TRACKS [--episodes 4] [--films 1 3]

TRACKS contains <gesture>/<owner>_<film>.csv, tracks of films from `dvspipe track`, and other/<owner>_<film>.csv, films
of other activities. In each episode, random films of each gesture, each of another owner, are learnt as `dvspipe learn`
does; of several numbers of films, the smaller is a part of the larger. The test is the same for all numbers: all films
whose owner did not film what was learnt from the largest number: of the gesture, or of anything for other activities.
One owner of each gesture is always left for the test.
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


Answers = list[Answer]


def owner(film: Path) -> str:
    return film.name.split("_")[0]


def choose(films: list[Path], number: int, rng: np.random.Generator) -> list[Path]:
    """Return up to `number` random films of different owners, in which a movement can be found; leave one owner."""
    number = min(number, len({owner(film) for film in films}) - 1)
    chosen: dict[str, Path] = {}
    for index in rng.permutation(len(films)):
        film = films[index]
        if len(chosen) < number and owner(film) not in chosen and shows_movement(film):
            chosen[owner(film)] = film

    if not chosen:
        raise SystemExit(f"{films[0].parent}: no film shows a movement, or all are of one owner")
    return [*chosen.values()]


def shows_movement(film: Path) -> bool:
    try:
        find_movement(read_track(film), name=film.name)
    except DataError:
        return False
    return True


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


def run_episode(films: dict[str, list[Path]], numbers: list[int], seed: int) -> dict[int, tuple[Answers, Answers]]:
    """Learn films of each gesture; return the answers for gestures and for other activities, by the number of films."""
    rng = np.random.default_rng(seed)
    shown = {name: choose(films[name], max(numbers), rng) for name in films if name != "other"}
    owners = {name: {owner(film) for film in chosen} for name, chosen in shown.items()}
    all_owners = set().union(*owners.values())

    answers = {}
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            learnt = [film for chosen in shown.values() for film in chosen[:number]]
            repertoire = study(learnt, Path(folder)).describe().to_repertoire(Path(folder))
            joints = learn_joints(repertoire, LearnConfig(seed=seed))

        gestures = []
        for name in shown:
            gestures += test(joints, [film for film in films[name] if owner(film) not in owners[name]], name)
        others = [film for film in films["other"] if owner(film) not in all_owners]
        answers[number] = gestures, test(joints, others, OTHER)

    return answers


def report(gestures: list[Answer], others: list[Answer]) -> None:
    show("gestures, all classes", np.array([answer.found == answer.truth for answer in gestures]))
    show("gestures, gestures only", np.array([answer.gesture == answer.truth for answer in gestures]))
    if others:
        show("other activities", np.array([answer.found == answer.truth for answer in others]))

    for name, answers in (("gestures", gestures), ("other activities", others)):
        if answers:
            wrong = np.array([answer.claims_wrong_gesture for answer in answers])
            show(f"{name}, certainly called a wrong gesture", wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=Path)
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--films", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()

    films = {folder.name: sorted(folder.glob("*.csv")) for folder in sorted(arguments.tracks.iterdir())}
    print({name: len(found) for name, found in films.items()}, flush=True)

    episodes = [run_episode(films, arguments.films, seed) for seed in range(arguments.episodes)]
    for number in arguments.films:
        print(f"films of each gesture: at most {number}")
        report(
            [answer for episode in episodes for answer in episode[number][0]],
            [answer for episode in episodes for answer in episode[number][1]],
        )


if __name__ == "__main__":
    main()
