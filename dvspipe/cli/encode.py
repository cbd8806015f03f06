"""Command `encode`: encode images as spike trains."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..base.errors import ConfigError, DataError, FileError
from .options_typer import Overwrite, Seed, to_us
from .screen import progress, screen

if TYPE_CHECKING:
    from ..base.config import SettingsTree
    from ..encoding import SpikeCode


class Method(StrEnum):
    """Names of the spike codes in `encoding.CODES`."""

    POISSON = "poisson"
    LATENCY = "latency"
    LOG_LATENCY = "log_latency"
    RANK_ORDER = "rank_order"
    POPULATION = "population"
    DELTA = "delta"
    STEP_FORWARD = "step_forward"
    HSA = "hsa"
    BSA = "bsa"


def encode(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file; colours are converted to grey.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="Output file: .png (raster plot) or .npz (spike arrays)."),
    ],
    method: Annotated[
        list[Method] | None, typer.Option(help="Spike code; default: poisson. Repeatable, to compare codes.")
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Number of time steps; default: 50.")] = None,
    step: Annotated[float | None, typer.Option(metavar="MS", help="Length of a time step; default: 1.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Setting of the spike code, such as max_rate_hz=200. Repeatable."
        ),
    ] = None,
    seed: Seed = 0,
    resize: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size to resize the image to; default: its own size.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Encode an image as spike trains and draw or store them."""
    import numpy as np

    from ..base.files import claim_output, write_beside
    from ..encoding import unit_values
    from ..report import draw_rasters
    from ..video.config import VideoSettings
    from ..video.folders import read_image

    if out.suffix.lower() not in (".png", ".npz"):
        raise FileError(f"{out}: cannot write spikes as {out.suffix or 'a file without suffix'}; use .png or .npz")
    codes = _build_codes(method or [Method.POISSON], {"steps": steps, "step_us": to_us(step)}, settings or [])
    if resize and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", resize):
        raise ConfigError(f"--resize {resize!r} is not of the form WIDTHxHEIGHT, such as 28x28")
    claim_output(out, overwrite=overwrite)
    try:
        values = unit_values(read_image(image, VideoSettings(resize=resize)))
    except DataError as error:
        raise error.named(str(image)) from error
    spikes = {name: code.encode(values, np.random.default_rng(seed)) for name, code in codes.items()}
    step_us = next(iter(codes.values())).step_us
    with progress():
        if out.suffix.lower() == ".png":
            draw_rasters(spikes, values, out, step_us=step_us)
        else:
            with write_beside(out) as beside, beside.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, step_us=step_us, **spikes)
    for name, trains in spikes.items():
        T, C, H, W = trains.shape
        screen.print(
            f"{out}: {name}, {trains.sum():,} spikes in {C * H * W:,} trains of {T} steps of {step_us / 1000:g} ms"
        )


def _build_codes(methods: list[Method], given: dict[str, int | None], settings: list[str]) -> dict[str, SpikeCode]:
    """Return the codes by name; each code gets the settings that it has."""
    from ..base.config import build, parse_overrides
    from ..encoding import CODES

    overrides: SettingsTree = {key: value for key, value in given.items() if value is not None}
    overrides |= parse_overrides(settings)
    known = {key for name in methods for key in CODES[name].model_fields}
    return {
        str(name): build(
            CODES[name],
            {key: value for key, value in overrides.items() if key in CODES[name].model_fields or key not in known},
            f"encode --method {name}",
        )
        for name in methods
    }
