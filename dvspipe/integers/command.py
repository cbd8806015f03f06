"""Command `quantise`: compile a trained network to integers."""

from __future__ import annotations

import logging
from pathlib import Path

from ..base.errors import ConfigError, DataError
from ..base.files import check_output
from ..base.progress import Progress, ignore_progress
from ..checkpoints.checkpoint import shipped_checkpoints, shipped_config
from ..results import CHECKPOINT_SUFFIX, EvaluatedPart, RunFolder
from ..training import LogCallback, TrainConfig
from ..training.config import read_experiment
from . import quantisation
from .quantisation import Quantisation

UNSEEN_SEED = 2000  # rendered people that the included classifiers were not trained on (seed 0)

log = logging.getLogger(__name__)


def quantise(
    checkpoint: str,
    data: str | None = None,
    config: TrainConfig = TrainConfig(),
    *,
    out: Path,
    part: EvaluatedPart = "test",
    bits: int = 8,
    epochs: int = 0,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Quantisation:
    """Compile a trained network to integers, and compare it with the original on recordings.

    The scales are calibrated on at most 64 recordings of the validation part, or of the compared part if the data set
    has no validation part. The calibration does not use labels.

    Args:
        checkpoint: Run folder, .safetensors file, name of an included classifier, or hf://USER/NAME.
        data: Data set, as for evaluate: a folder of recordings, a YAML file, or an included configuration; default: the
            data set of the run, or new rendered clips for an included gesture classifier.
        config: Settings that take precedence.
        out: Checkpoint file to write (.safetensors).
        part: Part of the data set to compare on.
        bits: Number of bits of a weight, from 2 to 8. Weights are stored as int8.
        epochs: Fine-tune with rounded weights for this number of epochs first, in the run folder OUT without its
            suffix; an interrupted run is resumed. 0: do not fine-tune.
        overwrite: Replace an existing file.
        progress: Called with the amount done and the total.
    """
    # Refuse a wrong output before fine-tuning.
    check_output(out, "a network in integers", CHECKPOINT_SUFFIX, overwrite=overwrite)
    experiment = _read_data(checkpoint, data, config)
    if data is None and experiment.root is not None and not experiment.root.is_dir():
        raise DataError(
            f"{RunFolder(Path(checkpoint)).config}: root = {experiment.root}: no such folder (expected the recordings "
            "of the training; the path is relative to the folder in which it ran); use root=DIR to set it"
        )

    tuned = None
    callback = LogCallback(progress)
    if epochs:
        # The name of the run folder follows from the file, so the same command finds the run and resumes it.
        tuned = RunFolder(out.with_suffix(""))
        resume = tuned.config.is_file() and not overwrite
        log.info("%s: %s", "resuming" if resume else "run", tuned.path)
        quantisation.fine_tune(
            checkpoint,
            experiment,
            tuned.path,
            epochs=epochs,
            bits=bits,
            resume=resume,
            overwrite=overwrite,
            callback=callback,
        )

    return quantisation.quantise(
        checkpoint,
        experiment,
        part,
        out=out,
        overwrite=overwrite,
        bits=bits,
        tuned=None if tuned is None else tuned.path,
        callback=callback,
    )


def _read_data(checkpoint: str, data: str | None, config: TrainConfig) -> TrainConfig:
    """Return the settings of the data set: as given, of the run, or of the included classifier."""
    run = RunFolder(Path(checkpoint)).config
    if data is not None:
        return read_experiment(data, config)
    if run.is_file():
        return read_experiment(str(run), config)
    if checkpoint in shipped_checkpoints():
        return read_experiment(shipped_config(checkpoint), TrainConfig(**{"seed": UNSEEN_SEED} | config.given))
    raise ConfigError(f"{checkpoint}: not a run folder, so it has no data set (expected DATA after it)")
