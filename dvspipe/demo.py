"""The whole way on synthetic data: rendered gestures, simulated events, a spiking network, and an answer."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .config import build, read_yaml
from .conversion import convert_video
from .formats import iterate
from .inference import Classifier, Prediction, prediction_record, write_predictions
from .report import draw_probabilities, write_preview, write_training_page
from .synthesis import GESTURE_SENSOR, GESTURES, gesture_frames
from .training import Listener, Run, TrainConfig, train
from .video import write_video

SHOWN_LABEL = GESTURES.index("right_arm_clockwise")
SHOWN_PERSON = 1000  # a number that neither training nor test draws


@dataclass(frozen=True)
class Demo:
    """What the demo did.

    Args:
        run: The training run and its test.
        prediction: The answer for the recording that is shown.
        next_commands: What to type next.
    """

    run: Run
    prediction: Prediction
    next_commands: tuple[str, ...]


def run_demo(folder: Path, listener: Listener, config: TrainConfig | None = None) -> Demo:
    """Renders a video, converts it, trains on other rendered people, tests, infers, and reports.

    Args:
        folder: The run folder.
        listener: Told what happens.
        config: The experiment; `gesture` of the shipped ones by default.

    Returns:
        The run, the answer, and the next commands. The folder holds gesture.webm (the video), gesture.h5 (its events),
        preview.gif, predictions.csv, report.html and everything that training leaves.
    """
    config = config or build(TrainConfig, read_yaml("gesture"), "gesture")
    folder.mkdir(parents=True, exist_ok=True)
    video, events = folder / "gesture.webm", folder / "gesture.h5"
    write_video(video, gesture_frames(SHOWN_LABEL, person=SHOWN_PERSON, clip=0, seed=config.seed))
    convert_video(video, events, overwrite=True)
    preview = write_preview(iterate(events), GESTURE_SENSOR, folder / "preview.gif")
    run = train(config, folder, command="dvspipe demo", listener=listener)
    prediction = Classifier.load(run.checkpoint).predict(events)
    write_predictions(folder, [prediction_record(prediction)])
    chart = folder / "prediction.png"
    title = f"{events.name} (synthetic): {prediction.class_name}"
    draw_probabilities(prediction.probabilities, GESTURES, chart, title=title)
    shown = GESTURES[SHOWN_LABEL].replace("_", " ")
    write_training_page(
        folder,
        previews=[
            (f"A rendered video of a person never seen in training: {shown}, the performer's (synthetic).", video),
            ("The events that the simulator made of it: ON red, OFF blue (synthetic).", preview),
            ("What the trained network says of them (synthetic).", chart),
        ],
    )
    return Demo(
        run,
        prediction,
        (
            shlex.join(["dvspipe", "info", str(events)]),
            shlex.join(["dvspipe", "view", str(events), "-o", str(folder / "sheet.png")]),
            shlex.join(["dvspipe", "infer", str(run.checkpoint), str(events)]),
            "dvspipe convert YOUR_VIDEO.mp4 -o events.h5",
            "dvspipe train nmnist data.root=FOLDER_OF_NMNIST",
        ),
    )
