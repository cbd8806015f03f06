"""A trained network for other software."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .screen import Overwrite, screen


def export(
    checkpoint: Annotated[Path, typer.Argument(help="weights/best.safetensors of a run.")],
    to: Annotated[str, typer.Option("--to", metavar="nir|onnx", help="The format.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    dt: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Of nir: the time step that the reader assumes, where it cannot be told: 1e-4 for snnTorch. The "
            "network's own by default.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a trained network as NIR (snnTorch, Norse, chips) or ONNX, and replay it from the file."""
    from .. import export as exporting

    done = exporting.export(checkpoint, out, to=to, dt=dt, overwrite=overwrite)  # type: ignore[arg-type]
    screen.print(
        f"{out}: {done.nodes} nodes of {to}; read back and replayed, it differs from the network by at most "
        f"{done.difference:.1g} of the largest output"
    )
