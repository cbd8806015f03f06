"""Spikes, synaptic operations and energy of a network as a table of HTML pages."""

from __future__ import annotations

from collections.abc import Sequence

from ..results import LayerActivity
from .pages import Table


def table_energy(layers: Sequence[LayerActivity], amount: float) -> Table:
    """Return a row for each layer and their total: sums divided by `amount`, such as the number of recordings."""
    rows = [
        (layer.name, "–" if layer.rate is None else f"{layer.rate:.4f}", *_format_costs([layer], amount))
        for layer in layers
    ]
    heads = ("Layer", "Spikes per neuron and step", "Synaptic operations", "Energy")
    return Table(heads, (*rows, ("Total", "", *_format_costs(layers, amount))))


def _format_costs(layers: Sequence[LayerActivity], amount: float) -> tuple[str, str]:
    """Return the synaptic operations and their energy."""
    operations = sum(layer.operations for layer in layers)
    energy_pj = sum(layer.energy_pj for layer in layers)
    return f"{operations / amount:,.0f}", joules(energy_pj / amount)


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
