"""Command `demo`: classify a rendered gesture, and fine-tune a network if there is time. All data is synthetic."""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import ConfigError, count_noun
from ..base.gestures import GESTURES
from ..base.progress import Progress, ignore_progress
from ..base.texts import Described, TextTable
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT, shipped_config
from ..formats import SYNTHETIC_GESTURES
from ..inference import Predictions, infer
from ..recordings.conversion import convert_video
from ..results import RunFolder, TrainingRun
from ..training import TrainConfig
from ..training.run import train
from ..video.writing import write_video
from .recording import GestureClip, gesture_frames

CLASSIFIER = DEFAULT_CHECKPOINT
"""Included network; training starts from its weights."""
SHOWN = GestureClip(GESTURES.index("right_arm_clockwise"), person=1000, clip=0, seed=0)
"""Clip of a person in neither the training nor the test part."""

SEED = 2000  # seed of the rendered people; CLASSIFIER was trained on people of seed 0, and nobody is in both sets
EPOCHS = 4
MIN_PEOPLE = 4  # in the training and validation parts
MAX_PEOPLE = 64
MAX_MINUTES = 60
PERSON_S = 3.4  # time to render, train on and test the clips of a person on a laptop, with two processes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Demo(Described):
    """Result of `demo`.

    Args:
        folder: Folder with all outputs.
        first: Prediction of the included network.
        run: Training run, started from the included network, with its test; None: not trained.
    """

    folder: Path
    first: Predictions
    run: TrainingRun | None = None

    def describe(self) -> list[str | TextTable]:
        """Return the prediction, the test after fine-tuning, and the next commands."""
        events = self.folder / "gesture.h5"
        network = CLASSIFIER if self.run is None else str(self.run.checkpoint)
        return [
            *self.first.describe(),
            *([] if self.run is None else self.run.describe()),
            "next:",
            f"  {shlex.join(['dvspipe', 'info', str(events)])}",
            f"  {shlex.join(['dvspipe', 'infer', network, str(events)])}",
            "  dvspipe convert YOUR_VIDEO.mp4 -o events.h5",
            "  dvspipe train FOLDER_OF_CLASSES",
            f"all outputs are in {self.folder} (synthetic)",
        ]


def choose_training(seconds: float) -> TrainConfig:
    """Plan fine-tuning of `CLASSIFIER` on as many people as the time budget allows on a laptop.

    No person of the test part is in the training data of this run or of `CLASSIFIER`.

    Example:
        >>> config = choose_training(180)
        >>> config.init, config.train_people, config.test_people
        ('gesture', 52, 26)
    """
    people = min(max(int(seconds / PERSON_S), MIN_PEOPLE), MAX_PEOPLE)
    chosen = {
        "name": "demo",
        "init": CLASSIFIER,
        "seed": SEED,
        "train_people": people,
        "test_people": people // 2,
        "clips": 1,
        "validation": 0.15,
        "epochs": EPOCHS,
        "learning_rate": 0.0005,  # 1/8 of the rate for training from scratch
        "ema": 0.0,
        "jobs": 2,
    }
    return TrainConfig.read(shipped_config(CLASSIFIER), chosen)


def demo(
    *,
    minutes: float = 0.0,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Demo:
    """Render a gesture, convert the video, and classify the events; with more time, fine-tune the network.

    Args:
        minutes: Time for training on a laptop, 0 to 60 minutes; 0: no training.
        out: Run folder; default: runs/demo.
        overwrite: Replace an earlier run.
        progress: Called with the amount done and the total.
    """
    if not 0 <= minutes <= MAX_MINUTES:
        raise ConfigError(f"minutes = {minutes:g}: out of range (expected 0 to {MAX_MINUTES})")
    if out is not None:
        RunFolder(out).check_unused(overwrite=overwrite)
    folder = out or RunFolder.find_free(Path("runs"), "demo", overwrite=overwrite).path

    log.info("the first prediction takes about 10 s, and twice as long if kernels are compiled first")
    first = show_first(folder)
    if not minutes:
        return Demo(folder, first)

    config = choose_training(60 * minutes)
    people = f"{count_noun(config.train_people, 'person')} for training, {config.test_people} others for testing"
    log.info("plan: %s, %d epochs, starting from %s", people, config.epochs, CLASSIFIER)
    return Demo(folder, first, train(config, out=folder, overwrite=True, progress=progress))


def show_first(folder: Path) -> Predictions:
    """Render a video of a gesture, convert it to events, and classify the events with the included network.

    The folder gets gesture.webm, gesture.h5, and first/, the output of `dvspipe infer`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    video = folder / "gesture.webm"
    events = folder / "gesture.h5"

    log.info("rendering a person who performs %s", GESTURES[SHOWN.label])
    write_video(video, gesture_frames(SHOWN))

    log.info("converting the video to events")
    convert_video(video, events, overwrite=True, origin=SYNTHETIC_GESTURES)

    log.info("classifying the events with the included network")
    return infer(CLASSIFIER, events, folder / "first", overwrite=True)
