"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import ConfigError, count_noun, join_names
from .screen import messages, notes

if TYPE_CHECKING:
    from ..config import SettingsTree
    from ..events import Region, SensorSize
    from ..formats import Hints
    from ..parallel import Engine, Shard

Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A folder of recordings, a YAML file, or the name of a shipped configuration (dvspipe configs); "
        "may be left out before data.kind=...",
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings that replace those of CONFIG: data.root=DIR.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that already exist.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Sensor = Annotated[
    str | None, typer.Option("--sensor", metavar="WxH", help="Sensor size of recordings that do not name it.")
]
Hint = Annotated[
    list[str] | None,
    typer.Option(
        "--hint",
        metavar="KEY=VALUE",
        help="What a recording does not say: time_unit=us, columns=txyp, chip=DVS128, topic=/events. Repeatable.",
    ),
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, metavar="N", help="Number of processes; default: 1.")
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray[=ADDRESS]",
        help="This machine, or the cores of a Ray cluster; default address: RAY_ADDRESS, or else a cluster on this "
        "machine, started for the command.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Share I of N of the files, by their names; default: in a SLURM array, the share of the task, else all.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="PACKAGE",
        help="Package whose code may run, for a network of your own (network.kind=module), which a configuration or "
        "checkpoint names; also of the current folder. Repeatable.",
    ),
]
Start = Annotated[float, typer.Option("--start", min=0, metavar="SECONDS", help="Start time, from the first event on.")]
Stop = Annotated[
    float | None,
    typer.Option(
        "--stop", min=0, metavar="SECONDS", help="Stop time (exclusive), from the first event on; default: end."
    ),
]
Roi = Annotated[str | None, typer.Option("--roi", metavar="WxH+X+Y", help="Region of the sensor; default: all of it.")]


SETTINGS_OF = {
    "train": ("training", "TrainConfig", "{}=VALUE"),
    "view": ("report", "PreviewSettings", "--set {}=VALUE"),
    "eval": ("training", "TrainConfig", "{}=VALUE"),
    "infer": ("inference", "InferConfig", "--set {}=VALUE"),
    "adapt": ("inference", "InferConfig", "--set {}=VALUE"),
    "convert": ("recordings.settings", "ConversionSettings", "--set {}=VALUE"),
}
"""Module and name of the settings of a command, imported only when they are needed, and how one is given."""
UNIONS = {"data": ("datasets", "DataConfig"), "network": ("networks", "NetworkConfig")}
"""Module and name of the groups of settings that have kinds."""


def read_config(source: str, overrides: list[str] | None) -> SettingsTree:
    """Return the settings of a configuration, or the data set of a folder, with the given settings in their place.

    If the configuration is a KEY=VALUE too, the others are the defaults.
    """
    from ..config import find_left_out, merge_settings, parse_overrides, read_yaml

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
    """Return the types of the groups whose kind is given; they are imported only then."""
    return {
        group: getattr(import_module(f"..{module}", __package__), name)
        for group, (module, name) in UNIONS.items()
        if isinstance(settings := given.get(group), dict) and "kind" in settings
    }


def is_folder(config: str) -> bool:
    """Return whether a configuration is given as a folder of recordings."""
    return Path(config).expanduser().is_dir()


REPLACED = {
    ("check", "--ray-address"): "--engine ray=ADDRESS",
    ("convert", "--ray-address"): "--engine ray=ADDRESS",
    ("infer", "--ray-address"): "--engine ray=ADDRESS",
    ("infer", "--window"): "--set window_us=MICROSECONDS",
    ("infer", "--hop"): "--set hop_us=MICROSECONDS",
    ("view", "--spawn"): "no -o, which opens the viewer",
    ("view", "--to"): "-o FILE.rrd",
}
"""Commands and options of earlier versions, and what replaces them, unless it is a setting of the same name."""

BEFORE_COMMAND = frozenset({"-q", "--quiet", "-v", "--verbose", "--version"})
"""Options of all commands."""


