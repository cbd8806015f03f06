"""Compare out-of-distribution scores: `python scripts/studies/unfamiliar.py RUN`, with the folder of a training run.

The test recordings of the run are changed into recordings unlike all training data. A good score is larger for changed
than for unchanged recordings. The table shows the area under the ROC curve; 50 % is chance.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from torch import Tensor

from dvspipe.checkpoints.checkpoint import energies
from dvspipe.encoding import encode
from dvspipe.formats import read
from dvspipe.inference import Classifier
from dvspipe.results import RunFolder

SEED = 0


def read_windows(classifier: Classifier, files: Sequence[Path]) -> Tensor:
    """Return the first window of each recording, [T, N, C, H, W]."""
    bins = classifier.config.bins
    return torch.from_numpy(np.stack([encode(read(file), bins) for file in files], axis=1))


def move_blocks(spikes: Tensor, rng: np.random.Generator) -> Tensor:
    """Divide each picture into 4 x 4 blocks and shuffle them."""
    T, N, C, H, W = spikes.shape
    blocks = spikes.reshape(T, N, C, 4, H // 4, 4, W // 4).transpose(4, 5).flatten(3, 4)
    moved = blocks[:, :, :, torch.from_numpy(rng.permutation(16))]
    return moved.unflatten(3, (4, 4)).transpose(4, 5).reshape(spikes.shape)


def add_another(spikes: Tensor, rng: np.random.Generator) -> Tensor:
    """Add another recording to each recording, as if two people were in the same place."""
    _T, N, *_ = spikes.shape
    other = spikes[:, torch.from_numpy(rng.permutation(N))]
    return (spikes.int() + other.int()).clamp(max=255).to(spikes.dtype)


def draw_noise(spikes: Tensor, rng: np.random.Generator) -> Tensor:
    """Return pure noise, from a few events to one per pixel and step."""
    _T, N, *_ = spikes.shape
    rates = np.exp(rng.uniform(-6, 0, (1, N, 1, 1, 1)))
    return torch.from_numpy(rng.poisson(rates, tuple(spikes.shape)).astype(np.uint8))


CHANGES: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "steps in random order": lambda spikes, rng: spikes[torch.from_numpy(rng.permutation(len(spikes)))],
    "blocks of the picture exchanged": move_blocks,
    "two people in one place": add_another,
    "upside down": lambda spikes, _: spikes.flip(3),
    "a quarter turn": lambda spikes, _: spikes.transpose(3, 4),
    "noise alone": draw_noise,
}


def run_network(classifier: Classifier, spikes: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return logits [N, K], and the input of the last linear layer, averaged over the steps, [N, F]."""
    seen: list[Tensor] = []
    hook = classifier.network.linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].mean(0)))
    try:
        with torch.no_grad():
            logits = [classifier.network(part)[0].mean(0) for part in spikes.split(64, dim=1)]
    finally:
        hook.remove()

    return torch.cat(logits).double().numpy(), torch.cat(seen).double().numpy()


class Distance:
    """Mahalanobis distance of features to the nearest class (Lee et al. 2018, "A simple unified framework").

    Args:
        features: Features of training recordings, [N, F].
        labels: Classes of the recordings, [N].
    """

    def __init__(self, features: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
        self.means = np.stack([features[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
        self.precision = LedoitWolf().fit(features - self.means[labels]).precision_

    def squared(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the squared distance [M] of features [M, F]."""
        away = features[:, None] - self.means
        return np.asarray(np.einsum("nkf,fg,nkg->nk", away, self.precision, away, optimize=True).min(axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--recordings", type=int, default=600, help="maximum recordings per part (default: 600)")
    arguments = parser.parse_args()
    folder = RunFolder(arguments.run)
    classifier = Classifier.load(folder.best)
    split = json.loads(folder.split.read_text())
    rng = np.random.default_rng(SEED)
    chosen = {
        part: [Path(file) for file in rng.permutation(split[part])[: arguments.recordings]]
        for part in ("train", "test")
    }
    labels = np.array([classifier.config.classes.index(file.parent.name) for file in chosen["train"]])
    _, training_features = run_network(classifier, read_windows(classifier, chosen["train"]))
    distance = Distance(training_features, labels)

    def scores(spikes: Tensor) -> dict[str, NDArray[np.float64]]:
        logits, features = run_network(classifier, spikes)
        energy = -energies(logits)  # type: ignore[arg-type]
        return {
            "energy": energy,
            "distance of features": distance.squared(features),
            "1 - probability": 1 - np.exp(logits.max(axis=1) + energy),
        }

    known = read_windows(classifier, chosen["test"])
    usual = scores(known)
    print(f"| {len(chosen['test'])} recordings | {' | '.join(usual)} |\n|---|{'---|' * len(usual)}")
    areas = []

    for name, change in CHANGES.items():
        unusual = scores(change(known, rng))
        truth = np.repeat([0, 1], known.shape[1])
        areas.append([roc_auc_score(truth, np.concatenate([usual[each], unusual[each]])) for each in usual])
        print(f"| {name} | {' | '.join(f'{area:.1%}' for area in areas[-1])} |", flush=True)

    print(f"| mean | {' | '.join(f'{area:.1%}' for area in np.mean(areas, axis=0))} |")


if __name__ == "__main__":
    main()
