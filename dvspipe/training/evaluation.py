"""Evaluation of networks and checkpoints: predictions, accuracy, calibration.

`evaluate_network` predicts recordings, and `score` turns the predictions into the fields of a record. For checkpoints,
`open_evaluation` loads the classifier (`TrainedNetwork`), opens the data set and finds the part to evaluate: recordings
that the classifier was trained on must not be tested, so the part comes from the split of its run if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.errors import Brief, ConfigError, DataError, count_noun
from ..base.files import claim_output, require_suffix
from ..base.progress import Progress, ignore_progress
from ..checkpoints.checkpoint import (
    ClassifierConfig,
    find_checkpoint,
    load_checkpoint,
    pin_checkpoint,
)
from ..datasets import (
    PARTS,
    Cache,
    DataConfig,
    DataSet,
    Sample,
    SpikeTensors,
    TensorSettings,
    count_recordings,
    name_samples,
    open_cache,
    open_dataset,
    plain_batches,
    read_split,
    restore_split,
)
from ..datasets.config import WINDOW_KINDS
from ..encoding import BinConfig
from ..networks import ModuleSource, Network, NetworkConfig, run_in_pieces
from ..networks.norms import PIECE_STEPS
from ..results import (
    EvaluatedPart,
    EvaluationResult,
    RecordingPrediction,
    RunFolder,
    WrongPrediction,
    calibration_error,
)
from ..results.scores import CALIBRATION_BINS, Counts
from .callback import LogCallback, TrainingCallback
from .config import TrainConfig, read_experiment
from .framing import adopt_framing
from .logistic import fit_logistic


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

    with torch.no_grad():
        for spikes in plain_batches(tensors, batch, progress=progress):
            streams = isinstance(network, Network) and network.streams  # other networks see all steps at once
            steps = PIECE_STEPS if streams else spikes.shape[1]
            outputs = run_in_pieces(network, torch.from_numpy(spikes).transpose(0, 1).to(device), steps)
            logits.append(outputs.mean(0).float().cpu())

    joined = torch.cat(logits)
    loss = float(nn.functional.cross_entropy(joined, torch.from_numpy(tensors.labels)))
    return Evaluation(loss, tensors.labels, joined.argmax(1).numpy(), joined.numpy())


class ScoreFields(TypedDict):
    """Fields of `results.Scores`."""

    classes: tuple[str, ...]
    confusion: Counts
    calibration_error: float
    temperature: float
    wrong: tuple[WrongPrediction, ...]


def score(
    evaluation: Evaluation, samples: Sequence[Sample], classes: Sequence[str], classifier: ClassifierConfig
) -> ScoreFields:
    """Return the fields of `results.Scores`, with the calibrated probabilities of a classifier."""
    probabilities = classifier.probabilities(evaluation.logits)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (evaluation.labels, evaluation.predicted), 1)
    certainty = probabilities.max(axis=1)
    wrong = np.flatnonzero(evaluation.labels != evaluation.predicted)
    most_certain_first = wrong[np.argsort(-certainty[wrong], kind="stable")]

    return ScoreFields(
        classes=tuple(classes),
        confusion=tuple(map(tuple, confusion.tolist())),
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
    """Return the expected calibration error of predictions; see `results.calibration_error`.

    Args:
        probabilities: Class probabilities [N, K].
        labels: True classes, int64 [N].
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels

    # A confidence of exactly 1 belongs to the last bin.
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    total = np.bincount(bins, confidence, CALIBRATION_BINS)
    correct = np.bincount(bins, right, CALIBRATION_BINS)
    return calibration_error(count, total, correct) or 0.0


def event_count_accuracy(train: SpikeTensors, test: SpikeTensors) -> float:
    """Return the test accuracy of a linear classifier on the number of events of a recording alone."""
    counts = {part: torch.tensor([[float(count.kept)] for count in part.counts()]) for part in (train, test)}
    mean, deviation = counts[train].mean(), counts[train].std(correction=0)
    scaled = {part: (count - mean) / deviation.clamp_min(1.0) for part, count in counts.items()}

    classes = int(max(train.labels.max(), test.labels.max())) + 1
    fitted = fit_logistic(scaled[train], torch.from_numpy(train.labels), classes, c=1.0)
    predicted = (scaled[test] @ fitted[:, :-1].T + fitted[:, -1]).argmax(1)
    return float((predicted.numpy() == test.labels).mean())


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
            **score(evaluation, self.samples, data.classes, self.classifier),
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


