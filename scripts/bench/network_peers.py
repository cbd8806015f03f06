"""Measure the same spiking network in several libraries: `python scripts/bench/network_peers.py LIBRARY T B SIDE`.

The network has three blocks (convolution 3x3 with 2-16-32-64 channels, batch norm, neurons, average pooling) and a
linear layer on every step; its output is the mean over the steps. The neurons are leaky integrate-and-fire with a
membrane factor of 0.5, a threshold of 1 and a reset to 0. Batch norm is set for a firing rate of about 12 % per layer.

Uses one thread. Prints a JSON object: median CPU seconds of a forward pass in evaluation mode and of forward and
backward passes in training mode, firing rates, and the increase of peak memory in MB since before the network.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

CHANNELS = (2, 16, 32, 64)
CLASSES = 10
FACTOR = 0.5
NORM = (1.2, 0.4)  # weight and bias of batch norm
REPEATS = 7

Network = Callable[[Tensor], Tensor]


class Blocks(nn.Module):
    """Layers other than neurons, shared by all libraries."""

    def __init__(self, side: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        pairs = list(pairwise(CHANNELS))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs)
        for norm in self.norms:
            nn.init.constant_(norm.get_parameter("weight"), NORM[0])
            nn.init.constant_(norm.get_parameter("bias"), NORM[1])

        self.pool = nn.AvgPool2d(2)
        for _ in pairs:
            side //= 2
        self.linear = nn.Linear(CHANNELS[-1] * side * side, CLASSES)


class RecordedBlocks(Blocks):
    """Blocks that record their firing rates."""

    def __init__(self, side: int) -> None:
        super().__init__(side)
        self.rates: dict[int, float] = {}
        self.watching = False

    def record(self, number: int, spikes: Tensor) -> None:
        if self.watching:
            self.rates[number] = float(spikes.detach().mean())


class MultiStep(RecordedBlocks):
    """Layers applied once to T * B images in channels-last memory; `neurons` scans [T, B, C, H, W]."""

    def neurons(self, number: int, currents: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        T = len(x)
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            spikes = self.neurons(number, norm(convolution(x)).unflatten(0, (T, -1)))
            self.record(number, spikes)
            x = self.pool(spikes.flatten(0, 1))

        logits: Tensor = self.linear(x.flatten(1)).unflatten(0, (T, -1)).mean(0)
        return logits


class Relu(MultiStep):
    """CNN of the same shape on every step, a lower bound of the time."""

    def neurons(self, _number: int, currents: Tensor) -> Tensor:
        return torch.relu(currents)


class SingleStep(RecordedBlocks):
    """Layers applied step by step; `neurons` computes one step."""

    def neurons(self, number: int, current: Tensor) -> Tensor:
        raise NotImplementedError

    def begin(self) -> None:
        """Reset all states."""

    def forward(self, x: Tensor) -> Tensor:
        self.begin()
        steps = []
        total = [0.0] * len(self.norms)
        for step in x.unbind(0):
            current = step
            for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
                spikes = self.neurons(number, norm(convolution(current)))
                if self.watching:
                    total[number] += float(spikes.detach().mean()) / len(x)
                current = self.pool(spikes)

            steps.append(self.linear(current.flatten(1)))

        self.rates = dict(enumerate(total))
        return torch.stack(steps).mean(0)


def build_dvspipe(side: int) -> RecordedBlocks:
    from dvspipe.events import SensorSize
    from dvspipe.networks import LIF, CsnnConfig, SpikingNetwork

    config = CsnnConfig(channels=CHANNELS[1:], kernel=3, tau_mem_s=1e-3 / FACTOR, tau_readout_s=1e-3)
    network = SpikingNetwork(config, grid=SensorSize(width=side, height=side), classes=CLASSES, dt=1e-3)
    same = Blocks(side)
    for number, layer in enumerate(network.layers):
        layer.convolution.load_state_dict(same.convolutions[number].state_dict())
        layer.norm.load_state_dict(same.norms[number].state_dict())

    class Ours(RecordedBlocks):
        def __init__(self) -> None:
            super().__init__(side)
            self.network = network
            layers = [module for module in network.modules() if isinstance(module, LIF)]
            for number, layer in enumerate(layers):
                layer.register_forward_hook(lambda _, __, output, number=number: self.record(number, output[0]))

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.network(x)[0].mean(0)
            return logits

    return Ours()


def build_norse(side: int) -> RecordedBlocks:
    """Build the network with Norse's cells, step by step, as in its `SequentialState` and examples."""
    from norse.torch import LIFBoxCell, LIFBoxParameters

    p = LIFBoxParameters(tau_mem_inv=torch.tensor(FACTOR / 1e-3))

    class Norse(SingleStep):
        def __init__(self) -> None:
            super().__init__(side)
            self.cells = nn.ModuleList(LIFBoxCell(p=p, dt=1e-3) for _ in self.norms)

        def begin(self) -> None:
            self.states: list[object] = [None] * len(self.cells)

        def neurons(self, number: int, current: Tensor) -> Tensor:
            spikes, self.states[number] = self.cells[number](current, self.states[number])
            return spikes

    return Norse()


