"""Command `live`: classify a webcam, or a replayed file, while it runs."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..base.errors import count_noun
from ..base.gestures import OTHER
from ..base.interrupts import end_on_interrupt
from ..base.texts import readable, show_name
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..cli.screen import screen
from ..inference import ClassifyConfig
from .actions import ActionConfig
from .answers import LiveAnswer
from .running import ActionRunner
from .session import LiveSession, load_live
from .session import live as verb

log = logging.getLogger(__name__)

CLEAR_LINE = "\r\x1b[K"


def live(
    checkpoint: str = DEFAULT_CHECKPOINT,
    source: str | int = 0,
    config: ClassifyConfig = ClassifyConfig(),
    acts: ActionConfig = ActionConfig(),
    *,
    on: Sequence[tuple[str, str]] = (),
    speed: float = 1.0,
    record: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Classify a webcam, or a replayed file, while it runs; Ctrl-C ends it.

    Args:
        checkpoint: Run folder, .safetensors file, name of an included classifier, or hf://USER/NAME.
        source: Webcam: 0, 1, ...; or a video or recording to replay.
        config: Settings of windows and region.
        acts: When a gesture acts.
        on: Class and command to run once per gesture of the class, or of any class, with the environment variables
            DVSPIPE_CLASS, DVSPIPE_PROBABILITY and DVSPIPE_T_S. Repeatable.
        speed: Speed of a replay, > 0; 1: as recorded.
        record: Event file (.h5, ...) for what the network sees; default: not recorded.
        overwrite: Replace an existing file of `record`.
    """
    classifier = load_live(checkpoint)
    runner = ActionRunner(on, classifier.config.classes, acts)
    session = verb(classifier, source, config, speed=speed, record=record, overwrite=overwrite)
    name = session.source.name

    log.info("%s: starting, which takes longer the first time; Ctrl-C ends it", name)
    summary = _run(session, runner)

    if session.dropped:
        log.warning("%s: %.2f s skipped: the machine was too slow", name, session.skipped_us * 1e-6)
    if session.writer is not None:
        log.info("%s: %s", session.writer.path, count_noun(session.writer.count, "event"))
    log.info("%s: %s", name, summary)

    # The program ends soon after SIGTERM: without this, Python looks at all objects of PyTorch again, for 0.6 s.
    gc.freeze()


def _run(session: LiveSession, runner: ActionRunner) -> str:
    """Print the predictions of a session until it ends, and perform its actions; return a summary."""
    certain: Counter[str] = Counter()
    bases: Counter[str] = Counter()

    def stop() -> None:
        session.stop()
        runner.stop()

    # The first Ctrl-C ends the stream like its end: the events are written, and the summary is shown.
    with end_on_interrupt(stop), runner:
        for answer in session:
            _show(answer)
            if answer.class_name is not None:
                bases[answer.basis] += 1
                certain.update([answer.class_name] if answer.certain else [])

            action = runner.add(answer)
            if action is not None and not screen.as_json:
                clear = CLEAR_LINE if screen.is_terminal else ""
                _write(f"{clear}{action.t_s:8.2f} s  {show_name(action.class_name)} acts\n")

        if screen.is_terminal and not screen.as_json:
            _write("\n")

    leading = "".join(f", mostly {show_name(name)}" for name, _ in certain.most_common(1))
    by_basis = "".join(f", {count} by {basis}" for basis, count in bases.items())
    return f"{count_noun(bases.total(), 'prediction')}, {certain.total()} certain{leading}{by_basis}"


def _show(answer: LiveAnswer) -> None:
    """Print an answer: as JSON, as the only line of a terminal, or as one of many lines."""
    if screen.as_json:
        _write(answer.model_dump_json() + "\n")
    elif screen.is_terminal:
        _write(CLEAR_LINE + _describe(answer)[: screen.width - 1])  # a longer line could not be overwritten
    else:
        _write(_describe(answer) + "\n")


def _write(text: str) -> None:
    screen.file.write(text)
    screen.file.flush()


def _describe(answer: LiveAnswer) -> str:
    """Describe an answer in one line."""
    name = "no events"
    probability = ""
    if answer.class_name is not None:
        shown = "no gesture" if answer.class_name == OTHER else readable(show_name(answer.class_name))
        name = shown + ("" if answer.certain else " (uncertain)")
        probability = f"{answer.probability:.0%}"

    # A line of 80 columns has room for one of both; losses matter more.
    skipped_s = answer.skipped_us * 1e-6
    facts = f"{skipped_s:,.1f} s skipped" if skipped_s else f"{answer.events_per_s:,.0f} events/s"
    return f"{answer.t_us * 1e-6:8.2f} s  {name:40}  {probability:>4}  {facts:>18}"
