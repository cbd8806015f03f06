"""Spike trains as pictures: a raster per code, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .charts import _GRID, _INK, _QUIET, _SMALL, _figure, _save
from .previews import _COLOURS

MOST_TRAINS = 4096  # about two to a pixel of the highest picture
_MOST_NAMED = 16  # values that are written beside their trains and into the image
_MOST_TICKS = 64  # trains whose spikes are drawn as lines, not as points of a picture
_ROW_HEIGHT, _LOWEST, _HIGHEST = 0.28, 2.2, 9.0  # inches
_PANEL_WIDTH = 4.2
_OFF, _ON = (tuple(np.divide(colour, 255)) for colour in (_COLOURS["light"].off, _COLOURS["light"].on))
_DARK = tuple(int(_INK[k : k + 2], 16) / 255 for k in (1, 3, 5))


def draw_rasters(
    rasters: Mapping[str, NDArray[np.uint8]], image: NDArray[Any], path: Path, *, step_us: int, title: str = ""
) -> None:
    """Draws the spike trains of an image, a panel per code, beside the image; trains are in the order of pixels.

    Args:
        rasters: uint8 [T, C, H, W] by name; where C = 2, OFF (0) is blue and ON (1) red.
        image: [H, W], what they were made from, 0 to 1.
        path: The PNG to write.
        step_us: Length of a step in microseconds.
        title: Stands above all.

    Raises:
        ConfigError: There are more trains than a picture can show.
    """
    rows = {name: _rows(name, trains) for name, trains in rasters.items()}
    most = max(len(lines) for lines in rows.values())
    height = float(np.clip(_ROW_HEIGHT * most, _LOWEST, _HIGHEST))
    figure = _figure(width=2.2 + _PANEL_WIDTH * len(rows), height=height + 0.7, title=title)
    ratios = [1.6, *[_PANEL_WIDTH] * len(rows)]
    first, *panels = figure.subplots(1, 1 + len(rows), width_ratios=ratios)
    _draw_image(first, image)
    for axes, (name, lines) in zip(panels, rows.items(), strict=True):
        _draw_raster(axes, lines, rasters[name].shape[1], step_us)
        axes.set_title(name.replace("_", " "), loc="left", fontsize=10, color=_INK)
        _name_pixels(axes, image, len(lines))
    _save(figure, path)


def _rows(name: str, trains: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The trains [H * W * C, T], those of a pixel together."""
    T, C, H, W = trains.shape
    if C * H * W > MOST_TRAINS:
        raise ConfigError(
            f"{name}: {C * H * W:,} spike trains of {W}x{H} pixels, a picture shows at most {MOST_TRAINS:,}; --resize "
            "makes the image smaller, and -o FILE.npz takes them all"
        )
    return trains.reshape(T, C, H * W).transpose(2, 1, 0).reshape(-1, T)


def _draw_image(axes: Any, image: NDArray[Any]) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(_GRID)
    axes.set_title("image", loc="left", fontsize=10, color=_INK)
    if image.size <= _MOST_NAMED:
        for (row, column), value in np.ndenumerate(image):
            colour = "white" if value < 0.5 else _INK
            axes.text(column, row, _grey(value), ha="center", va="center", fontsize=9, color=colour)


def _draw_raster(axes: Any, rows: NDArray[np.uint8], channels: int, step_us: int) -> None:
    """Spikes as lines where they can be told apart, else as a picture."""
    T = rows.shape[1]
    ends_ms = (0, T * step_us / 1000)
    if len(rows) <= _MOST_TICKS:
        for row, train in enumerate(rows):
            colour = (_OFF, _ON)[row % 2] if channels == 2 else _DARK
            middles_ms = (np.flatnonzero(train) + 0.5) * step_us / 1000
            axes.vlines(middles_ms, row - 0.4, row + 0.4, color=colour, linewidth=1.3)
        for row in range(channels, len(rows), channels):
            axes.axhline(row - 0.5, color=_GRID, linewidth=0.8, zorder=0)
    else:
        colours = np.array((_OFF, _ON) if channels == 2 else (_DARK,))
        inks = colours[np.arange(len(rows)) % len(colours)][:, None]
        picture = np.where(rows[..., None] > 0, inks, 1.0)
        axes.imshow(picture, aspect="auto", interpolation="nearest", extent=(*ends_ms, len(rows) - 0.5, -0.5))
    axes.set_xlim(ends_ms)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("ms", **_SMALL)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(length=0, labelsize=8, labelcolor=_QUIET)


def _name_pixels(axes: Any, image: NDArray[Any], rows: int) -> None:
    each = rows // image.size
    if image.size <= _MOST_NAMED:
        middles = np.arange(image.size) * each + (each - 1) / 2
        axes.set_yticks(middles, [_grey(value) for value in image.ravel()])
        axes.set_ylabel("grey value", **_SMALL)
    else:
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("pixel, row by row" if each == 1 else f"{each} trains per pixel, row by row", **_SMALL)


def _grey(value: float) -> str:
    return f"{255 * value:.0f}"
