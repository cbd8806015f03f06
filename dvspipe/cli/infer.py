"""Recordings to labels over time: one after another, or in processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import DataError, DvspipeError, FileError
from ..events import SensorSize
from ..parallel import map_in_processes
from .screen import (
    EXIT_SOME_FAILED,
    Hinted,
    Overwrite,
    Sensor,
    fail,
    hints_of,
    pass_over,
    progress,
    screen,
    sensor_size,
)  # fmt: skip

LONGEST_MS = 1e9  # of a window

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Work:
    """What is done with each recording; sent to processes.

    Args:
        checkpoint: The network.
        config: An `InferConfig`.
        run: What `run_record` made.
        sensor: The sensor of files that do not name it.
        hints: What else they do not say.
        out: The folder for answers, or None.
        labels: A label file, or a folder of them, or None.
        pictures: Whether timelines and overlays are made.
    """

    checkpoint: str
    config: Any
    run: dict[str, Any]
    sensor: SensorSize | None
    hints: Any
    out: Path | None
    labels: Path | None
    pictures: bool

    def labels_of(self, task: Any) -> Path | None:
        """The label file of a recording, where there are labels."""
        from ..inference import find_labels

        return None if self.labels is None else find_labels(self.labels, task.source, task.name)

    def basis(self, task: Any) -> dict[str, Any]:
        """What the answer for a recording rests on."""
        from ..inference import rests_on

        return rests_on(task.source, self.run, self.labels_of(task), pictures=self.pictures)

    def found(self, task: Any) -> dict[str, Any] | None:
        """The record of a recording that is done already."""
        from ..inference import find_answer

        if self.out is None:
            return None
        try:
            basis = self.basis(task)
        except DvspipeError:
            return None  # `judge` will meet it again
        return find_answer(self.out / task.name, basis)

    def judge(self, classifier: Any, task: Any, show: Progress) -> dict[str, Any]:
        """The record of a recording; its answers and pictures are written."""
        from ..inference import finish_answer, prediction_record, read_spans, score, write_answers, write_run
        from ..report import write_pictures

        labels = self.labels_of(task)
        spans = None if labels is None else read_spans(labels, classifier.config.classes)
        source = classifier.open(task.source, self.config, sensor=self.sensor, hints=self.hints)
        basis = None if self.out is None else self.basis(task)  # before it is read
        said = classifier.judge(source, self.config, show)
        scores = None
        if spans is not None:
            window_us = classifier.window_bins(self.config).window_us
            scores = score(said.answers, said.segments, spans, self.config.segments, window_us)
        record = prediction_record(said, scores) | {"folder": str(task.name), "rests_on": basis}
        if spans is not None:
            record["labels"] = [[span.start_us, span.end_us, span.name] for span, _ in spans]
        if self.out is None:
            return record
        folder = self.out / task.name
        write_run(self.out, self.run)
        write_answers(folder, said, classifier.config.classes)
        if self.pictures:
            parts = _told(source.parts(), lambda: show(said.events, said.events))
            write_pictures(folder, record, parts, source.sensor, classifier.config.classes)
        finish_answer(folder, record)
        return record


def _told(parts: Iterator[Any], tell: Callable[[], object]) -> Iterator[Any]:
    """The same parts, between which Ctrl-C can end it."""
    for part in parts:
        tell()
        yield part


def infer(
    checkpoint: Annotated[str, typer.Argument(help="weights/best.safetensors of a run, or the name of a shipped one.")],
    recordings: Annotated[list[Path], typer.Argument(help="Recordings, videos, or folders of such.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for all answers over time, pictures and report.html.")
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=LONGEST_MS, help="Length of a window in ms, instead of what the network learned from."
        ),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(min=0.001, max=LONGEST_MS, help="From one window to the next in ms; a window by default."),
    ] = None,
    stateful: Annotated[
        bool, typer.Option("--stateful", help="Let the network's state run on, without windows.")
    ] = False,
    fit: Annotated[
        str | None, typer.Option(metavar="crop|scale", help="What to do with another sensor than the network's.")
    ] = None,
    roi: Annotated[
        str | None, typer.Option(metavar="WxH+X+Y|auto", help="Part of the sensor to look at; auto: where events are.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="NAME_labels.csv, or a folder of them: what is right, to be scored against.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Such as segments.enter=0.7, video.simulator.pos_thres=0.3."),
    ] = None,
    sensor: Sensor = None,
    hint: Hinted = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes for several recordings.")] = 1,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Records alone, no timelines and videos.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Say what recordings show, and when: labels with their probabilities."""
    from ..config import build, merge_settings, parse_overrides
    from ..inference import Classifier, InferConfig, check_run, plan_tasks, run_record

    window_us, hop_us = (None if ms is None else round(1000 * ms) for ms in (window, hop))
    asked = {"window_us": window_us, "hop_us": hop_us, "stateful": stateful, "fit": fit, "roi": roi}
    given = {name: value for name, value in asked.items() if value not in (None, False)}
    config = build(InferConfig, merge_settings(parse_overrides(settings or []), given), "infer")
    size, hints = sensor_size(sensor), hints_of(hint)
    if labels is not None and not labels.exists():
        raise FileError(f"{labels}: no such label file or folder of them")
    tasks = plan_tasks(recordings, out)
    if labels is not None and not labels.is_dir() and len(tasks) > 1:
        raise DataError(f"{labels}: labels one recording, and there are {len(tasks)}; --labels FOLDER takes many files")
    classifier = Classifier.load(checkpoint)
    run = run_record(classifier, Path(checkpoint), config, sensor=sensor, hints=hint)
    work = Work(checkpoint, config, run, size, hints, out, labels, pictures=not no_pictures)
    if out is not None and not overwrite:
        check_run(out, run)
    done = {}
    for number, task in enumerate(tasks):
        if not overwrite and (found := work.found(task)) is not None:
            done[number] = found
    if done:
        screen.print(f"{len(done)} of {len(tasks)} are there already; --overwrite makes them anew")
    waiting = [(number, task) for number, task in enumerate(tasks) if number not in done]
    results = _in_processes(work, waiting, jobs) if jobs > 1 and len(waiting) > 1 else _alone(work, classifier, waiting)
    failed = 0
    try:
        for number, record in results:
            if isinstance(record, DvspipeError):
                if len(tasks) == 1:
                    raise record
                failed += 1
                pass_over(record)
            else:
                done[number] = record
    finally:
        records = [done[number] for number in sorted(done)]
        if out is not None and records:
            _write_summary(out, run)
    print_predictions(records, classifier.config.trained_on)
    if (scores := _scores_of(records)) is not None:
        from ..report import score_line

        screen.print(score_line(scores.to_record()))
    if out is not None and records:
        from ..report import write_answers_page

        screen.print(f"{write_answers_page(out)} shows it all")
    if failed:
        fail(f"{failed} of {len(tasks)} recordings got no answer", EXIT_SOME_FAILED)


