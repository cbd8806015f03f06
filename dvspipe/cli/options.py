"""Options that several commands share, and what they mean."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import SettingsTree, join_names, merge_settings, parse_overrides, read_yaml, suggest_settings
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..events import SensorSize
    from ..formats import Hints

Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A folder of recordings, a YAML file, or the name of a shipped configuration (dvspipe configs).",
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
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Number of processes.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
OutFile = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE", help="Output file; its suffix chooses the format.")
]


SETTINGS_OF = {
    "train": ("training", "TrainConfig", "{}=VALUE"),
    "eval": ("training", "TrainConfig", "{}=VALUE"),
    "infer": ("inference", "InferConfig", "--set {}=VALUE"),
    "convert": ("simulator", "SimulatorConfig", "--set {}=VALUE"),
}
"""Module and name of the settings of a command, imported only when they are needed, and how one is given."""


def read_config(source: str, overrides: list[str] | None) -> SettingsTree:
    """Return the settings of a configuration, or the data set of a folder, with the given settings in their place."""
    given = parse_overrides(overrides or [])
    if not is_folder(source):
        return merge_settings(read_yaml(source), given)
    from ..datasets import folder_settings

    return merge_settings({"data": folder_settings(Path(source))}, given)


def is_folder(config: str) -> bool:
    """Return whether a configuration is given as a folder of recordings."""
    return Path(config).expanduser().is_dir()


def explain_usage(error: Exception) -> str:
    """Return the message of an error of typer, with the settings that an unknown option may stand for."""
    assert hasattr(error, "format_message")
    message: str = error.format_message()
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if option is None or context is None:
        return message
    module, model, form = SETTINGS_OF.get(context.command.name, ("", "", ""))
    if not module:
        return message
    settings = getattr(import_module(f"..{module}", __package__), model)
    suggested = [form.format(name) for name in suggest_settings(settings, option.strip("-").replace("-", "_"))]
    return f"{message}; did you mean the setting {join_names(suggested)}?" if suggested else message


def parse_sensor(text: str | None) -> SensorSize | None:
    """Return the size that --sensor gives."""
    from ..events import SensorSize

    return SensorSize.parse(text) if text else None


def parse_hints(given: list[str] | None) -> Hints:
    """Return what --hint gives."""
    from ..formats import Hints

    hints = {key: str(value) for key, value in parse_overrides(given or []).items()}
    known = Hints.__dataclass_fields__
    unknown = [key for key in hints if key not in known]
    if unknown:
        raise ConfigError(f"--hint {unknown[0]}: unknown, expected {', '.join(known)}")
    return Hints(**hints)  # type: ignore[arg-type]  # it checks its values


def to_us(milliseconds: float | None) -> int | None:
    """Return a time in whole microseconds, at least one."""
    return None if milliseconds is None else max(1, round(milliseconds * 1000))
