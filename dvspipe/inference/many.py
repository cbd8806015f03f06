"""The verb `infer`: classify recordings, also in worker processes, and store the predictions."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import overload

from ..base.errors import ConfigError, DataError, DvspipeError, FileError, PartialError
from ..base.files import explain_missing, read_bytes
from ..base.gestures import OTHER
from ..base.pool import Outcome, Shard, collect, map_items
from ..base.progress import NamedStep, Progress, ignore_progress
from ..base.texts import Described, TextTable, readable
from ..checkpoints.checkpoint import shipped_checkpoints, versions
from ..events import Events
from ..formats import RecordingLike
from ..framing import EventSource
from ..hooks import RecordingView, plugins
from ..recordings.sources import is_single_source
from ..results import Dependencies, InferenceRun, OutputFolder, Prediction, add_scores, describe_adaptation
from ..results.labels import MAX_LABEL_BYTES, read_labels
from ..video.names import camera_of
from .classifier import Classifier, as_classifier
from .config import InferConfig
from .scores import find_label_file, score
from .tasks import Task, plan_tasks

log = logging.getLogger(__name__)


def record_run(classifier: Classifier, config: InferConfig, adapted_to: Sequence[Task] = ()) -> InferenceRun:
    """Return the record of a run.

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


def _digest_files(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of absolute paths, sizes and modification times."""
    facts = [(str(path.resolve()), _stat(path).st_size, _stat(path).st_mtime_ns) for path in paths]
    return hashlib.sha256(ascii(facts).encode()).hexdigest()


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class _Work:
    """Picklable function that classifies and stores one recording, for worker processes; see `infer`.

    Args:
        classifier: Classifier; None: load it from its checkpoint, once per process.
    """

    run: InferenceRun
    config: InferConfig
    classifier: Classifier | None
    labels: Path | None
    out: Path | None
    pictures: bool

    def load(self) -> Classifier:
        """Return the classifier."""
        return self.classifier or _load_classifier(self.run.checkpoint)

    def for_workers(self, jobs: int | str) -> _Work:
        """Return the work without the network, which each worker loads.

        Raises:
            ConfigError: If the network has no checkpoint that a worker can load.
        """
        assert self.classifier is not None
        if not self.classifier.checkpoint or self.classifier.config.network.network == "module":
            raise ConfigError(f"jobs = {jobs}: workers load a checkpoint (found a network in memory); use jobs=1")
        return replace(self, classifier=None)

    def find_finished(self, tasks: Sequence[Task]) -> dict[Task, Prediction]:
        """Find recordings with a stored prediction whose dependencies are unchanged.

        Raises:
            FileError: If the output folder contains predictions of another run, or a recording's folder contains the
                prediction for another recording.
        """
        if self.out is None:
            return {}
        out = OutputFolder(self.out)
        out.check(self.run)

        finished = {}
        for task in tasks:
            folder = out.of(task.name)
            if not folder.answer.is_file():
                continue
            try:
                needed = self._record_dependencies(task)
            except DvspipeError:
                continue  # raised again during classification
            if (prediction := folder.find_current(needed)) is not None:
                finished[task] = prediction

        return finished

    def __call__(self, task: Task, progress: Progress) -> Prediction:
        passes = 3 if self.pictures else 2  # search the person, classify, draw pictures
        run = self.run
        classifier = self.load()

        # Read the labels first: an error in them should not cost a classification.
        label_file = self._find_label_file(task)
        labels = None if label_file is None else read_labels(label_file)
        for label in labels or ():
            if label.class_name not in run.classes:
                raise DataError(
                    f"{label_file}: unknown class (found {label.class_name!r}, expected {', '.join(run.classes)})"
                )

        config = classifier.framed(self.config).for_recording(task.name.as_posix())
        source = classifier.open(task.source, config, progress=NamedStep(progress, "search", 0, passes))

        # Recorded before the recording is read, to notice changes in the meantime.
        depends_on = None if self.out is None else self._record_dependencies(task)

        prediction = classifier.classify(source, self.config, NamedStep(progress, "classify", 1, passes))
        prediction = prediction.model_copy(update={"folder": str(task.name), "depends_on": depends_on})
        if labels is not None:
            scores = score(prediction.timeline, prediction.segments, labels, run.classes, self.config, run.window_us)
            prediction = prediction.model_copy(update={"labels": labels, "scores": scores})

        if self.out is not None:
            self._store(OutputFolder(self.out), prediction, source, NamedStep(progress, "pictures", 2, passes))
        return prediction

    def _find_label_file(self, task: Task) -> Path | None:
        return None if self.labels is None else find_label_file(self.labels, task.source, task.name)

    def _record_dependencies(self, task: Task) -> Dependencies:
        """Record what the prediction for a recording depends on: the recording, its label file and the run."""
        label_file = self._find_label_file(task)
        status = _stat(task.source)
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
    classifier = as_classifier(checkpoint)
    if isinstance(recordings, str | Path) and not is_single_source(Path(recordings)):
        raise ConfigError(f"{recordings}: a folder of recordings (expected one recording, or a list: [folder])")

    # A recording that is not stored can be in memory, or a camera.
    is_plain = out is None and labels is None and not adapt
    if isinstance(recordings, str | Path | Events) and is_plain:
        return classifier.predict(recordings, config, progress=progress)
    if isinstance(recordings, Events):
        raise ConfigError("infer: out, labels and adapt are for files (found events); write the events first")

    shard = Shard.of(share)
    if adapt and shard.count > 1:
        raise ConfigError(f"adapt: cannot be combined with share {shard}, because it needs all recordings")
    tasks = plan_tasks(recordings, out, shard=shard)
    label_path = None if labels is None else Path(labels)
    _check_inputs(tasks, label_path)

    folder = None if out is None else Path(out)
    run = record_run(classifier, config, tasks if adapt else ())
    work = _Work(run, config, classifier, label_path, folder, pictures and out is not None)
    finished = {} if overwrite else work.find_finished(tasks)
    if finished:
        log.info("already classified: %d of %d; use overwrite to classify again", len(finished), len(tasks))

    predictions = _classify_all(work, tasks, finished, jobs, progress)
    return predictions[0] if isinstance(recordings, str | Path) else predictions


def _classify_all(
    work: _Work, tasks: Sequence[Task], finished: dict[Task, Prediction], jobs: int | str, progress: Progress | None
) -> Predictions:
    """Classify and summarize the recordings, except finished ones; adapt the network first if the run says so."""
    found = dict(finished)
    waiting = [task for task in tasks if task not in found]
    try:
        if work.run.adapted_to is not None and waiting:
            from .adaptation import adapt  # imports torch, which takes seconds

            # Recordings that cannot be used are reported when they are classified.
            adapting = NamedStep(progress or ignore_progress, "adapt", 0, 2)
            progress = NamedStep(progress or ignore_progress, "classify", 1, 2)
            adaptation = adapt(work.load(), [task.source for task in tasks], config=work.config, progress=adapting)
            work = replace(work, classifier=adaptation.classifier)
        elif jobs != 1 and len(waiting) > 1:
            work = work.for_workers(jobs)

        outcomes = map_items(work, waiting, jobs=jobs, progress=progress)
        collect(_note_results(outcomes, found), len(tasks), "recordings could not be classified completely")
    except PartialError as error:
        error.results = Predictions(found[task] for task in tasks if task in found)  # shown in one table
        raise
    finally:
        if work.out is not None:
            _summarize(OutputFolder(work.out), work.run)

    return Predictions(found[task] for task in tasks)


def _note_results(
    outcomes: Iterator[Outcome[Task, Prediction]], found: dict[Task, Prediction]
) -> Iterator[Outcome[Task, Prediction]]:
    """Yield the outcomes, and add their predictions to `found`."""
    for outcome in outcomes:
        if outcome.value is not None:
            found[outcome.item] = outcome.value
        yield outcome


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


def _check_inputs(tasks: Sequence[Task], labels: Path | None) -> None:
    """Refuse missing files before the network runs: with many recordings, their turn may come after hours."""
    for source in (task.source for task in tasks):
        if source.exists() or camera_of(source) is not None:
            continue
        if str(source) in shipped_checkpoints():
            raise FileError(f"{source}: is a checkpoint (expected a recording); the arguments look swapped")
        raise FileError(f"{source}: {explain_missing(source)}")

    if labels is not None and not labels.exists():
        raise FileError(f"{labels}: label file or folder does not exist")
    if labels is not None and not labels.is_dir() and len(tasks) > 1:
        raise DataError(f"{labels}: one label file for {len(tasks)} recordings (expected a folder of label files)")
