"""Images to spikes by local contrast: difference of Gaussians, then rank order of the responses."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..base.errors import DataError
from ..base.kernels import njit
from .spikes import Floats, SpikeCode, Spikes

NARROW_PX = 1.0  # standard deviations of the two Gaussians
WIDE_PX = 2.0
FILTER_REACH = 1.5  # half of the filter's side, in standard deviations of the wide Gaussian
RADIUS_PX = 8  # radius of the square whose mean response normalises a response
EPSILON = 1e-12  # avoids division by a zero mean response


class Contrast(SpikeCode):
    """Difference of Gaussians, local normalisation, rank to latency: the largest contrast fires first.

    Channel 0 is OFF (darker than the surroundings), channel 1 is ON. Responses below the threshold do not fire. The
    others are divided by the mean response of their surroundings, and rank r of R fires in step r T // R. Source:
    Kheradpisheh et al., "STDP-based spiking deep convolutional neural networks for object recognition", Neural
    Networks 99 (2018).
    """

    threshold: float = Field(default=0.2, ge=0, le=10)
    """Minimum response that fires; the filter has sum 0 and maximum 1."""

    @property
    def channels(self) -> int:
        """Number of trains C = 2, one per sign of the contrast."""
        return 2

    @property
    def filter(self) -> Floats:
        """Square ON filter; it reaches 1.5 standard deviations of the wide Gaussian to each side."""
        return _draw_filter()

    def responses(self, image: Floats) -> Floats:
        """Return the responses of an image [H, W], float64 [2, H, W]; 0 for responses that do not fire."""
        response = _correlate(np.ascontiguousarray(image), self.filter)

        # A negative response is a positive one of the OFF channel.
        both = np.stack([-response, response])
        both[both < max(self.threshold, EPSILON)] = 0

        normalised: Floats = _normalise(both, RADIUS_PX)
        return normalised

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        if values.ndim != 2:
            raise DataError(f"contrast: encodes images (found an array with {values.ndim} dimensions, expected 2)")

        # Rank the responses that fire, largest first; equal ones stay in the order of their places.
        responses = self.responses(values).ravel()
        fires = np.flatnonzero(responses)
        order = fires[np.argsort(-responses[fires], kind="stable")]

        # Rank r of R fires in step r T // R.
        spikes = np.zeros((self.steps, responses.size), np.uint8)
        step = np.arange(order.size) * self.steps // max(1, order.size)
        spikes[step, order] = 1
        return spikes.reshape(self.steps, 2, *values.shape)


@cache
def _draw_filter() -> Floats:
    reach = int(np.ceil(FILTER_REACH * WIDE_PX))
    squares = np.arange(-reach, reach + 1) ** 2
    distance = squares[:, None] + squares  # squared, from the middle

    narrow = np.exp(-distance / (2 * NARROW_PX**2)) / NARROW_PX**2
    wide = np.exp(-distance / (2 * WIDE_PX**2)) / WIDE_PX**2
    difference = narrow - wide

    # With sum 0, a uniform area has no response.
    difference -= difference.mean()
    return np.asarray(difference / difference.max())


@njit(cache=True, nogil=True, error_model="numpy")
def _correlate(image: Floats, weights: Floats) -> Floats:
    """Correlate an image [H, W] with a square filter, with zero padding."""
    # result[y, x] = sum over dy, dx of weights[dy, dx] * image[y + dy - reach, x + dx - reach]. The loop over the
    # columns x is the inner one, since they are next to each other in memory.
    H, W = image.shape
    side = len(weights)
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
    # sums[y, x] is the sum of all responses above row y and left of column x (a summed-area table: Crow 1984), so the
    # sum over any square takes four look-ups. Pixels outside the image count as 0, hence the fixed area side * side.
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
            top = max(0, y - radius)
            bottom = min(H, y + radius + 1)
            for x in range(W):
                left = max(0, x - radius)
                right = min(W, x + radius + 1)
                if responses[c, y, x] > 0:
                    total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
                    result[c, y, x] = responses[c, y, x] * side * side / (total + EPSILON)
    return result
