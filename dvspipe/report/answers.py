"""Charts, overlays and HTML page of classified recordings.

`draw_recording` writes the pictures of one recording, as soon as it is classified; `write_answers_page` writes the page
of all recordings, with the pictures that exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..base.texts import readable
from ..events import SensorSize
from ..results import (
    InferenceRun,
    OutputFolder,
    Playback,
    Prediction,
    RecordingFolder,
    TimeScores,
    WindowRow,
    add_layers,
    describe_training_data,
    read_rows,
)
from .energy import EnergySection, energy_per_second
from .pages import Media, Table, percent, write_page
from .regions import Moment, write_region
from .timelines import boxes_of, chart_timeline, find_box, write_overlay
from .web_charts import show_confusion

if TYPE_CHECKING:
    from ..hooks import RecordingView

MAX_OPEN = 3  # recordings initially expanded on the page
MAX_MEDIA_BYTES = 24 << 20  # media embedded in the page; the rest is linked
OVERLAY_CAPTION = "ON white, OFF blue; rectangle: region that the network classified; bar: probability of the class."
MAX_BARS = 5  # classes with a bar
MAX_SEGMENTS = 200  # rows in the segment table of a recording


def draw_recording(
    folder: RecordingFolder,
    prediction: Prediction,
    windows: tuple[WindowRow, ...],
    shown: RecordingView,
) -> None:
    """Write the overlay video and the classified region of a recording, and the mapping between times.

    Args:
        folder: Output folder of the recording.
        prediction: Prediction for the recording, with its segments.
        windows: Predictions of its windows.
        shown: Complete pictures of the recording.

    Raises:
        FileError: If a file cannot be written.
    """
    # The recording is read once: while the overlay is drawn, its events and frames also pass the moment of the picture.
    moment = Moment(prediction)
    frames = None if shown.frames is None else moment.watch_frames(shown.frames)
    watched = replace(shown, parts=moment.watch_events(shown.parts), frames=frames)
    clock_s = write_overlay(watched, prediction, windows, folder.overlay)

    picture = moment.picture(shown.sensor)
    height, width, _ = picture.shape
    box = find_box(boxes_of(prediction, SensorSize(width=width, height=height)), moment.t_us)
    if box is None:
        folder.region.unlink(missing_ok=True)
    else:
        write_region(picture, box, folder.region)

    Playback(clock_s=clock_s).write(folder.playback)


@dataclass(frozen=True)
class _RecordingSection:
    """Content of the page section of one recording."""

    prediction: Prediction
    bars: list[tuple[str, float]]
    overlay: Media | None
    timeline: str
    region: Media | None
    playback: Playback | None
    segments: Table
    more_segments: int
    score_line: str
    is_open: bool


def write_answers_page(
    folder: OutputFolder, run: InferenceRun, predictions: Sequence[Prediction], scores: TimeScores | None
) -> Path:
    """Write the page of a classification, with the existing overlays, and return its path.

    Args:
        folder: Output folder with the overlays.
        run: Network and settings.
        predictions: Predictions for the recordings, with their segments.
        scores: Scores over all recordings; None without labels.

    Raises:
        FileError: If the page cannot be written, or a picture cannot be read.
    """
    what = f"{len(predictions)} recordings"
    if len(predictions) == 1:
        what = predictions[0].folder
    title = f"Classification of {what}"

    return write_page(
        folder.report,
        "answers.html",
        title=title,
        heading=title,
        kind=describe_training_data(run.trained_on),
        run=run,
        recordings=_recording_sections(folder, predictions, run),
        scores=scores,
        score_line="" if scores is None else "; ".join(scores.describe()),
        confusion="" if scores is None else show_confusion(scores.confusion, run.classes),
        energy=_energy(predictions),
        settings=run.model_dump_json(indent=1),
    )


def _recording_sections(
    folder: OutputFolder, predictions: Sequence[Prediction], run: InferenceRun
) -> list[_RecordingSection]:
    sections = []
    free_bytes = MAX_MEDIA_BYTES
    for number, prediction in enumerate(predictions):
        # Pictures of an earlier run may be left in the folder of a run that draws none.
        files = folder.of(prediction.folder)
        stored = prediction.depends_on
        has_pictures = stored is None or stored.pictures
        overlay = _find_overlay(files, prediction) if has_pictures else None
        timeline = _chart(files, prediction, run.classes) if has_pictures else ""
        region = Media(files.region, prediction.region) if has_pictures and files.region.is_file() else None

        # The page contains MAX_MEDIA_BYTES of files in total; further ones are links.
        size = overlay.path.stat().st_size if overlay else 0
        if overlay and size > free_bytes:
            overlay = replace(overlay, link=_link(prediction, overlay.path))
            region = None if region is None else replace(region, link=_link(prediction, region.path))
        else:
            free_bytes -= size

        # A click on the timeline seeks in the overlay.
        playback = Playback.find(files.playback) if overlay and timeline else None
        section = _RecordingSection(
            prediction=prediction,
            bars=_list_bars(prediction, run.classes),
            overlay=overlay,
            timeline=timeline,
            region=region,
            playback=playback,
            segments=_segment_table(prediction),
            more_segments=max(0, len(prediction.segments) - MAX_SEGMENTS),
            score_line="" if prediction.scores is None else "; ".join(prediction.scores.describe()),
            is_open=number < MAX_OPEN,
        )
        sections.append(section)

    return sections


def _link(prediction: Prediction, path: Path) -> str:
    return f"{quote(prediction.folder)}/{path.name}"


def _list_bars(prediction: Prediction, classes: Sequence[str]) -> list[tuple[str, float]]:
    """Return the most probable classes with their probabilities."""
    by_class = zip(classes, prediction.probabilities, strict=True)
    return sorted(by_class, key=itemgetter(1), reverse=True)[:MAX_BARS]


def _find_overlay(files: RecordingFolder, prediction: Prediction) -> Media | None:
    """Return the overlay of a recording, if it exists."""
    mark = "Synthetic recording. " if prediction.synthetic else ""
    return Media(files.overlay, mark + OVERLAY_CAPTION) if files.overlay.is_file() else None


def _chart(files: RecordingFolder, prediction: Prediction, classes: Sequence[str]) -> str:
    """Return the HTML of the timeline of a recording."""
    windows = read_rows(files.windows, WindowRow) if files.windows.is_file() else ()
    return chart_timeline(prediction, windows, classes).to_html()


def _segment_table(prediction: Prediction) -> Table:
    zero_us = prediction.t_zero_us
    rows = [
        (
            readable(segment.class_name),
            f"{(segment.t_start_us - zero_us) / 1e6:.3f}",
            f"{(segment.t_end_us - zero_us) / 1e6:.3f}",
            percent(segment.probability),
        )
        for segment in prediction.segments[:MAX_SEGMENTS]
    ]
    return Table(("Class", "Start (s)", "End (s)", "Probability"), rows)


def _energy(predictions: Sequence[Prediction]) -> EnergySection | None:
    classified_us = sum(prediction.classified_us for prediction in predictions)
    layers = add_layers(prediction.layers for prediction in predictions)

    return energy_per_second(layers, classified_us) if layers and classified_us else None
