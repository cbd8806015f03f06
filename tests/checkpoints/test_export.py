"""Exported networks replayed by an independent interpreter, Norse, snnTorch, SpikingJelly and onnxruntime."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facts import mentions, raises
from numpy.typing import NDArray
from torch import Tensor, nn

import dvspipe.checkpoints.nir_graph
from dvspipe import export
from dvspipe.base.errors import ConfigError, FileError
from dvspipe.checkpoints.checkpoint import ClassifierConfig, load_checkpoint, save_checkpoint
from dvspipe.checkpoints.export import ExportFormat
from dvspipe.checkpoints.nir_readers import NIR_READERS, SNNTORCH_STEP_S
from dvspipe.encoding import BinConfig
from dvspipe.networks import LIF, NetworkConfig, SpikingNetwork

nir = pytest.importorskip("nir")
STEP_S = 0.012
NETWORKS = {
    "csnn": {"channels": (4, 6), "kernel": 3, "gain": 3.0},
    "standardised": {"channels": (4, 6), "kernel": 3, "gain": 6.0, "norm": "weight"},
    "count": {"channels": (4, 6), "kernel": 3, "padded": (True, False), "gain": 4.0, "readout": "count"},
    "mlp": {"network": "mlp", "channels": (30, 20), "gain": 4.0},
    "synapses": {"network": "mlp", "channels": (30, 20), "gain": 2.0, "tau_syn_s": 0.03, "readout": "count"},
    "one": {"network": "mlp", "channels": (40,), "readout": "count", "tau_mem_s": 0.015},
    "subtract": {"channels": (4, 6), "kernel": 3, "gain": 3.0, "reset": "subtract"},
    "synapses, subtract": {
        "network": "mlp",
        "channels": (30, 20),
        "gain": 2.0,
        "tau_syn_s": 0.03,
        "readout": "count",
        "reset": "subtract",
    },
    "memoryless": {"channels": (4,), "kernel": 3, "gain": 2.0, "tau_mem_s": STEP_S, "reset": "subtract"},
}


def make_checkpoint(path: Path, **settings: Any) -> tuple[Path, Any]:
    """Save a network with non-default batch statistics and biases."""
    config = ClassifierConfig(
        classes=("a", "b", "c"),
        width=12,
        height=7,
        bins=BinConfig(steps=5, step_us=round(STEP_S * 1e6)),
        network=NetworkConfig.model_validate({"tau_mem_s": 0.031} | settings),
        temperature=1.5,
    )
    torch.manual_seed(0)
    network = config.build_network().train()
    with torch.no_grad():
        for _ in range(20):
            network(sample(seed=1))
        for name, parameter in network.named_parameters():
            if name.endswith(("bias", "offset")):
                parameter.add_(torch.rand_like(parameter))
            elif name.endswith("linear.weight"):
                parameter.mul_(2)
    save_checkpoint(path, config, network)
    return path, load_checkpoint(path)[1]


def sample(seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).poisson(0.3, (5, 3, 2, 7, 12)).astype(np.float32))


@contextmanager
def unpooled_spikes(network: SpikingNetwork) -> Iterator[list[Tensor]]:
    """Record the spikes of each neuron layer with Norse's cell, channels first, before pooling."""
    found: list[Tensor] = []

    def record(lif: Any, inputs: tuple[Tensor, Any]) -> None:
        plain = LIF(NetworkConfig(), STEP_S)
        plain.settings, plain.factor = lif.settings._replace(pool=1, in_place=False), lif.factor
        plain.keep_current = lif.keep_current
        spikes, _ = plain(inputs[0].clone(), None)
        found.append(spikes.movedim(-1, 2) if spikes.ndim == 5 else spikes)

    hooks = [m.register_forward_pre_hook(record) for m in network.modules() if isinstance(m, LIF)]
    yield found
    for hook in hooks:
        hook.remove()


