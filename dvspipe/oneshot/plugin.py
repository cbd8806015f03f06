"""What the extra `oneshot` adds: gestures from a few films each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..hooks import Command, hookimpl


@hookimpl
def commands() -> Sequence[Command]:
    """Return the command `learn`."""
    summary = "Learn new gestures from a few films each, and train a classifier on them."
    return (Command("learn", "dvspipe.oneshot.learning:learn", summary, "First steps"),)


@hookimpl
def functions() -> Mapping[str, str]:
    """Return the function `learn`."""
    return {"learn": "dvspipe.oneshot.learning:learn"}
