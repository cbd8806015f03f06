"""Train an snnTorch network on recordings loaded by dvspipe."""

import numpy as np
import snntorch
import torch
from torch import nn

from dvspipe import BinConfig, Events
from dvspipe.datasets import from_recordings
from dvspipe.datasets.loaders import SpikeDataset, loader

BETA = 0.8


def make_recording(label: int, seed: int) -> Events:
    """Return a bar that moves left (label 0) or right (label 1) for 100 ms."""
    rng = np.random.default_rng([label, seed])
    t = np.sort(rng.integers(0, 100_000, 300))
    x = (t // 7_000 + rng.integers(0, 2, t.size)).astype(int)
    return Events(t, x if label else 15 - x, rng.integers(0, 12, t.size), rng.integers(0, 2, t.size), (16, 12))


class Network(nn.Module):
    """Two layers of snnTorch's `Leaky` neurons, called step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2 * 12 * 16, 32), nn.Linear(32, 2)
        self.hidden = snntorch.Leaky(beta=BETA)
        self.out = snntorch.Leaky(beta=BETA, reset_mechanism="none")

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Return the mean potential per class [B, K]."""
        mem, potential, potentials = self.hidden.reset_mem(), self.out.reset_mem(), []
        for step in spikes.float().flatten(2):
            spike, mem = self.hidden(self.first(step), mem)
            _, potential = self.out(self.second(spike), potential)
            potentials.append(potential)
        return torch.stack(potentials).mean(0)


def main() -> None:
    """Train for eight epochs."""
    torch.manual_seed(0)
    recordings = [(make_recording(label, seed), label) for seed in range(20) for label in (0, 1)]
    dataset = SpikeDataset(from_recordings(recordings), BinConfig(steps=10, step_us=10_000))
    network = Network()
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(8):
        right = 0
        for spikes, labels in loader(dataset, 8, shuffle=True):
            potentials = network(spikes)
            optimiser.zero_grad()
            nn.functional.cross_entropy(potentials, labels).backward()
            optimiser.step()
            right += int((potentials.argmax(1) == labels).sum())
    print(f"{right} of {len(dataset)} recordings are correct in the last epoch")


if __name__ == "__main__":
    main()
