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
from torch import Tensor, nn

from .checkpoint import ClassifierConfig, load_checkpoint, save_checkpoint, versions
from .config import Settings
from .datasets import DataConfig, DataSet, encode_samples, open_dataset
from .encoding import BinConfig
from .errors import ConfigError, DataError
from .files import write_beside
from .networks import NetworkConfig, SpikingNetwork, watch_rates

SATURATED_RATE = 0.5
RUN_FILES = (
    "args.yaml", "results.csv", "metrics.jsonl", "test.json", "curves.png", "confusion_matrix.png", "report.html",
    "weights/best.safetensors", "weights/last.safetensors",
)  # fmt: skip
"""What a run folder holds, the report's files included; a new run in the same folder removes them first."""


class AugmentConfig(Settings):
    """Changes of the spike tensors while training, drawn anew for every recording and epoch."""

    shift_px: int = Field(default=2, ge=0)
    """Largest shift along each axis, in pixels of the spike tensor; the same at every step."""
    flip_polarity: bool = False
    """Whether ON and OFF are exchanged in half of the recordings."""


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
        folder: Holds args.yaml, results.csv, metrics.jsonl, test.json and weights/{best,last}.safetensors.
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
    _write_text(folder / "args.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    best = _fit(config, classifier, network, parts, folder, listener)
    _, network = load_checkpoint(folder / "weights" / "best.safetensors", str(device))
    score = evaluate(network, *parts["test"], batch=config.optimiser.batch)
    baseline = _event_count_accuracy(*parts["train"], *parts["test"])
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


def evaluate(network: SpikingNetwork, spikes: Tensor, labels: Tensor, *, batch: int) -> Score:
    """The score of a network on spike tensors uint8 [samples, T, 2, H, W] and their labels [samples]."""
    network.eval()
    device = next(network.parameters()).device
    logits = []
    with torch.no_grad():
        for part in spikes.split(batch):
            potentials, _ = network(part.transpose(0, 1).to(device))
            logits.append(potentials.mean(0).cpu())
    joined = torch.cat(logits)
    loss = float(nn.functional.cross_entropy(joined, labels))
    return Score(loss, labels.numpy(), joined.argmax(1).numpy())


def _load(config: TrainConfig, data: DataSet, listener: Listener) -> dict[str, tuple[Tensor, Tensor]]:
    """Spike tensors and labels of the parts; [samples, views, ...] for the training part."""
    parts = {}
    jobs = config.jobs if data.synthetic else 1
    for name, samples in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        stage = f"{'rendering' if data.synthetic else 'reading'} {name}"
        spikes, labels = encode_samples(
            samples,
            config.bins,
            views=config.data.views if name == "train" else 1,
            config=config.data,
            seed=config.seed,
            jobs=jobs,
            progress=partial(listener.progress, stage),
        )
        parts[name] = torch.from_numpy(spikes if name == "train" else spikes[:, 0]), torch.from_numpy(labels)
    return parts


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
    parts: dict[str, tuple[Tensor, Tensor]],
    folder: Path,
    listener: Listener,
) -> dict[str, float]:
    """Runs all epochs and returns the record of the best."""
    spikes, labels = parts["train"]
    settings = config.optimiser
    batches = math.ceil(len(labels) / settings.batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _learning_rate_factor(step, batches, batches * settings.epochs)
    )
    generator = torch.Generator().manual_seed(config.seed)
    best: dict[str, float] = {}
    for epoch in range(1, settings.epochs + 1):
        began = time.monotonic()
        rate = optimiser.param_groups[0]["lr"]
        loss, accuracy, rates = _train_epoch(
            network, optimiser, schedule, _batches(spikes, labels, config, generator), settings,
            partial(listener.progress, f"epoch {epoch}/{settings.epochs}", total=batches),
        )  # fmt: skip
        if not math.isfinite(loss):
            kept = f" (the last good weights are in {folder / 'weights'})" if best else ""
            raise ConfigError(
                f"the loss became {loss} in epoch {epoch}; lower optimiser.learning_rate = "
                f"{settings.learning_rate:g}{kept}"
            )
        score = evaluate(network, *parts["validation"], batch=settings.batch)
        record = {
            "epoch": epoch,
            "train_loss": loss,
            "train_accuracy": accuracy,
            "val_loss": score.loss,
            "val_accuracy": score.accuracy,
            "learning_rate": rate,
            "seconds": time.monotonic() - began,
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
    batches: Iterator[tuple[Tensor, Tensor]],
    settings: OptimiserConfig,
    progress: Callable[[int], object],
) -> tuple[float, float, dict[str, float]]:
    """Mean loss, accuracy, and the last batch's spike rates of one pass over the training part."""
    network.train()
    device = next(network.parameters()).device
    total_loss, right, count = 0.0, 0, 0
    with watch_rates(network) as rates:
        for number, (spikes, labels) in enumerate(batches, start=1):
            potentials, _ = network(spikes.transpose(0, 1).to(device))
            logits = potentials.mean(0)
            loss = nn.functional.cross_entropy(logits, labels.to(device), label_smoothing=settings.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
            optimiser.step()
            schedule.step()
            total_loss += float(loss.detach()) * len(labels)
            right += int((logits.argmax(1).cpu() == labels).sum())
            count += len(labels)
            progress(number)
    return total_loss / count, right / count, rates


def _batches(
    spikes: Tensor, labels: Tensor, config: TrainConfig, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches [B, T, 2, H, W] of one random view of each recording, augmented."""
    order = torch.randperm(len(labels), generator=generator)
    views = torch.randint(spikes.shape[1], (len(labels),), generator=generator)
    for chosen in order.split(config.optimiser.batch):
        batch = torch.stack([_augment(spikes[i, views[i]], config.augment, generator) for i in chosen.tolist()])
        yield batch, labels[chosen]


def _augment(spikes: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """A shifted copy of a spike tensor [T, 2, H, W], zeros moving in, polarity perhaps exchanged."""
    if config.flip_polarity and torch.rand((), generator=generator) < 0.5:
        spikes = spikes.flip(1)
    if not config.shift_px:
        return spikes
    largest = config.shift_px
    down, right = torch.randint(-largest, largest + 1, (2,), generator=generator).tolist()
    H, W = spikes.shape[-2:]
    padded = nn.functional.pad(spikes, (largest, largest, largest, largest))
    return padded[..., largest - down : largest - down + H, largest - right : largest - right + W]


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


def _event_count_accuracy(spikes: Tensor, labels: Tensor, test_spikes: Tensor, test_labels: Tensor) -> float:
    """Test accuracy of a linear classifier that sees only how many events a recording has: what is to be beaten."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    counts, test_counts = (
        x.flatten(1).sum(1, dtype=torch.float64).numpy()[:, None] for x in (spikes[:, 0], test_spikes)
    )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(classifier.fit(counts, labels.numpy()).score(test_counts, test_labels.numpy()))


def _test_record(data: DataSet, score: Score, best: dict[str, float], baseline: float, command: str) -> dict[str, Any]:
    from sklearn.metrics import confusion_matrix

    K = len(data.classes)
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
    if data.synthetic:
        notes.append("Synthetic: rendered people through the simulator. It says little about real cameras.")
    return {
        "title": data.title,
        "synthetic": data.synthetic,
        "data": f"{len(data.test)} test recordings of {data.title}{' (synthetic)' if data.synthetic else ''}",
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
