"""Commands `train` and `evaluate`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from ..base.errors import ConfigError
from ..base.files import claim_output, write_text
from ..hooks import plugins
from ..results import RunFolder
from ..training.callback import TrainingCallback
from ..verbs import training as verbs
from .commands import takes
from .options import (
    AsJson,
    Config,
    Overrides,
    Trust,
    is_folder,
    read_config,
    read_overrides,
    trust_packages,
)
from .screen import messages, notes, print_parts, progress, screen, warn

if TYPE_CHECKING:
    from ..results import EpochRow, TrainingRun
    from ..training import Choice, TrainConfig
    from .activity import ShowProgress


@takes(verbs.train, without=("config", "network", "trust", "command", "decoded"))
def train(
    config: Config,
    settings: Overrides = None,
    *,
    save: Annotated[
        Path | None,
        Parameter(help="YAML file to write before the training, with the settings chosen for a folder; default: none."),
    ] = None,
    trust: Trust = None,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **given: Any,
) -> None:
    from ..training.processes import is_first_process

    of_folder = is_folder(config)
    if save is not None and (resume or not of_folder):
        raise ConfigError(f"{save}: --save is only for a new run on a folder of recordings (found {config})")
    if save is not None:
        claim_output(save, overwrite=overwrite)

    # The command repeats the run; after an interruption, the run folder and --resume are added.
    trusted = trust_packages(trust)
    options = [word for package in trusted for word in ("--trust", package)]
    command = shlex.join(["dvspipe", "train", config, *(settings or []), *options])

    # The settings of a folder are chosen; a configuration is complete.
    if of_folder:
        given |= read_overrides(settings)
    source = config if of_folder else read_config(config, settings)

    with progress() as show:
        callback = TrainingScreen(show, save)
        try:
            run = verbs.train(
                source,
                out,
                resume=resume,
                overwrite=overwrite,
                trust=trusted,
                command=command,
                callback=callback,
                **given,
            )
        except KeyboardInterrupt:
            # Other processes of torchrun are interrupted, too; only the first has a run folder to name.
            if callback.folder is not None and callback.folder.config.is_file():
                resumed = f"{command} -o {shlex.quote(str(callback.folder.path))} --resume"
                messages.print(f"{resumed} resumes after the last complete epoch, or from the start if there is none")
            raise

    if is_first_process():
        _show_run(run, options)


def _show_run(run: TrainingRun, options: list[str]) -> None:
    """Write the page of a run, and print its test and the next command."""
    with progress() as show:
        show("writing the report", 0, 1)
        pages = plugins().hook.report(record=run, folder=run.folder.path)
    print_parts(*run.describe())
    for page in pages:
        notes.print(f"report: {page}")
    notes.print("next:")
    notes.print(f"  {shlex.join(['dvspipe', 'infer', str(run.folder.path), 'RECORDING', *options])}")


@takes(verbs.evaluate, without=("data", "seed", "trust", "network", "bins"))
def evaluate(
    checkpoint: str,
    config: Config,
    settings: Overrides = None,
    *,
    trust: Trust = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Evaluate a classifier on a data set: accuracy, calibration and confused classes.

    With the result of another classifier, test whether one is better.
    """
    experiment = read_config(config, settings)
    given |= {"seed": experiment.seed, "trust": trust_packages(trust)}

    with progress() as show:
        result = verbs.evaluate(checkpoint, experiment.data, callback=TrainingScreen(show), **given)

    if as_json:
        sys.stdout.write(result.model_dump_json(indent=1) + "\n")
    else:
        print_parts(*result.describe())


class TrainingScreen(TrainingCallback):
    """Prints the progress of training.

    Args:
        show: Callback of the screen.
        save: File for the settings chosen for a folder of recordings; None: not saved.

    Attributes:
        folder: Run folder; None: no run has begun.
    """

    def __init__(self, show: ShowProgress, save: Path | None = None) -> None:
        self.folder: RunFolder | None = None
        self._show = show
        self._save = save
        self._kind = ""

    def on_progress(self, stage: str, done: float, total: int) -> None:
        """Show progress."""
        self._show(stage, done, total)

    def on_choice(self, choice: Choice) -> None:
        """Print and save the settings chosen for a folder."""
        text = choice.to_yaml()
        screen.print(Text(text), soft_wrap=True)
        for warning in choice.warnings:
            warn(warning)

        if self._save is not None:
            write_text(self._save, text)
            screen.print(f"{self._save}: these settings; edit the file, or override them with KEY=VALUE\n")

    def on_run(self, folder: RunFolder, config: TrainConfig) -> None:  # noqa: ARG002
        """Print the run folder."""
        self.folder = folder
        notes.print(f"run: {folder.path}")

    def on_data(self, *, synthetic: bool) -> None:
        """Remember whether the recordings are synthetic, to label the accuracy."""
        self._kind = " (synthetic)" if synthetic else ""

    def on_start(self, rates: Mapping[str, float]) -> None:
        """Print the spike rates of the untrained network."""
        listed = ", ".join(f"{name} {rate:.1%}" for name, rate in rates.items())
        if listed:
            notes.print(f"initial spikes per neuron and step: {listed}")

    def on_epoch(self, row: EpochRow) -> None:
        """Print loss, accuracy and duration of an epoch."""
        validated = "" if row.val_accuracy is None else f"validation {row.val_accuracy:6.1%}{self._kind}  "
        notes.print(
            f"epoch {row.epoch:3d}  loss {row.train_loss:.3f}  accuracy {row.train_accuracy:6.1%}  "
            f"{validated}{row.seconds:.1f} s"
        )

    def on_note(self, text: str) -> None:
        """Print a decision."""
        notes.print(Text(text))

    def on_warning(self, text: str) -> None:
        """Print a warning."""
        warn(text)
