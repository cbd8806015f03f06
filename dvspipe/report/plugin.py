"""What the extra `report` adds: pictures, charts and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..hooks import Command, hookimpl

if TYPE_CHECKING:
    from ..hooks import RecordingView
    from ..results import Prediction, RecordingFolder, WindowRow


@hookimpl
def commands() -> Sequence[Command]:
    """Return the commands that show recordings."""
    return (
        Command("view", "dvspipe.report.views:view", "Show a recording as a video or pictures.", "First steps"),
        Command("frames", "dvspipe.report.frames:frames", "Write recordings as folders of pictures.", "Recordings"),
    )


@hookimpl
def functions() -> Mapping[str, str]:
    """Return the functions that show values."""
    return {
        "PreviewSettings": "dvspipe.report.config:PreviewSettings",
        "animate": "dvspipe.report.notebook:animate",
        "frames": "dvspipe.report.frames:frames",
        "plot": "dvspipe.report.notebook:plot",
        "view": "dvspipe.report.views:view",
    }


@hookimpl
def report(record: object, folder: Path) -> Path | None:
    """Write the page of a training, or of the predictions in a folder."""
    from ..results import InferenceRun, OutputFolder, TrainingRun
    from .answers import write_answers_page
    from .training_page import write_training_page

    if isinstance(record, TrainingRun):
        return write_training_page(record)
    if isinstance(record, InferenceRun):
        output = OutputFolder(folder)
        return write_answers_page(output, record, output.find_predictions(record))
    return None


@hookimpl
def draw(folder: RecordingFolder, prediction: Prediction, windows: tuple[WindowRow, ...], view: RecordingView) -> bool:
    """Draw the overlay of a recording."""
    from .answers import draw_recording

    draw_recording(folder, prediction, windows, view)
    return True
