"""Write a part of a recording as a video, a GIF, a sheet of pictures or a chart."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import Brief, ConfigError, count_noun
from ..base.files import claim_output, require_suffix
from ..base.progress import NamedStep, Progress, ignore_progress
from ..base.texts import Described, show_name
from ..events import Events
from ..formats import RecordingLike, open_recording
from ..formats.source import Extent
from ..recordings.editing import RecordingPart, select_part
from ..recordings.sources import is_video
from ..video.names import camera_of
from ..video.opening import open_video
from .config import PREVIEW_SUFFIXES, PlotKind, PreviewSettings
from .plots import PlotSource, plot_source
from .previews import write_preview


@dataclass(frozen=True, repr=False)
class View(Described, Brief):
    """What `view` has shown.

    Attributes:
        out: File.
        part: Part of the recording.
        extent: Number of its events, and the first and last time.
    """

    out: Path
    part: RecordingPart
    extent: Extent

    def describe(self) -> list[str]:
        """Return the file, and the recording that it shows."""
        shown = f"{self.part.recording.path.name}, {self.part.sensor}, {count_noun(self.extent.events, 'event')}"
        return [f"{show_name(self.out)}: {show_name(shown)}"]

    def to_record(self) -> dict[str, object]:
        """Return the result as a dict for JSON."""
        return {"file": str(self.out), "recording": str(self.part.recording.path), **self.extent._asdict()}


def view(
    recording: RecordingLike,
    out: str | Path,
    config: PreviewSettings = PreviewSettings(),
    *,
    chart: PlotKind | None = None,
    beside: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> View:
    """Show a recording as a video, a sheet of pictures or a chart.

    Args:
        recording: Recording.
        out: Video (.webm, .mp4, .gif), sheet of twelve pictures or chart (.png).
        config: Settings of the pictures.
        chart: Chart to draw instead of pictures (.png): cloud in space and time, or event rate.
        beside: Source video to show next to the events.
        overwrite: Replace an existing file.
        progress: Called with the number of steps done, reading and showing, and their total.

    Raises:
        ConfigError: If an argument does not apply to the output.
        FileError: If the suffix is wrong, or the file exists or cannot be written.

    Example:
        >>> view("recording.h5", "events.webm", PreviewSettings(speed=0.5))  # doctest: +SKIP
    """
    # Refuse what does not apply to the output before the recording is read.
    path = Path(out)
    if chart is None:
        require_suffix(path, "a view of events", *PREVIEW_SUFFIXES)
    else:
        require_suffix(path, "a chart", ".png")
        if unused := sorted(config.model_fields_set | ({"beside"} if beside is not None else set())):
            raise ConfigError(f"view: {', '.join(unused)}: cannot be combined with the chart")

    claim_output(path, overwrite=overwrite)
    if not isinstance(recording, Events):
        _refuse_video(Path(recording))
    part = select_part(open_recording(recording))
    extent = part.extent(NamedStep(progress, "events", 0, 2))

    if chart is not None:
        from .figures import save_figure

        source = PlotSource.of(part, extent, NamedStep(progress, "events", 1, 2))
        save_figure(plot_source(chart, source, part.recording.path.name), path)
    else:
        write_preview(
            part.chunks(),
            part.sensor,
            path,
            config,
            span_us=(extent.first_us or 0, extent.last_us or 0),
            zero_us=part.first_us,
            beside=beside,
            progress=NamedStep(progress, "pictures", 1, 2),
        )
    return View(path, part, extent)


def _refuse_video(file: Path) -> None:
    """Refuse a video: it is converted to events first."""
    if file.exists() and camera_of(file) is None and is_video(file):
        open_video(file)  # a file with the name of a video may be none: its error says so
        command = shlex.join(["dvspipe", "convert", str(file), "-o", str(file.with_suffix(".h5"))])
        raise ConfigError(f"{file}: is a video, not an event recording; convert it first: {command}")
