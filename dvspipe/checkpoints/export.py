"""Export trained networks: NIR for neuromorphic tools and chips, ONNX for other software.

Each exported file is read back and its outputs are compared with the network's before it replaces an existing file.
So each format has a writer and a runner (`EXPORTERS`): for NIR, `_NirBuilder` builds the graph that `build_nir`
explains, and `_run_nir` computes its equations; for ONNX, torch writes the file and onnxruntime runs it.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.errors import ConfigError, FileError, Remedy
from ..base.files import claim_output, require_suffix, write_beside
from ..networks import LIF, LeakyReadout, LinearReadout, SpikingNetwork
from ..networks.models import Convolution, Linear, MaxPool, Residual
from .checkpoint import ClassifierConfig, load_checkpoint, load_config, versions

ExportFormat = Literal["nir", "onnx", "c"]
SAMPLE_RATES = (0.05, 0.5)  # fractions of entries with an event, one per recording of the compared sample
ONNX = Remedy("out", "NET.onnx", "export any network")
SNNTORCH_STEP_S = 1e-4  # fixed step of snnTorch 1.0, in its import_nir.py
TOLERANCE = 1e-2  # relative to the largest output; spikes flipped by rounding change it by less
MIN_OUTPUT = 1e-12  # against a division by zero
HALF = 0.5  # threshold between 0 and 1 spikes


@dataclass(frozen=True)
class NirReader:
    """Program that reads NIR files.

    Args:
        call: Python expression that reads a file, with placeholders `{path}` and `{dt}` (time step in seconds).
        dt: Fixed time step in seconds; None if it is an argument of the call.
    """

    name: str
    nodes: frozenset[str]
    call: str
    dt: float | None = None

    def find_problem(self, nodes: Sequence[str], dt: float) -> ConfigError | None:
        """Explain why the reader cannot run a graph with these nodes and time step (seconds); None if it can."""
        unknown = sorted({*nodes} - self.nodes)
        if unknown:
            return ConfigError(f"{self.name} does not read {', '.join(unknown)}", ONNX)
        if self.dt not in (None, dt):
            return ConfigError(
                f"{self.name} always assumes steps of {self.dt:g} s (the file has steps of {dt:g} s)",
                Remedy("dt", self.dt, "scale the time constants"),
            )

        return None


COMMON_NODES = frozenset(
    {"Input", "Output", "Affine", "Linear", "Conv2d", "Flatten", "SumPool2d", "IF", "LIF", "CubaLIF"}
)
"""Kinds of nodes that all readers support."""
NIR_READERS = (
    NirReader(  # node_map in snntorch/import_nir.py, and nirtorch.nir_interpreter.DEFAULT_MAP
        "snnTorch 1.0",
        COMMON_NODES | {"Conv1d", "AvgPool2d"},
        "snntorch.import_nir.import_from_nir(nir.read({path!r}))",
        SNNTORCH_STEP_S,
    ),
    NirReader(  # _import_norse_module in norse/torch/utils/import_nir.py
        "Norse 1.1",
        COMMON_NODES,
        "norse.torch.from_nir(nir.read({path!r}), dt={dt})",
    ),
    NirReader(  # _NodeMapper in spikingjelly/activation_based/nir_exchange/from_nir.py
        "SpikingJelly 2.0",
        COMMON_NODES | {"Conv1d", "AvgPool2d"},
        "spikingjelly.activation_based.nir_exchange.import_from_nir({path!r}, dt={dt})",
    ),
)
"""Programs tested to reproduce the network's outputs from an exported file."""


@dataclass(frozen=True)
class Export:
    """Exported network.

    Args:
        path: Output file, or folder of C code.
        format: Format of the file.
        nodes: NIR and ONNX: kind of each operation in its graph.
        dt: NIR only: time step in seconds.
        difference: Maximum difference between the file's and the network's outputs, relative to the largest output; C
            code computes the same scores.
        files: Files that were written.
    """

    path: Path
    format: ExportFormat
    nodes: Sequence[str] = ()
    dt: float | None = None
    difference: float = 0.0
    files: Sequence[Path] = ()


