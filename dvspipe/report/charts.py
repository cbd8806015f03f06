"""Charts as PNG files: curves of a training, a confusion matrix, the probabilities of one prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..files import write_beside

_DPI = 200  # twice matplotlib's density
_INK, _QUIET, _GRID = "#1f2937", "#6b7280", "#e5e7eb"
_TRAINING, _VALIDATION, _PALE = "#8792a2", "#1d5fbf", "#c9d3e0"
_LAYERS = (
    "#46327e",
    "#365c8d",
    "#277f8e",
    "#1fa187",
    "#4ac16d",
    "#8fbc1c",
)  # viridis, from the first layer to the last
_SMALL = {"fontsize": 8, "color": _QUIET}
_MOST_CLASSES_WITH_COUNTS = 30


def draw_curves(
    rows: Sequence[Mapping[str, float]], path: Path, *, title: str = "", chosen_epoch: int | None = None
) -> None:
    """Draws loss, accuracy and the spike rate of each layer over epochs.

    Args:
        rows: One per epoch: `epoch` and any of `train_loss`, `val_loss`, `train_accuracy`, `val_accuracy` (0 to 1)
            and `rate_<layer>` (spikes per neuron and time step).
        path: The PNG to write.
        title: Stands above all.
        chosen_epoch: Is marked by a line.
    """
    epochs = [row["epoch"] for row in rows]
    rates = [key for key in rows[0] if key.startswith("rate_")] if rows else []
    splits = (("train", "training", _TRAINING), ("val", "validation", _VALIDATION))
    charts = [
        ("Loss", 1, [(f"{split}_loss", label, colour) for split, label, colour in splits]),
        ("Accuracy in %", 100, [(f"{split}_accuracy", label, colour) for split, label, colour in splits]),
    ]
    if rates:
        colours = [_LAYERS[place] for place in np.linspace(0, len(_LAYERS) - 1, len(rates)).round().astype(int)]
        layers = [(key, key.removeprefix("rate_"), colour) for key, colour in zip(rates, colours, strict=True)]
        charts.append(("Spikes per neuron and time step", 1, layers))
    figure = _figure(width=3.4 * len(charts), height=2.9, title=title)
    for axes, (name, scale, lines) in zip(figure.subplots(1, len(charts)), charts, strict=True):
        _plain(axes, name)
        ends = []
        for key, label, colour in lines:
            values = [scale * row.get(key, math.nan) for row in rows]
            axes.plot(
                epochs, values, color=colour, linewidth=1.6, marker="o" if len(rows) <= 20 else None, markersize=3
            )
            if np.isfinite(values).any():
                ends.append(([value for value in values if math.isfinite(value)][-1], label, colour))
        if axes.get_ylim()[0] < 0 or len(lines) == len(rates):
            axes.set_ylim(bottom=0)
        if epochs:
            axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        if chosen_epoch is not None:
            axes.axvline(chosen_epoch, color=_QUIET, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            side = "right" if chosen_epoch > np.mean(axes.get_xlim()) else "left"
            axes.text(chosen_epoch, 1, " chosen ", transform=axes.get_xaxis_transform(), **_SMALL, ha=side, va="top")
        _label_ends(axes, ends)
    _save(figure, path)


def draw_confusion(matrix: ArrayLike, classes: Sequence[str], path: Path, title: str = "") -> None:
    """Draws counts, shaded by their share of their row.

    Args:
        matrix: [K, K] counts; row = true class, column = predicted class.
        classes: K names.
        path: The PNG to write.
        title: Stands above.
    """
    counts: NDArray[Any] = np.asarray(matrix)
    K = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(2.4 + 0.42 * K, 16.0)
    figure = _figure(width=side + 0.4, height=side, title=title)
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if K <= _MOST_CLASSES_WITH_COUNTS:
        for row, column in np.argwhere(counts > 0).tolist():
            colour = "white" if share[row, column] > 0.55 else _INK
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, classes)) > 3 else {}
    axes.set_xticks(range(K), classes, parse_math=False, **turned)
    axes.set_yticks(range(K), classes, parse_math=False)
    axes.tick_params(length=0, labelsize=8, labelcolor=_INK)
    axes.set_xticks(np.arange(K + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(K + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted", **_SMALL)
    axes.set_ylabel("true", **_SMALL)
    _save(figure, path)


def draw_probabilities(probabilities: Sequence[float], classes: Sequence[str], path: Path, title: str = "") -> None:
    """Draws one prediction as bars in the order of classes, the most probable highlighted.

    Args:
        probabilities: K values, 0 to 1.
        classes: K names.
        path: The PNG to write.
        title: Stands above.
    """
    K = len(classes)
    best = int(np.argmax(probabilities))
    figure = _figure(width=5.2, height=0.2 + 0.27 * K, title=title)
    axes = figure.subplots()
    axes.barh(range(K), probabilities, height=0.7, color=[_VALIDATION if k == best else _PALE for k in range(K)])
    for k, probability in enumerate(probabilities):
        weight, colour = ("bold", _INK) if k == best else ("normal", _QUIET)
        style = {"fontsize": 8, "color": colour, "weight": weight, "va": "center_baseline"}
        axes.text(probability + 0.012, k, f"{100 * probability:.1f} %", **style)
    axes.set_yticks(range(K), classes, parse_math=False)
    axes.get_yticklabels()[best].set_weight("bold")
    axes.tick_params(length=0, labelsize=9, labelcolor=_INK)
    axes.set_xlim(0, 1.15)
    axes.set_ylim(K - 0.5, -0.5)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    _save(figure, path)


def _figure(width: float, height: float, title: str) -> Any:
    """A figure of its own, without pyplot's global state; saving it as PNG uses Agg."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height + (0.3 if title else 0)), layout="constrained", facecolor="white")
    if title:
        figure.suptitle(title, fontsize=10, color=_INK, parse_math=False)
    return figure


def _plain(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_xlabel("epoch", **_SMALL)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.tick_params(length=0, labelsize=8, labelcolor=_QUIET)


def _label_ends(axes: Any, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names lines at their right ends, apart where they would touch."""
    low, high = axes.get_ylim()
    gap = 0.08 * (high - low)
    ends = sorted(ends)
    heights = [value for value, _, _ in ends]
    for k in range(1, len(ends)):
        heights[k] = max(heights[k], heights[k - 1] + gap)
    for k in reversed(range(len(ends))):
        heights[k] = min(heights[k], high - (len(ends) - 1 - k) * gap)
    place = {"transform": axes.get_yaxis_transform(), "va": "center", "parse_math": False}
    for height, (_, label, colour) in zip(heights, ends, strict=True):
        axes.text(1.02, height, label, color=colour, fontsize=8, **place)


def _save(figure: Any, path: Path) -> None:
    with write_beside(Path(path)) as beside:
        figure.savefig(beside, format="png", dpi=_DPI)
