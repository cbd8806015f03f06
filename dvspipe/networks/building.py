"""Norse networks from settings, and the one way to call a network."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence

import norse.torch as norse
import torch
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..base.errors import ConfigError
from .config import NetworkConfig
from .integrate_and_fire import IntegrateAndFire
from .layers import Fold, Pooled, SharedDropout
from .neurons import LIF, RESETS, LIBox, LIFBox

POOL = 2  # side of the squares that are averaged at the end of a block
LAST_POOL = 4  # for `stdp`: side of the squares whose largest potential counts, in the last block
EPS = 1e-8

State = Sequence[object]
"""State of a network: Norse's state of each module, None for modules without one."""


class Standardise(nn.Module):
    """Weight of a convolution with mean 0 and norm `gain` per channel, which is trained: scaled standardisation.

    w' = gain (w - mean(w)) / sqrt(sum((w - mean(w))^2) + eps); Brock et al. 2021, "Characterizing signal propagation to
    close the performance gap in unnormalized ResNets".
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the standardised weight for a weight [K, C, k, k]."""
        centred = weight - weight.mean((1, 2, 3), keepdim=True)
        scale = self.gain * torch.rsqrt(centred.square().sum((1, 2, 3)) + EPS)
        return centred * scale[:, None, None, None]


def build_network(
    config: NetworkConfig, shape: tuple[int, int, int], *, classes: int, dt: float
) -> norse.SequentialState:
    """Build a Norse network with random weights.

    Args:
        config: Kind, channels, kernels and neurons.
        shape: C, H, W of the spike tensors.
        classes: Number of classes K.
        dt: Length of a time step in seconds.

    Returns:
        Network from spikes [T, B, C, H, W], in floats, to outputs [T, B, K] and the state.

    Raises:
        ConfigError: If a setting is wrong, or a time constant is shorter than a step.

    Example:
        >>> config = NetworkConfig(channels=(4, 8), kernel=3, dropout=0.1)
        >>> network = build_network(config, (2, 12, 16), classes=3, dt=1e-3)
        >>> [type(layer).__name__ for layer in network]
        ['Fold', 'Pooled', 'Fold', 'Pooled', 'Flatten', 'SharedDropout', 'Linear', 'LIBox']
        >>> outputs, state = network(torch.ones(20, 5, 2, 12, 16))
        >>> outputs.shape
        torch.Size([20, 5, 3])
    """
    config.check_kinds(dict(config))
    if config.network == "module":
        raise ConfigError("network = module: is built by you (expected network=NETWORK in Python)")
    if config.network != "stdp":
        _check_times(config, dt)

    build_layers = _build_linear if config.network == "mlp" else _build_blocks
    layers, features = build_layers(config, shape, dt)
    layers += [SharedDropout(config.dropout)] if config.dropout else []
    readout = nn.Linear(features, classes)
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.div_(config.threshold)  # as in all layers, weights are relative to the threshold
    layers += [readout]
    if config.network != "stdp":
        p = LIBoxParameters(tau_mem_inv=_constant(1 / config.tau_readout_s), v_leak=_constant(0.0))
        layers.append(LIBox(p, dt))
    return norse.SequentialState(*layers)


def _constant(value: float) -> Tensor:
    """Return a parameter of Norse's neurons, in float64: its product with dt is rounded once.

    It has its value also in a network without memory (device `meta`), which gets the weights of a checkpoint.
    """
    return torch.tensor(value, dtype=torch.float64, device="cpu")


def _check_times(config: NetworkConfig, dt: float) -> None:
    for name in ("tau_mem_s", "tau_syn_s", "tau_readout_s"):
        tau_s = getattr(config, name)
        if tau_s is not None and tau_s < dt:
            raise ConfigError(f"{name} = {tau_s:g}: is shorter than a time step (expected {dt:g} or more; step_us)")


def build_neurons(config: NetworkConfig, dt: float) -> LIFBox | LIF:
    """Build the spiking neurons of a layer, with a synaptic current if `tau_syn_s` is given."""
    constants = {
        "tau_mem_inv": _constant(1 / config.tau_mem_s),
        "v_leak": _constant(0.0),
        "v_th": _constant(config.threshold),
        "v_reset": _constant(0.0),
        "method": config.surrogate,
        "alpha": config.slope,
    }
    if config.tau_syn_s is not None:
        if config.reset == "subtract" or config.detach_reset:
            raise ConfigError(f"tau_syn_s = {config.tau_syn_s:g}: needs reset = zero and detach_reset = false")
        return LIF(LIFParameters(tau_syn_inv=_constant(1 / config.tau_syn_s), **constants), dt)

    kind = config.reset == "subtract", config.detach_reset
    reset = next(reset for reset, of in RESETS.items() if of == kind)
    return LIFBox(LIFBoxParameters(**constants, reset_method=reset), dt)


