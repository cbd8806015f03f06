"""Cross-validation of an experiment: `python scripts/folds.py CONFIG KEY=VALUE... --out RUNS`.

All recordings of the data set, its test part too, are divided into folds, class by class, and what belongs together (a
person, an image) stays together. Each fold is the test part of one training, in RUNS/1, RUNS/2, ...
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from sklearn.model_selection import StratifiedGroupKFold

from dvspipe.config import build, merge_settings, parse_overrides, read_yaml
from dvspipe.datasets import divide, open_dataset, write_split
from dvspipe.training import TrainConfig, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_intermixed_args()
    settings = merge_settings(read_yaml(asked.config), parse_overrides(asked.settings))
    config = build(TrainConfig, settings, asked.config)
    data = open_dataset(config.data, config.seed, config.bins)
    samples = [sample for part in data.parts.values() for sample in part]
    labels, groups = [sample.label for sample in samples], [sample.group for sample in samples]
    folds = StratifiedGroupKFold(asked.folds, shuffle=True, random_state=config.seed)
    right = 0
    for number, (others, tested) in enumerate(folds.split(samples, labels, groups), start=1):
        learned, validation = divide([samples[k] for k in others], config.data.validation, config.seed)
        folder = asked.out / str(number)
        folder.mkdir(parents=True)
        split = asked.out / f"{number}.json"
        parts = {"train": tuple(learned), "validation": tuple(validation), "test": tuple(samples[k] for k in tested)}
        write_split(split, replace(data, **parts))
        this = config.model_copy(update={"data": config.data.model_copy(update={"split": split})})
        run = train(this, folder, command=shlex.join(sys.argv))
        right += run.test["correct"]
        print(f"fold {number}: {run.test['accuracy']:.2%}, {run.test['correct']} of {run.test['samples']}", flush=True)
    print(f"all: {right / len(samples):.2%}, {right} of {len(samples)} recordings of {data.title}")


if __name__ == "__main__":
    main()
