"""ONNX files, written by torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..base.errors import ConfigError
from .checkpoint import ClassifierConfig

TRACED_RECORDINGS = 2  # torch takes a batch of 1 for a constant


class _OnnxModule(nn.Module):
    """Computation of the ONNX file."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, spikes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs [T, B, K] and probabilities [B, K] for spikes [T, B, C, H, W]."""
        outputs, _ = self.network(spikes)
        return outputs, (outputs.mean(0) / self.temperature).softmax(1)


def write_onnx(network: nn.Module, path: Path, config: ClassifierConfig, metadata: Mapping[str, str]) -> Sequence[str]:
    """Write a network as an ONNX file; return the kind of each operation of its graph.

    Raises:
        ConfigError: If a library is missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as error:
        raise ConfigError(f"library {error.name} is not installed; pip install 'dvspipe[export]'") from error

    # torch traces the network on spikes; only the batch size may differ later. With gradients, convolutions would list
    # the spikes, which torch cannot trace.
    spikes = torch.zeros(config.bins.steps, TRACED_RECORDINGS, *config.shape)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracer warnings
        program = torch.onnx.export(
            _OnnxModule(network, config.temperature),
            (spikes,),
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

    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return [node.op_type for node in model.graph.node]
