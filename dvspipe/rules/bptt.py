"""Backpropagation through time, over all steps or recomputed in segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..base.errors import ConfigError
from ..networks import State, find_norms, run_network, streams

Loss = Callable[[Tensor], Tensor]
"""Scalar loss of outputs [T, B, K]."""


class Bptt:
    """Backpropagation through time.

    With `segment`, only the states between segments are stored, and each segment is computed again for its gradients:
    they are exact, with the memory of one segment and about 1.4 times the time. Batch norm then normalises each
    segment by its own statistics, and each has its own dropout masks.

    Args:
        network: Network in training mode, which takes a state if `segment` is given.
        segment: Number of steps with a stored graph; None: all.

    Raises:
        ConfigError: If a segment is given for a network without a state.

    Example:
        >>> from dvspipe.networks import NetworkConfig, build_network
        >>> network = build_network(NetworkConfig(network="mlp", channels=(8,)), (2, 3, 4), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (1000, 5, 2, 3, 4), dtype=torch.uint8)
        >>> Bptt(network, segment=50).update(spikes, lambda outputs: outputs.mean(0)[:, 0].sum()).shape
        torch.Size([1000, 5, 2])
    """

    def __init__(self, network: nn.Module, segment: int | None = None) -> None:
        if segment is not None and not streams(network):
            raise ConfigError(f"segment = {segment}: the network needs all steps at once (expected null)")
        self.network = network
        self.segment = segment

    def update(self, spikes: Tensor, loss: Loss) -> Tensor:
        """Accumulate the gradients of a loss in the `grad` of the weights.

        Args:
            spikes: Spike tensor [T, B, C, H, W], any dtype.
            loss: Loss of all outputs.

        Returns:
            Outputs [T, B, K], without a graph.
        """
        if self.segment is None:
            outputs, _ = run_network(self.network, spikes)
        else:
            outputs = self._run_segments(spikes, self.segment)

        loss(outputs).backward()
        return outputs.detach()

    def _run_segments(self, spikes: Tensor, segment: int) -> Tensor:
        def run(part: Tensor, state: State | None) -> tuple[Tensor, State | None]:
            return run_network(self.network, part, state)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), self._frozen_statistics()

        state: State | None = None
        outputs = []
        for part in spikes.split(segment):
            output, state = checkpoint(run, part, state, use_reentrant=False, context_fn=contexts)
            outputs.append(output)
        return torch.cat(outputs)

    @contextmanager
    def _frozen_statistics(self) -> Iterator[None]:
        """Keep the running statistics of batch norms inside the block: a segment counts once."""
        norms = find_norms(self.network)
        momenta = [norm.momentum for norm in norms]
        counts = [int(norm.num_batches_tracked or 0) for norm in norms]
        for norm in norms:
            norm.momentum = 0.0

        try:
            yield
        finally:
            for norm, momentum, count in zip(norms, momenta, counts, strict=True):
                norm.momentum = momentum
                if norm.num_batches_tracked is not None:
                    norm.num_batches_tracked.fill_(count)
