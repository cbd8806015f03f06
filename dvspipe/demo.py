"""Everything once on synthetic data: rendered gestures, simulated events, a spiking network, and a prediction."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .config import build, read_yaml
from .conversion import convert_video
from .formats import iterate
from .inference import Classifier, record_answer
from .report import draw_probabilities, write_preview, write_training_page
from .results import Answer, OutputFolder, TrainingRun
from .synthesis import GESTURE_SENSOR, GESTURES, gesture_frames
from .training import TrainConfig, TrainingCallback, train
from .video import write_video

SHOWN_LABEL = GESTURES.index("right_arm_clockwise")
SHOWN_PERSON = 1000  # a number that neither training nor test draws


@dataclass(frozen=True)
class Demo:
    """What the demo did.

    Args:
        run: The training run and its test.
        answer: The prediction for the recording that is shown.
        next_commands: What to type next.
    """

    run: TrainingRun
    answer: Answer
    next_commands: tuple[str, ...]


def run_demo(folder: Path, callback: TrainingCallback, config: TrainConfig | None = None) -> Demo:
    """Render a video, convert it, train on other rendered people, test, infer, and report.

    Args:
        folder: The run folder.
        callback: Called with what happens.
        config: The experiment; by default the shipped `gesture`.

    Returns:
        The run, the prediction, and the next commands. The folder holds gesture.webm (the video), gesture.h5 (its
        events), preview.gif, predictions.csv, report.html and everything that training leaves.
    """
    config = config or build(TrainConfig, read_yaml("gesture"), "gesture")
    folder.mkdir(parents=True, exist_ok=True)
    video, events = folder / "gesture.webm", folder / "gesture.h5"
    write_video(video, gesture_frames(SHOWN_LABEL, person=SHOWN_PERSON, clip=0, seed=config.seed))
    convert_video(video, events, overwrite=True)
    preview = write_preview(iterate(events), GESTURE_SENSOR, folder / "preview.gif")
    run = train(config, folder, command="dvspipe demo", callback=callback)
    prediction = Classifier.load(run.checkpoint).predict(events)
    answer = record_answer(prediction, folder=events.name)
    OutputFolder(folder).write_predictions([answer])
    chart = folder / "prediction.png"
    title = f"{events.name} (synthetic): {answer.class_name}"
    draw_probabilities(answer.probabilities, GESTURES, chart, title=title)
    shown = GESTURES[SHOWN_LABEL].replace("_", " ")
    write_training_page(
        run,
        previews=[
            (f"A rendered video of a person who is not in the training part: {shown} (synthetic).", video),
            ("The events that the simulator made of it: ON red, OFF blue (synthetic).", preview),
            ("The prediction of the trained network for them (synthetic).", chart),
        ],
    )
    commands = (
        shlex.join(["dvspipe", "info", str(events)]),
        shlex.join(["dvspipe", "view", str(events), "-o", str(folder / "sheet.png")]),
        shlex.join(["dvspipe", "infer", str(run.checkpoint), str(events)]),
        "dvspipe convert YOUR_VIDEO.mp4 -o events.h5",
        "dvspipe train nmnist data.root=FOLDER_OF_NMNIST",
    )
    return Demo(run, answer, commands)
