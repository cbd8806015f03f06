"""Everything once on synthetic data: a label for a rendered gesture, then a network fine-tuned in a given time."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..config import SettingsTree, build, merge_settings, read_yaml
from ..formats import SYNTHETIC_GESTURES, iterate
from ..inference import Classifier, ClassifyOptions, classify_many, plan_tasks
from ..labels import GESTURES
from ..recordings.conversion import convert_video
from ..report import draw_recording, write_answers_page, write_preview, write_training_page
from ..results import EvaluationResult, OutputFolder, Prediction, TrainingRun
from ..synthesis import GESTURE_SENSOR, GestureClip, gesture_frames, record_gesture
from ..training import TrainConfig, TrainingCallback, evaluate_checkpoint, measure_step, train
from ..video.writing import write_video

Announce = Callable[[str], object]

SHOWN_LABEL = GESTURES.index("right_arm_clockwise")
SHOWN_PERSON = 1000  # a number that neither training nor test draws
CLASSIFIER = "gesture-synthetic"
"""The included network, from which the training starts, and its experiment."""

SEED = 2000  # of the rendered people; CLASSIFIER was trained on those of seed 0, and nobody is in both
EPOCHS = 4  # if there is time for at least FEWEST people
LEARNING_RATE = 0.0005  # an eighth of that from random weights
FEWEST, MOST = 4, 64  # people in the training and validation parts
TEST_SHARE = 0.5  # of the people, besides those who are trained on
SPARE = 0.85  # of the time: the rest is for the tests and the pictures


@dataclass(frozen=True)
class FirstLook:
    """What the demo shows before it trains.

    Args:
        prediction: The prediction of the included classifier for a rendered recording.
        page: The page that shows it.
    """

    prediction: Prediction
    page: Path


@dataclass(frozen=True)
class Speed:
    """What a machine needs for a training.

    Args:
        clip_s: Seconds to render and record a clip.
        step_s: Seconds to train on a clip once.
    """

    clip_s: float
    step_s: float


@dataclass(frozen=True)
class Demo:
    """What the demo trained.

    Args:
        before: The test of the included network, on the people of the test of the run.
        run: The training run, which started from that network, and its test.
        prediction: The prediction of the trained network for the recording of the first look.
        next_commands: What to type next.
    """

    before: EvaluationResult
    run: TrainingRun
    prediction: Prediction
    next_commands: tuple[str, ...]


def show_first(folder: Path, seed: int = 0, announce: Announce = lambda _: None) -> FirstLook:
    """Render a video of a gesture, convert it to events, and classify these with the included network.

    Args:
        folder: Gets gesture.webm (the video), gesture.h5 (its events) and first/, as `dvspipe infer` writes it.
        seed: Seed of the video.
        announce: Called with what is done next.

    Raises:
        FileError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    video, events = folder / "gesture.webm", folder / "gesture.h5"
    announce("rendering a person who performs a gesture")
    write_video(video, gesture_frames(GestureClip(SHOWN_LABEL, person=SHOWN_PERSON, clip=0, seed=seed)))
    announce("converting the video to events")
    convert_video(video, events, overwrite=True, origin=SYNTHETIC_GESTURES)
    announce("classifying the events with the included network")
    return _classify(events, CLASSIFIER, folder / "first")


