"""Command `track`: track the joints of a person in a video."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options_typer import Overwrite
from .screen import progress, screen, show_name, warn

if TYPE_CHECKING:
    from ..pose import Track


def track(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="Video, GIF or image folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="CSV file for the joints.")],
    preview: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a .webm video with the joints drawn over the video.")
    ] = None,
    max_fps: Annotated[
        float | None,
        typer.Option(metavar="HZ", help="Maximum number of frames to analyse per second; default: 30."),
    ] = None,
    start: Annotated[float, typer.Option(metavar="SECONDS", help="Start time in the video.")] = 0.0,
    stop: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stop time (exclusive); default: end of the video.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Track the joints of the largest person in a video, and write them as CSV."""
    from ..base.config import build
    from ..base.files import claim_output, require_suffix
    from ..pose import TrackSettings
    from ..pose import track as track_joints
    from ..report import write_track_preview
    from ..video.config import VideoSettings

    require_suffix(out, ".csv", "joints")
    claim_output(out, overwrite=overwrite)
    if preview:
        require_suffix(preview, ".webm", "a preview of a track")
        claim_output(preview, overwrite=overwrite)
    read = build(VideoSettings, {"start_s": start, "stop_s": stop}, "track")
    settings = build(TrackSettings, {} if max_fps is None else {"max_fps": max_fps}, "track")
    with progress() as show:
        found = track_joints(video, settings, video=read, progress=partial(show, "pictures"))
        if preview:
            write_track_preview(found, video, preview, video=read, progress=partial(show, "preview"))
        found.write(out)
    _print(found, out)
    if preview:
        screen.print(f"preview: {show_name(preview)}")


def _print(track: Track, out: Path) -> None:
    """Print a summary of the track, and a warning if it may be unreliable."""
    lasts_s = (track.times_us[-1] - track.times_us[0]) / 1e6
    missing_s = sum(gap.stop_us - gap.start_us for gap in track.gaps) / 1e6
    screen.print(
        f"{show_name(out)}: {len(track.times_us):,} pictures in {lasts_s:.1f} s, "
        f"a person in {track.present.mean():.0%} of them, {len(track.gaps)} gaps ({missing_s:.1f} s)"
    )
    if (people := int(track.people.max())) > 1:
        warn(f"{show_name(out)}: {people} people in the video; the largest person is tracked")
