"""Test a network trained on synthetic digits on real digits: `python scripts/studies/transfer.py CHECKPOINT NMNIST`.

NMNIST is a folder of real N-MNIST recordings. The synthesis was fitted to ids 1 to 250 of the training set; these
recordings are counted separately.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dvspipe.checkpoints.checkpoint import load_checkpoint
from dvspipe.datasets import NmnistConfig, Sample, SpikeTensors, TensorSettings, open_dataset
from dvspipe.training import evaluate_network

LAST_FITTED = 250


def is_fitted(sample: Sample) -> bool:
    file = Path(sample.name)
    return file.parent.parent.name == "Train" and int(file.stem) <= LAST_FITTED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("nmnist", type=Path)
    arguments = parser.parse_args()
    data = open_dataset(NmnistConfig(root=arguments.nmnist, cache="none"), seed=0)
    samples = data.samples
    groups = {
        f"training ids 1 to {LAST_FITTED}": [sample for sample in samples if is_fitted(sample)],
        "all others": [sample for sample in samples if not is_fitted(sample)],
    }

    for path in arguments.checkpoints:
        classifier, network = load_checkpoint(path)
        print(f"{path}, trained on {classifier.trained_on}")
        for name, group in groups.items():
            score = evaluate_network(network, SpikeTensors(group, TensorSettings(classifier.bins)), batch=32)
            right = int((score.predicted == score.labels).sum())
            print(f"  real recordings, {name:22} {score.accuracy:7.2%}  {right} of {len(group)}")


if __name__ == "__main__":
    main()
