"""Classify many recordings, also in worker processes, and store the predictions."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, overload

from ..base.errors import ConfigError, DataError, DvspipeError, FileError, PartialError
from ..base.files import explain_missing, read_bytes
from ..base.gestures import OTHER
from ..base.pool import Outcome, Shard, collect, map_items
from ..base.progress import CurrentStep, NamedStep, Progress, ignore_progress, report_step
from ..base.texts import Described, TextTable, readable
from ..checkpoints.checkpoint import shipped_checkpoints, versions
from ..events import Events
from ..formats import RecordingLike
from ..framing import EventSource
from ..hooks import RecordingView, plugins
from ..recordings.sources import is_single_source, is_video
from ..results import (
    Dependencies,
    InferenceRun,
    OutputFolder,
    Prediction,
    add_scores,
    describe_adaptation,
)
from ..results.labels import MAX_LABEL_BYTES
from ..video.names import camera_of, check_address
from .classifier import Classifier, as_classifier
from .config import InferConfig
from .scores import find_label_file, read_known_labels, score
from .tasks import Task, plan_tasks

log = logging.getLogger(__name__)


class Storage(NamedTuple):
    """What is stored of each recording.

    Args:
        out: Output folder (see `OutputFolder`); None: store nothing.
        labels: Label file or folder of label files (see `find_label_file`) to compute scores; None: no scores.
        pictures: Whether plug-ins draw pictures of each recording in its folder.
    """

    out: Path | None = None
    labels: Path | None = None
    pictures: bool = False

    def find_label_file(self, task: Task) -> Path | None:
        """Find the label file of a recording; None if there are no labels.

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


def record_run(classifier: Classifier, config: InferConfig, adapted_to: Sequence[Task] = ()) -> InferenceRun:
    """Create the record of a classification run.

    Args:
        classifier: Classifier before adaptation.
        config: Settings of the classification.
        adapted_to: Recordings that the network is adapted to first; every prediction depends on all of them.

    Raises:
        ConfigError: If the configuration does not fit the network.
    """
    framed = classifier.framed(config)
    return InferenceRun(
        checkpoint=classifier.checkpoint or "",
        network=classifier.digest,
        trained_on=classifier.config.trained_on,
        classes=classifier.config.classes,
        sensor=str(classifier.config.sensor),
        window_us=classifier.window_bins(config).tensor_us,
        step_us=classifier.config.bins.step_us,
        hop_us=framed.hop_us,
        stateful=framed.stateful,
        settings=framed.part(InferConfig).to_record(),
        adapted_to=_digest_files([task.source for task in adapted_to]) if adapted_to else None,
        versions=versions(),
    )


