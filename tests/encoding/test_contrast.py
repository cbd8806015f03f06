"""Contrast code: difference of Gaussians of both signs, normalised and ranked into steps."""

from __future__ import annotations

import itertools

import numpy as np
from facts import raises
from scipy import ndimage

from dvspipe.base.errors import DataError
from dvspipe.encoding import Contrast


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((12, 17))


def test_filter_has_zero_mean_and_unit_peak() -> None:
    weights = Contrast().filter
    assert weights.shape == (7, 7)
    assert abs(weights.sum()) < 1e-12
    assert weights.max() == weights[3, 3] == 1
    np.testing.assert_allclose(weights, weights.T)
    assert not Contrast(threshold=1e-6).encode(np.full((12, 17), 0.5))[:, :, 3:-3, 3:-3].any()


def test_responses_equal_scipy() -> None:
    code = Contrast(threshold=0.3)
    response = ndimage.correlate(image(), code.filter, mode="constant")
    both = np.stack([-response, response])
    both[both < 0.3] = 0
    mean = ndimage.uniform_filter(both, (0, 17, 17), mode="constant")
    expected = np.divide(both, mean, out=np.zeros_like(both), where=both > 0)
    np.testing.assert_allclose(code.responses(image()), expected, rtol=1e-9, atol=1e-12)


def test_larger_contrasts_fire_earlier_with_equal_counts_per_step() -> None:
    code = Contrast(steps=6, threshold=0.1)
    spikes, responses = code.encode(image()), code.responses(image())
    assert spikes.shape == (6, 2, 12, 17)
    assert (spikes.sum(axis=0) == (responses > 0)).all()
    each = [responses[step > 0] for step in spikes]
    assert all(before.min() >= after.max() for before, after in itertools.pairwise(each))
    assert np.ptp([len(step) for step in each]) <= 1


def test_invalid_images_are_rejected() -> None:
    with raises(DataError, "1", "2"):
        Contrast().encode(np.zeros(4))
