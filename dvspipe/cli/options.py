"""Options shared by several commands, and their parsers."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..base.errors import ConfigError, count_noun, join_names
from .screen import messages, notes

if TYPE_CHECKING:
    from ..base.config import SettingsTree
    from ..events import Region, SensorSize
    from ..formats import Hints
    from ..parallel import Engine, Shard

Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="Folder of recordings, YAML file, or name of an included configuration (see dvspipe configs); or a "
        "KEY=VALUE setting such as data.kind=nmnist, to start from the defaults.",
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings that override CONFIG, such as data.root=DIR.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that already exist.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
Sensor = Annotated[
    str | None, typer.Option("--sensor", metavar="WxH", help="Sensor size, for recordings that do not store it.")
]
Hint = Annotated[
    list[str] | None,
    typer.Option(
        "--hint",
        metavar="KEY=VALUE",
        help="Metadata missing from recordings: time_unit=us, columns=txyp, chip=DVS128, topic=/events. Repeatable.",
    ),
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, metavar="N", help="Number of worker processes; default: 1.")
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray[=ADDRESS]",
        help="Where to run: local processes, or a Ray cluster; default address: the environment variable RAY_ADDRESS, "
        "or a temporary cluster on this machine.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Process only share I of N of the files, assigned by file name; default: the share of the task in a SLURM "
        "array, otherwise all files.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random generators.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="PACKAGE",
        help="Trusted package, installed or in the current folder: configurations and checkpoints may run its code as "
        "a custom network (network.kind=module). Repeatable.",
    ),
]
Start = Annotated[
    float, typer.Option("--start", min=0, metavar="SECONDS", help="Start time, relative to the first event.")
]
Stop = Annotated[
    float | None,
    typer.Option(
        "--stop",
        min=0,
        metavar="SECONDS",
        help="Stop time (exclusive), relative to the first event; default: end of file.",
    ),
]
Roi = Annotated[
    str | None, typer.Option("--roi", metavar="WxH+X+Y", help="Region of the sensor; default: the complete sensor.")
]


SETTINGS_OF = {
    "train": ("training", "TrainConfig", "{}=VALUE"),
    "view": ("report", "PreviewSettings", "--set {}=VALUE"),
    "eval": ("training", "TrainConfig", "{}=VALUE"),
    "infer": ("inference", "InferConfig", "--set {}=VALUE"),
    "live": ("inference", "InferConfig", "--set {}=VALUE"),
    "adapt": ("inference", "InferConfig", "--set {}=VALUE"),
    "convert": ("recordings.conversion", "ConversionSettings", "--set {}=VALUE"),
    "frames": ("report.frames", "FrameSettings", "--set {}=VALUE"),
}
"""Module and class of each command's settings, imported only when needed, and the form of an argument."""
UNIONS = {"data": ("datasets", "DataConfig"), "network": ("networks", "NetworkConfig")}
"""Module and type of each group of settings with kinds."""


def read_config(source: str, overrides: list[str] | None) -> SettingsTree:
    """Read a configuration, or create one for a folder of recordings, and apply overrides.

    Args:
        source: Argument CONFIG; a KEY=VALUE argument stands for the default configuration.
        overrides: Arguments KEY=VALUE.
    """
    from ..base.config import find_left_out, merge_settings, parse_overrides, read_yaml

    if "=" in source and not Path(source).exists():
        return parse_overrides([source, *(overrides or [])])
    given = parse_overrides(overrides or [])
    if is_folder(source):
        from ..datasets import folder_settings

        return merge_settings({"data": folder_settings(Path(source))}, given)
    settings, unions = read_yaml(source), _find_unions(given)
    for group, names in find_left_out(settings, given, unions).items():
        listed = ", ".join(f"{group}.{name}" for name in names)
        kind = cast("SettingsTree", given[group]).get("kind")
        messages.print(f"{group}.kind = {kind}: has no {listed}; not used from {source}")
    return merge_settings(settings, given, unions)


def _find_unions(given: SettingsTree) -> dict[str, object]:
    """Import and return the types of the groups whose kind is set in `given`."""
    return {
        group: getattr(import_module(f"..{module}", __package__), name)
        for group, (module, name) in UNIONS.items()
        if isinstance(settings := given.get(group), dict) and "kind" in settings
    }


def is_folder(config: str) -> bool:
    """Return whether CONFIG is a folder of recordings."""
    return Path(config).expanduser().is_dir()


