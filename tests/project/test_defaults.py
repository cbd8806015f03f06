"""Every default that a user meets is the one in defaults.yaml, so a change of one is deliberate."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import pytest
import yaml

import dvspipe
from dvspipe.base.settings import Settings
from dvspipe.cli.app import create_app, list_commands
from dvspipe.training import TrainConfig

DEFAULTS = yaml.safe_load(Path(__file__).with_name("defaults.yaml").read_text(encoding="utf-8"))


def plain(value: object) -> object:
    """Return a value as YAML stores it."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def defaults_of(name: str) -> dict[str, object]:
    """Return the defaults of the parameters and settings of a command."""
    command = create_app(name.split())
    for word in name.split():
        command = command[word]
    assert command.default_command is not None
    target = inspect.unwrap(command.default_command)
    found: dict[str, object] = {}
    for parameter in inspect.signature(target).parameters.values():
        kind, *_ = (*typing.get_args(parameter.annotation), parameter.annotation)
        if isinstance(kind, type) and issubclass(kind, Settings):
            found |= dict(kind())
        elif parameter.default is not parameter.empty:
            found[parameter.name] = parameter.default
    return {key: plain(value) for key, value in found.items()}


def test_defaults_of_trainings_are_deliberate() -> None:
    assert {name: plain(value) for name, value in TrainConfig()} == DEFAULTS["settings of train"]


@pytest.mark.parametrize("name", [command.name for command in list_commands()])
def test_defaults_of_a_command_are_deliberate(name: str) -> None:
    assert defaults_of(name) == DEFAULTS[name]


@pytest.mark.parametrize("name", [command.name for command in list_commands() if command.name in dir(dvspipe)])
def test_functions_have_the_defaults_of_their_commands(name: str) -> None:
    parameters = inspect.signature(getattr(dvspipe, name)).parameters
    found = {key: plain(parameters[key].default) for key in DEFAULTS[name] if key in parameters}
    required = {key for key in found if parameters[key].default is inspect.Parameter.empty}
    groups = {key for key in found if isinstance(parameters[key].default, Settings)}
    checked = found.keys() - required - groups
    assert {key: found[key] for key in checked} == {key: DEFAULTS[name][key] for key in checked}
