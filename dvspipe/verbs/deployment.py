"""Verbs that write classifiers for other programs and devices: `export` and `quantise`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import ConfigError
from ..base.files import check_output
from ..results import CHECKPOINT_SUFFIX
from .training import EvaluatedPart

if TYPE_CHECKING:
    from ..checkpoints.export import Export
    from ..datasets import DataConfig
    from ..integers.quantisation import Quantisation
    from ..training import TrainingCallback

WEIGHT_BIT_COUNTS = range(2, 9)
"""Numbers of bits that a weight can have; it is stored as int8."""


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
    from ..integers.c_code import export_c

    path = Path(out)
    if path.suffix and not path.is_dir():
        return export_file(checkpoint, path, dt=dt, overwrite=overwrite, progress=progress)

    # Otherwise, the output is a folder of C code, which has no time constants to scale.
    refuse_step(dt, "c")
    return Export(path, "c", files=export_c(checkpoint, path, overwrite=overwrite))


def quantise(
    checkpoint: str | Path,
    data: DataConfig | Mapping[str, object] | str | Path,
    part: EvaluatedPart = "test",
    *,
    out: str | Path | None = None,
    bits: int = 8,
    tuned: str | Path | None = None,
    overwrite: bool = False,
    seed: int = 0,
    callback: TrainingCallback | None = None,
) -> Quantisation:
    """Compile a trained network to integers, and compare it with the original on recordings.

    The scales are calibrated on at most 64 recordings of the validation part, or of the compared part if the data set
    has no validation part. The calibration does not use labels.

    Args:
        checkpoint: Run folder, .safetensors file, name of an included classifier, or hf://USER/NAME.
        data: Data set with the classes of the classifier, as in `evaluate`.
        part: Part of the data set to compare on.
        out: Checkpoint file to write (.safetensors). In Python also None: not written.
        bits: Number of bits of a weight, from 2 to 8. Weights are stored as int8.
        tuned: Checkpoint or run folder of the classifier after `fine_tune`; it is compiled and compared with the
            original. None: the original is compiled.
        overwrite: Replace an existing file.
        seed: Seed of the split, used if the checkpoint is not in a run folder that stores one.
        callback: Called with progress and warnings; None: log lines.

    Raises:
        CheckpointError: If the file is not a checkpoint.
        ConfigError: If `bits` is out of range, a layer cannot be compiled, or the spike tensors are not counts.
        DataError: If the data set is not usable.
        FileError: If the suffix is wrong, or the output exists or cannot be written.

    Example:
        >>> done = quantise("runs/train/mine", "recordings", out="mine-integers.safetensors")  # doctest: +SKIP
        >>> done.before, done.after  # correct predictions, before and in integers # doctest: +SKIP
        (92, 91)
    """
    from ..integers.quantisation import quantise_checkpoint

    if bits not in WEIGHT_BIT_COUNTS:
        raise ConfigError(f"bits = {bits}: out of range (expected 2 to 8)")
    file = check_output(out, "a network in integers", CHECKPOINT_SUFFIX, overwrite=overwrite)
    compiled = quantise_checkpoint(
        checkpoint,
        data,
        part,
        bits=bits,
        tuned=tuned,
        seed=seed,
        callback=callback,
    )

    if file is not None:
        compiled.classifier.save(file, overwrite=overwrite)
    return compiled
