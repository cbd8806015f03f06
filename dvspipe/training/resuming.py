"""What a training goes on from: its own tensors after a stop, all in safetensors, or the weights of a checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from ..checkpoint import ClassifierConfig, load_checkpoint, read_tensors, write_tensors
from ..config import build
from ..errors import CheckpointError, ConfigError
from ..files import write_beside
from ..networks import SpikingNetwork
from .config import TrainConfig

FORMAT = "dvspipe-training-1"
NETWORK, AVERAGE, OPTIMISER = "network.", "average.", "optimiser."
CHANGEABLE = (
    "name", "device", "jobs", "tensorboard", "augment", "data.root", "data.test_root", "data.download", "data.split",
    "data.cache", "data.views", "data.vary", "optimiser.epochs", "optimiser.batch", "optimiser.accumulate",
    "optimiser.learning_rate", "optimiser.schedule", "optimiser.warm_up", "optimiser.weight_decay",
    "optimiser.clip_norm", "optimiser.truncate", "optimiser.patience", "optimiser.precision",
)  # fmt: skip
"""Settings, or groups of them, that a run may change on its way; the others say what network, task and loss it has.
Where the data lie may be said otherwise: that they are the same is for `datasets.check_split`."""
FREE_TO_DIFFER = dict.fromkeys(("classes", "trained_on", "temperature"))  # of classifiers that share weights


@dataclass
class Progress:
    """Where a training stands after an epoch.

    Args:
        epoch: The last complete epoch.
        step: Steps of the optimiser so far.
        best: The record of the best epoch so far.
        network: The network's tensors.
        average: Those of the moving average of its weights, or none.
        optimiser: The optimiser's tensors: `<parameter's number>.<name>`.
    """

    epoch: int
    step: int
    best: dict[str, float]
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Tensor]

    def save(self, path: Path) -> None:
        """Writes it, complete or not at all.

        Raises:
            FileError: The file cannot be written.
        """
        tensors = {
            prefix + name: tensor
            for prefix, group in ((NETWORK, self.network), (AVERAGE, self.average), (OPTIMISER, self.optimiser))
            for name, tensor in group.items()
        }
        about = {"format": FORMAT, "epoch": str(self.epoch), "step": str(self.step), "best": json.dumps(self.best)}
        write_tensors(path, about, tensors)

    @classmethod
    def load(cls, path: Path) -> Progress:
        """What `save` wrote.

        Raises:
            CheckpointError: The file is missing, or something else.
        """
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file, from which the training could go on; begin a new run")
        groups: dict[str, dict[str, Tensor]] = {NETWORK: {}, AVERAGE: {}, OPTIMISER: {}}
        about, tensors = read_tensors(path, "the state of a training")
        if about.get("format") != FORMAT:
            raise CheckpointError(f"{path}: has the format {about.get('format')!r}, expected {FORMAT!r}")
        try:
            for name, tensor in tensors.items():
                prefix = name.partition(".")[0] + "."
                groups[prefix][name.removeprefix(prefix)] = tensor
            best = json.loads(about["best"])
            return cls(
                int(about["epoch"]), int(about["step"]), best, groups[NETWORK], groups[AVERAGE], groups[OPTIMISER]
            )
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{path}: not the state of a training ({error})") from error


def find_progress(folder: Path) -> Progress | None:
    """Where the run in a folder stands, or None ahead of the end of its first epoch.

    Raises:
        CheckpointError: It is further, and its state is missing or something else.
    """
    state, records = folder / "weights" / "state.safetensors", folder / "metrics.jsonl"
    epochs = len(records.read_text(encoding="utf-8").splitlines()) if records.is_file() else 0
    if epochs <= 1 and not state.is_file():
        return None  # the record of an epoch is written ahead of its state
    return Progress.load(state)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as named tensors."""
    return {
        f"{number}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts the tensors of `optimiser_tensors` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


def check_config(config: TrainConfig, path: Path, *, changed: bool) -> None:
    """Makes sure that a run goes on with the configuration that it began with.

    Args:
        config: With which it is to go on.
        path: Its args.yaml.
        changed: Whether what is CHANGEABLE may differ.

    Raises:
        ConfigError: It does not; names the differences.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read, so that the run cannot go on ({error})") from error
    before = build(TrainConfig, content if isinstance(content, dict) else {}, str(path))
    differing = _differing("", before.model_dump(mode="json"), config.model_dump(mode="json"))
    fixed = [found for found in differing if not f"{found[0]}.".startswith(tuple(f"{key}." for key in CHANGEABLE))]
    told = "; ".join(f"{key} = {_text(old)} was, {_text(new)} is now" for key, old, new in fixed or differing)
    if fixed:
        raise ConfigError(
            f"{path}: the run began with another configuration, which --changed cannot change either: {told}; begin a "
            "new run (init=CHECKPOINT learns on, with the same bins and network)"
        )
    if differing and not changed:
        raise ConfigError(f"{path}: the run began with another configuration: {told}; --changed goes on all the same")


def learn_on(checkpoint: str, classifier: ClassifierConfig, network: SpikingNetwork) -> ClassifierConfig:
    """Gives a network the weights of a checkpoint, those of the last linear layer only where the classes are the same.

    Returns:
        The classifier, which tells what was learned from before.

    Raises:
        CheckpointError: The file is missing or damaged.
        ConfigError: It is of another sensor, other bins or another network; names every difference.
    """
    before, learned = load_checkpoint(checkpoint)
    there, here = ({**each.model_dump(mode="json"), **FREE_TO_DIFFER} for each in (before, classifier))
    for each in (there, here):
        each["network"] = {**each["network"], "dropout": None}
    differences = [f"{key} = {_text(old)} there, {_text(new)} here" for key, old, new in _differing("", there, here)]
    if differences:
        raise ConfigError(f"init = {checkpoint}: learned with another configuration: {'; '.join(differences)}")
    last = () if before.classes == classifier.classes else ("linear.weight", "linear.bias")
    weights = {name: tensor for name, tensor in learned.state_dict().items() if name not in last}
    network.load_state_dict(weights, strict=not last)
    return classifier.model_copy(update={"trained_on": f"{before.trained_on}; then {classifier.trained_on}"})


def _differing(prefix: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    found = []
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _differing(f"{prefix}{key}.", old, new)
        elif old != new:
            found.append((prefix + key, old, new))
    return found


def _text(value: Any) -> str:
    return json.dumps(value)


def cut_records(folder: Path, epoch: int) -> None:
    """Takes from results.csv and metrics.jsonl what stands behind an epoch: written, but not complete."""
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        heading, *rows = list(csv.reader(file))
    kept = [row for row in rows if len(row) == len(heading) and float(row[0]) <= epoch]
    with write_beside(folder / "results.csv") as beside, beside.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([heading, *kept])
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    with write_beside(folder / "metrics.jsonl") as beside:
        beside.write_text("".join(f"{line}\n" for line in lines[: len(kept)]), encoding="utf-8")
