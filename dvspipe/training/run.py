"""Complete training run: data, training, choice of the epoch, calibration, test, and their records.

`_run` has the order of the steps: open and check the data (`_prepare_data`), build the network (`_build`), encode the
recordings (`_encode`), train, and test once (`_test`). The run folder is changed only after everything that can be
checked is checked; `config` is written before the training, after the split, and the records of the test are written
last. So a folder with a configuration can be resumed, and a folder with records is complete.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
import yaml
from torch import nn

from ..base.errors import ConfigError, DataError, count_noun
from ..base.files import lock_folder, write_text
from ..base.progress import Progress, ignore_progress
from ..checkpoints.checkpoint import ClassifierConfig, load_checkpoint, save_checkpoint, versions
from ..datasets import (
    DataSet,
    Sample,
    SpikeTensors,
    TensorSettings,
    VaryConfig,
    count_recordings,
    open_cache,
    open_dataset,
)
from ..datasets.split import Split, draw_missing, find_pieces, leave_out_copies, restore_split
from ..encoding import BinConfig
from ..hooks import plugins
from ..networks import NetworkConfig, count_activity, run_network
from ..results import ActivityRecord, EpochRow, RunFolder, TestResult, TrainingRun, write_rows
from .activity_record import record_activity
from .calibration import find_least_energy, fit_temperature
from .choice import choose_settings
from .config import TrainConfig, check_settings, is_data_folder
from .diagnosis import diagnose, find_data_problems, find_outside
from .evaluation import evaluate_network, score
from .features import FeatureTrainer
from .framing import adopt_framing
from .processes import count_processes, is_first_process, join_processes
from .resuming import TrainingState, find_state, load_initial_weights, read_run
from .trainer import DataParts, Experiment, OnEpoch, RunSetup, Trainer

RUNS = Path("runs/train")  # folder of new runs
CPUINFO = Path("/proc/cpuinfo")  # Linux's description of the processor
OUT_OF_MEMORY = re.compile("not enough memory|can't allocate memory")  # in torch's error messages about CPU memory

log = logging.getLogger(__package__)


def train(
    source: str | Path | DataSet | TrainConfig,
    config: TrainConfig = TrainConfig(),
    out: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    network: nn.Module | None = None,
    on_epoch: OnEpoch | None = None,
    progress: Progress = ignore_progress,
) -> TrainingRun:
    """Train a spiking classifier on labelled recordings, and test it once.

    For a folder DIR/CLASS/RECORDING, settings are chosen automatically. The validation part selects the
    epoch. Under torchrun, all processes train one network.

    Args:
        source: Folder of recordings, whose settings are chosen unless they are given; YAML file, or name of an included
            configuration (see dvspipe configs). In Python also a data set, or complete settings with the folder
            `root`.
        config: Settings that take precedence, such as root=DIR or epochs=5.
        out: Run folder; created if missing. Default: a new folder, runs/train/NAME.
        resume: Resume the run in the folder after its last complete epoch, or from its start if there is none, with
            the settings of the run. On a CPU, the weights at the end are the same as without the interruption. A
            complete run is not changed.
        overwrite: Remove the results of an earlier run in the folder.
        network: Your own network. It is trained in place, and has the weights of the chosen epoch at the end.
        on_epoch: Called with the `EpochRow` of each epoch when it is complete and stored.
        progress: Called with the amount done of each stage and its total.

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
    # One process reports.
    log.disabled = not is_first_process()
    progress = progress if is_first_process() else ignore_progress
    if count_processes() > 1:
        log.info("training in %d processes (WORLD_SIZE of torchrun)", count_processes())

    if out is None and (resume or count_processes() > 1):
        needs = "resume" if resume else "several training processes"
        raise ConfigError(f"out: missing ({needs}: expected the run folder); use out=FOLDER")
    if out is not None and not resume and is_first_process():
        RunFolder(Path(out)).check_unused(overwrite=overwrite)  # fail before recordings are read
    if network is not None:
        config = TrainConfig(**config.given | {"network": "module"})

    complete = _read_settings(source, config, progress, resume=resume)
    folder = RunFolder.find_free(RUNS, complete.name, overwrite=overwrite) if out is None else RunFolder(Path(out))
    if resume:
        complete = read_run(folder, complete)

    # Fail before recordings are read.
    check_settings(complete)
    if (complete.network == "module") != (network is not None):
        found = "no network" if network is None else "a network of yours"
        raise ConfigError(f"network = {complete.network}: found {found} (your own network needs network = module)")
    init = None if complete.init is None else load_checkpoint(complete.init, network=network)
    if init is not None:
        complete = adopt_framing(complete, init.config)

    if complete.network == "stdp" and count_processes() > 1:
        raise ConfigError("network = stdp: cannot train in several processes; start it without torchrun")

    with join_processes(choose_device("cpu" if complete.network == "stdp" else complete.device)) as processes:
        setup = RunSetup(complete, folder, init, network, processes, on_epoch, progress)
        try:
            run = _run(setup, source if isinstance(source, DataSet) else None, resume=resume)
        except KeyboardInterrupt:
            if folder.config.exists():
                log.info("%s: not complete; use resume to continue it", folder.path)
            raise
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and not OUT_OF_MEMORY.search(str(error)):
                raise
            raise ConfigError(
                f"not enough memory for a training step; lower segment, batch = {complete.batch}, steps = "
                f"{complete.steps} or channels"
            ) from error

    if is_first_process():
        plugins().hook.report(record=run, folder=folder.path)
    return run


