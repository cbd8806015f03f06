"""The statistics of batch norms: estimated again for the present weights, and for each class."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..datasets import SpikeTensors, plain_batches
from ..learning import is_linear, read_features
from ..networks import ClassMoments, apply_norms, find_norms, measure_norms

MAX_RECORDINGS = 256  # that statistics are estimated on; each has a value per step and pixel
MAX_OF_CLASS = 64  # recordings that the moments of a class are measured on


def estimate_norms(network: nn.Module, tensors: SpikeTensors, *, batch: int) -> None:
    """Set the statistics of all batch norms to those of recordings, for the present weights, and no others.

    The running statistics of a training are those of earlier weights: after n updates with the momentum of 0.1, 0.9^n
    of them is still the initial value. In evaluation, layers of a network with few updates would be silent.

    Args:
        network: The network, which is left in evaluation mode.
        tensors: The training part; at most MAX_RECORDINGS of it are used, the same ones each time.
        batch: Number of recordings per batch, as in training.
    """
    momenta = [norm.momentum for norm in find_norms(network)]
    device = next(network.parameters()).device
    chosen = np.random.default_rng(0).permutation(len(tensors))[:MAX_RECORDINGS].tolist()
    with apply_norms(network) as norms, torch.no_grad():
        for norm in norms:
            norm.train()
        for number, spikes in enumerate(plain_batches(tensors, batch, chosen if norms else []), start=1):
            for norm in norms:
                norm.momentum = 1 / number  # so that the statistics are the mean over the batches
            network(torch.from_numpy(spikes).transpose(0, 1).to(device))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def measure_classes(network: nn.Module, tensors: SpikeTensors, classes: int, *, batch: int) -> ClassMoments | None:
    """Return the moments of the inputs of all batch norms for each class, None for a network without batch norms.

    Args:
        network: The network, which is left in evaluation mode.
        tensors: The training part; at most MAX_OF_CLASS recordings of each class are used.
        classes: K.
        batch: Number of recordings per batch.
    """
    if not find_norms(network):
        return None
    device = next(network.parameters()).device
    order = np.random.default_rng(0).permutation(len(tensors))
    chosen = np.concatenate([order[tensors.labels[order] == label][:MAX_OF_CLASS] for label in range(classes)])
    linear = network if is_linear(network) else None
    measured, features = [], []
    for batch_spikes in plain_batches(tensors, batch, chosen.tolist()):
        spikes = torch.from_numpy(batch_spikes).transpose(0, 1).to(device)
        measured.append(measure_norms(network, spikes)[1])
        if linear is not None:
            features.append(read_features(linear, spikes))
    joined = torch.cat(features) if features else None
    return ClassMoments.average(measured, tensors.labels[chosen].tolist(), classes, joined)
