"""Batch norm statistics for the final weights, and initial values: gains without batch norm, a new last layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..datasets import SpikeTensors, plain_batches
from ..networks import Fold, estimate_norms, find_norms, list_layers, run_in_pieces
from ..networks.building import Standardise
from ..networks.norms import PIECE_STEPS
from .logistic import fit_readout

MAX_FITTED = 5_000  # recordings that a new last layer is fitted to
MAX_RECORDINGS = 256  # recordings for the statistics; each has a value per step and pixel


def draw_recordings(tensors: SpikeTensors, most: int) -> list[int]:
    """Draw the numbers of at most `most` recordings, the same ones each time."""
    numbers: list[int] = np.random.default_rng(0).permutation(len(tensors))[:most].tolist()
    return numbers


def estimate_statistics(network: nn.Module, tensors: SpikeTensors, *, batch: int, segment: int | None = None) -> None:
    """Estimate the statistics of all batch norms again, for the present weights only.

    Running statistics average over earlier weights: after n updates with momentum 0.1, a share of 0.9^n is still the
    initial value. After few updates, layers would be silent in evaluation mode.

    At most MAX_RECORDINGS of the training part are used, the same ones each time. As in training, `segment` steps are
    normalised together. The network is left in evaluation mode.
    """
    device = next(network.parameters()).device
    chosen = draw_recordings(tensors, MAX_RECORDINGS)
    batches = plain_batches(tensors, batch, chosen if find_norms(network) else [])

    spikes = (torch.from_numpy(counts).transpose(0, 1).to(device) for counts in batches)
    estimate_norms(network, spikes, segment or tensors[0].shape[1])


@torch.no_grad()
def fit_gains(network: nn.Module, tensors: SpikeTensors, *, batch: int) -> None:
    """Set gain and offset of standardised convolutions so the currents of each channel have mean 0 and variance 1.

    As with batch norm, no layer of an untrained network is silent then. The network is left in evaluation mode.
    """
    if not any(isinstance(module, Standardise) for module in network.modules()):
        return

    chosen = draw_recordings(tensors, batch)
    (spikes,) = plain_batches(tensors, batch, chosen)
    values = torch.from_numpy(spikes[:, :PIECE_STEPS]).transpose(0, 1).float().to(next(network.parameters()).device)
    for layer in network.eval().children():
        values = layer(values)
        values = values[0] if isinstance(values, tuple) else values
        if not isinstance(layer, Fold):
            continue

        # The next convolution sees the inputs that it will get.
        convolution = layer[0]
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        standardise = next(module for module in layer.modules() if isinstance(module, Standardise))
        deviation, mean = torch.std_mean(values, (0, 1, 3, 4))
        gain = torch.where(deviation > 0, 1 / deviation, torch.ones_like(deviation))
        standardise.gain.mul_(gain)
        convolution.bias.copy_(-mean * gain)
        values = (values - mean[:, None, None]) * gain[:, None, None]


def fit_last_layer(network: nn.Sequential, tensors: SpikeTensors, *, batch: int) -> None:
    """Fit the last linear layer of a trained network to new classes, as a logistic regression.

    The leaky readout is linear, so the mean of its outputs is a linear function of the features that it has filtered.
    At most MAX_FITTED recordings are used. The network is left in evaluation mode.
    """
    index = list_layers(network)[-1].index
    linear = network[index]
    assert isinstance(linear, nn.Linear)
    chosen = draw_recordings(tensors, MAX_FITTED)

    # The same network without the last linear layer filters the features.
    without = [nn.Identity() if layer is linear else layer for layer in network.eval()]
    filtering = type(network)(*without).eval()
    features = []
    for counts in plain_batches(tensors, batch, chosen):
        spikes = torch.from_numpy(counts).transpose(0, 1).to(linear.weight.device)
        features.append(run_in_pieces(filtering, spikes).mean(0).float().cpu())

    fit_readout(linear, torch.cat(features), torch.from_numpy(tensors.labels[chosen]))