def build_norse_lift(side: int) -> RecordedBlocks:
    """Build the network with Norse's `Lift` over time, a loop over x[t]."""
    from norse.torch import LIFBoxCell, LIFBoxParameters, Lift

    p = LIFBoxParameters(tau_mem_inv=torch.tensor(FACTOR / 1e-3))

    class Lifted(MultiStep):
        def __init__(self) -> None:
            super().__init__(side)
            self.cells = nn.ModuleList(Lift(LIFBoxCell(p=p, dt=1e-3)) for _ in self.norms)

        def neurons(self, number: int, currents: Tensor) -> Tensor:
            spikes: Tensor = self.cells[number](currents)[0]
            return spikes

    return Lifted()


def build_snntorch(side: int) -> RecordedBlocks:
    import snntorch

    class SnnTorch(SingleStep):
        def __init__(self) -> None:
            super().__init__(side)
            self.cells = nn.ModuleList(snntorch.Leaky(beta=1 - FACTOR, reset_mechanism="zero") for _ in self.norms)

        def begin(self) -> None:
            self.states = [cell.init_leaky() for cell in self.cells]

        def neurons(self, number: int, current: Tensor) -> Tensor:
            spikes, self.states[number] = self.cells[number](FACTOR * current, self.states[number])
            return spikes

    return SnnTorch()


def build_spikingjelly(side: int) -> RecordedBlocks:
    from spikingjelly.activation_based import functional, neuron, surrogate

    class SpikingJelly(MultiStep):
        def __init__(self) -> None:
            super().__init__(side)
            self.cells = nn.ModuleList(
                neuron.LIFNode(tau=1 / FACTOR, v_reset=0.0, surrogate_function=surrogate.ATan(), step_mode="m")
                for _ in self.norms
            )

        def neurons(self, number: int, currents: Tensor) -> Tensor:
            functional.reset_net(self.cells[number])
            spikes: Tensor = self.cells[number](currents)
            return spikes

    return SpikingJelly()


LIBRARIES: dict[str, Callable[[int], RecordedBlocks]] = {
    "relu": Relu,
    "dvspipe": build_dvspipe,
    "norse": build_norse,
    "norse_lift": build_norse_lift,
    "snntorch": build_snntorch,
    "spikingjelly": build_spikingjelly,
}


def memory_mb(which: str) -> float:
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def seconds(work: Callable[[], object], repeats: int) -> float:
    spent = []
    for _ in range(repeats + 1):  # the first run warms up
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return statistics.median(spent[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=LIBRARIES)
    for size in ("T", "B", "side"):
        parser.add_argument(size, type=int)
    arguments = parser.parse_args()
    library = arguments.library
    T = arguments.T
    B = arguments.B
    side = arguments.side

    torch.set_num_threads(1)
    x = (torch.rand(T, B, 2, side, side, generator=torch.Generator().manual_seed(0)) < 0.12).float()
    labels = torch.arange(B) % CLASSES
    network = LIBRARIES[library](side)
    network.train()
    network.watching = True
    with torch.no_grad():
        network(x)
    rates = [round(rate, 3) for _, rate in sorted(network.rates.items())]
    network.watching = False
    before_mb = memory_mb("VmRSS")

    def train() -> None:
        network.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()

    def infer() -> None:
        with torch.no_grad():
            network(x)

    repeats = 3 if library == "norse_lift" else REPEATS
    trained = seconds(train, repeats)
    peak_mb = memory_mb("VmHWM") - before_mb
    network.eval()
    figures = {"forward": seconds(infer, repeats), "train": trained, "rates": rates, "memory_mb": peak_mb}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
