"""Compile a trained classifier to integers, and measure what it loses on recordings.

`quantise` compiles the network, runs the original and the integers on the same recordings, and returns a `Quantisation`
that compares both, with the size and activity of each layer (`measure_layers`). The compilation itself is in
`compilation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..base.errors import Brief, ConfigError, DataError
from ..base.files import check_output
from ..base.progress import NamedStep, Progress, ignore_progress
from ..base.texts import Described, TextTable
from ..datasets import (
    DataConfig,
    Sample,
    SpikeTensors,
    TensorSettings,
    folder_config,
    open_cache,
    plain_batches,
)
from ..results import CHECKPOINT_SUFFIX, EvaluatedPart
from ..training.evaluation import evaluate_network, open_evaluation
from .classifier import IntegerClassifier
from .compilation import WEIGHT_BITS, compile_network, list_compilable, measure_changes
from .network import INTEGRATOR_BYTES, IntegerNetwork, run, run_integers

MAX_CALIBRATION = 64  # recordings; more do not change the scales noticeably
BATCH = 16
WEIGHT_BIT_COUNTS = range(2, 9)
"""Numbers of bits that a weight can have; it is stored as int8."""


@dataclass(frozen=True)
class CompiledLayer:
    """A layer in integers: its size, and its activity on recordings.

    Args:
        name: `lif1`, `lif2`, ... or `readout`.
        weight_bytes: Bytes of weights, biases and thresholds.
        state_bytes: Bytes of its state.
        changed: Outputs that its integers change, relative to its spikes, if its inputs are exact; None for the
            readout.
        saturated: Number of membranes limited to the range of int16, over all steps.
        operations: Additions of a weight per step, for the nonzero inputs.
        dense: Additions of a weight per step if no input were zero.
    """

    name: str
    weight_bytes: int
    state_bytes: int
    changed: float | None
    saturated: int
    operations: float
    dense: int


@dataclass(frozen=True, repr=False)
class Quantisation(Described, Brief):
    """A classifier in integers, and how it compares with the original.

    Args:
        classifier: The classifier.
        calibrated_on: Number of recordings of the calibration, on which the layers were also measured.
        data: Description of the recordings of the comparison.
        recordings: Number of recordings of the comparison.
        before: Correct predictions of the original classifier.
        after: Correct predictions of the integers.
        equal: Number of equal predictions.
        lost: Number of correct predictions of the original that are wrong in integers.
        layers: Layers in order; the readout is the last.
    """

    classifier: IntegerClassifier
    calibrated_on: int
    data: str
    recordings: int
    before: int
    after: int
    equal: int
    lost: int
    layers: tuple[CompiledLayer, ...]

    @property
    def gained(self) -> int:
        """Number of wrong predictions of the original that are correct in integers."""
        return self.after - self.before + self.lost

    def describe(self) -> Sequence[str | TextTable]:
        """Return a row for each layer, and how the predictions compare."""
        numbers = ("weights", "state", "changed spikes", "saturated", "additions per step", "of dense")
        table = TextTable("layer", *numbers, right=numbers)
        for layer in self.layers:
            table.add_row(
                layer.name,
                f"{layer.weight_bytes:,} B",
                f"{layer.state_bytes:,} B",
                "" if layer.changed is None else f"{layer.changed:.2%}",
                "" if layer.changed is None else f"{layer.saturated:,}",
                f"{layer.operations:,.0f}",
                f"{layer.operations / layer.dense:.1%}",
            )

        measured = f"layers were measured on the {self.calibrated_on} recordings of the calibration"
        lossy = max(self.layers, key=lambda layer: layer.changed or 0.0)

        before = f"accuracy {self.before / self.recordings:.2%} before ({self.before} of {self.recordings})"
        after = f"{self.after / self.recordings:.2%} in integers ({self.after}): {self.data}"
        predictions = f"{self.equal} predictions are equal, {self.lost} become wrong, {self.gained} right"

        network = self.classifier.network
        operations = sum(layer.operations for layer in self.layers)
        return (
            table,
            f"{measured}; changed spikes: by the integers of this layer alone",
            f"most spikes change in {lossy.name}: {lossy.changed or 0.0:.2%}",
            f"{before}, {after}; {predictions}",
            f"in total {network.parameter_bytes:,} bytes of weights, {network.state_bytes:,} bytes of state, "
            f"{operations:,.0f} additions per step",
        )


def quantise(
    checkpoint: str | Path,
    data: DataConfig | str | Path,
    part: EvaluatedPart = "test",
    *,
    out: str | Path | None = None,
    bits: int = WEIGHT_BITS,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Quantisation:
    """Compile a trained network to integers, and compare it with the original on recordings.

    The scales are calibrated on at most 64 recordings of the validation part, or of the compared part if the data set
    has no validation part. The calibration does not use labels.

    Args:
        checkpoint: Run folder, .safetensors file, name of an included classifier, or hf://USER/NAME.
        data: Data set with the classes of the classifier, as in `evaluate`.
        part: Part of the data set to compare on.
        out: Checkpoint file to write (.safetensors). In Python also None: not written.
        bits: Number of bits of a weight, from 2 to 8. Weights are stored as int8.
        overwrite: Replace an existing file.
        progress: Called with the amount done of each stage and its total.

    Raises:
        CheckpointError: If the file is not a checkpoint.
        ConfigError: If `bits` is out of range, a layer cannot be compiled, or the spike tensors are not counts.
        DataError: If the data set is not usable.
        FileError: If the suffix is wrong, or the output exists or cannot be written.

    Example:
        >>> done = quantise("runs/train/mine", "recordings", out="mine-integers.safetensors")  # doctest: +SKIP
        >>> done.before, done.after  # correct predictions, before and in integers # doctest: +SKIP
        (92, 91)
    """
    if bits not in WEIGHT_BIT_COUNTS:
        raise ConfigError(f"bits = {bits}: out of range (expected 2 to 8)")
    file = check_output(out, "a network in integers", CHECKPOINT_SUFFIX, overwrite=overwrite)

    data = data if isinstance(data, DataConfig) else folder_config(data)
    opened = open_evaluation(checkpoint, data, part, progress)
    if not opened.samples:
        raise DataError(f"{opened.data.title}: part {opened.part} has no recordings; use part=all")

    config = opened.classifier
    network = opened.network
    try:
        list_compilable(network)
    except ConfigError as error:
        raise error.named(str(checkpoint)) from error

    # The scales of the layers are chosen for recordings that are not compared, if there are any.
    cache = open_cache(data)
    settings = TensorSettings(config.bins)
    calibration = _choose_calibration(opened.data.parts.get("validation") or opened.samples)
    counts = np.concatenate([*plain_batches(SpikeTensors(calibration, settings, cache=cache), BATCH)])
    compiled = compile_network(network, torch.from_numpy(counts).transpose(0, 1), bits)

    # Both networks see the same recordings.
    reading = NamedStep(progress, f"reading {opened.part}")
    tensors = SpikeTensors(opened.samples, settings, cache=cache, progress=reading)
    evaluating = NamedStep(progress, f"evaluating {opened.part}")
    original = evaluate_network(opened.network, tensors, batch=BATCH, progress=evaluating)
    in_integers = NamedStep(progress, f"evaluating {opened.part} in integers")
    predicted = _predict(compiled, tensors, in_integers)

    was_right = original.predicted == original.labels
    result = Quantisation(
        IntegerClassifier(config, compiled),
        calibrated_on=len(calibration),
        data=opened.result(original).data,
        recordings=len(opened.samples),
        before=original.correct,
        after=int(np.sum(predicted == original.labels)),
        equal=int(np.sum(predicted == original.predicted)),
        lost=int(np.sum(was_right & (predicted != original.labels))),
        layers=measure_layers(network, compiled, counts),
    )

    if file is not None:
        result.classifier.save(file, overwrite=overwrite)
    return result


def _choose_calibration(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Choose evenly spaced samples for the calibration."""
    numbers = np.unique(np.linspace(0, len(samples) - 1, MAX_CALIBRATION).astype(int))
    return tuple(samples[number] for number in numbers)


