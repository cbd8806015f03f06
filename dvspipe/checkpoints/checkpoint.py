"""Trained classifiers as files: weights as safetensors, with everything that inference needs in the metadata."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from ..config import Settings, build, keep_own
from ..encoding import BinConfig
from ..errors import CheckpointError, ConfigError, shorten
from ..events import MAX_SIDE_PX, SensorSize
from ..files import claim_output, read_bytes, write_beside, write_text
from ..framing import FramingConfig
from ..networks import (
    NO_MODULES,
    ClassMoments,
    FirstSpikeConfig,
    FirstSpikeNetwork,
    ModuleConfig,
    ModuleSource,
    ModuleTask,
    Network,
    NetworkConfig,
    SpikingNetwork,
)
from ..results import RunFolder
from .hub import SCHEME, HubModel

FORMAT = "dvspipe-classifier-1"
MOMENTS = "class_moments."  # before the names of their tensors
MAX_WEIGHT = 1e12  # with it, no current or logit of a network reaches infinity in float32
FEW_CALIBRATED = 50  # validation recordings; probabilities that are calibrated on fewer are rough
MAX_NAME, MAX_CLASSES, MAX_TEXT = 256, 10_000, 10_000  # a file of others may have any
MAX_CONFIG = 1 << 22  # characters: classes of the longest names
MAX_TENSORS = 100_000
MAX_MESSAGE = 1000
HUB_WEIGHTS, HUB_CONFIG = "model.safetensors", "config.json"  # in a repository on the hub
SHIPPED = Path(__file__).parent
VERSIONED_PACKAGES = (
    "dvspipe",
    "torch",
    "norse",
    "tonic",
    "numpy",
    "numba",
    "opencv-python",
    "opencv-python-headless",
)


class ClassifierConfig(Settings):
    """Everything about a classifier except its weights."""

    classes: tuple[Annotated[str, Field(max_length=MAX_NAME)], ...] = Field(min_length=2, max_length=MAX_CLASSES)
    """Names of the classes; a label is an index into them."""
    width: int = Field(ge=1, le=MAX_SIDE_PX)
    """Columns of the sensor."""
    height: int = Field(ge=1, le=MAX_SIDE_PX)
    """Rows of the sensor."""
    bins: BinConfig
    """How recordings become spike tensors."""
    framing: FramingConfig = FramingConfig()
    """Which part of a recording or video the network sees, and how videos become events."""
    hop_us: int | None = Field(default=None, ge=1, le=10**12)
    """Time from one window to the next where inference does not say it; None: the length of a window."""
    inputs: int | None = Field(default=None, ge=1)
    """Channels of the network's input if it was trained on images; None: those of the bins."""
    network: NetworkConfig
    """Shape and constants of the network."""
    trained_on: str = Field(default="", max_length=MAX_TEXT)
    """Short description of the training recordings."""
    temperature: float = Field(default=1.0, ge=1e-3, le=1e3)
    """Divisor of the logits before the softmax, which calibrates the probabilities."""
    calibrated_on: int | None = Field(default=None, ge=0)
    """Number of validation recordings that the temperature was fitted to; None if it is not known."""
    least_energy: float | None = None
    """Energy of the logits (see `energies`) below which a window is unlike those of the training; None: not known."""

    @property
    def sensor(self) -> SensorSize:
        """The sensor of the recordings."""
        return SensorSize(width=self.width, height=self.height)

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities [N, K] of the classes."""
        return torch.from_numpy(logits / np.float32(self.temperature)).softmax(1).numpy()

    def is_familiar(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return whether windows are like those of the training, bool [N]."""
        if self.least_energy is None:
            return np.ones(len(logits), np.bool_)
        return energies(logits) >= self.least_energy

    @property
    def task(self) -> ModuleTask:
        """What the network is made for; the only place where the step becomes dt in seconds."""
        grid = self.bins.grid(self.sensor)
        shape = (self.inputs or self.bins.channels, grid.height, grid.width)
        return ModuleTask(shape, len(self.classes), self.bins.step_us * 1e-6, self.bins.steps)

    def build_network(self, modules: ModuleSource = NO_MODULES) -> Network:
        """Return a network with random weights.

        Args:
            modules: Where a network of `network.kind = module` comes from.

        Raises:
            ConfigError: Settings contradict each other, or the code of a module may not run.
        """
        modules.check(self.network)
        if isinstance(self.network, ModuleConfig):
            return modules.build(self.network, self.task)
        classes, dt, (inputs, height, width) = self.task.classes, self.task.dt, self.task.shape
        grid = SensorSize(width=width, height=height)
        if isinstance(self.network, FirstSpikeConfig):
            return FirstSpikeNetwork(self.network, grid=grid, classes=classes, dt=dt, inputs=inputs)
        return SpikingNetwork(self.network, grid=grid, classes=classes, dt=dt, inputs=inputs)


