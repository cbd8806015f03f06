"""Baseline without time: a ReLU network of the same shape that sees only the sum of all steps."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..base.files import write_beside
from ..networks import LIF, CountReadout, SpikingNetwork, State
from ..networks.neurons import average_squares


class FrameNetwork(nn.Module):
    """Spiking network with ReLU instead of its neurons, applied to the sum of the steps.

    It takes the convolutions, batch norms, pooling, residuals and linear layers of the spiking network, including
    weights.

    Args:
        network: Spiking network; it is changed and must not be used afterwards.
    """

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        # The frames are one step, so a readout has nothing to integrate, and neurons need no state.
        votes = network.readout.votes if isinstance(network.readout, CountReadout) else 1
        network.add_module("readout", _Votes(votes))

        for layer in list(network.modules()):
            neurons = getattr(layer, "lif", None)
            if isinstance(neurons, LIF):
                layer.add_module("lif", _Rectifier(neurons.settings.pool))

        self.network = network

    def forward(self, spikes: Tensor, _state: State | None = None) -> tuple[Tensor, State]:
        """Return logits [1, B, K] for spike tensors [T, B, C, H, W], and an empty state."""
        outputs, _ = self.network(spikes.sum(0, keepdim=True))
        return outputs, []


class _Rectifier(nn.Module):
    def __init__(self, pool: int) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, currents: Tensor, _state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return rectified activities, pooled as `LIF` pools its spikes, and an empty state."""
        return average_squares(currents.relu(), self.pool), currents.new_empty(0)


class _Votes(nn.Module):
    def __init__(self, votes: int) -> None:
        super().__init__()
        self.votes = votes

    def forward(self, currents: Tensor, _state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean of the votes per class [T, B, K], and an empty state."""
        return currents.unflatten(-1, (-1, self.votes)).mean(-1), currents.new_empty(0)


def save_baseline(path: Path, network: nn.Module) -> None:
    """Write the weights of a frame network, complete or not at all."""
    with write_beside(path) as beside:
        beside.write_bytes(save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}))


def load_baseline(path: Path, network: nn.Module) -> None:
    """Load weights written by `save_baseline` into a network of the same shape."""
    network.load_state_dict(load_file(path))
