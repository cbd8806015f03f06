"""SpikeProp: gradients of the times of single spikes through synapses with several delays.

Bohte, Kok and La Poutré, "Error-backpropagation in temporally encoded networks of spiking neurons", Neurocomputing 48
(2002). A neuron j spikes when its potential reaches the threshold for the first time:

    u_j(t) = sum over inputs i and delays d of w_ijd e(t - t_i - d),   e(s) = s / tau exp(1 - s / tau) for s > 0,
    dt_j / dw_ijd = -e(t_j - t_i - d) / u_j'(t_j),   dt_j / dt_i = sum over d of w_ijd e'(t_j - t_i - d) / u_j'(t_j).

It is a case of EventProp: with tau_mem = tau_syn = tau, an input spike of weight 1 adds s / tau exp(-s / tau) to the
potential, e(s) = e times that. So t_j is the first spike of a neuron with the weights e w, and each delayed spike is a
separate input.

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
from ..networks.inputs import check_positive, check_tensor
from .eventprop import eventprop

INITIAL_WEIGHTS = (1.0, 10.0)  # range, for the default threshold


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
        >>> spiked = spikeprop_times(one[0], 51 * one, 2 * one[0, 0], tau=7.0, threshold=50.0)
        >>> round(float(spiked), 2)  # the potential peaks at 1 + 2 + 7
        8.7
    """
    check_positive("spikeprop_times", tau=tau, threshold=threshold)
    check_tensor(spikeprop_times, "times", times, "B N")
    check_tensor(spikeprop_times, "delays", delays, "D")
    check_tensor(spikeprop_times, "weights", weights, "M N D", {"N": times.shape[1], "D": len(delays)})

    arrivals = times[:, :, None] + delays
    constants = {"tau_mem": tau, "tau_syn": tau, "threshold": threshold, "least_slope": least_slope}
    return eventprop(arrivals.flatten(1), math.e * weights.flatten(1), **constants)[:, :, 0]


class SpikePropLayer(nn.Module):
    """Layer of neurons that spike at most once, with several delayed synapses per input; see `spikeprop_times`.

    Initial weights are drawn uniformly from `INITIAL_WEIGHTS`.

    Args:
        inputs: Number of inputs N.
        neurons: Number of neurons M.
        delays: Delays of the synapses from each input.
        tau: Time to peak of the response, in the unit of the delays.
        threshold: Potential at which a neuron spikes.
        least_slope: See `spikeprop_times`.

    Raises:
        ConfigError: If there is no delay.

    Example:
        >>> layer = SpikePropLayer(2, 3, delays=range(1, 17), tau=7.0)
        >>> layer(torch.tensor([[0.0, 6.0]])).shape, layer.weight.shape
        (torch.Size([1, 3]), torch.Size([3, 2, 16]))
    """

    def __init__(
        self,
        inputs: int,
        neurons: int,
        *,
        delays: Sequence[float],
        tau: float,
        threshold: float = 50.0,
        least_slope: float = 0.1,
    ) -> None:
        super().__init__()
        if not len(delays):
            raise ConfigError("delays = []: expected at least one delay")

        self.constants = {"tau": tau, "threshold": threshold, "least_slope": least_slope}
        self.delays: Tensor
        self.register_buffer("delays", torch.tensor([float(delay) for delay in delays]))
        self.weight = nn.Parameter(torch.empty(neurons, inputs, len(delays)).uniform_(*INITIAL_WEIGHTS))

    def forward(self, times: Tensor) -> Tensor:
        """Return the spike times [B, M] for input spike times [B, N]."""
        return spikeprop_times(times, self.weight, self.delays, **self.constants)
