"""Run dvspipe commands in the test process."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dvspipe.base.interrupts import SIGNALS
from dvspipe.base.kernels import COMPILING
from dvspipe.cli.app import main
from dvspipe.cli.interrupts import Interrupt
from dvspipe.cli.screen import screen


@dataclass(frozen=True)
class Done:
    """Exit code and output of a command."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@contextlib.contextmanager
def keep_signal_handlers() -> Iterator[None]:
    """Restore the signal handlers that commands replace."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def open_terminal(columns: int) -> Iterator[io.StringIO]:
    """Send results to a terminal of this width during the block, and yield its text."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(_Terminal()) as terminal:
        patch.setenv("TERM", "xterm")
        patch.setattr(screen, "width", columns)
        yield terminal


def _end_on_signal() -> None:
    """End the tests if the command has taken a signal that was for them, as of `timeout`; it exits with 130 only."""
    if Interrupt.number is not None:
        Interrupt.number = None
        Interrupt.is_reported = False
        raise KeyboardInterrupt


def dvspipe(*arguments: object, cwd: Path = Path(), code: int | None = 0, columns: int | None = None) -> Done:
    """Run a command in this process, from argv to the exit code; with `columns`, its results go to a terminal."""
    results = open_terminal(columns) if columns else contextlib.redirect_stdout(io.StringIO())
    err = io.StringIO()
    argv, folder = sys.argv, Path.cwd()
    sys.argv = ["dvspipe", *map(str, arguments)]
    os.chdir(cwd)
    try:
        with keep_signal_handlers(), results as out, contextlib.redirect_stderr(err):
            main()
        found = 0
    except SystemExit as stop:
        found = int(stop.code or 0)
    finally:
        os.chdir(folder)
        sys.argv = argv
    _end_on_signal()
    # The first command of a kind compiles its kernels; whether it does depends on earlier tests.
    done = Done(found, out.getvalue(), err.getvalue().replace(f"{COMPILING}\n", ""))
    assert code is None or done.returncode == code, done.stdout + done.stderr
    if code:
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done
