"""Calibration of predictions: softmax temperature, and the energy limit for unfamiliar recordings."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..checkpoints.checkpoint import FEW_CALIBRATED, energies

MAX_FACTOR = 100.0  # T is from 1 / MAX_FACTOR to MAX_FACTOR
UNFAMILIAR = 0.02  # share of the validation recordings that counts as unfamiliar
PRIOR_WIDTH = 0.5  # prior standard deviation of log T: with 68 % probability, T is 0.6 to 1.6


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Fit the softmax temperature T, by which logits are divided, to validation recordings.

    T minimises the sum of the cross-entropies (Guo et al., "On calibration of modern neural networks", ICML 2017) and
    (log T / PRIOR_WIDTH)^2 / 2, a prior that keeps T near 1 for few recordings and loses weight with each more.

    Args:
        logits: Logits, float32 [N, K].
        labels: True classes, int64 [N].

    Example:
        >>> round(fit_temperature(np.zeros((1, 3), np.float32), np.zeros(1, np.int64)), 3)  # only the prior counts
        1.0
    """
    from scipy.optimize import minimize_scalar

    scores = torch.from_numpy(logits).double()
    right = torch.from_numpy(labels)

    def loss(log_temperature: float) -> float:
        misfit = nn.functional.cross_entropy(scores / np.exp(log_temperature), right, reduction="sum")
        return float(misfit) + (log_temperature / PRIOR_WIDTH) ** 2 / 2

    limit = np.log(MAX_FACTOR)
    return float(np.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x))


def find_least_energy(logits: NDArray[np.float32]) -> float | None:
    """Return the energy limit: recordings below it are unlike the training recordings; None with few recordings.

    The limit is the UNFAMILIAR quantile of the energies of the validation part, if it has at least FEW_CALIBRATED
    recordings.

    Args:
        logits: Logits of the validation part, float32 [N, K].
    """
    return float(np.quantile(energies(logits), UNFAMILIAR)) if len(logits) >= FEW_CALIBRATED else None
