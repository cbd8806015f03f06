"""Classifiers compiled to integers, on disk: weights as safetensors, all settings as metadata.

The arrays of a network are the tensors of the file, its other numbers (`IntegerConfig`) the metadata, in JSON, as in a
checkpoint. `IntegerClassifier` reads and writes files; the networks themselves are in `network`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import CheckpointError, ConfigError, shorten
from ..base.files import claim_output, require_suffix
from ..checkpoints.checkpoint import (
    INTEGER_FORMAT,
    MAX_CONFIG,
    Arrays,
    ClassifierConfig,
    read_arrays,
    write_arrays,
)
from ..encoding import BinConfig
from ..results import CHECKPOINT_SUFFIX
from ..results.tables import Record
from .network import MEMORYLESS, IntegerLayer, IntegerNetwork, IntegerReadout


class LayerConstants(Record):
    """Numbers of an integer layer besides its arrays; see `IntegerLayer`."""

    leak: int
    """Leak per step in units of 2^-15."""
    shift: int
    """Shift of the sums of weights."""
    padding: int
    """Zero pixels around the input."""
    pool: int
    """Side of the squares that are pooled."""
    subtract: bool
    """Whether a spike subtracts the threshold."""
    current_leak: int = MEMORYLESS
    """Leak of the synaptic current per step in units of 2^-15."""


class ReadoutConstants(Record):
    """Numbers of an integer readout besides its arrays; see `IntegerReadout`."""

    leak: int
    """Leak per step in units of 2^-15."""
    shift: int
    """Shift of the sums of weights."""
    unit: float
    """Logit of one unit of an integrator."""


class IntegerConfig(Record):
    """Everything about a classifier of integers except its arrays."""

    classifier: ClassifierConfig
    """Configuration of the classifier that was compiled."""
    layers: tuple[LayerConstants, ...]
    """Spiking layers in order."""
    readout: ReadoutConstants
    """Readout."""


@dataclass(frozen=True, eq=False)
class IntegerClassifier:
    """Classifier compiled to integers."""

    config: ClassifierConfig
    network: IntegerNetwork

    @property
    def bins(self) -> BinConfig:
        """Binning of recordings to counts."""
        return self.config.bins

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the classifier as safetensors, complete or not at all."""
        path = Path(path)
        require_suffix(path, "a classifier of integers", CHECKPOINT_SUFFIX)
        claim_output(path, overwrite=overwrite)

        config, arrays = self.describe()
        write_arrays(path, {"format": INTEGER_FORMAT, "config": config.model_dump_json()}, arrays)

    def describe(self) -> tuple[IntegerConfig, Arrays]:
        """Return the content of the file: configuration and arrays."""
        layers = self.network.layers
        readout = self.network.readout
        arrays: dict[str, NDArray[np.generic]] = {
            "readout.weight": readout.weight,
            "readout.bias": readout.bias,
        }

        for number, layer in enumerate(layers):
            arrays |= {
                f"layers.{number}.weight": layer.weight,
                f"layers.{number}.bias": layer.bias,
                f"layers.{number}.threshold": layer.threshold,
            }

        config = IntegerConfig(
            classifier=self.config,
            layers=tuple(LayerConstants.model_validate(layer, from_attributes=True) for layer in layers),
            readout=ReadoutConstants.model_validate(readout, from_attributes=True),
        )

        return config, arrays

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> IntegerClassifier:
        """Read a classifier written by `save`."""
        file = Path(path)
        if not file.is_file():
            found = "found a folder" if file.is_dir() else "no such file"
            raise CheckpointError(f"{path}: {found} (expected a classifier compiled to integers, {CHECKPOINT_SUFFIX})")

        metadata, arrays = read_arrays(file, "a classifier of integers")
        if metadata.get("format") != INTEGER_FORMAT:
            found = shorten(repr(metadata.get("format")))
            raise CheckpointError(
                f"{path}: not a classifier of integers (found the format {found}, expected {INTEGER_FORMAT!r})"
            )

        # A file from elsewhere may contain anything: its size is checked before its content.
        try:
            if len(metadata["config"]) > MAX_CONFIG:
                raise ValueError(f"configuration of {len(metadata['config']):,} characters")
            config = IntegerConfig.model_validate_json(metadata["config"])
            return cls(config.classifier, _build_network(config, arrays))
        except (ConfigError, KeyError, ValueError, IndexError) as error:
            raise CheckpointError(f"{path}: corrupted ({shorten(' '.join(str(error).split()), 300)})") from error


def _build_network(config: IntegerConfig, arrays: Arrays) -> IntegerNetwork:
    """Return the network of a file; `IntegerNetwork` checks shapes and ranges."""

    def take(name: str, dtype: type[np.int8] | type[np.int32], dimensions: int) -> NDArray[np.generic]:
        array = arrays[name]
        if array.dtype != dtype or array.ndim != dimensions:
            raise ValueError(f"{name}: found {array.dtype} {array.shape}, expected {dtype.__name__}")
        return array

    layers = tuple(
        IntegerLayer(
            take(f"layers.{number}.weight", np.int8, 4),  # type: ignore[arg-type]
            take(f"layers.{number}.bias", np.int32, 1),  # type: ignore[arg-type]
            take(f"layers.{number}.threshold", np.int32, 1),  # type: ignore[arg-type]
            **constants.model_dump(),
        )
        for number, constants in enumerate(config.layers)
    )

    readout = IntegerReadout(
        take("readout.weight", np.int8, 2),  # type: ignore[arg-type]
        take("readout.bias", np.int32, 1),  # type: ignore[arg-type]
        **config.readout.model_dump(),
    )

    network = IntegerNetwork(config.classifier.shape, layers, readout)

    if network.classes != len(config.classifier.classes):
        raise ValueError(f"found {network.classes} outputs, expected {len(config.classifier.classes)} classes")

    return network