@runtime_checkable
class TrainedClassifier(Protocol):
    """Trained network with its configuration, such as `inference.Classifier`."""

    @property
    def checkpoint(self) -> str | None:
        """Checkpoint that it was loaded from; None if it was built in memory."""

    @property
    def config(self) -> ClassifierConfig:
        """Configuration of the classifier."""

    @property
    def network(self) -> nn.Module:
        """Network in PyTorch."""


@dataclass(frozen=True)
class TrainedNetwork:
    """Trained network with its configuration.

    Args:
        checkpoint: Checkpoint that it was loaded from; None if it was built in memory.
    """

    checkpoint: str | None
    config: ClassifierConfig
    network: nn.Module

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.checkpoint or type(self.network).__name__

    @cached_property
    def split(self) -> Path | None:
        """Split of its run, if the file exists."""
        if self.checkpoint is None:
            return None

        run = find_checkpoint(self.checkpoint).resolve().parent.parent  # RUN/weights/best.safetensors
        split = RunFolder(run).split
        return split if split.is_file() else None


def describe_network(network: nn.Module, data: DataSet, bins: BinConfig) -> TrainedNetwork:
    """Return a network with the configuration that its data set implies."""
    module = NetworkConfig(network="module")
    config = ClassifierConfig(
        classes=data.classes, width=data.sensor.width, height=data.sensor.height, bins=bins, network=module
    )

    is_known = isinstance(network, Network)
    return TrainedNetwork(None, config, network if is_known else config.build_network(ModuleSource((), network)))


def _load(checkpoint: str | Path | TrainedNetwork | TrainedClassifier, modules: ModuleSource) -> TrainedNetwork:
    """Load a checkpoint; a classifier in memory is returned as it is."""
    if isinstance(checkpoint, TrainedNetwork):
        return checkpoint
    if isinstance(checkpoint, str | Path):
        path = pin_checkpoint(checkpoint)
        return TrainedNetwork(path, *load_checkpoint(path, modules=modules))

    return TrainedNetwork(checkpoint.checkpoint, checkpoint.config, checkpoint.network)


def evaluate_opened(
    opened: OpenedEvaluation, cache: Cache | None, *, batch: int, callback: TrainingCallback
) -> EvaluationResult:
    """Evaluate an opened classifier on its samples."""
    settings = TensorSettings(opened.classifier.bins)
    reading = partial(callback.on_progress, f"reading {opened.part}")
    tensors = SpikeTensors(opened.samples, settings, cache=cache, progress=reading)

    evaluating = partial(callback.on_progress, f"evaluating {opened.part}")
    return opened.result(evaluate_network(opened.network, tensors, batch=batch, progress=evaluating))


def open_evaluation(
    checkpoint: str | Path | TrainedClassifier,
    data: DataConfig | DataSet,
    part: str,
    *,
    callback: TrainingCallback,
    modules: ModuleSource,
) -> OpenedEvaluation:
    """Load a classifier, and open the part of a data set to evaluate; arguments as in `dvspipe.evaluate`."""
    trained = _load(checkpoint, modules)
    name = trained.name
    classifier = trained.config
    if part not in (*PARTS, "all"):
        raise ConfigError(f"part {part}: unknown part (expected {', '.join(PARTS)}, all)")

    # Without a stored split, the data set is opened undivided first: a division can fail, and may not be needed.
    divide: Callable[[], DataSet] | None = None
    opening = partial(callback.on_progress, "opening recordings")
    if isinstance(data, DataSet):
        opened = _match_classes(data, trained)
    else:
        is_divided = data.split is not None
        data = _adopt_run(adopt_framing(data, classifier), trained.split)
        undivided = data.model_copy(update={"validation": 0.0, "test": 0.0})  # few recordings cannot be split
        opened = _open_matched(data if is_divided else undivided, trained, opening)
        divide = None if is_divided else partial(_open_matched, data, trained, opening)
    for warning in opened.warnings:
        callback.on_warning(warning)

    if opened.sensor != classifier.sensor:
        raise DataError(
            f"{opened.title}: sensor differs from {name} (found {opened.sensor}, expected {classifier.sensor})"
        )

    if part != "all" and divide is not None:
        opened, part = _split_as_trained(trained, opened, part, divide, callback)
    elif not isinstance(data, DataSet):
        _warn_of_trained(trained, opened, part, callback)
    elif part == "test" and not opened.test:
        callback.on_warning(f"{opened.title}: has no test part; all {len(opened.samples)} recordings are used")
        part = "all"
    parts = opened.parts | {"all": opened.samples}
    if not parts[part]:
        raise DataError(f"{opened.title}: the {part} part has no recordings; use part=all to evaluate all recordings")
    return OpenedEvaluation(classifier, trained.network, opened, part, parts[part])


