"""Train on simulated digits and test on recorded ones, and the reverse.

    python scripts/studies/simulated.py NMNIST MNIST OUT [--jobs 4] [--train recorded fitted]

NMNIST is a folder of real N-MNIST recordings, MNIST has their images. The film of each image under the three saccades
(`dvspipe.synthesis.digit_frames`) is simulated in four ways:

- `fitted`: the sensor that was fitted to 250 of the recordings, other noise and mismatch in each recording
- `clean`: the preset `clean`
- `noisy`: one sensor, the preset `noisy`; independent noise in each recording, as `dvspipe convert` has it
- `one noise`: the same sensor, but all recordings have the same noise

The images are divided into two halves, class by class. For each kind of recording, a network is trained on one half and
tested on the other half of all kinds, then vice versa. So every image is tested once, by a network that was not trained
on it. All kinds have the same images, division, settings and seeds. No validation part is held out: the last epoch is
used. `--train` trains on some kinds only; all kinds are tested.

The results are written to OUT/accuracies.csv, and two pictures to OUT. After an interruption, complete runs are kept.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dvspipe import train
from dvspipe.checkpoints.checkpoint import load_checkpoint
from dvspipe.datasets import DataSet, NmnistConfig, Sample, SpikeTensors, TensorSettings, open_dataset, write_split
from dvspipe.events import Events, concatenate
from dvspipe.formats import read, write
from dvspipe.report.style import (
    ACCENT,
    GREEN,
    ORANGE,
    QUIET,
    RED,
    frame_axes,
    grid_axes,
    mix_polarities,
    new_figure,
    save_figure,
)
from dvspipe.results import mcnemar_p_value, wilson_interval
from dvspipe.simulator import SimulatorConfig, simulate
from dvspipe.synthesis.digits import DIGIT_SENSOR, digit_frames, record_digit
from dvspipe.synthesis.mnist import read_mnist
from dvspipe.training import TrainConfig, evaluate_network
from dvspipe.video.frames import Frame

RECORDED = "recorded"
KINDS = (RECORDED, "fitted", "clean", "noisy", "one noise")
SEED = 2015  # for the films; no included classifier has it
HALVES = 2
BLANK_FILMS = 20  # films without a digit, for the noise alone
SHOWN = ("Train/3", "Train/5")  # the first recording of these folders is drawn
FULL_COLOUR = 8  # events per pixel
COLOURS = (ACCENT, ORANGE, GREEN, RED, QUIET)
SPACING = 0.14  # between the points of a group
LEGEND_SHARE = 0.3  # height of the legend below the points

Correct = dict[tuple[str, str], dict[str, bool]]
"""Whether each image was classified correctly, by the kinds of training and test."""


def film(image: NDArray[np.uint8], row: int) -> list[Frame]:
    return list(digit_frames(image, np.random.default_rng([SEED, row])))


def simulate_film(frames: list[Frame], config: SimulatorConfig) -> Events:
    return concatenate(list(simulate(frames, config)), DIGIT_SENSOR)


SIMULATIONS: Mapping[str, Callable[[NDArray[np.uint8], int, str], Events]] = {
    "fitted": lambda image, row, _: record_digit(image, np.random.default_rng([SEED, row])),
    "clean": lambda image, row, _: simulate_film(film(image, row), SimulatorConfig.from_preset("clean")),
    "noisy": lambda image, row, name: simulate_film(
        film(image, row), SimulatorConfig.from_preset("noisy").for_recording(name)
    ),
    "one noise": lambda image, row, _: simulate_film(film(image, row), SimulatorConfig.from_preset("noisy")),
}


def list_recorded(nmnist: Path) -> list[str]:
    """Return the names PART/DIGIT/ID of all recordings; ID is the row of the image in MNIST, counted from 1."""
    return sorted(path.relative_to(nmnist).with_suffix("").as_posix() for path in nmnist.glob("T*/*/*.bin"))


def write_kind(folder: Path, kind: str, names: list[str], mnist: Path) -> None:
    """Simulate all images in one way; existing files are kept."""
    images = {part: read_mnist(mnist, part)[0] for part in ("train", "test")}
    for name in names:
        path = folder / f"{name}.bin"
        part, _, number = name.split("/")
        row = int(number) - 1
        if not path.exists():
            write(path, SIMULATIONS[kind](images[part.lower()][row], row, name))


def open_kind(root: Path) -> DataSet:
    return open_dataset(NmnistConfig(root=root, cache="none"), seed=0)


def name_of(sample: Sample) -> str:
    return "/".join(Path(sample.name).with_suffix("").parts[-3:])


def divide_images(names: list[str]) -> tuple[set[str], set[str]]:
    """Divide the images into two halves: every other one of each digit."""
    by_digit: dict[str, list[str]] = {}
    for name in names:
        by_digit.setdefault(name.split("/")[1], []).append(name)

    first = {name for listed in by_digit.values() for name in listed[::HALVES]}
    return first, set(names) - first


def train_half(root: Path, half: set[str], out: Path) -> None:
    """Train on one half of the images, unless the run is complete."""
    if (out / "run" / "test.json").exists():
        return

    data = open_kind(root)
    trained = tuple(sample for sample in data.samples if name_of(sample) in half)
    tested = tuple(sample for sample in data.samples if name_of(sample) not in half)
    split = out / "split.json"
    out.mkdir(parents=True, exist_ok=True)
    write_split(split, DataSet(data.title, data.classes, data.sensor, train=trained, test=tested))

    settings = {"root": root, "cache": "none", "views": 1, "validation": 0.0, "split": split}
    config = TrainConfig.read("nmnist", {"baseline": False, "epochs": 20, "data": settings})
    train(config, out / "run", overwrite=True, command="python scripts/studies/simulated.py")


def test_half(run: Path, data: DataSet, half: set[str]) -> dict[str, bool]:
    """Return whether each image outside the half is classified correctly."""
    classifier, network = load_checkpoint(run / "weights" / "best.safetensors")
    samples = [sample for sample in data.samples if name_of(sample) not in half]
    score = evaluate_network(network, SpikeTensors(samples, TensorSettings(classifier.bins)), batch=32)
    right = score.predicted == score.labels
    return {name_of(sample): bool(correct) for sample, correct in zip(samples, right, strict=True)}


def measure_shared_noise(one: Events, other: Events) -> float:
    """Return the share of the events of one recording that are also in the other one, equal in t, x, y and p."""
    columns = [np.stack([events.t, events.x, events.y, events.p]).T for events in (one, other)]
    first, second = ({tuple(event) for event in column.tolist()} for column in columns)
    return len(first & second) / max(1, len(first))


def describe_noise() -> None:
    """Print how much of the noise two films without a digit share."""
    blank = np.zeros((28, 28), np.uint8)
    for kind in ("noisy", "one noise"):
        films = [SIMULATIONS[kind](blank, row, f"blank/{row}") for row in range(BLANK_FILMS)]
        shared = [measure_shared_noise(films[0], other) for other in films[1:]]
        events = np.mean([len(film) for film in films])
        print(f"{kind}: {events:.0f} noise events in a film without a digit, {np.mean(shared):.1%} equal in another")


def write_accuracies(path: Path, correct: Correct) -> None:
    """Write and print accuracy, interval and the paired test against training on the same kind as tested."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("train", "test", "correct", "samples", "accuracy", "low", "high", "p_value"))
        for (trained, tested), answers in correct.items():
            same = correct.get((tested, tested), answers)
            only_here = sum(answers[name] and not same[name] for name in answers)
            only_same = sum(same[name] and not answers[name] for name in answers)
            low, high = wilson_interval(sum(answers.values()), len(answers))
            p_value = mcnemar_p_value(only_here, only_same)

            right = sum(answers.values())
            cells = (right / len(answers), low, high, p_value)
            writer.writerow((trained, tested, right, len(answers), *(f"{cell:.4g}" for cell in cells)))
            interval = f"({low:.1%} to {high:.1%})"
            print(f"{trained:>10} -> {tested:10} {right / len(answers):6.1%} {interval}, p = {p_value:.2g}")