BEFORE_COMMAND = frozenset({"-q", "--quiet", "-v", "--verbose", "--version"})
"""Options that are valid for all commands, before the command."""


def explain_usage(error: Exception) -> str:
    """Return the message of a typer error; for unknown options, suggest options or settings."""
    assert hasattr(error, "format_message")
    message: str = error.format_message()
    if type(error.__cause__).__name__ == "ValidationError":
        from ..base.config import explain_value

        wrong = error.__cause__.errors()[0]  # type: ignore[union-attr]
        given = str(wrong["input"])
        why = "not a number" if given.lower() == "nan" else explain_value(wrong)
        return message.replace(error.message, f"{given}: {why}")  # type: ignore[attr-defined]
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if context is not None and message.startswith("No such command"):
        return f"{message} {context.command_path} --help lists the commands"
    if context is not None and message.startswith("Missing argument"):
        return f"{message} Expected: {context.get_usage().partition(': ')[2].strip()}"
    if option is None or context is None:
        return message
    if option in BEFORE_COMMAND:
        return f"{message}; place it before the command: dvspipe {option} {context.command.name}"
    module, model, form = SETTINGS_OF.get(context.command.name, ("", "", ""))
    if not module:
        return message
    from ..base.config import suggest_settings

    settings = getattr(import_module(f"..{module}", __package__), model)
    suggested = [form.format(name) for name in suggest_settings(settings, option.strip("-").replace("-", "_"))]
    return f"{message}; did you mean the setting {join_names(suggested)}?" if suggested else message


def choose_engine(jobs: int | None, engine: str, default_jobs: int = 1) -> Engine:
    """Create the engine for the options --jobs and --engine.

    Raises:
        ConfigError: If the options contradict each other, or the engine is unknown.
    """
    from ..parallel import Processes
    from ..parallel.cluster import Ray

    name, _, address = engine.partition("=")
    if name == "ray":
        if jobs is not None:
            raise ConfigError("--jobs: only for --engine local; a Ray cluster uses one worker per core")
        return Ray(address or None)
    if engine != "local":
        raise ConfigError(f"--engine {engine}: unknown, expected local, integer (of infer), ray or ray=ADDRESS")
    return Processes(default_jobs if jobs is None else jobs)


def parse_shard(text: str | None) -> Shard:
    """Return the shard of the option --shard; default: the shard of the task in a SLURM array, otherwise all files."""
    from ..parallel import ALL, Shard

    return Shard.parse(text) if text else Shard.of_array(os.environ) or ALL


def parse_bytes(text: str) -> int:
    """Convert a size such as 256MB or 1GiB to bytes.

    Raises:
        ConfigError: If the text is not a size, or not positive.
    """
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError as error:
        raise ConfigError(
            f"{text}: not a size (expected a number of bytes, or a number with a unit, such as 256MB)"
        ) from error
    if size <= 0:
        raise ConfigError(f"{text}: size too small (expected at least 1 byte)")
    return size


def note_shard(shard: Shard, files: int) -> None:
    """Print the shard and its number of files, unless it contains all files."""
    if shard.count > 1 and not notes.quiet:
        messages.print(f"shard {shard}: {count_noun(files, 'file')}")  # standard output may be JSON


def trust_packages(packages: list[str] | None) -> tuple[str, ...]:
    """Return the packages of --trust, and make packages in the current folder importable, after installed ones."""
    if packages and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return tuple(packages or ())


def parse_sensor(text: str | None) -> SensorSize | None:
    """Parse the option --sensor."""
    from ..events import SensorSize

    return SensorSize.parse(text) if text else None


def parse_hints(given: list[str] | None) -> Hints:
    """Parse the options --hint."""
    from ..base.config import build, parse_overrides
    from ..formats import Hints

    hints = {key: str(value) for key, value in parse_overrides(given or []).items()}
    known = Hints.model_fields
    unknown = [key for key in hints if key not in known]
    if unknown:
        raise ConfigError(f"--hint {unknown[0]}: unknown, expected {', '.join(known)}")
    return build(Hints, hints, "--hint")


def parse_region(text: str | None) -> Region | None:
    """Parse the option --roi."""
    from ..events import Region

    return Region.parse(text) if text else None


def to_us(milliseconds: float | None) -> int | None:
    """Convert a time from milliseconds to microseconds, at least 1."""
    return None if milliseconds is None else max(1, round(milliseconds * 1000))
