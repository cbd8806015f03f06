"""Logistic regression, the linear classifier of features."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MAX_ITERATIONS = 100  # scikit-learn's default; the last digits of the weights do not matter
LAST_GRADIENT = 1e-4  # the fit ends at this gradient, as in scikit-learn
UNSEEN_MARGIN = 30.0  # logits of classes without recordings are this far below all others


def fit_logistic(features: Tensor, labels: Tensor, classes: int, *, c: float) -> Tensor:
    """Fit a logistic regression: minimise the mean cross-entropy + |W|^2 / (2 c N), as scikit-learn does.

    Args:
        features: Features with a mean of 0 and a standard deviation of 1, float32 [N, F].
        labels: Classes, int64 [N].
        classes: K.
        c: C of scikit-learn: a small one keeps the weights small.

    Returns:
        Weights W and biases, float32 [K, F + 1]. Classes without recordings have weights of 0 and a low bias.
    """
    from scipy.optimize import minimize

    seen = torch.bincount(labels, minlength=classes) > 0
    unseen = torch.where(seen, 0.0, -torch.inf)
    # Of two classes, scikit-learn has one vector of weights: half of it and its negative have half of its square.
    decay = (2 if seen.sum() == 2 else 1) / (2 * c * len(features))

    def find_loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight = torch.from_numpy(values.reshape(classes, -1)).float().requires_grad_()
        logits = features @ weight[:, :-1].T + weight[:, -1] + unseen
        loss = nn.functional.cross_entropy(logits, labels) + decay * weight[:, :-1].square().sum()
        (gradient,) = torch.autograd.grad(loss, weight)
        return loss.item(), gradient.double().numpy().ravel()

    start = np.zeros(classes * (features.shape[1] + 1))
    options = {"maxiter": MAX_ITERATIONS, "gtol": LAST_GRADIENT}
    fitted = minimize(find_loss, start, jac=True, method="L-BFGS-B", options=options)

    weight = torch.from_numpy(fitted.x.reshape(classes, -1)).float()
    weight[~seen, -1] = weight[:, -1].min() - UNSEEN_MARGIN
    return weight
