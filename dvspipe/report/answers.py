"""Overlays and the HTML page of classified recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..base.texts import readable
from ..results import (
    InferenceRun,
    OutputFolder,
    Playback,
    Prediction,
    RecordingFolder,
    WindowRow,
    add_scores,
    describe_training_data,
    merge_trainings,
    read_rows,
)
from .pages import Media, Table, percent, show_chart, write_page
from .timelines import plot_timeline, write_overlay
from .training_charts import plot_confusion

if TYPE_CHECKING:
    from pathlib import Path

    from ..hooks import RecordingView

MAX_MEDIA_BYTES = 24 << 20  # videos embedded in the page; the rest is linked
MAX_SEGMENTS = 200  # rows in the segment table of a recording
OVERLAY_CAPTION = "ON red, OFF blue; rectangle: what the network sees; bar: probability"


def draw_recording(
    folder: RecordingFolder,
    prediction: Prediction,
    windows: tuple[WindowRow, ...],
    shown: RecordingView,
) -> None:
    """Write the overlay video of a recording, and the mapping between times.

    Args:
        folder: Output folder of the recording.
        prediction: Prediction for the recording, with its segments.
        windows: Predictions of its windows.
        shown: Complete pictures of the recording.

    Raises:
        FileError: If a file cannot be written.
    """
    clock_s = write_overlay(shown, prediction, windows, folder.overlay)
    Playback(clock_s=clock_s).write(folder.playback)


@dataclass(frozen=True)
class _RecordingSection:
    """Content of the page section of one recording."""

    prediction: Prediction
    overlay: Media | None
    timeline: str
    playback: Playback | None
    segments: Table


def write_answers_page(folder: OutputFolder, run: InferenceRun, predictions: Sequence[Prediction]) -> Path:
    """Write the page of a classification, with the existing overlays, and return its path.

    Args:
        folder: Output folder with the overlays.
        run: Network and settings.
        predictions: Predictions for the recordings, with their segments.

    Raises:
        FileError: If the page cannot be written, or a video cannot be read.
    """
    what = predictions[0].folder if len(predictions) == 1 else f"{len(predictions)} recordings"
    scores = add_scores(prediction.scores for prediction in predictions)
    confusion = (
        ""
        if scores is None
        else show_chart(lambda width: plot_confusion(scores.confusion, run.classes, width=width), "Confusion matrix")
    )

    return write_page(
        folder.report,
        "answers.html",
        heading=f"Classification of {what}",
        kind=describe_training_data(run.trained_on),
        run=run,
        trained_on=merge_trainings(run.trained_on),
        recordings=list(_list_sections(folder, predictions, run)),
        scores=scores,
        confusion=confusion,
        settings=run.model_dump_json(indent=1),
    )


def _list_sections(
    folder: OutputFolder, predictions: Sequence[Prediction], run: InferenceRun
) -> Iterator[_RecordingSection]:
    free_bytes = MAX_MEDIA_BYTES
    for prediction in predictions:
        # Pictures of an earlier run may be left in the folder of a run that draws none.
        files = folder.of(prediction.folder)
        stored = prediction.depends_on
        has_pictures = stored is None or stored.pictures
        overlay = None
        timeline = ""

        if has_pictures:
            windows = read_rows(files.windows, WindowRow) if files.windows.is_file() else ()
            draw = partial(plot_timeline, prediction, windows, run.classes)
            text = "Probability of each class, segments and event rate over time"
            timeline = show_chart(lambda width, draw=draw: draw(width=width), text)  # type: ignore[misc]

        # The page contains MAX_MEDIA_BYTES of videos in total; further ones are links.
        if has_pictures and files.overlay.is_file():
            size = files.overlay.stat().st_size
            link = None if size <= free_bytes else f"{quote(prediction.folder)}/{files.overlay.name}"
            free_bytes -= 0 if link else size
            overlay = Media(files.overlay, OVERLAY_CAPTION, link)

        playback = Playback.find(files.playback) if overlay else None
        yield _RecordingSection(prediction, overlay, timeline, playback, _segment_table(prediction))


def _segment_table(prediction: Prediction) -> Table:
    zero_us = prediction.t_zero_us
    rows = [
        (
            readable(segment.class_name),
            f"{(segment.t_start_us - zero_us) / 1e6:.3f}",
            f"{(segment.t_end_us - zero_us) / 1e6:.3f}",
            "" if segment.probability is None else percent(segment.probability),
        )
        for segment in prediction.segments[:MAX_SEGMENTS]
    ]
    return Table(("Class", "Start (s)", "End (s)", "Probability"), rows)
