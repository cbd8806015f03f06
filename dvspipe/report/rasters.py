"""Spike trains of images: encoded, stored, and drawn as raster charts, one panel per code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, ConfigError, DataError
from ..base.files import claim_output, require_suffix, write_beside
from ..base.texts import Described, readable, show_name
from ..encoding.spikes import CodeName, SpikeSettings, unit_values
from ..video.config import VideoSettings
from ..video.opening import read_image
from .style import GRID, INK, OFF, ON, SMALL, TITLE, frame_axes, new_figure, save_figure, strip_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_TRAINS = 4096  # about two per pixel row of the tallest picture
MAX_NAMED = 16  # larger images have no values written in them and beside their trains
MAX_TICKS = 64  # trains; spikes of more trains are drawn as pixels of an image, not as lines
ROW_HEIGHT = 0.28  # inches
MIN_HEIGHT = 2.2
MAX_HEIGHT = 9.0
PANEL_WIDTH = 4.2
DARK_INK = tuple(channel / 255 for channel in bytes.fromhex(INK.removeprefix("#")))


def draw_rasters(
    rasters: Mapping[str, NDArray[np.uint8]], image: NDArray[np.float64], path: Path, *, step_us: int, title: str = ""
) -> None:
    """Draw the spike trains of an image beside it, one panel per code, with trains in pixel order.

    Args:
        rasters: Spike trains by code name, uint8 [T, C, H, W]; if C = 2, OFF (0) is blue and ON (1) red.
        image: Encoded image [H, W], 0 to 1.
        path: PNG file to write.
        step_us: Length of a step in microseconds.
        title: Title above all panels.

    Raises:
        ConfigError: If a picture cannot show so many trains.
        FileError: If the file cannot be written.
    """
    rows = {name: _flatten_trains(name, trains) for name, trains in rasters.items()}
    height = float(np.clip(ROW_HEIGHT * max(map(len, rows.values())), MIN_HEIGHT, MAX_HEIGHT))
    figure = new_figure(width=2.2 + PANEL_WIDTH * len(rows), height=height + 0.7, title=title)
    first, *panels = figure.subplots(1, 1 + len(rows), width_ratios=[1.6, *[PANEL_WIDTH] * len(rows)])

    _draw_image(first, image)
    for axes, (name, trains) in zip(panels, rows.items(), strict=True):
        _, channels, _, _ = rasters[name].shape
        _draw_raster(axes, trains, channels, step_us)
        axes.set_title(readable(name), **TITLE)
        _name_pixels(axes, image, len(trains))

    save_figure(figure, path)


def _flatten_trains(name: str, trains: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reshape the trains to [H * W * C, T]; trains of a pixel are adjacent."""
    T, C, H, W = trains.shape
    if C * H * W > MAX_TRAINS:
        raise ConfigError(
            f"{name}: too many spike trains for a picture (found {C * H * W:,} of {W}x{H} pixels, expected at most "
            f"{MAX_TRAINS:,}); use resize=WIDTHxHEIGHT to make the image smaller, or out=FILE.npz to write all "
            "trains as arrays"
        )
    return trains.reshape(T, C, H * W).transpose(2, 1, 0).reshape(-1, T)


def _draw_image(axes: Axes, image: NDArray[np.float64]) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    frame_axes(axes, "image")
    if image.size <= MAX_NAMED:
        for (row, column), value in np.ndenumerate(image):
            colour = "white" if value < 0.5 else INK
            axes.text(column, row, _grey(value), ha="center", va="center", fontsize=9, color=colour)


def _draw_raster(axes: Axes, rows: NDArray[np.uint8], channels: int, step_us: int) -> None:
    """Draw spikes [rows, T] as lines if there are few trains, otherwise as pixels of an image."""
    _, T = rows.shape
    ends_ms = (0, T * step_us / 1000)
    inks = (OFF, ON) if channels == 2 else (DARK_INK,)

    if len(rows) <= MAX_TICKS:
        for row, train in enumerate(rows):
            middles_ms = (np.flatnonzero(train) + 0.5) * step_us / 1000
            axes.vlines(middles_ms, row - 0.4, row + 0.4, color=inks[row % len(inks)], linewidth=1.3)

        # Lines between the pixels; trains of one pixel are adjacent.
        for row in range(channels, len(rows), channels):
            axes.axhline(row - 0.5, color=GRID, linewidth=0.8, zorder=0)
    else:
        train_colours = np.array(inks)[np.arange(len(rows)) % len(inks)][:, None]
        picture = np.where(rows[..., None] > 0, train_colours, 1.0)
        axes.imshow(picture, aspect="auto", interpolation="nearest", extent=(*ends_ms, len(rows) - 0.5, -0.5))

    axes.set_xlim(ends_ms)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("ms", **SMALL)
    strip_axes(axes)


