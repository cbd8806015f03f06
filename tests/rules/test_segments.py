"""Segmented gradients equal the gradients of one graph over all steps, in memory independent of their number."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from dvspipe.events import SensorSize
from dvspipe.networks import NetworkConfig, SpikingNetwork, find_norms
from dvspipe.rules import backpropagate, backpropagate_segments, choose_segment, measure_graph
from dvspipe.training.schedule import LOSSES

GRID = SensorSize(width=12, height=7)
T = 21
MLP = {"network": "mlp", "channels": (9, 7), "tau_syn_s": 2e-3, "dropout": 0.4}
LINEAR = {"network": "mlp", "channels": (9,), "readout": "linear"}
COUNT = {"network": "mlp", "channels": (9,), "readout": "count", "reset": "subtract"}
NORMED = {"channels": (4, 5), "kernel": 3, "dropout": 0.4}


def build(settings: dict[str, Any]) -> SpikingNetwork:
    torch.manual_seed(0)
    config = NetworkConfig.model_validate({"tau_mem_s": 0.004, "tau_readout_s": 0.009, "gain": 4.0} | settings)
    return SpikingNetwork(config, grid=GRID, classes=3, dt=1e-3).double().train()


def spikes(steps: int = T, batch: int = 2) -> Tensor:
    drawn = torch.rand(steps, batch, 2, GRID.height, GRID.width, generator=torch.Generator().manual_seed(1))
    return (drawn < 0.2).to(torch.uint8)


def loss(outputs: Tensor, kind: str = "mean") -> Tensor:
    targets = torch.eye(3, dtype=outputs.dtype)[torch.arange(outputs.shape[1]) % 3]
    return LOSSES[kind](outputs, targets, 0.1).sum()


def gradients(network: SpikingNetwork) -> list[Tensor]:
    return [weight.grad for weight in network.parameters() if weight.grad is not None]


def assert_equal(ours: SpikingNetwork, theirs: SpikingNetwork) -> None:
    pairs = list(zip(gradients(ours), gradients(theirs), strict=True))
    assert len(pairs) == len(list(theirs.parameters()))
    for our, their in pairs:
        assert their.abs().max() > 0
        assert (our - their).norm() <= 1e-12 * their.norm()


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("settings", [MLP, COUNT, LINEAR], ids=["dropout", "count", "linear"])
def test_segmented_gradients_equal_complete_gradients(settings: dict[str, Any], steps: int, kind: str) -> None:
    """For T = 21, n = 1 stores states of groups of segments. Dropout draws as many random numbers as in BPTT."""
    whole = build(settings)
    parts = copy.deepcopy(whole)
    torch.manual_seed(3)
    expected = backpropagate(whole, spikes(), lambda y: loss(y, kind))
    drawn = torch.get_rng_state()
    torch.manual_seed(3)
    outputs = backpropagate_segments(parts, spikes(), lambda y: loss(y, kind), steps=steps)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert_equal(parts, whole)


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_segmented_batch_norm_equals_one_graph_over_segments(steps: int) -> None:
    """The running statistics equal the statistics of one forward pass."""
    whole = build(NORMED)
    parts = copy.deepcopy(whole)
    state, outputs = None, []
    for segment in spikes().split(steps):
        torch.manual_seed(3)  # the same dropout masks
        output, state = whole(segment, state)
        outputs.append(output)
    loss(torch.cat(outputs)).backward()
    torch.manual_seed(3)
    backpropagate_segments(parts, spikes(), loss, steps=steps)
    assert_equal(parts, whole)
    for ours, theirs in zip(find_norms(parts), find_norms(whole), strict=True):
        assert torch.equal(ours.running_var, theirs.running_var)
        assert ours.num_batches_tracked == theirs.num_batches_tracked == -(-T // steps)


def test_truncated_gradient_equals_separate_windows() -> None:
    network = build({"network": "mlp", "channels": (9,)})
    expected = copy.deepcopy(network)
    backpropagate(network, spikes(), loss, truncate=7)
    state = None
    for window in spikes().split(7):
        output, state = expected(window, state)
        (loss(output) / 3).backward()
        state = [tensor.detach() for tensor in state]
    assert_equal(network, expected)


@pytest.mark.parametrize("steps", [40, 90])
def test_memory_holds_few_states_and_one_segment(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With S segments of 4 steps, about 2 sqrt(S) states are alive; each segment builds its graph once."""
    network, alive, most, graphs = build({"network": "mlp", "channels": (9,)}), set[int](), 0, 0
    forward = network.forward

    class Watched(list[Tensor]):
        def __init__(self, tensors: list[Tensor]) -> None:
            super().__init__(tensors)
            alive.add(id(self))

        def __del__(self) -> None:
            alive.discard(id(self))

    def watch(piece: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        nonlocal most, graphs
        outputs, after = forward(piece, state)
        most, graphs = max(most, len(alive)), graphs + torch.is_grad_enabled()
        return outputs, Watched(list(after))

    monkeypatch.setattr(network, "forward", watch)
    backpropagate_segments(network, spikes(steps), loss, steps=4)
    segments = -(-steps // 4)
    assert graphs == segments
    assert most <= 2 * (segments**0.5 + 1) + 1 < segments or segments == 10


def test_graph_size_per_step_is_measured() -> None:
    """The graph of an MLP contains inputs, membranes and features per step; measuring does not change the network."""
    network = build({"channels": (4,), "kernel": 3, "dropout": 0.5})
    before, drawn = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    measured = measure_graph(network, spikes(3))
    pixels, pooled = 7 * 12, 3 * 6
    kept = 8 * 2 * (2 * pixels + 2 * 4 * pixels)  # input, convolution and membranes of two recordings, float64
    assert 1.5 * kept <= measured <= 1.5 * (kept + 8 * 2 * 4 * 4 * pooled)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert measured == measure_graph(network, spikes(7))


def test_segments_are_equal_and_as_long_as_memory_allows() -> None:
    assert choose_segment(24, 10, 240) is None
    assert choose_segment(25, 10, 240) == 13
    assert choose_segment(1000, 10, 1) == 1
