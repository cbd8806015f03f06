"""Many recordings, classified by an engine, and what is stored of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from ..errors import ConfigError, DataError, DvspipeError, FileError, Remedy
from ..events import Events
from ..framing import EventSource
from ..parallel import Engine, Outcome, Processes, Progress, ignore_progress, map_items
from ..results import InferenceRun, Manifest, OutputFolder, Prediction, add_scores
from .adaptation import adapt, check_adaptable
from .classifier import Classifier
from .labels import read_spans
from .options import ClassifyOptions
from .scores import score
from .tasks import Task


def classify_many(
    tasks: Sequence[Task],
    classifier: Classifier,
    options: ClassifyOptions = ClassifyOptions(),
    *,
    engine: Engine = Processes(),
    overwrite: bool = False,
    finished: Collection[Task] | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome[Task, Prediction]]:
    """Classify recordings, store the predictions, and yield the outcome of each as it is done.

    Recordings whose stored answer is current are skipped; `find_finished` returns these. When the iterator ends, also
    by an error or Ctrl-C, `summarize_answers` is called.

    Args:
        tasks: As `plan_tasks` returns them.
        classifier: The network; each worker loads it from its checkpoint once.
        options: How to classify, and what to store.
        engine: Where they are classified.
        overwrite: Whether to classify all recordings, and to replace the answers of other runs.
        finished: Recordings to skip, which `find_finished` returned; None: it is called.
        progress: Called with the number of recordings done and in all; with one process, the number includes the share
            of the current recording that is done.

    Yields:
        Outcomes whose error names the file, for recordings that cannot be classified.

    Raises:
        ConfigError: The configuration does not fit the network.
        DataError: There is one label file for several recordings.
        FileError: The output folder has answers of another run, or the label file does not exist.
        WorkerError: A worker was killed; stored answers stay.

    Example:
        >>> classifier = Classifier.load("gesture-synthetic")
        >>> options = ClassifyOptions(out=Path("answers"))
        >>> tasks = plan_tasks([Path("recordings")], options.out)  # doctest: +SKIP
        >>> for outcome in classify_many(tasks, classifier, options, engine=Processes(2)):  # doctest: +SKIP
        ...     print(outcome.item.source, outcome.result().class_name)
    """
    _check_labels(options.labels, len(tasks))
    run = options.record_run(classifier, tasks)
    if finished is None:
        finished = () if overwrite else find_finished(tasks, run, options)
    waiting = [task for task in tasks if task not in finished]
    leaves = engine.leaves(len(waiting))
    if leaves and (not classifier.checkpoint or classifier.modules.network is not None):
        raise ConfigError(
            f"engine = {engine}: the classifier was not loaded from a checkpoint alone, which workers need "
            "(expected engine = Processes(), which works in this process)"
        )
    for out in {task.out for task in finished if task.out is not None}:
        Manifest(out).finish([task.source for task in finished if task.out == out])
    if options.adapt:
        check_adaptable(classifier)
    work = _Classify(run, options, None if leaves else classifier, classifier.modules.trust, overwrite)
    return _classify_all(work, tasks, waiting, engine, progress)


def _check_labels(labels: Path | None, recordings: int) -> None:
    if labels is None:
        return
    if not labels.exists():
        raise FileError(f"{labels}: no such label file or folder")
    if not labels.is_dir() and recordings > 1:
        raise DataError(
            f"{labels}: is one label file, expected one for each of {recordings} recordings",
            Remedy("labels", "FOLDER", "give a folder of label files"),
        )


def _classify_all(
    work: _Classify, tasks: Sequence[Task], waiting: Sequence[Task], engine: Engine, progress: Progress | None
) -> Iterator[Outcome[Task, Prediction]]:
    """Classify the waiting recordings, with a network that is adapted to all tasks if the options say so."""
    done: list[Prediction] = []
    try:
        if work.options.adapt and waiting:
            count = len(waiting)
            reading, progress = _share_progress(progress, 0, count), _share_progress(progress, count / 2, count)
            work = replace(work, classifier=_adapt(work, tasks, reading))
        for outcome in map_items(work, waiting, engine=engine, progress=progress):
            if outcome.value is not None and work.options.out is not None:
                done.append(outcome.value.as_stored())
            yield outcome
    finally:
        if work.options.out is not None:
            summarize_answers(OutputFolder(work.options.out), work.run, done)


def _adapt(work: _Classify, tasks: Sequence[Task], progress: Progress) -> Classifier:
    """Return the network adapted to all tasks; those that cannot be read are reported when they are classified."""
    options, sources = work.options, [task.source for task in tasks]
    classifier = work.classifier or _load(work.run.checkpoint, work.trust)
    adaptation = adapt(
        classifier, sources, options.config, sensor=options.sensor, hints=options.hints, progress=progress
    )
    return adaptation.classifier


def _share_progress(progress: Progress | None, start: float, count: int) -> Progress:
    """Return a progress of one of two passes that reports half of a number of recordings, from a start on."""
    report = progress or ignore_progress
    return lambda done, total: report(start + count / 2 * (done / total if total else 0), count)


def find_finished(tasks: Sequence[Task], run: InferenceRun, options: ClassifyOptions) -> dict[Task, Prediction]:
    """Return the recordings whose stored answer is current, with their predictions.

    Args:
        tasks: As `plan_tasks` returns them.
        run: What `ClassifyOptions.record_run` returns.
        options: How to classify, and what to store.

    Raises:
        FileError: The output folder has answers of another run, or a folder holds the answer for another recording.
    """
    if options.out is None:
        return {}
    OutputFolder(options.out).check(run)
    finished = {}
    for task in tasks:
        folder = OutputFolder(options.out).of(task.name)
        if not folder.answer.is_file():
            continue
        try:
            needed = options.record_dependencies(task, run)
        except DvspipeError:
            continue  # raised again when it is classified
        if (found := folder.find_current(needed)) is not None:
            finished[task] = found
    return finished


def summarize_answers(folder: OutputFolder, run: InferenceRun, known: Sequence[Prediction] = ()) -> None:
    """Write the predictions and scores of all recordings in an output folder that a run like this one classified.

    Args:
        folder: The output folder.
        run: The run.
        known: Predictions that are in memory; the others are read.

    Raises:
        FileError: The folder cannot be written to.
    """
    predictions = folder.find_predictions(run, known, with_segments=False)
    if not predictions:
        return
    folder.write_predictions(predictions)
    if (scores := add_scores(each.scores for each in predictions)) is not None:
        scores.write(folder.scores)
    else:
        folder.scores.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Classify:
    """Classifies a recording; is sent to worker processes.

    Args:
        run: The record of the classification.
        options: How to classify, and what to store.
        classifier: The network; None loads it from its checkpoint, once per process.
        trust: Packages whose code that may run.
        overwrite: Whether a recording is classified again that has an answer.
    """

    run: InferenceRun
    options: ClassifyOptions
    classifier: Classifier | None
    trust: tuple[str, ...] = ()
    overwrite: bool = False

    def __call__(self, task: Task, progress: Progress) -> Prediction:
        if task.out is None:
            return self._classify(task, progress)
        folder = OutputFolder(task.out).of(task.name)
        if folder.answer.is_file() and not self.overwrite:
            found = folder.find_current(self.options.record_dependencies(task, self.run))
            if found is not None:  # of a worker that was killed before it could say so
                Manifest(task.out).finish([task.source])
                return found
        with Manifest(task.out).record(task.source, folder.path, self.run.digest) as entry:
            prediction = self._classify(task, progress)
            entry.events = prediction.events
            return prediction

    def _classify(self, task: Task, progress: Progress) -> Prediction:
        classifier, options = self.classifier or _load(self.run.checkpoint, self.trust), self.options
        passes = 1 if options.draw is None else 2  # the second one draws
        labels = options.find_label_file(task)
        spans = None if labels is None else read_spans(labels, self.run.classes)
        source = classifier.open(task.source, options.config, sensor=options.sensor, hints=options.hints)
        # before the recording is read, so that a change in the meantime is noticed
        depends_on = None if options.out is None else options.record_dependencies(task, self.run)
        prediction = classifier.classify(source, options.config, partial(_report_pass, progress, 0, passes))
        prediction = prediction.model_copy(update={"folder": str(task.name), "depends_on": depends_on})
        if spans is not None:
            timeline, segments = prediction.timeline, prediction.segments
            scores = score(timeline, segments, spans, options.config.segments, self.run.window_us)
            prediction = prediction.model_copy(
                update={"labels": tuple(span.to_row() for span in spans), "scores": scores}
            )
        if options.out is not None:
            self._store(OutputFolder(options.out), prediction, source, partial(_report_pass, progress, 1, passes))
        return prediction

    def _store(self, out: OutputFolder, prediction: Prediction, source: EventSource, progress: Progress) -> None:
        folder, windows = out.of(prediction.folder), prediction.to_windows()
        out.write_run(self.run)
        folder.write_rows(windows, prediction.segments)
        if self.options.draw is not None:
            parts, sensor = _follow(source, progress), source.overview.sensor
            self.options.draw(folder, prediction, windows, parts, sensor, self.run.classes)
        prediction.write(folder.answer)


@lru_cache(maxsize=1)
def _load(checkpoint: str, trust: tuple[str, ...]) -> Classifier:
    return Classifier.load(checkpoint, trust=trust)


def _report_pass(progress: Progress, number: int, passes: int, done: float, total: float) -> None:
    """Report how much is done in one of several passes over a recording."""
    progress(number + (min(1.0, max(0.0, done / total)) if total else 0), passes)


def _follow(source: EventSource, progress: Progress) -> Iterator[Events]:
    """Yield the parts of a recording, and report how much of its time is done before each, which may stop the work."""
    first_us, last_us = source.span_us or (0, 0)
    for part in source.overview.parts():
        progress(int(part.t[0]) - first_us if len(part) else 0, last_us - first_us)
        yield part
