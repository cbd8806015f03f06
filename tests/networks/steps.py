"""Norse's cells over time, as a user without dvspipe runs them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Steps(nn.Module):
    """Loop over the steps of a cell, with a state."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, currents: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return the outputs and the last state."""
        outputs = []
        for current in currents.unbind(0):
            output, state = self.cell(current, state)
            outputs.append(output)
        return torch.stack(outputs), state
