"""Logistic regression, the linear classifier of features."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

READOUT_C = 0.01  # C of the regression; chosen on parts of the training sets of MNIST and N-MNIST
MIN_DEVIATION = 1e-6  # smaller deviations of a feature count as constant, and get the weight 0
MAX_ITERATIONS = 100  # of the fit, scikit-learn's default; the last digits of the weights do not matter
LAST_GRADIENT = 1e-4  # the fit ends at this gradient, as in scikit-learn


def fit_readout(linear: nn.Linear, features: Tensor, labels: Tensor) -> tuple[float, float]:
    """Fit a logistic regression and store it in a linear layer; return its mean cross-entropy and its accuracy.

    It minimises the mean cross-entropy + |W|^2 / (2 C N) for standardised features, as scikit-learn does.

    Args:
        linear: Layer with K outputs.
        features: Features, float32 [N, F].
        labels: Classes, int64 [N]; both in the memory of the CPU, also if the layer is on a GPU.
    """
    from scipy.optimize import minimize

    # Constant features become 0, and get the weight 0.
    deviation, mean = torch.std_mean(features.double(), dim=0, correction=0)
    scale = torch.where(deviation > MIN_DEVIATION, 1 / deviation, 0)
    standardised = ((features - mean) * scale).float()
    shape = (linear.out_features, linear.in_features + 1)  # weights, and the bias

    def find_loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        fitted = torch.from_numpy(values).float().reshape(shape).requires_grad_()
        weight = fitted[:, :-1]
        penalty = weight.square().sum() / (2 * READOUT_C * len(features))
        loss = nn.functional.cross_entropy(standardised @ weight.T + fitted[:, -1], labels) + penalty
        (gradient,) = torch.autograd.grad(loss, fitted)
        return loss.item(), gradient.double().numpy().ravel()

    options = {"maxiter": MAX_ITERATIONS, "gtol": LAST_GRADIENT}
    found = minimize(find_loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=options)
    fitted = torch.from_numpy(found.x).float().reshape(shape)

    # w (x - mean) scale + b = (w scale) x + (b - w scale mean): the layer takes features that are not standardised.
    weight = fitted[:, :-1] * scale
    bias = fitted[:, -1] - weight @ mean
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)

    logits = features @ weight.float().T + bias.float()
    accuracy = (logits.argmax(1) == labels).double().mean()
    return float(nn.functional.cross_entropy(logits, labels)), float(accuracy)
