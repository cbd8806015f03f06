"""A trained network for other software: NIR for neuromorphic tools and chips, ONNX for everything else.

What was written is read back and replayed on a sample before it takes its place.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .checkpoint import ClassifierConfig, load_checkpoint, versions
from .errors import ConfigError, FileError
from .files import claim_output, write_beside
from .networks import LIF, CountReadout, LeakyReadout, SpikingNetwork
from .networks.models import Convolution, Linear

SAMPLE_RATES = (0.05, 0.5)  # of the entries that hold events, in each recording of the replayed sample
ROUNDING = 1e-2  # of the largest output: a membrane that is rounded to the other side of a threshold moves it by less


@dataclass(frozen=True)
class Export:
    """What was written.

    Args:
        path: The file.
        format: `nir` or `onnx`.
        nodes: Number of operations in its graph.
        difference: The largest difference of its outputs from the network's on the replayed sample, as a share of the
            largest output.
    """

    path: Path
    format: str
    nodes: int
    difference: float


def export_checkpoint(
    checkpoint: Path, to: str, path: Path, *, dt: float | None = None, overwrite: bool = False
) -> Export:
    """Writes a trained network as NIR or ONNX, and replays it.

    NIR (Pedersen et al. 2024) describes a network of differential equations, one recording at a time: spikes
    [C, H, W] go in at each step, and the readout of each class comes out, whose mean over the steps are the logits. The
    equations become ours by steps of forward Euler, v += dt / tau * (v_leak - v + r * i), and a spike and a reset where
    v > v_threshold. ONNX takes spike tensors `spikes`, float32 [T, B, C, H, W] for any B, and gives `outputs`
    [T, B, K] and `probabilities` [B, K].

    Args:
        checkpoint: What training wrote.
        to: `nir` or `onnx`.
        path: The file to write. Classes, bins and versions go into its metadata.
        dt: Of `nir`: seconds of a step that the reading software assumes, where it cannot be told; time constants are
            scaled by it. The network's own step by default.
        overwrite: Whether a file may be replaced.

    Raises:
        CheckpointError: The checkpoint is none.
        ConfigError: The format is unknown or cannot hold the network, or a library is missing.
        FileError: The file exists or cannot be written, or what was written answers otherwise than the network.
    """
    if to not in FORMATS:
        raise ConfigError(f"--to {to}: expected one of {', '.join(FORMATS)}")
    if dt is not None and (to != "nir" or not dt > 0):
        raise ConfigError(f"--dt {dt:g}: expected a number of seconds above 0, with --to nir")
    claim_output(path, overwrite=overwrite)
    config, network = load_checkpoint(checkpoint)
    spikes = _sample(config)
    with torch.no_grad():
        wanted, _ = network(spikes)
        with write_beside(path) as beside:
            nodes = FORMATS[to](config, network, beside, dt or config.bins.step_us * 1e-6)
            found = _REPLAYS[to](beside, spikes, dt or config.bins.step_us * 1e-6)
            difference = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
            if not difference <= ROUNDING:
                raise FileError(
                    f"{path}: not written, as the {to} file answers otherwise than the network (by {difference:.1%} of "
                    "the largest output); please report it with the checkpoint's configuration"
                )
    return Export(path, to, nodes, difference)


def _sample(config: ClassifierConfig) -> Tensor:
    """A random spike tensor of a quiet and a busy recording, the same each time."""
    rng, shape = np.random.default_rng(0), (config.bins.steps, *config.bins.shape(config.sensor))
    recordings = [rng.random(shape, np.float32) < rate for rate in SAMPLE_RATES]
    return torch.from_numpy(np.stack(recordings, axis=1).astype(np.float32))


def _about(config: ClassifierConfig) -> dict[str, str]:
    """What a reader needs to make spike tensors and to name the answer; texts, some of them JSON."""
    return {
        "classes": json.dumps(config.classes),
        "sensor": str(config.sensor),
        "bins": config.bins.model_dump_json(),
        "step_us": str(config.bins.step_us),
        "temperature": str(config.temperature),
        "trained_on": config.trained_on,
        "versions": json.dumps(versions()),
    }


def _write_nir(config: ClassifierConfig, network: SpikingNetwork, path: Path, dt: float) -> int:
    nir = _nir()
    nodes = list(_nir_nodes(network, config.bins.shape(config.sensor), dt))
    graph = nir.NIRGraph.from_list(nodes)
    graph.metadata = _about(config) | {"dt": str(dt)}
    nir.write(path, graph)
    return len(nodes)


def _nir() -> Any:
    try:
        import nir
    except ImportError as error:
        raise ConfigError("--to nir: the library nir is missing; pip install 'dvspipe[export]'") from error
    return nir


def _nir_nodes(network: SpikingNetwork, shape: tuple[int, ...], dt: float) -> Iterator[Any]:
    """The layers of a network as nodes of NIR, one behind the other; parameters are as large as the layers."""
    nir = _nir()
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
                square = np.array([pool, pool])
                yield nir.AvgPool2d(square, square, np.zeros(2, int))
                shape = (shape[0], *(length // pool for length in shape[1:]))
        elif isinstance(layer, Linear):
            yield from _nir_linear(layer.linear, shape)
            shape = (layer.linear.out_features,)
            yield _nir_neurons(layer.lif, shape, dt)
        else:
            raise ConfigError(
                f"--to nir: layer {number} is of the kind {type(layer).__name__}, which is not written as NIR, as that "
                "has no maximum pooling; --to onnx takes every network, and network.kind = csnn or mlp trains for NIR"
            )
    yield from _nir_linear(network.linear, shape)
    yield from _nir_readout(network.readout, network.linear.out_features, dt)


def _nir_linear(linear: nn.Linear, shape: tuple[int, ...]) -> Iterator[Any]:
    nir = _nir()
    if len(shape) == 3:
        yield nir.Flatten({"input": np.array(shape)}, -3, -1)
    yield nir.Affine(_array(linear.weight), _array(linear.bias))


def _nir_readout(readout: LeakyReadout | CountReadout, neurons: int, dt: float) -> Iterator[Any]:
    nir = _nir()
    if isinstance(readout, CountReadout):
        yield _nir_neurons(readout.lif, (neurons,), dt)
        if readout.votes > 1:
            share = np.full(readout.votes, 1 / readout.votes, np.float32)
            yield nir.Linear(np.kron(np.eye(neurons // readout.votes, dtype=np.float32), share))
    else:
        one = np.ones(neurons, np.float32)
        yield nir.LI(tau=one * np.float32(dt / readout.factor), r=one * np.float32(readout.gain), v_leak=0 * one)


def _nir_neurons(lif: LIF, shape: tuple[int, ...], dt: float) -> Any:
    """LIF neurons; with a synaptic current, in units of potential in which R = tau / dt, as snnTorch requires it."""
    nir = _nir()
    if lif.settings.subtract:
        raise ConfigError(
            "--to nir: network.reset = subtract, but NIR's neurons are reset to a value; --to onnx takes every network"
        )
    factor, gain, one = float(lif.rate()), lif.settings.gain, np.ones(shape, np.float32)
    tau = one * np.float32(dt / factor)
    if lif.keep_current is None:
        return nir.LIF(tau=tau, r=one * np.float32(gain), v_leak=0 * one, v_threshold=one, v_reset=0 * one)
    decay = 1 - lif.keep_current
    return nir.CubaLIF(
        tau_mem=tau, tau_syn=one * np.float32(dt / decay), r=one * np.float32(1 / factor), v_leak=0 * one,
        v_threshold=one * np.float32(1 / (factor * gain)), v_reset=0 * one, w_in=one * np.float32(1 / decay),
    )  # fmt: skip


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.ascontiguousarray(tensor.detach().float().numpy())
    return array


def _replay_nir(path: Path, spikes: Tensor, dt: float) -> Tensor:
    """The outputs [T, B, K] of a chain of nodes in a NIR file for spikes [T, B, C, H, W]."""
    graph = _nir().read(path)
    follows, name, x = dict(graph.edges), "input", spikes
    while name in follows:
        name = follows[name]
        node = graph.nodes[name]
        kind = type(node).__name__
        if kind in ("LIF", "CubaLIF", "LI"):
            x = _run_neurons(node, x, dt)
        elif kind != "Output":
            x = _run_layer(kind, node, x.flatten(0, 1)).unflatten(0, spikes.shape[:2])
    return x


def _run_layer(kind: str, node: Any, x: Tensor) -> Tensor:
    """The output of a node without state, for inputs [T*B, ...]."""
    output: Tensor
    if kind == "Conv2d":
        weight, bias = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
        output = nn.functional.conv2d(x, weight, bias, padding=tuple(node.padding))
    elif kind == "AvgPool2d":
        output = nn.functional.avg_pool2d(x, tuple(node.kernel_size), tuple(node.stride))
    elif kind == "Flatten":
        output = x.flatten(int(node.start_dim), int(node.end_dim))
    else:
        output = x @ torch.from_numpy(node.weight).to(x.dtype).T
        output = output + torch.from_numpy(node.bias) if kind == "Affine" else output
    return output


def _run_neurons(node: Any, x: Tensor, dt: float) -> Tensor:
    """The output of neurons by steps of forward Euler, for inputs [T, ...]: spikes, or of LI the membrane."""
    current = v = torch.zeros_like(x[0])
    spiking, cuba = hasattr(node, "v_threshold"), hasattr(node, "tau_syn")
    of = {name: torch.from_numpy(value) for name, value in vars(node).items() if isinstance(value, np.ndarray)}
    share = dt / of["tau_mem" if cuba else "tau"]
    steps = []
    for given in x.unbind(0):
        current = current + dt / of["tau_syn"] * (of["w_in"] * given - current) if cuba else given
        v = v + share * (of["v_leak"] - v + of["r"] * current)
        fires = v > of["v_threshold"] if spiking else v
        steps.append(fires.to(x.dtype))
        v = torch.where(fires, of["v_reset"], v) if spiking else v
    return torch.stack(steps)


class _Answer(nn.Module):
    """What the ONNX file computes."""

    def __init__(self, network: SpikingNetwork, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, spikes: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [T, B, K], and probabilities [B, K]."""
        outputs, _ = self.network(spikes)
        return outputs, (outputs.mean(0) / self.temperature).softmax(1)


