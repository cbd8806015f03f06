"""Callbacks of a running training."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..base.progress import NamedStep, Progress, ignore_progress

if TYPE_CHECKING:
    from ..results import EpochRow, RunFolder
    from .config import TrainConfig

log = logging.getLogger(__package__)


class TrainingCallback:
    """Base class of training callbacks; its methods do nothing. Override those you need.

    Example:
        >>> class PrintAccuracy(TrainingCallback):
        ...     def on_epoch(self, row):
        ...         print(f"epoch {row.epoch}: {row.val_accuracy:.1%}")
    """

    def on_progress(self, stage: str, done: float, total: int) -> None:
        """Called when part of a stage is done, such as 2.5 of 20 `epochs`. Raise KeyboardInterrupt to stop."""

    def on_run(self, folder: RunFolder, config: TrainConfig) -> None:
        """Called when a run begins or resumes, before recordings are encoded."""

    def on_data(self, *, synthetic: bool) -> None:
        """Called when the data set is open; `synthetic`: the training and validation recordings are synthetic."""

    def on_epoch(self, row: EpochRow) -> None:
        """Called when an epoch is complete and stored."""

    def on_note(self, text: str) -> None:
        """Called with a decision that the user may not expect."""

    def on_warning(self, text: str) -> None:
        """Called with a warning."""


class LogCallback(TrainingCallback):
    """Log each epoch and each decision at level INFO, and warnings at WARNING. Default callback of `train`.

    Python shows warnings by default; call `logging.basicConfig(level=logging.INFO)` to see the epochs, too.

    Args:
        progress: Called with the amount done of each stage and the total.
    """

    def __init__(self, progress: Progress = ignore_progress) -> None:
        self.kind = ""
        self._progress = progress

    def on_progress(self, stage: str, done: float, total: int) -> None:
        """Report progress."""
        NamedStep(self._progress, stage)(done, total)

    def on_run(self, folder: RunFolder, config: TrainConfig) -> None:  # noqa: ARG002
        """Log the run folder."""
        log.info("run: %s", folder.path)

    def on_data(self, *, synthetic: bool) -> None:
        """Remember whether the validation recordings are synthetic, to label the accuracy."""
        self.kind = " (synthetic)" if synthetic else ""

    def on_epoch(self, row: EpochRow) -> None:
        """Log loss, accuracy, and duration of an epoch."""
        log.info(
            "epoch %d: loss %.3f, accuracy %.1f %%, %s%.1f s",
            row.epoch,
            row.train_loss,
            100 * row.train_accuracy,
            "" if row.val_accuracy is None else f"validation {100 * row.val_accuracy:.1f} %{self.kind}, ",
            row.seconds,
        )

    def on_note(self, text: str) -> None:
        """Log a decision."""
        log.info("%s", text)

    def on_warning(self, text: str) -> None:
        """Log a warning."""
        log.warning("%s", text)
