"""Terminal output: results, messages, progress and errors."""

from __future__ import annotations

import io
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NoReturn

from pydantic_core import to_json
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..base.errors import escape_controls
from ..base.progress import CurrentStep, estimate_left_s
from ..base.texts import COLUMN_GAP, TextTable

MAX_COLUMNS = 10_000  # width of lines in files and pipes
LINE_EVERY_S = 7.0  # interval of progress lines in a file or pipe
REPORT_EVERY_S = 1.0  # work with reports at shorter intervals is stopped by the next one
MAX_COUNT = 1e6  # larger amounts, such as microseconds, are shown in percent
BAR_COLUMNS = 20
MIN_PATH = 24  # characters of a path in a table
EXIT_SOME_FAILED = 1
EXIT_ERROR = 2
EXIT_CLOSED_PIPE = 141  # 128 + SIGPIPE, as shells report it


class _Console(Console):
    """Console for untrusted text, such as file names with control characters or rich markup.

    rich's own console prints escape sequences unchanged, and wraps lines at 80 columns in pipes.

    Attributes:
        as_json: Whether results are lines of JSON.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        # wrap lines between words on a terminal only
        on_terminal = (sys.stderr if stderr else sys.stdout).isatty()
        width = None if on_terminal else MAX_COLUMNS
        super().__init__(stderr=stderr, highlight=False, soft_wrap=not on_terminal, markup=False, width=width)
        self.as_json = False

    def on_broken_pipe(self) -> None:
        """End the command, because the reader closed standard output."""
        close_output()

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of an object, with control characters escaped except for styles."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escape_controls(segment.text), segment.style)


screen = _Console()
"""Results, on standard output."""
messages = _Console(stderr=True)
"""Errors, warnings, notes and progress, on standard error."""


def accept_all_texts() -> None:
    """Escape characters missing from the encoding of standard output and error, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _LogLines(logging.Handler):
    """Log handler: print a line per message, and equal ones once; rich's own handler wraps lines."""

    def __init__(self, spell: Callable[[str], str]) -> None:
        super().__init__()
        self._spell = spell
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = self._spell(" ".join(record.getMessage().split()))
        if text not in self._printed:  # for example, a command opens a data set several times, or each worker compiles
            self._printed.add(text)
            level = "warning: " if record.levelno == logging.WARNING else ""
            messages.print(Text.assemble((level, "yellow"), text))


def show_log(level: int, spell: Callable[[str], str] = str) -> None:
    """Print log records of the package with at least this level, with options as `spell` returns them."""
    log = logging.getLogger("dvspipe")
    log.handlers = [_LogLines(spell)]
    log.propagate = False  # Norse gives the root logger a handler, which would print each line again
    log.setLevel(level)


def show_result(result: object) -> str:
    """Print what a function has returned: its text, or a line of JSON for each record.

    Returns:
        What is wrong with the records, for the exit code; empty: nothing.
    """
    records = result if isinstance(result, list | tuple) else [result]
    judged = [result] if hasattr(result, "problem") else records
    problem = "; ".join(filter(None, (getattr(record, "problem", "") for record in judged)))
    if screen.as_json:
        for record in records:
            plain = record.to_record() if hasattr(record, "to_record") else record
            sys.stdout.write(to_json(plain, inf_nan_mode="null", fallback=vars).decode() + "\n")
        return problem

    for record in [result] if hasattr(result, "describe") else records:
        for part in record.describe() if hasattr(record, "describe") else [str(record)]:
            screen.print(_fit(part) if isinstance(part, TextTable) else Text(part))
    return problem


def _fit(table: TextTable) -> Table:
    """Return a table that fits the screen: without optional columns and the middle of paths, if it would be cut."""
    lines = [table.headings, *table.rows] if table.headings else table.rows
    widths = [max(map(cell_len, column)) + COLUMN_GAP for column in zip(*lines, strict=True)]

    shown = list(range(len(widths)))
    for heading in table.optional:
        if sum(widths[k] for k in shown) > screen.width + COLUMN_GAP:
            shown.remove(table.headings.index(heading))

    excess = sum(widths[k] for k in shown) - COLUMN_GAP - screen.width
    fitted = Table(box=None, padding=(0, COLUMN_GAP, 0, 0), pad_edge=False, show_header=bool(table.headings))
    for k in shown:
        heading = table.headings[k] if table.headings else ""
        is_right = heading in table.right
        fitted.add_column(heading, justify="right" if is_right else "left", overflow="fold", no_wrap=is_right)
    for row in table.rows:
        cells = [row[k] for k in shown]
        if excess > 0 and table.paths:
            place = table.headings.index(table.paths)
            cells[place] = _shorten_path(row[place], max(MIN_PATH, widths[place] - COLUMN_GAP - excess))
        fitted.add_row(*cells)
    return fitted


