"""Training: epochs of steps, the best of which is kept and tested; leaves plain records in a run folder."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from ..checkpoint import ClassifierConfig, load_checkpoint, save_checkpoint, versions
from ..datasets import (
    PARTS,
    Batch,
    DataConfig,
    DataSet,
    SpikeTensors,
    check_split,
    divided_as,
    open_cache,
    open_dataset,
    training_batches,
    write_split,
)  # fmt: skip
from ..errors import CheckpointError, ConfigError, DataError
from ..files import lock_folder, read_record, write_beside
from ..networks import State, count_activity, watch_rates
from .activity import activity_record
from .config import OptimiserConfig, TrainConfig
from .frames import FrameNetwork, load_frames, save_frames
from .losses import LOSSES
from .machine import machine_record
from .processes import Processes, join_processes
from .resuming import Progress, check_config, cut_records, find_progress, learn_on, load_optimiser, optimiser_tensors
from .testing import evaluate, event_count_accuracy, fit_temperature, notes_on, score_record

SATURATED_RATE = 0.5
EPOCHS_APART = 1_000_003  # of the seeds of two runs: more than any has epochs
RESULT_FILES = (
    "test.json", "curves.png", "confusion_matrix.png", "activity.json", "examples.png", "report.html",
)  # fmt: skip
"""What a run leaves at its end, the report's files included; one that goes on removes them first."""
RUN_FILES = (
    "results.csv", "metrics.jsonl", *RESULT_FILES,
    *(f"{folder}weights/{name}.safetensors" for folder in ("", "baseline/") for name in ("best", "last", "state")),
    "baseline/results.csv", "baseline/metrics.jsonl",
)  # fmt: skip
"""What a run folder holds besides args.yaml and split.json; a new run in the same folder removes it first."""


