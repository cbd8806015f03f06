"""Options shared by several commands, and their parsers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ..base.errors import count_noun
from .screen import messages, notes

if TYPE_CHECKING:
    from ..base.pool import Shard
    from ..base.trees import SettingsTree
    from ..training import TrainConfig

RecordingFiles = Annotated[list[Path], Parameter(help="Recordings.")]
Config = Annotated[
    str,
    Parameter(
        help="Folder of recordings, YAML file, or name of an included configuration (see dvspipe configs); or a "
        "KEY=VALUE setting such as data.kind=nmnist, to start from the defaults."
    ),
]
Overrides = Annotated[
    list[str] | None, Parameter(name="KEY=VALUE", help="Settings that override CONFIG, such as data.root=DIR.")
]
Overwrite = Annotated[bool, Parameter(show_default=False, help="Replace outputs that already exist.")]
AsJson = Annotated[bool, Parameter(name="--json", show_default=False, help="Print results as JSON.")]
JobCount = Annotated[
    int | str,
    Parameter(
        alias="-j",
        metavar="N|ray",
        help="Number of worker processes, or the address of a Ray cluster: ray, or ray://HOST:PORT.",
    ),
]
ShardName = Annotated[
    str | None,
    Parameter(
        metavar="I/N",
        help="Process only share I of N of the files, assigned by file name; default: the share of the task in a SLURM "
        "array, otherwise all files.",
    ),
]
Seed = Annotated[int, Parameter(validator=Number(gte=0), help="Seed of the random generators.")]
Trust = Annotated[
    list[str] | None,
    Parameter(
        metavar="PACKAGE",
        help="Trusted package, installed or in the current folder: configurations and checkpoints may run its code as "
        "a custom network (network.kind=module). Repeatable.",
    ),
]


def read_config(source: str, overrides: list[str] | None) -> TrainConfig:
    """Read a configuration, or create one for a folder of recordings, and apply overrides.

    Args:
        source: Argument CONFIG; a KEY=VALUE argument stands for the default configuration.
        overrides: Arguments KEY=VALUE.
    """
    from ..base.config import build
    from ..base.overrides import parse_overrides
    from ..base.trees import merge_settings
    from ..training import TrainConfig

    if "=" in source and not Path(source).exists():
        return build(TrainConfig, read_overrides([source, *(overrides or [])]), source)

    if is_folder(source):
        from ..datasets import folder_settings

        given = merge_settings({"data": folder_settings(source)}, read_overrides(overrides))
        return build(TrainConfig, given, source)
    return TrainConfig.read(source, parse_overrides(overrides or []))


def read_overrides(overrides: list[str] | None) -> SettingsTree:
    """Read the arguments KEY=VALUE; a key is the full name of a setting, or its last part, as in `dvspipe.train`."""
    from ..base.config import plain_settings
    from ..base.overrides import parse_overrides
    from ..training import TrainConfig

    return plain_settings(TrainConfig, parse_overrides(overrides or []))


def is_folder(config: str) -> bool:
    """Return whether CONFIG is a folder of recordings."""
    return Path(config).expanduser().is_dir()


def parse_shard(text: str | None) -> Shard:
    """Return the shard of the option --shard; default: the shard of the task in a SLURM array, otherwise all files."""
    from ..base.pool import ALL, Shard

    return Shard.parse(text) if text else Shard.of_array(os.environ) or ALL


def note_shard(shard: Shard, files: int) -> None:
    """Print the shard and its number of files, unless it contains all files."""
    if shard.count > 1 and not notes.quiet:
        messages.print(f"shard {shard}: {count_noun(files, 'file')}")  # standard output may be JSON
