"""The screen: output, messages, progress, Ctrl-C, and how errors look."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

from ..errors import DvspipeError, Remedy, escape_controls
from ..numba_cache import watch_compilation
from .interrupts import EXIT_INTERRUPTED, INTERRUPTED, Interrupt

WIDEST = 10_000  # columns of a table in a file
EXIT_SOME_FAILED = 1
EXIT_ERROR = 2
EXIT_CLOSED_PIPE = 141  # 128 + SIGPIPE, as a shell shows it of other programs

COMPILATION_LOG = logging.getLogger(watch_compilation.__module__)
KEYS = frozenset({"fps", "scale", "time_unit", "timestamps"})
"""Arguments of remedies that are settings of the command line, besides those of `config`."""
LINE_EVERY_S = 10.0  # without a terminal
MAX_LINES = 12  # of a stage, without a terminal


class _Console(Console):
    """A console for texts that may contain control characters or look like markup, as names of files may.

    rich prints an escape sequence in the name of a file as it is, and wraps lines of a pipe at 80 columns.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        # on a terminal, lines are wrapped between words; elsewhere they stay as they are
        on_terminal = (sys.stderr if stderr else sys.stdout).isatty()
        super().__init__(stderr=stderr, highlight=False, soft_wrap=not on_terminal, markup=False)

    def on_broken_pipe(self) -> None:
        """End the command, whose standard output nobody reads."""
        close_output()

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Return what is printed for an object, without control characters except those of styles."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escape_controls(segment.text), segment.style)


screen = _Console()
"""For results."""
notes = _Console()
"""For information that is no result, which --quiet suppresses, with progress."""
messages = _Console(stderr=True)
"""For errors, warnings and progress."""

ShowProgress = Callable[[str, float, float], None]
"""Called with a stage, how much of it is done, and how much there is (0 if unknown)."""


def accept_all_texts() -> None:
    """Let standard output and error escape what their encoding does not have, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _LogLines(logging.Handler):
    """Print a line per message, and the same warning once; rich's own handler wraps them."""

    def __init__(self) -> None:
        super().__init__()
        self._warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = show_name(record.getMessage())
        if text in self._warned:  # such as of a data set that a command opens several times
            return
        if record.levelno >= logging.WARNING:
            self._warned.add(text)
        messages.print(Text(text))


class _Once(logging.Filter):
    """Let the first record pass; each worker process logs one."""

    _passed = False

    def filter(self, _: logging.LogRecord) -> bool:
        passes, self._passed = not self._passed, True
        return passes


def show_log(level: int) -> None:
    """Print what the package logs, from a level on, and once that kernels are compiled, unless notes are suppressed."""
    log = logging.getLogger("dvspipe")
    for handler in [each for each in log.handlers if isinstance(each, _LogLines)]:
        log.removeHandler(handler)  # of an earlier command in this process
    log.addHandler(_LogLines())
    log.setLevel(level)
    COMPILATION_LOG.filters = [_Once()]
    COMPILATION_LOG.disabled = notes.quiet


def show_name(name: object) -> str:
    r"""Return a text for one line, such as the name of a file, with escapes in place of newlines and other controls.

    Example:
        >>> print(show_name("clip\n.h5"))
        clip\n.h5
    """
    return escape_controls(str(name)).replace("\n", "\\n")


def describe_error(error: DvspipeError) -> str:
    """Return the message of an error in one line, with its remedies as options of the command line."""
    return " ".join(error.describe(as_option).split())


def as_option(remedy: Remedy) -> str:
    """Return a remedy as an option, or as KEY=VALUE if it is a setting of a data set or a training.

    Example:
        >>> as_option(Remedy("overwrite", True, "replace it")), as_option(Remedy("hints.columns", "txyp"))
        ('--overwrite to replace it', '--hint columns=txyp')
        >>> as_option(Remedy("config.stateful", False, "classify windows"))
        '--set stateful=false to classify windows'
    """
    outer, _, field = remedy.setting.rpartition(".")
    if outer == "hints":
        return remedy.explain(f"--hint {field}={remedy.value}")
    if outer and outer != "config":
        return remedy.explain(f"{remedy.setting}={remedy.value}")
    if outer or field in KEYS:
        value = str(remedy.value).lower() if isinstance(remedy.value, bool) else remedy.value
        return remedy.explain(f"--set {field}={value}")
    option = f"--{'-'.join(remedy.words)}"
    if field.endswith("_us") and isinstance(remedy.value, int):
        return remedy.explain(f"{option} {remedy.value / 1000:g}")  # options are in ms
    if remedy.value is False:
        option = f"no {option}"
    return remedy.explain(option if isinstance(remedy.value, bool) else f"{option} {remedy.value}")


