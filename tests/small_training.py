"""Settings and stops of trainings that take about a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dvspipe.base.progress import CurrentStep
from dvspipe.checkpoints.checkpoint import load_checkpoint
from dvspipe.results import EpochRow, RunFolder
from dvspipe.training import TrainConfig

SMALL: dict[str, Any] = {
    "jobs": 1,
    "steps": 5,
    "step_us": 20_000,
    "channels": [6],
    "kernel": 3,
    "tau_mem_s": 0.04,
    "shift_px": 1,
    "epochs": 4,
    "batch": 8,
    "learning_rate": 0.02,
}
ONLINE: dict[str, Any] = {
    "norm": "weight",
    "reset": "subtract",
    "detach_reset": True,
    "dropout": 0.2,
    "epochs": 3,
    "loss": "each_step",
}


def config_for(folder: Path, **over: Any) -> TrainConfig:
    """Return a short training on a folder; settings that do not apply to the network are left out."""
    settings = SMALL | {"root": str(folder)} | over
    unused = TrainConfig.find_unused(settings).keys() - over
    return TrainConfig.model_validate({name: value for name, value in settings.items() if name not in unused})


def weights_of(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """Return the weights of a run."""
    return load_checkpoint(getattr(RunFolder(folder), name))[1].state_dict()


def same_weights(first: Path, second: Path, name: str = "last") -> bool:
    """Return whether two runs have bit-identical weights."""
    ours = weights_of(first, name)
    theirs = weights_of(second, name)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a folder by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Killed:
    """Progress callback that stops a run in the middle of an epoch; as `on_epoch`, right after the epoch is stored."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, *_: float) -> None: ...

    def show_step(self, done: float, _total: float, step: CurrentStep) -> None:
        """Stop in the middle of the epoch."""
        if step.names == ("epochs",) and self.epoch - 1 < done < self.epoch:
            raise KeyboardInterrupt

    def after(self, row: EpochRow) -> None:
        """Stop after the epoch."""
        if row.epoch == self.epoch:
            raise KeyboardInterrupt
