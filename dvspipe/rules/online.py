"""Shared machinery of online (forward-in-time) learning rules: network steps without a graph, traces, and step errors.

With membrane factor a and gain g, the potential of a LIF neuron with subtracting reset and inputs x is

    h[t] = a g (W q[t] + b r[t]) - (remaining resets),    q[t] = (1 - a) q[t-1] + x[t],    r[t] = (1 - a) r[t-1] + 1

If the reset carries no gradient, dh[t]/dW = a g q[t]. The trace q takes as much memory as one step of the input. So at
each step a rule adds the error of the neurons times their traces, and it needs no history. Rules differ in the error
and in the traces. Several steps are computed together for speed, with the same result. The loss must exist at each
step; the loss of a recording is the mean over its steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn.grad import conv2d_input, conv2d_weight

from ..base.errors import ConfigError
from ..base.settings import show_settings
from ..networks import LeakyReadout, NetworkConfig, SpikingNetwork
from ..networks.inputs import check_positive, check_tensor
from ..networks.models import Convolution, Linear, StandardisedConvolution, draw_mask
from .segments import Loss

STEPS = 16  # steps per convolution batch; large enough to be fast


class Trace:
    """A low-passed signal, y[t] = keep y[t-1] + x[t]."""

    def __init__(self, keep: float) -> None:
        self.keep = keep
        self._before: Tensor | None = None

    def follow(self, x: Tensor) -> Tensor:
        """Return y for the next steps of x, both [n, ...]."""
        if not self.keep:
            return x

        y = torch.empty_like(x)
        before = torch.zeros_like(x[0]) if self._before is None else self._before
        for step, out in zip(x, y, strict=True):
            before = torch.add(step, before, alpha=self.keep, out=out)

        # A copy, because the row itself would keep all of y in memory.
        self._before = before.clone()
        return y


class Dropout:
    """Dropout with one mask per recording, used at every step and for the errors."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._mask: Tensor | None = None

    def apply(self, x: Tensor, n: int) -> Tensor:
        """Apply the mask to features or gradients of n steps, [n * B, N]."""
        if not self.share:
            return x

        steps = x.unflatten(0, (n, -1))
        if self._mask is None:
            self._mask = draw_mask(steps[0], self.share)
        masked: Tensor = (steps * self._mask).flatten(0, 1)
        return masked


class Synapses:
    """Effective weights of a layer and their accumulated gradients."""

    def __init__(self, module: nn.Linear | StandardisedConvolution) -> None:
        self.module = module
        if isinstance(module, StandardisedConvolution):
            self._sources = module.standardised(), module.offset
        else:
            self._sources = module.weight, module.bias

        weight, bias = self._sources
        self.weight = weight.detach()
        self.bias = bias.detach()
        self.to_weight = torch.zeros_like(self.weight)
        self.to_bias = torch.zeros_like(self.bias)

    def release(self) -> None:
        """Add the gradients to the `grad` of the parameters, through weight standardisation if the layer has it."""
        torch.autograd.backward(self._sources, (self.to_weight, self.to_bias))

    def currents(self, x: Tensor) -> Tensor:
        """Return the input currents for inputs [N, ...]."""
        if isinstance(self.module, StandardisedConvolution):
            return nn.functional.conv2d(x, self.weight, self.bias, padding=self.module.padding)
        return nn.functional.linear(x, self.weight, self.bias)

    def add(self, to_currents: Tensor, inputs: Tensor, ones: Tensor) -> None:
        """Accumulate the gradients of weights and biases.

        Args:
            to_currents: Gradient of the currents, [n * B, ...].
            inputs: Factor of the weights, for example a trace of the inputs, [n * B, ...].
            ones: Factor of the biases at each step, [n].
        """
        # The weights of images get one gradient for all pixels, and so do the biases.
        if isinstance(self.module, StandardisedConvolution):
            self.to_weight += conv2d_weight(inputs, self.weight.shape, to_currents, padding=self.module.padding)
            to_currents = to_currents.sum((2, 3))
        else:
            self.to_weight += to_currents.T @ inputs
        self.to_bias += ones @ to_currents.unflatten(0, (len(ones), -1)).sum(1)

    def to_inputs(self, to_currents: Tensor, inputs: Tensor) -> Tensor:
        """Return the gradient of the inputs, given the gradient of the currents."""
        if isinstance(self.module, StandardisedConvolution):
            to_inputs: Tensor = conv2d_input(inputs.shape, self.weight, to_currents, padding=self.module.padding)
            return to_inputs
        return to_currents @ self.weight


