"""Export of trained networks: NIR for neuromorphic tools and chips, ONNX for other software.

Before an exported file replaces another, it is read back, and its outputs are compared with the network's.
"""

from __future__ import annotations

import io
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .checkpoint import ClassifierConfig, load_checkpoint, versions
from .errors import ConfigError, FileError, Remedy
from .files import claim_output, require_suffix, write_beside
from .networks import LIF, LeakyReadout, LinearReadout, SpikingNetwork
from .networks.models import Convolution, Linear

ExportFormat = Literal["nir", "onnx"]
SAMPLE_RATES = (0.05, 0.5)  # share of entries with an event, in each recording of the compared sample
ONNX = Remedy("to", "onnx", "export any network")
SNNTORCH_STEP_S = 1e-4  # the step that snnTorch 1.0 always assumes, in its import_nir.py
TOLERANCE = 1e-2  # relative to the largest output: rounding a membrane across a threshold changes it by less


@dataclass(frozen=True)
class NirReader:
    """A program that reads NIR.

    Args:
        name: Its name and the version that was tested.
        nodes: Kinds of nodes that it reads.
        call: Python expression that reads a file, with `{path}`, and `{dt}` for the step in seconds.
        dt: The step in seconds that it always assumes; None if it is an argument of the call.
    """

    name: str
    nodes: frozenset[str]
    call: str
    dt: float | None = None

    def find_problem(self, nodes: Sequence[str], dt: float) -> ConfigError | None:
        """Return why it would not compute the outputs of a graph with these nodes and this step in seconds, if so."""
        unknown = sorted({*nodes} - self.nodes)
        if unknown:
            return ConfigError(f"{self.name} does not read {', '.join(unknown)}", ONNX)
        if self.dt not in (None, dt):
            return ConfigError(
                f"{self.name} always assumes steps of {self.dt:g} s (the file has steps of {dt:g} s)",
                Remedy("dt", self.dt, "scale the time constants"),
            )
        return None


NIR_READERS = (
    NirReader(  # node_map in snntorch/import_nir.py, and nirtorch.nir_interpreter.DEFAULT_MAP
        "snnTorch 1.0",
        frozenset({
            "Input", "Output", "Affine", "Linear", "Conv1d", "Conv2d", "Flatten", "AvgPool2d", "SumPool2d", "IF", "LIF",
            "CubaLIF",
        }),
        "snntorch.import_nir.import_from_nir(nir.read({path!r}))",
        SNNTORCH_STEP_S,
    ),
    NirReader(  # _import_norse_module in norse/torch/utils/import_nir.py
        "Norse 1.1",
        frozenset({
            "Input", "Output", "Affine", "Linear", "Conv2d", "Flatten", "SumPool2d", "IF", "LIF", "CubaLIF",
        }),
        "norse.torch.from_nir(nir.read({path!r}), dt={dt})",
    ),
)  # fmt: skip
"""Programs that compute the same outputs from a file, as the tests show."""


@dataclass(frozen=True)
class Export:
    """An exported file.

    Args:
        path: The file.
        format: Its format.
        nodes: Kinds of the operations in its graph, one by one.
        dt: NIR only: its step in seconds.
        difference: Largest difference between its outputs and the network's, relative to the largest output.
    """

    path: Path
    format: ExportFormat
    nodes: Sequence[str]
    dt: float | None
    difference: float


