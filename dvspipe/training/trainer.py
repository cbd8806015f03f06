"""Training loop over epochs and steps: gradients, optimiser, validation, and the files of each epoch.

`Trainer.fit` runs all epochs, and selects one of them (`choose_epoch`). An epoch makes
one optimiser step per batch, then validates. In a step, the learning rule computes the gradients of the batch, and
the optimiser updates the weights. After each epoch, the first process stores rows, weights and `TrainingState`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..base.errors import CheckpointError, ConfigError
from ..checkpoints.checkpoint import FEW_CALIBRATED, Checkpoint, ClassifierConfig, save_checkpoint
from ..datasets import Batch, BatchSettings, DataSet, SpikeTensors, training_batches
from ..networks import watch_rates
from ..networks.rounding import round_weights
from ..results import EpochRow, RunFolder, find_best, wilson_interval, write_rows
from ..rules import build_rule
from .callback import TrainingCallback
from .config import TrainConfig
from .evaluation import evaluate_network
from .norms import estimate_statistics, fit_gains, fit_last_layer
from .processes import TrainingProcesses
from .resuming import TrainingState, load_optimiser, optimiser_tensors
from .schedule import LOSSES, build_average, build_optimiser, build_schedule

SEED_STRIDE = 1_000_003  # distance between the seeds of two runs; larger than any number of epochs
SATURATED_RATE = 0.5  # spikes per neuron and step
CLIP_NORM = 1.0  # maximum norm of the gradient; larger gradients are scaled down


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
        own: The user's own network; None: the network of the configuration.
    """

    config: TrainConfig
    folder: RunFolder
    init: Checkpoint | None
    own: nn.Module | None
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

    def __init__(self, experiment: Experiment, network: nn.Module) -> None:
        self.experiment = experiment
        self.settings = experiment.config
        self.processes = experiment.processes
        self.callback = experiment.callback
        self.network = network
        self.folder = experiment.folder
        self.average = build_average(network, self.settings.ema) if self.settings.ema else None

        self.optimiser = build_optimiser(self.settings, network)
        self.batches = math.ceil(len(experiment.parts.train) / self.settings.batch)
        self.schedule = build_schedule(self.settings, self.optimiser, self.batches)

        self.rule = build_rule(self.settings.rule, network, segment=self.settings.segment, seed=experiment.config.seed)

        self.step = 0  # optimiser steps so far
        self.learning_rate = self.settings.learning_rate  # rate of the last step
        self.rows: list[EpochRow] = []

    def fit(self, state: TrainingState | None) -> EpochRow:
        """Run all epochs, or the remaining epochs of an interrupted run; return the metrics of the selected epoch."""
        if state is not None:
            self._restore(state)
        elif self.experiment.init is None:
            fit_gains(self.network, self.experiment.parts.train, batch=self.settings.batch)
        elif self.experiment.init.config.classes != self.experiment.classifier.classes:
            assert isinstance(self.network, nn.Sequential)
            fit_last_layer(self.network, self.experiment.parts.train, batch=self.settings.batch)

        validation = self.experiment.parts.validation
        validation_samples = 0 if validation is None else len(validation)
        while len(self.rows) < self.settings.epochs:
            row = self.run_epoch(len(self.rows) + 1)
            self.rows.append(row)

            # The state is stored last, so a resumed run finds the weights of all its epochs.
            if self.processes.is_first:
                if choose_epoch(self.rows, validation_samples) is row:
                    self._save(self.folder.best)
                self._store()

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
            save_checkpoint(path, self.experiment.classifier, network)

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

        # The first process stores the network and validates it; the others get its scores.
        scores: tuple[float, float] | tuple[None, None] = (None, None)
        if self.processes.is_first:
            with self._evaluated_network() as network:
                estimate_statistics(network, experiment.parts.train, batch=settings.batch, segment=settings.segment)
                if experiment.parts.validation is not None:
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
        spikes = torch.from_numpy(batch.spikes).transpose(0, 1).to(self.processes.device)
        targets = torch.from_numpy(batch.targets).to(self.processes.device)

        # Gradients are averaged over the processes, so this process weighs its sum of losses by their number: together
        # they have the gradient of the mean over the batch.
        left = len(self.experiment.parts.train) - (number - 1) * settings.batch
        weight = self.processes.count / min(settings.batch, left)

        def losses(outputs: Tensor) -> Tensor:
            return LOSSES[settings.loss](outputs.float(), targets, settings.label_smoothing)

        with round_weights(self.network, settings.weight_bits):
            is_reduced = settings.precision == "bfloat16"
            with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=is_reduced):
                outputs = self.rule.update(spikes, lambda outputs: losses(outputs).sum() * weight)
        self._update_weights()

        predicted = outputs.mean(0).argmax(1).cpu().numpy()
        correct = int((predicted == batch.labels).sum())
        return torch.tensor([float(losses(outputs).sum()), correct, len(batch.labels)], dtype=torch.float64)

    def _update_weights(self) -> None:
        """Make an optimiser step with the gradients of a batch."""
        self.processes.average_gradients(self.network)
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        self.optimiser.step()
        self.optimiser.zero_grad()

        self.learning_rate = self.optimiser.param_groups[0]["lr"]
        self.schedule.step()
        self.step += 1
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _nan_error(self, epoch: int, number: int) -> ConfigError:
        saved = f" (the last finite weights are in {self.folder.last})" if self.folder.last.exists() else ""
        return ConfigError(
            f"the loss became NaN or infinite in epoch {epoch}, step {number}{saved}; lower learning_rate = "
            f"{self.settings.learning_rate:g}"
        )

    def _store(self) -> None:
        """Write the rows of all epochs, the weights, and last the state to resume from."""
        write_rows(self.rows, EpochRow, self.folder.epochs, self.folder.epochs_csv)
        self._save(self.folder.last)

        parts = {"network": self.network.state_dict(), "optimiser": optimiser_tensors(self.optimiser)}
        if self.average is not None:
            parts["average"] = self.average.state_dict()
        tensors = {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.items()}
        TrainingState(tuple(self.rows), self.step, tensors).save(self.folder.state)

    def _restore(self, state: TrainingState) -> None:
        """Continue after the last complete epoch of an interrupted run."""
        self.step = state.step
        try:
            self.network.load_state_dict(state.part("network"))
            if self.average is not None:
                self.average.load_state_dict(state.part("average"))
            load_optimiser(self.optimiser, state.part("optimiser"))
        except (KeyError, ValueError, RuntimeError) as error:
            found = " ".join(str(error).split())
            raise CheckpointError(f"{self.folder.state}: belongs to another network ({found})") from error

        self.schedule = build_schedule(self.settings, self.optimiser, self.batches, step=state.step)
        self.rows = list(state.rows)

    def warn_of_rates(self, row: EpochRow) -> None:
        """Warn of silent or saturated layers."""
        for name, rate in row.rates.items():
            if rate == 0:
                self.callback.on_warning(
                    f"epoch {row.epoch}: layer {name} is silent; raise the learning rate, or lower tau_mem_s"
                )
            elif rate > SATURATED_RATE:
                self.callback.on_warning(
                    f"epoch {row.epoch}: layer {name} spikes in {rate:.0%} of all steps; raise tau_mem_s"
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
