"""Commands `cut`, `merge` and `filter`: edit recordings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..base.errors import count_noun
from ..base.texts import show_name
from ..verbs import editing
from .commands import takes
from .options import RecordingFiles
from .screen import progress, screen, warn

if TYPE_CHECKING:
    from ..recordings.editing import Edit, FilteredPart


@takes(editing.cut)
def cut(recording: Path, out: Path, *, overwrite: bool = False, **given: Any) -> None:
    part = editing.cut.edit(recording, **given)
    count = write_edit(part, out, overwrite=overwrite)
    screen.print(f"{show_name(out)}: {count_noun(count, 'event')} of {part.sensor}")

    if not count:
        empty = f"this part of {recording} is empty; show it with dvspipe view {recording}"
        warn(f"{show_name(out)}: has no events: {empty}")


def write_edit(edit: Edit, out: Path, *, overwrite: bool) -> int:
    """Write the result of an edit, and show its progress; return the number of events."""
    with progress() as show:
        return edit.write(out, overwrite=overwrite, progress=partial(show, "events"))


@takes(editing.merge, without=("recordings",))
def merge(recordings: RecordingFiles, out: Path, *, overwrite: bool = False, **given: Any) -> None:
    merged = editing.merge.edit(recordings, **given)

    count = write_edit(merged, out, overwrite=overwrite)
    of_all = f"{count_noun(count, 'event')} of {count_noun(len(recordings), 'recording')}"
    screen.print(f"{show_name(out)}: {of_all}, {merged.sensor}")


@takes(editing.filter)
def filter_(recording: Path, out: Path, *, overwrite: bool = False, **given: Any) -> None:
    edit = cast("FilteredPart", editing.filter.edit(recording, **given))
    write_edit(edit, out, overwrite=overwrite)

    hot = "" if edit.hot is None else f"; {count_noun(int(edit.hot.sum()), 'hot pixel')} found"
    screen.print(f"{show_name(out)}: {edit.counts}{hot}")
