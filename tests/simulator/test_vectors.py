"""Short float32 vectors in compiled functions."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from dvspipe.simulator.vectors import broadcast, load, store


@njit(error_model="numpy")
def combine(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    number: np.float32,
    square: tuple[int, ...],
    out: NDArray[np.float32],
) -> None:
    x, y, z = load(a, np.uintp(1), square), load(b, np.uintp(0), square), broadcast(number, square)
    store(out, np.uintp(0), x + y)
    store(out, np.uintp(5), x - z)
    store(out, np.uintp(10), x * y)
    store(out, np.uintp(15), min(x, y))
    store(out, np.uintp(20), max(x, z))


@pytest.mark.parametrize("length", [2, 4])
def test_vector_operations_match_numpy(length: int) -> None:
    rng = np.random.default_rng(length)
    a, b = (rng.normal(size=8).astype(np.float32) for _ in range(2))
    out = np.full(25, np.nan, np.float32)
    combine(a, b, np.float32(0.3), (0,) * length, out)
    x, y, z = a[1 : 1 + length], b[:length], np.float32(0.3)
    expected = x + y, x - z, x * y, np.minimum(x, y), np.maximum(x, z)
    assert np.array_equal(out.reshape(5, 5)[:, :length], np.stack(expected))
    assert np.isnan(out.reshape(5, 5)[:, length:]).all()  # nothing else is written
