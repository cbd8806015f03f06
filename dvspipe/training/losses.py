"""Loss functions of the outputs at all steps."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


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


def count_loss(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the mean squared error of the mean output over the steps; arguments as in `mean_loss`."""
    K = targets.shape[1]
    smoothed = targets * (1 - smoothing) + smoothing / K
    return (outputs.mean(0) - smoothed).square().mean(1)


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "mean": mean_loss,
    "each_step": each_step_loss,
    "count": count_loss,
}
"""Loss functions by their name in `optimiser.loss`."""
