"""Classification for the page: the report of a recording or a video, its windows, and all files."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..base.progress import Progress
from ..base.texts import readable
from ..results import OutputFolder, Prediction
from .shared import ChosenFile
from .workspace import Workspace

SHIPPED_NAMES = ("gesture", "nmnist-synthetic")
"""Included classifiers; `checkpoints` also lists them, but imports torch, and that takes seconds."""
WINDOW_HEADS = ("start (s)", "end (s)", "class", "probability", "entropy (bits)", "events", "state")


@dataclass(frozen=True)
class Classified:
    """Classification of a recording.

    Args:
        prediction: Prediction for the recording.
        page: Report with the timeline and the player.
        archive: ZIP file with all files that `dvspipe infer -o` writes.
    """

    prediction: Prediction
    page: Path
    archive: Path


def classify(
    source: ChosenFile,
    checkpoint: str | Path,
    folder: Path,
    progress: Progress,
    *,
    joints: bool = True,
) -> Classified:
    """Classify a recording or a video as `dvspipe infer -o` does."""
    # torch takes seconds to import
    from ..inference import InferConfig, infer

    out = OutputFolder(folder / "answers")
    config = InferConfig(joints=None if joints else False)
    (prediction,) = infer(checkpoint, source.path, out.path, config, overwrite=True, progress=progress)

    archive = shutil.make_archive(str(folder / "answers"), "zip", out.path)
    return Classified(prediction, out.report, Path(archive))


def list_classifiers(space: Workspace) -> list[str]:
    """List the classifiers: included ones, and checkpoints below the folder."""
    return [*SHIPPED_NAMES, *space.list_checkpoints()]


def list_windows(classified: Classified) -> list[list[str | float | int]]:
    """Return one table row per window, with times since the first event."""
    zero_us = classified.prediction.t_zero_us

    return [
        [
            round((row.t_start_us - zero_us) / 1e6, 3),
            round((row.t_end_us - zero_us) / 1e6, 3),
            readable(row.class_name),
            round(row.probability, 3),
            round(row.entropy, 2),
            row.events,
            "familiar" if row.familiar else "unfamiliar",
        ]
        for row in classified.prediction.to_windows()
    ]


def command_of(source: str, checkpoint: str, *, joints: bool) -> str:
    """Return the equivalent command."""
    switches = [] if joints else ["--joints=false"]
    return shlex.join(["dvspipe", "infer", checkpoint, source, "-o", "answers", *switches])
