"""Work on files in processes of their own: a crash or a stop of the work does not end the server.

A `Worker` is a process that calls functions, one after another. `Workers` reuses workers, so that imports and compiled
code stay; it kills a worker whose work is stopped or crashes.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from ..base.errors import DvspipeError, WorkerError
from ..base.pool import SPAWN, starting_safely
from ..base.progress import CurrentStep

MAX_JOBS = 2  # at the same time
POLL_S = 0.2  # interval between progress updates; a stop is noticed as often
REPORT_S = 0.1  # least time between the progress reports of a worker


class Report(NamedTuple):
    """Progress of work.

    Args:
        done: Amount done.
        total: Total amount; 0 if unknown.
        step: What is being done, in words.
    """

    done: float
    total: float
    step: str = ""


class _Reply(NamedTuple):
    """Result or error of a function."""

    value: Any = None
    error: DvspipeError | OSError | None = None


class _Reporter:
    """Progress callback in a worker that sends the progress; see `StepProgress`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sent_s = 0.0

    def __call__(self, done: float, total: float) -> None:
        """Send the amount done."""
        self._send(Report(done, total))

    def show_step(self, _done: float, _total: float, step: CurrentStep) -> None:
        """Send the amount done of a step."""
        self._send(Report(step.done, step.total, Path(step.names[-1]).name))

    def _send(self, report: Report) -> None:
        if time.monotonic() - self._sent_s > REPORT_S:
            self._sent_s = time.monotonic()
            self._connection.send(report)


class Worker:
    """Process that calls functions.

    Args:
        prepare: Function of a module that the process calls first.
    """

    def __init__(self, prepare: Callable[[], object] | None = None) -> None:
        self._connection, inside = SPAWN.Pipe()
        with starting_safely(os.cpu_count() or 1):
            self._process = SPAWN.Process(target=_serve, args=(inside, prepare))
            self._process.start()
        inside.close()

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[Report | _Reply | None]:
        """Call a function, and yield what it reports, or None after a while without a report; at last its reply."""
        try:
            self._connection.send((function, arguments))
            while True:
                message = self._connection.recv() if self._connection.poll(POLL_S) else None
                yield message
                if isinstance(message, _Reply):
                    return
        except (EOFError, OSError) as error:
            raise WorkerError("the process that reads the file died: a library crashed, or memory ran out") from error

    def kill(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(connection: Connection, prepare: Callable[[], object] | None) -> None:
    """Call functions with a progress callback, until the connection is closed; runs in a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    if prepare is not None:
        prepare()

    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return

        try:
            reply = _Reply(function(*arguments, _Reporter(connection)))
        except BrokenPipeError:  # the server ended
            return
        except (DvspipeError, OSError) as error:
            reply = _Reply(error=error)
        connection.send(reply)


class Workers:
    """Workers of a server.

    Attributes:
        running: What the workers do now, in words.
    """

    def __init__(self) -> None:
        self.running: list[str] = []
        self._free: list[Worker] = []
        self._busy: list[Worker] = []

    def prepare(self, function: Callable[[], object]) -> None:
        """Start a worker that calls a function first, so that the first work does not wait for what this loads."""
        self._free.append(Worker(function))

    def call(
        self, text: str, function: Callable[..., Any], *arguments: Any, report: Callable[[Report], object]
    ) -> Generator[None, None, Any]:
        """Call a function in a worker as a generator that returns its result; it may be closed to stop the work.

        Args:
            text: What is done, in words.
            function: Function of a module, called with the arguments and a progress callback.
            arguments: Picklable arguments.
            report: Called with the progress.

        Raises:
            DvspipeError: As in the function; WorkerError if its process dies.
        """
        try:
            worker = self._free.pop()
        except IndexError:
            worker = Worker()

        self._busy.append(worker)
        self.running.append(text)
        reply: _Reply | None = None
        try:
            for message in worker.call(function, arguments):
                if isinstance(message, Report):
                    report(message)
                elif message is not None:
                    reply = message
                yield
        finally:
            self.running.remove(text)
            self._busy.remove(worker)
            if reply is None:
                worker.kill()
            else:
                self._free.append(worker)

        assert reply is not None  # the last message
        if reply.error is not None:
            raise reply.error
        return reply.value

    def close(self) -> None:
        """End all workers."""
        for worker in [*self._free, *self._busy]:
            worker.kill()
