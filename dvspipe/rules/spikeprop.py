"""SpikeProp: gradients of the times of single spikes through synapses with several delays.

Bohte, Kok and La Poutré, "Error-backpropagation in temporally encoded networks of spiking neurons", Neurocomputing 48
(2002). A neuron j spikes when its potential reaches the threshold for the first time:

    u_j(t) = sum over inputs i and delays d of w_ijd e(t - t_i - d),   e(s) = s / tau exp(1 - s / tau) for s > 0,
    dt_j / dw_ijd = -e(t_j - t_i - d) / u_j'(t_j),   dt_j / dt_i = sum over d of w_ijd e'(t_j - t_i - d) / u_j'(t_j).

Each delayed spike counts as a separate input, so `first_spike_times` computes t_j and these derivatives.

Example:
    >>> _ = torch.manual_seed(0)
    >>> layer = SpikePropLayer(2, 1, delays=range(1, 17), tau=7.0, threshold=50.0)
    >>> times, target = torch.tensor([[0.0, 6.0]]), 12.0
    >>> for _ in range(50):
    ...     loss = 0.5 * (layer(times) - target).square().sum()
    ...     (gradient,) = torch.autograd.grad(loss, layer.weight)
    ...     layer.weight.data -= 1.0 * gradient
    >>> abs(float(layer(times).detach()) - target) < 0.01
    True
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..base.errors import ConfigError
from ..networks import first_spike_times
from ..networks.inputs import check_positive, check_tensor
from ..networks.neurons import as_number


def spikeprop_times(
    times: Tensor, weights: Tensor, delays: Tensor, *, tau: float, threshold: float = 1.0, least_slope: float = 0.0
) -> Tensor:
    """Return first-spike times, with the gradients of SpikeProp.

    Args:
        times: Input spike times, [B, N], in the unit of `delays` and `tau`; infinite if missing.
        weights: Weight of each delayed synapse, [M, N, D].
        delays: Delays [D].
        tau: Time to peak of the response; the peak equals the weight.
        threshold: Potential at which a neuron spikes.
        least_slope: Lower bound of the potential's slope in gradients; 0: exact gradients.

    Returns:
        Spike times [B, M]; infinite if a neuron does not spike.

    Raises:
        ConfigError: If `tau` or `threshold` is not above 0.
        DataError: If shapes do not fit together.

    Example:
        >>> one = torch.ones(1, 1, 1, dtype=torch.float64)
        >>> float(spikeprop_times(one[0], 50 * one, 2 * one[0, 0], tau=7.0, threshold=50.0))  # 1 + 2 + 7
        10.0
    """
    check_positive("spikeprop_times", tau=tau, threshold=threshold)
    check_tensor(spikeprop_times, "times", times, "B N")
    check_tensor(spikeprop_times, "delays", delays, "D")
    _, N = times.shape
    check_tensor(spikeprop_times, "weights", weights, "M N D", {"N": N, "D": len(delays)})

    # In units of tau, e(s) is e = 2.718... times the response s exp(-s) of a neuron with leak 1.
    arrivals = (times[:, :, None] + delays) / tau
    scaled = weights * (math.e / threshold)

    spiked = first_spike_times(
        arrivals.flatten(1), scaled.flatten(1), leak=1.0, least_slope=least_slope * tau / threshold
    )

    return tau * spiked


class SpikePropLayer(nn.Module):
    """Layer of neurons that spike at most once, with several delayed synapses per input; see `spikeprop_times`.

    Args:
        inputs: Number of inputs N.
        neurons: Number of neurons M.
        delays: Delays of the synapses from each input.
        tau: Time to peak of the response, in the unit of the delays.
        threshold: Potential at which a neuron spikes.
        weights: Range of the initial weights.
        least_slope: See `spikeprop_times`.
    """

    def __init__(
        self,
        inputs: int,
        neurons: int,
        *,
        delays: Sequence[float],
        tau: float,
        threshold: float = 50.0,
        weights: tuple[float, float] = (1.0, 10.0),
        least_slope: float = 0.1,
    ) -> None:
        super().__init__()
        if not len(delays):
            raise ConfigError("delays = []: expected at least one delay")

        check_positive("SpikePropLayer", inputs=inputs, neurons=neurons, tau=tau, threshold=threshold)
        lowest, highest = weights
        if not lowest <= highest:
            raise ConfigError(f"weights = {weights}: expected a range, such as (1, 10)")

        self.tau = tau
        self.threshold = threshold
        self.least_slope = least_slope

        self.delays: Tensor
        self.register_buffer("delays", torch.tensor([as_number("delays", delay) for delay in delays]))
        self.weight = nn.Parameter(torch.empty(neurons, inputs, len(self.delays)).uniform_(lowest, highest))

    def extra_repr(self) -> str:
        """Return the sizes and constants of the layer."""
        M, N, D = self.weight.shape
        return f"{N}, {M}, delays=<{D}>, tau={self.tau:g}, threshold={self.threshold:g}"

    def forward(self, times: Tensor) -> Tensor:
        """Return the spike times [B, M] for input spike times [B, N].

        Raises:
            DataError: If the times have another shape.
        """
        check_tensor(self, "times", times, "B N", {"N": self.weight.shape[1]})
        return spikeprop_times(
            times, self.weight, self.delays, tau=self.tau, threshold=self.threshold, least_slope=self.least_slope
        )
