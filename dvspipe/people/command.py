"""Command `track`: track the joints of a person in a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..base.texts import show_name
from ..cli.activity import ShownStage
from ..cli.commands import takes
from ..cli.screen import progress, screen, warn
from .tracking import track as verb


@takes(verb, without=("look",))
def track(source: Path, out: Path, *, preview: Path | None = None, **given: Any) -> None:
    with progress() as show:
        tracked = verb(source, out, **given, preview=preview, progress=ShownStage(show, "pictures"))

    screen.print(f"{show_name(out)}: {tracked}")
    if (people := int(tracked.people.max())) > 1:
        warn(f"{show_name(out)}: {people} people in the video; the largest person is tracked")
    if preview:
        screen.print(f"preview: {show_name(preview)}")
