"""Measure `dvspipe adapt` on synthetic people of held-out sensors: `python scripts/studies/adaptation.py [CHECKPOINT]`.

Each sensor records the same clips of people that no network was trained on. The network classifies the clips before and
after it is adapted to them: to all clips, to the clips of each class, or to the clips of each class by one person.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from dvspipe import Classifier, Events, adapt
from dvspipe.base.config import build
from dvspipe.base.errors import DvspipeError
from dvspipe.base.labels import GESTURES
from dvspipe.inference.adaptation import STRENGTH
from dvspipe.simulator import SimulatorConfig, read_preset
from dvspipe.synthesis import GestureClip, record_gesture

FIRST_PERSON = 3000
ONE_PERSON = 4000
SENSORS = ("as in training", "gen4, noise x 5", "dvs128, thresholds x 2", "noisy")


def read_sensor(name: str, seed: int) -> SimulatorConfig | None:
    """Return a held-out sensor; None for the sensor of the training data."""
    if name == SENSORS[0]:
        return None
    settings = read_preset(name.partition(",")[0]) | {"seed": seed}
    if "noise x 5" in name:
        settings |= {key: 5 * settings[key] for key in ("leak_rate_hz", "shot_noise_rate_hz")}
    if "thresholds x 2" in name:
        settings |= {key: 2 * settings[key] for key in ("pos_thres", "neg_thres")}
    return build(SimulatorConfig, settings, name)


@dataclass(frozen=True)
class Clip:
    """Gesture clip recorded by a sensor."""

    label: int
    person: int
    clip: int
    seed: int
    sensor: str

    def record(self) -> Events:
        """Render the clip and return its events."""
        sensor = read_sensor(self.sensor, 1000 * self.person + 100 * self.label + self.clip)
        return record_gesture(
            GestureClip(self.label, person=self.person, clip=self.clip, seed=self.seed), sensor=sensor
        )


def count_right(classifier: Classifier, recordings: Sequence[Events], label: Sequence[int]) -> int:
    """Return the number of correctly classified recordings."""
    return sum(classifier.predict(events).label == right for events, right in zip(recordings, label, strict=True))


def count_right_adapted(
    classifier: Classifier, recordings: Sequence[Events], labels: Sequence[int], strength: float
) -> int:
    """Adapt the classifier to the recordings; return the number of correctly classified recordings."""
    try:
        classifier = adapt(classifier, recordings, strength=strength).classifier
    except DvspipeError as error:
        print(error)
    return count_right(classifier, recordings, labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="?", default="gesture-films")
    parser.add_argument("--clips", type=int, default=20, help="clips per class (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strength", type=float, default=STRENGTH)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    classifier = Classifier.load(arguments.checkpoint)
    labels = range(len(GESTURES))

    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        print("| sensor | recordings | correct before | after | worst class |\n|---|---|---|---|---|")
        for sensor in SENSORS:
            # In `many`, each clip of a class shows another person; in `same`, all show one person per class.
            pairs = [*itertools.product(range(arguments.clips), labels)]
            many = [Clip(label, FIRST_PERSON + number, 0, arguments.seed, sensor) for number, label in pairs]
            same = [Clip(label, ONE_PERSON + label, number, arguments.seed, sensor) for number, label in pairs]

            for title, clips in (("", many), (", one person", same)):
                recordings = list(pool.map(Clip.record, clips))
                truth = [clip.label for clip in clips]
                if not title:
                    before = count_right(classifier, recordings, truth)
                    after = count_right_adapted(classifier, recordings, truth, arguments.strength)
                    print_row(sensor, "all classes", [before], [after], len(clips))

                counts_before = []
                counts_after = []
                for label in labels:
                    alone = [events for events, own in zip(recordings, truth, strict=True) if own == label]
                    own_truth = [label] * len(alone)
                    counts_before.append(count_right(classifier, alone, own_truth))
                    counts_after.append(count_right_adapted(classifier, alone, own_truth, arguments.strength))

                print_row(sensor, f"each class alone{title}", counts_before, counts_after, arguments.clips)


def print_row(sensor: str, title: str, before: list[int], after: list[int], each: int) -> None:
    """Print a row: accuracy before and after, and the change of the part that lost most (or gained least)."""
    worst = min(np.subtract(after, before)) / each
    shares = (f"{sum(counts) / (each * len(counts)):.1%}" for counts in (before, after))
    print(f"| {sensor} | {title} | {' | '.join(shares)} | {worst:+.1%} |", flush=True)


if __name__ == "__main__":
    main()
