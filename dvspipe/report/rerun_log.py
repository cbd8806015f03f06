"""Log for the rerun viewer (rerun.io): events in space and time, pictures, rates and predictions on one timeline.

A log has entities with a path: `picture`, `events`, `rate/on` and `rate/off` from the events (`_log_events`), and
`probability/CLASS` and `segments` from predictions (`_log_predictions`). The layout shows each in a panel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import FileError
from ..base.files import require_suffix, write_beside
from ..parallel import Progress, ignore_progress
from ..results import Prediction, RecordingFolder, WindowRow, read_rows
from .config import RERUN_SUFFIX, PreviewSettings
from .painter import EventPainter, encode_picture, make_palette
from .plots import PlotSource
from .previews import Playing, pictures_of
from .style import LIGHT, readable

if TYPE_CHECKING:
    from rerun import RecordingStream
    from rerun.blueprint import Blueprint

TIMELINE = "time"
MAX_POINTS = 1_000_000  # events shown in space and time; of more, every n-th is shown
TIME_LENGTH = 3.0  # length of the time axis, relative to the sensor's longer side
MAX_CLASSES = 12  # classes that get a probability curve
MAX_VIEWED_PX = 640  # longer side of a picture


@dataclass(frozen=True)
class Predictions:
    """Stored predictions of `dvspipe infer` for a recording.

    Args:
        prediction: Prediction for the recording, with its segments.
        windows: Predictions of its windows.
    """

    prediction: Prediction
    windows: tuple[WindowRow, ...]

    @classmethod
    def read(cls, folder: Path) -> Predictions:
        """Read the predictions from the folder of a recording, below the output folder of `dvspipe infer`.

        Raises:
            FileError: If the folder has no predictions, or a file in it is invalid.
        """
        files = RecordingFolder(Path(folder))
        if not files.answer.is_file():
            raise FileError(f"{folder}: not a folder of predictions (expected {files.answer.name})")
        return cls(files.add_segments(Prediction.read(files.answer)), read_rows(files.windows, WindowRow))


def write_rerun(
    source: PlotSource,
    path: Path | None,
    settings: PreviewSettings = PreviewSettings(),
    *,
    zero_us: int | None = None,
    predictions: Predictions | None = None,
    progress: Progress = ignore_progress,
) -> None:
    """Write a recording for the rerun viewer, or show it in the viewer.

    Its timeline is the time since the first event of the recording. If there are more than a million events, every n-th
    is shown in space and time; pictures and rates use all of them.

    Args:
        source: Recording to show.
        path: .rrd file to write; it is complete or absent. None: start the viewer and send it the recording.
        settings: Preview settings for the pictures; `speed` and `fps` are not used.
        zero_us: Time of the first event of the recording, if the events are a part of it.
        predictions: Predictions to show beside the events.
        progress: Called with the number of pictures done and the total.

    Raises:
        FileError: If rerun is not installed, the suffix is not .rrd, or the file cannot be written.
    """
    if path is not None:
        require_suffix(path, "the rerun viewer", RERUN_SUFFIX)
    with _open(path, predictions) as stream:
        _log_events(stream, source, settings, zero_us, progress)
        if predictions is not None:
            _log_predictions(stream, predictions, source.first_us if zero_us is None else zero_us)


@contextmanager
def _open(path: Path | None, predictions: Predictions | None) -> Iterator[RecordingStream]:
    try:
        import rerun
    except ImportError as error:
        name = "the rerun viewer" if path is None else str(path)
        message = f"{name}: rerun is not installed; pip install 'dvspipe[rerun]'"
        raise FileError(message) from error

    stream = rerun.RecordingStream("dvspipe")
    layout = _build_layout(predictions)
    if path is None:
        stream.spawn(default_blueprint=layout)
        yield stream
        stream.flush()
        return

    # A file gets its name when it is complete.
    with write_beside(path) as beside:
        stream.save(beside, default_blueprint=layout)
        yield stream
        stream.flush()
        stream.disconnect()


def _build_layout(predictions: Predictions | None) -> Blueprint:
    """Return the layout of the viewer's panels."""
    from rerun import blueprint

    curves = [blueprint.TimeSeriesView(origin="rate", name="events per second")]
    if predictions is not None:
        curves.append(blueprint.TimeSeriesView(origin="probability", name="class probabilities"))
        curves.append(blueprint.TextLogView(origin="segments", name="segments"))

    until_now = blueprint.VisibleTimeRange(
        TIMELINE, start=blueprint.TimeRangeBoundary.infinite(), end=blueprint.TimeRangeBoundary.cursor_relative()
    )

    space = blueprint.Spatial3DView(origin="events", name="events in space and time", time_ranges=[until_now])
    pictures = blueprint.Spatial2DView(origin="picture", name="events per window")

    return blueprint.Blueprint(
        blueprint.Horizontal(blueprint.Vertical(pictures, space), blueprint.Vertical(*curves)),
        blueprint.TimePanel(timeline=TIMELINE),
        collapse_panels=True,
    )