def choose_training(speed: Speed, seconds: float, *, jobs: int = 2) -> TrainConfig:
    """Return the experiment that a machine completes in a time: `CLASSIFIER`, fine-tuned on as many people as possible.

    The people of the test are not trained on, by `CLASSIFIER` neither, and the validation part chooses the epoch.

    Args:
        speed: What the machine needs.
        seconds: The time, > 0. Below some 20 s, less than `FEWEST` people and one epoch does not exist.
        jobs: Number of processes that render.

    Example:
        >>> config = choose_training(Speed(clip_s=0.2, step_s=0.04), 180)
        >>> config.init, config.data.train_people, config.data.test_people, config.optimiser.epochs
        ('gesture-synthetic', 44, 22, 4)
    """
    each_s = len(GESTURES) * ((1 + TEST_SHARE) * speed.clip_s / jobs + EPOCHS * speed.step_s)
    people = min(max(int(SPARE * seconds / each_s), FEWEST), MOST)
    test_people = max(1, round(TEST_SHARE * people))
    rendering_s = len(GESTURES) * (people + test_people) * speed.clip_s / jobs
    epochs = int((SPARE * seconds - rendering_s) / (len(GESTURES) * people * speed.step_s))
    chosen: SettingsTree = {
        "name": "demo",
        "init": CLASSIFIER,
        "seed": SEED,
        "data": {"train_people": people, "test_people": test_people, "clips": 1, "validation": 0.15},
        "optimiser": {"epochs": min(max(epochs, 1), EPOCHS), "learning_rate": LEARNING_RATE, "ema": 0.0},
        "jobs": jobs,
    }
    return build(TrainConfig, merge_settings(read_yaml(CLASSIFIER), chosen), CLASSIFIER)


def measure_speed() -> Speed:
    """Measure in a few seconds what this machine needs to render a clip and to train `CLASSIFIER` on it."""
    config = build(TrainConfig, read_yaml(CLASSIFIER), CLASSIFIER)
    record_gesture(GestureClip(SHOWN_LABEL, person=SHOWN_PERSON, clip=1, seed=0, duration_us=100_000))  # compiles
    labels = range(0, len(GESTURES), 2)  # some are lit by tubes, some take longer than others
    start_s = time.perf_counter()
    for label in labels:
        record_gesture(GestureClip(label, person=SHOWN_PERSON, clip=1, seed=0))
    clip_s = (time.perf_counter() - start_s) / len(labels)
    return Speed(clip_s, measure_step(config, GESTURE_SENSOR, GESTURES))


def run_demo(
    folder: Path, config: TrainConfig, callback: TrainingCallback, announce: Announce = lambda _: None
) -> Demo:
    """Fine-tune a network on rendered people, test it on others, and classify the recording of the first look with it.

    The network that it starts from is tested on the same people.

    Args:
        folder: The folder of the first look; gets everything that training leaves, preview.gif, trained/ with the
            answer, and report.html.
        config: The experiment, as `choose_training` returns it.
        callback: Called with what happens in the training.
        announce: Called with what is done next.

    Raises:
        FileError: The folder cannot be written to.
    """
    video, events = folder / "gesture.webm", folder / "gesture.h5"
    preview = write_preview(iterate(events), GESTURE_SENSOR, folder / "preview.gif")
    run = train(config, folder, command="dvspipe demo", callback=callback)
    announce(f"testing {CLASSIFIER} as it was before, on the same people")
    before = evaluate_checkpoint(CLASSIFIER, config.data, "test", seed=config.seed)  # no warning: it knows none of them
    announce("classifying the first recording with the trained network, and drawing the report")
    look = _classify(events, str(run.checkpoint), folder / "trained")
    shown = GESTURES[SHOWN_LABEL].replace("_", " ")
    write_training_page(
        run,
        previews=[
            (f"A rendered video of a person who is not in the training part: {shown} (synthetic).", video),
            ("The events that the simulator made of it: ON red, OFF blue (synthetic).", preview),
            (
                "The prediction of the trained network for them (synthetic).",
                OutputFolder(folder / "trained").of(events.name).timeline,
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
    options = ClassifyOptions(out=out, draw=draw_recording)
    classifier = Classifier.load(checkpoint)
    tasks = plan_tasks([events], out)
    (outcome,) = classify_many(tasks, classifier, options, overwrite=True)
    run = options.record_run(classifier, tasks)
    return FirstLook(outcome.result(), write_answers_page(OutputFolder(out), run, [outcome.result()], None))
