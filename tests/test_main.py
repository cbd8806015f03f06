"""The process of a command, from its start to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = """
import atexit, dvspipe.__main__ as command, os, sys, threading, time, types
class Kept:
    def __del__(self, write=os.write):
        write(1, b"cleared\\n")
def work():
    global kept
    kept = Kept()
    atexit.register(print, "callback")
    threading.Thread(target=lambda: time.sleep(0.1) or print("thread")).start()
    {ending}
sys.modules["dvspipe.cli.app"] = types.SimpleNamespace(main=work)
command.main()
print("after")
"""


def run(folder: Path, *, ending: str = "") -> tuple[int, list[str]]:
    """Run a command that keeps an object, a callback and a thread; return its exit code and output."""
    code = COMMAND.format(ending=ending)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_successful_command_ends_after_threads_and_callbacks(tmp_path: Path) -> None:
    assert run(tmp_path) == (0, ["after", "thread", "callback", "cleared"])


def test_interrupted_command_ends_without_clearing_memory(tmp_path: Path) -> None:
    assert run(tmp_path, ending="raise KeyboardInterrupt") == (-2, [])


def test_failed_command_keeps_its_exit_code(tmp_path: Path) -> None:
    assert run(tmp_path, ending="sys.exit(2)") == (2, ["thread", "callback", "cleared"])
