"""Batch norms of a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .models import Convolution

BatchNorm = nn.modules.batchnorm._BatchNorm


PIECE_STEPS = 64  # steps computed together in evaluation; bounds the memory for any T


def run_in_pieces(network: nn.Module, spikes: Tensor, steps: int = PIECE_STEPS) -> Tensor:
    """Return the outputs [T, B, K] of a network for spikes [T, B, C, H, W], computed in pieces of `steps`."""
    state = None
    outputs = []
    for piece in spikes.split(steps):
        output, state = network(piece, state)
        outputs.append(output)
    return torch.cat(outputs)


def find_norms(network: nn.Module) -> list[BatchNorm]:
    """Return the batch norms of a network in the order of execution."""
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


@contextmanager
def apply_norms(network: nn.Module) -> Iterator[list[BatchNorm]]:
    """Set a network to evaluation mode with unfolded batch norms inside the block; yield the norms.

    Outside the block, evaluation folds the norms into the convolutions.
    """
    norms = find_norms(network)

    # A convolution folds its norm unless it is in training; the norm itself stays in evaluation mode.
    network.eval()
    for module in network.modules():
        if isinstance(module, Convolution):
            module.training = True

    try:
        yield norms
    finally:
        network.eval()


@contextmanager
def freeze_statistics(network: nn.Module) -> Iterator[None]:
    """Freeze the running statistics of all batch norms inside the block, also in training mode."""
    norms = [norm for norm in find_norms(network) if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False

    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
