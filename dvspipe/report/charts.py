"""Charts as PNG files: training curves and confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..results import EpochRow
from .style import (
    ACCENT,
    GREY,
    INK,
    QUIET,
    SMALL,
    grid_axes,
    mark_integers,
    new_figure,
    readable,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYER_COLOURS = ("#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#8fbc1c")  # viridis, first to last layer
MAX_COUNTED_CLASSES = 30  # larger confusion matrices show no counts in their cells
MAX_NAMED_CLASSES = 100  # larger confusion matrices show no class names: they would be unreadable
MAX_MARKED_EPOCHS = 20  # longer curves have no dot per epoch


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


def draw_curves(rows: Sequence[EpochRow], path: Path, *, title: str = "", chosen_epoch: int | None = None) -> None:
    """Draw the figure of `plot_curves` as a PNG file.

    Args:
        rows: Metrics, one row per epoch.
        path: PNG file to write.
        title: Title above all panels.
        chosen_epoch: Epoch to mark with a dashed line.

    Raises:
        FileError: If the file cannot be written.
    """
    save_figure(plot_curves(rows, title=title, chosen_epoch=chosen_epoch), path)


def plot_curves(rows: Sequence[EpochRow], *, title: str = "", chosen_epoch: int | None = None) -> Figure:
    """Plot loss, accuracy, and the spike rate and convergence of each layer over epochs.

    Args:
        rows: Metrics, one row per epoch; values that are not finite are omitted.
        title: Title above all panels.
        chosen_epoch: Epoch to mark with a dashed line.

    Returns:
        A matplotlib figure.
    """
    panels = [
        _Panel(
            "Loss",
            [
                _Line("training", GREY, [row.train_loss for row in rows]),
                _Line("validation", ACCENT, [row.val_loss for row in rows]),
            ],
        ),
        _Panel(
            "Accuracy in %",
            [
                _Line("training", GREY, [100 * row.train_accuracy for row in rows]),
                _Line("validation", ACCENT, [100 * row.val_accuracy for row in rows]),
            ],
        ),
    ]
    if rates := _layer_lines([row.rates for row in rows]):
        panels.append(_Panel("Spikes per neuron and time step", rates, from_zero=True))
    if convergence := _layer_lines([row.convergence for row in rows]):
        panels.append(_Panel("Convergence of weights, w (1 - w)", convergence, from_zero=True))
    epochs = [row.epoch for row in rows]
    figure = new_figure(width=3.4 * len(panels), height=2.9, title=title)
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _draw_panel(axes, panel, epochs)
        if chosen_epoch is not None:
            axes.axvline(chosen_epoch, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            axes.set_xlabel("epoch (dashed: the chosen one)", **SMALL)
        _label_ends(axes, panel.lines)
    return figure


def _layer_lines(values: Sequence[Mapping[str, float]]) -> list[_Line]:
    """Return one curve per layer from the values per epoch and layer."""
    layers = list(values[0]) if values else []
    places = np.linspace(0, len(LAYER_COLOURS) - 1, len(layers)).round().astype(int)
    return [
        _Line(layer, LAYER_COLOURS[place], [each.get(layer, math.nan) for each in values])
        for layer, place in zip(layers, places.tolist(), strict=True)
    ]


def _draw_panel(axes: Axes, panel: _Panel, epochs: list[int]) -> None:
    grid_axes(axes, panel.title)
    mark_integers(axes)
    axes.set_xlabel("epoch", **SMALL)
    marker = "o" if len(epochs) <= MAX_MARKED_EPOCHS else None
    for line in panel.lines:
        axes.plot(epochs, line.values, color=line.colour, linewidth=1.6, marker=marker, markersize=3)
    if panel.from_zero or axes.get_ylim()[0] < 0:
        axes.set_ylim(bottom=0)
    if epochs:
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)


def _label_ends(axes: Axes, lines: Sequence[_Line]) -> None:
    """Label lines at their right ends, spaced to stay readable."""
    low, high = axes.get_ylim()
    gap = 0.08 * (high - low)
    ends = sorted((end, line.label, line.colour) for line in lines if (end := line.last()) is not None)
    heights = [value for value, _, _ in ends]
    for k in range(1, len(ends)):
        heights[k] = max(heights[k], heights[k - 1] + gap)
    for k in reversed(range(len(ends))):
        heights[k] = min(heights[k], high - (len(ends) - 1 - k) * gap)
    beside = axes.get_yaxis_transform()
    for height, (_, label, colour) in zip(heights, ends, strict=True):
        axes.text(1.02, height, label, color=colour, fontsize=8, va="center", transform=beside, parse_math=False)


def draw_confusion(matrix: ArrayLike, classes: Sequence[str], path: Path, title: str = "") -> None:
    """Draw a confusion matrix: counts, shaded by their share of the row.

    Args:
        matrix: Counts [K, K]; row = true class, column = predicted class.
        classes: Class names [K].
        path: PNG file to write.
        title: Title above the matrix.

    Raises:
        FileError: If the file cannot be written.
    """
    counts: NDArray[np.int64] = np.asarray(matrix, np.int64)
    K = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(2.4 + 0.42 * K, 16.0)
    figure = new_figure(width=side + 0.4, height=side, title=title)
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if K <= MAX_COUNTED_CLASSES:
        for row, column in np.argwhere(counts > 0).tolist():
            colour = "white" if share[row, column] > 0.55 else INK
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
    if K <= MAX_NAMED_CLASSES:
        _name_cells(axes, [readable(name) for name in classes])
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted", **SMALL)
    axes.set_ylabel("true", **SMALL)
    save_figure(figure, path)


def _name_cells(axes: Axes, names: Sequence[str]) -> None:
    """Label rows and columns with class names, and draw lines between cells."""
    K = len(names)
    axes.set_xticks(range(K), names, parse_math=False)
    if max(map(len, names)) > 3:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(K), names, parse_math=False)
    axes.set_xticks(np.arange(K + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(K + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