def draw_accuracies(path: Path, correct: Correct) -> None:
    """Draw accuracies with their 95 % intervals: a group for each kind of training, a colour for each kind of test."""
    trained_kinds = list(dict.fromkeys(trained for trained, _ in correct))
    figure = new_figure(width=6.4, height=3.2)
    axes = figure.subplots()
    grid_axes(axes, "Accuracy in %, and 95 % interval")

    for number, (tested, colour) in enumerate(zip(KINDS, COLOURS, strict=True)):
        counts = [(sum(correct[trained, tested].values()), len(correct[trained, tested])) for trained in trained_kinds]
        accuracies = np.array([100 * right / samples for right, samples in counts])
        intervals = 100 * np.array([wilson_interval(*count) for count in counts])

        places = np.arange(len(trained_kinds)) + SPACING * (number - (len(KINDS) - 1) / 2)
        errors = [accuracies - intervals[:, 0], intervals[:, 1] - accuracies]
        axes.errorbar(places, accuracies, errors, fmt="o", color=colour, markersize=4, label=f"tested on {tested}")

    axes.set_xticks(range(len(trained_kinds)), [f"trained on\n{kind}" for kind in trained_kinds], fontsize=8)
    axes.legend(fontsize=7, frameon=False, ncols=len(KINDS) // 2 + 1, loc="lower left")
    low, high = axes.get_ylim()
    axes.set_ylim(low - LEGEND_SHARE * (high - low), high)
    save_figure(figure, path)


def draw_recordings(path: Path, roots: Mapping[str, Path], names: list[str]) -> None:
    """Draw the recordings of two images, a column for each kind: ON red, OFF blue."""
    shown = [next(name for name in names if name.startswith(prefix)) for prefix in SHOWN]
    figure = new_figure(width=1.25 * len(KINDS), height=1.45 * len(shown))
    for row, axes_of_row in enumerate(figure.subplots(len(shown), len(KINDS), squeeze=False)):
        for kind, axes in zip(KINDS, axes_of_row, strict=True):
            events = read(roots[kind] / f"{shown[row]}.bin", sensor=DIGIT_SENSOR)
            counts = np.zeros((2, DIGIT_SENSOR.height, DIGIT_SENSOR.width))
            np.add.at(counts, (events.p.astype(int), events.y, events.x), 1)
            axes.imshow(mix_polarities(counts[0], counts[1], FULL_COLOUR))
            frame_axes(axes, f"{kind}\n{len(events):,} events")
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nmnist", type=Path)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--train", nargs="+", choices=KINDS, default=KINDS)
    arguments = parser.parse_args()

    names = list_recorded(arguments.nmnist)
    roots = {kind: arguments.out / kind.replace(" ", "-") for kind in KINDS} | {RECORDED: arguments.nmnist}
    halves = dict(enumerate(divide_images(names), start=1))
    pairs = itertools.product(arguments.train, halves)
    runs = {(kind, number): arguments.out / "runs" / f"{kind}-{number}" for kind, number in pairs}

    # Each process simulates one kind, then trains one network at a time.
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
        for task in [pool.submit(write_kind, roots[kind], kind, names, arguments.mnist) for kind in SIMULATIONS]:
            task.result()
        tasks = [pool.submit(train_half, roots[kind], halves[number], run) for (kind, number), run in runs.items()]
        for training in tasks:
            training.result()

    describe_noise()
    draw_recordings(arguments.out / "simulated-recordings.png", roots, names)

    data = {kind: open_kind(root) for kind, root in roots.items()}
    correct: Correct = {(trained, tested): {} for trained in arguments.train for tested in KINDS}
    for (trained, number), run in runs.items():
        for tested in KINDS:
            correct[trained, tested] |= test_half(run / "run", data[tested], halves[number])

    write_accuracies(arguments.out / "accuracies.csv", correct)
    draw_accuracies(arguments.out / "simulated-accuracies.png", correct)


if __name__ == "__main__":
    main()