def _write_onnx(config: ClassifierConfig, network: SpikingNetwork, path: Path, _dt: float) -> int:
    onnx, _ = _onnx()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's own remarks
        program = torch.onnx.export(
            _Answer(network, config.temperature), (_sample(config),), dynamo=True, verbose=False,
            input_names=["spikes"], output_names=["outputs", "probabilities"],
            dynamic_shapes=({1: torch.export.Dim("B")},),
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:  # where in our code it came from: ten times the file
        del node.metadata_props[:]
    model.producer_name, model.producer_version = "dvspipe", versions()["dvspipe"]
    onnx.helper.set_model_props(model, _about(config))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return len(model.graph.node)


def _onnx() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as error:
        raise ConfigError(f"--to onnx: the library {error.name} is missing; pip install 'dvspipe[export]'") from error
    return onnx, onnxruntime


def _replay_onnx(path: Path, spikes: Tensor, _dt: float) -> Tensor:
    """The outputs [T, B, K], of one recording at a time: another batch than the traced one."""
    session = _onnx()[1].InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [session.run(["outputs"], {"spikes": one.numpy()})[0] for one in spikes.split(1, dim=1)]
    return torch.from_numpy(np.concatenate(outputs, axis=1))


FORMATS: Mapping[str, Callable[[ClassifierConfig, SpikingNetwork, Path, float], int]] = {
    "nir": _write_nir,
    "onnx": _write_onnx,
}
"""What writes a network, by the name of the format; gives the number of nodes."""
_REPLAYS: Mapping[str, Callable[[Path, Tensor, float], Tensor]] = {"nir": _replay_nir, "onnx": _replay_onnx}
