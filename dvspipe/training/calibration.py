"""What makes answers honest: the temperature of the softmax, and the energy of what is unlike the training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints.checkpoint import FEW_CALIBRATED, energies
from ..results import wilson_interval

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0
UNFAMILIAR = 0.02  # of the recordings on which a training is validated
PRIOR_WIDTH = 0.5  # standard deviation of log T before any recording: T is 0.6 to 1.6 with two thirds of the belief


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature of the softmax that fits validation recordings; 1 without any.

    It minimises the sum of the cross-entropies (Guo et al., "On calibration of modern neural networks", ICML 2017) and
    of (log T / PRIOR_WIDTH)^2 / 2, a prior that keeps T near 1 for a few recordings and matters less with each more.
    With fewer than FEW_CALIBRATED recordings, T is 1 unless temperatures that are each fitted without one recording fit
    those better than 1 does. The chosen epoch fits these recordings better than others, so that T is raised until the
    mean probability of the predictions is at most `highest_accuracy`.

    Args:
        logits: float32 [N, K].
        labels: int64 [N].

    Returns:
        A number from 0.01 to 100, by which logits are divided.

    Example:
        >>> logits = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9]], np.float32)  # all three right, and sure
        >>> temperature = fit_temperature(logits, np.arange(3))
        >>> round(float(torch.tensor(logits[0] / temperature).softmax(0)[0]), 2)
        0.95
    """
    if not len(labels):
        return 1.0
    scores, right = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    temperature = _fit_likely(scores, right)
    if len(labels) < FEW_CALIBRATED:
        others = ~torch.eye(len(labels), dtype=torch.bool)
        left_out = torch.tensor([_fit_likely(scores[row], right[row]) for row in others])
        cross_fitted = nn.functional.cross_entropy(scores / left_out[:, None], right)
        if cross_fitted >= nn.functional.cross_entropy(scores, right):
            temperature = 1.0
    return _raise_temperature(scores, temperature, highest_accuracy(scores, right))


def _fit_likely(scores: Tensor, right: Tensor) -> float:
    """Return the most likely temperature for logits [N, K] and labels [N], given the prior."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        misfit = nn.functional.cross_entropy(scores / np.exp(log_temperature), right, reduction="sum")
        return float(misfit) + (log_temperature / PRIOR_WIDTH) ** 2 / 2

    bounds = (np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def highest_accuracy(scores: Tensor, right: Tensor) -> float:
    """Return the upper end of the 95 % interval (Wilson) of the accuracy, as if one more recording were wrong.

    Args:
        scores: [N, K], logits.
        right: int64 [N], labels.

    Example:
        >>> round(highest_accuracy(torch.eye(3), torch.arange(3)), 2)  # three of three, so three of four
        0.95
    """
    return wilson_interval(int((scores.argmax(1) == right).sum()), len(right) + 1)[1]


def _raise_temperature(scores: Tensor, temperature: float, most: float) -> float:
    """Return a temperature of at least the given one at which the mean probability of predictions is at most `most`."""
    from scipy.optimize import brentq

    def excess(log_temperature: float) -> float:
        return float((scores / np.exp(log_temperature)).softmax(1).amax(1).mean()) - most

    low, high = np.log(temperature), np.log(HIGHEST_TEMPERATURE)
    if excess(low) <= 0:
        return temperature
    return HIGHEST_TEMPERATURE if excess(high) >= 0 else float(np.exp(brentq(excess, low, high)))


def find_least_energy(logits: NDArray[np.float32]) -> float | None:
    """Return the energy below which a recording is unlike those of the training; None with few recordings.

    It is the UNFAMILIAR quantile of the energies of the validation part, which has at least FEW_CALIBRATED recordings.

    Args:
        logits: float32 [N, K], of the validation part.
    """
    return float(np.quantile(energies(logits), UNFAMILIAR)) if len(logits) >= FEW_CALIBRATED else None
