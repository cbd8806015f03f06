"""What the extra `app` adds: a page in the browser."""

from __future__ import annotations

from collections.abc import Sequence

from ..hooks import Command, hookimpl


@hookimpl
def commands() -> Sequence[Command]:
    """Return the command `app`."""
    summary = "Serve a local web page to convert videos, learn gestures, and explore predictions."
    return (Command("app", "dvspipe.app.command:app", summary, "First steps"),)
