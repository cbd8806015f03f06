"""Errors in the words of a command line, as one line that says what to type instead."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pydantic
from cyclopts import (
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from ..base.errors import find_similar, join_names, shorten
from ..base.explanations import explain_value, join_mistakes
from ..base.suggestions import suggest_settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SETTINGS_ARGUMENT = "KEY=VALUE"
"""Name of the argument for settings of a configuration."""
TYPE_NAMES = frozenset({"bool", "float", "int", "str"})


def explain_usage(error: CycloptsError) -> str:
    """Return the message of an error, with the command that it is about."""
    error.verbose = False
    command = " ".join(("dvspipe", *(error.command_chain or ()))).removeprefix("dvspipe ")
    listed = f"dvspipe {command} --help lists the options"

    cause = error.__cause__
    if isinstance(error, ValidationError) and isinstance(cause, pydantic.ValidationError):
        mistakes = join_mistakes(map(_explain_setting, cause.errors(include_url=False)))
        return f"{command}: {'; '.join(mistakes)}"
    if isinstance(error, UnknownOptionError):
        return f"{command}: {_explain_unknown(error, command)}"
    if isinstance(error, UnusedCliTokensError):
        return f"{command}: too many arguments: {shlex.join(error.unused_tokens or ())}; {listed}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return f"{command}: {_name_of(error)} is missing; {listed}"

    message = " ".join(str(error).split())
    if isinstance(error, UnknownCommandError):
        return f"{message} dvspipe --help lists the commands"
    return f"{command}: {message}"


def find_inner_option(error: UnknownOptionError) -> tuple[str, str] | None:
    """Return an unknown option, and the only setting of an inner group with this name; as in Python, not of hints.

    `--enter` stands for `--segments.enter`.
    """
    option = _option_of(error)
    inner = [name for name in _find_inner(error, option) if not name.startswith("--hints.")]
    return (option, inner[0]) if len(inner) == 1 else None


def _explain_unknown(error: UnknownOptionError, command: str) -> str:
    """Explain an unknown option: similar options, and settings that are given as KEY=VALUE."""
    option = _option_of(error)
    name = option.lstrip("-").replace("-", "_")

    # The names without their groups; an option of the command itself takes precedence.
    known = sorted(_list_options(error), key=lambda full_name: full_name.count("."), reverse=True)
    options = {full_name.rpartition(".")[2].lstrip("-").replace("-", "_"): full_name for full_name in known}
    similar = _find_inner(error, option) or [options[word] for word in find_similar(name, options)]

    takes_settings = any(SETTINGS_ARGUMENT in argument.names for argument in error.argument_collection)
    if takes_settings:
        from ..training.config import TrainConfig

        similar += [f"{key}=VALUE" for key in suggest_settings(TrainConfig, name)]
    if similar:
        return f"Unknown option: {option}. Did you mean {join_names(similar)}?"

    settings = "; settings of the configuration are KEY=VALUE" if takes_settings else ""
    return f"Unknown option: {option}; dvspipe {command} --help lists the options{settings}"


def _option_of(error: UnknownOptionError) -> str:
    return (error.token.keyword or error.token.value).partition("=")[0]


def _list_options(error: UnknownOptionError) -> list[str]:
    return [name for argument in error.argument_collection for name in argument.names if name.startswith("--")]


def _find_inner(error: UnknownOptionError, option: str) -> list[str]:
    """Return the options of inner groups whose last part is the option."""
    return [name for name in _list_options(error) if "." in name and name.rpartition(".")[2] == option.lstrip("-")]


def _name_of(error: MissingArgumentError) -> str:
    assert error.argument is not None
    names = error.argument.names
    return names[0] if names else error.argument.field_info.name.upper()


def _explain_setting(error: ErrorDetails) -> tuple[str, str | None]:
    """Return the option of a wrong setting with its value, and what is wrong with it; or one complete sentence."""
    # The place of a value of several types ends in the name of a type, such as `int` or `literal['off','auto']`.
    names = [str(part) for part in error["loc"] if str(part).isidentifier() and part not in TYPE_NAMES]
    if not names:
        return explain_value(error), None

    option = f"--{'.'.join(names).replace('_', '-')} {shorten(str(error['input']))}"
    return option, explain_value(error)
