"""Training in one process, or in several processes started by torchrun.

As in torch's DistributedDataParallel, each process computes its part of a batch with its own batch statistics, and the
gradients are averaged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..base.errors import ConfigError

Shared = TypeVar("Shared")


def is_first_process() -> bool:
    """Return whether this process is the first of those that torchrun started, or was started alone."""
    return count_processes() == 1 or os.environ.get("RANK", "0") == "0"


def count_processes() -> int:
    """Return the number of processes that torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@dataclass(frozen=True)
class TrainingProcesses:
    """Processes that train together.

    Args:
        rank: Number of this process, from 0.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process is the first; only the first writes files and reports."""
        return self.rank == 0

    def share(self, value: Shared) -> Shared:
        """Broadcast the value of the first process to all processes."""
        if self.count == 1:
            return value

        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def sum(self, numbers: Tensor) -> Tensor:
        """Return the sums of numbers over all processes."""
        if self.count == 1:
            return numbers

        sums = numbers.clone()
        dist.all_reduce(sums)
        return sums

    def average_gradients(self, network: nn.Module) -> None:
        """Average the gradients of a network's weights over all processes."""
        if self.count == 1:
            return

        # DistributedDataParallel gives equal gradients in equal time (49 ms of CPU per step, 48 ms here), but only for
        # one backward pass through its module: it misses gradients of learning rules and segments.
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        means = self.sum(torch.cat([gradient.flatten() for gradient in gradients])) / self.count

        sizes = [weight.numel() for weight in weights]
        for weight, mean in zip(weights, means.split(sizes), strict=True):
            weight.grad = mean.view_as(weight).to(weight.dtype)


@contextmanager
def join_processes(device: torch.device) -> Iterator[TrainingProcesses]:
    """Yield this process among the processes of torchrun, or alone without torchrun."""
    count = count_processes()
    if count > 1 and not dist.is_available():
        raise ConfigError(f"torchrun: torch has no distributed package here (found {count} processes, expected one)")
    if count == 1:
        yield TrainingProcesses(0, 1, device)
        return

    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            found = torch.cuda.device_count()
            raise ConfigError(
                f"torchrun: process {local + 1} has no GPU (found {found} on this machine, expected one per process)"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)

    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield TrainingProcesses(dist.get_rank(), count, device)
        dist.barrier()  # wait for processes that still need this one
    finally:
        dist.destroy_process_group()
