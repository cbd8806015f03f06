"""One process or many: what torchrun says, and what the processes of a training have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import ConfigError

Shared = TypeVar("Shared")


@dataclass(frozen=True)
class Processes:
    """The processes that train together.

    Args:
        rank: Number of this one; the first alone writes and tells.
        count: How many they are.
        device: Where this one computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this one writes and tells."""
        return self.rank == 0

    def own(self, items: list[int]) -> list[int]:
        """This process's part of a batch."""
        return items[self.rank :: self.count]

    def share(self, value: Shared) -> Shared:
        """The first process's value, in all of them."""
        if self.count == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0)
        shared: Shared = box[0]
        return shared

    def add(self, numbers: Tensor) -> Tensor:
        """The sums of numbers over all processes."""
        if self.count > 1:
            dist.all_reduce(numbers)
        return numbers

    def wrap(self, network: nn.Module) -> nn.Module:
        """A network whose gradients are averaged over the processes, and whose batch norms see the whole batch."""
        if self.count == 1:
            return network
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        else:
            _replace_norms(network)
        return nn.parallel.DistributedDataParallel(network)


@contextmanager
def join_processes(device: torch.device) -> Iterator[Processes]:
    """This process among those that torchrun started, or alone where it did not.

    Raises:
        ConfigError: There are more processes on this machine than GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or not dist.is_available():
        yield Processes(0, 1, device)
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            found = torch.cuda.device_count()
            raise ConfigError(f"torchrun started process {local + 1} on this machine, which has {found} GPUs")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, device)
        dist.barrier()  # none ends while another still needs it
    finally:
        dist.destroy_process_group()


def _replace_norms(network: nn.Module) -> None:
    for child in network.children():
        if isinstance(child, nn.BatchNorm2d):
            child.__class__ = SharedBatchNorm
        else:
            _replace_norms(child)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics are those of the batches of all processes together, on a CPU too.

    (torch's SyncBatchNorm refuses CPU tensors.)
    """

    def forward(self, x: Tensor) -> Tensor:
        """The normalised input [N, C, H, W]."""
        if not self.training:
            return super().forward(x)
        own = x.new_tensor([x.numel() // x.shape[1]])
        sums: Tensor = _AddUp.apply(torch.cat([own, x.sum((0, 2, 3))]))  # type: ignore[no-untyped-call]
        count, mean = float(sums[0].detach()), sums[1:] / sums[0].detach()
        centred = x - mean[:, None, None]
        squares: Tensor = _AddUp.apply(centred.square().sum((0, 2, 3)))  # type: ignore[no-untyped-call]
        self._note(mean.detach(), squares.detach() / (count - 1))
        scale = torch.rsqrt(squares / count + self.eps) * self.weight
        return centred * scale[:, None, None] + self.bias[:, None, None]

    def _note(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)


class _AddUp(torch.autograd.Function):
    """A sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        summed = x.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].clone()
        dist.all_reduce(summed)
        return summed
