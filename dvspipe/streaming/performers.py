"""What an action does: run a command, or send a message over HTTP or MQTT, never in the thread of the stream."""

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
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple, Self
from urllib.error import URLError
from urllib.parse import SplitResult, urlsplit
from urllib.request import Request, urlopen

from ..base.errors import ConfigError, find_similar, join_names
from ..base.suggestions import match_words
from .actions import Action, ActionConfig, ActionFinder
from .answers import LiveAnswer

log = logging.getLogger("dvspipe")

ANY = "any"
"""Stands for every class except other gestures."""
MAX_RUNNING = 4  # a further action is skipped while so many are running
TIMEOUT_S = 5.0  # for a server to answer
MAX_COMMAND_S = 60.0  # a longer command is ended: four of them would block all others
POLL_S = 0.1  # interval at which a running command may be ended
END_S = 1.0  # time for a command to end after SIGTERM
MQTT_PORT = 1883
VARIABLES = {"{class}": "DVSPIPE_CLASS", "{probability}": "DVSPIPE_PROBABILITY", "{t_s}": "DVSPIPE_T_S"}
"""Environment variables of a command, by the placeholders of other programs for them."""

Performer = Callable[[Action], None]
"""Performs an action; raises an error of any kind if it fails."""


def make_performer(target: str, is_stopped: Callable[[], bool]) -> Performer:
    """Return the performer of a target.

    Args:
        target: Command, called with environment variables of the action; http://... or https://... to POST it as
            JSON; or mqtt://HOST[:PORT]/TOPIC to publish it.
        is_stopped: Whether running commands end now.

    Raises:
        ConfigError: If the target is empty, its address not complete, or a value in its words, or if the program or
            paho-mqtt is missing.
    """
    if target.startswith(("http://", "https://", "mqtt://")):
        try:
            address = urlsplit(target)
            port = address.port
        except ValueError as error:
            raise ConfigError(f"{target}: not an address ({error})") from error

        return _make_publish(target, address, port) if address.scheme == "mqtt" else _make_post(target, address)

    try:
        words = shlex.split(target)
    except ValueError as error:
        raise ConfigError(f"{target}: not a command ({error})") from error

    if not words:
        raise ConfigError("on: no command (found an empty text, expected a command or an address)")

    # What would fail at the first gesture is an error at the start.
    for placeholder, variable in VARIABLES.items():
        if placeholder in target:
            raise ConfigError(f"{target}: {placeholder} in a command (expected environment variable ${variable})")
    if shutil.which(words[0]) is None:
        raise ConfigError(f"{words[0]}: no such program")
    return _Command(tuple(words), is_stopped)


@dataclass(frozen=True)
class _Command:
    """Command, run without a shell. Its words are the user's; what a checkpoint names is only in its environment."""

    words: tuple[str, ...]
    is_stopped: Callable[[], bool]

    def __call__(self, action: Action) -> None:
        values = (action.class_name, f"{action.probability:.2f}", f"{action.t_s:.3f}")
        environment = os.environ | dict(zip(VARIABLES.values(), values, strict=True))

        # In a session of its own, the command can be ended together with the programs that it has started.
        process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
        until_s = time.monotonic() + MAX_COMMAND_S
        while not self.is_stopped():
            with suppress(subprocess.TimeoutExpired):
                if process.wait(POLL_S):
                    raise subprocess.CalledProcessError(process.returncode, self.words)
                return

            if time.monotonic() >= until_s:
                _end_session(process)
                raise subprocess.TimeoutExpired(self.words, MAX_COMMAND_S)

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


@dataclass(frozen=True)
class _Post:
    """Address that gets the action as JSON."""

    url: str

    def __call__(self, action: Action) -> None:
        headers = {"Content-Type": "application/json"}
        request = Request(self.url, action.model_dump_json().encode(), headers, method="POST")
        with urlopen(request, timeout=TIMEOUT_S):
            pass