@dataclass(frozen=True)
class Activity:
    """Signals of a layer during n steps.

    Args:
        inputs: Inputs of the weights, [n * B, ...].
        traced: Trace of the inputs, [n * B, ...].
        ones: Trace of the constant input 1 of the biases, [n].
        derivative: Surrogate derivative of the spikes with respect to the potential, [n * B, ...].
        outputs: Pooled spikes, [n * B, ...].
    """

    inputs: Tensor
    traced: Tensor
    ones: Tensor
    derivative: Tensor
    outputs: Tensor


class OnlineLayer:
    """Spiking layer that runs forward in time without a graph."""

    def __init__(self, block: Convolution | Linear) -> None:
        self.block = block
        self.lif = block.lif

        self.synapses = Synapses(_synapses_of(block))
        self.scale = self.lif.factor * self.lif.settings.gain

        # The traces of the inputs decay like the membranes.
        keep = 1 - self.lif.factor
        self._trace = Trace(keep)
        self._ones = Trace(keep)
        self._state: Tensor | None = None

        self._dropout = Dropout(block.dropout if isinstance(block, Linear) and block.training else 0.0)
        self.eligibility: Tensor | None = None  # per synapse; only some rules have it

    def run(self, x: Tensor, n: int) -> Activity:
        """Run the next n steps on the outputs [n * B, ...] of the previous layer."""
        if isinstance(self.block, Linear):
            x = self._dropout.apply(x.flatten(1), n)
        traced = self._trace.follow(_pixels(x).unflatten(0, (n, -1))).flatten(0, 1)
        ones = self._ones.follow(x.new_ones(n))

        currents = _pixels(self.synapses.currents(x)).unflatten(0, (n, -1))
        derivative, spikes, self._state = self.lif.differentiate(currents, self._state)

        return Activity(
            inputs=x,
            traced=_channels(traced),
            ones=ones,
            derivative=_channels(derivative.flatten(0, 1)),
            outputs=_channels(spikes.flatten(0, 1)),
        )

    def to_currents(self, to_outputs: Tensor, derivative: Tensor) -> Tensor:
        """Return the gradient of the currents, [n * B, ...].

        Args:
            to_outputs: Gradient of the pooled outputs.
            derivative: Derivative of the spikes with respect to the potentials, or the rule's substitute, [n * B, ...].
        """
        pool = self.lif.settings.pool
        to_spikes = self.scale / pool**2 * to_outputs
        if pool == 1:
            return to_spikes * derivative

        # The pooled outputs cover `height` x `width` pixels; the last rows and columns may be in no square.
        H, W = derivative.shape[2:]
        height = pool * to_spikes.shape[2]
        width = pool * to_spikes.shape[3]

        # Every spike of a square gets the gradient of its mean, times its own derivative; pixels outside complete
        # squares get 0.
        rows = _pixels(to_spikes)[:, :, :, None].expand(-1, -1, -1, pool, -1).flatten(2, 3)
        derivatives = _pixels(derivative)[:, :height, :width].unflatten(1, (-1, pool))
        inside = (derivatives * rows[:, :, None]).flatten(1, 2)
        if (height, width) != (H, W):
            inside = nn.functional.pad(inside, (0, 0, 0, W - width, 0, H - height))
        return _channels(inside)

    def to_outputs_below(self, to_currents: Tensor, activity: Activity, below: Tensor) -> Tensor:
        """Return the gradient of the previous layer's outputs."""
        to_inputs = self.synapses.to_inputs(to_currents, activity.inputs)
        return self._dropout.apply(to_inputs, len(activity.ones)).reshape(below.shape)


