"""Command `quantise`: compile a trained network to integers."""

from __future__ import annotations

from pathlib import Path

from ..base.errors import ConfigError, DataError
from ..base.progress import Progress, ignore_progress
from ..checkpoints.checkpoint import shipped_checkpoints, shipped_config
from ..results import EvaluatedPart, RunFolder
from ..training import TrainConfig
from ..training.config import read_experiment
from . import quantisation
from .quantisation import Quantisation

UNSEEN_SEED = 2000  # rendered people that the included classifiers were not trained on (seed 0)


def quantise(
    checkpoint: str,
    data: str | None = None,
    config: TrainConfig = TrainConfig(),
    *,
    out: Path,
    part: EvaluatedPart = "test",
    bits: int = 8,
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
        overwrite: Replace an existing file.
        progress: Called with the amount done and the total.
    """
    experiment = _read_data(checkpoint, data, config)
    if data is None and experiment.root is not None and not experiment.root.is_dir():
        raise DataError(
            f"{RunFolder(Path(checkpoint)).config}: root = {experiment.root}: no such folder (expected the recordings "
            "of the training; the path is relative to the folder in which it ran); use root=DIR to set it"
        )

    return quantisation.quantise(
        checkpoint,
        experiment,
        part,
        out=out,
        overwrite=overwrite,
        bits=bits,
        progress=progress,
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
