"""Command `spikes`: encode images as spike trains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from docstring_parser import parse_from_object
from pydantic import BaseModel, Field, create_model

from ..base.config import Settings, build
from ..base.errors import ConfigError, DataError
from ..base.files import claim_output, require_suffix, write_beside
from ..encoding import CODES, SpikeCode, unit_values
from ..encoding.spikes import CodeName
from .commands import SETTINGS_HEADING, explain_option
from .options import Overwrite, Seed
from .screen import progress, screen


def _list_settings() -> type[BaseModel]:
    """Return a model of the settings of all codes; none is set."""
    settings: dict[str, Any] = {}
    for code in CODES.values():
        # A code inherits settings, whose texts are in the docstring of the base.
        bases = [base for base in code.__mro__ if issubclass(base, SpikeCode)]
        texts: dict[str, str] = {}
        for base in bases:
            texts |= {one.arg_name: explain_option(one.description or "") for one in parse_from_object(base).params}
        for name, field in code.model_fields.items():
            kind: Any = field.annotation
            settings.setdefault(name, (kind | None, Field(None, description=texts[name])))

    return create_model("CodeSettings", __base__=Settings, **settings)


CodeSettings: Any = _list_settings()


def spikes(
    image: Annotated[Path, Parameter(help="Image file; colours are converted to grey.")],
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o", help="Output file: .png (raster plot) or .npz (spike arrays).")],
    method: Annotated[
        list[CodeName] | None, Parameter(help="Spike code; default: poisson. Repeatable, to compare codes.")
    ] = None,
    resize: Annotated[
        str | None, Parameter(metavar="WxH", help="Size to resize the image to; default: its own size.")
    ] = None,
    settings: Annotated[CodeSettings | None, Parameter(name="*", group=SETTINGS_HEADING)] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Encode an image as spike trains and draw or store them."""
    require_suffix(out, "spikes", ".png", ".npz")
    codes = _build_codes(method or ["poisson"], {} if settings is None else settings.model_dump(exclude_unset=True))

    claim_output(out, overwrite=overwrite)
    from ..report import draw_rasters
    from ..video.config import VideoSettings
    from ..video.folders import read_image

    reading = build(VideoSettings, {"resize": resize}, "spikes")
    try:
        values = unit_values(read_image(image, reading))
    except DataError as error:
        raise error.named(str(image)) from error

    # Each code has its own generator with the same seed, so its spikes do not depend on the other codes.
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


def _build_codes(methods: list[CodeName], given: dict[str, Any]) -> dict[str, SpikeCode]:
    """Return the codes by name; each code gets the settings that it has."""
    known = {name for method in methods for name in CODES[method].model_fields}
    if unknown := sorted(given.keys() - known):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unknown)
        raise ConfigError(f"encode: {options}: not used by {', '.join(methods)}")

    return {
        method: build(
            CODES[method],
            {name: value for name, value in given.items() if name in CODES[method].model_fields},
            f"spikes --method {method}",
        )
        for method in methods
    }
