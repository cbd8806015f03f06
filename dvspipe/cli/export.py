"""Command `export`: write a trained network for other software."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..base.errors import ConfigError, Remedy
from .options_typer import Overwrite
from .screen import describe_error, messages, notes, progress, screen, warn


def export(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Run folder, .safetensors file, name of an included checkpoint, or hf://USER/NAME. For c: a file of "
            "dvspipe quantise.",
        ),
    ],
    to: Annotated[Literal["nir", "onnx", "c"], typer.Option("--to", help="File format; c: C99 code.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="Output file; for c: output folder.")],
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
    """Export a trained network as NIR (for snnTorch and Norse), ONNX or, in integers, C99 code for microcontrollers.

    The outputs of NIR and ONNX files are compared with the network's; C code contains a golden recording to compare.
    """
    if to == "c":
        _export_c(checkpoint, out, dt, overwrite=overwrite)
        return
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


def _export_c(checkpoint: str, out: Path, dt: float | None, *, overwrite: bool) -> None:
    from ..integers.c_code import export_c

    if dt is not None:
        raise ConfigError(f"dt = {dt:g}: not used by c", Remedy("to", "nir", "scale time constants"))
    files = export_c(checkpoint, out, overwrite=overwrite)
    screen.print(f"{out}: {', '.join(path.name for path in files)}")
    screen.print(f"compare with the reference: cd {out}; cc -O2 check.c dvspipe_network.c -o check; ./check")


def _print_readers(path: Path, nodes: Sequence[str], dt: float) -> None:
    from ..checkpoints.export import NIR_READERS

    for reader in NIR_READERS:
        problem = reader.find_problem(nodes, dt)
        if problem:
            warn(describe_error(problem))
        else:
            screen.print(f"read it with {reader.name}: {reader.call.format(path=str(path), dt=dt)}")
