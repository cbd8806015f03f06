"""ONNX files: torch writes a network, and onnxruntime runs it, to compare its outputs with the network's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..base.errors import ConfigError
from ..networks import SpikingNetwork
from .checkpoint import versions
from .exportable import Exportable


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


def write_onnx(exportable: Exportable, path: Path) -> Sequence[str]:
    """Write an ONNX file; return the kind of each operation of its graph."""
    onnx, _ = _import_onnx()

    # torch traces the network on the sample; only the batch size may differ later.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracer warnings
        program = torch.onnx.export(
            _OnnxModule(exportable.network, exportable.config.temperature),
            (exportable.sample,),
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
    onnx.helper.set_model_props(model, exportable.metadata())
    onnx.checker.check_model(model, full_check=True)

    path.write_bytes(model.SerializeToString())
    return [node.op_type for node in model.graph.node]


def run_onnx(path: Path, spikes: Tensor, _dt: float) -> Tensor:
    """Run an ONNX file with batch size 1, unlike the traced size, and return its outputs [T, B, K]."""
    _, onnxruntime = _import_onnx()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    results = []
    for recording in spikes.split(1, dim=1):
        (outputs,) = session.run(["outputs"], {"spikes": recording.numpy()})
        results.append(outputs)

    return torch.from_numpy(np.concatenate(results, axis=1))


def _import_onnx() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as error:
        raise ConfigError(f"library {error.name} is not installed; pip install 'dvspipe[export]'") from error

    return onnx, onnxruntime