def energies(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the energy of logits [N, K], float32 [N], which is high for windows like those of the training.

    It is the logarithm of the sum of the exponentials of a window's logits, the negative free energy of Liu et al.,
    "Energy-based out-of-distribution detection", NeurIPS 2020.

    Example:
        >>> energies(np.array([[0.0, 0.0], [9.0, 0.0]], np.float32)).round(2).tolist()
        [0.6899999976158142, 9.0]
    """
    return torch.from_numpy(logits).logsumexp(1).numpy()


def versions() -> dict[str, str]:
    """Return the versions of dvspipe and of the installed libraries that its results depend on."""
    installed = {}
    for name in VERSIONED_PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


class Checkpoint(NamedTuple):
    """What a checkpoint holds."""

    config: ClassifierConfig
    """What the classifier is."""
    network: Network
    """Its network in evaluation mode."""
    moments: ClassMoments | None
    """Those of its training recordings, which adaptation needs; None in checkpoints of earlier versions."""


def save_checkpoint(
    path: Path, config: ClassifierConfig, network: torch.nn.Module, moments: ClassMoments | None = None
) -> None:
    """Write a classifier, complete or not at all.

    Args:
        path: The file.
        config: What the classifier is.
        network: Its network.
        moments: Those of its training recordings; None if they are not known.

    Raises:
        FileError: The file cannot be written.
    """
    metadata = {"format": FORMAT, "config": config.model_dump_json(), "versions": json.dumps(versions())}
    claim_output(path, overwrite=True)
    beside = {} if moments is None else {MOMENTS + name: tensor for name, tensor in moments.to_tensors().items()}
    write_tensors(path, metadata, network.state_dict() | beside)


def shipped_checkpoints() -> list[str]:
    """Return the names of the classifiers that are part of dvspipe, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def load_checkpoint(
    path: str | os.PathLike[str], device: str = "cpu", modules: ModuleSource = NO_MODULES
) -> tuple[ClassifierConfig, Network]:
    """Return the configuration of a classifier, and its network in evaluation mode; see `read_checkpoint`."""
    config, network, _ = read_checkpoint(path, device, modules)
    return config, network


def load_config(path: str | os.PathLike[str]) -> ClassifierConfig:
    """Return the configuration in a checkpoint, without its network; see `read_checkpoint`."""
    return _read(path, "cpu")[0]


def read_checkpoint(
    path: str | os.PathLike[str], device: str = "cpu", modules: ModuleSource = NO_MODULES
) -> Checkpoint:
    """Return the content of a checkpoint; its tensors and settings are read without running any code from it.

    Args:
        path: A file, the folder of a training run, the name of a shipped classifier, or `hf://user/name`.
        device: Device of the network.
        modules: Where a network of `network.kind = module` comes from: what the checkpoint names is imported only if
            its package is trusted.

    Raises:
        CheckpointError: The file is missing, is not a dvspipe checkpoint, is corrupted, or its weights are not finite
            or do not fit its configuration.
        ConfigError: The network is a module that is not trusted, or cannot be made.
    """
    config, weights = _read(path, device)
    beside = {name.removeprefix(MOMENTS): weights.pop(name) for name in list(weights) if name.startswith(MOMENTS)}
    try:
        network = _fill(config, weights, modules)
        moments = ClassMoments.from_tensors(beside) if beside else None
    except ConfigError as error:
        if config.network.kind == "module":
            raise error.named(str(path)) from error
        raise CheckpointError(f"{path}: corrupted checkpoint ({_one_line(error)})") from error
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: corrupted checkpoint ({_one_line(error)})") from error
    if moments is not None and not moments.fits(network, len(config.classes)):
        raise CheckpointError(f"{path}: corrupted checkpoint (the moments of its classes do not fit its network)")
    return Checkpoint(config, network.to(device).eval(), moments)


def _read(path: str | os.PathLike[str], device: str) -> tuple[ClassifierConfig, dict[str, torch.Tensor]]:
    """Return the configuration and the tensors of a checkpoint."""
    metadata, weights = read_tensors(find_checkpoint(path), "a dvspipe checkpoint", device, name=str(path))
    if metadata.get("format") != FORMAT:
        found = metadata.get("format")
        raise CheckpointError(
            f"{path}: not a dvspipe checkpoint (found the format {shorten(repr(found))}, expected {FORMAT!r})"
        )
    try:
        if len(metadata["config"]) > MAX_CONFIG:
            raise ValueError(f"a configuration of {len(metadata['config']):,} characters, expected {MAX_CONFIG:,}")
        settings = json.loads(metadata["config"])
        own = keep_own(ClassifierConfig, settings) if isinstance(settings, dict) else settings
        config = build(ClassifierConfig, own, str(path))
    except (ConfigError, KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: corrupted checkpoint ({_one_line(error)})") from error
    most = math.inf if config.network.kind == "module" else MAX_WEIGHT  # a mask of a user may be infinite
    for name, tensor in weights.items():
        least = 0.0 if name.endswith("running_var") else -most
        if not ((tensor >= least) & (tensor <= most)).all():
            raise CheckpointError(
                f"{path}: corrupted checkpoint (found NaN, infinity or another number in {shorten(name)}, expected "
                f"{least:g} to {most:g})"
            )
    return config, weights


def _fill(config: ClassifierConfig, weights: Mapping[str, torch.Tensor], modules: ModuleSource) -> Network:
    """Return the network of a configuration with these weights."""
    if config.network.kind != "module":
        with torch.device("meta"):  # compares the shapes without memory for them
            config.build_network().load_state_dict(weights, assign=True)
    network = config.build_network(modules)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        if config.network.kind != "module":
            raise
        raise ConfigError(f"its weights do not fit the network ({_one_line(error)})") from error
    return network


def _one_line(error: Exception) -> str:
    return shorten(" ".join(str(error).split()), MAX_MESSAGE)


def write_tensors(path: Path, metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors and texts as safetensors with a digest of both, complete or not at all.

    Raises:
        FileError: The file cannot be written.
    """
    on_cpu = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    with write_beside(path) as beside:
        beside.write_bytes(to_bytes(on_cpu, metadata={**metadata, "digest": digest_of(metadata, on_cpu)}))


def read_tensors(
    path: Path, what: str, device: str = "cpu", *, name: str = ""
) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Return the texts and tensors that `write_tensors` wrote; a file without a digest is not checked.

    Args:
        path: The file.
        what: What the file should be, for messages.
        device: Device of the tensors.
        name: What the file is called in messages; empty: its path.

    Raises:
        CheckpointError: It is something else, or does not match its digest.
    """
    name = name or str(path)
    try:
        with safe_open(path, framework="pt", device=device) as file:
            metadata = dict(file.metadata() or {})
            if len(file.keys()) > MAX_TENSORS:
                raise CheckpointError(f"{name}: not {what} (found {len(file.keys()):,} tensors)")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{name}: not {what} ({error})") from error
    written = metadata.pop("digest", None)
    found = digest_of(metadata, tensors)
    if written not in (None, found):
        raise CheckpointError(
            f"{name}: corrupted (found content with the digest {found[:12]}, expected {written[:12]})"
        )
    return metadata, tensors


def digest_of(metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of texts and tensors with their names, dtypes and shapes, in hexadecimal."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def find_checkpoint(path: str | os.PathLike[str]) -> Path:
    """Return the file of a checkpoint.

    Args:
        path: Its path, the folder of its run, the name of a shipped one, or one on the hub, which is downloaded.

    Raises:
        CheckpointError: There is none.
    """
    if str(path).startswith(SCHEME):
        return _download(HubModel.parse(str(path)))
    names = shipped_checkpoints()
    if RunFolder(Path(path)).best.is_file():
        return RunFolder(Path(path)).best
    if not Path(path).is_file() and str(path) in names:
        return SHIPPED / f"{path}.safetensors"
    if not Path(path).is_file():
        expected = ["a .safetensors file", "the folder of a run", *names, "hf://USER/NAME"]
        raise CheckpointError(f"{path}: no such checkpoint (expected {', '.join(expected)})")
    return Path(path)


def pin_checkpoint(path: str | os.PathLike[str]) -> str:
    """Return the name of a checkpoint; of one on the hub with the commit, which later reads take from the cache.

    Raises:
        CheckpointError: It is on the hub, and there is none.
    """
    if not str(path).startswith(SCHEME):
        return str(path)
    model = HubModel.parse(str(path))
    return str(model.at(_download(model)))


def upload_checkpoint(model: HubModel, checkpoint: Checkpoint, card: str, *, private: bool) -> HubModel:
    """Write a classifier to a repository on the hub, with a model card; return the model at the new commit.

    Raises:
        CheckpointError: The hub cannot be reached, or refuses.
    """
    config, network, moments = checkpoint
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_checkpoint(folder / HUB_WEIGHTS, config, network, moments)
        described = {"format": FORMAT, "classifier": config.model_dump(mode="json")}  # only the format is read
        write_text(folder / HUB_CONFIG, json.dumps(described, indent=1) + "\n")
        write_text(folder / "README.md", card)
        return model.upload(folder, private=private)


def _download(model: HubModel) -> Path:
    """Return the file of a checkpoint on the hub; weights of other programs, which may be large, are not downloaded."""
    settings = model.download(HUB_CONFIG)
    try:
        found = json.loads(read_bytes(settings)).get("format")
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{model}: {HUB_CONFIG} is not JSON of a model ({error})") from error
    if found != FORMAT:
        raise CheckpointError(f"{model}: not a dvspipe checkpoint (found the format {found!r}, expected {FORMAT!r})")
    return model.at(settings).download(HUB_WEIGHTS)
