"""Online (forward-in-time) learning rules: one step at a time, by autograd with detached membranes.

With membrane factor a, the potential of a LIF neuron with subtracting reset and inputs x is

    h[t] = a (W q[t] + b r[t]) - (remaining resets),    q[t] = (1 - a) q[t-1] + x[t],    r[t] = (1 - a) r[t-1] + 1

If resets carry no gradient, dh[t]/dW = a q[t]: the traces q and r contain all that the weights need of the past, in the
memory of one step. So the graph of a step, with traces for the gradients of weights and a membrane without a past, has
their exact gradients. The rules differ in the errors that reach a layer. The loss must exist at each step; the loss of
a recording is its mean over the steps.
"""

from __future__ import annotations

import math
from typing import Any

import norse.torch as norse
import torch
from torch import Tensor, nn

from ..base.errors import ConfigError
from ..networks import LIBox, LIFBox, NetworkLayer, Pooled, SharedDropout, list_layers
from .bptt import Loss


class _Synapses:
    """Synapses of a layer with the traces of their inputs."""

    def __init__(self, layer: NetworkLayer) -> None:
        neurons = layer.neurons
        subtracts = isinstance(neurons, LIFBox) and neurons.subtracts
        bias = layer.synapses.bias
        if not (subtracts or isinstance(neurons, LIBox)) or layer.norm is not None or bias is None:
            raise ConfigError(
                f"{layer.name}: online rules need norm = weight, reset = subtract and no synaptic current, and a leaky "
                "readout"
            )

        assert neurons is not None
        self.module = layer.synapses
        self.bias = bias
        self.keep = 1 - neurons.factor
        self.pool = layer.pool
        self.traced = torch.zeros(())
        self.ones = 0.0

    def trace(self, x: Tensor) -> None:
        """Add the inputs of the next step to the traces."""
        self.traced = self.keep * self.traced + x.detach()
        self.ones = self.keep * self.ones + 1

    def currents(self, x: Tensor) -> Tensor:
        """Return the currents of a step [B, ...]: gradients of inputs by x, gradients of weights by the traces."""
        weight = self.module.weight
        currents = self.plain_currents(x)
        by_traces = self._apply(self.traced, weight, self.ones * self.bias)
        return currents + by_traces - by_traces.detach()

    def plain_currents(self, x: Tensor) -> Tensor:
        """Return the currents without a graph of the weights."""
        return self._apply(x, self.module.weight.detach(), self.bias.detach())

    def _apply(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if isinstance(self.module, nn.Conv2d):
            return nn.functional.conv2d(x, weight, bias, padding=self.module.padding)
        return nn.functional.linear(x, weight, bias)


class OTTT:
    """Online training through time (Xiao et al. 2022, NeurIPS): errors pass down the layers within a step.

    If T = 1 or a = 1, this is the gradient of backpropagation through time with a detached reset. Otherwise only the
    readout's gradient is exact; spiking layers ignore the effect of earlier spikes through later membranes.

    Args:
        network: Network of `build_network`, with `norm` = weight (or an `mlp`), `reset` = subtract.

    Raises:
        ConfigError: If the network has other layers or neurons.

    Example:
        >>> from dvspipe.networks import NetworkConfig, build_network
        >>> _ = torch.manual_seed(0)
        >>> config = NetworkConfig(network="mlp", channels=(8,), reset="subtract")
        >>> network = build_network(config, (2, 3, 4), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (200, 5, 2, 3, 4), dtype=torch.uint8)
        >>> optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> outputs = OTTT(network).update(spikes, lambda y: y.mean(0)[:, 0].sum())  # any mean over the steps
        >>> optimiser.step()
        >>> after, _ = network(spikes.float())
        >>> bool(after.mean(0)[:, 0].sum() < outputs.mean(0)[:, 0].sum())
        True
    """

    def __init__(self, network: nn.Module) -> None:
        self.layers = {layer.index: layer for layer in list_layers(network)}
        assert isinstance(network, norse.SequentialState)
        self.network = network
        for layer in self.layers.values():
            _Synapses(layer)  # checks it

    def update(self, spikes: Tensor, loss: Loss) -> Tensor:
        """Accumulate the gradients of a loss in the `grad` of the weights.

        Args:
            spikes: Spike tensor [T, B, C, H, W], any dtype.
            loss: Function of outputs [1, B, K] of a step.

        Returns:
            Outputs [T, B, K], without a graph.
        """
        T = len(spikes)
        self.synapses = {index: _Synapses(layer) for index, layer in self.layers.items()}
        self.states: dict[int, Any] = {}
        self.masks: dict[int, Tensor] = {}

        def loss_of_step(output: Tensor) -> Tensor:
            return loss(output[None]) / T

        steps = spikes.to(next(self.network.parameters()).dtype)
        return torch.stack([self.run_step(step, loss_of_step) for step in steps])

    def run_step(self, x: Tensor, loss: Loss) -> Tensor:
        """Run a step [B, C, H, W], and add its gradients; return the outputs [B, K]."""
        for index, module in enumerate(self.network):
            x = self.run_module(index, x)
            if isinstance(module, Pooled | LIFBox):
                x = self.pass_on(index, x, loss)

        loss(x).backward()
        return x.detach()

    def run_module(self, index: int, x: Tensor) -> Tensor:
        """Run a module of the network for a step [B, ...]."""
        module = self.network[index]
        if index in self.synapses:
            self.synapses[index].trace(x)
            return self.synapses[index].currents(x)
        if isinstance(module, Pooled | LIFBox | LIBox):
            return self.run_neurons(index, module, x)

        # Dropout has one mask for all steps.
        if isinstance(module, SharedDropout):
            if index not in self.masks:
                self.masks[index] = module(torch.ones_like(x)[None])[0].detach()
            return x * self.masks[index]
        output: Tensor = module(x[None])[0]
        return output

    def run_neurons(self, index: int, module: Pooled | LIFBox | LIBox, currents: Tensor) -> Tensor:
        """Run a step of neurons, whose membranes have no past in the graph."""
        output, after = module(currents[None], self.states.get(index))
        self.states[index] = type(after)(*(value.detach() for value in after))
        return output[0]  # type: ignore[no-any-return]

    def pass_on(self, _index: int, outputs: Tensor, _loss: Loss) -> Tensor:
        """Return what the next layer gets of the outputs of a spiking layer."""
        return outputs


class Decolle(OTTT):
    """Deep continuous local learning (Kaiser et al. 2020): each layer has a fixed random readout and its own loss.

    With the fixed weights G of a layer, drawn uniformly from +-1 / sqrt(number of outputs), its loss is that of G z[t].
    No error passes between layers, and the network's own readout passes none down either.

    Args:
        network: As in `OTTT`.
        seed: Seed of the fixed weights.
    """

    def __init__(self, network: nn.Module, *, seed: int = 0) -> None:
        super().__init__(network)
        self.generator = torch.Generator().manual_seed(seed)
        self.readouts: dict[int, Tensor] = {}
        self.classes = len([*self.layers.values()][-1].synapses.weight)

    def pass_on(self, index: int, outputs: Tensor, loss: Loss) -> Tensor:
        """Add the gradients of the layer's own loss; the next layer gets the outputs without a graph."""
        features = outputs.flatten(1)
        if index not in self.readouts:
            N = features.shape[1]
            uniform = 2 * torch.rand(self.classes, N, generator=self.generator) - 1
            self.readouts[index] = (uniform / math.sqrt(N)).to(features)

        loss(features @ self.readouts[index].T).backward()
        return outputs.detach()


class EProp(OTTT):
    """E-prop (Bellec et al. 2020) for one layer of spiking neurons below a leaky readout.

    The error reaches a neuron within the step, e[t] = dL[t]/dz[t]; the eligibility traces of its synapses decay with
    the readout, E[t] = (1 - k) E[t-1] + a s[t] q[t], with the surrogate derivative s. dW += e[t] E[t] is the gradient
    of backpropagation through time with a detached reset. Memory: one number per recording and synapse; for
    convolutions, one per pooled pixel and weight.

    Args:
        network: As in `OTTT`, with one spiking layer.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        if len(self.layers) != 2:
            raise ConfigError(f"EProp: needs one spiking layer (found {len(self.layers) - 1})")

    def update(self, spikes: Tensor, loss: Loss) -> Tensor:
        """Accumulate the gradients of a loss in the `grad` of the weights; as in `OTTT`."""
        self.eligible: Tensor | None = None  # [B, neurons, pooled pixels, synapses + 1]
        return super().update(spikes, loss)

    def run_step(self, x: Tensor, loss: Loss) -> Tensor:
        """Run a step, and add its gradients."""
        hidden, readout = self.synapses.values()
        index, _ = self.synapses
        for before in range(index):
            x = self.run_module(before, x)

        # The graph of a step begins at the currents of the neurons; the traces replace what is below.
        hidden.trace(x)
        currents = hidden.plain_currents(x).detach().requires_grad_()
        fired = self.run_module(index + 1, currents)

        # A neuron depends on its own current alone, so a sum has the surrogate derivative of each.
        (derivative,) = torch.autograd.grad(fired.sum() * hidden.pool**2, currents)

        outputs = fired.detach().requires_grad_()
        y = outputs
        for after in range(index + 2, len(self.network)):
            y = self.run_module(after, y)
        loss(y).backward()

        assert outputs.grad is not None
        self._add(hidden, readout.keep, derivative, outputs.grad)
        return y.detach()

    @torch.no_grad()
    def _add(self, synapses: _Synapses, keep: float, derivative: Tensor, errors: Tensor) -> None:
        """Add the gradients of the hidden weights: errors [B, C, ...] times eligibility traces."""
        eligible = _eligibility(synapses, derivative)
        if self.eligible is None:
            self.eligible = eligible
        else:
            self.eligible = self.eligible.mul_(keep).add_(eligible)

        gradient = torch.einsum("bcp,bcpk->ck", errors.reshape(*errors.shape[:2], -1), self.eligible)
        with torch.enable_grad():
            weight = synapses.module.weight
            to_weight = gradient[:, :-1].reshape(weight.shape)
            torch.autograd.backward((weight, synapses.bias), (to_weight, gradient[:, -1]))


def _eligibility(synapses: _Synapses, derivative: Tensor) -> Tensor:
    """Return a s q of one step for each synapse and bias, [B, neurons, pooled pixels, synapses + 1].

    `derivative` is a s, [B, C, H, W] or [B, N]; the spikes of a square of pixels are averaged.
    """
    module = synapses.module
    traced = synapses.traced
    B = len(traced)
    if not isinstance(module, nn.Conv2d):
        inputs = torch.cat([traced, traced.new_full((B, 1), synapses.ones)], dim=1)
        return derivative[:, :, None, None] * inputs[:, None, None]

    H, W = derivative.shape[2:]
    patches = nn.functional.unfold(traced, module.kernel_size, padding=int(module.padding[0]))  # [B, synapses, H * W]
    inputs = torch.cat([patches, patches.new_full((B, 1, H * W), synapses.ones)], dim=1).unflatten(2, (H, W))
    squares = _squares(derivative, synapses.pool), _squares(inputs, synapses.pool)
    return torch.einsum("bcps,bkps->bcpk", *squares) / synapses.pool**2


def _squares(x: Tensor, pool: int) -> Tensor:
    """Group pixels [B, C, H, W] as [B, C, squares, pixels per square]; drop incomplete squares."""
    patches = nn.functional.unfold(x.flatten(0, 1)[:, None], pool, stride=pool)  # [B * C, pixels, squares]
    squares: Tensor = patches.transpose(1, 2).unflatten(0, x.shape[:2])
    return squares
