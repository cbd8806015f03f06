"""What the extra `synthesis` adds: rendered people and digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..hooks import Command, OpenKind, hookimpl


@hookimpl
def commands() -> Sequence[Command]:
    """Return the commands that render."""
    room = "dvspipe.synthesis"
    heading = "Data sets, configurations, this machine"
    return (
        Command("demo", f"{room}.demo:demo", "Render a gesture, convert it, classify it.", "First steps"),
        Command("synth gestures", f"{room}:write_gestures", "Record rendered people who perform gestures.", heading),
        Command("synth nmnist", f"{room}:write_digits", "Record MNIST digits as N-MNIST does.", heading),
    )


@hookimpl
def data_kinds() -> Mapping[str, OpenKind]:
    """Return rendered gestures."""
    from .kinds import open_gestures

    return {"gestures": open_gestures}
