"""Pearson's correlation coefficient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def correlate(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return Pearson's correlation of two arrays of the same shape, -1 to 1; None if one is constant or empty.

    Source: Pearson, "Note on regression and inheritance in the case of two parents", Proc. R. Soc. London 58 (1895).

    Example:
        >>> round(correlate(np.array([1, 2, 3]), np.array([2, 4, 6])), 9)
        1.0
    """
    # compare extremes: the variance of equal values is not exactly 0 in floating point
    if not a.size or a.min() == a.max() or b.min() == b.max():
        return None

    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
