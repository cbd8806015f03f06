"""What the extra `integers` adds: networks in 8-bit integers, and their C code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..hooks import Command, hookimpl


@hookimpl
def commands() -> Sequence[Command]:
    """Return the command `quantise`."""
    summary = "Compile a trained network to 8-bit integers, and compare both."
    return (Command("quantise", "dvspipe.integers.command:quantise", summary, "Classifiers"),)


@hookimpl
def functions() -> Mapping[str, str]:
    """Return the function `quantise`."""
    return {"quantise": "dvspipe.integers.quantisation:quantise"}


@hookimpl
def export(checkpoint: str | Path, out: Path, overwrite: bool) -> Sequence[Path] | None:
    """Write a network in integers as C code, into a folder."""
    if out.suffix and not out.is_dir():
        return None

    from .c_code import export_c

    return export_c(checkpoint, out, overwrite=overwrite)
