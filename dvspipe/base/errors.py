"""Exceptions for all errors that a user can cause. Messages address the person who typed the command.

    DvspipeError
    ├── ConfigError              a setting is unknown, wrong, or contradicts another
    │   └── ArgumentError        an argument of a Python function is unknown, missing, or has a wrong type
    ├── EventError               events break the rules of an event stream
    ├── FileError                a file is missing, already exists, or cannot be read or written
    │   └── FormatError          the content of a file is not what its format requires
    │       └── CorruptionError  a recording is corrupted or truncated
    ├── VideoError               a video cannot be opened or decoded
    │   └── TruncatedVideoError  a video ends before its last frame
    ├── DataError                a data set is incomplete or does not fit the network
    ├── CheckpointError          a file is not a checkpoint that this version reads
    └── WorkerError              a worker process crashed, was killed, or could not start

An error carries its solutions as `Remedy` data. Python shows a remedy as a keyword argument, the command line as an
option.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import Self

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, and surrogates (file name bytes outside UTF-8)."""


MAX_SHOWN = 8  # items of a collection in a `repr`
PACKAGE_NAME = __name__.partition(".")[0]
OF_COMMANDS = frozenset({"out", "overwrite"})
"""Options of commands that write a file; a function that lacks them returns what the command writes."""
SAVING_METHODS = ("save", "write")
UNITS = frozenset({"us", "ms", "s", "hz", "px", "m"})
MIN_NAME_SIMILARITY = 0.75  # difflib's ratio of a name and its misspelling
MIN_START = 3  # letters of a name that stands for a longer one
MAX_LISTED = 12  # names in a message


def escape_controls(text: str) -> str:
    r"""Escape control characters and bytes outside UTF-8.

    File names may contain both, but no file format, font or terminal accepts such bytes.

    Example:
        >>> import os
        >>> print(escape_controls(f"clip{chr(27)}[31m.h5"), escape_controls(os.fsdecode(b"\xff.h5")))
        clip\x1b[31m.h5 \udcff.h5
    """
    return CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shorten(text: str, most: int = 200) -> str:
    """Truncate a string to at most `most` characters, for quoting file content in messages.

    Example:
        >>> shorten("a" * 1000, most=8)
        'aaaaa...'
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


def suggest_argument(name: str, known: Iterable[str], result: object) -> str:
    """Return what to write for an unknown argument of a function that returns the type `result`."""
    methods = [method for method in SAVING_METHODS if hasattr(result, method)]
    if name in OF_COMMANDS and methods:
        return f"save the result instead, by its method {join_names(methods)}"

    names = list(known)
    similar = find_similar(name, names)
    if similar:
        return f"did you mean {join_names(similar)}?"
    return list_expected(names)


def find_similar(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that begin with the same words, apart from units, or the closest spelling.

    Example:
        >>> find_similar("start", ["start_s", "stop_s"]), find_similar("batch_size", ["batch", "bins"])
        (['start_s'], ['batch'])
        >>> find_similar("epcohs", ["epochs"]), find_similar("hold_s", ["hop_us"])
        (['epochs'], [])
    """
    names = list(known)
    start = _drop_unit(name)
    same = [other for other in names if _begins_like(start, _drop_unit(other))]
    return same or difflib.get_close_matches(name, names, 1, MIN_NAME_SIMILARITY)


def _drop_unit(name: str) -> str:
    first, _, last = name.rpartition("_")
    return first if first and last in UNITS else name


def _begins_like(name: str, other: str) -> bool:
    short, long = sorted((name, other), key=len)
    return long.startswith(short) and (len(short) >= MIN_START or long[len(short) :][:1] in ("", "_"))


def list_expected(names: Sequence[str]) -> str:
    """Return what is expected instead of an unknown name, unless there are too many names to read."""
    if len(names) > MAX_LISTED:
        return f"none of the {len(names)} known names is similar"
    return f"expected one of {', '.join(names)}"


def join_names(names: Sequence[str]) -> str:
    """Join names as in "a, b or c".

    Example:
        >>> join_names(["a", "b", "c"])
        'a, b or c'
    """
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def count_noun(count: int, noun: str) -> str:
    """Format a count with a noun; the plural appends s.

    Example:
        >>> count_noun(1, "window"), count_noun(2000, "event")
        ('1 window', '2,000 events')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def brief(value: object, most: int = 60) -> str:
    """Return a `repr` of at most about `most` characters in one line; it gives the size of long values.

    Example:
        >>> import numpy as np
        >>> brief(np.zeros((5, 7), np.uint8)), brief(list(range(100))), brief(b"12")
        ('uint8[5, 7]', '<100 items>', '<2 bytes>')
    """
    if isinstance(value, str):
        return repr(shorten(value, most))
    if isinstance(value, PurePath):
        return repr(str(value))
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"

    # Arrays of NumPy and tensors of torch.
    shape = getattr(value, "shape", None)
    dtype = getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{str(dtype).removeprefix('torch.')}{[*shape]}"

    if isinstance(value, Collection) and len(value) > MAX_SHOWN:
        return f"<{count_noun(len(value), 'item')}>"

    text = repr(value)
    if len(text) <= most and "\n" not in text:
        return text
    return f"<{count_noun(len(value), 'item')}>" if isinstance(value, Collection) else f"{type(value).__name__}(...)"


class Brief:
    """Base of dataclasses with a `repr` of one line, made by `brief`. Use it with `@dataclass(repr=False)`.

    Example:
        >>> @dataclass(repr=False)
        ... class Example(Brief):
        ...     name: str
        ...     rows: list[int]
        >>> Example("a", [*range(100)])
        Example(name='a', rows=<100 items>)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        shown = (f"{field.name}={brief(getattr(self, field.name))}" for field in fields(self) if field.repr)  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True)
