"""What the extra `synthesis` adds: rendered people and digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..hooks import Command, OpenKind, hookimpl


@hookimpl
def commands() -> Sequence[Command]:
    """Return the commands that render."""
    room = "dvspipe.synthesis.commands"
    demo = "Classify a rendered gesture, then fine-tune a network in a given time."
    synth = "Create synthetic recordings with labels."
    return (
        Command("demo", f"{room}:demo", demo, "First steps"),
        Command("synth", f"{room}:synth", synth, "Data sets and configurations"),
    )


@hookimpl
def data_kinds() -> Mapping[str, OpenKind]:
    """Return rendered gestures."""
    from .kinds import open_gestures

    return {"gestures": open_gestures}
