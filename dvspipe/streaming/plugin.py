"""What the extra `streaming` adds: labels while a webcam or a film runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..hooks import Command, hookimpl


@hookimpl
def commands() -> Sequence[Command]:
    """Return the command `live`."""
    summary = "Classify a webcam, or a replayed file, while it runs; Ctrl-C ends it."
    return (Command("live", "dvspipe.streaming.command:live", summary, "First steps"),)


@hookimpl
def functions() -> Mapping[str, str]:
    """Return the function `live`."""
    return {"live": "dvspipe.streaming.session:live"}