def _log_events(
    stream: RecordingStream, source: PlotSource, settings: PreviewSettings, zero_us: int | None, progress: Progress
) -> None:
    import rerun

    # One picture per window of time: speed and rate of pictures are for videos.
    shown = settings.model_copy(
        update={"fps": None, "speed": 1.0, "max_side_px": min(MAX_VIEWED_PX, settings.max_side_px)}
    )

    painter = EventPainter(source.sensor, shown)
    palette = make_palette(shown.colours)
    first_us, last_us = source.span_us
    depth_zero_us = first_us if zero_us is None else zero_us

    # Time is the depth of the space: TIME_LENGTH picture sides, and at most a pixel per microsecond.
    length_px = TIME_LENGTH * max(source.sensor.width, source.sensor.height)
    us_per_px = max(1.0, (last_us - first_us) / length_px)

    colours = np.array([LIGHT.off, LIGHT.on], np.uint8)  # by polarity
    for name, colour in (("off", LIGHT.off), ("on", LIGHT.on)):
        stream.log(f"rate/{name}", rerun.SeriesLines(colors=colour, names=name.upper()), static=True)

    every = max(1, -(-source.count // MAX_POINTS))
    seen = 0
    parts = (part for part in source.chunks if len(part))
    playing = Playing(parts, painter, source.span_us, zero_us, progress)
    for picture, events, since_us in pictures_of(playing):
        stream.set_time(TIMELINE, duration=np.timedelta64(since_us, "us"))
        png = encode_picture(picture.to_rgb(palette))
        stream.log("picture", rerun.EncodedImage(contents=png, media_type="image/png"))

        on = np.count_nonzero(events.p)
        for name, count in (("off", len(events) - on), ("on", on)):
            stream.log(f"rate/{name}", rerun.Scalars(count / shown.window_us * 1e6))

        # Continue the count of every n-th event across parts.
        sample = events[-seen % every :: every]
        seen += len(events)

        # Rows count downwards and the viewer's axis upwards; later events are farther away.
        depth_px = (sample.t - depth_zero_us) / us_per_px
        positions = np.stack([sample.x, -sample.y.astype(np.int32), -depth_px], axis=1)
        points = rerun.Points3D(
            positions.astype(np.float32),
            colors=colours[sample.p.astype(int)],
            radii=rerun.Radius.ui_points(1.0),
        )
        stream.log("events", points)


def _log_predictions(stream: RecordingStream, predictions: Predictions, zero_us: int) -> None:
    import rerun

    windows = predictions.windows
    segments = predictions.prediction.segments
    names = {window.label: window.class_name for window in windows}
    names |= {row.label: row.class_name for row in segments if row.label is not None}

    highest = np.max([window.probabilities for window in windows], axis=0, initial=0)
    shown = sorted(names, key=lambda label: -highest[label])[:MAX_CLASSES]

    for label in shown:
        path = ["probability", names[label]]
        stream.log(path, rerun.SeriesLines(names=readable(names[label])), static=True)
        for window in windows:
            stream.set_time(TIMELINE, duration=np.timedelta64(window.t_from_us - zero_us, "us"))
            stream.log(path, rerun.Scalars(window.probabilities[label]))

    for segment in segments:
        stream.set_time(TIMELINE, duration=np.timedelta64(segment.t_start_us - zero_us, "us"))
        end_s = (segment.t_end_us - zero_us) / 1e6
        text = f"{readable(segment.class_name)}, {segment.probability:.0%}, until {end_s:.3f} s"
        stream.log("segments", rerun.TextLog(text))
