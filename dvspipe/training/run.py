"""A complete run: data, training, choice of the epoch, calibration, test, and the records of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import yaml
from torch import nn

from ..checkpoints.checkpoint import (
    Checkpoint,
    ClassifierConfig,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    versions,
)
from ..datasets import (
    DataSet,
    DecodedEvents,
    Sample,
    SpikeTensors,
    TensorSettings,
    check_split,
    leave_out_copies,
    make_transform,
    open_cache,
    open_dataset,
    write_split,
)
from ..errors import ConfigError, DataError, Remedy, count_noun
from ..files import lock_folder, write_text
from ..learning import is_linear
from ..networks import (
    ClassMoments,
    ModuleNetwork,
    ModuleSource,
    Network,
    SpikingNetwork,
    count_activity,
    summarize_layers,
)
from ..results import ActivityRecord, BaselineResult, EpochRow, Finding, RunFolder, TestResult, TrainingRun, write_rows
from .activity_record import record_activity
from .baseline import FrameNetwork, load_baseline, save_baseline
from .calibration import find_least_energy, fit_temperature
from .callback import StageCallback, TrainingCallback
from .config import TrainConfig
from .diagnosis import RunOutcome, diagnose, find_copies, find_outside
from .evaluation import evaluate, event_count_accuracy, score, test_notes
from .features import FeatureTrainer
from .framing import adopt_framing
from .machine import describe_machine
from .norms import measure_classes
from .processes import TrainingProcesses, join_processes
from .readout_trainer import ReadoutTrainer, fit_new_readout, open_recordings, start_readout
from .resuming import TrainingState, check_config, find_state, load_initial_weights
from .trainer import DataParts, Experiment, Trainer, is_over, require_tensorboard

OUT_OF_MEMORY = re.compile("not enough memory|can't allocate memory")  # in what torch says of the memory of a CPU


def train(
    config: TrainConfig,
    folder: str | Path,
    *,
    command: str = "",
    callback: TrainingCallback | None = None,
    resume: bool = False,
    changed: bool = False,
    network: nn.Module | None = None,
    trust: str | Sequence[str] = (),
    decoded: DecodedEvents | None = None,
) -> TrainingRun:
    """Train a classifier, choose the epoch on the validation part, and test it once on the test part.

    Processes that torchrun starts train together, each on its part of every batch; the first one writes.

    Args:
        config: The experiment.
        folder: The run folder; made if it does not exist. What an earlier run left in it is removed.
        command: What repeats the run, for the records.
        callback: Called with what happens.
        resume: Whether to continue after the last complete epoch of the run in the folder, or from its start if there
            is none. On a CPU it ends with the same weights as a run that was never interrupted; a complete run is left
            as it is.
        changed: Whether it may resume with other settings than it was started with, those in `resuming.CHANGEABLE`.
        network: Your own network, for `network.kind = module`. It is trained in place and has the weights of the kept
            epoch at the end; a module with `network.target` instead is made by that.
        trust: Packages whose code `network.target` may run.
        decoded: Events that were decoded to choose the settings (`Choice.decoded`), which are released once all
            recordings are encoded.

    Returns:
        The run: its folder, epochs, test result and activity.

    Raises:
        DataError: The data set is not usable, or not the one that the run to resume was started with.
        ConfigError: Settings contradict each other, the loss became NaN, memory ran out, the run to resume was
            started with other settings, or the package of `network.target` is not trusted.
        CheckpointError: The state to resume from is missing.
        FileError: The folder cannot be written to, or another process trains in it.

    Example:
        >>> from dvspipe import TrainConfig, train
        >>> config = TrainConfig(data={"kind": "folder", "root": "recordings"})  # doctest: +SKIP
        >>> train(config, "runs/mine").test.accuracy  # doctest: +SKIP
        0.95
    """
    place, modules = RunFolder(Path(folder)), ModuleSource.of(trust, network)
    modules.check(config.network)  # before recordings are read
    init = None if config.init is None else read_checkpoint(config.init, modules=modules)
    if init is not None:
        config = config.model_copy(update={"data": adopt_framing(config.data, init.config)})
    with join_processes(choose_device(config.device)) as processes:
        callback = callback if callback is not None and processes.is_first else TrainingCallback()
        if resume:
            check_config(config, place.config, changed=changed)
        if config.optimiser.precision != "float32" and processes.device.type != "cuda":
            raise ConfigError(
                f"optimiser.precision = {config.optimiser.precision}: needs a GPU; use float32 on the CPU"
            )
        try:
            return _run(config, place, init, command, callback, processes, modules, decoded, resume=resume)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or OUT_OF_MEMORY.search(str(error)):
                raise ConfigError(
                    "not enough memory for a training step; raise optimiser.accumulate = "
                    f"{config.optimiser.accumulate}, or lower optimiser.segment, optimiser.batch = "
                    f"{config.optimiser.batch}, bins.steps = {config.bins.steps} or network.channels"
                ) from error
            raise


def choose_device(name: str) -> torch.device:
    """Return the torch device for `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: A GPU was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda: torch finds no GPU; use cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _run(
    config: TrainConfig,
    folder: RunFolder,
    init: Checkpoint | None,
    command: str,
    callback: TrainingCallback,
    processes: TrainingProcesses,
    modules: ModuleSource,
    decoded: DecodedEvents | None,
    *,
    resume: bool,
) -> TrainingRun:
    if config.tensorboard:
        require_tensorboard()
    opened = _open(config, init, decoded)
    data = leave_out_copies(opened, partial(callback.on_progress, "comparing recordings"))
    callback.on_data(synthetic=data.synthetic)
    for warning in data.warnings:
        callback.on_warning(warning)
    _warn(callback, find_copies(data))
    if resume:
        check_split(folder.split, data)
    if config.optimiser.rule != "readout":
        _check_classes(data, callback)
    classifier, network = _build(config, data, init, modules)
    if init is not None and init.config.classes != data.classes:
        callback.on_note(
            f"init = {config.init}: a new last layer for the {len(data.classes)} classes {', '.join(data.classes)}"
        )
    with lock_folder(folder.path) if processes.is_first else nullcontext():
        state = find_state(folder) if resume else None
        if state is not None and processes.is_first:  # they may be lost, or have an epoch that was not complete
            write_rows(state.rows, EpochRow, jsonl=folder.epochs, csv_path=folder.epochs_csv)
        if state is not None and is_over(config.optimiser, state.rows):
            complete = TestResult.find(folder.test) is not None and folder.activity.is_file()
            if processes.share(complete):
                if modules.network is not None:
                    load_checkpoint(folder.best, modules=modules)  # into it
                return TrainingRun.read(folder)
        parts = _load(config, data, callback)
        if decoded is not None:
            decoded.clear()
        _check_sensor(parts.train, data, classifier)
        _warn(callback, find_outside(parts.train.counts(), config))
        experiment = Experiment(config, data, classifier, parts, processes, callback, init, modules)
        settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        if processes.is_first:
            folder.clear(keep_epochs=state is not None)
            write_split(folder.split, data)
            write_text(folder.config, settings)  # last: a run with it can be resumed
        trainer, best = _fit(experiment, network.to(processes.device), folder, state)
        baseline = _train_baseline(experiment, folder.baseline) if config.baseline else None
        run = None
        if processes.is_first:
            test, activity = _test(trainer, best, baseline, command)
            run = TrainingRun(folder, settings, tuple(trainer.rows), test, activity)
        shared = processes.share(run)
        assert shared is not None
        return shared


def _fit(
    experiment: Experiment, network: Network, folder: RunFolder, state: TrainingState | None
) -> tuple[Trainer | ReadoutTrainer, EpochRow]:
    """Train a network by its rule; return what did it, and the epoch that is kept."""
    init = experiment.init
    if experiment.config.optimiser.rule != "readout":
        if state is None and init and init.config.classes != experiment.data.classes and is_linear(network):
            fit_new_readout(experiment, network)
        kind = FeatureTrainer if experiment.config.network.kind == "stdp" else Trainer
        trainer = kind(experiment, network, folder, partial(_save, experiment.classifier))
        return trainer, trainer.fit(state)
    assert init is not None
    moments = init.moments  # fitting the readout does not change them
    if init.config.classes != experiment.data.classes:
        progress = partial(experiment.callback.on_progress, "measuring the classes")
        moments = measure_classes(
            network,
            experiment.parts.train,
            len(experiment.data.classes),
            batch=experiment.config.optimiser.batch,
            progress=progress,
        )
    save = partial(_save, experiment.classifier, moments=moments)
    fitter = ReadoutTrainer(experiment, network, folder, init, save)
    return fitter, fitter.fit()


def _open(config: TrainConfig, init: Checkpoint | None, decoded: DecodedEvents | None) -> DataSet:
    if config.optimiser.rule == "readout":
        assert init is not None
        return open_recordings(config, init.config.classes, decoded)
    return open_dataset(config.data, config.seed, config.bins, decoded=decoded)


def _build(
    config: TrainConfig, data: DataSet, init: Checkpoint | None, modules: ModuleSource
) -> tuple[ClassifierConfig, Network]:
    """Return a classifier for a data set and its network, with the weights of a checkpoint if there is one."""
    if config.bins.downsample >= max(data.sensor.width, data.sensor.height) > 1:
        raise ConfigError(f"bins.downsample = {config.bins.downsample}: leaves one pixel of a sensor of {data.sensor}")
    for transform in config.augment.tonic:  # before recordings are read
        make_transform(transform, data.sensor)
    classifier = ClassifierConfig(
        classes=data.classes,
        width=data.sensor.width,
        height=data.sensor.height,
        bins=config.bins,
        framing=config.data.framing.for_checkpoint(),
        hop_us=config.hop_us,
        inputs=data.inputs,
        network=config.network,
        trained_on=f"{'synthetic ' if data.synthetic else ''}{data.title}, {count_noun(len(data.train), 'recording')}",
    )
    torch.manual_seed(config.seed)
    network = classifier.build_network(modules)
    if isinstance(network, ModuleNetwork):
        network.try_out(classifier.task)  # before recordings are read
    if init is not None:
        classifier = load_initial_weights(init, classifier, network, name=str(config.init))
        if config.optimiser.rule == "readout":
            classifier = start_readout(classifier, init.config, network)
    return classifier, network


def _save(classifier: ClassifierConfig, path: Path, network: nn.Module, *, moments: ClassMoments | None = None) -> None:
    save_checkpoint(path, classifier, network, moments)


def _load(config: TrainConfig, data: DataSet, callback: TrainingCallback) -> DataParts:
    """Return the spike tensors of the parts."""
    verb, cache = "reading" if config.data.root else "rendering", open_cache(config.data)

    def load(name: str, samples: Sequence[Sample], views: int) -> SpikeTensors:
        settings = TensorSettings(config.bins, views, vary=config.data.vary, seed=config.seed)
        progress = partial(callback.on_progress, f"{verb} {name}")
        return SpikeTensors(samples, settings, cache=cache, jobs=config.jobs, progress=progress)

    train = load("train", data.train, 1 if config.optimiser.rule == "readout" else config.data.views)
    validation = load("validation", data.validation, 1) if data.validation else train
    return DataParts(train, validation, load("test", data.test, 1))


def _check_sensor(tensors: SpikeTensors, data: DataSet, classifier: ClassifierConfig) -> None:
    """Check that spike tensors have the shape that the network expects.

    Raises:
        DataError: They have not, since recordings come from another sensor than `data.sensor` says.
    """
    found, expected = tensors[0].shape[-2:], classifier.task.shape[-2:]
    if found != expected:
        raise DataError(
            f"{data.title}: recordings come from another sensor than {data.sensor} (found spike tensors of "
            f"{found[1]}x{found[0]}, expected {expected[1]}x{expected[0]})",
            Remedy("data.size", str(data.sensor), "fit recordings and videos to this size"),
        )


def _warn(callback: TrainingCallback, findings: Iterable[Finding]) -> None:
    for finding in findings:
        callback.on_warning(f"{finding.text}; see {', '.join(finding.settings)}")


def _check_classes(data: DataSet, callback: TrainingCallback) -> None:
    """Warn of classes that the data set defines and the training part lacks.

    Raises:
        DataError: The test or validation part has a class that the training part lacks, or there is only one class.
    """
    trained = {sample.label for sample in data.train}
    lacking = sorted({sample.label for sample in (*data.validation, *data.test)} - trained)
    if lacking or len(trained) < 2:
        names = ", ".join(data.classes[label] for label in lacking) or "more than one class"
        raise DataError(
            f"{data.title}: no training recordings of {names}; add recordings, or change seed, data.validation or "
            "data.test, which change the split"
        )
    missing = [name for label, name in enumerate(data.classes) if label not in trained]
    if missing:
        callback.on_warning(f"{data.title}: no recordings of {', '.join(missing)}; the network cannot predict them")


def _train_baseline(experiment: Experiment, folder: RunFolder) -> BaselineResult | None:
    """Train the baseline from the same first weights on the same batches, and test its best epoch once."""
    config, processes = experiment.config, experiment.processes
    optimiser = config.optimiser.model_copy(update={"truncate": None, "segment": None, "rule": "bptt", "update": "end"})
    torch.manual_seed(config.seed)
    spiking = experiment.classifier.build_network()
    assert isinstance(spiking, SpikingNetwork)  # TrainConfig refuses others
    network = FrameNetwork(spiking).to(processes.device)
    callback = experiment.callback
    experiment = replace(
        experiment,
        config=config.model_copy(update={"optimiser": optimiser}),
        callback=StageCallback(callback, "baseline, "),
    )
    try:
        best = Trainer(experiment, network, folder, save_baseline).fit(find_state(folder))
    except ConfigError as error:
        callback.on_warning(f"no baseline: {error}")
        return None
    if not processes.is_first:
        return None
    load_baseline(folder.best, network)
    progress = partial(experiment.callback.on_progress, "test")
    tested = evaluate(network, experiment.parts.test, batch=optimiser.batch, progress=progress)
    return BaselineResult(
        accuracy=tested.accuracy,
        samples=len(tested.labels),
        correct=tested.correct,
        chosen_epoch=best.epoch,
        val_accuracy=best.val_accuracy,
    )


def _calibrate(experiment: Experiment, path: Path, classifier: ClassifierConfig, network: Network) -> ClassifierConfig:
    """Return a classifier calibrated on the validation part, after writing it with the moments of its classes."""
    parts, batch, report = experiment.parts, experiment.config.optimiser.batch, experiment.callback.on_progress
    validated = evaluate(network, parts.validation, batch=batch, progress=partial(report, "calibrating"))
    moments = measure_classes(
        network, parts.train, len(classifier.classes), batch=batch, progress=partial(report, "measuring the classes")
    )
    calibrated = classifier.model_copy(
        update={
            "temperature": fit_temperature(validated.logits, validated.labels),
            "calibrated_on": len(experiment.data.validation),
            "least_energy": find_least_energy(validated.logits),
        }
    )
    save_checkpoint(path, calibrated, network, moments)
    return calibrated


def _count_before(experiment: Experiment) -> int | None:
    """Return the number of test recordings that the network was right about before its readout was fitted.

    Returns:
        None if the readout was not fitted, or is a new one for other classes.
    """
    optimiser, init = experiment.config.optimiser, experiment.init
    if optimiser.rule != "readout" or init is None:
        return None
    if init.config.classes != experiment.data.classes:
        return None  # it has no class of theirs
    network = init.network.to(experiment.processes.device)
    return evaluate(network, experiment.parts.test, batch=optimiser.batch).correct


def _test(
    trainer: Trainer | ReadoutTrainer, best: EpochRow, baseline: BaselineResult | None, command: str
) -> tuple[TestResult, ActivityRecord]:
    """Calibrate the network of the best epoch on the validation part, test it once, and store both records."""
    experiment, folder = trainer.experiment, trainer.folder
    config, data, parts = experiment.config, experiment.data, experiment.parts
    batch, report = config.optimiser.batch, experiment.callback.on_progress
    classifier, network = load_checkpoint(folder.best, str(experiment.processes.device), experiment.modules)
    if data.validation:
        classifier = _calibrate(experiment, folder.best, classifier, network)
    trained = evaluate(network, parts.train, batch=batch, progress=partial(report, "accuracy in training"))
    with count_activity(network) as counters:
        tested = evaluate(network, parts.test, batch=batch, progress=partial(report, "test"))
    report("recording what the layers do", 0, 1)
    layers = summarize_layers(counters, counted=config.bins.dtype.kind == "u")
    scores = score(tested, data.test, data.classes, classifier)
    activity = record_activity(layers, network, parts.test, data, config.bins, scores["wrong"])
    report("comparing with the number of events alone", 0, 1)
    outcome = RunOutcome(
        config=config,
        data=data,
        counts=parts.train.counts(),
        updates=trainer.step,
        layers=layers,
        train_accuracy=trained.accuracy,
        correct=tested.correct,
        count_accuracy=event_count_accuracy(parts.train, parts.test),
        convergence=best.convergence,
    )
    origin = " (synthetic)" if data.synthetic_test else ", trained on synthetic ones" if data.synthetic else ""
    result = TestResult(
        **scores,
        title=data.title,
        synthetic=data.synthetic,
        synthetic_test=data.synthetic_test,
        data=f"{len(data.test)} test recordings of {data.title}{origin}",
        chosen_epoch=best.epoch,
        val_accuracy=best.val_accuracy,
        event_count_accuracy=outcome.count_accuracy,
        train_accuracy=trained.accuracy,
        readout_fitted=config.optimiser.rule == "readout",
        correct_before=_count_before(experiment),
        baseline=baseline,
        findings=diagnose(outcome),
        notes=test_notes(data, outcome.count_accuracy, outcome.counts, baseline, has_layers=bool(layers)),
        command=command,
        versions=versions(),
        machine=describe_machine(experiment.processes.device),
    )
    activity.write(folder.activity)
    result.write(folder.test)
    return result, activity
