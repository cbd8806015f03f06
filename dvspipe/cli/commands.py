"""Commands made from verbs: a command has the parameters of its verb, and what only a terminal has.

A verb is a public function. Its signature is the only place of an option's name, type and default, and its docstring
the only place of the option's text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from cyclopts import Group, Parameter
from docstring_parser import parse

from ..base.config import Settings

HINTS = Group("Metadata that recordings lack", sort_key=2)
SETTINGS = Group("Settings", sort_key=1)
"""Headings of the options that are settings of a model."""

GIVEN_BY_TERMINAL = frozenset({"progress", "callback", "draw"})
"""Parameters that a command fills in, and that are no options."""

TERMINAL_TYPES: Mapping[str, object] = {
    "starts": dict[str, float] | None,
    "stops": dict[str, float] | None,
    "recording": Path,
    "recordings": list[Path],
    "out": Path | None,
    "record": Path | None,
    "source": Path,
    "checkpoint": str,
    "sensor": str | None,
    "region": str | None,
}
"""Types of parameters that take texts in a terminal, and also objects in Python."""

LOOKS: Mapping[str, Parameter] = {
    "out": Parameter(alias="-o"),
    "sensor": Parameter(metavar="WxH"),
    "region": Parameter(metavar="WxH+X+Y"),
    "starts": Parameter(metavar=".NAME SECONDS"),
    "stops": Parameter(metavar=".NAME SECONDS"),
}
"""How options with these names are written, wherever they occur."""

ALWAYS_OPTIONS = frozenset({"out", "to"})
ALWAYS_ARGUMENTS = frozenset({"checkpoint"})
"""Parameters that are options even if they have no default, and arguments even if they have one."""


def takes(verb: Callable[..., object], *, without: Collection[str] = ()) -> Callable[[Callable[..., None]], Any]:
    """Give a command the parameters of a verb; the command receives those that the user gives, also as `**given`.

    Type and text of a parameter that both have are those of the verb. The description of the verb is the description of
    the command, unless the command has its own.

    Args:
        verb: Public function. A parameter whose type is a model of settings becomes an option for each setting.
        without: Parameters of the verb that the command replaces by its own.
    """

    def derive(command: Callable[..., None]) -> Callable[..., None]:
        of_verb = list(_parameters_of(verb, GIVEN_BY_TERMINAL | {*without}, TERMINAL_TYPES))
        own = _parameters_of(command, {each.name for each in of_verb})
        parameters = sorted((*of_verb, *own), key=lambda each: (each.kind, each.default is not each.empty))
        signature = inspect.Signature(parameters)

        def run(*args: object, **options: object) -> None:
            command(**signature.bind(*args, **options).arguments)

        run.__name__, run.__doc__ = command.__name__, command.__doc__ or _describe(verb)
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return derive


def _describe(verb: Callable[..., object]) -> str:
    return parse(inspect.getdoc(verb) or "").description or ""


def _parameters_of(
    function: Callable[..., object], left_out: Collection[str], types: Mapping[str, object] | None = None
) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a function as a terminal has them, by position or by name.

    Parameters of a verb are options if they have a default; those of a command, if they can be given by name alone.

    Args:
        function: Verb or command.
        left_out: Names of other parameters.
        types: Types of the parameters of a verb by name, instead of those of the signature; None: it is a command.
    """
    texts = {each.arg_name: each.description for each in parse(inspect.getdoc(function) or "").params}
    for each in inspect.signature(function).parameters.values():
        if each.name in left_out or each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
            continue
        by_name = each.kind is each.KEYWORD_ONLY if types is None else each.default is not each.empty
        is_option = (by_name and each.name not in ALWAYS_ARGUMENTS) or each.name in ALWAYS_OPTIONS
        kind = (types or {}).get(each.name) or _read_annotation(function, each.annotation)
        yield each.replace(
            kind=each.KEYWORD_ONLY if is_option else each.POSITIONAL_ONLY,
            annotation=_as_option(each.name, kind, texts.get(each.name)),
        )


def _as_option(name: str, kind: object, text: str | None) -> object:
    """Return the type of an option with its look: a model of settings becomes an option for each of its settings."""
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and issubclass(each, Settings):
            look = Parameter(name="hints", group=HINTS) if name == "hints" else Parameter(name="*", group=SETTINGS)
            return Annotated[each | None, look]
    looks = [LOOKS.get(name, Parameter())]
    if text is not None:
        looks.append(Parameter(help=text.replace("None: ", "Default: ")))
    return Annotated[(kind, *looks)]


def _read_annotation(function: Callable[..., object], annotation: object) -> object:
    """Return the type of one annotation; others of the function may name types that are not loaded."""
    source = inspect.unwrap(function)
    holder = type("Holder", (), {"__annotations__": {"type": annotation}, "__module__": source.__module__})
    return get_type_hints(holder, source.__globals__, include_extras=True)["type"]
