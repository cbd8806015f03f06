"""Errors in the words of a command line, as one line that says what to type instead."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from ..results import CHECKPOINT_SUFFIX

EXAMPLE_CLASSIFIER = "gesture"
"""Included classifier, for examples."""
OPTION_EXAMPLES = {"--on": "--on any 'echo gesture'"}
"""Examples of options with several values."""


def explain_usage(error: CycloptsError) -> str:
    """Return the message of an error, with the command that it is about."""
    error.verbose = False
    command = " ".join(("dvspipe", *(error.command_chain or ()))).removeprefix("dvspipe ")
    listed = f"dvspipe {command} --help lists the options"

    if isinstance(error, UnusedCliTokensError):
        return f"{command}: too many arguments: {shlex.join(error.unused_tokens or ())}; {listed}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return f"{command}: {_explain_missing(error, listed)}"
    if isinstance(error, CoercionError) and error.argument is not None:
        for token in error.argument.tokens:
            if len(token.keys) > 1:
                return f"{command}: {token.keyword}: not a name (found {'.'.join(token.keys)}, expected _ for each dot)"

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


def _option_of(error: UnknownOptionError) -> str:
    return (error.token.keyword or error.token.value).partition("=")[0]


def _list_options(error: UnknownOptionError) -> list[str]:
    return [name for argument in error.argument_collection for name in argument.names if name.startswith("--")]


def _find_inner(error: UnknownOptionError, option: str) -> list[str]:
    """Return the options of inner groups whose last part is the option."""
    return [name for name in _list_options(error) if "." in name and name.rpartition(".")[2] == option.lstrip("-")]


def _explain_missing(error: MissingArgumentError, listed: str) -> str:
    """Explain a missing value of an option, or a missing argument."""
    assert error.argument is not None
    if error.keyword is None:
        return _explain_argument(error, error.argument.names or (error.argument.field_info.name.upper(),), listed)

    given = shlex.join((error.keyword, *error.tokens_so_far))
    expected = f"{error.keyword} {error.argument.parameter.metavar or 'VALUE'}"
    example = f", such as {OPTION_EXAMPLES[error.keyword]}" if error.keyword in OPTION_EXAMPLES else ""
    return f"{given} is not complete (expected {expected}{example}); {listed}"


def _explain_argument(error: MissingArgumentError, names: Sequence[str], listed: str) -> str:
    """Explain a missing argument, and how the values before it are understood."""
    command = tuple(error.command_chain or ())
    words = (error.root_input_tokens or [])[len(command) :]
    values = list(takewhile(lambda word: not word.startswith("-"), words))
    if names[0].startswith("-") or not values or error.app is None:
        return f"{names[0]} is missing; {listed}"

    # A recording alone is understood as the classifier.
    first = error.app.assemble_argument_collection()[0].names[0]
    needs_classifier = (first, names[0]) == ("CHECKPOINT", "RECORDINGS")
    if needs_classifier and Path(values[0]).suffix not in ("", CHECKPOINT_SUFFIX):
        complete = shlex.join(("dvspipe", *command, EXAMPLE_CLASSIFIER, *words))
        listed = f"with an included classifier: {complete}"
    return f"{names[0]} is missing (found only {first} {shlex.join(values)}); {listed}"
