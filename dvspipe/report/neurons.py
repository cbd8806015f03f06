"""Chart of the response of LIF neurons to a spike train: membrane, threshold, spikes, closed form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .style import ACCENT, INK, QUIET, RED, SMALL, TITLE, new_figure, save_figure, strip_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..networks import NeuronResponse

CLOSED_FORM = "closed form v[n] = Σ w a (1 - a)^(n - n_k), a = dt/τ, until the first spike"
SPIKE_HEIGHT = 0.35  # above the threshold, in units of the threshold


def draw_neurons(responses: Sequence[NeuronResponse], path: Path) -> None:
    """Draw one panel per neuron (row: weight, column: time constant) above the input spikes.

    Args:
        responses: Responses to the same spikes, one per pair of weight and time constant.
        path: PNG file to write.

    Raises:
        FileError: If the file cannot be written.
    """
    taus_s = list(dict.fromkeys(response.tau_s for response in responses))
    weights = list(dict.fromkeys(response.weight for response in responses))
    rows, columns = len(weights) + 1, len(taus_s)
    legend_columns = 4 if columns > 2 else columns  # the longest entry is nearly as wide as a panel
    figure = new_figure(width=0.8 + 3.6 * columns, height=1.2 + 1.8 * len(weights) + 0.8 / legend_columns)
    ratios = [*[1.0] * len(weights), 0.16]
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey="row", height_ratios=ratios)
    low = min(0.0, *(float(response.membrane.min()) for response in responses))
    for response in responses:
        _draw_membrane(panels[weights.index(response.weight)][taus_s.index(response.tau_s)], response, low)
    for axes, tau_s in zip(panels[0], taus_s, strict=True):
        axes.set_title(f"τ = {1000 * tau_s:g} ms", **TITLE)
    for axes, weight in zip(panels[:-1, 0], weights, strict=True):
        axes.set_ylabel(f"weight {weight:g}\nmembrane / threshold", **SMALL)
    for axes in panels[-1]:
        _draw_input(axes, responses[0])
    panels[-1][0].set_ylabel("input", **SMALL, rotation=0, ha="right", va="center")
    lines, names = panels[0][0].get_legend_handles_labels()
    figure.legend(
        lines, names, loc="outside upper center", ncols=legend_columns, frameon=False, fontsize=8, labelcolor=QUIET
    )
    save_figure(figure, path)


def _draw_membrane(axes: Axes, response: NeuronResponse, low: float) -> None:
    """Draw the potential after each step, starting at 0."""
    ms = 1000 * response.dt * np.arange(len(response.membrane) + 1)
    axes.axhline(1, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)), label="threshold")
    axes.plot(
        ms, [0, *response.membrane], color=ACCENT, linewidth=2.2, alpha=0.55, label="membrane of dvspipe's LIF neuron"
    )
    until_first_spike = np.minimum([0, *response.closed_form], 1 + SPIKE_HEIGHT)
    axes.plot(ms, until_first_spike, color=INK, linewidth=1, linestyle=(0, (4, 2)), label=CLOSED_FORM)
    fired_ms = ms[1:][response.fired]
    axes.vlines(fired_ms, 1 + 0.3 * SPIKE_HEIGHT, 1 + 0.9 * SPIKE_HEIGHT, color=RED, linewidth=1.5, label="its spikes")
    axes.set_ylim(1.1 * low - 0.05, 1.02 + SPIKE_HEIGHT)
    axes.set_xlim(0, ms[-1])
    strip_axes(axes)


def _draw_input(axes: Axes, response: NeuronResponse) -> None:
    axes.vlines(1000 * response.dt * np.flatnonzero(response.arrived), 0, 1, color=QUIET, linewidth=1.3)
    axes.set_yticks([])
    axes.set_xlabel("ms", **SMALL)
    strip_axes(axes)
