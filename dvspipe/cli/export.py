"""Command `export`: write a trained network for other software."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Overwrite
from .screen import describe_error, messages, notes, progress, screen, warn


def export(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT", help="Run folder, .safetensors file, name of a shipped checkpoint, or hf://USER/NAME."
        ),
    ],
    to: Annotated[Literal["nir", "onnx"], typer.Option("--to", help="File format.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Output file.")],
    dt: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="NIR only: time step of the program that reads the file; time constants are scaled to it; default: "
            "1e-4 (fixed in snnTorch).",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Export a trained network as NIR (for snnTorch and Norse) or ONNX, and compare the outputs of network and file."""
    from ..checkpoints.export import export as export_checkpoint

    with progress() as show:

        def show_stage(stage: str) -> None:
            show(f"{stage} {to}", 0, 0)
            if not (stage == "load" or messages.is_terminal or notes.quiet):  # other stages may take minutes
                messages.print(f"{out}: {stage} {to}")

        done = export_checkpoint(checkpoint, out, to=to, dt=dt, overwrite=overwrite, progress=show_stage)
    screen.print(
        f"{out}: {len(done.nodes)} {to} nodes; the outputs of the file differ from the network by at most "
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
            screen.print(f"read it with {reader.name}: {reader.call.format(path=str(path), dt=dt)}")
