"""Classify many recordings, also in worker processes, and store the predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Unpack

from ..base.config import Settings, as_settings
from ..base.errors import ConfigError, DataError, DvspipeError, FileError
from ..base.files import read_bytes
from ..base.pool import Outcome, map_items
from ..base.progress import CurrentStep, NamedStep, Progress, ignore_progress, report_step
from ..checkpoints.checkpoint import versions
from ..events import Events, SensorSizeLike
from ..formats import NO_HINTS, GivenSensor, Hints, HintsLike
from ..formats.hints import UniqueHintKeywords
from ..framing import EventSource
from ..hooks import RecordingView, plugins
from ..results import (
    Dependencies,
    InferenceRun,
    OutputFolder,
    Prediction,
    add_scores,
)
from ..results.labels import MAX_LABEL_BYTES
from .classifier import Classifier
from .config import InferConfig, UniqueInferKeywords
from .scores import find_label_file, read_known_labels, score
from .tasks import Task


class ClassifyOptions(Settings):
    """Options of classification and storage."""

    config: InferConfig = InferConfig()
    """Settings of windows, segments and framing."""
    sensor: GivenSensor = None
    """Sensor size, for files that do not store it."""
    hints: Hints = NO_HINTS
    """Other metadata that the files do not store."""
    adapt: bool = False
    """Whether to adapt the network to all recordings first (see `adapt`)."""
    labels: Path | None = None
    """Label file or folder of label files (see `find_label_file`) to compute scores; None: no scores."""
    out: Path | None = None
    """Output folder (see `OutputFolder`); None: store nothing."""
    pictures: bool = False
    """Whether plug-ins draw pictures of each recording in its folder."""

    def record_run(self, classifier: Classifier, tasks: Sequence[Task] = ()) -> InferenceRun:
        """Create the record of a classification run with these options.

        Args:
            classifier: Classifier before adaptation.
            tasks: All recordings; with `adapt`, every prediction depends on all of them.

        Raises:
            ConfigError: If the configuration does not fit the network.
        """
        framed = classifier.framed(self.config)
        return InferenceRun(
            checkpoint=classifier.checkpoint or "",
            network=classifier.digest,
            trained_on=classifier.config.trained_on,
            classes=classifier.config.classes,
            sensor=str(classifier.config.sensor),
            window_us=classifier.window_bins(self.config).window_us,
            step_us=classifier.config.bins.step_us,
            hop_us=framed.hop_us,
            stateful=framed.stateful,
            settings=framed.model_dump(mode="json"),
            sensor_given=None if self.sensor is None else str(self.sensor),
            hints=tuple(f"{name}={value}" for name, value in self.hints if value is not None),
            adapted_to=_digest_files([task.source for task in tasks]) if self.adapt else None,
            versions=versions(),
        )

    def find_label_file(self, task: Task) -> Path | None:
        """Find the label file of a recording; None if the options have no labels.

        Raises:
            DataError: If the recording has no label file.
        """
        return None if self.labels is None else find_label_file(self.labels, task.source, task.name)

    def record_dependencies(self, task: Task, run: InferenceRun) -> Dependencies:
        """Record what the prediction for a recording depends on: the recording, its label file and the run.

        Raises:
            DataError: If the recording has no label file.
            FileError: If the recording or its label file is missing or cannot be read.
        """
        labels = self.find_label_file(task)

        try:
            status = task.source.stat()
        except OSError as error:
            raise FileError(f"{task.source}: cannot be read ({error.strerror})") from error

        digest = None if labels is None else hashlib.sha256(read_bytes(labels, MAX_LABEL_BYTES)).hexdigest()
        return Dependencies(
            source=str(task.source.resolve()),
            bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            run=run.digest,
            labels=digest,
            pictures=self.pictures,
        )


class ClassifyKeywords(UniqueInferKeywords, UniqueHintKeywords, total=False):
    """Settings of `ClassifyOptions` by name."""

    config: InferConfig | Mapping[str, object]
    sensor: SensorSizeLike | None
    hints: HintsLike
    adapt: bool
    labels: str | Path | None
    out: str | Path | None
    pictures: bool


def classify_many(
    tasks: Sequence[Task],
    classifier: Classifier,
    options: ClassifyOptions | Mapping[str, object] | None = None,
    *,
    jobs: int | str = 1,
    overwrite: bool = False,
    finished: Collection[Task] | None = None,
    progress: Progress | None = None,
    **named: Unpack[ClassifyKeywords],
) -> Iterator[Outcome[Task, Prediction]]:
    """Classify recordings, store the predictions, and yield the outcome of each recording as it finishes.

    Recordings with a current stored prediction (see `find_finished`) are skipped. `summarize_answers` is called when
    the iterator ends, also after an error or Ctrl-C.

    Args:
        tasks: Recordings, from `plan_tasks`.
        classifier: Classifier; each worker loads it once from its checkpoint.
        options: Settings of classification and storage; also a mapping of keys and values.
        jobs: Number of local processes, or the address of a Ray cluster; see `map_items`.
        overwrite: Whether to classify all recordings again, and to replace predictions of other runs.
        finished: Recordings to skip, from `find_finished`; None: call it.
        progress: Callback with the finished and total number of recordings; with one process, the finished number
            includes the fraction of the current recording.
        named: Settings by name, such as `out="answers"` or `stateful=True`; they take precedence over `options`.

    Yields:
        Outcomes in order of completion. A recording that cannot be classified has an error that names the file.

    Raises:
        ConfigError: If the configuration does not fit the network, or workers need a checkpoint that `classifier`
            does not have.
        DataError: If a single label file is given for several recordings.
        FileError: If the output folder contains predictions of another run, or the label file does not exist.
        WorkerError: If a worker was killed; stored predictions remain.

    Example:
        >>> classifier = Classifier.load("gesture")
        >>> tasks = plan_tasks([Path("recordings")], Path("answers"))  # doctest: +SKIP
        >>> for outcome in classify_many(tasks, classifier, out="answers", jobs=2):  # doctest: +SKIP
        ...     print(outcome.item.source, outcome.result().class_name)
    """
    options = as_settings(ClassifyOptions, options, named, classify_many)
    _check_labels(options.labels, len(tasks))
    run = options.record_run(classifier, tasks)

    if finished is None:
        finished = () if overwrite else find_finished(tasks, run, options)
    waiting = [task for task in tasks if task not in finished]

    uses_workers = jobs != 1 and len(waiting) > 1
    if uses_workers and (not classifier.checkpoint or classifier.modules.network is not None):
        raise ConfigError(
            f"jobs = {jobs}: workers load the network from a checkpoint (found a network in memory); use jobs=1"
        )

    if options.adapt:
        from .adaptation import check_adaptable

        check_adaptable(classifier)

    classify = _ClassifyTask(run, options, None if uses_workers else classifier, classifier.modules.trust, overwrite)
    return _classify_all(classify, tasks, waiting, jobs, progress)


def _digest_files(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of absolute paths, and of sizes and modification times of readable files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.resolve()).encode(errors="surrogateescape"))
        with suppress(OSError):
            status = path.stat()
            digest.update(f" {status.st_size} {status.st_mtime_ns}\n".encode())

    return digest.hexdigest()


def _check_labels(labels: Path | None, recordings: int) -> None:
    if labels is None:
        return

    if not labels.exists():
        raise FileError(f"{labels}: label file or folder does not exist")
    if not labels.is_dir() and recordings > 1:
        raise DataError(
            f"{labels}: one label file for several recordings (found 1, expected {recordings})"
            "; use labels=FOLDER to give a folder of label files"
        )


def _classify_all(
    classify: _ClassifyTask, tasks: Sequence[Task], waiting: Sequence[Task], jobs: int | str, progress: Progress | None
) -> Iterator[Outcome[Task, Prediction]]:
    """Classify the waiting recordings; with `options.adapt`, first adapt the network to all tasks."""
    predictions: list[Prediction] = []
    try:
        # Adaptation reads all recordings before they are classified: each pass is half of the progress.
        if classify.options.adapt and waiting:
            count = len(waiting)
            adapting = _Half(progress or ignore_progress, 0, count)
            progress = _Half(progress or ignore_progress, count / 2, count)
            classify = replace(classify, classifier=_adapt(classify, tasks, adapting))

        for outcome in map_items(classify, waiting, jobs=jobs, progress=progress):
            if outcome.value is not None and classify.options.out is not None:
                predictions.append(outcome.value.as_stored())
            yield outcome
    finally:
        if classify.options.out is not None:
            summarize_answers(OutputFolder(classify.options.out), classify.run, predictions)


def _adapt(classify: _ClassifyTask, tasks: Sequence[Task], progress: Progress) -> Classifier:
    """Adapt the network to all tasks; unreadable recordings are skipped here and reported when classified."""
    from .adaptation import adapt_classifier

    options = classify.options
    sources = [task.source for task in tasks]

    return adapt_classifier(
        classify.load(), sources, options.config, sensor=options.sensor, hints=options.hints, progress=progress
    ).classifier


@dataclass(frozen=True)
class _Half:
    """Progress callback of one of two passes through `count` recordings; `before` of them count as done."""

    progress: Progress
    before: float
    count: int

    def __call__(self, done: float, total: float) -> None:
        self.progress(self._add(done, total), self.count)

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        report_step(self.progress, self._add(done, total), self.count, step)

    def _add(self, done: float, total: float) -> float:
        return self.before + self.count / 2 * (done / total if total else 0)


def find_finished(tasks: Sequence[Task], run: InferenceRun, options: ClassifyOptions) -> dict[Task, Prediction]:
    """Find recordings with a current stored prediction.

    A prediction is current if recording, label file, network and settings are unchanged since it was stored.

    Args:
        tasks: Recordings, from `plan_tasks`.
        run: Record of the run, from `ClassifyOptions.record_run`.
        options: Settings of classification and storage.

    Returns:
        Predictions by task; empty without an output folder.

    Raises:
        FileError: If the output folder contains predictions of another run, or a recording's folder contains the
            prediction for another recording.
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
            dependencies = options.record_dependencies(task, run)
        except DvspipeError:
            continue  # raised again during classification

        if (prediction := folder.find_current(dependencies)) is not None:
            finished[task] = prediction

    return finished


