"""Long work of the app, in threads: it reports its progress, and it can be stopped.

A session runs one task at a time (`Jobs`); a task is a thread whose progress is polled, because a page is updated from
a generator (`Jobs.run`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from ..parallel import CurrentStep
from ..parallel.estimate import estimate_left_s

Result = TypeVar("Result")


class Stopped(Exception):  # noqa: N818 (it is no error)
    """The user stopped the work. The text says which work."""


class StagedProgress(Protocol):
    """Progress callback of work in one or more stages; see `dvspipe.parallel.Progress`."""

    def __call__(self, done: float, total: float, stage: str = "", /) -> object:
        """Called with the amount done in a stage and its total; total is 0 if unknown."""


PageWork = Callable[[StagedProgress], Result]
"""Long work. It calls its progress callback often; the callback may raise KeyboardInterrupt to stop it."""
POLL_S = 0.25  # interval between progress updates


@dataclass(frozen=True)
class WorkStep(Generic[Result]):
    """Progress of long work.

    Args:
        text: Current activity, in words.
        share: Share done, 0 to 1; None if unknown.
        left_s: Estimated remaining time in seconds; None if unknown.
        results: Result, once the work is done.
    """

    text: str
    share: float | None = None
    left_s: float | None = None
    results: tuple[Result, ...] = ()

    def to_html(self) -> str:
        """Return the HTML of a status line with a progress bar."""
        value = "" if self.share is None else f' value="{self.share:.3f}"'
        left = "" if self.left_s is None else f", {timedelta(seconds=round(self.left_s))} left"
        bar = f'<progress max="1"{value} aria-label="progress"></progress>'

        return f'<div class="status" role="status">{bar}<span>{escape(self.text)}{left}</span></div>'


class Jobs:
    """Long work of all sessions. A session runs one task at a time; further tasks wait."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}

    def run(self, session: str, text: str, work: PageWork[Result]) -> Iterator[WorkStep[Result]]:
        """Run work in a thread; yield its progress, and the result in the last step."""
        slot = self._slots.setdefault(session, _Slot())
        slot.count += 1
        number = slot.count
        while not slot.lock.acquire(timeout=POLL_S):
            yield WorkStep(f"{text}: waiting for another task of this page")

        try:
            slot.stopped.clear()
            slot.running = text
            if slot.is_dropped(text, number):
                return
            # The page was closed while this work waited for another task.
            if slot.closed:
                raise Stopped(text)
            yield from _yield_progress(_Task(work, slot.stopped), text)
        except Stopped:
            if not slot.is_dropped(text, number):
                raise
        finally:
            slot.running = ""
            slot.stopped.set()  # even if nobody waits for the work any more
            slot.lock.release()

    def stop(self, session: str) -> None:
        """Stop the work of a session at its next progress call."""
        if session in self._slots:
            self._slots[session].stopped.set()

    def drop(self, session: str, text: str) -> None:
        """Stop the work of this name in a session, also the work that waits, without a message.

        The user has chosen something else, and nobody wants its result.
        """
        if slot := self._slots.get(session):
            slot.dropped[text] = slot.count
            if slot.running == text:
                slot.stopped.set()

    def stop_all(self) -> None:
        """Stop the work of all sessions."""
        for session in [*self._slots]:
            self.stop(session)

    def forget(self, session: str) -> None:
        """Stop the work of a closed session, also the work that waits."""
        if slot := self._slots.pop(session, None):
            slot.closed = True
            slot.stopped.set()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sessions that have run work since they were opened."""
        return tuple(self._slots)


class _Slot:
    """Work slot of a session: one task at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.closed = False

        self.running = ""  # name of the work
        self.count = 0  # tasks so far
        self.dropped: dict[str, int] = {}  # by name of the work: number of the last task that nobody wants

    def is_dropped(self, text: str, number: int) -> bool:
        return number <= self.dropped.get(text, 0)


class _Task(Generic[Result]):
    """Work in its own thread."""

    def __init__(self, work: PageWork[Result], stopped: threading.Event) -> None:
        self._work = work
        self._stopped = stopped
        self._stage = ""
        self._step = ""
        self._done = 0.0
        self._total = 0.0
        self._begin_s = time.monotonic()

        self.results: list[Result] = []
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=False)  # Python waits for the thread before it exits
        self.thread.start()

    def _run(self) -> None:
        try:
            self.results.append(self._work(self))
        except BaseException as error:  # raised again in the waiting thread
            self.error = error

    def __call__(self, done: float, total: float, stage: str = "") -> None:
        """Note the progress of a stage."""
        # Work stops as by Ctrl-C, where every function leaves its files complete or absent.
        if self._stopped.is_set():
            raise KeyboardInterrupt

        if stage != self._stage:
            self._stage = stage
            self._begin_s = time.monotonic()
        self._done = done
        self._total = total

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        """Note the progress of work with named steps; see `StepProgress`."""
        self(done, total)
        self._step = Path(step.names[-1]).name  # the name of a file, or of a step

    def step(self, text: str) -> WorkStep[Result]:
        if self._stopped.is_set():
            return WorkStep(f"{text}: stopping")

        text = ", ".join(filter(None, (text, self._stage, self._step)))
        if not self._total:
            return WorkStep(text)

        # The time left is estimated for each stage, because stages differ in speed.
        share = min(1.0, self._done / self._total)
        left_s = estimate_left_s(min(self._done, self._total), self._total, time.monotonic() - self._begin_s)
        return WorkStep(f"{text}: {share:.0%}", share, left_s)


def _yield_progress(task: _Task[Result], text: str) -> Iterator[WorkStep[Result]]:
    """Yield the progress of a task until it ends, then its result; raise its error."""
    while task.thread.is_alive():
        yield task.step(text)
        task.thread.join(POLL_S)

    if isinstance(task.error, KeyboardInterrupt):
        raise Stopped(text)
    if task.error is not None:
        raise task.error

    yield WorkStep(text, 1.0, None, (task.results[0],))
