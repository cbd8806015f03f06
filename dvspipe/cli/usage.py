"""Errors in the words of a command line, as one line that says what to type instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pydantic
from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError, UnknownOptionError, ValidationError

from ..base.config import explain_value
from ..base.errors import shorten

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def explain_usage(error: CycloptsError) -> str:
    """Return the message of an error, with the command that it is about."""
    error.verbose = False
    command = " ".join(("dvspipe", *(error.command_chain or ()))).removeprefix("dvspipe ")
    cause = error.__cause__
    if isinstance(error, ValidationError) and isinstance(cause, pydantic.ValidationError):
        return f"{command}: {'; '.join(map(_explain_setting, cause.errors(include_url=False)))}"
    message = " ".join(str(error).split())
    if isinstance(error, UnknownOptionError) and (settings := _find_settings(error)):
        message = f"Unknown option: {error.token.keyword or error.token.value}. Did you mean {' or '.join(settings)}?"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        message = f"{_name_of(error)} is missing; dvspipe {command} --help lists the options"
    if isinstance(error, UnknownCommandError):
        return f"{message} dvspipe --help lists the commands"
    return f"{command}: {message}"


def _find_settings(error: UnknownOptionError) -> list[str]:
    """Return the options whose last part is the unknown name: --segments.enter for --enter."""
    typed = (error.token.keyword or error.token.value).lstrip("-").partition("=")[0]
    names = (name for argument in error.argument_collection for name in argument.names)
    return [name for name in names if "." in name and name.rpartition(".")[2] == typed]


def _name_of(error: MissingArgumentError) -> str:
    assert error.argument is not None
    names = error.argument.names
    return names[0] if names else error.argument.field_info.name.upper()


def _explain_setting(error: ErrorDetails) -> str:
    """Explain a wrong value of a setting as an option, or settings that do not fit together."""
    if not error["loc"]:
        return explain_value(error)
    name = ".".join(str(each) for each in error["loc"]).replace("_", "-")
    return f"--{name} {shorten(str(error['input']))}: {explain_value(error)}"
