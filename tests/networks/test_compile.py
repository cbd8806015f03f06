"""`torch.compile` includes the neurons in its graph, with equal spikes and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dvspipe.networks import LIF, LeakyReadout, SpikingNetwork


class Net(nn.Module):
    """A network of a user with our neurons."""

    def __init__(self, **constants: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 5)
        self.lif, self.readout = LIF(constants, dt=1e-3), LeakyReadout(tau_mem_s=0.01, dt=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = self.lif(self.linear(x))
        outputs: Tensor = self.readout(spikes)[0]
        return outputs


def count_breaks(network: nn.Module, inputs: Tensor) -> int:
    torch._dynamo.reset()
    return int(torch._dynamo.explain(network)(inputs).graph_break_count)


@pytest.mark.parametrize("constants", [{}, {"tau_syn_s": 2e-3, "reset": "subtract"}], ids=["plain", "synapse"])
def test_neurons_cause_no_graph_break(constants: dict[str, Any]) -> None:
    assert count_breaks(Net(tau_mem_s=4e-3, **constants), torch.randn(3, 2, 6)) == 0


def test_network_has_no_graph_break() -> None:
    network = SpikingNetwork(channels=(2, 3), kernel=3, grid=(8, 6), classes=2, dt=1e-3)
    assert count_breaks(network, torch.randint(0, 2, (2, 2, 2, 6, 8))) == 0


def test_compiled_neurons_have_equal_spikes_and_gradients() -> None:
    torch.manual_seed(0)
    network = Net(tau_mem_s=4e-3, learn_tau=True, gain=8.0, slope=2.0)
    inputs, found = torch.randn(6, 3, 6), list[list[Tensor]]()
    torch._dynamo.reset()
    for run in (network, torch.compile(network, backend="aot_eager", fullgraph=True)):
        network.zero_grad()
        outputs = run(inputs)
        outputs.square().sum().backward()
        gradients = [each.grad for each in network.parameters()]
        found.append([outputs.detach(), *(each.clone() for each in gradients if each is not None)])
    assert len(found[0]) == 4
    assert all(each.any() for each in found[0])
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-6, atol=1e-9)
