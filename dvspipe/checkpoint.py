"""A trained classifier on disk: weights in safetensors, and everything that inference needs in its metadata."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from .config import Settings, build
from .encoding import BinConfig
from .errors import CheckpointError, ConfigError
from .events import SensorSize
from .files import claim_output, write_beside
from .networks import NetworkConfig, SpikingNetwork

FORMAT = "dvspipe-classifier-1"
SHIPPED = Path(__file__).parent / "checkpoints"
VERSIONED_PACKAGES = (
    "dvspipe", "torch", "norse", "tonic", "numpy", "numba", "opencv-python", "opencv-python-headless",
)  # fmt: skip


class ClassifierConfig(Settings):
    """What a classifier is, besides its weights."""

    classes: tuple[str, ...] = Field(min_length=2)
    """Names of the classes; a label is an index into them."""
    width: int
    """Columns of the sensor."""
    height: int
    """Rows of the sensor."""
    bins: BinConfig
    """How recordings become spike tensors."""
    inputs: int | None = Field(default=None, ge=1)
    """Channels of the network's input, where pictures are its input; None: those of the bins."""
    network: NetworkConfig
    """The network's shape and constants."""
    trained_on: str = ""
    """What it learned from, in a few words."""
    temperature: float = Field(default=1.0, gt=0)
    """By which logits are divided ahead of the softmax, so that probabilities are as sure as they are right."""

    @property
    def sensor(self) -> SensorSize:
        """The sensor that recordings must come from."""
        return SensorSize(width=self.width, height=self.height)

    def build_network(self) -> SpikingNetwork:
        """A network of this shape with fresh weights; the only place where the step becomes dt in seconds."""
        return SpikingNetwork(
            self.network,
            grid=self.bins.grid(self.sensor),
            classes=len(self.classes),
            dt=self.bins.step_us * 1e-6,
            inputs=self.inputs or self.bins.channels,
        )


def versions() -> dict[str, str]:
    """Versions of dvspipe and of the libraries that decide its results, as far as they are installed."""
    installed = {}
    for name in VERSIONED_PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def save_checkpoint(path: Path, config: ClassifierConfig, network: torch.nn.Module) -> None:
    """Writes a classifier, complete or not at all.

    Raises:
        FileError: The file cannot be written.
    """
    metadata = {"format": FORMAT, "config": config.model_dump_json(), "versions": json.dumps(versions())}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    claim_output(path, overwrite=True)
    with write_beside(path) as beside:
        beside.write_bytes(to_bytes(weights, metadata=metadata))


def shipped_checkpoints() -> list[str]:
    """The names by which the classifiers that come with dvspipe are found, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def load_checkpoint(path: str | os.PathLike[str], device: str = "cpu") -> tuple[ClassifierConfig, SpikingNetwork]:
    """A classifier's configuration and its network, in evaluation mode.

    Args:
        path: A file, or the name of a shipped one.
        device: Where the network goes.

    Raises:
        CheckpointError: The file is missing, is no dvspipe checkpoint, or its weights do not fit its configuration.
    """
    metadata, weights = _read(_find(Path(path)), device)
    if metadata.get("format") != FORMAT:
        found = metadata.get("format")
        raise CheckpointError(f"{path}: not a dvspipe checkpoint (format {found!r}, expected {FORMAT!r})")
    try:
        config = build(ClassifierConfig, json.loads(metadata["config"]), str(path))
        network = config.build_network()
        network.load_state_dict(weights)
    except (ConfigError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint: {' '.join(str(error).split())}") from error
    return config, network.to(device).eval()


def _find(path: Path) -> Path:
    names = shipped_checkpoints()
    if not path.is_file() and str(path) in names:
        return SHIPPED / f"{path}.safetensors"
    if not path.is_file():
        ways = f"; give a .safetensors file or one of {', '.join(names)}" if names else ""
        raise CheckpointError(f"{path}: no such checkpoint{ways}")
    return path


def _read(path: Path, device: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt", device=device) as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a dvspipe checkpoint ({error})") from error
