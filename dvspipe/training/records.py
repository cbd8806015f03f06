"""Records of the training of a checkpoint."""

from __future__ import annotations

from ..base.config import read_stored
from ..checkpoints.checkpoint import SHIPPED, find_checkpoint
from ..checkpoints.model_card import RunRecords
from ..results import RunFolder, ShippedRecord, TestResult
from .config import TrainConfig

CARD_SETTINGS = {"seed", "bins", "network", "augment", "optimiser", "stdp"}  # exclude paths of the user's machine


def find_records(checkpoint: str | None) -> RunRecords | ShippedRecord | None:
    """Find the records of a checkpoint: of a shipped classifier, or of its run if it is the best one; else None."""
    if checkpoint is None:
        return None
    path = find_checkpoint(checkpoint)
    if path.parent == SHIPPED:
        return ShippedRecord.read(path.with_suffix(".json"))
    folder = RunFolder(path.resolve().parent.parent)  # path: RUN/weights/best.safetensors
    if path.resolve() != folder.best or not folder.test.is_file():
        return None
    config = read_stored(TrainConfig, folder.config)
    settings = config.model_dump(mode="json", include=CARD_SETTINGS, exclude_defaults=True)
    return RunRecords(TestResult.read(folder.test), settings)