def classify_many(
    tasks: Sequence[Task],
    classifier: Classifier,
    config: InferConfig = InferConfig(),
    *,
    adapt: bool = False,
    labels: Path | None = None,
    out: Path | None = None,
    pictures: bool = False,
    jobs: int | str = 1,
    overwrite: bool = False,
    finished: Collection[Task] | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome[Task, Prediction]]:
    """Classify recordings, store the predictions, and yield the outcome of each recording as it finishes.

    Recordings with a current stored prediction (see `find_finished`) are skipped. `summarize_answers` is called when
    the iterator ends, also after an error or Ctrl-C.

    Args:
        tasks: Recordings, from `plan_tasks`.
        classifier: Classifier; each worker loads it once from its checkpoint.
        config: Settings of windows, segments and framing.
        adapt: Whether to adapt the network to all recordings first (see `adapt`).
        labels: Label file or folder of label files to compute scores; see `Storage`.
        out: Output folder; see `Storage`.
        pictures: Whether pictures are drawn of each recording; see `Storage`.
        jobs: Number of worker processes, or a Ray cluster.
        overwrite: Whether to classify all recordings again, and to replace predictions of other runs.
        finished: Recordings to skip, from `find_finished`; None: call it.
        progress: Callback with the finished and total number of recordings; with one process, the finished number
            includes the fraction of the current recording.

    Yields:
        Outcomes in order of completion. A recording that cannot be classified has an error that names the file.

    Raises:
        ConfigError: If the configuration does not fit the network, or workers need a checkpoint that `classifier`
            does not have.
        DataError: If a single label file is given for several recordings.
        FileError: If the output folder contains predictions of another run, or the label file does not exist.
        WorkerError: If workers cannot start, or the cluster cannot be reached.

    Example:
        >>> classifier = Classifier.load("gesture")
        >>> tasks = plan_tasks([Path("recordings")], Path("answers"))  # doctest: +SKIP
        >>> for outcome in classify_many(tasks, classifier, out=Path("answers"), jobs=2):  # doctest: +SKIP
        ...     print(outcome.item.source, outcome.result().class_name)
    """
    _check_labels(labels, len(tasks))
    storage = Storage(out, labels, pictures)
    run = record_run(classifier, config, tasks if adapt else ())

    if finished is None:
        finished = () if overwrite else find_finished(tasks, run, storage)
    waiting = [task for task in tasks if task not in finished]

    is_parallel = jobs != 1 and len(waiting) > 1
    if is_parallel and (not classifier.checkpoint or classifier.modules.network is not None):
        raise ConfigError(
            f"jobs = {jobs}: workers load the network from a checkpoint (found a network in memory); use jobs=1"
        )

    if adapt:
        from .adaptation import check_adaptable

        check_adaptable(classifier)

    own = None if is_parallel else classifier
    classify = _ClassifyTask(run, config, storage, own, classifier.modules.trust, overwrite)
    return _classify_all(classify, tasks if adapt else (), waiting, jobs, progress)


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
    classify: _ClassifyTask,
    adapted_to: Sequence[Task],
    waiting: Sequence[Task],
    jobs: int | str,
    progress: Progress | None,
) -> Iterator[Outcome[Task, Prediction]]:
    """Classify the waiting recordings, after adapting the network to the recordings `adapted_to`."""
    predictions: list[Prediction] = []
    try:
        # Adaptation reads all recordings before they are classified: each pass is half of the progress.
        if adapted_to and waiting:
            count = len(waiting)
            adapting = _Half(progress or ignore_progress, 0, count)
            progress = _Half(progress or ignore_progress, count / 2, count)
            classify = replace(classify, classifier=_adapt(classify, adapted_to, adapting))

        for outcome in map_items(classify, waiting, jobs=jobs, progress=progress):
            if outcome.value is not None and classify.storage.out is not None:
                predictions.append(outcome.value.as_stored())
            yield outcome
    finally:
        if classify.storage.out is not None:
            summarize_answers(OutputFolder(classify.storage.out), classify.run, predictions)


def _adapt(classify: _ClassifyTask, tasks: Sequence[Task], progress: Progress) -> Classifier:
    """Adapt the network to all tasks; unreadable recordings are skipped here and reported when classified."""
    from .adaptation import adapt_classifier

    sources = [task.source for task in tasks]
    return adapt_classifier(classify.load(), sources, classify.config, progress=progress).classifier


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


