"""The last layer for new classes: fitted to the recordings before all layers are fine-tuned.

A random last layer would first distort the features of the other layers (Kumar et al., "Fine-tuning can distort
pretrained features and underperform out-of-distribution", ICLR 2022).

A leaky readout is linear. Logits are the mean outputs over the steps, so they are a linear map of features: the last
spikes, integrated with the readout's leak (their traces) and averaged over the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets import Sample, plain_batches
from ..networks import CountReadout, SpikingNetwork
from .trainer import Experiment

PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-6, 5))
"""Candidate penalties, relative to the mean squared norm of a recording's features."""
FIT_STEPS = 100  # iterations at most
TOLERANCE = 1e-3  # maximum change of a logit at convergence
MAX_CURVATURE = 0.25  # maximum second derivative p (1 - p) of the cross-entropy by a logit


def is_linear(network: nn.Module) -> TypeGuard[SpikingNetwork]:
    """Return whether the logits of a network are linear in the weights of its last layer."""
    return isinstance(network, SpikingNetwork) and not isinstance(network.readout, CountReadout)


def fit_new_readout(experiment: Experiment, network: SpikingNetwork) -> None:
    """Fit the last layer to the training part, without augmented views."""
    tensors = experiment.parts.train
    device = experiment.processes.device
    features = []
    for spikes in plain_batches(tensors, experiment.config.batch):
        features.append(read_features(network, torch.from_numpy(spikes).transpose(0, 1).to(device)))
        experiment.callback.on_progress("readout", sum(map(len, features)), len(tensors))

    readout = fit_readout(
        torch.cat(features),
        torch.from_numpy(tensors.labels),
        _number_recordings(experiment.data.train),
        classes=len(experiment.data.classes),
    )
    with torch.no_grad():
        network.linear.weight.copy_(readout[:, :-1])
        network.linear.bias.copy_(readout[:, -1])


def _number_recordings(samples: Sequence[Sample]) -> Tensor:
    """Return the recording number of each sample, int64 [N]; windows of a file share a number."""
    names = [str(sample.file or sample.name) for sample in samples]
    return torch.from_numpy(np.unique(names, return_inverse=True)[1].astype(np.int64))


@torch.no_grad()
def read_features(network: SpikingNetwork, spikes: Tensor) -> Tensor:
    """Return features, float64 [B, F + 1], of spikes [T, B, C, H, W]; weights and bias map them linearly to logits.

    The network is set to evaluation mode.
    """
    collected: list[Tensor] = []
    with network.linear.register_forward_pre_hook(lambda _, inputs: collected.append(inputs[0])):
        network.eval()(spikes)
    inputs = collected[0].double()

    # The constant feature is what the leak makes of a constant input: it belongs to the bias.
    traces, _ = network.readout(inputs, None)
    constant, _ = network.readout(inputs.new_ones(len(spikes), len(inputs[0]), 1), None)
    return torch.cat([traces, constant], dim=2).mean(0).cpu()


def fit_readout(features: Tensor, labels: Tensor, recordings: Tensor, *, classes: int) -> Tensor:
    """Fit weights and bias to labelled samples; return them as float64 [K, F + 1].

    The readout W minimises the cross-entropy with a penalty:

        4 sum_n w_n CE(W f_n, y_n) + penalty / 2 mean_n norm(f_n)^2 norm(W)^2

    for features f, labels y, and weights w that sum to 1 for each recording. Each step is a closed-form ridge
    regression of W f + 4 (y - p), with one-hot labels y and probabilities p. This is a Newton step with the maximum
    curvature 1 / 4, and never increases the sum (Boehning 1992).

    The penalty is chosen by leave-one-recording-out cross-entropy, also in closed form (the last ridge regression
    without the recording). If none is better than equal probabilities, the readout is 0.

    Args:
        features: Features, float64 [N, F + 1]; see `read_features`.
        labels: Labels, int64 [N], 0 to K - 1.
        recordings: Recording number of each sample, int64 [N].
        classes: Number of classes K.
    """
    ridge = _Ridge(features, recordings)
    one_hot = nn.functional.one_hot(labels, classes).double()

    def measure_loss(logits: Tensor) -> float:
        return float((nn.functional.cross_entropy(logits, labels, reduction="none") * ridge.weights).sum())

    best = features.new_zeros(classes, features.shape[1])
    least = measure_loss(torch.zeros_like(one_hot))
    for penalty in PENALTIES:
        targets = _iterate(ridge, one_hot, penalty)
        loss = measure_loss(ridge.leave_out(targets, penalty))
        if loss < least:
            best = ridge.solve(targets, penalty)
            least = loss

    return best


def _iterate(ridge: _Ridge, one_hot: Tensor, penalty: float) -> Tensor:
    """Return the targets [N, K] of the last ridge regression."""
    logits = torch.zeros_like(one_hot)
    for _ in range(FIT_STEPS):
        # A Newton step with the maximum curvature is a ridge regression of these targets.
        targets = logits + (one_hot - logits.softmax(1)) / MAX_CURVATURE

        before = logits
        logits = ridge.predict(targets, penalty)

        if float((logits - before).abs().max()) < TOLERANCE:
            break

    return targets


class _Ridge:
    """Ridge regression of targets [N, K] on features [N, F] for any penalty, from one singular value decomposition.

    The samples of a recording share a weight of 1.
    """

    def __init__(self, features: Tensor, recordings: Tensor) -> None:
        # Weights of rows enter a least-squares fit as their square roots.
        self._groups = [(recordings == number).nonzero()[:, 0] for number in recordings.unique()]
        self.weights = torch.ones(len(recordings), dtype=torch.float64)
        for group in self._groups:
            self.weights[group] = 1 / len(group)

        self._roots = self.weights.sqrt()[:, None]
        rows = self._roots * features

        self._scale = float(rows.square().sum()) / len(self._groups)
        self._left, self._values, self._right = torch.linalg.svd(rows, full_matrices=False)

    def solve(self, targets: Tensor, penalty: float) -> Tensor:
        """Return the coefficients [K, F] for targets [N, K]."""
        shrunk = self._values / (self._values.square() + penalty * self._scale)
        coordinates = self._left.T @ (self._roots * targets)
        coefficients: Tensor = (self._right.T @ (shrunk[:, None] * coordinates)).T
        return coefficients

    def predict(self, targets: Tensor, penalty: float) -> Tensor:
        """Return the predictions [N, K] for all samples."""
        coordinates = self._left.T @ (self._roots * targets)
        predictions: Tensor = self._left @ (self._find_shares(penalty)[:, None] * coordinates) / self._roots
        return predictions

    def leave_out(self, targets: Tensor, penalty: float) -> Tensor:
        """Return the predictions [N, K], each by coefficients fitted without the sample's recording."""
        # The residual without a group is (1 - H)^-1 times its residual, with the group's block H of the hat matrix.
        residuals = self._roots * (targets - self.predict(targets, penalty))
        for group in self._groups:
            rows = self._left[group]
            hat = (rows * self._find_shares(penalty)) @ rows.T
            residuals[group] = torch.linalg.solve(torch.eye(len(group), dtype=hat.dtype) - hat, residuals[group])
        return targets - residuals / self._roots

    def _find_shares(self, penalty: float) -> Tensor:
        """Return the share of each singular direction that a penalty leaves of an unpenalised fit, 0 to 1."""
        squares = self._values.square()
        shares: Tensor = squares / (squares + penalty * self._scale)
        return shares