def interpret(graph: Any, spikes: NDArray[Any], dt: float) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Run a NIR graph in plain numpy on spikes [T, B, C, H, W]; return its outputs and the spikes of its neurons."""
    nodes, edges, order = graph.nodes, {tuple(edge) for edge in graph.edges}, ["input"]
    loops = {(a, b) for a, b in edges if a == b or a in feedback_nodes(nodes)}
    while len(order) < len(nodes):
        order.append(
            next(name for name in nodes if name not in order and all(a in order for a, b in edges - loops if b == name))
        )
    state: dict[str, Any] = {}
    outputs, fired = [], {name: [] for name in order if hasattr(nodes[name], "v_threshold")}
    before: dict[str, NDArray[Any]] = {}
    for step in spikes.astype(np.float64):
        now = {"input": step}
        for name in order[1:]:
            x = sum(before.get(a, 0) if (a, b) in loops else now[a] for a, b in edges if b == name)
            now[name] = node_step(nodes[name], np.asarray(x), name, state, dt)
            if name in fired:
                fired[name].append(now[name])
        outputs.append(now["output"])
        before = now
    return np.stack(outputs), [np.stack(steps) for steps in fired.values()]


def feedback_nodes(nodes: Any) -> set[str]:
    """Return the nodes that only feed back spikes: multiplications by -1."""
    weights = {name: getattr(node, "weight", None) for name, node in nodes.items()}
    return {name for name, weight in weights.items() if weight is not None and weight.min() == -1 and weight.max() <= 0}


def node_step(node: Any, x: NDArray[Any], name: str, state: dict[str, Any], dt: float) -> NDArray[Any]:
    kind = type(node).__name__
    if kind == "Conv2d":
        (top, left), side = node.padding, node.weight.shape[-1]
        padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
        patches = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
        patches = patches[:, :, :: node.stride[0], :: node.stride[1]]
        return np.einsum("bchwij,ocij->bohw", patches, node.weight) + node.bias[:, None, None]
    if kind == "Flatten":
        assert (node.start_dim, node.end_dim) == (-3, -1)
        return x.reshape(len(x), -1)
    if kind in ("Affine", "Linear"):
        return x @ node.weight.T + (node.bias if kind == "Affine" else 0)
    if kind == "Output":
        return x
    v, current = state.get(name, (np.zeros_like(x), np.zeros_like(x)))
    if kind == "CubaLIF":
        current = current + dt / node.tau_syn * (node.w_in * x - current)
        v = v + dt / node.tau_mem * (node.v_leak - v + node.r * current)
    else:
        v = v + dt / node.tau * (node.v_leak - v + node.r * x)
    fires = v > node.v_threshold
    state[name] = np.where(fires, node.v_reset, v), current
    return fires.astype(np.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_nir_replays_spike_for_spike(tmp_path: Path, name: str) -> None:
    checkpoint, network = make_checkpoint(tmp_path / "a.safetensors", **NETWORKS[name])
    with torch.no_grad(), unpooled_spikes(network) as spikes:
        wanted, _ = network(sample())
    assert all(0.01 < ours.mean() < 0.95 for ours in spikes)
    for dt in (None, STEP_S):
        done = export(checkpoint, tmp_path / "a.nir", dt=dt, overwrite=True)
        assert done.difference < 1e-5
        outputs, fired = interpret(nir.read(tmp_path / "a.nir"), sample().numpy(), dt or SNNTORCH_STEP_S)
        for ours in spikes:
            assert any(np.array_equal(ours.numpy(), theirs) for theirs in fired)
        np.testing.assert_allclose(outputs, wanted.numpy(), rtol=1e-4, atol=1e-5)


def read_by_norse(graph: Any, dt: float) -> tuple[nn.Module, tuple[type[nn.Module], ...]]:
    """Load a graph with Norse; return the network and the types of its spiking modules."""
    import norse.torch as norse

    return norse.from_nir(graph, dt=dt), (norse.LIFBoxCell,)


def read_by_snntorch(graph: Any, _dt: float) -> tuple[nn.Module, tuple[type[nn.Module], ...]]:
    snntorch = pytest.importorskip("snntorch", reason="snnTorch is not installed")
    from snntorch.import_nir import import_from_nir

    return import_from_nir(graph), (snntorch.Leaky, snntorch.Synaptic)


def read_by_spikingjelly(graph: Any, dt: float) -> tuple[nn.Module, tuple[type[nn.Module], ...]]:
    pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed")
    from spikingjelly.activation_based import neuron, nir_exchange

    network = nir_exchange.import_from_nir(graph, dt=dt)
    wrappers = {
        type(module) for module in network.modules() if isinstance(getattr(module, "module", None), neuron.BaseNode)
    }
    return network, tuple(wrappers)


def replay(reader: nn.Module, spiking: tuple[type[nn.Module], ...], spikes: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Run a network on spikes [T, B, C, H, W]; return its outputs and the spikes of its layers."""
    fired: list[list[Tensor]] = []
    for module in reader.modules():
        if isinstance(module, spiking):
            steps: list[Tensor] = []
            fired.append(steps)
            module.register_forward_hook(
                lambda _, __, out, steps=steps: steps.append(out[0] if isinstance(out, tuple) else out)
            )
    state, outputs = None, []
    with torch.no_grad():
        for step in spikes:
            output, state = reader(step, state)
            outputs.append(output)
    return torch.stack(outputs), [torch.stack(steps) for steps in fired]


