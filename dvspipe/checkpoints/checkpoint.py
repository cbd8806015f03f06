"""Checkpoints: weights as safetensors, and all settings that inference needs as metadata of the file.

A checkpoint is a file, the folder of a run, an included classifier, or a model on the hub; `find_checkpoint` returns
its file in each case. `load_checkpoint` and `save_checkpoint` convert between files and networks. Below them,
`read_arrays` and `write_arrays` read and write any arrays with metadata and a digest; other files of dvspipe use them,
too. Files may come from anywhere, so everything in them is limited and checked.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import re
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
from ..encoding import BinConfig
from ..events import MAX_SIDE_PX, SensorSize
from ..framing import FramingConfig
from ..networks.config import NetworkConfig
from ..networks.module_source import NO_MODULES, ModuleSource, ModuleTask
from ..results import CHECKPOINT_SUFFIX, RunFolder, ShippedRecord
from ..results.tables import Record
from ..video.names import is_video_name
from .hub import SCHEME, HubRepository

if TYPE_CHECKING:
    import torch

    from ..networks import Network

Arrays = Mapping[str, NDArray[np.generic]]
"""Arrays by name."""

FORMAT = "dvspipe-classifier-1"
OLD_VERSION = re.compile(r'"dvspipe": "(0\.[12][^"]{,20})"')  # with settings that have left
INTEGER_FORMAT = "dvspipe-integer-1"  # classifiers in integers; see `integer.py`
MOMENTS = "class_moments."  # prefix of tensors of dvspipe 0.2
MAX_WEIGHT = 1e12  # keeps currents and logits finite in float32
FEW_CALIBRATED = 50  # validation recordings; calibration on fewer is rough
# Limits for untrusted files.
MAX_NAME = 256
MAX_CLASSES = 10_000
MAX_TEXT = 10_000
MAX_INPUTS = 4096
MAX_CONFIG = 1 << 22  # characters; fits MAX_CLASSES names of MAX_NAME characters
MAX_TENSORS = 100_000
MAX_HEADER = 100_000_000  # bytes; limit of the safetensors library
SIZE_BYTES = 8  # a safetensors file: the size of the header as a number of 8 bytes, the header in JSON, the arrays
MAX_MESSAGE = 1000
HUB_WEIGHTS = "model.safetensors"  # file of a hub repository
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
        # In float64, and relative to the largest: exp of a large logit would overflow.
        scaled = (logits / np.float32(self.temperature)).astype(np.float64)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    def is_familiar(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return whether each window resembles the training data, bool [N]; all True without a threshold."""
        if self.least_energy is None:
            return np.ones(len(logits), np.bool_)
        return energies(logits) >= self.least_energy

    @property
    def task(self) -> ModuleTask:
        """Input shape, classes and time step of the network. The step is converted to seconds only here."""
        grid = self.bins.grid(self.sensor)
        shape = (self.inputs or self.bins.input_channels, grid.height, grid.width)
        return ModuleTask(shape, len(self.classes), self.bins.step_us * 1e-6, self.bins.steps)

    def build_network(self, modules: ModuleSource = NO_MODULES) -> Network:
        """Build the network with random weights."""
        from ..networks import FirstSpikeNetwork, SpikingNetwork, build_module  # they need torch

        modules.check(self.network)
        if self.network.network == "module":
            return build_module(modules, self.network, self.task)

        classes = self.task.classes
        dt = self.task.dt
        inputs, height, width = self.task.shape
        grid = SensorSize(width=width, height=height)

        if self.network.network == "first_spike":
            return FirstSpikeNetwork(self.network, grid=grid, classes=classes, dt=dt, inputs=inputs)

        return SpikingNetwork(self.network, grid=grid, classes=classes, dt=dt, inputs=inputs)