def fail(message: str, code: int) -> None:
    """End the command with a line and an exit code; those of Ctrl-C if it was typed."""
    if Interrupt.requested:
        message, code = INTERRUPTED, EXIT_INTERRUPTED
        if not Interrupt.claim_report():
            sys.exit(code)
    messages.print(Text.assemble(("dvspipe: ", "red"), " ".join(message.split())))
    sys.exit(code)


def close_output() -> NoReturn:
    """End the command without a message, because the program that reads standard output has closed it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python fails again at its exit
    sys.exit(EXIT_CLOSED_PIPE)


def skip(error: DvspipeError) -> None:
    """Print that one of several inputs is skipped, and why."""
    messages.print(Text.assemble(("skipped: ", "yellow"), describe_error(error)))


def warn(text: str) -> None:
    """Print a warning."""
    messages.print(Text.assemble(("warning: ", "yellow"), show_name(text)))


class _Table(Table):
    """A table whose cells wrap only on a terminal, and only if `wraps`; their control characters are escaped.

    It takes as long as rich's (38 and 39 ms for 300 rows), which wraps cells in a pipe, and pads lines to the width.
    """

    wraps = True

    def add_row(
        self, *renderables: RenderableType | None, style: StyleType | None = None, end_section: bool = False
    ) -> None:
        """Add a row, escaped before the widths of columns are chosen."""
        cells = [Text(show_name(cell)) for cell in renderables]
        super().add_row(*cells, style=style, end_section=end_section)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render it, in a file or pipe with the width of its content."""
        wraps = self.wraps and console.is_terminal
        shown = super().__rich_console__(console, options if wraps else options.update(max_width=WIDEST))
        return shown if console.is_terminal else _without_blanks(shown)


def _without_blanks(shown: RenderResult) -> RenderResult:
    """Yield lines without the blanks at their end, which pad the last column."""
    for line in Segment.split_lines(segment for segment in shown if isinstance(segment, Segment)):
        yield Segment("".join(segment.text for segment in line).rstrip() + "\n")


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
def progress() -> Iterator[ShowProgress]:
    """Yield a function that shows progress with the time left; a new stage starts a new bar.

    If messages do not go to a terminal, it prints a line now and then. Ctrl-C stops the work at the next call.
    """
    show: ShowProgress
    watch_compilation()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=messages,
        transient=True,
        disable=notes.quiet or not messages.is_terminal,
    ) as bars:
        show = _Lines() if bars.disable else _Bars(bars)

        def show_or_stop(stage: str, done: float, total: float) -> None:
            Interrupt.stop_if_requested()
            show(stage, done, total)

        Interrupt.shows_progress = True
        try:
            with _lines_above(bars):
                yield show_or_stop
        finally:
            Interrupt.shows_progress = False


def show_share(show: ShowProgress, recordings: int) -> Callable[[float, float], object]:
    """Return a progress that shows recordings, or the percentage of a single one."""
    if recordings == 1:
        return lambda done, _: show("percent", 100 * done, 100)
    return lambda done, total: show("recordings", done, total)


@contextmanager
def _lines_above(bars: Progress) -> Iterator[None]:
    """Print lines above the bar during the block if both are on a terminal, which has to be the same."""
    consoles = [console for console in (screen, notes) if console.is_terminal and not bars.disable]
    for console in consoles:
        console.push_render_hook(bars.live)
    try:
        yield
    finally:
        for console in consoles:
            console.pop_render_hook()


class _Bars:
    """Show progress as a bar."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._stage, self._task = "", TaskID(0)

    def __call__(self, stage: str, done: float, total: float) -> None:
        if stage != self._stage:
            for old in self._bars.task_ids:
                self._bars.remove_task(old)
            self._stage, self._task = stage, self._bars.add_task(stage, total=total or None)
        self._bars.update(self._task, completed=done, total=total or None)


class _Lines:
    """Print progress as a line now and then, at most MAX_LINES per stage, unless notes are suppressed.

    If it is not known how much there is, the time to the next line doubles each time.
    """

    def __init__(self) -> None:
        self._stage, self._from, self._next = "", 0.0, 0.0
        self._wait_s = LINE_EVERY_S
        self._begin_s = self._printed_s = time.monotonic()

    def __call__(self, stage: str, done: float, total: float) -> None:
        now_s = time.monotonic()
        if stage != self._stage:
            self._stage, self._from, self._begin_s = stage, done, now_s
            self._next, self._wait_s = done, LINE_EVERY_S
        if now_s - self._printed_s < self._wait_s or done < self._next or notes.quiet:
            return
        self._printed_s = now_s
        if total:
            self._next = done + total / (MAX_LINES - 1)
        else:
            self._wait_s *= 2
        from ..parallel.estimate import estimate_left_s

        left_s = estimate_left_s(done, total, now_s - self._begin_s, begin=self._from)
        left = "" if left_s is None else f", {timedelta(seconds=round(left_s))} left"
        messages.print(f"{stage}: {done:.0f}{f' of {total:.0f}' if total else ''}{left}")
