"""Starting points of a training: its own state after a stop, or the weights of a checkpoint, both in safetensors.

A stopped run continues with its `TrainingState` (`find_state`), if its configuration still fits (`check_config`). A new
run starts with the weights of `init` (`load_initial_weights`), if the network is the same except for its classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, JsonValue, TypeAdapter, ValidationError
from torch import Tensor

from ..base.errors import CheckpointError, ConfigError, FileError, shorten
from ..base.files import read_bytes
from ..base.settings import find_differences
from ..checkpoints.checkpoint import Checkpoint, ClassifierConfig, read_tensors, write_tensors
from ..datasets import AugmentConfig, VaryConfig
from ..networks import Network
from ..results import EpochRow, RunFolder
from .config import TrainConfig

Difference = tuple[str, JsonValue, JsonValue]
"""Name of a setting, and its values before and now."""

FORMAT = "dvspipe-training-3"
NETWORK = "network."
AVERAGE = "average."
OPTIMISER = "optimiser."
CHANGEABLE = frozenset(
    {
        *("name", "device", "jobs", "tensorboard", "download", "split", "cache", "views"),
        *("epochs", "batch", "accumulate", "learning_rate", "schedule", "warm_up", "weight_decay", "clip_norm"),
        *("truncate", "segment", "patience", "precision"),
        *VaryConfig.model_fields,
        *AugmentConfig.model_fields,
    }
)
"""Settings that may change when a run resumes; the others define its network, task and loss."""
FOLDERS = ("root", "test_root")
"""Settings that are not compared: `datasets.check_split` checks that the recordings are the same, at any place."""
MAX_LISTED = 5  # differing settings in a message
MAX_VALUE = 40  # characters of their values
ROWS = TypeAdapter(Annotated[tuple[EpochRow, ...], Field(min_length=1)])
FREE_TO_DIFFER = {
    *("classes", "framing", "hop_us", "trained_on", "temperature", "calibrated_on", "least_energy"),
    *("dropout", "detach_reset"),
}  # settings that may differ between classifiers with shared weights


@dataclass(frozen=True)
class TrainingState:
    """State of a training after an epoch."""

    rows: tuple[EpochRow, ...]
    step: int
    network: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]

    @property
    def epoch(self) -> int:
        """Last complete epoch."""
        return self.rows[-1].epoch

    def save(self, path: Path) -> None:
        """Write the state, complete or not at all."""
        groups = ((NETWORK, self.network), (AVERAGE, self.average), (OPTIMISER, self.optimiser))
        tensors = {prefix + name: tensor for prefix, group in groups for name, tensor in group.items()}

        rows = ROWS.dump_json(self.rows).decode()
        write_tensors(path, {"format": FORMAT, "step": str(self.step), "rows": rows}, tensors)

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """Read a state written by `save`."""
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file (expected the state of the training); start a new run")

        groups: dict[str, dict[str, Tensor]] = {NETWORK: {}, AVERAGE: {}, OPTIMISER: {}}
        texts, tensors = read_tensors(path, "the state of a training")
        if texts.get("format") != FORMAT:
            raise CheckpointError(f"{path}: wrong format (found {texts.get('format')!r}, expected {FORMAT!r})")

        try:
            for name, tensor in tensors.items():
                prefix = name.partition(".")[0] + "."
                groups[prefix][name.removeprefix(prefix)] = tensor
            rows = ROWS.validate_json(texts["rows"])
            step = int(texts["step"])
        except (KeyError, ValueError, ValidationError) as error:
            raise CheckpointError(f"{path}: not the state of a training ({' '.join(str(error).split())})") from error

        return cls(rows, step, groups[NETWORK], groups[AVERAGE], groups[OPTIMISER])


def find_state(folder: RunFolder) -> TrainingState | None:
    """Read the state of a run, or return None if its first epoch is not complete."""
    rows = len(read_bytes(folder.epochs).splitlines()) if folder.epochs.is_file() else 0
    if rows <= 1 and not folder.state.is_file():
        return None  # an epoch's row is written before its state
    return TrainingState.load(folder.state)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser as named tensors."""
    return {
        f"{number}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore the tensors from `optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor

    # Only the state of the optimiser is restored: the configuration, which may have changed, has its settings.
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


def read_run(
    run: RunFolder, settings: Mapping[str, JsonValue] | None = None, *, recordings: Path | None = None
) -> TrainConfig:
    """Read the configuration of a run to resume.

    Args:
        run: Run folder.
        settings: Settings that take precedence.
        recordings: Folder of the recordings; None: as stored.
    """
    if not run.config.is_file():
        raise FileError(f"{run.path}: no run to resume (expected a run folder with {run.config.name})")

    placed = {} if recordings is None else {"root": str(recordings)}
    return TrainConfig.read(run.config, {**placed, **(settings or {})})


def check_config(config: TrainConfig, run: RunFolder, *, changed: bool) -> list[Difference]:
    """Check that a run resumes with the configuration that it was started with; its folders may have another path.

    Returns:
        Settings that differ, none unless `changed`.
    """
    before = read_run(run)
    found = find_differences(before.to_record(), config.to_record())
    differences = [(name, old, now) for name, old, now in found if name not in FOLDERS]
    forbidden = [(name, old, now) for name, old, now in differences if name not in CHANGEABLE]
    listed = _list_differences(forbidden or differences, "before", "now")
    if forbidden:
        raise ConfigError(
            f"{run.config}: these settings cannot change when a run resumes: {listed}; start a new run, "
            "or fine-tune with init=CHECKPOINT if bins and network are the same"
        )

    if differences and not changed:
        raise ConfigError(
            f"{run.config}: the run was started with other settings: {listed}; use changed to resume with the new "
            "settings"
        )

    return differences


def describe_changes(differences: Sequence[Difference]) -> str:
    """Describe the changed settings of a resumed run, as a comment to its command."""
    listed = ", ".join(f"{key}={now} ({old} before)" for key, old, now in differences)
    return f"  # resumed with other settings: {listed}" if listed else ""


def load_initial_weights(
    init: Checkpoint, classifier: ClassifierConfig, network: Network, *, name: str
) -> ClassifierConfig:
    """Load the weights of a checkpoint into `network`, in place; return `classifier` as trained on the data of both.

    The last linear layer is not loaded if the classes differ.
    """
    before, trained = init
    there = _dump_shared(before)
    here = _dump_shared(classifier)
    if differences := find_differences(there, here):
        listed = _list_differences(differences, "there", "here")
        raise ConfigError(f"init = {name}: trained with another configuration: {listed}")

    if classifier.network.network == "module" and before.classes != classifier.classes:
        raise ConfigError(
            f"init = {name}: has other classes (found {', '.join(before.classes)}, expected "
            f"{', '.join(classifier.classes)}); weights of network = module cannot be adapted to them"
        )

    last = () if before.classes == classifier.classes else network.of_classes
    weights = {name: tensor for name, tensor in trained.state_dict().items() if name not in last}
    network.load_state_dict(weights, strict=not last)

    return classifier.model_copy(update={"trained_on": f"{before.trained_on}; then {classifier.trained_on}"})


def _dump_shared(classifier: ClassifierConfig) -> dict[str, JsonValue]:
    """Return the configuration without settings that may differ between classifiers with shared weights."""
    record = classifier.model_dump(mode="json") | classifier.network.to_record() | classifier.bins.to_record()
    return {name: value for name, value in record.items() if name not in (*FREE_TO_DIFFER, "bins")}


def _list_differences(differences: Sequence[Difference], old: str, new: str) -> str:
    """List at most MAX_LISTED differing settings with both values, each followed by `old` or `new`."""
    listed = [
        f"{key} = {shorten(str(was), MAX_VALUE)} {old}, {shorten(str(now), MAX_VALUE)} {new}"
        for key, was, now in differences[:MAX_LISTED]
    ]

    more = len(differences) - MAX_LISTED
    return "; ".join([*listed, f"and {more} more"] if more > 0 else listed)
