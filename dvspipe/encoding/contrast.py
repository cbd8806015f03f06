"""Images to spikes by local contrast: difference of Gaussians, then rank order of the responses."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..base.errors import DataError
from ..base.kernels import njit
from .spikes import Floats, SpikeCode, Spikes

EPSILON = 1e-12  # avoids division by a zero mean response


class Contrast(SpikeCode):
    """Difference of Gaussians, local normalisation, rank to latency: the largest contrast fires first.

    Channel 0 is OFF (darker than the surroundings), channel 1 is ON. Responses below the threshold do not fire. The
    others are divided by the mean response of their surroundings, and rank r of R fires in step r T // R. Source:
    Kheradpisheh et al., "STDP-based spiking deep convolutional neural networks for object recognition", Neural
    Networks 99 (2018).
    """

    narrow_px: float = Field(default=1.0, gt=0, le=10)
    """Standard deviation of the narrow Gaussian in pixels."""
    wide_px: float = Field(default=2.0, gt=0, le=20)
    """Standard deviation of the wide Gaussian in pixels."""
    threshold: float = Field(default=0.2, ge=0, le=10)
    """Minimum response that fires; the filter has sum 0 and maximum 1."""
    radius_px: int = Field(default=8, ge=0, le=100)
    """Radius in pixels of the square for normalisation; 0: no normalisation."""

    @model_validator(mode="after")
    def _is_difference(self) -> Contrast:
        if self.narrow_px >= self.wide_px:
            raise ValueError(f"narrow_px = {self.narrow_px:g}: expected less than wide_px = {self.wide_px:g}")
        return self

    @property
    def channels(self) -> int:
        """Number of trains C = 2, one per sign of the contrast."""
        return 2

    @property
    def filter(self) -> Floats:
        """Square ON filter; it reaches 1.5 standard deviations of the wide Gaussian to each side."""
        return _draw_filter(self.narrow_px, self.wide_px)

    def responses(self, image: Floats) -> Floats:
        """Return the responses of an image [H, W], float64 [2, H, W]; 0 for responses that do not fire."""
        response = _correlate(np.ascontiguousarray(image), self.filter)
        both = np.stack([-response, response])
        both[both < max(self.threshold, EPSILON)] = 0
        return both if self.radius_px == 0 else _normalise(both, self.radius_px)

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        if values.ndim != 2:
            raise DataError(f"contrast: encodes images (found an array with {values.ndim} dimensions, expected 2)")
        responses = self.responses(values).ravel()
        fires = np.flatnonzero(responses)
        order = fires[np.argsort(-responses[fires], kind="stable")]
        spikes = np.zeros((self.steps, responses.size), np.uint8)
        spikes[np.arange(order.size) * self.steps // max(1, order.size), order] = 1
        return spikes.reshape(self.steps, 2, *values.shape)


@lru_cache(maxsize=8)
def _draw_filter(narrow_px: float, wide_px: float) -> Floats:
    reach = int(np.ceil(1.5 * wide_px))
    squares = np.arange(-reach, reach + 1) ** 2
    distance = squares[:, None] + squares
    narrow, wide = (np.exp(-distance / (2 * sigma**2)) / sigma**2 for sigma in (narrow_px, wide_px))
    difference = narrow - wide
    difference -= difference.mean()
    return np.asarray(difference / difference.max())


@njit(cache=True, nogil=True, error_model="numpy")
def _correlate(image: Floats, weights: Floats) -> Floats:
    """Correlate an image [H, W] with a square filter, with zero padding."""
    (H, W), side = image.shape, weights.shape[0]
    reach = side // 2
    padded = np.zeros((H + 2 * reach, W + 2 * reach))
    padded[reach : reach + H, reach : reach + W] = image
    result = np.zeros((H, W))
    for y in range(H):
        for dy in range(side):
            for dx in range(side):
                weight = weights[dy, dx]
                for x in range(W):
                    result[y, x] += weight * padded[y + dy, x + dx]
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _normalise(responses: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Divide responses [C, H, W] by their mean over squares, with zero padding."""
    C, H, W = responses.shape
    side = 2 * radius + 1
    result = np.zeros_like(responses)
    sums = np.zeros((H + 1, W + 1))
    for c in range(C):
        for y in range(H):
            row = 0.0
            for x in range(W):
                row += responses[c, y, x]
                sums[y + 1, x + 1] = sums[y, x + 1] + row
        for y in range(H):
            top, bottom = max(0, y - radius), min(H, y + radius + 1)
            for x in range(W):
                left, right = max(0, x - radius), min(W, x + radius + 1)
                if responses[c, y, x] > 0:
                    total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
                    result[c, y, x] = responses[c, y, x] * side * side / (total + EPSILON)
    return result
