"""Run dvspipe commands in the test process."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from dvspipe.cli.app import main


@dataclass(frozen=True)
class Done:
    """Exit code and output of a command."""

    returncode: int
    stdout: str
    stderr: str


def dvspipe(*arguments: object, cwd: Path, code: int | None = 0) -> Done:
    """Run a command in this process, from argv to the exit code."""
    out, err = io.StringIO(), io.StringIO()
    argv, folder, handler = sys.argv, Path.cwd(), signal.getsignal(signal.SIGINT)
    sys.argv = ["dvspipe", *map(str, arguments)]
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        found = 0
    except SystemExit as stop:
        found = int(stop.code or 0)
    finally:
        os.chdir(folder)
        sys.argv = argv
        signal.signal(signal.SIGINT, handler)
    done = Done(found, out.getvalue(), err.getvalue())
    assert code is None or done.returncode == code, done.stdout + done.stderr
    if code:
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done
