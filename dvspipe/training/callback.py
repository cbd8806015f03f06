"""What a caller can follow while a training runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..results import EpochRow


class TrainingCallback:
    """Methods that training calls; these do nothing. Derive from it and override what you want to follow."""

    def on_progress(self, stage: str, done: int, total: int) -> None:
        """A part of a stage is done; may raise KeyboardInterrupt to stop the training."""

    def on_data(self, *, synthetic: bool) -> None:
        """The data set is open; its training and validation recordings are synthetic or not."""

    def on_start(self, rates: Mapping[str, float]) -> None:
        """The first batch went through the untrained network: spikes per neuron and step of each layer."""

    def on_epoch(self, row: EpochRow) -> None:
        """An epoch is complete and stored."""

    def on_note(self, text: str) -> None:
        """Something was decided that the user may not expect; the text says what."""

    def on_warning(self, text: str) -> None:
        """Something looks wrong; the text names it and the setting to try."""


class StageCallback(TrainingCallback):
    """Report the progress of a part of a training alone, with a prefix before its stages.

    Args:
        callback: Where it is reported.
        prefix: Such as `baseline, `.
    """

    def __init__(self, callback: TrainingCallback, prefix: str) -> None:
        self.callback, self.prefix = callback, prefix

    def on_progress(self, stage: str, done: int, total: int) -> None:
        """Report progress with the prefix."""
        self.callback.on_progress(self.prefix + stage, done, total)
