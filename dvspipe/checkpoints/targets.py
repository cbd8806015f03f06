"""What the layers of a network become on chips and in other software, before or after training.

Limits are published ones, with the source at each target. Nothing was run on chips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from ..errors import ConfigError
from ..networks import SpikingNetwork
from ..networks.config import LayersConfig
from ..networks.models import Convolution, Linear, MaxPool, Residual
from .checkpoint import ClassifierConfig

Fidelity = Literal["faithful", "approximate", "unsupported"]
"""`faithful`: the same outputs up to rounding of floats. `approximate`: runs, with other numbers or dynamics."""
TargetName = Literal["c", "nir", "spinnaker2", "lava", "speck", "onnx"]


@dataclass(frozen=True)
class LayerShape:
    """A spiking layer or the readout of a network.

    Args:
        name: `lif1`, `lif2`, ... or `readout`.
        inputs: Shape C, H, W of its input.
        neurons: Shape M, H, W of its neurons.
        kernel: Side of the kernel; None: connected to all inputs.
        padding: Zero pixels around the input.
        pool: Side of the squares that are pooled after it; 1: no pooling.
        pools_maximum: Whether the maximum is pooled, not the average.
        residual: Whether the input of the previous layer is added to its spikes.
    """

    name: str
    inputs: tuple[int, int, int]
    neurons: tuple[int, int, int]
    kernel: int | None = None
    padding: int = 0
    pool: int = 1
    pools_maximum: bool = False
    residual: bool = False

    @property
    def outputs(self) -> tuple[int, int, int]:
        """Shape of the pooled output."""
        M, H, W = self.neurons
        return M, H // self.pool, W // self.pool


@dataclass(frozen=True)
class LayerFit:
    """How a layer fits a target.

    Args:
        layer: `input`, `lif1`, `lif2`, ..., `readout`, or `network` for all layers together.
        fit: Whether it is faithful, approximate or unsupported.
        reason: Why; empty for faithful layers without remarks.
        change: Setting that makes it fit better; empty: none is known.
    """

    layer: str
    fit: Fidelity
    reason: str = ""
    change: str = ""


@dataclass(frozen=True)
class Target:
    """Chip, program or file format.

    Args:
        title: Name and version.
        source: Where its limits are published.
        check: Function that checks all layers of a network.
    """

    title: str
    source: str
    check: Callable[[ClassifierConfig, LayersConfig, Sequence[LayerShape]], Iterator[LayerFit]]


def check_target(config: ClassifierConfig, target: TargetName) -> tuple[LayerFit, ...]:
    """Check how each layer of a network fits a target; the weights do not matter.

    Args:
        config: Classifier, trained or not.
        target: Name in `TARGETS`.

    Raises:
        ConfigError: If settings of the network contradict each other.

    Example:
        >>> from dvspipe.checkpoints.checkpoint import load_config
        >>> [each.fit for each in check_target(load_config("nmnist-synthetic"), "nir")]
        ['faithful', 'faithful', 'faithful', 'faithful']
    """
    network = config.network
    if not isinstance(network, LayersConfig):
        return (LayerFit("network", "unsupported", f"network.kind = {network.kind}", "network.kind=csnn"),)
    return tuple(TARGETS[target].check(config, network, list_layers(config)))


def list_layers(config: ClassifierConfig) -> tuple[LayerShape, ...]:
    """List the spiking layers of a network, then its readout.

    Raises:
        ConfigError: If settings contradict each other, or the network has other layers.
    """
    with torch.device("meta"):  # shapes only
        network = config.build_network()
    if not isinstance(network, SpikingNetwork):
        raise ConfigError(f"network.kind = {config.network.kind}: has no spiking layers of its own")
    C, H, W = config.task.shape
    found: list[LayerShape] = []
    shape = (C, H, W)
    for layer in network.layers:
        if isinstance(layer, Convolution):
            found.append(_convolve(len(found), layer, shape))
        elif isinstance(layer, Residual):
            found.append(_convolve(len(found), layer.first, shape))
            found.append(_convolve(len(found), layer.second, found[-1].outputs, residual=True))
        elif isinstance(layer, MaxPool):
            last = found.pop()
            pool = layer.pool.kernel_size
            assert isinstance(pool, int)
            found.append(replace(last, pool=pool, pools_maximum=True))
        elif isinstance(layer, Linear):
            found.append(LayerShape(f"lif{len(found) + 1}", shape, (layer.linear.out_features, 1, 1)))
        shape = found[-1].outputs
    return (*found, LayerShape("readout", shape, (network.linear.out_features, 1, 1)))


def _convolve(before: int, layer: Convolution, inputs: tuple[int, int, int], *, residual: bool = False) -> LayerShape:
    kernel, padding = layer.convolution.kernel_size[0], int(layer.convolution.padding[0])
    H, W = (side + 2 * padding - kernel + 1 for side in inputs[1:])
    neurons, pool = (layer.convolution.out_channels, H, W), layer.lif.settings.pool
    return LayerShape(f"lif{before + 1}", inputs, neurons, kernel, padding, pool, residual=residual)


# C


def _check_c(config: ClassifierConfig, network: LayersConfig, layers: Sequence[LayerShape]) -> Iterator[LayerFit]:
    bins = config.bins
    if bins.form not in ("count", "binary", "clipped"):
        yield LayerFit("input", "unsupported", f"bins.form = {bins.form}: not counts", "bins.form=count")
    elif bins.by != "time":
        yield LayerFit("input", "unsupported", f"bins.by = {bins.by}: steps have no fixed time", "bins.by=time")
    for layer in layers:
        if network.tau_syn_s is not None and (layer.name != "readout" or network.readout == "count"):
            reason = "the rule has no synaptic current"
            yield LayerFit(layer.name, "unsupported", reason, "network.tau_syn_s=null")
        else:
            state = "32-bit integrators" if layer.name == "readout" else "16-bit membranes"
            yield LayerFit(layer.name, "approximate", f"8-bit weights, {state}")


# NIR


def _check_nir(_: ClassifierConfig, network: LayersConfig, layers: Sequence[LayerShape]) -> Iterator[LayerFit]:
    for layer in layers:
        extra = []
        if network.reset == "subtract" and layer.name != "readout":
            extra.append("reset by subtraction")
        if layer.pools_maximum:
            extra.append("maximum pooling")
        reason = f"more nodes for {' and '.join(extra)}; chips may not run them" if extra else ""
        yield LayerFit(layer.name, "faithful", reason)


def _check_spinnaker2(_: ClassifierConfig, network: LayersConfig, layers: Sequence[LayerShape]) -> Iterator[LayerFit]:
    for layer in layers:
        is_readout = layer.name == "readout"
        if network.reset == "subtract" and not (is_readout and network.readout != "count"):
            reason = "reset by subtraction has a loop without neurons in NIR"
            yield LayerFit(layer.name, "unsupported", reason, "network.reset=zero")
        elif layer.residual:
            reason = "edges from two layers to one convolution are not known to be read"
            yield LayerFit(layer.name, "unsupported", reason, "network.kind=csnn")
        elif layer.pool > 1:
            change = "network.kind=csnn network.pool=1" if layer.pools_maximum else "network.pool=1"
            yield LayerFit(layer.name, "unsupported", "pooling is a convolution without neurons in NIR", change)
        elif is_readout and network.readout != "count":
            reason = f"the readout ({network.readout}) does not spike; neurons must follow weights"
            yield LayerFit(layer.name, "unsupported", reason, "network.readout=count")
        else:
            reason = "8-bit weights; spikes arrive one step later; choose ResetMethod.ZERO, IntegratorMethod.FORWARD"
            yield LayerFit(layer.name, "approximate", reason)


def _check_lava(_: ClassifierConfig, network: LayersConfig, layers: Sequence[LayerShape]) -> Iterator[LayerFit]:
    for layer in layers:
        is_readout = layer.name == "readout"
        if layer.kernel is not None:
            reason = "convolutions with a bias (the folded norm) are not read"
            yield LayerFit(layer.name, "unsupported", reason, "network.kind=mlp")
        elif is_readout and network.readout == "leaky":
            reason = "the loop of the leaky readout is not read"
            yield LayerFit(layer.name, "unsupported", reason, "network.readout=linear")
        elif network.reset == "subtract" and not (is_readout and network.readout == "linear"):
            yield LayerFit(layer.name, "unsupported", "the loop of the reset is not read", "network.reset=zero")
        elif network.tau_syn_s is None and not (is_readout and network.readout == "linear"):
            reason = "Lava-DL reads CubaLIF, and Lava reads LIF only without biases"
            yield LayerFit(layer.name, "unsupported", reason, "network.tau_syn_s=0.01")
        else:
            yield LayerFit(layer.name, "approximate", "Lava-DL: fixed-point neurons, state is not reset by itself")


def _check_onnx(_: ClassifierConfig, __: LayersConfig, layers: Sequence[LayerShape]) -> Iterator[LayerFit]:
    yield from (LayerFit(layer.name, "faithful") for layer in layers)


# Speck

MAX_INPUT_PX, MAX_OUTPUT_PX, MAX_FEATURES, MAX_KERNEL_PX, MAX_PADDING_PX = 128, 64, 1024, 16, 7
POOLS = (1, 2, 4)
CORES = (
    *[(16, 64)] * 3,
    *[(32, 32)] * 2,
    *[(64, 16)] * 2,
    *[(16, 16)] * 2,
)
"""KiB of weights and Ki of neurons of each core: `DynapcnnConfigBuilder.get_constraints` in sinabs 3.1.3."""
KIB = 1024


def find_memory(layer: LayerShape) -> tuple[int, int]:
    """Return the weights and neurons that a layer occupies in a core of Speck.

    Addresses are powers of two: c * 2^(⌈log2(k²)⌉ + ⌈log2(f)⌉) weights and f * 2^(⌈log2(H)⌉ + ⌈log2(W)⌉) neurons,
    `DynapcnnLayer.memory_summary` in sinabs 3.1.3. A linear layer is a convolution whose kernel covers its input.

    Example:
        >>> find_memory(LayerShape("lif1", (2, 34, 34), (24, 34, 34), 3, 1))
        (1024, 98304)
    """
    C, *sides = layer.inputs
    f, H, W = layer.neurons
    area = layer.kernel**2 if layer.kernel else max(sides) ** 2

    def bits(number: int) -> int:
        return (number - 1).bit_length()

    return C << bits(area) + bits(f), f << bits(H) + bits(W)


def assign_cores(layers: Sequence[LayerShape]) -> tuple[int | None, ...]:
    """Assign each layer to a core of Speck with enough memory; None: no core is left.

    The assignment has the most layers possible (augmenting paths of a bipartite matching).

    Example:
        >>> layer = LayerShape("lif1", (2, 32, 32), (16, 32, 32), 3, 1)
        >>> assign_cores([layer] * 10).count(None)
        1
    """
    owner: dict[int, int] = {}

    def place(layer: int, seen: set[int]) -> bool:
        weights, neurons = find_memory(layers[layer])
        for core, (weight_kib, neuron_ki) in enumerate(CORES):
            if core not in seen and weights <= weight_kib * KIB and neurons <= neuron_ki * KIB:
                seen.add(core)
                if core not in owner or place(owner[core], seen):
                    owner[core] = layer
                    return True
        return False

    for number in range(len(layers)):
        place(number, set())
    cores = {layer: core for core, layer in owner.items()}
    return tuple(cores.get(number) for number in range(len(layers)))


def _check_speck(config: ClassifierConfig, network: LayersConfig, layers: Sequence[LayerShape]) -> Iterator[LayerFit]:
    C, H, W = layers[0].inputs
    if max(H, W) > MAX_INPUT_PX or C > 2:
        factor = -(-max(H, W) * config.bins.downsample // MAX_INPUT_PX)
        change = f"bins.downsample={factor}" if max(H, W) > MAX_INPUT_PX else "bins.form=count"
        reason = f"found {C} channels of {W} x {H}, at most 2 of {MAX_INPUT_PX} x {MAX_INPUT_PX}"
        yield LayerFit("input", "unsupported", reason, change)
    else:
        yield LayerFit("input", "approximate", "events arrive without time steps")
    used = layers if network.readout == "count" else layers[:-1]
    cores = assign_cores(used)
    for layer, core in zip(used, cores, strict=True):
        yield _fit_speck(layer, core, network, config.bins.downsample)
    if network.readout != "count":
        reason = f"the readout ({network.readout}) does not spike"
        yield LayerFit("readout", "unsupported", reason, "network.readout=count")
    if len(used) > len(CORES):
        yield LayerFit(
            "network", "unsupported", f"found {len(used)} layers, at most {len(CORES)} cores", "fewer layers"
        )


def _fit_speck(layer: LayerShape, core: int | None, network: LayersConfig, downsample: int) -> LayerFit:
    """Check a layer against the limits of a core, the most severe first."""
    M, H, W = layer.neurons
    side = layer.kernel or max(layer.inputs[1:])
    smaller = f"bins.downsample={2 * downsample}"
    limits = (
        (network.tau_syn_s is not None, "neurons have no synaptic current", "network.tau_syn_s=null"),
        (layer.pools_maximum, "cores pool by sum, not by maximum", "network.kind=csnn"),
        (layer.pool not in POOLS, f"pooling of {layer.pool}, expected 1, 2 or 4", "network.pool=2"),
        (side > MAX_KERNEL_PX, f"kernel of {side}, at most {MAX_KERNEL_PX}", smaller),
        (layer.padding > MAX_PADDING_PX, f"padding of {layer.padding}, at most {MAX_PADDING_PX}", "network.kernel=3"),
        (M > MAX_FEATURES, f"{M} channels, at most {MAX_FEATURES}", f"{MAX_FEATURES} channels"),
        (max(H, W) > MAX_OUTPUT_PX, f"output of {W} x {H}, at most {MAX_OUTPUT_PX} x {MAX_OUTPUT_PX}", smaller),
    )
    for is_broken, reason, change in limits:
        if is_broken:
            return LayerFit(layer.name, "unsupported", reason, change)
    weights, neurons = find_memory(layer)
    needs = f"{weights / KIB:g} KiB of weights, {neurons / KIB:g} Ki neurons"
    if core is None and _fits_alone(layer, kernel=layer.kernel, channels=M):
        return LayerFit(layer.name, "unsupported", f"needs {needs}; such cores are taken", "fewer channels or layers")
    if core is None:
        return LayerFit(layer.name, "unsupported", f"needs {needs}: more than any core", _suggest_size(layer, smaller))
    return LayerFit(layer.name, "approximate", f"core {core}: {needs}; 8-bit weights, a constant leak")


def _suggest_size(layer: LayerShape, smaller: str) -> str:
    """Return the most channels with which some core has enough memory, or a smaller kernel or image."""
    C, M = layer.inputs[0], layer.neurons[0]
    for channels in range(M - 1, 0, -1):
        if _fits_alone(layer, kernel=layer.kernel, channels=channels):
            return f"at most {channels} channels"
    for kernel in range((layer.kernel or 1) - 2, 0, -2):
        if _fits_alone(layer, kernel=kernel, channels=M):
            return f"network.kernel={kernel}"
    return f"{smaller}, or fewer than {C} channels before it" if M > 1 else "fewer layers"


def _fits_alone(layer: LayerShape, *, kernel: int | None, channels: int) -> bool:
    changed = LayerShape(layer.name, layer.inputs, (channels, *layer.neurons[1:]), kernel)
    return assign_cores([changed]) != (None,)


TARGETS: Mapping[TargetName, Target] = {
    "c": Target("C99 code in integers", "docs/concepts/integer.md", _check_c),
    "nir": Target("NIR, for snnTorch, Norse and SpikingJelly", "Pedersen et al. 2024", _check_nir),
    "spinnaker2": Target("SpiNNaker2, by NIR", "s2_nir.py in py-spinnaker2", _check_spinnaker2),
    "lava": Target("Lava and Lava-DL, by NIR", "paper/nir_to_lava.py in neuromorphs/NIR", _check_lava),
    "speck": Target("Speck 2f", "sinabs 3.1.3, and samna's page of Speck 2b", _check_speck),
    "onnx": Target("ONNX, for onnxruntime", "opset of torch", _check_onnx),
}
"""Targets by name."""