def _predict(compiled: IntegerNetwork, tensors: SpikeTensors, progress: Progress) -> NDArray[np.int64]:
    """Return the class of each recording, int64 [N]: the highest score after the last step."""
    predicted = list[np.int64]()
    for batch in plain_batches(tensors, BATCH, progress=progress):
        predicted.extend(run(compiled, recording)[-1].argmax() for recording in batch)

    return np.array(predicted)


def measure_layers(
    network: nn.Module, compiled: IntegerNetwork, counts: NDArray[np.uint8]
) -> tuple[CompiledLayer, ...]:
    """Measure the layers of a compiled network on recordings, uint8 [B, T, C, H, W]."""
    changes = np.sum([measure_changes(network, compiled, recording) for recording in counts], axis=0).tolist()
    runs = [run_integers(compiled, recording) for recording in counts]
    measured = []

    # A dense network multiplies each weight of each neuron; integers skip inputs that are 0.
    inputs: NDArray[np.uint8] = counts
    for number, (layer, shape) in enumerate(zip(compiled.layers, compiled.shapes, strict=False)):
        layer_runs = [run.layers[number] for run in runs]
        changed, spikes = changes[number]
        neurons = int(np.prod(layer.membrane_shape(shape)))
        dense = neurons * layer.weight[0].size
        measured.append(
            CompiledLayer(
                f"lif{number + 1}",
                weight_bytes=layer.weight.nbytes + layer.bias.nbytes + layer.threshold.nbytes,
                state_bytes=layer.neuron_bytes * neurons,
                changed=changed / max(spikes, 1),
                saturated=sum(layer_run.saturated for layer_run in layer_runs),
                operations=dense * float(np.mean(inputs > 0)),
                dense=dense,
            )
        )
        inputs = np.stack([layer_run.outputs for layer_run in layer_runs])

    readout = compiled.readout
    dense = readout.weight.size
    measured.append(
        CompiledLayer(
            "readout",
            weight_bytes=readout.weight.nbytes + readout.bias.nbytes,
            state_bytes=INTEGRATOR_BYTES * compiled.classes,
            changed=None,
            saturated=0,
            operations=dense * float(np.mean(inputs > 0)),
            dense=dense,
        )
    )

    return tuple(measured)