Result = tuple[int, Any]
"""The number of a recording, and its record or the error that came instead."""


def _alone(work: Work, classifier: Any, waiting: list[tuple[int, Any]]) -> Iterator[Result]:
    """Judges one after another, here."""
    with progress() as show:
        for count, (number, task) in enumerate(waiting):
            shown = partial(show, "events") if len(waiting) == 1 else _at(show, count, len(waiting))
            try:
                record: Any = work.judge(classifier, task, shown)
            except DvspipeError as error:
                record = error
            yield number, record


def _at(show: Any, count: int, total: int) -> Progress:
    """Progress in recordings, told whenever there is progress in one of them."""
    return lambda *_: show("recordings", count, total)


def _in_processes(work: Work, waiting: list[tuple[int, Any]], jobs: int) -> Iterator[Result]:
    """Judges in processes of their own, each with its share of the cores."""
    with progress() as show:
        tasks = [task for _, task in waiting]
        for outcome in map_in_processes(_Judge(work), tasks, jobs=jobs, progress=partial(show, "recordings")):
            number = waiting[outcome.index][0]
            yield number, outcome.value if outcome.error is None else outcome.error


@dataclass(frozen=True)
class _Judge:
    """Judges in a process of its own."""

    work: Work

    def __call__(self, task: Any, progress: Progress) -> dict[str, Any]:
        return self.work.judge(_load(self.work.checkpoint), task, progress)


@cache
def _load(checkpoint: str) -> Any:
    from ..inference import Classifier

    return Classifier.load(checkpoint)


def _write_summary(out: Path, run: dict[str, Any]) -> None:
    """Writes what there is of all recordings together, also of those that were judged at other times."""
    from ..inference import collect_answers, write_predictions, write_scores

    records = collect_answers(out, run)
    write_predictions(out, records)
    if (scores := _scores_of(records)) is not None:
        write_scores(out, scores)


def _scores_of(records: list[dict[str, Any]]) -> Any:
    """The scores of all recordings together, or None where there are none."""
    from ..inference import Scores, add_up

    return add_up(Scores.from_record(record["scores"]) for record in records if record["scores"])


def print_predictions(records: list[dict[str, Any]], trained_on: str) -> None:
    """Prints a line per recording, however narrow the screen, and what the network learned from."""
    rows = [("file", "label", "class", "probability", "segments", "events")]
    for said in records:
        name = said["class"] if said["certain"] else f"{said['class']}, uncertain"
        numbers = f"{said['probability']:.1%}", str(said["segments"]), f"{said['events']:,}"
        rows.append((said["file"], str(said["label"]), name, *numbers))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if records else ():
        cells = zip(row, widths, "<><>>>", strict=True)
        screen.print("  ".join(f"{cell:{side}{width}}" for cell, width, side in cells))
    if records and trained_on:
        screen.print(f"by a network that was trained on {trained_on}")
