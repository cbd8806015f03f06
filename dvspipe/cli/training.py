"""Training, evaluation, and the demo."""

from __future__ import annotations

import ctypes
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ..errors import ConfigError, FileError, Remedy
from .infer import print_predictions
from .options import AsJson, Config, Overrides, Overwrite, Trust, is_folder, read_config, trust_packages
from .screen import make_table, messages, notes, progress, screen, warn

if TYPE_CHECKING:
    from ..config import SettingsTree
    from ..datasets import DecodedEvents
    from ..results import EpochRow, EvaluationResult, TrainingRun
    from ..training import Choice, TrainConfig, TrainingCallback

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt, from malloc.h
MAX_CONFUSIONS = 3  # classes that are listed beside a class


def train(
    config: Config,
    settings: Overrides = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Run folder; default: runs/train/<name>.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Resume the run in this folder after its last complete epoch.")
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="With --resume: allow other epochs, learning rates, batches, ...")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file for the settings that are chosen for a folder.")
    ] = None,
    trust: Trust = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a spiking classifier on labelled recordings and test it.

    For a folder DIR/<class>/<recording or video>, settings are chosen from what is in it. Under torchrun, processes
    train together.
    """
    from ..config import build

    of_folder = is_folder(config)
    if save is not None and (resume is not None or not of_folder):
        raise ConfigError(f"{save}: --save writes what is chosen for a folder of recordings (found {config})")
    if out is not None and resume is None and _is_first():
        _check_run_folder(out, overwrite=overwrite)  # before recordings are read
    from ..results import RunFolder

    if resume is not None and not RunFolder(resume).config.is_file():
        raise FileError(
            f"{resume}: no run to resume (expected the folder of a run, with {RunFolder(resume).config.name})"
        )
    choice = None
    if resume is not None and of_folder:
        merged = _read_run(resume, settings)
    elif of_folder:
        choice = _choose(config, settings, save, overwrite=overwrite)
        merged = choice.settings
    else:
        merged = read_config(config, settings)
    from ..training import TrainConfig

    resolved = build(TrainConfig, merged, config)
    trusted = trust_packages(trust)
    options = [word for package in trusted for word in ("--trust", package)]
    command = shlex.join(["dvspipe", "train", config, *(settings or []), *options])
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    if several and out is None and resume is None:
        raise ConfigError("several processes train together, and no run folder was given; give it with --out")
    folder = resume or out or _free_folder(Path("runs/train"), resolved.name, overwrite=overwrite)
    if _is_first():
        notes.print(f"run: {folder}")
    decoded = None if choice is None else choice.decoded
    run = _train(resolved, folder, command, trusted, decoded, resume=resume is not None, changed=changed)
    if not _is_first():
        return
    _print_test(run)
    notes.print(f"{run.folder.report} shows the run; next:")
    notes.print(f"  {shlex.join(['dvspipe', 'infer', str(run.folder.path), 'RECORDING', *options])}")


def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A run, a .safetensors file, a shipped name, or hf://USER/NAME.")
    ],
    config: Config,
    settings: Overrides = None,
    part: Annotated[
        Literal["test", "validation", "train", "all"], typer.Option("--part", help="Part of the data set.")
    ] = "test",
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="JSON file for all scores.")] = None,
    trust: Trust = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Evaluate a classifier on a data set: accuracy, calibration, and which classes are confused."""
    from ..config import build
    from ..files import claim_output

    if out:
        claim_output(out, overwrite=overwrite)
    merged = read_config(config, settings)
    from ..networks import ModuleSource
    from ..training import TrainConfig, evaluate_checkpoint

    experiment, modules = build(TrainConfig, merged, config), ModuleSource.of(trust_packages(trust))
    with _callback() as callback:
        result = evaluate_checkpoint(
            checkpoint, experiment.data, part, seed=experiment.seed, callback=callback, modules=modules
        )
    if as_json:
        sys.stdout.write(result.model_dump_json(indent=1) + "\n")
    else:
        _print_evaluation(result)
    if out:
        result.write(out)


