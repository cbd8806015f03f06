"""Evaluation of networks and checkpoints: predictions, accuracy, calibration.

`evaluate_network` predicts recordings, and `score` turns the predictions into a record. For checkpoints,
`open_evaluation` loads the classifier, opens the data set and finds the part to evaluate: recordings
that the classifier was trained on must not be tested, so the part comes from the split of its run if there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.errors import Brief, ConfigError, DataError, count_noun
from ..base.files import claim_output, require_suffix
from ..base.progress import NamedStep, Progress, ignore_progress
from ..checkpoints.checkpoint import (
    Checkpoint,
    ClassifierConfig,
    find_checkpoint,
    load_checkpoint,
    pin_checkpoint,
)
from ..datasets import (
    PARTS,
    DataConfig,
    DataSet,
    Sample,
    SpikeTensors,
    TensorSettings,
    count_recordings,
    open_cache,
    open_dataset,
    plain_batches,
)
from ..datasets.split import name_samples, read_split, restore_split
from ..networks import run_in_pieces
from ..results import (
    EvaluatedPart,
    EvaluationResult,
    RecordingPrediction,
    RunFolder,
    Scores,
    WrongPrediction,
)
from ..results.scores import count_confusion
from .config import TrainConfig, read_experiment
from .framing import adopt_framing

CALIBRATION_BINS = 15  # bins of the confidence

log = logging.getLogger(__package__)


@dataclass(frozen=True, repr=False)
class Evaluation(Brief):
    """Predictions of a network for samples.

    Args:
        loss: Mean cross-entropy.
        labels: True classes, int64 [N].
        predicted: Predicted classes, int64 [N].
        logits: Logits, float32 [N, K].
    """

    loss: float
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    logits: NDArray[np.float32]

    @property
    def correct(self) -> int:
        """Number of correctly predicted samples."""
        return int(np.sum(self.labels == self.predicted))

    @property
    def accuracy(self) -> float:
        """Share of correctly predicted samples."""
        return float(np.mean(self.labels == self.predicted))


def evaluate_network(
    network: nn.Module, tensors: SpikeTensors, *, batch: int, progress: Progress = ignore_progress
) -> Evaluation:
    """Predict recordings with a network. Sets the network to evaluation mode."""
    network.eval()
    device = next(network.parameters()).device
    logits: list[Tensor] = []

    for spikes in plain_batches(tensors, batch, progress=progress):
        outputs = run_in_pieces(network, torch.from_numpy(spikes).transpose(0, 1).to(device))
        logits.append(outputs.mean(0).float().cpu())

    joined = torch.cat(logits)
    loss = float(nn.functional.cross_entropy(joined, torch.from_numpy(tensors.labels)))
    return Evaluation(loss, tensors.labels, joined.argmax(1).numpy(), joined.numpy())


def score(evaluation: Evaluation, samples: Sequence[Sample], classifier: ClassifierConfig) -> Scores:
    """Return the confusion, calibration and wrong predictions, with the calibrated probabilities of a classifier."""
    classes = classifier.classes
    probabilities = classifier.probabilities(evaluation.logits)
    certainty = probabilities.max(axis=1)
    wrong = np.flatnonzero(evaluation.labels != evaluation.predicted)
    most_certain_first = wrong[np.argsort(-certainty[wrong], kind="stable")]

    return Scores(
        classes=classes,
        confusion=count_confusion(evaluation.labels, evaluation.predicted, len(classes)),
        calibration_error=expected_calibration_error(probabilities, evaluation.labels),
        temperature=classifier.temperature,
        wrong=tuple(
            WrongPrediction(
                name=samples[number].name,
                label=classes[evaluation.labels[number]],
                predicted=classes[evaluation.predicted[number]],
                probability=float(certainty[number]),
            )
            for number in most_certain_first.tolist()
        ),
    )


def expected_calibration_error(probabilities: NDArray[np.float32 | np.float64], labels: NDArray[np.int64]) -> float:
    """Return the distance between mean confidence and accuracy, averaged over bins and weighted by their counts.

    Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.

    Args:
        probabilities: Class probabilities [N, K].
        labels: True classes, int64 [N].
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels

    # A confidence of exactly 1 belongs to the last bin.
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    distances = np.bincount(bins, confidence.astype(np.float64) - right)
    return float(np.abs(distances).sum() / len(labels))


