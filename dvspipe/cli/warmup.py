"""Command `warmup`: compile kernels in advance."""

from __future__ import annotations

from functools import partial

from .screen import COMPILATION_LOG, notes, progress, screen


def warmup() -> None:
    """Compile the kernels of most commands in advance; takes a few minutes once, and seconds if they are cached."""
    notes.print("compiling kernels for this version and this kind of CPU")
    # The stages are listed, so the note on compilation is not needed.
    COMPILATION_LOG.disabled = True

    from .compilation import warm_up

    with progress() as show:
        for name in warm_up(partial(show, "stages")):
            notes.print(f"ready: {name}")

    screen.print("the kernels of most commands are ready; some kinds of networks compile a few more")
