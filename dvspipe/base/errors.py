"""Exceptions for all errors that a user can cause. Messages address the person who typed the command.

    DvspipeError
    ├── ConfigError              a setting is unknown, wrong, or contradicts another
    ├── EventError               events break the rules of an event stream
    ├── FileError                a file is missing, already exists, or cannot be read or written
    │   └── FormatError          the content of a file is not what its format requires
    ├── VideoError               a video cannot be opened or decoded
    ├── DataError                a data set is incomplete or does not fit the network
    ├── CheckpointError          a file is not a checkpoint that this version reads
    ├── WorkerError              a worker process crashed, was killed, or could not start
    └── PartialError               some of several inputs failed; it has the results of the others

A message names a parameter as Python does, `overwrite`, `fit=scale`; the command line shows it as an option.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import PurePath
from typing import Self

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, and surrogates (file name bytes outside UTF-8)."""
MAX_SHOWN = 8  # items of a collection in a `repr`


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
        >>> from dataclasses import dataclass
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


class DvspipeError(Exception):
    """Base class of all errors that a user can cause.

    The message names the file, the value found and the value expected, and says what to do. It names a setting as in
    `fit=scale`, and as in `overwrite` to turn it on.

    Example:
        >>> print(FileError("already exists; use overwrite to replace it").named("a.h5"))
        a.h5: already exists; use overwrite to replace it
    """

    def named(self, name: str) -> Self:
        """Return a copy with the name of a file or sample before the message, unless the message starts with it."""
        if str(self).startswith(name):
            return self

        error = copy.copy(self)
        error.args = (f"{name}: {self}",)
        return error


class ConfigError(DvspipeError):
    """A setting is unknown, has a wrong value, or contradicts another."""


class EventError(DvspipeError):
    """Events break the rules of an event stream: order, range, or matching lengths.

    Args:
        message: Message with the value found and the value expected.
        is_unsorted: Whether the broken rule is the order of times.
    """

    def __init__(self, message: str, *, is_unsorted: bool = False) -> None:
        super().__init__(message)
        self.is_unsorted = is_unsorted


class FileError(DvspipeError):
    """A file is missing, already exists, or cannot be read or written."""


class FormatError(FileError):
    """The content of a file is not what its format requires."""


class VideoError(DvspipeError):
    """A video cannot be opened or decoded, or its frames do not fit together."""


class DataError(DvspipeError):
    """A data set is incomplete, contradicts itself, or does not fit the network."""


class CheckpointError(DvspipeError):
    """A file is not a dvspipe checkpoint, or not one that this version reads."""


class WorkerError(DvspipeError):
    """A worker process crashed, was killed, or could not start."""


class PartialError(DvspipeError):
    """Some of several inputs failed; the others are done.

    Args:
        message: Number of inputs that failed.
        results: Results of the others, without those that existed already.
        all_failed: Whether every input failed.
    """

    def __init__(self, message: str, results: Sequence[object] = (), *, all_failed: bool = False) -> None:
        super().__init__(message)
        self.results = results
        self.all_failed = all_failed
