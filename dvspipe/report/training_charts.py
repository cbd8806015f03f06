"""Charts of a training run: curves, confusion matrix, wrong predictions, and kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..base.texts import readable
from ..results import EpochRow, EventImage, KernelRecord, WrongPrediction
from .figures import SMALL, frame_axes, grid_axes, mix_polarities, name_colours, name_rows, new_figure, save_figure
from .pages import percent
from .style import ACCENT, GREY, INK, QUIET

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYER_COLOURS = ("#6a51a3", "#3b82d6", "#1b9e8a", "#4ac16d", "#c9a227")  # first to last layer
PANEL_WIDTH = 2.6  # inches
MAX_MARKED_EPOCHS = 20  # longer curves have no dot per epoch
MAX_COUNTED = 30  # classes of a confusion matrix with names and counts
CELL = 0.24  # inches, and more if the classes are few
MIN_SIDE = 2.2  # inches of a confusion matrix
MARGIN = 1.4  # inches
WRONG_COLUMNS = 5
SHADE_QUANTILE = 0.98  # quantile of the events per pixel at full colour
MAX_NAME_LETTERS = 24  # name of a sample below its picture
KERNEL_COLUMNS = 16
KERNEL_SIDE = 0.55  # inches


class _Panel(NamedTuple):
    """Curves that share axes: their values over epochs and their colours, by name."""

    title: str
    lines: dict[str, tuple[list[float], str]]
    from_zero: bool = False


def plot_curves(
    rows: Sequence[EpochRow], *, title: str = "", chosen_epoch: int | None = None, width: float = math.inf
) -> Figure:
    """Plot loss, accuracy, and the spike rate and convergence of each layer over epochs, in rows of a width."""
    panels = _list_panels(rows)
    columns = int(min(len(panels), max(1, width // PANEL_WIDTH)))
    lines = -(-len(panels) // columns)
    figure = new_figure(PANEL_WIDTH * columns, 2.5 * lines, title)
    epochs = [row.epoch for row in rows]

    for axes, panel in zip(figure.subplots(lines, columns, squeeze=False).ravel(), panels, strict=False):
        grid_axes(axes, panel.title)
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
        axes.set_xlabel("epoch" if chosen_epoch is None else "epoch (dashed: the chosen one)", **SMALL)
        marker = "o" if len(epochs) <= MAX_MARKED_EPOCHS else None
        for name, (values, colour) in panel.lines.items():
            axes.plot(epochs, values, color=colour, linewidth=1.6, marker=marker, markersize=3, label=name)

        lowest, _ = axes.get_ylim()
        if panel.from_zero or lowest < 0:
            axes.set_ylim(bottom=0)
        if chosen_epoch is not None:
            axes.axvline(chosen_epoch, color=QUIET, linewidth=0.8, linestyle="--", zorder=1)
        name_colours(axes, inside=True)

    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    return figure


def _list_panels(rows: Sequence[EpochRow]) -> list[_Panel]:
    """Return loss, accuracy, and the spike rate and convergence of each layer over epochs."""
    losses = {"training": ([row.train_loss for row in rows], GREY)}
    accuracies = {"training": ([100 * row.train_accuracy for row in rows], GREY)}

    # Without a validation part, no epoch has these values.
    validated = [row for row in rows if row.val_loss is not None and row.val_accuracy is not None]
    if validated:
        losses["validation"] = [row.val_loss or 0.0 for row in rows], ACCENT
        accuracies["validation"] = [100 * (row.val_accuracy or 0.0) for row in rows], ACCENT

    panels = [_Panel("Loss", losses), _Panel("Accuracy in %", accuracies)]
    if rates := _list_layers([row.rates for row in rows]):
        panels.append(_Panel("Spikes per neuron, step", rates, from_zero=True))
    if convergence := _list_layers([row.convergence for row in rows]):
        panels.append(_Panel("Convergence, w (1 - w)", convergence, from_zero=True))
    return panels


def _list_layers(epochs: Sequence[Mapping[str, float]]) -> dict[str, tuple[list[float], str]]:
    """Return one curve per layer from the values per epoch and layer."""
    layers = dict.fromkeys(chain.from_iterable(epochs))
    return {
        layer: ([values.get(layer, math.nan) for values in epochs], LAYER_COLOURS[number % len(LAYER_COLOURS)])
        for number, layer in enumerate(layers)
    }


def plot_confusion(counts: ArrayLike, classes: Sequence[str], *, width: float) -> Figure:
    """Plot a confusion matrix [K, K]: counts, shaded by their share of the true class; of many classes, only shades."""
    confusion = np.asarray(counts)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    K = len(classes)
    cell = max(CELL, MIN_SIDE / K)
    figure = new_figure(width, min(width, MARGIN + cell * K))
    axes = figure.subplots()

    # Opacity shows the share, on light and dark pages alike.
    axes.imshow(np.ones((K, K)), cmap="Blues", vmin=0, vmax=1.5, alpha=0.9 * share)
    frame_axes(axes)
    axes.set_ylabel("true class", **SMALL)
    axes.set_xlabel("predicted class", **SMALL)
    if K > MAX_COUNTED:
        return figure

    name_rows(axes, classes)
    axes.set_xticks(range(K), [readable(name) for name in classes], rotation=90, parse_math=False)
    axes.tick_params(labelbottom=True)
    size = float(np.clip(25 * cell, 7, 14))
    for row, column in np.argwhere(confusion).tolist():
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", fontsize=size, color=INK)
    return figure


def draw_wrong(wrong: Sequence[WrongPrediction], images: Sequence[EventImage], path: Path, title: str = "") -> None:
    """Draw the events of wrong predictions, with the true class, the prediction and its probability."""
    columns = min(WRONG_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    tallest = max(len(image.on) / len(image.on[0]) for image in images)
    figure = new_figure(2.2 * columns, (2.2 * tallest + 0.6) * rows, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()

    for axes, image, case in zip(panels, images, wrong, strict=False):
        off = np.array(image.off)
        on = np.array(image.on)

        # The colours end at a quantile, because a hot pixel would make all others pale.
        events = (off + on)[off + on > 0]
        full_colour = max(1.0, float(np.quantile(events, SHADE_QUANTILE))) if events.size else 1.0
        axes.imshow(mix_polarities(off, on, full_colour), interpolation="nearest")
        frame_axes(axes, f"{readable(case.label)}, predicted:\n{readable(case.predicted)} {percent(case.probability)}")

        # The end of a name tells recordings apart.
        name = case.name.rpartition("/")[2]
        shown = name if len(name) <= MAX_NAME_LETTERS else f"…{name[1 - MAX_NAME_LETTERS :]}"
        axes.set_xlabel(shown, **SMALL, parse_math=False)

    for axes in panels[len(images) :]:
        axes.set_axis_off()
    save_figure(figure, path)


def draw_kernels(layers: Sequence[KernelRecord], path: Path) -> None:
    """Draw the kernels of each layer: ON weights red, OFF weights blue, scaled to the largest weight of each kernel."""
    rows = [-(-len(layer.kernels) // KERNEL_COLUMNS) for layer in layers]
    figure = new_figure(KERNEL_COLUMNS * KERNEL_SIDE, sum(rows) * KERNEL_SIDE + 0.3 * len(layers))
    parts = figure.subfigures(len(layers), 1, squeeze=False, height_ratios=rows).ravel()

    for part, layer, count in zip(parts, layers, rows, strict=True):
        part.suptitle(f"{layer.name}: {len(layer.kernels)} of {layer.channels} kernels", fontsize=8, color=INK)
        panels = part.subplots(count, KERNEL_COLUMNS, squeeze=False).ravel()
        for axes, kernel in zip(panels, layer.kernels, strict=False):
            weights = np.array(kernel)
            off, on = weights if len(weights) == 2 else (weights.sum(axis=0), np.zeros(weights.shape[1:]))
            axes.imshow(mix_polarities(off, on, max(1e-9, float((off + on).max()))), interpolation="nearest")
        for axes in panels:
            axes.set_axis_off()
    save_figure(figure, path)
