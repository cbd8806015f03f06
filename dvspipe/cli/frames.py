"""Command `frames`: write recordings as folders of pictures or arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import DvspipeError, count_noun
from ..base.texts import show_name
from ..verbs.encoding import frames as verb
from ..verbs.encoding import open_frames
from .activity import ShownStage
from .commands import takes
from .screen import fail_inputs, messages, notes, progress, screen, skip

if TYPE_CHECKING:
    from ..report.frames import FramePlan


@takes(verb)
def frames(source: Path, out: Path, *, jobs: int | str = 1, overwrite: bool = False, **given: Any) -> None:
    from ..report.frames import SETTINGS

    plan = open_frames(source, out, **given)

    done_before = 0 if overwrite else len(plan.tasks) - len(plan.unwritten())
    if done_before and not notes.quiet:
        messages.print(f"{done_before:,} of {count_noun(len(plan.tasks), 'recording')} already written")

    try:
        _write(plan, jobs, overwrite=overwrite)
    except KeyboardInterrupt:
        if (out / SETTINGS).exists():
            messages.print("run the same command again to resume")
        raise


def _write(plan: FramePlan, jobs: int | str, *, overwrite: bool) -> None:
    """Write the frames, and print a line per recording."""
    from ..report.frame_sets import write_frames

    failed = 0
    with progress() as show:
        for outcome in write_frames(plan, jobs=jobs, overwrite=overwrite, progress=ShownStage(show, "recordings")):
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