class Remedy:
    """Argument that solves an error.

    Args:
        setting: Name of the argument in Python, such as `overwrite`, or `config.fit` for a field of an argument.
        value: Value to set; a string in capitals is a placeholder that the user has to fill in.
        purpose: Effect, as a phrase after "to", such as `replace it`.

    Example:
        >>> print(Remedy("overwrite", True, "replace it"))
        overwrite=True to replace it
        >>> print(Remedy("config.fit", "scale"), "or", Remedy("hints.columns", "txyp"))
        config={'fit': 'scale'} or hints=Hints(columns='txyp')
    """

    setting: str
    value: object = True
    purpose: str = ""

    def __str__(self) -> str:
        """Format the remedy as a Python argument."""
        argument, *fields = self.setting.split(".")
        if fields and argument == "hints":
            return self.explain(f"hints=Hints({fields[0]}={self.value!r})")

        # Settings in an argument are a nested mapping, built from the inside out.
        value = self.value
        for field in reversed(fields):
            value = {field: value}

        return self.explain(f"{argument}={value!r}")

    @property
    def words(self) -> list[str]:
        """Words of the setting's name: `config.window_us` gives `window`, without parent and unit.

        Example:
            >>> Remedy("config.window_us", 5000).words
            ['window']
        """
        return self.setting.rpartition(".")[-1].removesuffix("_us").removesuffix("_s").split("_")

    def explain(self, argument: str) -> str:
        """Append the purpose to an argument in any notation."""
        return f"{argument} to {self.purpose}" if self.purpose else argument


class DvspipeError(Exception):
    """Base class of all errors that a user can cause.

    Args:
        message: Message with the file, the value found and the value expected.
        remedies: Solutions, shown after the message.

    Example:
        >>> print(FileError("a.h5: already exists", Remedy("overwrite", True, "replace it")))
        a.h5: already exists; use overwrite=True to replace it
    """

    def __init__(self, message: str, *remedies: Remedy) -> None:
        super().__init__(message, *remedies)
        self.message = message
        self.remedies = remedies

    def __str__(self) -> str:
        """Format the message and the remedies as Python arguments."""
        return self.describe(str)

    def describe(self, show: Callable[[Remedy], str]) -> str:
        """Format the message, followed by the remedies as formatted by `show`."""
        if not self.remedies:
            return self.message
        return f"{self.message}; use {', or '.join(map(show, self.remedies))}"

    def named(self, name: str) -> Self:
        """Return a copy with the name of a file or sample before the message, unless the message starts with it."""
        if self.message.startswith(name):
            return self

        error = copy.copy(self)
        error.message = f"{name}: {self.message}"
        return error

    def with_remedies(self, remedies: Iterable[Remedy]) -> Self:
        """Return a copy with other remedies."""
        error = copy.copy(self)
        error.remedies = tuple(remedies)
        return error


class ConfigError(DvspipeError):
    """A setting is unknown, has a wrong value, or contradicts another."""


class ArgumentError(ConfigError, TypeError):
    """An argument of a Python function is unknown, missing, or has a wrong type."""


class EventError(DvspipeError):
    """Events break the rules of an event stream: order, range, or matching lengths.

    Args:
        message: Message with the value found and the value expected.
        remedies: Solutions.
        event: Index of the first event that breaks a rule; None if unknown.
        is_unsorted: Whether the broken rule is the order of times.
    """

    def __init__(self, message: str, *remedies: Remedy, event: int | None = None, is_unsorted: bool = False) -> None:
        super().__init__(message, *remedies)
        self.event = event
        self.is_unsorted = is_unsorted


class FileError(DvspipeError):
    """A file is missing, already exists, or cannot be read or written."""


class FormatError(FileError):
    """The content of a file is not what its format requires."""


class CorruptionError(FormatError):
    """A recording is corrupted or truncated after some position.

    Args:
        message: Message with the file, the position (byte or event number), the value found and the value expected.
        remedies: Solutions.
        lost: Amount of data that may be lost after that position, in words, such as `3 bytes`.
    """

    def __init__(self, message: str, *remedies: Remedy, lost: str = "") -> None:
        super().__init__(message, *remedies)
        self.lost = lost


class VideoError(DvspipeError):
    """A video cannot be opened or decoded, or its frames do not fit together."""


class TruncatedVideoError(VideoError):
    """A video ends before its last frame.

    Args:
        message: Message with the value found and the value expected.
        remedies: Solutions.
        at_us: Time of the last decoded frame in microseconds.
    """

    def __init__(self, message: str, *remedies: Remedy, at_us: int = 0) -> None:
        super().__init__(message, *remedies)
        self.at_us = at_us


class DataError(DvspipeError):
    """A data set is incomplete, contradicts itself, or does not fit the network."""


class CheckpointError(DvspipeError):
    """A file is not a dvspipe checkpoint, or not one that this version reads."""


class WorkerError(DvspipeError):
    """A worker process crashed, was killed, or could not start."""
