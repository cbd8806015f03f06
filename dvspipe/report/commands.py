"""Commands `view`, `frames` and `spikes`: pictures of recordings, and spike trains of images."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..base.errors import ConfigError, DvspipeError, count_noun
from ..base.texts import show_name
from ..cli.activity import ShownStage
from ..cli.commands import takes
from ..cli.screen import fail_inputs, messages, notes, progress, screen, skip, warn
from ..encoding.spikes import CodeName
from ..parallel import Processes
from . import frame_sets, rasters, views
from .frames import SETTINGS, FramePlan

if TYPE_CHECKING:
    from ..formats import Recording
    from ..parallel import Engine


@takes(views.view)
def view(recording: Path, **given: Any) -> None:
    _refuse_video(recording)
    with progress() as show:
        shown = views.view(recording, **given, progress=partial(show, "view"))

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


@takes(frame_sets.frames)
def frames(source: Path, out: Path, *, jobs: int = 1, overwrite: bool = False, **given: Any) -> None:
    plan = frame_sets.open_frames(source, out, **given)

    done_before = 0 if overwrite else len(plan.tasks) - len(plan.unwritten())
    if done_before and not notes.quiet:
        messages.print(f"{done_before:,} of {count_noun(len(plan.tasks), 'recording')} already written")

    try:
        _write(plan, Processes(jobs), overwrite=overwrite)
    except KeyboardInterrupt:
        if (out / SETTINGS).exists():
            messages.print("run the same command again to resume")
        raise


def _write(plan: FramePlan, engine: Engine, *, overwrite: bool) -> None:
    """Write the frames, and print a line per recording."""
    failed = 0
    with progress() as show:
        for outcome in frame_sets.write_frames(
            plan, engine=engine, overwrite=overwrite, progress=ShownStage(show, "recordings")
        ):
            try:
                count = outcome.result()
            except DvspipeError as error:
                # A single recording fails with its own error, several with a summary at the end.
                if len(plan.tasks) == 1:
                    raise
                failed += 1
                skip(error)
            else:
                what = f"{count_noun(count.frames, 'frame')} of {count_noun(count.events, 'event')}, {count.sensor}"
                screen.print(f"{show_name(plan.out / outcome.item.times)}: {what}")

    fail_inputs(failed, len(plan.tasks), "recordings could not be written")


@takes(rasters.spikes, without=("method",))
def spikes(
    image: Path,
    out: Path,
    *,
    method: Annotated[
        list[CodeName] | None, Parameter(help="Spike code; default: poisson. Repeatable, to compare codes.")
    ] = None,
    **given: Any,
) -> None:
    with progress():
        encoded = rasters.spikes(image, out, **given, method=method or "poisson")

    for name, trains in encoded.trains.items():
        T, C, H, W = trains.shape
        screen.print(
            f"{out}: {name}, {trains.sum():,} spikes in {C * H * W:,} trains of {T} steps of "
            f"{encoded.step_us / 1000:g} ms"
        )
