"""What a command is doing: the stage, the step inside it, such as the file, and the amounts done; as texts and lines.

`screen` shows it from a thread, so the elapsed time changes even while the work is busy in native code.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from ..base.errors import escape_controls

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..base.progress import CurrentStep

LINE_EVERY_S = 7.0  # interval of lines in a file or pipe; a busy machine takes up to 3 s longer
MAX_AMOUNT = 1e6  # larger amounts, such as microseconds, are shown in percent
BAR_COLUMNS = 20
PERCENT = "done"  # stage of progress in percent
WORKING = "working"  # stage while a command reports no progress, for example while libraries load


class ShowProgress(Protocol):
    """Callback called with the stage, the amount done and the total, and the step if there are named steps."""

    def __call__(self, stage: str, done: float, total: float, step: CurrentStep | None = None, /) -> None:
        """Show progress; a total of 0 is unknown."""


@dataclass(frozen=True)
class ShownStage:
    """Progress callback of one stage; it also shows the step, such as the file.

    Args:
        show: Callback of the screen.
        stage: Name of the stage.
        scale: Factor of the amounts.
    """

    show: ShowProgress
    stage: str
    scale: float = 1.0

    def __call__(self, done: float, total: float) -> None:
        """Show the amount done."""
        self.show(self.stage, self.scale * done, self.scale * total)

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        """Show the amount done and the step."""
        self.show(self.stage, self.scale * done, self.scale * total, step)


@dataclass(frozen=True)
class ShownShare:
    """Progress callback that shows the number of recordings, or the percentage of a single recording.

    Args:
        show: Callback of the screen.
    """

    show: ShowProgress

    def __call__(self, done: float, total: float) -> None:
        """Show the amount done."""
        self._choose_stage(total)(done, total)

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        """Show the amount done and the step."""
        self._choose_stage(total).show_step(done, total, step)

    def _choose_stage(self, total: float) -> ShownStage:
        return ShownStage(self.show, PERCENT, 100) if total == 1 else ShownStage(self.show, "recordings")


class CommandState:
    """What a command is doing: a stage, the amount done of it, and the step inside it.

    Args:
        now_s: Time of the start in seconds.
    """

    def __init__(self, now_s: float) -> None:
        self._start_s = self._printed_s = now_s
        self.enter(WORKING, now_s)

    def enter(self, stage: str, now_s: float, done: float = 0.0) -> None:
        """Begin a stage, of which an amount is already done."""
        self.stage = stage
        self.done = done
        self.total = 0.0
        self.step: CurrentStep | None = None
        self._begin = done
        self._begin_s = now_s

    def update(self, now_s: float, stage: str, done: float, total: float, step: CurrentStep | None) -> None:
        """Set the amount done; another stage begins if the name differs."""
        if stage != self.stage:
            self.enter(stage, now_s, done)
        self.done = done
        self.total = total
        self.step = step

    def describe_amount(self) -> str:
        """Return the amount done, such as `2 of 5`; empty while no stage is reported."""
        if self.stage == WORKING:
            return ""
        if self.stage == PERCENT:
            return f"{int(self.done)} %"

        return _describe_amount(self.done, self.total)

    def describe_times(self, now_s: float) -> str:
        """Return the time since the start of the command, and the time left if it can be estimated."""
        from ..base.progress import estimate_left_s

        spent_s = now_s - self._begin_s
        left_s = estimate_left_s(self.done, self.total, spent_s, begin=self._begin)

        left = "" if left_s is None else f", {timedelta(seconds=round(left_s))} left"
        return f"{timedelta(seconds=int(now_s - self._start_s))}{left}"

    def describe_step(self) -> str:
        """Return the innermost step, its amount done and the item, such as `person 30 of 120, wave.mp4`."""
        if self.step is None or not self.step.names:
            return ""

        # The first name is the item, such as a file, and the last one is the innermost stage.
        item, *stages = self.step.names
        amount = _describe_amount(self.step.done, self.step.total) if self.step.done or self.step.total else ""
        stage = " ".join(filter(None, (*stages[-1:], amount)))

        return escape_controls(", ".join(filter(None, (stage, os.path.basename(item))))).replace("\n", "\\n")

    def next_line(self, now_s: float) -> str | None:
        """Return the line for a file or pipe, if it is due."""
        if now_s - self._printed_s < LINE_EVERY_S:
            return None

        self._printed_s = now_s
        parts = (self.describe_amount(), self.describe_step(), self.describe_times(now_s))
        return f"{self.stage}: {', '.join(filter(None, parts))}"

    def draw(self, now_s: float) -> RenderableType:
        """Return the lines for a terminal."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        total = self.total or None
        bar = ProgressBar(total, self.done, pulse=total is None, animation_time=now_s)
        head = Table.grid(padding=(0, 1))

        # In a narrow terminal, the bar is shortened: a second line would move what is below.
        head.add_column(no_wrap=True)
        head.add_column(max_width=BAR_COLUMNS)
        head.add_column(no_wrap=True)
        head.add_column(no_wrap=True)
        head.add_row(self.stage, bar, self.describe_amount(), self.describe_times(now_s))

        step = self.describe_step()
        return Group(head, Text(f"  {step}", no_wrap=True, overflow="ellipsis")) if step else head


def _describe_amount(done: float, total: float) -> str:
    if total > MAX_AMOUNT:
        return f"{100 * min(1.0, done / total):.1f} %"
    return f"{int(done):,}" + (f" of {int(total):,}" if total else "")