def _read_settings(
    source: str | Path | DataSet | TrainConfig, config: TrainConfig, progress: Progress, *, resume: bool
) -> TrainConfig:
    """Return the settings of a training; of a run to resume, only the given ones."""
    if isinstance(source, DataSet):
        return config
    if isinstance(source, TrainConfig):
        return TrainConfig(**source.given | config.given)
    if not is_data_folder(source):
        return TrainConfig.read(source, config.given)

    if resume:
        return TrainConfig(**{"root": source} | config.given)
    return choose_settings(source, config, progress)


def choose_device(name: str) -> torch.device:
    """Return the torch device for `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: If `cuda` is requested and there is no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda: no GPU found by torch; use cpu or auto")

    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _run(setup: RunSetup, given: DataSet | None, *, resume: bool) -> TrainingRun:
    """Train, or finish an interrupted run: open and check the data, build, encode, train and test."""
    config = setup.config
    folder = setup.folder
    processes = setup.processes

    # Check as much as possible before the folder is touched and recordings are encoded.
    opened = given or open_dataset(config, config, progress=setup.stage("opening recordings"))
    data = _prepare_data(setup, opened)
    if resume:
        restored = restore_split(folder.split, data)
        if restored is None:
            raise DataError(f"{folder.split}: lists no recording of {data.title}; a run resumes with its recordings")
        data = restored
    classifier, network = _build(setup, data)

    log.info("run: %s", folder.path)
    with lock_folder(folder.path) if processes.is_first else nullcontext():
        state = find_state(folder) if resume else None
        if state is not None and (complete := _find_complete(setup, state)) is not None:
            return complete

        parts = _encode(setup, data, classifier)
        experiment = Experiment(**vars(setup), data=data, classifier=classifier, parts=parts)
        trainer_class = FeatureTrainer if config.network == "stdp" else Trainer
        trainer = trainer_class(experiment, network.to(processes.device))

        settings = yaml.safe_dump(config.to_record(), sort_keys=False)
        if processes.is_first:
            folder.clear(keep_epochs=state is not None)
            Split.of(data).write(folder.split)
            write_text(folder.config, settings)  # written last: its presence means that the run can be resumed

        best = trainer.fit(state)

        # The first process tests and writes the records, and the others receive them: every process returns the same
        # run.
        run = None
        if processes.is_first:
            test, activity = _test(experiment, best, find_command(folder.config if resume else None))
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

    has_records = TestResult.find(folder.test) is not None and folder.activity.is_file()
    if not processes.share(has_records and len(state.rows) == setup.config.epochs):
        return None

    load_checkpoint(folder.best, network=setup.own)  # check it, and load the user's network
    return TrainingRun.read(folder)


def _prepare_data(setup: RunSetup, data: DataSet) -> DataSet:
    """Draw missing parts, leave out copies, and check that there are recordings of every class to train on."""
    config = setup.config
    init = setup.init
    if init is not None and set(data.classes) == set(init.config.classes):
        data = data.with_classes(init.config.classes)  # the last layer has the order of the checkpoint

    drawn = data.with_parts(draw_missing(data.parts, config))
    data = find_pieces(leave_out_copies(drawn, setup.stage("comparing recordings")))

    trained = {sample.label for sample in data.train}
    untrained = sorted({sample.label for sample in (*data.validation, *data.test)} - trained)
    if untrained or len(trained) < 2:
        names = ", ".join(data.classes[label] for label in untrained) or "a second class"
        raise DataError(
            f"{data.title}: no training recordings of {names}; add recordings (each class needs two, or long labels), "
            "or change the split with seed, validation or test"
        )

    parts = ", ".join(f"{part} {count_recordings(samples)}" for part, samples in data.parts.items())
    log.info("%s: %s", data.title, parts)
    for warning in (*data.warnings, *find_data_problems(data)):
        log.warning("%s", warning)
    return data


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
        # Call it once, to fail before recordings are read.
        with torch.no_grad():
            outputs, _ = run_network(network.eval(), torch.zeros(classifier.bins.steps, 1, *classifier.shape))
        if outputs.shape[2] != len(data.classes):
            raise ConfigError(
                f"network: returned {outputs.shape[2]} outputs (expected one per class, {len(data.classes)})"
            )

    if init is not None:
        classifier = load_initial_weights(init, classifier, network, name=str(config.init))
        if init.config.classes != data.classes:
            log.info("init = %s: new last layer for %s", config.init, ", ".join(data.classes))
    return classifier, network


def _encode(setup: RunSetup, data: DataSet, classifier: ClassifierConfig) -> DataParts:
    """Encode the parts of the data set as spike tensors."""
    config = setup.config
    cache = open_cache(config)

    def encode(name: str, samples: Sequence[Sample], views: int = 1) -> SpikeTensors:
        settings = TensorSettings(config.part(BinConfig), views, vary=config.part(VaryConfig), seed=config.seed)
        return SpikeTensors(samples, settings, cache=cache, jobs=config.jobs, progress=setup.stage(f"encoding {name}"))

    train = encode("train", data.train, config.views)
    validation = encode("validation", data.validation) if data.validation else None
    parts = DataParts(train, validation, encode("test", data.test))

    *_, height, width = train[0].shape
    _, expected_height, expected_width = classifier.shape
    if (height, width) != (expected_height, expected_width):
        raise DataError(
            f"{data.title}: recordings are not from sensor {data.sensor} (found spike tensors of {width}x{height}, "
            f"expected {expected_width}x{expected_height}); use size={data.sensor} to fit recordings to this size"
        )
    for warning in find_outside(train, config):
        log.warning("%s", warning)
    return parts


def _test(experiment: Experiment, best: EpochRow, command: str) -> tuple[TestResult, ActivityRecord]:
    """Calibrate the network of the chosen epoch, test it once, and store the test and activity records."""
    folder = experiment.folder
    config = experiment.config
    data = experiment.data
    parts = experiment.parts
    stage = experiment.stage

    classifier, network = load_checkpoint(folder.best, str(experiment.processes.device), experiment.own)
    calibration: dict[str, float | None] = {"calibrated_on": len(data.validation)}
    if parts.validation is not None:
        validated = evaluate_network(network, parts.validation, batch=config.batch, progress=stage("calibrating"))
        calibration["temperature"] = fit_temperature(validated.logits, validated.labels)
        calibration["least_energy"] = find_least_energy(validated.logits)
    classifier = classifier.model_copy(update=calibration)
    save_checkpoint(folder.best, classifier, network)

    trained = evaluate_network(network, parts.train, batch=config.batch, progress=stage("accuracy in training"))
    with count_activity(network, counted=True) as activity_of:
        tested = evaluate_network(network, parts.test, batch=config.batch, progress=stage("test"))

    # What the network did on the test recordings, for the page of the run.
    layers = activity_of()
    scores = score(tested, data.test, classifier)
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
        findings=(
            *find_data_problems(data),
            *find_outside(parts.train, config),
            *diagnose(layers, data, trained, tested),
        ),
        command=command,
        versions=versions(),
        machine=describe_machine(experiment.processes.device),
    )

    # Written last: a resumed run that finds both records is complete.
    activity.write(folder.activity)
    result.write(folder.test)
    return result, activity


def find_command(resumed: Path | None) -> str:
    """Return the command line that makes the run from its start; empty if this process is another program.

    The command line of a resumed run may lack settings: its file of settings, `resumed`, has them all.
    """
    program = Path(sys.argv[0])
    is_own = program.stem == "dvspipe" or (program.stem == "__main__" and program.parent.name == "dvspipe")
    words = sys.argv[1:] if resumed is None else ["train", str(resumed)]
    return shlex.join(["dvspipe", *words]) if is_own else ""


def describe_machine(device: torch.device) -> dict[str, str]:
    """Describe Python, the system, processor, threads, and the GPU if one is used."""
    text = CPUINFO.read_text(encoding="utf-8", errors="replace") if CPUINFO.is_file() else ""
    model = re.search(r"model name\s*: (.+)", text)
    processor = model[1] if model else platform.processor() or platform.machine()
    gpu = {"GPU": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}

    return {
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{processor}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    } | gpu
