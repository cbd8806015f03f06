"""What an action does: run a command, never in the thread of the stream."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, Self

from ..base.errors import ConfigError
from .actions import Action, ActionConfig, ActionFinder
from .answers import LiveAnswer

log = logging.getLogger("dvspipe")

ANY = "any"
"""Stands for every class except other gestures."""
MAX_RUNNING = 4  # a further action is skipped while so many are running
MAX_COMMAND_S = 60.0  # a longer command is ended: four of them would block all others
POLL_S = 0.1  # interval at which a running command may be ended
END_S = 1.0  # time for a command to end after SIGTERM
VARIABLES = {"{class}": "DVSPIPE_CLASS", "{probability}": "DVSPIPE_PROBABILITY", "{t_s}": "DVSPIPE_T_S"}
"""Environment variables of a command, by the placeholders of other programs for them."""


def parse_command(text: str) -> tuple[str, ...]:
    """Split a command into its words, which get the action as environment variables.

    Raises:
        ConfigError: If the command is empty, has a value in its words, or its program is missing.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"{text}: not a command ({error})") from error

    if not words:
        raise ConfigError("on: no command (found an empty text, expected a command)")

    # What would fail at the first gesture is an error at the start.
    for placeholder, variable in VARIABLES.items():
        if placeholder in text:
            raise ConfigError(f"{text}: {placeholder} in a command (expected environment variable ${variable})")
    if shutil.which(words[0]) is None:
        raise ConfigError(f"{words[0]}: no such program")
    return tuple(words)


def _run(words: Sequence[str], action: Action, is_stopped: Callable[[], bool]) -> None:
    """Run a command without a shell: what a checkpoint names is only in its environment."""
    values = (action.class_name, f"{action.probability:.2f}", f"{action.t_s:.3f}")
    environment = os.environ | dict(zip(VARIABLES.values(), values, strict=True))

    # In a session of its own, the command can be ended together with the programs that it has started.
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
    until_s = time.monotonic() + MAX_COMMAND_S
    while not is_stopped():
        with suppress(subprocess.TimeoutExpired):
            if process.wait(POLL_S):
                raise subprocess.CalledProcessError(process.returncode, words)
            return

        if time.monotonic() >= until_s:
            _end_session(process)
            raise subprocess.TimeoutExpired(words, MAX_COMMAND_S)

    _end_session(process)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End a process and the programs that it has started, and give it time to clean up."""
    if os.name != "posix":
        process.kill()
        return

    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Binding(NamedTuple):
    """What a class does: its name or `ANY`, the command as the user wrote it, and its words."""

    class_name: str
    command: str
    words: tuple[str, ...]


class ActionRunner:
    """Finds the actions in the predictions of a stream, and runs their commands in threads: the stream never waits.

    Args:
        commands: Classes, or `ANY`, each with a command; see `parse_command`.
        classes: Classes of the network.
        config: Hold and gap time.

    Attributes:
        skipped: Number of times that a command was skipped, because `MAX_RUNNING` were still running.

    Raises:
        ConfigError: If a class is unknown, or a command is wrong.
    """

    def __init__(
        self, commands: Sequence[tuple[str, str]], classes: Sequence[str], config: ActionConfig = ActionConfig()
    ) -> None:
        for name, _ in commands:
            if name not in (ANY, *classes):
                raise ConfigError(f"on {name}: unknown class (expected {ANY} or one of {', '.join(classes)})")

        self._is_stopped = False
        self._bindings = [_Binding(name, command, parse_command(command)) for name, command in commands]
        self._finder = ActionFinder(config)
        self._threads = ThreadPoolExecutor(MAX_RUNNING, thread_name_prefix="action")
        self._running: set[Future[None]] = set()
        self.skipped = 0

    def add(self, answer: LiveAnswer) -> Action | None:
        """Start what the next prediction asks for, and return its action at once; None: no command has an action."""
        action = self._finder.add(answer)
        if action is None:
            return None

        asked = [binding for binding in self._bindings if binding.class_name in (ANY, action.class_name)]
        for binding in asked:
            self._running = {future for future in self._running if not future.done()}
            if len(self._running) >= MAX_RUNNING:
                self.skipped += 1
                log.warning("%s: skipped (%d commands are still running)", binding.command, MAX_RUNNING)
                continue
            self._running.add(self._threads.submit(self._run_and_log, binding, action))

        return action if asked else None

    def stop(self) -> None:
        """End the commands that run, now or later. A signal handler may call it: it takes no lock."""
        self._is_stopped = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the commands that still run; after an error, end them."""
        if kind is not None:
            self.stop()
        self._threads.shutdown()

    def _run_and_log(self, binding: _Binding, action: Action) -> None:
        """Run a command; a failure is one line of the log, and the stream continues."""
        try:
            _run(binding.words, action, lambda: self._is_stopped)
        except subprocess.CalledProcessError as error:
            log.warning("%s: failed with exit code %d", binding.command, error.returncode)
        except subprocess.TimeoutExpired:
            log.warning("%s: ended after %g s", binding.command, MAX_COMMAND_S)
        except OSError as error:
            log.warning("%s: %s", binding.command, error.strerror or error)
        except ValueError as error:
            # The class names of a checkpoint may contain a null byte, which an environment cannot.
            log.warning("%s: %s", binding.command, error)
