"""Training loop over epochs and steps: gradients, optimiser, validation, and the files of each epoch.

`Trainer.fit` runs all epochs, and selects one of them (`choose_epoch`). An epoch makes
one optimiser step per batch, then validates. In a step, the learning rule computes the gradients of the batch, and
the optimiser updates the weights. After each epoch, the first process stores rows, weights and `TrainingState`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..base.errors import CheckpointError, ConfigError
from ..base.progress import NamedStep, Progress
from ..checkpoints.checkpoint import FEW_CALIBRATED, Checkpoint, ClassifierConfig, save_checkpoint
from ..datasets import Batch, BatchSettings, DataSet, SpikeTensors, training_batches
from ..networks import watch_rates
from ..results import EpochRow, RunFolder, find_best, wilson_interval, write_rows
from ..rules import build_rule
from .config import TrainConfig
from .evaluation import evaluate_network
from .norms import estimate_statistics, fit_gains, fit_last_layer
from .processes import TrainingProcesses
from .resuming import TrainingState, load_optimiser, optimiser_tensors
from .schedule import build_average, build_schedule, find_losses

SEED_STRIDE = 1_000_003  # distance between the seeds of two runs; larger than any number of epochs
CLIP_NORM = 1.0  # maximum norm of the gradient; larger gradients are scaled down

OnEpoch = Callable[[EpochRow], object]
"""Callback called when an epoch is complete and stored."""

log = logging.getLogger(__package__)


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
        on_epoch: Callback called when an epoch is complete and stored.
        progress: Callback with the amount done of each stage and its total.
    """

    config: TrainConfig
    folder: RunFolder
    init: Checkpoint | None
    own: nn.Module | None
    processes: TrainingProcesses
    on_epoch: OnEpoch | None
    progress: Progress

    def stage(self, name: str) -> Progress:
        """Return the progress callback of a stage."""
        return NamedStep(self.progress, name)


@dataclass(frozen=True)
class Experiment(RunSetup):
    """Setup of a run with its data."""

    data: DataSet
    classifier: ClassifierConfig
    parts: DataParts


