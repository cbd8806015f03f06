"""Charts of training curves, kernels, curves of noise filters, and LIF neurons.

A function `draw_...` writes a PNG file, `plot_curves` returns a figure, and `chart_curves` the same for a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..results import EpochRow, KernelRecord
from . import web_charts
from .style import (
    ACCENT,
    DASHED,
    GREY,
    QUIET,
    SMALL,
    frame_axes,
    grid_axes,
    mix_polarities,
    new_figure,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LAYER_COLOURS = ("#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#8fbc1c")  # viridis, first to last layer
MAX_MARKED_EPOCHS = 20  # longer curves have no dot per epoch
LABEL_GAP = 0.08  # between labels of curves, relative to the height of the axes
KERNEL_COLUMNS = 16  # kernels per row
KERNEL_WIDTH = 9.0  # sheet of kernels, in inches
KERNEL_GAP_PX = 1  # between kernels, in input pixels


class _Line(NamedTuple):
    """A curve over epochs."""

    label: str
    colour: str
    values: list[float]

    def last(self) -> float | None:
        """Return the last finite value, or None."""
        return next((value for value in reversed(self.values) if math.isfinite(value)), None)


class _Panel(NamedTuple):
    """Curves that share axes."""

    title: str
    lines: list[_Line]
    from_zero: bool = False


def plot_curves(rows: Sequence[EpochRow], *, title: str = "", chosen_epoch: int | None = None) -> Figure:
    """Plot loss, accuracy, and the spike rate and convergence of each layer over epochs."""
    panels = _list_panels(rows)
    figure = new_figure(width=3.4 * len(panels), height=2.9, title=title)
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _draw_panel(axes, panel, [row.epoch for row in rows])
        if chosen_epoch is not None:
            axes.axvline(chosen_epoch, color=QUIET, linewidth=0.8, linestyle=DASHED, zorder=1)
            axes.set_xlabel("epoch (dashed: the chosen one)", **SMALL)
        _label_ends(axes, panel.lines)

    return figure


def chart_curves(rows: Sequence[EpochRow], chosen_epoch: int | None = None) -> list[web_charts.PageChart]:
    """Return the charts of `plot_curves` for a page."""
    epochs = [row.epoch for row in rows]
    name = "epoch" if chosen_epoch is None else "epoch (dashed: the chosen one)"
    across = web_charts.epoch_axis(epochs, name)

    charts = []
    for panel in _list_panels(rows):
        lines = [web_charts.Line(line.label, line.colour, epochs, line.values) for line in panel.lines]
        drawn = web_charts.plot_lines(
            panel.title,
            lines,
            across,
            starts_at_zero=panel.from_zero,
            marks=[] if chosen_epoch is None else [chosen_epoch],
        )
        charts.append(web_charts.PageChart([drawn], across, f"{panel.title} over epochs"))

    return charts


def _list_panels(rows: Sequence[EpochRow]) -> list[_Panel]:
    """Return loss, accuracy, and the spike rate and convergence of each layer over epochs."""
    losses = [_Line("training", GREY, [row.train_loss for row in rows])]
    accuracies = [_Line("training", GREY, [100 * row.train_accuracy for row in rows])]

    # Without a validation part, no epoch has these values.
    validation_losses = [row.val_loss for row in rows if row.val_loss is not None]
    validation_accuracies = [100 * row.val_accuracy for row in rows if row.val_accuracy is not None]
    if validation_losses:
        losses.append(_Line("validation", ACCENT, validation_losses))
        accuracies.append(_Line("validation", ACCENT, validation_accuracies))

    panels = [_Panel("Loss", losses), _Panel("Accuracy in %", accuracies)]
    if rates := _layer_lines([row.rates for row in rows]):
        panels.append(_Panel("Spikes per neuron and time step", rates, from_zero=True))
    if convergence := _layer_lines([row.convergence for row in rows]):
        panels.append(_Panel("Convergence of weights, w (1 - w)", convergence, from_zero=True))

    return panels


def _layer_lines(values: Sequence[Mapping[str, float]]) -> list[_Line]:
    """Return one curve per layer from the values per epoch and layer."""
    layers = list(values[0]) if values else []
    numbers = np.linspace(0, len(LAYER_COLOURS) - 1, len(layers)).round().astype(int)

    return [
        _Line(layer, LAYER_COLOURS[number], [epoch.get(layer, math.nan) for epoch in values])
        for layer, number in zip(layers, numbers.tolist(), strict=True)
    ]


def _draw_panel(axes: Axes, panel: _Panel, epochs: list[int]) -> None:
    grid_axes(axes, panel.title)
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.set_xlabel("epoch", **SMALL)

    marker = "o" if len(epochs) <= MAX_MARKED_EPOCHS else None
    for line in panel.lines:
        axes.plot(epochs, line.values, color=line.colour, linewidth=1.6, marker=marker, markersize=3)

    lowest, _ = axes.get_ylim()
    if panel.from_zero or lowest < 0:
        axes.set_ylim(bottom=0)
    if epochs:
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)


def _label_ends(axes: Axes, lines: Sequence[_Line]) -> None:
    """Label lines at their right ends, spaced to stay readable."""
    low, high = axes.get_ylim()
    gap = LABEL_GAP * (high - low)
    ends = sorted((end, line.label, line.colour) for line in lines if (end := line.last()) is not None)
    heights = [value for value, _, _ in ends]

    # Move labels up until each has its gap, then down until the highest is inside.
    for number in range(1, len(ends)):
        heights[number] = max(heights[number], heights[number - 1] + gap)
    for number in reversed(range(len(ends))):
        above = len(ends) - 1 - number  # labels above this one
        heights[number] = min(heights[number], high - above * gap)

    beside = axes.get_yaxis_transform()
    for height, (_, label, colour) in zip(heights, ends, strict=True):
        axes.text(1.02, height, label, color=colour, fontsize=8, va="center", transform=beside, parse_math=False)


def draw_kernels(layers: Sequence[KernelRecord], path: Path) -> None:
    """Draw the kernels of each layer: ON weights red, OFF weights blue, scaled to the largest weight of each kernel."""
    sheets = [_tile_kernels(np.array(layer.kernels)) for layer in layers]

    # All sheets have the same width and square pixels, so heights follow from their shapes.
    heights = []
    for sheet in sheets:
        rows_px, columns_px, _ = sheet.shape
        heights.append(KERNEL_WIDTH * rows_px / columns_px)
    figure = new_figure(width=KERNEL_WIDTH, height=sum(heights) + 0.5 * len(sheets))
    panels = figure.subplots(len(sheets), 1, squeeze=False, height_ratios=heights).ravel()

    for axes, layer, sheet in zip(panels, layers, sheets, strict=True):
        drawn = len(layer.kernels)
        of_all = f" of {layer.channels}" if drawn < layer.channels else ""
        axes.imshow(sheet, interpolation="nearest")
        frame_axes(axes, f"{layer.name}: {drawn} kernels{of_all}")
        axes.spines[:].set_visible(False)

    save_figure(figure, path)


def _tile_kernels(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tile kernels [n, C, h, w] into an RGB image [H, W, 3]; without polarities (C != 2), in grey."""
    n, C, h, w = kernels.shape

    # The lower bound leaves a kernel of zeros white.
    total = kernels.sum(axis=1)
    largest = np.maximum(total.max(axis=(1, 2), keepdims=True), 1e-9)
    grey = 1 - (total / largest)[..., None]
    images = mix_polarities(kernels[:, 0], kernels[:, 1], largest) if C == 2 else grey

    # Lines between the kernels are slightly grey.
    columns = min(KERNEL_COLUMNS, n)
    rows = -(-n // columns)
    down = h + KERNEL_GAP_PX
    across = w + KERNEL_GAP_PX
    sheet = np.ones((rows * down - KERNEL_GAP_PX, columns * across - KERNEL_GAP_PX, 3))
    sheet[h::down] = 0.93
    sheet[:, w::across] = 0.93

    for number, image in enumerate(images):
        top = number // columns * down
        left = number % columns * across
        sheet[top : top + h, left : left + w] = image

    return sheet
