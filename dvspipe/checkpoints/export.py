"""Export of trained networks: NIR for neuromorphic tools and chips, ONNX for other software.

Each exported file is read back and its outputs are compared with the network's before it replaces an existing file.
So each format has a writer and a runner (`EXPORTERS`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..base.errors import ConfigError, FileError
from ..base.files import claim_output, require_suffix, write_beside
from ..base.texts import Described, show_name
from ..hooks import plugins
from ..networks import SpikingNetwork
from .checkpoint import load_checkpoint, load_config
from .exportable import Exportable, draw_sample
from .nir_graph import write_nir
from .nir_readers import NIR_READERS, SNNTORCH_STEP_S
from .nir_runner import run_nir
from .onnx_file import run_onnx, write_onnx

ExportFormat = Literal["nir", "onnx", "c"]
TOLERANCE = 1e-2  # relative to the largest output; spikes flipped by rounding change it by less
MIN_OUTPUT = 1e-12  # against a division by zero


@dataclass(frozen=True)
class Export(Described):
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

    def describe(self) -> Sequence[str]:
        """Return what was written, how exact it is, and how to read it."""
        if self.format == "c":
            return [f"{show_name(self.path)}: {', '.join(path.name for path in self.files)}"]

        difference = f"the outputs of the file differ by at most {self.difference:.1g} of the largest output"
        lines = [f"{show_name(self.path)}: {len(self.nodes)} {self.format} nodes; {difference}"]
        for reader in NIR_READERS if self.dt is not None else ():
            problem = reader.find_problem(self.nodes, self.dt or 0.0)
            lines.append(str(problem or f"{reader.name}: {reader.call.format(path=str(self.path), dt=self.dt)}"))
        return lines


@dataclass(frozen=True)
class Exporter:
    """Writer and runner of an export format.

    Args:
        write: Write a network to a file; return the kind of each node.
        run: Run a file on spikes [T, B, C, H, W] with a time step in seconds; return its outputs [T, B, K].
    """

    write: Callable[[Exportable, Path], Sequence[str]]
    run: Callable[[Path, Tensor, float], Tensor]


EXPORTERS: Mapping[ExportFormat, Exporter] = {
    "nir": Exporter(write_nir, run_nir),
    "onnx": Exporter(write_onnx, run_onnx),
}


def export(checkpoint: str | Path, out: str | Path, *, dt: float | None = None, overwrite: bool = False) -> Export:
    """Export a trained network as NIR, ONNX, or C99 code for microcontrollers.

    NIR (Pedersen et al. 2024) describes the network as differential equations, for one recording. The input at each
    step is spikes [C, H, W]. The output is the readout of each class; the logits are its mean over the steps. Solved
    with forward Euler, v += dt / tau * (v_leak - v + r * i), with a spike and a reset if v > v_threshold, the equations
    are the same as the network's. All nodes are supported by all `NIR_READERS`.

    ONNX files have the input `spikes`, float32 [T, B, C, H, W] for any B, and the outputs `outputs` [T, B, K] and
    `probabilities` [B, K]. The metadata of both contain the classes, bins, framing and versions.

    The outputs of a NIR or ONNX file are compared with the network's before it gets its name; C code contains a golden
    recording to compare.

    Args:
        checkpoint: Run folder, .safetensors file, name of an included classifier, or hf://USER/NAME. For C code: a file
            of quantise.
        out: NIR file (.nir), ONNX file (.onnx), or a folder without suffix for C code.
        dt: NIR only: time step in seconds of the program that reads the file; time constants are scaled to it. Default:
            1e-4, the fixed step of snnTorch.
        overwrite: Replace existing files.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
        ConfigError: If the format cannot represent the network, or a library is missing.
        FileError: If the suffix is wrong, a file exists or cannot be written, or its outputs differ from the network's.

    Example:
        >>> export("runs/train/mine", "mine.nir").nodes  # doctest: +SKIP
        ['Input', 'Affine', 'LIF', 'Affine', 'LIF', 'Output']
    """
    path = Path(out)
    if path.suffix and not path.is_dir():
        return _export_file(checkpoint, path, dt=dt, overwrite=overwrite)

    # Otherwise, the output is a folder of C code, which has no time constants to scale.
    _refuse_step(dt, "c")
    files = plugins().hook.export(checkpoint=checkpoint, out=path, overwrite=overwrite)
    if files is None:
        raise ConfigError(f"{path}: C code needs the extra integers, which is not installed (expected .nir or .onnx)")
    return Export(path, "c", files=files)


def _export_file(checkpoint: str | Path, path: Path, *, dt: float | None, overwrite: bool) -> Export:
    """Export a trained network to NIR or ONNX, by the suffix."""
    require_suffix(path, "an exported network", *(f".{name}" for name in EXPORTERS))
    to = next(name for name in EXPORTERS if path.suffix.lower() == f".{name}")
    if to != "nir":
        _refuse_step(dt, to)
    if dt is not None and not 0 < dt < math.inf:
        raise ConfigError(f"dt = {dt:g}: out of range (expected a number of seconds above 0)")

    claim_output(path, overwrite=overwrite)
    _require_exportable(checkpoint)
    config, network = load_checkpoint(checkpoint)
    assert isinstance(network, SpikingNetwork)
    spikes = draw_sample(config)
    step_s = dt or SNNTORCH_STEP_S
    exportable = Exportable(config, network, spikes, step_s)

    # The file is run before it gets its name: a file that exists gives the outputs of the network.
    exporter = EXPORTERS[to]
    with torch.no_grad(), write_beside(path) as beside:
        nodes = exporter.write(exportable, beside)

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
    if network.network == "module":
        why = "its layers are unknown"
    elif network.spikes_once:
        why = "neither format has neurons that spike at most once"
    else:
        return

    raise ConfigError(
        f"{checkpoint}: network = {network.network} cannot be exported: {why}"
        "; use network=csnn to train a network that can be exported"
    )


def _refuse_step(dt: float | None, to: ExportFormat) -> None:
    """Check that no time step is given for a format that does not use it."""
    if dt is not None:
        raise ConfigError(f"dt = {dt:g}: not used by {to}; use out=NET.nir to scale time constants")
