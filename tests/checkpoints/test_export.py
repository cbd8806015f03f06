"""Exported networks, run by Norse, snnTorch, SpikingJelly and onnxruntime."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facts import raises
from torch import Tensor, nn

from dvspipe import export
from dvspipe.base.errors import ConfigError, FileError
from dvspipe.checkpoints.checkpoint import ClassifierConfig, load_checkpoint, save_checkpoint
from dvspipe.checkpoints.export import SNNTORCH_STEP_S
from dvspipe.encoding import BinConfig
from dvspipe.networks import LIF, LIFBox, NetworkConfig, Pooled, estimate_norms

nir = pytest.importorskip("nir")
STEP_S = 0.012
CSNN = {"tau_mem_s": 0.031, "channels": (4, 6), "kernel": 3, "threshold": 0.4}  # 7x12 pixels: pooling drops rows
MLP = {"network": "mlp", "tau_mem_s": 0.031, "channels": (30, 20), "threshold": 0.15}
NETWORKS = {
    "csnn": CSNN,
    "weight norm, not padded": CSNN | {"norm": "weight", "padded": (True, False), "threshold": 0.1},
    "csnn with currents": CSNN | {"tau_syn_s": 0.03},
    "mlp": MLP,
    "mlp with currents": MLP | {"tau_syn_s": 0.03},
    "membranes of one step": MLP | {"tau_mem_s": STEP_S, "tau_readout_s": STEP_S},
    "currents of one step": MLP | {"tau_syn_s": STEP_S},
}
Reader = Callable[[Any, float], nn.Module]


def make_checkpoint(path: Path, **settings: Any) -> tuple[Path, nn.Module]:
    """Save a network whose layers all spike, with statistics and biases that are not those of a new one."""
    config = ClassifierConfig(
        classes=("a", "b", "c"),
        width=12,
        height=7,
        bins=BinConfig(steps=5, step_us=round(STEP_S * 1e6)),
        network=NetworkConfig.model_validate(settings),
        temperature=1.5,
    )
    torch.manual_seed(0)
    network = config.build_network()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.add_(0.1 * torch.rand_like(parameter))
    estimate_norms(network, [sample(seed=1)])
    save_checkpoint(path, config, network)
    return path, load_checkpoint(path).network


def sample(seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).poisson(0.4, (5, 3, 2, 7, 12)).astype(np.float32))


@torch.no_grad()
def run_layers(network: Any, x: Tensor) -> Tensor:
    """Return the outputs of a network; all layers of neurons must spike, but not always."""
    for layer in network:
        returned = layer(x)
        x = returned[0] if isinstance(returned, tuple) else returned
        assert not isinstance(layer, Pooled | LIF | LIFBox) or 0.02 < x.mean() < 0.98
    return x


def read_by_norse(graph: Any, dt: float) -> nn.Module:
    import norse.torch as norse

    return norse.from_nir(graph, dt=dt)


def read_by_snntorch(graph: Any, dt: float) -> nn.Module:
    readers = pytest.importorskip("snntorch.import_nir", reason="snnTorch is not installed")
    if dt != SNNTORCH_STEP_S:
        pytest.skip("snnTorch has a fixed step")
    return readers.import_from_nir(graph)


def read_by_spikingjelly(graph: Any, dt: float) -> nn.Module:
    pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed")
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(graph, dt=dt)


@pytest.mark.filterwarnings("ignore:nirtorch.load is being deprecated")
@pytest.mark.parametrize("dt", [SNNTORCH_STEP_S, STEP_S])
@pytest.mark.parametrize("read", [read_by_norse, read_by_snntorch, read_by_spikingjelly])
@pytest.mark.parametrize("name", NETWORKS)
def test_readers_of_nir_compute_the_outputs(
    tmp_path: Path, name: str, read: Reader, dt: float, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, network = make_checkpoint(tmp_path / "a.safetensors", **NETWORKS[name])
    export(checkpoint, tmp_path / "a.nir", dt=dt)
    reader = read(nir.read(tmp_path / "a.nir"), dt)
    assert not caplog.records  # Norse warns of parameters that it ignores

    outputs = []
    state = None
    with torch.no_grad():
        for step in sample():
            output, state = reader(step, state)
            outputs.append(output)
    wanted = run_layers(network, sample())
    assert wanted.std() > 0.01
    torch.testing.assert_close(torch.stack(outputs), wanted)  # float32 defaults: 1.3e-6 relative, 1e-5 absolute


@pytest.mark.parametrize(
    "settings",
    [
        # With 16 channels, training would list the spikes of the second convolution.
        NETWORKS["weight norm, not padded"] | {"reset": "subtract", "channels": (16, 16)},
        NETWORKS["mlp with currents"],
    ],
    ids=["weight norm", "currents"],
)
def test_onnxruntime_computes_outputs_and_probabilities(tmp_path: Path, settings: dict[str, Any]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    checkpoint, network = make_checkpoint(tmp_path / "a.safetensors", **settings)
    export(checkpoint, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["a", "b", "c"]
    for spikes in (sample(), sample()[:, :1]):  # traced with two recordings
        outputs, probabilities = session.run(None, {"spikes": spikes.numpy()})
        wanted = run_layers(network, spikes)
        np.testing.assert_allclose(outputs, wanted.numpy(), atol=1e-6)
        np.testing.assert_allclose(probabilities, (wanted.mean(0) / 1.5).softmax(1).numpy(), atol=1e-6)


def test_nir_metadata_describe_the_classifier(tmp_path: Path) -> None:
    checkpoint, _ = make_checkpoint(tmp_path / "a.safetensors", **CSNN)
    export(checkpoint, tmp_path / "a.nir")
    graph = nir.read(tmp_path / "a.nir")
    assert json.loads(graph.metadata["classes"]) == ["a", "b", "c"]
    assert BinConfig.model_validate_json(graph.metadata["bins"]).steps == 5
    assert (float(graph.metadata["dt"]), graph.metadata["sensor"]) == (SNNTORCH_STEP_S, "12x7")
    assert graph.nodes["lif"].tau.shape == (4, 7, 12)
    assert graph.nodes["lif"].tau[0, 0, 0] == pytest.approx(0.031 / STEP_S * SNNTORCH_STEP_S, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "out", "dt", "message"),
    [
        (CSNN | {"reset": "subtract"}, "a.nir", None, ("lif1", "reset=zero", "ONNX")),
        ({"network": "stdp"}, "a.nir", None, ("network = stdp", "csnn", "mlp")),
        (CSNN, "a.onnx", 1e-4, ("dt = 0.0001", "out=NET.nir")),
        (CSNN, "folder", 1e-4, ("dt = 0.0001", "out=NET.nir")),
        (CSNN, "a.nir", -1.0, "dt = -1"),
        (CSNN, "a.nir", float("nan"), "dt = nan"),
        (CSNN, "a.txt", None, ("a.txt", ".nir", ".onnx")),
    ],
)
def test_what_a_format_cannot_represent_is_one_line(
    tmp_path: Path, settings: dict[str, Any], out: str, dt: float | None, message: object
) -> None:
    checkpoint, _ = make_checkpoint(tmp_path / "a.safetensors", **settings)
    with raises((ConfigError, FileError), message) as caught:
        export(checkpoint, tmp_path / out, dt=dt)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(("library", "out"), [("nir", "a.nir"), ("onnx", "a.onnx"), ("onnxscript", "a.onnx")])
def test_missing_library_names_the_extra(
    tmp_path: Path, library: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, _ = make_checkpoint(tmp_path / "a.safetensors", **CSNN)
    monkeypatch.setitem(sys.modules, library, None)
    with raises(ConfigError, library, "'dvspipe[export]'"):
        export(checkpoint, tmp_path / out)
