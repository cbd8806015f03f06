"""Command `live`: classify a webcam, or a replayed file, while it runs."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from ..base.errors import count_noun
from ..base.interrupts import end_on_interrupt
from ..base.texts import show_name
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..cli.screen import screen
from ..inference import Classifier, InferConfig
from .actions import Action, ActionConfig
from .answers import LiveAnswer
from .performers import ActionRunner
from .session import LiveSession
from .session import live as verb
from .sources import FilmSource
from .window import LiveWindow, open_window

log = logging.getLogger(__name__)

LESS_THAN_INFER = (
    "live sees the complete picture until it has found the person; dvspipe infer searches the film first, and is more "
    "often right"
)
CLEAR_LINE = "\r\x1b[K"


def live(
    source: str,
    checkpoint: str = DEFAULT_CHECKPOINT,
    config: InferConfig = InferConfig(),
    acts: ActionConfig = ActionConfig(),
    *,
    window: bool | None = None,
    on: Sequence[tuple[str, str]] = (),
    speed: float = 1.0,
    loop: bool = False,
    record: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Classify a webcam, or a replayed file, while it runs; Ctrl-C ends it.

    Args:
        source: Webcam: 0, 1, ...; or a video or recording to replay.
        checkpoint: Run folder, .safetensors file, name of an included classifier, or hf://USER/NAME.
        config: Settings of windows, segments and framing.
        acts: When a gesture acts.
        window: Show film, events and prediction in a window, or not (--window=false); default: if there is a display,
            except with --json.
        on: Class and command to run once per gesture of the class, or of any class, with the environment variables
            DVSPIPE_CLASS, DVSPIPE_PROBABILITY and DVSPIPE_T_S. Repeatable.
        speed: Speed of a replay, > 0; 1: as recorded.
        loop: Start a replay again at its end.
        record: Event file (.h5, ...) for what the network sees; default: not recorded.
        overwrite: Replace an existing file of `record`.
    """
    classifier = Classifier.load(checkpoint)
    runner = ActionRunner(on, classifier.config.classes, acts)
    session = verb(
        source,
        classifier,
        config,
        speed=speed,
        loop=loop,
        record=record,
        overwrite=overwrite,
    )
    opened = session.source
    writer = session.writer

    # JSON Lines are for another program, so only `window` opens a window with them.
    is_wanted = False if screen.as_json and window is None else window
    session.viewer = shown = open_window(opened.name, classifier.config.sensor, is_wanted=is_wanted)

    log.info("%s: starting, which takes longer the first time; Ctrl-C ends it", opened.name)
    if isinstance(opened, FilmSource):
        log.info("%s: %s", opened.name, LESS_THAN_INFER)

    lines = _Lines()
    if screen.as_json:
        lines = _JsonLines()
    elif screen.is_terminal:
        lines = _StatusLine()
    tally = _run(session, lines, shown, runner)

    if session.skipped_us:
        log.warning("%s: %.1f s skipped: the machine was too slow", opened.name, session.skipped_us * 1e-6)
    if writer is not None and not writer.count:
        log.warning("%s: no events were recorded", writer.path)
    elif writer is not None:
        log.info("%s: %s of %s", writer.path, count_noun(writer.count, "event"), writer.sensor)
    log.info("%s: %s", opened.name, tally.describe())

    # If the process exits before the thread of the source, native code may abort it.
    if session.is_reading:
        log.info("%s: waiting for its next frame; Ctrl-C ends at once", opened.name)
        session.wait()


def _run(session: LiveSession, lines: _Lines, window: LiveWindow | None, runner: ActionRunner) -> _Tally:
    """Show the predictions of a session until it ends, perform its actions, and return their tally."""
    tally = _Tally()

    def stop() -> None:
        session.stop()
        runner.stop()

    if window is not None:
        window.on_close = session.stop
    # The first Ctrl-C ends the stream like its end: the events are written, and the tally is shown.
    with end_on_interrupt(stop), runner:
        try:
            for answer in session:
                lines.show(answer)
                tally.add(answer)
                if (action := runner.add(answer)) is not None:
                    lines.show_action(action)
                if window is not None:
                    window.show(answer)
        finally:
            lines.finish()
            if window is not None:
                window.close()

    return tally


class _Tally:
    """Duration and classes of the predictions of a stream."""

    def __init__(self) -> None:
        self._times_us: list[int] = []
        self._total = 0
        self._certain: Counter[str] = Counter()
        self._by_joints = 0

    def add(self, answer: LiveAnswer) -> None:
        if answer.class_name is None:
            return

        self._total += 1
        self._times_us = [*self._times_us[:1], answer.t_us]  # the first and the latest time
        if answer.certain:
            self._certain[answer.class_name] += 1
        if answer.basis == "joints and events":
            self._by_joints += 1

    def describe(self) -> str:
        """Describe the predictions in a few words."""
        if not self._times_us:
            return "no predictions"

        seconds = (self._times_us[-1] - self._times_us[0]) * 1e-6
        parts = [f"{count_noun(self._total, 'prediction')} in {seconds:.1f} s"]

        names = self._certain.most_common(1)
        parts.append(f"{self._certain.total()} certain" + (f", mostly {show_name(names[0][0])}" if names else ""))
        parts.append(f"{self._by_joints} by joints and events" if self._by_joints else "by events")
        return ", ".join(parts)


class _Lines:
    """Answers as plain lines."""

    def show(self, answer: LiveAnswer) -> None:
        screen.print(Text(_describe(answer)))
        screen.file.flush()

    def show_action(self, action: Action) -> None:
        screen.print(Text(f"{action.t_s:8.2f} s  {show_name(action.class_name)} acts"))
        screen.file.flush()

    def finish(self) -> None:
        """End the output."""


class _JsonLines(_Lines):
    """Answers as JSON Lines."""

    def show(self, answer: LiveAnswer) -> None:
        sys.stdout.write(answer.model_dump_json() + "\n")
        sys.stdout.flush()

    def show_action(self, action: Action) -> None:
        """Show nothing: each line of the output is a prediction."""


class _StatusLine(_Lines):
    """Answers in one line of a terminal, overwritten by the next."""

    def show(self, answer: LiveAnswer) -> None:
        # A longer line would wrap, and could not be overwritten.
        screen.file.write(CLEAR_LINE + _describe(answer)[: screen.width - 1])
        screen.file.flush()

    def show_action(self, action: Action) -> None:
        screen.file.write(CLEAR_LINE)
        super().show_action(action)

    def finish(self) -> None:
        screen.file.write("\n")
        screen.file.flush()


def _describe(answer: LiveAnswer) -> str:
    """Describe an answer in one line."""
    if answer.class_name is None:
        name = "no events"
        probability = ""
    else:
        name = show_name(answer.class_name) + ("" if answer.certain else " (uncertain)")
        probability = f"{answer.probability:.0%}"

    # A line of 80 columns has room for one of both; losses matter more.
    skipped_s = answer.skipped_us * 1e-6
    facts = f"{skipped_s:,.1f} s skipped" if skipped_s else f"{answer.events_per_s:,.0f} events/s"
    return f"{answer.t_us * 1e-6:8.2f} s  {name:40}  {probability:>4}  {facts:>18}"
