"""Programs that read NIR files, and what they support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..base.errors import ConfigError

SNNTORCH_STEP_S = 1e-4  # fixed step of snnTorch 1.0, in its import_nir.py


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
            return ConfigError(
                f"{self.name} does not read {', '.join(unknown)}; use out=NET.onnx to export any network"
            )
        if self.dt not in (None, dt):
            return ConfigError(
                f"{self.name} always assumes steps of {self.dt:g} s (the file has steps of {dt:g} s)"
                f"; use dt={self.dt} to scale the time constants"
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
