"""Progress of long work: the amount done, the step that is being done, and the remaining time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

Progress = Callable[[float, float], object]
"""Callback called with (done, total); total is 0 if unknown. It may raise KeyboardInterrupt to stop the work."""

MIN_SHARE = 0.05
"""Share of the work that must be done before estimating: loading distorts the first part."""


def ignore_progress(*_: float) -> None:
    """Do nothing; default progress callback."""


class CurrentStep(NamedTuple):
    """The step that is being done.

    Args:
        names: Names of the step, from the outside to the inside, such as ("wave.mp4", "person").
        done: Amount done of the innermost step.
        total: Its total amount; 0 if unknown.
    """

    names: tuple[str, ...]
    done: float
    total: float


@runtime_checkable
class StepProgress(Protocol):
    """Progress callback that is also called with the current step, if its work has named steps."""

    def __call__(self, done: float, total: float, /) -> object:
        """Called with the amount done and the total, if there are no named steps."""

    def show_step(self, done: float, total: float, step: CurrentStep, /) -> object:
        """Called instead of `__call__` during a named step."""


def report_step(progress: Progress, done: float, total: float, step: CurrentStep) -> None:
    """Call a progress callback, with the step if it is a `StepProgress`."""
    if isinstance(progress, StepProgress):
        progress.show_step(done, total, step)
    else:
        progress(done, total)


@dataclass(frozen=True)
class NamedStep:
    """Progress callback of a named step; it calls the callback of the complete work.

    Args:
        progress: Callback of the complete work.
        name: Name of the step.
        number: Number of steps before this step.
        steps: Number of steps that `progress` counts; None: this step is the complete work, and `progress` gets its
            amounts.

    Example:
        >>> NamedStep(print, "person", number=1, steps=2)(30, 120)
        1.25 2
    """

    progress: Progress
    name: str
    number: int = 0
    steps: int | None = None

    def __call__(self, done: float, total: float) -> None:
        """Report the amount done of this step."""
        self.show_step(done, total, CurrentStep((), done, total))

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        """Report the amount done of this step, and the step inside it that is being done."""
        inside = step._replace(names=(self.name, *step.names))
        if self.steps is not None:
            done = self.number + (min(1.0, max(0.0, done / total)) if total else 0.0)
            total = self.steps

        report_step(self.progress, done, total, inside)


def estimate_left_s(done: float, total: float, spent_s: float, *, begin: float = 0.0) -> float | None:
    """Return the remaining time in seconds at the average speed so far; None if it cannot be estimated yet.

    Args:
        done: Amount of work done, including `begin`.
        total: Amount of work in total; 0 if unknown.
        spent_s: Time since the start in seconds.
        begin: Amount of work that was already done at the start, for example by an earlier run.

    Example:
        >>> estimate_left_s(30, 100, 6.0), estimate_left_s(1, 100, 6.0)
        (14.0, None)
    """
    if done <= begin or done - begin < MIN_SHARE * total or not total:
        return None
    return (total - done) * spent_s / (done - begin)
