"""Spikes, synaptic operations and energy of a network as tables for HTML pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..results import ENERGY_SOURCE, ActivityRecord, LayerActivity
from ..results.activity import ADD_PJ, MULTIPLY_ADD_PJ
from .pages import UNDEFINED, Table, percent

HEADS = (
    "Layer",
    "Neurons",
    "Spikes per neuron and step",
    "Spikes in",
    "Fan-out",
    "Dense operations",
    "Synaptic operations",
    "Share",
    "Energy",
)


@dataclass(frozen=True)
class EnergySection:
    """Content of the energy section of a page, energy.html.

    `scope` is a sentence on what the numbers refer to; `multiplies`: some inputs are not counts; `counts_membranes`:
    the estimates include membrane updates.
    """

    scope: str
    layers: Table
    estimates: Table
    multiplies: bool
    counts_membranes: bool
    add_pj: float = ADD_PJ
    multiply_add_pj: float = MULTIPLY_ADD_PJ
    source: str = ENERGY_SOURCE


def energy_per_recording(activity: ActivityRecord) -> EnergySection:
    """Return the mean per test recording, compared with the same network with ReLU instead of spikes."""
    layers = activity.layers
    steps = activity.steps
    operations = sum(layer.operations for layer in layers) / activity.recordings
    synapses_pj = sum(layer.energy_pj for layer in layers) / activity.recordings
    updates = steps * sum(layer.neurons for layer in layers)

    # Without spikes, a layer computes all its operations: once for the sum of the steps, or in every step.
    connections = sum(layer.connections for layer in layers)
    frames_pj = connections * MULTIPLY_ADD_PJ

    estimates = (
        ("This network, synapses", f"{operations:,.0f} synaptic operations", synapses_pj),
        (
            "This network, synapses and membranes",
            f"and {updates:,} membrane updates",
            synapses_pj + updates * MULTIPLY_ADD_PJ,
        ),
        ("Same network with ReLU, on the sum of the steps", f"{connections:,} multiply-accumulates", frames_pj),
        ("Same network with ReLU, on every step", f"{connections * steps:,} multiply-accumulates", frames_pj * steps),
    )

    return EnergySection(
        f"Mean over the {activity.recordings} test recordings of {steps} steps of {activity.step_us / 1000:g} ms each.",
        _layer_table(layers, activity.recordings),
        _estimate_table(estimates, frames_pj),
        layers[0].multiplies,
        counts_membranes=True,
    )


def energy_per_second(layers: Sequence[LayerActivity], classified_us: int) -> EnergySection:
    """Return the mean per second of classified time (> 0), compared with the same operations without skipping zeros."""
    seconds = classified_us / 1e6
    operations = sum(layer.operations for layer in layers) / seconds
    dense_operations = sum(layer.dense_operations for layer in layers) / seconds
    spent_pj = sum(layer.energy_pj for layer in layers) / seconds
    dense_pj = sum(layer.dense_energy_pj for layer in layers) / seconds

    estimates = (
        ("This network, synapses", f"{operations:,.0f} synaptic operations", spent_pj),
        ("This network, without skipping zeros", f"{dense_operations:,.0f} multiply-accumulates", dense_pj),
    )

    return EnergySection(
        f"Mean per second of the {seconds:,.1f} s processed by the network; overlapping windows count separately.",
        _layer_table(layers, seconds),
        _estimate_table(estimates, dense_pj),
        layers[0].multiplies,
        counts_membranes=False,
    )


def _layer_table(layers: Sequence[LayerActivity], amount: float) -> Table:
    """Return one row per layer: sums divided by `amount`, such as the number of recordings."""
    rows = [
        (
            layer.name,
            f"{layer.neurons:,}",
            UNDEFINED if layer.rate is None else f"{layer.rate:.4f}",
            f"{layer.spikes_in / amount:,.0f}",
            f"{layer.fan_out:,.0f}",
            *_format_costs([layer], amount),
        )
        for layer in layers
    ]

    neurons = sum(layer.neurons for layer in layers)
    return Table(HEADS, (*rows, ("Total", f"{neurons:,}", "", "", "", *_format_costs(layers, amount))))


def _format_costs(layers: Sequence[LayerActivity], amount: float) -> tuple[str, str, str, str]:
    """Return dense and synaptic operations, the share of the latter, and their energy, of all layers."""
    synaptic = sum(layer.operations for layer in layers)
    dense = sum(layer.dense_operations for layer in layers)
    share = percent(synaptic / dense) if dense else UNDEFINED

    energy_pj = sum(layer.energy_pj for layer in layers)
    return f"{dense / amount:,.0f}", f"{synaptic / amount:,.0f}", share, joules(energy_pj / amount)


def _estimate_table(estimates: Sequence[tuple[str, str, float]], reference_pj: float) -> Table:
    rows = [
        (name, operations, joules(energy_pj), f"{energy_pj / reference_pj:.2f}" if reference_pj else UNDEFINED)
        for name, operations, energy_pj in estimates
    ]

    return Table(("Energy estimate", "Operations", "Energy", "Relative energy"), rows)


def joules(picojoules: float) -> str:
    """Format an energy with three significant digits.

    Example:
        >>> joules(4_470_000)
        '4.47 µJ'
    """
    for unit, size in (("J", 1e12), ("mJ", 1e9), ("µJ", 1e6), ("nJ", 1e3)):
        if picojoules >= size:
            return f"{picojoules / size:.3g} {unit}"
    return f"{picojoules:.3g} pJ"
