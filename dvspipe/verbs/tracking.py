"""Verb that tracks the joints of people in films."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.config import as_settings
from ..base.files import check_output
from ..parallel import NamedStep, Progress, ignore_progress
from ..pose.config import FilmTrackKeywords, FilmTrackSettings

if TYPE_CHECKING:
    from ..pose import Look, Track


def track(
    source: str | Path,
    out: str | Path | None = None,
    settings: FilmTrackSettings | Mapping[str, object] | None = None,
    *,
    preview: str | Path | None = None,
    overwrite: bool = False,
    look: Look | None = None,
    progress: Progress = ignore_progress,
    **named: Unpack[FilmTrackKeywords],
) -> Track:
    """Track the joints of the largest person in a video.

    Args:
        source: Video, GIF or image folder.
        out: CSV file for the joints. In Python also None: not written.
        settings: Settings for reading the video and of tracking; also a mapping.
        preview: Also write a .webm video with the joints drawn over the video. None: not written.
        overwrite: Replace existing files.
        look: Pose network; None: the network included in dvspipe.
        progress: Called with the number of pictures read and the total, 0 if unknown.
        named: Settings of `FilmTrackSettings` by name; they take precedence over `settings`.

    Raises:
        FileError: If a suffix is wrong, or a file exists or cannot be written.
        VideoError: If the video is missing, cannot be decoded or shows no person, or if it is a camera.

    Example:
        >>> track("clap.mp4", "joints.csv", max_fps=15).size  # doctest: +SKIP
    """
    from ..pose import track_film

    table = check_output(out, "joints", ".csv", overwrite=overwrite)
    video = check_output(preview, "a preview of a track", ".webm", overwrite=overwrite)
    chosen = as_settings(FilmTrackSettings, settings, named, track)
    tracking = progress if video is None else NamedStep(progress, "pictures", 0, 2)
    tracked = track_film(source, chosen, video=chosen, look=look, progress=tracking)

    if video is not None:
        from ..report import write_track_preview

        drawing = NamedStep(progress, "preview", 1, 2)
        write_track_preview(tracked, Path(source), video, video=chosen, progress=drawing)
    if table is not None:
        tracked.write(table)
    return tracked
