"""Complete training run: data, training, choice of the epoch, calibration, test, and their records.

`run_training` has the order of the steps, in `_run`: open and check the data (`_prepare_data`), build the network
(`_build`), encode the recordings (`_encode`), train (`_fit`), and test once (`_test`). The run folder is changed only
after everything that can be checked is checked; `config` is written before the training, after the split, and the
records of the test are written last. So a folder with a configuration can be resumed, and a folder with records is
complete.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import yaml
from torch import nn

from ..base.errors import ConfigError, DataError, count_noun
from ..base.files import lock_folder, write_text
from ..base.progress import Progress, ignore_progress
from ..checkpoints.checkpoint import (
    ClassifierConfig,
    load_checkpoint,
    save_checkpoint,
    versions,
)
from ..datasets import (
    DataSet,
    DecodedEvents,
    Sample,
    SpikeTensors,
    TensorSettings,
    VaryConfig,
    check_split,
    count_recordings,
    divide,
    find_folder,
    leave_out_copies,
    open_cache,
    open_dataset,
    write_split,
)
from ..encoding import BinConfig
from ..hooks import plugins
from ..networks import (
    NO_MODULES,
    ModuleNetwork,
    ModuleSource,
    Network,
    NetworkConfig,
    count_activity,
    summarize_layers,
)
from ..results import ActivityRecord, EpochRow, Finding, RunFolder, TestResult, TrainingRun, write_rows
from .activity_record import record_activity
from .calibration import find_least_energy, fit_temperature
from .callback import LogCallback, TrainingCallback
from .choice import choose_settings
from .config import TrainConfig, check_settings
from .diagnosis import RunOutcome, diagnose, find_copies, find_outside, find_same_films, test_notes
from .evaluation import evaluate_network, event_count_accuracy, score
from .features import FeatureTrainer
from .framing import adopt_framing
from .machine import describe_machine, lacks_bfloat16
from .new_readout import fit_new_readout, is_linear
from .processes import has_several_processes, is_first_process, join_processes
from .resuming import TrainingState, check_config, describe_changes, find_state, load_initial_weights, read_run
from .trainer import DataParts, Experiment, RunSetup, Trainer, is_over, require_tensorboard

RUNS = Path("runs/train")  # folder of new runs
OUT_OF_MEMORY = re.compile("not enough memory|can't allocate memory")  # in torch's error messages about CPU memory


def find_run_folder(out: str | Path | None, name: str, *, overwrite: bool) -> RunFolder:
    """Return a run folder, by default the first free one for a name in `RUNS`."""
    if out is not None:
        return RunFolder(Path(out))
    if has_several_processes():  # each process would find another folder
        raise ConfigError("out: missing; several training processes need a common run folder")
    return RunFolder.find_free(RUNS, name, overwrite=overwrite)


def run_training(
    config: TrainConfig,
    folder: RunFolder,
    *,
    data: DataSet | None = None,
    modules: ModuleSource = NO_MODULES,
    callback: TrainingCallback = TrainingCallback(),
    command: str = "",
    resume: bool = False,
    changed: bool = False,
    decoded: DecodedEvents | None = None,
) -> TrainingRun:
    """Train with a complete configuration; arguments as in `dvspipe.train`.

    Args:
        config: Configuration.
        folder: Run folder; the results of an earlier run are replaced.
        data: Data set; None: the one of the configuration.
        modules: Source of a network with `network = module`.
        callback: Training callback.
        command: Command that repeats the run, for the records.
        resume: Continue the run in the folder.
        changed: Allow resuming with other settings.
        decoded: Events decoded earlier.
    """
    check_settings(config)
    modules.check(config)  # fail before recordings are read
    init = None if config.init is None else load_checkpoint(config.init, modules=modules)
    if init is not None:
        config = adopt_framing(config, init.config)

    with join_processes(choose_device(config.device)) as processes:
        if resume:
            command += describe_changes(check_config(config, folder, changed=changed))

        callback.on_run(folder, config)
        setup = RunSetup(config, folder, init, modules, processes, callback)
        _check_precision(setup)

        try:
            return _run(setup, data, decoded, command, resume=resume)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or OUT_OF_MEMORY.search(str(error)):
                raise ConfigError(
                    "not enough memory for a training step; raise accumulate = "
                    f"{config.accumulate}, or lower segment, batch = "
                    f"{config.batch}, steps = {config.steps} or channels"
                ) from error
            raise


def choose_device(name: str) -> torch.device:
    """Return the torch device for `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: If `cuda` is requested and there is no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda: no GPU found by torch; use cpu or auto")

    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _check_precision(setup: RunSetup) -> None:
    """Check that the device has the precision, and warn if it emulates it."""
    precision = setup.config.precision
    device = setup.processes.device.type
    if precision == "float16" and device != "cuda":
        raise ConfigError("precision = float16: needs a GPU; use bfloat16 or float32 on the CPU")
    if precision == "bfloat16" and device == "cpu" and lacks_bfloat16():
        setup.callback.on_warning("precision = bfloat16: this processor emulates it; float32 is faster")


def _run(
    setup: RunSetup, given: DataSet | None, decoded: DecodedEvents | None, command: str, *, resume: bool
) -> TrainingRun:
    """Train, or finish an interrupted run: open and check the data, build, encode, fit and test."""
    config = setup.config
    folder = setup.folder
    init = setup.init
    processes = setup.processes
    callback = setup.callback
    if config.tensorboard:
        require_tensorboard()

    # Check as much as possible before the folder is touched and recordings are encoded.
    opening = partial(callback.on_progress, "opening recordings")
    opened = given
    if opened is None:
        opened = open_dataset(config, config, decoded=decoded, progress=opening)
    if init is not None and set(opened.classes) == set(init.config.classes):
        opened = opened.with_classes(init.config.classes)  # the last layer has the order of the checkpoint
    data = _prepare_data(setup, opened)
    if resume:
        check_split(folder.split, data)
    _check_classes(data, callback)

    classifier, network = _build(setup, data)

    if init is not None and init.config.classes != data.classes:
        callback.on_note(
            f"init = {config.init}: new last layer for {len(data.classes)} classes: {', '.join(data.classes)}"
        )

    with lock_folder(folder.path) if processes.is_first else nullcontext():
        state = find_state(folder) if resume else None
        if state is not None:
            complete = _find_complete(setup, state)
            if complete is not None:
                return complete

        parts = _encode(setup, data, decoded, classifier)

        settings = yaml.safe_dump(config.to_record(), sort_keys=False)
        if processes.is_first:
            folder.clear(keep_epochs=state is not None)
            write_split(folder.split, data)
            write_text(folder.config, settings)  # written last: its presence means that the run can be resumed

        experiment = Experiment(**vars(setup), data=data, classifier=classifier, parts=parts)
        trainer, best = _fit(experiment, network.to(processes.device), state)

        # The first process tests and writes the records, and the others receive them: every process returns the same
        # run.
        run = None
        if processes.is_first:
            test, activity = _test(trainer, best, command)
            run = TrainingRun(folder, settings, tuple(trainer.rows), test, activity)
        shared = processes.share(run)
        assert shared is not None
        return shared


def _find_complete(setup: RunSetup, state: TrainingState) -> TrainingRun | None:
    """Restore the rows of an interrupted run; return the run if nothing is left to do."""
    folder = setup.folder
    processes = setup.processes

    # Rows in the file may be lost, or include an incomplete epoch.
    if processes.is_first:
        write_rows(state.rows, EpochRow, folder.epochs, folder.epochs_csv)
    if not is_over(setup.config, state.rows):
        return None

    is_complete = TestResult.find(folder.test) is not None and folder.activity.is_file()
    if not processes.share(is_complete):
        return None

    load_checkpoint(folder.best, modules=setup.modules)  # check it, and load the user's network
    return TrainingRun.read(folder)


def _fit(experiment: Experiment, network: Network, state: TrainingState | None) -> tuple[Trainer, EpochRow]:
    """Train a network by its rule; return the trainer and the row of the chosen epoch."""
    init = experiment.init
    has_new_classes = init is not None and init.config.classes != experiment.data.classes
    if state is None and has_new_classes and is_linear(network):
        fit_new_readout(experiment, network)

    def save(path: Path, trained: nn.Module) -> None:
        save_checkpoint(path, experiment.classifier, trained)

    trainer_class = FeatureTrainer if experiment.config.network == "stdp" else Trainer
    trainer = trainer_class(experiment, network, save)
    return trainer, trainer.fit(state)


def _prepare_data(setup: RunSetup, opened: DataSet) -> DataSet:
    """Draw missing parts, leave out copies, and warn of what limits the result."""
    callback = setup.callback
    drawn = _draw_missing_parts(opened, setup.config)
    data = leave_out_copies(drawn, partial(callback.on_progress, "comparing recordings"))

    trained = {sample.label for sample in data.train}
    if len(trained) == 1 and len(data.classes) > 1:
        (only,) = trained
        raise DataError(
            f"{data.title}: the training part has one class (found {data.classes[only]}, expected two or more); "
            "each class needs two recordings, or long labels"
        )

    callback.on_data(synthetic=data.synthetic)
    callback.on_note(_describe_parts(data))
    for warning in data.warnings:
        callback.on_warning(warning)
    _warn(callback, (*find_copies(data), *find_same_films(data)))
    return data


def _describe_parts(data: DataSet) -> str:
    """Describe the sizes of the parts, and the share that is really held out for validation."""
    share = len(data.validation) / (len(data.train) + len(data.validation))
    validated = f"{count_recordings(data.validation)} ({share:.0%})" if data.validation else "none"
    return f"training: {count_recordings(data.train)}; validation: {validated}; test: {count_recordings(data.test)}"


def _draw_missing_parts(data: DataSet, config: TrainConfig) -> DataSet:
    """Draw missing test and validation parts from the training part, with a warning."""
    train = list(data.train)
    test = list(data.test)
    validation = list(data.validation)
    warnings = data.warnings

    if not test:
        train, test = divide(train, config.test, config.seed + 1)
        warnings += (f"{data.title}: has no test part; {len(test)} training recordings are used (test)",)

    if not validation and config.validation:
        train, validation = divide(train, config.validation, config.seed)
        warnings += (
            f"{data.title}: has no validation part; {len(validation)} training recordings are used (validation)",
        )

    return replace(data, train=tuple(train), validation=tuple(validation), test=tuple(test), warnings=warnings)


def _build(setup: RunSetup, data: DataSet) -> tuple[ClassifierConfig, Network]:
    """Create the classifier configuration for a data set and its network, with the weights of a checkpoint if given."""
    config = setup.config
    init = setup.init
    if config.downsample >= max(data.sensor.width, data.sensor.height) > 1:
        raise ConfigError(
            f"downsample = {config.downsample}: too large, leaves a single pixel (found sensor {data.sensor})"
        )

    classifier = ClassifierConfig(
        classes=data.classes,
        width=data.sensor.width,
        height=data.sensor.height,
        bins=config.part(BinConfig),
        framing=config.framing.for_checkpoint(),
        hop_us=config.hop_us,
        inputs=data.inputs,
        network=config.part(NetworkConfig),
        trained_on=f"{'synthetic ' if data.synthetic else ''}{data.title}, {count_noun(len(data.train), 'recording')}",
    )

    # Seed just before the weights are drawn: they do not depend on the work before.
    torch.manual_seed(config.seed)
    network = classifier.build_network(setup.modules)
    if isinstance(network, ModuleNetwork):
        network.try_out(classifier.task)  # fail before recordings are read

    if init is not None:
        classifier = load_initial_weights(init, classifier, network, name=str(config.init))

    return classifier, network


def _encode(setup: RunSetup, data: DataSet, decoded: DecodedEvents | None, classifier: ClassifierConfig) -> DataParts:
    """Encode the parts of the data set for a classifier, and warn of events outside the steps."""
    parts = _load(setup, data)

    # The tensors are encoded; release the memory of the events.
    if decoded is not None:
        decoded.clear()

    _check_sensor(parts.train, data, classifier)
    _warn(setup.callback, find_outside(parts.train.counts(), setup.config))
    return parts


def _load(setup: RunSetup, data: DataSet) -> DataParts:
    """Encode the parts of the data set as spike tensors."""
    config = setup.config
    verb = "reading" if config.root else "rendering"
    cache = open_cache(config)

    def load(name: str, samples: Sequence[Sample], views: int) -> SpikeTensors:
        settings = TensorSettings(config.part(BinConfig), views, vary=config.part(VaryConfig), seed=config.seed)
        progress = partial(setup.callback.on_progress, f"{verb} {name}")
        return SpikeTensors(samples, settings, cache=cache, jobs=config.jobs, progress=progress)

    train = load("train", data.train, config.views)
    validation = load("validation", data.validation, 1) if data.validation else None
    return DataParts(train, validation, load("test", data.test, 1))


def _check_sensor(tensors: SpikeTensors, data: DataSet, classifier: ClassifierConfig) -> None:
    """Check that spike tensors have the shape that the network expects."""
    *_, height, width = tensors[0].shape
    _, expected_height, expected_width = classifier.task.shape
    if (height, width) != (expected_height, expected_width):
        raise DataError(
            f"{data.title}: recordings are not from sensor {data.sensor} (found spike tensors of "
            f"{width}x{height}, expected {expected_width}x{expected_height})"
            f"; use size={data.sensor} to fit recordings and videos to this size"
        )


def _warn(callback: TrainingCallback, findings: Iterable[Finding]) -> None:
    for finding in findings:
        callback.on_warning(finding.text)


def _check_classes(data: DataSet, callback: TrainingCallback) -> None:
    """Check that every class to validate or test has training recordings; warn of classes without any recordings."""
    trained = {sample.label for sample in data.train}
    untrained = sorted({sample.label for sample in (*data.validation, *data.test)} - trained)
    if untrained or len(trained) < 2:
        names = ", ".join(data.classes[label] for label in untrained) or "more than one class"
        raise DataError(
            f"{data.title}: no training recordings of {names}; add recordings, or change the split with seed, "
            "validation or test"
        )

    absent = [name for label, name in enumerate(data.classes) if label not in trained]
    if absent:
        callback.on_warning(f"{data.title}: no recordings of {', '.join(absent)}; the network cannot predict them")


def _calibrate(experiment: Experiment, path: Path, classifier: ClassifierConfig, network: Network) -> ClassifierConfig:
    """Calibrate a classifier on the validation part, and write the checkpoint.

    Without a validation part, the probabilities are not calibrated.
    """
    parts = experiment.parts
    batch = experiment.config.batch
    report = experiment.callback.on_progress

    calibration: dict[str, float | None] = {}
    if parts.validation is not None:
        validated = evaluate_network(network, parts.validation, batch=batch, progress=partial(report, "calibrating"))
        calibration = {
            "temperature": fit_temperature(validated.logits, validated.labels),
            "least_energy": find_least_energy(validated.logits),
        }

    calibrated = classifier.model_copy(update={**calibration, "calibrated_on": len(experiment.data.validation)})
    save_checkpoint(path, calibrated, network)
    return calibrated


def _describe_origin(data: DataSet) -> str:
    if data.synthetic_test:
        return " (synthetic)"
    return ", trained on synthetic data" if data.synthetic else ""


def _test(
    trainer: Trainer,
    best: EpochRow,
    command: str,
) -> tuple[TestResult, ActivityRecord]:
    """Calibrate the network of the chosen epoch, test it once, and store the test and activity records."""
    experiment = trainer.experiment
    folder = trainer.folder
    config = experiment.config
    data = experiment.data
    parts = experiment.parts
    batch = config.batch
    report = experiment.callback.on_progress

    classifier, network = load_checkpoint(folder.best, str(experiment.processes.device), experiment.modules)
    classifier = _calibrate(experiment, folder.best, classifier, network)

    trained = evaluate_network(network, parts.train, batch=batch, progress=partial(report, "accuracy in training"))
    with count_activity(network) as counters:
        tested = evaluate_network(network, parts.test, batch=batch, progress=partial(report, "test"))

    # What the network did on the test recordings, for the page of the run.
    report("recording layer activity", 0, 1)
    layers = summarize_layers(counters, counted=config.dtype.kind == "u")
    scores = score(tested, data.test, data.classes, classifier)
    activity = record_activity(layers, network, parts.test, data, config, scores["wrong"])

    # What limits the result; the number of events alone is the simplest classifier to beat.
    report("classifying by the number of events", 0, 1)
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

    result = TestResult(
        **scores,
        title=data.title,
        synthetic=data.synthetic,
        synthetic_test=data.synthetic_test,
        data=f"{count_recordings(data.test, 'test')} of {data.title}{_describe_origin(data)}",
        chosen_epoch=best.epoch,
        val_accuracy=best.val_accuracy,
        val_samples=None if parts.validation is None else len(data.validation),
        event_count_accuracy=outcome.count_accuracy,
        train_accuracy=trained.accuracy,
        findings=diagnose(outcome),
        notes=test_notes(outcome),
        command=command,
        versions=versions(),
        machine=describe_machine(experiment.processes.device),
    )

    # Written last: a resumed run that finds both records is complete.
    activity.write(folder.activity)
    result.write(folder.test)
    return result, activity


def train(
    source: str | Path | DataSet | TrainConfig,
    config: TrainConfig = TrainConfig(),
    out: str | Path | None = None,
    *,
    resume: bool = False,
    changed: bool = False,
    overwrite: bool = False,
    network: nn.Module | None = None,
    trust: Sequence[str] = (),
    callback: TrainingCallback | None = None,
    progress: Progress = ignore_progress,
) -> TrainingRun:
    """Train a spiking classifier on labelled recordings, and test it once.

    For a folder DIR/CLASS/RECORDING, settings are chosen automatically. The validation part selects the
    epoch. Under torchrun, all processes train one network.

    Args:
        source: Folder of recordings, whose settings are chosen unless they are given; YAML file, or name of an included
            configuration (see dvspipe configs list). In Python also a data set, or complete settings with the folder
            `root`.
        config: Settings that take precedence, such as root=DIR or epochs=5.
        out: Run folder; created if missing. Default: a new folder, runs/train/NAME.
        resume: Resume the run in the folder after its last complete epoch, or from its start if there is none. On a
            CPU, the weights at the end are the same as without the interruption. A complete run is not changed.
        changed: Allow resuming with changed settings, such as epochs, learning rate and batch size.
        overwrite: Remove the results of an earlier run in the folder.
        network: Your own network, for `network = module`. It is trained in place, and has the weights of the chosen
            epoch at the end. Without it, `target` builds the module.
        trust: Packages allowed to run code for `target`.
        callback: Training callback; default: `LogCallback`.
        progress: Called with the amount done and the total.

    Returns:
        The run: its folder, epochs, test result and activity.

    Raises:
        DataError: If the data set is not usable, or differs from the data set of the run to resume.
        ConfigError: If settings contradict each other, the loss becomes NaN, memory runs out, the run to resume was
            started with other settings, or the package of `target` is not trusted.
        CheckpointError: If the state to resume from is missing, or the checkpoint of a complete run is corrupted.
        FileError: If the folder contains a run, cannot be written to, or another process trains in it.

    Example:
        >>> from dvspipe import TrainConfig, train
        >>> train("recordings", TrainConfig(rule="eprop", epochs=5)).test.accuracy  # doctest: +SKIP
        0.95
    """
    callback = callback or LogCallback(progress)
    if not is_first_process():
        callback = TrainingCallback()  # one process reports

    if resume and out is None:
        raise ConfigError("resume: needs a run folder; use out=FOLDER")
    if out is not None and not resume and is_first_process():
        RunFolder(Path(out)).check_unused(overwrite=overwrite)  # fail before recordings are read

    # The recordings of a folder are decoded while its settings are chosen.
    decoded = None
    if isinstance(source, TrainConfig):
        complete = source
    elif isinstance(source, DataSet):
        complete = config if network is None else TrainConfig(**config.given | {"network": "module"})
    elif Path(source).expanduser().is_dir():
        run = RunFolder(Path(out)) if resume and out is not None else None
        complete, decoded = _configure_folder(find_folder(source), config, callback, run)
    else:
        complete = TrainConfig.read(source, config.given)

    trained = run_training(
        complete,
        find_run_folder(out, complete.name, overwrite=overwrite),
        data=source if isinstance(source, DataSet) else None,
        modules=ModuleSource.of(trust, network),
        callback=callback,
        command=find_command(),
        resume=resume,
        changed=changed,
        decoded=decoded,
    )
    if is_first_process():
        plugins().hook.report(record=trained, folder=trained.folder.path)
    return trained


def find_command() -> str:
    """Return the command line of this process; empty if it is another program."""
    program = Path(sys.argv[0])
    is_own = program.stem == "dvspipe" or (program.stem == "__main__" and program.parent.name == "dvspipe")
    return shlex.join(["dvspipe", *sys.argv[1:]]) if is_own else ""


def _configure_folder(
    folder: Path, given: TrainConfig, callback: TrainingCallback, run: RunFolder | None
) -> tuple[TrainConfig, DecodedEvents | None]:
    """Return the configuration for a folder of recordings, and the events decoded while choosing it.

    Args:
        folder: Folder of recordings.
        given: Settings that are given take precedence.
        callback: Called with progress and the choice.
        run: Run to resume.
    """
    # A resumed run keeps the settings that were chosen for it.
    if run is not None:
        return read_run(run, given.given, recordings=folder), None

    choice = choose_settings(folder, given, partial(callback.on_progress, "recordings"))
    callback.on_choice(choice)
    return choice.config, choice.decoded
