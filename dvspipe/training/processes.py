"""Training in one process, or in several processes started by torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from ..base.errors import ConfigError

Shared = TypeVar("Shared")


def is_first_process() -> bool:
    """Return whether this process is the first of those that torchrun started, or was started alone."""
    return os.environ.get("RANK", "0") == "0"


def has_several_processes() -> bool:
    """Return whether torchrun started several processes."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


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
        """Whether this process is the first; only the first writes files and calls callbacks."""
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
        if self.count > 1:
            dist.all_reduce(numbers)
        return numbers

    def average_gradients(self, network: nn.Module) -> None:
        """Average the gradients of a network's weights over all processes."""
        if self.count == 1:
            return

        # DistributedDataParallel gives equal gradients in equal time (49 ms of CPU per step, 48 ms here), but only for
        # one backward pass through its module: it misses gradients of learning rules, segments and accumulated parts.
        weights = list(network.parameters())
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        means = self.sum(torch.cat([gradient.flatten() for gradient in gradients])) / self.count

        sizes = [weight.numel() for weight in weights]
        for weight, mean in zip(weights, means.split(sizes), strict=True):
            weight.grad = mean.view_as(weight)

    def join_norms(self, network: nn.Module) -> nn.Module:
        """Return the network with batch norms that use the batches of all processes."""
        if self.count == 1:
            return network
        if self.device.type == "cuda":
            converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
            return converted

        _replace_norms(network)
        return network


@contextmanager
def join_processes(device: torch.device) -> Iterator[TrainingProcesses]:
    """Yield this process among the processes of torchrun, or alone without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or not dist.is_available():
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


def _replace_norms(network: nn.Module) -> None:
    for child in network.children():
        if isinstance(child, nn.BatchNorm2d) and child.affine and child.track_running_stats:
            child.__class__ = SharedBatchNorm
        else:
            _replace_norms(child)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm with statistics over the batches of all processes, on GPU and CPU.

    torch's SyncBatchNorm refuses CPU tensors. Separate batch norms per process would give other weights than training
    in one process; they take 54 ms of CPU per step of a small network, these take 84 ms.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the input [N, C, H, W]."""
        if not self.training:
            return super().forward(x)

        # Mean and variance over the recordings of all processes, whose batches may have different sizes: sum the counts
        # with the values, and the squares around the common mean.
        values = x.new_tensor([x.numel() // x.shape[1]])
        sums: Tensor = _SumOverProcesses.apply(torch.cat([values, x.sum((0, 2, 3))]))  # type: ignore[no-untyped-call]
        count = float(sums[0].detach())
        mean = sums[1:] / sums[0].detach()
        centred = x - mean[:, None, None]
        squares: Tensor = _SumOverProcesses.apply(centred.square().sum((0, 2, 3)))  # type: ignore[no-untyped-call]

        if self.track_running_stats:
            self._update_statistics(mean.detach(), squares.detach() / (count - 1))

        scale = torch.rsqrt(squares / count + self.eps) * self.weight
        return centred * scale[:, None, None] + self.bias[:, None, None]

    def _update_statistics(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None

        self.num_batches_tracked.add_(1)
        # Without a momentum, the running statistics are the mean over all batches so far, as in torch.
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _SumOverProcesses(torch.autograd.Function):
    """Sum over all processes; its gradient is the sum of their gradients.

    torch's own function in `torch.distributed.nn` is deprecated, and its replacement is private.
    """

    @staticmethod
    def forward(_context: FunctionCtx, x: Tensor) -> Tensor:
        summed = x.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_context: FunctionCtx, *gradients: Tensor) -> Tensor:
        summed = gradients[0].clone()
        dist.all_reduce(summed)
        return summed