class Trainer:
    """Network in training, with its optimiser, schedule and moving average."""

    def __init__(self, experiment: Experiment, network: nn.Module) -> None:
        config = experiment.config
        self.experiment = experiment
        self.config = config
        self.processes = experiment.processes
        self.folder = experiment.folder
        self.network = network
        self.average = build_average(network, config.ema) if config.ema else None

        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.batches = math.ceil(len(experiment.parts.train) / config.batch)
        self.schedule = build_schedule(config, self.optimiser, self.batches)
        self.rule = build_rule(config.rule, network, segment=config.segment, seed=config.seed)

        self.step = 0  # optimiser steps so far
        self.learning_rate = config.learning_rate  # rate of the last step
        self.rows: list[EpochRow] = []

    def fit(self, state: TrainingState | None) -> EpochRow:
        """Run all epochs, or the remaining epochs of an interrupted run; return the metrics of the selected epoch."""
        if state is not None:
            self._restore(state)
        elif self.experiment.init is None:
            fit_gains(self.network, self.experiment.parts.train, batch=self.config.batch)
        elif self.experiment.init.config.classes != self.experiment.classifier.classes:
            assert isinstance(self.network, nn.Sequential)
            fit_last_layer(self.network, self.experiment.parts.train, batch=self.config.batch)

        validation = self.experiment.parts.validation
        validation_samples = 0 if validation is None else len(validation)
        while len(self.rows) < self.config.epochs:
            row = self.run_epoch(len(self.rows) + 1)
            self.rows.append(row)

            # The state is stored last, so a resumed run finds the weights of all its epochs.
            if self.processes.is_first:
                if choose_epoch(self.rows, validation_samples) is row:
                    self._save(self.folder.best)
                self._store()
            self._report(row)

        return choose_epoch(self.rows, validation_samples)

    def _report(self, row: EpochRow) -> None:
        kind = " (synthetic)" if self.experiment.data.synthetic else ""
        validated = "" if row.val_accuracy is None else f"validation {row.val_accuracy:.1%}{kind}, "
        log.info(
            "epoch %d: loss %.3f, accuracy %.1f %%, %s%.1f s",
            row.epoch,
            row.train_loss,
            100 * row.train_accuracy,
            validated,
            row.seconds,
        )
        if self.experiment.on_epoch is not None and self.processes.is_first:
            self.experiment.on_epoch(row)

    @property
    def evaluated(self) -> nn.Module:
        """Network to evaluate and store: the moving average, if there is one."""
        network: nn.Module = self.network if self.average is None else self.average.module
        return network

    def _save(self, path: Path) -> None:
        save_checkpoint(path, self.experiment.classifier, self.evaluated)

    def run_epoch(self, epoch: int) -> EpochRow:
        """Train on the training part once, validate if there is a part for it, and return the row of the epoch."""
        started = time.monotonic()
        config = self.config
        parts = self.experiment.parts

        # The seed of dropout depends on the epoch, not on how many epochs this process has run: a resumed run draws
        # the same numbers.
        torch.manual_seed(config.seed * SEED_STRIDE + epoch)
        loss, accuracy, rates = self._train(epoch)

        # The first process stores the network and validates it; the others get its scores.
        scores: tuple[float, float] | tuple[None, None] = (None, None)
        if self.processes.is_first:
            estimate_statistics(self.evaluated, parts.train, batch=config.batch, segment=config.segment)
            if parts.validation is not None:
                validated = evaluate_network(
                    self.evaluated,
                    parts.validation,
                    batch=config.batch,
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
            rates=rates,
        )

    def show_epoch(self, epoch: int, share: float) -> None:
        """Report the epochs that are done, and the share of the current one, 0 to 1, without its validation."""
        self.experiment.stage("epochs")(epoch - 1 + share, self.config.epochs)

    def _train(self, epoch: int) -> tuple[float, float, dict[str, float]]:
        """Train on the training part once; return mean loss, accuracy, and the spike rates of the last batch."""
        experiment = self.experiment
        settings = BatchSettings(
            size=self.config.batch,
            augment=self.config,
            classes=experiment.classifier.classes,
            seed=self.config.seed,
            processes=self.processes.count,
            rank=self.processes.rank,
        )

        self.network.train()
        totals = torch.zeros(3, dtype=torch.float64)
        with watch_rates(self.network) as rates:
            for number, batch in enumerate(training_batches(experiment.parts.train, settings, epoch), start=1):
                totals += self._train_on(batch, number)
                if not torch.isfinite(totals[0]):
                    raise ConfigError(
                        f"the loss became NaN or infinite in epoch {epoch}, step {number}; lower learning_rate = "
                        f"{self.config.learning_rate:g}"
                    )
                self.show_epoch(epoch, number / self.batches)

        # Each process has seen its part of the batches.
        loss_sum, correct, count = self.processes.sum(totals.to(self.processes.device)).cpu().tolist()
        return loss_sum / count, correct / count, rates

    def _train_on(self, batch: Batch, number: int) -> Tensor:
        """Make one optimiser step with this process's part of batch `number` of the epoch, from 1.

        Returns:
            Sum of losses, number of correct predictions, number of recordings, float64 [3].
        """
        config = self.config
        device = self.processes.device
        spikes = torch.from_numpy(batch.spikes).transpose(0, 1).to(device)
        targets = torch.from_numpy(batch.targets).to(device)

        # Gradients are averaged over the processes, so this process weighs its sum of losses by their number: together
        # they have the gradient of the mean over the batch.
        left = len(self.experiment.parts.train) - (number - 1) * config.batch
        weight = self.processes.count / min(config.batch, left)

        def sum_losses(outputs: Tensor) -> Tensor:
            return find_losses(outputs.float(), targets, config).sum()

        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            outputs = self.rule.update(spikes, lambda outputs: sum_losses(outputs) * weight)
        self._update_weights()

        predicted = outputs.mean(0).argmax(1).cpu().numpy()
        correct = int((predicted == batch.labels).sum())
        return torch.tensor([float(sum_losses(outputs)), correct, len(batch.labels)], dtype=torch.float64)

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
        self.rows = list(state.rows)
        try:
            self.network.load_state_dict(state.part("network"))
            if self.average is not None:
                self.average.load_state_dict(state.part("average"))
            load_optimiser(self.optimiser, state.part("optimiser"))
        except (KeyError, ValueError, RuntimeError) as error:
            found = " ".join(str(error).split())
            raise CheckpointError(f"{self.folder.state}: belongs to another network ({found})") from error
        self.schedule = build_schedule(self.config, self.optimiser, self.batches, step=state.step)


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
