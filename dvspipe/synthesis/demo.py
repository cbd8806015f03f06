"""Command `demo`: classify a rendered gesture, then fine-tune a network within a time budget. All data is synthetic."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..base.gestures import GESTURES
from ..base.progress import Progress, ignore_progress
from ..base.texts import readable
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT, shipped_config
from ..events import GESTURE_SENSOR
from ..formats import SYNTHETIC_GESTURES, iterate
from ..inference import infer
from ..recordings.conversion import convert_video
from ..report import write_preview, write_training_page
from ..results import EvaluationResult, OutputFolder, Prediction, TrainingRun
from ..training import TrainConfig
from ..training.evaluation import evaluate
from ..training.run import train
from ..video.writing import write_video
from .recording import GestureClip, gesture_frames

Announce = Callable[[str], object]

SHOWN_LABEL = GESTURES.index("right_arm_clockwise")
SHOWN_PERSON = 1000  # in neither the training nor the test part
CLASSIFIER = DEFAULT_CHECKPOINT
"""Included network; training starts from its weights."""

SEED = 2000  # seed of the rendered people; CLASSIFIER was trained on people of seed 0, and nobody is in both sets
EPOCHS = 4  # fewer if there is no time for MIN_PEOPLE people
LEARNING_RATE = 0.0005  # 1/8 of the rate for training from scratch
MIN_PEOPLE = 4  # in the training and validation parts
MAX_PEOPLE = 64
TEST_SHARE = 0.5  # people in the test part per person in the training and validation parts
BUDGET_SHARE = 0.85  # share of the time for rendering and training; the rest is for tests and pictures
CLIP_S = 0.2  # time to render and record a clip, on a core of a laptop
STEP_S = 0.04  # time to train on a clip once


@dataclass(frozen=True)
class FirstLook:
    """Results of the demo before training.

    Args:
        prediction: Prediction of the included network for a rendered recording.
        page: Report page of the prediction.
    """

    prediction: Prediction
    page: Path


@dataclass(frozen=True)
class Demo:
    """Results of the demo after training.

    Args:
        before: Evaluation of the included network on the test part of the run.
        run: Training run, started from the included network, with its test.
        prediction: Prediction of the fine-tuned network for the recording of `show_first`.
        next_commands: Suggested next commands.
    """

    before: EvaluationResult
    run: TrainingRun
    prediction: Prediction
    next_commands: tuple[str, ...]


def show_first(folder: Path, seed: int = 0, announce: Announce = lambda _: None) -> FirstLook:
    """Render a video of a gesture, convert it to events, and classify the events with the included network.

    Args:
        folder: Output folder for gesture.webm (video), gesture.h5 (events) and first/ (output of `dvspipe infer`).
        seed: Seed of the video.
        announce: Callback called with a description of each step before it starts.

    Raises:
        FileError: If the folder is not writable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    video = folder / "gesture.webm"
    events = folder / "gesture.h5"

    announce(f"rendering a person who performs {GESTURES[SHOWN_LABEL]}")
    write_video(video, gesture_frames(GestureClip(SHOWN_LABEL, person=SHOWN_PERSON, clip=0, seed=seed)))

    announce("converting the video to events")
    convert_video(video, events, overwrite=True, origin=SYNTHETIC_GESTURES)

    announce("classifying the events with the included network")
    return _classify(events, CLASSIFIER, folder / "first")


def choose_training(seconds: float, *, jobs: int = 2) -> TrainConfig:
    """Plan fine-tuning of `CLASSIFIER` on as many people as the time budget allows on a laptop.

    No person of the test part is in the training data of this run or of `CLASSIFIER`. The validation part selects the
    epoch.

    Args:
        seconds: Time budget in seconds, > 0. The minimum plan, `MIN_PEOPLE` people and one epoch, takes about 20 s.
        jobs: Number of rendering processes.

    Example:
        >>> config = choose_training(180)
        >>> config.init, config.train_people, config.test_people, config.epochs
        ('gesture', 44, 22, 4)
    """
    # Time per person: a clip of each class is rendered by `jobs` processes, also for TEST_SHARE people of the test
    # part, and trained on EPOCHS times.
    person_s = len(GESTURES) * ((1 + TEST_SHARE) * CLIP_S / jobs + EPOCHS * STEP_S)
    people = min(max(int(BUDGET_SHARE * seconds / person_s), MIN_PEOPLE), MAX_PEOPLE)
    test_people = max(1, round(TEST_SHARE * people))

    # With MIN_PEOPLE, the budget may be too short for EPOCHS epochs.
    rendering_s = len(GESTURES) * (people + test_people) * CLIP_S / jobs
    epochs = int((BUDGET_SHARE * seconds - rendering_s) / (len(GESTURES) * people * STEP_S))

    chosen = {
        "name": "demo",
        "init": CLASSIFIER,
        "seed": SEED,
        "train_people": people,
        "test_people": test_people,
        "clips": 1,
        "validation": 0.15,
        "epochs": min(max(epochs, 1), EPOCHS),
        "learning_rate": LEARNING_RATE,
        "ema": 0.0,
        "jobs": jobs,
    }
    return TrainConfig.read(shipped_config(CLASSIFIER), chosen)


def run_demo(
    folder: Path, config: TrainConfig, progress: Progress = ignore_progress, announce: Announce = lambda _: None
) -> Demo:
    """Fine-tune a network on rendered people, test it on others, and classify the recording of `show_first` again.

    The included network is tested on the same people.

    Args:
        folder: Folder of `show_first`; also gets the files of the training run, preview.gif, trained/ (output of
            `dvspipe infer`) and report.html.
        config: Experiment from `choose_training`.
        progress: Called with the amount done of each stage and its total.
        announce: Callback called with a description of each step before it starts.

    Raises:
        FileError: If the folder is not writable.
    """
    video = folder / "gesture.webm"
    events = folder / "gesture.h5"
    preview = write_preview(iterate(events), GESTURE_SENSOR, folder / "preview.gif")
    run = train(config, out=folder, overwrite=True, progress=progress)

    announce(f"testing the included network {CLASSIFIER} on the same people")
    before = evaluate(CLASSIFIER, config)

    announce("classifying the first recording with the fine-tuned network, and writing the report")
    look = _classify(events, str(run.checkpoint), folder / "trained")

    shown = readable(GESTURES[SHOWN_LABEL])
    write_training_page(
        run,
        previews=[
            (f"Rendered video of a person outside the training data: {shown} (synthetic).", video),
            ("Simulated events of this video: ON red, OFF blue (synthetic).", preview),
            (
                "Prediction of the fine-tuned network for these events (synthetic).",
                OutputFolder(folder / "trained").of(events.name).overlay,
            ),
        ],
    )

    commands = (
        shlex.join(["dvspipe", "info", str(events)]),
        shlex.join(["dvspipe", "view", str(events), "-o", str(folder / "sheet.png")]),
        shlex.join(["dvspipe", "infer", str(run.checkpoint), str(events)]),
        "dvspipe convert YOUR_VIDEO.mp4 -o events.h5",
        "dvspipe train FOLDER_OF_CLASSES",
    )
    return Demo(before, run, look.prediction, commands)


def _classify(events: Path, checkpoint: str, out: Path) -> FirstLook:
    (prediction,) = infer(checkpoint, events, out, overwrite=True)
    return FirstLook(prediction, OutputFolder(out).report)
