"""Progress bar for notebooks and terminals, for use from Python; the command line has its own."""

from __future__ import annotations

import sys
import time

from ..results import EpochRow
from ..training.callback import TrainingCallback
from .pages import environment, percent

REDRAW_S = 0.2  # minimum time between updates of the display
BAR_LETTERS = 30  # length of the bar on a terminal


class ProgressBar(TrainingCallback):
    """Show progress: a bar in a notebook, a line on a terminal, otherwise nothing.

    Pass it as any `progress` argument. As the `callback` of a training, it also shows the validation accuracy and
    warnings.

    Args:
        stage: Name of the task.

    Example:
        >>> import dvspipe
        >>> bar = dvspipe.ProgressBar("reading")
        >>> bar(1, 4)
        >>> bar
        reading: 1 of 4
        >>> dvspipe.train(dvspipe.TrainConfig(name="mine"), callback=dvspipe.ProgressBar())  # doctest: +SKIP
    """

    def __init__(self, stage: str = "") -> None:
        self.stage = stage
        self.done = 0.0
        self.total = 0.0
        self.notes: list[str] = []
        self.kind = ""
        self._is_shown = False  # in a notebook, where later drawings replace the first one
        self._drawn_s = 0.0

    def __call__(self, done: float, total: float) -> None:
        """Show progress.

        Args:
            done: Amount done.
            total: Total amount, in the same unit; 0 if unknown.
        """
        if (done, total) == (self.done, self.total):
            return
        self.done = done
        self.total = total

        now_s = time.monotonic()
        if now_s - self._drawn_s >= REDRAW_S or done == total:
            self._drawn_s = now_s
            self._draw()

    def on_progress(self, stage: str, done: float, total: int) -> None:
        """Show the progress of a training stage."""
        if stage != self.stage:
            self.stage = stage
            self._drawn_s = 0.0
        self(done, total)

    def on_data(self, *, synthetic: bool) -> None:
        """Remember whether the validation recordings are synthetic, to label the accuracy."""
        self.kind = " (synthetic)" if synthetic else ""

    def on_epoch(self, row: EpochRow) -> None:
        """Show the validation accuracy of an epoch, or its training accuracy, replacing the previous one."""
        part = "training" if row.val_accuracy is None else "validation"
        accuracy = row.train_accuracy if row.val_accuracy is None else row.val_accuracy
        others = [note for note in self.notes if not note.startswith("epoch ")]
        self.notes = [*others, f"epoch {row.epoch}: {part} accuracy{self.kind} {percent(accuracy)}"]
        self._draw()

    def on_warning(self, text: str) -> None:
        """Show a warning below the bar."""
        self.notes.append(f"warning: {text}")
        self._draw()

    def __repr__(self) -> str:
        of = f" of {int(self.total)}" if self.total else ""
        return "; ".join([f"{self.stage or 'done'}: {int(self.done)}{of}", *self.notes])

    def _repr_html_(self) -> str:
        return environment().get_template("progress.html").render(bar=self)

    def _draw(self) -> None:
        if _is_notebook():
            from IPython import display

            display.display(self, display_id=f"progress-{id(self)}", update=self._is_shown)
            self._is_shown = True
        elif sys.stderr.isatty():
            filled = round(BAR_LETTERS * self.done / self.total) if self.total else 0
            end = "\n" if self.done == self.total else ""
            sys.stderr.write(f"\r\033[K{'#' * filled:-<{BAR_LETTERS}.{BAR_LETTERS}} {self!r}{end}")
            sys.stderr.flush()


def _is_notebook() -> bool:
    """Return whether IPython runs in a notebook; it is not imported for this."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
