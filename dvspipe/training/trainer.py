"""Training loop over epochs and steps: gradients, optimiser, validation, and the files of each epoch.

`Trainer.fit` runs epochs until the training ends (`is_over`), and selects one of them (`choose_epoch`). An epoch makes
one optimiser step per batch, then validates. In a step, the learning rule adds the gradients of each part of the batch,
and the optimiser updates the weights. After each epoch, the first process stores rows, weights and `TrainingState`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..base.errors import CheckpointError, ConfigError
from ..checkpoints.checkpoint import FEW_CALIBRATED, Checkpoint, ClassifierConfig
from ..datasets import Batch, BatchSettings, DataSet, SpikeTensors, training_batches
from ..networks import (
    FirstSpikeNetwork,
    ModuleSource,
    Network,
    SpikingNetwork,
    State,
    find_norms,
    watch_rates,
)
from ..networks.rounding import round_weights
from ..results import EpochRow, RunFolder, find_best, wilson_interval, write_rows
from ..rules import Bptt, Loss, build_rule, choose_segment, measure_graph
from .callback import TrainingCallback
from .config import OptimiserConfig, TrainConfig
from .diagnosis import SATURATED_RATE
from .evaluation import evaluate_network
from .machine import memory_bytes
from .norms import estimate_norms, fit_gains
from .processes import TrainingProcesses
from .resuming import TrainingState, load_optimiser, optimiser_tensors
from .schedule import LOSSES, build_average, build_optimiser, build_schedule

SEED_STRIDE = 1_000_003  # distance between the seeds of two runs; larger than any number of epochs
MEMORY_SHARE = 0.5  # share of the device memory for the steps that backpropagation keeps
GIB = 2**30
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class DataParts:
    """Spike tensors of a data set; None: no validation part."""

    train: SpikeTensors
    validation: SpikeTensors | None
    test: SpikeTensors


@dataclass(frozen=True)
class RunSetup:
    """What all stages of a run share.

    Args:
        init: Checkpoint that the network starts from; None: random weights.
    """

    config: TrainConfig
    folder: RunFolder
    init: Checkpoint | None
    modules: ModuleSource
    processes: TrainingProcesses
    callback: TrainingCallback


@dataclass(frozen=True)
class Experiment(RunSetup):
    """Setup of a run with its data."""

    data: DataSet
    classifier: ClassifierConfig
    parts: DataParts


class Trainer:
    """Network in training, with its optimiser, schedule and moving average."""

    def __init__(self, experiment: Experiment, network: nn.Module, save: Callable[[Path, nn.Module], None]) -> None:
        self.experiment = experiment
        self.settings = experiment.config
        self.processes = experiment.processes
        self.callback = experiment.callback
        self.network = self.processes.join_norms(network)
        self.folder = experiment.folder
        self.save = save
        self.average = build_average(network, self.settings.ema) if self.settings.ema else None

        self.optimiser = build_optimiser(self.settings, network)
        self.batches = math.ceil(len(experiment.parts.train) / self.settings.batch)
        self.schedule = build_schedule(self.settings, self.optimiser, self.batches)
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.settings.precision == "float16")

        self.segment = experiment.config.segment_steps
        # With `auto`, the first batch chooses the length: only then can the memory of a step be measured. Truncated
        # gradients need no segments, and networks that see all steps at once cannot have any.
        streams = not isinstance(network, Network) or network.streams
        is_automatic = self.settings.segment == "auto" and self.settings.truncate is None and streams
        self.segment_is_chosen = not is_automatic

        # Other networks are trained by plain backpropagation; see `_apply_rule`.
        self.rule = (
            build_rule(self.settings.rule, network, steps=self.segment, seed=experiment.config.seed)
            if isinstance(network, SpikingNetwork)
            else None
        )

        self.step = 0  # optimiser steps so far
        self.learning_rate = self.settings.learning_rate  # rate of the last step
        self.rows: list[EpochRow] = []

    def fit(self, state: TrainingState | None) -> EpochRow:
        """Run all epochs, or the remaining epochs of an interrupted run; return the metrics of the selected epoch."""
        if state is not None:
            self._restore(state)
        elif self.experiment.init is None:
            fit_gains(self.network, self.experiment.parts.train, batch=self.settings.batch)

        validation = self.experiment.parts.validation
        validation_samples = 0 if validation is None else len(validation)
        while not is_over(self.settings, self.rows):
            row = self.run_epoch(len(self.rows) + 1)
            self.rows.append(row)

            # The state is stored last, so a resumed run finds the weights of all its epochs.
            if self.processes.is_first:
                if choose_epoch(self.rows, validation_samples) is row:
                    self._save(self.folder.best)
                self._store(row)

            self.callback.on_epoch(row)
            self.warn_of_rates(row)

        return choose_epoch(self.rows, validation_samples)

    @contextmanager
    def _evaluated_network(self) -> Iterator[nn.Module]:
        """Yield the network to evaluate and store: the moving average if there is one, with rounded weights."""
        network = self.network if self.average is None else self.average.module
        with round_weights(network, self.settings.weight_bits):
            yield network

    def _save(self, path: Path) -> None:
        with self._evaluated_network() as network:
            self.save(path, network)

    def run_epoch(self, epoch: int) -> EpochRow:
        """Train on the training part once, validate if there is a part for it, and return the row of the epoch."""
        started = time.monotonic()
        settings = self.settings
        experiment = self.experiment

        # The seed of dropout depends on the epoch, not on how many epochs this process has run: a resumed run draws
        # the same numbers.
        torch.manual_seed(experiment.config.seed * SEED_STRIDE + epoch)

        batch_settings = BatchSettings(
            size=settings.batch,
            augment=experiment.config,
            classes=experiment.classifier.classes,
            seed=experiment.config.seed,
            processes=self.processes.count,
            rank=self.processes.rank,
        )
        batches = _TimedIterator(training_batches(experiment.parts.train, batch_settings, epoch))
        loss, accuracy, rates = self._train(epoch, batches)

        # All processes estimate the norms, because shared batch norms wait for each other; only the first one
        # validates, and the others get its scores.
        scores: tuple[float, float] | tuple[None, None] = (None, None)
        with self._evaluated_network() as network:
            estimate_norms(network, experiment.parts.train, batch=settings.batch, segment=self.segment)
            if self.processes.is_first and experiment.parts.validation is not None:
                validated = evaluate_network(
                    network,
                    experiment.parts.validation,
                    batch=settings.batch,
                    progress=lambda *_: self.show_epoch(epoch, 1.0),
                )
                scores = validated.loss, validated.accuracy
        val_loss, val_accuracy = self.processes.share(scores)

        return EpochRow(
            epoch=epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=self.learning_rate,
            seconds=time.monotonic() - started,
            data_seconds=batches.waited_s,
            rates=rates,
        )

    def show_epoch(self, epoch: int, share: float) -> None:
        """Report the epochs that are done, and the share of the current one, 0 to 1, without its validation."""
        self.callback.on_progress("epochs", epoch - 1 + share, self.settings.epochs)

    def _train(self, epoch: int, batches: Iterator[Batch]) -> tuple[float, float, dict[str, float]]:
        """Train on the training part once; return mean loss, accuracy, and the spike rates of the last batch."""
        self.network.train()
        totals = torch.zeros(3, dtype=torch.float64)
        with watch_rates(self.network) as rates:
            for number, batch in enumerate(batches, start=1):
                totals += self._train_on(batch, number)
                if not torch.isfinite(totals[0]):
                    raise self._nan_error(epoch, number)
                if epoch == number == 1:
                    self.callback.on_start(dict(rates))
                self.show_epoch(epoch, number / self.batches)

        # Each process has seen its part of the batches.
        loss_sum, correct, count = self.processes.sum(totals.to(self.processes.device)).cpu().tolist()
        return loss_sum / count, correct / count, rates

    def _train_on(self, batch: Batch, number: int) -> Tensor:
        """Make one optimiser step with this process's part of batch `number` of the epoch, from 1.

        Returns:
            Sum of losses, number of correct predictions, number of recordings, float64 [3].
        """
        settings = self.settings
        recordings = len(self.experiment.parts.train)
        batch_size = min(settings.batch, recordings - (number - 1) * settings.batch)  # over all processes

        # Gradients are averaged over the processes, so this process weighs its sum of losses by their number: together
        # they have the gradient of the mean over the batch.
        weight = self.processes.count / batch_size
        totals = torch.zeros(3, dtype=torch.float64)

        # At least 1, because the last batch may have no recordings for this process.
        part_size = math.ceil(len(batch.labels) / settings.accumulate) or 1
        for start in range(0, len(batch.labels), part_size):
            chosen = slice(start, start + part_size)
            part = Batch(batch.spikes[chosen], batch.targets[chosen], batch.labels[chosen])
            totals += self._add_gradients(part, weight)

        self._update_weights()
        self.learning_rate = self.optimiser.param_groups[0]["lr"]
        self.schedule.step()
        self.step += 1

        if self.average is not None:
            self.average.update_parameters(self.network)
        return totals

    def _update_weights(self) -> None:
        """Make an optimiser step with the accumulated gradients."""
        # Penalty and clipping need gradients without the factor of the scaler.
        self.processes.average_gradients(self.network)
        self.scaler.unscale_(self.optimiser)
        self._add_penalty()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_norm)

        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad()

    def _add_gradients(self, batch: Batch, weight: float) -> Tensor:
        """Accumulate the weighted gradients of some recordings; returns as `_train_on`."""
        settings = self.settings
        device = self.processes.device
        spikes = torch.from_numpy(batch.spikes).transpose(0, 1).to(device)
        targets = torch.from_numpy(batch.targets).to(device)

        def losses(outputs: Tensor) -> Tensor:
            return LOSSES[settings.loss](outputs.float(), targets, settings.label_smoothing)

        with round_weights(self.network, settings.weight_bits):
            outputs = self._apply_rule(spikes, lambda outputs: self.scaler.scale(losses(outputs).sum() * weight))

        predicted = outputs.mean(0).argmax(1).cpu().numpy()
        correct = int((predicted == batch.labels).sum())
        return torch.tensor([float(losses(outputs).sum()), correct, len(batch.labels)], dtype=torch.float64)

    def _apply_rule(self, spikes: Tensor, loss: Loss) -> Tensor:
        """Accumulate the gradients of a loss by the configured learning rule, and return the outputs."""
        settings = self.settings
        if self.rule is not None:
            return self.rule.update(spikes, loss)

        device = self.processes.device
        precision = PRECISIONS[settings.precision]
        is_reduced = settings.precision != "float32"

        def forward(spikes: Tensor, state: State | None) -> tuple[Tensor, State]:
            with torch.autocast(device.type, precision, enabled=is_reduced):
                output, state = self.network(spikes, state)
            return output, state

        if not self.segment_is_chosen:
            self.segment = self._choose_segment(spikes)
            self.segment_is_chosen = True

        rule = Bptt(self.network, steps=self.segment, truncate=settings.truncate, forward=forward)
        return rule.update(spikes, loss)

    def _choose_segment(self, spikes: Tensor) -> int | None:
        """Return the segment length that fits into memory, equal in all processes; None: all steps fit."""
        memory = memory_bytes(self.processes.device)
        if memory is None:
            return None

        # Processes on a CPU share its memory; on GPUs, each has its own.
        sharing = self.processes.count if self.processes.device.type == "cpu" else 1
        available = round(MEMORY_SHARE * memory) // sharing
        step_bytes = measure_graph(self.network, spikes)
        T = len(spikes)
        segment = self.processes.share(choose_segment(T, step_bytes, available))
        if segment is None:
            return None

        norms = "; batch norm normalises each segment by its own statistics" if find_norms(self.network) else ""
        self.callback.on_warning(
            f"segment = auto: the graph of {T} steps needs {T * step_bytes / GIB:.1f} GiB of "
            f"{memory / GIB:.1f} GiB memory; gradients are computed in segments of {segment} steps{norms}"
        )
        return segment

    def _add_penalty(self) -> None:
        """Add the gradient of the penalty that keeps neurons of a first-spike network active."""
        if isinstance(self.network, FirstSpikeNetwork) and self.network.keep_alive:
            for weight, gradient in self.network.penalty_gradients():
                assert weight.grad is not None
                weight.grad += gradient

    def _nan_error(self, epoch: int, number: int) -> ConfigError:
        saved = f" (the last finite weights are in {self.folder.last})" if self.folder.last.exists() else ""
        return ConfigError(
            f"the loss became NaN or infinite in epoch {epoch}, step {number}{saved}; lower learning_rate = "
            f"{self.settings.learning_rate:g}"
        )

    def _store(self, row: EpochRow) -> None:
        """Write the rows of all epochs, the weights, and last the state for resuming."""
        write_rows(self.rows, EpochRow, self.folder.epochs, self.folder.epochs_csv)
        if self.experiment.config.tensorboard:
            _append_to_tensorboard(self.folder.tensorboard, row)
        self._save(self.folder.last)

        average = {} if self.average is None else self.average.state_dict()
        optimiser = optimiser_tensors(self.optimiser)
        state = TrainingState(tuple(self.rows), self.step, self.network.state_dict(), average, optimiser)
        state.save(self.folder.state)

    def _restore(self, state: TrainingState) -> None:
        """Continue after the last complete epoch of an interrupted run."""
        self.step = state.step
        try:
            self.network.load_state_dict(state.network)
            if self.average is not None:
                self.average.load_state_dict(state.average)
            load_optimiser(self.optimiser, state.optimiser)
        except (KeyError, ValueError, RuntimeError) as error:
            found = " ".join(str(error).split())
            raise CheckpointError(f"{self.folder.state}: belongs to another network ({found})") from error

        self.schedule = build_schedule(self.settings, self.optimiser, self.batches, step=state.step)
        self.rows = list(state.rows)

    def warn_of_rates(self, row: EpochRow) -> None:
        """Warn of silent or saturated layers."""
        # Silent neurons of a first-spike network have no gradient: only the penalty makes them spike again.
        has_spike_times = isinstance(self.network, FirstSpikeNetwork)
        remedy = "raise keep_alive" if has_spike_times else "lower tau_mem_s"

        for name, rate in row.rates.items():
            if rate == 0:
                self.callback.on_warning(
                    f"epoch {row.epoch}: layer {name} is silent; raise gain or the learning rate, or {remedy}"
                )
            elif rate > SATURATED_RATE:
                self.callback.on_warning(
                    f"epoch {row.epoch}: layer {name} spikes in {rate:.0%} of all steps; lower gain or raise tau_mem_s"
                )


class _TimedIterator:
    """Iterator that measures the time spent waiting for items, in seconds."""

    def __init__(self, items: Iterator[Batch]) -> None:
        self.items = items
        self.waited_s = 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        started = time.monotonic()
        try:
            return next(self.items)
        finally:
            self.waited_s += time.monotonic() - started


def is_over(settings: OptimiserConfig, rows: Sequence[EpochRow]) -> bool:
    """Return whether the training ends: all epochs are done, or `patience` epochs brought no improvement."""
    waited = len(rows) - find_best(rows).epoch if rows else 0
    return len(rows) >= settings.epochs or (settings.patience is not None and waited >= settings.patience)


def choose_epoch(rows: Sequence[EpochRow], validated: int) -> EpochRow:
    """Choose the epoch whose weights are kept.

    It is the epoch with the best validation result, the last without a validation part. With fewer than FEW_CALIBRATED
    validation recordings, differences of a few recordings are chance; then it is the latest epoch with an accuracy
    inside the 95 % Wilson interval of the best epoch's accuracy.
    """
    best = find_best(rows)
    if best.val_accuracy is None or validated >= FEW_CALIBRATED:
        return best

    lowest, _ = wilson_interval(round(best.val_accuracy * validated), validated)
    return next(row for row in reversed(rows) if row.val_accuracy is not None and row.val_accuracy >= lowest)


def require_tensorboard() -> None:
    """Check that TensorBoard is installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "tensorboard = true: TensorBoard is not installed; pip install 'dvspipe[tensorboard]'"
        ) from error


def _append_to_tensorboard(folder: Path, row: EpochRow) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for name, value in row.cells().items():
            writer.add_scalar(name, value, row.epoch)
