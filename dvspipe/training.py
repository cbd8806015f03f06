"""Training and testing of a classifier; leaves plain records in a run folder and draws nothing."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from pydantic import Field
from torch import nn

from .checkpoint import ClassifierConfig, load_checkpoint, save_checkpoint, versions
from .config import Settings
from .datasets import (
    AugmentConfig,
    Batch,
    DataConfig,
    DataSet,
    SpikeTensors,
    open_cache,
    open_dataset,
    plain_batches,
    training_batches,
    write_split,
)  # fmt: skip
from .encoding import BinConfig
from .errors import ConfigError, DataError
from .files import write_beside
from .networks import NetworkConfig, SpikingNetwork, watch_rates

SATURATED_RATE = 0.5
RUN_FILES = (
    "args.yaml", "split.json", "results.csv", "metrics.jsonl", "test.json", "curves.png", "confusion_matrix.png",
    "report.html", "weights/best.safetensors", "weights/last.safetensors",
)  # fmt: skip
"""What a run folder holds, the report's files included; a new run in the same folder removes them first."""


class OptimiserConfig(Settings):
    """How the weights are learned: AdamW with a warm-up of one epoch and a cosine to zero."""

    epochs: int = Field(default=20, ge=1)
    """Passes over the training recordings."""
    batch: int = Field(default=32, ge=1)
    """Recordings per step."""
    learning_rate: float = Field(default=3e-3, gt=0, le=1000)
    """Peak learning rate."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """AdamW's decoupled weight decay."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""


class TrainConfig(Settings):
    """A whole experiment."""

    name: str = Field(default="run", pattern=r"^\w[\w.-]*$")
    """Names the run folder."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of the division into parts, the weights, the order of batches, and rendered clips."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; `auto` takes a GPU where there is one."""
    jobs: int = Field(default=2, ge=1)
    """Processes that render gestures."""
    data: DataConfig = DataConfig()
    bins: BinConfig = BinConfig()
    network: NetworkConfig = NetworkConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()


@dataclass(frozen=True)
class Score:
    """How a network does on samples.

    Args:
        loss: Mean cross-entropy.
        labels: int64 [samples], what is right.
        predicted: int64 [samples], what the network says.
    """

    loss: float
    labels: np.ndarray[Any, np.dtype[np.int64]]
    predicted: np.ndarray[Any, np.dtype[np.int64]]

    @property
    def accuracy(self) -> float:
        """Share of samples with the right label."""
        return float(np.mean(self.labels == self.predicted))