def find_finished(tasks: Sequence[Task], run: InferenceRun, storage: Storage) -> dict[Task, Prediction]:
    """Find recordings with a current stored prediction.

    A prediction is current if recording, label file, network and settings are unchanged since it was stored.

    Args:
        tasks: Recordings, from `plan_tasks`.
        run: Record of the run, from `record_run`.
        storage: Output folder, labels and pictures.

    Returns:
        Predictions by task; empty without an output folder.

    Raises:
        FileError: If the output folder contains predictions of another run, or a recording's folder contains the
            prediction for another recording.
    """
    if storage.out is None:
        return {}
    OutputFolder(storage.out).check(run)

    finished = {}
    for task in tasks:
        folder = OutputFolder(storage.out).of(task.name)
        if not folder.answer.is_file():
            continue

        try:
            dependencies = storage.record_dependencies(task, run)
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
        config: Settings of the classification.
        storage: What is stored.
        classifier: Classifier; None: load it from its checkpoint, once per process.
        trust: Packages allowed to run code while it is loaded.
        overwrite: Whether to classify recordings again that have a stored prediction.
    """

    run: InferenceRun
    config: InferConfig
    storage: Storage
    classifier: Classifier | None
    trust: tuple[str, ...] = ()
    overwrite: bool = False

    def __call__(self, task: Task, progress: Progress) -> Prediction:
        if self.storage.out is not None and not self.overwrite:
            folder = OutputFolder(self.storage.out).of(task.name)
            if folder.answer.is_file():
                stored = folder.find_current(self.storage.record_dependencies(task, self.run))
                if stored is not None:  # stored by a worker that was killed before it replied
                    return stored

        return self._classify(task, progress)

    def load(self) -> Classifier:
        """Return the classifier; a worker process loads it once."""
        return self.classifier or _load_classifier(self.run.checkpoint, self.trust)

    def _classify(self, task: Task, progress: Progress) -> Prediction:
        classifier = self.load()
        storage = self.storage
        passes = 3 if storage.pictures else 2  # search the person, classify, draw pictures

        # Read the labels first: an error in them should not cost a classification.
        label_file = storage.find_label_file(task)
        labels = None if label_file is None else read_known_labels(label_file, self.run.classes)

        config = classifier.framed(self.config).for_recording(task.name.as_posix())
        search = NamedStep(progress, "search", 0, passes)
        source = classifier.open(task.source, config, progress=search)

        # recorded before the recording is read, to notice changes in the meantime
        depends_on = None if storage.out is None else storage.record_dependencies(task, self.run)

        prediction = classifier.classify(source, self.config, NamedStep(progress, "classify", 1, passes))
        prediction = prediction.model_copy(update={"folder": str(task.name), "depends_on": depends_on})
        if labels is not None:
            run = self.run
            scores = score(prediction.timeline, prediction.segments, labels, run.classes, self.config, run.window_us)
            prediction = prediction.model_copy(update={"labels": labels, "scores": scores})

        if storage.out is not None:
            self._store(OutputFolder(storage.out), prediction, source, NamedStep(progress, "pictures", 2, passes))

        return prediction

    def _store(self, out: OutputFolder, prediction: Prediction, source: EventSource, progress: Progress) -> None:
        folder = out.of(prediction.folder)
        windows = prediction.to_windows()
        out.write_run(self.run)
        folder.write_rows(windows, prediction.segments)

        if self.storage.pictures:
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


class Predictions(tuple[Prediction, ...], Described):
    """Predictions for several recordings, in their order."""

    __slots__ = ()

    def describe(self) -> list[str | TextTable]:
        """Return a row for each recording, what they were classified by, and scores."""
        if not self:
            return []

        # The region is shown only if some recordings are not seen completely.
        regions = [] if all(prediction.has_full_frame for prediction in self) else ["region"]
        table = TextTable(
            *("file", "answer", "probability", "segments", "events", *regions),
            right=("probability", "segments", "events"),
            optional=(*regions, "events", "segments"),
        )
        for prediction in self:
            because = f" ({readable(prediction.reason)})" if prediction.reason else ""
            region = [prediction.region] if regions else []
            probability = "" if prediction.class_name == OTHER else f"{prediction.probability:.0%}"
            numbers = probability, prediction.segment_count, f"{prediction.events:,}"
            table.add_row(prediction.file, prediction.answer + because, *numbers, *region)

        bases = Counter("events alone" if one.basis == "events" else one.basis for one in self)
        names = "; ".join(f"{basis}: {count}" for basis, count in bases.items())
        lines = [f"Classified by {names if len(bases) > 1 else next(iter(bases))}."]
        if adaptation := describe_adaptation(self[0].trained_on):
            lines.append(f"network: {adaptation}")
        if (scores := add_scores(prediction.scores for prediction in self)) is not None:
            lines.append("; ".join(scores.describe()))
        return [table, *lines]

    @property
    def problem(self) -> str:
        """Recordings that end early; empty: none."""
        truncated = [prediction.file for prediction in self if prediction.truncated_at_us is not None]
        return f"truncated: {', '.join(truncated)}" if truncated else ""


@overload
def infer(  # type: ignore[overload-overlap]  # a text is also a sequence of texts
    checkpoint: str | Path | Classifier,
    recordings: RecordingLike,
    out: str | Path | None = None,
    config: InferConfig = InferConfig(),
    *,
    adapt: bool = False,
    labels: str | Path | None = None,
    pictures: bool = True,
    trust: Sequence[str] = (),
    share: str | None = None,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Prediction: ...
@overload
def infer(
    checkpoint: str | Path | Classifier,
    recordings: Sequence[str | Path],
    out: str | Path | None = None,
    config: InferConfig = InferConfig(),
    *,
    adapt: bool = False,
    labels: str | Path | None = None,
    pictures: bool = True,
    trust: Sequence[str] = (),
    share: str | None = None,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Predictions: ...
def infer(
    checkpoint: str | Path | Classifier,
    recordings: RecordingLike | Sequence[str | Path],
    out: str | Path | None = None,
    config: InferConfig = InferConfig(),
    *,
    adapt: bool = False,
    labels: str | Path | None = None,
    pictures: bool = True,
    trust: Sequence[str] = (),
    share: str | None = None,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Prediction | Predictions:
    """Classify recordings or videos over time.

    In Python, to classify recordings in a loop, load the classifier first, and call `Classifier.predict`.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME.
        recordings: Recordings, videos, or folders of these.
        out: Output folder for tables, pictures and report.html. Default: not written.
        config: Settings of windows, segments and framing, and metadata that recordings lack.
        adapt: First adapt the network to the sensor of all recordings.
        labels: Label file, or folder of NAME_labels.csv files, to compute scores. Default: no scores.
        pictures: Write timelines and videos of the recordings to the output folder.
        trust: Packages allowed to run code for networks with `network = module`.
        share: Classify only share I/N of the recordings; default: the share of the task in a SLURM array, otherwise
            all.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        overwrite: Classify all recordings again, and replace the predictions in the output folder.
        progress: Called with the amount done and the total: of the time of a single recording, or of recordings.

    Returns:
        The prediction for a single recording; for a list, a prediction for each recording. Predictions found in the
        output folder have no timeline.

    Raises:
        DvspipeError: As in `Classifier.load` and `Classifier.predict`, for a single recording. A missing file is an
            error before the first recording is classified.
        PartialError: If some of several recordings could not be classified, after all others.

    Example:
        >>> infer("gesture", "clap.h5", config=InferConfig(roi="auto")).class_name  # doctest: +SKIP
        'hand_clapping'
        >>> [done.class_name for done in infer("gesture", ["videos"], "answers", jobs=2)]  # doctest: +SKIP
        ['hand_clapping', 'right_hand_wave']
    """
    classifier = as_classifier(checkpoint, trust=trust)

    # A single recording that is not stored can be in memory.
    needs_files = out is not None or labels is not None or adapt
    if isinstance(recordings, str | Path):
        _require_single(Path(recordings))
    if isinstance(recordings, str | Path | Events) and not needs_files:
        return classifier.predict(recordings, config, progress=progress)
    if isinstance(recordings, Events):
        raise ConfigError("infer: out, labels and adapt are for files (found events); write the events first")

    shard = Shard.of(share)
    if adapt and shard.count > 1:
        raise ConfigError(f"adapt: cannot be combined with share {shard}, because it needs all recordings")
    tasks = plan_tasks(recordings, out, shard=shard)
    for task in tasks:
        _require_existing(task.source)

    storage = Storage(
        None if out is None else Path(out), None if labels is None else Path(labels), pictures and out is not None
    )
    run = record_run(classifier, config, tasks if adapt else ())
    done = {} if overwrite else find_finished(tasks, run, storage)
    if done:
        log.info("already classified: %d of %d; use overwrite to classify again", len(done), len(tasks))

    outcomes = classify_many(
        tasks,
        classifier,
        config,
        adapt=adapt,
        labels=storage.labels,
        out=storage.out,
        pictures=storage.pictures,
        jobs=jobs,
        overwrite=overwrite,
        finished=frozenset(done),
        progress=progress,
    )
    position = {task: index for index, task in enumerate(tasks)}
    stored = [Outcome(position[task], task, prediction, None) for task, prediction in done.items()]
    results = sorted([*stored, *outcomes], key=lambda outcome: position[outcome.item])
    classified = [outcome for outcome in results if outcome.error is None]
    if classified:
        _note_overrides(classifier, config, [outcome.item for outcome in classified])
    if classified and out is not None:
        plugins().hook.report(record=run, folder=Path(out))

    predictions = Predictions(outcome.result() for outcome in classified)
    try:
        collect(results, len(tasks), "recordings could not be classified completely")
    except PartialError as error:
        error.results = predictions  # shown in one table
        raise
    return predictions[0] if isinstance(recordings, str | Path) else predictions


def _note_overrides(classifier: Classifier, config: InferConfig, tasks: Sequence[Task]) -> None:
    """Log the framing settings that differ from the training, if they have an effect."""
    if not classifier.find_overrides(config):
        return

    videos = any(is_video(task.source) for task in tasks)
    if overrides := classifier.find_overrides(config, videos=videos):
        log.info("settings that differ from training: %s", ", ".join(overrides))


def _require_single(source: Path) -> None:
    if not is_single_source(source):
        raise ConfigError(f"{source}: a folder of recordings (expected one recording, or a list: [folder])")


def _require_existing(source: Path) -> None:
    """Refuse a missing file before the network runs: with many recordings, its turn may come after hours."""
    check_address(source)
    if source.exists() or camera_of(source) is not None:
        return
    if str(source) in shipped_checkpoints():
        raise FileError(f"{source}: is a checkpoint (expected a recording); the arguments look swapped")
    raise FileError(f"{source}: {explain_missing(source)}")
