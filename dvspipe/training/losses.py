"""Losses of the outputs of all steps."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def mean_loss(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy of the mean over the steps.

    Args:
        outputs: [T, B, K].
        targets: [B, K], the share of each class.
        smoothing: Share of the targets that is spread over all classes, 0 to 1.

    Returns:
        The loss of each recording, [B].
    """
    return nn.functional.cross_entropy(outputs.mean(0), targets, label_smoothing=smoothing, reduction="none")


def each_step_loss(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the mean cross-entropy over the steps (Deng et al. 2022, eq. 9); otherwise as `mean_loss`."""
    T, B, K = outputs.shape
    spread = targets.expand(T, B, K).reshape(T * B, K)
    losses = nn.functional.cross_entropy(outputs.reshape(T * B, K), spread, label_smoothing=smoothing, reduction="none")
    return losses.reshape(T, B).mean(0)


def count_loss(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the mean squared distance of the mean over the steps from the targets; otherwise as `mean_loss`."""
    K = targets.shape[1]
    smoothed = targets * (1 - smoothing) + smoothing / K
    return (outputs.mean(0) - smoothed).square().mean(1)


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "mean": mean_loss,
    "each_step": each_step_loss,
    "count": count_loss,
}
"""The losses by their name in the setting `optimiser.loss`."""
