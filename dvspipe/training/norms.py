"""Batch norm statistics for the final weights, and initial gains of networks without batch norm."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets import SpikeTensors, plain_batches
from ..networks import apply_norms, find_norms
from ..networks.models import StandardisedConvolution
from ..networks.norms import PIECE_STEPS

MAX_RECORDINGS = 256  # recordings for the statistics; each has a value per step and pixel


def estimate_norms(network: nn.Module, tensors: SpikeTensors, *, batch: int, segment: int | None = None) -> None:
    """Estimate the statistics of all batch norms again, for the present weights only.

    Running statistics average over earlier weights: after n updates with momentum 0.1, a share of 0.9^n is still the
    initial value. After few updates, layers would be silent in evaluation mode.

    At most MAX_RECORDINGS of the training part are used, the same ones each time. As in training, `segment` steps are
    normalised together. The network is left in evaluation mode.
    """
    momenta = [norm.momentum for norm in find_norms(network)]
    device = next(network.parameters()).device
    chosen = np.random.default_rng(0).permutation(len(tensors))[:MAX_RECORDINGS].tolist()

    with apply_norms(network) as norms, torch.no_grad():
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # cumulative mean over all pieces

        for batch_spikes in plain_batches(tensors, batch, chosen if norms else []):
            state = None
            spikes = torch.from_numpy(batch_spikes).transpose(0, 1).to(device)
            for piece in spikes.split(segment or len(spikes)):
                _, state = network(piece, state)

        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def fit_gains(network: nn.Module, tensors: SpikeTensors, *, batch: int) -> None:
    """Set gain and offset of standardised convolutions so the currents of each channel have mean 0 and variance 1.

    As with batch norm, no layer of an untrained network is silent then.
    """

    def fit(convolution: nn.Module, _inputs: tuple[Tensor, ...], currents: Tensor) -> Tensor:
        assert isinstance(convolution, StandardisedConvolution)
        deviation, mean = torch.std_mean(currents, (0, 2, 3))
        gain = torch.where(deviation > 0, 1 / deviation, torch.ones_like(deviation))

        # Returning the currents with their new gain and offset makes this pass fit all layers: the next convolution
        # sees the inputs that it will get.
        convolution.gain.mul_(gain)
        convolution.offset.copy_(-mean * gain)
        return (currents - mean[:, None, None]) * gain[:, None, None]

    layers = [module for module in network.modules() if isinstance(module, StandardisedConvolution)]
    if not layers:
        return

    hooks = [layer.register_forward_hook(fit) for layer in layers]
    chosen = np.random.default_rng(0).permutation(len(tensors))[:batch].tolist()

    try:
        network.eval()
        with torch.no_grad():
            (batch_spikes,) = plain_batches(tensors, batch, chosen)
            spikes = torch.from_numpy(batch_spikes[:, :PIECE_STEPS]).transpose(0, 1)
            network(spikes.to(next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
