"""Classification tab: classify a recording or a video; show its report with the player, its windows, and all files."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ..base.errors import ConfigError
from ..parallel import Progress
from ..report import draw_recording, write_answers_page
from ..results import OutputFolder, Prediction
from .gestures import Trained
from .shared import (
    ANY_FILE,
    ChosenFile,
    Tab,
    Updates,
    add_command,
    add_parts,
    follow,
    listen,
    offer_file,
    offer_nothing,
    show_empty,
    show_page,
    take_upload,
)
from .workspace import Session, Workspace

SHIPPED_NAMES = ("gesture-clean", "gesture-synthetic", "nmnist-synthetic")
"""Included classifiers; `checkpoints` also lists them, but imports torch, and that takes seconds."""
DEFAULT_NAME = "gesture-synthetic"
NO_ANSWER = "Choose a recording or a video, then press the button."
ALL_RESULTS = "Download all results"
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
    adapt: bool = False,
    joints: bool = True,
) -> Classified:
    """Classify a recording or a video as `dvspipe infer -o` does."""
    # torch takes seconds to import
    from ..inference import Classifier, ClassifyOptions, InferConfig, classify_many, plan_tasks

    out = OutputFolder(folder / "answers")
    config = InferConfig(pose=None if joints else False)
    options = ClassifyOptions(config=config, out=out.path, draw=draw_recording, adapt=adapt)
    classifier = Classifier.load(checkpoint)
    tasks = plan_tasks([source.path], out.path)
    (outcome,) = classify_many(tasks, classifier, options, overwrite=True, progress=progress)

    page = write_answers_page(out, options.record_run(classifier, tasks), [outcome.result()], None)
    archive = shutil.make_archive(str(folder / "answers"), "zip", out.path)
    return Classified(outcome.result(), page, Path(archive))


def list_windows(classified: Classified) -> list[list[str | float | int]]:
    """Return one table row per window, with times since the first event."""
    zero_us = classified.prediction.t_first_us

    return [
        [
            round((row.t_start_us - zero_us) / 1e6, 3),
            round((row.t_end_us - zero_us) / 1e6, 3),
            row.class_name.replace("_", " "),
            round(row.probability, 3),
            round(row.entropy, 2),
            row.events,
            "familiar" if row.familiar else "unfamiliar",
        ]
        for row in classified.prediction.to_windows()
    ]


def command_of(source: str, checkpoint: str, *, adapt: bool, joints: bool) -> str:
    """Return the equivalent command."""
    switches = [*(["--adapt"] if adapt else []), *([] if joints else ["--pose=false"])]
    return shlex.join(["dvspipe", "infer", checkpoint, source, "-o", "answers", *switches])


class AnswerTab(Tab):
    """Classification tab: its components and their event handlers.

    Args:
        space: Folders of the app.
    """

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        add_parts(self._add_choice, self._add_answer, self._add_details)
        self._connect()

    def _add_choice(self) -> None:
        self.picker = self.add_picker(ANY_FILE)
        self.checkpoint = gr.Dropdown(
            self.list_classifiers(),
            value=DEFAULT_NAME,
            label="Classifier",
            info="An included classifier, or a checkpoint or run below the folder.",
        )

        with gr.Accordion("Another checkpoint", open=False):
            self.upload = gr.File(label="Checkpoint (.safetensors)", file_types=[".safetensors"], height=140)

        self.adapt = gr.Checkbox(
            label="Adapt to this recording first", info="Adapts the network to sensor and scene, without labels."
        )
        self.joints = gr.Checkbox(
            value=True,
            label="Use the joints of people in videos",
            info="By events and joints, if the classifier can; recordings are always classified by events alone.",
        )
        self.classify = self.add_work("What does it show?", variant="primary")

    def _add_answer(self) -> None:
        self.page = gr.HTML(show_empty(NO_ANSWER))

    def _add_details(self) -> None:
        with gr.Accordion("Command and files", open=False):
            self.command = add_command()
            self.archive = gr.DownloadButton(ALL_RESULTS, interactive=False)

        with gr.Accordion("Windows", open=False):
            self.windows = gr.Dataframe(headers=list(WINDOW_HEADS), interactive=False, wrap=True)

    def _connect(self) -> None:
        listen(self.picker.source.change, self.clear, [], self.outputs)
        chosen = [self.picker.source, self.checkpoint, self.upload, self.adapt, self.joints]
        self.on(self.classify.click, self.show_answer, chosen, concurrency_limit=2)

    def list_classifiers(self) -> list[str]:
        """List the classifiers: included ones, and checkpoints below the folder."""
        return [*SHIPPED_NAMES, *self.space.list_checkpoints()]

    def offer(self, trained: tuple[Trained, ...]) -> gr.Dropdown:
        """Offer the classifiers that were trained in this session, and choose the last one."""
        choices = [classifier.to_choice() for classifier in trained]
        _, last_run = choices[-1]
        return gr.Dropdown(choices=[*self.list_classifiers(), *choices], value=last_run)

    def clear(self) -> Updates:
        """Return the updates that remove the answer for the previous recording."""
        archive = offer_nothing(ALL_RESULTS)
        return {self.page: show_empty(NO_ANSWER), self.windows: [], self.archive: archive, self.command: ""}

    def show_answer(
        self, session: Session, source: ChosenFile | None, name: str, upload: str | None, adapt: Any, joints: Any
    ) -> Iterator[Updates]:
        """Classify the chosen recording and show the result."""
        if source is None:
            raise ConfigError("no recording is chosen")

        switches = {"adapt": bool(adapt), "joints": bool(joints)}

        # A name is an included classifier or a file below the folder: the page must not read other files.
        checkpoint: str | Path = take_upload(session, upload, name).path if upload else name
        if not upload and name not in SHIPPED_NAMES:
            checkpoint = self.space.resolve(name)

        # The command names an upload, or a classifier trained in this session, without its temporary folder.
        path = Path(upload or name)
        command = command_of(source.name, path.name if path.is_absolute() else name, **switches)

        def work(progress: Progress) -> Classified:
            return classify(source, checkpoint, session.new_folder("classified"), progress, **switches)

        def show(classified: Classified) -> Updates:
            return {
                self.page: show_page(classified.page, "Predictions over time"),
                self.windows: list_windows(classified),
                self.archive: offer_file(classified.archive),
                self.command: command,
            }

        yield from follow(session, self.status, "classifying", work, show)