def export_file(
    checkpoint: str | Path,
    path: Path,
    *,
    dt: float | None = None,
    overwrite: bool = False,
    progress: Callable[[str], object] | None = None,
) -> Export:
    """Export a trained network to NIR or ONNX, by the suffix, and compare the file's outputs with the network's.

    NIR (Pedersen et al. 2024) describes the network as differential equations, for one recording. The input at each
    step is spikes [C, H, W]. The output is the readout of each class; the logits are its mean over the steps. Solved
    with forward Euler, v += dt / tau * (v_leak - v + r * i), with a spike and a reset if v > v_threshold, the equations
    are the same as the network's. All nodes are supported by all `NIR_READERS`.

    ONNX files have the input `spikes`, float32 [T, B, C, H, W] for any B, and the outputs `outputs` [T, B, K] and
    `probabilities` [B, K]. The metadata of both contain the classes, bins, framing and versions.

    Arguments and errors as in `dvspipe.export`.
    """
    require_suffix(path, "an exported network", *(f".{name}" for name in EXPORTERS))
    to = next(name for name in EXPORTERS if path.suffix.lower() == f".{name}")
    if to != "nir":
        refuse_step(dt, to)
    if dt is not None and not 0 < dt < math.inf:
        raise ConfigError(f"dt = {dt:g}: out of range (expected a number of seconds above 0)")

    claim_output(path, overwrite=overwrite)
    report = progress or (lambda _: None)
    report("load")
    _require_exportable(checkpoint)
    config, network = load_checkpoint(checkpoint)
    assert isinstance(network, SpikingNetwork)
    spikes = _draw_sample(config)
    step_s = dt or SNNTORCH_STEP_S

    # The file is run before it gets its name: a file that exists gives the outputs of the network.
    exporter = EXPORTERS[to]
    with torch.no_grad(), write_beside(path) as beside:
        report("write")
        nodes = exporter.write(config, network, beside, step_s)

        report("compare")
        expected, _ = network(spikes)
        outputs = exporter.run(beside, spikes, step_s)
        largest = expected.abs().max().clamp(min=MIN_OUTPUT)
        difference = float((outputs - expected).abs().max() / largest)
        if not difference <= TOLERANCE:  # also if it is NaN
            raise FileError(
                f"{path}: not written, because the outputs of the {to} file differ from the network's (by "
                f"{difference:.1%} of the largest output); please report it with the checkpoint's configuration"
            )

    return Export(path, to, nodes, step_s if to == "nir" else None, difference, (path,))


def _require_exportable(checkpoint: str | Path) -> None:
    """Check that the network of a checkpoint has an exported form, before it is built."""
    network = load_config(checkpoint).network
    if network.kind == "module":
        why = "its layers are unknown"
    elif network.spikes_once:
        why = "neither format has neurons that spike at most once"
    else:
        return

    raise ConfigError(
        f"{checkpoint}: network.kind = {network.kind} cannot be exported: {why}",
        Remedy("network.kind", "csnn", "train a network that can be exported"),
    )


def refuse_step(dt: float | None, to: ExportFormat) -> None:
    """Check that no time step is given for a format that does not use it."""
    if dt is not None:
        raise ConfigError(f"dt = {dt:g}: not used by {to}", Remedy("out", "NET.nir", "scale time constants"))


def _draw_sample(config: ClassifierConfig) -> Tensor:
    """Draw a spike tensor of a sparse and a dense random recording; the seed is fixed."""
    rng = np.random.default_rng(0)
    shape = (config.bins.steps, *config.bins.shape(config.sensor))
    recordings = [rng.random(shape, np.float32) < rate for rate in SAMPLE_RATES]
    return torch.from_numpy(np.stack(recordings, axis=1).astype(np.float32))


def _metadata(config: ClassifierConfig) -> dict[str, str]:
    """Return the metadata for creating spike tensors and naming classes; some values are JSON."""
    return {
        "classes": json.dumps(config.classes),
        "sensor": str(config.sensor),
        "bins": config.bins.model_dump_json(),
        "framing": config.framing.model_dump_json(),
        "step_us": str(config.bins.step_us),
        "temperature": str(config.temperature),
        "trained_on": config.trained_on,
        "versions": json.dumps(versions()),
    }


def _write_nir(config: ClassifierConfig, network: SpikingNetwork, path: Path, dt: float) -> Sequence[str]:
    nir = _import_nir()
    graph = build_nir(network, config.task.shape, dt)
    graph.metadata = _metadata(config) | {"dt": str(dt)}

    # HDF5 cannot open the output file, because it is locked.
    content = io.BytesIO()
    nir.write(content, graph)
    path.write_bytes(content.getvalue())

    return [type(node).__name__ for node in graph.nodes.values()]