def _open_matched(data: DataConfig, trained: TrainedNetwork, progress: Progress) -> DataSet:
    """Open a data set with the labels of a classifier."""
    return _match_classes(open_dataset(data, trained.config.bins, progress=progress), trained)


def _match_classes(data: DataSet, trained: TrainedNetwork) -> DataSet:
    """Match the labels of a data set to the classes of a classifier, by the names of the classes.

    Raises:
        DataError: If the data set has a class that the classifier does not have.
    """
    classes = trained.config.classes
    if data.classes == classes:
        return data
    if not set(data.classes) <= set(classes):
        raise DataError(
            f"{data.title}: classes differ from {trained.name} (found {', '.join(data.classes)}, expected "
            f"{', '.join(classes)}); to classify them, fine-tune it: train with init=CHECKPOINT"
        )

    return data.with_classes(classes)


def _adopt_run(data: DataConfig, split: Path | None) -> DataConfig:
    """Return data settings with the windows and the published split of a run, unless they are given.

    The split.json of the run lists the recordings of this split, and their windows.
    """
    if split is None or data.data not in WINDOW_KINDS:
        return data

    trained_on = _read_config(split)
    if trained_on is None or trained_on.data not in WINDOW_KINDS:
        return data

    number = trained_on.split if isinstance(trained_on.split, int) else data.split
    adopted = {"window_us": trained_on.window_us, "split": number}
    return data.model_copy(update={name: adopted[name] for name in adopted.keys() - data.model_fields_set})


def _read_config(split: Path) -> TrainConfig | None:
    """Return the configuration of the run of a split.json."""
    stored = RunFolder(split.parent).config
    return TrainConfig.read(stored) if stored.is_file() else None


def _find_root(split: Path) -> Path | None:
    """Return the folder of the recordings that a run was trained on."""
    trained_on = _read_config(split)
    return None if trained_on is None or trained_on.root is None else trained_on.root.resolve()


def _warn_of_trained(trained: TrainedNetwork, data: DataSet, part: str, callback: TrainingCallback) -> None:
    """Warn if a test part that the user chose has recordings of the training."""
    if trained.split is None or part != "test":
        return

    trained_names = {*read_split(trained.split).train}
    tested = {sample.name for sample in data.test}
    known = [name for name, sample in name_samples(data).items() if name in trained_names and sample.name in tested]
    if known:
        callback.on_warning(
            f"{data.title}: {len(known)} of {count_noun(len(data.test), 'test recording')} are in the training part of "
            f"{trained.split}, such as {known[0]}"
        )