class Listener:
    """Whom training tells what it does; this one does not listen."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """A part of a stage is done."""

    def begin(self, rates: dict[str, float]) -> None:
        """The first batch went through the fresh network: spikes per neuron and step of each layer."""

    def epoch(self, record: dict[str, float]) -> None:
        """An epoch is done; the record is its row of results.csv."""

    def warn(self, text: str) -> None:
        """Something looks wrong; the text says what to try."""


@dataclass(frozen=True)
class Run:
    """What a training run left behind.

    Args:
        folder: Holds args.yaml, split.json, results.csv, metrics.jsonl, test.json, activity.json and
            weights/{best,last,state}.safetensors; baseline/ has results, metrics and weights of the baseline.
        test: The content of test.json.
    """

    folder: Path
    test: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        """The weights of the epoch that was best on the validation part."""
        return self.folder / "weights" / "best.safetensors"


def train(
    config: TrainConfig,
    folder: Path,
    *,
    command: str = "",
    listener: Listener | None = None,
    resume: bool = False,
    changed: bool = False,
) -> Run:
    """Trains a classifier, chooses the epoch on the validation part, and tests it once on the test part.

    Processes that torchrun starts train together, each on its part of every batch; the first writes.

    Args:
        config: The experiment.
        folder: The run folder; made where it is not there. What an earlier run left in it is removed.
        command: What repeats the run, for the records.
        listener: Told what happens.
        resume: Whether to go on from the last complete epoch of the run in the folder instead, or from its beginning
            where there is none. On a CPU it ends with the same weights as a run that was never interrupted; one that is
            complete is left as it is.
        changed: Whether it may go on with other settings than it began with, as far as `resuming.CHANGEABLE` has them.

    Returns:
        The run folder and the test result.

    Raises:
        DataError: The data set is not usable, or not the one with which the run that is to go on began.
        ConfigError: Settings contradict each other, the loss became NaN, memory ran out, or the run that is to go on
            began with another configuration.
        CheckpointError: There is nothing from which to go on.
        FileError: The folder cannot be written to, or another process trains in it.
    """
    with join_processes(choose_device(config.device)) as processes:
        listener = listener if listener is not None and processes.is_first else Listener()
        if resume:
            check_config(config, folder / "args.yaml", changed=changed)
        if config.optimiser.precision != "float32" and processes.device.type != "cuda":
            raise ConfigError(
                f"optimiser.precision = {config.optimiser.precision}: only on a GPU; on a CPU take float32"
            )
        try:
            return _run(config, folder, command, listener, processes, resume)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error):
                raise ConfigError(
                    "not enough memory for a training step; raise optimiser.accumulate = "
                    f"{config.optimiser.accumulate} or lower optimiser.batch = {config.optimiser.batch}, bins.steps = "
                    f"{config.bins.steps} or network.channels"
                ) from error
            raise


def evaluate_checkpoint(
    path: Path, data: DataConfig, part: str, *, seed: int = 0, batch: int = 32, listener: Listener | None = None
) -> dict[str, Any]:
    """How a trained classifier does on a data set.

    Args:
        path: The checkpoint.
        data: The data set, whose classes are those of the classifier.
        part: `train`, `validation`, `test`, or `all`.
        seed: Of the division into parts, where the checkpoint lies in no run folder whose division it could be.
        batch: Recordings that are worked on together.
        listener: Told what happens, and warned where the part may hold recordings that the network learned from.

    Returns:
        What `score_record` gives, and `data`, `synthetic` and `trained_on`.

    Raises:
        CheckpointError: The file is no checkpoint.
        ConfigError: There is no such part.
        DataError: The data set is not usable, of other classes or another sensor, or not as the run divided it.
    """
    listener = listener or Listener()
    classifier, network = load_checkpoint(path)
    found = open_dataset(data, seed, classifier.bins)
    if found.classes != classifier.classes:
        raise DataError(
            f"{found.title}: has the classes {', '.join(found.classes)}, {path} {', '.join(classifier.classes)}"
        )
    if found.sensor != classifier.sensor:
        raise DataError(f"{found.title}: has a sensor of {found.sensor}, {path} is for {classifier.sensor}")
    if part not in (*PARTS, "all"):
        raise ConfigError(f"part {part}: expected one of {', '.join(PARTS)}, all")
    if part != "all" and data.split is None:
        found = _as_learned(path, found, part, seed, listener)
    parts = found.parts | {"all": tuple(sample for samples in found.parts.values() for sample in samples)}
    told = partial(listener.progress, f"reading {part}")
    synthetic = found.is_synthetic(part)
    tensors = SpikeTensors(parts[part], classifier.bins, cache=open_cache(data), progress=told)
    return score_record(evaluate(network, tensors, batch=batch), found.classes, classifier.temperature) | {
        "data": f"{len(tensors)} recordings ({part}) of {found.title}{' (synthetic)' if synthetic else ''}",
        "synthetic": synthetic,
        "trained_on": classifier.trained_on,
    }


def _as_learned(path: Path, data: DataSet, part: str, seed: int, listener: Listener) -> DataSet:
    """The data set divided as the run did in which a checkpoint lies; a warning where it is another or there is none.

    Raises:
        DataError: The run knows but some of the recordings.
    """
    split = path.resolve().parent.parent / "split.json"  # of RUN/weights/best.safetensors
    learned = divided_as(split, data) if path.is_file() and split.is_file() else None
    if learned is None and not (part == "test" and data.brings_test):
        listener.warn(
            f"{data.title}: divided by seed {seed}, since it is not known how it was when {path} learned; part {part} "
            "may hold recordings that the network learned from"
        )
    return learned or data


def choose_device(name: str) -> torch.device:
    """The torch device for `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: A GPU was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda: torch finds no GPU here; use cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _run(
    config: TrainConfig, folder: Path, command: str, listener: Listener, processes: Processes, resume: bool
) -> Run:
    data = open_dataset(config.data, config.seed, config.bins)
    if resume:
        check_split(folder / "split.json", data)
    _check_classes(data, listener)
    classifier = ClassifierConfig(
        classes=data.classes,
        width=data.sensor.width,
        height=data.sensor.height,
        bins=config.bins,
        inputs=data.inputs,
        network=config.network,
        trained_on=f"{'synthetic ' if data.synthetic else ''}{data.title}, {len(data.train)} recordings",
    )
    torch.manual_seed(config.seed)
    network = classifier.build_network()
    if config.init is not None:
        classifier = learn_on(config.init, classifier, network)
    network.to(processes.device)

    def save(path: Path, network: nn.Module) -> None:
        save_checkpoint(path, classifier, network)

    with lock_folder(folder) if processes.is_first else nullcontext():
        progress = find_progress(folder) if resume else None
        if progress is not None and _is_over(config.optimiser, progress.epoch, progress.best):
            result = processes.share(read_record(folder / "test.json"))
            if result is not None:
                return Run(folder, result)
        parts = _load(config, data, listener)
        if processes.is_first:
            for name in RUN_FILES if progress is None else RESULT_FILES:
                (folder / name).unlink(missing_ok=True)
            write_split(folder / "split.json", data)
            _write_text(folder / "args.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        best = _Trainer(config, classifier, network, parts, folder, listener, processes, save).fit(progress)
        baseline = None
        if config.baseline:
            baseline = _learn_without_time(config, classifier, parts, folder / "baseline", listener, processes)
        record = {}
        if processes.is_first:
            record = _test(config, data, parts, best, folder, command, processes, baseline)
        return Run(folder, processes.share(record))


def _learn_without_time(
    config: TrainConfig, classifier: ClassifierConfig, parts: Mapping[str, SpikeTensors], folder: Path,
    listener: Listener, processes: Processes,
) -> dict[str, Any] | None:  # fmt: skip
    """Trains the baseline from the same first weights on the same batches, and tests its best epoch once."""
    whole = config.model_copy(update={"optimiser": config.optimiser.model_copy(update={"truncate": None})})
    torch.manual_seed(config.seed)
    network = FrameNetwork(classifier.build_network()).to(processes.device)
    told = _Prefixed(listener, "baseline, ")
    try:
        best = _Trainer(whole, classifier, network, parts, folder, told, processes, save_frames).fit(
            find_progress(folder)
        )
    except ConfigError as error:
        listener.warn(f"no baseline: {error}")
        return None
    if not processes.is_first:
        return None
    load_frames(folder / "weights" / "best.safetensors", network)
    score = evaluate(network, parts["test"], batch=config.optimiser.batch)
    return {
        "accuracy": score.accuracy,
        "samples": len(score.labels),
        "correct": int((score.labels == score.predicted).sum()),
        "chosen_epoch": int(best["epoch"]),
        "val_accuracy": best["val_accuracy"],
    }


class _Prefixed(Listener):
    """Tells another listener of progress alone, with something ahead of the stage."""

    def __init__(self, listener: Listener, prefix: str) -> None:
        self.listener, self.prefix = listener, prefix

    def progress(self, stage: str, done: int, total: int) -> None:
        self.listener.progress(self.prefix + stage, done, total)


def _test(
    config: TrainConfig, data: DataSet, parts: Mapping[str, SpikeTensors], best: dict[str, float], folder: Path,
    command: str, processes: Processes, baseline: dict[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    """Calibrates the best epoch's network on the validation part, tests it once, and writes both down."""
    path, batch = folder / "weights" / "best.safetensors", config.optimiser.batch
    classifier, network = load_checkpoint(path, str(processes.device))
    validated = evaluate(network, parts["validation"], batch=batch)
    temperature = fit_temperature(validated.logits, validated.labels)
    save_checkpoint(path, classifier.model_copy(update={"temperature": temperature}), network)
    by_count = event_count_accuracy(parts["train"], parts["test"])
    with count_activity(network) as layers:
        score = evaluate(network, parts["test"], batch=batch)
    activity = activity_record(layers, network, parts["test"], data, config.bins)
    _write_text(folder / "activity.json", json.dumps(activity))
    origin = " (synthetic)" if data.synthetic_test else ", learned from synthetic ones" if data.synthetic else ""
    record = {
        "title": data.title,
        "synthetic": data.synthetic,
        "synthetic_test": data.synthetic_test,
        "data": f"{len(data.test)} test recordings of {data.title}{origin}",
        **score_record(score, data.classes, temperature),
        "event_count_accuracy": by_count,
        "baseline": baseline,
        "chosen_epoch": int(best["epoch"]),
        "val_accuracy": best["val_accuracy"],
        "notes": notes_on(data, by_count, parts["train"].counts(), baseline),
        "command": command,
        "versions": versions(),
        "machine": machine_record(processes.device),
    }
    _write_text(folder / "test.json", json.dumps(record, indent=1))
    return record


def _load(config: TrainConfig, data: DataSet, listener: Listener) -> dict[str, SpikeTensors]:
    """The spike tensors of the parts."""
    verb, cache = "reading" if config.data.root else "rendering", open_cache(config.data)
    return {
        name: SpikeTensors(
            samples,
            config.bins,
            views=config.data.views if name == "train" else 1,
            vary_config=config.data.vary,
            seed=config.seed,
            cache=cache,
            jobs=config.jobs,
            progress=partial(listener.progress, f"{verb} {name}"),
        )
        for name, samples in data.parts.items()
    }


def _check_classes(data: DataSet, listener: Listener) -> None:
    """Warns of classes that the data set knows and the training part lacks.

    Raises:
        DataError: The test or validation part has a class that the training part lacks, or it has but one.
    """
    learned = {sample.label for sample in data.train}
    unlearned = sorted({sample.label for sample in (*data.validation, *data.test)} - learned)
    if unlearned or len(learned) < 2:
        names = ", ".join(data.classes[label] for label in unlearned) or "more than one class"
        raise DataError(
            f"{data.title}: no training recordings of {names}; add recordings, or another seed, data.validation or "
            "data.test divides them otherwise"
        )
    missing = [name for label, name in enumerate(data.classes) if label not in learned]
    if missing:
        listener.warn(f"{data.title}: no recordings of {', '.join(missing)}; the network cannot learn them")


class _Trainer:
    """A network, its optimiser, and the average of its weights, while they learn."""

    def __init__(
        self, config: TrainConfig, classifier: ClassifierConfig, network: nn.Module,
        parts: Mapping[str, SpikeTensors], folder: Path, listener: Listener, processes: Processes,
        save: Callable[[Path, nn.Module], None],
    ) -> None:  # fmt: skip
        self.config, self.settings, self.classifier, self.save = config, config.optimiser, classifier, save
        self.network, self.parts, self.folder = network, parts, folder
        self.listener, self.processes = listener, processes
        self.running = processes.wrap(network)
        self.average = deepcopy(network).eval() if self.settings.ema else None
        self.optimiser = _optimiser(self.settings, network)
        self.batches = math.ceil(len(parts["train"]) / self.settings.batch)
        total, warm_up = self.batches * self.settings.epochs, round(self.batches * self.settings.warm_up)
        self.factor = partial(_learning_rate_factor, self.settings.schedule, warm_up=warm_up, total=total)
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.settings.precision == "float16")
        self.step = 0

    def fit(self, progress: Progress | None) -> dict[str, float]:
        """Runs all epochs, or those behind an interrupted run's last complete one; returns the record of the best."""
        epoch, best = 0, dict[str, float]()
        if progress is not None:
            epoch, best = progress.epoch, progress.best
            self._take_up(progress)
        while not _is_over(self.settings, epoch, best):
            epoch += 1
            record = self._epoch(epoch)
            if not best or (record["val_accuracy"], -record["val_loss"]) > (best["val_accuracy"], -best["val_loss"]):
                best = record
                if self.processes.is_first:
                    self.save(self.folder / "weights" / "best.safetensors", self._evaluated())
            if self.processes.is_first:
                self._write(record, best)
            self.listener.epoch(record)
            self._warn_of_rates(record)
        return best

    def _evaluated(self) -> nn.Module:
        return self.average if self.average is not None else self.network

    def _epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training part, and the validation: its record."""
        began, settings = time.monotonic(), self.settings
        torch.manual_seed(self.config.seed * EPOCHS_APART + epoch)  # of dropout: no epoch asks which ran before it
        drawn = training_batches(
            self.parts["train"], settings.batch, self.config.augment, self.classifier.classes, self.config.seed, epoch,
            own=self.processes.own, least=self.processes.count,
        )  # fmt: skip
        waited = _Waited()
        loss, accuracy, rates = self._pass(epoch, waited.over(drawn))
        score = None
        if self.processes.is_first:
            score = evaluate(self._evaluated(), self.parts["validation"], batch=settings.batch)
        val_loss, val_accuracy = self.processes.share((score.loss, score.accuracy) if score else (0.0, 0.0))
        return {
            "epoch": epoch,
            "train_loss": loss,
            "train_accuracy": accuracy,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "seconds": time.monotonic() - began,
            "data_seconds": waited.total,
            **{f"rate_{name}": value for name, value in rates.items()},
        }

    def _pass(self, epoch: int, batches: Iterator[Batch]) -> tuple[float, float, dict[str, float]]:
        """Mean loss, accuracy, and the last batch's spike rates of one pass over the training part."""
        self.running.train()
        totals = torch.zeros(3, dtype=torch.float64)
        with watch_rates(self.network) as rates:
            for number, batch in enumerate(batches, start=1):
                totals += self._step(batch, len(self.parts["train"]), number)
                if not torch.isfinite(totals[0]):
                    self._stop_at_nan(epoch, number)
                if epoch == number == 1:
                    self.listener.begin(dict(rates))
                self.listener.progress(f"epoch {epoch}/{self.settings.epochs}", number, self.batches)
        loss, right, count = self.processes.add(totals.to(self.processes.device)).cpu().tolist()
        return loss / count, right / count, rates

    def _step(self, batch: Batch, samples: int, number: int) -> Tensor:
        """One step of the optimiser on this process's part of a batch: sum of losses, right answers, recordings."""
        settings = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * self.factor(self.step)
        whole = min(settings.batch, samples - (number - 1) * settings.batch)  # recordings of all processes
        totals = torch.zeros(3, dtype=torch.float64)
        self.optimiser.zero_grad()
        size = math.ceil(len(batch.labels) / settings.accumulate) or 1
        for start in range(0, len(batch.labels), size):
            chosen = slice(start, start + size)
            part = Batch(batch.spikes[chosen], batch.targets[chosen], batch.labels[chosen])
            totals += self._work(part, self.processes.count / whole)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        if self.average is not None:
            _follow(self.average, self.network, min(settings.ema, self.step / (self.step + 9)))
        return totals

    def _work(self, batch: Batch, weight: float) -> Tensor:
        """Adds the gradients of some recordings, weighed; truncated after some steps where the settings say so."""
        settings, device = self.settings, self.processes.device
        spikes = torch.from_numpy(batch.spikes).transpose(0, 1).to(device)
        targets = torch.from_numpy(batch.targets).to(device)
        steps = settings.truncate or len(spikes)
        state: State | None = None
        total, outputs = 0.0, []
        for window in spikes.split(steps):
            with torch.autocast(device.type, _dtype(settings.precision), enabled=settings.precision != "float32"):
                output, state = self.running(window, state)
                losses = LOSSES[settings.loss](output.float(), targets, settings.label_smoothing)
            share = len(window) / len(spikes)
            self.scaler.scale(losses.sum() * weight * share).backward()
            state = [tensor.detach() for tensor in state]
            total += float(losses.detach().sum()) * share
            outputs.append(output.detach())
        right = int((torch.cat(outputs).mean(0).argmax(1).cpu().numpy() == batch.labels).sum())
        return torch.tensor([total, right, len(batch.labels)], dtype=torch.float64)

    def _stop_at_nan(self, epoch: int, number: int) -> None:
        weights = self.folder / "weights"
        kept = f" (the last good weights are in {weights})" if (weights / "last.safetensors").exists() else ""
        raise ConfigError(
            f"the loss became NaN or infinite in epoch {epoch}, step {number}; lower optimiser.learning_rate = "
            f"{self.settings.learning_rate:g}{kept}"
        )

    def _write(self, record: dict[str, float], best: dict[str, float]) -> None:
        """The records of an epoch, its weights, and last of all the state from which to go on behind it."""
        _append_record(self.folder, record)
        if self.config.tensorboard:
            _append_to_tensorboard(self.folder, record)
        self.save(self.folder / "weights" / "last.safetensors", self._evaluated())
        average = {} if self.average is None else self.average.state_dict()
        progress = Progress(
            int(record["epoch"]), self.step, best, self.network.state_dict(), dict(average),
            optimiser_tensors(self.optimiser),
        )  # fmt: skip
        progress.save(self.folder / "weights" / "state.safetensors")

    def _take_up(self, progress: Progress) -> None:
        self.step = progress.step
        try:
            self.network.load_state_dict(progress.network)
            if self.average is not None:
                self.average.load_state_dict(progress.average)
            load_optimiser(self.optimiser, progress.optimiser)
        except (KeyError, ValueError, RuntimeError) as error:
            state = self.folder / "weights" / "state.safetensors"
            raise CheckpointError(f"{state}: is of another network ({' '.join(str(error).split())})") from error
        if self.processes.is_first:
            cut_records(self.folder, progress.epoch)

    def _warn_of_rates(self, record: dict[str, float]) -> None:
        rates = {name.removeprefix("rate_"): rate for name, rate in record.items() if name.startswith("rate_")}
        for name, rate in rates.items():
            where = f"epoch {record['epoch']:.0f}: layer {name}"
            if rate == 0:
                self.listener.warn(
                    f"{where} is silent; raise network.gain or the learning rate, or lower network.tau_mem_s"
                )
            elif rate > SATURATED_RATE:
                self.listener.warn(
                    f"{where} fires at {rate:.0%} of all steps; lower network.gain or raise network.tau_mem_s"
                )


class _Waited:
    """How long an iterator was waited for, in seconds."""

    def __init__(self) -> None:
        self.total = 0.0

    def over(self, items: Iterator[Batch]) -> Iterator[Batch]:
        """The items."""
        while True:
            began = time.monotonic()
            item = next(items, None)
            self.total += time.monotonic() - began
            if item is None:
                return
            yield item


def _is_over(settings: OptimiserConfig, epoch: int, best: Mapping[str, float]) -> bool:
    """Whether training ends behind an epoch: at the last one, or when patience does."""
    waited = epoch - best.get("epoch", epoch)
    return epoch >= settings.epochs or (settings.patience is not None and waited >= settings.patience)


def _optimiser(settings: OptimiserConfig, network: nn.Module) -> torch.optim.Optimizer:
    weights, rate, decay = network.parameters(), settings.learning_rate, settings.weight_decay
    if settings.kind == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=settings.momentum, weight_decay=decay)
    return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)


def _dtype(precision: str) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves an average of weights towards those of a network; counts and integers are copied."""
    with torch.no_grad():
        for mean, now in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)


def _learning_rate_factor(schedule: str, step: int, *, warm_up: int, total: int) -> float:
    if step < warm_up and total > warm_up:
        return (step + 1) / warm_up
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, total - warm_up))))


def _append_record(folder: Path, record: dict[str, float]) -> None:
    """Adds an epoch to results.csv and metrics.jsonl."""
    folder.mkdir(exist_ok=True)
    first = record["epoch"] == 1
    with (folder / "results.csv").open("w" if first else "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, record)
        if first:
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" for key, value in record.items()})
    with (folder / "metrics.jsonl").open("w" if first else "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _append_to_tensorboard(folder: Path, record: dict[str, float]) -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("tensorboard = true: TensorBoard is missing; pip install 'dvspipe[tensorboard]'") from error
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for name, value in record.items():
            writer.add_scalar(name, value, int(record["epoch"]))


def _write_text(path: Path, text: str) -> None:
    with write_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")
