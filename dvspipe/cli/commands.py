"""Commands made from functions: a command has the arguments, options, types, defaults and help of a function.

The signature and the docstring of a function are the only place of these. A positional parameter is an argument, a
parameter that is given by name alone is an option, and `out` is always the option -o.
"""

from __future__ import annotations

import builtins
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import Group, Parameter

from ..base.settings import Settings, parse_overrides

LOOKS: Mapping[str, Parameter] = {"out": Parameter(alias="-o"), "jobs": Parameter(alias="-j")}
SETTINGS_GROUP = Group("Settings", sort_key=1)
PLAIN = (bool, int, float, str, Path)
"""Types of values in a terminal."""


def load_command(target: str, filled_in: Mapping[str, object]) -> Callable[..., object]:
    """Return the command of a function.

    Args:
        target: Place of the function, `package.module:name`.
        filled_in: Values of parameters that are no options.
    """
    function = resolve_name(target)
    kinds = _read_types(function)
    fixed = {name: value for name, value in filled_in.items() if name in kinds}
    shown = {name: kind for name, kind in kinds.items() if name not in fixed}
    signature = inspect.Signature(sorted(_list_parameters(function, shown), key=lambda one: one.kind))
    models = {name: kind for name, kind in kinds.items() if _is_given_as_words(kind)}

    def run(*args: object, **options: object) -> object:
        given = signature.bind(*args, **options).arguments

        # Words KEY=VALUE are the settings of a model that has too many for options.
        for name, model in models.items():
            given[name] = model(**parse_overrides(given.get(name, ())))
        return function(**given, **fixed)

    # The parser reads the signature, the types and the docstring.
    run.__name__ = function.__name__
    run.__doc__ = inspect.getdoc(function)
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return run


def _list_parameters(function: Callable[..., object], kinds: Mapping[str, Any]) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a function with types that a terminal has."""
    parameters = inspect.signature(function).parameters
    for name, kind in kinds.items():
        parameter = parameters[name]
        if _is_given_as_words(kind):
            look = Parameter(name="KEY=VALUE", required=False)
            yield parameter.replace(
                kind=parameter.VAR_POSITIONAL, default=parameter.empty, annotation=Annotated[str, look]
            )
        elif isinstance(kind, type) and issubclass(kind, Settings):
            look = Parameter(name="*", group=SETTINGS_GROUP)
            annotation: Any = Annotated[kind, look]
            yield parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=annotation)
        else:
            plain = _find_plain(kind)
            if plain is not None:
                yield _as_plain(parameter, plain)


def _as_plain(parameter: inspect.Parameter, kind: Any) -> inspect.Parameter:
    """Return an argument, the items of a list, or an option."""
    name = parameter.name
    is_required = parameter.default is parameter.empty
    if name == "out" or parameter.kind is parameter.KEYWORD_ONLY:
        optional = kind if is_required else kind | None
        look = LOOKS.get(name, Parameter())
        default = [parameter.default] if get_origin(kind) is list and parameter.default else parameter.default
        return parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=Annotated[optional, look], default=default)

    if get_origin(kind) is list:
        look = Parameter(required=is_required)
        (item,) = get_args(kind)
        annotation: Any = Annotated[item, look]
        return parameter.replace(kind=parameter.VAR_POSITIONAL, default=parameter.empty, annotation=annotation)
    optional = kind | None if parameter.default is None else kind
    return parameter.replace(kind=parameter.POSITIONAL_ONLY, annotation=optional)


def _is_given_as_words(kind: Any) -> bool:
    """Return whether a type is a model whose settings are words KEY=VALUE."""
    return bool(getattr(kind, "as_words", False))


def _find_plain(kind: Any) -> Any:
    """Return the type that a terminal gives for a type; None if it has none.

    Of a union it is what a terminal has of its members: a list of such members, which may be one, or else these.
    """
    origin = get_origin(kind)
    members = get_args(kind)
    if kind in PLAIN or origin is Literal:
        return kind
    if origin is Annotated:
        plain = _find_plain(members[0])
        return None if plain is None else Annotated[(plain, *members[1:])]

    if origin in (Union, types.UnionType):
        plains = [plain for plain in map(_find_plain, members) if plain is not None]
        lists = [plain for plain in plains if get_origin(plain) is list]
        single = [plain for plain in plains if plain not in lists and not (plain is Path and str in plains)]
        of_these = [plain for plain in lists if not single or get_args(plain)[0] in single]
        return of_these[0] if of_these else reduce(or_, single or lists) if single or lists else None

    items = [_find_plain(member) for member in members]
    if not items or None in items:
        return None
    for collection, concrete in ((tuple, tuple), (Sequence, list), (Mapping, dict)):
        if isinstance(origin, type) and issubclass(origin, collection):
            return types.GenericAlias(concrete, tuple(items))
    return None


class _Names(dict[str, Any]):
    """Names of a module, and `object` for types that it imports only for type checkers."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, object)


def _read_types(function: Callable[..., object]) -> dict[str, Any]:
    """Return the types of the parameters of a function."""
    names = _Names(vars(inspect.getmodule(function)))
    annotations = {name: one.annotation for name, one in inspect.signature(function).parameters.items()}
    return {name: eval(text, {}, names) if isinstance(text, str) else text for name, text in annotations.items()}
