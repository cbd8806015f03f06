"""Command `track`: track the joints of a person in a video."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..base.files import claim_output, require_suffix
from ..base.texts import show_name
from ..verbs.tracking import track as verb
from ..video.config import VideoSettings
from .commands import takes
from .options import Overwrite
from .screen import progress, screen, warn

if TYPE_CHECKING:
    from ..pose import Track


@takes(verb, without=("look",))
def track(
    source: Path,
    out: Annotated[Path, Parameter(help="CSV file for the joints.")],
    *,
    preview: Annotated[
        Path | None, Parameter(help="Also write a .webm video with the joints drawn over the video.")
    ] = None,
    video: VideoSettings | None = None,
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    from ..report import write_track_preview

    require_suffix(out, "joints", ".csv")
    claim_output(out, overwrite=overwrite)
    if preview:
        require_suffix(preview, "a preview of a track", ".webm")
        claim_output(preview, overwrite=overwrite)

    with progress() as show:
        tracked = verb(source, **given, video=video, progress=partial(show, "pictures"))
        if preview:
            write_track_preview(tracked, source, preview, video=video, progress=partial(show, "preview"))
        tracked.write(out)

    _print(tracked, out)
    if preview:
        screen.print(f"preview: {show_name(preview)}")


def _print(track: Track, out: Path) -> None:
    """Print a summary of the track, and a warning if it may be unreliable."""
    screen.print(f"{show_name(out)}: {track}")
    if (people := int(track.people.max())) > 1:
        warn(f"{show_name(out)}: {people} people in the video; the largest person is tracked")
