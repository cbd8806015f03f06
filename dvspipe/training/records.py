"""The records of the training that a checkpoint comes from."""

from __future__ import annotations

from ..checkpoints.checkpoint import SHIPPED, find_checkpoint
from ..checkpoints.model_card import RunRecords
from ..config import read_stored
from ..results import RunFolder, ShippedRecord, TestResult
from .config import TrainConfig

CARD_SETTINGS = {"seed", "bins", "network", "augment", "optimiser", "stdp"}  # without paths of the user's machine


def find_records(checkpoint: str | None) -> RunRecords | ShippedRecord | None:
    """Return the records of a shipped classifier, or of the run whose best checkpoint this is; None if it is neither.

    Raises:
        FileError: The records are not those of this version.
        ConfigError: Neither is the configuration.
    """
    if checkpoint is None:
        return None
    path = find_checkpoint(checkpoint)
    if path.parent == SHIPPED:
        return ShippedRecord.read(path.with_suffix(".json"))
    folder = RunFolder(path.resolve().parent.parent)  # of RUN/weights/best.safetensors
    if path.resolve() != folder.best or not folder.test.is_file():
        return None
    config = read_stored(TrainConfig, folder.config)
    settings = config.model_dump(mode="json", include=CARD_SETTINGS, exclude_defaults=True)
    return RunRecords(TestResult.read(folder.test), settings)