def _build_linear(config: NetworkConfig, shape: tuple[int, int, int], dt: float) -> tuple[list[nn.Module], int]:
    """Return linear spiking layers for flattened images, and the number of their outputs."""
    layers: list[nn.Module] = [nn.Flatten(2)]
    before = math.prod(shape)
    for neurons in config.channels:
        layers += [SharedDropout(config.dropout)] if config.dropout else []
        layers += [nn.Linear(before, neurons), build_neurons(config, dt)]
        before = neurons
    return layers, before


def _build_blocks(config: NetworkConfig, shape: tuple[int, int, int], dt: float) -> tuple[list[nn.Module], int]:
    """Return blocks of a convolution, a batch norm, neurons and pooling, flattened, and the number of their outputs."""
    if config.kernel % 2 == 0:
        raise ConfigError(f"kernel = {config.kernel}: is even (expected an odd number)")
    padded = (True,) * len(config.channels) if config.padded is None else config.padded
    counts = {"padded": padded, **({"thresholds": config.thresholds} if config.network == "stdp" else {})}
    for name, values in counts.items():
        if len(values) != len(config.channels):
            raise ConfigError(f"{name}: wrong number of values (found {len(values)}, expected {len(config.channels)})")

    layers: list[nn.Module] = []
    before, height, width = shape
    last = len(config.channels) - 1
    for number, (channels, is_padded) in enumerate(zip(config.channels, padded, strict=True)):
        # A kernel of n pixels shortens images by n - 1, and padding lengthens them at both ends.
        padding = config.kernel // 2 if is_padded else 0
        height += 2 * padding - config.kernel + 1
        width += 2 * padding - config.kernel + 1
        if min(height, width) < 1:
            raise ConfigError(f"padded: no pixel remains after a convolution of {config.kernel} pixels without padding")

        # Pooling is skipped if no pixel would remain; the potentials of stdp are pooled as far as possible.
        if config.network == "stdp":
            pool = min(LAST_POOL if number == last else POOL, height, width)
            threshold = None if number == last else config.thresholds[number]
            layers.append(
                IntegrateAndFire(
                    before, channels, kernel=config.kernel, threshold=threshold, padding=padding, pool=pool
                )
            )
        else:
            pool = POOL if min(height, width) >= POOL else 1
            neurons = build_neurons(config, dt)
            layers.append(_build_convolution(before, channels, config, padding))
            layers.append(Pooled(neurons, nn.AvgPool2d(pool)) if pool > 1 else neurons)

        before = channels
        height //= pool
        width //= pool

    return [*layers, nn.Flatten(2)], before * height * width


def _build_convolution(before: int, channels: int, config: NetworkConfig, padding: int) -> Fold:
    if config.norm == "batch":
        convolution = nn.Conv2d(before, channels, config.kernel, padding=padding, bias=False)
        return Fold(convolution, nn.BatchNorm2d(channels))

    if before * config.kernel**2 == 1:
        raise ConfigError("norm = weight: a kernel of one weight is always 0 (found kernel = 1 and one channel)")
    convolution = nn.Conv2d(before, channels, config.kernel, padding=padding)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    parametrize.register_parametrization(convolution, "weight", Standardise(channels))
    return Fold(convolution)


def streams(network: nn.Module) -> bool:
    """Return whether a network takes and returns a state, so that recordings can be passed in parts.

    Example:
        >>> streams(norse.LIF()), streams(nn.Linear(2, 2))
        (True, False)
    """
    if isinstance(network, norse.SequentialState) and any(isinstance(layer, IntegrateAndFire) for layer in network):
        return False
    return "state" in inspect.signature(network.forward).parameters


def run_network(network: nn.Module, spikes: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
    """Call a network: yours or one of `build_network`.

    Args:
        network: Called with all steps, and with the state if its `forward` has a parameter `state`. It returns
            [T, B, K] or [B, K], or a tuple of these and the state.
        spikes: Spike tensor [T, B, C, H, W], any dtype; the network gets it in the dtype of its weights.
        state: State returned by the previous call, to continue the same recordings; it is not changed. None to start.

    Returns:
        Outputs [T, B, K], whose means over T are the logits, and the state; None without one.

    Raises:
        ConfigError: If the network returns something else.

    Example:
        >>> outputs, _ = run_network(nn.Sequential(nn.Flatten(2), nn.Linear(12, 3)), torch.ones(5, 2, 1, 3, 4))
        >>> outputs.shape
        torch.Size([5, 2, 3])
    """
    T, B = spikes.shape[:2]
    x = spikes.to(next(network.parameters()).dtype)

    # Norse's SequentialState writes into the list that it is given.
    before = [*state] if isinstance(state, list) else state
    returned = network(x, before) if streams(network) else network(x)
    outputs, after = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, None)

    if isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) == B:
        outputs = outputs.expand(T, -1, -1)
    if not isinstance(outputs, Tensor) or outputs.ndim != 3 or outputs.shape[:2] != (T, B):
        found = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ConfigError(f"{type(network).__name__}: returned {found} (expected [T, B, K] = [{T}, {B}, K] or [B, K])")
    return outputs, after
