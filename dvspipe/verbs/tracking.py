"""Verb that tracks the joints of people in films."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.arguments import checked
from ..base.config import as_settings
from ..parallel import Progress, ignore_progress
from ..pose.config import TrackKeywords, TrackSettings
from ..video.config import VideoSettings

if TYPE_CHECKING:
    from ..pose import Look, Track


@checked
def track(
    source: str | Path,
    settings: TrackSettings | Mapping[str, object] | None = None,
    *,
    video: VideoSettings | Mapping[str, object] | None = None,
    look: Look | None = None,
    progress: Progress = ignore_progress,
    **named: Unpack[TrackKeywords],
) -> Track:
    """Track the joints of the largest person in a video.

    Args:
        source: Video, GIF or image folder.
        settings: Settings of tracking; also a mapping.
        video: Settings for reading the video; also a mapping.
        look: Pose network; None: the network included in dvspipe.
        progress: Called with the number of pictures read and the total, 0 if unknown.
        named: Settings of tracking by name; they take precedence over `settings`.

    Raises:
        VideoError: If the video is missing, cannot be decoded or shows no person, or if it is a camera.

    Example:
        >>> track("clap.mp4", max_fps=15).write("joints.csv")  # doctest: +SKIP
    """
    from ..pose import track_film

    chosen = as_settings(TrackSettings, settings, named, track)
    return track_film(source, chosen, video=video, look=look, progress=progress)