def export(
    checkpoint: str | os.PathLike[str],
    path: Path,
    *,
    to: ExportFormat,
    dt: float | None = None,
    overwrite: bool = False,
    progress: Callable[[str], object] | None = None,
) -> Export:
    """Write a trained network as NIR or ONNX, and compare the outputs of the file with the network's.

    NIR (Pedersen et al. 2024) describes a network of differential equations for one recording: its input are spikes
    [C, H, W] at each step, and its output is the readout of each class, whose means over the steps are the logits. The
    equations equal ours in steps of forward Euler, v += dt / tau * (v_leak - v + r * i), with a spike and a reset if
    v > v_threshold. The nodes are those that all of `NIR_READERS` read. ONNX has the input `spikes`, float32
    [T, B, C, H, W] for any B, and the outputs `outputs` [T, B, K] and `probabilities` [B, K].

    Args:
        checkpoint: A file written by training, or the name of a shipped classifier.
        path: The file to write. Its metadata contain the classes, bins and versions.
        to: Format of the file.
        dt: NIR only: the time step, in seconds, of the program that reads the file; time constants are scaled
            accordingly. Default: 1e-4, which snnTorch always assumes.
        overwrite: Whether an existing file is replaced.
        progress: Called with the stage that begins: load, write, compare.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        ConfigError: The format is unknown or cannot represent the network, or a library is missing.
        FileError: The file has another suffix than .nir or .onnx, exists or cannot be written, or its outputs differ
            from the network's.
    """
    if to not in FORMATS:
        raise ConfigError(f"to = {to!r}: unknown format (expected one of {', '.join(FORMATS)})")
    if dt is not None and not 0 < dt < math.inf:
        raise ConfigError(f"dt = {dt:g}: is out of range (expected a number of seconds above 0)")
    if dt is not None and to != "nir":
        raise ConfigError(f"dt = {dt:g}: is not used by {to}", Remedy("to", "nir", "scale time constants"))
    require_suffix(path, f".{to}", to)
    claim_output(path, overwrite=overwrite)
    begin = progress or (lambda _: None)
    begin("load")
    config, network = load_checkpoint(checkpoint)
    if not isinstance(network, SpikingNetwork) or config.network.spikes_once:
        raise ConfigError(
            f"{checkpoint}: network.kind = {config.network.kind} cannot be exported, as no format has neurons that "
            "spike at most once",
            Remedy("network.kind", "csnn", "train a network that can be exported"),
        )
    spikes, step_s = _draw_sample(config), dt or SNNTORCH_STEP_S
    with torch.no_grad(), write_beside(path) as beside:
        begin("write")
        nodes = FORMATS[to].write(config, network, beside, step_s)
        begin("compare")
        expected, _ = network(spikes)
        found = FORMATS[to].run(beside, spikes, step_s)
        difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
        if not difference <= TOLERANCE:
            raise FileError(
                f"{path}: not written, as the outputs of the {to} file differ from the network's (by "
                f"{difference:.1%} of the largest output); please report it with the checkpoint's configuration"
            )
    return Export(path, to, nodes, step_s if to == "nir" else None, difference)


def _draw_sample(config: ClassifierConfig) -> Tensor:
    """Return a random spike tensor of a quiet and a busy recording, the same at every call."""
    rng, shape = np.random.default_rng(0), (config.bins.steps, *config.bins.shape(config.sensor))
    recordings = [rng.random(shape, np.float32) < rate for rate in SAMPLE_RATES]
    return torch.from_numpy(np.stack(recordings, axis=1).astype(np.float32))


def _metadata(config: ClassifierConfig) -> dict[str, str]:
    """Return what a reader needs to make spike tensors and to name the classes; some values are JSON."""
    return {
        "classes": json.dumps(config.classes),
        "sensor": str(config.sensor),
        "bins": config.bins.model_dump_json(),
        "step_us": str(config.bins.step_us),
        "temperature": str(config.temperature),
        "trained_on": config.trained_on,
        "versions": json.dumps(versions()),
    }


def _write_nir(config: ClassifierConfig, network: SpikingNetwork, path: Path, dt: float) -> Sequence[str]:
    nir = _import_nir()
    graph = nir.NIRGraph.from_list(list(nir_nodes(network, config.bins.shape(config.sensor), dt)))
    if isinstance(network.readout, LeakyReadout) and network.readout.factor < 1:
        last = graph.edges[-1][0]
        graph.edges.append((last, last))
    graph.metadata = _metadata(config) | {"dt": str(dt)}
    content = io.BytesIO()  # HDF5 cannot open a file that is locked
    nir.write(content, graph)
    path.write_bytes(content.getvalue())
    return [type(node).__name__ for node in graph.nodes.values()]


def _import_nir() -> Any:
    try:
        import nir
    except ImportError as error:
        raise ConfigError("to = 'nir': the library nir is not installed; pip install 'dvspipe[export]'") from error
    return nir


