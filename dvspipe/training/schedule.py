"""Losses of the outputs at all steps, optimiser, learning rate schedule, and moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from .config import OptimiserConfig


def build_optimiser(settings: OptimiserConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Create the optimiser of a network's weights."""
    return torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)


def build_schedule(
    settings: OptimiserConfig, optimiser: torch.optim.Optimizer, batches: int, *, step: int = 0
) -> LambdaLR:
    """Create the learning rate schedule: linear warm-up, then cosine decay to 0 or a constant."""
    factor = partial(
        learning_rate_factor,
        settings.schedule,
        warm_up=round(batches * settings.warm_up),
        total=batches * settings.epochs,
    )

    # torch requires the initial rate in the optimiser if the schedule does not start at step 0.
    for group in optimiser.param_groups:
        group["initial_lr"] = settings.learning_rate
    return LambdaLR(optimiser, factor, last_epoch=step - 1)


def learning_rate_factor(schedule: str, step: int, *, warm_up: int, total: int) -> float:
    """Return the learning rate of a step relative to its peak.

    Example:
        >>> [learning_rate_factor("cosine", step, warm_up=2, total=6) for step in (0, 1, 2, 4, 6)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warm_up and total > warm_up:
        return (step + 1) / warm_up
    if schedule == "constant":
        return 1.0

    progress = (step - warm_up) / max(1, total - warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def build_average(network: nn.Module, decay: float) -> AveragedModel:
    """Create an exponential moving average of a network's weights and buffers, starting with the present values.

    Step n moves it by 1 - d with d = min(decay, n / (n + 9)), so the initial weights are soon forgotten. Integers, such
    as the batch count of a batch norm, are copied.
    """
    average = AveragedModel(network, avg_fn=_ema_update(decay), use_buffers=True).eval()
    average.n_averaged += 1  # at 0, the first step would replace the present weights
    return average


def _ema_update(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    def move(average: Tensor, weights: Tensor, step: Tensor | int) -> Tensor:
        if not average.dtype.is_floating_point:
            return weights

        n = int(step)
        limited = min(decay, n / (n + 9))  # see `build_average`
        return average.lerp(weights, 1 - limited)

    return move


def mean_loss(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy of the mean output over the steps.

    Args:
        outputs: Logits per step [T, B, K].
        targets: Target probabilities [B, K].
        smoothing: Label smoothing, 0 to 1: share of the targets spread over all classes.

    Returns:
        Loss of each recording [B].

    Example:
        >>> import torch
        >>> mean_loss(torch.zeros(5, 1, 4), torch.eye(4)[:1], 0.0)  # log 4: all four classes are equally probable
        tensor([1.3863])
    """
    return nn.functional.cross_entropy(outputs.mean(0), targets, label_smoothing=smoothing, reduction="none")


def each_step_loss(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the mean over the steps of the cross-entropy (Deng et al. 2022, eq. 9); arguments as in `mean_loss`."""
    T, B, K = outputs.shape
    spread = targets.expand(T, B, K).reshape(T * B, K)
    losses = nn.functional.cross_entropy(outputs.reshape(T * B, K), spread, label_smoothing=smoothing, reduction="none")

    return losses.reshape(T, B).mean(0)


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "mean": mean_loss,
    "each_step": each_step_loss,
}
"""Loss functions by their name in `loss`."""
