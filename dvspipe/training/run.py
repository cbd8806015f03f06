"""Complete training run: data, training, choice of the epoch, calibration, test, and their records.

`_run` has the order of the steps: open and check the data (`_prepare_data`), build the network (`_build`), encode the
recordings (`_encode`), train, and test once (`_test`). The run folder is changed only after everything that can be
checked is checked; `config` is written before the training, after the split, and the records of the test are written
last. So a folder with a configuration can be resumed, and a folder with records is complete.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
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
    NetworkConfig,
    count_activity,
    run_network,
)
from ..results import ActivityRecord, EpochRow, RunFolder, TestResult, TrainingRun, write_rows
from .activity_record import record_activity
from .calibration import find_least_energy, fit_temperature
from .callback import LogCallback, TrainingCallback
from .choice import Choice, choose_settings
from .config import TrainConfig, check_settings
from .diagnosis import describe_test, diagnose, find_data_problems, find_outside
from .evaluation import evaluate_network, score
from .features import FeatureTrainer
from .framing import adopt_framing
from .machine import describe_machine
from .processes import has_several_processes, is_first_process, join_processes
from .resuming import TrainingState, find_state, load_initial_weights, read_run
from .trainer import DataParts, Experiment, RunSetup, Trainer

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
    network: nn.Module | None = None,
    callback: TrainingCallback = TrainingCallback(),
    command: str = "",
    resume: bool = False,
) -> TrainingRun:
    """Train with a complete configuration; arguments as in `dvspipe.train`.

    Args:
        config: Configuration; to resume, none or some settings of the run.
        folder: Run folder; the results of an earlier run are replaced.
        data: Data set; None: the one of the configuration.
        network: The user's own network.
        callback: Training callback.
        command: Command that repeats the run, for the records.
        resume: Continue the run in the folder.
    """
    if resume:
        config = read_run(folder, config)

    # Fail before recordings are read.
    check_settings(config)
    if (config.network == "module") != (network is not None):
        found = "no network" if network is None else "a network of yours"
        raise ConfigError(f"network = {config.network}: found {found} (your own network needs network = module)")

    init = None if config.init is None else load_checkpoint(config.init, network=network)
    if init is not None:
        config = adopt_framing(config, init.config)

    with join_processes(choose_device(config.device)) as processes:
        callback.on_run(folder, config)
        setup = RunSetup(config, folder, init, network, processes, callback)

        try:
            return _run(setup, data, command, resume=resume)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or OUT_OF_MEMORY.search(str(error)):
                raise ConfigError(
                    f"not enough memory for a training step; lower segment, batch = {config.batch}, steps = "
                    f"{config.steps} or channels"
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


def _run(setup: RunSetup, given: DataSet | None, command: str, *, resume: bool) -> TrainingRun:
    """Train, or finish an interrupted run: open and check the data, build, encode, train and test."""
    config = setup.config
    folder = setup.folder
    processes = setup.processes

    # Check as much as possible before the folder is touched and recordings are encoded.
    opened = given
    if opened is None:
        opening = partial(setup.callback.on_progress, "opening recordings")
        opened = open_dataset(config, config, progress=opening)
    data = _prepare_data(setup, opened)
    if resume:
        check_split(folder.split, data)
    classifier, network = _build(setup, data)

    with lock_folder(folder.path) if processes.is_first else nullcontext():
        state = find_state(folder) if resume else None
        if state is not None and (complete := _find_complete(setup, state)) is not None:
            return complete

        parts = _encode(setup, data, classifier)
        settings = yaml.safe_dump(config.to_record(), sort_keys=False)
        if processes.is_first:
            folder.clear(keep_epochs=state is not None)
            write_split(folder.split, data)
            write_text(folder.config, settings)  # written last: its presence means that the run can be resumed

        experiment = Experiment(**vars(setup), data=data, classifier=classifier, parts=parts)
        trainer_class = FeatureTrainer if config.network == "stdp" else Trainer
        trainer = trainer_class(experiment, network.to(processes.device))
        best = trainer.fit(state)

        # The first process tests and writes the records, and the others receive them: every process returns the same
        # run.
        run = None
        if processes.is_first:
            test, activity = _test(experiment, best, command)
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
    if len(state.rows) < setup.config.epochs:
        return None

    is_complete = TestResult.find(folder.test) is not None and folder.activity.is_file()
    if not processes.share(is_complete):
        return None

    load_checkpoint(folder.best, network=setup.own)  # check it, and load the user's network
    return TrainingRun.read(folder)


def _prepare_data(setup: RunSetup, opened: DataSet) -> DataSet:
    """Draw missing parts, leave out copies, and warn of what limits the result."""
    callback = setup.callback
    init = setup.init
    if init is not None and set(opened.classes) == set(init.config.classes):
        opened = opened.with_classes(init.config.classes)  # the last layer has the order of the checkpoint

    drawn = _draw_missing_parts(opened, setup.config)
    data = leave_out_copies(drawn, partial(callback.on_progress, "comparing recordings"))
    _check_classes(data)

    callback.on_data(synthetic=data.synthetic)
    callback.on_note(_describe_parts(data))
    for warning in (*data.warnings, *(finding.text for finding in find_data_problems(data))):
        callback.on_warning(warning)
    return data


def _draw_missing_parts(data: DataSet, config: TrainConfig) -> DataSet:
    """Draw missing test and validation parts from the training part, with a warning."""
    drawn = data
    if not data.test:
        train, test = divide(data.train, config.test, config.seed + 1)
        drawn = replace(drawn, train=tuple(train), test=tuple(test))
    if not data.validation and config.validation:
        train, validation = divide(drawn.train, config.validation, config.seed)
        drawn = replace(drawn, train=tuple(train), validation=tuple(validation))

    warnings = tuple(
        f"{data.title}: has no {part} part; {len(samples)} training recordings are used ({part})"
        for part, samples in drawn.parts.items()
        if samples and not data.parts[part]
    )
    return replace(drawn, warnings=(*data.warnings, *warnings))


def _check_classes(data: DataSet) -> None:
    """Check that there are two classes, and training recordings of every class to validate or test."""
    trained = {sample.label for sample in data.train}
    untrained = sorted({sample.label for sample in (*data.validation, *data.test)} - trained)
    if untrained or len(trained) < 2:
        names = ", ".join(data.classes[label] for label in untrained) or "a second class"
        raise DataError(
            f"{data.title}: no training recordings of {names}; add recordings (each class needs two, or long labels), "
            "or change the split with seed, validation or test"
        )


def _describe_parts(data: DataSet) -> str:
    """Describe the sizes of the parts, the share really held out for validation, and classes without recordings."""
    share = len(data.validation) / (len(data.train) + len(data.validation))
    validated = f"{count_recordings(data.validation)} ({share:.0%})" if data.validation else "none"
    parts = f"training: {count_recordings(data.train)}; validation: {validated}; test: {count_recordings(data.test)}"

    trained = {sample.label for sample in data.train}
    absent = [name for label, name in enumerate(data.classes) if label not in trained]
    return f"{parts}; no recordings of {', '.join(absent)}" if absent else parts


def _build(setup: RunSetup, data: DataSet) -> tuple[ClassifierConfig, nn.Module]:
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
    network = setup.own
    if network is None:
        network = classifier.build_network()
    else:
        _try_out(network, classifier)

    if init is not None:
        classifier = load_initial_weights(init, classifier, network, name=str(config.init))
        if init.config.classes != data.classes:
            setup.callback.on_note(f"init = {config.init}: new last layer for {', '.join(data.classes)}")

    return classifier, network


def _try_out(network: nn.Module, classifier: ClassifierConfig) -> None:
    """Call the user's own network once, to fail before recordings are read.

    Raises:
        ConfigError: If it fails, or does not return an output per class.
    """
    network.eval()
    spikes = torch.zeros(classifier.bins.steps, 1, *classifier.shape)
    try:
        with torch.no_grad():
            outputs, _ = run_network(network, spikes)
    except (RuntimeError, TypeError, ValueError, StopIteration) as error:
        shape = list(spikes.shape)
        raise ConfigError(f"network: fails for an input {shape} ({' '.join(str(error).split())})") from error

    K = len(classifier.classes)
    if outputs.shape[2] != K:
        raise ConfigError(f"network: returned {outputs.shape[2]} outputs (expected one per class, {K})")


def _encode(setup: RunSetup, data: DataSet, classifier: ClassifierConfig) -> DataParts:
    """Encode the parts of the data set as spike tensors, and warn of events outside the steps."""
    config = setup.config
    verb = "reading" if config.root else "rendering"
    cache = open_cache(config)

    def encode(name: str, samples: Sequence[Sample], views: int = 1) -> SpikeTensors:
        settings = TensorSettings(config.part(BinConfig), views, vary=config.part(VaryConfig), seed=config.seed)
        progress = partial(setup.callback.on_progress, f"{verb} {name}")
        return SpikeTensors(samples, settings, cache=cache, jobs=config.jobs, progress=progress)

    train = encode("train", data.train, config.views)
    validation = encode("validation", data.validation) if data.validation else None
    parts = DataParts(train, validation, encode("test", data.test))

    _check_sensor(train, data, classifier)
    for finding in find_outside(train.counts(), config):
        setup.callback.on_warning(finding.text)
    return parts


def _check_sensor(tensors: SpikeTensors, data: DataSet, classifier: ClassifierConfig) -> None:
    """Check that spike tensors have the shape that the network expects."""
    *_, height, width = tensors[0].shape
    _, expected_height, expected_width = classifier.shape
    if (height, width) != (expected_height, expected_width):
        raise DataError(
            f"{data.title}: recordings are not from sensor {data.sensor} (found spike tensors of "
            f"{width}x{height}, expected {expected_width}x{expected_height})"
            f"; use size={data.sensor} to fit recordings and videos to this size"
        )


def _calibrate(experiment: Experiment, classifier: ClassifierConfig, network: nn.Module) -> ClassifierConfig:
    """Calibrate a classifier on the validation part, if there is one, and write the checkpoint."""
    validation = experiment.parts.validation
    calibration: dict[str, float | None] = {"calibrated_on": len(experiment.data.validation)}
    if validation is not None:
        progress = partial(experiment.callback.on_progress, "calibrating")
        validated = evaluate_network(network, validation, batch=experiment.config.batch, progress=progress)
        calibration |= {
            "temperature": fit_temperature(validated.logits, validated.labels),
            "least_energy": find_least_energy(validated.logits),
        }

    calibrated = classifier.model_copy(update=calibration)
    save_checkpoint(experiment.folder.best, calibrated, network)
    return calibrated


def _test(experiment: Experiment, best: EpochRow, command: str) -> tuple[TestResult, ActivityRecord]:
    """Calibrate the network of the chosen epoch, test it once, and store the test and activity records."""
    folder = experiment.folder
    config = experiment.config
    data = experiment.data
    parts = experiment.parts
    device = experiment.processes.device
    report = experiment.callback.on_progress

    classifier, network = load_checkpoint(folder.best, str(device), experiment.own)
    classifier = _calibrate(experiment, classifier, network)

    trained = evaluate_network(
        network, parts.train, batch=config.batch, progress=partial(report, "accuracy in training")
    )
    counted = config.dtype.kind == "u"
    with count_activity(network, counted=counted) as activity_of:
        tested = evaluate_network(network, parts.test, batch=config.batch, progress=partial(report, "test"))

    # What the network did on the test recordings, for the page of the run.
    report("recording layer activity", 0, 1)
    layers = activity_of()
    scores = score(tested, data.test, data.classes, classifier)
    activity = record_activity(layers, network, parts.test, data, config, scores.wrong)

    origin = ", trained on synthetic data" if data.synthetic else ""
    result = TestResult(
        **dict(scores),
        title=data.title,
        synthetic=data.synthetic,
        synthetic_test=data.synthetic_test,
        data=f"{count_recordings(data.test, 'test')} of {data.title}"
        + (" (synthetic)" if data.synthetic_test else origin),
        chosen_epoch=best.epoch,
        val_accuracy=best.val_accuracy,
        val_samples=None if parts.validation is None else len(data.validation),
        train_accuracy=trained.accuracy,
        findings=tuple(diagnose(experiment, layers, trained, tested)),
        notes=tuple(describe_test(data)),
        command=command,
        versions=versions(),
        machine=describe_machine(device),
    )

    # Written last: a resumed run that finds both records is complete.
    activity.write(folder.activity)
    result.write(folder.test)
    return result, activity


def train(
    source: str | Path | DataSet | TrainConfig | Choice,
    config: TrainConfig = TrainConfig(),
    out: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    network: nn.Module | None = None,
    callback: TrainingCallback | None = None,
    progress: Progress = ignore_progress,
) -> TrainingRun:
    """Train a spiking classifier on labelled recordings, and test it once.

    For a folder DIR/CLASS/RECORDING, settings are chosen automatically. The validation part selects the
    epoch. Under torchrun, all processes train one network.

    Args:
        source: Folder of recordings, whose settings are chosen unless they are given; YAML file, or name of an included
            configuration (see dvspipe configs list). In Python also a data set, complete settings with the folder
            `root`, or the result of `choose_settings`.
        config: Settings that take precedence, such as root=DIR or epochs=5.
        out: Run folder; created if missing. Default: a new folder, runs/train/NAME.
        resume: Resume the run in the folder after its last complete epoch, or from its start if there is none, with
            the settings of the run. On a CPU, the weights at the end are the same as without the interruption. A
            complete run is not changed.
        overwrite: Remove the results of an earlier run in the folder.
        network: Your own network. It is trained in place, and has the weights of the chosen epoch at the end.
        callback: Training callback; default: `LogCallback`.
        progress: Called with the amount done and the total.

    Returns:
        The run: its folder, epochs, test result and activity.

    Raises:
        DataError: If the data set is not usable, or differs from the data set of the run to resume.
        ConfigError: If settings contradict each other, the loss becomes NaN, memory runs out, or the run to resume was
            started with other settings.
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

    if network is not None:
        config = TrainConfig(**config.given | {"network": "module"})

    if isinstance(source, str | Path) and Path(source).expanduser().is_dir():
        source = find_folder(source)
        if not resume:
            source = choose_settings(source, config, partial(callback.on_progress, "recordings"))
            callback.on_note(source.summary)
            for warning in source.warnings:
                callback.on_warning(warning)

    if isinstance(source, DataSet):
        complete = config
    elif isinstance(source, Choice | TrainConfig):
        settings = source.config if isinstance(source, Choice) else source
        complete = TrainConfig(**settings.given | config.given)
    elif isinstance(source, Path) and source.is_dir():  # to resume
        complete = TrainConfig(**{"root": source} | config.given)
    else:
        complete = TrainConfig.read(source, config.given)

    trained = run_training(
        complete,
        find_run_folder(out, complete.name, overwrite=overwrite),
        data=source if isinstance(source, DataSet) else None,
        network=network,
        callback=callback,
        command=find_command(),
        resume=resume,
    )
    if is_first_process():
        plugins().hook.report(record=trained, folder=trained.folder.path)
    return trained


def find_command() -> str:
    """Return the command line of this process; empty if it is another program."""
    program = Path(sys.argv[0])
    is_own = program.stem == "dvspipe" or (program.stem == "__main__" and program.parent.name == "dvspipe")
    return shlex.join(["dvspipe", *sys.argv[1:]]) if is_own else ""
