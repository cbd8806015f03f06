"""Commands `train`, `eval` and `demo`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ..base.errors import ConfigError, FileError, Remedy
from .activity import ShownStage
from .infer import print_predictions
from .options_typer import AsJson, Config, Overrides, Overwrite, Trust, is_folder, read_config, trust_packages
from .screen import TextTable, messages, notes, progress, screen, warn

if TYPE_CHECKING:
    from ..base.config import SettingsTree
    from ..datasets import DecodedEvents
    from ..events.corruption import Corruption
    from ..results import CorruptionResult, EpochRow, EvaluationResult, TrainingRun
    from ..training import Choice, TrainConfig, TrainingCallback

MAX_CONFUSIONS = 3  # listed confused classes per class
PartOption = Annotated[
    Literal["test", "validation", "train", "all"], typer.Option("--part", help="Part of the data set to evaluate.")
]


def train(
    config: Config,
    settings: Overrides = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Run folder; default: runs/train/<name>.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Run folder to resume after its last complete epoch; default: start a new run."
        ),
    ] = None,
    changed: Annotated[
        bool,
        typer.Option(
            "--changed", help="With --resume: allow changed settings, such as epochs, learning rate and batch size."
        ),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML file to write before the training, with the settings chosen for a folder; default: none.",
        ),
    ] = None,
    trust: Trust = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a spiking classifier on labelled recordings and test it.

    For a folder DIR/<class>/<recording or video>, settings are chosen automatically.

    Under torchrun, all processes train one network.
    """
    from ..base.config import build

    of_folder = is_folder(config)
    if save is not None and (resume is not None or not of_folder):
        raise ConfigError(f"{save}: --save is only for a new run on a folder of recordings (found {config})")
    if out is not None and resume is not None and out.resolve() != resume.resolve():
        raise ConfigError(f"--out {out}: contradicts --resume {resume} (expected one run folder)")
    if out is not None and resume is None and _is_first():
        _check_run_folder(out, overwrite=overwrite)  # fail before recordings are read
    from ..results import RunFolder

    if resume is not None and not RunFolder(resume).config.is_file():
        raise FileError(f"{resume}: no run to resume (expected a run folder with {RunFolder(resume).config.name})")
    choice = None
    if resume is not None and of_folder:
        merged = _read_run(resume, config, settings)
    elif of_folder:
        choice = _choose(config, settings, save, overwrite=overwrite)
        merged = choice.settings
    else:
        merged = read_config(config, settings)
    from ..training import RUNS, TrainConfig

    resolved = build(TrainConfig, merged, config)
    trusted = trust_packages(trust)
    options = [word for package in trusted for word in ("--trust", package)]
    command = shlex.join(["dvspipe", "train", config, *(settings or []), *options])
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    if several and out is None and resume is None:
        raise ConfigError("--out: missing; several training processes need a common run folder")
    folder = resume or out or RunFolder.find_free(RUNS, resolved.name, overwrite=overwrite).path
    if _is_first():
        notes.print(f"run: {folder}")
    decoded = None if choice is None else choice.decoded
    run = _train(
        resolved, folder, command, trusted, decoded, resume=resume is not None, changed=changed, overwrite=overwrite
    )
    if not _is_first():
        return
    print_test(run)
    notes.print(f"report: {run.folder.report}; next:")
    notes.print(f"  {shlex.join(['dvspipe', 'infer', str(run.folder.path), 'RECORDING', *options])}")


