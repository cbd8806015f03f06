"""Command `export`: write a trained network for other software."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..verbs.deployment import export as verb
from .commands import takes
from .screen import describe_error, messages, notes, progress, screen, warn


@takes(verb)
def export(checkpoint: str, out: Path, **given: Any) -> None:
    with progress() as show:

        def show_stage(stage: str) -> None:
            show(f"{stage} {out.name}", 0, 0)
            if not (stage == "load" or messages.is_terminal or notes.quiet):  # other stages may take minutes
                messages.print(f"{out}: {stage}")

        exported = verb(checkpoint, out, **given, progress=show_stage)

    if exported.format == "c":
        screen.print(f"{out}: {', '.join(path.name for path in exported.files)}")
        screen.print("compare with the reference:")
        screen.print(f"  cd {out}; cc -O2 check.c dvspipe_network.c -o check; ./check")
        return

    screen.print(
        f"{out}: {len(exported.nodes)} {exported.format} nodes; the outputs of the file differ from the network by at "
        f"most {exported.difference:.1g} of the largest output"
    )
    if exported.dt is not None:
        _print_readers(exported.path, exported.nodes, exported.dt)


def _print_readers(path: Path, nodes: Sequence[str], dt: float) -> None:
    from ..checkpoints.nir_readers import NIR_READERS

    for reader in NIR_READERS:
        problem = reader.find_problem(nodes, dt)
        if problem:
            warn(describe_error(problem))
        else:
            screen.print(f"read it with {reader.name}: {reader.call.format(path=str(path), dt=dt)}")
