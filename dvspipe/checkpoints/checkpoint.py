"""Checkpoints: weights as safetensors, and all settings that inference needs as metadata of the file.

A checkpoint is a file, the folder of a run, an included classifier, or a model on the hub; `find_checkpoint` returns
its file in each case. `load_checkpoint` and `save_checkpoint` convert between files and networks. Below them,
`read_arrays` and `write_arrays` read and write any arrays with metadata and a digest; other files of dvspipe use them,
too. Files may come from anywhere, so everything in them is limited and checked.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FieldSerializationInfo, JsonValue, field_serializer
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from ..base.errors import CheckpointError, ConfigError, shorten
from ..base.files import claim_output, explain_missing, write_beside
from ..base.settings import Settings
from ..base.versions import find_versions
from ..base.yaml_files import is_included
from ..encoding import BinConfig
from ..events import MAX_SIDE_PX, SensorSize
from ..framing import FramingConfig
from ..networks.config import NetworkConfig
from ..results import CHECKPOINT_SUFFIX, RunFolder, ShippedRecord
from ..results.tables import Record
from .hub import SCHEME, download_model, pin_model

if TYPE_CHECKING:
    import torch
    from torch import nn

Arrays = Mapping[str, NDArray[np.generic]]
"""Arrays by name."""

FORMAT = "dvspipe-classifier-2"
INTEGER_FORMAT = "dvspipe-integer-1"
OTHER_FORMATS = {
    INTEGER_FORMAT: "is a network in integers, for export to C (expected the network that it was compiled from)",
    "dvspipe-classifier-1": "made by an earlier dvspipe, with other networks; train it again",
}
"""Formats that are no checkpoints, and what the files are."""
MAX_WEIGHT = 1e12  # keeps currents and logits finite in float32
FEW_CALIBRATED = 50  # validation recordings; calibration on fewer is rough
NUMBER_KINDS = "biuf"  # kinds of NumPy's types that weights may have
# Limits for untrusted files.
MAX_NAME = 256
MAX_CLASSES = 10_000
MAX_TEXT = 10_000
MAX_INPUTS = 4096
MAX_CONFIG = 1 << 22  # characters; fits MAX_CLASSES names of MAX_NAME characters
SIZE_BYTES = 8  # a safetensors file: the size of the header as a number of 8 bytes, the header in JSON, the arrays
MAX_MESSAGE = 1000
SHIPPED = Path(__file__).parent
DEFAULT_CHECKPOINT = "gesture"
"""Included classifier that examples, the page and live streams use."""
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


class ClassifierConfig(Record, extra="forbid", allow_inf_nan=False):
    """Everything about a classifier except its weights."""

    classes: tuple[Annotated[str, Field(max_length=MAX_NAME)], ...] = Field(min_length=2, max_length=MAX_CLASSES)
    """Class names; a label is an index into them."""
    width: int = Field(ge=1, le=MAX_SIDE_PX)
    """Sensor width in pixels."""
    height: int = Field(ge=1, le=MAX_SIDE_PX)
    """Sensor height in pixels."""
    bins: BinConfig
    """Binning of recordings to spike tensors."""
    framing: FramingConfig = FramingConfig()
    """Region of interest, and conversion of videos to events."""
    hop_us: int | None = Field(default=None, ge=1, le=10**12)
    """Default interval between windows in inference, in microseconds; None: the window length."""
    inputs: int | None = Field(default=None, ge=1, le=MAX_INPUTS)
    """Input channels of a network trained on images; None: the channels of `bins`."""
    network: NetworkConfig
    """Architecture and constants of the network."""
    trained_on: str = Field(default="", max_length=MAX_TEXT)
    """Short description of the training recordings."""
    temperature: float = Field(default=1.0, ge=1e-3, le=1e3)
    """Calibration temperature: the logits are divided by it before the softmax."""
    calibrated_on: int | None = Field(default=None, ge=0)
    """Number of validation recordings used to fit the temperature; None if unknown."""
    least_energy: float | None = None
    """Threshold on the energy of the logits (see `energies`); windows below it are unfamiliar. None if unknown."""

    @field_serializer("network", "framing")
    def _serialize(self, part: Settings, info: FieldSerializationInfo) -> dict[str, JsonValue]:
        """Leave out settings of other kinds of networks, and of specific recordings."""
        return part.to_record() if info.field_name == "network" else part.model_dump(mode="json", exclude_unset=True)

    @property
    def sensor(self) -> SensorSize:
        """Sensor size of the network."""
        return SensorSize(width=self.width, height=self.height)

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute calibrated class probabilities [N, K] from logits [N, K]."""
        # In float64, and by logarithms: exp of a large logit would overflow.
        scaled = (logits / np.float32(self.temperature)).astype(np.float64)
        return np.asarray(np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)), np.float32)

    def is_familiar(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return whether each window resembles the training data, bool [N]; all True without a threshold."""
        if self.least_energy is None:
            return np.ones(len(logits), np.bool_)
        return energies(logits) >= self.least_energy

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of the network's input."""
        grid = self.bins.grid(self.sensor)
        return self.inputs or self.bins.input_channels, grid.height, grid.width

    def build_network(self, device: str = "cpu") -> nn.Module:
        """Build the network with random weights. The time step is converted to seconds only here."""
        import torch

        from ..networks import build_network  # before the device is set: Norse makes its default parameters then

        dt = self.bins.step_us * 1e-6
        with torch.device(device):
            network: nn.Module = build_network(self.network, self.shape, classes=len(self.classes), dt=dt)
        return network


def energies(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the energy of logits [N, K], float32 [N]; windows that resemble the training data have high values.

    The energy is log(sum(exp(logits))) per window: the negative free energy of Liu et al., "Energy-based
    out-of-distribution detection", NeurIPS 2020.

    Example:
        >>> energies(np.array([[0.0, 0.0], [9.0, 0.0]], np.float32)).round(2).tolist()
        [0.6899999976158142, 9.0]
    """
    return np.asarray(np.logaddexp.reduce(logits.astype(np.float64), axis=1), np.float32)


def versions() -> dict[str, str]:
    """Return the versions of dvspipe and of the installed libraries that affect its results."""
    return find_versions(*VERSIONED_PACKAGES)


class Checkpoint(NamedTuple):
    """Content of a checkpoint."""

    config: ClassifierConfig
    """Configuration of the classifier."""
    network: nn.Module
    """Network in evaluation mode."""

    def check_events(self, name: str) -> None:
        """Check that the network classifies events.

        Raises:
            CheckpointError: If all its weights are 0, as in a classifier that `learn` made.
        """
        if not any(weights.any() for weights in self.network.parameters()):
            raise CheckpointError(f"{name}: knows films alone, by joints (expected a network that classifies events)")


def save_checkpoint(path: Path, config: ClassifierConfig, network: nn.Module) -> None:
    """Write a checkpoint atomically; an existing file is replaced."""
    metadata = {"format": FORMAT, "config": config.model_dump_json(), "versions": json.dumps(versions())}
    claim_output(path, overwrite=True)
    write_tensors(path, metadata, network.state_dict())


def shipped_checkpoints() -> list[str]:
    """List the names of the classifiers shipped with dvspipe, sorted.

    Example:
        >>> shipped_checkpoints()
        ['gesture', 'nmnist-synthetic']
    """
    return sorted(path.stem for path in SHIPPED.glob(f"*{CHECKPOINT_SUFFIX}"))


def shipped_config(name: str) -> str:
    """Return the name of the included configuration with the settings of a shipped classifier.

    Example:
        >>> shipped_config("gesture")
        'gesture-synthetic'
    """
    config = ShippedRecord.read(SHIPPED / f"{name}.json").config
    assert config is not None
    return config


def load_config(path: str | os.PathLike[str]) -> ClassifierConfig:
    """Load the configuration of a checkpoint without building its network; see `load_checkpoint`."""
    return _read(path, "cpu")[0]


def load_checkpoint(path: str | os.PathLike[str], device: str = "cpu", network: nn.Module | None = None) -> Checkpoint:
    """Load a checkpoint. Reading tensors and settings never runs code from the file.

    Args:
        path: Checkpoint; see `find_checkpoint`.
        device: PyTorch device of the network.
        network: Your own network, which gets the weights; required for the weights of such a network.

    Raises:
        CheckpointError: If the file is missing, corrupted, or not a checkpoint.
        ConfigError: If your own network is missing, or does not fit the weights.
    """
    config, weights = _read(path, device)
    if network is None and config.network.network == "module":
        raise ConfigError(f"{path}: has the weights of your own network; pass it with network=NETWORK in Python")

    # Your network keeps its memory. Ours is built without any and takes the weights, so a file cannot claim a size.
    try:
        loaded = config.build_network("meta") if network is None else network
        loaded.load_state_dict(weights, assign=network is None)
    except (ConfigError, KeyError, ValueError, RuntimeError) as error:
        if network is not None:
            raise ConfigError(f"{path}: its weights do not fit the network ({_format_error(error)})") from error
        raise CheckpointError(f"{path}: corrupted checkpoint ({_format_error(error)})") from error

    return Checkpoint(config, loaded.to(device).eval())


def _read(path: str | os.PathLike[str], device: str) -> tuple[ClassifierConfig, dict[str, torch.Tensor]]:
    """Read and validate the configuration and the tensors of a checkpoint."""
    metadata, weights = read_tensors(find_checkpoint(path), "a dvspipe checkpoint", device, name=str(path))
    stored_format = metadata.get("format", "")
    if stored_format != FORMAT:
        found = f"not a dvspipe checkpoint (found the format {shorten(repr(stored_format))}, expected {FORMAT!r})"
        raise CheckpointError(f"{path}: {OTHER_FORMATS.get(stored_format, found)}")

    # A file from elsewhere may contain anything: the length of the text is checked before it is parsed.
    try:
        text = metadata["config"]
        if len(text) > MAX_CONFIG:
            raise ValueError(f"configuration of {len(text):,} characters")
        config = ClassifierConfig.model_validate_json(text)
    except (ConfigError, KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: corrupted checkpoint ({_format_error(error)})") from error

    highest = math.inf if config.network.network == "module" else MAX_WEIGHT  # masks of custom modules may be infinite
    for name, tensor in weights.items():
        lowest = 0.0 if name.endswith("running_var") else -highest
        # Comparisons with NaN are false, so NaN is out of range, too.
        is_inside = (tensor >= lowest) & (tensor <= highest)
        if not is_inside.all():
            raise CheckpointError(
                f"{path}: corrupted checkpoint (found NaN, infinity or a number out of range in {shorten(name)}, "
                f"expected {lowest:g} to {highest:g})"
            )

    return config, weights


def _format_error(error: Exception) -> str:
    return shorten(" ".join(str(error).split()), MAX_MESSAGE)


def write_tensors(path: Path, metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as `write_arrays` does."""
    write_arrays(path, metadata, as_arrays(tensors))


def read_tensors(
    path: Path, what: str, device: str = "cpu", *, name: str = ""
) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Read the tensors of a file to a device as `read_arrays` does."""
    import torch

    metadata, arrays = read_arrays(path, what, name=name)
    return metadata, {key: torch.from_numpy(array).to(device) for key, array in arrays.items()}


def as_arrays(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    """Return tensors as contiguous arrays, which may share their memory."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}


def write_arrays(path: Path, metadata: Mapping[str, str], arrays: Arrays) -> None:
    """Write arrays and text metadata, with a digest of both, as safetensors. The file is written atomically.

    Equal arrays and metadata give equal bytes.
    """
    stored = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    digest = digest_of(metadata, stored)
    written = to_bytes(stored, metadata={**metadata, "digest": digest})

    with write_beside(path) as beside, beside.open("wb") as file:
        file.writelines(_sort_header(written))


def _sort_header(content: bytes) -> tuple[bytes, bytes, memoryview]:
    """Return the size of the header, the header and the arrays of a safetensors file, with a sorted header.

    The library writes metadata in the random order of a hash map.
    """
    header_size = int.from_bytes(content[:SIZE_BYTES], "little")
    begin = SIZE_BYTES + header_size  # the arrays begin here
    header = json.loads(content[SIZE_BYTES:begin])

    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)  # arrays are aligned to 8 bytes
    return len(text).to_bytes(SIZE_BYTES, "little"), text, memoryview(content)[begin:]


def read_arrays(path: Path, what: str, *, name: str = "") -> tuple[dict[str, str], dict[str, NDArray[np.generic]]]:
    """Read the metadata and arrays of a file from `write_arrays`; verify its digest if it has one."""
    name = name or str(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, AttributeError, TypeError) as error:  # NumPy lacks some types, such as bfloat16
        raise CheckpointError(f"{name}: not {what}, or truncated ({error})") from error
    for key, array in arrays.items():
        if array.dtype.kind not in NUMBER_KINDS:
            raise CheckpointError(f"{name}: not {what} (found {array.dtype} in {shorten(key)}, expected real numbers)")

    written = metadata.pop("digest", None)
    computed = digest_of(metadata, arrays)
    if written not in (None, computed):
        raise CheckpointError(
            f"{name}: corrupted (found content with the digest {computed[:12]}, expected {written[:12]})"
        )

    return metadata, arrays


def digest_of(metadata: Mapping[str, str], arrays: Arrays) -> str:
    """Return the hexadecimal SHA-256 of metadata and arrays, including their names, dtypes (as of torch) and shapes."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} torch.{array.dtype} {list(array.shape)}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def find_checkpoint(path: str | os.PathLike[str]) -> Path:
    """Find the file of a checkpoint; checkpoints on the hub are downloaded."""
    if str(path).startswith(SCHEME):
        return download_model(str(path))

    file = Path(path)
    names = shipped_checkpoints()
    run = RunFolder(file).best
    if is_included(str(path), names, is_here=run.is_file()):
        return SHIPPED / f"{path}{CHECKPOINT_SUFFIX}"
    if run.is_file():
        return run
    if file.is_file() and file.suffix == CHECKPOINT_SUFFIX:
        return file

    problem = explain_missing(file)
    if file.is_dir():
        problem = "this folder has no checkpoint"
    elif file.is_file():
        problem = f"not a checkpoint, but a {file.suffix} file" if file.suffix else "a file without suffix"
    expected = ", ".join([f"a {CHECKPOINT_SUFFIX} file", "the folder of a run", *names, "hf://USER/NAME"])
    raise CheckpointError(f"{path}: {problem} (expected {expected})")


def pin_checkpoint(path: str | os.PathLike[str]) -> str:
    """Pin a hub checkpoint to its current commit, so later reads use the cache; return other names unchanged."""
    return pin_model(str(path)) if str(path).startswith(SCHEME) else str(path)
