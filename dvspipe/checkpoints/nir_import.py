"""Networks of other programs: read a NIR file, and build the spiking network that its graph describes.

A NIR file has differential equations and no time step. Here they are solved as `nir_graph` writes them, and as Norse,
snnTorch and SpikingJelly import them: by forward Euler with steps of `dt`, the synaptic current before the membrane;
then a neuron above its threshold (not at it) spikes, and is reset at once:

    LIF:      v += dt / tau * (v_leak - v + r x)
    CubaLIF:  i += dt / tau_syn * (w_in x - i),    v += dt / tau_mem * (v_leak - v + r i)

The layers divide these equations by the threshold: weights and biases carry r, w_in, v_leak and 1 / v_threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..base.errors import ConfigError, FormatError, Remedy, join_names
from ..formats.hdf5.tree import Tree, read_tree
from ..networks import CountReadout, LeakyReadout, LinearReadout, Network, NeuronConfig, SpikingNetwork
from ..networks.config import ConvolutionConfig, MlpConfig
from ..networks.models import Convolution, Linear
from ..networks.sparse import SpikeConvolution
from .checkpoint import MAX_WEIGHT

SYNAPSES = ("Conv2d", "Linear", "Affine")
NEURONS = ("LIF", "CubaLIF")
POOLS = ("SumPool2d", "AvgPool2d")
MAX_NEURONS = 1 << 24  # in a layer
ROUNDING = 1e-5  # relative; a time constant in float32 may be a little shorter than the step that it equals


class NirNetwork(SpikingNetwork):
    """Spiking network of given layers, without a configuration."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        layers: Sequence[Convolution | Linear],
        linear: nn.Linear,
        readout: CountReadout | LeakyReadout | LinearReadout,
    ) -> None:
        Network.__init__(self)  # the constructor of a SpikingNetwork makes layers from a configuration
        self.sizes = dict(zip("CHW", shape, strict=True))
        self.layers = nn.ModuleList(layers)
        self.dropout = 0.0
        self.linear = linear
        self.readout = readout


def read_nir(path: Path, shape: tuple[int, int, int], classes: Sequence[str], dt: float) -> NirNetwork:
    """Read a NIR file and build its network. Nothing in the file is executed, and links are not followed.

    Args:
        path: NIR file.
        shape: Shape C, H, W of the spike tensors.
        classes: Classes, in the order of the outputs.
        dt: Length of a time step in seconds.

    Raises:
        FileError: If the file does not exist or is not a complete HDF5 file.
        ConfigError: If the graph is not a chain of supported nodes; the message names the node.
    """
    if not 0 < dt < math.inf:
        raise ConfigError(f"dt = {dt:g}: out of range (expected a number of seconds above 0)")

    nodes = _order_nodes(path, read_tree(path))
    build = _Builder(shape, classes, dt)
    try:
        for number, node in enumerate(nodes, start=1):
            build.add(node, is_last=number == len(nodes))
        return build.finish()
    except ConfigError as error:
        raise error.named(str(path)) from error


