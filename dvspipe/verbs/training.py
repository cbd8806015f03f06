"""Verbs that train and evaluate classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.config import Settings, as_settings, plain_settings
from ..base.errors import ConfigError
from ..base.files import claim_output
from ..encoding import BinConfig
from ..networks import ModuleSource, NetworkConfig
from ..results import EvaluatedPart, EvaluationResult, RunFolder, TrainingRun

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import nn

    from ..datasets import DataConfig, DataSet, DecodedEvents
    from ..training import TrainConfig, TrainingCallback
    from ..training.config import TrainKeywords
    from ..training.evaluation import TrainedClassifier


def train(
    config: str | Path | DataSet | TrainConfig | Mapping[str, object],
    out: str | Path | None = None,
    *,
    resume: bool = False,
    changed: bool = False,
    overwrite: bool = False,
    network: nn.Module | NetworkConfig | Mapping[str, object] | None = None,
    trust: str | Sequence[str] = (),
    command: str = "",
    decoded: DecodedEvents | None = None,
    callback: TrainingCallback | None = None,
    **named: Unpack[TrainKeywords],
) -> TrainingRun:
    """Train a spiking classifier on labelled recordings, and test it once.

    For a folder DIR/<class>/<recording or video>, settings are chosen automatically. The validation part selects the
    epoch. Under torchrun, all processes train one network.

    Args:
        config: What to train on. One of:

            - a folder of recordings: their settings are chosen (see `choose_settings`);
            - with `resume`, a folder of recordings: the run says the settings;
            - settings, as a model or a mapping; `TrainConfig.read` reads them from a file;
            - a data set: missing parts are drawn from its training part.
        out: Run folder; created if missing. None: a new folder, runs/train/NAME.
        resume: Resume the run in the folder after its last complete epoch, or from its start if there is none. On a
            CPU, the weights at the end are the same as without the interruption. A complete run is not changed.
        changed: Allow resuming with changed settings, such as epochs, learning rate and batch size.
        overwrite: Remove the results of an earlier run in the folder.
        network: Settings of the network; or your own network, for `network.kind = module`. It is trained in place, and
            has the weights of the chosen epoch at the end. Without it, `network.target` builds the module.
        trust: Packages allowed to run code for `network.target`.
        command: Command that repeats the run, for the records.
        decoded: Events decoded while choosing the settings (`Choice.decoded`); released once all recordings are
            encoded.
        callback: Training callback; default: `LogCallback`.
        named: Settings by name, such as `epochs=5` for `optimiser.epochs`; they take precedence over `config`. A group
            has its own name: `bins={"steps": 10}`.

    Returns:
        The run: its folder, epochs, test result and activity.

    Raises:
        DataError: If the data set is not usable, or differs from the data set of the run to resume.
        ConfigError: If settings contradict each other, the loss becomes NaN, memory runs out, the run to resume was
            started with other settings, or the package of `network.target` is not trusted.
        CheckpointError: If the state to resume from is missing, or the checkpoint of a complete run is corrupted.
        FileError: If the folder contains a run, cannot be written to, or another process trains in it.

    Example:
        >>> from dvspipe import train
        >>> train("recordings", "runs/mine", rule="eprop", epochs=5).test.accuracy  # doctest: +SKIP
        0.95
    """
    from torch import nn

    from ..datasets import DataSet, find_folder
    from ..training import LogCallback, TrainConfig, TrainingCallback
    from ..training.processes import is_first_process
    from ..training.run import find_run_folder, run_training

    callback = callback or LogCallback()
    if not is_first_process():
        callback = TrainingCallback()  # one process reports

    # A data set comes without settings: the run has the defaults and the named settings.
    dataset = None
    folder_or_settings = None
    if isinstance(config, DataSet):
        dataset = config
    else:
        folder_or_settings = config

    # Settings name the kind of their network, to be complete without this call. With a data set, only the call can.
    settings: dict[str, object] = {**named}
    module = None
    if isinstance(network, nn.Module):
        module = network
        if dataset is not None:
            settings["network"] = {"kind": "module"}
    elif isinstance(network, Settings | Mapping):
        settings["network"] = network

    if resume and out is None:
        raise ConfigError("resume: needs a run folder; use out=FOLDER")
    if out is not None and not resume and is_first_process():
        RunFolder(Path(out)).check_unused(overwrite=overwrite)  # fail before recordings are read

    if isinstance(folder_or_settings, str | Path):
        # The argument `decoded` is for settings chosen before; the recordings of a folder are decoded here.
        run = RunFolder(Path(out)) if resume and out is not None else None
        complete, decoded = _configure_folder(find_folder(folder_or_settings), settings, callback, run)
    else:
        complete = as_settings(TrainConfig, folder_or_settings, settings, train)

    return run_training(
        complete,
        find_run_folder(out, complete.name, overwrite=overwrite),
        data=dataset,
        modules=ModuleSource.of(trust, module),
        callback=callback,
        command=command,
        resume=resume,
        changed=changed,
        decoded=decoded,
    )


def _configure_folder(
    folder: Path, settings: Mapping[str, object], callback: TrainingCallback, run: RunFolder | None
) -> tuple[TrainConfig, DecodedEvents | None]:
    """Return the configuration for a folder of recordings, and the events decoded while choosing it.

    Args:
        folder: Folder of recordings.
        settings: Named settings; they take precedence.
        callback: Called with progress and the choice.
        run: Run to resume.
    """
    from ..training import TrainConfig, choose_settings
    from ..training.resuming import read_run

    # A resumed run keeps the settings that were chosen for it.
    named = plain_settings(TrainConfig, None, settings, train)
    if run is not None:
        return read_run(run, named, recordings=folder), None

    choice = choose_settings(folder, named, partial(callback.on_progress, "recordings"))
    callback.on_choice(choice)
    return choice.config, choice.decoded


def evaluate(
    checkpoint: str | Path | TrainedClassifier | nn.Module,
    data: DataConfig | DataSet | Mapping[str, object] | str | Path,
    part: EvaluatedPart = "test",
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    against: EvaluationResult | str | Path | None = None,
    seed: int = 0,
    batch: int = 32,
    trust: str | Sequence[str] = (),
    network: nn.Module | None = None,
    bins: BinConfig | Mapping[str, object] | None = None,
    callback: TrainingCallback | None = None,
) -> EvaluationResult:
    """Evaluate a classifier on a data set: accuracy, calibration and confused classes.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME. In Python also a
            `Classifier`, or a network that returns [T, B, K] or [B, K] for all steps [T, B, C, H, W].
        data: Folder of recordings, or the settings of a data set, also a mapping; or a data set. It has
            classes of the classifier, in any order. A folder is framed as in training, unless its settings say
            otherwise.
        part: Part of the data set to evaluate. If the recordings are not from the run, the test part is all of them.
        out: JSON file for all scores, or CSV file for the probabilities of each recording. None: not written.
        overwrite: Replace an existing file.
        against: JSON file of another classifier on the same recordings: test whether the accuracies differ (McNemar,
            exact). In Python also its result.
        seed: Seed of the split, used if the checkpoint is not in a run folder that stores one.
        batch: Recordings per batch.
        trust: Packages allowed to run code for networks with `network.kind = module`.
        network: Your own network, which was passed to `train`; the weights of the checkpoint are loaded into it.
        bins: Steps of the spike tensors for a network; a checkpoint and a `Classifier` have their own.
        callback: Called with progress, and with a warning if the part may contain recordings of the training.

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
    from torch import nn

    from ..datasets import DataSet, as_data, open_cache, open_dataset
    from ..training import LogCallback
    from ..training.evaluation import describe_network, evaluate_opened, open_evaluation

    if out is not None:
        claim_output(Path(out), overwrite=overwrite)
    other = EvaluationResult.read(against) if isinstance(against, str | Path) else against

    callback = callback or LogCallback()
    modules = ModuleSource.of(trust, network)
    open_part = partial(open_evaluation, part=part, seed=seed, callback=callback, modules=modules)

    # Only settings say where tensors are cached.
    source = data if isinstance(data, DataSet) else as_data(data)
    cache = None if isinstance(source, DataSet) else open_cache(source)

    # A network has no configuration of its own: classes and sensor come from the data set, which is opened first.
    if isinstance(checkpoint, nn.Module):
        steps = as_settings(BinConfig, bins)
        dataset = source if isinstance(source, DataSet) else open_dataset(source, seed, steps)
        opened = open_part(describe_network(checkpoint, dataset, steps), dataset)
    else:
        opened = open_part(checkpoint, source)

    result = evaluate_opened(opened, cache, batch=batch, callback=callback)
    if other is not None:
        result = result.model_copy(update={"against": result.compare(other)})

    if out is not None:
        write_evaluation = result.write_table if Path(out).suffix.lower() == ".csv" else result.write
        write_evaluation(Path(out))
    return result
