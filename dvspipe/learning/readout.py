"""Personal adaptation: the last linear layer of a trained network, fitted to a few recordings; all else is frozen.

A leaky readout is linear. So the logits of a network, the means of its outputs over the steps, are a linear map of
features: the means over the steps of the last spikes, each integrated with the readout's leak (its trace). Fitting that
map needs neither backpropagation through time nor more than one trace per input of the readout.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from ..errors import ConfigError, DataError
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
"""Candidates, relative to the mean sum of squares of the features of a recording."""
FIT_STEPS, TOLERANCE = 100, 1e-3  # of the fit, and the largest change of a logit at which it ends
MAX_CURVATURE = 0.25  # of the cross-entropy with respect to a logit, p (1 - p)


def is_linear(network: nn.Module) -> TypeGuard[SpikingNetwork]:
    """Return whether the logits of a network are linear in the weights of its last layer."""
    return isinstance(network, SpikingNetwork) and not isinstance(network.readout, CountReadout)


def require_linear(network: Network) -> SpikingNetwork:
    """Return a network whose logits are linear in the weights of its last layer.

    Raises:
        ConfigError: Its readout spikes, or its layers are not known.
    """
    if isinstance(network, FirstSpikeNetwork):
        raise ConfigError("network.kind = first_spike: its spike times are not linear in the weights")
    if isinstance(network, ModuleNetwork):
        raise ConfigError("network.kind = module: it is not known which of its layers is the last")
    if not is_linear(network):
        raise ConfigError("network.readout = count: its spikes are not linear in the weights (expected leaky)")
    return network


def read_features(network: Network, spikes: Tensor) -> Tensor:
    """Return the features whose linear map by `find_readout` is the logits, float64 [B, F + 1]; the last is a constant.

    Args:
        network: The network, which is set to evaluation mode.
        spikes: [T, B, C, H, W].

    Raises:
        ConfigError: The readout of the network is not linear.

    Example:
        >>> import torch
        >>> from dvspipe.learning import find_readout, read_features
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
        inputs = read_inputs(linear, spikes).double()
        traces, _ = linear.readout(inputs, None)
        constant, _ = linear.readout(inputs.new_ones(len(spikes), len(inputs[0]), 1), None)
    return torch.cat([traces, constant], dim=2).mean(0).cpu()


def read_inputs(network: SpikingNetwork, spikes: Tensor) -> Tensor:
    """Return the inputs [T, B, F] of the last linear layer for spikes [T, B, C, H, W], in evaluation mode."""
    found: list[Tensor] = []
    hook = network.linear.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    try:
        network.eval()(spikes)
    finally:
        hook.remove()
    return found[0]


def find_readout(network: SpikingNetwork) -> Tensor:
    """Return the weights of the last linear layer and, in the last column, its bias, float64 [K, F + 1]."""
    linear = network.linear
    return torch.cat([linear.weight, linear.bias[:, None]], dim=1).detach().double().cpu()


def replace_readout(network: SpikingNetwork, readout: Tensor) -> None:
    """Set the last linear layer of a network to what `find_readout` would return."""
    with torch.no_grad():
        network.linear.weight.copy_(readout[:, :-1])
        network.linear.bias.copy_(readout[:, -1])


def find_features(moments: ClassMoments | None, labels: Tensor, classes: Sequence[str], name: str) -> Tensor | None:
    """Return the mean features of all classes, as far as they are known; warn if classes without are not shown.

    Args:
        moments: Those of the training of the network.
        labels: [N], of the recordings.
        classes: Names of all classes.
        name: Of the network, for the warning.
    """
    found = None if moments is None else moments.features
    missing = [each for number, each in enumerate(classes) if not bool((labels == number).any())]
    if found is None and missing:
        log.warning(
            "%s: has no features of its classes, which earlier versions did not write, so that classes without "
            "recordings may be recognised less well: %s",
            name,
            ", ".join(missing),
        )
    return found