@pytest.mark.filterwarnings("ignore:nirtorch.load is being deprecated")
@pytest.mark.parametrize("read", [read_by_norse, read_by_snntorch, read_by_spikingjelly])
@pytest.mark.parametrize("name", NETWORKS)
def test_readers_reproduce_every_spike_of_every_network(
    tmp_path: Path, name: str, read: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, network = make_checkpoint(tmp_path / "a.safetensors", **NETWORKS[name])
    done = export(checkpoint, tmp_path / "a.nir")
    assert [reader.find_problem(done.nodes, done.dt or 0) for reader in NIR_READERS] == [None, None, None]
    outputs, fired = replay(*(*read(nir.read(tmp_path / "a.nir"), SNNTORCH_STEP_S), sample()))
    capsys.readouterr()  # discard the arrays that snnTorch prints
    assert not caplog.records  # Norse warns of parameters that it ignores
    with torch.no_grad(), unpooled_spikes(network) as spikes:
        wanted, _ = network(sample())
    for ours in spikes:
        assert 0.01 < ours.mean() < 0.95
        assert any(torch.equal(ours, theirs) for theirs in fired)
    assert wanted.abs().max() > 0.1
    torch.testing.assert_close(outputs, wanted)  # float32 defaults: 1.3e-6 relative, 1e-5 absolute


def test_readout_without_memory_adds_no_loop(tmp_path: Path) -> None:
    checkpoint, network = make_checkpoint(tmp_path / "a.safetensors", channels=(4,), gain=3.0, tau_readout_s=STEP_S)
    export(checkpoint, tmp_path / "a.nir")
    outputs, _ = interpret(nir.read(tmp_path / "a.nir"), sample().numpy(), SNNTORCH_STEP_S)
    with torch.no_grad():
        wanted, _ = network(sample())
    np.testing.assert_allclose(outputs, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_unsupported_node_or_step_is_reported() -> None:
    snntorch, norse, _ = NIR_READERS
    nodes = ("Input", "Conv2d", "LIF", "AvgPool2d", "Flatten", "Affine", "Output")
    assert snntorch.find_problem(nodes, SNNTORCH_STEP_S) is None
    assert "AvgPool2d" in str(norse.find_problem(nodes, SNNTORCH_STEP_S))
    problem = snntorch.find_problem(nodes, STEP_S)
    assert problem is not None
    assert mentions(str(problem), "0.012 s", f"dt={SNNTORCH_STEP_S}")


@pytest.mark.filterwarnings("ignore:nirtorch.load is being deprecated")
def test_reader_tables_match_installed_readers(capsys: pytest.CaptureFixture[str]) -> None:
    """Each reader maps exactly the listed nodes to modules."""
    one, eye = np.ones(4, np.float32), np.eye(4, dtype=np.float32)
    pair, kernel = np.array([2, 2]), np.ones((1, 1, 2, 2), np.float32)
    lif = {"v_leak": 0 * one, "v_threshold": one, "v_reset": 0 * one}
    nodes = (
        nir.Affine(eye, one),
        nir.Linear(eye),
        nir.Conv2d((4, 4), kernel, 1, 0, 1, 1, np.ones(1, np.float32)),
        nir.Flatten({"input": np.array([1, 2, 2])}, -3, -1),
        nir.SumPool2d(pair, pair, 0 * pair),
        nir.AvgPool2d(pair, pair, 0 * pair),
        nir.IF(one, one, 0 * one),
        nir.LIF(tau=one, r=one, **lif),
        nir.CubaLIF(tau_mem=one, tau_syn=one, r=one / SNNTORCH_STEP_S, w_in=one, **lif),
        nir.LI(one, one, 0 * one),
    )
    for reader, read in zip(NIR_READERS[:2], (read_by_snntorch, read_by_norse), strict=True):
        for node in nodes:
            graph = nir.NIRGraph(
                {"input": nir.Input(one), "node": node, "output": nir.Output(one)},
                [("input", "node"), ("node", "output")],
                type_check=False,
            )
            try:
                network, _ = read(graph, SNNTORCH_STEP_S)
                reads = "node" in dict(network.named_children())
            except (ValueError, KeyError, AttributeError):
                reads = False
            assert reads == (type(node).__name__ in reader.nodes), (reader.name, node)
    capsys.readouterr()


def test_a_process_exports_several_onnx_files(tmp_path: Path) -> None:
    """The second export met the value of a default that Norse shares between all neurons."""
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    for name in ("a", "b"):
        make_checkpoint(tmp_path / f"{name}.safetensors", network="csnn", channels=(3,), kernel=3, gain=3.0)
        assert export(tmp_path / f"{name}.safetensors", tmp_path / f"{name}.onnx").difference < 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        {"network": "csnn", "channels": (3,), "kernel": 3, "gain": 3.0, "reset": "subtract"},
        NETWORKS["synapses"],
    ],
    ids=lambda settings: settings["network"],
)
def test_onnxruntime_reproduces_every_kind_of_layer(tmp_path: Path, settings: dict[str, Any]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    checkpoint, network = make_checkpoint(tmp_path / "a.safetensors", **settings)
    done = export(checkpoint, tmp_path / "a.onnx")
    assert done.difference < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    outputs, probabilities = session.run(None, {"spikes": sample().numpy()})  # batch of three; traced with two
    with torch.no_grad():
        wanted, _ = network(sample())
    assert wanted.abs().max() > 0.1
    np.testing.assert_allclose(outputs, wanted.numpy(), atol=1e-5)
    np.testing.assert_allclose(probabilities, (wanted.mean(0) / 1.5).softmax(1).numpy(), atol=1e-5)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == ["a", "b", "c"]
    assert BinConfig.model_validate_json(about["bins"]).steps == 5


def test_nir_metadata_describes_the_classifier(tmp_path: Path) -> None:
    checkpoint, _ = make_checkpoint(tmp_path / "a.safetensors", **NETWORKS["csnn"])
    export(checkpoint, tmp_path / "a.nir")
    graph = nir.read(tmp_path / "a.nir")
    about = graph.metadata
    assert json.loads(about["classes"]) == ["a", "b", "c"]
    assert (about["step_us"], float(about["dt"]), about["sensor"]) == ("12000", SNNTORCH_STEP_S, "12x7")
    assert "torch" in json.loads(about["versions"])
    assert tuple(graph.nodes["lif"].tau.shape) == (4, 7, 12)
    assert graph.nodes["lif"].tau[0, 0, 0] == pytest.approx(0.031 / STEP_S * SNNTORCH_STEP_S, rel=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nir", "a.safetensors"]


@pytest.mark.parametrize(
    ("settings", "to", "dt", "message"),
    [
        (
            {"network": "first_spike", "channels": (9,), "tau_syn_s": 0.03, "tau_mem_s": 0.03},
            "nir",
            None,
            ("network = first_spike", "network=csnn"),
        ),
        ({"channels": (3,)}, "onnx", 1e-4, ("dt = 0.0001", "out=NET.nir")),
        ({"channels": (3,)}, "nir", -1.0, ("dt = -1", "0")),
        ({"channels": (3,)}, "nir", float("nan"), ("dt = nan", "0")),
        ({"channels": (3,)}, "nir", float("inf"), ("dt = inf", "0")),
    ],
)
def test_a_network_that_a_format_cannot_represent_is_an_error(
    tmp_path: Path, settings: dict[str, Any], to: ExportFormat, dt: float | None, message: object
) -> None:
    checkpoint, _ = make_checkpoint(tmp_path / "a.safetensors", **settings)
    with raises(ConfigError, message):
        export(checkpoint, tmp_path / f"out.{to}", dt=dt)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_existing_file_is_kept_without_overwrite(tmp_path: Path) -> None:
    checkpoint, _ = make_checkpoint(tmp_path / "a.safetensors", channels=(3,))
    (tmp_path / "a.nir").write_text("before")
    with raises(FileError, "a.nir"):
        export(checkpoint, tmp_path / "a.nir")
    assert (tmp_path / "a.nir").read_text() == "before"
    export(checkpoint, tmp_path / "a.nir", overwrite=True)
    assert len(nir.read(tmp_path / "a.nir").nodes) == 8


@pytest.mark.parametrize("wrong", ["r", "tau", "bias"])
def test_file_with_different_outputs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """The writer gets a wrong resistance, time constant or norm bias."""
    checkpoint, _ = make_checkpoint(tmp_path / "a.safetensors", **NETWORKS["csnn"])
    build_nir = dvspipe.checkpoints.nir_graph.build_nir

    def mistaken(network: SpikingNetwork, shape: tuple[int, ...], dt: float) -> Any:
        graph = build_nir(network, shape, dt)
        for node in graph.nodes.values():
            if hasattr(node, wrong):
                setattr(node, wrong, 0.8 * getattr(node, wrong))
        return graph

    monkeypatch.setattr(dvspipe.checkpoints.nir_graph, "build_nir", mistaken)
    with raises(FileError, "a.nir", "%"):
        export(checkpoint, tmp_path / "a.nir")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_missing_library_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, _ = make_checkpoint(tmp_path / "a.safetensors", channels=(3,))
    for library, to in (("nir", "nir"), ("onnx", "onnx"), ("onnxruntime", "onnx"), ("onnxscript", "onnx")):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, library, None)
            with raises(ConfigError, library, "'dvspipe[export]'"):
                export(checkpoint, tmp_path / f"out.{to}")
    assert not list(tmp_path.glob("out*"))


def test_traced_network_equals_compiled_scan() -> None:
    """torch.export cannot trace a compiled scan."""
    layer = LIF(NetworkConfig(tau_mem_s=0.04), 0.02)

    class Only(nn.Module):
        def forward(self, currents: Tensor) -> Tensor:
            spikes: Tensor = layer(currents, None)[0]
            return spikes

    with torch.no_grad():
        traced = torch.export.export(Only(), (torch.zeros(3, 2, 5),)).module()
        currents = 4 * torch.rand(3, 2, 5)
        assert torch.equal(traced(currents), layer(currents, None)[0])


def test_wrong_suffix_is_rejected(tmp_path: Path) -> None:
    checkpoint, _ = make_checkpoint(tmp_path / "a.safetensors", channels=(3,))
    with raises(FileError, "net.txt", ".nir", ".onnx"):
        export(checkpoint, tmp_path / "net.txt")