def _import_nir() -> Any:
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
    snnTorch reads `LI` and `Threshold`. NIR itself has no maximum pooling, and resets only to a value. Therefore:

    - Average pooling is a convolution, and a gain divides the threshold.
    - A leak without reset, v += a * (g * i - v), is a `Linear` or a convolution by 1 - a with a loop that adds its
      output to its next input: v[t] = (1 - a) * (x[t] + v[t-1]) with x = a * g / (1 - a) * i.
    - A reset by subtraction also adds the negative spikes of the previous step: v[t] = (1 - a) * (x[t] + v[t-1] -
      z[t-1]). A memoryless `CubaLIF`, with time constants of one step, compares v with the threshold.
    - Maximum pooling of spikes thresholds the sum of each square of pixels at 0.5. Sums of spikes are first split into
      their levels.
    """
    build = _NirBuilder(shape, dt)
    levels = 1  # maximum sum of spikes at a pixel
    for layer in network.layers:
        if isinstance(layer, Convolution):
            build.add_convolution(layer)
        elif isinstance(layer, Residual):
            # The input of the residual is a second source of its output: edges are added.
            before = build.tips
            build.add_convolution(layer.first)
            build.add_convolution(layer.second)
            build.tips = [*build.tips, *before]
            levels = levels + 1
        elif isinstance(layer, MaxPool):
            side = layer.pool.kernel_size
            assert isinstance(side, int)
            build.add_maximum(side, levels)
        elif isinstance(layer, Linear):
            build.add_linear(layer.linear, build.find_scale(layer.lif))
            build.add_neurons(layer.lif)
            levels = 1
        else:
            raise TypeError(f"no NIR graph for a {type(layer).__name__}")

    build.add_readout(network)
    return build.finish()


class _NirBuilder:
    """Build a NIR graph from its input to its output. Each `add_...` appends nodes to the tips.

    Args:
        shape: Shape of the input, without steps and batch.
        dt: Time step in seconds.

    Attributes:
        shape: Shape of the output of the tips: C, H, W, or a number of features.
        tips: Nodes whose outputs are the input of the next node; several are summed.
    """

    def __init__(self, shape: tuple[int, ...], dt: float) -> None:
        self.nir = _import_nir()
        self.shape = shape
        self.dt = dt
        self.nodes: dict[str, Any] = {"input": self.nir.Input(np.array(shape))}
        self.edges: list[tuple[str, str]] = []
        self.tips = ["input"]

    def add(self, node: Any, *, loops: bool = False) -> str:
        """Append a node to the tips; with `loops`, also feed back its output of the previous step. Return its name."""
        kind = type(node).__name__.lower()
        number = sum(name.split("_")[0] == kind for name in self.nodes)
        name = f"{kind}_{number}" if number else kind
        self.nodes[name] = node
        self.edges += [(tip, name) for tip in self.tips]
        if loops:
            self.edges.append((name, name))
        self.tips = [name]
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
            self.add_sums(pool, 1 / pool**2)

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

    def add_sums(self, pool: int, factor: float = 1.0) -> None:
        """Add sum pooling over squares of `pool` x `pool` pixels, scaled by a factor."""
        channels, _, _ = self.shape
        same = np.arange(channels)  # a channel is summed alone: input = output
        squares = np.zeros((channels, channels, pool, pool), np.float32)
        squares[same, same] = factor
        self.convolve(squares, stride=pool)

    def add_maximum(self, pool: int, levels: int) -> None:
        """Add a max-pooling layer for integer inputs from 0 to `levels`."""
        channels, _, _ = self.shape
        eye = np.eye(channels, dtype=np.float32)[..., None, None]

        # Split sums of spikes into indicators: >= 1, >= 2, ...
        if levels > 1:
            lower = np.arange(levels, dtype=np.float32).repeat(channels)
            self.convolve(np.tile(eye, (levels, 1, 1, 1)), -lower)
            self.add_threshold(HALF)

        # The sum of a square is at least 1 if any of its pixels spikes.
        self.add_sums(pool)
        self.add_threshold(HALF)

        # The sum of the indicators is the maximum.
        if levels > 1:
            self.convolve(np.tile(eye, (1, levels, 1, 1)))

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
        factor = float(lif.leak())

        # A reset by subtraction compares v with 1, so the weights carry a * g / (1 - a); see `build_nir`.
        if not lif.settings.subtract or factor == 1:
            return 1.0
        return factor * lif.settings.gain / (1 - factor) / (lif.keep_current or 1.0)

    def add_neurons(self, lif: LIF) -> None:
        """Add LIF neurons. A synaptic current is in units of potential: snnTorch requires R = tau / dt."""
        factor = float(lif.leak())
        gain = lif.settings.gain
        one = np.ones(self.shape, np.float32)

        if lif.settings.subtract and factor < 1:
            self._add_subtracting(factor, lif.keep_current)
        elif lif.keep_current is None and factor == 1:
            self.add_threshold(1 / gain)
        elif lif.keep_current is None:
            tau = one * np.float32(self.dt / factor)
            threshold = one * np.float32(1 / gain)
            self.add(self.nir.LIF(tau=tau, r=one, v_leak=0 * one, v_threshold=threshold, v_reset=0 * one))
        else:
            # NIR: tau_mem dv/dt = -v + r I and tau_syn dI/dt = -I + w_in x, by forward Euler.
            decay = 1 - lif.keep_current
            self.add(
                self.nir.CubaLIF(
                    tau_mem=one * np.float32(self.dt / factor),
                    tau_syn=one * np.float32(self.dt / decay),
                    r=one * np.float32(1 / factor),
                    v_leak=0 * one,
                    v_threshold=one * np.float32(1 / (factor * gain)),
                    v_reset=0 * one,
                    w_in=one * np.float32(1 / decay),
                )
            )

    def _add_subtracting(self, factor: float, keep_current: float | None) -> None:
        """Add neurons that subtract the threshold: v[t] = (1 - factor) * (x[t] + v[t-1] - z[t-1])."""
        if keep_current:
            self.add_factor(keep_current, loops=True)

        membrane = self.add_factor(1 - factor, loops=True)
        self.add_threshold(1.0)
        spikes = self.tips

        # The spikes return to the membrane with the factor -1, beside their way to the next layer.
        negative = self.add_factor(-1.0)
        self.edges.append((negative, membrane))
        self.tips = spikes

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
            keep = 1 - readout.factor
            self.add_linear(linear, readout.gain * (readout.factor / keep if keep else 1))

            if keep:
                self.add_factor(keep, loops=True)
        elif isinstance(readout, LinearReadout):
            self.add_linear(linear)
        else:
            self.add_linear(linear, self.find_scale(readout.lif))
            self.add_neurons(readout.lif)
            if readout.votes > 1:
                # The mean of each class's neurons is a matrix of blocks.
                share = np.full(readout.votes, 1 / readout.votes, np.float32)
                classes = linear.out_features // readout.votes
                self.add(self.nir.Linear(np.kron(np.eye(classes, dtype=np.float32), share)))
                self.shape = (classes,)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.ascontiguousarray(tensor.detach().float().numpy())
    return array


def _run_nir(path: Path, spikes: Tensor, dt: float) -> Tensor:
    """Run a NIR file on spikes [T, B, C, H, W]; return its outputs [T, B, K]."""
    graph = _import_nir().read(io.BytesIO(path.read_bytes()))
    order = _order_nodes(graph.edges)
    position = {name: number for number, name in enumerate(order)}
    sources_of = {name: [source for source, target in graph.edges if target == name] for name in order}

    state: dict[str, tuple[Tensor, Tensor]] = {}
    before: dict[str, Tensor] = {}  # outputs of the previous step
    steps = []
    _, *computed = order  # without the input
    for x in spikes.unbind(0):
        outputs = {"input": x}
        for name in computed:
            # An edge from a later node closes a loop: it carries the output of the previous step.
            inputs = []
            for source in sources_of[name]:
                carried = outputs if position[source] < position[name] else before
                if source in carried:
                    inputs.append(carried[source])

            first, *others = inputs
            outputs[name] = _run_node(graph.nodes[name], sum(others, first), name, state, dt)

        steps.append(outputs["output"])
        before = outputs

    return torch.stack(steps)


def _order_nodes(edges: Sequence[tuple[str, str]]) -> list[str]:
    """Sort the nodes topologically by depth-first search, ignoring the edges that close a loop."""
    # Nodes in the order in which their visits end, so each comes after all nodes that it leads to.
    visited: set[str] = set()
    finished: list[str] = []

    def visit(name: str) -> None:
        visited.add(name)
        for source, target in edges:
            if source == name and target not in visited:
                visit(target)
        finished.append(name)

    visit("input")
    return finished[::-1]


def _run_node(node: Any, x: Tensor, name: str, state: dict[str, tuple[Tensor, Tensor]], dt: float) -> Tensor:
    """Run one step of a node on inputs [B, ...]; the state of neurons in `state` is updated by forward Euler."""
    kind = type(node).__name__
    if kind in ("LIF", "CubaLIF"):
        spikes, state[name] = _run_neurons(node, x, state.get(name), dt)
        return spikes

    if kind == "Conv2d":
        weight = torch.from_numpy(node.weight)
        bias = torch.from_numpy(node.bias)
        convolved: Tensor = nn.functional.conv2d(x, weight, bias, tuple(node.stride), tuple(node.padding))
        return convolved

    if kind == "Flatten":
        return x.flatten(int(node.start_dim), int(node.end_dim))

    if kind in ("Affine", "Linear"):
        x = x @ torch.from_numpy(node.weight).to(x.dtype).T

    return x + torch.from_numpy(node.bias) if kind == "Affine" else x


def _run_neurons(
    node: Any, x: Tensor, state: tuple[Tensor, Tensor] | None, dt: float
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run one step of LIF or CubaLIF neurons; return their spikes, and their synaptic current and membrane."""
    values = {name: torch.from_numpy(value) for name, value in vars(node).items() if isinstance(value, np.ndarray)}
    current, v = state or (torch.zeros_like(x), torch.zeros_like(x))

    # The current first, as CubaLIF's membrane sees the current of the same step; LIF has none.
    has_current = "tau_syn" in values
    current = current + dt / values["tau_syn"] * (values["w_in"] * x - current) if has_current else x

    share = dt / values["tau_mem" if has_current else "tau"]
    v = v + share * (values["v_leak"] - v + values["r"] * current)

    fires = v > values["v_threshold"]
    return fires.to(x.dtype), (current, torch.where(fires, values["v_reset"], v))


