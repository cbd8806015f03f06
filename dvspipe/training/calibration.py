"""Calibration of predictions: softmax temperature, and the energy limit for unfamiliar recordings."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints.checkpoint import FEW_CALIBRATED, energies
from ..results import wilson_interval

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0
UNFAMILIAR = 0.02  # share of the validation recordings that counts as unfamiliar
PRIOR_WIDTH = 0.5  # prior standard deviation of log T: with 68 % probability, T is 0.6 to 1.6


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Fit the softmax temperature T to validation recordings; 1 if there are none.

    T minimises the sum of the cross-entropies (Guo et al., "On calibration of modern neural networks", ICML 2017) and
    (log T / PRIOR_WIDTH)^2 / 2, a prior that keeps T near 1 for few recordings and loses weight with each more. With
    fewer than FEW_CALIBRATED recordings, T stays 1 unless leave-one-out temperatures give a lower cross-entropy on the
    recordings left out than 1. The chosen epoch fits these recordings better than others. To compensate, T is raised
    until the mean probability of the predictions is at most `highest_accuracy`.

    Args:
        logits: Logits, float32 [N, K].
        labels: True classes, int64 [N].

    Returns:
        T, from 0.01 to 100. Logits are divided by it.

    Example:
        >>> logits = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9]], np.float32)  # all three correct, and certain
        >>> temperature = fit_temperature(logits, np.arange(3))
        >>> round(float(torch.tensor(logits[0] / temperature).softmax(0)[0]), 2)
        0.95
    """
    if not len(labels):
        return 1.0

    scores = torch.from_numpy(logits).double()
    right = torch.from_numpy(labels)
    temperature = _fit_map_temperature(scores, right)

    # With few recordings, T must first prove itself on recordings that it was not fitted to.
    if len(labels) < FEW_CALIBRATED:
        others = ~torch.eye(len(labels), dtype=torch.bool)
        left_out = torch.tensor([_fit_map_temperature(scores[row], right[row]) for row in others])
        cross_fitted = nn.functional.cross_entropy(scores / left_out[:, None], right)
        if cross_fitted >= nn.functional.cross_entropy(scores, right):
            temperature = 1.0

    return _raise_temperature(scores, temperature, highest_accuracy(scores, right))


def _fit_map_temperature(scores: Tensor, right: Tensor) -> float:
    """Return the maximum a posteriori temperature for logits [N, K] and labels [N]."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        misfit = nn.functional.cross_entropy(scores / np.exp(log_temperature), right, reduction="sum")
        return float(misfit) + (log_temperature / PRIOR_WIDTH) ** 2 / 2

    bounds = (np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def highest_accuracy(scores: Tensor, right: Tensor) -> float:
    """Return the upper end of the 95 % Wilson interval of the accuracy, with one extra recording counted as wrong.

    Args:
        scores: Logits [N, K].
        right: True classes, int64 [N].

    Example:
        >>> round(highest_accuracy(torch.eye(3), torch.arange(3)), 2)  # 3 of 3 correct counts as 3 of 4
        0.95
    """
    return wilson_interval(int((scores.argmax(1) == right).sum()), len(right) + 1)[1]


def _raise_temperature(scores: Tensor, temperature: float, limit: float) -> float:
    """Raise a temperature until the mean probability of the predictions is at most `limit`."""
    from scipy.optimize import brentq

    def excess(log_temperature: float) -> float:
        return float((scores / np.exp(log_temperature)).softmax(1).amax(1).mean()) - limit

    low = np.log(temperature)
    high = np.log(HIGHEST_TEMPERATURE)

    if excess(low) <= 0:
        return temperature

    return HIGHEST_TEMPERATURE if excess(high) >= 0 else float(np.exp(brentq(excess, low, high)))


def find_least_energy(logits: NDArray[np.float32]) -> float | None:
    """Return the energy limit: recordings below it are unlike the training recordings; None with few recordings.

    The limit is the UNFAMILIAR quantile of the energies of the validation part, if it has at least FEW_CALIBRATED
    recordings.

    Args:
        logits: Logits of the validation part, float32 [N, K].
    """
    return float(np.quantile(energies(logits), UNFAMILIAR)) if len(logits) >= FEW_CALIBRATED else None