@dataclass(frozen=True)
class _Node:
    """Node of a graph: its kind, and its numbers."""

    name: str
    kind: str
    values: Tree

    def refuse(self, message: str, *remedies: Remedy) -> ConfigError:
        return ConfigError(f"node {self.name} ({self.kind}): {message}", *remedies)

    def array(self, name: str) -> NDArray[np.float64]:
        """Return an array of finite numbers."""
        value = self.values.get(name)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf" or not value.size:
            raise self.refuse(f"{name} is missing (expected numbers)")

        array = value.astype(np.float64)
        self.check_range(name, array)
        return array

    def check_range(self, name: str, array: NDArray[np.float64]) -> None:
        """Refuse numbers that are not finite, or too large for currents in float32."""
        if not (np.abs(array) <= MAX_WEIGHT).all():  # also if they are NaN
            raise self.refuse(f"{name}: found NaN, infinity or a number out of range (expected up to {MAX_WEIGHT:g})")

    def pair(self, name: str) -> tuple[int, int]:
        """Return a setting of rows and columns; one number is both."""
        array = self.array(name).reshape(-1)
        if array.size not in (1, 2):
            raise self.refuse(f"{name}: found {array.size} numbers, expected rows and columns")
        return int(array[0]), int(array[-1])

    def of_channels(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the parameter of each channel, float64 [M], of neurons [M, ...]; in a channel, all have the same."""
        array = self.array(name)
        try:
            spread = array.reshape(shape) if array.size == math.prod(shape) else np.broadcast_to(array, shape)
        except ValueError as error:
            found = " x ".join(map(str, array.shape))
            raise self.refuse(f"{name}: found {found} numbers, expected {' x '.join(map(str, shape))}") from error

        rows = spread.reshape(shape[0], -1)
        if (rows != rows[:, :1]).any():
            raise self.refuse(f"{name} differs between the neurons of a channel (expected one number per channel)")
        return rows[:, 0]

    def of_layer(self, name: str, shape: tuple[int, ...]) -> float:
        """Return a parameter that all neurons [M, ...] share."""
        values = self.of_channels(name, shape)
        if (values != values[0]).any():
            found = f"{values.min():g} to {values.max():g}"
            raise self.refuse(f"{name} differs between the neurons (found {found}, expected one for a layer)")
        return float(values[0])


def _order_nodes(path: Path, file: Tree) -> list[_Node]:
    """Return the nodes between the input and the output of a chain, and check the shape of the input."""
    graph = file.get("node")
    listed = graph.get("nodes") if isinstance(graph, Mapping) else None
    edges = graph.get("edges") if isinstance(graph, Mapping) else None
    if not isinstance(listed, Mapping) or not isinstance(edges, np.ndarray) or edges.shape[1:] != (2,):
        raise FormatError(f"{path}: not a NIR graph (found {join_names([*file][:5]) or 'nothing'}, expected node)")

    nodes: dict[str, _Node] = {}
    for name, values in listed.items():
        kind = values.get("type") if isinstance(values, Mapping) else None
        if not isinstance(values, Mapping) or not isinstance(kind, str):
            raise FormatError(f"{path}: node {name}: has no type")
        nodes[name] = _Node(name, kind, values)

    # A layer has one input and one output: sums, branches and loops need other layers.
    pairs = {(str(source), str(target)) for source, target in edges}
    following = dict(pairs)
    starts = [node.name for node in nodes.values() if node.kind == "Input"]
    if len(starts) != 1:
        raise ConfigError(f"{path}: found {len(starts)} inputs, expected one node of the kind Input")
    for name, node in nodes.items():
        sources = sum(target == name for _, target in pairs)
        targets = sum(source == name for source, _ in pairs)
        expected = (node.kind != "Input", node.kind != "Output")
        if (sources, targets) != expected:
            raise node.refuse(
                f"has {sources} edges to it and {targets} from it (expected a chain of layers, without loops and "
                "branches)"
            ).named(str(path))

    chain = [nodes[starts[0]]]
    while chain[-1].kind != "Output":
        target = following[chain[-1].name]
        if target not in nodes or len(chain) == len(nodes):
            raise FormatError(f"{path}: an edge leads to node {target}, which does not lead to an output")
        chain.append(nodes[target])

    passed = {node.name for node in chain}
    for name, node in nodes.items():
        if name not in passed:
            raise node.refuse("is not between the input and the output").named(str(path))
    return chain[:-1]


class _Synapses(NamedTuple):
    """Weights before neurons, for inputs that are averages of spikes.

    Args:
        node: Node of the weights.
        weight: Weights, float64 [M, C, h, w] of a convolution or [M, N] of a linear layer.
        bias: Biases, float64 [M].
        padding: Zero pixels around the input.
        shape: Shape of the neurons: M, H, W, or M.
    """

    node: _Node
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    padding: int
    shape: tuple[int, ...]

    def scaled(self, factor: NDArray[np.float64], offset: NDArray[np.float64] | float = 0.0) -> _Synapses:
        """Return the synapses for factor * currents + offset of each channel."""
        weight = self.weight * factor.reshape(-1, *[1] * (self.weight.ndim - 1))
        bias = self.bias * factor + offset
        self.node.check_range("weight, scaled by r and v_threshold,", weight)
        self.node.check_range("bias, scaled by r and v_threshold,", bias)
        return self._replace(weight=weight, bias=bias)


class _Builder:
    """Builds a network from its input to its output.

    Attributes:
        shape: Shape C, H, W of the output of the last layer; of a linear layer N, 1, 1.
        gain: Size of the last output of the graph, relative to averages of spikes: p² after a sum of p x p pixels.
    """

    def __init__(self, shape: tuple[int, int, int], classes: Sequence[str], dt: float) -> None:
        self.input = shape
        self.shape = shape
        self.classes = classes
        self.dt = dt
        self.gain = 1.0
        self.is_flat = False
        self.layers: list[Convolution | Linear] = []
        self.synapses: _Synapses | None = None
        self.linear: nn.Linear | None = None
        self.readout: CountReadout | LeakyReadout | LinearReadout = LinearReadout()

    def add(self, node: _Node, *, is_last: bool) -> None:
        """Append a node."""
        if node.kind == "Input":
            self._check_input(node)
        elif node.kind == "Flatten":
            self._flatten(node)
        elif node.kind in SYNAPSES:
            if self.synapses is not None:
                raise node.refuse(f"follows {self.synapses.node.kind} (expected {' or '.join(NEURONS)})")
            self.synapses = self._convolve(node) if node.kind == "Conv2d" else self._connect(node)
        elif node.kind in NEURONS:
            self._add_neurons(node, is_last=is_last)
        elif node.kind in POOLS:
            self._pool(node)
        elif node.kind == "LI" and is_last:
            self._integrate(node)
        else:
            expected = ", ".join(("Flatten", *SYNAPSES, *NEURONS, *POOLS, "LI as the last node"))
            raise node.refuse(f"cannot be compiled (expected {expected})")

    def finish(self) -> NirNetwork:
        """Return the network; weights without neurons after them are its readout."""
        if self.synapses is not None:
            self._add_readout(self.synapses)
        if self.linear is None:
            raise ConfigError(f"the graph does not end with outputs (expected {' or '.join(SYNAPSES[1:])}, neurons)")
        return NirNetwork(self.input, self.layers, self.linear, self.readout).eval()

    def _check_input(self, node: _Node) -> None:
        # Some programs store the batch, and some flat images.
        sides = [int(side) for side in node.array("shape").reshape(-1) if side != 1]
        if sides not in ([side for side in self.input if side != 1], [math.prod(self.input)]):
            found = " x ".join(map(str, sides))
            expected = " x ".join(map(str, self.input))
            raise node.refuse(f"found {found} values, expected {expected} as the spike tensors (settings of bins)")

    def _flatten(self, node: _Node) -> None:
        start, _ = node.pair("start_dim")
        end, _ = node.pair("end_dim")
        if not self.is_flat and (start not in (0, -3) or end not in (-1, 2)):
            raise node.refuse(f"flattens a part (found {start} to {end}, expected all dimensions: 0 to -1)")
        self.is_flat = True

    def _convolve(self, node: _Node) -> _Synapses:
        weight = node.array("weight")
        channels, height, width = self.shape
        if self.is_flat:
            raise node.refuse("follows flattened values (expected an image)")
        for name in ("stride", "dilation", "groups"):
            if node.pair(name) != (1, 1):
                found = " x ".join(map(str, node.pair(name)))
                raise node.refuse(f"{name} = {found}: cannot be compiled (expected 1)")
        if weight.ndim != 4 or weight.shape[1] != channels:
            raise node.refuse(f"weight: found {weight.shape}, expected (outputs, {channels}, rows, columns)")

        outputs, _, rows, columns = weight.shape
        padding = self._find_padding(node, rows, columns)
        sides = (height + 2 * padding - rows + 1, width + 2 * padding - columns + 1)
        if min(sides) < 1:
            raise node.refuse(f"found an image of {height} x {width} pixels (expected {rows} x {columns} or more)")
        self._check_neurons(node, outputs * math.prod(sides))
        return _Synapses(node, weight * self.gain, self._read_bias(node, outputs), padding, (outputs, *sides))

    def _find_padding(self, node: _Node, rows: int, columns: int) -> int:
        named = node.values.get("padding")
        if isinstance(named, str):
            if named == "same" and rows == columns and rows % 2:
                return rows // 2
            if named == "valid":
                return 0
            raise node.refuse(f"padding = {named}: cannot be compiled for {rows} x {columns} weights")

        down, across = node.pair("padding")
        if down != across or down < 0:
            raise node.refuse(f"padding differs (found {down} rows and {across} columns, expected equal numbers)")
        return down

    def _connect(self, node: _Node) -> _Synapses:
        weight = node.array("weight")
        features = math.prod(self.shape)
        if weight.ndim != 2 or weight.shape[1] != features:
            raise node.refuse(f"weight: found {weight.shape}, expected (outputs, {features})")
        self.is_flat = True
        self._check_neurons(node, len(weight))
        return _Synapses(node, weight * self.gain, self._read_bias(node, len(weight)), 0, (len(weight),))

    @staticmethod
    def _check_neurons(node: _Node, neurons: int) -> None:
        """Refuse a layer that does not fit in memory: a small file may describe a layer of any size."""
        if neurons > MAX_NEURONS:
            raise node.refuse(f"too large (found {neurons:,} neurons, expected at most {MAX_NEURONS:,})")

    def _read_bias(self, node: _Node, outputs: int) -> NDArray[np.float64]:
        if node.kind == "Linear":
            return np.zeros(outputs)
        return node.of_channels("bias", (outputs,))

    def _take_synapses(self, node: _Node) -> _Synapses:
        """Return the weights before neurons."""
        synapses = self.synapses
        if synapses is None:
            raise node.refuse(f"has no weights before it (expected {', '.join(SYNAPSES)})")
        self.synapses = None
        return synapses

    def _add_neurons(self, node: _Node, *, is_last: bool) -> None:
        synapses = self._take_synapses(node)
        shape = synapses.shape
        threshold = node.of_channels("v_threshold", shape)
        if threshold.min() <= 0:
            raise node.refuse(f"v_threshold: found {threshold.min():g}, expected more than 0")
        if "v_reset" in node.values and (node.of_channels("v_reset", shape) != 0).any():
            raise node.refuse("v_reset: found a number that is not 0 (expected a reset to 0)")

        # The equations divided by the threshold have the threshold 1; see above.
        factor = node.of_channels("r", shape) / threshold
        rest = node.of_channels("v_leak", shape) / threshold
        tau_syn_s = None
        if node.kind == "CubaLIF":
            share = self.dt / self._read_tau(node, "tau_syn", shape)
            factor = factor * share * node.of_channels("w_in", shape)
            if share < 1:
                tau_syn_s = self.dt / share
            if share < 1 and rest.any():
                raise node.refuse("v_leak: found a number that is not 0 (expected 0 with a synaptic current)")

        tau_s = self._read_tau(node, "tau_mem" if node.kind == "CubaLIF" else "tau", shape)
        config = NeuronConfig(tau_mem_s=tau_s, tau_syn_s=tau_syn_s)
        scaled = synapses.scaled(factor, rest)
        self.gain = 1.0

        if is_last:
            self.readout = CountReadout(config, self.dt, votes=1)
            self._add_readout(scaled)
        elif len(shape) == 3:
            self.layers.append(self._make_convolution(scaled, config))
            self.shape = (shape[0], shape[1], shape[2])
        else:
            layer = Linear(math.prod(self.shape), shape[0], MlpConfig(**config.model_dump()), self.dt)
            layer.linear = _make_linear(scaled)
            self.layers.append(layer)
            self.shape = (shape[0], 1, 1)

    def _read_tau(self, node: _Node, name: str, shape: tuple[int, ...]) -> float:
        """Return a time constant in seconds, at least one step."""
        tau_s = node.of_layer(name, shape)
        if tau_s < self.dt * (1 - ROUNDING):
            raise node.refuse(
                f"{name} is shorter than a time step (found {tau_s:g} s, expected {self.dt:g} s or more)",
                Remedy("dt", "SECONDS", "set the time step with which the file was written"),
            )
        return max(tau_s, self.dt)

    def _make_convolution(self, synapses: _Synapses, config: NeuronConfig) -> Convolution:
        outputs, channels, *kernel = synapses.weight.shape
        settings = ConvolutionConfig(**config.model_dump())
        layer = Convolution(channels, outputs, settings, self.dt, padding=synapses.padding)

        # Its norm only adds the biases.
        layer.convolution = SpikeConvolution(channels, outputs, tuple(kernel), padding=synapses.padding, bias=False)
        layer.convolution.weight = _as_parameter(synapses.weight)
        assert layer.norm is not None
        layer.norm.eps = 0.0
        layer.norm.bias = _as_parameter(synapses.bias)
        return layer

    def _pool(self, node: _Node) -> None:
        layer = self.layers[-1] if self.layers and self.synapses is None and not self.is_flat else None
        if not isinstance(layer, Convolution) or layer.lif.settings.pool > 1:
            raise node.refuse("does not follow the neurons of a convolution (expected Conv2d, LIF, then pooling)")

        (side, *_) = sides = (*node.pair("kernel_size"), *node.pair("stride"))
        channels, height, width = self.shape
        if {*sides} != {side} or node.pair("padding") != (0, 0) or not 1 <= side <= min(height, width):
            raise node.refuse(
                f"found squares of {sides[0]} x {sides[1]} pixels every {sides[2]} x {sides[3]} with padding "
                f"{node.pair('padding')[0]}, expected equal numbers up to {min(height, width)}, without padding"
            )

        layer.lif.settings = layer.lif.settings._replace(pool=side)
        self.shape = (channels, height // side, width // side)
        self.gain = 1.0 if node.kind == "AvgPool2d" else float(side**2)

    def _integrate(self, node: _Node) -> None:
        synapses = self._take_synapses(node)
        tau_s = self._read_tau(node, "tau", synapses.shape)
        self.readout = LeakyReadout(tau_mem_s=tau_s, dt=self.dt)
        self._add_readout(
            synapses.scaled(node.of_channels("r", synapses.shape), node.of_channels("v_leak", synapses.shape))
        )

    def _add_readout(self, synapses: _Synapses) -> None:
        self.synapses = None
        if synapses.weight.ndim != 2:
            raise synapses.node.refuse("is the last layer of weights (expected Linear or Affine)")

        outputs = len(synapses.weight)
        if outputs != len(self.classes):
            raise synapses.node.refuse(
                f"found {outputs} outputs, expected {len(self.classes)}: the classes {join_names(self.classes)}"
            )
        self.linear = _make_linear(synapses)


def _make_linear(synapses: _Synapses) -> nn.Linear:
    outputs, features = synapses.weight.shape
    linear = nn.Linear(features, outputs)
    linear.weight = _as_parameter(synapses.weight)
    linear.bias = _as_parameter(synapses.bias)
    return linear


def _as_parameter(array: NDArray[Any]) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.ascontiguousarray(array, np.float32)))
