"""What a network did with the test recordings: a table of operations and energy, and examples as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from .charts import _GRID, _INK, _PALE, _QUIET, _SMALL, _VALIDATION, _figure, _save
from .rasters import _OFF, _ON

MULTIPLY_ADD_PJ = 4.6  # 3.7 to multiply and 0.9 to add 32-bit floats at 45 nm: Horowitz, ISSCC 2014, figure 1.1.9
ADD_PJ = 0.9
SOURCE = 'Horowitz, "Computing\'s energy problem (and what we can do about it)", ISSCC 2014'
MOST_DRAWN = 4.0  # thresholds, of a membrane's potential
_TRACES = (_VALIDATION, "#d08a1d", "#4a9a62")


class _Layer(BaseModel):
    """A layer of activity.json."""

    model_config = ConfigDict(frozen=True)

    name: str
    neurons: int
    connections: int
    fan_out: float
    rate: float | None
    arrived: float
    operations: float
    multiplies: bool


class _Trace(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    neurons: int
    spikes: list[list[int]]
    traced: list[int]
    membranes: list[list[float]]


class _Example(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    label: int
    predicted: int
    arrived: list[list[float]]
    layers: list[_Trace]
    readout: list[list[float]]


class ActivityRecord(BaseModel):
    """activity.json as training writes it."""

    model_config = ConfigDict(frozen=True)

    step_us: int
    steps: int
    recordings: int
    layers: list[_Layer]
    examples: list[_Example]


def activity_table(record: ActivityRecord) -> str:
    """Spikes, operations and energy per recording of each layer, beside the same network without spikes, as HTML."""
    heads = ("Layer", "Neurons", "Spikes per neuron and step", "Spikes in", "Fan-out", "Synaptic operations", "Energy")
    rows = [
        (
            layer.name,
            f"{layer.neurons:,}",
            "–" if layer.rate is None else f"{layer.rate:.4f}",
            f"{layer.arrived:,.0f}",
            f"{layer.fan_out:,.0f}",
            f"{layer.operations:,.0f}",
            joules(layer.operations * (MULTIPLY_ADD_PJ if layer.multiplies else ADD_PJ)),
        )
        for layer in record.layers
    ]
    neurons = sum(layer.neurons for layer in record.layers)
    connections = sum(layer.connections for layer in record.layers)
    operations = sum(layer.operations for layer in record.layers)
    synapses_pj = sum(layer.operations * (MULTIPLY_ADD_PJ if layer.multiplies else ADD_PJ) for layer in record.layers)
    membranes, frames_pj = neurons * record.steps, connections * MULTIPLY_ADD_PJ
    spiking_pj = synapses_pj + membranes * MULTIPLY_ADD_PJ
    rows.append(("All synapses", f"{neurons:,}", "", "", "", f"{operations:,.0f}", joules(synapses_pj)))
    compared = (
        ("This network, synapses", f"{operations:,.0f} synaptic operations", synapses_pj),
        ("This network, synapses and membranes", f"and {membranes:,} updates of a membrane", spiking_pj),
        ("The same network with ReLU, on the sum of the steps", f"{connections:,} multiply-accumulates", frames_pj),
        ("The same network with ReLU, on every step", f"{connections * record.steps:,} multiply-accumulates",
         frames_pj * record.steps),
    )  # fmt: skip
    beside = [(name, what, joules(energy), f"{energy / frames_pj:.2f}") for name, what, energy in compared]
    float_inputs = " (inputs that are no counts are multiplied)" if record.layers[0].multiplies else ""
    return (
        f"<p>In the mean over the {record.recordings} test recordings, of {record.steps} steps of "
        f"{record.step_us / 1000:g} ms each.</p>"
        + table(heads, rows)
        + '<p class="quiet">A synaptic operation is a spike that reaches a neuron: spikes in times fan-out, the '
        "connections of the layer per input."
        + float_inputs
        + "</p>"
        + table(("Energy estimate", "Operations", "Energy", "of ReLU's"), beside)
        + f'<p class="quiet">{ADD_PJ} pJ for a synaptic operation (an addition), {MULTIPLY_ADD_PJ} pJ for a '
        "multiply-accumulate and for an update of a membrane, 32-bit floats at 45 nm: "
        f"{escape(SOURCE)}. An estimate of arithmetic alone: memory, which costs more, is not counted, nor what a "
        "processor spends that does not skip zeros, as CPUs and GPUs do not.</p>"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Texts as an HTML table."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def joules(picojoules: float) -> str:
    """An energy as a text."""
    for unit, size in (("mJ", 1e9), ("µJ", 1e6), ("nJ", 1e3)):
        if picojoules >= size:
            return f"{picojoules / size:.3g} {unit}"
    return f"{picojoules:.3g} pJ"


def draw_examples(record: ActivityRecord, classes: Sequence[str], path: Path) -> None:
    """Draws a column per recording: the events that came in, spikes and membranes of each layer, and the readout.

    Args:
        record: At least one example.
        classes: K names.
        path: The PNG to write.
    """
    layers = len(record.examples[0].layers)
    heights = [0.8, *[1.5, 0.9] * layers, 1.3]
    figure = _figure(width=0.6 + 3.1 * len(record.examples), height=0.4 + 1.05 * sum(heights), title="")
    panels = figure.subplots(len(heights), len(record.examples), squeeze=False, sharex=True, height_ratios=heights)
    for column, example in zip(panels.T, record.examples, strict=True):
        said = "" if example.predicted == example.label else f", taken for {classes[example.predicted]}"
        column[0].set_title(f"{classes[example.label]}{said}", loc="left", fontsize=10, color=_INK, parse_math=False)
        _draw_input(column[0], example, record.step_us)
        for place, trace in enumerate(example.layers):
            _draw_spikes(column[1 + 2 * place], trace, record)
            _draw_membranes(column[2 + 2 * place], trace, record)
        _draw_readout(column[-1], example, classes, record)
        column[-1].set_xlabel("ms", **_SMALL)
        column[-1].set_xlim(0, record.steps * record.step_us / 1000)
    names = [trace.name for trace in record.examples[0].layers]
    labels = ["events", *(label for name in names for label in (f"{name}\nspikes", f"{name}\nmembrane")), "readout"]
    for axes, label in zip(panels[:, 0], labels, strict=True):
        axes.set_ylabel(label, **_SMALL)
    figure.align_ylabels(panels[:, 0])
    _save(figure, path)


def _draw_input(axes: Any, example: _Example, step_us: int) -> None:
    """Events per step: ON upwards, OFF downwards, where they are apart."""
    channels = [np.array(channel) for channel in example.arrived]
    ms = (np.arange(len(channels[0])) + 0.5) * step_us / 1000
    if len(channels) == 2:
        axes.bar(ms, channels[1], width=0.9 * step_us / 1000, color=_ON)
        axes.bar(ms, -channels[0], width=0.9 * step_us / 1000, color=_OFF)
    else:
        axes.bar(ms, channels[0], width=0.9 * step_us / 1000, color=_INK)
    axes.axhline(0, color=_GRID, linewidth=0.8)
    _bare(axes)


def _draw_spikes(axes: Any, trace: _Trace, record: ActivityRecord) -> None:
    """A row per neuron; those whose membranes are drawn in the colours of these."""
    for row, steps in enumerate(trace.spikes):
        colour = _TRACES[trace.traced.index(row)] if row in trace.traced else _INK
        middles_ms = (np.array(steps) + 0.5) * record.step_us / 1000
        axes.vlines(middles_ms, row - 0.42, row + 0.42, color=colour, linewidth=1.4)
    axes.set_ylim(len(trace.spikes) - 0.5, -0.5)
    axes.set_yticks([])
    note = f"{len(trace.spikes)} of {trace.neurons:,} neurons"
    axes.text(1, 1.01, note, transform=axes.transAxes, **_SMALL, ha="right", va="bottom")
    _bare(axes)


def _draw_membranes(axes: Any, trace: _Trace, record: ActivityRecord) -> None:
    """Potentials ahead of resets, and spikes as marks above the threshold."""
    low, high = (end(end(membrane) for membrane in trace.membranes) for end in (min, max))
    top = max(min(high, MOST_DRAWN), 1)
    axes.axhline(1, color=_QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    for number, (neuron, membrane, colour) in enumerate(zip(trace.traced, trace.membranes, _TRACES, strict=False)):
        ms = (np.arange(len(membrane)) + 0.5) * record.step_us / 1000
        axes.plot(ms, membrane, color=colour, linewidth=1.3)
        fired = ms[trace.spikes[neuron]]
        axes.plot(
            fired, np.full(len(fired), top + 0.2 + 0.22 * number), "|", color=colour, markersize=5, markeredgewidth=1.3
        )
    axes.set_ylim(max(min(low, 0) - 0.1, -MOST_DRAWN), top + 0.9)
    _bare(axes)


def _draw_readout(axes: Any, example: _Example, classes: Sequence[str], record: ActivityRecord) -> None:
    readout = np.array(example.readout)
    ms = (np.arange(len(readout)) + 0.5) * record.step_us / 1000
    order = np.argsort(-readout.mean(axis=0), kind="stable")
    for k in order[::-1].tolist():
        if k == example.label:
            style = {"color": _VALIDATION, "linewidth": 1.8}
        elif k == example.predicted:
            style = {"color": "#d61f26", "linewidth": 1.8}
        else:
            style = {"color": _PALE, "linewidth": 1.0}
        axes.plot(ms, readout[:, k], **style)
    right = f"{classes[example.label]} (the true class)"
    axes.text(0.01, 1.01, right, transform=axes.transAxes, fontsize=8, color=_VALIDATION, va="bottom", parse_math=False)
    if example.predicted != example.label:
        said = f"{classes[example.predicted]} (the answer)"
        axes.text(
            0.99, 1.01, said, transform=axes.transAxes, fontsize=8, color="#d61f26", ha="right", va="bottom",
            parse_math=False,
        )  # fmt: skip
    _bare(axes)


def _bare(axes: Any) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(length=0, labelsize=8, labelcolor=_QUIET)