@dataclass(frozen=True)
class OpenedEvaluation:
    """Classifier and the samples to evaluate it on; see `open_evaluation`."""

    classifier: ClassifierConfig
    network: nn.Module
    data: DataSet
    part: str
    samples: tuple[Sample, ...]

    def result(self, evaluation: Evaluation) -> EvaluationResult:
        """Return the record of the predictions for the samples."""
        data = self.data
        synthetic = data.is_synthetic(self.part)
        count = count_recordings(self.samples)
        probabilities = self.classifier.probabilities(evaluation.logits)
        rows = zip(self.samples, evaluation.predicted.tolist(), probabilities.tolist(), strict=True)

        return EvaluationResult(
            **dict(score(evaluation, self.samples, self.classifier)),
            data=f"{count} ({self.part}) of {data.title}{' (synthetic)' if synthetic else ''}",
            synthetic=synthetic,
            trained_on=self.classifier.trained_on,
            predictions=tuple(
                RecordingPrediction(
                    name=sample.name,
                    label=data.classes[sample.label],
                    predicted=data.classes[predicted],
                    probabilities=tuple(of_classes),
                    recording=None if sample.file is None else str(sample.file),
                )
                for sample, predicted, of_classes in rows
            ),
        )


class TrainedNetwork(Protocol):
    """Trained network with its configuration, such as `Classifier`."""

    @property
    def checkpoint(self) -> str | None:
        """Checkpoint that it was loaded from; None if it was built in memory."""

    @property
    def config(self) -> ClassifierConfig:
        """Configuration of the classifier."""

    @property
    def network(self) -> nn.Module:
        """Network in PyTorch."""


def open_evaluation(
    checkpoint: str | Path | TrainedNetwork,
    data: DataConfig | DataSet,
    part: str,
    progress: Progress = ignore_progress,
) -> OpenedEvaluation:
    """Load a classifier, and open the part of a data set to evaluate; arguments as in `dvspipe.evaluate`."""
    if part not in (*PARTS, "all"):
        raise ConfigError(f"part {part}: unknown part (expected {', '.join(PARTS)}, all)")

    file: str | None
    if isinstance(checkpoint, str | Path):
        file = pin_checkpoint(checkpoint)
        trained = load_checkpoint(file)
        trained.check_events(file)
    else:
        file = checkpoint.checkpoint
        trained = Checkpoint(checkpoint.config, checkpoint.network)

    if not isinstance(data, DataSet):
        opened, part = _open_part(data, trained.config, file, part, progress)
    else:
        opened = _match_classes(data, trained.config)
        part = "all" if part == "test" and not opened.test else part

    for warning in opened.warnings:
        log.warning("%s", warning)
    sensor = trained.config.sensor
    if opened.sensor != sensor:
        raise DataError(
            f"{opened.title}: sensor differs from the classifier's (found {opened.sensor}, expected {sensor})"
        )

    samples = (opened.parts | {"all": opened.samples})[part]
    if not samples:
        raise DataError(f"{opened.title}: the {part} part has no recordings; use part=all to evaluate all recordings")
    return OpenedEvaluation(*trained, opened, part, samples)


def _match_classes(data: DataSet, classifier: ClassifierConfig) -> DataSet:
    """Match the labels of a data set to the classes of a classifier, by their names.

    Raises:
        DataError: If the data set has a class that the classifier does not have.
    """
    if data.classes == classifier.classes:
        return data
    if not set(data.classes) <= set(classifier.classes):
        raise DataError(
            f"{data.title}: classes differ from the classifier's (found {', '.join(data.classes)}, expected "
            f"{', '.join(classifier.classes)}); to classify them, fine-tune it: train with init=CHECKPOINT"
        )
    return data.with_classes(classifier.classes)


def _open_part(
    data: DataConfig, classifier: ClassifierConfig, file: str | None, part: str, progress: Progress
) -> tuple[DataSet, str]:
    """Open a data set, divided as in the run of a checkpoint; return it and the part to evaluate.

    If the recordings are not from the run, the test part is all of them, unless the data set has its own test part.
    """
    run = _find_run(file)
    settings = adopt_framing(data, classifier)
    if run is not None:
        settings = _adopt_run(settings, run)

    def open_matched(**changes: float) -> DataSet:
        changed = settings.model_copy(update=changes)
        opened = open_dataset(changed, classifier.bins, progress=NamedStep(progress, "opening recordings"))
        return _match_classes(opened, classifier)

    if data.split is not None:
        opened = open_matched()
        if run is not None and part == "test":
            _warn_of_trained(run, opened)
        return opened, part

    # The data set is opened undivided first: few recordings cannot be divided, and need not be.
    opened = open_matched(validation=0.0, test=0.0)
    restored = None if run is None or part == "all" else restore_split(run.split, opened)
    if restored is not None:
        return restored, part
    if part == "all":
        return opened, part

    if run is None and not (part == "test" and opened.test):
        log.warning(
            "%s: the split of the training is unknown, so the %s part may contain its recordings", opened.title, part
        )
    return (opened, "all") if part == "test" and not opened.test else (open_matched(), part)


