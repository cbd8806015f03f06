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

from ..base.config import explain_value, join_mistakes
from ..base.errors import shorten

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
        return f"{command}: {_explain_unknown(error)}"
    if isinstance(error, UnusedCliTokensError):
        return f"{command}: too many arguments: {shlex.join(error.unused_tokens or ())}; {listed}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return f"{command}: {_name_of(error)} is missing; {listed}"

    message = " ".join(str(error).split())
    if isinstance(error, UnknownCommandError):
        return f"{message} dvspipe --help lists the commands"
    return f"{command}: {message}"


def _explain_unknown(error: UnknownOptionError) -> str:
    """Explain an unknown option; it may be a setting of an inner group, or one that is given as KEY=VALUE."""
    option = (error.token.keyword or error.token.value).partition("=")[0]
    if settings := _find_settings(error, option):
        return f"Unknown option: {option}. Did you mean {' or '.join(settings)}?"

    message = " ".join(str(error).split())
    if any(SETTINGS_ARGUMENT in argument.names for argument in error.argument_collection):
        key = option.lstrip("-").replace("-", "_")
        return f"{message} Settings of the configuration are KEY=VALUE: {key}=VALUE"
    return message


def _find_settings(error: UnknownOptionError, option: str) -> list[str]:
    """Return the options whose last part is the unknown name: --segments.enter for --enter."""
    names = (name for argument in error.argument_collection for name in argument.names)
    return [name for name in names if "." in name and name.rpartition(".")[2] == option.lstrip("-")]


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
