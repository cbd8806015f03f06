"""Starting points of a training: its own state after a stop, or the weights of a checkpoint, both in safetensors.

A stopped run continues with its settings (`read_run`) and its `TrainingState` (`find_state`). A new run starts with the
weights of `init` (`load_initial_weights`), if the network is the same except for its classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, JsonValue, TypeAdapter
from torch import Tensor, nn

from ..base.errors import CheckpointError, ConfigError, FileError
from ..base.files import read_bytes
from ..base.settings import find_differences, show_settings
from ..checkpoints.checkpoint import Checkpoint, ClassifierConfig, read_tensors, write_tensors
from ..networks import list_layers
from ..results import EpochRow, RunFolder
from .config import TrainConfig

FORMAT = "dvspipe-training-3"
FOLDERS = ("root", "test_root")
"""Settings that may change: `restore_split` checks that the recordings are the same, at any place."""
ROWS = TypeAdapter(Annotated[tuple[EpochRow, ...], Field(min_length=1)])
ONLY_TRAINING = ("dropout", "detach_reset")  # settings of networks that change only their training


@dataclass(frozen=True)
class TrainingState:
    """State of a training after an epoch.

    Args:
        rows: Metrics of the complete epochs.
        step: Optimiser steps so far.
        tensors: State of the network, of the moving average of its weights, and of the optimiser; see `part`.
    """

    rows: tuple[EpochRow, ...]
    step: int
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of `network`, `average` or `optimiser`."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): tensor for key, tensor in self.tensors.items() if key.startswith(prefix)}

    def save(self, path: Path) -> None:
        """Write the state, complete or not at all."""
        rows = ROWS.dump_json(self.rows).decode()
        write_tensors(path, {"format": FORMAT, "step": str(self.step), "rows": rows}, self.tensors)

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """Read a state written by `save`."""
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file (expected the state of the training); start a new run")

        texts, tensors = read_tensors(path, "the state of a training")
        if texts.get("format") != FORMAT:
            raise CheckpointError(f"{path}: wrong format (found {texts.get('format')!r}, expected {FORMAT!r})")

        try:
            return cls(ROWS.validate_json(texts["rows"]), int(texts["step"]), tensors)
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{path}: not the state of a training ({' '.join(str(error).split())})") from error


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

    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


def read_run(folder: RunFolder, given: TrainConfig) -> TrainConfig:
    """Return the settings of a run to resume; only the folders of its recordings may have another path.

    Raises:
        FileError: If the folder has no run.
        ConfigError: If settings are given that differ; the message names them.
    """
    if not folder.config.is_file():
        raise FileError(f"{folder.path}: no run to resume (expected a run folder with {folder.config.name})")

    stored = TrainConfig.read(folder.config)
    moved = {name: value for name, value in given.given.items() if name in FOLDERS}
    settings = stored.model_dump(mode="json")
    differing = {
        name: value
        for name, value in given.model_dump(mode="json", exclude_unset=True).items()
        if name not in FOLDERS and value != settings[name]
    }
    if differing:
        raise ConfigError(
            f"{folder.config}: a run resumes with its own settings (found {show_settings(differing)}, expected "
            f"{show_settings({name: settings[name] for name in differing})}); start a new run, or fine-tune with init"
        )
    return stored.model_copy(update=moved)


def load_initial_weights(
    init: Checkpoint, classifier: ClassifierConfig, network: nn.Module, *, name: str
) -> ClassifierConfig:
    """Load the weights of a checkpoint into `network`, in place; return `classifier` as trained on the data of both.

    The last linear layer is not loaded if the classes differ.
    """
    before, trained = init
    differences = find_differences(_dump_shared(before), _dump_shared(classifier))
    if differences:
        listed = "; ".join(f"{key} = {there} there, {here} here" for key, there, here in differences)
        raise ConfigError(f"init = {name}: trained with another network or other bins: {listed}")

    is_own = classifier.network.network == "module"
    if is_own and before.classes != classifier.classes:
        raise ConfigError(
            f"init = {name}: has other classes (found {', '.join(before.classes)}, expected "
            f"{', '.join(classifier.classes)}); weights of network = module cannot be adapted to them"
        )

    weights = trained.state_dict()
    has_new_classes = before.classes != classifier.classes
    if has_new_classes:
        last = list_layers(network)[-1].index
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(f"{last}.")}
    network.load_state_dict(weights, strict=not has_new_classes)

    return classifier.model_copy(update={"trained_on": f"{before.trained_on}; then {classifier.trained_on}"})


def _dump_shared(classifier: ClassifierConfig) -> dict[str, JsonValue]:
    """Return the settings that classifiers with shared weights have in common."""
    settings = classifier.network.to_record() | classifier.bins.to_record()
    shared = {name: value for name, value in settings.items() if name not in ONLY_TRAINING}
    return {"sensor": str(classifier.sensor), "inputs": classifier.inputs} | shared
