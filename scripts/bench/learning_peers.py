"""Measure the gradient computation of a spiking network: `python scripts/bench/learning_peers.py WAY T B SIDE`.

The network has three blocks (convolution 3x3 with 2-8-16-32 channels, neurons with a membrane factor of 0.5 and a
subtracting reset, average pooling) and a leaky readout. `bptt` and `segment_N` use batch norm; all other ways,
including `bptt_weight` and `segment_weight_N`, use standardised weights. N is the number of steps per segment.
`spikingjelly_ottt` is SpikingJelly's own OTTT with plain convolutions. `stdp` and `spikingjelly_stdp` (requires
tensorboard) train the weights from an image to 100 neurons by the pair rule.

Uses one thread. Prints a JSON object: median CPU seconds per batch, and the increase of peak memory in MiB.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from network_peers import CLASSES, FACTOR, memory_mb, seconds
from torch import Tensor, nn

CHANNELS = (2, 8, 16, 32)
NEURONS = 100  # trained by STDP
REPEATS = 3
LONG = 400  # with more steps, only one batch is measured after the warm-up
MIB = 2**20 / 1e6


def build_ours(way: str, side: int) -> Callable[[Tensor, Tensor], object]:
    from dvspipe.events import SensorSize
    from dvspipe.networks import CsnnConfig, SpikingNetwork
    from dvspipe.rules import backpropagate, backpropagate_segments, build_rule
    from dvspipe.rules.online import STEPS

    name, *further = way.split("_")
    steps = int(further[-1]) if further and further[-1].isdigit() else STEPS
    batch = name in ("bptt", "segment") and "weight" not in further
    config = CsnnConfig(
        channels=CHANNELS[1:],
        kernel=3,
        tau_mem_s=1e-3 / FACTOR,
        tau_readout_s=1e-2,
        reset="subtract",
        detach_reset=True,
        norm="batch" if batch else "weight",
        gain=2.0,
    )
    network = SpikingNetwork(config, grid=SensorSize(width=side, height=side), classes=CLASSES, dt=1e-3).train()

    def learn(x: Tensor, labels: Tensor) -> None:
        def loss(outputs: Tensor) -> Tensor:
            spread = labels.expand(len(outputs), -1).flatten()
            return nn.functional.cross_entropy(outputs.flatten(0, 1), spread)

        network.zero_grad()
        if name == "bptt":
            backpropagate(network, x, loss)
        elif name == "segment":
            backpropagate_segments(network, x, loss, steps=steps)
        else:
            rule = build_rule(name, network, steps=steps)  # type: ignore[arg-type]
            assert rule is not None
            rule.update(x, loss)

    return learn


def build_spikingjelly_ottt(side: int) -> Callable[[Tensor, Tensor], object]:
    from spikingjelly.activation_based import functional, layer, neuron

    modules: list[Any] = []
    for before, after in pairwise(CHANNELS):
        modules += [nn.Conv2d(before, after, 3, padding=1), neuron.OTTTLIFNode(tau=1 / FACTOR), nn.AvgPool2d(2)]
        side //= 2

    network = layer.OTTTSequential(*modules, nn.Flatten(), nn.Linear(CHANNELS[-1] * side**2, CLASSES))

    def learn(x: Tensor, labels: Tensor) -> None:
        """Compute the gradients as SpikingJelly's `ottt_online_training` does, without its optimiser."""
        network.zero_grad()
        for step in x:
            (nn.functional.cross_entropy(network(step.float()), labels) / len(x)).backward()
        functional.reset_net(network)

    return learn


def draw_spikes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return input spikes [T, N], the OFF events of the first recording, and random output spikes of the neurons."""
    return x[:, 0, 0].flatten(1).float(), (torch.rand(len(x), NEURONS) < 0.1).float()


def build_stdp(side: int) -> Callable[[Tensor, Tensor], object]:
    from dvspipe.rules import PairRule, apply_stdp

    weights = torch.rand(NEURONS, side**2)
    return lambda x, _labels: apply_stdp(weights, *draw_spikes(x), PairRule(bound="none"), dt_s=1e-3)


def build_spikingjelly_stdp(side: int) -> Callable[[Tensor, Tensor], object]:
    from spikingjelly.activation_based import learning

    synapse = nn.Linear(side**2, NEURONS, bias=False)
    learner = learning.STDPLearner("s", synapse, nn.Identity(), tau_pre=20.0, tau_post=20.0)

    def learn(x: Tensor, _labels: Tensor) -> None:
        for pre, post in zip(*draw_spikes(x), strict=True):
            learner.in_spike_monitor.records.append(pre[None])
            learner.out_spike_monitor.records.append(post[None])
            with torch.no_grad():
                synapse.weight += learner.step(on_grad=False)

        learner.reset()

    return learn


PEERS = {
    "stdp": build_stdp,
    "spikingjelly_stdp": build_spikingjelly_stdp,
    "spikingjelly_ottt": build_spikingjelly_ottt,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way")
    for size in ("T", "B", "side"):
        parser.add_argument(size, type=int)
    arguments = parser.parse_args()
    way = arguments.way
    T = arguments.T
    B = arguments.B
    side = arguments.side

    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.empty(T, B, 2, side, side, dtype=torch.uint8).bernoulli_(0.1)  # in place: no freed blocks to reuse later
    labels = torch.arange(B) % CLASSES
    learn = PEERS[way](side) if way in PEERS else build_ours(way, side)
    learn(x[:2], labels)
    before_mb = memory_mb("VmRSS")
    spent = seconds(lambda: learn(x, labels), REPEATS if T <= LONG else 1)
    print(json.dumps({"cpu_s": spent, "memory_mib": (memory_mb("VmHWM") - before_mb) / MIB}))


if __name__ == "__main__":
    main()