class Listener:
    """Whom training tells what it does; this one does not listen."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """A part of a stage is done."""

    def epoch(self, record: dict[str, float]) -> None:
        """An epoch is done; the record is its row of results.csv."""

    def warn(self, text: str) -> None:
        """Something looks wrong; the text says what to try."""


@dataclass(frozen=True)
class Run:
    """What a training run left behind.

    Args:
        folder: Holds args.yaml, split.json, results.csv, metrics.jsonl, test.json and weights/{best,last}.safetensors.
        test: The content of test.json.
    """

    folder: Path
    test: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        """The weights of the epoch that was best on the validation part."""
        return self.folder / "weights" / "best.safetensors"


def train(config: TrainConfig, folder: Path, *, command: str = "", listener: Listener | None = None) -> Run:
    """Trains a classifier, chooses the epoch on the validation part, and tests it once on the test part.

    Args:
        config: The experiment.
        folder: The run folder; made where it is not there. What an earlier run left in it is removed.
        command: What repeats the run, for the records.
        listener: Told what happens.

    Returns:
        The run folder and the test result.

    Raises:
        DataError: The data set is not usable.
        ConfigError: Settings contradict each other, or the loss became NaN.
    """
    listener = listener or Listener()
    device = choose_device(config.device)
    data = open_dataset(config.data, config.seed)
    _check_classes(data, listener)
    classifier = ClassifierConfig(
        classes=data.classes,
        width=data.sensor.width,
        height=data.sensor.height,
        bins=config.bins,
        network=config.network,
        trained_on=f"{'synthetic ' if data.synthetic else ''}{data.title}, {len(data.train)} recordings",
    )
    torch.manual_seed(config.seed)
    network = classifier.build_network().to(device)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        parts = _load(config, data, listener)
    except BaseException:
        with suppress(OSError):
            folder.rmdir()  # leaves nothing where nothing was
        raise
    for name in RUN_FILES:
        (folder / name).unlink(missing_ok=True)
    write_split(folder / "split.json", data)
    _write_text(folder / "args.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    best = _fit(config, classifier, network, parts, folder, listener)
    _, network = load_checkpoint(folder / "weights" / "best.safetensors", str(device))
    score = evaluate(network, parts["test"], batch=config.optimiser.batch)
    baseline = _event_count_accuracy(parts["train"], parts["test"])
    record = _test_record(data, score, best, baseline, command)
    _write_text(folder / "test.json", json.dumps(record, indent=1))
    return Run(folder, record)


def choose_device(name: str) -> torch.device:
    """The torch device for `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: A GPU was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda: torch finds no GPU here; use cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def evaluate(network: SpikingNetwork, tensors: SpikeTensors, *, batch: int) -> Score:
    """The score of a network on recordings."""
    network.eval()
    device = next(network.parameters()).device
    logits = []
    with torch.no_grad():
        for spikes in plain_batches(tensors, batch):
            potentials, _ = network(torch.from_numpy(spikes).transpose(0, 1).to(device))
            logits.append(potentials.mean(0).cpu())
    joined = torch.cat(logits)
    loss = float(nn.functional.cross_entropy(joined, torch.from_numpy(tensors.labels)))
    return Score(loss, tensors.labels, joined.argmax(1).numpy())


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


def _fit(
    config: TrainConfig,
    classifier: ClassifierConfig,
    network: SpikingNetwork,
    parts: dict[str, SpikeTensors],
    folder: Path,
    listener: Listener,
) -> dict[str, float]:
    """Runs all epochs and returns the record of the best."""
    settings = config.optimiser
    batches = math.ceil(len(parts["train"]) / settings.batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _learning_rate_factor(step, batches, batches * settings.epochs)
    )
    best: dict[str, float] = {}
    for epoch in range(1, settings.epochs + 1):
        began = time.monotonic()
        rate = optimiser.param_groups[0]["lr"]
        waited_s, drawn = _Waited(), training_batches(
            parts["train"], settings.batch, config.augment, classifier.classes, config.seed, epoch
        )  # fmt: skip
        loss, accuracy, rates = _train_epoch(
            network, optimiser, schedule, waited_s.over(drawn), settings,
            partial(listener.progress, f"epoch {epoch}/{settings.epochs}", total=batches),
        )  # fmt: skip
        if not math.isfinite(loss):
            kept = f" (the last good weights are in {folder / 'weights'})" if best else ""
            raise ConfigError(
                f"the loss became {loss} in epoch {epoch}; lower optimiser.learning_rate = "
                f"{settings.learning_rate:g}{kept}"
            )
        score = evaluate(network, parts["validation"], batch=settings.batch)
        record = {
            "epoch": epoch,
            "train_loss": loss,
            "train_accuracy": accuracy,
            "val_loss": score.loss,
            "val_accuracy": score.accuracy,
            "learning_rate": rate,
            "seconds": time.monotonic() - began,
            "data_seconds": waited_s.total,
            **{f"rate_{name}": value for name, value in rates.items()},
        }
        _append_record(folder, record)
        save_checkpoint(folder / "weights" / "last.safetensors", classifier, network)
        if not best or (score.accuracy, -score.loss) > (best["val_accuracy"], -best["val_loss"]):
            best = record
            save_checkpoint(folder / "weights" / "best.safetensors", classifier, network)
        listener.epoch(record)
        _warn_of_rates(rates, epoch, listener)
    return best


def _train_epoch(
    network: SpikingNetwork,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    batches: Iterator[Batch],
    settings: OptimiserConfig,
    progress: Callable[[int], object],
) -> tuple[float, float, dict[str, float]]:
    """Mean loss, accuracy, and the last batch's spike rates of one pass over the training part."""
    network.train()
    device = next(network.parameters()).device
    total_loss, right, count = 0.0, 0, 0
    with watch_rates(network) as rates:
        for number, batch in enumerate(batches, start=1):
            potentials, _ = network(torch.from_numpy(batch.spikes).transpose(0, 1).to(device))
            logits, targets = potentials.mean(0), torch.from_numpy(batch.targets).to(device)
            loss = nn.functional.cross_entropy(logits, targets, label_smoothing=settings.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
            optimiser.step()
            schedule.step()
            total_loss += float(loss.detach()) * len(targets)
            right += int((logits.argmax(1).cpu().numpy() == batch.labels).sum())
            count += len(targets)
            progress(number)
    return total_loss / count, right / count, rates


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


def _learning_rate_factor(step: int, warm_up: int, total: int) -> float:
    if step < warm_up and total > warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, total - warm_up))))


def _warn_of_rates(rates: dict[str, float], epoch: int, listener: Listener) -> None:
    for name, rate in rates.items():
        if rate == 0:
            listener.warn(f"epoch {epoch}: layer {name} is silent; raise network.tau_mem_s or the learning rate")
        elif rate > SATURATED_RATE:
            listener.warn(f"epoch {epoch}: layer {name} fires at {rate:.0%} of all steps; lower network.tau_mem_s")


def _event_count_accuracy(train: SpikeTensors, test: SpikeTensors) -> float:
    """Test accuracy of a linear classifier that sees only how many events a recording has: what is to be beaten."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    fitted = classifier.fit(train.totals()[:, None], train.labels)
    return float(fitted.score(test.totals()[:, None], test.labels))


def _test_record(data: DataSet, score: Score, best: dict[str, float], baseline: float, command: str) -> dict[str, Any]:
    from sklearn.metrics import confusion_matrix

    K = len(data.classes)
    origin = " (synthetic)" if data.synthetic_test else ", learned from synthetic ones" if data.synthetic else ""
    alone = all(
        len(part) == len({sample.group for sample in part}) for part in (data.train, data.validation, data.test)
    )
    groups = "each recording on its own (data.group keeps a person's together)" if alone else "no group in two of them"
    notes = [
        f"{len(data.train)} recordings to learn from, {len(data.validation)} to choose the epoch, "
        f"{len(data.test)} to test, {groups}.",
        f"A linear classifier that sees only the number of events of a recording reaches {baseline:.1%} on the same "
        f"test recordings; chance is {1 / K:.1%}.",
    ]
    if data.synthetic and data.synthetic_test:
        notes.append("Synthetic: rendered scenes through the simulator. It says little about real cameras.")
    elif data.synthetic:
        notes.append("Synthetic are the recordings to learn from and to choose the epoch; those to test are not.")
    return {
        "title": data.title,
        "synthetic": data.synthetic,
        "synthetic_test": data.synthetic_test,
        "data": f"{len(data.test)} test recordings of {data.title}{origin}",
        "accuracy": score.accuracy,
        "event_count_accuracy": baseline,
        "samples": len(score.labels),
        "correct": int(np.sum(score.labels == score.predicted)),
        "chosen_epoch": int(best["epoch"]),
        "val_accuracy": best["val_accuracy"],
        "classes": list(data.classes),
        "confusion": confusion_matrix(score.labels, score.predicted, labels=range(K)).tolist(),
        "notes": notes,
        "command": command,
        "versions": versions(),
    }


def _append_record(folder: Path, record: dict[str, float]) -> None:
    """Adds an epoch to results.csv and metrics.jsonl."""
    first = record["epoch"] == 1
    with (folder / "results.csv").open("w" if first else "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, record)
        if first:
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" for key, value in record.items()})
    with (folder / "metrics.jsonl").open("w" if first else "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _write_text(path: Path, text: str) -> None:
    with write_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")