def _pixels(x: Tensor) -> Tensor:
    """View images [N, C, H, W] in their memory layout [N, H, W, C]; return features unchanged."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def _channels(x: Tensor) -> Tensor:
    """View pixels [N, H, W, C] as images [N, C, H, W]; return features unchanged."""
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def _synapses_of(block: Convolution | Linear) -> nn.Linear | StandardisedConvolution:
    synapses = block.convolution if isinstance(block, Convolution) else block.linear
    assert isinstance(synapses, nn.Linear | StandardisedConvolution)
    return synapses


class OnlineRule(ABC):
    """Online learning rule: accumulates weight gradients forward in time, in memory independent of T.

    Args:
        network: A `csnn` with `norm: weight`, or an `mlp`. It needs a leaky readout and a subtracting reset without
            gradient, and has no synaptic current.
        steps: Number of steps computed together.

    Raises:
        ConfigError: If the network has other settings.
    """

    def __init__(self, network: SpikingNetwork, *, steps: int = STEPS) -> None:
        check_positive(type(self).__name__, steps=steps)
        if not isinstance(network, SpikingNetwork):
            raise ConfigError(f"{type(self).__name__}: found {type(network).__name__}, expected a SpikingNetwork")

        needs = self.find_unmet_needs(network.config)
        if needs:
            raise ConfigError(f"{type(self).__name__}: needs {show_settings(needs)}")

        assert isinstance(network.readout, LeakyReadout)
        self.network = network
        self.steps = steps
        self.readout_keep = 1 - network.readout.factor

    def __repr__(self) -> str:
        return f"{type(self).__name__}(steps={self.steps})"

    @classmethod
    def find_unmet_needs(cls, network: NetworkConfig) -> dict[str, JsonValue]:
        """Return the required values of all settings in which `network` differs, by setting name."""
        is_mlp = network.network == "mlp"
        needs: dict[str, JsonValue] = {
            "network": "mlp" if is_mlp else "csnn",
            **({} if is_mlp else {"norm": "weight"}),
            "reset": "subtract",
            "detach_reset": True,
            "readout": "leaky",
            "tau_syn_s": None,
        }

        return {name: value for name, value in needs.items() if getattr(network, name) != value}

    @abstractmethod
    def add_hidden(
        self, layers: Sequence[OnlineLayer], activities: Sequence[Activity], errors: Tensor, loss: Loss
    ) -> None:
        """Accumulate the gradients of the spiking layers for n steps.

        Args:
            layers: Spiking layers, first to last.
            activities: Their activities in these steps.
            errors: Gradient of the last layer's outputs, from the readout of the same step, [n * B, ...].
            loss: Loss of the outputs [n, B, K] of these steps.
        """

    def update(self, spikes: Tensor, loss: Loss) -> Tensor:
        """Accumulate the gradients of a loss in the `grad` of the weights.

        Args:
            spikes: Spike tensor [T, B, C, H, W], any dtype.
            loss: Function of outputs [n, B, K]; a mean over steps.

        Returns:
            Outputs [T, B, K], without a graph.
        """
        check_tensor(self, "spikes", spikes, "T B C H W", self.network.sizes)
        layers = [OnlineLayer(block) for block in self.network.layers]  # type: ignore[arg-type]
        readout = _Readout(self.network, self.readout_keep)
        synapses = [*(layer.synapses for layer in layers), readout.synapses]

        outputs = []
        for piece in spikes.split(self.steps):
            piece_loss = _scaled(loss, len(piece) / len(spikes))
            outputs.append(self._update_piece(layers, readout, piece, piece_loss))

        for part in synapses:
            part.release()

        return torch.cat(outputs)

    @torch.no_grad()
    def _update_piece(self, layers: Sequence[OnlineLayer], readout: _Readout, piece: Tensor, loss: Loss) -> Tensor:
        """Accumulate the gradients of n steps; return their outputs."""
        n = len(piece)
        activities = list[Activity]()
        x = piece.flatten(0, 1).to(readout.synapses.weight.dtype).contiguous(memory_format=torch.channels_last)

        for layer in layers:
            activities.append(layer.run(x, n))
            x = activities[-1].outputs

        # The loss of a step reaches the layers through the readout; each rule does the rest.
        outputs = readout.run(x, n)
        errors = readout.add(gradient_of(loss, outputs)).reshape(x.shape)
        self.add_hidden(layers, activities, errors, loss)

        return outputs


class _Readout:
    """Linear layer and leaky integrators; one trace gives their exact gradient."""

    def __init__(self, network: SpikingNetwork, keep: float) -> None:
        assert isinstance(network.readout, LeakyReadout)
        self.neurons = network.readout
        self.synapses = Synapses(network.linear)
        self.scale = network.readout.factor * network.readout.gain

        self._trace = Trace(keep)
        self._ones = Trace(keep)
        self._state: Tensor | None = None
        self._dropout = Dropout(network.dropout if network.training else 0.0)
        self._traced = torch.empty(0)
        self._all_ones = torch.empty(0)

    def run(self, x: Tensor, n: int) -> Tensor:
        """Return the outputs [n, B, K] of the next n steps; x [n * B, ...] are the last spiking layer's outputs."""
        features = self._dropout.apply(x.flatten(1), n).unflatten(0, (n, -1))
        self._traced = self._trace.follow(features).flatten(0, 1)
        self._all_ones = self._ones.follow(features.new_ones(n))

        outputs: Tensor
        outputs, self._state = self.neurons(self.synapses.currents(features), self._state)
        return outputs

    def add(self, to_outputs: Tensor) -> Tensor:
        """Accumulate the weight gradients; return the gradient of the features [n * B, N] within the same step."""
        to_currents = self.scale * to_outputs.flatten(0, 1)
        self.synapses.add(to_currents, self._traced, self._all_ones)
        return self._dropout.apply(to_currents @ self.synapses.weight, len(to_outputs))


def gradient_of(loss: Loss, outputs: Tensor) -> Tensor:
    """Return the gradient of `loss` with respect to `outputs`."""
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf), leaf)
        return gradient


def _scaled(loss: Loss, share: float) -> Loss:
    return lambda outputs: loss(outputs) * share
