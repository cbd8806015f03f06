"""Learn gestures from one track each of one person, and test on the tracks of other people.

    python scripts/studies/oneshot.py TRACKS OUT --person s1 [--people 24] [--epochs 8]

TRACKS contains <gesture>/<person>_<trial>.csv, tracks of single performances from rest to rest (`dvspipe track`, or
motion capture). The first trial of PERSON is learnt; the trials of all others are the test: rendered people perform
them before a DVS128 and webcams (events), and a simulated pose network tracks them (joints). Rendered data is
synthetic.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dvspipe.encoding import encode
from dvspipe.formats import read
from dvspipe.inference import Classifier
from dvspipe.oneshot import LearnConfig, StudiedFilm, Study, learn_study
from dvspipe.oneshot.arms import draw_tracks, sample_windows
from dvspipe.oneshot.films import ExampleFilm
from dvspipe.pose import Track, find_movement
from dvspipe.results import RunFolder, wilson_interval
from dvspipe.synthesis import OTHER, GesturesPlan, write_gestures

TEST_PEOPLE = 15
TEST_SEED = 4000  # no rendered person is in both parts
TEST_WINDOWS = 3


def study(files: Iterable[Path], folder: Path) -> Study:
    """Store the tracks of single performances in a folder, as `dvspipe learn` does for films."""
    films = []
    for file in files:
        name = file.parent.name
        track = Track.read(file)
        stored = folder / name / file.name
        stored.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, stored)
        part = find_movement(track, name=str(file))
        films.append(StudiedFilm(ExampleFilm(file, name), track, stored.relative_to(folder), part, ()))

    found = Study(tuple(films), (), mirror=False)
    found.describe().write(folder)
    return found


def show(name: str, right: NDArray[np.bool_]) -> None:
    low, high = wilson_interval(int(right.sum()), len(right))
    print(f"{name}: {right.sum()} of {len(right)} ({right.mean():.1%}; 95 %: {low:.0%} to {high:.0%})", flush=True)


def score(name: str, outputs: NDArray[np.float32], labels: NDArray[np.int64], other: int) -> None:
    """Print the share of gestures that are right, with and without the class of other gestures."""
    gestures = labels != other
    show(f"{name}, all classes", outputs.argmax(axis=1) == labels)
    closed = np.where(np.arange(outputs.shape[1]) == other, -np.inf, outputs)
    show(f"{name}, gestures only", (closed.argmax(axis=1) == labels)[gestures])


def test_events(classifier: Classifier, clips: Path) -> None:
    classes = classifier.config.classes
    outputs = []
    labels = []
    webcam = []

    for path in sorted(clips.glob("*/*.h5")):
        spikes = torch.from_numpy(encode(read(path), classifier.config.bins)).float()[:, None]
        with torch.no_grad():
            output, _ = classifier.network(spikes, None)
        outputs.append(output.mean(dim=0)[0].numpy())
        labels.append(classes.index(path.parent.name))
        webcam.append("webcam" in path.name)

    filmed = np.array(webcam)
    values = np.stack(outputs)
    truth = np.array(labels)
    score("events of a DVS128", values[~filmed], truth[~filmed], classes.index(OTHER))
    score("events of webcams", values[filmed], truth[filmed], classes.index(OTHER))


def test_joints(classifier: Classifier, others: Study, folder: Path) -> None:
    assert classifier.joints is not None
    repertoire = others.describe().to_repertoire(folder)
    assert repertoire.classes == classifier.config.classes
    labels = [*range(len(repertoire.classes))] * 2 * TEST_PEOPLE
    rng = np.random.default_rng(TEST_SEED)
    windows = sample_windows(draw_tracks(repertoire, labels, rng), TEST_WINDOWS, rng)
    with torch.no_grad():
        outputs = classifier.joints.network(torch.from_numpy(windows.curves)).numpy()
    score("joints", outputs, windows.labels, repertoire.classes.index(OTHER))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--person", required=True)
    parser.add_argument("--people", type=int, default=LearnConfig().people)
    parser.add_argument("--epochs", type=int, default=LearnConfig().epochs)
    arguments = parser.parse_args()
    files = sorted(arguments.tracks.glob("*/*.csv"))
    own = [file for file in files if file.stem.split("_")[0] == arguments.person]
    firsts = {file.parent.name: file for file in reversed(own)}
    learnt = study(firsts.values(), arguments.out / "tracks")
    others = study([file for file in files if file not in own], arguments.out / "others")
    if not RunFolder(arguments.out).test.is_file():
        learn_study(learnt, arguments.out, LearnConfig(people=arguments.people, epochs=arguments.epochs))
    plan = GesturesPlan(TEST_PEOPLE, 1, TEST_SEED, camera="both", tracks=arguments.out / "others", other=2)
    write_gestures(arguments.out / "test", plan)
    classifier = Classifier.load(arguments.out)
    test_events(classifier, arguments.out / "test")
    test_joints(classifier, others, arguments.out / "others")


if __name__ == "__main__":
    main()
