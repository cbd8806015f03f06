"""Errors in the words of a command line, as one line that says what to type instead."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic
from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from ..base.errors import find_similar, join_names, shorten
from ..base.explanations import explain_value, join_mistakes
from ..base.suggestions import match_words, suggest_settings
from ..results import CHECKPOINT_SUFFIX

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SETTINGS_ARGUMENT = "KEY=VALUE"
"""Name of the argument for settings of a configuration."""
TYPE_NAMES = frozenset({"bool", "float", "int", "str"})
OTHER_NAMES = {"threshold": "enter", "confidence": "enter"}
"""Names of options in other programs, with their names here."""
EXAMPLE_CLASSIFIER = "gesture"
"""Included classifier, for examples."""
OPTION_EXAMPLES = {"--on": "--on any 'echo gesture'"}
"""Examples of options with several values."""
MAX_SUGGESTED = 3  # options with a word of an unknown option


def explain_usage(error: CycloptsError) -> str:
    """Return the message of an error, with the command that it is about."""
    error.verbose = False
    command = " ".join(("dvspipe", *(error.command_chain or ()))).removeprefix("dvspipe ")
    listed = f"dvspipe {command} --help lists the options"

    cause = error.__cause__
    if isinstance(error, ValidationError) and isinstance(cause, pydantic.ValidationError):
        words = {word.partition("=")[0] for word in error.root_input_tokens or ()}
        mistakes = join_mistakes(_explain_setting(mistake, words) for mistake in cause.errors(include_url=False))
        return f"{command}: {'; '.join(mistakes)}"
    if isinstance(error, UnknownOptionError):
        return f"{command}: {_explain_unknown(error, command)}"
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


def _explain_unknown(error: UnknownOptionError, command: str) -> str:
    """Explain an unknown option: similar options, and settings that are given as KEY=VALUE."""
    option = _option_of(error)
    name = option.lstrip("-").replace("-", "_")

    # The names without their groups; an option of the command itself takes precedence.
    known = sorted(_list_options(error), key=lambda full_name: full_name.count("."), reverse=True)
    options = {full_name.rpartition(".")[2].lstrip("-").replace("-", "_"): full_name for full_name in known}
    options |= {other: options[word] for other, word in OTHER_NAMES.items() if word in options}
    words = find_similar(name, options) or match_words(name, {word: word for word in options})[:MAX_SUGGESTED]
    similar = _find_inner(error, option) or [options[word] for word in words]

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


def _explain_setting(error: ErrorDetails, words: Collection[str]) -> tuple[str, str | None]:
    """Return the options of a wrong setting with their values, and what is wrong; or one complete sentence.

    The user's words tell whether an option was given by the last part of its name.
    """
    # The place of a value of several types ends in the name of a type, such as `int` or `literal['off','auto']`.
    names = [str(part) for part in error["loc"] if str(part).isidentifier() and part not in TYPE_NAMES]
    if not names:
        return explain_value(error), None

    given = []
    for name, value in _list_given(".".join(names), error["input"]):
        full_name = f"--{name.replace('_', '-')}"
        last = f"--{full_name.removeprefix('--').rpartition('.')[2]}"
        given.append(f"{last if last in words else full_name} {shorten(str(value))}")
    return ", ".join(given), explain_value(error)


def _list_given(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the settings that a value gives, with their values; a group gives each of its settings."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _list_given(f"{name}.{key}", inner)
    else:
        yield name, value
