"""Training of networks of kind `stdp`: one layer after the other without labels, then the readout."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets import BatchSettings, training_batches
from ..datasets.augmentation import SpikeTensor
from ..networks import IntegrateAndFire, watch_rates
from ..results import EpochRow
from ..rules import Competition, convergence, train_convolution
from .evaluation import evaluate_network
from .logistic import fit_readout
from .norms import draw_recordings
from .trainer import Trainer

ROUGH_RECORDINGS = 5_000  # for the readout while a layer before the last is trained


class FeatureTrainer(Trainer):
    """Trainer for networks of kind `stdp`. An epoch trains one layer on the training part and fits a new readout.

    Layers are trained in order, each except the last for `passes` epochs. The readout is a logistic regression on
    the means of the features over the steps. The network's readout is linear, so the means of its outputs are the
    logits of the regression. While a layer before the last is trained, the readout is fitted to at most
    `ROUGH_RECORDINGS`.
    """

    def run_epoch(self, epoch: int) -> EpochRow:
        """Train a layer on each training recording once, fit the readout, and return the row of the epoch."""
        started = time.monotonic()
        self.network.eval()
        with torch.no_grad():
            self._train_layer(epoch)
            with watch_rates(self.network) as spike_rates:
                features, labels = self._extract_features(epoch)

        *_, readout = self.network.children()
        assert isinstance(readout, nn.Linear)
        loss, accuracy = fit_readout(readout, features, labels)
        validation = self.experiment.parts.validation
        validated = None
        if validation is not None:
            validated = evaluate_network(self.network, validation, batch=self.config.batch)

        return EpochRow(
            epoch=epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            val_loss=validated.loss if validated else None,
            val_accuracy=validated.accuracy if validated else None,
            learning_rate=self.learning_rate,
            seconds=time.monotonic() - started,
            rates=spike_rates,
            convergence={f"lif{k}": convergence(layer.weight) for k, layer in enumerate(self._layers, start=1)},
        )

    @property
    def _layers(self) -> list[IntegrateAndFire]:
        return [module for module in self.network.modules() if isinstance(module, IntegrateAndFire)]

    def _find_layer_index(self, epoch: int) -> int:
        """Return the index of the layer that an epoch trains, from 0."""
        return min((epoch - 1) // self.config.passes, len(self._layers) - 1)

    def _train_layer(self, epoch: int) -> None:
        """Train the layer of an epoch on each training recording once."""
        config = self.config
        tensors = self.experiment.parts.train
        index = self._find_layer_index(epoch)
        *previous, layer = self._layers[: index + 1]

        # The rates of STDP depend on the recordings that this layer has seen, also in its earlier epochs.
        seen = (epoch - 1 - index * config.passes) * len(tensors)
        competition = Competition(config.thresholds[index], config.winners[index], config.radius[index], layer.padding)

        settings = BatchSettings(config.batch, config, self.experiment.classifier.classes, config.seed)
        for number, batch in enumerate(training_batches(tensors, settings, epoch), start=1):
            spikes = _run_layers(previous, batch.spikes)
            rates = config.rates(seen, len(batch.labels))
            layer.weight.copy_(train_convolution(layer.weight, spikes, rates, competition))

            seen += len(batch.labels)
            self.step += 1
            self.learning_rate = rates[-1]
            self.show_epoch(epoch, number / self.batches)

    def _extract_features(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Return the features of all views of the training recordings, float32 [N, F], and their labels [N]."""
        # The same permutation in every epoch: the readout of ROUGH_RECORDINGS sees the same ones each time.
        tensors = self.experiment.parts.train
        is_rough = self._find_layer_index(epoch) < len(self._layers) - 1
        chosen = draw_recordings(tensors, ROUGH_RECORDINGS if is_rough else len(tensors))

        features = []
        for start in range(0, len(chosen), self.config.batch):
            views = np.concatenate([tensors[number] for number in chosen[start : start + self.config.batch]])
            features.append(_run_layers(self._layers, views).mean(0).flatten(1))
            self.show_epoch(epoch, 1.0)  # a progress callback may stop the training

        labels = tensors.labels[chosen].repeat(len(tensors[0]))
        return torch.cat(features), torch.from_numpy(labels)


def _run_layers(layers: list[IntegrateAndFire], spikes: SpikeTensor) -> Tensor:
    """Run layers on recordings [B, T, C, H, W]; return the output of the last one, [T, B, ...]."""
    values = torch.from_numpy(spikes).transpose(0, 1)
    for layer in layers:
        values = layer(values)
    return values
