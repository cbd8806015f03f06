"""Charts of single test recordings: network activity step by step, and wrong predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..results import ActivityRecord, EventImage, ExampleRecord, TraceRecord, WrongPrediction
from .style import (
    ACCENT,
    GREEN,
    GRID,
    INK,
    OFF,
    ON,
    ORANGE,
    PALE,
    QUIET,
    RED,
    SMALL,
    TITLE,
    frame_axes,
    mix_polarities,
    new_figure,
    readable,
    save_figure,
    strip_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WRONG_COLUMNS = 5  # pictures per row
WRONG_SIDE = 2.2  # width of a picture with its margins in inches
WRONG_TEXTS = 0.6  # height of the text around it in inches
MAX_POTENTIAL = 4.0  # membrane potentials in thresholds are clipped at this distance from 0
TRACE_COLOURS = (ACCENT, ORANGE, GREEN)


def draw_examples(record: ActivityRecord, classes: Sequence[str], path: Path, title: str = "") -> None:
    """Draw one column per recording: its events per step, spikes and membranes of each layer, and the readout.

    Args:
        record: Activity with at least one example.
        classes: Class names [K].
        path: PNG file to write.
        title: Title above all columns.

    Raises:
        FileError: If the file cannot be written.
    """
    traces = record.examples[0].layers
    heights = [0.8, *[1.5, 0.9] * len(traces), 1.3]
    width = 0.6 + 3.1 * len(record.examples)

    figure = new_figure(width=width, height=0.4 + 1.05 * sum(heights), title=title)
    panels = figure.subplots(len(heights), len(record.examples), squeeze=False, sharex=True, height_ratios=heights)

    for column, example in zip(panels.T, record.examples, strict=True):
        column[0].set_title(_describe(example, classes), **TITLE, parse_math=False)
        _draw_input(column[0], example, record.step_us)
        for layer, trace in enumerate(example.layers):
            _draw_spikes(column[1 + 2 * layer], trace, record.step_us)
            _draw_membranes(column[2 + 2 * layer], trace, record.step_us)
        _draw_readout(column[-1], example, classes, record.step_us)
        column[-1].set_xlabel("ms", **SMALL)
        column[-1].set_xlim(0, record.steps * record.step_us / 1000)

    of_layers = (label for trace in traces for label in (f"{trace.name}\nspikes", f"{trace.name}\nmembrane"))
    for axes, label in zip(panels[:, 0], ["events", *of_layers, "readout"], strict=True):
        axes.set_ylabel(label, **SMALL)

    figure.align_ylabels(panels[:, 0])
    save_figure(figure, path)


def draw_wrong(wrong: Sequence[WrongPrediction], images: Sequence[EventImage], path: Path, title: str = "") -> None:
    """Draw the events of wrong predictions, with the true class, the prediction and its probability."""
    columns = min(WRONG_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    tallest = max(len(image.on) / len(image.on[0]) for image in images)

    figure = new_figure(width=WRONG_SIDE * columns, height=(WRONG_SIDE * tallest + WRONG_TEXTS) * rows, title=title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, image, case in zip(panels, images, wrong, strict=False):
        off = np.array(image.off)
        on = np.array(image.on)

        # The colours end at a quantile, because a hot pixel would make all others pale.
        filled = (off + on)[off + on > 0]
        most = max(1.0, float(np.quantile(filled, 0.98))) if filled.size else 1.0

        axes.imshow(mix_polarities(off, on, most), interpolation="nearest")
        frame_axes(axes, "")
        above = f"{readable(case.label)}, predicted:\n{readable(case.predicted)} {case.probability:.0%}"
        axes.set_title(above, fontsize=8, color=INK, parse_math=False)
        axes.set_xlabel(_shorten(case.name), **SMALL, parse_math=False)

    for axes in panels[len(images) :]:
        axes.set_axis_off()

    save_figure(figure, path)


def _shorten(name: str) -> str:
    """Shorten the name of a sample to its file name without folders, at most the last 28 characters."""
    last = name.rsplit("/", maxsplit=1)[-1]
    return last if len(last) <= 28 else f"…{last[-27:]}"


def _describe(example: ExampleRecord, classes: Sequence[str]) -> str:
    true = readable(classes[example.label])
    if example.predicted == example.label:
        return true
    return f"{true}\npredicted: {readable(classes[example.predicted])}"


def _step_centers_ms(steps: NDArray[np.int64], step_us: int) -> NDArray[np.float64]:
    return (steps + 0.5) * step_us / 1000


def _draw_input(axes: Axes, example: ExampleRecord, step_us: int) -> None:
    """Draw events per step; with two channels, ON upwards and OFF downwards."""
    channels = np.array(example.arrived)
    ms = _step_centers_ms(np.arange(channels.shape[1]), step_us)
    width_ms = 0.9 * step_us / 1000

    if len(channels) == 2:
        axes.bar(ms, channels[1], width=width_ms, color=ON)
        axes.bar(ms, -channels[0], width=width_ms, color=OFF)
    else:
        axes.bar(ms, channels[0], width=width_ms, color=INK)
    axes.axhline(0, color=GRID, linewidth=0.8)

    strip_axes(axes)


def _draw_spikes(axes: Axes, trace: TraceRecord, step_us: int) -> None:
    """Draw one row per neuron, in the colour of its membrane if that is drawn below."""
    for row, steps in enumerate(trace.spikes):
        colour = TRACE_COLOURS[trace.traced.index(row)] if row in trace.traced else INK
        ms = _step_centers_ms(np.array(steps, np.int64), step_us)
        axes.vlines(ms, row - 0.42, row + 0.42, color=colour, linewidth=1.4)

    axes.set_ylim(len(trace.spikes) - 0.5, -0.5)
    axes.set_yticks([])

    note = f"{len(trace.spikes)} of {trace.neurons:,} neurons"
    axes.text(1, 1.01, note, transform=axes.transAxes, **SMALL, ha="right", va="bottom")
    strip_axes(axes)


def _draw_membranes(axes: Axes, trace: TraceRecord, step_us: int) -> None:
    """Draw potentials before reset, and mark spikes above the threshold."""
    low, high = (end(end(membrane) for membrane in trace.membranes) for end in (min, max))
    top = max(min(high, MAX_POTENTIAL), 1)

    axes.axhline(1, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    lines = zip(trace.traced, trace.membranes, TRACE_COLOURS, strict=False)
    for number, (neuron, membrane, colour) in enumerate(lines):
        ms = _step_centers_ms(np.arange(len(membrane)), step_us)
        axes.plot(ms, membrane, color=colour, linewidth=1.3)

        # Spikes are ticks above all curves, one line of ticks per neuron.
        fired_ms = ms[list(trace.spikes[neuron])]
        heights = np.full(len(fired_ms), top + 0.2 + 0.22 * number)
        axes.plot(fired_ms, heights, "|", color=colour, markersize=5, markeredgewidth=1.3)

    axes.set_ylim(max(min(low, 0) - 0.1, -MAX_POTENTIAL), top + 0.9)
    strip_axes(axes)


def _draw_readout(axes: Axes, example: ExampleRecord, classes: Sequence[str], step_us: int) -> None:
    """Draw the output of each class over time: true class in blue, wrong prediction in red."""
    readout = np.array(example.readout)
    ms = _step_centers_ms(np.arange(len(readout)), step_us)

    # The strongest curves are drawn last, on top of the others.
    colours = {example.predicted: RED, example.label: ACCENT}
    strongest_last = np.argsort(-readout.mean(axis=0), kind="stable")[::-1]
    for k in strongest_last.tolist():
        colour = colours.get(k, PALE)
        axes.plot(ms, readout[:, k], color=colour, linewidth=1.0 if colour == PALE else 1.8)

    is_wrong = example.predicted != example.label
    _write_above(axes, f"{readable(classes[example.label])} (true)", int(is_wrong), ACCENT)
    if is_wrong:
        _write_above(axes, f"{readable(classes[example.predicted])} (predicted)", 0, RED)

    strip_axes(axes)


def _write_above(axes: Axes, text: str, line: int, colour: str) -> None:
    """Write text above axes, `line` lines above the lowest one."""
    axes.annotate(
        text,
        (0.01, 1.01),
        (0, 10 * line),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        fontsize=8,
        color=colour,
        parse_math=False,
    )
