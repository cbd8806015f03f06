"""Commands `calibrate` and `view`: measure and show recordings."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import ConfigError
from ..base.texts import show_name
from ..verbs import inspection
from .commands import takes
from .screen import notes, print_parts, progress, screen, warn

if TYPE_CHECKING:
    from ..formats import Recording


@takes(inspection.calibrate)
def calibrate(recording: Path, out: Path, **given: Any) -> None:
    with progress():
        calibration = inspection.calibrate(recording, out, **given)

    print_parts(*calibration.describe())
    screen.print(
        f"{show_name(out)}: sensor preset; use it with dvspipe convert VIDEO -o EVENTS.h5 --preset {show_name(out)}"
    )


@takes(inspection.view)
def view(recording: Path, **given: Any) -> None:
    _refuse_video(recording)
    with progress() as show:
        shown = inspection.view(recording, **given, progress=partial(show, "view"))

    # Only a chart of the rate shows what the note explains.
    if not shown.extent.events:
        warn(f"{recording}: has no events to show")
    elif given.get("chart") == "rate":
        _note_frames(shown.part.recording)

    name = show_name(recording.name)
    what = "region" if "region" in given else "sensor"
    screen.print(f"{show_name(shown.out)}: {name}, {what} {shown.part.sensor}")


def _note_frames(recording: Recording) -> None:
    """Explain changes of the event rate at each frame, for recordings converted without upsampling.

    A pixel that reverses at a frame has no events until it has crossed a complete threshold. With textures that move by
    several pixels per frame, the rate just after a frame is a quarter of the rate before it.
    """
    settings = recording.attributes.get("settings")
    if isinstance(settings, dict) and settings.get("upsample") == "off":
        notes.print(
            "The event rate can drop after each frame of the video and rise until the next one, because many pixels "
            "reverse at a frame; dvspipe convert --upsample auto interpolates fast motion."
        )


def _refuse_video(file: Path) -> None:
    """Reject videos; the error contains the command to convert the video and write a preview."""
    from ..recordings.conversion import is_video
    from ..video.names import camera_of
    from ..video.opening import open_video

    if file.exists() and camera_of(file) is None and is_video(file):
        open_video(file)  # a file with the name of a video may be none: its error says so
        command = shlex.join(["dvspipe", "convert", str(file), "-o", str(file.with_suffix(".h5")), "--preview"])
        raise ConfigError(f"{file}: is a video, not an event recording; convert it first: {command}")