def _name_pixels(axes: Axes, image: NDArray[np.float64], rows: int) -> None:
    """Label the trains with the value of their pixel, or, in large images, with pixel numbers."""
    per_pixel = rows // image.size
    if image.size <= MAX_NAMED:
        middles = np.arange(image.size) * per_pixel + (per_pixel - 1) / 2
        axes.set_yticks(middles, [_grey(value) for value in image.ravel()])
        axes.set_ylabel("grey value", **SMALL)
    else:
        axes.locator_params(axis="y", integer=True)
        axes.set_ylabel("pixel, row by row" if per_pixel == 1 else f"{per_pixel} trains per pixel, row by row", **SMALL)


def _grey(value: float) -> str:
    return f"{255 * value:.0f}"


@dataclass(frozen=True, repr=False)
class SpikeTrains(Described, Brief):
    """What `spikes` has encoded.

    Attributes:
        out: File.
        trains: Spike trains of each code, uint8 [T, C, H, W].
        step_us: Length of a step in microseconds.
    """

    out: Path
    trains: Mapping[str, NDArray[np.uint8]]
    step_us: int

    def describe(self) -> list[str]:
        """Return a line for each code."""
        lines = []
        for name, trains in self.trains.items():
            T, C, H, W = trains.shape
            size = f"{C * H * W:,} trains of {T} steps of {self.step_us / 1000:g} ms"
            lines.append(f"{show_name(self.out)}: {name}, {trains.sum():,} spikes in {size}")
        return lines

    def to_record(self) -> dict[str, object]:
        """Return the file, the step and the number of spikes of each code, for JSON."""
        spikes = {name: int(trains.sum()) for name, trains in self.trains.items()}
        return {"file": str(self.out), "step_us": self.step_us, "spikes": spikes}


def spikes(
    image: str | Path,
    out: str | Path,
    config: SpikeSettings = SpikeSettings(),
    *,
    method: CodeName | Sequence[CodeName] = "poisson",
    resize: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> SpikeTrains:
    """Encode an image as spike trains and draw or store them.

    For values in memory, see the codes of `dvspipe.encoding`.

    Args:
        image: Image file; colours are converted to grey.
        out: Output file: .png (raster plot) or .npz (spike arrays).
        config: Settings of the codes.
        method: Spike code. Repeatable, to compare codes.
        resize: Size to resize the image to. Default: its own size.
        seed: Seed of the random generators.
        overwrite: Replace an existing file.

    Raises:
        ConfigError: If no code has a setting, or a picture cannot show so many trains.
        FileError: If the suffix is wrong, or the file exists or cannot be written.
        VideoError: If the image is missing or cannot be read.

    Example:
        >>> spikes("grey.png", "raster.png", SpikeSettings(steps=30), method="latency")  # doctest: +SKIP
    """
    path = Path(out)
    require_suffix(path, "spikes", ".png", ".npz")
    codes = config.build_codes([method] if isinstance(method, str) else method)
    claim_output(path, overwrite=overwrite)

    picture = read_image(Path(image), VideoSettings(resize=resize))
    try:
        values = unit_values(picture)
    except DataError as error:
        raise error.named(str(image)) from error

    # Each code has its own generator with the same seed, so its spikes do not depend on the other codes.
    trains = {name: code.encode(values, np.random.default_rng(seed)) for name, code in codes.items()}
    step_us = next(iter(codes.values())).step_us

    if path.suffix.lower() == ".png":
        draw_rasters(trains, values, path, step_us=step_us)
    else:
        with write_beside(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, step_us=step_us, **trains)

    return SpikeTrains(path, trains, step_us)
