"""Write a part of a recording as a video, a GIF, a sheet of pictures or a chart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..base.progress import Progress, ignore_progress
from .config import PlotKind, PreviewSettings
from .plots import PlotSource, draw_events
from .previews import write_preview

if TYPE_CHECKING:
    from ..formats.source import Extent
    from ..recordings.editing import RecordingPart


def show_part(
    part: RecordingPart,
    out: Path,
    settings: PreviewSettings = PreviewSettings(),
    *,
    chart: PlotKind | None = None,
    title: str = "",
    beside: Path | None = None,
    extent: Extent | None = None,
    progress: Progress = ignore_progress,
) -> None:
    """Write a part of a recording in the format of the suffix; see `dvspipe.view`.

    Args:
        part: Part to show.
        out: Output file, which is replaced.
        settings: Preview settings. A chart uses only the colours.
        chart: Chart to draw instead of pictures.
        title: Title above a chart.
        beside: Video of the same scene with the same clock, shown left of the pictures.
        extent: Result of `part.extent`. None computes it, and may read all events.
        progress: Called with the number of pictures done and the total, or, for a chart, with the amount read.
    """
    extent = part.extent() if extent is None else extent
    if chart is not None:
        draw_events(chart, PlotSource.of(part, extent, progress), out, colours=settings.colours, title=title)
    else:
        write_preview(
            part.chunks(),
            part.sensor,
            out,
            settings,
            span_us=(extent.first_us or 0, extent.last_us or 0),
            zero_us=part.first_us,
            beside=beside,
            progress=progress,
        )