def summarize_answers(folder: OutputFolder, run: InferenceRun, known: Sequence[Prediction] = ()) -> None:
    """Write tables of predictions and scores for all recordings in an output folder.

    Args:
        folder: Output folder.
        run: Record of the run; only predictions with the same network and settings are included.
        known: Predictions already in memory; all others are read from the folder.

    Raises:
        FileError: If the folder is not writable.
    """
    predictions = folder.find_predictions(run, known)
    if not predictions:
        return

    folder.write_predictions(predictions)
    if (scores := add_scores(prediction.scores for prediction in predictions)) is not None:
        scores.write(folder.scores)
    else:
        folder.scores.unlink(missing_ok=True)


@dataclass(frozen=True)
class _ClassifyTask:
    """Picklable function that classifies and stores one recording, for worker processes.

    Args:
        run: Record of the run.
        options: Settings of classification and storage.
        classifier: Classifier; None: load it from its checkpoint, once per process.
        trust: Packages allowed to run code while it is loaded.
        overwrite: Whether to classify recordings again that have a stored prediction.
    """

    run: InferenceRun
    options: ClassifyOptions
    classifier: Classifier | None
    trust: tuple[str, ...] = ()
    overwrite: bool = False

    def __call__(self, task: Task, progress: Progress) -> Prediction:
        if self.options.out is not None and not self.overwrite:
            folder = OutputFolder(self.options.out).of(task.name)
            if folder.answer.is_file():
                stored = folder.find_current(self.options.record_dependencies(task, self.run))
                if stored is not None:  # stored by a worker that was killed before it replied
                    return stored

        return self._classify(task, progress)

    def load(self) -> Classifier:
        """Return the classifier; a worker process loads it once."""
        return self.classifier or _load_classifier(self.run.checkpoint, self.trust)

    def _classify(self, task: Task, progress: Progress) -> Prediction:
        classifier = self.load()
        options = self.options
        passes = 3 if options.pictures else 2  # search the person, classify, draw pictures

        # Read the labels first: an error in them should not cost a classification.
        label_file = options.find_label_file(task)
        labels = None if label_file is None else read_known_labels(label_file, self.run.classes)

        config = classifier.framed(options.config).for_recording(task.name.as_posix())
        search = NamedStep(progress, "search", 0, passes)
        source = classifier.open(task.source, config, sensor=options.sensor, hints=options.hints, progress=search)

        # recorded before the recording is read, to notice changes in the meantime
        depends_on = None if options.out is None else options.record_dependencies(task, self.run)

        prediction = classifier.classify(source, options.config, NamedStep(progress, "classify", 1, passes))
        prediction = prediction.model_copy(update={"folder": str(task.name), "depends_on": depends_on})
        if labels is not None:
            run = self.run
            segments = prediction.segments
            scores = score(prediction.timeline, segments, labels, run.classes, options.config.segments, run.window_us)
            prediction = prediction.model_copy(update={"labels": labels, "scores": scores})

        if options.out is not None:
            self._store(OutputFolder(options.out), prediction, source, NamedStep(progress, "pictures", 2, passes))

        return prediction

    def _store(self, out: OutputFolder, prediction: Prediction, source: EventSource, progress: Progress) -> None:
        folder = out.of(prediction.folder)
        windows = prediction.to_windows()
        out.write_run(self.run)
        folder.write_rows(windows, prediction.segments)

        if self.options.pictures:
            frames = None if source.pictures is None else source.pictures().pictures()
            view = RecordingView(source.overview.sensor, _report_parts(source, progress), frames)
            plugins().hook.draw(folder=folder, prediction=prediction, windows=windows, view=view)

        # Written last: it marks a complete prediction.
        prediction.write(folder.answer)


@lru_cache(maxsize=1)
def _load_classifier(checkpoint: str, trust: tuple[str, ...]) -> Classifier:
    return Classifier.load(checkpoint, trust=trust)


def _report_parts(source: EventSource, progress: Progress) -> Iterator[Events]:
    """Yield the parts of a recording; report progress before each part (the callback may stop the work)."""
    first_us, last_us = source.span_us or (0, 0)

    for part in source.overview.parts():
        progress(int(part.t[0]) - first_us if len(part) else 0, last_us - first_us)
        yield part
