"""A trained network for other software."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Overwrite
from .screen import screen


def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="weights/best.safetensors of a run.")],
    to: Annotated[Literal["nir", "onnx"], typer.Option("--to", help="Format.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write.")],
    dt: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Time step of a program that always assumes the same one: 1e-4 for snnTorch; default: the network's "
            "own.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a trained network as NIR (snnTorch, Norse, chips) or ONNX, and compare it with the file read back."""
    from ..export import export as export_checkpoint

    done = export_checkpoint(checkpoint, out, to=to, dt=dt, overwrite=overwrite)
    screen.print(
        f"{out}: {done.nodes} nodes of {to}; read back and run, it differs from the network by at most "
        f"{done.difference:.1g} of the largest output"
    )