def _split_as_trained(
    trained: TrainedNetwork, data: DataSet, part: str, divide: Callable[[], DataSet], callback: TrainingCallback
) -> tuple[DataSet, str]:
    """Split a data set as in the run of a checkpoint; return it and the part to evaluate.

    If the recordings are not from the run, the test part is all of them, unless the data set has its own test part.
    Warn in this case, and if the part may contain recordings of the training.
    """
    split = trained.split
    restored = None if split is None else restore_split(split, data)
    if restored is not None:
        assert split is not None
        if data.root is not None and data.root.resolve() != _find_root(split):
            callback.on_warning(
                f"{data.title}: is divided as in {split} by the paths of its recordings, in another folder than in the "
                "training; if they are other recordings, evaluate all of them (part = all)"
            )
        return restored, part

    # Without recordings of the run, all of them are a test.
    if part == "test" and split is not None and not data.test:
        return data, "all"

    # The recordings of the training are unknown: divide as a training with this seed would.
    try:
        divided = divide()
    except DataError as error:
        raise DataError(f"{error}; use part=all to evaluate all recordings") from error

    if not (part == "test" and divided.fixed_test):
        callback.on_warning(
            f"{data.title}: the split of the training of {trained.name} is unknown, so it is split by the seed; part "
            f"{part} may contain recordings of the training"
        )
    return divided, part


def evaluate(
    checkpoint: str | Path | TrainedClassifier | nn.Module,
    source: str | Path | DataSet | DataConfig,
    config: TrainConfig = TrainConfig(),
    out: str | Path | None = None,
    *,
    part: EvaluatedPart = "test",
    overwrite: bool = False,
    against: EvaluationResult | str | Path | None = None,
    batch: int = 32,
    trust: Sequence[str] = (),
    network: nn.Module | None = None,
    callback: TrainingCallback | None = None,
    progress: Progress = ignore_progress,
) -> EvaluationResult:
    """Evaluate a classifier on a data set: accuracy, calibration and confused classes.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME. In Python also a
            `Classifier`, or a network that returns [T, B, K] or [B, K] for all steps [T, B, C, H, W].
        source: Folder of recordings, YAML file, or name of an included configuration (see dvspipe configs list). In
            Python also a data set, or its settings. It has classes of the classifier, in any order. A folder is framed
            as in training, unless its settings say otherwise.
        config: Settings that take precedence, such as root=DIR.
        part: Part of the data set to evaluate. If the recordings are not from the run, the test part is all of them.
        out: JSON file for all scores, or CSV file for the probabilities of each recording. None: not written.
        overwrite: Replace an existing file.
        against: JSON file of another classifier on the same recordings: test whether the accuracies differ (McNemar,
            exact). In Python also its result.
        batch: Recordings per batch.
        trust: Packages allowed to run code for networks with `network = module`.
        network: Your own network, which was passed to `train`; the weights of the checkpoint are loaded into it.
        callback: Called with progress, and with a warning if the part may contain recordings of the training.
        progress: Called with the amount done and the total.

    Raises:
        CheckpointError: If the file is not a checkpoint.
        ConfigError: If the part does not exist, or the network is a module that is not trusted.
        DataError: If the data set is not usable, has a class that the classifier lacks or another sensor, or is not
            split as in the run; or if `against` is of other recordings.
        FileError: If the output exists or cannot be written.

    Example:
        >>> evaluate("runs/train/mine", "recordings").accuracy  # doctest: +SKIP
        0.91
    """
    if out is not None:
        require_suffix(Path(out), "scores", ".json", ".csv")
        claim_output(Path(out), overwrite=overwrite)
    other = EvaluationResult.read(against) if isinstance(against, str | Path) else against

    callback = callback or LogCallback(progress)
    modules = ModuleSource.of(trust, network)
    open_part = partial(open_evaluation, part=part, callback=callback, modules=modules)

    # Only settings say where tensors are cached.
    data = read_experiment(source, config) if isinstance(source, str | Path) else source
    cache = None if isinstance(data, DataSet) else open_cache(data)

    # A network has no configuration of its own: classes and sensor come from the data set, which is opened first.
    if isinstance(checkpoint, nn.Module):
        bins = config.part(BinConfig)
        dataset = data if isinstance(data, DataSet) else open_dataset(data, bins)
        opened = open_part(describe_network(checkpoint, dataset, bins), dataset)
    else:
        opened = open_part(checkpoint, data)

    result = evaluate_opened(opened, cache, batch=batch, callback=callback)
    if other is not None:
        result = result.model_copy(update={"against": result.compare(other)})

    if out is not None:
        write_evaluation = result.write_table if Path(out).suffix.lower() == ".csv" else result.write
        write_evaluation(Path(out))
    return result
