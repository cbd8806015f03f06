"""Images to spikes by local contrast: difference of Gaussians, then rank order of the responses."""

from __future__ import annotations

from functools import cache

import numpy as np
from pydantic import Field
from scipy.ndimage import correlate

from ..base.errors import DataError
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
        response = correlate(image, self.filter, mode="constant")

        # A negative response is a positive one of the OFF channel.
        both = np.stack([-response, response])
        both[both < max(self.threshold, EPSILON)] = 0

        return _normalise(both, RADIUS_PX)

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


def _normalise(responses: Floats, radius: int) -> Floats:
    """Divide responses [C, H, W] by their mean over squares; pixels outside the image are 0."""
    # sums[y, x] is the sum of all responses above row y and left of column x (a summed-area table: Crow 1984), so the
    # sum over any square takes four look-ups.
    side = 2 * radius + 1
    padded = np.pad(responses, ((0, 0), (radius + 1, radius), (radius + 1, radius)))
    sums = padded.cumsum(axis=2).cumsum(axis=1)
    total = sums[:, side:, side:] - sums[:, :-side, side:] - sums[:, side:, :-side] + sums[:, :-side, :-side]
    return np.asarray(responses * side * side / (total + EPSILON))
