"""Run dvspipe commands in the test process."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dvspipe.cli.app import main
from dvspipe.cli.screen import screen

INTERRUPTED = 130


@dataclass(frozen=True)
class Done:
    """Exit code and output of a command."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


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


def dvspipe(*arguments: object, cwd: Path = Path(), code: int | None = 0, columns: int | None = None) -> Done:
    """Run a command in this process, from argv to the exit code; with `columns`, its results go to a terminal."""
    results = open_terminal(columns) if columns else contextlib.redirect_stdout(io.StringIO())
    err = io.StringIO()
    argv, folder = sys.argv, Path.cwd()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    sys.argv = ["dvspipe", *map(str, arguments)]
    os.chdir(cwd)
    try:
        with results as out, contextlib.redirect_stderr(err):
            main()
        found = 0
    except SystemExit as stop:
        found = int(stop.code or 0)
    except KeyboardInterrupt:
        found = INTERRUPTED
    finally:
        os.chdir(folder)
        sys.argv = argv
        for number, handler in handlers.items():
            signal.signal(number, handler)
        screen.as_json = False
        logging.getLogger("dvspipe").propagate = True  # as before the command, for other tests
    done = Done(found, out.getvalue(), err.getvalue())
    assert code is None or done.returncode == code, done.stdout + done.stderr
    if code:
        errors = [line for line in done.stderr.splitlines() if line.startswith("dvspipe: ")]
        assert errors == done.stderr.splitlines()[-1:], done.stderr
    return done
