"""Commands made from verbs: a command has the parameters of its verb, and what only a terminal has.

A verb is a public function. Its signature is the only place of an option's name, type and default, and its docstring
the only place of the option's text.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter, Token
from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel
from docstring_parser import parse
from rich.console import Console, ConsoleOptions

from ..base.config import Settings
from ..base.errors import ConfigError


def draw_settings(console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
    """Draw the help of settings; a group inside a group has one line, with the names of its settings."""
    entries = []
    nested: dict[str, list[str]] = {}
    for entry in panel.entries:
        group, _, name = entry.names[0].removeprefix("--").rpartition(".")
        if "." in group:
            nested.setdefault(group, []).append(name)
        else:
            entries.append(entry)
    entries += [
        HelpEntry(positive_names=(f"--{group}.NAME",), description=f"One of {', '.join(names)}.")
        for group, names in nested.items()
    ]
    DefaultFormatter()(console, options, panel.copy(entries=entries))


HINTS_HEADING = Group("Metadata that recordings lack", sort_key=2)
SETTINGS_HEADING = Group("Settings", sort_key=1, help_formatter=draw_settings)
"""Headings of the options that are settings of a model."""

GIVEN_BY_TERMINAL = frozenset({"progress", "callback", "draw"})
"""Parameters that a command fills in, and that are no options."""

OF_FILES = ("compression",)
"""Settings of an event file, which have no effect if a video is only simulated."""

TERMINAL_TYPES: Mapping[str, object] = {
    "starts": dict[str, float] | None,
    "stops": dict[str, float] | None,
    "recording": Path,
    "recordings": list[Path],
    "sources": list[Path],
    "source": Path,
    "checkpoint": str,
    "sensor": str | None,
    "region": str | None,
    "a": Path,
    "b": Path,
    "predictions": Path | None,
    "against": Path | None,
}
"""Types of parameters that take texts in a terminal, and also objects in Python."""

PATHS: Mapping[object, object] = {str | Path: Path, str | Path | None: Path | None}
"""Types of paths in a terminal, by their types in Python."""

LOOKS: Mapping[str, Parameter] = {
    "out": Parameter(alias="-o"),
    "jobs": Parameter(alias="-j", metavar="N|ray"),
    "against": Parameter(metavar="RESULT"),
    "sensor": Parameter(metavar="WxH"),
    "region": Parameter(metavar="WxH+X+Y"),
    "resize": Parameter(metavar="WxH"),
    "starts": Parameter(metavar=".NAME SECONDS"),
    "stops": Parameter(metavar=".NAME SECONDS"),
}
"""How options with these names are written, wherever they occur."""

ALWAYS_OPTIONS = frozenset({"out", "to"})
ALWAYS_ARGUMENTS = frozenset({"checkpoint"})
"""Parameters that are options even if they have no default, and arguments even if they have one."""


def takes(verb: Callable[..., object], *, without: Collection[str] = ()) -> Callable[[Callable[..., None]], Any]:
    """Give a command the parameters of a verb; the command receives those that the user gives, also as `**given`.

    A parameter that both have has the type and the text of the verb, and is required if the command gives no default.
    The command is described as the verb is, unless it has a docstring.

    Args:
        verb: Public function. A parameter whose type is a model of settings becomes an option for each setting.
        without: Parameters of the verb that the command replaces by its own, and settings that have no effect in it.
    """

    def derive(command: Callable[..., None]) -> Callable[..., None]:
        left_out = GIVEN_BY_TERMINAL | {*without}
        of_command = inspect.signature(command).parameters
        of_verb = [
            parameter.replace(default=parameter.empty) if _is_required(of_command.get(parameter.name)) else parameter
            for parameter in _parameters_of(verb, left_out, TERMINAL_TYPES)
        ]
        own = _parameters_of(command, {parameter.name for parameter in of_verb})

        # The help lists arguments before options, and required ones first.
        parameters = sorted((*of_verb, *own), key=lambda one: (one.kind, one.default is not one.empty))
        signature = inspect.Signature(parameters)

        def run(*args: object, **options: object) -> None:
            command(**signature.bind(*args, **options).arguments)

        # The parser reads the signature and the types of a function, and its docstring for the help.
        run.__name__ = command.__name__
        run.__doc__ = command.__doc__ or _describe(verb)
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return derive


def _is_required(parameter: inspect.Parameter | None) -> bool:
    return parameter is not None and parameter.default is parameter.empty


def _describe(verb: Callable[..., object]) -> str:
    return parse(inspect.getdoc(verb) or "").description or ""


def _parameters_of(
    function: Callable[..., object], left_out: Collection[str], types: Mapping[str, object] | None = None
) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a function as a terminal has them, by position or by name.

    A parameter of a verb is an option if it has a default; one of a command, if it can be given by name alone.

    Args:
        function: Verb or command.
        left_out: Names of other parameters, and of settings.
        types: Types of a verb's parameters by name, which replace its annotations; None: it is a command.
    """
    texts = {text.arg_name: text.description for text in parse(inspect.getdoc(function) or "").params}
    for parameter in inspect.signature(function).parameters.values():
        name = parameter.name
        if name in left_out or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue

        has_default = parameter.default is not parameter.empty
        by_name = parameter.kind is parameter.KEYWORD_ONLY if types is None else has_default
        is_option = (by_name and name not in ALWAYS_ARGUMENTS) or name in ALWAYS_OPTIONS

        kind = (types or {}).get(name) or _read_annotation(function, parameter.annotation)
        annotation = _as_option(name, PATHS.get(kind, kind), texts.get(name), left_out)
        if is_option:
            yield parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=annotation)
        elif items := _item_of(annotation):
            look = Parameter(required=not has_default)
            yield parameter.replace(
                kind=parameter.VAR_POSITIONAL, default=parameter.empty, annotation=Annotated[items, look]
            )
        else:
            yield parameter.replace(kind=parameter.POSITIONAL_ONLY, annotation=annotation)