@dataclass(frozen=True)
class _Publish:
    """Topic of an MQTT broker that gets the action as JSON."""

    host: str
    port: int
    topic: str

    def __call__(self, action: Action) -> None:
        from paho.mqtt import publish

        publish.single(self.topic, action.model_dump_json(), hostname=self.host, port=self.port)


def _make_post(target: str, address: SplitResult) -> _Post:
    if not address.hostname:
        raise ConfigError(f"{target}: not complete (expected http://HOST[:PORT]/PATH)")
    return _Post(target)


def _make_publish(target: str, address: SplitResult, port: int | None) -> _Publish:
    topic = address.path.strip("/")
    if not address.hostname or not topic:
        raise ConfigError(f"{target}: not complete (expected mqtt://HOST[:PORT]/TOPIC)")

    # A missing library is an error at the start, not at the first gesture.
    if find_spec("paho") is None:
        raise ConfigError(f"{target}: paho-mqtt is not installed; pip install 'dvspipe[mqtt]'")
    return _Publish(address.hostname, port or MQTT_PORT, topic)


class _Binding(NamedTuple):
    """What a class does: its name or `ANY`, the target as the user wrote it, and its performer."""

    class_name: str
    target: str
    performer: Performer


class ActionRunner:
    """Finds the actions in the predictions of a stream, and performs them in threads: the stream never waits.

    Args:
        targets: Classes, or `ANY`, each with a target; see `make_performer`.
        classes: Classes of the network.
        config: Hold and gap time.

    Attributes:
        skipped: Number of times that a target was skipped, because `MAX_RUNNING` were still running.

    Raises:
        ConfigError: If a class is unknown, or a target is wrong.
    """

    def __init__(
        self, targets: Sequence[tuple[str, str]], classes: Sequence[str], config: ActionConfig = ActionConfig()
    ) -> None:
        known = (ANY, *classes)
        for name, _ in targets:
            if name not in known:
                similar = find_similar(name, known) or match_words(name, dict(zip(known, known, strict=True)))
                hint = f"; did you mean {join_names(similar)}?" if similar else ""
                raise ConfigError(f"on {name}: unknown class (expected {ANY} or one of {', '.join(classes)}){hint}")

        self._is_stopped = False
        self._bindings = [
            _Binding(name, target, make_performer(target, lambda: self._is_stopped)) for name, target in targets
        ]
        self._finder = ActionFinder(config)
        self._threads = ThreadPoolExecutor(MAX_RUNNING, thread_name_prefix="action")
        self._running: set[Future[None]] = set()
        self.skipped = 0

    def add(self, answer: LiveAnswer) -> Action | None:
        """Start what the next prediction asks for, and return its action at once; None: no target has an action."""
        action = self._finder.add(answer)
        if action is None:
            return None

        asked = [binding for binding in self._bindings if binding.class_name in (ANY, action.class_name)]
        for binding in asked:
            self._running = {future for future in self._running if not future.done()}
            if len(self._running) >= MAX_RUNNING:
                self.skipped += 1
                log.warning("%s: skipped (%d actions are still running)", binding.target, MAX_RUNNING)
                continue
            self._running.add(self._threads.submit(_perform_and_log, binding, action))

        return action if asked else None

    def stop(self) -> None:
        """End the commands that run, now or later. A signal handler may call it: it takes no lock."""
        self._is_stopped = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the actions that still run; after an error, end them."""
        if kind is not None:
            self.stop()
        self._threads.shutdown()


def _perform_and_log(binding: _Binding, action: Action) -> None:
    """Perform an action; a failure is one line of the log, and the stream continues."""
    try:
        binding.performer(action)
    except subprocess.CalledProcessError as error:
        log.warning("%s: failed with exit code %d", binding.target, error.returncode)
    except subprocess.TimeoutExpired:
        log.warning("%s: ended after %g s", binding.target, MAX_COMMAND_S)
    except URLError as error:
        log.warning("%s: %s", binding.target, error.reason)
    except OSError as error:
        log.warning("%s: %s", binding.target, error.strerror or error)
    except Exception as error:
        # http.client and paho raise errors of their own; without a line here, they would be lost in a future.
        log.warning("%s: %s", binding.target, error)
