"""Logistic regression, the linear classifier of features."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

READOUT_C = 0.01  # C of `fit_readout`; chosen on parts of the training sets of MNIST and N-MNIST
MIN_DEVIATION = 1e-6  # smaller deviations of a feature count as constant, and get the weight 0
MAX_ITERATIONS = 100  # scikit-learn's default; the last digits of the weights do not matter
LAST_GRADIENT = 1e-4  # the fit ends at this gradient, as in scikit-learn


def fit_logistic(features: Tensor, labels: Tensor, classes: int, *, c: float) -> Tensor:
    """Fit a logistic regression: minimise the mean cross-entropy + |W|^2 / (2 c N), as scikit-learn does.

    Args:
        features: Features with a mean of 0 and a standard deviation of 1, float32 [N, F].
        labels: Classes, int64 [N].
        classes: K.
        c: C of scikit-learn: a small one keeps the weights small.

    Returns:
        Weights W and biases, float32 [K, F + 1].

    Example:
        >>> features = torch.tensor([[-1.0], [-1.0], [1.0], [1.0]])
        >>> weight = fit_logistic(features, torch.tensor([0, 0, 1, 1]), 2, c=1.0)
        >>> (features @ weight[:, :-1].T + weight[:, -1]).argmax(1).tolist()
        [0, 0, 1, 1]
    """
    from scipy.optimize import minimize

    N, F = features.shape

    def find_loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight = torch.from_numpy(values).float().reshape(classes, F + 1).requires_grad_()
        logits = features @ weight[:, :-1].T + weight[:, -1]
        loss = nn.functional.cross_entropy(logits, labels) + weight[:, :-1].square().sum() / (2 * c * N)
        (gradient,) = torch.autograd.grad(loss, weight)
        return loss.item(), gradient.double().numpy().ravel()

    options = {"maxiter": MAX_ITERATIONS, "gtol": LAST_GRADIENT}
    fitted = minimize(find_loss, np.zeros(classes * (F + 1)), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(fitted.x).float().reshape(classes, F + 1)


def fit_readout(linear: nn.Linear, features: Tensor, labels: Tensor) -> tuple[float, float]:
    """Fit a logistic regression and store it in a linear layer; return its mean cross-entropy and its accuracy.

    Features are float32 [N, F], labels int64 [N].
    """
    # Standardise the features; constant ones become 0, and get the weight 0.
    deviation, mean = torch.std_mean(features.double(), dim=0, correction=0)
    scale = torch.where(deviation > MIN_DEVIATION, 1 / deviation, 0)
    standardised = ((features - mean) * scale).float()
    fitted = fit_logistic(standardised, labels, linear.out_features, c=READOUT_C)

    # w (x - mean) scale + b = (w scale) x + (b - w scale mean): the layer takes features that are not standardised.
    weight = fitted[:, :-1] * scale
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(fitted[:, -1] - weight @ mean)
        logits = linear(features)

    accuracy = (logits.argmax(1) == labels).double().mean()
    return float(nn.functional.cross_entropy(logits, labels)), float(accuracy)