class _OnnxModule(nn.Module):
    """Computation of the ONNX file."""

    def __init__(self, network: SpikingNetwork, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, spikes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs [T, B, K] and probabilities [B, K] for spikes [T, B, C, H, W]."""
        outputs, _ = self.network(spikes)
        return outputs, (outputs.mean(0) / self.temperature).softmax(1)


def _write_onnx(config: ClassifierConfig, network: SpikingNetwork, path: Path, _dt: float) -> Sequence[str]:
    onnx, _ = _import_onnx()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracer warnings
        program = torch.onnx.export(
            _OnnxModule(network, config.temperature),
            (_draw_sample(config),),
            dynamo=True,
            verbose=False,
            input_names=["spikes"],
            output_names=["outputs", "probabilities"],
            dynamic_shapes=({1: torch.export.Dim("B")},),
        )

    assert program is not None
    model = program.model_proto

    # Drop the source lines of each node; they make the file ten times larger.
    for node in model.graph.node:
        del node.metadata_props[:]

    model.producer_name = "dvspipe"
    model.producer_version = versions()["dvspipe"]
    onnx.helper.set_model_props(model, _metadata(config))
    onnx.checker.check_model(model, full_check=True)

    path.write_bytes(model.SerializeToString())
    return [node.op_type for node in model.graph.node]


def _import_onnx() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as error:
        raise ConfigError(f"library {error.name} is not installed; pip install 'dvspipe[export]'") from error

    return onnx, onnxruntime


def _run_onnx(path: Path, spikes: Tensor, _dt: float) -> Tensor:
    """Run an ONNX file with batch size 1, unlike the traced size, and return its outputs [T, B, K]."""
    _, onnxruntime = _import_onnx()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    results = []
    for recording in spikes.split(1, dim=1):
        (outputs,) = session.run(["outputs"], {"spikes": recording.numpy()})
        results.append(outputs)

    return torch.from_numpy(np.concatenate(results, axis=1))


@dataclass(frozen=True)
class Exporter:
    """Writer and runner of an export format.

    Args:
        write: Write a network with a time step in seconds; return the kind of each node.
        run: Run a file on spikes [T, B, C, H, W] with a time step in seconds; return its outputs [T, B, K].
    """

    write: Callable[[ClassifierConfig, SpikingNetwork, Path, float], Sequence[str]]
    run: Callable[[Path, Tensor, float], Tensor]


EXPORTERS: Mapping[ExportFormat, Exporter] = {
    "nir": Exporter(_write_nir, _run_nir),
    "onnx": Exporter(_write_onnx, _run_onnx),
}