def _shorten_path(path: str, most: int) -> str:
    """Return a path of at most `most` characters, without its middle: most of the name is at the end."""
    if len(path) <= most:
        return path
    start = most // 3
    return f"{path[:start]}...{path[start + 3 - most :]}"


class Display:
    """Progress callback that shows the amount done and the remaining time, as a bar or as occasional lines.

    Args:
        stage: Name of the work.

    Attributes:
        quiet: Whether to show nothing.
    """

    def __init__(self, stage: str) -> None:
        self.quiet = False
        self._is_stopped = False
        self._reported_s = -math.inf
        self._stage = stage
        self._start_s = self._printed_s = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(BAR_COLUMNS),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=messages,
            transient=True,
        )
        self._task = self._bar.add_task(stage, total=None, amount="")

    def __call__(self, done: float, total: float) -> None:
        """Show the amount done."""
        self.show_step(done, total, CurrentStep((), done, total))

    def stop(self, *_: object) -> None:
        """Stop the work; a handler of signals.

        Work that reports its amount often is stopped by its next report. An exception here would often be lost: a
        signal arrives where a compiled loop ends and Python releases objects, and there it ignores exceptions.

        Raises:
            KeyboardInterrupt: If there was no report for a second, or at the second signal.
        """
        waits = not self._is_stopped and time.monotonic() - self._reported_s < REPORT_EVERY_S
        self._is_stopped = True
        if not waits:
            raise KeyboardInterrupt

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        """Show the amount done, and the step that is being done."""
        self._reported_s = time.monotonic()
        if self._is_stopped:
            raise KeyboardInterrupt
        if self.quiet:
            return

        names = (os.path.basename(step.names[0]), *step.names[1:][-1:]) if step.names else ()
        work = escape_controls(" ".join((self._stage, *names)))
        amount = _describe_amount(done, total)
        if messages.is_terminal:
            self._bar.start()  # it does nothing after the first time
            self._bar.update(self._task, completed=done, total=total or None, description=work, amount=amount)
        else:
            self._print_line(work, amount, done, total)

    def _print_line(self, work: str, amount: str, done: float, total: float) -> None:
        """Print a line if it is due."""
        now_s = time.monotonic()
        if now_s - self._printed_s < LINE_EVERY_S:
            return

        self._printed_s = now_s
        spent_s = now_s - self._start_s
        left_s = estimate_left_s(done, total, spent_s)
        left = "" if left_s is None else f", {timedelta(seconds=round(left_s))} left"
        messages.print(f"{work}: {amount}, {timedelta(seconds=int(spent_s))}{left}")

    def close(self) -> None:
        """Clear the bar.

        Raises:
            KeyboardInterrupt: If the work was stopped, however it ended.
        """
        if self._bar.live.is_started:  # stopping prints an empty line if there was no bar
            self._bar.stop()
        if self._is_stopped:
            raise KeyboardInterrupt


def _describe_amount(done: float, total: float) -> str:
    if 0 < total <= 1 or total > MAX_COUNT:
        return f"{100 * min(1.0, done / total):.0f} %"
    return f"{int(done):,}" + (f" of {int(total):,}" if total else "")


def fail(message: str, code: int = EXIT_ERROR) -> NoReturn:
    """Print an error line and exit with `code`."""
    messages.print(Text.assemble(("dvspipe: ", "red"), " ".join(message.split())))
    sys.exit(code)


def close_output() -> NoReturn:
    """Exit without a message, because the reader closed standard output."""
    # Otherwise, Python fails again when it flushes standard output at exit.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    sys.exit(EXIT_CLOSED_PIPE)
