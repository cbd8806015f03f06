"""Verb that writes classifiers for other programs and devices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import ConfigError
from ..hooks import plugins

if TYPE_CHECKING:
    from ..checkpoints.export import Export


def export(
    checkpoint: str | Path,
    out: str | Path,
    *,
    dt: float | None = None,
    overwrite: bool = False,
    progress: Callable[[str], object] | None = None,
) -> Export:
    """Export a trained network as NIR (for snnTorch and Norse), ONNX, or C99 code for microcontrollers.

    The outputs of NIR and ONNX files are compared with the network's; C code contains a golden recording to compare.

    Args:
        checkpoint: Run folder, .safetensors file, name of an included classifier, or hf://USER/NAME. For C code: a file
            of dvspipe quantise.
        out: NIR file (.nir), ONNX file (.onnx), or a folder without suffix for C code.
        dt: NIR only: time step in seconds of the program that reads the file; time constants are scaled to it. None:
            1e-4, the fixed step of snnTorch.
        overwrite: Replace existing files.
        progress: Called with each stage as it begins: load, write, compare.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
        ConfigError: If the format cannot represent the network, or a library is missing.
        FileError: If the suffix is wrong, a file exists or cannot be written, or its outputs differ from the network's.

    Example:
        >>> export("runs/train/mine", "mine.nir").nodes  # doctest: +SKIP
        ['Input', 'Affine', 'LIF', 'Affine', 'LIF', 'Output']
    """
    from ..checkpoints.export import Export, export_file, refuse_step

    path = Path(out)
    if path.suffix and not path.is_dir():
        return export_file(checkpoint, path, dt=dt, overwrite=overwrite, progress=progress)

    # Otherwise, the output is a folder of C code, which has no time constants to scale.
    refuse_step(dt, "c")
    files = plugins().hook.export(checkpoint=checkpoint, out=path, overwrite=overwrite)
    if files is None:
        raise ConfigError(f"{path}: C code needs the extra integers, which is not installed (expected .nir or .onnx)")
    return Export(path, "c", files=files)