def nir_nodes(network: SpikingNetwork, shape: tuple[int, ...], dt: float) -> Iterator[Any]:
    """Yield the layers of a network as consecutive NIR nodes; parameters have the shapes of the layers.

    Norse reads no `AvgPool2d` and ignores r, and neither Norse nor snnTorch reads `LI`. So average pooling is a
    convolution, a gain divides the threshold, and a leaky readout v += a * (g * i - v) ends in a `Linear` of 1 - a,
    v[t] = (1 - a) * (x[t] + v[t-1]) with x = a * g / (1 - a) * i, whose output the graph adds to its next input.
    """
    nir = _import_nir()
    yield nir.Input(np.array(shape))
    for number, layer in enumerate(network.layers, start=1):
        if isinstance(layer, Convolution):
            weight, bias = (_array(tensor) for tensor in layer.folded())
            padding, side = int(layer.convolution.padding[0]), weight.shape[-1]
            yield nir.Conv2d(shape[1:], weight, 1, padding, 1, 1, bias)
            shape = (len(bias), *(length + 2 * padding - side + 1 for length in shape[1:]))
            yield _nir_neurons(layer.lif, shape, dt)
            pool = layer.lif.settings.pool
            if pool > 1:
                squares = np.zeros((len(bias), len(bias), pool, pool), np.float32)
                squares[range(len(bias)), range(len(bias))] = 1 / pool**2
                yield nir.Conv2d(shape[1:], squares, pool, 0, 1, 1, np.zeros_like(bias))
                shape = (shape[0], *(length // pool for length in shape[1:]))
        elif isinstance(layer, Linear):
            yield from _nir_linear(layer.linear, shape)
            shape = (layer.linear.out_features,)
            yield _nir_neurons(layer.lif, shape, dt)
        else:
            raise ConfigError(
                f"layer {number} is a {type(layer).__name__}, which NIR cannot represent",
                ONNX,
                Remedy("network.kind", "csnn", "train a network that NIR can represent"),
            )
    yield from _nir_readout(network, shape, dt)


def _nir_linear(linear: nn.Linear, shape: tuple[int, ...], gain: float = 1.0) -> Iterator[Any]:
    nir = _import_nir()
    if len(shape) == 3:
        yield nir.Flatten({"input": np.array(shape)}, -3, -1)
    yield nir.Affine(_array(gain * linear.weight), _array(gain * linear.bias))


def _nir_readout(network: SpikingNetwork, shape: tuple[int, ...], dt: float) -> Iterator[Any]:
    nir = _import_nir()
    readout, neurons = network.readout, network.linear.out_features
    if isinstance(readout, LeakyReadout):
        keep = 1 - readout.factor
        yield from _nir_linear(network.linear, shape, readout.gain * (readout.factor / keep if keep else 1))
        if keep:
            yield nir.Linear(np.float32(keep) * np.eye(neurons, dtype=np.float32))
        return
    yield from _nir_linear(network.linear, shape)
    if isinstance(readout, LinearReadout):
        return
    yield _nir_neurons(readout.lif, (neurons,), dt)
    if readout.votes > 1:
        share = np.full(readout.votes, 1 / readout.votes, np.float32)
        yield nir.Linear(np.kron(np.eye(neurons // readout.votes, dtype=np.float32), share))


def _nir_neurons(lif: LIF, shape: tuple[int, ...], dt: float) -> Any:
    """Return LIF neurons; with a synaptic current, in units of potential so that R = tau / dt, as snnTorch requires."""
    nir = _import_nir()
    if lif.settings.subtract:
        raise ConfigError("network.reset = subtract: cannot be represented by NIR, which resets to a value", ONNX)
    factor, gain, one = float(lif.rate()), lif.settings.gain, np.ones(shape, np.float32)
    tau = one * np.float32(dt / factor)
    if lif.keep_current is None:
        return nir.LIF(tau=tau, r=one, v_leak=0 * one, v_threshold=one * np.float32(1 / gain), v_reset=0 * one)
    decay = 1 - lif.keep_current
    return nir.CubaLIF(
        tau_mem=tau, tau_syn=one * np.float32(dt / decay), r=one * np.float32(1 / factor), v_leak=0 * one,
        v_threshold=one * np.float32(1 / (factor * gain)), v_reset=0 * one, w_in=one * np.float32(1 / decay),
    )  # fmt: skip


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.ascontiguousarray(tensor.detach().float().numpy())
    return array


def _run_nir(path: Path, spikes: Tensor, dt: float) -> Tensor:
    """Return the outputs [T, B, K] of a NIR file with a chain of nodes for spikes [T, B, C, H, W]."""
    graph = _import_nir().read(io.BytesIO(path.read_bytes()))
    follows, name, x = {a: b for a, b in graph.edges if a != b}, "input", spikes
    while name in follows:
        name = follows[name]
        node = graph.nodes[name]
        kind = type(node).__name__
        if kind in ("LIF", "CubaLIF"):
            x = _run_neurons(node, x, dt)
        elif (name, name) in graph.edges:
            x = _run_loop(torch.from_numpy(node.weight), x)
        elif kind != "Output":
            x = _run_layer(kind, node, x.flatten(0, 1)).unflatten(0, spikes.shape[:2])
    return x


def _run_layer(kind: str, node: Any, x: Tensor) -> Tensor:
    """Return the output of a node without state, for inputs [T*B, ...]."""
    output: Tensor
    if kind == "Conv2d":
        weight, bias = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
        output = nn.functional.conv2d(x, weight, bias, tuple(node.stride), tuple(node.padding))
    elif kind == "Flatten":
        output = x.flatten(int(node.start_dim), int(node.end_dim))
    else:
        output = x @ torch.from_numpy(node.weight).to(x.dtype).T
        output = output + torch.from_numpy(node.bias) if kind == "Affine" else output
    return output


def _run_loop(weight: Tensor, x: Tensor) -> Tensor:
    """Return the output of a linear layer whose previous output is added to its input, for inputs [T, ...]."""
    y, steps = torch.zeros_like(x[0]), []
    for inputs in x.unbind(0):
        y = (inputs + y) @ weight.T
        steps.append(y)
    return torch.stack(steps)


def _run_neurons(node: Any, x: Tensor, dt: float) -> Tensor:
    """Return the spikes of neurons in steps of forward Euler, for inputs [T, ...]."""
    current = v = torch.zeros_like(x[0])
    cuba = hasattr(node, "tau_syn")
    values = {name: torch.from_numpy(value) for name, value in vars(node).items() if isinstance(value, np.ndarray)}
    share = dt / values["tau_mem" if cuba else "tau"]
    steps = []
    for inputs in x.unbind(0):
        current = current + dt / values["tau_syn"] * (values["w_in"] * inputs - current) if cuba else inputs
        v = v + share * (values["v_leak"] - v + values["r"] * current)
        fires = v > values["v_threshold"]
        steps.append(fires.to(x.dtype))
        v = torch.where(fires, values["v_reset"], v)
    return torch.stack(steps)


class _OnnxModule(nn.Module):
    """What the ONNX file computes."""

    def __init__(self, network: SpikingNetwork, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, spikes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs [T, B, K] and probabilities [B, K]."""
        outputs, _ = self.network(spikes)
        return outputs, (outputs.mean(0) / self.temperature).softmax(1)


def _write_onnx(config: ClassifierConfig, network: SpikingNetwork, path: Path, _dt: float) -> Sequence[str]:
    onnx, _ = _import_onnx()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the tracer
        program = torch.onnx.export(
            _OnnxModule(network, config.temperature), (_draw_sample(config),), dynamo=True, verbose=False,
            input_names=["spikes"], output_names=["outputs", "probabilities"],
            dynamic_shapes=({1: torch.export.Dim("B")},),
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:  # the source lines of each node, ten times the size of the file
        del node.metadata_props[:]
    model.producer_name, model.producer_version = "dvspipe", versions()["dvspipe"]
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
        raise ConfigError(
            f"to = 'onnx': the library {error.name} is not installed; pip install 'dvspipe[export]'"
        ) from error
    return onnx, onnxruntime


def _run_onnx(path: Path, spikes: Tensor, _dt: float) -> Tensor:
    """Return the outputs [T, B, K] of an ONNX file, run with another batch size than the traced one."""
    session = _import_onnx()[1].InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [session.run(["outputs"], {"spikes": one.numpy()})[0] for one in spikes.split(1, dim=1)]
    return torch.from_numpy(np.concatenate(outputs, axis=1))


@dataclass(frozen=True)
class Exporter:
    """How a format is written and run.

    Args:
        write: Writes a network with a step in seconds, and returns the kinds of the nodes.
        run: Returns the outputs [T, B, K] of a file for spikes [T, B, C, H, W] and a step in seconds.
    """

    write: Callable[[ClassifierConfig, SpikingNetwork, Path, float], Sequence[str]]
    run: Callable[[Path, Tensor, float], Tensor]


FORMATS: Mapping[ExportFormat, Exporter] = {
    "nir": Exporter(_write_nir, _run_nir),
    "onnx": Exporter(_write_onnx, _run_onnx),
}
