"""Write a recording, or a part of one, as a video, a GIF, a sheet of pictures, a chart, or a rerun log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.arguments import checked
from ..base.config import as_settings
from ..base.errors import EventError
from ..parallel import Progress, ignore_progress
from .config import PreviewKeywords, PreviewSettings
from .plots import PlotKind, PlotSource, draw_events
from .previews import PREVIEW_SUFFIXES, require_preview_suffix, write_preview
from .rerun_log import RERUN_SUFFIX, Predictions, write_rerun

if TYPE_CHECKING:
    from ..formats import Recording, RecordingLike
    from ..formats.source import Extent
    from ..recordings.editing import RecordingPart


@checked
def view(
    recording: RecordingLike | Recording | RecordingPart,
    path: str | Path | None = None,
    settings: PreviewSettings | Mapping[str, object] | None = None,
    *,
    chart: PlotKind | None = None,
    title: str = "",
    beside: str | Path | None = None,
    predictions: Predictions | None = None,
    extent: Extent | None = None,
    progress: Progress = ignore_progress,
    **named: Unpack[PreviewKeywords],
) -> None:
    """Show a recording: write a video, a GIF, a sheet of pictures or a chart, or open the rerun viewer.

    Args:
        recording: File, events in memory, an opened recording, or a part of a recording from `select_part`.
        path: .webm, .mp4 or .gif: video; .png: 12 pictures or a chart; .rrd: log for the rerun viewer. None: show the
            recording in the viewer.
        settings: Preview settings, also a mapping. A chart uses only the colours.
        chart: Chart to draw instead of pictures.
        title: Title above a chart.
        beside: Video of the same scene with the same clock, shown left of the pictures.
        predictions: Predictions for the rerun viewer to show beside the events.
        extent: Result of `part.extent`. None computes it, and may read all events.
        progress: Called with the number of pictures done and the total, or, for a chart, with the amount read.
        named: Settings of `PreviewSettings` by name.

    Raises:
        EventError: If a part has no events. A complete recording without events gives a blank picture.
        DvspipeError: See `write_preview`, `draw_events` and `write_rerun`.

    Example:
        >>> view("recording.h5", "events.webm", speed=0.5)  # doctest: +SKIP
    """
    from ..formats import open_recording  # needs numba, like editing; other reports must not import it
    from ..recordings.editing import RecordingPart, select_part

    part = recording if isinstance(recording, RecordingPart) else select_part(open_recording(recording))
    settings, path = as_settings(PreviewSettings, settings, named, view), None if path is None else Path(path)
    extent = part.extent() if extent is None else extent
    if not (part.is_complete or extent.events):
        raise EventError(f"{part.recording.path}: no events in this part")
    if path is None or path.suffix.lower() == RERUN_SUFFIX:
        source = PlotSource.of(part, extent)
        write_rerun(source, path, settings, zero_us=part.first_us, predictions=predictions, progress=progress)
    elif chart is not None:
        draw_events(chart, PlotSource.of(part, extent, progress), path, colours=settings.colours, title=title)
    else:
        require_preview_suffix(path, (*PREVIEW_SUFFIXES, RERUN_SUFFIX))
        write_preview(
            part.chunks(),
            part.sensor,
            path,
            settings,
            span_us=(extent.first_us or 0, extent.last_us or 0),
            zero_us=part.first_us,
            beside=None if beside is None else Path(beside),
            progress=progress,
        )
