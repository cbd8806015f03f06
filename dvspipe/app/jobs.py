"""Long work of a page, in a thread: it reports its progress, and it can be stopped.

A page is updated from a generator (`shared.follow`), which shows the progress of the work at intervals.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Protocol, TypeVar

from ..base.progress import CurrentStep, estimate_left_s

Result = TypeVar("Result")


class Stopped(Exception):  # noqa: N818 (it is no error)
    """The user stopped the work. The text says which work."""


class StagedProgress(Protocol):
    """Progress callback of work in one or more stages; see `dvspipe.base.progress.Progress`."""

    def __call__(self, done: float, total: float, stage: str = "", /) -> object:
        """Called with the amount done in a stage and its total; total is 0 if unknown."""


PageWork = Callable[[StagedProgress], Result]
"""Long work. It calls its progress callback often; the callback may raise KeyboardInterrupt to stop it."""


class WorkProgress:
    """Progress callback of long work that shows the progress, and that stops the work.

    Args:
        text: What is done, in words.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._stopped = threading.Event()
        self._stage = ""
        self._step = ""
        self._done = 0.0
        self._total = 0.0
        self._begin_s = time.monotonic()

    def stop(self) -> None:
        """Stop the work at its next progress call."""
        self._stopped.set()

    def __call__(self, done: float, total: float, stage: str = "", /) -> None:
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

    def to_html(self) -> str:
        """Return the HTML of a status line with a progress bar."""
        if self._stopped.is_set():
            return _show_status(f"{self.text}: stopping")

        text = ", ".join(filter(None, (self.text, self._stage, self._step)))
        if not self._total:
            return _show_status(text)

        # The time left is estimated for each stage, because stages differ in speed.
        done = min(self._done, self._total)
        left_s = estimate_left_s(done, self._total, time.monotonic() - self._begin_s)
        left = "" if left_s is None else f", {timedelta(seconds=round(left_s))} left"
        share = done / self._total
        return _show_status(f"{text}: {share:.0%}{left}", f' value="{share:.3f}"')


def _show_status(text: str, value: str = "") -> str:
    bar = f'<progress max="1"{value} aria-label="progress"></progress>'
    return f'<div class="status" role="status">{bar}<span>{escape(text)}</span></div>'
