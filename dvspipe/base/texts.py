"""Texts of results: the lines and tables that `print` and the command line show.

A result whose text has several lines is `Described`. The command line prints the same parts, and fits the tables to the
width of the terminal.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from .errors import escape_controls

NEAR = 0.75  # similarity of a mistyped name: bims and bins, but not plot and export
COLUMN_GAP = 2  # blanks between the columns of a table


def show_name(name: object) -> str:
    r"""Escape newlines and other control characters, for output in one line.

    Example:
        >>> print(show_name("clip\n.h5"))
        clip\n.h5
    """
    return escape_controls(str(name)).replace("\n", "\\n")


def readable(class_name: str) -> str:
    """Return the display name of a class.

    Example:
        >>> readable("right_hand_wave")
        'right hand wave'
    """
    return class_name.replace("_", " ")


@lru_cache(maxsize=64)
def warn_once(text: str) -> None:
    """Log a warning, once: a source is planned, opened and read several times."""
    logging.getLogger("dvspipe").warning("%s", text)


def find_similar(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, or None."""
    return next(iter(difflib.get_close_matches(name, known, 1, NEAR)), None)


class TextTable:
    """Table without borders.

    Args:
        headings: Column headings; without headings, rows define the number of columns.
        right: Headings of right-aligned columns.
        optional: Headings of columns that narrow terminals do not show, the least important first.
        paths: Heading of a column of paths, which narrow terminals shorten in the middle.

    Attributes:
        rows: Texts of the cells.

    Example:
        >>> table = TextTable("class", "windows", right=("windows",))
        >>> table.add_row("left", 12)
        >>> print(table)
        class  windows
        left        12
    """

    def __init__(
        self, *headings: str, right: Collection[str] = (), optional: Sequence[str] = (), paths: str = ""
    ) -> None:
        self.headings = headings
        self.right = right
        self.optional = optional
        self.paths = paths
        self.rows: list[list[str]] = []

    def add_row(self, *cells: object) -> None:
        """Add a row; control characters in its cells are escaped."""
        self.rows.append([show_name(cell) for cell in cells])

    def __str__(self) -> str:
        lines = [self.headings, *self.rows] if self.headings else self.rows
        columns = []
        for number, cells in enumerate(zip(*lines, strict=True)):
            width = max(map(len, cells))
            is_right = bool(self.headings) and self.headings[number] in self.right
            columns.append([cell.rjust(width) if is_right else cell.ljust(width) for cell in cells])

        gap = " " * COLUMN_GAP
        return "\n".join(gap.join(cells).rstrip() for cells in zip(*columns, strict=True))


class Described:
    """Base of results whose text has several lines or tables; their `repr` has one line."""

    __slots__ = ()

    def describe(self) -> Sequence[str | TextTable]:
        """Return the lines and tables of the text; by default the `repr`."""
        return [repr(self)]

    def __str__(self) -> str:
        return "\n".join(map(str, self.describe()))
