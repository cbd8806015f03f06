"""Chart of the kernels of layers trained by STDP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..results import KernelRecord
from .style import OFF, ON, frame_axes, new_figure, save_figure

GRID_COLUMNS = 16  # kernels per row
GAP_PX = 1  # between kernels, in input pixels


def draw_kernels(layers: Sequence[KernelRecord], path: Path) -> None:
    """Draw the kernels of each layer: ON weights red, OFF weights blue, scaled to the largest weight of each kernel.

    Args:
        layers: Kernels per layer, at least one layer.
        path: PNG file to write.

    Raises:
        FileError: If the file cannot be written.
    """
    sheets = [_tile_kernels(np.array(layer.kernels)) for layer in layers]
    heights = [9 * sheet.shape[0] / sheet.shape[1] for sheet in sheets]
    figure = new_figure(width=9, height=sum(heights) + 0.5 * len(sheets))
    panels = figure.subplots(len(sheets), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, layer, sheet in zip(panels, layers, sheets, strict=True):
        axes.imshow(sheet, interpolation="nearest")
        drawn = len(layer.kernels)
        frame_axes(axes, f"{layer.name}: {drawn} kernels" + (f" of {layer.channels}" if drawn < layer.channels else ""))
        axes.spines[:].set_visible(False)
    save_figure(figure, path)


def _tile_kernels(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tile kernels [n, C, h, w] into an RGB image [H, W, 3]."""
    n, C, h, w = kernels.shape
    off, on = kernels[:, 0], kernels[:, 1] if C == 2 else np.zeros((n, h, w))
    total = on + off if C <= 2 else kernels.sum(axis=1)
    strength = (total / np.maximum(total.max(axis=(1, 2), keepdims=True), 1e-9))[..., None]
    share = (on / np.maximum(on + off, 1e-9))[..., None]
    colours = share * np.array(ON) + (1 - share) * np.array(OFF) if C == 2 else np.zeros(3)
    images = 1 - strength * (1 - colours)
    columns = min(GRID_COLUMNS, n)
    rows = -(-n // columns)
    sheet = np.ones((rows * (h + GAP_PX) - GAP_PX, columns * (w + GAP_PX) - GAP_PX, 3))
    sheet[h :: h + GAP_PX], sheet[:, w :: w + GAP_PX] = 0.93, 0.93
    for number, image in enumerate(images):
        top, left = number // columns * (h + GAP_PX), number % columns * (w + GAP_PX)
        sheet[top : top + h, left : left + w] = image
    return sheet
