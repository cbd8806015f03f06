"""What inference needs of a network: numpy arrays in and out, whether it runs in PyTorch or in integers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..base.config import Settings
from ..checkpoints.checkpoint import Arrays, ClassifierConfig
from ..results import LayerActivity
from .windows import WindowSpikes

ActivitySummary = Callable[[], tuple[LayerActivity, ...]]
"""Function that returns the activity of the layers so far."""


class NetworkRunner(Protocol):
    """A network that classifies windows, and recordings step by step."""

    def classify(self, spikes: WindowSpikes) -> NDArray[np.float32]:
        """Return the logits [B, K] of windows [T, B, C, H, W]."""

    def run(self, spikes: WindowSpikes, state: object, *, copies: int = 1) -> tuple[NDArray[np.float32], object]:
        """Run the next steps of one recording.

        Args:
            spikes: Spike tensor [T, C, H, W].
            state: State after the previous steps; None: start.
            copies: Number of equal copies that are processed together, if that changes the rounding; see `StatefulRun`.

        Returns:
            Outputs [T, K], and the state after the last step.
        """

    def one_thread(self) -> AbstractContextManager[None]:
        """Use one thread inside the block: single steps are too small to share, and idle threads keep cores busy."""

    def count_activity(self) -> AbstractContextManager[ActivitySummary]:
        """Count the activity of the network inside the block."""

    def describe(self, config: ClassifierConfig) -> tuple[Settings, Arrays]:
        """Return the settings and arrays that define a classifier with this network."""
