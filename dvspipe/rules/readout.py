"""Personal adaptation: fit the last linear layer of a trained network to a few recordings; all else is frozen.

A leaky readout is linear. Logits are the mean outputs over the steps, so they are a linear map of features: the last
spikes, integrated with the readout's leak (their traces) and averaged over the steps. Fitting this map needs no
backpropagation through time, and one trace per readout input.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from ..base.errors import ConfigError, DataError
from ..networks import (
    ClassMoments,
    CountReadout,
    FirstSpikeNetwork,
    ModuleNetwork,
    Network,
    SpikingNetwork,
)

log = logging.getLogger(__name__)

PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-6, 5))
"""Candidate penalties, relative to the mean squared norm of a recording's features."""
FIT_STEPS = 100  # iterations at most
TOLERANCE = 1e-3  # maximum change of a logit at convergence
MAX_CURVATURE = 0.25  # maximum second derivative p (1 - p) of the cross-entropy by a logit


def is_linear(network: nn.Module) -> TypeGuard[SpikingNetwork]:
    """Return whether the logits of a network are linear in the weights of its last layer."""
    return isinstance(network, SpikingNetwork) and not isinstance(network.readout, CountReadout)


def require_linear(network: Network) -> SpikingNetwork:
    """Return the network if its logits are linear in the weights of its last layer.

    Raises:
        ConfigError: If the readout spikes, or the layers are unknown.
    """
    if isinstance(network, FirstSpikeNetwork):
        raise ConfigError("network.kind = first_spike: its spike times are not linear in the weights")
    if isinstance(network, ModuleNetwork):
        raise ConfigError("network.kind = module: it is not known which of its layers is the last")
    if not is_linear(network):
        raise ConfigError("network.readout = count: its spikes are not linear in the weights (expected leaky)")
    return network


def read_features(network: Network, spikes: Tensor) -> Tensor:
    """Return features, float64 [B, F + 1], that `find_readout` maps linearly to logits; the last one is constant.

    Args:
        network: Network; it is set to evaluation mode.
        spikes: Spike tensor [T, B, C, H, W].

    Raises:
        ConfigError: If the readout is not linear.

    Example:
        >>> import torch
        >>> from dvspipe.rules import find_readout, read_features
        >>> from dvspipe.networks import MlpConfig, SpikingNetwork
        >>> from dvspipe.events import SensorSize
        >>> config = MlpConfig(channels=(5,), tau_mem_s=0.02, tau_readout_s=0.05)
        >>> network = SpikingNetwork(config, grid=SensorSize(width=4, height=3), classes=2, dt=0.01).eval()
        >>> spikes = (torch.rand(8, 6, 2, 3, 4) < 0.5).float()
        >>> logits = network(spikes)[0].mean(0)
        >>> features = read_features(network, spikes)
        >>> bool((features @ find_readout(network).T - logits).abs().max() < 1e-5)
        True
    """
    linear = require_linear(network)
    with torch.no_grad():
        # The constant feature is what the leak makes of a constant input: it belongs to the bias.
        inputs = read_inputs(linear, spikes).double()
        traces, _ = linear.readout(inputs, None)
        constant, _ = linear.readout(inputs.new_ones(len(spikes), len(inputs[0]), 1), None)
    return torch.cat([traces, constant], dim=2).mean(0).cpu()


def read_inputs(network: SpikingNetwork, spikes: Tensor) -> Tensor:
    """Return the inputs [T, B, F] of the last linear layer for spikes [T, B, C, H, W], in evaluation mode."""
    collected: list[Tensor] = []
    with network.linear.register_forward_pre_hook(lambda _, inputs: collected.append(inputs[0])):
        network.eval()(spikes)
    return collected[0]


def find_readout(network: SpikingNetwork) -> Tensor:
    """Return weights and bias of the last linear layer, float64 [K, F + 1]; the bias is the last column."""
    linear = network.linear
    return torch.cat([linear.weight, linear.bias[:, None]], dim=1).detach().double().cpu()


def replace_readout(network: SpikingNetwork, readout: Tensor) -> None:
    """Set the last linear layer from a readout [K, F + 1] in the layout of `find_readout`."""
    with torch.no_grad():
        network.linear.weight.copy_(readout[:, :-1])
        network.linear.bias.copy_(readout[:, -1])


def find_features(moments: ClassMoments | None, labels: Tensor, classes: Sequence[str], name: str) -> Tensor | None:
    """Return the mean features of all classes, if known; warn if they are unknown and a class has no recordings.

    Args:
        moments: Class moments from the training of the network.
        labels: Labels of the recordings, [N].
        classes: Names of all classes.
        name: Name of the network, for the warning.
    """
    features = None if moments is None else moments.features
    missing = [class_name for number, class_name in enumerate(classes) if not bool((labels == number).any())]

    if features is None and missing:
        log.warning(
            "%s: stores no class features (written by an earlier version); accuracy may drop for classes without "
            "recordings: %s",
            name,
            ", ".join(missing),
        )

    return features


class ReadoutFit(NamedTuple):
    """Readout fitted to recordings.

    Args:
        readout: Weights and bias, float64 [K, F + 1]; see `find_readout`.
        penalty: Chosen value of PENALTIES; infinite if the readout is unchanged.
        left_out: Logits of each sample by a readout fitted without its recording, float64 [N, K].
    """

    readout: Tensor
    penalty: float
    left_out: Tensor


