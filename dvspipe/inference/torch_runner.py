"""Run a network on windows, or on the next steps of a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..networks import State, count_activity, run_in_pieces, run_network
from ..results import LayerActivity
from .windows import WindowSpikes

ActivitySummary = Callable[[], tuple[LayerActivity, ...]]
"""Function that returns the activity of the layers so far."""


class TorchRunner:
    """Runner of a network in evaluation mode; `max_images` time steps of all windows per forward pass."""

    def __init__(self, network: nn.Module, *, max_images: int) -> None:
        self.network = network
        self._max_images = max_images

    def classify(self, spikes: WindowSpikes) -> NDArray[np.float32]:
        """Return the logits [B, K] of windows [T, B, C, H, W], computed in chunks of `max_images`."""
        chunk = max(1, self._max_images // spikes.shape[1])
        outputs = run_in_pieces(self.network, torch.from_numpy(spikes).to(self._device), chunk)
        return np.asarray(outputs.float().cpu().numpy().mean(axis=0))

    def run(
        self, spikes: WindowSpikes, state: State | None, *, copies: int = 1
    ) -> tuple[NDArray[np.float32], State | None]:
        """Run the next steps [T, C, H, W] of one recording; return the outputs [T, K] and the next state (None: start).

        `copies` equal copies are processed together, if that changes the rounding; see `StatefulRun`.
        """
        copied = torch.from_numpy(spikes[:, None]).expand(-1, copies, -1, -1, -1)
        with torch.no_grad():
            outputs, after = run_network(self.network, copied.to(self._device), state)
        return outputs[:, 0].float().cpu().numpy(), after

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Use one thread inside the block: single steps are too small to share, and idle threads keep cores busy."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @contextmanager
    def count_activity(self) -> Iterator[ActivitySummary]:
        """Count the activity of all forward passes inside the block."""
        with count_activity(self.network, counted=True) as activity:
            yield activity
