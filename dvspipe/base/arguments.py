"""Check the arguments of public functions and classes: a wrong, missing or unknown argument is a one-line error."""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from .errors import PACKAGE_NAME, ArgumentError, join_names, shorten, suggest_argument

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

NUMBERS: Mapping[object, type | tuple[type, ...]] = {
    bool: (numbers.Integral, np.bool_),
    int: numbers.Integral,
    float: numbers.Real,
}
"""Accepted values of each kind of number; numpy's numbers are among them."""
MAX_SHOWN = 60  # characters of a value in a message
OUTPUT = "out"  # name of the argument for the file or folder to write


def checked(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a public function or class: check the types of its arguments at each call, in about a microsecond.

    A call with the same names, and with values of the same types, as an earlier call is not checked again. A type that
    cannot be checked without reading the value, such as the items of a sequence, accepts any value.

    Args:
        function: Function; or a class with an `__init__`, such as a dataclass. Decorate a dataclass above `@dataclass`.

    Raises:
        ArgumentError: If an argument has a wrong type, is missing or unknown. The message names the function, the
            argument, the value found and the type expected.

    Example:
        >>> @checked
        ... def play(path: str | Path, *, start_us: int = 0) -> None: ...
        >>> play(5)
        Traceback (most recent call last):
        dvspipe.base.errors.ArgumentError: play: wrong type of path (found int 5, expected str or Path)
        >>> play("a.h5", start=3)
        Traceback (most recent call last):
        dvspipe.base.errors.ArgumentError: play: unknown argument start, did you mean start_us?
    """
    if isinstance(function, type):
        function.__init__ = checked(function.__init__)  # type: ignore[misc]
        return function

    forms: list[_Form] = []  # one, made at the first call: until then, later modules may be incomplete
    accepted: set[tuple[object, ...]] = set()  # types by position, then names, then types by name

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        # This runs at each call: types and names are compared as one key of a set, without reading a value.
        kinds = (*map(type, args), *kwargs, *map(type, kwargs.values())) if kwargs else tuple(map(type, args))
        if kinds not in accepted:
            if not forms:
                forms.append(_Form.of(function))
            forms[0].check(args, kwargs)
            accepted.add(kinds)
        return function(*args, **kwargs)

    return call


def describe_value(value: object) -> str:
    """Describe a value in a message: its type, and short values themselves.

    Example:
        >>> describe_value(5), describe_value(np.zeros(3)), describe_value(None)
        ('int 5', 'ndarray', 'None')
    """
    kind = type(value).__name__
    if value is None:
        return "None"
    return f"{kind} {shorten(repr(value), MAX_SHOWN)}" if isinstance(value, str | bytes | numbers.Number) else kind


class _Form(NamedTuple):
    """Form of a function: the arguments that it takes.

    Attributes:
        name: Name of the function, with its class.
        positional: Arguments that can be given by position, without `self` and `cls`.
        named: Arguments that can be given by name.
        required: Arguments without a default.
        is_method: Whether the first argument is `self` or `cls`.
        takes_more: Whether it takes any number of positional arguments.
        takes_settings: Whether it takes any named argument.
        annotations: Types by argument.
        function: The function itself, for messages.
    """

    name: str
    positional: tuple[str, ...]
    named: tuple[str, ...]
    required: frozenset[str]
    is_method: bool
    takes_more: bool
    takes_settings: bool
    annotations: Mapping[str, object]
    function: Callable[..., object]

    @classmethod
    def of(cls, function: Callable[..., object]) -> _Form:
        parameters = list(inspect.signature(function).parameters.values())
        kinds = {parameter.kind for parameter in parameters}
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        is_method = bool(parameters) and parameters[0].name in ("self", "cls")

        # `self` and `cls` are not arguments of a caller.
        fixed = [parameter for parameter in parameters if parameter.kind not in variable][is_method:]
        annotations = {parameter.name: _read_type(function, parameter.annotation) for parameter in fixed}
        return cls(
            name=function.__qualname__,
            positional=tuple(p.name for p in fixed if p.kind is not p.KEYWORD_ONLY),
            named=tuple(p.name for p in fixed if p.kind is not p.POSITIONAL_ONLY),
            required=frozenset(p.name for p in fixed if p.default is p.empty),
            is_method=is_method,
            takes_more=inspect.Parameter.VAR_POSITIONAL in kinds,
            takes_settings=inspect.Parameter.VAR_KEYWORD in kinds,
            annotations=annotations,
            function=function,
        )

    def check(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        """Check the arguments of a call.

        Raises:
            ArgumentError: If an argument has a wrong type, is missing or unknown.
        """
        # One mistake is reported at a time. A wrong name comes first: it explains a missing argument, too.
        unnamed = args[self.is_method :]
        mistake = self._find_unnamed_output(unnamed, kwargs) or self._find_wrong_name(unnamed, kwargs)
        values = {**dict(zip(self.positional, unnamed, strict=False)), **kwargs}

        if not mistake:
            mistakes = (self._explain_type(name, value) for name, value in values.items())
            mistake = next(filter(None, mistakes), "")
        if not mistake and not self.required <= values.keys():
            missing = [name for name in self.annotations if name in self.required - values.keys()]
            mistake = f"missing argument: {join_names(missing)}"

        if mistake:
            raise ArgumentError(f"{self._name(args)}: {mistake}")

    def _name(self, args: tuple[object, ...]) -> str:
        """Return the name of the function; the class of a method is the class of its object."""
        _, dot, method = self.name.rpartition(".")
        if not (self.is_method and dot):
            return self.name

        owner = args[0] if isinstance(args[0], type) else type(args[0])
        return owner.__name__ if method == "__init__" else f"{owner.__name__}.{method}"

    def _find_unnamed_output(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
        """Explain a path without a name that is no input, if the output needs its name; empty: there is none."""
        if OUTPUT not in self.named or OUTPUT in self.positional or OUTPUT in kwargs:
            return ""

        fits = [_matches(value, self.annotations[name]) for name, value in zip(self.positional, args, strict=False)]
        first = [*fits, False].index(False)
        if first == 0 or first == len(args) or not isinstance(args[first], str | os.PathLike):
            return ""

        if first < len(fits):
            mistake = self._explain_type(self.positional[first], args[first])
        else:
            mistake = self._find_wrong_name(args, {})  # too many

        return f"{mistake}, did you mean {OUTPUT}={str(args[first])!r}?"

    def _find_wrong_name(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
        """Explain a name that is unknown or given twice, or too many values without names; empty: none of them."""
        if len(args) > len(self.positional) and not self.takes_more:
            expected = ", ".join(self.positional)
            if get_origin(self.annotations.get(expected)) is Sequence:  # the only argument: several values are one list
                expected = f"a list of {expected}"
            return f"too many arguments without names (found {len(args)}, expected {expected})"

        for name in kwargs:
            if name in self.positional[: len(args)]:
                return f"argument {name} is given twice"
            if not (self.takes_settings or name in self.named):
                return f"unknown argument {name}, {suggest_argument(name, self.named, read_result_type(self.function))}"

        return ""

    def _explain_type(self, name: str, value: object) -> str:
        """Explain a value of a wrong type; empty for others."""
        annotation = self.annotations.get(name, Any)
        if _matches(value, annotation):
            return ""

        return f"wrong type of {name} (found {describe_value(value)}, expected {_describe(annotation)})"


def read_result_type(function: Callable[..., object]) -> object:
    """Return the type of the result of a function; `Any` if neither its module nor the package has the name."""
    annotation = inspect.signature(function).return_annotation
    kind = _read_type(function, annotation)
    if kind is not Any or not isinstance(annotation, str):
        return kind

    # A verb imports its result only for type checkers; the package loads a public name when it is used.
    return getattr(sys.modules[PACKAGE_NAME], annotation, Any)


def _read_type(function: Callable[..., object], annotation: object) -> object:
    """Return the type of an annotation; `Any` if its module imports the name only for type checkers."""
    if annotation is inspect.Parameter.empty:
        return Any

    # `get_type_hints` reads the annotations of an object, so the annotation gets one.
    holder = types.SimpleNamespace(__annotations__={"type": annotation})
    try:
        [kind] = get_type_hints(holder, inspect.unwrap(function).__globals__).values()
        return kind
    except (NameError, TypeError):
        return Any


def _matches(value: object, annotation: object) -> bool:
    """Return whether a value has a type, as far as that is visible without reading the value."""
    origin = get_origin(annotation)
    members = get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(_matches(value, member) for member in members)
    if origin is Annotated:
        return _matches(value, members[0])
    if origin is Literal:
        return isinstance(value, tuple(map(type, members)))
    if annotation is None or annotation is type(None):
        return value is None

    # Items are not checked, which would take time for a long sequence; only a text can be confused with one.
    if origin is tuple:  # lists and arrays of numbers, too
        return isinstance(value, tuple | list | np.ndarray)
    if origin is Sequence and isinstance(value, np.ndarray):
        return True
    if getattr(origin or annotation, "_is_protocol", False):
        return all(hasattr(value, name) for name in _list_members(origin or annotation))
    if isinstance(value, str | bytes) and origin in (Iterable, Collection, Sequence):
        return members[0] is str  # a text is a sequence of texts only

    # Numbers of numpy are numbers, and a path may be any path-like object.
    kind = NUMBERS.get(annotation, os.PathLike if annotation is Path else origin or annotation)
    try:
        return isinstance(value, kind)  # type: ignore[arg-type]
    except TypeError:  # Any and type variables
        return True


def _list_members(protocol: object) -> list[str]:
    """Return the names of the methods of a protocol of this package; others, such as numpy's, accept any value."""
    names = vars(protocol) if getattr(protocol, "__module__", "").startswith(PACKAGE_NAME) else {}
    return [name for name, member in names.items() if name == "__call__" or (name[0] != "_" and callable(member))]


def _describe(annotation: object) -> str:
    """Return a type in words, as in "str, Path or None"."""
    origin = get_origin(annotation)
    members = get_args(annotation)

    if origin in (Union, types.UnionType):
        return join_names(list(dict.fromkeys(map(_describe, members))))
    if origin is Annotated:
        return _describe(members[0])
    if origin is Literal:
        return join_names(list(map(str, members)))
    if annotation is type(None):
        return "None"
    return str(getattr(origin or annotation, "__name__", annotation))
