"""Images to spike trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import build, parse_overrides
from ..errors import ConfigError, DataError, FileError
from .screen import Overwrite, screen

if TYPE_CHECKING:
    from ..encoding import SpikeCode


def encode(
    image: Annotated[Path, typer.Argument(help="An image; colours become grey.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .png of the spikes, or an .npz with them.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="poisson, latency, log_latency, rank_order, population, delta, step_forward, hsa or bsa; several "
            "times: side by side. poisson by default.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Number of time steps.")] = None,
    step_us: Annotated[int | None, typer.Option(help="Length of a step in microseconds.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of the method, such as max_rate_hz=200 or threshold=0.2."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn at random.")] = 0,
    resize: Annotated[str | None, typer.Option(metavar="WxH", help="Size to scale the image to.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn an image into spike trains and draw them: rate, latency, rank order, population, changes."""
    import numpy as np

    from ..encoding import unit_values
    from ..files import claim_output, write_beside
    from ..report import draw_rasters
    from ..video import VideoSettings, read_image

    if out.suffix.lower() not in (".png", ".npz"):
        raise FileError(f"{out}: cannot write spikes as {out.suffix or 'a file without suffix'}; use .png or .npz")
    codes = _codes(method or ["poisson"], {"steps": steps, "step_us": step_us}, settings or [])
    if resize and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", resize):
        raise ConfigError(f"--resize {resize!r} is not of the form WIDTHxHEIGHT, such as 28x28")
    claim_output(out, overwrite=overwrite)
    try:
        values = unit_values(read_image(image, VideoSettings(resize=resize)))
    except DataError as error:
        raise DataError(f"{image}: {error}") from error
    spikes = {name: code.encode(values, np.random.default_rng(seed)) for name, code in codes.items()}
    step = next(iter(codes.values())).step_us
    if out.suffix.lower() == ".png":
        draw_rasters(spikes, values, out, step_us=step)
    else:
        with write_beside(out) as beside, beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, step_us=step, **spikes)
    for name, trains in spikes.items():
        T, C, H, W = trains.shape
        screen.print(
            f"{out}: {name}, {trains.sum():,} spikes in {C * H * W:,} trains of {T} steps of {step / 1000:g} ms"
        )


def _codes(methods: list[str], given: dict[str, int | None], settings: list[str]) -> dict[str, SpikeCode]:
    """The codes by their names; a setting goes to those that have it."""
    from ..encoding import CODES

    unknown = [name for name in methods if name not in CODES]
    if unknown:
        raise ConfigError(f"--method {unknown[0]}: unknown, expected {', '.join(CODES)}")
    over = {key: value for key, value in given.items() if value is not None} | parse_overrides(settings)
    known = {key for name in methods for key in CODES[name].model_fields}
    return {
        name: build(
            CODES[name],
            {key: value for key, value in over.items() if key in CODES[name].model_fields or key not in known},
            f"encode --method {name}",
        )
        for name in methods
    }
