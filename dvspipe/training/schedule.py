"""Loss of the outputs at all steps, learning rate schedule, and moving average of the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from .config import OptimiserConfig


def build_schedule(
    config: OptimiserConfig, optimiser: torch.optim.Optimizer, batches: int, *, step: int = 0
) -> LambdaLR:
    """Create the learning rate schedule: linear warm-up, then cosine decay to 0 or a constant."""
    warm_up = round(batches * config.warm_up)
    total = batches * config.epochs

    def find_factor(number: int) -> float:
        if number < warm_up < total:
            return (number + 1) / warm_up
        if config.schedule == "constant":
            return 1.0

        done = (number - warm_up) / max(1, total - warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    # torch requires the initial rate in the optimiser if the schedule does not start at step 0.
    for group in optimiser.param_groups:
        group["initial_lr"] = config.learning_rate
    return LambdaLR(optimiser, find_factor, last_epoch=step - 1)


def build_average(network: nn.Module, decay: float) -> AveragedModel:
    """Create an exponential moving average of a network's weights and buffers, starting with the present values.

    Step n moves it by 1 - d with d = min(decay, n / (n + 9)), so the initial weights are soon forgotten. Integers, such
    as the batch count of a batch norm, are copied.
    """

    def move(average: Tensor, weights: Tensor, step: Tensor | int) -> Tensor:
        if not average.dtype.is_floating_point:
            return weights
        n = int(step)
        return average.lerp(weights, 1 - min(decay, n / (n + 9)))

    average = AveragedModel(network, avg_fn=move, use_buffers=True).eval()
    average.n_averaged += 1  # at 0, the first step would replace the present weights
    return average


def find_losses(outputs: Tensor, targets: Tensor, config: OptimiserConfig) -> Tensor:
    """Return the cross-entropy of each recording [B], of the mean output or the mean over the steps.

    With `each_step`, it is Deng et al. 2022, eq. 9.

    Args:
        outputs: Logits per step [T, B, K].
        targets: Target probabilities [B, K].
        config: Loss, and share of the targets that is spread over all classes.

    Example:
        >>> import torch
        >>> find_losses(torch.zeros(5, 1, 4), torch.eye(4)[:1], OptimiserConfig())  # log 4: all are equally probable
        tensor([1.3863])
    """
    logits = outputs.mean(0, keepdim=True) if config.loss == "mean" else outputs

    T, B, K = logits.shape
    spread = targets.expand(T, B, K).reshape(T * B, K)
    losses = nn.functional.cross_entropy(
        logits.reshape(T * B, K), spread, label_smoothing=config.label_smoothing, reduction="none"
    )
    return losses.reshape(T, B).mean(0)
