"""Training of networks of kind `stdp`: one layer after the other without labels, then the readout."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..base.errors import ConfigError
from ..base.pool import prefetch
from ..datasets import BatchSettings, SpikeTensors, training_batches
from ..datasets.augmentation import SpikeTensor
from ..networks import IntegrateAndFire, SpikingNetwork, watch_rates
from ..results import EpochRow
from ..rules import Competition, convergence, train_convolution
from .evaluation import evaluate_network
from .logistic import fit_logistic
from .trainer import Trainer

Singles = NDArray[np.float32]
MIN_DEVIATION = 1e-6  # smaller deviations of a feature count as constant, and get the weight 0
ROUGH_RECORDINGS = 5_000  # for the readout while a layer before the last is trained


class FeatureTrainer(Trainer):
    """Trainer for networks of kind `stdp`. An epoch trains one layer on the training part and fits a new readout.

    Layers are trained in order, each except the last for `passes` epochs. The readout is a logistic regression on
    the means of the features over the steps. The network's readout is linear, so the means of its outputs are the
    logits of the regression. While a layer before the last is trained, the readout is fitted to at most
    `ROUGH_RECORDINGS`.
    """

    network: SpikingNetwork

    def run_epoch(self, epoch: int) -> EpochRow:
        """Train a layer on each training recording once, fit the readout, and return the row of the epoch."""
        if self.processes.count > 1:
            raise ConfigError("network = stdp: cannot train in several processes; start it without torchrun")

        started = time.monotonic()
        experiment = self.experiment
        self.network.eval()
        self._train_layer(epoch)
        with watch_rates(self.network) as spike_rates:
            features, labels = self._extract_features(epoch)

        loss, accuracy = fit_readout(self.network.linear, features, labels, c=experiment.config.readout_c)
        validation = experiment.parts.validation
        validated = validation and evaluate_network(self.network, validation, batch=self.settings.batch)

        return EpochRow(
            epoch=epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            val_loss=validated.loss if validated else None,
            val_accuracy=validated.accuracy if validated else None,
            learning_rate=self.learning_rate,
            seconds=time.monotonic() - started,
            data_seconds=0.0,
            rates=spike_rates,
            convergence={
                f"lif{number}": convergence(layer.weight) for number, layer in enumerate(self._layers(), start=1)
            },
        )

    def warn_of_rates(self, row: EpochRow) -> None:
        """Warn of silent layers."""
        for name, rate in row.rates.items():
            if rate == 0:
                self.callback.on_warning(f"epoch {row.epoch}: layer {name} is silent; lower thresholds")

    def _layers(self) -> list[IntegrateAndFire]:
        return [module for module in self.network.modules() if isinstance(module, IntegrateAndFire)]

    def _trained_layer(self, epoch: int) -> int:
        """Return the index of the layer that an epoch trains, from 0."""
        return min((epoch - 1) // self.experiment.config.passes, len(self._layers()) - 1)

    def _train_layer(self, epoch: int) -> None:
        """Train the layer of an epoch on each training recording once."""
        config = self.experiment.config
        tensors = self.experiment.parts.train
        index = self._trained_layer(epoch)
        layer = self._layers()[index]

        # The rates of STDP depend on the recordings that this layer has seen, also in its earlier epochs.
        seen = (epoch - 1 - index * config.passes) * len(tensors)
        competition = Competition(
            config.thresholds[index], config.winners[index], config.radius[index], layer.geometry.padding
        )

        settings = BatchSettings(self.settings.batch, config, self.experiment.classifier.classes, config.seed)
        for number, batch in enumerate(training_batches(tensors, settings, epoch), start=1):
            with torch.no_grad():
                spikes = self.network.run_layers(torch.from_numpy(batch.spikes).transpose(0, 1), index)

            learning_rates = config.rates(seen, len(batch.labels))
            weight, _ = train_convolution(layer.weight, spikes.transpose(0, 1), learning_rates, competition)
            layer.weight.copy_(weight)

            seen += len(batch.labels)
            self.step += 1
            self.learning_rate = float(learning_rates[-1, 0])
            self.show_epoch(epoch, number / self.batches)

    def _extract_features(self, epoch: int) -> tuple[Singles, NDArray[np.int64]]:
        """Return the features of all views of the training recordings, float32 [N, F], and their labels [N]."""
        # The same permutation in every epoch: the readout of ROUGH_RECORDINGS sees the same ones each time.
        tensors = self.experiment.parts.train
        chosen = np.random.default_rng(0).permutation(len(tensors))
        if self._trained_layer(epoch) < len(self._layers()) - 1:
            chosen = chosen[:ROUGH_RECORDINGS]

        size = self.settings.batch
        views = len(tensors[0])
        features = np.empty((len(chosen) * views, self.network.linear.in_features), np.float32)
        starts = range(0, len(chosen), size)

        # The views of the next recordings are stacked in a thread while the network runs.
        stacks = prefetch((_stack_views(tensors, chosen[start : start + size]) for start in starts), 2)
        for start, spikes in zip(starts, stacks, strict=True):
            with torch.no_grad():
                means = self.network.run_layers(torch.from_numpy(spikes).transpose(0, 1)).mean(0).flatten(1)
            features[start * views : start * views + len(means)] = means.cpu().numpy()
            self.show_epoch(epoch, 1.0)

        return features, tensors.labels[chosen].repeat(views)


def _stack_views(tensors: SpikeTensors, recordings: NDArray[np.int64]) -> SpikeTensor:
    """Stack all views of some recordings, [B, T, C, H, W]."""
    joined: SpikeTensor = np.concatenate([tensors[recording] for recording in recordings.tolist()])
    return joined


def fit_readout(linear: nn.Linear, features: Singles, labels: NDArray[np.int64], *, c: float) -> tuple[float, float]:
    """Fit a logistic regression and store it in a linear layer; return its mean cross-entropy and its accuracy.

    The features [N, F] are overwritten. `c` is as in `fit_logistic`.
    """
    # Standardise the features; constant ones become 0, and get the weight 0.
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > MIN_DEVIATION, 1 / np.maximum(deviation, MIN_DEVIATION), 0)
    features -= mean.astype(np.float32)
    features *= scale.astype(np.float32)

    inputs = torch.from_numpy(features)
    targets = torch.from_numpy(labels)
    fitted = fit_logistic(inputs, targets, linear.out_features, c=c)
    weight, bias = fitted[:, :-1], fitted[:, -1]
    logits = inputs @ weight.T + bias

    # w (x - mean) scale + b = (w scale) x + (b - w scale mean): the layer takes features that are not standardised.
    scaled = weight.double() * torch.from_numpy(scale)
    with torch.no_grad():
        linear.weight.copy_(scaled)
        linear.bias.copy_(bias - scaled @ torch.from_numpy(mean))

    accuracy = (logits.argmax(1) == targets).double().mean()
    return float(nn.functional.cross_entropy(logits, targets)), float(accuracy)