def explain_usage(error: Exception) -> str:
    """Return the message of an error of typer, with the settings that an unknown option may stand for."""
    assert hasattr(error, "format_message")
    message: str = error.format_message()
    if type(error.__cause__).__name__ == "ValidationError":
        from ..config import explain_value

        wrong = error.__cause__.errors()[0]  # type: ignore[union-attr]
        return message.replace(error.message, f"{wrong['input']}: {explain_value(wrong)}")  # type: ignore[attr-defined]
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if option is None or context is None:
        return message
    if option in BEFORE_COMMAND:
        return f"{message}; it is given before the command: dvspipe {option} {context.command.name}"
    if replacement := REPLACED.get((context.command.name, option)):
        return f"{message}; use {replacement}"
    module, model, form = SETTINGS_OF.get(context.command.name, ("", "", ""))
    if not module:
        return message
    from ..config import suggest_settings

    settings = getattr(import_module(f"..{module}", __package__), model)
    suggested = [form.format(name) for name in suggest_settings(settings, option.strip("-").replace("-", "_"))]
    return f"{message}; did you mean the setting {join_names(suggested)}?" if suggested else message


def choose_engine(jobs: int | None, engine: str, default_jobs: int = 1) -> Engine:
    """Return the engine that --jobs and --engine give.

    Raises:
        ConfigError: They contradict each other, or there is no such engine.
    """
    from ..parallel import Processes
    from ..parallel.cluster import Ray

    name, _, address = engine.partition("=")
    if name == "ray":
        if jobs is not None:
            raise ConfigError("--jobs: only for --engine local; a Ray cluster has as many workers as cores")
        return Ray(address or None)
    if engine != "local":
        raise ConfigError(f"--engine {engine}: unknown, expected local, ray or ray=ADDRESS")
    return Processes(default_jobs if jobs is None else jobs)


def parse_shard(text: str | None) -> Shard:
    """Return the shard that --shard gives, or that of the task of a SLURM array, or everything."""
    from ..parallel import ALL, Shard

    return Shard.parse(text) if text else Shard.of_array(os.environ) or ALL


def parse_bytes(text: str) -> int:
    """Return a size such as 256MB or 1GiB in bytes.

    Raises:
        ConfigError: It is none, or zero.
    """
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError as error:
        raise ConfigError(f"{text}: not a size (expected bytes, or a unit, such as 256MB)") from error
    if size <= 0:
        raise ConfigError(f"{text}: no size (expected 1 byte or more)")
    return size


def note_shard(shard: Shard, files: int) -> None:
    """Print the share of the files that is worked on, if it is not all."""
    if shard.count > 1 and not notes.quiet:
        messages.print(f"shard {shard}: {count_noun(files, 'file')}")  # standard output may be JSON


def trust_packages(packages: list[str] | None) -> tuple[str, ...]:
    """Return the packages that --trust gives, which are then also found in the current folder, after installed ones."""
    if packages and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return tuple(packages or ())


def parse_sensor(text: str | None) -> SensorSize | None:
    """Return the size that --sensor gives."""
    from ..events import SensorSize

    return SensorSize.parse(text) if text else None


def parse_hints(given: list[str] | None) -> Hints:
    """Return what --hint gives."""
    from ..config import parse_overrides
    from ..formats import Hints

    hints = {key: str(value) for key, value in parse_overrides(given or []).items()}
    known = Hints.__dataclass_fields__
    unknown = [key for key in hints if key not in known]
    if unknown:
        raise ConfigError(f"--hint {unknown[0]}: unknown, expected {', '.join(known)}")
    return Hints(**hints)  # type: ignore[arg-type]  # it checks its values


def parse_region(text: str | None) -> Region | None:
    """Return the region that --roi gives."""
    from ..events import Region

    return Region.parse(text) if text else None


def to_us(milliseconds: float | None) -> int | None:
    """Return a time in whole microseconds, at least one."""
    return None if milliseconds is None else max(1, round(milliseconds * 1000))
