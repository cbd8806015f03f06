"""Compile kernels before they are needed."""

from __future__ import annotations

from functools import partial

from .screen import COMPILATION_LOG, notes, progress, screen


def warmup() -> None:
    """Compile most of what commands would compile when they are first used: some minutes once, seconds afterwards."""
    notes.print("compiling for this version and this kind of CPU")
    COMPILATION_LOG.disabled = True
    from .compilation import warm_up

    with progress() as show:
        for name in warm_up(partial(show, "stages")):
            notes.print(f"ready: {name}")
    screen.print("the kernels of most commands are compiled; some kinds of networks compile a few more")
