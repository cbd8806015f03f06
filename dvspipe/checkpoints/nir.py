"""NIR graphs (Pedersen et al. 2024), written from Norse's modules: Norse 1.1's `to_nir` writes wrong time constants.

The graph describes one recording by differential equations: solved with forward Euler and steps of `dt` seconds, they
are the same as the network's. Its nodes are those that Norse, snnTorch and SpikingJelly read: batch norms are folded,
average pooling is a sum whose share is part of the next weights, and the leaky readout, which snnTorch and Norse do not
read, is a `Linear` with a loop: v[t] = keep * (x[t] + v[t-1]).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..base.errors import ConfigError
from ..networks import LIBox, LIFBox, NetworkLayer, list_layers
from ..networks.neurons import find_reset

Floats = NDArray[np.float32]


def write_nir(
    network: nn.Module, path: Path, *, shape: tuple[int, int, int], dt: float, metadata: Mapping[str, str]
) -> Sequence[str]:
    """Write a network as a NIR file; return the kind of each node of its graph.

    Args:
        network: Network of `build_network`.
        path: File.
        shape: C, H, W of a step.
        dt: Time step of the reader in seconds; the time constants are scaled to it.
        metadata: Texts to store.

    Raises:
        ConfigError: If the library nir is missing, or NIR has no such neurons.
    """
    try:
        import nir
    except ImportError as error:
        raise ConfigError("library nir is not installed; pip install 'dvspipe[export]'") from error

    graph = _build_graph(nir, network, shape, dt)
    graph.metadata = {**metadata, "dt": str(dt)}

    # HDF5 cannot open the output file, because it is locked.
    content = io.BytesIO()
    nir.write(content, graph)
    path.write_bytes(content.getvalue())
    return [type(node).__name__ for node in graph.nodes.values()]


def _build_graph(nir: Any, network: nn.Module, shape: tuple[int, ...], dt: float) -> Any:
    graph = _Graph(nir, shape, dt)
    share = 1.0  # weight of a pooled sum in the mean

    for layer in list_layers(network):
        weight, bias = (parameter.detach().numpy() for parameter in layer.folded())
        weight = weight * np.float32(share)
        share = 1 / layer.pool**2

        if isinstance(layer.neurons, LIBox):
            graph.add_readout(layer, weight, bias)
        else:
            graph.add_synapses(layer, weight, bias)
            graph.add_neurons(layer)

    graph.add(nir.Output(np.array(graph.shape)))
    return nir.NIRGraph(graph.nodes, graph.edges, type_check=False)


class _Graph:
    """Chain of NIR nodes; `shape` is the shape of the output of the last one, without steps and batch."""

    def __init__(self, nir: Any, shape: tuple[int, ...], dt: float) -> None:
        self.nir = nir
        self.shape = shape
        self.dt = dt
        self.nodes: dict[str, Any] = {"input": nir.Input(np.array(shape))}
        self.edges: list[tuple[str, str]] = []
        self.tip = "input"

    def add(self, node: Any, *, loops: bool = False) -> None:
        """Append a node; with `loops`, also feed back its output of the previous step."""
        kind = type(node).__name__.lower()
        number = sum(name.split("_")[0] == kind for name in self.nodes)
        name = f"{kind}_{number}" if number else kind
        self.nodes[name] = node
        self.edges.append((self.tip, name))
        if loops:
            self.edges.append((name, name))
        self.tip = name

    def add_synapses(self, layer: NetworkLayer, weight: Floats, bias: Floats) -> None:
        """Append a convolution, or a linear layer."""
        module = layer.synapses
        if isinstance(module, nn.Conv2d):
            _, height, width = self.shape
            padding = int(module.padding[0])
            self.add(self.nir.Conv2d((height, width), weight, 1, padding, 1, 1, bias))
            growth = 2 * padding - module.kernel_size[0] + 1
            self.shape = (len(weight), height + growth, width + growth)
            return

        if len(self.shape) == 3:
            self.add(self.nir.Flatten({"input": np.array(self.shape)}, -3, -1))
        self.add(self.nir.Affine(weight, bias))
        self.shape = (len(weight),)

    def add_readout(self, layer: NetworkLayer, weight: Floats, bias: Floats) -> None:
        """Append a linear layer and a leaky readout: v[t] = keep * (x[t] + v[t-1]) integrates x = leak / keep * i."""
        neurons: Any = layer.neurons
        leak = neurons.factor
        keep = 1 - leak
        gain = leak / keep if keep else 1.0
        self.add_synapses(layer, gain * weight, gain * bias)
        if keep:
            self.add(self.nir.Linear(np.float32(keep) * np.eye(len(weight), dtype=np.float32)), loops=True)

    def add_neurons(self, layer: NetworkLayer) -> None:
        """Append spiking neurons, and sums over squares of pixels."""
        neurons: Any = layer.neurons
        reset = find_reset(neurons.p)
        if reset is None or reset[0]:
            raise ConfigError(f"{layer.name}: NIR resets to a value only; train with reset=zero, or write ONNX")

        # Time constants are longer than a step, as SpikingJelly requires: a step is rounded up to the next float.
        shortest = np.nextafter(np.float32(self.dt), np.float32(np.inf))
        leak = neurons.factor
        tau = max(self.dt / leak, shortest)
        threshold = float(neurons.p.v_th)

        # NIR: tau dv/dt = v_leak - v + r i.
        if isinstance(neurons, LIFBox):
            self._add_filled(self.nir.LIF, tau=tau, r=1, v_threshold=threshold)
        else:
            # NIR: tau_syn dI/dt = -I + w_in x. Norse's current gets the input x in full, so w_in = tau_syn / dt.
            # snnTorch and SpikingJelly need r = tau / dt here, so membranes and threshold are 1 / leak times as high.
            decay = float(neurons.dt * neurons.p.tau_syn_inv)
            tau_syn = max(self.dt / decay, shortest)
            self._add_filled(
                self.nir.CubaLIF,
                tau_mem=tau,
                tau_syn=tau_syn,
                r=1 / leak,
                w_in=1 / decay,
                v_threshold=threshold / leak,
            )

        if layer.pool > 1:
            sides = np.array([layer.pool, layer.pool])
            self.add(self.nir.SumPool2d(sides, sides, np.array([0, 0])))
            channels, height, width = self.shape
            self.shape = (channels, height // layer.pool, width // layer.pool)

    def _add_filled(self, kind: Any, **constants: float) -> None:
        """Append neurons with the same constants for all, which rest at 0 and reset to 0."""
        constants |= {"v_leak": 0, "v_reset": 0}
        self.add(kind(**{name: np.full(self.shape, value, np.float32) for name, value in constants.items()}))
