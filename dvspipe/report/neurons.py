"""The response of LIF neurons to a spike train as a picture: membrane, threshold, spikes, closed form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .charts import _GRID, _INK, _QUIET, _SMALL, _VALIDATION, _figure, _save

if TYPE_CHECKING:
    from ..networks import NeuronResponse

_CLOSED, _FIRED, _ARRIVED = "#1f2937", "#d61f26", "#6b7280"
_FORMULA = "closed form v[n] = Σ w a (1 - a)^(n - n_k), a = dt/τ, until the first spike"
_ROOM = 0.35  # above the threshold, for spikes


def draw_neurons(responses: Sequence[NeuronResponse], path: Path) -> None:
    """Draws a panel per neuron, weights downwards and time constants to the right, above the spikes that came in.

    Args:
        responses: To the same spikes; one for each pair of weight and time constant.
        path: The PNG to write.
    """
    taus, weights = (list(dict.fromkeys(getattr(one, name) for one in responses)) for name in ("tau_s", "weight"))
    rows, columns = len(weights) + 1, len(taus)
    figure = _figure(width=0.8 + 3.6 * columns, height=1.2 + 1.8 * len(weights), title="")
    panels = figure.subplots(
        rows, columns, squeeze=False, sharex=True, sharey="row", height_ratios=[*[1.0] * len(weights), 0.16]
    )
    low = min(0.0, *(float(one.membrane.min()) for one in responses))
    for one in responses:
        row, column = weights.index(one.weight), taus.index(one.tau_s)
        _draw_membrane(panels[row][column], one, low)
        if row == 0:
            panels[row][column].set_title(f"τ = {1000 * one.tau_s:g} ms", loc="left", fontsize=10, color=_INK)
        if column == 0:
            panels[row][column].set_ylabel(f"weight {one.weight:g}\nmembrane / threshold", **_SMALL)
    for axes in panels[-1]:
        _draw_arrivals(axes, responses[0])
    panels[-1][0].set_ylabel("input", **_SMALL, rotation=0, ha="right", va="center")
    lines, names = panels[0][0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=4, frameon=False, fontsize=8, labelcolor=_QUIET)
    _save(figure, path)


def _draw_membrane(axes: Any, one: NeuronResponse, low: float) -> None:
    """The potential after each step; it is 0 at first."""
    ms = 1000 * one.dt * np.arange(len(one.membrane) + 1)
    axes.axhline(1, color=_QUIET, linewidth=0.8, linestyle=(0, (1, 2)), label="threshold")
    axes.plot(ms, [0, *one.membrane], color=_VALIDATION, linewidth=2.2, alpha=0.55, label="membrane of dvspipe's LIF")
    until_first_spike = np.minimum([0, *one.closed_form], 1 + _ROOM)
    axes.plot(ms, until_first_spike, color=_CLOSED, linewidth=1, linestyle=(0, (4, 2)),
              label=_FORMULA)  # fmt: skip
    fired = ms[1:][one.fired]
    axes.vlines(fired, 1 + 0.3 * _ROOM, 1 + 0.9 * _ROOM, color=_FIRED, linewidth=1.5, label="its spikes")
    axes.set_ylim(1.1 * low - 0.05, 1.02 + _ROOM)
    axes.set_xlim(0, ms[-1])
    _plain(axes)


def _draw_arrivals(axes: Any, one: NeuronResponse) -> None:
    arrived = np.flatnonzero(one.arrived)
    axes.vlines(1000 * one.dt * arrived, 0, 1, color=_ARRIVED, linewidth=1.3)
    axes.set_yticks([])
    axes.set_xlabel("ms", **_SMALL)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(length=0, labelsize=8, labelcolor=_QUIET)
