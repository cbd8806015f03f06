"""Neurons as modules for other networks: Norse's parameters, settings, steps and derivatives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from facts import raises
from norse.torch import LIBoxCell, LIFBoxCell
from norse.torch.functional import threshold
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract, reset_value
from torch import Tensor

from dvspipe.base.errors import ConfigError
from dvspipe.networks import LIF, CountReadout, LeakyReadout, LinearReadout, NeuronConfig
from dvspipe.networks.neurons import Neurons, Spike


def compare(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], currents: Tensor, atol: float = 1e-12) -> None:
    """Check that two results and the gradients of their weighted sums are equal."""
    gradients: list[Any] = []
    for outputs in (ours, theirs):
        generator = torch.Generator().manual_seed(7)
        weights = [torch.randint(-4, 5, each.shape, generator=generator).double() for each in outputs]
        total = sum(((each * weight).sum() for each, weight in zip(outputs, weights, strict=True)), torch.tensor(0.0))
        gradients += torch.autograd.grad(total, currents)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-12)
    torch.testing.assert_close(*gradients, rtol=0, atol=atol)


def random_currents(scale: float = 1.0) -> Tensor:
    torch.manual_seed(3)
    return (scale * (1.5 * torch.randn(25, 2, 30, dtype=torch.float64) + 0.5)).requires_grad_()


@pytest.mark.parametrize("reset_method", [reset_value, reset_subtract])
@pytest.mark.parametrize("levels", [{}, {"v_th": 0.7, "v_reset": -0.3, "v_leak": 0.2}], ids=str)
@pytest.mark.parametrize("uses_alpha", [False, True])
def test_lif_from_norse_parameters_equals_norse_cell(
    reset_method: Any, levels: dict[str, Any], uses_alpha: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if uses_alpha:  # not in Norse 1.1
        monkeypatch.setattr(threshold, "superspike_fn", lambda x, alpha: Spike.apply(x, "superspike", alpha))
    exact = {name: torch.tensor(value, dtype=torch.float64) for name, value in levels.items()}
    tau_mem_inv = torch.tensor(130.0, dtype=torch.float64)
    p = LIFBoxParameters(tau_mem_inv=tau_mem_inv, reset_method=reset_method, **exact)
    currents, state, theirs = random_currents(3), None, []
    cell = LIFBoxCell(p, dt=0.002)
    for current in currents.unbind(0):
        spikes, state = cell(current, state)
        theirs.append(spikes)
    assert state is not None
    first, middle = LIF.from_norse(p, dt=0.002)(currents[:9])
    second, last = LIF.from_norse(p, dt=0.002)(currents[9:], middle)
    ours = torch.cat([first, second])
    assert 0.1 < ours.mean() < 0.6
    compare((ours, last[0]), (torch.stack(theirs), state.v), currents)


def test_readout_from_norse_parameters_equals_norse_cell() -> None:
    p = LIBoxParameters(torch.tensor(90.0, dtype=torch.float64), torch.tensor(-0.4, dtype=torch.float64))
    currents, state, theirs = random_currents(), None, []
    cell = LIBoxCell(p, dt=0.002)
    for current in currents.unbind(0):
        potentials, state = cell(current, state)
        theirs.append(potentials)
    readout = LeakyReadout.from_norse(p, dt=0.002)
    first, middle = readout(currents[:9])
    compare((torch.cat([first, readout(currents[9:], middle)[0]]),), (torch.stack(theirs),), currents)


def test_parameters_without_a_fused_scan_are_rejected() -> None:
    several = torch.tensor([100.0, 200.0])
    for wrong, said in (
        (lambda: LIF.from_norse(LIFBoxParameters(tau_mem_inv=several)), ("tau_mem_inv", 2)),
        (lambda: LIF.from_norse(LIFBoxParameters(method="tanh")), "method = tanh"),
        (lambda: LIF.from_norse(LIBoxParameters()), "LIBoxParameters"),
        (lambda: LIF(dt=0), "dt = 0"),
        (lambda: LIF.from_norse(LIFBoxParameters(reset_method=lambda *_: several)), "reset_method"),
        (lambda: LIF.from_norse(LIFBoxParameters(), dt=0.1), ()),
        (LIF, "dt"),
        (lambda: LIF(NeuronConfig(tau_mem_s=0.1), beta=0.9), "beta = 0.9"),
        (lambda: LIF(beta=1.1), "beta = 1.1"),
        (lambda: LIF(NeuronConfig(tau_mem_s=1e-4), 1e-3), "tau_mem_s = 0.0001"),
        (lambda: LeakyReadout(1e-4, 1e-3), "tau_mem_s = 0.0001"),
    ):
        with raises(ConfigError, said):
            wrong()


def test_time_constant_and_step_give_the_same_neurons_as_beta() -> None:
    currents = 3 * random_currents()
    expected, _ = LIF(NeuronConfig(tau_mem_s=2e-3, reset="subtract"), 1e-3)(currents)
    assert expected.any()
    assert torch.equal(LIF(NeuronConfig(reset="subtract"), beta=0.5)(currents)[0], expected)
    potentials, _ = LeakyReadout(2e-3, 1e-3)(currents)
    assert torch.equal(LeakyReadout(beta=0.5)(currents)[0], potentials)


@pytest.mark.parametrize(
    "neurons",
    [
        LIF(NeuronConfig(reset="subtract"), beta=0.5),
        LIF(NeuronConfig(tau_mem_s=2e-3, tau_syn_s=4e-3), 1e-3),
        LeakyReadout(beta=0.5),
        CountReadout(NeuronConfig(tau_mem_s=2e-3), 1e-3),
        LinearReadout(),
    ],
    ids=lambda neurons: type(neurons).__name__,
)
def test_steps_one_by_one_equal_one_call(neurons: Neurons) -> None:
    currents, state, outputs = random_currents(), None, []
    expected, last = neurons(currents)
    for current in currents.unbind(0):
        output, state = neurons.step(current, state)
        outputs.append(output)
    assert state is not None
    compare((torch.stack(outputs), state), (expected, last), currents)


def test_second_derivative_is_refused_by_the_scan_and_computed_step_by_step() -> None:
    lif, currents = LIF(beta=0.5), random_currents()
    (fused,) = torch.autograd.grad(lif(currents)[0].sum(), currents)
    (first,) = torch.autograd.grad(lif.steps(currents, None)[0].sum(), currents, create_graph=True)
    torch.testing.assert_close(fused, first)
    (second,) = torch.autograd.grad(first.square().sum(), currents)
    assert second.any()
    with raises(ConfigError, "LIF", "second derivative", "lif.steps(currents, None)"):
        torch.autograd.grad(lif(currents)[0].sum(), currents, create_graph=True)


def test_repr_of_neurons_lists_their_constants() -> None:
    lif = LIF(NeuronConfig(tau_mem_s=0.02, tau_syn_s=0.01, slope=2.0), 1e-3, pool=2)
    assert lif.extra_repr() == "tau_mem_s=0.02, dt=0.001, tau_syn_s=0.01, slope=2.0, pool=2"
    assert LIF(beta=0.9).extra_repr() == "beta=0.9"
    assert LeakyReadout(dt=1e-3, gain=2).extra_repr() == "tau_mem_s=0.1, dt=0.001, gain=2"


def test_counts_and_half_precision_are_computed_in_float32() -> None:
    lif = LIF(NeuronConfig(tau_mem_s=2e-3), 1e-3)
    counts = torch.randint(0, 4, (6, 2, 5), dtype=torch.uint8)
    spikes, state = lif(counts)
    assert spikes.dtype == state.dtype == torch.float32
    halves, _ = lif(counts.to(torch.bfloat16))
    assert halves.dtype == torch.bfloat16
    assert torch.equal(halves.float(), spikes)
