"""The screen: output, messages, progress, Ctrl-C, and how errors look."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..errors import DvspipeError, Remedy

WIDEST = 10_000  # columns of a table in a file
EXIT_SOME_FAILED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

screen = Console(highlight=False, soft_wrap=True, markup=False)  # file names may look like markup
messages = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

ShowProgress = Callable[[str, int, int], None]
"""Called with a stage, how much of it is done, and how much there is (0 if unknown)."""


class Interrupt:
    """Whether Ctrl-C was typed; a signal handler cannot have another state.

    Work is stopped at its next progress, not at once, because Python drops an exception that is raised inside a
    destructor. The second time, or while no progress is shown, it is stopped at once.
    """

    requested = False
    shows_progress = False

    @classmethod
    def handle(cls, *_: object) -> None:
        """Handle SIGINT."""
        if cls.requested or not cls.shows_progress:
            raise KeyboardInterrupt
        cls.requested = True


class _LogLines(logging.Handler):
    """Print a line per message; rich's own handler wraps them."""

    def emit(self, record: logging.LogRecord) -> None:
        messages.print(Text(record.getMessage()))


def show_log(level: int) -> None:
    """Print what the package logs, from a level on."""
    log = logging.getLogger("dvspipe")
    if not any(isinstance(handler, _LogLines) for handler in log.handlers):
        log.addHandler(_LogLines())
    log.setLevel(level)


def describe_error(error: DvspipeError) -> str:
    """Return the message of an error in one line, with its remedies as options of the command line."""
    return " ".join(error.describe(as_option).split())


def as_option(remedy: Remedy) -> str:
    """Return a remedy as an option, or as KEY=VALUE if it is a setting.

    Example:
        >>> as_option(Remedy("overwrite", True, "replace it")), as_option(Remedy("hints.columns", "txyp"))
        ('--overwrite to replace it', '--hint columns=txyp')
    """
    outer, _, field = remedy.setting.rpartition(".")
    if outer == "hints":
        return remedy.explain(f"--hint {field}={remedy.value}")
    if outer:
        return remedy.explain(f"{remedy.setting}={remedy.value}")
    option = f"--{field.removesuffix('_us').removesuffix('_s').replace('_', '-')}"
    if field.endswith("_us") and isinstance(remedy.value, int):
        return remedy.explain(f"{option} {remedy.value / 1000:g}")  # options are in ms
    return remedy.explain(option if remedy.value is True else f"{option} {remedy.value}")


def fail(message: str, code: int) -> None:
    """End the command with a line and an exit code."""
    messages.print(Text.assemble(("dvspipe: ", "red"), " ".join(message.split())))
    sys.exit(code)


def skip(error: DvspipeError) -> None:
    """Print that one of several inputs is skipped, and why."""
    messages.print(Text.assemble(("skipped: ", "yellow"), describe_error(error)))


def warn(text: str) -> None:
    """Print a warning."""
    messages.print(Text.assemble(("warning: ", "yellow"), text))


class _Table(Table):
    """A table whose cells wrap only on a terminal, and only if `wraps`."""

    wraps = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render it, in a file or pipe with the width of its content."""
        wraps = self.wraps and console.is_terminal
        return super().__rich_console__(console, options if wraps else options.update(max_width=WIDEST))


def make_table(*headings: str, right: tuple[str, ...] = (), wraps: bool = True) -> Table:
    """Return a table without lines.

    Args:
        headings: One per column; without any, rows make columns.
        right: Those of columns that are aligned to the right.
        wraps: Whether cells wrap on a terminal; in a file or pipe they do not.
    """
    table = _Table(box=None, padding=(0, 2, 0, 0), show_header=bool(headings))
    table.wraps = wraps
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in right else "left")
    return table


@contextmanager
def progress(*, polled: bool = True) -> Iterator[ShowProgress]:
    """Yield a function that shows progress with the time left; a new stage starts a new bar.

    Args:
        polled: Whether it is called often enough for Ctrl-C to wait for the next call; else Ctrl-C stops at once.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bars:
        current: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if Interrupt.requested:
                raise KeyboardInterrupt
            if stage not in current:
                for old in current.values():
                    bars.remove_task(old)
                current.clear()
                current[stage] = bars.add_task(stage, total=total or None)
            bars.update(current[stage], completed=done, total=total or None)

        Interrupt.shows_progress = polled
        try:
            yield show
        finally:
            Interrupt.shows_progress = False
