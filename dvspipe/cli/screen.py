"""Terminal output: results, messages, progress, tables and errors."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NoReturn

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..base import kernels
from ..base.errors import DvspipeError, escape_controls
from ..base.texts import COLUMN_GAP, TextTable, show_name
from .activity import WORKING, CommandState, ShowProgress
from .interrupts import EXIT_INTERRUPTED, Interrupt

if TYPE_CHECKING:
    from rich.live import Live

    from ..base.progress import CurrentStep

MAX_TABLE_COLUMNS = 10_000  # width of tables in files and pipes
MIN_WRAPPED_COLUMNS = 40  # optional text is not shown in narrower columns
EXIT_SOME_FAILED = 1
EXIT_ERROR = 2
EXIT_CLOSED_PIPE = 141  # 128 + SIGPIPE, as shells report it

COMPILATION_LOG = logging.getLogger(kernels.__name__)
DRAW_AFTER_S = 1.0  # time without progress until the first drawing on a terminal; short commands draw nothing
DRAWINGS_PER_S = 4.0
POLL_S = 0.5  # interval of looking for a line that is due in a file or pipe


class _Console(Console):
    """Console for untrusted text, such as file names with control characters or rich markup.

    rich's own console prints escape sequences unchanged, and wraps lines at 80 columns in pipes.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        # wrap lines between words on a terminal only
        on_terminal = (sys.stderr if stderr else sys.stdout).isatty()
        super().__init__(stderr=stderr, highlight=False, soft_wrap=not on_terminal, markup=False)

    def on_broken_pipe(self) -> None:
        """End the command, because the reader closed standard output."""
        close_output()

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of an object, with control characters escaped except for styles."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escape_controls(segment.text), segment.style)


screen = _Console()
"""Results, on standard output."""
notes = _Console()
"""Additional information on standard output; --quiet suppresses it, like progress."""
messages = _Console(stderr=True)
"""Errors, warnings and progress, on standard error."""


def accept_all_texts() -> None:
    """Escape characters missing from the encoding of standard output and error, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _LogLines(logging.Handler):
    """Log handler: print a line per message, and equal warnings once; rich's own handler wraps lines."""

    def __init__(self) -> None:
        super().__init__()
        self._warned: set[str] = set()
        self._traceback = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        text = show_name(record.getMessage())
        if text in self._warned:  # for example, a command opens a data set several times
            return
        if record.levelno >= logging.WARNING:
            self._warned.add(text)
        messages.print(Text(text))
        if record.exc_info:  # a defect; the text is what a report needs
            messages.print(Text(self._traceback.formatException(record.exc_info)))


class _FirstRecord(logging.Filter):
    """Log filter: pass only the first record; each worker process logs one."""

    _passed = False

    def filter(self, _: logging.LogRecord) -> bool:
        passes = not self._passed
        self._passed = True
        return passes


def show_log(level: int) -> None:
    """Print log records of the package with at least this level, and one note on kernel compilation unless quiet."""
    log = logging.getLogger("dvspipe")
    for handler in [handler for handler in log.handlers if isinstance(handler, _LogLines)]:
        log.removeHandler(handler)  # left by an earlier command in this process

    log.addHandler(_LogLines())
    log.setLevel(level)

    COMPILATION_LOG.filters = [_FirstRecord()]
    COMPILATION_LOG.disabled = notes.quiet


def describe_error(error: DvspipeError) -> str:
    """Return the error message in one line."""
    return " ".join(str(error).split())


def fail(message: str, code: int) -> None:
    """Print an error line and exit with `code`; after Ctrl-C, use its message and exit code instead."""
    if Interrupt.number is not None:
        message = Interrupt.describe()
        code = EXIT_INTERRUPTED
        Interrupt.is_reported = True

    messages.print(Text.assemble(("dvspipe: ", "red"), " ".join(message.split())))
    sys.exit(code)


def choose_exit_code(failed: int, inputs: int) -> int:
    """Return the exit code of a command with several inputs: 2 if all failed, otherwise 1."""
    return EXIT_ERROR if failed == inputs else EXIT_SOME_FAILED


def fail_inputs(failed: int, inputs: int, what: str) -> None:
    """Print how many inputs failed, and exit with `choose_exit_code`; return if none failed."""
    if failed:
        fail(f"{failed:,} of {inputs:,} {what}", choose_exit_code(failed, inputs))


def close_output() -> NoReturn:
    """Exit without a message, because the reader closed standard output."""
    # Otherwise, Python fails again when it flushes standard output at exit.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    sys.exit(EXIT_CLOSED_PIPE)


def skip(error: DvspipeError) -> None:
    """Print that one of several inputs is skipped, with the error."""
    messages.print(Text.assemble(("skipped: ", "yellow"), describe_error(error)))


def warn(text: str) -> None:
    """Print a warning."""
    messages.print(Text.assemble(("warning: ", "yellow"), show_name(text)))


@dataclass(frozen=True)
class _Cell:
    """Text that is folded between words; a word longer than a line is folded after a separator, or anywhere."""

    text: str

    def __rich_measure__(self, _console: Console, _options: ConsoleOptions) -> Measurement:
        return Measurement(1, cell_len(self.text))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [""]
        for word in re.findall(r"\S+\s*|\s+", self.text):
            is_long = cell_len(word.rstrip()) > options.max_width
            for part in re.findall(r"[^/_-]+[/_-]*|[/_-]+", word) if is_long else [word]:
                if lines[-1] and cell_len(lines[-1] + part.rstrip()) > options.max_width:
                    lines.append("")
                lines[-1] += part

        yield Text("\n".join(line.rstrip() for line in lines))