def evaluate(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Run folder, .safetensors file, name of an included checkpoint, or hf://USER/NAME.",
        ),
    ],
    config: Config,
    settings: Overrides = None,
    part: PartOption = "test",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="JSON file for all scores; default: print only.")
    ] = None,
    corrupt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=STRENGTH,...]",
            help="Also evaluate on corrupted recordings: hot_pixels (share of pixels), noise (Hz per pixel), bursts "
            "(flashes per s), drops (share of events), jitter (us), flips (share of events) or all; default strengths: "
            "four of each. Repeatable.",
        ),
    ] = None,
    trust: Trust = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Evaluate a classifier on a data set: accuracy, calibration and confused classes; also on corrupted recordings."""
    from ..base.config import build
    from ..base.files import claim_output

    if out:
        claim_output(out, overwrite=overwrite)
    corruptions = [corruption for text in corrupt or [] for corruption in _parse_corruptions(text)]
    merged = read_config(config, settings)
    from ..networks import ModuleSource
    from ..results import CorruptionResult
    from ..training import TrainConfig, evaluate, evaluate_corrupted

    experiment, modules = build(TrainConfig, merged, config), ModuleSource.of(trust_packages(trust))
    data, seed = experiment.data, experiment.seed
    result: EvaluationResult | CorruptionResult
    with show_training() as callback:
        if corruptions:
            result = evaluate_corrupted(
                checkpoint, data, part, corruptions, seed=seed, callback=callback, modules=modules
            )
        else:
            result = evaluate(checkpoint, data, part, seed=seed, callback=callback, modules=modules)
    if as_json:
        sys.stdout.write(result.model_dump_json(indent=1) + "\n")
    elif isinstance(result, CorruptionResult):
        _print_evaluation(result.clean)
        _print_corrupted(result)
    else:
        _print_evaluation(result)
    if out:
        result.write(out)


def _parse_corruptions(text: str) -> list[Corruption]:
    """Parse an option --corrupt: a name or `all`, and optionally strengths."""
    from ..events.corruption import CORRUPTION_KINDS, find_corruption

    name, _, strengths = text.partition("=")
    if name == "all" and not strengths:
        return [kind(strength) for kind in CORRUPTION_KINDS.values() for strength in kind.levels]
    kind = find_corruption(name)
    if not strengths:
        return [kind(strength) for strength in kind.levels]
    try:
        values = [float(value) for value in strengths.split(",")]
    except ValueError as error:
        raise ConfigError(f"--corrupt {text}: wrong strengths (expected numbers, as in drops=0.1,0.5)") from error
    return [kind(value) for value in values]


def _print_corrupted(result: CorruptionResult) -> None:
    clean = result.clean
    table = TextTable("corruption", "strength", "accuracy", "correct", right=("strength", "accuracy", "correct"))
    table.add_row("none", "", f"{clean.accuracy:.1%}", clean.correct)
    for row in result.corrupted:
        table.add_row(row.corruption, f"{row.strength:g}", f"{row.accuracy:.1%}", row.correct)
    screen.print(table)


def demo(
    minutes: Annotated[
        float,
        typer.Option(min=0, max=60, metavar="MINUTES", help="Time budget of training; 0: only classify."),
    ] = 3.0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Run folder; default: runs/demo.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Classify a rendered gesture, then fine-tune a network in a given time. All data is synthetic."""
    notes.print("the first prediction takes about 10 s")
    from ..datasets import GesturesConfig
    from ..results import RunFolder
    from .demo import CLASSIFIER, choose_training, measure_speed, run_demo, show_first

    if out is not None:
        _check_run_folder(out, overwrite=overwrite)
    folder = out or RunFolder.find_free(Path("runs"), "demo", overwrite=overwrite).path
    look = show_first(folder, announce=notes.print)
    print_predictions([look.prediction])
    notes.print(f"report: {look.page} (synthetic)")
    if not minutes:
        return
    notes.print("measuring the speed of rendering and training")
    speed = measure_speed()
    config = choose_training(speed, 60 * minutes)
    data = config.data
    assert isinstance(data, GesturesConfig)
    notes.print(
        f"\nplan for {minutes:g} min (rendering a clip takes {speed.clip_s:.2f} s, training on it "
        f"{1000 * speed.step_s:.0f} ms): {data.train_people} people for training, {data.test_people} other people for "
        f"testing, {config.optimiser.epochs} epochs; fine-tuning starts from the included network {CLASSIFIER}, "
        "trained on other people"
    )
    with show_training() as callback:
        done = run_demo(folder, config, callback, notes.print)
    before = done.before
    screen.print(
        f"test accuracy (synthetic) of {CLASSIFIER} before fine-tuning: {before.accuracy:.1%}, {before.correct} of "
        f"{before.samples}; after fine-tuning:"
    )
    print_test(done.run)
    print_predictions([done.prediction])
    notes.print(f"\nall outputs are in {folder} (synthetic); start with {done.run.folder.report}; next:")
    for command in done.next_commands:
        notes.print(f"  {command}")


def _read_run(folder: Path, recordings: str, settings: list[str] | None) -> SettingsTree:
    """Read the settings of a run, set the folder of its recordings, and apply overrides."""
    from ..base.config import merge_settings, parse_overrides, read_yaml
    from ..results import RunFolder

    stored = read_yaml(RunFolder(folder).config)
    placed = merge_settings(stored, {"data": {"root": str(Path(recordings).expanduser())}})
    return merge_settings(placed, parse_overrides(settings or []))