def _item_of(kind: object) -> object:
    """Return the type of the items of a list, with its look, or None; a list may continue after options, as *items."""
    values, *looks = get_args(kind) or (kind,)
    lists = [member for member in (values, *get_args(values)) if get_origin(member) is list]
    return Annotated[(*get_args(lists[0]), *looks)] if lists else None


def _as_option(name: str, kind: object, text: str | None, left_out: Collection[str]) -> object:
    """Return the type of an option with its look: a model becomes an option for each of its other settings."""
    others = re.compile(rf"^(?!({'|'.join(map(re.escape, sorted(left_out)))})$)")
    for member in (kind, *get_args(kind)):
        if isinstance(member, type) and issubclass(member, Settings):
            of_hints = Parameter(name="hints", group=HINTS_HEADING)
            of_settings = Parameter(name="*", group=SETTINGS_HEADING, parse=others)
            return Annotated[member | None, of_hints if name == "hints" else of_settings]

    looks = [LOOKS.get(name, Parameter())]
    if text is not None:
        looks.append(Parameter(help=explain_option(text)))

    values = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if int in (values, *get_args(values)):
        looks.append(Parameter(converter=_read_integer))
    return Annotated[(kind, *looks)]


def explain_option(text: str) -> str:
    """Return the text of an argument for a terminal: Python's None is an option that is not given."""
    # What only Python has is at the end of a text.
    for_both = " ".join(text.split()).partition(" In Python also ")[0]
    return for_both.replace("; None: ", "; default: ").replace("None: ", "Default: ")


def _read_integer(kind: object, tokens: Sequence[Token]) -> int | str:
    """Read an integer, or a text if the option takes one; cyclopts would round 1.5 to 2."""
    [token] = tokens
    try:
        return int(token.value)
    except ValueError as error:
        if str in get_args(kind):
            return token.value
        raise ConfigError(f"{token.keyword} {token.value}: not an integer") from error


def _read_annotation(function: Callable[..., object], annotation: object) -> object:
    """Return the type of one annotation; others of the function may name types that are not loaded."""
    source = inspect.unwrap(function)
    holder = type("Holder", (), {"__annotations__": {"type": annotation}, "__module__": source.__module__})

    [kind] = get_type_hints(holder, source.__globals__, include_extras=True).values()
    return kind
