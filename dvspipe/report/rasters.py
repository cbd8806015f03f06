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
from .style import INK, OFF, ON

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_TRAINS = 4096  # about two per pixel row of the tallest picture
PANEL_WIDTH = 4.2  # inches


def draw_rasters(
    rasters: Mapping[str, NDArray[np.uint8]], image: NDArray[np.float64], path: Path, *, step_us: int
) -> None:
    """Draw the spike trains of an image beside it, one panel per code, with trains in pixel order.

    Args:
        rasters: Spike trains by code name, uint8 [T, C, H, W]; if C = 2, OFF (0) is blue and ON (1) red.
        image: Encoded image [H, W], 0 to 1.
        path: PNG file to write.
        step_us: Length of a step in microseconds.

    Raises:
        ConfigError: If a picture cannot show so many trains.
        FileError: If the file cannot be written.
    """
    from .figures import SMALL, frame_axes, grid_axes, new_figure, save_figure

    most = max(trains[0].size for trains in rasters.values())
    if most > MAX_TRAINS:
        raise ConfigError(
            f"{', '.join(rasters)}: too many spike trains for a picture (found {most:,}, expected at most "
            f"{MAX_TRAINS:,}); use resize=WIDTHxHEIGHT to make the image smaller, or out=FILE.npz to write all "
            "trains as arrays"
        )

    height = float(np.clip(0.28 * most, 2.2, 9.0))
    figure = new_figure(2.2 + PANEL_WIDTH * len(rasters), height + 0.7)
    first, *panels = figure.subplots(1, 1 + len(rasters), width_ratios=[1.6, *[PANEL_WIDTH] * len(rasters)])
    first.imshow(image, cmap="gray", vmin=0, vmax=1)
    frame_axes(first, "image")
    for axes, (name, trains) in zip(panels, rasters.items(), strict=True):
        grid_axes(axes, readable(name))
        axes.grid(visible=False)
        _draw_trains(axes, trains, step_us)
        axes.set_xlabel("ms", **SMALL)
        axes.set_ylabel("spike train, pixel by pixel", **SMALL)
        axes.locator_params(axis="y", integer=True)
    save_figure(figure, path)


def _draw_trains(axes: Axes, trains: NDArray[np.uint8], step_us: int) -> None:
    """Draw spikes [T, C, H, W], a row per train."""
    T, C, H, W = trains.shape
    colours = [OFF, ON] if C == 2 else [INK]

    # Trains of a pixel are adjacent.
    rows = trains.reshape(T, C, H * W).transpose(2, 1, 0).reshape(-1, T)
    spikes_ms = [(np.flatnonzero(row) + 0.5) * step_us / 1000 for row in rows]
    axes.eventplot(spikes_ms, linelengths=0.8, linewidths=1.3, colors=colours * (len(rows) // len(colours)))
    axes.set_xlim(0, T * step_us / 1000)
    axes.set_ylim(len(rows) - 0.5, -0.5)


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
