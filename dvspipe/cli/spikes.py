"""Command `spikes`: encode images as spike trains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..encoding.spikes import CodeName
from ..verbs.encoding import spikes as verb
from .commands import takes
from .screen import progress, screen


@takes(verb, without=("method",))
def spikes(
    image: Path,
    out: Path,
    *,
    method: Annotated[
        list[CodeName] | None, Parameter(help="Spike code; default: poisson. Repeatable, to compare codes.")
    ] = None,
    **given: Any,
) -> None:
    with progress():
        encoded = verb(image, out, **given, method=method or "poisson")

    for name, trains in encoded.trains.items():
        T, C, H, W = trains.shape
        screen.print(
            f"{out}: {name}, {trains.sum():,} spikes in {C * H * W:,} trains of {T} steps of "
            f"{encoded.step_us / 1000:g} ms"
        )
