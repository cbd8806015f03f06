"""Fused neurons, compared with Norse's loops and cells over generated parameters, states and layouts."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import norse.torch as norse
import pytest
import torch
from hypothesis import given, settings
from norse.torch.functional.reset import reset_subtract, reset_value
from norse.torch.module.snn import SNN
from steps import Steps
from torch import Tensor, nn

from dvspipe.networks import LIF, LIBox, LIFBox, reset_subtract_detached, reset_value_detached

DT = 1e-3
FACTORS = st.floats(0.02, 1.0)
SHAPES = st.sampled_from([(7, 2, 5), (4, 3, 2, 5, 4), (9, 1, 3, 6, 7)])
SLOW = settings(max_examples=15, deadline=None)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


@st.composite
def boxes(draw: st.DrawFn, methods: tuple[str, ...] = ("super",)) -> norse.LIFBoxParameters:
    """Parameters of Norse's box LIF."""
    leak = draw(st.floats(-1.0, 0.5))
    return norse.LIFBoxParameters(
        tau_mem_inv=number(draw(FACTORS) / DT),
        v_leak=number(leak),
        v_th=number(leak + draw(st.floats(0.1, 2.0))),
        v_reset=number(leak - draw(st.floats(0.0, 0.5))),
        method=draw(st.sampled_from(methods)),
        alpha=number(draw(st.floats(0.5, 20.0))),
        reset_method=draw(st.sampled_from([reset_value, reset_subtract])),
    )


def draw_currents(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    currents = 2 * torch.randn(shape, generator=generator, dtype=dtype) + 0.5
    if seed % 2 and len(shape) == 5:  # channels last in memory
        currents = currents.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    return currents.requires_grad_()


def run(neurons: nn.Module, currents: Tensor, state: Any = None) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Return the outputs, the last state, and gradients of currents and the first state."""
    outputs, after = neurons(currents, state)
    weights = torch.linspace(0.5, 1.5, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    loss = (weights * outputs).sum() + sum((value * value).sum() for value in after)
    leaves = [currents, *(state or ())]
    return outputs, [*after], [*torch.autograd.grad(loss, leaves, allow_unused=True)]


def assert_equal(fused: nn.Module, reference: nn.Module, currents: Tensor, state: Any = None) -> None:
    outputs, after, gradients = run(fused, currents, state)
    expected, expected_after, expected_gradients = run(reference, currents, state)
    tolerance = 1e-12 if currents.dtype == torch.float64 else 1e-4

    torch.testing.assert_close(outputs, expected, rtol=tolerance, atol=tolerance)
    for ours, theirs in zip([*after, *gradients], [*expected_after, *expected_gradients], strict=True):
        torch.testing.assert_close(ours, theirs.expand_as(ours), rtol=tolerance, atol=tolerance)


@SLOW
@given(p=boxes(), shape=SHAPES, seed=st.integers(0, 99))
def test_box_equals_norses_cell(p: norse.LIFBoxParameters, shape: tuple[int, ...], seed: int) -> None:
    currents = draw_currents(shape, seed)
    first = type(norse.LIFBoxCell().initial_state(currents[0]))(v=draw_currents(shape[1:], seed + 2))
    assert_equal(LIFBox(p, DT), Steps(norse.LIFBoxCell(p, DT)), currents, first)


@SLOW
@given(p=boxes(("super", "superspike", "arctan")), shape=SHAPES, seed=st.integers(0, 99), detached=st.booleans())
def test_fused_scan_equals_norses_loop(
    p: norse.LIFBoxParameters, shape: tuple[int, ...], seed: int, detached: bool
) -> None:
    """With our surrogates and resets, too: Norse's `SNN` runs the same step."""
    if detached:
        reset = reset_value_detached if p.reset_method is reset_value else reset_subtract_detached
        p = p._replace(reset_method=reset)
    neurons = LIFBox(p, DT)
    loop = SNN(neurons.activation, neurons.state_fallback, p, DT)
    assert_equal(neurons, loop, draw_currents(shape, seed))


@SLOW
@given(tau=FACTORS, synapse=FACTORS, alpha=st.floats(0.5, 20.0), seed=st.integers(0, 99), shape=SHAPES)
def test_lif_equals_norses_cell_and_loop(
    tau: float, synapse: float, alpha: float, seed: int, shape: tuple[int, ...]
) -> None:
    p = norse.LIFParameters(
        tau_mem_inv=number(tau / DT), tau_syn_inv=number(synapse / DT), v_th=number(0.7), alpha=number(alpha)
    )
    currents = draw_currents(shape, seed)
    first, second = (draw_currents(shape[1:], seed + extra) for extra in (2, 4))
    state = norse.LIFCell().initial_state(currents[0])._replace(v=first, i=second)
    assert_equal(LIF(p, DT), Steps(norse.LIFCell(p, dt=DT)), currents, state)

    ours = p._replace(method="superspike")
    neurons = LIF(ours, DT)
    assert_equal(neurons, SNN(neurons.activation, neurons.state_fallback, ours, DT), currents, state)


@SLOW
@given(tau=FACTORS, leak=st.floats(-1, 1), shape=SHAPES, seed=st.integers(0, 99))
def test_readout_equals_norses_cell(tau: float, leak: float, shape: tuple[int, ...], seed: int) -> None:
    p = norse.LIBoxParameters(tau_mem_inv=number(tau / DT), v_leak=number(leak))
    currents = draw_currents(shape, seed)
    state = norse.LIBoxState(v=draw_currents(shape[1:], seed + 2))
    assert_equal(LIBox(p, DT), Steps(norse.LIBoxCell(p, dt=DT)), currents, state)


@pytest.mark.parametrize("pool", [2, 3])
def test_pooled_spikes_are_means_of_squares(pool: int) -> None:
    neurons = LIFBox(norse.LIFBoxParameters(tau_mem_inv=number(300.0)), DT)
    currents = draw_currents((6, 2, 3, 7, 12), 1)
    pooled, state = neurons(currents, pool=pool)
    spikes, expected_state = neurons(currents)
    expected = nn.functional.avg_pool2d(spikes.flatten(0, 1), pool).unflatten(0, (6, 2))

    torch.testing.assert_close(pooled, expected)
    assert torch.equal(state.v, expected_state.v)
    weights = torch.randn_like(pooled)
    torch.testing.assert_close(
        torch.autograd.grad((weights * pooled).sum(), currents),
        torch.autograd.grad((weights * expected).sum(), currents),
    )


def test_float32_spikes_differ_in_at_most_1_of_100_000() -> None:
    neurons = LIFBox(norse.LIFBoxParameters(tau_mem_inv=number(300.0)), DT)
    currents = draw_currents((50, 4, 5_000), 2, torch.float32).detach()
    with torch.no_grad():
        spikes, _ = neurons(currents)
        expected, _ = Steps(norse.LIFBoxCell(neurons.p, DT))(currents)
    assert 0.05 < expected.mean() < 0.5
    assert (spikes != expected).float().mean() <= 1e-5


def test_trained_parameters_get_gradients() -> None:
    tau_mem_inv = number(300.0).requires_grad_()
    neurons = LIFBox(norse.LIFBoxParameters(tau_mem_inv=tau_mem_inv, method="superspike"), DT)
    spikes, _ = neurons(draw_currents((6, 2, 5), 0))
    (gradient,) = torch.autograd.grad(spikes.sum(), tau_mem_inv)
    assert gradient != 0
