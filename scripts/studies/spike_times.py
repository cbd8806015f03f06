"""Train on spike times and draw a figure for the docs: `python scripts/studies/spike_times.py TASK -o FILE.png`.

TASK is `xor` (SpikeProp, Bohte et al. 2002) or `pattern` (SuperSpike, Zenke and Ganguli 2018).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dvspipe.report.style import ACCENT, GREY, QUIET, RED, SMALL, TITLE, new_figure, save_figure, strip_axes
from dvspipe.rules import RMaxProp, SpikePropLayer, SuperSpikeLayer

XOR_INPUTS = ((0.0, 0.0, 0.0), (0.0, 6.0, 0.0), (6.0, 0.0, 0.0), (6.0, 6.0, 0.0))  # ms; the third input is a bias
XOR_TARGETS = (16.0, 10.0, 10.0, 16.0)  # ms
XOR_HIDDEN = 5
XOR_SYNAPSES: dict[str, Any] = {  # times in ms, potential per ms
    "delays": range(1, 17),
    "tau": 7.0,
    "threshold": 50.0,
    "least_slope": 1.0,
}
XOR_RATE = 2.0  # learning rate for weights of 1 to 10 and this threshold
XOR_ERROR = 1.0  # target in ms^2, summed over the four patterns
SEEDS = 5
PATTERN_S, PATTERN_STEP_S = 0.5, 0.001
PATTERN_INPUTS, PATTERN_HZ, PATTERN_SPIKES = 100, 10.0, 5
PATTERN_RATE, PATTERN_EPOCHS = 0.02, 150
SHOWN_EPOCHS = 60  # rows of the raster


def train_xor(seed: int, cycles: int) -> list[float]:
    """Train until the summed squared error is below XOR_ERROR, for at most `cycles`; return the error of each cycle.

    The last hidden neuron is inhibitory: its weights are at most 0.
    """
    torch.manual_seed(seed)
    hidden, output = (
        SpikePropLayer(inputs, neurons, **XOR_SYNAPSES).double()
        for inputs, neurons in ((len(XOR_INPUTS[0]), XOR_HIDDEN), (XOR_HIDDEN, 1))
    )
    output.weight.data[:, -1] *= -1
    times, targets = (torch.tensor(values, dtype=torch.float64) for values in (XOR_INPUTS, XOR_TARGETS))
    errors: list[float] = []
    while len(errors) < cycles and (not errors or errors[-1] >= XOR_ERROR):
        squares = (output(hidden(times))[:, 0] - targets).square().sum()
        errors.append(float(squares.detach()))
        weights = (hidden.weight, output.weight)
        for weight, gradient in zip(weights, torch.autograd.grad(squares / 2, weights), strict=True):
            weight.data -= XOR_RATE * gradient
        output.weight.data[:, -1].clamp_(max=0)
    return errors


class PatternResult(NamedTuple):
    """Training of a neuron on a target spike train.

    Args:
        losses: Van Rossum loss, [epochs].
        spikes: Output spikes, bool [epochs, T].
        targets: Target spikes, bool [T].
    """

    losses: Tensor
    spikes: Tensor
    targets: Tensor


def train_pattern(seed: int, epochs: int) -> PatternResult:
    """Train one neuron to spike at five times, with the same Poisson spikes of 100 inputs in every epoch."""
    generator = torch.Generator().manual_seed(seed)
    T = round(PATTERN_S / PATTERN_STEP_S)
    layer = SuperSpikeLayer(PATTERN_INPUTS, 1, dt=PATTERN_STEP_S, generator=generator)
    inputs = (torch.rand(T, 1, PATTERN_INPUTS, generator=generator) < PATTERN_HZ * PATTERN_STEP_S).float()
    targets = torch.zeros(T, 1, 1)
    targets[torch.arange(1, PATTERN_SPIKES + 1) * T // (PATTERN_SPIKES + 1)] = 1
    optimiser = RMaxProp([layer.weight], lr=PATTERN_RATE)
    losses, spikes = [], []
    for _ in range(epochs):
        result = layer.learn(inputs, targets)
        layer.weight.grad = result.gradient
        optimiser.step()
        losses.append(result.loss)
        spikes.append(result.spikes[:, 0, 0] > 0)
    return PatternResult(torch.stack(losses), torch.stack(spikes), targets[:, 0, 0] > 0)


def draw_xor(path: Path) -> None:
    figure = new_figure(width=5.2, height=2.6)
    axes = figure.subplots()
    for seed in range(SEEDS):
        errors = train_xor(seed, 500)
        axes.semilogy(range(1, len(errors) + 1), errors, color=ACCENT, linewidth=1.2, alpha=0.7)
        axes.plot(len(errors), errors[-1], "o", color=ACCENT, markersize=3)
        print(f"seed {seed}: {errors[-1]:.3f} ms^2 after {len(errors)} cycles")
    axes.axhline(XOR_ERROR, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_title("XOR by SpikeProp, five seeds", **TITLE)
    axes.set_xlabel("cycle", **SMALL)
    axes.set_ylabel("summed squared error / ms²", **SMALL)
    strip_axes(axes)
    save_figure(figure, path)


def draw_pattern(path: Path) -> None:
    result = train_pattern(0, PATTERN_EPOCHS)
    figure = new_figure(width=7.4, height=2.8)
    raster, curve = figure.subplots(1, 2, width_ratios=[2, 1])
    shown = torch.linspace(0, PATTERN_EPOCHS - 1, SHOWN_EPOCHS).round().long()
    rows, steps = result.spikes[shown].nonzero(as_tuple=True)
    ms = 1000 * PATTERN_STEP_S
    for step in result.targets.nonzero().flatten().tolist():
        raster.axvline(ms * step, color=RED, linewidth=0.8, alpha=0.6)
    raster.plot(ms * steps, shown[rows] + 1, "|", color=ACCENT, markersize=3)
    raster.set_title("spikes, with the target times in red", **TITLE)
    raster.set_xlabel("ms", **SMALL)
    raster.set_ylabel("epoch", **SMALL)
    raster.set_xlim(0, 1000 * PATTERN_S)
    raster.invert_yaxis()
    curve.plot(range(1, PATTERN_EPOCHS + 1), result.losses, color=GREY, linewidth=1)
    curve.set_title("van Rossum loss", **TITLE)
    curve.set_xlabel("epoch", **SMALL)
    curve.set_ylim(bottom=0)
    for axes in (raster, curve):
        strip_axes(axes)
    save_figure(figure, path)
    print(f"loss: first {result.losses[0]:.2f}, last {result.losses[-1]:.2f}, minimum {result.losses.min():.2f}")


TASKS = {"xor": draw_xor, "pattern": draw_pattern}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    TASKS[given.task](given.out)


if __name__ == "__main__":
    main()
