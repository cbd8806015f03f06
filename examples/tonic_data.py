"""Train on a Tonic data set or any object with the same interface: `python examples/tonic_data.py`.

`dvspipe train FOLDER data=tonic tonic_name=NMNIST` trains on a class of `tonic.datasets`, by name.
"""

from __future__ import annotations

import numpy as np
import tonic
import torch
from torch import nn

from dvspipe import BinConfig, Events
from dvspipe.datasets import from_recordings
from dvspipe.encoding import ToSpikes

COUNT = 40
BINS = BinConfig(steps=10, step_us=10_000)


class Bars(tonic.Dataset):
    """Forty bars that move left or right in 100 ms; a stand-in for `tonic.datasets.NMNIST(save_to=...)`."""

    sensor_size = (16, 12, 2)
    classes = ("left", "right")
    dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])

    def __init__(self) -> None:
        super().__init__(save_to="")

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        if index >= COUNT:
            raise IndexError(index)
        rng, label = np.random.default_rng(index), index % 2
        events = np.empty(300, self.dtype)
        events["t"] = np.sort(rng.integers(0, 100_000, 300))
        along = events["t"] // 7_000 + rng.integers(0, 2, 300)
        events["x"] = along if label else 15 - along
        events["y"], events["p"] = rng.integers(0, 12, 300), rng.integers(0, 2, 300)
        return events, label


def main() -> None:
    """Describe the data set, and train a linear layer on its spike counts in a plain PyTorch loop."""
    bars = Bars()
    recordings = [(Events.from_structured(events, bars.sensor_size[:2]), bars.classes[label]) for events, label in bars]
    data = from_recordings(recordings)  # for `dvspipe.datasets.loaders.SpikeDataset` and `train`
    print(f"{data.title}: {len(data.train)} recordings of {data.sensor}, classes {', '.join(data.classes)}")
    transform = ToSpikes(BINS, bars.sensor_size)  # replaces Tonic's ToFrame; also Bars(transform=...)
    spikes = torch.stack([torch.from_numpy(transform(events)) for events, _ in bars])
    labels = torch.tensor([label for _, label in bars])
    torch.manual_seed(0)
    network = nn.Linear(spikes[0].numel(), 2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(20):
        optimiser.zero_grad()
        logits = network(spikes.float().flatten(1))
        nn.functional.cross_entropy(logits, labels).backward()
        optimiser.step()
    print(f"{int((logits.argmax(1) == labels).sum())} of {len(labels)} recordings are correct")


if __name__ == "__main__":
    main()