def energies(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the energy of logits [N, K], float32 [N]; windows that resemble the training data have high values.

    The energy is log(sum(exp(logits))) per window: the negative free energy of Liu et al., "Energy-based
    out-of-distribution detection", NeurIPS 2020.

    Example:
        >>> energies(np.array([[0.0, 0.0], [9.0, 0.0]], np.float32)).round(2).tolist()
        [0.6899999976158142, 9.0]
    """
    values = logits.astype(np.float64)
    largest = values.max(axis=1)
    return np.asarray(largest + np.log(np.exp(values - largest[:, None]).sum(axis=1)), np.float32)


def versions() -> dict[str, str]:
    """Return the versions of dvspipe and of the installed libraries that affect its results."""
    # Only one of the two packages of OpenCV is installed.
    return find_versions(*VERSIONED_PACKAGES)


class Checkpoint(NamedTuple):
    """Content of a checkpoint."""

    config: ClassifierConfig
    """Configuration of the classifier."""
    network: Network
    """Network in evaluation mode."""


def save_checkpoint(path: Path, config: ClassifierConfig, network: torch.nn.Module) -> None:
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
    assert config is not None, name
    return config


def load_config(path: str | os.PathLike[str]) -> ClassifierConfig:
    """Load the configuration of a checkpoint without building its network; see `load_checkpoint`."""
    config, _ = _read(path, "cpu")
    return config


def load_checkpoint(
    path: str | os.PathLike[str], device: str = "cpu", modules: ModuleSource = NO_MODULES
) -> Checkpoint:
    """Load a checkpoint. Reading tensors and settings never runs code from the file."""
    config, weights = _read(path, device)

    # Checkpoints of dvspipe 0.2 also have statistics of each class.
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith(MOMENTS)}

    try:
        network = _load_network(config, weights, modules)
    except ConfigError as error:
        # The user's code, not the file, may be wrong.
        if config.network.network == "module":
            raise error.named(str(path)) from error
        raise CheckpointError(f"{path}: corrupted checkpoint ({_format_error(error)})") from error
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: corrupted checkpoint ({_format_error(error)})") from error

    return Checkpoint(config, network.to(device).eval())


def _read(path: str | os.PathLike[str], device: str) -> tuple[ClassifierConfig, dict[str, torch.Tensor]]:
    """Read and validate the configuration and the tensors of a checkpoint."""
    metadata, weights = read_tensors(find_checkpoint(path), "a dvspipe checkpoint", device, name=str(path))
    stored_format = metadata.get("format")
    if stored_format == INTEGER_FORMAT:
        raise CheckpointError(
            f"{path}: is a network in integers, for export to C (expected the network that it was compiled from)"
        )

    if stored_format != FORMAT:
        raise CheckpointError(
            f"{path}: not a dvspipe checkpoint (found the format {shorten(repr(stored_format))}, expected {FORMAT!r})"
        )

    # A file from elsewhere may contain anything: the length of the text is checked before it is parsed.
    try:
        if len(metadata["config"]) > MAX_CONFIG:
            raise ValueError(
                f"configuration of {len(metadata['config']):,} characters, expected at most {MAX_CONFIG:,}"
            )
        config = ClassifierConfig.model_validate_json(metadata["config"])
    except (ConfigError, KeyError, ValueError, RecursionError) as error:
        before = OLD_VERSION.search(metadata.get("versions", ""))
        if before is not None:
            raise CheckpointError(
                f"{path}: made by dvspipe {before[1]}, whose settings have changed (expected one of dvspipe 0.3 "
                "or later); train it again"
            ) from error
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


def _load_network(config: ClassifierConfig, weights: Mapping[str, torch.Tensor], modules: ModuleSource) -> Network:
    """Build the network of a configuration and load weights into it."""
    import torch

    # A small file may claim a network of any size.
    if config.network.network != "module":
        with torch.device("meta"):  # checks the shapes without allocating memory
            config.build_network().load_state_dict(weights, assign=True)

    network = config.build_network(modules)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        if config.network.network != "module":
            raise
        raise ConfigError(f"its weights do not fit the network ({_format_error(error)})") from error

    return network


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
    return metadata, {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


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
        file.writelines(_sort_metadata(written))


def _sort_metadata(content: bytes) -> tuple[bytes, bytes, memoryview]:
    """Return the size of the header, the header and the arrays of a safetensors file, with sorted metadata.

    The library writes metadata in the random order of a hash map.
    """
    header_size = int.from_bytes(content[:SIZE_BYTES], "little")
    begin = SIZE_BYTES + header_size  # the arrays begin here
    header = json.loads(content[SIZE_BYTES:begin])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))

    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays are aligned to 8 bytes
    return len(text).to_bytes(SIZE_BYTES, "little"), text, memoryview(content)[begin:]


def read_arrays(path: Path, what: str, *, name: str = "") -> tuple[dict[str, str], dict[str, NDArray[np.generic]]]:
    """Read the metadata and arrays of a file from `write_arrays`; verify its digest if it has one."""
    name = name or str(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            if len(file.keys()) > MAX_TENSORS:
                raise CheckpointError(f"{name}: not {what} (found {len(file.keys()):,} tensors)")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        # A truncated download is the usual reason, and is named.
        size = path.stat().st_size if path.is_file() else 0
        complete = _read_complete_size(path)

        if size < complete:
            raise CheckpointError(
                f"{name}: truncated (found {size:,} bytes, expected at least {complete:,})"
            ) from error
        raise CheckpointError(f"{name}: not {what} ({error})") from error

    written = metadata.pop("digest", None)
    computed = digest_of(metadata, arrays)
    if written not in (None, computed):
        raise CheckpointError(
            f"{name}: corrupted (found content with the digest {computed[:12]}, expected {written[:12]})"
        )

    return metadata, arrays


def _read_complete_size(path: Path) -> int:
    """Return the size of a safetensors file according to its header, in bytes; 0 for other files.

    If the header is truncated, the result is the size of the file without arrays.
    """
    try:
        with path.open("rb") as file:
            header_size = int.from_bytes(file.read(SIZE_BYTES), "little")
            header = file.read(min(header_size, MAX_HEADER))

        if not header.startswith(b"{") or header_size > MAX_HEADER:
            return 0
        if len(header) < header_size:
            return SIZE_BYTES + header_size

        # `data_offsets` are the start and the end of an array, counted from the first one.
        arrays = [entry for name, entry in json.loads(header).items() if name != "__metadata__"]
        ends = [int(entry["data_offsets"][1]) for entry in arrays]
        return SIZE_BYTES + header_size + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return 0


def digest_of(metadata: Mapping[str, str], arrays: Arrays) -> str:
    """Return the hexadecimal SHA-256 of metadata and arrays, including their names, dtypes (as of torch) and shapes."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} torch.{array.dtype} {list(array.shape)}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def find_checkpoint(path: str | os.PathLike[str]) -> Path:
    """Find the file of a checkpoint; checkpoints on the hub are downloaded."""
    # A hub model, the folder of a run, an included classifier, then a file; a local file wins over an included name.
    if str(path).startswith(SCHEME):
        return HubRepository.parse(str(path)).download(HUB_WEIGHTS)

    file = Path(path)
    names = shipped_checkpoints()
    if RunFolder(file).best.is_file():
        return RunFolder(file).best
    if not file.is_file() and str(path) in names:
        return SHIPPED / f"{path}{CHECKPOINT_SUFFIX}"

    expected = ", ".join([f"a {CHECKPOINT_SUFFIX} file", "the folder of a run", *names, "hf://USER/NAME"])
    if file.is_dir():
        raise CheckpointError(f"{path}: this folder has no checkpoint (expected {expected})")
    if not file.is_file():
        # The first word of an included name is close enough to suggest it.
        name_of = {name.partition("-")[0]: name for name in names} | {name: name for name in names}
        similar = next(iter(difflib.get_close_matches(str(path), name_of, 1)), None)
        if similar is not None:
            raise CheckpointError(f"{path}: no such checkpoint; did you mean {name_of[similar]}?")
        raise CheckpointError(f"{path}: {explain_missing(file)} (expected {expected})")

    if file.suffix != CHECKPOINT_SUFFIX:
        kind = file.suffix or "nameless"
        swapped = "; the arguments look swapped" if is_video_name(file) else ""
        raise CheckpointError(f"{path}: not a checkpoint (found a {kind} file, expected {expected}){swapped}")

    return file


def pin_checkpoint(path: str | os.PathLike[str]) -> str:
    """Pin a hub checkpoint to its current commit, so later reads use the cache; return other names unchanged."""
    if not str(path).startswith(SCHEME):
        return str(path)

    model = HubRepository.parse(str(path))
    return str(model.pin(model.download(HUB_WEIGHTS)))