def print_parts(*parts: str | TextTable) -> None:
    """Print lines and tables of results."""
    for part in parts:
        screen.print(_FittedTable(part) if isinstance(part, TextTable) else Text(part))


@dataclass(frozen=True)
class _FittedTable:
    """Table that fits the terminal; no cell is ever cut.

    On a terminal, optional columns wrap, and are omitted if they would become narrower than `MIN_WRAPPED_COLUMNS`.
    Other columns wrap only if they do not fit alone. Files and pipes get all columns, in lines of any width.
    """

    table: TextTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table; in files and pipes, as wide as its content."""
        width = options.max_width if console.is_terminal else MAX_TABLE_COLUMNS
        shown, fits = self._choose_columns(width)

        shown_table = Table(
            box=None, padding=(0, COLUMN_GAP, 0, 0), pad_edge=False, show_header=bool(self.table.headings)
        )
        # If the columns fit, only optional ones may wrap.
        for k in shown:
            heading = self.table.headings[k] if self.table.headings else ""
            shown_table.add_column(
                heading,
                justify="right" if heading in self.table.right else "left",
                overflow="fold",
                no_wrap=fits and heading not in self.table.optional,
            )

        for row in self.table.rows:
            shown_table.add_row(*(_Cell(row[k]) for k in shown))

        rendered = console.render(shown_table, options.update(max_width=width))
        return rendered if console.is_terminal else _strip_trailing_blanks(rendered)

    def _choose_columns(self, width: int) -> tuple[list[int], bool]:
        """Return the indices of the columns to show in lines of `width` characters, and whether they fit."""
        lines = [self.table.headings, *self.table.rows] if self.table.headings else self.table.rows
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        optional = [self.table.headings.index(heading) for heading in self.table.optional]
        # Optional columns wrap, down to this width.
        for k in optional:
            widths[k] = min(widths[k], MIN_WRAPPED_COLUMNS)

        # Omit optional columns, the least important first, until the others fit.
        shown = list(range(len(widths)))
        while not (fits := sum(widths[k] + COLUMN_GAP for k in shown) - COLUMN_GAP <= width) and optional:
            shown.remove(optional.pop(0))
        return shown, fits


def _strip_trailing_blanks(rendered: Iterable[Segment]) -> Iterator[Segment]:
    """Yield lines without trailing blanks, the padding of the last column."""
    for line in Segment.split_lines(rendered):
        yield Segment("".join(segment.text for segment in line).rstrip() + "\n")


class _Display:
    """Shows the activity of the running command, from a thread of its own.

    On a terminal, one or two lines are redrawn below the output. In a file or pipe, it prints a line now and then.

    Attributes:
        running: Display of the running command; None: no command is running.
    """

    running: ClassVar[_Display | None] = None

    def __init__(self) -> None:
        self.activity = CommandState(time.monotonic())
        self._stopped = threading.Event()
        self._drawing = threading.Lock()
        self._live: Live | None = None
        self._thread = threading.Thread(target=self._run, name="progress")
        self._thread.start()

    def draw(self) -> None:
        """Draw on a terminal from now on; results and notes are printed above, if they go to the terminal, too."""
        with self._drawing:
            if self._live is not None or self._stopped.is_set() or not messages.is_terminal:
                return

            from rich.live import Live

            self._live = Live(
                get_renderable=lambda: self.activity.draw(time.monotonic()),
                console=messages,
                transient=True,
                refresh_per_second=DRAWINGS_PER_S,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start(refresh=True)

            # Hooks print results and notes above the drawing; rich installs one only for the console that it draws on.
            for console in _terminals():
                console.push_render_hook(self._live)

    def stop(self) -> None:
        """End the thread, and clear the drawing."""
        # The thread may be about to draw, so it ends first.
        self._stopped.set()
        self._thread.join()

        if self._live is not None:
            for console in _terminals():
                console.pop_render_hook()
            self._live.stop()

    def _run(self) -> None:
        if messages.is_terminal:
            if not self._stopped.wait(DRAW_AFTER_S):
                self.draw()
            return

        while not self._stopped.wait(POLL_S):
            if (line := self.activity.next_line(time.monotonic())) is not None:
                messages.print(line)


def _terminals() -> list[Console]:
    """List the consoles of standard output that are a terminal."""
    return [console for console in (screen, notes) if console.is_terminal]


@contextmanager
def show_activity() -> Iterator[CommandState]:
    """Show what a command is doing until the block ends: what it reports with `progress`, and the elapsed time.

    Yields:
        CommandState to update; inside another block, its activity.
    """
    if _Display.running is not None or notes.quiet:
        yield _Display.running.activity if _Display.running is not None else CommandState(time.monotonic())
        return

    _Display.running = display = _Display()
    try:
        yield display.activity
    finally:
        display.stop()
        _Display.running = None


@contextmanager
def progress() -> Iterator[ShowProgress]:
    """Yield a callback that shows progress and the remaining time, with a new bar for each stage.

    Without a terminal, it prints occasional lines. After Ctrl-C, the next call raises KeyboardInterrupt.
    """
    with show_activity() as activity:

        def show_or_stop(stage: str, done: float, total: float, step: CurrentStep | None = None, /) -> None:
            Interrupt.stop_if_requested()
            activity.update(time.monotonic(), stage, done, total, step)

        # Progress is drawn at once, other work only after DRAW_AFTER_S.
        if _Display.running is not None:
            _Display.running.draw()

        Interrupt.shows_progress = True
        try:
            yield show_or_stop
        finally:
            Interrupt.shows_progress = False
            activity.enter(WORKING, time.monotonic())
