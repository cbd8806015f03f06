"""Export of trained networks: NIR for neuromorphic tools and chips, ONNX for other software, C for microcontrollers."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..base.errors import ConfigError
from ..base.files import claim_output, require_suffix, write_beside
from ..base.texts import Described, show_name
from ..hooks import plugins
from .checkpoint import ClassifierConfig, load_checkpoint, load_config, versions

SNNTORCH_STEP_S = 1e-4  # fixed step of snnTorch 1.0, in its import_nir.py

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Export(Described):
    """Exported network.

    Args:
        path: Output file, or folder of C code.
        format: Format of the file.
        nodes: NIR and ONNX: kind of each operation in its graph.
        dt: NIR only: time step in seconds.
        files: Files that were written.
    """

    path: Path
    format: Literal["nir", "onnx", "c"]
    nodes: Sequence[str] = ()
    dt: float | None = None
    files: Sequence[Path] = ()

    def describe(self) -> Sequence[str]:
        """Return what was written."""
        if self.format == "c":
            return [f"{show_name(self.path)}: {', '.join(path.name for path in self.files)}"]

        step = "" if self.dt is None else f", for steps of {self.dt:g} s"
        return [f"{show_name(self.path)}: {len(self.nodes)} {self.format} nodes{step}"]


def export(checkpoint: str | Path, out: str | Path, *, dt: float | None = None, overwrite: bool = False) -> Export:
    """Export a trained network as NIR, ONNX, or C99 code for microcontrollers.

    NIR (Pedersen et al. 2024) describes the network as differential equations, for one recording. The input at each
    step is spikes [C, H, W]. The output is the readout of each class; the logits are its mean over the steps. Norse,
    snnTorch and SpikingJelly read the file.

    ONNX files have the input `spikes`, float32 [T, B, C, H, W] for any B, and the outputs `outputs` [T, B, K] and
    `probabilities` [B, K]. The metadata of both contain the classes, bins, framing and versions.

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
        FileError: If the suffix is wrong, or a file exists or cannot be written.

    Example:
        >>> export("runs/train/mine", "mine.nir").nodes  # doctest: +SKIP
        ['Input', 'Affine', 'LIF', 'Affine', 'LIF', 'Output']
    """
    path = Path(out)
    is_c = not path.suffix or path.is_dir()
    if dt is not None and path.suffix.lower() != ".nir":
        raise ConfigError(f"dt = {dt:g}: only NIR has time constants to scale; use out=NET.nir")
    if dt is not None and not 0 < dt < math.inf:
        raise ConfigError(f"dt = {dt:g}: out of range (expected a number of seconds above 0)")
    if not is_c:
        return _export_file(checkpoint, path, dt or SNNTORCH_STEP_S, overwrite=overwrite)

    files = plugins().hook.export(checkpoint=checkpoint, out=path, overwrite=overwrite)
    if files is None:
        raise ConfigError(f"{path}: C code needs the extra integers, which is not installed (expected .nir or .onnx)")
    return Export(path, "c", files=files)


def _export_file(checkpoint: str | Path, path: Path, dt: float, *, overwrite: bool) -> Export:
    """Export a trained network to NIR or ONNX, by the suffix."""
    from .nir import write_nir
    from .onnx import write_onnx

    require_suffix(path, "an exported network", ".nir", ".onnx")
    claim_output(path, overwrite=overwrite)
    kind = load_config(checkpoint).network.network
    if kind in ("module", "stdp"):
        raise ConfigError(f"{checkpoint}: network = {kind} cannot be exported (expected csnn or mlp)")

    trained = load_checkpoint(checkpoint)
    trained.check_events(str(checkpoint))
    config, network = trained
    metadata = _describe(config)
    with write_beside(path) as beside:
        if path.suffix.lower() == ".onnx":
            log.info("%s: converting the network, up to a minute", path)
            return Export(path, "onnx", write_onnx(network, beside, config, metadata), files=(path,))

        nodes = write_nir(network, beside, shape=config.shape, dt=dt, metadata=metadata)
        return Export(path, "nir", nodes, dt, files=(path,))


def _describe(config: ClassifierConfig) -> dict[str, str]:
    """Return the metadata for creating spike tensors and naming classes; some values are JSON."""
    return {
        "classes": json.dumps(config.classes),
        "sensor": str(config.sensor),
        "bins": config.bins.model_dump_json(),
        "framing": config.framing.model_dump_json(exclude_unset=True),
        "temperature": str(config.temperature),
        "trained_on": config.trained_on,
        "versions": json.dumps(versions()),
    }
