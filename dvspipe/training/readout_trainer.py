"""Personal adaptation as a run: fit only the readout of a trained network, in one pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..checkpoints.checkpoint import ClassifierConfig
from ..datasets import DataSet, DecodedEvents, Sample, open_dataset, plain_batches
from ..networks import Network, SpikingNetwork, watch_rates
from ..results import EpochRow, write_rows
from ..rules import (
    ReadoutFit,
    find_features,
    find_readout,
    fit_readout,
    read_features,
    replace_readout,
    require_linear,
)
from .config import TrainConfig
from .trainer import Experiment


class ReadoutTrainer:
    """Trainer that fits only the readout of a trained network; the run has one row, like a run of one epoch."""

    step = 1  # optimiser steps, as in `Trainer`

    def __init__(self, experiment: Experiment, network: Network, save: Callable[[Path, nn.Module], None]) -> None:
        self.experiment = experiment
        self.folder = experiment.folder
        self.save = save
        self.network = require_linear(network)
        self.rows: list[EpochRow] = []

    def fit(self) -> EpochRow:
        """Fit the readout, write the weights, and return the row; its validation uses the recordings left out."""
        started = time.monotonic()
        experiment = self.experiment

        with watch_rates(self.network) as rates:
            features = read_training_features(experiment, self.network)

        labels = torch.from_numpy(experiment.parts.train.labels)
        fit = fit_readout(
            features,
            labels,
            find_readout(self.network),
            recordings=number_recordings(experiment.data.train),
            classes=self._find_class_means(labels),
            temperature=experiment.classifier.temperature,
        )

        replace_readout(self.network, fit.readout)
        row = _make_row(fit, features, labels, rates, time.monotonic() - started)
        self.rows = [row]

        if experiment.processes.is_first:
            self.save(self.folder.best, self.network)
            self.save(self.folder.last, self.network)
            write_rows(self.rows, EpochRow, jsonl=self.folder.epochs, csv_path=self.folder.epochs_csv)

        experiment.callback.on_epoch(row)
        return row

    def _find_class_means(self, labels: torch.Tensor) -> torch.Tensor | None:
        """Return the mean features per class from the training of `init`; None if the classes differ."""
        classes = self.experiment.classifier.classes
        init = self.experiment.init
        if init is None or classes != init.config.classes:
            return None

        return find_features(init.moments, labels, classes, str(self.experiment.config.init))


def read_training_features(experiment: Experiment, network: SpikingNetwork) -> torch.Tensor:
    """Return the last layer's features of the training part, [N, F + 1], without augmented views."""
    tensors = experiment.parts.train
    device = experiment.processes.device
    features = []
    for spikes in plain_batches(tensors, experiment.config.optimiser.batch):
        features.append(read_features(network, torch.from_numpy(spikes).transpose(0, 1).to(device)))
        experiment.callback.on_progress("readout", sum(map(len, features)), len(tensors))

    return torch.cat(features)


def fit_new_readout(experiment: Experiment, network: SpikingNetwork) -> None:
    """Fit a new last layer to the training part before all layers are fine-tuned.

    A random last layer would first distort the features of the other layers (Kumar et al., "Fine-tuning can distort
    pretrained features and underperform out-of-distribution", ICLR 2022).
    """
    fit = fit_readout(
        read_training_features(experiment, network),
        torch.from_numpy(experiment.parts.train.labels),
        torch.zeros_like(find_readout(network)),
        recordings=number_recordings(experiment.data.train),
    )

    replace_readout(network, fit.readout)


def _make_row(
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
    """Return the recording number of each sample, int64 [N]; windows of a file share a number."""
    names = [str(sample.file or sample.name) for sample in samples]

    return torch.from_numpy(np.unique(names, return_inverse=True)[1].astype(np.int64))


def open_recordings(config: TrainConfig, classes: tuple[str, ...], decoded: DecodedEvents | None = None) -> DataSet:
    """Open the data set of a configuration without a validation part."""
    data = open_dataset(config.data.with_shares({"validation": 0.0}), config.seed, config.bins, decoded=decoded)
    joined = replace(data, train=(*data.train, *data.validation), validation=())

    # Other classes need a new readout, so the labels stay the numbers of the data set. A user may have recorded only
    # some of the classes: labels are then numbers in the list of the network.
    return joined.with_classes(classes) if set(data.classes) <= set(classes) else joined


def start_readout(classifier: ClassifierConfig, before: ClassifierConfig, network: Network) -> ClassifierConfig:
    """Return a classifier with the calibration of another one, because few recordings cannot fit it.

    If the classes differ, set the last layer of the network to zero, and keep only the temperature.
    """
    if classifier.classes == before.classes:
        calibration = {name: getattr(before, name) for name in ("temperature", "calibrated_on", "least_energy")}
        return classifier.model_copy(update=calibration)

    linear = require_linear(network)
    replace_readout(linear, torch.zeros_like(find_readout(linear)))
    return classifier.model_copy(update={"temperature": before.temperature})
