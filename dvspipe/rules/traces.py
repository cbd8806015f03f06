"""OTTT, SLTT and S-TLLR: errors pass down the layers within a step, and traces replace the history."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..networks import SpikingNetwork
from .online import STEPS, Activity, OnlineLayer, OnlineRule
from .segments import Loss


class OTTT(OnlineRule):
    """Online training through time (Xiao et al. 2022, NeurIPS).

    At each step t, with the surrogate derivative s of the spikes z, the loss L[t] of the step, and the traces q and
    scales a g of `rules.online`,

        dW += a g e[t] q[t],    e[t] = dL[t]/dz[t] * s[t],    dL[t]/dx[t] = a g W^T e[t],

    where x are the spikes of the layer below. Errors pass down the layers within a step, never back in time. If T = 1
    or a = 1, this equals the gradient of backpropagation through time with a detached reset. Otherwise only the
    readout's gradient is exact; gradients of the spiking layers ignore the effect of earlier spikes through the
    membranes of the next layer.

    Example:
        >>> from dvspipe import SensorSize
        >>> from dvspipe.networks import MlpConfig
        >>> _ = torch.manual_seed(0)
        >>> config = MlpConfig(channels=(8,), reset="subtract", detach_reset=True)
        >>> network = SpikingNetwork(config, grid=SensorSize(width=4, height=3), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (200, 5, 2, 3, 4), dtype=torch.uint8)
        >>> optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> outputs = OTTT(network).update(spikes, lambda y: y.mean(0)[:, 0].sum())  # any mean over the steps
        >>> optimiser.step()
        >>> after, _ = network(spikes)
        >>> bool(after.mean(0)[:, 0].sum() < outputs.mean(0)[:, 0].sum())
        True
    """

    def add_hidden(
        self, layers: Sequence[OnlineLayer], activities: Sequence[Activity], errors: Tensor, _loss: Loss
    ) -> None:
        """Accumulate the gradients of the spiking layers for n steps."""
        # Errors pass from the last layer to the first within these steps.
        for number in reversed(range(len(layers))):
            layer = layers[number]
            activity = activities[number]
            to_currents = layer.to_currents(errors, activity.derivative)
            layer.synapses.add(to_currents, activity.traced, activity.ones)

            # Below the first layer are only the inputs, which need no error.
            self.add_more(layer, activity, errors)
            if number:
                errors = layer.to_outputs_below(to_currents, activity, activities[number - 1].outputs)

    def add_more(self, _layer: OnlineLayer, _activity: Activity, _errors: Tensor) -> None:
        """Add further gradient terms of a layer; `_errors` is the gradient of its outputs."""


class SLTT(OTTT):
    """Spatial learning through time (Meng et al. 2023, ICCV): OTTT with the inputs of the step instead of traces.

    Example:
        >>> from dvspipe import SensorSize
        >>> from dvspipe.networks import CsnnConfig
        >>> config = CsnnConfig(norm="weight", channels=(4, 6), reset="subtract", detach_reset=True)
        >>> network = SpikingNetwork(config, grid=SensorSize(width=8, height=8), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (50, 3, 2, 8, 8), dtype=torch.uint8)
        >>> outputs = SLTT(network).update(spikes, lambda y: y.mean(0)[:, 0].sum())
        >>> network.layers[0].convolution.weight.grad.shape
        torch.Size([4, 2, 5, 5])
    """

    def __init__(self, network: SpikingNetwork, *, steps: int = STEPS) -> None:
        super().__init__(network, keep=0.0, steps=steps)


class STLLR(OTTT):
    """S-TLLR (Apolinario and Roy 2025, TMLR): OTTT with a second, acausal term, as in STDP.

        p[t] = post_keep p[t-1] + s[t],    dW += a g (dL[t]/dz[t] s[t] q[t] + post_share dL[t]/dz[t] p[t-1] x[t])

    with q[t] = keep q[t-1] + x[t]. The defaults are the paper's for DVS128 Gesture.

    Args:
        network: See `OnlineRule`.
        keep: Decay of the input traces per step; None: decay of the membranes.
        post_keep: Decay of the traces of surrogate derivatives per step.
        post_share: Factor of the acausal term.
        steps: Number of steps computed together.

    Example:
        >>> from dvspipe import SensorSize
        >>> from dvspipe.networks import MlpConfig
        >>> config = MlpConfig(channels=(8, 6), reset="subtract", detach_reset=True)
        >>> network = SpikingNetwork(config, grid=SensorSize(width=4, height=3), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (50, 3, 2, 3, 4), dtype=torch.uint8)
        >>> STLLR(network, post_share=0.5).update(spikes, lambda y: y.mean(0)[:, 0].sum()).shape
        torch.Size([50, 3, 2])
    """

    def __init__(
        self,
        network: SpikingNetwork,
        *,
        keep: float | None = 0.75,
        post_keep: float = 0.2,
        post_share: float = -1.0,
        steps: int = STEPS,
    ) -> None:
        super().__init__(network, keep=keep, steps=steps)

        # The gradient of the readout needs no rule: its trace has the readout's own decay.
        self.readout_keep = 1 - self.readout.factor
        self.post_keep = post_keep
        self.post_share = post_share

    def add_more(self, layer: OnlineLayer, activity: Activity, errors: Tensor) -> None:
        """Add the acausal term, from the trace of surrogate derivatives before each step."""
        # Acausal: the derivatives of earlier steps meet the inputs of this step.
        before = layer.trace_before(activity, self.post_keep)
        to_currents = layer.to_currents(self.post_share * errors, before)
        layer.synapses.add(to_currents, activity.inputs, torch.ones_like(activity.ones))
