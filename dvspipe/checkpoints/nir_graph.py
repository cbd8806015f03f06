"""NIR graphs: build the graph of a network, and write it to a file.

`build_nir` explains the graph, and `_GraphBuilder` appends its nodes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.errors import ConfigError
from ..networks import LIF, LeakyReadout, LinearReadout, SpikingNetwork
from ..networks.models import Convolution, Linear
from .exportable import Exportable


def write_nir(exportable: Exportable, path: Path) -> Sequence[str]:
    """Write a NIR file; return the kind of each node of its graph."""
    nir = import_nir()
    graph = build_nir(exportable.network, exportable.config.task.shape, exportable.dt)
    graph.metadata = exportable.metadata() | {"dt": str(exportable.dt)}

    # HDF5 cannot open the output file, because it is locked.
    content = io.BytesIO()
    nir.write(content, graph)
    path.write_bytes(content.getvalue())

    return [type(node).__name__ for node in graph.nodes.values()]


def import_nir() -> Any:
    """Return the library nir, or raise an error that tells how to install it."""
    try:
        import nir
    except ImportError as error:
        raise ConfigError("library nir is not installed; pip install 'dvspipe[export]'") from error
    return nir


def build_nir(network: SpikingNetwork, shape: tuple[int, ...], dt: float) -> Any:
    """Convert a network to a NIR graph with steps of `dt` seconds; parameters have the shapes of the layers.

    The inputs of a node are summed over its incoming edges. An edge back to an earlier node carries the output of the
    previous step.

    The graph works around missing features of readers. Norse does not read `AvgPool2d` and ignores r. Neither Norse nor
    snnTorch reads `LI` and `Threshold`. NIR itself resets only to a value. Therefore:

    - Average pooling is a convolution, and a gain divides the threshold.
    - A leak without reset, v += leak * (gain * i - v), is a `Linear` or a convolution by keep = 1 - leak with a loop
      that adds its output to its next input: v[t] = keep * (x[t] + v[t-1]) with x = leak * gain / keep * i.
    - A reset by subtraction also adds the negative spikes z of the previous step: v[t] = keep * (x[t] + v[t-1] -
      z[t-1]). A memoryless `CubaLIF`, with time constants of one step, compares v with the threshold.
    """
    build = _GraphBuilder(shape, dt)
    for layer in network.layers:
        if isinstance(layer, Convolution):
            build.add_convolution(layer)
        elif isinstance(layer, Linear):
            build.add_linear(layer.linear, build.find_scale(layer.lif))
            build.add_neurons(layer.lif)
        else:
            raise TypeError(f"no NIR graph for a {type(layer).__name__}")

    build.add_readout(network)
    return build.finish()


class _GraphBuilder:
    """Build a NIR graph from its input to its output. Each `add_...` appends nodes to the tip.

    Args:
        shape: Shape of the input, without steps and batch.
        dt: Time step in seconds.

    Attributes:
        shape: Shape of the output of the tip: C, H, W, or a number of features.
        tip: Node whose output is the input of the next node.
    """

    def __init__(self, shape: tuple[int, ...], dt: float) -> None:
        self.nir = import_nir()
        self.shape = shape
        self.dt = dt
        self.nodes: dict[str, Any] = {"input": self.nir.Input(np.array(shape))}
        self.edges: list[tuple[str, str]] = []
        self.tip = "input"

    def add(self, node: Any, *, loops: bool = False) -> str:
        """Append a node to the tip; with `loops`, also feed back its output of the previous step. Return its name."""
        kind = type(node).__name__.lower()
        number = sum(name.split("_")[0] == kind for name in self.nodes)
        name = f"{kind}_{number}" if number else kind
        self.nodes[name] = node
        self.edges.append((self.tip, name))
        if loops:
            self.edges.append((name, name))
        self.tip = name
        return name

    def finish(self) -> Any:
        """Connect the tips to the output node, and return the graph."""
        self.add(self.nir.Output(np.array(self.shape)))
        return self.nir.NIRGraph(self.nodes, self.edges, type_check=False)

    def add_convolution(self, layer: Convolution) -> None:
        """Add a convolution with its folded norm, its neurons and average pooling."""
        scale = self.find_scale(layer.lif)
        weight, bias = layer.folded()
        padding = int(layer.convolution.padding[0])  # rows and columns alike
        self.convolve(_array(scale * weight), _array(scale * bias), padding=padding)
        self.add_neurons(layer.lif)

        pool = layer.lif.settings.pool
        if pool > 1:
            self.add_averages(pool)

    def convolve(
        self, weight: NDArray[np.float32], bias: NDArray[np.float32] | None = None, *, padding: int = 0, stride: int = 1
    ) -> None:
        """Add a convolution."""
        bias = np.zeros(len(weight), np.float32) if bias is None else bias
        _, *sides = self.shape
        dilation = 1
        groups = 1
        self.add(self.nir.Conv2d(tuple(sides), weight, stride, padding, dilation, groups, bias))

        channels, _, _, kernel = weight.shape
        self.shape = (channels, *((side + 2 * padding - kernel) // stride + 1 for side in sides))

    def add_averages(self, pool: int) -> None:
        """Add average pooling over squares of `pool` x `pool` pixels."""
        channels, _, _ = self.shape
        same = np.arange(channels)  # a channel is averaged alone: input = output
        squares = np.zeros((channels, channels, pool, pool), np.float32)
        squares[same, same] = 1 / pool**2
        self.convolve(squares, stride=pool)

    def add_factor(self, factor: float, *, loops: bool = False) -> str:
        """Add a multiplication by a factor."""
        channels, *sides = self.shape
        weight = np.float32(factor) * np.eye(channels, dtype=np.float32)
        if not sides:
            return self.add(self.nir.Linear(weight), loops=loops)

        node = self.nir.Conv2d(
            tuple(sides),
            weight[..., None, None],
            stride=1,
            padding=0,
            dilation=1,
            groups=1,
            bias=np.zeros(channels, np.float32),
        )
        return self.add(node, loops=loops)

    def add_threshold(self, threshold: float) -> None:
        """Add a step function (1 above the threshold, else 0) as a `CubaLIF` node: all readers support it."""
        one = np.ones(self.shape, np.float32)

        # The time constants of one step are rounded up: SpikingJelly needs step / dt >= 1.
        nearest = np.float32(self.dt)
        above = np.nextafter(nearest, np.float32(1))
        step = one * (nearest if float(nearest) >= self.dt else above)

        self.add(
            self.nir.CubaLIF(
                tau_mem=step,
                tau_syn=step,
                r=one,
                v_leak=0 * one,
                v_threshold=one * np.float32(threshold),
                v_reset=0 * one,
                w_in=one,
            )
        )

    def find_scale(self, lif: LIF) -> float:
        """Return the scale that `add_neurons` expects on the weights before the neurons."""
        leak = lif.factor

        if not lif.settings.subtract or leak == 1:
            return 1.0

        # A reset by subtraction compares v with 1, so the weights carry leak * gain / keep; see `build_nir`. If there
        # is a synaptic current, its loop multiplies its input by `keep_current`, too.
        keep = 1 - leak
        return leak * lif.settings.gain / keep / (lif.keep_current or 1.0)

    def add_neurons(self, lif: LIF) -> None:
        """Add LIF neurons. A synaptic current is in units of potential: snnTorch requires R = tau / dt."""
        leak = lif.factor
        gain = lif.settings.gain
        one = np.ones(self.shape, np.float32)

        if lif.settings.subtract and leak < 1:
            self._add_subtracting(1 - leak, lif.keep_current)
        elif lif.keep_current is None and leak == 1:
            self.add_threshold(1 / gain)
        elif lif.keep_current is None:
            tau = one * np.float32(self.dt / leak)
            threshold = one * np.float32(1 / gain)
            self.add(self.nir.LIF(tau=tau, r=one, v_leak=0 * one, v_threshold=threshold, v_reset=0 * one))
        else:
            # NIR: tau_mem dv/dt = -v + r I and tau_syn dI/dt = -I + w_in x, by forward Euler.
            decay = 1 - lif.keep_current
            self.add(
                self.nir.CubaLIF(
                    tau_mem=one * np.float32(self.dt / leak),
                    tau_syn=one * np.float32(self.dt / decay),
                    r=one * np.float32(1 / leak),
                    v_leak=0 * one,
                    v_threshold=one * np.float32(1 / (leak * gain)),
                    v_reset=0 * one,
                    w_in=one * np.float32(1 / decay),
                )
            )

    def _add_subtracting(self, keep: float, keep_current: float | None) -> None:
        """Add neurons that subtract the threshold: v[t] = keep * (x[t] + v[t-1] - z[t-1])."""
        if keep_current:
            self.add_factor(keep_current, loops=True)

        membrane = self.add_factor(keep, loops=True)
        self.add_threshold(1.0)
        spikes = self.tip

        # The spikes return to the membrane with the factor -1, beside their way to the next layer.
        negative = self.add_factor(-1.0)
        self.edges.append((negative, membrane))
        self.tip = spikes

    def add_linear(self, linear: nn.Linear, scale: float = 1.0) -> None:
        """Add a linear layer with scaled weights and biases."""
        if len(self.shape) == 3:
            self.add(self.nir.Flatten({"input": np.array(self.shape)}, -3, -1))
        self.add(self.nir.Affine(_array(scale * linear.weight), _array(scale * linear.bias)))
        self.shape = (linear.out_features,)

    def add_readout(self, network: SpikingNetwork) -> None:
        """Add the last linear layer and the readout."""
        readout = network.readout
        linear = network.linear
        if isinstance(readout, LeakyReadout):
            # As in `build_nir`, a leak is a loop with the factor `keep`, and the weights carry the rest.
            leak = readout.factor
            keep = 1 - leak
            self.add_linear(linear, readout.gain * (leak / keep if keep else 1))

            if keep:
                self.add_factor(keep, loops=True)
        elif isinstance(readout, LinearReadout):
            self.add_linear(linear)
        else:
            self.add_linear(linear, self.find_scale(readout.lif))
            self.add_neurons(readout.lif)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.ascontiguousarray(tensor.detach().float().numpy())
    return array