def _choose(folder: str, settings: list[str] | None, save: Path | None, *, overwrite: bool) -> Choice:
    """Choose, print and save settings for a folder of recordings."""
    from ..base.config import parse_overrides
    from ..base.files import claim_output, write_text
    from ..training import choose_settings

    if save is not None:
        claim_output(save, overwrite=overwrite)
    with progress() as show:
        choice = choose_settings(folder, parse_overrides(settings or []), ShownStage(show, "recordings"))
    text = choice.to_yaml()
    if _is_first():
        screen.print(Text(text))
        for warning in choice.warnings:
            warn(warning)
        if save is not None:
            write_text(save, text)
            screen.print(f"{save}: these settings; edit the file, or override them with KEY=VALUE\n")
    return choice


def _is_first() -> bool:
    """Return whether this process has rank 0, or was not started by torchrun."""
    return os.environ.get("RANK", "0") == "0"


def _check_run_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that a new run can be written to a folder.

    Raises:
        FileError: If `folder` is a file, or a folder that is not empty.
    """
    from ..base.files import REPLACE

    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is a file, expected a run folder")
    if folder.is_dir() and not overwrite and not _is_unstarted(folder):
        remedies = [REPLACE, Remedy("resume", folder, "resume the run")] if _can_resume(folder) else [REPLACE]
        raise FileError(f"{folder}: already exists and is not empty", *remedies)


def _can_resume(folder: Path) -> bool:
    """Return whether a folder contains an unfinished training run."""
    from ..results import RunFolder

    run = RunFolder(folder)
    return run.config.is_file() and not run.test.is_file()


def _is_unstarted(folder: Path) -> bool:
    """Return whether a folder is empty, except for files of a run killed before its first checkpoint."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return names <= {"split.json"}


@contextmanager
def show_training(held_out: str = "validation") -> Iterator[TrainingCallback]:
    """Yield a callback that prints the progress of training; `held_out` names the held-out recordings."""
    from ..training import TrainingCallback

    class Screen(TrainingCallback):
        kind = ""

        def on_progress(self, stage: str, done: float, total: int) -> None:
            show(stage, done, total)

        def on_data(self, *, synthetic: bool) -> None:
            self.kind = " (synthetic)" if synthetic else ""

        def on_start(self, rates: Mapping[str, float]) -> None:
            listed = ", ".join(f"{name} {rate:.1%}" for name, rate in rates.items())
            if listed:
                notes.print(f"initial spikes per neuron and step: {listed}")

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
    """Return the changed settings of a resumed run, as a comment to its command."""
    from ..base.config import find_differences, read_stored
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
    overwrite: bool,
) -> TrainingRun:
    from ..report import write_training_page
    from ..results import RunFolder
    from ..training import train as train_classifier

    note = _describe_changes(folder, config) if resume and changed else ""
    with show_training("left out" if config.optimiser.rule == "readout" else "validation") as callback:
        try:
            run = train_classifier(
                config,
                folder,
                command=command + note,
                callback=callback,
                resume=resume,
                changed=changed,
                overwrite=overwrite,
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


def print_test(run: TrainingRun) -> None:
    """Print the test result of a run, and the settings to try."""
    test = run.test
    kind = " (synthetic)" if test.synthetic_test else ""
    chosen = "" if test.readout_fitted else f"; epoch {test.chosen_epoch}, {run.choice}"
    screen.print(f"test accuracy{kind} {test.accuracy:.1%}, {test.correct} of {test.samples}: {test.data}{chosen}")
    if test.correct_before is not None:
        share = test.correct_before / test.samples
        screen.print(f"before fitting the readout{kind} {share:.1%}, {test.correct_before} of {test.samples}")
    if test.baseline:
        screen.print(f"ReLU network of the same shape, on the sum of all steps{kind} {test.baseline.accuracy:.1%}")
    for finding in test.findings:
        screen.print(Text(f"- {finding.text} ({', '.join(finding.settings)})"))
    if test.settings_to_try:
        screen.print(Text(f"settings to try first: {' '.join(test.settings_to_try)}"))


def _print_evaluation(result: EvaluationResult) -> None:
    table = TextTable("class", "recordings", "correct", "confused with", right=("recordings", "correct"))
    for k, (name, row) in enumerate(zip(result.classes, result.confusion, strict=True)):
        others = sorted(((count, j) for j, count in enumerate(row) if j != k and count), reverse=True)
        confused = ", ".join(f"{result.classes[j]} {count}" for count, j in others[:MAX_CONFUSIONS])
        table.add_row(name, sum(row), row[k], confused)
    screen.print(table)
    screen.print(
        f"accuracy{' (synthetic)' if result.synthetic else ''} {result.accuracy:.1%}, {result.correct} of "
        f"{result.samples}: {result.data}; expected calibration error {result.calibration_error:.1%}"
    )