def _find_run(checkpoint: str | None) -> RunFolder | None:
    """Return the run of a checkpoint, if its settings and split are known."""
    if checkpoint is None:
        return None

    run = RunFolder(find_checkpoint(checkpoint).resolve().parent.parent)  # RUN/weights/best.safetensors
    return run if run.split.is_file() and run.config.is_file() else None


def _adopt_run(data: DataConfig, run: RunFolder) -> DataConfig:
    """Return data settings with the windows and the published split of a run, unless they are given."""
    stored = TrainConfig.read(run.config)
    split = stored.split if isinstance(stored.split, int) else None
    adopted = {name: value for name, value in (("window_us", stored.window_us), ("split", split)) if value is not None}
    return data.model_copy(update={name: adopted[name] for name in adopted.keys() - data.model_fields_set})


def _warn_of_trained(run: RunFolder, data: DataSet) -> None:
    """Warn if a test part that the user chose has recordings of the training."""
    trained = {*read_split(run.split).train}
    tested = {sample.name for sample in data.test}
    known = [name for name, sample in name_samples(data).items() if name in trained and sample.name in tested]
    if known:
        tested_count = count_noun(len(data.test), "test recording")
        found = f"{len(known)} of {tested_count} are in the training part of {run.split}, such as {known[0]}"
        log.warning("%s: %s", data.title, found)


def evaluate(
    checkpoint: str | Path | TrainedNetwork,
    source: str | Path | DataSet | DataConfig,
    config: TrainConfig = TrainConfig(),
    out: str | Path | None = None,
    *,
    part: EvaluatedPart = "test",
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> EvaluationResult:
    """Evaluate a classifier on a data set: accuracy, calibration and confused classes.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME. In Python also a
            `Classifier`, which may have your own network.
        source: Folder of recordings, YAML file, or name of an included configuration (see dvspipe configs). In
            Python also a data set, or its settings. It has classes of the classifier, in any order. A folder is framed
            as in training, unless its settings say otherwise.
        config: Settings that take precedence, such as root=DIR or batch=8.
        part: Part of the data set to evaluate. If the recordings are not from the run, the test part is all of them,
            and the other parts follow from the seed.
        out: JSON file for all scores, or CSV file for the probabilities of each recording. None: not written.
        overwrite: Replace an existing file.
        progress: Called with the amount done and the total.

    Raises:
        CheckpointError: If the file is not a checkpoint.
        ConfigError: If the part does not exist, or the checkpoint has the weights of your own network.
        DataError: If the data set is not usable, has a class that the classifier lacks or another sensor, or is not
            split as in the run.
        FileError: If the output exists or cannot be written.

    Example:
        >>> evaluate("runs/train/mine", "recordings").accuracy  # doctest: +SKIP
        0.91
    """
    if out is not None:
        require_suffix(Path(out), "scores", ".json", ".csv")
        claim_output(Path(out), overwrite=overwrite)
    unused = sorted(config.given.keys() - DataConfig.model_fields.keys() - {"batch", "jobs"})
    if unused:
        raise ConfigError(f"{', '.join(unused)}: set by the classifier (expected settings of data, batch or jobs)")

    # Only settings say where tensors are cached.
    data: DataConfig | DataSet
    if isinstance(source, str | Path):
        data = read_experiment(source, config)
    elif isinstance(source, DataConfig):
        data = source.model_copy(update=config.part(DataConfig).given)
    else:
        data = source
    cache = None if isinstance(data, DataSet) else open_cache(data)

    opened = open_evaluation(checkpoint, data, part, progress)
    reading = NamedStep(progress, f"reading {opened.part}")
    tensors = SpikeTensors(
        opened.samples, TensorSettings(opened.classifier.bins), cache=cache, jobs=config.jobs, progress=reading
    )

    evaluating = NamedStep(progress, f"evaluating {opened.part}")
    result = opened.result(evaluate_network(opened.network, tensors, batch=config.batch, progress=evaluating))

    if out is not None:
        write_evaluation = result.write_table if Path(out).suffix.lower() == ".csv" else result.write
        write_evaluation(Path(out))
    return result
