"""Batch norms of a network, and running a network in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from .building import State, run_network, streams

BatchNorm = nn.modules.batchnorm._BatchNorm
PIECE_STEPS = 64  # steps computed together in evaluation; bounds the memory for any T


@torch.no_grad()
def run_in_pieces(network: nn.Module, spikes: Tensor, steps: int = PIECE_STEPS) -> Tensor:
    """Return the outputs [T, B, K] of a network for spikes [T, B, C, H, W], computed in pieces of `steps`."""
    if not streams(network):
        return run_network(network, spikes)[0]

    state: State | None = None
    outputs = []
    for piece in spikes.split(steps):
        output, state = run_network(network, piece, state)
        outputs.append(output)
    return torch.cat(outputs)


def find_norms(network: nn.Module) -> list[BatchNorm]:
    """Return the batch norms of a network in the order of execution."""
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


def estimate_norms(
    network: nn.Module,
    batches: Iterable[Tensor],
    steps: int = PIECE_STEPS,
    *,
    norms: Sequence[BatchNorm] | None = None,
) -> None:
    """Estimate the running statistics of batch norms again: their mean over batches of spikes [T, B, C, H, W].

    `steps` are normalised together, in these norms (default: all). The network is left in evaluation mode.
    """
    network.eval()
    norms = find_norms(network) if norms is None else norms
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean over all batches

    for spikes in batches if norms else ():
        run_in_pieces(network, spikes, steps)

    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum
