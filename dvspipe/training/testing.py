"""How well a network does on recordings, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets import DataSet, SpikeTensors, plain_batches
from ..encoding import BinCounts


@dataclass(frozen=True)
class Score:
    """How a network does on samples.

    Args:
        loss: Mean cross-entropy.
        labels: int64 [samples], what is right.
        predicted: int64 [samples], what the network says.
        logits: float32 [samples, K].
    """

    loss: float
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    logits: NDArray[np.float32]

    @property
    def accuracy(self) -> float:
        """Share of samples with the right label."""
        return float(np.mean(self.labels == self.predicted))


def evaluate(network: nn.Module, tensors: SpikeTensors, *, batch: int) -> Score:
    """The score of a network on recordings."""
    network.eval()
    device = next(network.parameters()).device
    logits: list[Tensor] = []
    with torch.no_grad():
        for spikes in plain_batches(tensors, batch):
            outputs, _ = network(torch.from_numpy(spikes).transpose(0, 1).to(device))
            logits.append(outputs.mean(0).float().cpu())
    joined = torch.cat(logits)
    loss = float(nn.functional.cross_entropy(joined, torch.from_numpy(tensors.labels)))
    return Score(loss, tensors.labels, joined.argmax(1).numpy(), joined.numpy())


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The number by which logits are divided so that probabilities are as sure as they are right (Guo et al. 2017).

    It makes the cross-entropy smallest; found between 0.01 and 100. 1 where there is nothing to fit it on.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return 1.0
    scores = torch.from_numpy(logits).double()
    right = torch.from_numpy(labels)

    def loss(log_temperature: float) -> float:
        return float(nn.functional.cross_entropy(scores / np.exp(log_temperature), right))

    found = minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded")
    return float(np.exp(found.x))


def calibration_error(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64], bins: int = 15) -> float:
    """The expected calibration error (Naeini, Cooper and Hauskrecht 2015).

    How far the largest probability is from the share of right answers, in the mean over bins of equal width.
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((sure * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    gaps = np.abs(np.bincount(place, sure, bins) - np.bincount(place, right, bins))
    return float(gaps.sum() / max(1, counts.sum()))


def event_count_accuracy(train: SpikeTensors, test: SpikeTensors) -> float:
    """Test accuracy of a linear classifier that sees only how many events a recording has: what is to be beaten."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    kept = {part: np.array([[count.kept] for count in part.counts()]) for part in (train, test)}
    return float(classifier.fit(kept[train], train.labels).score(kept[test], test.labels))


def score_record(score: Score, classes: tuple[str, ...], temperature: float) -> dict[str, Any]:
    """A score as plain numbers: accuracy, calibration, and the confusion matrix."""
    from sklearn.metrics import confusion_matrix

    K = len(classes)
    probabilities = torch.from_numpy(score.logits / temperature).softmax(1).numpy()
    return {
        "accuracy": score.accuracy,
        "samples": len(score.labels),
        "correct": int(np.sum(score.labels == score.predicted)),
        "calibration_error": calibration_error(probabilities, score.labels),
        "temperature": temperature,
        "classes": list(classes),
        "confusion": confusion_matrix(score.labels, score.predicted, labels=range(K)).tolist(),
    }


def notes_on(data: DataSet, by_count: float, counts: Sequence[BinCounts], baseline: dict[str, Any] | None) -> list[str]:
    """What a reader must know of a test.

    Args:
        data: How the recordings were divided.
        by_count: What a classifier on the number of events reaches.
        baseline: How a ReLU network on the sum of the steps does, or None where there is none.
        counts: What the bins did with the events of the training recordings.
    """
    events, saturated = sum(count.events for count in counts), sum(count.saturated for count in counts)
    outside = sum(count.before + count.beyond for count in counts)
    parts = data.parts.values()
    alone = all(len(part) == len({sample.group for sample in part}) for part in parts)
    groups = "each recording on its own (data.group keeps a person's together)" if alone else "no group in two of them"
    notes = [
        f"{len(data.train)} recordings to learn from, {len(data.validation)} to choose the epoch, "
        f"{len(data.test)} to test, {groups}. The test part was used once, at the end; papers mostly give the epoch "
        "that is best on it.",
        f"A linear classifier that sees only the number of events of a recording reaches {by_count:.1%} on the same "
        f"test recordings; chance is {1 / len(data.classes):.1%}.",
        f"Of {events:,} events of the training recordings, {outside / max(1, events):.1%} lie outside the steps of the "
        f"spike tensors, and {saturated / max(1, events):.1%} found a count full.",
    ]
    if baseline is not None:
        notes.append(
            f"A ReLU network of the same shape that learned in the same way from the sum of the steps, so that it sees "
            f"no order in time, reaches {baseline['accuracy']:.1%} ({baseline['correct']} of {baseline['samples']}) on "
            "the same test recordings."
        )
    if data.synthetic and data.synthetic_test:
        notes.append("Synthetic: rendered scenes through the simulator. It says little about real cameras.")
    elif data.synthetic:
        notes.append(
            "Synthetic are the recordings to learn from and to choose the epoch by; those of the test are not."
        )
    return notes
