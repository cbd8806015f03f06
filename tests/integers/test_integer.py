"""Networks in integers: the rule in closed form, and the quantisation of trained networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from c_targets import NETWORKS, make_network
from facts import raises
from numpy.typing import NDArray
from torch import nn

from dvspipe.base.errors import ConfigError
from dvspipe.integers.compilation import compile_network, measure_changes
from dvspipe.integers.network import (
    IntegerLayer,
    IntegerNetwork,
    IntegerReadout,
    LayerState,
    convolve,
    leak_of,
    pool_squares,
    run,
    run_integers,
)
from dvspipe.networks import find_norms, list_layers, run_network


def draw_counts(recordings: int, steps: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """Draw counts [B, T, 2, 7, 12] from sparse to dense recordings."""
    rng = np.random.default_rng(seed)
    active = rng.random((recordings, steps, 2, 7, 12)) < np.linspace(0.05, 0.6, recordings)[:, None, None, None, None]
    return (active * rng.integers(1, 5, active.shape)).astype(np.uint8)


def make_integer(**settings: Any) -> tuple[nn.Module, IntegerNetwork]:
    _, network = make_network(**settings)
    for norm in find_norms(network):
        norm.get_buffer("running_mean").uniform_(-0.1, 0.1)
    return network, compile_network(network, torch.from_numpy(draw_counts(6)).transpose(0, 1))


def one_neuron(**changes: Any) -> IntegerNetwork:
    values = {"leak": 1 << 14, "shift": 1, "padding": 0, "pool": 1, "subtract": True} | changes
    weight, threshold, unit = values.pop("weight", [10]), values.pop("threshold", [15]), values.pop("unit", 1.0)
    bias = np.array(values.pop("bias", [1]), np.int32)
    layer = IntegerLayer(np.array(weight, np.int8).reshape(-1, 1, 1, 1), bias, np.array(threshold, np.int32), **values)
    readout = IntegerReadout(np.array([[1], [-1]], np.int8), np.zeros(2, np.int32), 1 << 15, 0, unit)
    return IntegerNetwork((1, 1, 1), (layer,), readout)


def test_leak_is_symmetric_and_rounds_to_nearest() -> None:
    values = np.arange(-40_000, 40_000, 7, dtype=np.int32)
    assert (leak_of(-values, 6554) == -leak_of(values, 6554)).all()
    assert np.abs(leak_of(values, 6554) - values * 6554 / 2**15).max() <= 0.5


@pytest.mark.parametrize("channels", [2, 600])  # the sums of 600 channels do not fit in float32
def test_convolution_and_pooling_equal_torch(channels: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(100, 128, (3, channels, 3, 5)).astype(np.int8)
    x = rng.integers(0, 256, (4, channels, 7, 12)).astype(np.uint8)
    expected = nn.functional.conv2d(torch.from_numpy(x).double(), torch.from_numpy(weight).double(), padding=1)
    assert (convolve(weight, x, 1) == expected.numpy()).all()
    spikes = rng.random((3, 7, 12)) < 0.5
    sums = 9 * nn.functional.avg_pool2d(torch.from_numpy(spikes)[None].double(), 3)
    assert (pool_squares(spikes, 3) == sums[0].numpy().round()).all()


def states_of(network: IntegerNetwork, counts: NDArray[np.uint8]) -> list[LayerState]:
    """Return the states of the first layer after each step, which are computed one at a time."""
    states = list[LayerState]()
    after = None
    for step in counts:
        after = run_integers(network, step[None], after)
        states.append(after.layers[0].state)
    return states


@pytest.mark.parametrize(("subtract", "membranes"), [(True, [6, 9, 10]), (False, [0, 0, 0])])
def test_neuron_follows_the_equation(subtract: bool, membranes: list[int]) -> None:
    """The current is 10 << 1 plus the bias 1; a leak of 1/2 rounds halves away from zero."""
    counts = np.ones((3, 1, 1, 1), np.uint8)
    assert [state.membrane.item() for state in states_of(one_neuron(subtract=subtract), counts)] == membranes
    assert run(one_neuron(subtract=subtract), counts).tolist() == [[1, -1], [2, -2], [3, -3]]


def test_synaptic_current_follows_the_equation_and_is_limited() -> None:
    """The input is 21 per step. Half of the current leaks: 10.5 rounds to 11, 15.5 to 16, 18 is exact."""
    network = one_neuron(threshold=[1000], current_leak=1 << 14)
    states = states_of(network, np.ones((4, 1, 1, 1), np.uint8))
    assert [state.current.item() for state in states] == [21, 31, 36, 39]
    assert [state.membrane.item() for state in states] == [21, 41, 56, 67]
    assert network.state_bytes == one_neuron().state_bytes + 4

    for sign in (1, -1):
        network = one_neuron(bias=[sign * (1 << 29)], current_leak=1)
        assert states_of(network, np.ones((5, 1, 1, 1), np.uint8))[-1].current.item() == sign * (1 << 30)
    with raises(ConfigError, "lif1", (1 << 31) - 1):
        one_neuron(bias=[1 << 30], current_leak=1)
    with raises(ConfigError, "lif1", "current_leak", 0):
        one_neuron(current_leak=0)


def test_membrane_saturates_and_is_counted() -> None:
    counts = np.full((2, 1, 1, 1), 255, np.uint8)
    (layer,) = run_integers(one_neuron(weight=[-127], shift=2), counts).layers
    assert layer.saturated == 2
    assert layer.state.membrane.item() == -32767


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"pool": 16}, ("lif1", 16)),
        ({"pool": 0}, ("lif1", 0)),
        ({"unit": 1e308}, ("readout", "1e+308")),
        ({"threshold": [0]}, ("lif1", 32766)),
        ({"leak": 0}, ("lif1", 32768)),
        ({"weight": [1, 2]}, ("lif1", "(2, 1, 1, 1)")),
    ],
)
def test_wrong_numbers_are_refused(changes: dict[str, Any], facts: tuple[object, ...]) -> None:
    with raises(ConfigError, *facts):
        one_neuron(**changes)


def test_sum_that_may_overflow_is_refused() -> None:
    readout = IntegerReadout(np.full((2, 1), 127, np.int8), np.full(2, 2**30, np.int32), 100, 8, 1.0)
    with raises(ConfigError, "readout", 2**31 - 1):
        IntegerNetwork((1, 1, 1), (), readout)


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_do_not_depend_on_the_division_into_parts(name: str) -> None:
    _, compiled = make_integer(**NETWORKS[name])
    for number, counts in enumerate(draw_counts(5, seed=1), start=1):
        first = run_integers(compiled, counts[:number])
        second = run_integers(compiled, counts[number:], first)
        integrators = np.concatenate([first.integrators, second.integrators])
        assert (integrators.cumsum(axis=0, dtype=np.int64) == run(compiled, counts)).all()


@torch.no_grad()
def find_logits(network: nn.Module, compiled: IntegerNetwork, counts: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
    """Return the logits in integers and in floating point."""
    found = compiled.readout.unit * np.stack([run(compiled, each)[-1] for each in counts]) / counts.shape[1]
    return found, run_network(network, torch.from_numpy(counts).transpose(0, 1))[0].mean(0).numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_integers_follow_the_trained_network(name: str) -> None:
    """Rounding changes few spikes, and the logits by little on average; a single spike may change one logit more."""
    network, compiled = make_integer(**NETWORKS[name])
    counts = draw_counts(5, seed=1)
    found, logits = find_logits(network, compiled, counts)
    assert np.abs(found - logits).mean() < 0.05 * np.ptp(logits)
    changed, spikes = np.sum([measure_changes(network, compiled, each) for each in counts], axis=0).T
    assert (spikes > 0).all()
    assert (changed < 0.02 * spikes).all()


def test_readout_of_zeros_keeps_its_bias() -> None:
    _, network = make_network(**NETWORKS["zero"])
    counts = draw_counts(3)
    with torch.no_grad():
        list_layers(network)[-1].synapses.weight.zero_()
    found, logits = find_logits(network, compile_network(network, torch.from_numpy(counts).transpose(0, 1)), counts)
    assert np.abs(found - logits).max() < 1e-3 * np.abs(logits).max()


def test_values_that_are_not_counts_are_refused() -> None:
    with raises(ConfigError, "float32", "uint8"):
        compile_network(make_network(**NETWORKS["zero"])[1], torch.zeros(4, 1, 2, 7, 12))