def demo(
    minutes: Annotated[
        float,
        typer.Option(min=0, max=60, metavar="MINUTES", help="Time for the training; 0: none, only the first label."),
    ] = 3.0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Run folder; default: runs/demo.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Show a label for a rendered gesture at once, then fine-tune a network in a given time. All data is synthetic."""
    notes.print("the first label comes in some 10 s")
    from ..datasets import GesturesConfig
    from .demo import CLASSIFIER, choose_training, measure_speed, run_demo, show_first

    if out is not None:
        _check_run_folder(out, overwrite=overwrite)
    folder = out or _free_folder(Path("runs"), "demo", overwrite=overwrite)
    look = show_first(folder, announce=notes.print)
    print_predictions([look.prediction])
    notes.print(f"{look.page} shows it (synthetic)")
    if not minutes:
        return
    notes.print("measuring how fast this machine renders and trains")
    speed = measure_speed()
    config = choose_training(speed, 60 * minutes)
    data = config.data
    assert isinstance(data, GesturesConfig)
    notes.print(
        f"\nfor {minutes:g} min of training, as a clip takes {speed.clip_s:.2f} s to render and "
        f"{1000 * speed.step_s:.0f} ms to train on: people {data.train_people}, other people to test on "
        f"{data.test_people}, epochs {config.optimiser.epochs}; it starts from the included network {CLASSIFIER}, "
        "which was trained on clips of none of these people"
    )
    with _callback() as callback:
        done = run_demo(folder, config, callback, notes.print)
    before = done.before
    screen.print(
        f"test accuracy (synthetic) of {CLASSIFIER} before this training: {before.accuracy:.1%}, {before.correct} of "
        f"{before.samples}; after it:"
    )
    _print_test(done.run)
    print_predictions([done.prediction])
    notes.print(f"\nEverything is in {folder}, and all of it is synthetic; open {done.run.folder.report} first. Next:")
    for command in done.next_commands:
        notes.print(f"  {command}")


def _read_run(folder: Path, settings: list[str] | None) -> SettingsTree:
    """Return the settings of a run, with the given settings in their place."""
    from ..config import keep_own, merge_settings, parse_overrides, read_yaml
    from ..results import RunFolder
    from ..training import TrainConfig

    stored = keep_own(TrainConfig, read_yaml(RunFolder(folder).config))
    return merge_settings(stored, parse_overrides(settings or []))


def _choose(folder: str, settings: list[str] | None, save: Path | None, *, overwrite: bool) -> Choice:
    """Return, print and save the settings that are chosen for a folder."""
    from ..config import parse_overrides
    from ..files import claim_output, write_text
    from ..training import choose_settings

    if save is not None:
        claim_output(save, overwrite=overwrite)
    with progress() as show:
        choice = choose_settings(folder, parse_overrides(settings or []), partial(show, "recordings"))
    text = choice.to_yaml()
    if _is_first():
        screen.print(Text(text))
        for warning in choice.warnings:
            warn(warning)
        if save is not None:
            write_text(save, text)
            screen.print(f"{save}: these settings; change them, or add KEY=VALUE to the command\n")
    return choice


def _is_first() -> bool:
    """Return whether this process is the first one that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _free_folder(parent: Path, name: str, *, overwrite: bool) -> Path:
    """Return the folder of a new run: the name, with the first number that is free unless it is overwritten."""
    folder, number = parent / name, 2
    while folder.exists() and not overwrite:
        folder, number = parent / f"{name}-{number}", number + 1
    return folder


def _check_run_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that a new run can be written to a folder.

    Raises:
        FileError: It is a file, or contains something.
    """
    from ..files import REPLACE

    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is a file, expected a folder for the run")
    if folder.is_dir() and not overwrite and not _is_unstarted(folder):
        remedies = [REPLACE, Remedy("resume", folder, "resume the run")] if _can_resume(folder) else [REPLACE]
        raise FileError(f"{folder}: already exists and is not empty", *remedies)


def _can_resume(folder: Path) -> bool:
    """Return whether a folder has a training that has not ended."""
    from ..results import RunFolder

    run = RunFolder(folder)
    return run.config.is_file() and not run.test.is_file()


def _is_unstarted(folder: Path) -> bool:
    """Return whether a folder is empty, or what a run leaves that was killed before it could be resumed."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return names <= {"split.json"}


def _keep_freed_memory() -> None:
    """Let glibc keep large freed blocks for the next tensors.

    By default it returns them to the kernel and gets them again, zeroed, in every training step, which takes a third of
    a step on two cores.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def _callback(held_out: str = "validation") -> Iterator[TrainingCallback]:
    """Yield a callback that prints what a training does, with the name of the recordings that it is not fitted to."""
    from ..training import TrainingCallback

    _keep_freed_memory()

    class Screen(TrainingCallback):
        kind = ""

        def on_progress(self, stage: str, done: int, total: int) -> None:
            show(stage, done, total)

        def on_data(self, *, synthetic: bool) -> None:
            self.kind = " (synthetic)" if synthetic else ""

        def on_start(self, rates: Mapping[str, float]) -> None:
            listed = ", ".join(f"{name} {rate:.1%}" for name, rate in rates.items())
            if listed:
                notes.print(f"spikes per neuron and step at the start: {listed}")

        def on_epoch(self, row: EpochRow) -> None:
            notes.print(
                f"epoch {row.epoch:3d}  loss {row.train_loss:.3f}  accuracy {row.train_accuracy:6.1%}  "
                f"{held_out} {row.val_accuracy:6.1%}{self.kind}  {row.seconds:.1f} s"
            )

        def on_note(self, text: str) -> None:
            notes.print(Text(text))

        def on_warning(self, text: str) -> None:
            warn(text)

    with progress() as show:
        yield Screen()


def _describe_changes(folder: Path, config: TrainConfig) -> str:
    """Return the settings that a run is resumed with and was not started with, as a comment of its command."""
    from ..config import find_differences, read_stored
    from ..results import RunFolder

    path = RunFolder(folder).config
    before = read_stored(type(config), path) if path.is_file() else config
    found = find_differences(before.model_dump(mode="json"), config.model_dump(mode="json"))
    listed = ", ".join(f"{key}={now} ({old} before)" for key, old, now in found)
    return f"  # resumed with other settings: {listed}" if listed else ""


def _train(
    config: TrainConfig,
    folder: Path,
    command: str,
    trust: tuple[str, ...],
    decoded: DecodedEvents | None,
    *,
    resume: bool,
    changed: bool,
) -> TrainingRun:
    from ..report import write_training_page
    from ..results import RunFolder
    from ..training import train as train_classifier

    note = _describe_changes(folder, config) if resume and changed else ""
    with _callback("left out" if config.optimiser.rule == "readout" else "validation") as callback:
        try:
            run = train_classifier(
                config,
                folder,
                command=command + note,
                callback=callback,
                resume=resume,
                changed=changed,
                trust=trust,
                decoded=decoded,
            )
        except KeyboardInterrupt:
            if _is_first() and RunFolder(folder).config.is_file():
                resumed = f"{command} --resume {shlex.quote(str(folder))}"
                messages.print(f"{resumed} resumes after the last complete epoch, or from the start if there is none")
            raise
    if _is_first():
        write_training_page(run)
    return run


def _print_test(run: TrainingRun) -> None:
    test = run.test
    kind = " (synthetic)" if test.synthetic_test else ""
    chosen = "" if test.readout_fitted else f"; epoch {test.chosen_epoch}, {run.choice}"
    screen.print(f"test accuracy{kind} {test.accuracy:.1%}, {test.correct} of {test.samples}: {test.data}{chosen}")
    if test.correct_before is not None:
        share = test.correct_before / test.samples
        screen.print(f"before the readout was fitted{kind} {share:.1%}, {test.correct_before} of {test.samples}")
    if test.baseline:
        screen.print(f"a ReLU network of the same shape on the sum of the steps{kind} {test.baseline.accuracy:.1%}")
    for finding in test.findings:
        screen.print(Text(f"- {finding.text} ({', '.join(finding.settings)})"))
    if test.settings_to_try:
        screen.print(Text(f"settings to try first: {' '.join(test.settings_to_try)}"))


def _print_evaluation(result: EvaluationResult) -> None:
    table = make_table("class", "recordings", "right", "confused with", right=("recordings", "right"))
    for k, (name, row) in enumerate(zip(result.classes, result.confusion, strict=True)):
        others = sorted(((count, j) for j, count in enumerate(row) if j != k and count), reverse=True)
        confused = ", ".join(f"{result.classes[j]} {count}" for count, j in others[:MAX_CONFUSIONS])
        table.add_row(Text(name), str(sum(row)), str(row[k]), Text(confused))
    screen.print(table)
    screen.print(
        f"accuracy{' (synthetic)' if result.synthetic else ''} {result.accuracy:.1%}, {result.correct} of "
        f"{result.samples}: {result.data}; expected calibration error {result.calibration_error:.1%}"
    )
