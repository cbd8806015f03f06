"""The verb `infer`: classify recordings, also in worker processes, and store the predictions."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from ..base.errors import ConfigError, DataError, FileError, PartialError
from ..base.files import explain_missing, read_bytes
from ..base.pool import Shard, collect, map_items
from ..base.progress import NamedStep, Progress, ignore_progress
from ..base.texts import Described, TextTable, readable
from ..checkpoints.checkpoint import versions
from ..events import Events
from ..framing import EventSource
from ..hooks import RecordingView, plugins
from ..results import Dependencies, InferenceRun, LabelRow, OutputFolder, Prediction, add_scores, merge_trainings
from ..results.labels import MAX_LABEL_BYTES, read_labels
from .classifier import Classifier, as_classifier
from .config import InferConfig
from .scores import find_label_file, score
from .tasks import Task, plan_tasks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Work:
    """Picklable function that classifies and stores one recording, for worker processes; see `infer`.

    Args:
        classifier: Classifier; None: load it from its checkpoint, once per process.
        overwrite: Classify a recording again, although its stored prediction is current.
    """

    run: InferenceRun
    config: InferConfig
    classifier: Classifier | None
    labels: Path | None
    out: OutputFolder | None
    pictures: bool
    overwrite: bool

    def __call__(self, task: Task, progress: Progress) -> Prediction:
        # Read the labels first: an error in them should not cost a classification.
        label_file = None if self.labels is None else find_label_file(self.labels, task.source, task.name)
        labels = None if label_file is None else self._read_labels(label_file)

        # Recorded before the recording is read, to notice changes in the meantime.
        depends_on = None if self.out is None else self._record_dependencies(task, label_file)
        if self.out is not None and depends_on is not None and not self.overwrite:
            stored = self.out.of(task.name).find_current(depends_on)
            if stored is not None:
                return stored

        passes = 3 if self.pictures else 2  # search the person, classify, draw pictures
        classifier = self.classifier or _load_classifier(self.run.checkpoint)
        search = NamedStep(progress, "search", 0, passes)
        source = classifier.open(task.source, self.config, name=task.name.as_posix(), progress=search)

        prediction = classifier.classify(source, self.config, NamedStep(progress, "classify", 1, passes))
        prediction = prediction.model_copy(update={"folder": str(task.name), "depends_on": depends_on})
        if labels is not None:
            scores = score(prediction.timeline, prediction.segments, labels, self.run.classes, self.config)
            prediction = prediction.model_copy(update={"labels": labels, "scores": scores})

        if self.out is not None:
            self._store(self.out, prediction, source, NamedStep(progress, "pictures", 2, passes))
        return prediction

    def _read_labels(self, file: Path) -> tuple[LabelRow, ...]:
        labels = read_labels(file)
        for label in labels:
            if label.class_name not in self.run.classes:
                known = ", ".join(self.run.classes)
                raise DataError(f"{file}: unknown class (found {label.class_name!r}, expected {known})")
        return labels

    def _record_dependencies(self, task: Task, label_file: Path | None) -> Dependencies:
        """Record what the prediction for a recording depends on: the recording, its label file and the run."""
        try:
            status = task.source.stat()
        except FileNotFoundError as error:
            raise FileError(f"{task}: {explain_missing(task.source)}") from error
        except OSError as error:
            raise FileError(f"{task}: cannot be read ({error.strerror})") from error

        labels = None if label_file is None else hashlib.sha256(read_bytes(label_file, MAX_LABEL_BYTES)).hexdigest()
        return Dependencies(
            source=str(task.source.resolve()),
            bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            run=self.run.digest,
            labels=labels,
            pictures=self.pictures,
        )

    def _store(self, out: OutputFolder, prediction: Prediction, source: EventSource, progress: Progress) -> None:
        folder = out.of(prediction.folder)
        windows = prediction.to_windows()
        out.write_run(self.run)
        folder.write_rows(windows, prediction.segments)

        if self.pictures:
            frames = None if source.pictures is None else source.pictures().pictures()
            view = RecordingView(source.overview.sensor, _report_parts(source, progress), frames)
            plugins().hook.draw(folder=folder, prediction=prediction, windows=windows, view=view)

        # Written last: it marks a complete prediction.
        prediction.write(folder.answer)


@lru_cache(maxsize=1)
def _load_classifier(checkpoint: str) -> Classifier:
    return Classifier.load(checkpoint)


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

        table = TextTable("file", "answer", "probability", right=("probability",), paths="file")
        for prediction in self:
            because = f" ({readable(prediction.reason)})" if prediction.reason else ""
            table.add_row(prediction.file, prediction.answer + because, f"{prediction.probability:.1%}")

        bases = sorted({prediction.basis for prediction in self})
        data = merge_trainings(self[0].trained_on)
        network = f", with a network trained on {data}" if "events" in bases and data else ""
        lines = [f"Classified by {' or by '.join(bases)}{network}."]
        if (scores := add_scores(prediction.scores for prediction in self)) is not None:
            lines.append("; ".join(scores.describe()))
        return [table, *lines]


def infer(
    checkpoint: str | Path | Classifier,
    recordings: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    config: InferConfig = InferConfig(),
    *,
    labels: str | Path | None = None,
    pictures: bool = True,
    share: str | None = None,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Predictions:
    """Classify recordings or videos over time.

    In Python, `Classifier.predict` classifies a single recording, also events in memory.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME.
        recordings: Recordings, videos, or folders of these.
        out: Output folder for tables, pictures and report.html. Default: not written.
        config: Settings of windows, segments and region, and metadata that recordings lack.
        labels: Label file, or folder of NAME_labels.csv files, to compute scores. Default: no scores.
        pictures: Write timelines and videos of the recordings to the output folder.
        share: Classify only share I/N of the recordings, or auto: the share of the task in a SLURM array. Default: all.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        overwrite: Classify all recordings again, and replace the predictions in the output folder.
        progress: Called with the number of recordings done, and the total.

    Returns:
        A prediction for each recording. Predictions found in the output folder have no timeline.

    Raises:
        DvspipeError: As in `Classifier.load` and `Classifier.predict`, for a single recording. A missing label file is
            an error before the first recording is classified.
        PartialError: If some of several recordings could not be classified, after all others.

    Example:
        >>> [done.class_name for done in infer("gesture", "videos", "answers", jobs=2)]  # doctest: +SKIP
        ['hand_clapping', 'right_hand_wave']
    """
    classifier = as_classifier(checkpoint)
    tasks = plan_tasks(recordings, out, shard=Shard.parse(share), images=config.images)
    label_path = None if labels is None else Path(labels)
    _check_labels(label_path, len(tasks))

    run = InferenceRun(
        checkpoint=classifier.checkpoint or "",
        network=classifier.digest,
        trained_on=classifier.config.trained_on,
        classes=classifier.config.classes,
        sensor=str(classifier.config.sensor),
        window_us=classifier.window_bins(config).tensor_us,
        step_us=classifier.config.bins.step_us,
        hop_us=classifier.hop_us(config),
        stateful=config.stateful,
        settings=config.to_record() | classifier.framed(config).to_record(),
        versions=versions(),
    )
    folder = None if out is None else OutputFolder(Path(out))
    if folder is not None and not overwrite:
        folder.check(run)

    in_workers = jobs != 1 and len(tasks) > 1
    if in_workers and (not classifier.checkpoint or classifier.config.network.network == "module"):
        raise ConfigError(f"jobs = {jobs}: workers load a checkpoint (found a network in memory); use jobs=1")
    sent = None if in_workers else classifier
    work = _Work(run, config, sent, label_path, folder, pictures and folder is not None, overwrite)
    try:
        outcomes = map_items(work, tasks, jobs=jobs, ordered=True, progress=progress)
        predictions = Predictions(collect(outcomes, len(tasks), "recordings could not be classified completely"))
    except PartialError as error:
        error.results = Predictions(cast("Sequence[Prediction]", error.results))  # shown in one table
        raise
    finally:
        if folder is not None:
            _summarize(folder, run)

    if known := sum(not len(prediction.timeline) for prediction in predictions):
        log.info("already classified: %d of %d; use overwrite to classify them again", known, len(tasks))
    return predictions


def _summarize(folder: OutputFolder, run: InferenceRun) -> None:
    """Write tables, scores and the page of all recordings in an output folder."""
    predictions = folder.find_predictions(run)
    if not predictions:
        return

    folder.write_predictions(predictions)
    if (scores := add_scores(prediction.scores for prediction in predictions)) is not None:
        scores.write(folder.scores)
    else:
        folder.scores.unlink(missing_ok=True)
    plugins().hook.report(record=run, folder=folder.path)


def _check_labels(labels: Path | None, recordings: int) -> None:
    """Refuse missing labels before the network runs: with many recordings, their turn may come after hours."""
    if labels is not None and not labels.exists():
        raise FileError(f"{labels}: label file or folder does not exist")
    if labels is not None and not labels.is_dir() and recordings > 1:
        raise DataError(f"{labels}: one label file for {recordings} recordings (expected a folder of label files)")
