"""Train your own spiking network in a plain PyTorch loop on recordings loaded by dvspipe."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from norse.torch import LIBoxParameters, LIFBoxParameters
from torch import nn

from dvspipe import BinConfig, Events, write
from dvspipe.datasets import DataConfig
from dvspipe.datasets.loaders import SpikeDataset, loader
from dvspipe.networks import LIBox, LIFBox

BINS = BinConfig(steps=10, step_us=10_000)


def write_recordings(folder: Path) -> None:
    """Write a folder with two classes: bars that move left or right."""
    rng = np.random.default_rng(0)
    for number in range(40):
        name = ("left", "right")[number % 2]
        t = np.sort(rng.integers(0, 100_000, 300))
        x = (t // 7_000 + rng.integers(0, 2, t.size)).astype(int)
        x = 15 - x if name == "left" else x
        write(
            folder / name / f"{number}.h5",
            Events(t, x, rng.integers(0, 12, t.size), rng.integers(0, 2, t.size), (16, 12)),
        )


class Network(nn.Module):
    """Convolution, linear layer and neurons. Each layer computes all time steps in one call."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(2, 8, 5, stride=2), nn.Linear(8 * 4 * 6, classes)
        neurons = LIFBoxParameters(
            tau_mem_inv=torch.tensor(1 / 0.03), v_th=torch.tensor(0.3), method="superspike", alpha=5
        )
        self.lif = LIFBox(neurons, dt=0.01)
        self.readout = LIBox(LIBoxParameters(tau_mem_inv=torch.tensor(1 / 0.05)), dt=0.01)

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Return logits [B, K] for spikes [T, B, C, H, W]."""
        currents = self.convolution(spikes.flatten(0, 1).float()).unflatten(0, spikes.shape[:2])
        hidden, _ = self.lif(currents)
        potentials, _ = self.readout(self.linear(hidden.flatten(2)))
        return potentials.mean(0)


def main() -> None:
    """Train for ten epochs and print the test result."""
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        write_recordings(Path(folder))
        data = DataConfig(root=Path(folder), cache=Path(folder, ".cache"))
        train, test = (SpikeDataset(data, BINS, part=part) for part in ("train", "test"))
        network = Network(len(train.classes))
        optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
        for _ in range(10):
            for spikes, labels in loader(train, 8, shuffle=True):
                optimiser.zero_grad()
                nn.functional.cross_entropy(network(spikes), labels).backward()
                optimiser.step()
        ((spikes, labels),) = loader(test, len(test), num_workers=1)
        right = int((network(spikes).argmax(1) == labels).sum())
        print(f"{right} of {len(test)} test recordings are correct")


if __name__ == "__main__":
    main()
