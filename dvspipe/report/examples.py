"""Charts of single test recordings: network activity step by step, and wrong predictions.

`draw_examples` has a column per recording, with axes below each other for the input, each layer and the readout
(functions `_draw_...`). `draw_wrong` has a picture per recording. Both draw what an `ActivityRecord` stores.
"""

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
SHADE_QUANTILE = 0.98  # quantile of the events per pixel at full colour
MAX_NAME_LETTERS = 28  # name of a sample below its picture
INPUT_HEIGHT = 0.8  # heights of axes, relative to each other
SPIKES_HEIGHT = 1.5
MEMBRANES_HEIGHT = 0.9
READOUT_HEIGHT = 1.3


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
    # All recordings are of one network, so the layers of the first one name the rows.
    first_example, *_ = record.examples
    labels = ["events"]
    heights = [INPUT_HEIGHT]
    for trace in first_example.layers:
        labels += [f"{trace.name}\nspikes", f"{trace.name}\nmembrane"]
        heights += [SPIKES_HEIGHT, MEMBRANES_HEIGHT]
    labels.append("readout")
    heights.append(READOUT_HEIGHT)

    width = 0.6 + 3.1 * len(record.examples)
    figure = new_figure(width=width, height=0.4 + 1.05 * sum(heights), title=title)
    panels = figure.subplots(len(heights), len(record.examples), squeeze=False, sharex=True, height_ratios=heights)

    for column, example in zip(panels.T, record.examples, strict=True):
        top, *of_layers, bottom = column
        top.set_title(_describe(example, classes), **TITLE, parse_math=False)
        _draw_input(top, example, record.step_us)

        # The axes of layers come in pairs.
        for spikes, membranes, trace in zip(of_layers[::2], of_layers[1::2], example.layers, strict=True):
            _draw_spikes(spikes, trace, record.step_us)
            _draw_membranes(membranes, trace, record.step_us)

        _draw_readout(bottom, example, classes, record.step_us)
        bottom.set_xlabel("ms", **SMALL)
        bottom.set_xlim(0, record.steps * record.step_us / 1000)

    left_column = panels[:, 0]
    for axes, label in zip(left_column, labels, strict=True):
        axes.set_ylabel(label, **SMALL)

    figure.align_ylabels(left_column)
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
        events = off + on
        filled = events[events > 0]
        full_colour = max(1.0, float(np.quantile(filled, SHADE_QUANTILE))) if filled.size else 1.0

        axes.imshow(mix_polarities(off, on, full_colour), interpolation="nearest")
        frame_axes(axes, "")
        above = f"{readable(case.label)}, predicted:\n{readable(case.predicted)} {case.probability:.0%}"
        axes.set_title(above, fontsize=8, color=INK, parse_math=False)
        axes.set_xlabel(_shorten(case.name), **SMALL, parse_math=False)

    for axes in panels[len(images) :]:
        axes.set_axis_off()

    save_figure(figure, path)


def _shorten(name: str) -> str:
    """Shorten the name of a sample to its file name without folders, at most its last characters."""
    file_name = name.rpartition("/")[2]
    return file_name if len(file_name) <= MAX_NAME_LETTERS else f"…{file_name[1 - MAX_NAME_LETTERS :]}"


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
    C, T = channels.shape
    ms = _step_centers_ms(np.arange(T), step_us)
    width_ms = 0.9 * step_us / 1000

    if C == 2:
        off, on = channels
        axes.bar(ms, on, width=width_ms, color=ON)
        axes.bar(ms, -off, width=width_ms, color=OFF)
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
    low = min(min(membrane) for membrane in trace.membranes)
    high = max(max(membrane) for membrane in trace.membranes)
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
    for label in strongest_last.tolist():
        colour = colours.get(label, PALE)
        axes.plot(ms, readout[:, label], color=colour, linewidth=1.0 if colour == PALE else 1.8)

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
