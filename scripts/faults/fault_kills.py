"""Kill commands at random times, repeat them, and compare their outputs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from fault_commands import LIMIT_S, Command, digest, finish, start

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGINT)
INTERRUPT_S = 3.0  # limit to exit after Ctrl-C, on a machine where `dvspipe --help` takes 1 s
EXIT_S = 3.0  # limit for worker processes to exit
BARE = 0.3  # part of the time of `dvspipe --help` until dvspipe handles Ctrl-C
PROC = Path("/proc")


class FaultError(Exception):
    """A command behaved incorrectly when disturbed."""


class Killer:
    """Runs, kills and repeats commands.

    Args:
        inputs: Folder written by `make_inputs`.
        folder: Folder for the outputs.
    """

    def __init__(self, inputs: Path, folder: Path) -> None:
        self._inputs, self._folder = inputs, folder
        begin_s = time.monotonic()
        finish(("--help",), folder)
        self._help_s = time.monotonic() - begin_s
        self.interrupt_s = INTERRUPT_S * max(1.0, self._help_s)

    @cache  # noqa: B019  the object lives as long as the program
    def undisturbed(self, command: Command) -> tuple[float, dict[str, str]]:
        """Run a command undisturbed; return its seconds and the digest of its output."""
        folder = self.new_folder(command.name)
        begin_s = time.monotonic()
        finish(command.arguments, folder)
        seconds = time.monotonic() - begin_s
        return seconds, dict(digest(folder / command.output))

    def disturb(self, command: Command, rng: random.Random) -> str:
        """Kill a command once or twice, repeat it, and return a description.

        Raises:
            FaultError: If a killed command ends incorrectly, or the repeated command has a different output.
        """
        seconds, _ = self.undisturbed(command)
        folder = self.new_folder(command.name)
        done = []
        output = folder / command.output

        for _ in range(rng.choice((1, 1, 2))):
            number = rng.choice(SIGNALS)
            after_s = rng.uniform(BARE * self._help_s, seconds)
            done.append(f"{number.name} after {after_s:.2f} s")
            try:
                if self._kill(self._next_arguments(command, output), folder, number, after_s):
                    break
            except FaultError as error:
                raise FaultError(f"{command.name}: {', '.join(done)}: {error}") from error

        title = f"{command.name}: {', '.join(done)}"
        try:
            self.complete(command, folder)
        except FaultError as error:
            raise FaultError(f"{title}: {error}") from error

        return title

    def complete(self, command: Command, folder: Path) -> None:
        """Repeat a disturbed command, and compare its output with the undisturbed command.

        Raises:
            FaultError: If the command fails, its output differs, or other files remain.
        """
        output, (_, expected) = folder / command.output, self.undisturbed(command)
        try:
            arguments = self._next_arguments(command, output)
            if arguments is not None:
                finish(arguments, folder)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            raise FaultError(f"then {error}") from error

        found = dict(digest(output))
        if found != expected:
            names = sorted(name for name in found.keys() | expected if found.get(name) != expected.get(name))
            raise FaultError(f"different output: {', '.join(names)}")

        left = [path.name for path in folder.iterdir() if path.name not in (command.output, "in")]
        if left:
            raise FaultError(f"left {', '.join(left)}")

    def _next_arguments(self, command: Command, output: Path) -> tuple[str, ...] | None:
        """Return the arguments that start or repeat a command; None if it is complete."""
        if not output.exists() or (command.name == "train" and not (output / "args.yaml").exists()):
            return command.arguments
        return command.repeated

    def _kill(self, arguments: tuple[str, ...] | None, folder: Path, number: signal.Signals, after_s: float) -> bool:
        """Start a command and kill it after `after_s` seconds; return whether it ended before."""
        if arguments is None:
            return True

        with start(arguments, folder) as running:
            try:
                running.wait(after_s)
            except subprocess.TimeoutExpired:
                pass
            else:
                return True

            # a terminal sends Ctrl-C to all processes of its group
            (os.killpg if number == signal.SIGINT else os.kill)(running.pid, number)
            sent_s = time.monotonic()
            try:
                _, printed = running.communicate(timeout=LIMIT_S / 10)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                raise FaultError("hangs") from None

        took_s = time.monotonic() - sent_s
        self._check_end(running, number, printed, took_s)
        return running.returncode == 0

    def _check_end(self, running: subprocess.Popen[str], number: signal.Signals, printed: str, took_s: float) -> None:
        if "Traceback" in printed:
            raise FaultError(f"a traceback: {printed}")

        left = _wait_for_session(running.pid)
        if left:
            raise FaultError(f"{left} processes still run")

        if number == signal.SIGKILL:
            if running.returncode not in (0, -number):
                raise FaultError(f"exit code {running.returncode}: {printed}")
            return

        if took_s > self.interrupt_s:
            raise FaultError(f"ends {took_s:.1f} s after {number.name}")

        lines = [line for line in printed.splitlines() if "resum" not in line and "already converted" not in line]
        if running.returncode == 0 and not lines:
            return
        if running.returncode != -number or lines != ["dvspipe: interrupted"]:
            raise FaultError(f"exit code {running.returncode} after {number.name}: {printed!r}")

    def new_folder(self, name: str) -> Path:
        """Create an empty folder for a command, with a link `in` to the inputs."""
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "in").symlink_to(self._inputs)
        return folder


def _wait_for_session(session: int) -> int:
    """Wait up to EXIT_S for all processes of a session to exit; kill the others and return their number."""
    until_s = time.monotonic() + EXIT_S
    while (left := _processes_of(session)) and time.monotonic() < until_s:
        time.sleep(0.05)
    for process in left:
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    return len(left)


def _processes_of(session: int) -> list[int]:
    found = []
    for status in PROC.glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            state, _, _, of = status.read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found.append(int(status.parent.name))
    return found
