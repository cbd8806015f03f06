"""Personal adaptation in a run: the readout of a trained network is fitted, in one step, and all else stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..checkpoints.checkpoint import Checkpoint, ClassifierConfig
from ..datasets import DataSet, DecodedEvents, Sample, open_dataset, plain_batches
from ..learning import (
    ReadoutFit,
    find_features,
    find_readout,
    fit_readout,
    read_features,
    replace_readout,
    require_linear,
)
from ..networks import Network, SpikingNetwork, watch_rates
from ..results import EpochRow, RunFolder, write_rows
from .config import TrainConfig
from .trainer import Experiment


class ReadoutTrainer:
    """What fits the readout of a trained network to the training part.

    Args:
        experiment: Configuration and data; the validation part is not used.
        network: The trained network, on the device of this process.
        folder: Gets the weights and a row, as for a run of one epoch.
        init: The trained network as it was, with the moments of its training.
        save: Writes the network to a file.
    """

    step = 1  # of the optimiser, as of `Trainer`

    def __init__(
        self,
        experiment: Experiment,
        network: Network,
        folder: RunFolder,
        init: Checkpoint,
        save: Callable[[Path, nn.Module], None],
    ) -> None:
        self.init = init
        self.experiment, self.folder, self.save = experiment, folder, save
        self.network = require_linear(network)
        self.rows: list[EpochRow] = []

    def fit(self) -> EpochRow:
        """Fit the readout, write the weights, and return the row; its validation is that of recordings left out."""
        started, experiment = time.monotonic(), self.experiment
        with watch_rates(self.network) as rates:
            features = read_training_features(experiment, self.network)
        labels = torch.from_numpy(experiment.parts.train.labels)
        fit = fit_readout(
            features,
            labels,
            find_readout(self.network),
            recordings=number_recordings(experiment.data.train),
            classes=self._find_features(labels),
            temperature=experiment.classifier.temperature,
        )
        replace_readout(self.network, fit.readout)
        row = _describe(fit, features, labels, rates, time.monotonic() - started)
        self.rows = [row]
        if experiment.processes.is_first:
            self.save(self.folder.best, self.network)
            self.save(self.folder.last, self.network)
            write_rows(self.rows, EpochRow, jsonl=self.folder.epochs, csv_path=self.folder.epochs_csv)
        experiment.callback.on_epoch(row)
        return row

    def _find_features(self, labels: torch.Tensor) -> torch.Tensor | None:
        """Return the mean features of the classes in the training of `init`; None for other classes."""
        classes = self.experiment.classifier.classes
        if classes != self.init.config.classes:
            return None
        return find_features(self.init.moments, labels, classes, str(self.experiment.config.init))


def read_training_features(experiment: Experiment, network: SpikingNetwork) -> torch.Tensor:
    """Return the features [N, F + 1] of the last layer for the training part, without varied forms."""
    tensors, device = experiment.parts.train, experiment.processes.device
    features = []
    for spikes in plain_batches(tensors, experiment.config.optimiser.batch):
        features.append(read_features(network, torch.from_numpy(spikes).transpose(0, 1).to(device)))
        experiment.callback.on_progress("readout", sum(map(len, features)), len(tensors))
    return torch.cat(features)


def fit_new_readout(experiment: Experiment, network: SpikingNetwork) -> None:
    """Fit a new last layer to the training part, before all layers are fine-tuned.

    Random weights would first distort what the other layers have learned (Kumar et al., "Fine-tuning can distort
    pretrained features and underperform out-of-distribution", ICLR 2022).
    """
    fit = fit_readout(
        read_training_features(experiment, network),
        torch.from_numpy(experiment.parts.train.labels),
        torch.zeros_like(find_readout(network)),
        recordings=number_recordings(experiment.data.train),
    )
    replace_readout(network, fit.readout)


def _describe(
    fit: ReadoutFit, features: torch.Tensor, labels: torch.Tensor, rates: dict[str, float], seconds: float
) -> EpochRow:
    logits = features @ fit.readout.T
    return EpochRow(
        epoch=1,
        train_loss=float(nn.functional.cross_entropy(logits, labels)),
        train_accuracy=float((logits.argmax(1) == labels).double().mean()),
        val_loss=float(nn.functional.cross_entropy(fit.left_out, labels)),
        val_accuracy=float((fit.left_out.argmax(1) == labels).double().mean()),
        learning_rate=0.0,
        seconds=seconds,
        data_seconds=0.0,
        rates=dict(rates),
    )


def number_recordings(samples: Sequence[Sample]) -> torch.Tensor:
    """Return which recording each sample is of, int64 [N]; the windows of a file are of one."""
    names = [str(sample.file or sample.name) for sample in samples]
    return torch.from_numpy(np.unique(names, return_inverse=True)[1].astype(np.int64))


def open_recordings(config: TrainConfig, classes: tuple[str, ...], decoded: DecodedEvents | None = None) -> DataSet:
    """Return the data set of a configuration without a validation part.

    Args:
        config: The experiment.
        classes: Those of the checkpoint. The data set has them too if they include its own, which few recordings often
            show in part.
        decoded: Events of recordings that are in memory.

    Raises:
        DataError: The data set is not usable.
    """
    data = open_dataset(config.data.with_shares({"validation": 0.0}), config.seed, config.bins, decoded=decoded)
    if not set(data.classes) <= set(classes):
        return replace(data, train=(*data.train, *data.validation), validation=())

    def adopt(samples: Sequence[Sample]) -> tuple[Sample, ...]:
        return tuple(replace(sample, label=classes.index(data.classes[sample.label])) for sample in samples)

    train, test = adopt((*data.train, *data.validation)), adopt(data.test)
    return replace(data, classes=classes, train=train, validation=(), test=test)


def start_readout(classifier: ClassifierConfig, before: ClassifierConfig, network: Network) -> ClassifierConfig:
    """Return a classifier with the calibration of another, which few recordings cannot fit.

    For other classes, the last layer of the network is set to zero, and only the temperature is kept.

    Args:
        classifier: What is fitted.
        before: The classifier whose layers it has.
        network: Its network.
    """
    if classifier.classes == before.classes:
        kept = {name: getattr(before, name) for name in ("temperature", "calibrated_on", "least_energy")}
        return classifier.model_copy(update=kept)
    linear = require_linear(network)
    replace_readout(linear, torch.zeros_like(find_readout(linear)))
    return classifier.model_copy(update={"temperature": before.temperature})