class ReadoutFit(NamedTuple):
    """A readout fitted to recordings.

    Args:
        readout: float64 [K, F + 1], as `find_readout` returns.
        penalty: The one of PENALTIES that was chosen; infinite if the readout is not changed.
        left_out: float64 [N, K], logits of each sample by the readout that is fitted without its recording.
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
    """Return a readout fitted to labelled samples, near the given one.

    The change D of the readout minimises the cross-entropy of the outputs z + D f, and changes that nothing asks for:

        4 T^2 sum_n w_n CE((z_n + D f_n) / T, y_n) + N / 2 sum_k |D c_k|^2 + penalty / 2 mean_n |f_n|^2 |D|^2

    for features f, logits z of the given readout, labels y, and weights w of 1 for each of N recordings. The mean
    features c of the classes k that are not shown, from the training of the network, keep their logits; without them a
    large change would spoil these classes. Each step is a ridge regression, in closed form, of the outputs D f plus
    4 T (y - p), with the one-hot label and the probabilities p: a Newton step with the largest curvature, 1 / 4, which
    never increases the sum (Boehning 1992). So samples that are classified right and with certainty ask for no change.

    The penalty is the candidate whose readouts, fitted without one recording each, have the least cross-entropy on
    these recordings; if the given readout has less, it stays. That, too, is in closed form: the last ridge regression
    without the recording.

    Args:
        features: float64 [N, F + 1], what `read_features` returns.
        labels: int64 [N], 0 to K - 1.
        readout: float64 [K, F + 1], what `find_readout` returns.
        recordings: int64 [N], which recording a sample is of; None: each is of its own.
        classes: [K, F + 1], the mean features of each class in the training of the network; None: not known.
        temperature: T, the divisor of the logits that calibrates the probabilities.

    Raises:
        DataError: There are no samples, or no such class.

    Example:
        >>> import torch
        >>> from dvspipe.learning import fit_readout
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
    weights = _weigh(torch.arange(len(features)) if recordings is None else recordings)
    given = features @ readout.T
    kept = features[:0] if classes is None else classes[~torch.isin(torch.arange(K), labels)]
    ridge = _Ridge(features, weights, kept)
    one_hot = nn.functional.one_hot(labels, K)

    def loss(logits: Tensor) -> float:
        each = nn.functional.cross_entropy(logits / temperature, labels, reduction="none")
        return float((each * weights.own).sum())

    best, least = ReadoutFit(readout, math.inf, given), loss(given)
    for penalty in PENALTIES:
        wanted = _iterate(ridge, given, one_hot, penalty, temperature)
        left_out = given + ridge.leave_out(wanted, penalty)
        if (now := loss(left_out)) < least:
            best, least = ReadoutFit(readout + ridge.solve(wanted, penalty), penalty, left_out), now
    return best


def _iterate(ridge: _Ridge, given: Tensor, one_hot: Tensor, penalty: float, temperature: float) -> Tensor:
    """Return the targets [N, K] of the last ridge regression, for logits of the given readout."""
    changes = torch.zeros_like(given)  # D f
    for _ in range(FIT_STEPS):
        errors = one_hot - ((given + changes) / temperature).softmax(1)
        wanted = changes + temperature / MAX_CURVATURE * errors
        before, changes = changes, ridge.predict(wanted, penalty)
        if float((changes - before).abs().max()) < TOLERANCE:
            break
    return wanted


class _Weights(NamedTuple):
    """The samples of each recording, and the weight [N] of each sample."""

    groups: tuple[Tensor, ...]
    own: Tensor


def _weigh(recordings: Tensor) -> _Weights:
    groups = tuple((recordings == each).nonzero()[:, 0] for each in recordings.unique())
    own = torch.ones(len(recordings), dtype=torch.float64)
    for group in groups:
        own[group] = 1 / len(group)
    return _Weights(groups, own)


class _Ridge:
    """A ridge regression of targets [N, K] on features [N, F] for any penalty, by one singular value decomposition.

    Features `kept` [M, F] have targets of 0, and each the weight of all recordings together.
    """

    def __init__(self, features: Tensor, weights: _Weights, kept: Tensor) -> None:
        self._groups, self._roots = weights.groups, weights.own.sqrt()[:, None]
        rows = self._roots * features
        self._scale = float(rows.square().sum()) / len(weights.groups)
        left, self._values, self._right = torch.linalg.svd(
            torch.cat([rows, math.sqrt(len(weights.groups)) * kept]), full_matrices=False
        )
        self._left = left[: len(rows)]

    def solve(self, targets: Tensor, penalty: float) -> Tensor:
        """Return the coefficients [K, F] for targets [N, K]."""
        shrunk = self._values / (self._values.square() + penalty * self._scale)
        found: Tensor = (self._right.T @ (shrunk[:, None] * (self._left.T @ (self._roots * targets)))).T
        return found

    def predict(self, targets: Tensor, penalty: float) -> Tensor:
        """Return the predictions [N, K] of the coefficients for each sample."""
        coordinates = self._left.T @ (self._roots * targets)
        found: Tensor = self._left @ (self._kept(penalty)[:, None] * coordinates) / self._roots
        return found

    def leave_out(self, targets: Tensor, penalty: float) -> Tensor:
        """Return the predictions [N, K] for each sample by the coefficients that are fitted without its recording."""
        residuals = self._roots * (targets - self.predict(targets, penalty))
        for group in self._groups:
            own = self._left[group]
            hat = (own * self._kept(penalty)) @ own.T
            residuals[group] = torch.linalg.solve(torch.eye(len(group), dtype=hat.dtype) - hat, residuals[group])
        return targets - residuals / self._roots

    def _kept(self, penalty: float) -> Tensor:
        squares = self._values.square()
        shares: Tensor = squares / (squares + penalty * self._scale)
        return shares
