"""From where a training continues: its own state after a stop, or the weights of a checkpoint. All in safetensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, JsonValue, TypeAdapter, ValidationError
from torch import Tensor

from ..checkpoints.checkpoint import Checkpoint, ClassifierConfig, read_tensors, write_tensors
from ..config import find_differences, read_stored, show_value
from ..errors import CheckpointError, ConfigError, Remedy
from ..files import read_bytes
from ..networks import Network
from ..results import EpochRow, RunFolder
from .config import TrainConfig

FORMAT = "dvspipe-training-3"
NETWORK, AVERAGE, OPTIMISER = "network.", "average.", "optimiser."
CHANGEABLE = (
    "name",
    "device",
    "jobs",
    "tensorboard",
    "augment",
    "data.root",
    "data.test_root",
    "data.download",
    "data.split",
    "data.cache",
    "data.views",
    "data.vary",
    "optimiser.epochs",
    "optimiser.batch",
    "optimiser.accumulate",
    "optimiser.learning_rate",
    "optimiser.schedule",
    "optimiser.warm_up",
    "optimiser.weight_decay",
    "optimiser.clip_norm",
    "optimiser.truncate",
    "optimiser.segment",
    "optimiser.patience",
    "optimiser.precision",
)
"""Settings, or groups of them, that may change when a run resumes; the others define its network, task and loss. The
folder of the data may change: `datasets.check_split` checks that the recordings are the same."""
ROWS = TypeAdapter(Annotated[tuple[EpochRow, ...], Field(min_length=1)])
FREE_TO_DIFFER: dict[str, bool | set[str]] = {
    "classes": True,
    "framing": True,
    "hop_us": True,
    "trained_on": True,
    "temperature": True,
    "calibrated_on": True,
    "least_energy": True,
    "network": {"dropout", "detach_reset"},
}  # of classifiers that share weights


@dataclass(frozen=True)
class TrainingState:
    """The state of a training after an epoch.

    Args:
        rows: All complete epochs, at least one.
        step: Steps of the optimiser so far.
        network: Tensors of the network.
        average: Tensors of the moving average of its weights; empty without one.
        optimiser: Tensors of the optimiser, `<number of the parameter>.<name>`.
    """

    rows: tuple[EpochRow, ...]
    step: int
    network: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]

    @property
    def epoch(self) -> int:
        """The last complete epoch."""
        return self.rows[-1].epoch

    def save(self, path: Path) -> None:
        """Write the state, complete or not at all.

        Raises:
            FileError: The file cannot be written.
        """
        tensors = {
            prefix + name: tensor
            for prefix, group in ((NETWORK, self.network), (AVERAGE, self.average), (OPTIMISER, self.optimiser))
            for name, tensor in group.items()
        }
        rows = ROWS.dump_json(self.rows).decode()
        write_tensors(path, {"format": FORMAT, "step": str(self.step), "rows": rows}, tensors)

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """Return the state that `save` wrote.

        Raises:
            CheckpointError: The file is missing, or holds something else.
        """
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file, expected the state of the training; start a new run")
        groups: dict[str, dict[str, Tensor]] = {NETWORK: {}, AVERAGE: {}, OPTIMISER: {}}
        texts, tensors = read_tensors(path, "the state of a training")
        if texts.get("format") != FORMAT:
            raise CheckpointError(f"{path}: has the format {texts.get('format')!r}, expected {FORMAT!r}")
        try:
            for name, tensor in tensors.items():
                prefix = name.partition(".")[0] + "."
                groups[prefix][name.removeprefix(prefix)] = tensor
            rows, step = ROWS.validate_json(texts["rows"]), int(texts["step"])
        except (KeyError, ValueError, ValidationError) as error:
            raise CheckpointError(f"{path}: not the state of a training ({' '.join(str(error).split())})") from error
        return cls(rows, step, groups[NETWORK], groups[AVERAGE], groups[OPTIMISER])


def find_state(folder: RunFolder) -> TrainingState | None:
    """Return the state of the run in a folder, or None if its first epoch is not complete.

    Raises:
        CheckpointError: Later epochs are complete, but the state is missing or holds something else.
    """
    rows = len(read_bytes(folder.epochs).splitlines()) if folder.epochs.is_file() else 0
    if rows <= 1 and not folder.state.is_file():
        return None  # the row of an epoch is written before its state
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
    """Restore the tensors that `optimiser_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


def check_config(config: TrainConfig, path: Path, *, changed: bool) -> None:
    """Check that a run resumes with the configuration that it was started with.

    Args:
        config: The configuration to resume with.
        path: The run's args.yaml.
        changed: Whether the settings in CHANGEABLE may differ.

    Raises:
        ConfigError: Other settings differ; names them.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file, expected the configuration of the run to resume")
    before = read_stored(TrainConfig, path)
    differing = find_differences(before.model_dump(mode="json"), config.model_dump(mode="json"))
    fixed = [found for found in differing if not f"{found[0]}.".startswith(tuple(f"{key}." for key in CHANGEABLE))]
    listed = _list_differences(fixed or differing, "before", "now")
    if fixed:
        raise ConfigError(
            f"{path}: the run was started with settings that cannot change: {listed}; start a new run, which "
            "init=CHECKPOINT fine-tunes if it has the same bins and network"
        )
    if differing and not changed:
        remedy = Remedy("changed", True, "resume with the settings of now")
        raise ConfigError(f"{path}: the run was started with other settings: {listed}", remedy)


def load_initial_weights(
    init: Checkpoint, classifier: ClassifierConfig, network: Network, *, name: str
) -> ClassifierConfig:
    """Load the weights of a checkpoint into a network, those of the last linear layer only if the classes are the same.

    Args:
        init: The checkpoint.
        classifier: What the network is.
        network: It gets the weights.
        name: Of the checkpoint, for errors.

    Returns:
        The classifier, with what the checkpoint was trained on.

    Raises:
        ConfigError: It has another sensor, other bins or another network; names every difference. Or the network is a
            module, and the classes differ.
    """
    before, trained, _ = init
    there, here = _comparable(before), _comparable(classifier)
    if differences := find_differences(there, here):
        listed = _list_differences(differences, "there", "here")
        raise ConfigError(f"init = {name}: trained with another configuration: {listed}")
    if classifier.network.kind == "module" and before.classes != classifier.classes:
        raise ConfigError(
            f"init = {name}: has other classes, and which weights of network.kind = module depend on them is not known "
            f"(found {', '.join(before.classes)}, expected {', '.join(classifier.classes)})"
        )
    last = () if before.classes == classifier.classes else network.of_classes
    weights = {name: tensor for name, tensor in trained.state_dict().items() if name not in last}
    network.load_state_dict(weights, strict=not last)
    return classifier.model_copy(update={"trained_on": f"{before.trained_on}; then {classifier.trained_on}"})


def _comparable(classifier: ClassifierConfig) -> dict[str, JsonValue]:
    """Return the configuration without what may differ between classifiers that share weights."""
    return classifier.model_dump(mode="json", exclude=FREE_TO_DIFFER)


def _list_differences(differences: Sequence[tuple[str, JsonValue, JsonValue]], old: str, new: str) -> str:
    """Return settings that differ, with both values and a word after each of them."""
    return "; ".join(f"{key} = {show_value(was)} {old}, {show_value(now)} {new}" for key, was, now in differences)
