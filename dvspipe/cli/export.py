"""A trained network for other software."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Overwrite
from .screen import describe_error, messages, notes, progress, screen, warn


def export(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A run, a .safetensors file, a shipped name, or hf://USER/NAME.")
    ],
    to: Annotated[Literal["nir", "onnx"], typer.Option("--to", help="Format.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write.")],
    dt: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="NIR: time step of the program that reads the file, to which time constants are scaled; default: "
            "1e-4, which snnTorch always assumes.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a trained network as NIR (snnTorch, Norse) or ONNX, and compare it with the file read back."""
    from ..checkpoints.export import export as export_checkpoint

    with progress() as show:

        def show_stage(stage: str) -> None:
            show(f"{stage} {to}", 0, 0)
            if not (stage == "load" or messages.is_terminal or notes.quiet):  # others may take minutes
                messages.print(f"{out}: {stage} {to}")

        done = export_checkpoint(checkpoint, out, to=to, dt=dt, overwrite=overwrite, progress=show_stage)
    screen.print(
        f"{out}: {len(done.nodes)} nodes of {to}; read back and run, it differs from the network by at most "
        f"{done.difference:.1g} of the largest output"
    )
    if done.dt is not None:
        _print_readers(done.path, done.nodes, done.dt)


def _print_readers(path: Path, nodes: Sequence[str], dt: float) -> None:
    from ..checkpoints.export import NIR_READERS

    for reader in NIR_READERS:
        problem = reader.find_problem(nodes, dt)
        if problem:
            warn(describe_error(problem))
        else:
            screen.print(f"{reader.name} reads it: {reader.call.format(path=str(path), dt=dt)}")
