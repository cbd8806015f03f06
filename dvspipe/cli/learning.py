"""Training, testing, and the demo."""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..errors import ConfigError, FileError
from .infer import print_predictions
from .screen import Overwrite, messages, progress, screen

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt, from malloc.h


def train(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped one (nmnist, gesture).")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as data.root=DIR.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; runs/train/<name> by default.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with the run in this folder, from its last whole epoch.")
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="With --resume: also with other epochs, rates, batches, ...")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a spiking classifier on labelled recordings, and test it; torchrun starts several processes of it."""
    from ..config import build, merge_settings, parse_overrides, read_yaml

    merged = merge_settings(read_yaml(config), parse_overrides(settings or []))
    from ..training import TrainConfig

    resolved = build(TrainConfig, merged, config)
    command = shlex.join(["dvspipe", "train", config, *(settings or [])])
    first, several = os.environ.get("RANK", "0") == "0", os.environ.get("WORLD_SIZE", "1") != "1"
    if several and out is None and resume is None:
        raise ConfigError("several processes train together: --out must name their run folder")
    if resume is not None:
        folder = resume
    elif first or out is None:
        folder = _run_folder(out, Path("runs/train"), resolved.name, overwrite)
    else:
        folder = out
    run = _train(resolved, folder, command, resume=resume is not None, changed=changed)
    if not first:
        return
    _print_test(run)
    screen.print(f"{folder / 'report.html'} shows it; next:")
    screen.print(f"  {shlex.join(['dvspipe', 'infer', str(run.checkpoint), 'RECORDING'])}")


def evaluate(
    checkpoint: Annotated[
        Path, typer.Argument(help="weights/best.safetensors of a run, or the name of a shipped one.")
    ],
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped one: its data are taken.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as data.root=DIR.")] = None,
    part: Annotated[str, typer.Option(metavar="test|validation|train|all", help="Of the data set.")] = "test",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A .json file for all figures.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Test a classifier on a data set: accuracy, calibration, and which classes are taken for which."""
    from ..config import build, merge_settings, parse_overrides, read_yaml
    from ..files import claim_output, write_beside

    if out:
        claim_output(out, overwrite=overwrite)
    merged = merge_settings(read_yaml(config), parse_overrides(settings or []))
    from ..training import TrainConfig, evaluate_checkpoint

    experiment = build(TrainConfig, merged, config)
    with _training_screen() as listener:
        record = evaluate_checkpoint(checkpoint, experiment.data, part, seed=experiment.seed, listener=listener)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("class", "recordings", "right", "taken for"):
        table.add_column(heading, justify="left" if heading in ("class", "taken for") else "right")
    for k, (name, row) in enumerate(zip(record["classes"], record["confusion"], strict=True)):
        others = sorted(((count, j) for j, count in enumerate(row) if j != k and count), reverse=True)
        taken = ", ".join(f"{record['classes'][j]} {count}" for count, j in others[:3])
        table.add_row(Text(name), str(sum(row)), str(row[k]), Text(taken))
    screen.print(table)
    screen.print(
        f"accuracy{' (synthetic)' if record['synthetic'] else ''} {record['accuracy']:.1%}, {record['correct']} of "
        f"{record['samples']}: {record['data']}; expected calibration error {record['calibration_error']:.1%}"
    )
    if out:
        with write_beside(out) as beside:
            beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def demo(
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; runs/demo by default.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Go the whole way once on synthetic data: render, convert, train, test, infer. Takes about four minutes."""
    from ..demo import run_demo
    from ..inference import prediction_record

    folder = _run_folder(out, Path("runs"), "demo", overwrite)
    with _training_screen() as listener:
        done = run_demo(folder, listener)
    _print_test(done.run)
    print_predictions([prediction_record(done.prediction)], done.prediction.trained_on)
    screen.print(f"\nAll of it is in {folder}, and all of it is synthetic; open {folder / 'report.html'} first. Next:")
    for command in done.next_commands:
        screen.print(f"  {command}")


def _run_folder(out: Path | None, parent: Path, name: str, overwrite: bool) -> Path:
    """A new folder for a run: the one asked for, or the name with the first number that is free."""
    if out is None:
        folder, number = parent / name, 2
        while folder.exists() and not overwrite:
            folder, number = parent / f"{name}-{number}", number + 1
        return folder
    if out.exists() and not out.is_dir():
        raise FileError(f"{out}: is a file, expected a folder for the run")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise FileError(f"{out}: exists already; --overwrite replaces what is in it")
    return out


def _keep_freed_memory() -> None:
    """Lets glibc keep large freed blocks for the next tensors.

    By default it gives them back to the kernel and gets them again, zeroed, at every training step, which takes a third
    of a step on two cores.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def _training_screen() -> Iterator[Any]:
    from ..training import Listener

    _keep_freed_memory()

    class Screen(Listener):
        def progress(self, stage: str, done: int, total: int) -> None:
            show(stage, done, total)

        def begin(self, rates: dict[str, float]) -> None:
            told = ", ".join(f"{name} {rate:.1%}" for name, rate in rates.items())
            screen.print(f"spikes per neuron and step at the start: {told}")

        def epoch(self, record: dict[str, float]) -> None:
            screen.print(
                f"epoch {record['epoch']:3.0f}  loss {record['train_loss']:.3f}  "
                f"accuracy {record['train_accuracy']:6.1%}  validation {record['val_accuracy']:6.1%}  "
                f"{record['seconds']:.1f} s"
            )

        def warn(self, text: str) -> None:
            messages.print(Text.assemble(("warning: ", "yellow"), text))

    with progress() as show:
        yield Screen()


def _train(config: Any, folder: Path, command: str, *, resume: bool, changed: bool) -> Any:
    from ..report import write_training_page
    from ..training import train as run_training

    first = os.environ.get("RANK", "0") == "0"
    with _training_screen() as listener:
        try:
            run = run_training(config, folder, command=command, listener=listener, resume=resume, changed=changed)
        except KeyboardInterrupt:
            if first and (folder / "args.yaml").is_file():
                way = f"{command} --resume {shlex.quote(str(folder))}"
                messages.print(f"{way} goes on from the last whole epoch, or begins again where there is none")
            raise
    if first:
        write_training_page(folder)
    return run


def _print_test(run: Any) -> None:
    kind = " (synthetic)" if run.test["synthetic_test"] else ""
    screen.print(
        f"test accuracy{kind} {run.test['accuracy']:.1%}, {run.test['correct']} of {run.test['samples']}: "
        f"{run.test['data']}; epoch {run.test['chosen_epoch']}, chosen on the validation part"
    )
    if run.test["baseline"]:
        screen.print(
            f"a ReLU network of the same shape on the sum of the steps{kind} {run.test['baseline']['accuracy']:.1%}"
        )
