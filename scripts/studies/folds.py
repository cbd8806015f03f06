"""Cross-validate an experiment: `python scripts/studies/folds.py CONFIG KEY=VALUE... --out RUNS`.

Divides all recordings of the data set, including its test part, into folds. Folds are stratified by class and keep each
group (a person, an image) together. Each fold is the test part of one training run, in RUNS/1, RUNS/2, ...
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from sklearn.model_selection import StratifiedGroupKFold

from dvspipe import train
from dvspipe.base.config import build, merge_settings, parse_overrides, read_yaml
from dvspipe.datasets import divide, open_dataset, write_split
from dvspipe.training import TrainConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_intermixed_args()
    settings = merge_settings(read_yaml(arguments.config), parse_overrides(arguments.settings))
    config = build(TrainConfig, settings, arguments.config)
    data = open_dataset(config.data, config.seed, config.bins)
    samples = data.samples
    labels = [sample.label for sample in samples]
    groups = [sample.group for sample in samples]
    folds = StratifiedGroupKFold(arguments.folds, shuffle=True, random_state=config.seed)
    correct = 0

    for number, (others, tested) in enumerate(folds.split(samples, labels, groups), start=1):
        training, validation = divide([samples[k] for k in others], config.data.validation, config.seed)
        folder = arguments.out / str(number)
        folder.mkdir(parents=True)
        split = arguments.out / f"{number}.json"
        tests = tuple(samples[k] for k in tested)
        write_split(split, replace(data, train=tuple(training), validation=tuple(validation), test=tests))
        this = config.model_copy(update={"data": config.data.model_copy(update={"split": split})})
        run = train(this, folder, command=shlex.join(sys.argv))
        correct += run.test.correct
        print(f"fold {number}: {run.test.accuracy:.2%}, {run.test.correct} of {run.test.samples}", flush=True)

    print(f"all: {correct / len(samples):.2%}, {correct} of {len(samples)} recordings of {data.title}")


if __name__ == "__main__":
    main()
