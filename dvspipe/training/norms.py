"""The statistics of batch norms, estimated again for the present weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..datasets import SpikeTensors, plain_batches

MAX_RECORDINGS = 256  # that statistics are estimated on; each has a value per step and pixel


def estimate_norms(network: nn.Module, tensors: SpikeTensors, *, batch: int) -> None:
    """Set the statistics of all batch norms to those of recordings, for the present weights, and no others.

    The running statistics of a training are those of earlier weights: after n updates with the momentum of 0.1, 0.9^n
    of them is still the initial value. In evaluation, layers of a network with few updates would be silent.

    Args:
        network: The network, which is left in evaluation mode.
        tensors: The training part; at most MAX_RECORDINGS of it are used, the same ones each time.
        batch: Number of recordings per batch, as in training.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    network.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for module in network.modules():
        if any(child in norms for child in module.children()):
            module.training = True  # which applies the norm instead of folding it into the convolution
    for norm in norms:
        norm.train()
    device = next(network.parameters()).device
    chosen = np.random.default_rng(0).permutation(len(tensors))[:MAX_RECORDINGS].tolist()
    with torch.no_grad():
        for number, spikes in enumerate(plain_batches(tensors, batch, chosen), start=1):
            for norm in norms:
                norm.momentum = 1 / number  # so that the statistics are the mean over the batches
            network(torch.from_numpy(spikes).transpose(0, 1).to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
