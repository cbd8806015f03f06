"""What an action does: run a command beside the stream, which never waits for it."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from ..base.errors import ConfigError
from .actions import Action, ActionConfig, ActionFinder
from .answers import LiveAnswer

log = logging.getLogger("dvspipe")

ANY = "any"
"""Stands for every class except other gestures."""
MAX_RUNNING = 4  # a further action is skipped while so many are running
POLL_S = 0.05  # interval of looking at the commands after the end of the stream
END_S = 1.0  # time for the commands to end after SIGTERM


def parse_command(text: str) -> tuple[str, ...]:
    """Split a command into its words, which get the action as environment variables.

    Raises:
        ConfigError: If the command is empty, or its program is missing.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"{text}: not a command ({error})") from error

    if not words:
        raise ConfigError("on: no command (found an empty text, expected a command)")

    # What would fail at the first gesture is an error at the start.
    if shutil.which(words[0]) is None:
        raise ConfigError(f"{words[0]}: no such program")
    return tuple(words)


def _end(process: subprocess.Popen[bytes], *, at_once: bool) -> None:
    """End a process and the programs that it has started. A signal handler may call it: no lock."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL if at_once else signal.SIGTERM)
    else:  # Windows has neither SIGKILL nor groups
        process.kill()


class ActionRunner:
    """Finds the actions in the predictions of a stream, and runs their commands.

    Args:
        commands: Classes, or `ANY`, each with a command; see `parse_command`.
        classes: Classes of the network.
        config: Hold and gap time.

    Raises:
        ConfigError: If a class is unknown, or a command is wrong.
    """

    def __init__(
        self, commands: Sequence[tuple[str, str]], classes: Sequence[str], config: ActionConfig = ActionConfig()
    ) -> None:
        for name, command in commands:
            if name not in (ANY, *classes):
                raise ConfigError(f"on {name}: unknown class (expected {ANY} or one of {', '.join(classes)})")
            parse_command(command)

        self._commands = commands
        self._finder = ActionFinder(config)
        self._running: dict[subprocess.Popen[bytes], str] = {}  # the command of each process
        self._is_stopped = False

    def add(self, answer: LiveAnswer) -> Action | None:
        """Start what the next prediction asks for, and return its action at once; None: no command has an action."""
        self._collect()
        action = self._finder.add(answer)
        if action is None:
            return None

        asked = [command for name, command in self._commands if name in (ANY, action.class_name)]
        for command in asked:
            if len(self._running) < MAX_RUNNING:
                self._start(command, action)
            else:
                log.warning("%s: skipped (%d commands are still running)", command, MAX_RUNNING)

        return action if asked else None

    def _start(self, command: str, action: Action) -> None:
        """Start a command without a shell: what a checkpoint names is only in its environment."""
        environment = os.environ | {
            "DVSPIPE_CLASS": action.class_name,
            "DVSPIPE_PROBABILITY": f"{action.probability:.2f}",
            "DVSPIPE_T_S": f"{action.t_s:.3f}",
        }

        # In a session of its own, the command can be ended together with the programs that it has started.
        try:
            process = subprocess.Popen(
                parse_command(command), stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        except (OSError, ValueError, ConfigError) as error:  # ValueError: the name of a class contains a null byte
            log.warning("%s: %s", command, error)
        else:
            self._running[process] = command

    def _collect(self) -> None:
        """Forget the commands that have ended; a failure is one warning."""
        for process, command in [*self._running.items()]:
            if process.poll() is None:
                continue

            del self._running[process]
            if process.returncode and not self._is_stopped:
                log.warning("%s: failed with exit code %d", command, process.returncode)

    def stop(self) -> None:
        """End the commands. A signal handler may call it: it takes no lock."""
        self._is_stopped = True
        for process in [*self._running]:
            _end(process, at_once=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the commands that still run; after an error or `stop`, end them."""
        while self._running and kind is None and not self._is_stopped:
            time.sleep(POLL_S)
            self._collect()

        self.stop()
        until_s = time.monotonic() + END_S
        for process in self._running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until_s - time.monotonic()))
            _end(process, at_once=True)
            process.wait()