def fit_readout(
    features: Tensor,
    labels: Tensor,
    readout: Tensor,
    *,
    recordings: Tensor | None = None,
    classes: Tensor | None = None,
    temperature: float = 1.0,
) -> ReadoutFit:
    """Fit a readout to labelled samples, close to the given readout.

    The change D of the readout minimises the cross-entropy of the outputs z + D f, and penalises needless change:

        4 T^2 sum_n w_n CE((z_n + D f_n) / T, y_n) + N / 2 sum_k norm(D c_k)^2
            + penalty / 2 mean_n norm(f_n)^2 norm(D)^2

    for features f, logits z of the given readout, labels y, and weights w that sum to 1 for each of N recordings. The
    second term keeps the logits of the mean features c of classes k without recordings, known from the training of the
    network; a large change would spoil these classes. Each step is a closed-form ridge regression of D f + 4 T (y - p),
    with one-hot labels y and probabilities p. This is a Newton step with the maximum curvature 1 / 4, and never
    increases the sum (Boehning 1992). Samples that are classified correctly with certainty cause no change.

    The penalty is chosen by leave-one-recording-out cross-entropy, also in closed form (the last ridge regression
    without the recording). If the given readout has a lower cross-entropy, it is kept.

    Args:
        features: Features, float64 [N, F + 1]; see `read_features`.
        labels: Labels, int64 [N], 0 to K - 1.
        readout: Readout to start from, float64 [K, F + 1]; see `find_readout`.
        recordings: Recording number of each sample, int64 [N]; None: one recording per sample.
        classes: Mean features of each class in the network's training, [K, F + 1]; None: unknown.
        temperature: Divisor T of the logits that calibrates the probabilities.

    Raises:
        DataError: If there are no samples, or a label is not a class.

    Example:
        >>> import torch
        >>> from dvspipe.rules import fit_readout
        >>> features = torch.eye(4, dtype=torch.float64).repeat(5, 1)
        >>> labels = torch.tensor([0, 1, 1, 1]).repeat(5)
        >>> before = torch.tensor([[3.0, 3, 0, 0], [0, 0, 3, 3]], dtype=torch.float64)  # wrong for the second feature
        >>> fit = fit_readout(features, labels, before)
        >>> (features @ fit.readout.T).argmax(1)[:4].tolist()
        [0, 1, 1, 1]
    """
    if not len(features):
        raise DataError("no recordings to fit the readout to")

    K = len(readout)
    if not bool(((labels >= 0) & (labels < K)).all()):
        raise DataError(
            f"a label is not a class (found {int(labels.min())} to {int(labels.max())}, expected 0 to {K - 1})"
        )

    # Classes without recordings keep their logits; see `_Ridge`.
    logits = features @ readout.T
    unseen = features[:0] if classes is None else classes[~torch.isin(torch.arange(K), labels)]
    recordings = torch.arange(len(features)) if recordings is None else recordings
    ridge = _Ridge(features, recordings, unseen)

    one_hot = nn.functional.one_hot(labels, K)

    def measure_loss(outputs: Tensor) -> float:
        losses = nn.functional.cross_entropy(outputs / temperature, labels, reduction="none")
        return float((losses * ridge.weights).sum())

    best = ReadoutFit(readout, math.inf, logits)
    least = measure_loss(logits)

    for penalty in PENALTIES:
        targets = _iterate(ridge, logits, one_hot, penalty, temperature)
        left_out = logits + ridge.leave_out(targets, penalty)

        # Left-out recordings choose the penalty, and whether the fit is better than the given readout.
        loss = measure_loss(left_out)
        if loss < least:
            best = ReadoutFit(readout + ridge.solve(targets, penalty), penalty, left_out)
            least = loss

    return best


def _iterate(ridge: _Ridge, logits: Tensor, one_hot: Tensor, penalty: float, temperature: float) -> Tensor:
    """Return the targets [N, K] of the last ridge regression."""
    changes = torch.zeros_like(logits)  # D f
    for _ in range(FIT_STEPS):
        # A Newton step with the maximum curvature is a ridge regression of these targets.
        errors = one_hot - ((logits + changes) / temperature).softmax(1)
        targets = changes + temperature / MAX_CURVATURE * errors

        before = changes
        changes = ridge.predict(targets, penalty)

        if float((changes - before).abs().max()) < TOLERANCE:
            break

    return targets


class _Ridge:
    """Ridge regression of targets [N, K] on features [N, F] for any penalty, from one singular value decomposition.

    The samples of a recording share a weight of 1. The features `unseen` [M, F] have targets of 0, each with the total
    weight of all recordings.
    """

    def __init__(self, features: Tensor, recordings: Tensor, unseen: Tensor) -> None:
        # Weights of rows enter a least-squares fit as their square roots.
        self._groups = [(recordings == number).nonzero()[:, 0] for number in recordings.unique()]
        self.weights = torch.ones(len(recordings), dtype=torch.float64)
        for group in self._groups:
            self.weights[group] = 1 / len(group)

        self._roots = self.weights.sqrt()[:, None]
        rows = self._roots * features

        self._scale = float(rows.square().sum()) / len(self._groups)
        all_rows = torch.cat([rows, math.sqrt(len(self._groups)) * unseen])
        left, self._values, self._right = torch.linalg.svd(all_rows, full_matrices=False)
        self._left = left[: len(rows)]

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
